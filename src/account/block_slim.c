#include "account/block_slim.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

enum column { UID, SIZE, FLAGS, MODSEQ, INTERNAL_DATE, SAVE_DATE, MADE, PACK, ENTRY, COLUMNS };

enum { MODSEQ_BYTES = 3, FLAGS_BYTES = 1 };    /* at least: what changes has room to grow, sixteen million records and the system flags */
enum { AT_ONCE = sizeof(uint64_t) };         /* are read and written, of which the column's are meant: so many stand behind the last row, too */
enum { MADE_BYTES = 6, ID_REST = sizeof(struct id) - MADE_BYTES };      /* of an id: when it was made, and what is random */

/* Where a column stands and what is added to it. */
struct layout {
    uint64_t least[COLUMNS], mask[COLUMNS];
    uint32_t offset[COLUMNS], stride;
};

/* A row: the rest of its message's id, then the columns. Copies have them in common. */
struct bytes {
    size_t owners;
    unsigned char at[];
};

struct slim_rows {
    struct layout layout;
    uint32_t count;
    bool is_copy;                            /* all were saved at `saved`; the column has when those were that they are copies of */
    unix_ms saved;
    struct bytes *bytes;
    unsigned char *first;                    /* row, in `bytes` */
};

/* ---- rows and numbers ---- */

static inline uint64_t load(const unsigned char *at)
{
    uint64_t number;
    memcpy(&number, at, sizeof number);
    return le64toh(number);
}

static inline void store(unsigned char *at, uint64_t number)
{
    number = htole64(number);
    memcpy(at, &number, sizeof number);
}

static inline uint64_t made_of(const struct id *id)
{
    uint64_t first;
    memcpy(&first, id->bytes, sizeof first);
    return be64toh(first) >> 16;
}

/* What is kept of row `i` of a block; differences may be below zero, and wrap. */
static inline void take_numbers(const struct row *r, uint32_t i, uint64_t numbers[COLUMNS])
{
    numbers[UID] = (uint64_t)r->uid - i;
    numbers[SIZE] = r->size_bytes;
    numbers[FLAGS] = r->flags;
    numbers[MODSEQ] = r->modseq;
    numbers[INTERNAL_DATE] = (uint64_t)r->internal_date.ms;
    numbers[SAVE_DATE] = (uint64_t)r->save_date.ms;
    numbers[MADE] = made_of(&r->message) - (uint64_t)r->save_date.ms;
    numbers[PACK] = r->pack;
    numbers[ENTRY] = (uint64_t)r->entry - i;
}

static inline uint64_t get(const struct layout *l, const unsigned char *row, enum column c) { return l->least[c] + (load(row + l->offset[c]) & l->mask[c]); }

static inline const unsigned char *row_at(const struct slim_rows *s, uint32_t index) { return s->first + (size_t)index * s->layout.stride; }

/* ---- making ---- */

static unsigned width_of(uint64_t range, unsigned least)
{
    unsigned width = least;
    while (width < sizeof range && range >> 8 * width) width++;
    return width;
}

static uint64_t mask_of(unsigned width) { return width == sizeof(uint64_t) ? UINT64_MAX : ((uint64_t)1 << 8 * width) - 1; }

/* Differences are compared as signed numbers: dates before 1970, entries below their place. */
static void measure(const struct row *rows, uint32_t count, struct layout *ret_layout)
{
    int64_t least[COLUMNS], most[COLUMNS];
    uint64_t flags = 0;
    for (unsigned c = 0; c < COLUMNS; c++) {
        least[c] = INT64_MAX;
        most[c] = INT64_MIN;
    }
    for (uint32_t i = 0; i < count; i++) {
        uint64_t numbers[COLUMNS];
        take_numbers(&rows[i], i, numbers);
        flags |= numbers[FLAGS];
        for (unsigned c = 0; c < COLUMNS; c++) {
            int64_t n = (int64_t)numbers[c];
            least[c] = n < least[c] ? n : least[c];
            most[c] = n > most[c] ? n : most[c];
        }
    }
    struct layout l = {.stride = ID_REST};
    for (unsigned c = 0; c < COLUMNS; c++) {
        uint64_t range = c == FLAGS ? flags : (uint64_t)most[c] - (uint64_t)least[c];
        unsigned width = width_of(range, c == MODSEQ ? MODSEQ_BYTES : c == FLAGS ? FLAGS_BYTES : 0);
        l.least[c] = c == FLAGS ? 0 : (uint64_t)least[c];
        l.mask[c] = mask_of(width);
        l.offset[c] = l.stride;
        l.stride += width;
    }
    *ret_layout = l;
}

