/*
 * The records that were applied last, so that none is done twice (state.h, invariant 4).
 *
 * Kept are those that were written within RECENT_MS before all of the last STATE_RECENT_MIN: as long as an append of unknown outcome may be
 * sent again. All of them, because clocks differ, and a node whose clock is wrong must not make the others' records look old; nor may it
 * when it alone writes for a while: from one record to the next no more than STEP_MAX_MS count. At most STATE_RECENT_MAX: what the store does
 * once more after so many others in between, is done twice. Which ones follows from the records alone.
 */
#include <stdlib.h>
#include <string.h>

#include "account/state_private.h"
#include "base/check.h"

enum { RECENT_MS = 60000, STEP_MAX_MS = 10000 };

static uint64_t half_of_id(struct id i)
{
    uint64_t half;
    memcpy(&half, i.bytes + 8, sizeof half);
    return half;
}

void recent_done(struct recent *l)
{
    free(l->ids);
    free(l->written_ms);
    free(l->codes);
    *l = (struct recent){0};
}

static void *resize(void *array, size_t count, size_t size)
{
    array = realloc(array, count * size);
    check(array != NULL);
    return array;
}

/* Room for one more at the end. */
static void make_room(struct recent *l)
{
    if (l->first + l->count < l->capacity) return;
    if (l->first > l->count) {
        memcpy(l->ids, l->ids + l->first, l->count * sizeof *l->ids);
        memcpy(l->written_ms, l->written_ms + l->first, l->count * sizeof *l->written_ms);
        memcpy(l->codes, l->codes + l->first, l->count * sizeof *l->codes);
        l->first = 0;
        return;
    }
    l->capacity = l->capacity ? 2 * l->capacity : 4;
    l->ids = resize(l->ids, l->capacity, sizeof *l->ids);
    l->written_ms = resize(l->written_ms, l->capacity, sizeof *l->written_ms);
    l->codes = resize(l->codes, l->capacity, sizeof *l->codes);
}

/* From the first to now, as the records tell it one by one. */
static bool has_time_passed(const struct recent *l, unix_ms now)
{
    int64_t passed_ms = 0;
    for (uint32_t i = 0; i < l->count && passed_ms <= RECENT_MS; i++) {
        int64_t from_ms = l->written_ms[l->first + i], to_ms = i + 1 < l->count ? l->written_ms[l->first + i + 1] : now.ms;
        if (to_ms > from_ms) passed_ms += (uint64_t)to_ms - (uint64_t)from_ms < STEP_MAX_MS ? to_ms - from_ms : STEP_MAX_MS;
    }
    return passed_ms > RECENT_MS;
}

static bool is_too_old(const struct recent *l, unix_ms now)
{
    if (l->count < STATE_RECENT_MIN || l->count >= STATE_RECENT_MAX) return l->count >= STATE_RECENT_MAX;
    int64_t then_ms = l->written_ms[l->first], since_ms = now.ms;
    for (uint32_t i = 1; i < STATE_RECENT_MIN; i++) {
        int64_t written_ms = l->written_ms[l->first + l->count - i];
        if (written_ms < since_ms) since_ms = written_ms;
    }
    return then_ms < since_ms && (uint64_t)since_ms - (uint64_t)then_ms > RECENT_MS && has_time_passed(l, now);
}

void recent_put(struct recent *l, uint64_t half, unix_ms written, result code)
{
    make_room(l);
    uint32_t at = l->first + l->count++;
    l->ids[at] = half;
    l->written_ms[at] = written.ms;
    l->codes[at] = (uint8_t)code;
}

void recent_add(struct recent *l, struct id record, unix_ms written, result code)
{
    for (; is_too_old(l, written); l->count--) l->first++;
    recent_put(l, half_of_id(record), written, code);
}

bool recent_has(const struct recent *l, struct id record)
{
    uint64_t half = half_of_id(record);
    bool found = false;
    for (uint32_t i = l->first; i < l->first + l->count; i++) found |= l->ids[i] == half;
    return found;
}

bool state_record_code(const struct state *s, struct id record, uint64_t *ret_sequence, result *ret_code)
{
    const struct recent *l = &s->recent;
    uint64_t half = half_of_id(record);
    for (uint32_t i = 0; i < l->count; i++) {
        if (l->ids[l->first + i] != half) continue;
        *ret_sequence = s->sequence - l->count + 1 + i;
        *ret_code = (result)l->codes[l->first + i];
        return true;
    }
    return false;
}
