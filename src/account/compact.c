/*
 * Compaction: the journal's bodies go into packs, the state into a snapshot, and a new head takes the place of both.
 *
 *   1. without the lock: purge what was expunged long ago, pack the bodies that stand in the journal
 *      and encode the blocks that changed
 *   2. under the replay lock: read the tail, pack what came meanwhile, encode what changed since, remember the position
 *   3. without it: complete pack and snapshot objects, replace the head
 *   4. the next tail read meets the new head: ours commits the snapshot, another node's aborts it
 * Until 4 nothing that anybody refers to has changed: a node may die anywhere, what it leaves is garbage of a known age.
 */
#include "account/compact.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "account/search_reader.h"
#include "base/check.h"
#include "base/hash.h"
#include "runtime/clock.h"
#include "runtime/event.h"
#include "runtime/point.h"
#include "runtime/random.h"
#include "runtime/workers.h"

enum {
    BATCH_BODIES = 512, BATCH_BYTES = 1 << 20,           /* read and packed in one go */
    PACK_BYTES_FULL = 16 << 20,                          /* then the next one begins */
    REST_BODIES = 64,                                    /* so few are packed under the lock */
    BATCHES_MAX = 1000,                                  /* packed without it, while more comes in */
    WRITE_PIECE_BYTES = 1 << 20,
    PURGE_EIGHTHS = 1,                                   /* of the retention period: how late a purge may be, so that it is done for many */
    AGE_MAX_MS = 45 * 60000,
    ABANDON_MS = 5000,                                   /* for removing own objects after a failure */
};

void object_name_make(char kind, struct id id, char text[static SHORT_NAME_MAX])
{
    char digits[ID_TEXT_LEN + 1];
    id_text(id, digits);
    snprintf(text, SHORT_NAME_MAX, "%c-%s", kind, digits);
}

bool object_name_parse(view name, char *ret_kind, struct id *ret_id)
{
    if (name.len != SHORT_NAME_MAX - 1 || (name.at[0] != 'p' && name.at[0] != 's' && name.at[0] != 'i' && name.at[0] != 'c') || name.at[1] != '-') return false;
    *ret_kind = name.at[0];
    return id_parse(view_from(name, 2), ret_id);
}

static void *grow(void *array, size_t count, size_t *capacity, size_t size)
{
    if (count < *capacity) return array;
    *capacity = *capacity ? 2 * *capacity : 16;
    array = realloc(array, *capacity * size);
    check(array);
    return array;
}

static bool is_lost(const struct compaction *c)
{
    return c->is_lost || !id_equal(c->descends_from, c->account->head.snapshot);
}

/* ---- packs --------------------------------------------------------------------------------------------- */

MAY_YIELD result compaction_open_pack(struct compaction *c, char name[static SHORT_NAME_MAX], struct fault *fault)
{
    char full[OBJECT_NAME_MAX];
    check(!c->has_writer && !c->object);
    object_name_make('p', random_id(), name);
    view object = account_object_name(c->account->id, view_of(name), full);
    result code = object_create(c->account->home->all->engine, object, c->deadline, &c->object, fault);
    if (code != OK) return code;
    pack_writer_init(&c->writer);
    c->has_writer = true;
    return OK;
}

MAY_YIELD result compaction_write_pack(struct compaction *c, struct fault *fault)
{
    result code = object_write(c->object, buf_view(&c->writer.out), c->deadline, fault);
    c->written_bytes += c->writer.out.len;
    pack_writer_took(&c->writer);
    return code;
}

MAY_YIELD result compaction_commit_pack(struct compaction *c, struct fault *fault)
{
    struct object_writer *object = c->object;
    result code = compaction_write_pack(c, fault);
    c->object = NULL;
    pack_writer_done(&c->writer);
    c->has_writer = false;
    if (code != OK) {
        object_abort(object);
        return code;
    }
    POINT("account.compact.pack_before_commit");
    code = object_commit(object, c->deadline, fault);
    POINT("account.compact.pack_committed");
    return code;
}

