/*
 * snapshot_directory: everything of a state but its rows, as bytes. doc/formats/snapshot.md
 *
 *   u32 magic, u16 version, u16 zero, u32 crc32c of the frame, zstd frame
 */
#include <stdlib.h>
#include <string.h>

#include "account/segment.h"
#include "account/snapshot_private.h"
#include "base/check.h"
#include "base/cursor.h"
#include "base/hash.h"

enum {
    DIRECTORY_MAGIC = 0x44535954,        /* "TYSD" */
    DIRECTORY_HEADER_BYTES = 12,
    NAME_BYTES_MAX = ENGINE_NAME_MAX_BYTES,
    MAILBOX_BIT_GONE = 1,
    MAILBOX_BIT_SELECTABLE = 2,
    SECTION_METADATA = 1,
    SECTION_SEARCH = 2,
    SECTION_ARCHIVE = 3,
    SECTIONS_MAX = 64,
};
#define SEQUENCE_MAX ((uint64_t)INT64_MAX / 2)    /* MODSEQs have 63 bits (RFC 7162 §7) */

static uint64_t zigzag(int64_t n) { return ((uint64_t)n << 1) ^ (uint64_t)(n >> 63); }
static int64_t unzigzag(uint64_t n) { return (int64_t)(n >> 1) ^ -(int64_t)(n & 1); }

/* ---- writing ---- */

struct writer {
    const struct state *state;
    const struct snapshot *snapshot;
    buf *out;
    uint32_t *object_index;              /* by the state's object: index in the directory's list */
    uint32_t new_index;                  /* the snapshot's own object */
    bool has_sections;
};

static void put_sized(buf *out, view v)
{
    buf_append_varint(out, v.len);
    buf_append(out, v);
}

static void put_place(struct writer *w, const struct block *b)
{
    struct block_place place = snapshot_place(w->snapshot, b);
    check(place.object != PLACE_NONE);
    buf_append_varint(w->out, place.object == PLACE_NEW ? w->new_index : w->object_index[place.object]);
    buf_append_varint(w->out, place.offset);
    buf_append_varint(w->out, place.bytes);
    buf_append_le32(w->out, place.crc);
}

/* What is the same in mailboxes and graves. */
static void put_summary(struct writer *w, const struct block *b)
{
    put_place(w, b);
    buf_append_varint(w->out, b->count);
    buf_append_varint(w->out, b->unseen);
    buf_append_varint(w->out, b->deleted);
    buf_append_varint(w->out, b->first_unseen);
    buf_append_varint(w->out, b->size_bytes);
    buf_append_varint(w->out, b->highest_modseq);
    buf_append_varint(w->out, b->first_uid);
    buf_append_varint(w->out, b->last_uid);
}

static void put_ranges(struct writer *w, const struct block *b)
{
    uint32_t count = 0, last, lowest = b->first_uid;
    if (block_is_gapless(b)) {
        buf_append_varint(w->out, 0);
        return;
    }
    for (uint32_t i = 0; i < b->count; count++) {
        uint32_t first = block_uid_run(b, i, &last);
        i += last - first + 1;
    }
    buf_append_varint(w->out, count);
    for (uint32_t i = 0; i < b->count;) {
        uint32_t first = block_uid_run(b, i, &last);
        buf_append_varint(w->out, first - lowest);
        buf_append_varint(w->out, last - first);
        lowest = last + 1;
        i += last - first + 1;
    }
}

static void put_grave(struct writer *w, const struct grave *g)
{
    put_summary(w, g->block);
    buf_append_varint(w->out, g->run_count);
    int64_t expunged = 0;
    uint64_t modseq = 0;
    for (uint32_t i = 0; i < g->run_count; i++) {
        const struct grave_run *run = &g->runs[i];
        buf_append_varint(w->out, (uint64_t)run->count << 1 | run->is_dead);
        buf_append_varint(w->out, zigzag((int64_t)((uint64_t)run->expunged.ms - (uint64_t)expunged)));
        buf_append_varint(w->out, zigzag((int64_t)(run->modseq - modseq)));
        buf_append_varint(w->out, run->size_bytes);
        expunged = run->expunged.ms;
        modseq = run->modseq;
    }
}

