#include "account/block.h"

#include <stdlib.h>
#include <string.h>

#include "account/state.h"
#include "base/check.h"

enum { ROWS_FIRST = 4, UIDLS_FIRST = 8, SLIM_ROWS_MIN = 16 };

struct block *block_new(struct block_pool *pool)
{
    struct block *b = calloc(1, sizeof *b);
    check(b != NULL);
    b->is_loaded = true;
    b->place.object = PLACE_NONE;
    b->serial = ++pool->serial;
    pool->memory_bytes += sizeof *b;
    return b;
}

static size_t row_bytes(const struct block *b)
{
    return b->slim ? slim_rows_bytes(b->slim) : b->capacity * sizeof *b->wide;
}

static void drop_rows(struct block_pool *pool, struct block *b)
{
    pool->memory_bytes -= row_bytes(b) + b->peak_capacity * sizeof *b->peaks + b->uidl_capacity * sizeof *b->uidls + b->uidl_text.capacity;
    free(b->wide);
    slim_rows_free(b->slim);
    free(b->peaks);
    free(b->uidls);
    buf_done(&b->uidl_text);
    b->wide = NULL;
    b->slim = NULL;
    b->peaks = NULL;
    b->uidls = NULL;
    b->capacity = b->peak_capacity = b->uidl_count = b->uidl_capacity = 0;
}

static void drop_ranges(struct block_pool *pool, struct block *b)
{
    pool->memory_bytes -= b->range_count * sizeof *b->ranges;
    free(b->ranges);
    b->ranges = NULL;
    b->range_count = 0;
}

void block_free(struct block_pool *pool, struct block *b)
{
    drop_rows(pool, b);
    drop_ranges(pool, b);
    pool->memory_bytes -= sizeof *b;
    free(b);
}

void *block_copy_array(const void *of, size_t bytes)
{
    void *copy = bytes ? malloc(bytes) : NULL;
    check(copy != NULL || bytes == 0);
    return bytes ? memcpy(copy, of, bytes) : NULL;
}

/* Of exactly the count. */
static struct row *wide_copy(const struct block *b)
{
    struct row *rows = b->count ? malloc(b->count * sizeof *rows) : NULL;
    check(rows != NULL || b->count == 0);
    block_read_rows(b, 0, b->count, rows);
    return rows;
}

struct block *block_copy(struct block_pool *pool, const struct block *b)
{
    struct block *copy = block_new(pool);
    uint64_t serial = copy->serial;
    check(b->is_loaded && b->range_count == 0);
    *copy = *b;
    copy->serial = serial;
    copy->place = (struct block_place){.object = PLACE_NONE};
    copy->capacity = b->slim ? 0 : b->count;
    copy->slim = b->slim ? slim_rows_copy(b->slim) : NULL;
    copy->wide = b->slim ? NULL : wide_copy(b);
    copy->peaks = block_copy_array(b->peaks, b->peak_capacity * sizeof *b->peaks);
    copy->uidl_capacity = b->uidl_count;
    copy->uidls = block_copy_array(b->uidls, b->uidl_count * sizeof *b->uidls);
    copy->uidl_text = BUF_INIT;
    if (b->uidl_text.len) buf_append(&copy->uidl_text, buf_view(&b->uidl_text));
    pool->memory_bytes += row_bytes(copy) + copy->peak_capacity * sizeof *b->peaks + copy->uidl_capacity * sizeof *b->uidls + copy->uidl_text.capacity;
    return copy;
}

void block_changed(struct block_pool *pool, struct block *b)
{
    b->serial = ++pool->serial;
    b->place = (struct block_place){.object = PLACE_NONE};
}