MAY_YIELD void compaction_abort_pack(struct compaction *c)
{
    struct object_writer *object = c->object;
    c->object = NULL;
    if (object) object_abort(object);
    if (c->has_writer) pack_writer_done(&c->writer);
    c->has_writer = false;
}

struct batch {
    struct compaction *compaction;
    const struct unpacked_body *bodies;
    buf *bytes;
    size_t count;
    uint32_t pack;                       /* the compaction's, from 0 */
};

BLOCKS static void pack_batch(void *argument)
{
    struct batch *b = argument;
    for (size_t i = 0; i < b->count; i++) {
        uint32_t entry = pack_add(&b->compaction->writer, b->bodies[i].message, buf_view(&b->bytes[i]));
        indexing_add(b->compaction, b->pack, entry, buf_view(&b->bytes[i]));
    }
}

result compaction_on_worker(struct compaction *c, void (*job)(void *argument), void *argument, struct fault *fault)
{
    result code = worker_run_by(WORKER_WRITE, job, argument, c->deadline);
    return code == BUSY ? fail(fault, BUSY, "no worker for compaction") : code;
}

MAY_YIELD static result read_batch(struct compaction *c, struct batch *b, struct fault *fault)
{
    struct journal_body_wanted *wanted = calloc(b->count, sizeof *wanted);
    check(wanted);
    for (size_t i = 0; i < b->count; i++) {
        const struct record_place *p = &b->bodies[i].place;
        wanted[i] = (struct journal_body_wanted){.record = {.at = p->at, .body_offset = p->body_offset, .body_bytes = p->body_bytes}, .into = &b->bytes[i]};
    }
    result code = engine_read_bodies(c->account->home->all->engine, c->account->id, wanted, b->count, c->deadline, fault);
    for (size_t i = 0; code == OK && i < b->count; i++) {
        code = wanted[i].code;
        if (code == NOT_FOUND) c->missing = b->bodies[i].sequence;
        else if (code != OK) fail(fault, code, "reading the body of record %" PRIu64, b->bodies[i].sequence);
        c->read_bytes += b->bytes[i].len;
    }
    free(wanted);
    return code;
}

static void note_packed(struct compaction *c, const struct batch *b, uint32_t first_entry)
{
    for (size_t i = 0; i < b->count; i++) {
        c->bodies = grow(c->bodies, c->body_count, &c->body_capacity, sizeof *c->bodies);
        c->bodies[c->body_count++] =
            (struct packed_body){.sequence = b->bodies[i].sequence, .pack = (uint32_t)(c->pack_count - 1), .entry = first_entry + (uint32_t)i};
    }
    if (b->count > 0) c->packed_sequence = b->bodies[b->count - 1].sequence;
}

/* The pack that is being filled ends: afterwards the writer has bytes that are not yet written. */
static void end_pack(struct compaction *c)
{
    struct new_pack *p = &c->packs[c->pack_count - 1];
    pack_end(&c->writer);
    p->entries = c->writer.entries;
    p->bytes = pack_bytes(&c->writer);
}

MAY_YIELD static result make_room(struct compaction *c, struct fault *fault)
{
    result code = OK;
    if (c->has_writer && (pack_bytes(&c->writer) >= PACK_BYTES_FULL || c->writer.entries + BATCH_BODIES > PACK_ENTRIES_MAX)) {
        end_pack(c);
        code = compaction_commit_pack(c, fault);
    }
    if (code != OK || c->has_writer) return code;
    c->packs = grow(c->packs, c->pack_count, &c->pack_capacity, sizeof *c->packs);
    code = compaction_open_pack(c, c->packs[c->pack_count].name, fault);
    if (code == OK) c->pack_count++;
    return code;
}

