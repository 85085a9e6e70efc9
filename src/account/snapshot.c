/*
 * snapshot: writing a snapshot in steps.
 *
 * Which blocks are written: those that changed; those of objects that are condemned. An object is condemned when more than half of it is
 * dead, or when what is written anyway (other condemned objects included) is as much as its live bytes: so live objects at least double in
 * size from one to the next, there are few of them, and a byte is rewritten a number of times that grows with the logarithm only.
 */
#include <stdlib.h>
#include <string.h>

#include "account/snapshot_private.h"
#include "base/check.h"
#include "base/hash.h"
#include "runtime/workers.h"

enum {
    STEP_BYTES = 256 << 10,              /* of rows, encoded in one step: about two milliseconds */
    ROW_STORED_BYTES = 24,               /* as a rule, for the choice of objects to condemn */
};

/* ---- begin ---- */

static struct pack_slot *keep_packs(const struct pack_slot *packs, size_t count)
{
    struct pack_slot *kept = calloc(count + 1, sizeof *kept);
    check(kept != NULL);
    for (size_t i = 0; i < count; i++) {
        kept[i] = packs[i];
        kept[i].object = state_keep_text(packs[i].object);
    }
    return kept;
}

struct object_load { size_t object; uint64_t live; };

static int by_live(const void *left, const void *right)
{
    const struct object_load *a = left, *b = right;
    return a->live < b->live ? -1 : a->live > b->live;
}

static void weigh_block(const struct block *b, struct object_load *loads, uint64_t *ret_new_bytes)
{
    if (b->place.object == PLACE_NONE) {
        *ret_new_bytes += (uint64_t)b->count * ROW_STORED_BYTES;
    } else {
        loads[b->place.object].live += b->place.bytes;
    }
}

static void condemn(const struct state *s, struct snapshot *snapshot)
{
    struct object_load *loads = calloc(s->object_count + 1, sizeof *loads);
    uint64_t written = 0;
    snapshot->is_condemned = calloc(s->object_count + 1, sizeof *snapshot->is_condemned);
    check(loads != NULL && snapshot->is_condemned != NULL);
    for (size_t i = 0; i < s->object_count; i++) loads[i].object = i;
    for (size_t i = 0; i < s->mailbox_count; i++) {
        const struct mailbox *m = s->mailboxes[i];
        for (uint32_t k = 0; k < m->block_count; k++) weigh_block(m->blocks[k], loads, &written);
        for (uint32_t k = 0; k < m->grave_count; k++) weigh_block(m->graves[k]->block, loads, &written);
    }
    if (s->object_count) qsort(loads, s->object_count, sizeof *loads, by_live);
    for (size_t i = 0; i < s->object_count; i++) {
        if (loads[i].live > written && loads[i].live >= s->objects[loads[i].object].bytes / 2) continue;
        snapshot->is_condemned[loads[i].object] = true;
        written += loads[i].live;
    }
    free(loads);
}

static void writer_init(struct block_writer *w)
{
    w->compressor = ZSTD_createCCtx();
    check(w->compressor != NULL);
}

static void writer_done(struct block_writer *w)
{
    free(w->encoded);
    ZSTD_freeCCtx(w->compressor);
    buf_done(&w->payload);
}

static int by_serial(const void *left, const void *right)
{
    const struct encoded_block *a = left, *b = right;
    return a->serial < b->serial ? -1 : a->serial > b->serial;
}

static void sort_encoded(struct block_writer *w)
{
    if (w->encoded_count) qsort(w->encoded, w->encoded_count, sizeof *w->encoded, by_serial);
}

static const struct encoded_block *find_encoded(const struct encoded_block *encoded, size_t count, uint64_t serial)
{
    struct encoded_block key = {.serial = serial};
    return count ? bsearch(&key, encoded, count, sizeof key, by_serial) : NULL;
}

/* The bytes of what was encoded ahead are in the object already. */
static void take_ahead(struct snapshot *snapshot, struct snapshot_ahead *ahead)
{
    if (!ahead) {
        writer_init(&snapshot->writer);
        return;
    }
    snapshot->writer = ahead->writer;
    sort_encoded(&snapshot->writer);
    snapshot->ahead = snapshot->writer.encoded;
    snapshot->ahead_count = snapshot->writer.encoded_count;
    snapshot->writer.encoded = NULL;
    snapshot->writer.encoded_count = snapshot->writer.encoded_capacity = 0;
    free(ahead);
}

