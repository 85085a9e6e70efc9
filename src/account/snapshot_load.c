/*
 * snapshot_load: blocks that are loaded, forgotten and walked.
 */
#include <stdlib.h>

#include "account/snapshot_private.h"
#include "base/check.h"
#include "base/hash.h"

enum { LARGE_KEEPS_WIDE_PART = 8 };          /* of what makes a state large: what was changed last may be changed again */

/* ---- loading ---- */

static bool is_at(const struct state *s, const struct block *b, const struct block_key *key)
{
    return b->place.object != PLACE_NONE && b->place.offset == key->offset && b->place.bytes == key->bytes && b->place.crc == key->crc &&
           view_equal(s->objects[b->place.object].name, key->object);
}

/* It may have moved since it was asked for: to another index, or to the graveyard. */
static struct block *find_stored(const struct state *s, const struct block_key *key, const struct mailbox **ret_mailbox, bool *ret_is_grave)
{
    const struct mailbox *m = state_any_mailbox(s, key->mailbox);
    *ret_mailbox = m;
    *ret_is_grave = false;
    for (uint32_t i = 0; m && i < m->block_count; i++) {
        uint32_t at = (uint32_t)(((uint64_t)key->index + i) % m->block_count);
        if (is_at(s, m->blocks[at], key)) return m->blocks[at];
    }
    *ret_is_grave = true;
    for (uint32_t i = 0; m && i < m->grave_count; i++) {
        uint32_t at = (uint32_t)(((uint64_t)key->index + i) % m->grave_count);
        if (is_at(s, m->graves[at]->block, key)) return m->graves[at]->block;
    }
    return NULL;
}

static bool uids_agree(const struct block *b, const struct row *rows, uint32_t count)
{
    uint32_t last, index = 0;
    for (uint32_t i = 1; i < count; i++)
        if (rows[i].uid <= rows[i - 1].uid) return false;
    while (index < b->count) {
        uint32_t first = block_uid_run(b, index, &last);
        if (rows[index].uid != first || rows[index + (last - first)].uid != last) return false;
        index += last - first + 1;
    }
    return true;
}

static bool rows_are_sound(const struct state *s, const struct mailbox *m, const struct row *rows, uint32_t count)
{
    uint64_t keywords = m->keyword_count == ROW_KEYWORDS_MAX ? ~(uint64_t)0xff : (((uint64_t)1 << m->keyword_count) - 1) << ROW_KEYWORD_BIT;
    for (uint32_t i = 0; i < count; i++) {
        const struct row *row = &rows[i];
        if ((row->flags & ~(ROW_SYSTEM_FLAGS | keywords)) || id_is_none(row->message)) return false;
        if (row->pack != ROW_ALONE && row->pack >= s->pack_count) return false;
    }
    return true;
}

static bool is_as_summed(const struct block *b, const struct block *loaded)
{
    return b->count == loaded->count && b->unseen == loaded->unseen && b->deleted == loaded->deleted && b->first_unseen == loaded->first_unseen &&
           b->size_bytes == loaded->size_bytes && b->highest_modseq == loaded->highest_modseq && b->first_uid == loaded->first_uid &&
           b->last_uid == loaded->last_uid;
}

result state_block_loaded(struct state *s, const struct block_key *key, view bytes, struct fault *fault)
{
    const struct mailbox *m;
    bool is_grave;
    struct block *b = find_stored(s, key, &m, &is_grave);
    if (!b || b->is_loaded) return OK;
    buf payload = BUF_INIT;
    if (bytes.len != key->bytes || crc32c(0, bytes) != key->crc || !frame_read(bytes, BLOCK_PAYLOAD_MAX_BYTES, &payload)) {
        buf_done(&payload);
        return fail(fault, CORRUPT, "block at %llu of " VIEW_FMT ": wrong checksum", (unsigned long long)key->offset, VIEW_ARG(key->object));
    }
    struct block *loaded = block_new(&s->pool);
    result decoded = block_decode(buf_view(&payload), &s->pool, loaded, fault);
    buf_done(&payload);
    const struct row *rows = block_rows(&s->pool, loaded);
    if (decoded == OK && (!is_as_summed(b, loaded) || !rows_are_sound(s, m, rows, loaded->count) || (!is_grave && !uids_agree(b, rows, loaded->count))))
        decoded = fail(fault, CORRUPT, "block at %llu of " VIEW_FMT ": not as the directory has it", (unsigned long long)key->offset, VIEW_ARG(key->object));
    if (decoded == OK && !is_grave && state_is_large(s)) (void)block_slim(&s->pool, loaded);
    if (decoded == OK) block_take_rows(&s->pool, b, loaded);
    block_free(&s->pool, loaded);
    return decoded;
}

