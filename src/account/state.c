#include "account/state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "account/state_private.h"
#include "base/check.h"
#include "runtime/workers.h"

void *state_grow(void *array, size_t count, size_t *capacity, size_t size)
{
    if (count < *capacity) return array;
    *capacity = *capacity ? *capacity * 2 : 8;
    void *grown = realloc(array, *capacity * size);
    check(grown != NULL);
    return grown;
}

view state_keep_text(view v)
{
    char *copy = malloc(v.len + 1);
    check(copy != NULL);
    if (v.len) memcpy(copy, v.at, v.len);
    return view_make(copy, v.len);
}

struct state *state_blank(void)
{
    struct state *s = calloc(1, sizeof *s);
    check(s != NULL);
    s->next_number = INBOX_NUMBER;
    s->pool.block_rows = BLOCK_ROWS;
    state_set_turn_rows(s, 0);
    state_set_wide_bytes(s, 0);
    s->archive = (struct archive_list){.next_number = 1, .oldest = ARCHIVE_OLDEST_NONE};
    s->arrived_oldest = ARCHIVE_OLDEST_NONE;
    return s;
}

/* Seconds of the six bytes of time that an id begins with (id.h). */
static uint32_t second_of_id(struct id i)
{
    uint64_t ms = 0;
    for (size_t k = 0; k < 6; k++) ms = ms << 8 | i.bytes[k];
    uint64_t second = ms / 1000;
    return second == 0 ? 1 : second > UINT32_MAX ? UINT32_MAX : (uint32_t)second;
}

struct state *state_new(struct id account)
{
    struct state *s = state_blank();
    struct mailbox *inbox = mailbox_new(s, s->next_number++, VIEW("INBOX"));
    inbox->is_selectable = true;
    s->archive.knows_oldest = true;
    inbox->uid_validity = s->last_uid_validity = second_of_id(account);
    state_insert_name(s, inbox);
    return s;
}

struct mailbox *mailbox_new(struct state *s, uint32_t number, view name)
{
    struct mailbox *m = calloc(1, sizeof *m);
    check(m != NULL);
    m->state = s;
    m->number = number;
    m->name = state_keep_text(name);
    m->uid_next = 1;
    m->recent_from_uid = 1;
    m->log.complete_after = s->sequence;
    list_init(&m->numberings);
    s->mailboxes = state_grow(s->mailboxes, s->mailbox_count, &s->mailbox_capacity, sizeof *s->mailboxes);
    s->mailboxes[s->mailbox_count++] = m;
    return m;
}

void mailbox_free(struct mailbox *m)
{
    check(list_is_empty(&m->numberings));
    for (uint32_t i = 0; i < m->block_count; i++) block_free(&m->state->pool, m->blocks[i]);
    for (uint32_t i = 0; i < m->grave_count; i++) grave_free(m->state, m->graves[i]);
    for (uint32_t i = 0; i < m->keyword_count; i++) free((char *)m->keywords[i].at);
    free(m->keywords);
    metadata_clear(m->state, &m->metadata);
    vanish_log_done(&m->log);
    free((char *)m->name.at);
    free(m->blocks);
    free(m->graves);
    free(m);
}

bool state_free_some(struct state *s)
{
    uint32_t rows = 0;
    state_snapshot_abort(s);
    for (size_t i = 0; i < s->mailbox_count; i++) {
        struct mailbox *m = s->mailboxes[i];
        for (; m->block_count > 0 && rows < s->pool.turn_rows; m->block_count--) {
            rows += m->blocks[m->block_count - 1]->count;
            block_free(&s->pool, m->blocks[m->block_count - 1]);
        }
        for (; m->grave_count > 0 && rows < s->pool.turn_rows; m->grave_count--) {
            rows += m->graves[m->grave_count - 1]->block->count;
            grave_free(s, m->graves[m->grave_count - 1]);
        }
    }
    return rows > 0;
}

