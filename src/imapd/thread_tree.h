/*
 * thread_tree: messages and who answers whom (RFC 5256 §3, THREAD).
 *
 * Nodes are added in the order of the mailbox and linked at once; then parents are settled, and lists of children made by going through the
 * messages in the order of their sent dates, so that all siblings are in that order. Passes over all nodes are cut into turns.
 */
#pragma once

#include "formats/sort_values.h"
#include "imapd/session.h"
#include "imapd/sort_order.h"

enum {
    THREAD_NODES_MAX = 8 << 20,              /* dummies too; 32 bytes each */
    THREAD_DEPTH_MAX = 1000,                 /* no link is made that would go deeper: bounds the search for loops */
};
#define THREAD_NONE UINT32_MAX

struct thread_node {
    union {
        uint64_t id;                         /* hash of the message id, while messages are added */
        struct { uint32_t first, last; };    /* children, then. Nodes, or THREAD_NONE */
    };
    uint32_t parent, next;
    uint32_t told;                           /* number or UID; 0: a dummy */
    uint16_t depth;                          /* when it was linked; what is above it may have grown since */
    bool is_reply : 1, is_merged : 1;        /* is_merged: a dummy whose children went to `parent` */
    bool has_been_parent : 1;
    uint64_t subject;                        /* hash of the base subject; 0: it is empty */
};

struct thread_ids {                          /* nodes by their id */
    struct thread_id_slot { uint32_t node, tag; } *slots;    /* node: and one, 0: free; tag: of the id, so that few nodes are looked at */
    size_t capacity, count;
};

struct thread_table {                        /* 64-bit keys, not 0 */
    struct thread_slot { uint64_t key; uint32_t value; } *slots;
    size_t capacity, count;
};

struct thread_tree {
    struct session *s;
    enum imap_thread_algorithm algorithm;
    struct thread_node *nodes;
    size_t count, capacity;
    int64_t *arrived;                        /* by node, in milliseconds, for REFS */
    struct thread_ids ids;                   /* while messages are added */
    struct sort_list by_sent;                /* messages, as they were added */
    uint32_t *by_date;                       /* messages, in order of sent date and mailbox */
    size_t message_count;
    uint32_t root_first, root_last;          /* list of roots by `next` */
    size_t root_count;
    size_t since_turn;
};

void thread_tree_init(struct thread_tree *t, struct session *s, enum imap_thread_algorithm algorithm, size_t expected);
void thread_tree_done(struct thread_tree *t);
/* A message with this id is to come: memory is slow, and its place in the table is not where the last one's was. */
void thread_tree_prepare(const struct thread_tree *t, uint64_t message_id);
/* Links it by its references but for ORDEREDSUBJECT (RFC 5256, REFERENCES step 1). Yields where memory grows. TOO_BIG, or the client is gone. */
MAY_YIELD NODISCARD result thread_tree_add(struct thread_tree *t, uint32_t told, const struct row *row, const struct sort_values *v);
/* Sorts and threads. Not OK: the client is gone, or TOO_BIG. */
MAY_YIELD NODISCARD result thread_tree_build(struct thread_tree *t);
/* "(1 2)(3)", in turns. */
MAY_YIELD NODISCARD result thread_tree_write(struct thread_tree *t, buf *out);
