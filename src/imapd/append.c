/*
 * APPEND: RFC 9051 §6.3.12, RFC 7888, RFC 6855 §4, RFC 7889.
 *
 * The message streams into a draft. One that stays small is appended without waiting for the disk, so that a client
 * that pipelines has many under way and they share a sync; they are answered in their order, and before any other
 * command runs (session.h, 4.).
 */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "formats/imap_write.h"
#include "imapd/session.h"
#include "runtime/random.h"

enum { JOB_ARENA_BYTES_MAX = 1 << 20 };      /* flags of the command and what the outcome says */

/* An APPEND from its command until its answer. */
struct append_job {
    struct list node;                        /* in session.appends once it is under way */
    struct session *session;
    struct arena *arena;
    struct draft *draft;
    struct append_pending pending;
    view tag;
    bool is_done;
};

MAY_YIELD static void job_free(struct append_job *job)
{
    if (job->draft) draft_free(job->draft);
    arena_free(job->arena);
    free(job);
}

static struct record_flags keep_flags(struct arena *arena, const struct imap_flags *flags)
{
    struct record_flags of = session_record_flags(flags);
    view *kept = arena_array(arena, view, of.keyword_count);
    for (size_t i = 0; i < of.keyword_count; i++) kept[i] = arena_keep(arena, of.keywords[i]);
    of.keywords = kept;
    return of;
}

static struct append_job *job_new(struct session *s, view tag, const struct imap_append_message *message, uint32_t mailbox)
{
    struct append_job *job = calloc(1, sizeof *job);
    check(job);
    list_init(&job->node);
    job->session = s;
    job->arena = arena_new(NULL, JOB_ARENA_BYTES_MAX);
    job->tag = arena_keep(job->arena, tag);
    job->draft = draft_new(s->imapd->accounts, random_id(), session_options(s)->message_bytes_max);
    job->pending.options = (struct append_options){.mailbox = mailbox, .flags = keep_flags(job->arena, &message->flags)};
    if (message->has_date) job->pending.options.internal_date = message->date.at;
    return job;
}

/* ---- the answer ---- */

static void write_answer(struct session *s, const struct append_job *job)
{
    const struct append_pending *p = &job->pending;
    struct reply r = {0};
    result code = p->code != OK ? p->code : p->outcome.code;
    if (code == OK && p->outcome.result_uids.count) {
        buf_appendf(&r.code, "APPENDUID %u ", p->outcome.uid_validity);
        imap_set_write(&r.code, &p->outcome.result_uids);
    }
    reply_result(s, &r, code, &p->fault);
    if (code == NOT_FOUND) reply_set(&r, REPLY_NO, "TRYCREATE", "There is no such mailbox");
    reply_write(s, job->tag, "APPEND", &r);
    reply_done(&r);
}

/* When the mailbox is the selected one, EXISTS comes before the answer (RFC 9051 §6.3.12). */
void session_answer_appends(struct session *s)
{
    while (!list_is_empty(&s->appends)) {
        struct append_job *job = container_of(s->appends.next, struct append_job, node);
        if (!job->is_done) return;
        list_remove(&job->node);
        s->append_count--;
        s->append_bytes -= draft_bytes(job->draft);
        if (!s->is_broken) {
            if (s->state == SESSION_SELECTED) session_sync(s, true);
            write_answer(s, job);
        }
        job_free(job);
    }
}

void session_finish_appends(struct session *s)
{
    while (!list_is_empty(&s->appends)) {
        session_answer_appends(s);
        if (!list_is_empty(&s->appends)) waitlist_wait_shielded(&s->append_done);
    }
}

static void append_is_done(struct append_pending *p)
{
    struct append_job *job = p->argument;
    job->is_done = true;
    waitlist_wake_all(&job->session->append_done);
}

/* ---- the message ---- */

/* Of a message that is over the limit the rest is read and dropped: *ret_code tells. Not OK: the client is gone. */
MAY_YIELD static result read_message(struct session *s, struct append_job *job, uint64_t size_bytes, result *ret_code, struct fault *fault)
{
    *ret_code = OK;
    while (size_bytes > 0) {
        struct fault read_fault = {0};
        view piece;
        result code = wire_bytes(&s->wire, (size_t)size_bytes, clock_in(session_options(s)->idle_timeout_ms), &piece, &read_fault);
        if (code != OK) {
            session_break(s, code, &read_fault);
            return code;
        }
        size_bytes -= piece.len;
        if (*ret_code == OK) *ret_code = draft_write(job->draft, piece, session_store_deadline(s), fault);
    }
    return OK;
}