/* In the order of the bytes: what is written beyond a column is written over by the next. */
static void put_row(const struct layout *l, unsigned char *at, const struct row *r, uint32_t i)
{
    uint64_t numbers[COLUMNS];
    take_numbers(r, i, numbers);
    memcpy(at, r->message.bytes + MADE_BYTES, ID_REST);
    for (unsigned c = 0; c < COLUMNS; c++) store(at + l->offset[c], numbers[c] - l->least[c]);
}

static struct slim_rows *keep(struct slim_rows made)
{
    struct slim_rows *s = malloc(sizeof *s);
    check(s != NULL);
    *s = made;
    return s;
}

static size_t bytes_of(const struct slim_rows *s) { return (size_t)s->count * s->layout.stride + AT_ONCE; }

static void new_bytes(struct slim_rows *s)
{
    s->bytes = malloc(sizeof *s->bytes + bytes_of(s));
    check(s->bytes != NULL);
    s->bytes->owners = 1;
    s->first = s->bytes->at;
}

struct slim_rows *slim_rows_new(const struct row *rows, uint32_t count)
{
    struct slim_rows made = {.count = count};
    if (count == 0) return NULL;
    measure(rows, count, &made.layout);
    if (slim_rows_bytes(&made) > count * sizeof *rows / 4 * 3) return NULL;
    new_bytes(&made);
    unsigned char *at = made.first;
    for (uint32_t i = 0; i < count; i++, at += made.layout.stride) put_row(&made.layout, at, &rows[i], i);
    memset(at, 0, AT_ONCE);
    return keep(made);
}

void slim_rows_free(struct slim_rows *s)
{
    if (s && --s->bytes->owners == 0) free(s->bytes);
    free(s);
}

struct slim_rows *slim_rows_copy(const struct slim_rows *s)
{
    s->bytes->owners++;
    return keep(*s);
}

/* The number of all rows, whatever the column has. */
static void set_all(struct layout *l, enum column c, uint64_t number)
{
    l->least[c] = number;
    l->mask[c] = 0;
}

struct slim_rows *slim_rows_copy_as(const struct slim_rows *s, uint32_t first, uint32_t count, const struct row *like)
{
    struct slim_rows *copy = slim_rows_copy(s);
    check(count > 0 && first <= s->count && count <= s->count - first);
    copy->count = count;
    copy->first += (size_t)first * s->layout.stride;
    copy->layout.least[ENTRY] += first;
    set_all(&copy->layout, UID, like->uid);
    set_all(&copy->layout, MODSEQ, like->modseq);
    copy->is_copy = true;
    copy->saved = like->save_date;
    return copy;
}

size_t slim_rows_bytes(const struct slim_rows *s) { return sizeof *s + sizeof *s->bytes + bytes_of(s); }

/* ---- reading ---- */

uint32_t slim_row_uid(const struct slim_rows *s, uint32_t index) { return (uint32_t)get(&s->layout, row_at(s, index), UID) + index; }
uint64_t slim_row_modseq(const struct slim_rows *s, uint32_t index) { return get(&s->layout, row_at(s, index), MODSEQ); }
uint64_t slim_row_flags(const struct slim_rows *s, uint32_t index) { return get(&s->layout, row_at(s, index), FLAGS); }