/* Room for the peaks of so many rows. */
static void need_peaks(struct block_pool *pool, struct block *b, uint32_t rows)
{
    uint32_t capacity = rows > BLOCK_GROUP_ROWS ? (rows + BLOCK_GROUP_ROWS - 1) / BLOCK_GROUP_ROWS : 0;
    if (capacity <= b->peak_capacity) return;
    b->peaks = realloc(b->peaks, capacity * sizeof *b->peaks);
    check(b->peaks != NULL);
    memset(b->peaks + b->peak_capacity, 0, (capacity - b->peak_capacity) * sizeof *b->peaks);
    if (b->peak_capacity == 0) b->peaks[0] = b->highest_modseq;
    pool->memory_bytes += (capacity - b->peak_capacity) * sizeof *b->peaks;
    b->peak_capacity = capacity;
}

static inline void raise_peak(struct block *b, uint32_t index, uint64_t modseq)
{
    if (b->peaks && modseq > b->peaks[index / BLOCK_GROUP_ROWS]) b->peaks[index / BLOCK_GROUP_ROWS] = modseq;
}

static uint32_t uid_at(const struct block *b, uint32_t index)
{
    return b->slim ? slim_row_uid(b->slim, index) : b->wide[index].uid;
}

static inline void count_row(struct block *b, uint32_t index, const struct slim_numbers *row)
{
    if (!(row->flags & ROW_SEEN)) {
        if (b->unseen++ == 0) b->first_unseen = index;
    }
    if (row->flags & ROW_DELETED) b->deleted++;
    b->size_bytes += row->size_bytes;
    if (row->modseq > b->highest_modseq) b->highest_modseq = row->modseq;
    if (index == 0 || row->modseq < b->lowest_modseq) b->lowest_modseq = row->modseq;
    raise_peak(b, index, row->modseq);
}

void block_recount(struct block *b)
{
    b->first_uid = b->last_uid = b->unseen = b->deleted = b->first_unseen = 0;
    b->size_bytes = b->highest_modseq = b->lowest_modseq = 0;
    if (b->peaks) memset(b->peaks, 0, b->peak_capacity * sizeof *b->peaks);
    for (uint32_t i = 0; i < b->count; i++) {
        struct slim_numbers n = b->slim ? slim_row_numbers(b->slim, i) : (struct slim_numbers){b->wide[i].size_bytes, b->wide[i].flags, b->wide[i].modseq};
        count_row(b, i, &n);
    }
    if (b->count == 0) return;
    b->first_uid = uid_at(b, 0);
    b->last_uid = uid_at(b, b->count - 1);
}

/* Of all rows. */
static void sum_up_copy(struct block *copy, const struct block *b, const struct row *like)
{
    copy->first_uid = like->uid;
    copy->last_uid = like->uid + b->count - 1;
    copy->unseen = b->unseen;
    copy->deleted = b->deleted;
    copy->first_unseen = b->first_unseen;
    copy->size_bytes = b->size_bytes;
    copy->highest_modseq = copy->lowest_modseq = like->modseq;
    for (uint32_t i = 0; i < copy->peak_capacity; i++) copy->peaks[i] = like->modseq;
}

struct block *block_copy_as(struct block_pool *pool, const struct block *b, uint32_t first, uint32_t count, const struct row *like)
{
    if (!b->slim) return NULL;
    struct block *copy = block_new(pool);
    copy->slim = slim_rows_copy_as(b->slim, first, count, like);
    copy->count = count;
    pool->memory_bytes += row_bytes(copy);
    need_peaks(pool, copy, count);
    copy->oldest = b->oldest;
    copy->newest = b->newest;
    copy->used = pool->tick;
    if (count < b->count) block_recount(copy);
    else sum_up_copy(copy, b, like);
    return copy;
}

/* ---- wide and slim rows ---- */

struct row *block_rows(struct block_pool *pool, struct block *b)
{
    check(b->is_loaded);
    if (b->slim) {
        struct row *rows = wide_copy(b);
        pool->memory_bytes -= row_bytes(b);
        slim_rows_free(b->slim);
        b->slim = NULL;
        b->wide = rows;
        b->capacity = b->count;
        pool->memory_bytes += row_bytes(b);
    }
    return b->wide;
}

