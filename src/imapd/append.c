/*
 * APPEND and REPLACE: RFC 9051 §6.3.12, RFC 3502 (several messages), RFC 4469 (CATENATE), RFC 7888, RFC 6855 §4, RFC 7889, RFC 8508.
 *
 * Each message streams into a draft, from literals and from messages that are there. A command of one message is committed
 * without waiting (append_job.c); of several nothing is before all have come.
 */
#include <stdlib.h>

#include "base/check.h"
#include "imapd/append.h"

/* A command while its messages come. */
struct upload {
    struct session *s;
    view tag;
    struct reply *r;
    uint32_t mailbox;
    uint32_t replaces_uid;
    uint64_t replaced_bytes;
    struct append_job **jobs;
    size_t count, capacity;
    uint64_t held_bytes;
    bool is_refused;                         /* the reply says why: what still comes is dropped */
};

static void refuse(struct upload *u, const char *code, const char *text)
{
    if (!u->is_refused) reply_set(u->r, REPLY_NO, code, text);
    u->is_refused = true;
}

static void refuse_result(struct upload *u, result code, const struct fault *fault)
{
    if (code == OK || u->is_refused) return;
    if (code == TOO_BIG) {
        refuse(u, "TOOBIG", "The message is too big");
    } else {
        reply_result(u->s, u->r, code, fault);
        u->is_refused = true;
    }
}

static struct append_job *current(struct upload *u) { return u->count ? u->jobs[u->count - 1] : NULL; }

/* ---- a message and its parts ---- */

static void begin_message(struct upload *u, const struct imap_append_message *m)
{
    if (u->is_refused) return;
    if (!session_check_save_limit(u->s, u->count + 1, u->r)) {
        u->is_refused = true;
        return;
    }
    if (u->count == APPEND_MESSAGES_MAX) {
        refuse(u, "LIMIT", "Too many messages at once");
        return;
    }
    if (u->count == u->capacity) {
        u->capacity = u->capacity ? 2 * u->capacity : 1;
        u->jobs = realloc(u->jobs, u->capacity * sizeof *u->jobs);
        check(u->jobs != NULL);
    }
    u->jobs[u->count++] = append_job_new(u->s, u->tag, m, u->mailbox);
}

/* Whether so much more is wanted, before it is sent. */
static void check_size(struct upload *u, uint64_t more)
{
    struct fault fault = {0};
    if (u->is_refused) return;
    uint64_t so_far = draft_bytes(current(u)->draft), max = session_options(u->s)->message_bytes_max;
    if (more > max || so_far > max - more) {
        refuse(u, "TOOBIG", "The message is too big");
        return;
    }
    if (u->count > 1 && u->held_bytes + more > APPEND_HELD_BYTES_MAX) {
        refuse(u, "LIMIT", "Too much at once");
        return;
    }
    uint64_t total = u->held_bytes + more;
    total = total > u->replaced_bytes ? total - u->replaced_bytes : 0;
    uint64_t messages = u->s->append_count + u->count - (u->replaces_uid ? 1 : 0);
    refuse_result(u, session_check_quota(u->s, (struct quota){u->s->append_bytes + total, messages}, &fault), &fault);
}

MAY_YIELD static void add_urls(struct upload *u, const struct imap_append_message *m)
{
    for (size_t i = 0; i < m->url_count && !u->is_refused; i++) {
        struct fault fault = {0};
        uint64_t before = draft_bytes(current(u)->draft);
        result code = append_url(u->s, m->urls[i], current(u)->draft, &fault);
        if (code == INVALID || code == NOT_FOUND) {
            refuse(u, "BADURL ", "That part cannot be read");
            for (size_t k = 0; k < m->urls[i].len; k++) {
                char c = m->urls[i].at[k];
                if (c > 0x20 && c < 0x7f && c != ']') buf_append_byte(&u->r->code, c);
            }
            return;
        }
        refuse_result(u, code, &fault);
        u->held_bytes += draft_bytes(current(u)->draft) - before;
        check_size(u, 0);
    }
}

/* Not OK: the client is gone. */
MAY_YIELD static result read_literal(struct upload *u, uint64_t size_bytes)
{
    struct session *s = u->s;
    u->held_bytes += size_bytes;
    while (size_bytes > 0) {
        struct fault fault = {0}, write_fault = {0};
        view piece;
        result code = wire_bytes(&s->wire, (size_t)size_bytes, clock_in(session_options(s)->idle_timeout_ms), &piece, &fault);
        if (code != OK) {
            session_break(s, code, &fault);
            return code;
        }
        size_bytes -= piece.len;
        if (!u->is_refused)
            refuse_result(u, draft_write(current(u)->draft, piece, session_store_deadline(s), &write_fault), &write_fault);
    }
    return OK;
}

/* What stands behind a literal, good as long as the command; of a line that is too long, what it announces. Not OK: the client is gone. */
MAY_YIELD static result read_rest(struct upload *u, view *ret_line)
{
    struct session *s = u->s;
    struct fault fault = {0};
    view line = VIEW_EMPTY;
    result code = wire_line(&s->wire, SESSION_LINE_BYTES_MAX, clock_in(session_options(s)->idle_timeout_ms), &line, &fault);
    if (code == OK && arena_used(s->arena) + line.len > SESSION_ARENA_BYTES_MAX / 2) code = TOO_BIG;
    if (code == TOO_BIG) {
        if (!line.len) line = wire_skipped(&s->wire);
        refuse(u, "LIMIT", "The command is too long");
        *ret_line = arena_keep(s->arena, view_from(line, line.len > WIRE_SKIPPED_END_BYTES ? line.len - WIRE_SKIPPED_END_BYTES : 0));
        return OK;
    }
    if (code != OK) {
        session_break(s, code, &fault);
        return code;
    }
    *ret_line = arena_keep(s->arena, line);
    return OK;
}

