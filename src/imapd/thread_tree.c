#include "imapd/thread_tree.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "runtime/workers.h"

enum { NODES_PER_TURN = 2048, NODES_FIRST = 1024, COPIED_PER_TURN = 64 << 10, TABLE_FIRST = 1024 };

MAY_YIELD static result breathe(struct thread_tree *t)
{
    if (++t->since_turn < NODES_PER_TURN) return OK;
    t->since_turn = 0;
    return session_breathe(t->s);
}

/* ---- tables ---- */

/* For no more keys than `max`. */
static void hashes_init(struct thread_table *t, size_t max)
{
    t->capacity = TABLE_FIRST;
    while (t->capacity < max * 2) t->capacity *= 2;
    t->count = 0;
    t->slots = calloc(t->capacity, sizeof *t->slots);
    check(t->slots);
}

static void hashes_done(struct thread_table *t)
{
    worker_free(t->slots, t->capacity * sizeof *t->slots);
    *t = (struct thread_table){0};
}

static size_t first_slot(size_t capacity, uint64_t key) { return (size_t)(key ^ key >> 29) & (capacity - 1); }

static size_t hashes_slot(const struct thread_table *t, uint64_t key)
{
    size_t i = first_slot(t->capacity, key);
    while (t->slots[i].key && t->slots[i].key != key) i = (i + 1) & (t->capacity - 1);
    return i;
}

static uint32_t hashes_get(const struct thread_table *t, uint64_t key)
{
    const struct thread_slot *slot = &t->slots[hashes_slot(t, key)];
    return slot->key ? slot->value : THREAD_NONE;
}

static void hashes_put(struct thread_table *t, uint64_t key, uint32_t value)
{
    size_t i = hashes_slot(t, key);
    t->count += !t->slots[i].key;
    check(t->count < t->capacity);
    t->slots[i] = (struct thread_slot){key, value};
}

/* ---- nodes ---- */

/* What stands in `*array` moves to a larger one, in turns: tens of megabytes. */
MAY_YIELD static result grow_array(struct thread_tree *t, void **array, size_t item_bytes, size_t capacity)
{
    char *larger = malloc(capacity * item_bytes), *old = *array;
    size_t bytes = t->count * item_bytes;
    result code = OK;
    check(larger != NULL);
    for (size_t at = 0; at < bytes && code == OK; at += COPIED_PER_TURN) {
        memcpy(larger + at, old + at, bytes - at < COPIED_PER_TURN ? bytes - at : COPIED_PER_TURN);
        code = session_breathe(t->s);
    }
    if (code == OK) *array = larger;
    worker_free(code == OK ? old : larger, bytes);
    return code;
}

MAY_YIELD static result grow_nodes(struct thread_tree *t, size_t capacity)
{
    void *nodes = t->nodes, *arrived = t->arrived;
    result code = grow_array(t, &nodes, sizeof *t->nodes, capacity);
    t->nodes = nodes;
    if (code == OK && t->algorithm == IMAP_THREAD_REFS) code = grow_array(t, &arrived, sizeof *t->arrived, capacity);
    t->arrived = arrived;
    if (code == OK) t->capacity = capacity;
    return code;
}

MAY_YIELD static result add_node(struct thread_tree *t, uint32_t *ret_node)
{
    if (t->count == THREAD_NODES_MAX) return TOO_BIG;
    result code = t->count == t->capacity ? grow_nodes(t, 2 * t->capacity) : OK;
    if (code != OK) return code;
    t->nodes[t->count] = (struct thread_node){.parent = THREAD_NONE, .first = THREAD_NONE, .last = THREAD_NONE, .next = THREAD_NONE};
    if (t->arrived) t->arrived[t->count] = 0;
    *ret_node = (uint32_t)t->count++;
    return OK;
}

/* ---- nodes by id ---- */

static void ids_init(struct thread_ids *ids, size_t expected)
{
    *ids = (struct thread_ids){.capacity = TABLE_FIRST};
    while (ids->capacity < expected * 2) ids->capacity *= 2;
    ids->slots = calloc(ids->capacity, sizeof *ids->slots);
    check(ids->slots != NULL);
}

