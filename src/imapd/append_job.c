/*
 * From messages that have arrived to records and answers: RFC 9051 §6.3.12, RFC 3502, RFC 8508.
 *
 * One that stays small is appended without waiting for the disk, so that a client that pipelines has many under way and they share a
 * sync; they are answered in their order, and before any other command runs (session.h, 4.).
 */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/feature.h"
#include "formats/imap_write.h"
#include "imapd/append.h"
#include "runtime/random.h"

enum { JOB_ARENA_BYTES_MAX = 1 << 20 };      /* flags of the command and what the outcome says */

void append_job_free(struct append_job *job)
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

struct append_job *append_job_new(struct session *s, view tag, const struct imap_append_message *message, uint32_t mailbox)
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
        append_job_free(job);
    }
}

void session_finish_appends(struct session *s)
{
    while (!list_is_empty(&s->appends)) {
        session_answer_appends(s);
        if (!list_is_empty(&s->appends)) waitlist_wait_shielded(&s->append_done);
    }
}

/* Not those that are hidden still. */
static void note_own(struct append_job *job)
{
    const struct append_pending *p = &job->pending;
    if (p->code == OK && p->outcome.code == OK && !p->options.is_hidden) session_note_own(job->session, p->options.mailbox, &p->outcome.result_uids);
}

static void append_is_done(struct append_pending *p)
{
    struct append_job *job = p->argument;
    job->is_done = true;
    note_own(job);
    waitlist_wake_all(&job->session->append_done);
}

/* ---- into the store ---- */

MAY_YIELD static void start(struct session *s, struct append_job *job)
{
    struct append_pending *p = &job->pending;
    p->draft = job->draft;
    p->arena = job->arena;
    p->argument = job;
    p->done = append_is_done;
    if (draft_bytes(job->draft) <= DRAFT_INLINE_MAX_BYTES) {
        account_append_start(s->account, p, session_store_deadline(s));
        return;
    }
    p->code = account_append(s->account, job->draft, &p->options, job->arena, &p->outcome, session_store_deadline(s), &p->fault);
    job->is_done = true;
    note_own(job);
}

void append_job_commit(struct session *s, struct append_job *job)
{
    list_append(&s->appends, &job->node);
    s->append_count++;
    s->append_bytes += draft_bytes(job->draft);
    start(s, job);
    for (;;) {
        session_answer_appends(s);
        if (s->append_count < SESSION_APPENDS_MAX && s->append_bytes < SESSION_APPENDS_BYTES_MAX) break;
        waitlist_wait_shielded(&s->append_done);
    }
}

/* ---- several at once ---- */

static result code_of(const struct append_job *job)
{
    return job->pending.code != OK ? job->pending.code : job->pending.outcome.code;
}

MAY_YIELD static void wait_for(struct session *s, struct append_job **jobs, size_t count)
{
    for (size_t i = 0; i < count;) {
        if (jobs[i]->is_done) {
            i++;
        } else {
            waitlist_wait_shielded(&s->append_done);
        }
    }
}

/* RFC 3502: "no partial appending is permitted". What is there goes again, in one record; should that fail, the log says so. */
MAY_YIELD static void take_back(struct session *s, const struct append_job *first, struct imap_set uids)
{
    struct fault fault = {0};
    struct outcome outcome;
    struct reply unused = {0};
    if (uids.count == 0) return;
    struct record record = {.kind = RECORD_EXPUNGE, .expunge = {.mailbox = first->pending.options.mailbox, .uids = uids}};
    result code = account_change(s->account, &record, s->arena, &outcome, session_store_deadline(s), &fault);
    reply_result(s, &unused, code, &fault);
    reply_done(&unused);
}

/* Wall clocks of one process: what the records of the jobs say of when they were written lies within. */
enum { REVEAL_SLACK_MS = 3600000 };

/* All messages are there, hidden: one record brings them into sight. */
MAY_YIELD static result reveal(struct session *s, const struct append_job *first, struct imap_set hidden, unix_ms since, struct outcome *ret_outcome,
                               struct fault *fault)
{
    struct record record = {.kind = RECORD_REVEAL,
                            .restore = {.mailbox = first->pending.options.mailbox, .since = {since.ms - REVEAL_SLACK_MS},
                                        .until = {clock_wall().ms + REVEAL_SLACK_MS}, .uids = hidden}};
    result code = account_change(s->account, &record, s->arena, ret_outcome, session_store_deadline(s), fault);
    return code == OK ? ret_outcome->code : code;
}

