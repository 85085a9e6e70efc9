#include "account/indexing.h"

#include <stdlib.h>
#include <string.h>

#include "account/compact.h"
#include "account/search_reader.h"
#include "base/check.h"
#include "runtime/point.h"
#include "runtime/random.h"

enum {
    CATCH_UP_BYTES_MAX = 128 << 20,          /* of messages, in one compaction */
    CATCH_UP_DOCUMENTS_MAX = 50000,
    PIECE_BYTES = 1 << 20,
    WHOLE_BYTES_MAX = 32 << 20,              /* a larger message is looked into by who searches */
    TIER_FIRST_DOCUMENTS = 512, TIER_FACTOR = 8, TIER_SEGMENTS_MAX = 8,
    MERGES_MAX = 8,                          /* in one compaction */
    LOAD_KEYS = 32,
};

/* ---- segments ---- */

static void add_range(struct indexing *x, uint32_t pack, uint32_t entry)
{
    struct search_range *last = x->range_count ? &x->ranges[x->range_count - 1] : NULL;
    if (last && last->pack == pack && (pack == SEARCH_ALONE || last->first + last->count == entry)) {
        last->count++;
        return;
    }
    if (x->range_count == x->range_capacity) {
        x->range_capacity = x->range_capacity ? 2 * x->range_capacity : 16;
        x->ranges = realloc(x->ranges, x->range_capacity * sizeof *x->ranges);
        check(x->ranges);
    }
    x->ranges[x->range_count++] = (struct search_range){pack, pack == SEARCH_ALONE ? 0 : entry, 1};
}

static struct made_segment *make_segment(struct indexing *x)
{
    if (x->made_count == x->made_capacity) {
        x->made_capacity = x->made_capacity ? 2 * x->made_capacity : 8;
        x->made = realloc(x->made, x->made_capacity * sizeof *x->made);
        check(x->made);
    }
    struct made_segment *made = &x->made[x->made_count++];
    *made = (struct made_segment){0};
    object_name_make('i', random_id(), made->name);
    return made;
}

void indexing_begin(struct compaction *c)
{
    struct account *a = c->account;
    struct indexing *x = &c->indexing;
    search_list_copy(&x->list, state_search(a->state));
    x->is_on = accounts_feature_level(a->home->all) >= FEATURE_SEARCH;
    x->has_filters = accounts_feature_level(a->home->all) >= FEATURE_SEARCH_FILTERS;
    x->first_pack = (uint32_t)state_packs(a->state);
    for (size_t i = x->list.count; i > 0; i--) {
        if (!search_is_distrusted(a, x->list.segments[i - 1].object)) continue;
        search_list_remove(&x->list, i - 1);
        x->list.alone_sequence = 0;          /* which messages alone it had is not known */
    }
    x->old_count = x->list.count;
    if (x->is_on) x->builder = segment_builder_new();
}

void indexing_add(struct compaction *c, uint32_t pack, uint32_t entry, view message)
{
    struct indexing *x = &c->indexing;
    if (!x->is_on) return;
    (void)segment_builder_add(x->builder, message);
    add_range(x, x->first_pack + pack, entry);
}

void indexing_seal(struct compaction *c)
{
    struct indexing *x = &c->indexing;
    if (!x->is_on || segment_builder_documents(x->builder) == 0) return;
    struct made_segment *made = make_segment(x);
    search_list_add(&x->list, view_of(made->name), x->ranges, x->range_count);
    x->range_count = 0;
}

struct writing { struct indexing *indexing; struct made_segment *made; };

BLOCKS static void write_segment(void *argument)
{
    struct writing *w = argument;
    segment_builder_write(w->indexing->builder, w->indexing->has_filters, &w->made->bytes);
}

