/*
 * Indexes of packs in memory, and pieces of those of accounts whose indexes do not fit there: clients open messages that stand near to each other, and
 * the same ones again. A piece is where its name's hash says, instead of whatever was there.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "account/pack_index.h"
#include "base/check.h"
#include "base/hash.h"
#include "runtime/event.h"

enum {
    INDEXES_BYTES = 8 << 20,                 /* kept in a loop while unused, if the options do not say it */
    INDEX_PIECES = 4096,                     /* of a loop: 2 MiB */
    PIECE_ENTRIES = 16,
    PIECE_NAME_MAX = OBJECT_NAME_MAX + 12,
};

struct index_piece {
    size_t len;
    char name[PIECE_NAME_MAX];               /* the pack's, and which it is */
    unsigned char at[PIECE_ENTRIES * PACK_INDEX_ENTRY_BYTES];
};

static void drop_index(struct index_kept *k)
{
    struct home *h = k->account->home;
    list_remove(&k->node);
    list_remove(&k->of_account);
    h->indexes_bytes -= k->bytes;
    summaries_drop(k);
    free((char *)(uintptr_t)k->object.at);
    free(k->index);
    free(k);
}

void home_drop_indexes(struct home *h, size_t keep_bytes)
{
    list_each (node, &h->indexes) {
        if (h->indexes_bytes <= keep_bytes) return;
        struct index_kept *k = container_of(node, struct index_kept, node);
        if (k->users == 0) drop_index(k);
    }
}

void account_drop_indexes(struct account *a)
{
    list_each (node, &a->indexes) drop_index(container_of(node, struct index_kept, of_account));
}

static size_t indexes_bytes(const struct home *h)
{
    return h->all->options.pack_indexes_bytes ? (size_t)h->all->options.pack_indexes_bytes : INDEXES_BYTES;
}

static struct index_kept *find_index(struct account *a, uint32_t slot, view object)
{
    list_each (node, &a->indexes) {
        struct index_kept *k = container_of(node, struct index_kept, of_account);
        if (k->slot != slot || !view_equal(k->object, object)) continue;
        list_remove(&k->node);
        list_append(&a->home->indexes, &k->node);
        list_remove(&k->of_account);
        list_prepend(&a->indexes, &k->of_account);      /* who walks on finds it first */
        return k;
    }
    return NULL;
}

static struct index_kept *keep_index(struct account *a, uint32_t slot, view object, struct pack_index *index, view table)
{
    struct index_kept *k = calloc(1, sizeof *k);
    char *name = malloc(object.len + 1);
    check(k && name);
    memcpy(name, object.at, object.len);
    *k = (struct index_kept){.account = a, .slot = slot, .object = view_make(name, object.len), .index = index};
    list_init(&k->blocks);
    if (summary_table_is_right(table, index->entries)) buf_append(&k->table, table);
    k->bytes = sizeof *k + object.len + sizeof *index + index->entries * sizeof index->of[0] + k->table.len;
    list_append(&a->home->indexes, &k->node);
    list_append(&a->indexes, &k->of_account);
    a->home->indexes_bytes += k->bytes;
    k->users++;
    home_drop_indexes(a->home, indexes_bytes(a->home));
    k->users--;
    return k;
}

/* Of a slot, with the object's name in `text`, where it stays when the slot changes. */
static result take_slot(const struct account *a, uint32_t slot, char text[static OBJECT_NAME_MAX], struct pack_slot *ret_pack, struct fault *fault)
{
    if (slot >= state_packs(a->state)) return fail(fault, CORRUPT, "row names pack %u, which is not there", slot);
    *ret_pack = state_pack(a->state, slot);
    if (ret_pack->object.len == 0) return fail(fault, NOT_FOUND, "the pack was reclaimed");
    check(ret_pack->object.len < OBJECT_NAME_MAX);
    memcpy(text, ret_pack->object.at, ret_pack->object.len);
    ret_pack->object.at = text;
    return OK;
}

/* The table of summaries, if there is one, stands right before the index; else these are bytes of messages. */
MAY_YIELD static result read_index(struct account *a, uint32_t slot, const struct pack_slot *pack, millis deadline, struct index_kept **ret_index,
                                   struct fault *fault)
{
    buf tail CLEANUP(buf_done) = BUF_INIT;
    char name[OBJECT_NAME_MAX];
    uint64_t from = pack_index_offset(pack->bytes, pack->entries), table_bytes = summary_table_bytes(pack->entries);
    if (table_bytes > from) table_bytes = from;
    struct pack_index *index;
    result code = object_read(a->home->all->engine, account_object_name(a->id, pack->object, name), from - table_bytes, pack->bytes - from + table_bytes,
                              deadline, &tail, fault);
    if (code == OK) code = pack_index_decode(view_from(buf_view(&tail), table_bytes), pack->bytes, pack->entries, &index, fault);
    if (code != OK && fault) fault_context(fault, "%s", name);
    if (code != OK) return account_report_corrupt(a, code, fault);
    struct index_kept *k = find_index(a, slot, pack->object);       /* another may have been faster */
    if (k) free(index);
    else k = keep_index(a, slot, pack->object, index, index->section_bytes ? view_slice(buf_view(&tail), 0, table_bytes) : VIEW_EMPTY);
    *ret_index = k;
    return OK;
}

