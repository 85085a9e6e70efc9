#include "account/search.h"

#include <stdlib.h>
#include <string.h>

#include "account/search_reader.h"
#include "base/check.h"
#include "base/cursor.h"
#include "base/hash.h"

/* What one segment says. */
struct answer {
    uint32_t documents, alone_count;
    uint64_t *sure, *maybe;
    size_t bytes;
    buf alone;                               /* as it stands in the segment, in order of id */
};

/* Entries of a pack, and the documents that they are. */
struct place { uint32_t pack, first, count, document; const struct answer *answer; };

struct search_hits {
    struct list node;                        /* in home.search_hits */
    unsigned users;
    struct account *account;                 /* held as long as there are users */
    uint64_t list_hash;                      /* of the segments that were asked */
    unsigned zones;
    buf needle;
    size_t bytes;
    struct answer *answers;
    size_t answer_count;
    struct place *places;                    /* in order of pack and entry */
    size_t place_count;
    size_t asked;                            /* the place of the row that was asked for last: rows come in order */
};

static void drop_hits(struct search_hits *h)
{
    list_remove(&h->node);
    h->account->home->search_hits_bytes -= h->bytes;
    for (size_t i = 0; i < h->answer_count; i++) {
        free(h->answers[i].sure);
        free(h->answers[i].maybe);
        buf_done(&h->answers[i].alone);
    }
    free(h->answers);
    free(h->places);
    buf_done(&h->needle);
    free(h);
}

void search_hits_free(struct search_hits *h)
{
    if (!h) return;
    struct account *a = h->account;
    struct home *home = a->home;
    h->users--;
    list_each (node, &home->search_hits) {
        struct search_hits *old = container_of(node, struct search_hits, node);
        if (home->search_hits_bytes <= SEARCH_HITS_BYTES) break;
        if (old->users == 0) drop_hits(old);
    }
    account_close(a);
}

void account_drop_hits(struct account *a)
{
    list_each (node, &a->home->search_hits) {
        struct search_hits *h = container_of(node, struct search_hits, node);
        if (h->account == a) drop_hits(h);
    }
}

/* The same question to the same segments. What came since is in none of them, so the answer is still right. */
static struct search_hits *find_hits(struct account *a, uint64_t list_hash, unsigned zones, view needle)
{
    struct home *home = a->home;
    list_each (node, &home->search_hits) {
        struct search_hits *h = container_of(node, struct search_hits, node);
        if (h->account != a || h->list_hash != list_hash || h->zones != zones || !view_equal(buf_view(&h->needle), needle)) continue;
        list_remove(node);
        list_append(&home->search_hits, node);
        return h;
    }
    return NULL;
}

/* Of segments that are believed. */
static uint64_t hash_list(const struct account *a, const struct search_list *l)
{
    uint64_t hash = l->count;
    for (size_t i = 0; i < l->count; i++) hash = hash * 31 + (search_is_distrusted(a, l->segments[i].object) ? 1 : hash_bytes(l->segments[i].object));
    return hash;
}

/* ---- asking ---- */

MAY_YIELD static result ask(struct search_reader *r, const struct search_query *q, unsigned zones, struct answer *answer, struct fault *fault)
{
    const struct segment_footer *f = &r->index->footer;
    struct segment_source source = search_reader_source(r);
    size_t words = segment_bits_words(f->documents);
    answer->sure = calloc(words, sizeof *answer->sure);
    answer->maybe = calloc(words, sizeof *answer->maybe);
    check(answer->sure && answer->maybe);
    answer->documents = f->documents;
    result code = segment_find(r->index, &source, q, zones, answer->sure, answer->maybe, fault);
    if (code == OK) code = search_reader_read(r, f->alone_offset, (size_t)f->alone * SEGMENT_ALONE_BYTES, &answer->alone, fault);
    if (code == OK) answer->alone_count = f->alone;
    answer->bytes = 2 * words * sizeof *answer->sure + answer->alone.capacity;
    return code;
}

static void forget_answer(struct answer *answer)
{
    free(answer->sure);
    free(answer->maybe);
    buf_done(&answer->alone);
    *answer = (struct answer){0};
}

/* One that is damaged answers nothing. */
MAY_YIELD static result ask_segment(struct search_hits *h, const struct search_segment *g, const struct search_query *q, unsigned zones, millis deadline,
                                    struct fault *fault)
{
    struct search_reader *r;
    struct answer *answer = &h->answers[h->answer_count];
    result code = search_reader_open(h->account, g->object, deadline, &r, fault);
    if (code != OK) return code;
    code = r->index->footer.documents == search_segment_documents(g) ? ask(r, q, zones, answer, fault) : fail(fault, CORRUPT, "search segment: not as listed");
    if (code == CORRUPT) search_reader_distrust(r);
    search_reader_close(r);
    if (code != OK) {
        forget_answer(answer);
        return code;
    }
    h->answer_count++;
    h->bytes += answer->bytes;
    for (size_t i = 0, document = 0; i < g->range_count; document += g->ranges[i++].count) {
        if (g->ranges[i].pack == SEARCH_ALONE) continue;
        h->places[h->place_count++] = (struct place){g->ranges[i].pack, g->ranges[i].first, g->ranges[i].count, (uint32_t)document, answer};
    }
    return OK;
}

