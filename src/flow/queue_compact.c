/*
 * A shard's journal folded: what still waits goes into one object, the head names it.
 *
 * The object: the bytes of the messages one after the other, then the index: for each message an ENQUEUE record, an ATTEMPT record with the
 * state of its recipients if any was tried, and where its bytes are. Objects of their own stay where they are. doc/formats/queue.md.
 */
#include <stdlib.h>

#include "base/check.h"
#include "base/cursor.h"
#include "base/hash.h"
#include "flow/queue_private.h"
#include "runtime/clock.h"
#include "runtime/event.h"
#include "runtime/random.h"

enum {
    HEAD_VERSION = 1,
    HEAD_BYTES = 1 + 16 + 8 + 8 + 4 + 4,
    STEP_MS = 30000,                     /* for each reading and writing */
    BATCH_MAX = 64,                      /* messages that are copied in one go, and about so many bytes */
    BATCH_BYTES = 2 << 20,
    BATCH_ARENA_BYTES = 1 << 20,
    NEWCOMERS_MAX = 200,                 /* so many may come while the rest is copied, or they are copied before the journal is held */
    ROUNDS_MAX = 8,
    INDEX_BYTES_MAX = 1 << 30,
    INDEX_PIECE_BYTES = 1 << 20,
    RECORD_BYTES_MAX = 4 << 20,
};

/* A message whose bytes are in the new object, at a place. */
struct copied { struct id message; uint64_t place; };

struct compaction {
    struct shard *shard;
    struct id snapshot;
    struct object_writer *writer;
    uint64_t written;
    struct copied *copied;               /* those before `done` are; the rest is to be */
    size_t count, capacity, done;
    uint64_t arrival;                    /* of the last one that is noted there */
    buf index, piece;
    struct fault *fault;
};

struct batch {
    struct arena *arena;
    struct queued **messages;            /* held; NULL: gone, or without bytes here */
    size_t count;
    uint64_t bytes;
    bool is_in_snapshot;
};

/* ---- writing ---- */

static void describe_results(struct queued *m, struct arena *arena, struct queue_record *r)
{
    r->results = arena_array(arena, struct queue_result, m->recipient_count);
    for (size_t i = 0; i < m->recipient_count; i++) {
        const struct queued_recipient *q = &m->recipients[i];
        if (q->tries == 0) continue;
        r->results[r->result_count++] = (struct queue_result){
            .recipient = (uint32_t)i, .outcome = q->state == RECIPIENT_DONE ? QUEUE_DELIVERED : QUEUE_DEFERRED, .next_try = q->next_try,
            .answer = shared_view(q->answer),
        };
    }
}

static void put_record(buf *into, const struct queue_record *r)
{
    buf one CLEANUP(buf_done) = BUF_INIT;
    queue_record_encode(&one, r);
    buf_append_varint(into, one.len);
    buf_append(into, buf_view(&one));
}

static void put_index(struct compaction *c, struct queued *m, uint64_t at)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, RECORD_BYTES_MAX);
    struct queue_record r = {.kind = QUEUE_ENQUEUE, .id = m->message, .written = m->received, .message = m->message};
    queued_envelope(m, arena, &r.envelope);
    put_record(&c->index, &r);
    buf_append_varint(&c->index, at);
    buf_append_varint(&c->index, m->body_bytes);
    struct queue_record tried = {.kind = QUEUE_ATTEMPT, .id = m->message, .message = m->message, .written = clock_wall()};
    describe_results(m, arena, &tried);
    buf_append_byte(&c->index, (char)((tried.result_count > 0) | m->is_held << 1 | m->must_expire << 2));
    if (tried.result_count > 0) put_record(&c->index, &tried);
    /* How often each was tried: what makes the next interval. */
    for (size_t i = 0; i < tried.result_count; i++) buf_append_varint(&c->index, m->recipients[tried.results[i].recipient].tries);
}

MAY_YIELD static result write_out(struct compaction *c, view bytes)
{
    c->written += bytes.len;
    return bytes.len ? object_write(c->writer, bytes, clock_in(STEP_MS), c->fault) : OK;
}