static void put_mailbox(struct writer *w, const struct mailbox *m)
{
    buf_append_varint(w->out, m->number);
    put_sized(w->out, m->name);
    buf_append_byte(w->out, (char)((m->is_gone ? MAILBOX_BIT_GONE : 0) | (m->is_selectable ? MAILBOX_BIT_SELECTABLE : 0)));
    buf_append_varint(w->out, m->special_use);
    buf_append_varint(w->out, m->uid_validity);
    buf_append_varint(w->out, m->uid_next);
    buf_append_varint(w->out, m->highest_modseq);
    buf_append_varint(w->out, m->keyword_count);
    for (uint32_t i = 0; i < m->keyword_count; i++) put_sized(w->out, m->keywords[i]);
    buf_append_varint(w->out, m->block_count);
    for (uint32_t i = 0; i < m->block_count; i++) {
        put_summary(w, m->blocks[i]);
        put_ranges(w, m->blocks[i]);
    }
    buf_append_varint(w->out, m->grave_count);
    for (uint32_t i = 0; i < m->grave_count; i++) put_grave(w, m->graves[i]);
}

static void note_object(struct writer *w, const struct block *b, bool *is_used, bool *ret_is_new_used)
{
    struct block_place place = snapshot_place(w->snapshot, b);
    if (place.object == PLACE_NEW) {
        *ret_is_new_used = true;
    } else {
        is_used[place.object] = true;
    }
}

static void put_object(struct writer *w, view name, uint64_t bytes)
{
    put_sized(w->out, name);
    buf_append_varint(w->out, bytes);
}

/* Only those that blocks are in. */
static void put_objects(struct writer *w)
{
    const struct state *s = w->state;
    bool *is_used = calloc(s->object_count + 1, sizeof *is_used), is_new_used = false;
    check(is_used != NULL);
    for (size_t i = 0; i < s->mailbox_count; i++) {
        const struct mailbox *m = s->mailboxes[i];
        for (uint32_t k = 0; k < m->block_count; k++) note_object(w, m->blocks[k], is_used, &is_new_used);
        for (uint32_t k = 0; k < m->grave_count; k++) note_object(w, m->graves[k]->block, is_used, &is_new_used);
    }
    uint32_t count = 0;
    for (size_t i = 0; i < s->object_count; i++)
        if (is_used[i]) w->object_index[i] = count++;
    w->new_index = count;
    buf_append_varint(w->out, count + (is_new_used ? 1 : 0));
    for (size_t i = 0; i < s->object_count; i++)
        if (is_used[i]) put_object(w, s->objects[i].name, s->objects[i].bytes);
    if (is_new_used) put_object(w, w->snapshot->object, w->snapshot->writer.offset);
    free(is_used);
}

static void put_pack(buf *out, const struct pack_slot *pack)
{
    put_sized(out, pack->object);
    buf_append_varint(out, pack->entries);
    buf_append_varint(out, pack->bytes);
}

static void put_packs(struct writer *w)
{
    const struct snapshot *snapshot = w->snapshot;
    buf_append_varint(w->out, w->state->pack_count + snapshot->pack_count);
    for (size_t i = 0; i < w->state->pack_count; i++) {
        bool is_replaced = i < snapshot->replaced_count && snapshot->replaced[i].object.len;
        put_pack(w->out, is_replaced ? &snapshot->replaced[i] : &w->state->packs[i]);
    }
    for (size_t i = 0; i < snapshot->pack_count; i++) put_pack(w->out, &snapshot->packs[i]);
}

static void put_recent(buf *out, const struct recent *l)
{
    buf_append_varint(out, l->count);
    for (uint32_t i = l->first; i < l->first + l->count; i++) {
        buf_append_le64(out, l->ids[i]);
        buf_append_le64(out, (uint64_t)l->written_ms[i]);
        buf_append_byte(out, (char)l->codes[i]);
    }
}

/* ---- sections: what is there only when there is some of it ---- */

static void put_metadata(buf *out, uint32_t mailbox, const struct metadata *m)
{
    if (m->count == 0) return;
    buf_append_varint(out, mailbox);
    buf_append_varint(out, m->count);
    for (size_t i = 0; i < m->count; i++) {
        put_sized(out, m->at[i].name);
        put_sized(out, m->at[i].value);
    }
}

static void put_metadata_section(const struct state *s, buf *out)
{
    put_metadata(out, 0, &s->metadata);
    for (size_t i = 0; i < s->mailbox_count; i++) put_metadata(out, s->mailboxes[i]->number, &s->mailboxes[i]->metadata);
}

