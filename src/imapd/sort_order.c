#include "imapd/sort_order.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "runtime/workers.h"

enum { ITEMS_PER_TURN = 4096, RUN_ITEMS = 16, PREFIX_BYTES = 8 };

#define NOTHING UINT32_MAX

void sort_list_done(struct sort_list *l)
{
    worker_free(l->items, l->capacity * sizeof *l->items);
    buf_done(&l->keys);
    *l = (struct sort_list){0};
}

static void reserve(struct sort_list *l, size_t capacity)
{
    l->capacity = capacity;
    l->items = realloc(l->items, l->capacity * sizeof *l->items);
    check(l->items != NULL);
}

void sort_list_expect(struct sort_list *l, size_t count)
{
    if (count > l->capacity) reserve(l, count);
}

static inline struct sort_item *add_item(struct sort_list *l)
{
    if (l->count == l->capacity) reserve(l, l->capacity ? 2 * l->capacity : 1024);
    return &l->items[l->count++];
}

result sort_list_add(struct sort_list *l, view key, uint32_t number)
{
    view others = view_from(key, key.len < PREFIX_BYTES ? key.len : PREFIX_BYTES);
    if (l->keys.len + sizeof(uint32_t) + others.len > SORT_KEYS_BYTES_MAX) return TOO_BIG;
    struct sort_item item = {.at = others.len ? (uint32_t)l->keys.len : NOTHING, .number = number};
    for (size_t i = 0; i < PREFIX_BYTES; i++) item.prefix = item.prefix << 8 | (i < key.len ? (unsigned char)key.at[i] : 0);
    if (others.len) {
        uint32_t len = (uint32_t)others.len;
        buf_append(&l->keys, view_make(&len, sizeof len));
        buf_append(&l->keys, others);
    }
    *add_item(l) = item;
    return OK;
}

static inline uint64_t number_bits(int64_t number, bool is_reverse)
{
    uint64_t bits = (uint64_t)number ^ ((uint64_t)1 << 63);
    return is_reverse ? ~bits : bits;
}

void sort_list_add_number(struct sort_list *l, int64_t number_key, bool is_reverse, uint32_t number)
{
    *add_item(l) = (struct sort_item){.prefix = number_bits(number_key, is_reverse), .at = NOTHING, .number = number};
}

static view others_of(const struct sort_list *l, const struct sort_item *item)
{
    uint32_t len;
    if (item->at == NOTHING) return VIEW_EMPTY;
    memcpy(&len, l->keys.at + item->at, sizeof len);
    return view_make(l->keys.at + item->at + sizeof len, len);
}

/* Of the same prefix. */
static bool is_after(const struct sort_list *l, const struct sort_item *a, const struct sort_item *b)
{
    return view_compare(others_of(l, a), others_of(l, b)) > 0;
}

static void sort_run(const struct sort_list *l, struct sort_item *items, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        struct sort_item item = items[i];
        size_t k = i;
        for (; k > 0 && is_after(l, &items[k - 1], &item); k--) items[k] = items[k - 1];
        items[k] = item;
    }
}

MAY_YIELD static result take_turns(struct session *s, size_t *since_turn, size_t done)
{
    *since_turn += done;
    if (*since_turn < ITEMS_PER_TURN) return OK;
    *since_turn = 0;
    return session_breathe(s);
}

MAY_YIELD static result merge(struct session *s, const struct sort_list *l, const struct sort_item *a, size_t a_count, size_t b_count,
                              struct sort_item *to, size_t *since_turn)
{
    const struct sort_item *b = a + a_count, *a_end = b, *b_end = b + b_count;
    while (a < a_end || b < b_end) {
        *to++ = b == b_end || (a < a_end && !is_after(l, a, b)) ? *a++ : *b++;
        if (++*since_turn < ITEMS_PER_TURN) continue;
        *since_turn = 0;
        result code = session_breathe(s);
        if (code != OK) return code;
    }
    return OK;
}

MAY_YIELD static result copy_items(struct session *s, struct sort_item *to, const struct sort_item *from, size_t count, size_t *since_turn)
{
    result code = OK;
    for (size_t i = 0; i < count && code == OK; i += ITEMS_PER_TURN) {
        size_t part = count - i < ITEMS_PER_TURN ? count - i : ITEMS_PER_TURN;
        memcpy(to + i, from + i, part * sizeof *to);
        code = take_turns(s, since_turn, part);
    }
    return code;
}