uint32_t slim_rows_next_changed(const struct slim_rows *s, uint32_t index, uint32_t end, uint64_t since)
{
    check_slow(index <= end && end <= s->count);
    uint64_t least = s->layout.least[MODSEQ], mask = s->layout.mask[MODSEQ];
    const unsigned char *at = row_at(s, index) + s->layout.offset[MODSEQ];
    for (; index < end && least + (load(at) & mask) <= since; index++) at += s->layout.stride;
    return index;
}

struct slim_numbers slim_row_numbers(const struct slim_rows *s, uint32_t index)
{
    const unsigned char *row = row_at(s, index);
    return (struct slim_numbers){(uint32_t)get(&s->layout, row, SIZE), get(&s->layout, row, FLAGS), get(&s->layout, row, MODSEQ)};
}

static inline void read_row(const struct layout *l, const unsigned char *at, uint32_t i, struct row *into)
{
    uint64_t saved = get(l, at, SAVE_DATE);
    uint64_t made = htobe64((get(l, at, MADE) + saved) << 16);
    into->uid = (uint32_t)get(l, at, UID) + i;
    into->size_bytes = (uint32_t)get(l, at, SIZE);
    into->flags = get(l, at, FLAGS);
    into->modseq = get(l, at, MODSEQ);
    into->internal_date.ms = (int64_t)get(l, at, INTERNAL_DATE);
    into->save_date.ms = (int64_t)saved;
    memcpy(into->message.bytes, &made, MADE_BYTES);
    memcpy(into->message.bytes + MADE_BYTES, at, ID_REST);
    into->pack = (uint32_t)get(l, at, PACK);
    into->entry = (uint32_t)get(l, at, ENTRY) + i;
}

void slim_rows_read(const struct slim_rows *s, uint32_t first, uint32_t count, struct row *into)
{
    check(first <= s->count && count <= s->count - first);
    const struct layout l = s->layout;       /* not changed by what is written */
    const unsigned char *at = row_at(s, first);
    for (uint32_t i = 0; i < count; i++, at += l.stride) read_row(&l, at, first + i, &into[i]);
    for (uint32_t i = 0; s->is_copy && i < count; i++) into[i].save_date = s->saved;
}

/* ---- flags ---- */

static void put_number(const struct layout *l, unsigned char *row, enum column c, uint64_t number)
{
    unsigned char *at = row + l->offset[c];
    store(at, (load(at) & ~l->mask[c]) | number);
}

static uint64_t modseq_mask(const struct layout *l)
{
    return mask_of(l->offset[MODSEQ + 1] - l->offset[MODSEQ]);
}

/* Bytes of its own, with the MODSEQs in their column. */
static void own_bytes(struct slim_rows *s)
{
    struct bytes *shared = s->bytes;
    const unsigned char *first = s->first;
    struct layout *l = &s->layout;
    if (shared->owners > 1) {
        shared->owners--;
        new_bytes(s);
        memcpy(s->first, first, bytes_of(s));
    }
    if (l->mask[MODSEQ]) return;
    l->mask[MODSEQ] = modseq_mask(l);
    unsigned char *row = s->first;
    for (uint32_t i = 0; i < s->count; i++, row += l->stride) put_number(l, row, MODSEQ, 0);
}

bool slim_row_set_flags(struct slim_rows *s, uint32_t index, uint64_t flags, uint64_t modseq)
{
    const struct layout *l = &s->layout;
    uint64_t flags_by = flags - l->least[FLAGS], modseq_by = modseq - l->least[MODSEQ];
    if ((flags_by & ~l->mask[FLAGS]) || (modseq_by & ~modseq_mask(l))) return false;
    if (s->bytes->owners > 1 || !l->mask[MODSEQ]) own_bytes(s);
    unsigned char *row = s->first + (size_t)index * l->stride;
    put_number(l, row, FLAGS, flags_by);
    put_number(l, row, MODSEQ, modseq_by);
    return true;
}