void block_read_rows(const struct block *b, uint32_t first, uint32_t count, struct row *into)
{
    check_slow(b->is_loaded && first <= b->count && count <= b->count - first);
    if (b->slim) slim_rows_read(b->slim, first, count, into);
    else if (count) memcpy(into, &b->wide[first], count * sizeof *into);
}

struct row block_row(const struct block *b, uint32_t index)
{
    struct row row;
    block_read_rows(b, index, 1, &row);
    return row;
}

uint64_t block_modseq_at(const struct block *b, uint32_t index)
{
    return b->slim ? slim_row_modseq(b->slim, index) : b->wide[index].modseq;
}

uint64_t block_flags_at(const struct block *b, uint32_t index)
{
    return b->slim ? slim_row_flags(b->slim, index) : b->wide[index].flags;
}

void block_set_flags(struct block_pool *pool, struct block *b, uint32_t index, uint64_t flags, uint64_t modseq)
{
    raise_peak(b, index, modseq);
    if (b->slim && slim_row_set_flags(b->slim, index, flags, modseq)) return;
    struct row *row = &block_rows(pool, b)[index];
    row->flags = flags;
    row->modseq = modseq;
}

size_t block_slim(struct block_pool *pool, struct block *b)
{
    if (!b->is_loaded || b->slim || b->has_journal_rows || b->count < SLIM_ROWS_MIN) return 0;
    size_t before = row_bytes(b);
    b->slim = slim_rows_new(b->wide, b->count);
    if (!b->slim) return 0;
    free(b->wide);
    b->wide = NULL;
    b->capacity = 0;
    pool->memory_bytes -= before - row_bytes(b);
    return before - row_bytes(b);
}

static void grow_rows(struct block_pool *pool, struct block *b, uint32_t capacity)
{
    b->wide = realloc(b->wide, capacity * sizeof *b->wide);
    check(b->wide != NULL);
    pool->memory_bytes += (capacity - b->capacity) * sizeof *b->wide;
    b->capacity = capacity;
    need_peaks(pool, b, capacity);
}

void block_add_uidl(struct block_pool *pool, struct block *b, uint32_t row, view uidl)
{
    if (b->uidl_count == b->uidl_capacity) {
        uint32_t capacity = b->uidl_capacity ? b->uidl_capacity * 2 : UIDLS_FIRST;
        b->uidls = realloc(b->uidls, capacity * sizeof *b->uidls);
        check(b->uidls != NULL);
        pool->memory_bytes += (capacity - b->uidl_capacity) * sizeof *b->uidls;
        b->uidl_capacity = capacity;
    }
    size_t had = b->uidl_text.capacity;
    b->uidls[b->uidl_count++] = (struct block_uidl){row, (uint32_t)b->uidl_text.len, (uint32_t)uidl.len};
    buf_append(&b->uidl_text, uidl);
    pool->memory_bytes += b->uidl_text.capacity - had;
}

static void add_date(struct block *b, unix_ms at, bool is_first)
{
    if (is_first || at.ms < b->oldest.ms) b->oldest = at;
    if (is_first || at.ms > b->newest.ms) b->newest = at;
}

void block_set_rows(struct block_pool *pool, struct block *b, struct row *rows, uint32_t count)
{
    check(b->is_loaded && b->count == 0 && !b->wide && !b->slim);
    b->wide = rows;
    b->count = b->capacity = count;
    pool->memory_bytes += row_bytes(b);
    need_peaks(pool, b, count);
    for (uint32_t i = 0; i < count; i++) add_date(b, rows[i].internal_date, i == 0);
    for (uint32_t i = 0; i < count && !b->has_journal_rows; i++) b->has_journal_rows = rows[i].pack == ROW_IN_JOURNAL;
    block_recount(b);
    block_changed(pool, b);
    b->used = pool->tick;
}

