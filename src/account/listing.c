/*
 * What lists want of messages, from the summaries of packs.
 *
 * Blocks that were unpacked stay in memory while the loop's budget lasts. Who goes on from block to block, and from pack to pack, is given
 * the rest of the column with one read, of which a worker unpacks what comes next while this loop tells what is there.
 */
#include <stdlib.h>
#include <string.h>

#include "account/pack_index.h"
#include "base/check.h"
#include "runtime/workers.h"

enum {
    BLOCKS_BYTES = 16 << 20, AHEAD_BYTES_MAX = 1 << 20, ALONE_BYTES_MAX = 128 << 10,
    UNPACK_BLOCKS = 16,                      /* by a worker in one go: 2,048 messages, some 0.5 MB, about as many us */
    UNPACK_BYTES_MAX = 2 << 20,
};

struct summary_block {
    struct list node;                        /* in home.summaries, least recently used first */
    struct list of_index;
    struct index_kept *index;
    enum summary_column column;
    uint32_t number, entries;
    buf bytes;
};

static void drop_block(struct home *h, struct summary_block *b)
{
    list_remove(&b->node);
    list_remove(&b->of_index);
    if (b->index->account->lister.now == b) b->index->account->lister.now = NULL;
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
    *b = (struct summary_block){.index = k, .column = column, .number = number, .entries = summary_block_entries(k->index->entries, number), .bytes = bytes};
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

MAY_YIELD static result read_stored(struct index_kept *k, enum summary_column column, uint32_t number, const struct summary_place *p, bool reads_ahead,
                                    millis deadline, struct fault *fault)
{
    struct account *a = k->account;
    char name[OBJECT_NAME_MAX];
    buf bytes = BUF_INIT;
    uint64_t end = end_of_read(k, column, number, reads_ahead);
    result code = object_read(a->home->all->engine, account_object_name(a->id, k->object, name), p->offset, end - p->offset, deadline, &bytes, fault);
    if (code == OK && bytes.len != end - p->offset) code = fail(fault, CORRUPT, "%s: its summaries end too early", name);
    if (code != OK) {
        buf_done(&bytes);
        return code;
    }
    keep_ahead(k, column, p->offset, bytes);
    return OK;
}

static view stored_ahead(const struct index_kept *k, const struct summary_place *p)
{
    return view_slice(buf_view(&k->ahead), (size_t)(p->offset - k->ahead_offset), p->stored_bytes);
}

/* ---- unpacking ahead ---- */

struct unpack_job {
    struct index_kept *index;                /* held, and its account */
    enum summary_column column;
    uint32_t first, count;                   /* blocks */
    void *unzip;
    buf stored;
    struct { struct summary_place place; buf bytes; bool is_right; } blocks[UNPACK_BLOCKS];
};

static void run_unpack(void *argument)
{
    struct unpack_job *j = argument;
    struct fault fault;
    size_t at = 0;
    for (uint32_t i = 0; i < j->count; i++) {
        const struct summary_place *p = &j->blocks[i].place;
        view stored = view_slice(buf_view(&j->stored), at, p->stored_bytes);
        at += p->stored_bytes;
        j->blocks[i].is_right = summary_unpack(p, stored, summary_block_entries(j->index->index->entries, j->first + i), j->unzip, &j->blocks[i].bytes, &fault) == OK;
    }
}

static void end_unpacking(struct unpack_job *j)
{
    struct account *a = j->index->account;
    struct home *h = a->home;
    for (uint32_t i = 0; i < j->count; i++) {
        if (j->blocks[i].is_right && !find_block(j->index, j->column, j->first + i)) keep_block(j->index, j->column, j->first + i, j->blocks[i].bytes);
        else buf_done(&j->blocks[i].bytes);
    }
    h->unpacking = NULL;
    waitlist_wake_all(&h->unpacked);
    j->index->users--;
    account_close(a);
    buf_done(&j->stored);
    free(j);
}

/* No worker: then who needs the blocks unpacks them. */
static void unpack_in_background(void *argument)
{
    colour_pretend_coroutine();
    struct unpack_job *j = argument;
    (void)!worker_run(WORKER_UNPACK, run_unpack, j);
    end_unpacking(j);
}

static bool is_being_unpacked(const struct index_kept *k, enum summary_column column, uint32_t number)
{
    const struct unpack_job *j = k->account->home->unpacking;
    return j && j->index == k && j->column == column && number >= j->first && number - j->first < j->count;
}

/* Blocks from `first` on whose stored bytes were read. Memory is taken here: what threads allocate stays with them. */
static struct unpack_job *make_job(struct index_kept *k, enum summary_column column, uint32_t first)
{
    struct unpack_job *j = calloc(1, sizeof *j);
    check(j);
    *j = (struct unpack_job){.index = k, .column = column, .first = first};
    for (size_t bytes = 0; j->count < UNPACK_BLOCKS && first + j->count < count_blocks(k); j->count++) {
        struct summary_place p = summary_place_of(buf_view(&k->table), k->index->entries, column, first + j->count);
        bytes += p.bytes;
        if (!is_ahead(k, column, &p) || p.stored_bytes == 0 || bytes > UNPACK_BYTES_MAX || find_block(k, column, first + j->count)) break;
        j->blocks[j->count].place = p;
        buf_reserve(&j->blocks[j->count].bytes, p.bytes);
        buf_append(&j->stored, stored_ahead(k, &p));
    }
    return j;
}

/* One job to a loop. It begins when half of what the last one brought has been told. */
static void unpack_ahead(struct index_kept *k, enum summary_column column, uint32_t number)
{
    struct home *h = k->account->home;
    uint32_t first = number + 1;
    if (h->unpacking) return;
    while (first <= number + UNPACK_BLOCKS / 2 && find_block(k, column, first)) first++;
    if (first > number + UNPACK_BLOCKS / 2 || first >= count_blocks(k)) return;
    struct unpack_job *j = make_job(k, column, first);
    if (j->count == 0) {
        free(j);
        return;
    }
    if (!h->unzip_ahead) h->unzip_ahead = pack_unzip_new();
    j->unzip = h->unzip_ahead;
    h->unpacking = j;
    account_hold(k->account);
    k->users++;
    coroutine_spawn(&h->scope, "unpack summaries", unpack_in_background, j);
}

/* ---- blocks ---- */

MAY_YIELD static result unpack_here(struct index_kept *k, enum summary_column column, uint32_t number, const struct summary_place *p, bool reads_ahead,
                                    millis deadline, struct summary_block **ret_block)
{
    struct home *h = k->account->home;
    struct fault fault;
    buf bytes = BUF_INIT;
    while (!is_ahead(k, column, p))
        if (read_stored(k, column, number, p, reads_ahead, deadline, &fault) != OK) return NOT_FOUND;
    if (!h->unzip) h->unzip = pack_unzip_new();
    if (summary_unpack(p, stored_ahead(k, p), summary_block_entries(k->index->entries, number), h->unzip, &bytes, &fault) != OK) {
        buf_done(&bytes);
        return NOT_FOUND;
    }
    *ret_block = keep_block(k, column, number, bytes);
    return OK;
}

/* The block in memory. NOT_FOUND: it has no texts, or none that can be read: derived data is never missed. */
MAY_YIELD static result open_block(struct index_kept *k, enum summary_column column, uint32_t number, millis deadline, struct summary_block **ret_block)
{
    struct account *a = k->account;
    struct summary_place p = summary_place_of(buf_view(&k->table), k->index->entries, column, number);
    if (p.stored_bytes == 0 || p.stored_bytes > SUMMARY_BLOCK_BYTES_MAX) return NOT_FOUND;
    bool follows = goes_on(a, k, column, number);
    struct summary_block *b = find_block(k, column, number);
    if (!b && is_being_unpacked(k, column, number)) {
        if (waitlist_wait(&a->home->unpacked, deadline) != OK) return NOT_FOUND;
        b = find_block(k, column, number);
    }
    if (!b && unpack_here(k, column, number, &p, follows, deadline, &b) != OK) return NOT_FOUND;
    if (follows) unpack_ahead(k, column, number);
    a->lister.now = *ret_block = b;
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

static bool text_of(const struct summary_block *b, uint32_t entry, view *ret_text, bool *ret_is_plain)
{
    return summary_text(buf_view(&b->bytes), b->entries, entry % SUMMARY_BLOCK_ENTRIES, ret_text, ret_is_plain);
}

MAY_YIELD static result packed_summary(struct account *a, const struct body_place *place, enum summary_column column, millis deadline, view *ret_text, bool *ret_is_plain)
{
    struct index_kept *k;
    struct summary_block *b;
    struct fault fault;
    result code = account_open_index(a, place->pack, deadline, &k, &fault);
    if (code != OK) return NOT_FOUND;
    if (k->table.len == 0 || place->entry >= k->index->entries) code = NOT_FOUND;
    if (code == OK) code = open_block(k, column, place->entry / SUMMARY_BLOCK_ENTRIES, deadline, &b);
    if (code == OK && !text_of(b, place->entry, ret_text, ret_is_plain)) code = NOT_FOUND;
    k->users--;
    return code;
}

/* In the block of the last one, as nearly all are of who walks on. */
static bool is_at_hand(const struct account *a, const struct body_place *place, enum summary_column column)
{
    const struct summary_block *b = a->lister.now;
    return b && b->index->slot == place->pack && b->number == place->entry / SUMMARY_BLOCK_ENTRIES && b->column == column &&
           place->entry < b->index->index->entries && view_equal(b->index->object, state_pack(a->state, place->pack).object);
}

result message_summary(struct account *a, const struct row *row, enum summary_column column, millis deadline, view *ret_text, bool *ret_is_plain)
{
    struct body_place place;
    if (!state_body(a->state, row, &place) || place.kind == BODY_IN_JOURNAL) return NOT_FOUND;
    if (place.kind == BODY_IN_PACK && is_at_hand(a, &place, column)) return text_of(a->lister.now, place.entry, ret_text, ret_is_plain) ? OK : NOT_FOUND;
    account_hold(a);
    result code = place.kind == BODY_ALONE ? alone_summary(a, row, column, deadline, ret_text, ret_is_plain)
                                           : packed_summary(a, &place, column, deadline, ret_text, ret_is_plain);
    account_close(a);
    return code == OK ? OK : NOT_FOUND;
}