static void ids_done(struct thread_ids *ids)
{
    worker_free(ids->slots, ids->capacity * sizeof *ids->slots);
    *ids = (struct thread_ids){0};
}

static uint32_t tag_of(uint64_t id) { return (uint32_t)(id >> 16); }

/* Where the id is or would be. */
static struct thread_id_slot *ids_slot(const struct thread_tree *t, const struct thread_ids *ids, uint64_t id)
{
    size_t i = first_slot(ids->capacity, id);
    for (; ids->slots[i].node; i = (i + 1) & (ids->capacity - 1))
        if (ids->slots[i].tag == tag_of(id) && t->nodes[ids->slots[i].node - 1].id == id) break;
    return &ids->slots[i];
}

static uint32_t find_id(const struct thread_tree *t, uint64_t id)
{
    uint32_t node = ids_slot(t, &t->ids, id)->node;
    return node ? node - 1 : THREAD_NONE;
}

/* In turns: each slot is a look at its node, wherever that is, and the system gives the memory of the larger table page by page. */
MAY_YIELD static result grow_ids(struct thread_tree *t)
{
    struct thread_ids larger;
    result code = OK;
    ids_init(&larger, t->ids.capacity);
    larger.count = t->ids.count;
    for (size_t i = 0; i < t->ids.capacity && code == OK; i++) {
        if (t->ids.slots[i].node) *ids_slot(t, &larger, t->nodes[t->ids.slots[i].node - 1].id) = t->ids.slots[i];
        code = breathe(t);
    }
    ids_done(code == OK ? &t->ids : &larger);
    if (code == OK) t->ids = larger;
    return code;
}

/* An id that is not there yet. */
MAY_YIELD static result put_id(struct thread_tree *t, uint64_t id, uint32_t node)
{
    result code = t->ids.count * 4 >= t->ids.capacity * 3 ? grow_ids(t) : OK;
    if (code != OK) return code;
    t->nodes[node].id = id;
    *ids_slot(t, &t->ids, id) = (struct thread_id_slot){.node = node + 1, .tag = tag_of(id)};
    t->ids.count++;
    return OK;
}

/* The node of an id, a dummy if no message has come with it. */
MAY_YIELD static result node_of(struct thread_tree *t, uint64_t id, uint32_t *ret_node)
{
    *ret_node = find_id(t, id);
    if (*ret_node != THREAD_NONE) return OK;
    result code = add_node(t, ret_node);
    return code == OK ? put_id(t, id, *ret_node) : code;
}

/* ---- a tree ---- */

static bool links(const struct thread_tree *t) { return t->algorithm != IMAP_THREAD_ORDEREDSUBJECT; }

void thread_tree_init(struct thread_tree *t, struct session *s, enum imap_thread_algorithm algorithm, size_t expected)
{
    *t = (struct thread_tree){.s = s, .algorithm = algorithm, .root_first = THREAD_NONE, .root_last = THREAD_NONE};
    sort_list_expect(&t->by_sent, expected);
    t->capacity = NODES_FIRST + expected + expected / 8;
    t->nodes = malloc(t->capacity * sizeof *t->nodes);
    check(t->nodes != NULL);
    if (algorithm == IMAP_THREAD_REFS) {
        t->arrived = malloc(t->capacity * sizeof *t->arrived);
        check(t->arrived != NULL);
    }
    if (links(t)) ids_init(&t->ids, expected);
}

void thread_tree_done(struct thread_tree *t)
{
    worker_free(t->nodes, t->capacity * sizeof *t->nodes);
    worker_free(t->arrived, t->capacity * sizeof *t->arrived);
    worker_free(t->by_date, t->message_count * sizeof *t->by_date);
    sort_list_done(&t->by_sent);
    ids_done(&t->ids);
}

/* False when `child` is `parent` or above it, or the chain is too deep to say. What never had a child is above nothing: the common case. */
static bool may_link(const struct thread_tree *t, uint32_t parent, uint32_t child)
{
    unsigned depth = 0;
    if (!t->nodes[child].has_been_parent) return parent != child && t->nodes[parent].depth < THREAD_DEPTH_MAX;
    for (uint32_t at = parent; at != THREAD_NONE; at = t->nodes[at].parent)
        if (at == child || ++depth > THREAD_DEPTH_MAX) return false;
    return true;
}

