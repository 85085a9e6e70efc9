/* Which segments the index for searches has, and which entries of packs none has. */
#include <stdlib.h>
#include <string.h>

#include "account/state_private.h"
#include "base/check.h"

const struct search_list *state_search(const struct state *s) { return &s->search; }

uint32_t search_segment_documents(const struct search_segment *g)
{
    uint32_t documents = 0;
    for (size_t i = 0; i < g->range_count; i++) documents += g->ranges[i].count;
    return documents;
}

void search_list_add(struct search_list *l, view object, const struct search_range *ranges, size_t count)
{
    struct search_range *kept = malloc((count + 1) * sizeof *kept);
    check(kept != NULL);
    if (count) memcpy(kept, ranges, count * sizeof *kept);
    l->segments = state_grow(l->segments, l->count, &l->capacity, sizeof *l->segments);
    l->segments[l->count++] = (struct search_segment){state_keep_text(object), kept, count};
}

static void segment_done(struct search_segment *g)
{
    free((char *)(uintptr_t)g->object.at);
    free(g->ranges);
}

void search_list_remove(struct search_list *l, size_t index)
{
    segment_done(&l->segments[index]);
    l->count--;
    memmove(&l->segments[index], &l->segments[index + 1], (l->count - index) * sizeof *l->segments);
}

void search_list_copy(struct search_list *into, const struct search_list *l)
{
    *into = (struct search_list){.alone_sequence = l->alone_sequence};
    for (size_t i = 0; i < l->count; i++) search_list_add(into, l->segments[i].object, l->segments[i].ranges, l->segments[i].range_count);
}

void search_list_done(struct search_list *l)
{
    for (size_t i = 0; i < l->count; i++) segment_done(&l->segments[i]);
    free(l->segments);
    *l = (struct search_list){0};
}

/* The first entry at or after `entry` that no range has; *ret_end: where the next range begins. */
static uint32_t first_missing(const struct search_list *l, uint32_t pack, uint32_t entry, uint32_t entries, uint32_t *ret_end)
{
    uint32_t end = entries;
    bool moved = true;
    while (moved) {
        moved = false;
        end = entries;
        for (size_t i = 0; i < l->count; i++) {
            for (size_t k = 0; k < l->segments[i].range_count; k++) {
                const struct search_range *r = &l->segments[i].ranges[k];
                if (r->pack != pack || r->first + r->count <= entry) continue;
                if (r->first > entry) {
                    if (r->first < end) end = r->first;
                    continue;
                }
                entry = r->first + r->count;
                moved = true;
            }
        }
    }
    *ret_end = end;
    return entry;
}

bool state_search_missing(const struct state *s, const struct search_list *l, struct search_range *from, struct search_range *ret_range)
{
    for (; from->pack < s->pack_count; from->pack++, from->first = 0) {
        const struct pack_slot *p = &s->packs[from->pack];
        uint32_t end, first;
        if (p->object.len == 0) continue;
        first = first_missing(l, from->pack, from->first, p->entries, &end);
        if (first >= p->entries) continue;
        *ret_range = (struct search_range){from->pack, first, end - first};
        from->first = end;
        return true;
    }
    return false;
}