/* The next bodies into the pack. *ret_count: how many; 0: there are none. */
MAY_YIELD static result pack_some(struct compaction *c, struct unpacked_body *bodies, buf *bytes, size_t *ret_count, struct fault *fault)
{
    size_t count = state_unpacked(c->account->state, c->packed_sequence, bodies, BATCH_BODIES), taken = 0, total = 0;
    *ret_count = 0;
    if (count == 0) return OK;
    while (taken < count && total < BATCH_BYTES) total += bodies[taken++].place.body_bytes;
    result code = make_room(c, fault);
    if (code != OK) return code;
    struct batch b = {.compaction = c, .bodies = bodies, .bytes = bytes, .count = taken, .pack = (uint32_t)(c->pack_count - 1)};
    uint32_t first_entry = c->writer.entries;
    for (size_t i = 0; i < taken; i++) buf_clear(&bytes[i]);
    code = read_batch(c, &b, fault);
    if (code == OK) code = compaction_on_worker(c, pack_batch, &b, fault);
    if (code != OK) return code;
    note_packed(c, &b, first_entry);
    *ret_count = taken;
    return c->writer.out.len >= WRITE_PIECE_BYTES ? compaction_write_pack(c, fault) : OK;
}

/* Packs until fewer than `few` are left to pack at once, or so many batches are done. */
MAY_YIELD static result pack_bodies(struct compaction *c, size_t few, unsigned batches_max, struct fault *fault)
{
    struct unpacked_body *bodies = calloc(BATCH_BODIES, sizeof *bodies);
    buf *bytes = calloc(BATCH_BODIES, sizeof *bytes);
    check(bodies && bytes);
    result code = OK;
    size_t got = few;
    for (unsigned i = 0; code == OK && got >= few && i < batches_max && !is_lost(c); i++) {
        code = pack_some(c, bodies, bytes, &got, fault);
        if (code == OK && !c->is_folding) code = indexing_flush(c, false, fault);
    }
    for (size_t i = 0; i < BATCH_BODIES; i++) buf_done(&bytes[i]);
    free(bytes);
    free(bodies);
    return code;
}

/* ---- the snapshot -------------------------------------------------------------------------------------- */

static void begin_snapshot(struct compaction *c)
{
    struct pack_slot *packs = arena_array(c->arena, struct pack_slot, c->pack_count + 1);
    for (size_t i = 0; i < c->pack_count; i++)
        packs[i] = (struct pack_slot){.object = view_of(c->packs[i].name), .entries = c->packs[i].entries, .bytes = c->packs[i].bytes};
    const struct snapshot_options options = {
        .object = view_of(c->snapshot_name), .packs = packs, .pack_count = c->pack_count, .bodies = c->bodies, .body_count = c->body_count,
        .replaced = c->replaced, .replaced_count = c->replaced_count, .search = c->indexing.is_on ? &c->indexing.list : NULL,
        .archive = c->archiving.has_changed ? &c->archiving.list : NULL, .ahead = c->ahead,
    };
    state_snapshot_begin(c->account->state, &options);
    c->bodies = NULL;
    c->ahead = NULL;
    c->has_begun = true;
}

MAY_YIELD static result encode_snapshot(struct compaction *c, struct fault *fault)
{
    begin_snapshot(c);
    for (;;) {
        struct block_key needs = {0};
        result code = state_snapshot_step(c->account->state, &c->blocks, &c->directory, &needs);
        if (code == END) return OK;
        if (code == NOT_FOUND) code = account_load_blocks_locked(c->account, &needs, 1, c->deadline, fault);
        if (code != OK) return code;
        if (coroutine_is_overdue()) coroutine_pause();
    }
}

/* Without it, because who writes waits for the lock: 0.2 s where a million rows changed. */
MAY_YIELD static void encode_ahead(struct compaction *c)
{
    c->ahead = state_snapshot_ahead_new(c->account->state);
    while (!is_lost(c) && state_snapshot_ahead(c->account->state, c->ahead, &c->blocks))
        if (coroutine_is_overdue()) coroutine_pause();
}

