/*
 * list: an intrusive doubly linked ring.
 *
 * A struct list is both head and node. A node that is in no list points to itself, so removing it
 * twice is harmless. The list owns nothing.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/check.h"

struct list {
    struct list *next, *previous;
};

static inline void list_init(struct list *l) { l->next = l->previous = l; }
static inline bool list_is_empty(const struct list *l) { return l->next == l; }

static inline void list_insert_before(struct list *position, struct list *node)
{
    node->next = position;
    node->previous = position->previous;
    position->previous->next = node;
    position->previous = node;
}

static inline void list_append(struct list *head, struct list *node) { list_insert_before(head, node); }
static inline void list_prepend(struct list *head, struct list *node) { list_insert_before(head->next, node); }

static inline void list_remove(struct list *node)
{
    node->previous->next = node->next;
    node->next->previous = node->previous;
    list_init(node);
}

/* The first node, removed; NULL when empty. */
static inline struct list *list_pop(struct list *head)
{
    struct list *first = head->next;
    if (first == head) return NULL;
    list_remove(first);
    return first;
}

/* Moves all nodes of `from` to the end of `to`. */
static inline void list_splice(struct list *to, struct list *from)
{
    if (list_is_empty(from)) return;
    from->next->previous = to->previous;
    to->previous->next = from->next;
    from->previous->next = to;
    to->previous = from->previous;
    list_init(from);
}

/* Safe against removal of the current node. */
#define list_each(node, head) \
    for (struct list *node = (head)->next, *node##_next = node->next; node != (head); \
         node = node##_next, node##_next = node->next)