static void put_search_section(const struct state *s, buf *out)
{
    const struct search_list *l = s->snapshot ? &s->snapshot->search : &s->search;
    if (l->count == 0) return;
    buf_append_varint(out, l->alone_sequence);
    for (size_t i = 0; i < l->count; i++) {
        const struct search_segment *g = &l->segments[i];
        put_sized(out, g->object);
        buf_append_varint(out, g->range_count);
        for (size_t k = 0; k < g->range_count; k++) {
            const struct search_range *r = &g->ranges[k];
            buf_append_varint(out, r->pack == SEARCH_ALONE ? 0 : (uint64_t)r->pack + 1);
            if (r->pack != SEARCH_ALONE) buf_append_varint(out, r->first);
            buf_append_varint(out, r->count);
        }
    }
}

static void put_archive_section(const struct state *s, buf *out)
{
    const struct archive_list *l = s->snapshot ? &s->snapshot->archive : &s->archive;
    uint32_t lowest = 1;
    if (!l->is_begun) return;
    buf_append_varint(out, zigzag(l->oldest.ms));
    buf_append_varint(out, l->next_number);
    buf_append_varint(out, l->alone_messages);
    buf_append_varint(out, l->alone_bytes);
    buf_append_varint(out, l->packed_messages);
    buf_append_varint(out, l->packed_bytes);
    for (size_t i = 0; i < l->count; i++) {
        buf_append_varint(out, l->packs[i].number - lowest);
        put_sized(out, l->packs[i].object);
        buf_append_varint(out, l->packs[i].bytes);
        lowest = l->packs[i].number + 1;
    }
}

static const struct section {
    uint32_t kind;
    void (*put)(const struct state *s, buf *out);
} sections[] = {{SECTION_METADATA, put_metadata_section}, {SECTION_SEARCH, put_search_section}, {SECTION_ARCHIVE, put_archive_section}};

static void put_sections(struct writer *w)
{
    buf section = BUF_INIT;
    for (size_t i = 0; i < array_size(sections); i++) {
        buf_clear(&section);
        sections[i].put(w->state, &section);
        if (section.len == 0) continue;
        w->has_sections = true;
        buf_append_varint(w->out, sections[i].kind);
        put_sized(w->out, buf_view(&section));
    }
    buf_done(&section);
}

static void put_all(struct writer *w)
{
    const struct state *s = w->state;
    buf_append_varint(w->out, s->sequence);
    buf_append_varint(w->out, s->next_number);
    buf_append_varint(w->out, s->last_uid_validity);
    put_recent(w->out, &s->recent);
    put_objects(w);
    put_packs(w);
    buf_append_varint(w->out, s->subscription_count);
    for (size_t i = 0; i < s->subscription_count; i++) put_sized(w->out, s->subscriptions[i]);
    buf_append_varint(w->out, s->mailbox_count);
    for (size_t i = 0; i < s->mailbox_count; i++) put_mailbox(w, s->mailboxes[i]);
    put_sections(w);
}

/* The version that has what was written. */
static uint16_t put_payload(const struct state *s, const struct snapshot *snapshot, buf *payload)
{
    struct writer w = {.state = s, .snapshot = snapshot, .out = payload};
    w.object_index = calloc(s->object_count + 1, sizeof *w.object_index);
    check(w.object_index != NULL);
    put_all(&w);
    free(w.object_index);
    return w.has_sections ? DIRECTORY_VERSION_SECTIONS : DIRECTORY_VERSION_FIRST;
}

void snapshot_directory_put(const struct state *s, const struct snapshot *snapshot, buf *payload)
{
    (void)put_payload(s, snapshot, payload);
}

void snapshot_directory_encode(const struct state *s, const struct snapshot *snapshot, buf *directory)
{
    buf payload = BUF_INIT;
    uint16_t version = put_payload(s, snapshot, &payload);
    buf_append_le32(directory, DIRECTORY_MAGIC);
    buf_append_le16(directory, version);
    buf_append_le16(directory, 0);
    size_t crc_at = directory->len;
    buf_append_le32(directory, 0);
    frame_write(snapshot->writer.compressor, buf_view(&payload), directory);
    uint32_t crc = crc32c(0, view_from(buf_view(directory), crc_at + 4));
    for (size_t i = 0; i < 4; i++) directory->at[crc_at + i] = (char)(unsigned char)(crc >> (8 * i));
    buf_done(&payload);
}