/* Messages that came since the last time. */
static void note_new(struct compaction *c)
{
    struct shard *s = c->shard;
    struct list *at = s->messages.previous;
    while (at != &s->messages && container_of(at, struct queued, node)->arrival > c->arrival) at = at->previous;
    for (at = at->next; at != &s->messages; at = at->next) {
        if (c->count == c->capacity) {
            c->capacity = c->capacity ? 2 * c->capacity : 64;
            c->copied = realloc(c->copied, c->capacity * sizeof *c->copied);
            check(c->copied);
        }
        c->copied[c->count++] = (struct copied){.message = container_of(at, struct queued, node)->message};
    }
    c->arrival = s->arrivals;
}

/* The next ones that can be read in one go: bodies of the journal, or what stands close together in the old snapshot. */
static void gather(struct compaction *c, struct batch *b)
{
    uint64_t first = 0;
    bool has_first = false;
    while (b->count < BATCH_MAX && b->bytes < BATCH_BYTES && c->done + b->count < c->count) {
        struct queued *m = shard_find(c->shard, c->copied[c->done + b->count].message);
        if (m && m->body_bytes > 0) {
            if (!has_first) b->is_in_snapshot = m->is_in_snapshot, first = m->place;
            if (m->is_in_snapshot != b->is_in_snapshot) return;
            if (m->is_in_snapshot && (m->place < first + b->bytes || m->place + m->body_bytes - first > BATCH_BYTES)) return;
            has_first = true;
            m->offered++;
            b->bytes = m->is_in_snapshot ? m->place + m->body_bytes - first : b->bytes + m->body_bytes;
            b->messages[b->count] = m;
        }
        b->count++;
    }
}

MAY_YIELD static result read_journal(struct compaction *c, struct batch *b)
{
    struct shard *s = c->shard;
    struct journal_body_wanted *wanted = arena_array(b->arena, struct journal_body_wanted, b->count);
    buf *bodies = arena_array(b->arena, buf, b->count);
    size_t count = 0;
    for (size_t i = 0; i < b->count; i++) {
        const struct queued *m = b->messages[i];
        if (!m) continue;
        wanted[count].record = (struct journal_record){.at = m->at, .body_offset = m->place, .body_bytes = m->body_bytes};
        wanted[count].into = &bodies[count];
        count++;
    }
    result code = count ? engine_read_bodies(s->queue->engine, s->journal, wanted, count, clock_in(STEP_MS), c->fault) : OK;
    for (size_t i = 0; i < count; i++) {
        if (code == OK && wanted[i].code != OK) code = fail(c->fault, wanted[i].code, "the bytes of a message in the queue cannot be read");
        buf_append(&c->piece, buf_view(&bodies[i]));
        buf_done(&bodies[i]);
    }
    size_t at = 0;
    for (size_t i = 0; i < b->count; i++) {
        c->copied[c->done + i].place = c->written + at;
        if (b->messages[i]) at += b->messages[i]->body_bytes;
    }
    return code == OK && at != c->piece.len ? fail(c->fault, CORRUPT, "the bytes of a message in the queue are short") : code;
}

MAY_YIELD static result read_snapshot(struct compaction *c, struct batch *b)
{
    struct shard *s = c->shard;
    char name[QUEUE_OBJECT_NAME_MAX];
    uint64_t first = 0;
    bool has_first = false;
    for (size_t i = 0; i < b->count; i++) {
        const struct queued *m = b->messages[i];
        if (m && !has_first) first = m->place, has_first = true;
        c->copied[c->done + i].place = c->written + (m ? m->place - first : 0);
    }
    result code = object_read(s->queue->engine, queue_object_name(s, s->snapshot, name), first, b->bytes, clock_in(STEP_MS), &c->piece, c->fault);
    return code == OK && c->piece.len != b->bytes ? fail(c->fault, CORRUPT, "the queue's snapshot is short") : code;
}

MAY_YIELD static result copy_batch(struct compaction *c)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, BATCH_ARENA_BYTES);
    struct batch b = {.arena = arena, .messages = arena_array(arena, struct queued *, BATCH_MAX)};
    gather(c, &b);
    buf_clear(&c->piece);
    result code = b.is_in_snapshot ? read_snapshot(c, &b) : read_journal(c, &b);
    for (size_t i = 0; i < b.count; i++) {
        struct queued *m = b.messages[i];
        if (m && --m->offered == 0 && m->is_removed) queued_let_go(m);
    }
    c->done += b.count;
    return code == OK ? write_out(c, buf_view(&c->piece)) : code;
}