result indexing_write_last(struct compaction *c, struct fault *fault)
{
    struct indexing *x = &c->indexing;
    char name[OBJECT_NAME_MAX];
    if (!x->is_on || segment_builder_documents(x->builder) == 0) return OK;
    struct writing w = {x, &x->made[x->made_count - 1]};
    result code = compaction_on_worker(c, write_segment, &w, fault);
    POINT("account.index.before_put");
    if (code == OK) code = object_put(c->account->home->all->engine, account_object_name(c->account->id, view_of(w.made->name), name), buf_view(&w.made->bytes),
                                      c->deadline, fault);
    POINT("account.index.put");
    c->written_bytes += w.made->bytes.len;
    c->indexed_bytes += w.made->bytes.len;
    buf_done(&w.made->bytes);
    return code;
}

result indexing_flush(struct compaction *c, bool is_last, struct fault *fault)
{
    struct indexing *x = &c->indexing;
    if (!x->is_on || (!is_last && !segment_builder_is_full(x->builder))) return OK;
    indexing_seal(c);
    return indexing_write_last(c, fault);
}

/* ---- entries of packs that no segment has ---- */

struct gap {
    struct compaction *compaction;
    uint32_t pack, first, count;             /* of the entries in `piece` */
    const struct pack_index *index;
    uint64_t piece_at;
    buf piece, message;
};

BLOCKS static void index_piece(void *argument)
{
    struct gap *g = argument;
    struct indexing *x = &g->compaction->indexing;
    void *unzip = pack_unzip_new();
    for (uint32_t i = g->first; i < g->first + g->count; i++) {
        const struct pack_entry *e = &g->index->of[i];
        bool is_there = e->method != PACK_ABSENT;
        buf_clear(&g->message);
        if (is_there && pack_unpack(e, view_slice(buf_view(&g->piece), (size_t)(e->offset - g->piece_at), e->stored_bytes), unzip, &g->message, NULL) == OK) {
            (void)segment_builder_add(x->builder, buf_view(&g->message));
        } else {
            (void)segment_builder_add_empty(x->builder, is_there);
        }
        add_range(x, g->pack, i);
    }
    pack_unzip_free(unzip);
}

/* As many entries as lie in one piece. */
static void choose_piece(struct gap *g, uint32_t entry, uint32_t end, size_t *ret_bytes, uint32_t *ret_archive)
{
    uint32_t archive = 0;
    uint64_t piece_end = 0;
    g->first = entry;
    g->count = 0;
    g->piece_at = 0;
    for (; entry < end; entry++, g->count++) {
        const struct pack_entry *e = &g->index->of[entry];
        if (e->method == PACK_ABSENT) continue;
        if (piece_end == 0) {
            g->piece_at = e->offset;
            archive = e->archive;
        }
        if (piece_end && (e->archive != archive || e->offset < piece_end || e->offset + e->stored_bytes - g->piece_at > PIECE_BYTES)) break;
        piece_end = (uint64_t)e->offset + e->stored_bytes;
    }
    *ret_bytes = (size_t)(piece_end - g->piece_at);
    *ret_archive = archive;
}

MAY_YIELD static result index_gap(struct compaction *c, struct gap *g, const struct search_range *range, view object, struct fault *fault)
{
    result code = OK;
    char name[OBJECT_NAME_MAX];
    g->pack = range->pack;
    for (uint32_t entry = range->first; code == OK && entry < range->first + range->count && !c->is_lost; entry += g->count) {
        size_t bytes;
        uint32_t archive;
        choose_piece(g, entry, range->first + range->count, &bytes, &archive);
        view from = archive ? archive_list_find(state_archive(c->account->state), archive) : object;
        buf_clear(&g->piece);
        view full = account_object_name(c->account->id, from, name);
        if (bytes && from.len) code = object_read(c->account->home->all->engine, full, g->piece_at, bytes, c->deadline, &g->piece, fault);
        /* What is in an archive that is away is looked into by who searches, until it is built anew. */
        if (archive && code == UNAVAILABLE) code = OK;
        if (code == OK) code = compaction_on_worker(c, index_piece, g, fault);
        c->read_bytes += bytes;
        if (code == OK) code = indexing_flush(c, false, fault);
    }
    return code;
}

/* Of a pack that cannot be read: there is more to mend than an index, which is not to be tried again and again. */
static void skip_gap(struct compaction *c, const struct search_range *range)
{
    struct indexing *x = &c->indexing;
    for (uint32_t i = 0; i < range->count; i++) {
        (void)segment_builder_add_empty(x->builder, true);
        add_range(x, range->pack, range->first + i);
    }
}

