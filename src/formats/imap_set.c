#include "formats/imap_set.h"

#include <stdlib.h>
#include <string.h>

static int by_first(const void *left, const void *right)
{
    const struct imap_range *a = left, *b = right;
    return a->first < b->first ? -1 : a->first > b->first;
}

static bool is_rising(const struct imap_range *ranges, size_t count)
{
    for (size_t i = 1; i < count; i++)
        if (ranges[i].first < ranges[i - 1].first) return false;
    return true;
}

static size_t merge(struct imap_range *ranges, size_t count)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        struct imap_range *last = kept ? &ranges[kept - 1] : NULL;
        if (last && (uint64_t)ranges[i].first <= (uint64_t)last->last + 1) {
            if (ranges[i].last > last->last) last->last = ranges[i].last;
        } else {
            ranges[kept++] = ranges[i];
        }
    }
    return kept;
}

struct imap_set imap_set_resolve(const struct imap_set *written, uint32_t highest, struct arena *arena)
{
    struct imap_set set = {.ranges = arena_array(arena, struct imap_range, written->count)};
    for (size_t i = 0; i < written->count; i++) {
        struct imap_range r = written->ranges[i];
        if ((r.first == IMAP_STAR || r.last == IMAP_STAR) && highest == 0) continue;
        if (r.first == IMAP_STAR) r.first = highest;
        if (r.last == IMAP_STAR) r.last = highest;
        set.ranges[set.count++] = r.first <= r.last ? r : (struct imap_range){r.last, r.first};
    }
    if (!is_rising(set.ranges, set.count)) qsort(set.ranges, set.count, sizeof *set.ranges, by_first);
    set.count = merge(set.ranges, set.count);
    return set;
}

bool imap_set_has(const struct imap_set *resolved, uint32_t number)
{
    size_t low = 0, high = resolved->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct imap_range *r = &resolved->ranges[middle];
        if (number < r->first) {
            high = middle;
        } else if (number > r->last) {
            low = middle + 1;
        } else {
            return true;
        }
    }
    return false;
}

uint64_t imap_set_size(const struct imap_set *resolved)
{
    uint64_t size = 0;
    for (size_t i = 0; i < resolved->count; i++)
        size += (uint64_t)resolved->ranges[i].last - resolved->ranges[i].first + 1;
    return size;
}

void imap_set_builder_done(struct imap_set_builder *builder)
{
    buf_done(&builder->ranges);
}

void imap_set_builder_add_range(struct imap_set_builder *builder, uint32_t first, uint32_t last)
{
    struct imap_set set = imap_set_builder_set(builder);
    if (set.count && (uint64_t)set.ranges[set.count - 1].last + 1 == first) {
        set.ranges[set.count - 1].last = last;
        return;
    }
    struct imap_range r = {first, last};
    buf_append(&builder->ranges, view_make(&r, sizeof r));
}

void imap_set_builder_add(struct imap_set_builder *builder, uint32_t number)
{
    imap_set_builder_add_range(builder, number, number);
}

bool imap_set_builder_add_some_common(struct imap_set_builder *builder, const struct imap_set *a, const struct imap_set *b, size_t steps,
                                      struct imap_common_place *place)
{
    size_t i = place->a, k = place->b;
    for (; steps > 0 && i < a->count && k < b->count; steps--) {
        struct imap_range x = a->ranges[i], y = b->ranges[k];
        uint32_t first = x.first > y.first ? x.first : y.first, last = x.last < y.last ? x.last : y.last;
        if (first <= last) imap_set_builder_add_range(builder, first, last);
        if (x.last < y.last) {
            i++;
        } else {
            k++;
        }
    }
    *place = (struct imap_common_place){i, k};
    return i < a->count && k < b->count;
}

void imap_set_builder_add_common(struct imap_set_builder *builder, const struct imap_set *a, const struct imap_set *b)
{
    struct imap_common_place place = {0};
    (void)imap_set_builder_add_some_common(builder, a, b, SIZE_MAX, &place);
}

struct imap_set imap_set_builder_set(const struct imap_set_builder *builder)
{
    return (struct imap_set){.ranges = (struct imap_range *)(void *)builder->ranges.at,
                             .count = builder->ranges.len / sizeof(struct imap_range)};
}

static void write_number(buf *out, uint32_t number)
{
    if (number == IMAP_STAR) {
        buf_append_byte(out, '*');
    } else {
        buf_append_u64(out, number);
    }
}

void imap_set_write(buf *out, const struct imap_set *set)
{
    if (set->is_saved) buf_append_byte(out, '$');
    for (size_t i = 0; i < set->count; i++) {
        if (i) buf_append_byte(out, ',');
        write_number(out, set->ranges[i].first);
        if (set->ranges[i].first == set->ranges[i].last) continue;
        buf_append_byte(out, ':');
        write_number(out, set->ranges[i].last);
    }
}