/* With the lock: from here to unlock nobody applies a record. */
MAY_YIELD static result fold_locked(struct compaction *c, struct fault *fault)
{
    struct account *a = c->account;
    result code = account_read_tail(a, c->deadline, fault);
    a->is_held_long = true;
    if (code == OK && !is_lost(c)) code = pack_bodies(c, 1, UINT_MAX, fault);
    if (code != OK || is_lost(c)) return code;
    if (c->has_writer) end_pack(c);
    indexing_seal(c);
    code = encode_snapshot(c, fault);
    c->folded = a->position;
    c->head.sequence = state_sequence(a->state);
    return code;
}

MAY_YIELD static result fold(struct compaction *c, struct fault *fault)
{
    struct account *a = c->account;
    result code = mutex_lock(&a->replay, c->deadline);
    if (code != OK) return fail(fault, code, "waiting for the account's tail");
    c->is_folding = true;
    code = fold_locked(c, fault);
    a->is_held_long = false;
    account_unlock(a);
    return code;
}

/* Pack and snapshot become durable, and what is to stand in the head is known. */
MAY_YIELD static result write_objects(struct compaction *c, struct fault *fault)
{
    result code = c->has_writer ? compaction_commit_pack(c, fault) : OK;
    if (code == OK) code = indexing_write_last(c, fault);
    if (code != OK) return code;
    struct head *h = &c->head;
    h->directory_is_inline = c->directory.len <= HEAD_DIRECTORY_MAX_BYTES;
    if (h->directory_is_inline) {
        h->directory = buf_view(&c->directory);
    } else {
        h->directory_offset = c->blocks.len;
        h->directory_bytes = (uint32_t)c->directory.len;
        h->directory_crc = crc32c(0, buf_view(&c->directory));
        buf_append(&c->blocks, buf_view(&c->directory));
    }
    if (c->blocks.len > 0) {
        char name[OBJECT_NAME_MAX];
        view object = account_object_name(c->account->id, view_of(c->snapshot_name), name);
        POINT("account.compact.snapshot_before_put");
        code = object_put(c->account->home->all->engine, object, buf_view(&c->blocks), c->deadline, fault);
        c->written_bytes += c->blocks.len;
        POINT("account.compact.snapshot_put");
    }
    return code == OK ? collect_note_retired(c, fault) : code;
}

MAY_YIELD static result replace_head(struct compaction *c, struct fault *fault)
{
    struct account *a = c->account;
    struct journal_position at;
    /* Another node's head would make it void, but what has taken so long is not worth its while. */
    if (clock_wall().ms - id_time(c->snapshot).ms > AGE_MAX_MS) return fail(fault, TIMEOUT, "the compaction took too long");
    if (accounts_feature_level(a->home->all) >= FEATURE_HEAD_ORIGIN) {
        c->head.has_origin = true;
        c->head.written = clock_wall();
        memcpy(c->head.origin, a->home->all->node_name, sizeof c->head.origin);
    }
    head_encode(&c->head_bytes, &c->head);
    POINT("account.compact.before_head");
    c->may_be_head = true;
    result code = engine_replace_head(a->home->all->engine, a->id, c->folded.epoch, &c->folded, buf_view(&c->head_bytes), c->deadline, &at, fault);
    POINT("account.compact.head_replaced");
    c->may_be_head = code == OK || code == UNKNOWN_OUTCOME;
    if (!c->may_be_head && code != CONFLICT) return code;
    /* Whose head it is now, the tail tells. Ours is committed there. */
    result read = account_catch_up(a, c->deadline, fault);
    if (c->is_committed || code == CONFLICT || is_lost(c)) return OK;
    return code == UNKNOWN_OUTCOME || read == OK ? fail(fault, UNKNOWN_OUTCOME, "the new head is not there, or not yet") : read;
}