void state_snapshot_begin(struct state *s, const struct snapshot_options *options)
{
    check(s->snapshot == NULL && (!options->ahead || options->ahead->of == s));
    struct snapshot *snapshot = calloc(1, sizeof *snapshot);
    check(snapshot != NULL);
    s->snapshot = snapshot;
    snapshot->object = state_keep_text(options->object);
    snapshot->pack_count = options->pack_count;
    snapshot->packs = keep_packs(options->packs, options->pack_count);
    snapshot->replaced_count = options->replaced ? options->replaced_count : 0;
    snapshot->replaced = keep_packs(options->replaced, snapshot->replaced_count);
    search_list_copy(&snapshot->search, options->search ? options->search : &s->search);
    archive_list_copy(&snapshot->archive, options->archive ? options->archive : &s->archive);
    if (s->arrived_oldest.ms < snapshot->archive.oldest.ms) snapshot->archive.oldest = s->arrived_oldest;
    snapshot->body_count = options->body_count;
    snapshot->bodies = options->bodies;
    take_ahead(snapshot, options->ahead);
    condemn(s, snapshot);
}

static void free_packs(struct pack_slot *packs, size_t count)
{
    for (size_t i = 0; i < count; i++) free((char *)packs[i].object.at);
    free(packs);
}

static void end_snapshot(struct state *s)
{
    struct snapshot *snapshot = s->snapshot;
    free((char *)snapshot->object.at);
    free_packs(snapshot->packs, snapshot->pack_count);
    free_packs(snapshot->replaced, snapshot->replaced_count);
    search_list_done(&snapshot->search);
    archive_list_done(&snapshot->archive);
    worker_free(snapshot->bodies, snapshot->body_count * sizeof *snapshot->bodies);
    free(snapshot->is_condemned);
    free(snapshot->ahead);
    writer_done(&snapshot->writer);
    free(snapshot);
    s->snapshot = NULL;
}

void state_snapshot_abort(struct state *s)
{
    if (s->snapshot) end_snapshot(s);
}

/* ---- joining small neighbours ---- */

/* One of them is written anyway, one is small, both fit into one. */
static bool should_join(const struct block_pool *pool, const struct block *left, const struct block *right)
{
    uint32_t smaller = left->count < right->count ? left->count : right->count;
    if (left->place.object != PLACE_NONE && right->place.object != PLACE_NONE) return false;
    return left->count + right->count <= pool->block_rows && smaller <= pool->block_rows / 2;
}

static void append_rows(struct block_pool *pool, struct block *left, const struct block *right)
{
    for (uint32_t i = 0; i < right->count; i++) {
        struct row row = block_row(right, i);
        block_push(pool, left, &row, right->uidl_count ? block_uidl(right, i) : VIEW_EMPTY);
    }
}

static struct block *walk_block(const struct mailbox *m, bool is_in_graves, uint32_t i)
{
    return is_in_graves ? m->graves[i]->block : m->blocks[i];
}

/* The block that must be loaded first, or NULL when they are one. */
static struct block *join_at(struct mailbox *m, bool is_in_graves, uint32_t i)
{
    struct block_pool *pool = &m->state->pool;
    struct block *left = walk_block(m, is_in_graves, i), *right = walk_block(m, is_in_graves, i + 1);
    if (!left->is_loaded) return left;
    if (!right->is_loaded) return right;
    append_rows(pool, left, right);
    if (!is_in_graves) {
        block_free(pool, right);
        m->block_count--;
        memmove(&m->blocks[i + 1], &m->blocks[i + 2], (m->block_count - i - 1) * sizeof *m->blocks);
        m->before_valid = 0;
        return NULL;
    }
    struct grave *into = m->graves[i], *from = m->graves[i + 1];
    for (uint32_t k = 0; k < from->run_count; k++) grave_add_run(into, from->runs[k]);
    grave_recount(into);
    grave_free(m->state, from);
    m->grave_count--;
    memmove(&m->graves[i + 1], &m->graves[i + 2], (m->grave_count - i - 1) * sizeof *m->graves);
    return NULL;
}

/* ---- the walk over all blocks ---- */

/* The block where the walk is; NULL at its end. Moves on to the next mailbox. */
static struct block *walk_here(struct state *s, struct snapshot_walk *w, struct mailbox **ret_mailbox)
{
    for (; w->mailbox < s->mailbox_count; w->mailbox++) {
        struct mailbox *m = s->mailboxes[w->mailbox];
        *ret_mailbox = m;
        if (!w->is_in_graves && w->block < m->block_count) return m->blocks[w->block];
        if (!w->is_in_graves) w->block = 0;
        w->is_in_graves = true;
        if (w->block < m->grave_count) return m->graves[w->block]->block;
        w->block = 0;
        w->is_in_graves = false;
    }
    return NULL;
}