/* The UIDs that they got. The first that failed, or NULL. */
MAY_YIELD static const struct append_job *append_all(struct session *s, struct append_job **jobs, size_t count, bool is_hidden, struct imap_set_builder *uids)
{
    const struct append_job *failed = NULL;
    for (size_t i = 0; i < count; i++) {
        jobs[i]->pending.options.is_hidden = is_hidden;
        if (draft_bytes(jobs[i]->draft) > DRAFT_INLINE_MAX_BYTES) wait_for(s, jobs, i);
        start(s, jobs[i]);
    }
    wait_for(s, jobs, count);
    for (size_t i = 0; i < count; i++) {
        struct append_pending *p = &jobs[i]->pending;
        bool is_good = code_of(jobs[i]) == OK && p->outcome.result_uids.count;
        /* Folded by another node before its place was told. Hidden, it could not be brought into sight. */
        if (code_of(jobs[i]) == OK && !is_good && is_hidden) p->code = fail(&p->fault, UNAVAILABLE, "the place of a message is not known");
        if (is_good) imap_set_builder_add(uids, p->outcome.result_uids.ranges[0].first);
        if (code_of(jobs[i]) != OK && !failed) failed = jobs[i];
    }
    return failed;
}

/* Nobody sees any of them before all are there. While older nodes do not know how, they come one by one, and go again when one fails. */
void append_jobs_commit(struct session *s, struct append_job **jobs, size_t count, struct reply *r)
{
    struct imap_set_builder uids = IMAP_SET_BUILDER_INIT;
    struct outcome outcome = {0};
    struct fault fault = {0};
    unix_ms since = clock_wall();
    bool is_hidden = accounts_feature_level(s->imapd->accounts) >= FEATURE_ANNOTATIONS;
    const struct append_job *failed = append_all(s, jobs, count, is_hidden, &uids);
    struct imap_set set = imap_set_builder_set(&uids);
    result code = failed ? code_of(failed) : OK;
    if (failed) fault = failed->pending.fault;
    if (failed && !is_hidden) take_back(s, jobs[0], set);
    if (!failed && is_hidden) {
        code = reveal(s, jobs[0], set, since, &outcome, &fault);
        set = outcome.result_uids;
        if (code == OK) session_note_own(s, jobs[0]->pending.options.mailbox, &set);
    }
    reply_result(s, r, code, &fault);
    if (code == NOT_FOUND) reply_set(r, REPLY_NO, "TRYCREATE", "There is no such mailbox");
    if (code == OK && set.count) {
        buf_appendf(&r->code, "APPENDUID %u ", is_hidden ? outcome.uid_validity : jobs[0]->pending.outcome.uid_validity);
        imap_set_write(&r->code, &set);
    }
    imap_set_builder_done(&uids);
}

/* APPENDUID comes before the EXPUNGE (RFC 8508 §4.3). */
void append_job_replace(struct session *s, struct append_job *job, struct reply *r)
{
    struct append_pending *p = &job->pending;
    buf *out = session_out(s);
    p->code = account_append(s->account, job->draft, &p->options, job->arena, &p->outcome, session_store_deadline(s), &p->fault);
    result code = code_of(job);
    note_own(job);
    reply_result(s, r, code, &p->fault);
    if (code == NOT_FOUND) reply_set(r, REPLY_NO, "TRYCREATE", "There is no such mailbox");
    if (p->code == OK && code == INVALID) reply_set(r, REPLY_NO, "EXPUNGEISSUED", "The message to be replaced is gone");
    if (code != OK || p->outcome.result_uids.count == 0) return;
    buf_appendf(out, "* OK [APPENDUID %u ", p->outcome.uid_validity);
    imap_set_write(out, &p->outcome.result_uids);
    buf_append(out, VIEW("] Replacement message ready\r\n"));
    reply_highest_modseq(s, r, p->outcome.modseq);
}
