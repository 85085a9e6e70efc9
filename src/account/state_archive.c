/* Which packs an account has in the archive, and how old the oldest message is that is not there. */
#include <stdlib.h>
#include <string.h>

#include "account/state_private.h"
#include "base/check.h"

const struct archive_list *state_archive(const struct state *s) { return &s->archive; }

void archive_arrives(struct state *s, unix_ms internal_date)
{
    if (internal_date.ms < s->archive.oldest.ms) s->archive.oldest = internal_date;
    if (internal_date.ms < s->arrived_oldest.ms) s->arrived_oldest = internal_date;
}

void state_archive_look(struct state *s) { s->arrived_oldest = ARCHIVE_OLDEST_NONE; }

view archive_list_find(const struct archive_list *l, uint32_t number)
{
    size_t low = 0, high = l->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (l->packs[middle].number < number) low = middle + 1;
        else high = middle;
    }
    return low < l->count && l->packs[low].number == number ? l->packs[low].object : VIEW_EMPTY;
}

uint64_t archive_list_bytes(const struct archive_list *l)
{
    uint64_t bytes = l->alone_bytes;
    for (size_t i = 0; i < l->count; i++) bytes += l->packs[i].bytes;
    return bytes;
}

void archive_list_put(struct archive_list *l, uint32_t number, view object, uint64_t bytes)
{
    l->packs = state_grow(l->packs, l->count, &l->capacity, sizeof *l->packs);
    l->packs[l->count++] = (struct archived_pack){number, state_keep_text(object), bytes};
}

uint32_t archive_list_add(struct archive_list *l, view object)
{
    uint32_t number = l->next_number++;
    archive_list_put(l, number, object, 0);
    return number;
}

void archive_list_remove(struct archive_list *l, size_t index)
{
    free((char *)(uintptr_t)l->packs[index].object.at);
    l->count--;
    memmove(&l->packs[index], &l->packs[index + 1], (l->count - index) * sizeof *l->packs);
}

void archive_list_copy(struct archive_list *into, const struct archive_list *l)
{
    *into = *l;
    into->packs = NULL;
    into->count = into->capacity = 0;
    for (size_t i = 0; i < l->count; i++) archive_list_put(into, l->packs[i].number, l->packs[i].object, l->packs[i].bytes);
}

void archive_list_done(struct archive_list *l)
{
    for (size_t i = 0; i < l->count; i++) free((char *)(uintptr_t)l->packs[i].object.at);
    free(l->packs);
    *l = (struct archive_list){0};
}