MAY_YIELD static result catch_up_packs(struct compaction *c, struct fault *fault)
{
    struct account *a = c->account;
    struct search_range from = {0}, range;
    struct search_list before;
    uint64_t began = c->read_bytes, documents = 0;
    result code = OK;
    search_list_copy(&before, &c->indexing.list);
    while (code == OK && !c->is_lost && c->read_bytes - began < CATCH_UP_BYTES_MAX && documents < CATCH_UP_DOCUMENTS_MAX &&
           state_search_missing(a->state, &before, &from, &range)) {
        struct pack_slot p = state_pack(a->state, range.pack);
        struct pack_index *index;
        struct gap g = {.compaction = c};
        p.object = arena_keep(c->arena, p.object);
        documents += range.count;
        code = compaction_read_index(c, &p, &index, fault);
        if (code == CORRUPT || code == NOT_FOUND) {
            skip_gap(c, &range);
            code = OK;
            continue;
        }
        if (code != OK) break;
        g.index = index;
        code = index_gap(c, &g, &range, p.object, fault);
        buf_done(&g.piece);
        buf_done(&g.message);
        free(index);
    }
    search_list_done(&before);
    return code;
}

/* ---- messages that are objects of their own ---- */

struct alone_row { uint32_t mailbox; struct row row; };

struct alone_rows {
    struct alone_row *at;
    size_t count, capacity;
    uint64_t since;
};

static void note_alone(void *argument, uint32_t mailbox, const struct row *row)
{
    struct alone_rows *l = argument;
    if (row->pack != ROW_ALONE || row->modseq <= l->since) return;
    if (l->count == l->capacity) {
        l->capacity = l->capacity ? 2 * l->capacity : 64;
        l->at = realloc(l->at, l->capacity * sizeof *l->at);
        check(l->at);
    }
    l->at[l->count++] = (struct alone_row){mailbox, *row};
}

/* Those that came with records after `since`. */
MAY_YIELD static result find_alone(struct compaction *c, struct alone_rows *l, struct fault *fault)
{
    struct account *a = c->account;
    struct block_key keys[LOAD_KEYS];
    result code = OK;
    a->pins++;
    for (size_t count; code == OK && (count = state_needs_since(a->state, l->since, keys, LOAD_KEYS)) > 0;) {
        code = account_load_blocks(a, keys, count, c->deadline, fault);
        if (coroutine_is_overdue()) coroutine_pause();
    }
    if (code == OK) code = account_hold_still(a, c->deadline, fault);
    if (code == OK) {
        /* What came while we waited for the lock. */
        for (size_t count; code == OK && (count = state_needs_since(a->state, l->since, keys, LOAD_KEYS)) > 0;)
            code = account_load_blocks_locked(a, keys, count, c->deadline, fault);
        const struct state_turns turns = account_turns(a);
        if (code == OK) state_each_row_since(a->state, l->since, note_alone, l, &turns);
        account_hold_no_more(a);
    }
    a->pins--;
    return code;
}

/* Messages alone that the segments have, as keys. */
MAY_YIELD static result note_indexed(struct compaction *c, struct map *indexed, struct fault *fault)
{
    const struct search_list *l = &c->indexing.list;
    for (size_t i = 0; i < c->indexing.old_count; i++) {
        struct search_reader *r;
        buf table CLEANUP(buf_done) = BUF_INIT;
        result code = search_reader_open(c->account, l->segments[i].object, c->deadline, &r, fault);
        if (code != OK) return code;
        code = search_reader_read(r, r->index->footer.alone_offset, (size_t)r->index->footer.alone * SEGMENT_ALONE_BYTES, &table, fault);
        if (code == CORRUPT) search_reader_distrust(r);
        search_reader_close(r);
        if (code != OK) return code;
        view kept = arena_keep(c->arena, buf_view(&table));
        for (; kept.len; kept = view_from(kept, SEGMENT_ALONE_BYTES)) map_put(indexed, view_slice(kept, 0, 16), c);
    }
    return OK;
}