void state_free(struct state *s)
{
    if (!s) return;
    state_snapshot_abort(s);
    for (size_t i = 0; i < s->mailbox_count; i++) mailbox_free(s->mailboxes[i]);
    for (size_t i = 0; i < s->subscription_count; i++) free((char *)s->subscriptions[i].at);
    for (size_t i = 0; i < s->pack_count; i++) free((char *)s->packs[i].object.at);
    for (size_t i = 0; i < s->object_count; i++) free((char *)s->objects[i].name.at);
    recent_done(&s->recent);
    metadata_clear(s, &s->metadata);
    metadata_log_done(&s->metadata_log);
    free(s->mailboxes);
    free(s->names);
    free(s->subscriptions);
    worker_free(s->bodies, s->body_capacity * sizeof *s->bodies);
    free(s->packs);
    search_list_done(&s->search);
    archive_list_done(&s->archive);
    free(s->objects);
    free(s);
}

uint64_t state_sequence(const struct state *s) { return s->sequence; }
struct usage state_usage(const struct state *s) { return s->usage; }

size_t state_memory_bytes(const struct state *s)
{
    return sizeof *s + s->pool.memory_bytes + s->mailbox_count * (sizeof(struct mailbox) + 64) + s->body_capacity * sizeof *s->bodies +
           s->pack_capacity * sizeof *s->packs + s->pack_count * 80 + s->metadata_bytes;
}

/* ---- reading ---- */

struct mailbox *state_any_mailbox(const struct state *s, uint32_t number)
{
    size_t low = 0, high = s->mailbox_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (s->mailboxes[middle]->number < number) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < s->mailbox_count && s->mailboxes[low]->number == number ? s->mailboxes[low] : NULL;
}

struct mailbox *state_mailbox(struct state *s, uint32_t number)
{
    struct mailbox *m = state_any_mailbox(s, number);
    return m && !m->is_gone ? m : NULL;
}

static uint32_t first_unseen(const struct mailbox *m)
{
    uint32_t before = 0;
    for (uint32_t i = 0; i < m->block_count; i++) {
        const struct block *b = m->blocks[i];
        if (b->unseen) return before + b->first_unseen + 1;
        before += b->count;
    }
    return 0;
}

void mailbox_read_info(const struct mailbox *m, struct arena *arena, struct mailbox_info *ret_info)
{
    *ret_info = (struct mailbox_info){
        .number = m->number,
        .name = arena_keep(arena, m->name),
        .special_use = m->special_use,
        .is_subscribed = state_is_subscribed(m->state, m->name),
        .has_children = mailbox_has_children(m),
        .is_selectable = m->is_selectable,
        .uid_validity = m->uid_validity,
        .uid_next = m->uid_next,
        .exists = m->exists,
        .unseen = m->unseen,
        .deleted = m->deleted,
        .first_unseen = first_unseen(m),
        .highest_modseq = m->highest_modseq,
        .size_bytes = m->size_bytes,
        .recent_from_uid = m->recent_from_uid,
    };
}

uint32_t mailbox_claim_recent(struct mailbox *m)
{
    uint32_t from = m->recent_from_uid;
    m->recent_from_uid = m->uid_next;
    return from;
}

size_t state_list(struct state *s, struct arena *arena, struct mailbox_info **ret_infos)
{
    *ret_infos = arena_array(arena, struct mailbox_info, s->name_count);
    for (size_t i = 0; i < s->name_count; i++) mailbox_read_info(s->names[i], arena, &(*ret_infos)[i]);
    return s->name_count;
}

size_t state_subscriptions(struct state *s, struct arena *arena, view **ret_names)
{
    *ret_names = arena_array(arena, view, s->subscription_count);
    for (size_t i = 0; i < s->subscription_count; i++) (*ret_names)[i] = arena_keep(arena, s->subscriptions[i]);
    return s->subscription_count;
}