static result ask_for(struct state *s, const struct mailbox *m, struct block *b, struct block_key *ret_needs)
{
    s->snapshot->asked_serial = b->serial;
    *ret_needs = state_block_key(s, m->number, b, s->snapshot->walk.block, s->snapshot->walk.is_in_graves);
    return NOT_FOUND;
}

static result join_some(struct state *s, struct block_key *ret_needs)
{
    struct snapshot_walk *w = &s->snapshot->walk;
    struct mailbox *m;
    for (struct block *b; (b = walk_here(s, w, &m)) != NULL; w->block++) {
        uint32_t count = w->is_in_graves ? m->grave_count : m->block_count;
        while (w->block + 1 < count && should_join(&s->pool, b, walk_block(m, w->is_in_graves, w->block + 1))) {
            struct block *missing = join_at(m, w->is_in_graves, w->block);
            if (missing) return ask_for(s, m, missing, ret_needs);
            count--;
        }
    }
    *w = (struct snapshot_walk){0};
    s->snapshot->phase = SNAPSHOT_ENCODES;
    return OK;
}

/* ---- encoding ---- */

static const struct packed_body *packed(const struct snapshot *snapshot, uint64_t sequence)
{
    size_t low = 0, high = snapshot->body_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (snapshot->bodies[middle].sequence < sequence) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < snapshot->body_count && snapshot->bodies[low].sequence == sequence ? &snapshot->bodies[low] : NULL;
}

/* Every body of the journal must have been packed: the head that names the snapshot swallows their records. */
static struct row_place place_of_row(const void *argument, const struct row *row)
{
    const struct state *s = argument;
    if (row->pack != ROW_IN_JOURNAL) return (struct row_place){row->pack, row->entry};
    const struct body *body = state_find_body(s, row->entry);
    check(body != NULL);
    if (body->place.kind == BODY_IN_PACK) return (struct row_place){body->place.pack, body->place.entry};
    const struct packed_body *p = packed(s->snapshot, body->sequence);
    check(p != NULL && p->pack < s->snapshot->pack_count);
    return (struct row_place){(uint32_t)s->pack_count + p->pack, p->entry};
}

static void write_block(struct block_writer *w, const struct block *b, struct row_place (*place_of)(const void *argument, const struct row *row), const void *argument,
                        buf *blocks)
{
    size_t before = blocks->len;
    buf_clear(&w->payload);
    block_encode(b, place_of, argument, &w->payload);
    frame_write(w->compressor, buf_view(&w->payload), blocks);
    view frame = view_from(buf_view(blocks), before);
    struct block_place place = {PLACE_NEW, (uint32_t)frame.len, crc32c(0, frame), w->offset};
    w->offset += frame.len;
    w->encoded = state_grow(w->encoded, w->encoded_count, &w->encoded_capacity, sizeof *w->encoded);
    w->encoded[w->encoded_count++] = (struct encoded_block){b->serial, place};
}

/* False: it has yet to be encoded. */
static bool use_ahead(struct snapshot *snapshot, const struct block *b)
{
    struct block_writer *w = &snapshot->writer;
    const struct encoded_block *e = find_encoded(snapshot->ahead, snapshot->ahead_count, b->serial);
    if (!e) return false;
    w->encoded = state_grow(w->encoded, w->encoded_count, &w->encoded_capacity, sizeof *w->encoded);
    w->encoded[w->encoded_count++] = *e;
    return true;
}

static struct row_place place_in_pack(const void *argument, const struct row *row)
{
    check(row->pack != ROW_IN_JOURNAL);
    return (struct row_place){row->pack, row->entry};
}

struct snapshot_ahead *state_snapshot_ahead_new(const struct state *s)
{
    struct snapshot_ahead *ahead = calloc(1, sizeof *ahead);
    check(ahead != NULL);
    ahead->of = s;
    writer_init(&ahead->writer);
    return ahead;
}

void state_snapshot_ahead_free(struct snapshot_ahead *ahead)
{
    if (ahead) writer_done(&ahead->writer);
    free(ahead);
}