struct one { struct compaction *compaction; view bytes; bool is_read; struct id message; };

BLOCKS static void index_one(void *argument)
{
    struct one *o = argument;
    struct indexing *x = &o->compaction->indexing;
    if (o->is_read) (void)segment_builder_add(x->builder, o->bytes);
    else (void)segment_builder_add_empty(x->builder, true);
    segment_builder_is_alone(x->builder, o->message);
    add_range(x, SEARCH_ALONE, 0);
}

MAY_YIELD static result index_alone(struct compaction *c, const struct alone_row *row, struct fault *fault)
{
    struct message *m = NULL;
    struct one o = {.compaction = c, .message = row->row.message};
    bool fits = row->row.size_bytes <= WHOLE_BYTES_MAX;
    result code = fits ? message_open(c->account, row->mailbox, &row->row, c->deadline, &m, fault) : OK;
    if (code == OK && fits) code = message_whole(m, c->deadline, &o.bytes, fault);
    o.is_read = fits && code == OK;
    /* One that is gone meanwhile, or damaged, is not for the index to complain about. */
    if (code == OK || code == CORRUPT) code = compaction_on_worker(c, index_one, &o, fault);
    if (code == NOT_FOUND) code = OK;
    message_close(m);
    c->read_bytes += o.bytes.len;
    return code == OK ? indexing_flush(c, false, fault) : code;
}

MAY_YIELD static result catch_up_alone(struct compaction *c, struct fault *fault)
{
    struct alone_rows rows = {.since = c->indexing.list.alone_sequence};
    struct map indexed CLEANUP(map_done) = MAP_INIT;
    uint64_t sequence = state_sequence(c->account->state), began = c->read_bytes;
    result code = find_alone(c, &rows, fault);
    if (code == OK && rows.count) code = note_indexed(c, &indexed, fault);
    size_t i = 0;
    for (; code == OK && i < rows.count && c->read_bytes - began < CATCH_UP_BYTES_MAX && !c->is_lost; i++) {
        view id = id_view(&rows.at[i].row.message);
        if (map_get(&indexed, id)) continue;
        map_put(&indexed, arena_keep(c->arena, id), c);
        code = index_alone(c, &rows.at[i], fault);
    }
    if (code == OK && i == rows.count) c->indexing.list.alone_sequence = sequence;
    free(rows.at);
    return code;
}

/* ---- merging ---- */

static unsigned tier_of(const struct search_segment *g)
{
    unsigned tier = 0;
    for (uint64_t limit = TIER_FIRST_DOCUMENTS; search_segment_documents(g) >= limit; limit *= TIER_FACTOR) tier++;
    return tier;
}

static bool can_grow(const struct search_segment *g) { return search_segment_documents(g) <= SEGMENT_DOCUMENTS_MAX / TIER_FACTOR; }

/* Of the first `count` segments: those of the lowest tier that has too many. Indexes rise. */
static size_t choose_merge(const struct search_list *l, size_t count, size_t chosen[static SEGMENT_MERGE_INPUTS_MAX])
{
    for (unsigned tier = 0; tier < 32; tier++) {
        size_t found = 0;
        uint64_t documents = 0;
        for (size_t i = 0; i < count && found < SEGMENT_MERGE_INPUTS_MAX; i++) {
            const struct search_segment *g = &l->segments[i];
            uint32_t more = search_segment_documents(g);
            if (tier_of(g) != tier || !can_grow(g) || documents + more > SEGMENT_DOCUMENTS_MAX) continue;
            documents += more;
            chosen[found++] = i;
        }
        if (found >= TIER_SEGMENTS_MAX) return found;
    }
    return 0;
}

struct merging {
    struct compaction *compaction;
    struct segment_merge *merge;
    struct search_reader *readers[SEGMENT_MERGE_INPUTS_MAX];
    size_t count;
    struct object_writer *object;
    result code;
    struct fault *fault;
};

BLOCKS static void merge_step(void *argument)
{
    struct merging *g = argument;
    g->code = segment_merge_step(g->merge, g->fault);
}

