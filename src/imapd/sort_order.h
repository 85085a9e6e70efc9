/*
 * sort_order: puts very many things into order, in turns, so that nobody else on the loop waits.
 */
#pragma once

#include "imapd/session.h"

/* A thing is what it is compared by, bytewise, and a number. */
struct sort_item {
    uint64_t prefix;                         /* the first eight bytes, big-endian */
    uint32_t at;                             /* of the others in the keys, behind their length; UINT32_MAX: there are none */
    uint32_t number;
};

struct sort_list {
    struct sort_item *items;
    size_t count, capacity;
    buf keys;
};

enum {
    SORT_KEYS_BYTES_MAX = 256 << 20,         /* of one command */
};

void sort_list_done(struct sort_list *l);
/* So many will come, about. */
void sort_list_expect(struct sort_list *l, size_t count);
/* TOO_BIG when there is no room. No key may be another's beginning. */
NODISCARD result sort_list_add(struct sort_list *l, view key, uint32_t number);
/* The same of a key that is one number. */
void sort_list_add_number(struct sort_list *l, int64_t number_key, bool is_reverse, uint32_t number);
/* Stable: by the bytes of the prefixes from the last to the first, then what has the same prefix by merging. Not OK: the client is gone. */
MAY_YIELD NODISCARD result sort_list_sort(struct session *s, struct sort_list *l);

/* Keys, of which several make one: what is appended compares bytewise like the numbers or texts; reversed, the other way round. */
void sort_key_number(buf *key, int64_t number, bool is_reverse);
void sort_key_text(buf *key, view text, bool is_reverse);
