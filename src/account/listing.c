/*
 * What lists want of messages, from the summaries of packs.
 *
 * Blocks that were unpacked stay in memory while the loop's budget lasts. Who goes on from block to block, and from pack to pack, is given
 * the rest of the column with one read.
 */
#include <stdlib.h>
#include <string.h>

#include "account/pack_index.h"
#include "base/check.h"

enum { BLOCKS_BYTES = 16 << 20, AHEAD_BYTES_MAX = 1 << 20, ALONE_BYTES_MAX = 128 << 10 };

struct summary_block {
    struct list node;                        /* in home.summaries, least recently used first */
    struct list of_index;
    enum summary_column column;
    uint32_t number, entries;
    buf bytes;
};

static void drop_block(struct home *h, struct summary_block *b)
{
    list_remove(&b->node);
    list_remove(&b->of_index);
    h->summaries_bytes -= b->bytes.capacity;
    buf_done(&b->bytes);
    free(b);
}

void summaries_drop(struct index_kept *k)
{
    list_each (node, &k->blocks) drop_block(k->account->home, container_of(node, struct summary_block, of_index));
    if (k->account->home->ahead == k) k->account->home->ahead = NULL;
    buf_done(&k->table);
    buf_done(&k->ahead);
}

/* One read-ahead to a loop: it is of use to who walks on. */
static void keep_ahead(struct index_kept *k, enum summary_column column, uint64_t offset, buf bytes)
{
    struct home *h = k->account->home;
    if (h->ahead) buf_done(&h->ahead->ahead);
    h->ahead = k;
    k->ahead = bytes;
    k->ahead_offset = offset;
    k->ahead_column = column;
}

static struct summary_block *find_block(struct index_kept *k, enum summary_column column, uint32_t number)
{
    list_each (node, &k->blocks) {
        struct summary_block *b = container_of(node, struct summary_block, of_index);
        if (b->column != column || b->number != number) continue;
        list_remove(&b->node);
        list_append(&k->account->home->summaries, &b->node);
        return b;
    }
    return NULL;
}

static struct summary_block *keep_block(struct index_kept *k, enum summary_column column, uint32_t number, buf bytes)
{
    struct home *h = k->account->home;
    struct summary_block *b = calloc(1, sizeof *b);
    check(b);
    *b = (struct summary_block){.column = column, .number = number, .entries = summary_block_entries(k->index->entries, number), .bytes = bytes};
    list_append(&h->summaries, &b->node);
    list_prepend(&k->blocks, &b->of_index);
    h->summaries_bytes += b->bytes.capacity;
    while (h->summaries_bytes > BLOCKS_BYTES && h->summaries.next != &b->node) drop_block(h, container_of(h->summaries.next, struct summary_block, node));
    return b;
}

/* ---- reading ---- */

static uint32_t count_blocks(const struct index_kept *k) { return (k->index->entries + SUMMARY_BLOCK_ENTRIES - 1) / SUMMARY_BLOCK_ENTRIES; }

/* What is asked for follows on what was asked for last. */
static bool goes_on(struct account *a, const struct index_kept *k, enum summary_column column, uint32_t number)
{
    bool follows = a->lister.column == column && ((a->lister.slot == k->slot && a->lister.block + 1 == number) || (a->lister.slot != k->slot && number == 0));
    a->lister.column = column;
    a->lister.slot = k->slot;
    a->lister.block = number;
    return follows;
}

/* Where the stored bytes of the block and of as many after it as are to be read end. */
static uint64_t end_of_read(const struct index_kept *k, enum summary_column column, uint32_t number, bool reads_ahead)
{
    struct summary_place first = summary_place_of(buf_view(&k->table), k->index->entries, column, number);
    uint64_t end = first.offset + first.stored_bytes;
    for (uint32_t next = number + 1; reads_ahead && next < count_blocks(k); next++) {
        struct summary_place p = summary_place_of(buf_view(&k->table), k->index->entries, column, next);
        if (p.stored_bytes == 0) continue;
        if (p.offset != end || end + p.stored_bytes - first.offset > AHEAD_BYTES_MAX) break;
        end += p.stored_bytes;
    }
    return end;
}

static bool is_ahead(const struct index_kept *k, enum summary_column column, const struct summary_place *p)
{
    return k->ahead.len && k->ahead_column == column && p->offset >= k->ahead_offset && p->offset + p->stored_bytes <= k->ahead_offset + k->ahead.len;
}

MAY_YIELD static result read_stored(struct index_kept *k, enum summary_column column, uint32_t number, const struct summary_place *p, millis deadline, struct fault *fault)
{
    struct account *a = k->account;
    char name[OBJECT_NAME_MAX];
    buf bytes = BUF_INIT;
    uint64_t end = end_of_read(k, column, number, goes_on(a, k, column, number));
    result code = object_read(a->home->all->engine, account_object_name(a->id, k->object, name), p->offset, end - p->offset, deadline, &bytes, fault);
    if (code == OK && bytes.len != end - p->offset) code = fail(fault, CORRUPT, "%s: its summaries end too early", name);
    if (code != OK) {
        buf_done(&bytes);
        return code;
    }
    keep_ahead(k, column, p->offset, bytes);
    return OK;
}

