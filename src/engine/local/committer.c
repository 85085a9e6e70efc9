/*
 * The one thread through which everything durable goes.
 *
 * It takes all changes that wait, judges them in order (judge.c), gathers their effects in one block, writes the block to the commit
 * log in one synced write, applies it to the tables, and only then tells anybody: what a reader sees is durable.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <sys/statvfs.h>

#include "base/arena.h"
#include "base/check.h"
#include "engine/local/local_private.h"
#include "runtime/clock.h"
#include "runtime/event.h"
#include "runtime/point.h"

enum { REPAIR_EVERY_MS = 1000 };

/* ---- from the loops --------------------------------------------------------------------------------------- */

static void change_done(struct batch_item *item)
{
    struct change *c = container_of(item, struct change, item);
    if (c->waiter) {
        completion_set(c->waiter, c->code);
        return;
    }
    if (c->told) {
        c->append->code = c->code;
        c->told(c->append, c->argument);
    }
    free(c);
}

result change_commit(struct local *e, struct change *c)
{
    struct completion waiter;
    completion_init(&waiter);
    c->engine = e;
    c->waiter = &waiter;
    c->item.done = change_done;
    batcher_submit(e->batcher, &c->item);
    return completion_wait(&waiter);
}

static struct change *change_new(struct local *e)
{
    struct change *c = calloc(1, sizeof *c);
    check(c);
    c->engine = e;
    c->item.done = change_done;
    return c;
}

void change_learn(struct local *e, struct id journal, struct journal_position end)
{
    struct change *c = change_new(e);
    c->kind = CHANGE_LEARN;
    c->journal = journal;
    c->at = end;
    c->deadline = MILLIS_NEVER;
    batcher_submit(e->batcher, &c->item);
}

void local_append_start(struct engine *base, struct journal_append *a, millis deadline, void (*done)(struct journal_append *a, void *argument),
                        void *argument)
{
    struct change *c = change_new(local_of(base));
    c->kind = CHANGE_APPEND;
    c->journal = a->journal;
    c->append = a;
    c->fault = a->fault;
    c->deadline = deadline;
    c->told = done;
    c->argument = argument;
    batcher_submit(c->engine->batcher, &c->item);
}

/* ---- a block ---------------------------------------------------------------------------------------------- */

static void begin_block(struct local *e)
{
    log_block_begin(&e->block);
    e->members = NULL;
    e->members_end = &e->members;
    map_done(&e->touched);
    map_done(&e->table_rows);
    arena_reset(e->block_arena);
    tails_trim(&e->tails);
}

/* The sequence stands in the tables too, for a copy of the store that has no log. */
BLOCKS static result go_to_next_segment(struct local *e, struct fault *fault)
{
    uint64_t full;
    commit_log_expect_spare(&e->log);
    flusher_want_spare(e);
    result code = commit_log_advance(&e->log, &full, fault);
    if (code != OK) return code;
    if (full) flusher_want(e, full);
    if (log_block_has_room(&e->block, 1, STATE_SEQUENCE_KEY.len + 8))
        put_be64((unsigned char *)log_block_put(&e->block, FAMILY_STATE, STATE_SEQUENCE_KEY, 8), e->next_sequence);
    return OK;
}

/* Whether the failed block is on the disk nobody knows. It is made sure that it will not be replayed, before anything else is acknowledged. */
BLOCKS static result give_up_block(struct local *e, struct fault *fault)
{
    EVENT_EMIT(STORE_WRITE_FAILED, EVENT_FAULT(fault));
    result code = rocks_flush(&e->rocks, NULL);
    if (code == OK) commit_log_abandon(&e->log);
    else atomic_store(&e->is_broken, true);
    return UNKNOWN_OUTCOME;
}

BLOCKS static result write_and_apply(struct local *e, struct fault *fault)
{
    if (atomic_load(&e->is_broken)) return fail(fault, UNAVAILABLE, "the tables of %s take no writes", e->folder);
    if (!commit_log_fits(&e->log, &e->block)) {
        result code = go_to_next_segment(e, fault);
        if (code != OK) return code;
    }
    int64_t began_us = clock_now_us();
    POINT("committer.before_write");
    result code = commit_log_write(&e->log, &e->block, e->next_sequence, fault);
    if (code != OK) return give_up_block(e, fault);
    POINT("committer.after_write");
    int64_t written_us = clock_now_us();
    metric_observe_us(METRIC_STORE_WRITE, written_us - began_us);
    code = POINT_FAILS("committer.apply");
    if (code == OK) code = rocks_apply(&e->rocks, log_block_payload(&e->block), fault);
    metric_observe_us(METRIC_STORE_APPLY, clock_now_us() - written_us);
    if (code == OK) return OK;
    /* Durable, but not to be seen until the tables take writes again. */
    EVENT_EMIT(STORE_WRITE_FAILED, EVENT_FAULT(fault));
    atomic_store(&e->is_broken, true);
    return UNKNOWN_OUTCOME;
}