MAY_YIELD static result write_out(struct merging *g)
{
    struct segment_writer *w = segment_merge_out(g->merge);
    result code = object_write(g->object, buf_view(&w->out), g->compaction->deadline, g->fault);
    g->compaction->written_bytes += w->out.len;
    segment_writer_took(w);
    return code;
}

MAY_YIELD static result read_wanted(struct merging *g)
{
    size_t input, bytes;
    uint64_t offset;
    buf *into = segment_merge_wants(g->merge, &input, &offset, &bytes);
    result code = search_reader_read(g->readers[input], offset, bytes, into, g->fault);
    g->compaction->read_bytes += bytes;
    if (code == CORRUPT) search_reader_distrust(g->readers[input]);
    return code;
}

MAY_YIELD static result merge_all(struct merging *g)
{
    struct compaction *c = g->compaction;
    while (!c->is_lost) {
        result code = compaction_on_worker(c, merge_step, g, g->fault);
        if (code != OK) return code;
        if (g->code == BUSY) code = read_wanted(g);
        else if (g->code == OK || g->code == END) code = write_out(g);
        else code = g->code;
        if (code != OK || g->code == END) return code;
    }
    return CANCELLED;
}

MAY_YIELD static result open_inputs(struct merging *g, const struct search_list *l, const size_t *chosen, size_t count, const uint64_t *living)
{
    struct segment_merge_input inputs[SEGMENT_MERGE_INPUTS_MAX];
    for (; g->count < count; g->count++) {
        const struct search_segment *s = &l->segments[chosen[g->count]];
        result code = search_reader_open(g->compaction->account, s->object, g->compaction->deadline, &g->readers[g->count], g->fault);
        if (code != OK) return code;
        inputs[g->count] = (struct segment_merge_input){.index = g->readers[g->count]->index, .living = living};
        if (inputs[g->count].index->footer.documents == search_segment_documents(s)) continue;
        search_reader_distrust(g->readers[g->count]);
        search_reader_close(g->readers[g->count]);
        return fail(g->fault, CORRUPT, "search segment: not as listed");
    }
    g->merge = segment_merge_new(inputs, count, g->compaction->indexing.has_filters);
    return OK;
}

static void list_merged(struct indexing *x, const char *name, const size_t *chosen, size_t count)
{
    struct search_range *ranges = NULL;
    size_t range_count = 0;
    for (size_t i = 0; i < count; i++) range_count += x->list.segments[chosen[i]].range_count;
    ranges = malloc((range_count + 1) * sizeof *ranges);
    check(ranges);
    range_count = 0;
    for (size_t i = 0; i < count; i++) {
        const struct search_segment *g = &x->list.segments[chosen[i]];
        memcpy(ranges + range_count, g->ranges, g->range_count * sizeof *ranges);
        range_count += g->range_count;
    }
    for (size_t i = count; i > 0; i--) search_list_remove(&x->list, chosen[i - 1]);
    x->old_count -= count;
    search_list_add(&x->list, view_of(name), ranges, range_count);
    free(ranges);
}

/* `living`: bits of the documents of the one that is chosen; NULL: all. */
MAY_YIELD static result merge_segments(struct compaction *c, const size_t *chosen, size_t count, const uint64_t *living, struct fault *fault)
{
    struct merging g = {.compaction = c, .fault = fault};
    char full[OBJECT_NAME_MAX];
    struct made_segment *made = make_segment(&c->indexing);
    char name[INDEXING_NAME_MAX];
    memcpy(name, made->name, sizeof name);
    result code = open_inputs(&g, &c->indexing.list, chosen, count, living);
    if (code == OK) code = object_create(c->account->home->all->engine, account_object_name(c->account->id, view_of(name), full), c->deadline, &g.object, fault);
    if (code == OK) {
        code = merge_all(&g);
        if (code == OK) code = object_commit(g.object, c->deadline, fault);
        else object_abort(g.object);
    }
    POINT("account.index.merged");
    if (code == OK) list_merged(&c->indexing, name, chosen, count);
    segment_merge_free(g.merge);
    for (size_t i = 0; i < g.count; i++) search_reader_close(g.readers[i]);
    return code;
}

