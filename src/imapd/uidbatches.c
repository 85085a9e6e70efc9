/*
 * UIDBATCHES: RFC 10022 §3.1.
 *
 * Batches of equal size from the newest message on, as UID ranges that leave no gap. Costs what it tells: no row is read.
 */
#include "imapd/session.h"

enum {
    BATCH_MESSAGES_MIN = 500,            /* §3.1.3.2 */
    BATCHED_MESSAGES_MAX = 100000000,    /* more than a mailbox can be expected to hold: §3.1.7 asks for 100,000 */
};

/* UID of the message that is `back`-th from the last (from 0), or 0 when there are not so many. */
MAY_YIELD static result uid_from_end(struct session *s, uint64_t back, uint32_t *ret_uid)
{
    struct fault fault = {0};
    struct imap_set uids;
    uint32_t count = mailbox_view_count(s->view);
    *ret_uid = 0;
    if (back >= count) return OK;
    struct imap_range range = {count - (uint32_t)back, count - (uint32_t)back};
    struct imap_set number = {.ranges = &range, .count = 1};
    result code = mailbox_view_uids(s->view, &number, s->arena, &uids, session_store_deadline(s), &fault);
    if (code == OK && uids.count) *ret_uid = uids.ranges[0].first;
    return code;
}

/* The upper end of a batch is just below the batch that is newer, so that the ranges meet. */
MAY_YIELD static result tell_batches(struct session *s, uint32_t size, uint64_t first, uint64_t last)
{
    buf *out = session_out(s);
    const char *before = " ";
    for (uint64_t batch = first; batch <= last && (batch - 1) * size < mailbox_view_count(s->view); batch++) {
        uint32_t above, low;
        result code = batch == 1 ? OK : uid_from_end(s, (batch - 1) * size - 1, &above);
        uint32_t high = batch == 1 ? mailbox_view_highest_uid(s->view) : above - 1;
        if (code == OK) code = uid_from_end(s, batch * size - 1, &low);
        if (code != OK) return code;
        bool is_oldest = batch * size >= mailbox_view_count(s->view);
        if (is_oldest && uid_from_end(s, mailbox_view_count(s->view) - 1, &low) != OK) return IO;
        buf_appendf(out, high == low ? "%s%u" : "%s%u:%u", before, high, low);
        before = ",";
        if (coroutine_is_overdue()) coroutine_pause();
    }
    return OK;
}

void imapd_uidbatches(struct session *s, const struct imap_command *c, struct reply *r)
{
    const struct imap_uidbatches *u = &c->uidbatches;
    uint64_t first = u->first, last = u->last;
    if (first > last) {                                       /* §3.1.5 */
        reply_set(r, REPLY_BAD, "CLIENTBUG", "The first batch comes first");
        return;
    }
    if (u->first == 0) {
        first = 1;
        last = BATCHED_MESSAGES_MAX;
    }
    if (u->size < BATCH_MESSAGES_MIN) {
        reply_set(r, REPLY_NO, "TOOFEW", "A batch has at least 500 messages");
        return;
    }
    buf *out = session_out(s);
    buf_appendf(out, "* UIDBATCHES (TAG \"" VIEW_FMT "\")", VIEW_ARG(c->tag));
    result code = tell_batches(s, u->size, first, last);
    buf_append(out, VIEW("\r\n"));
    reply_result(s, r, code, NULL);
}