void block_push(struct block_pool *pool, struct block *b, const struct row *row, view uidl)
{
    check_slow(b->is_loaded && b->count < BLOCK_ROWS);
    (void)block_rows(pool, b);
    if (b->count == b->capacity) grow_rows(pool, b, b->capacity ? b->capacity * 2 : ROWS_FIRST);
    block_changed(pool, b);
    b->used = pool->tick;
    b->wide[b->count] = *row;
    count_row(b, b->count, &(struct slim_numbers){row->size_bytes, row->flags, row->modseq});
    add_date(b, row->internal_date, b->count == 0);
    if (b->count == 0) b->first_uid = row->uid;
    b->last_uid = row->uid;
    if (row->pack == ROW_IN_JOURNAL) b->has_journal_rows = true;
    if (uidl.len) block_add_uidl(pool, b, b->count, uidl);
    b->count++;
}

view block_uidl(const struct block *b, uint32_t index)
{
    uint32_t low = 0, high = b->uidl_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (b->uidls[middle].row < index) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low == b->uidl_count || b->uidls[low].row != index) return VIEW_EMPTY;
    return view_make(b->uidl_text.at + b->uidls[low].at, b->uidls[low].len);
}

void block_remove(struct block_pool *pool, struct block *b, bool (*remove)(void *argument, uint32_t index, const struct row *row), void *argument)
{
    check(b->is_loaded);
    struct block old = {.uidls = b->uidls, .uidl_count = b->uidl_count, .uidl_capacity = b->uidl_capacity, .uidl_text = b->uidl_text};
    uint32_t kept = 0;
    struct row *rows = block_rows(pool, b);
    b->uidls = NULL;
    b->uidl_count = b->uidl_capacity = 0;
    b->uidl_text = BUF_INIT;
    for (uint32_t i = 0; i < b->count; i++) {
        if (remove(argument, i, &rows[i])) continue;
        view uidl = old.uidl_count ? block_uidl(&old, i) : VIEW_EMPTY;
        if (uidl.len) block_add_uidl(pool, b, kept, uidl);
        rows[kept++] = rows[i];
    }
    b->count = kept;
    drop_rows(pool, &old);
    block_recount(b);
    block_changed(pool, b);
    if (b->capacity > 64 && b->count < b->capacity / 4) {
        uint32_t capacity = b->capacity;
        while (capacity > 64 && b->count < capacity / 4) capacity /= 2;
        pool->memory_bytes -= (b->capacity - capacity) * sizeof *b->wide;
        b->wide = realloc(b->wide, capacity * sizeof *b->wide);
        check(b->wide != NULL);
        b->capacity = capacity;
    }
}

/* The last range whose first UID, or first row, is not above `value`; the first at least. */
static const struct block_range *range_at(const struct block *b, uint32_t value, bool by_uid)
{
    uint32_t low = 0, high = b->range_count;
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if ((by_uid ? b->ranges[middle].first : b->ranges[middle].before) <= value) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return &b->ranges[low];
}

/* UIDs mostly rise evenly: the one that is looked for is near to where it would be if they did so throughout. *ret_high: no row from it on is below. */
static uint32_t rank_between(const struct block *b, uint32_t uid, uint32_t *ret_high)
{
    uint32_t at = (uint32_t)((uint64_t)(uid - b->first_uid) * (b->count - 1) / (b->last_uid - b->first_uid));
    *ret_high = b->count;
    if (uid_at(b, at) < uid) {
        for (uint32_t step = 1, low = at + 1;; low = at + 1, step *= 2) {
            if (step >= b->count - at) return low;
            at += step;
            if (uid_at(b, at) >= uid) {
                *ret_high = at;
                return low;
            }
        }
    }
    for (uint32_t step = 1;; step *= 2) {
        *ret_high = at;
        if (step > at) return 0;
        at -= step;
        if (uid_at(b, at) < uid) return at + 1;
    }
}