view mailbox_uidl(const struct mailbox *m, const struct row *row, char text[static RECORD_UIDL_BYTES_MAX + 1])
{
    uint32_t i = mailbox_block_of_uid(m, row->uid);
    if (i < m->block_count && m->blocks[i]->uidl_count) {
        const struct block *b = m->blocks[i];
        uint32_t index = block_rank(b, row->uid);
        view own = index < b->count && block_uid_at(b, index) == row->uid ? block_uidl(b, index) : VIEW_EMPTY;
        if (own.len) {
            memcpy(text, own.at, own.len);
            text[own.len] = '\0';
            return view_make(text, own.len);
        }
    }
    int len = snprintf(text, RECORD_UIDL_BYTES_MAX + 1, "%08x%08x", m->uid_validity, row->uid);
    return view_make(text, (size_t)len);
}

struct block_key state_block_key(const struct state *s, uint32_t mailbox, const struct block *b, uint32_t index, bool is_graveyard)
{
    check(b->place.object < s->object_count);
    return (struct block_key){mailbox, index, s->objects[b->place.object].name, b->place.offset, b->place.bytes, b->place.crc, is_graveyard};
}

result state_row(struct state *s, uint32_t mailbox, uint32_t uid, struct row *ret_row, struct block_key *ret_needs)
{
    struct mailbox *m = state_mailbox(s, mailbox);
    uint32_t i = m ? mailbox_block_of_uid(m, uid) : 0;
    ret_needs->bytes = 0;
    if (!m || i == m->block_count) return NOT_FOUND;
    struct block *b = m->blocks[i];
    uint32_t index = block_rank(b, uid);
    if (block_uid_at(b, index) != uid) return NOT_FOUND;
    if (!b->is_loaded) {
        *ret_needs = state_block_key(s, mailbox, b, i, false);
        return NOT_FOUND;
    }
    *ret_row = block_row(b, index);
    return OK;
}

/* ---- bodies and packs ---- */

/* Index of the first of that record or a later one. */
static size_t first_body(const struct state *s, uint64_t sequence)
{
    size_t low = 0, high = s->body_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (s->bodies[middle].sequence < sequence) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

struct body *state_find_body(const struct state *s, uint32_t sequence_low)
{
    uint64_t sequence = (s->sequence & ~(uint64_t)UINT32_MAX) | sequence_low;
    if (sequence > s->sequence) sequence -= (uint64_t)1 << 32;
    size_t i = first_body(s, sequence);
    return i < s->body_count && s->bodies[i].sequence == sequence ? &s->bodies[i] : NULL;
}

bool state_body(const struct state *s, const struct row *row, struct body_place *ret_place)
{
    if (row->pack == ROW_ALONE) {
        *ret_place = (struct body_place){.kind = BODY_ALONE};
        return true;
    }
    if (row->pack == ROW_IN_JOURNAL) {
        const struct body *b = state_find_body(s, row->entry);
        if (b) *ret_place = b->place;
        return b != NULL;
    }
    if (row->pack >= s->pack_count || s->packs[row->pack].object.len == 0) return false;
    *ret_place = (struct body_place){.kind = BODY_IN_PACK, .pack = row->pack, .entry = row->entry};
    return true;
}

size_t state_unpacked(const struct state *s, uint64_t after_sequence, struct unpacked_body *bodies, size_t max)
{
    size_t count = 0;
    for (size_t i = first_body(s, after_sequence + 1); i < s->body_count && count < max; i++) {
        const struct body *b = &s->bodies[i];
        if (b->place.kind == BODY_IN_JOURNAL)
            bodies[count++] = (struct unpacked_body){b->sequence, b->message, b->place.record};
    }
    return count;
}

void state_body_moved(struct state *s, uint64_t sequence, struct record_place place)
{
    struct body *b = state_find_body(s, (uint32_t)sequence);
    if (b && b->sequence == sequence && b->place.kind == BODY_IN_JOURNAL) b->place.record = place;
}

size_t state_packs(const struct state *s) { return s->pack_count; }

struct pack_slot state_pack(const struct state *s, uint32_t slot)
{
    return slot < s->pack_count ? s->packs[slot] : (struct pack_slot){0};
}