/* ---- reading ---- */

struct take {
    struct cursor c;
    struct state *state;
    struct imap_set_builder ranges;
};

static bool take_count(struct take *t, uint64_t max, size_t least_bytes_each, size_t *ret_count)
{
    uint64_t count;
    if (!take_varint(&t->c, &count) || count > max || count > t->c.rest.len / least_bytes_each) return false;
    *ret_count = (size_t)count;
    return true;
}

static bool take_summary(struct take *t, struct block *b)
{
    uint32_t object;
    bool taken = take_varint32(&t->c, &object) && take_varint(&t->c, &b->place.offset) && take_varint32(&t->c, &b->place.bytes) &&
                 take_le32(&t->c, &b->place.crc) && take_varint32(&t->c, &b->count) && take_varint32(&t->c, &b->unseen) &&
                 take_varint32(&t->c, &b->deleted) && take_varint32(&t->c, &b->first_unseen) && take_varint(&t->c, &b->size_bytes) &&
                 take_varint(&t->c, &b->highest_modseq) && take_varint32(&t->c, &b->first_uid) && take_varint32(&t->c, &b->last_uid);
    if (!taken || object >= t->state->object_count || b->place.bytes == 0 || b->count == 0 || b->count > BLOCK_ROWS) return false;
    b->place.object = object;
    b->is_loaded = false;
    return b->unseen <= b->count && b->deleted <= b->count && b->first_unseen < b->count &&
           b->size_bytes <= (uint64_t)b->count * UINT32_MAX && b->highest_modseq <= t->state->sequence;
}

static bool take_ranges(struct take *t, struct block *b)
{
    size_t count;
    uint64_t lowest = b->first_uid, rows = 0;
    if (b->first_uid == 0 || b->last_uid < b->first_uid || !take_count(t, BLOCK_ROWS, 2, &count)) return false;
    if (count == 0) return block_is_gapless(b);
    buf_clear(&t->ranges.ranges);
    for (size_t i = 0; i < count; i++) {
        uint32_t gap, more;
        if (!take_varint32(&t->c, &gap) || !take_varint32(&t->c, &more) || (i && gap == 0)) return false;
        uint64_t first = lowest + gap, last = first + more;
        if (last > UINT32_MAX) return false;
        imap_set_builder_add_range(&t->ranges, (uint32_t)first, (uint32_t)last);
        rows += (uint64_t)more + 1;
        lowest = last + 1;
    }
    struct imap_set set = imap_set_builder_set(&t->ranges);
    if (rows != b->count || block_is_gapless(b) || set.ranges[0].first != b->first_uid || set.ranges[set.count - 1].last != b->last_uid) return false;
    block_set_ranges(&t->state->pool, b, set.ranges, (uint32_t)set.count);
    return true;
}

static bool take_blocks(struct take *t, struct mailbox *m)
{
    size_t count;
    uint64_t rows = 0;
    if (!take_count(t, UINT32_MAX, 15, &count)) return false;
    for (size_t i = 0; i < count; i++) {
        uint32_t lowest = i ? m->blocks[i - 1]->last_uid + 1 : 1;
        struct block *b = block_new(&t->state->pool);
        bool taken = take_summary(t, b) && b->first_uid >= lowest && b->last_uid < m->uid_next && take_ranges(t, b);
        rows += b->count;
        if (!taken || rows > UINT32_MAX) {
            block_free(&t->state->pool, b);
            return false;
        }
        mailbox_add_block(m, b);
        if (b->highest_modseq > m->highest_modseq) return false;
    }
    t->state->usage.messages += m->exists;
    t->state->usage.bytes += m->size_bytes;
    return true;
}

static bool take_runs(struct take *t, struct grave *g)
{
    size_t count;
    uint64_t rows = 0, modseq = 0, bytes = 0;
    int64_t expunged = 0;
    if (!take_count(t, BLOCK_ROWS, 4, &count)) return false;
    for (size_t i = 0; i < count; i++) {
        uint64_t count_and_bit, expunged_step, modseq_step, size_bytes;
        if (!take_varint(&t->c, &count_and_bit) || !take_varint(&t->c, &expunged_step) || !take_varint(&t->c, &modseq_step) ||
            !take_varint(&t->c, &size_bytes) || count_and_bit >> 1 > BLOCK_ROWS || count_and_bit >> 1 == 0 || size_bytes > g->block->size_bytes)
            return false;
        expunged = (int64_t)((uint64_t)expunged + (uint64_t)unzigzag(expunged_step));
        modseq += (uint64_t)unzigzag(modseq_step);
        rows += count_and_bit >> 1;
        bytes += size_bytes;
        grave_add_run(g, (struct grave_run){(uint32_t)(count_and_bit >> 1), count_and_bit & 1, {expunged}, modseq, size_bytes});
    }
    grave_recount(g);
    t->state->usage.expunged_messages += g->live;
    t->state->usage.expunged_bytes += g->live_bytes;
    return rows == g->block->count && bytes == g->block->size_bytes && g->live;
}

