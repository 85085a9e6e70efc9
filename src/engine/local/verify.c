/*
 * Reads everything that the tables keep, with checksums, past the cache. Of journals: each record's body is there and of its size,
 * and each record and body belongs to a journal's rows. Objects are read by whoever refers to them (account_verify()).
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "engine/local/local_private.h"

struct verify_job {
    struct local *engine;
    buf findings;                    /* each with a NUL behind it */
    result code;
    struct fault *fault;
};

enum {
    FINDINGS_MAX_BYTES = 1 << 20,
    WALK_ROWS = 256,                 /* then others may have the tables: see rocks_walk */
};

__attribute__((format(printf, 2, 3))) static void find(struct verify_job *j, const char *format, ...)
{
    if (j->findings.len > FINDINGS_MAX_BYTES) return;
    va_list arguments;
    va_start(arguments, format);
    buf_appendv(&j->findings, format, arguments);
    va_end(arguments);
    buf_append_byte(&j->findings, 0);
}

/* How the walk over a family ended, if not at its end. A damaged block ends it: what lies behind is not looked at. */
BLOCKS static void end_walk(struct verify_job *j, struct rocks_walk *w, const char *family)
{
    struct fault fault = {0};
    result code = rocks_walk_result(w, &fault);
    if (code != OK) find(j, "%s: %s", family, fault.detail);
    rocks_walk_end(w);
}

BLOCKS static void check_body(struct verify_job *j, struct rocks_walk *w, struct id journal, uint64_t sequence, uint32_t body_bytes)
{
    CLEANUP(buf_done) buf body = BUF_INIT;
    struct fault fault = {0};
    struct record_key key = record_key(journal, sequence);
    char text[ID_TEXT_LEN + 1];
    id_text(journal, text);
    result code = rocks_walk_get(w, FAMILY_BODIES, record_key_view(&key), &body, &fault);
    if (code == NOT_FOUND) find(j, "journal %s: the body of record %" PRIu64 " is missing", text, sequence);
    else if (code != OK) find(j, "journal %s: the body of record %" PRIu64 ": %s", text, sequence, fault.detail);
    else if (body.len != body_bytes)
        find(j, "journal %s: the body of record %" PRIu64 " has %zu bytes, not %u", text, sequence, body.len, body_bytes);
}

struct journal_walk { struct id journal; uint64_t folded; };

BLOCKS static void check_record(struct verify_job *j, struct rocks_walk *w, struct journal_walk *at)
{
    view key = rocks_walk_key(w), value = rocks_walk_value(w);
    struct id journal;
    uint64_t sequence;
    struct head_row head = {0};
    struct record_row row;
    char text[ID_TEXT_LEN + 1];
    if (!record_key_parse(key, &journal, &sequence)) {
        find(j, "records: a key of %zu bytes", key.len);
        return;
    }
    id_text(journal, text);
    if (!id_equal(journal, at->journal)) *at = (struct journal_walk){journal, 0};
    if (sequence == 0) {
        if (head_row_parse(value, &head)) at->folded = head.folded;
        else find(j, "journal %s: the head is malformed", text);
    } else if (!record_row_parse(value, &row)) {
        find(j, "journal %s: record %" PRIu64 " is malformed", text, sequence);
    } else if (sequence > at->folded && row.body_bytes) {
        check_body(j, w, journal, sequence, row.body_bytes);
    }
}

/* Some of them, from `next` on. False: those were the last. */
BLOCKS static bool check_some_records(struct verify_job *j, struct journal_walk *at, struct record_key *next)
{
    struct rocks_walk w;
    unsigned count = 0;
    rocks_walk_begin(&w, &j->engine->rocks, FAMILY_RECORDS, VIEW_EMPTY, true, false);
    bool any = rocks_walk_seek(&w, record_key_view(next));
    for (; any && count < WALK_ROWS; any = rocks_walk_next(&w), count++) check_record(j, &w, at);
    any = any && rocks_walk_key(&w).len == sizeof next->bytes;
    if (any) memcpy(next->bytes, rocks_walk_key(&w).at, sizeof next->bytes);
    end_walk(j, &w, "records");
    return any;
}

BLOCKS static void check_records(struct verify_job *j)
{
    struct journal_walk at = {0};
    struct record_key next = {{0}};
    while (check_some_records(j, &at, &next)) {}
}

BLOCKS static void check_tables(struct verify_job *j)
{
    struct rocks_walk w;
    size_t rows = 0;
    rocks_walk_begin(&w, &j->engine->rocks, FAMILY_TABLES, VIEW_EMPTY, false, false);
    for (bool any = rocks_walk_seek(&w, VIEW("a")); any; any = rocks_walk_next(&w)) {
        view key = rocks_walk_key(&w);
        size_t name_bytes = view_find(key, 0);
        if (name_bytes == VIEW_NONE || name_bytes == 0 || key.len < name_bytes + 6) find(j, "tables: row %zu has a malformed key", rows);
        rows++;
    }
    end_walk(j, &w, "tables");
}

static void run_verify(void *argument)
{
    colour_pretend_worker();
    struct verify_job *j = argument;
    check_records(j);
    check_tables(j);
    j->code = OK;
}

result local_verify(struct engine *base, void (*found)(void *argument, view what), void *argument, struct fault *fault)
{
    struct verify_job j = {.engine = local_of(base), .fault = fault};
    result code = worker_run(WORKER_SLOW, run_verify, &j);
    if (code == OK) code = j.code;
    for (view rest = buf_view(&j.findings), one; view_cut(&rest, 0, &one);)
        if (found) found(argument, one);
    buf_done(&j.findings);
    return code;
}