static void set_parent(struct thread_tree *t, uint32_t child, uint32_t parent)
{
    t->nodes[child].parent = parent;
    t->nodes[child].depth = (uint16_t)(t->nodes[parent].depth + 1);
    t->nodes[parent].has_been_parent = true;
}

/* Step 1 A and B. */
MAY_YIELD static result link_references(struct thread_tree *t, uint32_t node, const struct sort_values *v)
{
    uint32_t before = THREAD_NONE;
    for (size_t i = 0; i < v->reference_count; i++) {
        uint32_t at;
        result code = node_of(t, v->references[i], &at);
        if (code != OK) return code;
        if (before != THREAD_NONE && t->nodes[at].parent == THREAD_NONE && may_link(t, before, at)) set_parent(t, at, before);
        before = at;
    }
    t->nodes[node].parent = THREAD_NONE;
    t->nodes[node].depth = 0;
    if (before != THREAD_NONE && may_link(t, before, node)) set_parent(t, node, before);
    return OK;
}

void thread_tree_prepare(const struct thread_tree *t, uint64_t message_id)
{
    if (links(t)) __builtin_prefetch(&t->ids.slots[first_slot(t->ids.capacity, message_id)]);
}

result thread_tree_add(struct thread_tree *t, uint32_t told, const struct row *row, const struct sort_values *v)
{
    uint32_t node = v->message_id && links(t) ? find_id(t, v->message_id) : THREAD_NONE;
    if (node == THREAD_NONE || t->nodes[node].told) {
        bool is_known = node != THREAD_NONE;
        result code = add_node(t, &node);
        if (code == OK && v->message_id && links(t) && !is_known) code = put_id(t, v->message_id, node);
        if (code != OK) return code;
    }
    struct thread_node *n = &t->nodes[node];
    n->told = told;
    n->is_reply = v->is_reply;
    n->subject = v->subject_hash;
    sort_list_add_number(&t->by_sent, v->has_date ? v->sent.ms : row->internal_date.ms, false, node);
    if (t->arrived) t->arrived[node] = row->internal_date.ms;
    t->message_count++;
    return links(t) ? link_references(t, node, v) : OK;
}

/* ---- orders and lists ---- */

MAY_YIELD static result sort_by_date(struct thread_tree *t)
{
    result code = sort_list_sort(t->s, &t->by_sent);
    t->by_date = malloc((t->message_count + 1) * sizeof *t->by_date);
    check(t->by_date != NULL);
    for (size_t i = 0; i < t->message_count && code == OK; i++) {
        t->by_date[i] = t->by_sent.items[i].number;
        code = breathe(t);
    }
    sort_list_done(&t->by_sent);
    return code;
}

static void append_root(struct thread_tree *t, uint32_t node)
{
    t->nodes[node].next = THREAD_NONE;
    if (t->root_last == THREAD_NONE) {
        t->root_first = node;
    } else {
        t->nodes[t->root_last].next = node;
    }
    t->root_last = node;
    t->root_count++;
}

static void forget_roots(struct thread_tree *t)
{
    t->root_first = t->root_last = THREAD_NONE;
    t->root_count = 0;
}

static void append_child(struct thread_tree *t, uint32_t parent, uint32_t node)
{
    struct thread_node *p = &t->nodes[parent];
    t->nodes[node].next = THREAD_NONE;
    if (p->last == THREAD_NONE) {
        p->first = node;
    } else {
        t->nodes[p->last].next = node;
    }
    p->last = node;
}

/* The lists anew from the parents. A dummy comes where its first child does (steps 4 and 6). */
MAY_YIELD static result make_lists(struct thread_tree *t)
{
    result code = OK;
    forget_roots(t);
    for (size_t i = 0; i < t->count && code == OK; i++) {
        t->nodes[i].first = t->nodes[i].last = t->nodes[i].next = THREAD_NONE;
        code = breathe(t);
    }
    for (size_t i = 0; i < t->message_count && code == OK; i++) {
        uint32_t node = t->by_date[i], parent = t->nodes[node].parent;
        while (parent != THREAD_NONE && t->nodes[parent].is_merged) parent = t->nodes[parent].parent;
        if (parent == THREAD_NONE) {
            append_root(t, node);
        } else {
            if (!t->nodes[parent].told && t->nodes[parent].first == THREAD_NONE) append_root(t, parent);
            append_child(t, parent, node);
        }
        code = breathe(t);
    }
    return code;
}

