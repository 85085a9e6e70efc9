/*
 * A shard's journal folded: what still waits goes into one object, the head names it.
 *
 * The object: the bytes of the messages one after the other, then the index: for each message an ENQUEUE record, an ATTEMPT record with the
 * state of its recipients if any was tried, and where its bytes are. Objects of their own stay where they are. doc/formats/queue.md.
 */
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
    COPY_BYTES = 256 << 10,
    INDEX_BYTES_MAX = 1 << 30,
    INDEX_PIECE_BYTES = 1 << 20,
    RECORD_BYTES_MAX = 4 << 20,
};

struct compaction {
    struct shard *shard;
    struct id snapshot;
    struct object_writer *writer;
    uint64_t written;
    buf index, piece;
    millis deadline;
    struct fault *fault;
};

/* ---- writing ---- */

static void describe_results(struct queued *m, struct arena *arena, struct queue_record *r)
{
    r->results = arena_array(arena, struct queue_result, m->envelope.recipient_count);
    for (size_t i = 0; i < m->envelope.recipient_count; i++) {
        const struct queued_recipient *q = &m->recipients[i];
        if (q->tries == 0) continue;
        r->results[r->result_count++] = (struct queue_result){
            .recipient = (uint32_t)i, .outcome = q->state == RECIPIENT_DONE ? QUEUE_DELIVERED : QUEUE_DEFERRED, .next_try = q->next_try,
            .answer = buf_view(&q->answer),
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
    struct queue_record r = {.kind = QUEUE_ENQUEUE, .id = m->envelope.message, .written = m->envelope.received, .message = m->envelope.message, .envelope = m->envelope};
    r.envelope.recipients = arena_array(arena, struct queue_address, m->envelope.recipient_count);
    for (size_t i = 0; i < m->envelope.recipient_count; i++) r.envelope.recipients[i] = m->recipients[i].address;
    put_record(&c->index, &r);
    buf_append_varint(&c->index, at);
    buf_append_varint(&c->index, m->body_bytes);
    struct queue_record tried = {.kind = QUEUE_ATTEMPT, .id = m->envelope.message, .message = m->envelope.message, .written = clock_wall()};
    describe_results(m, arena, &tried);
    buf_append_byte(&c->index, (char)((tried.result_count > 0) | m->is_held << 1 | m->must_expire << 2));
    if (tried.result_count > 0) put_record(&c->index, &tried);
    /* How often each was tried: what makes the next interval. */
    for (size_t i = 0; i < tried.result_count; i++) buf_append_varint(&c->index, m->recipients[tried.results[i].recipient].tries);
}

MAY_YIELD static result write_out(struct compaction *c, view bytes)
{
    c->written += bytes.len;
    return object_write(c->writer, bytes, c->deadline, c->fault);
}

MAY_YIELD static result copy_body(struct compaction *c, struct queued *m)
{
    struct shard *s = m->shard;
    char name[QUEUE_OBJECT_NAME_MAX];
    result code = OK;
    for (uint32_t at = 0; at < m->body_bytes && code == OK; at += COPY_BYTES) {
        uint32_t len = m->body_bytes - at < COPY_BYTES ? m->body_bytes - at : COPY_BYTES;
        buf_clear(&c->piece);
        if (m->where == BYTES_IN_JOURNAL) code = engine_read_body(s->queue->engine, s->journal, &m->record, at, len, c->deadline, &c->piece, c->fault);
        else code = object_read(s->queue->engine, queue_object_name(s, s->snapshot, name), m->snapshot_offset + at, len, c->deadline, &c->piece, c->fault);
        if (code == OK) code = write_out(c, buf_view(&c->piece));
    }
    return code;
}

/* Messages that are settled while this yields stay in the object as bytes that nobody names. */
MAY_YIELD static result write_messages(struct compaction *c, struct id *ids, uint64_t *places, size_t count)
{
    result code = OK;
    for (size_t i = 0; i < count && code == OK; i++) {
        struct queued *m = shard_find(c->shard, ids[i]);
        places[i] = c->written;
        if (!m || m->body_bytes == 0) continue;
        m->offered++;
        code = copy_body(c, m);
        m->offered--;
        if (m->is_removed && m->offered == 0) queued_let_go(m);
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

MAY_YIELD static result write_snapshot(struct compaction *c, struct id *ids, uint64_t *places, size_t count, buf *head)
{
    char name[QUEUE_OBJECT_NAME_MAX];
    uint64_t offset;
    result code = object_create(c->shard->queue->engine, queue_object_name(c->shard, c->snapshot, name), c->deadline, &c->writer, c->fault);
    if (code != OK) return code;
    code = write_messages(c, ids, places, count);
    for (size_t i = 0; i < count && code == OK; i++) {
        struct queued *m = shard_find(c->shard, ids[i]);
        if (m) put_index(c, m, places[i]);
        if (c->index.len > INDEX_BYTES_MAX) code = fail(c->fault, TOO_BIG, "the queue's index");
    }
    if (code == OK) code = write_index(c, &offset);
    if (code != OK) {
        object_abort(c->writer);
        return code;
    }
    encode_head(head, c, offset);
    return object_commit(c->writer, c->deadline, c->fault);
}

/* Bodies are in the new object from now on. */
static void move_places(struct shard *s, const struct id *ids, const uint64_t *places, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct queued *m = shard_find(s, ids[i]);
        if (!m) continue;
        m->where = BYTES_IN_SNAPSHOT;
        m->snapshot_offset = places[i];
    }
}

MAY_YIELD static result fold(struct compaction *c)
{
    struct shard *s = c->shard;
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, (size_t)1 << 30);
    buf head CLEANUP(buf_done) = BUF_INIT;
    struct journal_position folded = s->position, head_at;
    struct id old = s->snapshot, *ids = arena_array(arena, struct id, s->count + 1);
    uint64_t *places = arena_array(arena, uint64_t, s->count + 1);
    size_t count = 0;
    list_each(node, &s->messages) ids[count++] = container_of(node, struct queued, node)->envelope.message;
    result code = write_snapshot(c, ids, places, count, &head);
    if (code != OK) return code;
    code = engine_replace_head(s->queue->engine, s->journal, folded.epoch, &folded, buf_view(&head), c->deadline, &head_at, c->fault);
    if (code != OK) return code;       /* the object, if it is not the head's after all, is garbage */
    move_places(s, ids, places, count);
    s->snapshot = c->snapshot;
    s->position = head_at;
    s->journal_bytes = 0;
    if (!id_is_none(old)) shard_remove_object(s, old);
    return OK;
}

result shard_compact(struct shard *s, millis deadline, struct fault *fault)
{
    struct compaction c = {.shard = s, .snapshot = random_id(), .deadline = deadline, .fault = fault};
    /* Records after the position are not in what is written: nobody reads on meanwhile. */
    result code = mutex_lock(&s->reading, deadline);
    if (code != OK) return fail(fault, code, "compacting the queue");
    if (s->has_position) code = fold(&c);
    mutex_unlock(&s->reading);
    buf_done(&c.index);
    buf_done(&c.piece);
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
        if (!take_varint32(c, &tries) || tried.results[i].recipient >= m->envelope.recipient_count) return false;
        counts[i] = tries;
    }
    for (size_t i = 0; i < tried.result_count; i++) m->recipients[tried.results[i].recipient].tries = counts[i] ? counts[i] - 1 : 0;
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