/* What changes between two steps may move blocks about: one that is passed over is encoded later, one that comes twice is in the object twice. */
bool state_snapshot_ahead(struct state *s, struct snapshot_ahead *ahead, buf *blocks)
{
    struct mailbox *m;
    size_t rows_bytes = 0;
    for (struct block *b; (b = walk_here(s, &ahead->walk, &m)) != NULL; ahead->walk.block++) {
        if (rows_bytes >= STEP_BYTES) return true;
        if (b->place.object != PLACE_NONE || b->has_journal_rows || b->count < s->pool.block_rows / 2) continue;
        write_block(&ahead->writer, b, place_in_pack, NULL, blocks);
        rows_bytes += b->count * sizeof(struct row);
    }
    return false;
}

static void encode_block(struct state *s, struct block *b, bool is_in_graves, buf *blocks)
{
    struct snapshot *snapshot = s->snapshot;
    write_block(&snapshot->writer, b, place_of_row, s, blocks);
    if (b->place.object != PLACE_NONE && b->serial == snapshot->asked_serial) block_unload(&s->pool, b, is_in_graves);
}

static result encode_some(struct state *s, buf *blocks, struct block_key *ret_needs)
{
    struct snapshot *snapshot = s->snapshot;
    struct snapshot_walk *w = &snapshot->walk;
    struct mailbox *m;
    size_t rows_bytes = 0;
    for (struct block *b; (b = walk_here(s, w, &m)) != NULL; w->block++) {
        if (rows_bytes >= STEP_BYTES) return OK;
        if (b->place.object != PLACE_NONE && !snapshot->is_condemned[b->place.object]) continue;
        if (use_ahead(snapshot, b)) continue;
        if (!b->is_loaded) return ask_for(s, m, b, ret_needs);
        encode_block(s, b, w->is_in_graves, blocks);
        rows_bytes += b->count * sizeof(struct row);
    }
    snapshot->phase = SNAPSHOT_ENDED;
    return OK;
}

result state_snapshot_step(struct state *s, buf *blocks, buf *directory, struct block_key *ret_needs)
{
    struct snapshot *snapshot = s->snapshot;
    check(snapshot != NULL && snapshot->phase != SNAPSHOT_ENDED);
    result stepped = snapshot->phase == SNAPSHOT_JOINS ? join_some(s, ret_needs) : encode_some(s, blocks, ret_needs);
    if (snapshot->phase != SNAPSHOT_ENDED) return stepped;
    sort_encoded(&snapshot->writer);
    snapshot_directory_encode(s, snapshot, directory);
    return END;
}

struct block_place snapshot_place(const struct snapshot *snapshot, const struct block *b)
{
    const struct encoded_block *e = find_encoded(snapshot->writer.encoded, snapshot->writer.encoded_count, b->serial);
    return e ? e->place : b->place;
}

/* ---- commit ---- */

/* Both are in order of sequence. */
static void place_bodies(struct state *s, uint32_t base)
{
    const struct snapshot *snapshot = s->snapshot;
    for (size_t i = 0, k = 0; i < s->body_count && k < snapshot->body_count; i++) {
        struct body *b = &s->bodies[i];
        while (k < snapshot->body_count && snapshot->bodies[k].sequence < b->sequence) k++;
        const struct packed_body *p = k < snapshot->body_count ? &snapshot->bodies[k] : NULL;
        if (p && p->sequence == b->sequence && b->place.kind == BODY_IN_JOURNAL)
            b->place = (struct body_place){.kind = BODY_IN_PACK, .pack = base + p->pack, .entry = p->entry};
        state_breathe(s, 1);
    }
}

static void take_packs(struct state *s)
{
    struct snapshot *snapshot = s->snapshot;
    for (size_t i = 0; i < snapshot->replaced_count && i < s->pack_count; i++) {
        if (snapshot->replaced[i].object.len == 0) continue;
        free((char *)s->packs[i].object.at);
        s->packs[i] = snapshot->replaced[i];
        snapshot->replaced[i].object = VIEW_EMPTY;
    }
    uint32_t base = (uint32_t)s->pack_count;
    for (size_t i = 0; i < snapshot->pack_count; i++) {
        s->packs = state_grow(s->packs, s->pack_count, &s->pack_capacity, sizeof *s->packs);
        s->packs[s->pack_count++] = snapshot->packs[i];
        snapshot->packs[i].object = VIEW_EMPTY;
    }
    place_bodies(s, base);
}

/* The rows of a block are mostly in the order of their bodies: the next one is looked at first. */
static const struct body *next_body(const struct state *s, const struct row *row, const struct body *last)
{
    const struct body *next = last ? last + 1 : s->bodies;
    if (next < s->bodies + s->body_count && (uint32_t)next->sequence == row->entry) return next;
    return state_find_body(s, row->entry);
}