static int by_pack(const void *left, const void *right)
{
    const struct place *a = left, *b = right;
    if (a->pack != b->pack) return a->pack < b->pack ? -1 : 1;
    return (a->first > b->first) - (a->first < b->first);
}

/* The account may change while we look: packs keep their places, and segments that went out of use are kept for the grace period. */
result account_search(struct account *a, unsigned zones, view needle, millis deadline, struct search_hits **ret_hits, struct fault *fault)
{
    uint64_t list_hash = hash_list(a, state_search(a->state));
    struct search_hits *h = find_hits(a, list_hash, zones, needle);
    account_hold(a);
    if (h) {
        h->users++;
        *ret_hits = h;
        return OK;
    }
    struct search_query *q = malloc(sizeof *q);
    struct search_list list;
    size_t ranges = 0;
    result code = OK;
    h = calloc(1, sizeof *h);
    check(q && h);
    search_query_make(needle, q);
    *h = (struct search_hits){.users = 1, .account = a, .list_hash = list_hash, .zones = zones};
    list_init(&h->node);
    buf_append(&h->needle, needle);
    search_list_copy(&list, state_search(a->state));
    for (size_t i = 0; i < list.count; i++) ranges += list.segments[i].range_count;
    h->answers = calloc(list.count + 1, sizeof *h->answers);
    h->places = calloc(ranges + 1, sizeof *h->places);
    check(h->answers && h->places);
    for (size_t i = 0; i < list.count && (code == OK || code == CORRUPT); i++) code = ask_segment(h, &list.segments[i], q, zones, deadline, fault);
    if (code == CORRUPT) code = OK;
    if (h->place_count) qsort(h->places, h->place_count, sizeof *h->places, by_pack);
    search_list_done(&list);
    free(q);
    h->bytes += sizeof *h + ranges * sizeof *h->places + h->needle.capacity;
    a->home->search_hits_bytes += h->bytes;
    list_append(&a->home->search_hits, &h->node);
    if (code == OK) {
        *ret_hits = h;
        return OK;
    }
    drop_hits(h);
    account_close(a);
    return code;
}

/* ---- verdicts ---- */

static enum search_verdict verdict_of(const struct answer *answer, uint32_t document)
{
    if (document >= answer->documents) return SEARCH_MAYBE;
    if (answer->sure[document / 64] >> document % 64 & 1) return SEARCH_YES;
    return answer->maybe[document / 64] >> document % 64 & 1 ? SEARCH_MAYBE : SEARCH_NO;
}

static bool is_at(const struct place *p, uint32_t pack, uint32_t entry) { return p->pack == pack && entry >= p->first && entry - p->first < p->count; }

static enum search_verdict entry_verdict(struct search_hits *h, uint32_t pack, uint32_t entry)
{
    size_t low = 0, high = h->place_count;
    const struct place *p = h->asked < high ? &h->places[h->asked] : NULL;
    if (p && is_at(p, pack, entry)) return verdict_of(p->answer, p->document + (entry - p->first));
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        p = &h->places[middle];
        if (p->pack < pack || (p->pack == pack && p->first <= entry)) low = middle + 1;
        else high = middle;
    }
    if (low == 0 || !is_at(&h->places[low - 1], pack, entry)) return SEARCH_MAYBE;
    p = &h->places[h->asked = low - 1];
    return verdict_of(p->answer, p->document + (entry - p->first));
}

static bool find_alone(const struct answer *answer, struct id message, uint32_t *ret_document)
{
    size_t low = 0, high = answer->alone_count;
    view wanted = id_view(&message);
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        struct cursor c = cursor_of(view_slice(buf_view(&answer->alone), middle * SEGMENT_ALONE_BYTES, SEGMENT_ALONE_BYTES));
        struct id id;
        if (!take_raw_id(&c, &id) || !take_le32(&c, ret_document)) return false;
        int order = view_compare(id_view(&id), wanted);
        if (order == 0) return true;
        if (order < 0) low = middle + 1;
        else high = middle;
    }
    return false;
}

enum search_verdict search_hits_verdict(struct search_hits *h, const struct row *row)
{
    struct body_place place;
    uint32_t document;
    if (row->pack != ROW_IN_JOURNAL && row->pack != ROW_ALONE) return entry_verdict(h, row->pack, row->entry);
    if (row->pack == ROW_ALONE) {
        for (size_t i = 0; i < h->answer_count; i++)
            if (find_alone(&h->answers[i], row->message, &document)) return verdict_of(&h->answers[i], document);
        return SEARCH_MAYBE;
    }
    if (!state_body(h->account->state, row, &place) || place.kind != BODY_IN_PACK) return SEARCH_MAYBE;
    return entry_verdict(h, place.pack, place.entry);
}

void account_search_size(const struct account *a, uint64_t *ret_documents, uint64_t *ret_segments)
{
    const struct search_list *l = state_search(a->state);
    *ret_documents = 0;
    *ret_segments = l->count;
    for (size_t i = 0; i < l->count; i++) *ret_documents += search_segment_documents(&l->segments[i]);
}