/* What stands after the message: nothing, or ")" of UTF8 (...). */
MAY_YIELD static result read_rest(struct session *s, bool was_utf8, struct reply *r)
{
    struct fault fault = {0};
    struct imap_append_message next;
    struct imap_literal literal;
    bool is_last;
    view line;
    result code = wire_line(&s->wire, SESSION_LINE_BYTES_MAX, clock_in(session_options(s)->idle_timeout_ms), &line, &fault);
    if (code != OK && code != TOO_BIG) {
        session_break(s, code, &fault);
        return code;
    }
    if (code == OK) code = imap_parse_append_rest(line, was_utf8, s->arena, &is_last, &next, &fault);
    if (code == OK && is_last) return OK;
    reply_set(r, REPLY_BAD, "", "One message at a time, and nothing after it");
    while (imap_text_wants_literal(line, &literal) && !literal.is_sync) {
        if (session_skip_bytes(s, literal.size_bytes) != OK) break;
        if (wire_line(&s->wire, SESSION_LINE_BYTES_MAX, clock_in(session_options(s)->idle_timeout_ms), &line, &fault) != OK) break;
    }
    return INVALID;
}

/* ---- the command ---- */

/* Whether the message is wanted, before it is sent. */
MAY_YIELD static result judge(struct session *s, const struct imap_append *append, struct reply *r, uint32_t *ret_mailbox)
{
    struct fault fault = {0};
    struct mailbox_info info;
    view name;
    result code = session_mailbox_name(s, append->mailbox, r, &name);
    if (code != OK) return code;
    if (!session_find_destination(s, name, &info)) {
        reply_set(r, REPLY_NO, "TRYCREATE", "There is no such mailbox");
        return NOT_FOUND;
    }
    uint64_t size_bytes = append->message.literal.size_bytes;
    if (size_bytes == 0) {
        reply_set(r, REPLY_NO, "CANNOT", "There is nothing in that message");
        return INVALID;
    }
    if (size_bytes > session_options(s)->message_bytes_max) {
        reply_set(r, REPLY_NO, "TOOBIG", "The message is too big");
        return TOO_BIG;
    }
    code = session_check_quota(s, s->append_bytes + size_bytes, &fault);
    reply_result(s, r, code, &fault);
    *ret_mailbox = info.number;
    return code;
}

MAY_YIELD static void refuse(struct session *s, const struct imap_append *append, struct reply *r)
{
    const struct imap_literal *literal = &append->message.literal;
    session_finish_appends(s);
    if (literal->is_sync || session_skip_bytes(s, literal->size_bytes) != OK) return;
    struct reply ignored = {0};
    (void)!read_rest(s, append->message.is_utf8, &ignored);
    reply_done(&ignored);
}

/* Starts it, or for a large one does it. The job is the list's or gone afterwards. */
MAY_YIELD static void commit(struct session *s, struct append_job *job)
{
    struct append_pending *p = &job->pending;
    p->draft = job->draft;
    p->arena = job->arena;
    p->argument = job;
    p->done = append_is_done;
    list_append(&s->appends, &job->node);
    s->append_count++;
    s->append_bytes += draft_bytes(job->draft);
    if (draft_bytes(job->draft) <= DRAFT_INLINE_MAX_BYTES) {
        account_append_start(s->account, p, session_store_deadline(s));
    } else {
        p->code = account_append(s->account, job->draft, &p->options, job->arena, &p->outcome, session_store_deadline(s), &p->fault);
        job->is_done = true;
    }
    for (;;) {
        session_answer_appends(s);
        if (s->append_count < SESSION_APPENDS_MAX && s->append_bytes < SESSION_APPENDS_BYTES_MAX) break;
        waitlist_wait_shielded(&s->append_done);
    }
}

void imapd_append(struct session *s, const struct imap_command *c, struct reply *r)
{
    struct fault fault = {0};
    const struct imap_append *append = &c->append;
    uint32_t mailbox;
    result verdict;
    if (judge(s, append, r, &mailbox) != OK) {
        refuse(s, append, r);
        return;
    }
    struct append_job *job = job_new(s, c->tag, &append->message, mailbox);
    if (append->message.literal.is_sync) {
        session_finish_appends(s);
        wire_put(&s->wire, VIEW("+ OK\r\n"));
        if (session_flush(s) != OK) {
            job_free(job);
            return;
        }
    }
    if (read_message(s, job, append->message.literal.size_bytes, &verdict, &fault) != OK ||
        read_rest(s, append->message.is_utf8, r) != OK || verdict != OK) {
        session_finish_appends(s);
        if (!s->is_broken && r->kind == REPLY_OK) reply_result(s, r, verdict, &fault);
        job_free(job);
        return;
    }
    r->kind = REPLY_NONE;
    commit(s, job);
}
