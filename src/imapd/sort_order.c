#include "imapd/sort_order.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"

enum { ITEMS_PER_TURN = 4096, RUN_ITEMS = 16 };

void sort_list_done(struct sort_list *l)
{
    free(l->items);
    buf_done(&l->keys);
    *l = (struct sort_list){0};
}

result sort_list_add(struct sort_list *l, view key, uint32_t number, uint32_t uid)
{
    if (l->keys.len + key.len > SORT_KEYS_BYTES_MAX) return TOO_BIG;
    if (l->count == l->capacity) {
        l->capacity = l->capacity ? 2 * l->capacity : 1024;
        l->items = realloc(l->items, l->capacity * sizeof *l->items);
        check(l->items != NULL);
    }
    struct sort_item item = {.at = (uint32_t)l->keys.len, .len = (uint32_t)key.len, .number = number, .uid = uid};
    for (size_t i = 0; i < 8; i++) item.prefix = item.prefix << 8 | (i < key.len ? (unsigned char)key.at[i] : 0);
    buf_append(&l->keys, key);
    l->items[l->count++] = item;
    return OK;
}

static bool is_after(const struct sort_list *l, const struct sort_item *a, const struct sort_item *b)
{
    if (a->prefix != b->prefix) return a->prefix > b->prefix;
    return view_compare(view_make(l->keys.at + a->at, a->len), view_make(l->keys.at + b->at, b->len)) > 0;
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

result sort_list_sort(struct session *s, struct sort_list *l)
{
    size_t since_turn = 0;
    result code = OK;
    for (size_t i = 0; i < l->count && code == OK; i += RUN_ITEMS) {
        sort_run(l, l->items + i, l->count - i < RUN_ITEMS ? l->count - i : RUN_ITEMS);
        code = take_turns(s, &since_turn, RUN_ITEMS * 4);
    }
    struct sort_item *other = calloc(l->count + 1, sizeof *other);
    check(other != NULL);
    for (size_t width = RUN_ITEMS; width < l->count && code == OK; width *= 2) {
        for (size_t i = 0; i < l->count && code == OK; i += 2 * width) {
            size_t a = l->count - i < width ? l->count - i : width, left = l->count - i - a;
            code = merge(s, l, l->items + i, a, left < width ? left : width, other + i, &since_turn);
        }
        struct sort_item *items = l->items;
        l->items = other;
        other = items;
        l->capacity = l->count;
    }
    free(other);
    return code;
}

/* ---- keys ---- */

void sort_key_number(buf *key, int64_t number, bool is_reverse)
{
    uint64_t bits = (uint64_t)number ^ ((uint64_t)1 << 63);
    if (is_reverse) bits = ~bits;
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