/* Rows of packed bodies say so themselves from now on. */
static void settle_rows(struct state *s, struct block *b)
{
    const struct body *last = NULL;
    if (!b->has_journal_rows || !b->is_loaded) return;
    struct row *rows = block_rows(&s->pool, b);
    b->has_journal_rows = false;
    for (uint32_t i = 0; i < b->count; i++) {
        struct row *row = &rows[i];
        const struct body *body = row->pack == ROW_IN_JOURNAL ? next_body(s, row, last) : NULL;
        if (body) last = body;
        if (body && body->place.kind == BODY_IN_PACK) {
            row->pack = body->place.pack;
            row->entry = body->place.entry;
        } else if (row->pack == ROW_IN_JOURNAL) {
            b->has_journal_rows = true;
        }
    }
    state_breathe(s, b->count);
}

static uint32_t free_object_slot(struct state *s)
{
    for (size_t i = 0; i < s->object_count; i++)
        if (s->objects[i].name.len == 0) return (uint32_t)i;
    s->objects = state_grow(s->objects, s->object_count, &s->object_capacity, sizeof *s->objects);
    s->objects[s->object_count] = (struct stored_object){0};
    return (uint32_t)s->object_count++;
}

static void settle_block(struct state *s, struct block *b, uint32_t object, bool *is_used)
{
    const struct encoded_block *e = find_encoded(s->snapshot->writer.encoded, s->snapshot->writer.encoded_count, b->serial);
    if (e) {
        b->place = e->place;
        b->place.object = object;
    }
    settle_rows(s, b);
    if (b->place.object != PLACE_NONE) is_used[b->place.object] = true;
}

static bool is_body_kept(const struct state *s, const struct body *b)
{
    return b->place.kind == BODY_IN_JOURNAL || b->sequence > s->bodies_kept_from;
}

/*
 * Rows that somebody read before the last commit may still be asked for: bodies packed since then are kept once more. The table is exchanged for another:
 * who looks meanwhile finds all.
 */
static void forget_bodies(struct state *s)
{
    size_t kept = 0, count = 0;
    for (size_t i = 0; i < s->body_count; i++) {
        kept += is_body_kept(s, &s->bodies[i]);
        state_breathe(s, 1);
    }
    if (kept < s->body_count) {
        struct body *bodies = malloc((kept + 1) * sizeof *bodies);
        check(bodies != NULL);
        for (size_t i = 0; i < s->body_count; i++) {
            if (is_body_kept(s, &s->bodies[i])) bodies[count++] = s->bodies[i];
            state_breathe(s, 1);
        }
        free(s->bodies);
        s->bodies = bodies;
        s->body_count = kept;
        s->body_capacity = kept + 1;
    }
    s->bodies_kept_from = s->sequence;
}

/* In this order: a row that has not yet learned of its pack asks for its body, and that has. */
void state_snapshot_commit(struct state *s, const struct state_turns *turns)
{
    struct snapshot *snapshot = s->snapshot;
    check(snapshot != NULL && snapshot->phase == SNAPSHOT_ENDED && !s->turns);
    s->turns = turns;
    take_packs(s);
    search_list_done(&s->search);
    s->search = snapshot->search;
    snapshot->search = (struct search_list){0};
    archive_list_done(&s->archive);
    s->archive = snapshot->archive;
    snapshot->archive = (struct archive_list){0};
    if (s->arrived_oldest.ms < s->archive.oldest.ms) s->archive.oldest = s->arrived_oldest;
    uint32_t object = free_object_slot(s);
    s->objects[object] = (struct stored_object){snapshot->object, snapshot->writer.offset};
    snapshot->object = VIEW_EMPTY;
    bool *is_used = calloc(s->object_count, sizeof *is_used);
    check(is_used != NULL);
    for (size_t i = 0; i < s->mailbox_count; i++) {
        struct mailbox *m = s->mailboxes[i];
        for (uint32_t k = 0; k < m->block_count; k++) settle_block(s, m->blocks[k], object, is_used);
        for (uint32_t k = 0; k < m->grave_count; k++) settle_block(s, m->graves[k]->block, object, is_used);
    }
    for (size_t i = 0; i < s->object_count; i++) {
        if (is_used[i]) continue;
        free((char *)s->objects[i].name.at);
        s->objects[i] = (struct stored_object){0};
    }
    free(is_used);
    forget_bodies(s);
    end_snapshot(s);
    s->turns = NULL;
}