/* ---- step 3: dummies ---- */

/* The nearest message above, or the topmost dummy. */
static uint32_t settled_parent(const struct thread_tree *t, uint32_t node)
{
    uint32_t at = t->nodes[node].parent, top = THREAD_NONE;
    for (; at != THREAD_NONE; at = t->nodes[at].parent) {
        top = at;
        if (t->nodes[at].told) break;
    }
    return top;
}

/* Dummies that stay have several children; their own parents are gone. */
MAY_YIELD static result prune_dummies(struct thread_tree *t)
{
    uint32_t *settled = calloc(t->count + 1, sizeof *settled), *children = calloc(t->count + 1, sizeof *children);
    result code = OK;
    check(settled && children);
    for (uint32_t i = 0; i < t->count && code == OK; i++) {
        settled[i] = THREAD_NONE;
        if (t->nodes[i].told) settled[i] = settled_parent(t, i);
        if (settled[i] != THREAD_NONE) children[settled[i]]++;
        code = breathe(t);
    }
    for (uint32_t i = 0; i < t->count && code == OK; i++) {
        uint32_t parent = settled[i];
        if (parent != THREAD_NONE && !t->nodes[parent].told && children[parent] == 1) parent = THREAD_NONE;
        t->nodes[i].parent = parent;
        code = breathe(t);
    }
    worker_free(settled, t->count * sizeof *settled);
    worker_free(children, t->count * sizeof *children);
    return code;
}

/* ---- step 5: subjects ---- */

static uint64_t thread_subject(const struct thread_tree *t, uint32_t root)
{
    const struct thread_node *n = &t->nodes[root];
    return n->told ? n->subject : t->nodes[n->first].subject;
}

MAY_YIELD static result fill_subjects(struct thread_tree *t, struct thread_table *subjects)
{
    result code = OK;
    for (uint32_t at = t->root_first; at != THREAD_NONE && code == OK; at = t->nodes[at].next) {
        uint64_t subject = thread_subject(t, at);
        code = breathe(t);
        if (!subject) continue;
        uint32_t in = hashes_get(subjects, subject);
        const struct thread_node *n = &t->nodes[at], *old = in == THREAD_NONE ? NULL : &t->nodes[in];
        if (!old || (old->told && (!n->told || (old->is_reply && !n->is_reply)))) hashes_put(subjects, subject, at);
    }
    return code;
}

/* C: the parents change, the lists are made anew afterwards. */
MAY_YIELD static result merge_subjects(struct thread_tree *t, struct thread_table *subjects)
{
    uint32_t next;
    for (uint32_t at = t->root_first; at != THREAD_NONE; at = next) {
        next = t->nodes[at].next;
        uint64_t subject = thread_subject(t, at);
        uint32_t in = subject ? hashes_get(subjects, subject) : at, dummy;
        result code = breathe(t);
        if (code != OK) return code;
        if (in == at || in == THREAD_NONE) continue;
        if (!t->nodes[in].told || (t->nodes[at].is_reply && !t->nodes[in].is_reply)) {
            t->nodes[at].is_merged = !t->nodes[at].told;
            t->nodes[at].parent = in;
            continue;
        }
        code = add_node(t, &dummy);
        if (code != OK) return code;
        t->nodes[at].parent = t->nodes[in].parent = dummy;
        hashes_put(subjects, subject, dummy);
    }
    return OK;
}

MAY_YIELD static result gather_subjects(struct thread_tree *t)
{
    struct thread_table subjects;
    hashes_init(&subjects, t->root_count);
    result code = fill_subjects(t, &subjects);
    if (code == OK) code = merge_subjects(t, &subjects);
    hashes_done(&subjects);
    return code == OK ? make_lists(t) : code;
}

/* ---- the other algorithms ---- */