static bool take_graves(struct take *t, struct mailbox *m)
{
    size_t count;
    if (!take_count(t, UINT32_MAX, 15, &count)) return false;
    for (size_t i = 0; i < count; i++) {
        struct grave *g = calloc(1, sizeof *g);
        check(g != NULL);
        g->block = block_new(&t->state->pool);
        mailbox_add_grave(m, g);
        if (!take_summary(t, g->block) || !take_runs(t, g)) return false;
    }
    return true;
}

static bool take_keywords(struct take *t, struct mailbox *m)
{
    size_t count;
    if (!take_count(t, ROW_KEYWORDS_MAX, 2, &count)) return false;
    for (size_t i = 0; i < count; i++) {
        view keyword;
        if (!take_sized(&t->c, ROW_KEYWORD_BYTES_MAX, &keyword) || keyword.len == 0 || mailbox_keyword_flag(m, keyword)) return false;
        mailbox_add_keyword(m, keyword);
    }
    return true;
}

static bool take_mailbox(struct take *t)
{
    struct state *s = t->state;
    uint32_t number, lowest = s->mailbox_count ? s->mailboxes[s->mailbox_count - 1]->number + 1 : 1;
    view name, canonical, bits;
    char text[RECORD_NAME_BYTES_MAX];
    size_t unused;
    if (!take_varint32(&t->c, &number) || number < lowest || number >= s->next_number || !take_sized(&t->c, RECORD_NAME_BYTES_MAX, &name) ||
        !name_canonical(name, text, &canonical) || !view_equal(name, canonical) || !take_bytes(&t->c, 1, &bits))
        return false;
    struct mailbox *m = mailbox_new(s, number, name);
    m->is_gone = bits.at[0] & MAILBOX_BIT_GONE;
    m->is_selectable = bits.at[0] & MAILBOX_BIT_SELECTABLE;
    if (!m->is_gone) {
        if (state_name_index(s, name, &unused)) return false;
        state_insert_name(s, m);
    }
    bool taken = take_varint32(&t->c, &m->special_use) && take_varint32(&t->c, &m->uid_validity) && take_varint32(&t->c, &m->uid_next) &&
                 take_varint(&t->c, &m->highest_modseq) && m->uid_next >= 1 && m->highest_modseq <= s->sequence && take_keywords(t, m) &&
                 take_blocks(t, m) && take_graves(t, m);
    m->recent_from_uid = m->uid_next;
    return taken && (!m->is_gone || (m->grave_count && m->exists == 0));
}

static bool take_objects(struct take *t)
{
    struct state *s = t->state;
    size_t count;
    if (!take_count(t, UINT32_MAX - 2, 2, &count)) return false;
    for (size_t i = 0; i < count; i++) {
        view name;
        uint64_t bytes;
        if (!take_sized(&t->c, NAME_BYTES_MAX, &name) || name.len == 0 || !take_varint(&t->c, &bytes)) return false;
        s->objects = state_grow(s->objects, s->object_count, &s->object_capacity, sizeof *s->objects);
        s->objects[s->object_count++] = (struct stored_object){state_keep_text(name), bytes};
    }
    return true;
}

static bool take_packs(struct take *t)
{
    struct state *s = t->state;
    size_t count;
    if (!take_count(t, STATE_PACKS_MAX, 3, &count)) return false;
    for (size_t i = 0; i < count; i++) {
        struct pack_slot pack;
        if (!take_sized(&t->c, NAME_BYTES_MAX, &pack.object) || !take_varint32(&t->c, &pack.entries) || !take_varint(&t->c, &pack.bytes)) return false;
        pack.object = state_keep_text(pack.object);
        s->packs = state_grow(s->packs, s->pack_count, &s->pack_capacity, sizeof *s->packs);
        s->packs[s->pack_count++] = pack;
    }
    return true;
}