/* Things of the same prefix; `other` has room for as many. */
MAY_YIELD static result sort_alike(struct session *s, const struct sort_list *l, struct sort_item *items, size_t count, struct sort_item *other, size_t *since_turn)
{
    struct sort_item *from = items, *to = other;
    result code = OK;
    for (size_t i = 0; i < count && code == OK; i += RUN_ITEMS) {
        sort_run(l, items + i, count - i < RUN_ITEMS ? count - i : RUN_ITEMS);
        code = take_turns(s, since_turn, RUN_ITEMS * 4);
    }
    for (size_t width = RUN_ITEMS; width < count && code == OK; width *= 2) {
        for (size_t i = 0; i < count && code == OK; i += 2 * width) {
            size_t a = count - i < width ? count - i : width, left = count - i - a;
            code = merge(s, l, from + i, a, left < width ? left : width, to + i, since_turn);
        }
        struct sort_item *swap = from;
        from = to;
        to = swap;
    }
    return code == OK && from != items ? copy_items(s, items, from, count, since_turn) : code;
}

MAY_YIELD static result sort_groups(struct session *s, const struct sort_list *l, struct sort_item *other, size_t *since_turn)
{
    result code = OK;
    for (size_t i = 0, end; i < l->count && code == OK; i = end) {
        for (end = i + 1; end < l->count && l->items[end].prefix == l->items[i].prefix; end++) continue;
        code = end - i > 1 ? sort_alike(s, l, l->items + i, end - i, other, since_turn) : take_turns(s, since_turn, 1);
    }
    return code;
}

/* One pass, by the byte at `shift`. */
MAY_YIELD static result sort_by_byte(struct session *s, const struct sort_item *from, size_t count, unsigned shift, struct sort_item *to, size_t *since_turn)
{
    uint32_t places[256] = {0};
    result code = OK;
    for (size_t i = 0; i < count && code == OK; i++) {
        places[from[i].prefix >> shift & 0xff]++;
        if (i % ITEMS_PER_TURN == ITEMS_PER_TURN - 1) code = take_turns(s, since_turn, ITEMS_PER_TURN / 4);
    }
    for (uint32_t i = 0, sum = 0; i < 256; i++) {
        uint32_t here = places[i];
        places[i] = sum;
        sum += here;
    }
    for (size_t i = 0; i < count && code == OK; i++) {
        to[places[from[i].prefix >> shift & 0xff]++] = from[i];
        if (i % ITEMS_PER_TURN == ITEMS_PER_TURN - 1) code = take_turns(s, since_turn, ITEMS_PER_TURN);
    }
    return code;
}

/* The bits in which prefixes differ; *ret_is_sorted: they rise as they are. */
MAY_YIELD static result compare_prefixes(struct session *s, const struct sort_list *l, uint64_t *ret_differ, bool *ret_is_sorted, size_t *since_turn)
{
    uint64_t differ = 0;
    bool is_sorted = true;
    result code = OK;
    for (size_t i = 1; i < l->count && code == OK; i++) {
        differ |= l->items[i].prefix ^ l->items[i - 1].prefix;
        is_sorted &= l->items[i].prefix >= l->items[i - 1].prefix;
        if (i % ITEMS_PER_TURN == 0) code = take_turns(s, since_turn, ITEMS_PER_TURN / 4);
    }
    *ret_differ = differ;
    *ret_is_sorted = is_sorted;
    return code;
}

result sort_list_sort(struct session *s, struct sort_list *l)
{
    size_t since_turn = 0;
    uint64_t differ;
    bool is_sorted;
    result code = compare_prefixes(s, l, &differ, &is_sorted, &since_turn);
    if (code != OK || (is_sorted && l->keys.len == 0)) return code;
    struct sort_item *other = malloc((l->count + 1) * sizeof *other);
    check(other != NULL);
    for (unsigned shift = 0; shift < 64 && code == OK && !is_sorted; shift += 8) {
        if ((differ >> shift & 0xff) == 0) continue;
        code = sort_by_byte(s, l->items, l->count, shift, other, &since_turn);
        struct sort_item *items = l->items;
        l->items = other;
        other = items;
        l->capacity = l->count;
    }
    if (code == OK && l->keys.len) code = sort_groups(s, l, other, &since_turn);
    worker_free(other, l->count * sizeof *other);
    return code;
}

/* ---- keys ---- */

void sort_key_number(buf *key, int64_t number, bool is_reverse)
{
    uint64_t bits = number_bits(number, is_reverse);
    char bytes[8];
    for (unsigned i = 0; i < 8; i++) bytes[i] = (char)(unsigned char)(bits >> (56 - 8 * i));
    buf_append(key, view_make(bytes, sizeof bytes));
}

/* NUL, which ends a text, stands in none: it is left out. */
void sort_key_text(buf *key, view text, bool is_reverse)
{
    unsigned char flip = is_reverse ? 0xff : 0;
    buf_reserve(key, text.len + 1);
    for (size_t i = 0; i < text.len; i++)
        if (text.at[i]) buf_append_byte(key, (char)((unsigned char)text.at[i] ^ flip));
    buf_append_byte(key, (char)flip);
}
