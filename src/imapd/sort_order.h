/*
 * sort_order: puts very many things into order, in turns, so that nobody else on the loop waits.
 */
#pragma once

#include "imapd/session.h"

/* A thing is what it is compared by, bytewise, and a number. */
struct sort_item {
    uint64_t prefix;                         /* the first eight bytes, big-endian */
    uint32_t at, len;                        /* of the whole in the keys */
    uint32_t number, uid;
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
/* TOO_BIG when there is no room. */
NODISCARD result sort_list_add(struct sort_list *l, view key, uint32_t number, uint32_t uid);
/* Stable. Not OK: the client is gone. */
MAY_YIELD NODISCARD result sort_list_sort(struct session *s, struct sort_list *l);

/* Keys: what is appended compares bytewise like the numbers or texts; reversed, the other way round. */
void sort_key_number(buf *key, int64_t number, bool is_reverse);
void sort_key_text(buf *key, view text, bool is_reverse);