MAY_YIELD result account_open_index(struct account *a, uint32_t slot, millis deadline, struct index_kept **ret_index, struct fault *fault)
{
    struct pack_slot pack;
    char text[OBJECT_NAME_MAX];
    result code = take_slot(a, slot, text, &pack, fault);
    if (code != OK) return code;
    struct index_kept *k = find_index(a, slot, pack.object);
    if (!k) code = read_index(a, slot, &pack, deadline, &k, fault);
    if (code != OK) return code;
    k->users++;
    *ret_index = k;
    return OK;
}

result account_object_of_entry(const struct account *a, view pack_object, const struct pack_entry *e, char text[static OBJECT_NAME_MAX], view *ret_name,
                               struct fault *fault)
{
    view object = e->archive ? archive_list_find(state_archive(a->state), e->archive) : pack_object;
    if (object.len == 0) return fail(fault, NOT_FOUND, "archived pack %u is not known", e->archive);
    *ret_name = account_object_name(a->id, object, text);
    if (e->archive) metric_add(METRIC_ARCHIVE_READS, 1);
    return OK;
}

/* ---- pieces of those that do not fit ---- */

static void piece_name(char text[static PIECE_NAME_MAX], view object, uint32_t number)
{
    snprintf(text, PIECE_NAME_MAX, "%.*s/%u", (int)object.len, object.at, number);
}

/* Where the piece of that name is, if it is there. */
static struct index_piece **piece_place(struct home *h, const char *name)
{
    if (!h->index_pieces) h->index_pieces = calloc(INDEX_PIECES, sizeof *h->index_pieces);
    check(h->index_pieces);
    return &h->index_pieces[hash_bytes(view_of(name)) % INDEX_PIECES];
}

static view find_piece(struct home *h, const char *name)
{
    const struct index_piece *piece = *piece_place(h, name);
    return piece && strcmp(piece->name, name) == 0 ? view_make(piece->at, piece->len) : VIEW_EMPTY;
}

static void keep_piece(struct home *h, const char *name, view entries)
{
    struct index_piece **place = piece_place(h, name);
    if (!*place) *place = malloc(sizeof **place);
    check(*place);
    snprintf((*place)->name, sizeof (*place)->name, "%s", name);
    (*place)->len = entries.len;
    memcpy((*place)->at, entries.at, entries.len);
}

void home_drop_index_pieces(struct home *h)
{
    for (size_t i = 0; h->index_pieces && i < INDEX_PIECES; i++) free(h->index_pieces[i]);
    free(h->index_pieces);
    h->index_pieces = NULL;
}

/* Packs never change: what was read of one once is right. */
MAY_YIELD static result read_entry(struct account *a, const struct pack_slot *pack, uint32_t entry, millis deadline, struct pack_entry *ret_entry,
                                   struct fault *fault)
{
    buf stored CLEANUP(buf_done) = BUF_INIT;
    struct home *h = a->home;
    char object[OBJECT_NAME_MAX], name[PIECE_NAME_MAX];
    view full = account_object_name(a->id, pack->object, object);
    uint32_t first = entry / PIECE_ENTRIES * PIECE_ENTRIES, at = entry % PIECE_ENTRIES * PACK_INDEX_ENTRY_BYTES;
    uint32_t count = pack->entries - first < PIECE_ENTRIES ? pack->entries - first : PIECE_ENTRIES;
    piece_name(name, full, first / PIECE_ENTRIES);
    view piece = find_piece(h, name);
    result code = OK;
    if (piece.len == 0) {
        code = object_read(h->all->engine, full, pack_entry_offset(pack->bytes, pack->entries, first), count * PACK_INDEX_ENTRY_BYTES, deadline, &stored, fault);
        piece = buf_view(&stored);
    }
    if (code == OK) code = pack_entry_decode(view_slice(piece, at, PACK_INDEX_ENTRY_BYTES), pack->bytes, pack->entries, ret_entry, fault);
    if (code == OK && stored.len) keep_piece(h, name, piece);
    if (code != OK && fault) fault_context(fault, "%s", object);
    return account_report_corrupt(a, code, fault);
}

/* ---- one entry ---- */

/* About: as if all packs were like this one. */
static bool indexes_fit(const struct account *a, const struct pack_slot *pack)
{
    return (uint64_t)pack->entries * sizeof(struct pack_entry) * state_packs(a->state) <= indexes_bytes(a->home);
}

result account_find_entry(struct account *a, uint32_t slot, uint32_t entry, millis deadline, struct pack_entry *ret_entry, char text[static OBJECT_NAME_MAX],
                          view *ret_name, struct fault *fault)
{
    struct pack_slot pack;
    struct pack_entry e;
    char object[OBJECT_NAME_MAX];
    result code = take_slot(a, slot, object, &pack, fault);
    if (code != OK) return code;
    if (entry >= pack.entries) return fail(fault, CORRUPT, "row names entry %u of a pack of %u", entry, pack.entries);
    struct index_kept *k = find_index(a, slot, pack.object);
    if (!k && indexes_fit(a, &pack)) code = read_index(a, slot, &pack, deadline, &k, fault);
    if (k) e = k->index->of[entry];
    else if (code == OK) code = read_entry(a, &pack, entry, deadline, &e, fault);
    if (code != OK) return code;
    if (e.method == PACK_ABSENT) return fail(fault, NOT_FOUND, "the message was reclaimed");
    *ret_entry = e;
    return account_object_of_entry(a, pack.object, &e, text, ret_name, fault);
}
