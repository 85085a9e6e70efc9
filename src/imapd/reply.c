/*
 * Tagged answers, and what a result is called in IMAP (RFC 9051 §7.1, RFC 5530).
 */
#include "base/check.h"
#include "imapd/session.h"
#include "runtime/event.h"

static const struct answer {
    enum reply_kind kind;
    const char *code, *text;
    bool is_ours;                            /* not the client's doing: goes into the log */
} answers[] = {
    [OK] = {REPLY_OK, "", NULL, false},
    [END] = {REPLY_NO, "SERVERBUG", "Unexpected end", true},
    [NOT_FOUND] = {REPLY_NO, "NONEXISTENT", "There is no such mailbox", false},
    [EXISTS] = {REPLY_NO, "ALREADYEXISTS", "There is a mailbox of that name", false},
    [INVALID] = {REPLY_NO, "CANNOT", "That is not possible", false},
    [TOO_BIG] = {REPLY_NO, "LIMIT", "That is more than is allowed", false},
    [OVER_QUOTA] = {REPLY_NO, "OVERQUOTA", "The account is full", false},
    [DENIED] = {REPLY_NO, "NOPERM", "Not permitted", false},
    [BUSY] = {REPLY_NO, "INUSE", "Somebody else is at it, try again", false},
    [CONFLICT] = {REPLY_NO, "INUSE", "It was changed meanwhile, try again", false},
    [TIMEOUT] = {REPLY_NO, "UNAVAILABLE", "The store did not answer in time", true},
    [CANCELLED] = {REPLY_NO, "UNAVAILABLE", "The service is stopping", false},
    [UNAVAILABLE] = {REPLY_NO, "UNAVAILABLE", "The store cannot do this now, try again later", true},
    [UNKNOWN_OUTCOME] = {REPLY_NO, "UNAVAILABLE", "The store did not answer, it may have been done", true},
    [CORRUPT] = {REPLY_NO, "CORRUPTION", "What is stored cannot be read", true},
    [IO] = {REPLY_NO, "UNAVAILABLE", "The store failed", true},
};

void reply_set(struct reply *r, enum reply_kind kind, const char *code, const char *text)
{
    r->kind = kind;
    buf_clear(&r->code);
    buf_append_cstr(&r->code, code);
    r->text = text;
}

void reply_result(struct session *s, struct reply *r, result code, const struct fault *fault)
{
    check((size_t)code < array_size(answers));
    const struct answer *answer = &answers[code];
    if (code == OK) return;
    const char *text = answer->text;
    if (fault && fault->client_text[0]) {
        text = arena_cstr(s->arena, view_of(fault->client_text));
    }
    reply_set(r, answer->kind, answer->code, text);
    if (answer->is_ours)
        EVENT_EMIT(IMAP_COMMAND_FAILED, EVENT_ID("session", s->id), EVENT_ID("account", s->account_id),
                   EVENT_TEXT("result", view_of(result_name(code))), EVENT_TEXT("fault", fault ? view_of(fault->detail) : VIEW_EMPTY));
}

void reply_highest_modseq(struct session *s, struct reply *r, uint64_t modseq)
{
    if (s->has_qresync && r->kind == REPLY_OK && r->code.len == 0) buf_appendf(&r->code, "HIGHESTMODSEQ %llu", (unsigned long long)modseq);
}

void reply_done(struct reply *r)
{
    buf_done(&r->code);
}

void reply_write(struct session *s, view tag, const char *name, const struct reply *r)
{
    static const char *const words[] = {[REPLY_OK] = " OK ", [REPLY_NO] = " NO ", [REPLY_BAD] = " BAD "};
    buf *out = session_out(s);
    if (r->kind == REPLY_NONE) return;
    buf_append(out, tag);
    buf_append_cstr(out, words[r->kind]);
    if (r->code.len) {
        buf_append_byte(out, '[');
        buf_append(out, buf_view(&r->code));
        buf_append_cstr(out, "] ");
    }
    buf_append_cstr(out, r->text ? r->text : name);
    if (!r->text) buf_append_cstr(out, r->kind == REPLY_OK ? " completed" : " failed");
    buf_append_cstr(out, "\r\n");
}