static bool take_subscriptions(struct take *t)
{
    size_t count;
    if (!take_count(t, STATE_MAILBOXES_MAX, 2, &count)) return false;
    for (size_t i = 0; i < count; i++) {
        view name, canonical;
        char text[RECORD_NAME_BYTES_MAX];
        if (!take_sized(&t->c, RECORD_NAME_BYTES_MAX, &name) || !name_canonical(name, text, &canonical)) return false;
        state_subscribe(t->state, canonical, true);
    }
    return true;
}

static bool take_recent(struct take *t)
{
    size_t count;
    if (!take_count(t, STATE_RECENT_MAX, 17, &count) || count > t->state->sequence) return false;
    for (size_t i = 0; i < count; i++) {
        uint64_t half, written;
        view code;
        if (!take_le64(&t->c, &half) || !take_le64(&t->c, &written) || !take_bytes(&t->c, 1, &code) || (unsigned char)code.at[0] > IO) return false;
        recent_put(&t->state->recent, half, (unix_ms){(int64_t)written}, (result)code.at[0]);
    }
    return true;
}

static bool take_owner(struct state *s, struct cursor *c, uint32_t lowest, uint32_t *ret_mailbox)
{
    uint32_t number;
    uint64_t count;
    if (!take_varint32(c, &number) || number < lowest || !take_varint(c, &count) || count == 0 || count > METADATA_ENTRIES_MAX) return false;
    struct mailbox *m = number ? state_mailbox(s, number) : NULL;
    if (number && !m) return false;
    for (uint64_t i = 0; i < count; i++) {
        view name, value;
        if (!take_sized(c, RECORD_ENTRY_NAME_BYTES_MAX, &name) || name.len == 0 || !take_sized(c, RECORD_ENTRY_VALUE_BYTES_MAX, &value)) return false;
        if (!metadata_add(s, m ? &m->metadata : &s->metadata, name, value)) return false;
    }
    *ret_mailbox = number;
    return true;
}

static bool take_metadata_section(struct state *s, view bytes)
{
    struct cursor c = cursor_of(bytes);
    uint32_t number;
    if (bytes.len == 0) return false;
    for (uint32_t lowest = 0; !cursor_at_end(&c); lowest = number + 1)
        if (!take_owner(s, &c, lowest, &number)) return false;
    return true;
}

static bool take_range(const struct state *s, struct cursor *c, struct search_range *r)
{
    uint64_t pack;
    *r = (struct search_range){.pack = SEARCH_ALONE};
    if (!take_varint(c, &pack) || pack > s->pack_count || (pack && !take_varint32(c, &r->first)) || !take_varint32(c, &r->count) || r->count == 0) return false;
    if (pack) r->pack = (uint32_t)pack - 1;
    return !pack || (uint64_t)r->first + r->count <= s->packs[r->pack].entries;
}

static bool take_segment(struct state *s, struct cursor *c)
{
    view object;
    uint64_t count, documents = 0;
    if (!take_sized(c, NAME_BYTES_MAX, &object) || object.len == 0 || !take_varint(c, &count) || count > c->rest.len / 2) return false;
    struct search_range *ranges = malloc((count + 1) * sizeof *ranges);
    check(ranges != NULL);
    bool taken = true;
    for (uint64_t i = 0; taken && i < count; i++) {
        taken = take_range(s, c, &ranges[i]);
        documents += ranges[i].count;
    }
    taken = taken && documents <= SEGMENT_DOCUMENTS_MAX;
    if (taken) search_list_add(&s->search, object, ranges, (size_t)count);
    free(ranges);
    return taken;
}

static bool take_search_section(struct state *s, view bytes)
{
    struct cursor c = cursor_of(bytes);
    if (!take_varint(&c, &s->search.alone_sequence) || cursor_at_end(&c)) return false;
    while (!cursor_at_end(&c))
        if (s->search.count == SEARCH_SEGMENTS_MAX || !take_segment(s, &c)) return false;
    return true;
}