MAY_YIELD static result merge_some(struct compaction *c, struct fault *fault)
{
    size_t chosen[SEGMENT_MERGE_INPUTS_MAX], count;
    result code = OK;
    for (unsigned i = 0; code == OK && i < MERGES_MAX && !c->is_lost && (count = choose_merge(&c->indexing.list, c->indexing.old_count, chosen)) > 0; i++)
        code = merge_segments(c, chosen, count, NULL, fault);
    return code;
}

/* ---- what died ---- */

static bool has_rewritten(const struct compaction *c, const struct search_segment *g)
{
    for (size_t i = 0; i < g->range_count; i++)
        if (g->ranges[i].pack < c->replaced_count && c->replaced[g->ranges[i].pack].object.len && c->replacements[g->ranges[i].pack].has_lost) return true;
    return false;
}

/* Messages alone are taken to live: the next merge asks nobody about them either. */
static uint64_t *living_bits(const struct search_segment *g, indexing_living_fn *is_living, const void *argument)
{
    uint64_t *bits = calloc(segment_bits_words(search_segment_documents(g)), sizeof *bits);
    uint32_t document = 0;
    check(bits);
    for (size_t i = 0; i < g->range_count; i++) {
        const struct search_range *r = &g->ranges[i];
        for (uint32_t k = 0; k < r->count; k++, document++)
            if (r->pack == SEARCH_ALONE || is_living(argument, r->pack, r->first + k)) bits[document / 64] |= (uint64_t)1 << document % 64;
    }
    return bits;
}

result indexing_drop_dead(struct compaction *c, indexing_living_fn *is_living, const void *argument, struct fault *fault)
{
    struct indexing *x = &c->indexing;
    result code = OK;
    for (size_t i = x->old_count; x->is_on && code == OK && i > 0 && !c->is_lost; i--) {
        const struct search_segment *g = &x->list.segments[i - 1];
        if (!has_rewritten(c, g)) continue;
        uint64_t *living = living_bits(g, is_living, argument);
        size_t chosen[SEGMENT_MERGE_INPUTS_MAX] = {i - 1};
        code = merge_segments(c, chosen, 1, living, fault);
        free(living);
    }
    return code == CORRUPT || code == CANCELLED ? coroutine_check() : code;
}

/* ---- all of it ---- */

/* A damaged segment keeps nobody from compacting: the next compaction builds it anew. */
result indexing_catch_up(struct compaction *c, struct fault *fault)
{
    if (!c->indexing.is_on) return OK;
    result code = catch_up_packs(c, fault);
    if (code == OK) code = catch_up_alone(c, fault);
    if (code == OK) code = merge_some(c, fault);
    return code == CORRUPT || code == CANCELLED ? coroutine_check() : code;
}

void indexing_remove_objects(struct compaction *c, millis deadline)
{
    char name[OBJECT_NAME_MAX];
    for (size_t i = 0; i < c->indexing.made_count; i++)
        (void)!object_remove(c->account->home->all->engine, account_object_name(c->account->id, view_of(c->indexing.made[i].name), name), deadline, NULL);
}

void indexing_end(struct compaction *c)
{
    struct indexing *x = &c->indexing;
    segment_builder_free(x->builder);
    for (size_t i = 0; i < x->made_count; i++) buf_done(&x->made[i].bytes);
    free(x->made);
    free(x->ranges);
    search_list_done(&x->list);
}

bool account_wants_indexing(const struct account *a)
{
    const struct search_list *l = state_search(a->state);
    struct search_range from = {0}, range;
    size_t chosen[SEGMENT_MERGE_INPUTS_MAX];
    if (accounts_feature_level(a->home->all) < FEATURE_SEARCH) return false;
    for (size_t i = 0; i < l->count; i++)
        if (search_is_distrusted(a, l->segments[i].object)) return true;
    return state_search_missing(a->state, l, &from, &range) || choose_merge(l, l->count, chosen) > 0;
}