bool compaction_is_of(const struct account *a, view head, struct arena *arena, struct head *ret_head)
{
    struct head h;
    if (!a->compaction || head.len == 0 || head_decode(head, arena, &h, NULL) != OK || !id_equal(h.snapshot, a->compaction->snapshot)) return false;
    *ret_head = h;
    return true;
}

/* The compaction may give up waiting for the lock meanwhile, and be gone; committed it is. */
bool compaction_is_head(struct account *a, const struct head *head, const struct state_turns *turns)
{
    struct compaction *c = a->compaction;
    if (!c || !c->has_begun || !id_equal(c->snapshot, head->snapshot)) return false;
    c->has_begun = false;
    c->is_committed = true;
    state_snapshot_commit(a->state, turns);
    return true;
}

void compaction_abort(struct account *a)
{
    struct compaction *c = a->compaction;
    if (!c) return;
    if (c->has_begun) state_snapshot_abort(a->state);
    c->has_begun = false;
    c->is_lost = true;
}

/* ---- one compaction ------------------------------------------------------------------------------------ */

unix_ms account_purge_before(const struct account *a)
{
    int64_t retention_ms = a->home->all->options.retention_ms;
    unix_ms oldest = state_oldest_expunged(a->state), before = {clock_wall().ms - retention_ms};
    return oldest.ms != 0 && oldest.ms < before.ms - retention_ms / 8 * PURGE_EIGHTHS ? before : (unix_ms){0};
}

MAY_YIELD static result purge(struct account *a, millis deadline, struct fault *fault)
{
    unix_ms before = account_purge_before(a);
    if (before.ms == 0) return OK;
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 1 << 20);
    struct record r = {.kind = RECORD_PURGE, .purge.before = before};
    struct outcome outcome;
    uint64_t expunged_bytes = state_usage(a->state).expunged_bytes;
    result code = account_change(a, &r, arena, &outcome, deadline, fault);
    uint64_t left = state_usage(a->state).expunged_bytes;
    if (code == OK && left < expunged_bytes) {
        a->head.purged_bytes += expunged_bytes - left;
        metric_add(METRIC_PURGED_BYTES, (int64_t)(expunged_bytes - left));
    }
    return code;
}

MAY_YIELD static result compact_steps(struct compaction *c, struct fault *fault)
{
    /* The sweep comes first: it rewrites packs with the writer that then fills a new one. */
    result code = collect_sweep(c, fault);
    if (code == OK && !is_lost(c)) code = pack_bodies(c, REST_BODIES, BATCHES_MAX, fault);
    if (code == OK && !is_lost(c)) code = indexing_catch_up(c, fault);
    if (code == OK && !is_lost(c)) code = indexing_flush(c, true, fault);
    if (code == OK && !is_lost(c)) encode_ahead(c);
    if (code == OK && !is_lost(c)) code = fold(c, fault);
    if (code == OK && !is_lost(c)) code = write_objects(c, fault);
    if (code == OK && !is_lost(c)) code = replace_head(c, fault);
    return code;
}

/*
 * What was written for a head that certainly never came to be. One that may have been the head, if only until another node made
 * the next one from it, has left its objects to that.
 */
MAY_YIELD static void remove_own_objects(struct compaction *c)
{
    struct engine *e = c->account->home->all->engine;
    char name[OBJECT_NAME_MAX];
    millis deadline = clock_in(ABANDON_MS);
    for (size_t i = 0; i < c->pack_count; i++) (void)!object_remove(e, account_object_name(c->account->id, view_of(c->packs[i].name), name), deadline, NULL);
    for (size_t i = 0; i < c->replaced_count; i++)
        if (c->replaced[i].object.len > 0) (void)!object_remove(e, account_object_name(c->account->id, c->replaced[i].object, name), deadline, NULL);
    (void)!object_remove(e, account_object_name(c->account->id, view_of(c->snapshot_name), name), deadline, NULL);
    indexing_remove_objects(c, deadline);
    archiving_remove_objects(c, deadline);
}