/* Messages that are settled while this yields stay in the object as bytes that nobody names. */
MAY_YIELD static result copy_noted(struct compaction *c)
{
    result code = OK;
    while (c->done < c->count && code == OK) {
        code = copy_batch(c);
        if (coroutine_is_overdue()) coroutine_pause();
    }
    return code;
}

MAY_YIELD static result write_index(struct compaction *c, uint64_t *ret_offset)
{
    result code = OK;
    *ret_offset = c->written;
    for (size_t at = 0; at < c->index.len && code == OK; at += INDEX_PIECE_BYTES)
        code = write_out(c, view_slice(buf_view(&c->index), at, INDEX_PIECE_BYTES));
    return code;
}

static void encode_head(buf *head, const struct compaction *c, uint64_t offset)
{
    buf_append_byte(head, HEAD_VERSION);
    buf_append(head, id_view(&c->snapshot));
    buf_append_le64(head, offset);
    buf_append_le64(head, c->index.len);
    buf_append_le32(head, crc32c(0, buf_view(&c->index)));
    buf_append_le32(head, crc32c(0, buf_view(head)));
}

/* While mail goes on to come and to go: all but the last few. */
MAY_YIELD static result copy_most(struct compaction *c, uint64_t epoch)
{
    result code = OK;
    for (unsigned i = 0; i < ROUNDS_MAX && code == OK; i++) {
        note_new(c);
        if (i > 0 && c->count - c->done <= NEWCOMERS_MAX) break;
        code = copy_noted(c);
        if (code == OK && c->shard->position.epoch != epoch) code = fail(c->fault, CONFLICT, "another node has folded the queue");
    }
    return code;
}

/* Records after the position are not in what is written: nobody reads on meanwhile. */
MAY_YIELD static result write_rest(struct compaction *c, uint64_t *ret_offset)
{
    note_new(c);
    result code = copy_noted(c);
    for (size_t i = 0; i < c->count && code == OK; i++) {
        struct queued *m = shard_find(c->shard, c->copied[i].message);
        if (m) put_index(c, m, c->copied[i].place);
        if (c->index.len > INDEX_BYTES_MAX) code = fail(c->fault, TOO_BIG, "the queue's index");
    }
    return code == OK ? write_index(c, ret_offset) : code;
}

/* Bodies are in the new object from now on. */
static void move_places(struct compaction *c)
{
    for (size_t i = 0; i < c->count; i++) {
        struct queued *m = shard_find(c->shard, c->copied[i].message);
        if (!m) continue;
        m->is_in_snapshot = true;
        m->place = c->copied[i].place;
    }
}

MAY_YIELD static result fold(struct compaction *c)
{
    struct shard *s = c->shard;
    buf head CLEANUP(buf_done) = BUF_INIT;
    struct journal_position folded = s->position, head_at;
    struct id old = s->snapshot;
    uint64_t offset;
    result code = write_rest(c, &offset);
    if (code != OK) return code;
    encode_head(&head, c, offset);
    struct object_writer *writer = c->writer;
    c->writer = NULL;
    code = object_commit(writer, clock_in(STEP_MS), c->fault);
    if (code == OK) code = engine_replace_head(s->queue->engine, s->journal, folded.epoch, &folded, buf_view(&head), clock_in(STEP_MS), &head_at, c->fault);
    if (code != OK) return code;       /* the object, if it is not the head's after all, is garbage */
    move_places(c);
    s->snapshot = c->snapshot;
    s->position = head_at;
    s->journal_bytes = 0;
    if (!id_is_none(old)) shard_remove_object(s, old);
    return OK;
}

MAY_YIELD static result hold_and_fold(struct compaction *c, uint64_t epoch)
{
    struct shard *s = c->shard;
    result code = mutex_lock(&s->reading, clock_in(STEP_MS));
    if (code != OK) return fail(c->fault, code, "compacting the queue");
    code = s->has_position && s->position.epoch == epoch ? fold(c) : fail(c->fault, CONFLICT, "another node has folded the queue");
    mutex_unlock(&s->reading);
    return code;
}

result shard_compact(struct shard *s, struct fault *fault)
{
    struct compaction c = {.shard = s, .snapshot = random_id(), .fault = fault};
    char name[QUEUE_OBJECT_NAME_MAX];
    if (!s->has_position) return OK;
    uint64_t epoch = s->position.epoch;
    result code = object_create(s->queue->engine, queue_object_name(s, c.snapshot, name), clock_in(STEP_MS), &c.writer, fault);
    if (code == OK) code = copy_most(&c, epoch);
    if (code == OK) code = hold_and_fold(&c, epoch);
    if (c.writer) object_abort(c.writer);
    buf_done(&c.index);
    buf_done(&c.piece);
    free(c.copied);
    return code;
}