size_t state_needs_all(struct state *s, struct block_key *keys, size_t max)
{
    size_t count = 0;
    for (size_t i = 0; i < s->mailbox_count; i++) {
        struct mailbox *m = s->mailboxes[i];
        for (uint32_t k = 0; k < m->block_count && count < max; k++)
            if (!m->blocks[k]->is_loaded) keys[count++] = state_block_key(s, m->number, m->blocks[k], k, false);
        for (uint32_t k = 0; k < m->grave_count && count < max; k++)
            if (!m->graves[k]->block->is_loaded) keys[count++] = state_block_key(s, m->number, m->graves[k]->block, k, true);
    }
    return count;
}

size_t state_needs_since(struct state *s, uint64_t since, struct block_key *keys, size_t max)
{
    size_t count = 0;
    for (size_t i = 0; i < s->mailbox_count; i++) {
        struct mailbox *m = s->mailboxes[i];
        for (uint32_t k = 0; k < m->block_count && count < max; k++)
            if (!m->blocks[k]->is_loaded && m->blocks[k]->highest_modseq > since) keys[count++] = state_block_key(s, m->number, m->blocks[k], k, false);
    }
    return count;
}

void state_each_row_since(struct state *s, uint64_t since, void (*each)(void *argument, uint32_t mailbox, const struct row *row), void *argument,
                          const struct state_turns *turns)
{
    for (size_t i = 0; i < s->mailbox_count; i++) {
        struct mailbox *m = s->mailboxes[i];
        for (uint32_t k = 0; k < m->block_count; k++) {
            const struct block *b = m->blocks[k];
            check(b->is_loaded || b->highest_modseq <= since);
            if (b->highest_modseq <= since) continue;
            for (uint32_t n = block_next_changed(b, 0, since); n < b->count; n = block_next_changed(b, n + 1, since)) {
                struct row row = block_row(b, n);
                each(argument, m->number, &row);
            }
            turns->breathe(turns->argument);
        }
    }
}

/* ---- forgetting ---- */

struct candidate { struct block *block; bool is_grave; };

static int by_use(const void *left, const void *right)
{
    const struct candidate *a = left, *b = right;
    return a->block->used < b->block->used ? -1 : a->block->used > b->block->used;
}

static void add_candidate(struct candidate **list, size_t *count, size_t *capacity, struct block *b, bool is_grave)
{
    if (!b->is_loaded || b->place.object == PLACE_NONE) return;
    *list = state_grow(*list, *count, capacity, sizeof **list);
    (*list)[(*count)++] = (struct candidate){b, is_grave};
}

size_t state_evict(struct state *s, size_t bytes)
{
    struct candidate *list = NULL;
    size_t count = 0, capacity = 0, before = s->pool.memory_bytes;
    for (size_t i = 0; i < s->mailbox_count; i++) {
        struct mailbox *m = s->mailboxes[i];
        for (uint32_t k = 0; k < m->block_count; k++) add_candidate(&list, &count, &capacity, m->blocks[k], false);
        for (uint32_t k = 0; k < m->grave_count; k++) add_candidate(&list, &count, &capacity, m->graves[k]->block, true);
    }
    if (count) qsort(list, count, sizeof *list, by_use);
    for (size_t i = 0; i < count && before - s->pool.memory_bytes < bytes; i++) block_unload(&s->pool, list[i].block, list[i].is_grave);
    free(list);
    return before - s->pool.memory_bytes;
}