/* Literals that come although nobody asked for them. */
MAY_YIELD static void drop_rest(struct upload *u, view line)
{
    struct imap_literal literal;
    while (imap_text_wants_literal(line, &literal) && !literal.is_sync)
        if (session_skip_bytes(u->s, literal.size_bytes) != OK || read_rest(u, &line) != OK) return;
}

/* Asks for the literal if the client waits. False: it is not to be read. */
MAY_YIELD static bool welcome(struct upload *u, const struct imap_append_message *m)
{
    if (!m->literal.is_sync) return true;
    if (u->is_refused) return false;
    session_finish_appends(u->s);
    wire_put(&u->s->wire, VIEW("+ OK\r\n"));
    return session_flush(u->s) == OK;
}

/* ---- the command ---- */

/* One round: the parts up to a literal, the literal, and what follows. False: there is no more. */
__attribute__((noinline)) MAY_YIELD static bool take_round(struct upload *u, struct imap_append_message *m)
{
    struct fault fault = {0};
    view rest = m->rest;
    bool is_last;
    if (!m->is_continued) begin_message(u, m);
    add_urls(u, m);
    if (m->has_literal) {
        if (m->literal.size_bytes == 0 && !m->is_catenate) refuse(u, "CANNOT", "There is nothing in that message");
        check_size(u, m->literal.size_bytes);
        if (!welcome(u, m) || read_literal(u, m->literal.size_bytes) != OK || read_rest(u, &rest) != OK) return false;
    }
    enum imap_append_place place = imap_append_place(m);
    if (imap_parse_append_rest(rest, m->has_literal ? place : IMAP_AFTER_MESSAGE, u->s->arena, &is_last, m, &fault) == OK) return !is_last;
    if (!u->is_refused) reply_set(u->r, REPLY_BAD, "", arena_cstr(u->s->arena, view_of(fault.client_text)));
    u->is_refused = true;
    drop_rest(u, rest);
    return false;
}

__attribute__((noinline)) MAY_YIELD static void find_mailbox(struct upload *u, const struct imap_append *append)
{
    struct mailbox_info info = {0};
    view name;
    if (session_mailbox_name(u->s, append->mailbox, u->r, &name) != OK) {
        u->is_refused = true;
    } else if (!session_find_destination(u->s, name, &info)) {
        refuse(u, "TRYCREATE", "There is no such mailbox");
    }
    u->mailbox = info.number;
}

/* The message that REPLACE takes away. */
__attribute__((noinline)) MAY_YIELD static void find_replaced(struct upload *u, const struct imap_command *c)
{
    struct session *s = u->s;
    struct fault fault = {0};
    struct imap_set named, numbers;
    struct row row = {0};
    size_t count = 0;
    if (session_resolve(s, &c->append.replaces, c->is_uid, u->r, &named) != OK) {
        u->is_refused = true;
        return;
    }
    result code = OK;
    numbers = named;
    if (c->is_uid) code = session_numbers_of(s, &named, &numbers);
    if (code == OK && numbers.count) code = mailbox_view_rows(s->view, numbers.ranges[0].first, 1, &row, &count, session_store_deadline(s), &fault);
    refuse_result(u, code, &fault);
    if (count == 0 || row_is_gone(&row)) refuse(u, "NONEXISTENT", "There is no such message");
    u->replaces_uid = row.uid;
    u->replaced_bytes = row.size_bytes;
}

MAY_YIELD static void finish(struct upload *u)
{
    struct session *s = u->s;
    for (size_t i = 0; i < u->count && !u->is_refused; i++)
        if (draft_bytes(u->jobs[i]->draft) == 0) refuse(u, "CANNOT", "There is nothing in that message");
    bool is_single = u->count == 1 && !u->replaces_uid;
    if (s->is_broken || u->is_refused || !is_single) session_finish_appends(s);
    if (s->is_broken || u->is_refused) return;
    if (is_single) {
        u->r->kind = REPLY_NONE;
        u->count = 0;
        append_job_commit(s, u->jobs[0]);
    } else if (u->replaces_uid) {
        struct append_options *options = &u->jobs[0]->pending.options;
        options->replaces_mailbox = mailbox_view_mailbox(s->view);
        options->replaces_uid = u->replaces_uid;
        append_job_replace(s, u->jobs[0], u->r);
    } else {
        append_jobs_commit(s, u->jobs, u->count, u->r);
    }
}

void imapd_append(struct session *s, const struct imap_command *c, struct reply *r)
{
    struct upload u = {.s = s, .tag = c->tag, .r = r};
    struct imap_append_message message = c->append.message;
    find_mailbox(&u, &c->append);
    if (c->verb == IMAP_REPLACE) find_replaced(&u, c);
    while (take_round(&u, &message))
        if (c->verb == IMAP_REPLACE && !message.is_continued) refuse(&u, "CANNOT", "One message replaces one");
    finish(&u);
    for (size_t i = 0; i < u.count; i++) append_job_free(u.jobs[i]);
    free(u.jobs);
}