/* ORDEREDSUBJECT: the first message of a subject is the parent of the others. */
MAY_YIELD static result group_by_subject(struct thread_tree *t)
{
    struct thread_table subjects;
    result code = OK;
    hashes_init(&subjects, t->message_count);
    for (size_t i = 0; i < t->message_count && code == OK; i++) {
        struct thread_node *n = &t->nodes[t->by_date[i]];
        uint64_t subject = n->subject ? n->subject : 2;      /* hashes of subjects are odd */
        n->parent = hashes_get(&subjects, subject);
        if (n->parent == THREAD_NONE) hashes_put(&subjects, subject, t->by_date[i]);
        code = breathe(t);
    }
    hashes_done(&subjects);
    return code == OK ? make_lists(t) : code;
}

/* REFS: threads in the order of their latest arrival. Parents of messages are settled, so the root is reached in few steps. */
MAY_YIELD static result sort_roots_by_arrival(struct thread_tree *t)
{
    struct sort_list list = {0};
    result code = OK;
    for (size_t i = 0; i < t->message_count && code == OK; i++) {
        uint32_t root = t->by_date[i];
        int64_t arrived = t->arrived[root];
        while (t->nodes[root].parent != THREAD_NONE) root = t->nodes[root].parent;
        if (t->arrived[root] < arrived) t->arrived[root] = arrived;
        code = breathe(t);
    }
    for (uint32_t at = t->root_first; at != THREAD_NONE && code == OK; at = t->nodes[at].next) {
        sort_list_add_number(&list, t->arrived[at], false, at);
        code = breathe(t);
    }
    if (code == OK) code = sort_list_sort(t->s, &list);
    if (code == OK) forget_roots(t);
    for (size_t i = 0; i < list.count && code == OK; i++) {
        append_root(t, list.items[i].number);
        code = breathe(t);
    }
    sort_list_done(&list);
    return code;
}

result thread_tree_build(struct thread_tree *t)
{
    ids_done(&t->ids);
    result code = sort_by_date(t);
    if (code == OK && t->algorithm == IMAP_THREAD_ORDEREDSUBJECT) return group_by_subject(t);
    if (code == OK) code = prune_dummies(t);
    if (code == OK) code = make_lists(t);
    if (code != OK) return code;
    return t->algorithm == IMAP_THREAD_REFS ? sort_roots_by_arrival(t) : gather_subjects(t);
}

/* ---- writing ---- */

static void push(buf *stack, uint32_t node) { buf_append(stack, view_make(&node, sizeof node)); }

static uint32_t *top(buf *stack)
{
    return stack->len ? (uint32_t *)(void *)(stack->at + stack->len - sizeof(uint32_t)) : NULL;
}

/* After a node without children: the next sibling that is open, or THREAD_NONE when the thread is complete. */
static uint32_t close_node(struct thread_tree *t, buf *stack, buf *out)
{
    buf_append_byte(out, ')');
    while (top(stack)) {
        uint32_t next = t->nodes[*top(stack)].next;
        if (next != THREAD_NONE) {
            *top(stack) = next;
            buf_append_byte(out, '(');
            return next;
        }
        stack->len -= sizeof(uint32_t);
        buf_append_byte(out, ')');
    }
    return THREAD_NONE;
}

/* Chains stand side by side; where a thread splits, each branch has parentheses. */
MAY_YIELD static result write_thread(struct thread_tree *t, uint32_t root, buf *stack, buf *out)
{
    uint32_t at = root;
    buf_append_byte(out, '(');
    while (at != THREAD_NONE) {
        const struct thread_node *n = &t->nodes[at];
        uint32_t first = n->first;
        if (n->told) buf_append_u64(out, n->told);
        if (first == THREAD_NONE) {
            at = close_node(t, stack, out);
        } else {
            if (n->told) buf_append_byte(out, ' ');
            if (t->nodes[first].next != THREAD_NONE) {
                push(stack, first);
                buf_append_byte(out, '(');
            }
            at = first;
        }
        if (out == session_out(t->s)) {
            result code = breathe(t);
            if (code != OK) return code;
        }
    }
    return OK;
}

result thread_tree_write(struct thread_tree *t, buf *out)
{
    buf stack CLEANUP(buf_done) = BUF_INIT;
    result code = OK;
    for (uint32_t root = t->root_first; root != THREAD_NONE && code == OK; root = t->nodes[root].next)
        code = write_thread(t, root, &stack, out);
    return code;
}