static bool take_archive_section(struct state *s, view bytes)
{
    struct cursor c = cursor_of(bytes);
    struct archive_list *l = &s->archive;
    uint64_t oldest, lowest = 1;
    l->is_begun = l->knows_oldest = true;
    if (!take_varint(&c, &oldest) || !take_varint32(&c, &l->next_number) || l->next_number == 0 || l->next_number > ARCHIVE_NUMBER_MAX + 1 ||
        !take_varint(&c, &l->alone_messages) || !take_varint(&c, &l->alone_bytes) || !take_varint(&c, &l->packed_messages) || !take_varint(&c, &l->packed_bytes))
        return false;
    l->oldest.ms = unzigzag(oldest);
    while (!cursor_at_end(&c)) {
        uint32_t step;
        uint64_t pack_bytes;
        view object;
        if (!take_varint32(&c, &step) || lowest + step >= l->next_number || !take_sized(&c, NAME_BYTES_MAX, &object) || object.len == 0 ||
            !take_varint(&c, &pack_bytes))
            return false;
        archive_list_put(l, (uint32_t)(lowest + step), object, pack_bytes);
        lowest += (uint64_t)step + 1;
    }
    return true;
}

static bool take_section(struct state *s, uint32_t kind, view bytes)
{
    switch (kind) {
    case SECTION_METADATA: return take_metadata_section(s, bytes);
    case SECTION_SEARCH: return take_search_section(s, bytes);
    case SECTION_ARCHIVE: return take_archive_section(s, bytes);
    default: return false;
    }
}

/* Kinds rise. One that is not known comes from a newer version, which should not have written it yet. */
static bool take_sections(struct take *t)
{
    uint32_t kind, lowest = 1;
    view bytes;
    for (; !cursor_at_end(&t->c); lowest = kind + 1) {
        if (!take_varint32(&t->c, &kind) || kind < lowest || kind > SECTIONS_MAX || !take_sized(&t->c, DIRECTORY_PAYLOAD_MAX_BYTES, &bytes)) return false;
        if (!take_section(t->state, kind, bytes)) return false;
    }
    return true;
}

static bool take_all(struct take *t)
{
    struct state *s = t->state;
    size_t count;
    if (!take_varint(&t->c, &s->sequence) || s->sequence > SEQUENCE_MAX || !take_varint32(&t->c, &s->next_number) ||
        !take_varint32(&t->c, &s->last_uid_validity))
        return false;
    if (!take_recent(t) || !take_objects(t) || !take_packs(t) || !take_subscriptions(t) || !take_count(t, UINT32_MAX, 8, &count)) return false;
    for (size_t i = 0; i < count; i++)
        if (!take_mailbox(t)) return false;
    return take_sections(t) && s->mailbox_count && s->mailboxes[0]->number == INBOX_NUMBER && s->mailboxes[0]->is_selectable &&
           !s->mailboxes[0]->is_gone && view_equal(s->mailboxes[0]->name, VIEW("INBOX"));
}

result snapshot_directory_take(view payload, struct state **ret_state, struct fault *fault)
{
    struct take t = {.c = cursor_of(payload), .state = state_blank(), .ranges = IMAP_SET_BUILDER_INIT};
    bool taken = take_all(&t);
    imap_set_builder_done(&t.ranges);
    if (!taken) {
        state_free(t.state);
        return fail(fault, CORRUPT, "snapshot directory: bad at byte %zu of %zu", cursor_position(&t.c), payload.len);
    }
    *ret_state = t.state;
    return OK;
}

result state_snapshot_open(view directory, struct state **ret_state, struct fault *fault)
{
    struct cursor c = cursor_of(directory);
    uint32_t magic, crc;
    uint16_t version, zero;
    if (!take_le32(&c, &magic) || !take_le16(&c, &version) || !take_le16(&c, &zero) || !take_le32(&c, &crc) || magic != DIRECTORY_MAGIC)
        return fail(fault, CORRUPT, "%zu bytes are no snapshot directory", directory.len);
    if (version > DIRECTORY_VERSION_SECTIONS) return fail(fault, CORRUPT, "snapshot directory of version %u: written by a newer version", version);
    if (crc32c(0, c.rest) != crc) return fail(fault, CORRUPT, "snapshot directory: wrong checksum");
    buf payload = BUF_INIT;
    if (!frame_read(c.rest, DIRECTORY_PAYLOAD_MAX_BYTES, &payload)) {
        buf_done(&payload);
        return fail(fault, CORRUPT, "snapshot directory: not compressed as it should be");
    }
    result read = snapshot_directory_take(buf_view(&payload), ret_state, fault);
    buf_done(&payload);
    return read;
}