/* Blocks of graves are read as a whole when they are read, and a block that grows is changed all the time. */
static bool is_wide(const struct state *s, const struct mailbox *m, uint32_t index)
{
    const struct block *b = m->blocks[index];
    return b->wide && !b->has_journal_rows && (b->count == s->pool.block_rows || index + 1 < m->block_count);
}

bool state_is_large(const struct state *s) { return s->pool.memory_bytes > s->pool.wide_bytes; }

void state_set_wide_bytes(struct state *s, size_t bytes) { s->pool.wide_bytes = bytes ? bytes : STATE_WIDE_BYTES; }

bool state_slim(struct state *s, size_t max)
{
    struct candidate *list = NULL;
    size_t count = 0, capacity = 0, bytes = 0, done = 0, wide_bytes = s->pool.wide_bytes / LARGE_KEEPS_WIDE_PART;
    if (!state_is_large(s)) return false;
    for (size_t i = 0; i < s->mailbox_count; i++) {
        struct mailbox *m = s->mailboxes[i];
        for (uint32_t k = 0; k < m->block_count; k++) {
            if (!is_wide(s, m, k)) continue;
            list = state_grow(list, count, &capacity, sizeof *list);
            list[count++] = (struct candidate){m->blocks[k], false};
            bytes += m->blocks[k]->capacity * sizeof(struct row);
        }
    }
    if (bytes > wide_bytes) qsort(list, count, sizeof *list, by_use);
    for (size_t i = 0; i < count && done < max && bytes > wide_bytes; i++) {
        size_t before = list[i].block->capacity * sizeof(struct row), saved = block_slim(&s->pool, list[i].block);
        if (saved == 0) continue;            /* of rows that are not alike */
        bytes -= before;
        done++;
    }
    free(list);
    return done > 0 && bytes > wide_bytes;
}

/* ---- what is referred to ---- */

size_t state_objects(const struct state *s, struct arena *arena, view **ret_names)
{
    size_t count = 0;
    *ret_names = arena_array(arena, view, s->object_count + s->pack_count + s->search.count + s->archive.count);
    for (size_t i = 0; i < s->object_count; i++)
        if (s->objects[i].name.len) (*ret_names)[count++] = arena_keep(arena, s->objects[i].name);
    for (size_t i = 0; i < s->pack_count; i++)
        if (s->packs[i].object.len) (*ret_names)[count++] = arena_keep(arena, s->packs[i].object);
    for (size_t i = 0; i < s->search.count; i++) (*ret_names)[count++] = arena_keep(arena, s->search.segments[i].object);
    for (size_t i = 0; i < s->archive.count; i++) (*ret_names)[count++] = arena_keep(arena, s->archive.packs[i].object);
    return count;
}

void state_each_row(struct state *s, void (*each)(void *argument, uint32_t mailbox, const struct row *row, bool is_expunged, unix_ms expunged), void *argument,
                    const struct state_turns *turns)
{
    for (size_t i = 0; i < s->mailbox_count; i++) {
        struct mailbox *m = s->mailboxes[i];
        for (uint32_t k = 0; k < m->block_count; k++) {
            check(m->blocks[k]->is_loaded);
            for (uint32_t n = 0; n < m->blocks[k]->count; n++) {
                struct row row = block_row(m->blocks[k], n);
                each(argument, m->number, &row, false, (unix_ms){0});
            }
            turns->breathe(turns->argument);
        }
        for (uint32_t k = 0; k < m->grave_count; k++) {
            const struct grave *g = m->graves[k];
            check(g->block->is_loaded);
            for (uint32_t n = 0, row = 0; n < g->run_count; row += g->runs[n++].count)
                for (uint32_t r = 0; r < g->runs[n].count && !g->runs[n].is_dead; r++) {
                    struct row one = block_row(g->block, row + r);
                    each(argument, m->number, &one, true, g->runs[n].expunged);
                }
            turns->breathe(turns->argument);
        }
    }
}