MAY_YIELD static void end_compaction(struct compaction *c)
{
    struct account *a = c->account;
    if (c->has_begun) state_snapshot_abort(a->state);
    a->compaction = NULL;
    compaction_abort_pack(c);
    if (!c->may_be_head) remove_own_objects(c);
    indexing_end(c);
    archiving_end(c);
    free(c->packs);
    free(c->bodies);
    free(c->replaced);
    free(c->replacements);
    state_snapshot_ahead_free(c->ahead);
    buf_done(&c->blocks);
    buf_done(&c->directory);
    buf_done(&c->head_bytes);
    arena_free(c->arena);
    free(c);
}

static struct compaction *compaction_new(struct account *a, millis deadline)
{
    struct compaction *c = calloc(1, sizeof *c);
    check(c);
    c->account = a;
    c->deadline = deadline;
    c->snapshot = random_id();
    c->descends_from = a->head.snapshot;
    object_name_make('s', c->snapshot, c->snapshot_name);
    c->arena = arena_new(NULL, 64 << 20);
    c->head = (struct head){.snapshot = c->snapshot, .swept = a->head.swept, .purged_bytes = a->head.purged_bytes};
    a->compaction = c;
    indexing_begin(c);
    archiving_begin(c);
    return c;
}

/* A body that is not in the journal any more is in a pack of another node, whose head the tail then tells of. */
MAY_YIELD static result look_for_swallower(struct compaction *c, struct fault *fault)
{
    result code = account_catch_up(c->account, c->deadline, fault);
    if (code != OK || is_lost(c)) return code;
    return account_report_corrupt(c->account, fail(fault, CORRUPT, "the body of record %" PRIu64 " is not in the journal", c->missing), fault);
}

MAY_YIELD static result compact(struct account *a, millis deadline, struct fault *fault)
{
    result code = account_catch_up(a, deadline, fault);
    if (code == OK) code = purge(a, deadline, fault);
    /* A journal as long as its engine allows takes no record: a new head makes room. */
    if (code == UNAVAILABLE) code = OK;
    if (code != OK || (state_sequence(a->state) == a->head.sequence && !account_has_old_retired(a) && !a->wants_sweep && !a->wants_rewriting &&
                       !account_wants_indexing(a) && !account_wants_archiving(a)))
        return code;
    int64_t began_us = clock_now_us();
    uint64_t records = state_sequence(a->state) - a->head.sequence;
    struct compaction *c = compaction_new(a, deadline);
    collect_retired(c);
    code = compact_steps(c, fault);
    if (code == NOT_FOUND && c->missing) code = look_for_swallower(c, fault);
    if (c->is_committed) {
        collect_remove_garbage(c);
        search_forget_distrusted(a);
        archiving_tell(c);
        a->journal_bytes = 0;
        EVENT_EMIT(ACCOUNT_COMPACTED, EVENT_ID("account", a->id), EVENT_NUMBER("records", records), EVENT_NUMBER("messages", c->body_count),
                   EVENT_NUMBER("read_bytes", c->read_bytes), EVENT_NUMBER("written_bytes", c->written_bytes), EVENT_NUMBER("index_bytes", c->indexed_bytes),
                   EVENT_NUMBER("duration_us", clock_now_us() - began_us));
        metric_observe_us(METRIC_COMPACTION, clock_now_us() - began_us);
    }
    end_compaction(c);
    return code;
}

result account_compact(struct account *a, millis deadline, struct fault *fault)
{
    result code = mutex_lock(&a->compacting, deadline);
    if (code != OK) return fail(fault, code, "waiting for a compaction");
    account_hold(a);
    account_ask_archive_limit(a);
    code = compact(a, deadline, fault);
    mutex_unlock(&a->compacting);
    account_slim_soon(a);
    account_close(a);
    return code;
}