/* ---- reading ---- */

static result decode_head(view head, struct id *ret_snapshot, uint64_t *ret_offset, uint64_t *ret_len, uint32_t *ret_crc, struct fault *fault)
{
    struct cursor c = cursor_of(head);
    view version;
    uint32_t crc;
    if (head.len != HEAD_BYTES || !take_bytes(&c, 1, &version) || version.at[0] != HEAD_VERSION || !take_raw_id(&c, ret_snapshot) ||
        !take_le64(&c, ret_offset) || !take_le64(&c, ret_len) || !take_le32(&c, ret_crc) || !take_le32(&c, &crc) ||
        crc != crc32c(0, view_slice(head, 0, head.len - 4)))
        return fail(fault, CORRUPT, "the queue's head is broken or of a newer version");
    return OK;
}

static bool take_record(struct cursor *c, struct arena *arena, struct queue_record *ret_record)
{
    view bytes;
    return take_sized(c, RECORD_BYTES_MAX, &bytes) && queue_record_decode(bytes, arena, ret_record, NULL) == OK;
}

static bool load_one(struct shard *s, struct cursor *c, struct arena *arena)
{
    struct queue_record r, tried;
    uint64_t at;
    uint32_t bytes, tries;
    view flags;
    if (!take_record(c, arena, &r) || r.kind != QUEUE_ENQUEUE || !take_varint(c, &at) || !take_varint32(c, &bytes) || !take_bytes(c, 1, &flags)) return false;
    shard_apply(s, &r, NULL, at, bytes);
    struct queued *m = shard_find(s, r.message);
    check(m);
    m->is_held = flags.at[0] & 2;
    m->must_expire = flags.at[0] & 4;
    if (!(flags.at[0] & 1)) return true;
    if (!take_record(c, arena, &tried) || tried.kind != QUEUE_ATTEMPT) return false;
    uint32_t *counts = arena_array(arena, uint32_t, tried.result_count);
    for (size_t i = 0; i < tried.result_count; i++) {
        if (!take_varint32(c, &tries) || tried.results[i].recipient >= m->recipient_count) return false;
        counts[i] = tries;
    }
    /* The record adds one. */
    for (size_t i = 0; i < tried.result_count; i++)
        m->recipients[tried.results[i].recipient].tries = (uint16_t)(counts[i] == 0 ? 0 : counts[i] > UINT16_MAX ? UINT16_MAX - 1 : counts[i] - 1);
    shard_apply(s, &tried, NULL, 0, 0);
    return true;
}

result shard_load(struct shard *s, view head, millis deadline, struct fault *fault)
{
    char name[QUEUE_OBJECT_NAME_MAX];
    struct id snapshot;
    uint64_t offset, len;
    uint32_t crc;
    buf index CLEANUP(buf_done) = BUF_INIT;
    result code = decode_head(head, &snapshot, &offset, &len, &crc, fault);
    if (code == OK && len > INDEX_BYTES_MAX) code = fail(fault, CORRUPT, "the queue's index of %llu bytes", (unsigned long long)len);
    while (code == OK && index.len < len) {
        size_t had = index.len;
        code = object_read(s->queue->engine, queue_object_name(s, snapshot, name), offset + index.len, INDEX_PIECE_BYTES, deadline, &index, fault);
        if (code == OK && index.len == had) code = fail(fault, CORRUPT, "the queue's snapshot is short");
    }
    if (code != OK) return code;
    if (crc32c(0, buf_view(&index)) != crc) return fail(fault, CORRUPT, "the queue's index fails its checksum");
    struct cursor c = cursor_of(buf_view(&index));
    while (!cursor_at_end(&c)) {
        struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, RECORD_BYTES_MAX);
        s->is_loading = true;
        bool is_read = load_one(s, &c, arena);
        s->is_loading = false;
        if (!is_read) return fail(fault, CORRUPT, "the queue's index is broken at byte %zu", cursor_position(&c));
        if (coroutine_is_overdue()) coroutine_pause();
    }
    s->snapshot = snapshot;
    return OK;
}
