#include "imapd/special_use.h"

#include "formats/imap_write.h"

_Static_assert((unsigned)IMAP_USE_IMPORTANT == (unsigned)MAILBOX_USE_IMPORTANT && (unsigned)IMAP_USE_ALL == (unsigned)MAILBOX_USE_ALL &&
                   (unsigned)IMAP_USE_SENT == (unsigned)MAILBOX_USE_SENT,
               "special uses are the same bits on the wire and in the store");

view special_use_text(struct session *s, uint32_t mailbox)
{
    buf text CLEANUP(buf_done) = BUF_INIT;
    struct mailbox_info info;
    struct mailbox *m = state_mailbox(account_state(s->account), mailbox);
    if (!m) return VIEW_EMPTY;
    mailbox_read_info(m, s->arena, &info);
    imap_write_special_use(&text, info.special_use);
    return arena_keep(s->arena, buf_view(&text));
}

static unsigned use_of(view word)
{
    for (unsigned use = IMAP_USE_ALL; use <= IMAP_USE_IMPORTANT; use <<= 1) {
        buf name CLEANUP(buf_done) = BUF_INIT;
        imap_write_special_use(&name, use);
        if (view_equal_nocase(buf_view(&name), word)) return use;
    }
    return IMAP_USE_UNKNOWN;
}

static unsigned uses_of(view text)
{
    unsigned uses = 0;
    while ((text = view_trim(text)).len) {
        size_t end = view_find(text, ' ');
        view word = view_slice(text, 0, end == VIEW_NONE ? text.len : end);
        uses |= use_of(word);
        text = view_from(text, word.len);
    }
    return uses;
}

void special_use_set(struct session *s, uint32_t mailbox, view text, struct reply *r)
{
    struct fault fault = {0};
    struct outcome outcome;
    unsigned uses = uses_of(text);
    if (!special_use_is_possible(uses)) {
        reply_set(r, REPLY_NO, "USEATTR", "No mailbox can be for that use");
        return;
    }
    struct record record = {.kind = RECORD_MAILBOX, .mailbox = {.mailbox = mailbox, .sets_special_use = true, .special_use = uses}};
    result code = account_change(s->account, &record, s->arena, &outcome, session_store_deadline(s), &fault);
    reply_result(s, r, code != OK ? code : outcome.code, &fault);
}