static void finish(struct change *c, result code, const struct fault *fault)
{
    c->code = code;
    if (code == OK) {
        if (c->kind == CHANGE_APPEND || c->kind == CHANGE_HEAD || c->kind == CHANGE_REMOVE_JOURNAL)
            engine_notify(&c->engine->base, c->journal);
        return;
    }
    if (c->kind == CHANGE_APPEND) c->append->before_known = false;
    if (c->fault) {
        *c->fault = *fault;
        c->fault->code = code;
    }
}

result committer_commit(struct local *e)
{
    struct fault fault = {0};
    result code = OK;
    if (e->block.entries) {
        code = write_and_apply(e, &fault);
        metric_add(METRIC_STORE_BLOCKS, 1);
        if (code != OK) tails_clear(&e->tails);
    }
    for (struct change *c = e->members; c; c = c->next_member) finish(c, code, &fault);
    begin_block(e);
    return code;
}

/* What opening a new segment adds stays free. */
bool committer_has_room(const struct local *e, size_t entries, size_t bytes)
{
    return log_block_has_room(&e->block, entries, bytes + LOG_ENTRY_BYTES + STATE_SEQUENCE_KEY.len + 8);
}

bool committer_make_room(struct local *e, size_t entries, size_t bytes)
{
    if (committer_has_room(e, entries, bytes)) return true;
    (void)committer_commit(e);
    return committer_has_room(e, entries, bytes);
}

/* ---- trouble ---------------------------------------------------------------------------------------------- */

/* Some of the disk is kept for what was acknowledged and still has to go from the log into tables. */
static void look_for_room(struct local *e)
{
    struct statvfs s;
    if (fstatvfs(e->log.folder, &s) != 0) return;
    uint64_t room = (uint64_t)s.f_bavail * s.f_frsize, kept = e->log.segment_bytes * LOCAL_ROOM_KEPT_SEGMENTS;
    bool was_full = atomic_load(&e->is_full);
    /* With a little distance between the two, so that it does not go to and fro. */
    bool is_full = was_full ? room < kept + e->log.segment_bytes : room < kept;
    if (is_full == was_full) return;
    atomic_store(&e->is_full, is_full);
    if (is_full) EVENT_EMIT(STORE_FULL, EVENT_TEXT("folder", view_of(e->folder)), EVENT_NUMBER("free", room), EVENT_NUMBER("kept", kept));
    else EVENT_EMIT(STORE_HAS_ROOM, EVENT_TEXT("folder", view_of(e->folder)), EVENT_NUMBER("free", room));
}

static result apply_again(void *context, view payload, struct fault *fault)
{
    colour_pretend_worker();
    return rocks_apply_anew(context, payload, fault);
}

static result apply_log_again(void *context, struct fault *fault)
{
    colour_pretend_worker();
    struct local *e = context;
    return commit_log_replay_again(&e->log, apply_again, &e->rocks, fault);
}

/* Opens the tables anew and brings the log's content into them: the only cure of a background error of RocksDB. */
BLOCKS static void repair(struct local *e)
{
    struct fault fault = {0};
    int64_t now_ms = clock_now_us() / 1000;
    if (atomic_load(&e->is_full) || now_ms - e->repaired_ms < REPAIR_EVERY_MS) return;
    result code = rocks_reopen(&e->rocks, apply_log_again, e, &fault);
    /* The log may have had more than readers saw before, and told (CHANGE_LEARN). */
    tails_clear(&e->tails);
    if (code == OK) code = rocks_flush(&e->rocks, &fault);
    e->repaired_ms = clock_now_us() / 1000;
    if (code != OK) {
        EVENT_EMIT(STORE_FLUSH_FAILED, EVENT_FAULT(&fault));
        return;
    }
    commit_log_abandon(&e->log);
    commit_log_set_flush_failed(&e->log, false);
    atomic_store(&e->is_broken, false);
    EVENT_EMIT(STORE_REPAIRED, EVENT_TEXT("folder", view_of(e->folder)));
}

static bool is_refused(struct change *c)
{
    struct local *e = c->engine;
    if (c->kind == CHANGE_LEARN) return false;
    if (millis_before(c->deadline, clock_now())) c->code = fail(c->fault, TIMEOUT, "the deadline passed before the change was begun");
    else if (atomic_load(&e->is_broken)) c->code = fail(c->fault, UNAVAILABLE, "the tables of %s take no writes", e->folder);
    else return false;
    return true;
}

void committer_run(void *context, struct batch_item *first)
{
    struct local *e = context;
    look_for_room(e);
    if (atomic_load(&e->is_broken)) repair(e);
    for (struct batch_item *item = first; item; item = item->next) {
        struct change *c = container_of(item, struct change, item);
        if (!is_refused(c)) judge(c);
    }
    (void)committer_commit(e);
}