uint32_t block_rank(const struct block *b, uint32_t uid)
{
    if (b->count == 0 || uid <= b->first_uid) return 0;
    if (uid > b->last_uid) return b->count;
    if (block_is_gapless(b)) return uid - b->first_uid;
    if (!b->is_loaded) {
        const struct block_range *r = range_at(b, uid, true);
        return r->before + (uid > r->last ? r->last + 1 : uid) - r->first;
    }
    uint32_t high, rank = rank_between(b, uid, &high);
    while (rank < high) {
        uint32_t middle = rank + (high - rank) / 2;
        if (uid_at(b, middle) < uid) {
            rank = middle + 1;
        } else {
            high = middle;
        }
    }
    return rank;
}

uint32_t block_uid_run(const struct block *b, uint32_t index, uint32_t *ret_last)
{
    check_slow(index < b->count);
    if (block_is_gapless(b)) {
        *ret_last = b->last_uid;
        return b->first_uid + index;
    }
    if (b->is_loaded) {
        uint32_t last = index;
        while (last + 1 < b->count && uid_at(b, last + 1) == uid_at(b, last) + 1) last++;
        *ret_last = uid_at(b, last);
        return uid_at(b, index);
    }
    const struct block_range *r = range_at(b, index, false);
    *ret_last = r->last;
    return r->first + (index - r->before);
}

uint32_t block_uid_at(const struct block *b, uint32_t index)
{
    uint32_t last;
    return b->is_loaded ? uid_at(b, index) : block_uid_run(b, index, &last);
}

void block_set_ranges(struct block_pool *pool, struct block *b, const struct imap_range *ranges, uint32_t count)
{
    drop_ranges(pool, b);
    if (count == 0) return;
    b->ranges = malloc(count * sizeof *b->ranges);
    check(b->ranges != NULL);
    for (uint32_t i = 0, before = 0; i < count; i++) {
        b->ranges[i] = (struct block_range){ranges[i].first, ranges[i].last, before};
        before += ranges[i].last - ranges[i].first + 1;
    }
    b->range_count = count;
    pool->memory_bytes += count * sizeof *b->ranges;
}

void block_unload(struct block_pool *pool, struct block *b, bool is_grave)
{
    check(b->place.object != PLACE_NONE);
    if (!b->is_loaded) return;
    if (!is_grave && !block_is_gapless(b)) {
        struct imap_set_builder ranges = IMAP_SET_BUILDER_INIT;
        for (uint32_t i = 0; i < b->count; i++) imap_set_builder_add(&ranges, uid_at(b, i));
        struct imap_set set = imap_set_builder_set(&ranges);
        block_set_ranges(pool, b, set.ranges, (uint32_t)set.count);
        imap_set_builder_done(&ranges);
    }
    drop_rows(pool, b);
    b->is_loaded = b->has_journal_rows = false;
}

void block_take_rows(struct block_pool *pool, struct block *b, struct block *loaded)
{
    drop_ranges(pool, b);
    b->wide = loaded->wide;
    b->slim = loaded->slim;
    b->capacity = loaded->capacity;
    b->peaks = loaded->peaks;
    b->peak_capacity = loaded->peak_capacity;
    b->uidls = loaded->uidls;
    b->uidl_count = loaded->uidl_count;
    b->uidl_capacity = loaded->uidl_capacity;
    b->uidl_text = loaded->uidl_text;
    b->lowest_modseq = loaded->lowest_modseq;
    b->oldest = loaded->oldest;
    b->newest = loaded->newest;
    b->is_loaded = true;
    b->used = ++pool->tick;
    loaded->wide = NULL;
    loaded->slim = NULL;
    loaded->peaks = NULL;
    loaded->uidls = NULL;
    loaded->uidl_text = BUF_INIT;
    loaded->capacity = loaded->peak_capacity = loaded->uidl_count = loaded->uidl_capacity = 0;
}