/* The block in memory. NOT_FOUND: it has no texts, or none that can be read: derived data is never missed. */
MAY_YIELD static result open_block(struct index_kept *k, enum summary_column column, uint32_t number, millis deadline, struct summary_block **ret_block)
{
    struct home *h = k->account->home;
    struct fault fault = {0};
    struct summary_place p = summary_place_of(buf_view(&k->table), k->index->entries, column, number);
    struct summary_block *b = find_block(k, column, number);
    if (b) {
        *ret_block = b;
        return OK;
    }
    if (p.stored_bytes == 0 || p.stored_bytes > SUMMARY_BLOCK_BYTES_MAX) return NOT_FOUND;
    if (is_ahead(k, column, &p)) (void)goes_on(k->account, k, column, number);
    while (!is_ahead(k, column, &p)) {
        result code = read_stored(k, column, number, &p, deadline, &fault);
        if (code != OK) return NOT_FOUND;
    }
    if (!h->unzip) h->unzip = pack_unzip_new();
    buf bytes = BUF_INIT;
    view stored = view_slice(buf_view(&k->ahead), (size_t)(p.offset - k->ahead_offset), p.stored_bytes);
    if (summary_unpack(&p, stored, summary_block_entries(k->index->entries, number), h->unzip, &bytes, &fault) != OK) {
        buf_done(&bytes);
        return NOT_FOUND;
    }
    *ret_block = keep_block(k, column, number, bytes);
    return OK;
}

/* ---- of messages that are objects of their own ---- */

struct alone_summary {
    char name[OBJECT_NAME_MAX];
    buf bytes;
    struct summary_sections sections;
    struct summary_kept kept;
    bool has_any;
};

void home_drop_alone_summary(struct home *h)
{
    if (!h->alone) return;
    summary_sections_close(&h->alone->sections);
    buf_done(&h->alone->bytes);
    free(h->alone);
    h->alone = NULL;
}

/* Takes the bytes over: a pack of one entry. What is no such counts as none. */
static void keep_alone(struct home *h, view name, buf bytes)
{
    struct alone_summary *s = calloc(1, sizeof *s);
    struct pack_index *index;
    uint64_t tail = pack_index_offset(bytes.len, 1);
    check(s && name.len < sizeof s->name);
    home_drop_alone_summary(h);
    memcpy(s->name, name.at, name.len);
    s->bytes = bytes;
    if (bytes.len > 0 && pack_index_decode(view_from(buf_view(&s->bytes), tail), bytes.len, 1, &index, NULL) == OK) {
        uint64_t offset = tail - index->section_bytes;
        summary_sections_open(&s->sections, view_slice(buf_view(&s->bytes), (size_t)offset, index->section_bytes), offset, 1);
        s->has_any = summary_sections_find(&s->sections, 0, &s->kept);
        free(index);
    }
    h->alone = s;
}

static bool is_ascii(view v)
{
    for (size_t i = 0; i < v.len; i++)
        if (v.at[i] & 0x80) return false;
    return true;
}

/* Only those that went to the archive have one; all columns of one message are asked for one after the other, as a rule. */
MAY_YIELD static result alone_summary(struct account *a, const struct row *row, enum summary_column column, millis deadline, view *ret_text, bool *ret_is_plain)
{
    struct home *h = a->home;
    char text[OBJECT_NAME_MAX], alone[OBJECT_NAME_MAX];
    if (!state_archive(a->state)->is_begun) return NOT_FOUND;
    view name = account_summary_name(account_alone_name(a->id, row->message, row->entry, alone), text);
    if (!h->alone || !view_equal(view_of(h->alone->name), name)) {
        buf bytes = BUF_INIT;
        result code = object_read(h->all->engine, name, 0, ALONE_BYTES_MAX, deadline, &bytes, NULL);
        if (code != OK) buf_clear(&bytes);
        keep_alone(h, name, bytes);
    }
    if (!h->alone->has_any || !h->alone->kept.has[column]) return NOT_FOUND;
    *ret_text = h->alone->kept.texts[column];
    *ret_is_plain = is_ascii(*ret_text);
    return OK;
}

result message_summary(struct account *a, const struct row *row, enum summary_column column, millis deadline, view *ret_text, bool *ret_is_plain)
{
    struct body_place place;
    struct index_kept *k;
    struct summary_block *b;
    struct fault fault = {0};
    if (!state_body(a->state, row, &place) || place.kind == BODY_IN_JOURNAL) return NOT_FOUND;
    account_hold(a);
    if (place.kind == BODY_ALONE) {
        result found = alone_summary(a, row, column, deadline, ret_text, ret_is_plain);
        account_close(a);
        return found;
    }
    result code = account_open_index(a, place.pack, deadline, &k, &fault);
    if (code == OK) {
        if (k->table.len == 0 || place.entry >= k->index->entries) code = NOT_FOUND;
        if (code == OK) code = open_block(k, column, place.entry / SUMMARY_BLOCK_ENTRIES, deadline, &b);
        if (code == OK && !summary_text(buf_view(&b->bytes), b->entries, place.entry % SUMMARY_BLOCK_ENTRIES, ret_text, ret_is_plain)) code = NOT_FOUND;
        k->users--;
    }
    account_close(a);
    return code == OK ? OK : NOT_FOUND;
}
