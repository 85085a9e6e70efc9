/*
 * state_adopt: a state takes over the views of another of the same account. And the check of a state against its rows.
 */
#include <stdlib.h>

#include "account/state_private.h"
#include "base/check.h"

/* UIDs of a mailbox, run by run. */
struct uid_walk { const struct mailbox *mailbox; uint32_t block, index; };

static bool next_run(struct uid_walk *w, uint32_t *ret_first, uint32_t *ret_last)
{
    if (w->mailbox && w->block < w->mailbox->block_count && w->index == w->mailbox->blocks[w->block]->count) {
        w->block++;
        w->index = 0;
    }
    if (!w->mailbox || w->block == w->mailbox->block_count) return false;
    *ret_first = block_uid_run(w->mailbox->blocks[w->block], w->index, ret_last);
    w->index += *ret_last - *ret_first + 1;
    return true;
}

/* What `old` has and `fresh` has not. */
static void find_vanished(const struct mailbox *old, const struct mailbox *fresh, struct vanished_list *vanished)
{
    struct uid_walk had = {.mailbox = old}, has = {.mailbox = fresh};
    uint32_t first, last, rank = 0, kept_first = 0, kept_last = 0;
    bool more = next_run(&has, &kept_first, &kept_last);
    while (next_run(&had, &first, &last)) {
        while (first <= last) {
            while (more && kept_last < first) more = next_run(&has, &kept_first, &kept_last);
            uint32_t end = last;
            if (more && kept_first <= first) {
                if (kept_last < end) end = kept_last;
            } else {
                if (more && kept_first <= end) end = kept_first - 1;
                vanished_add(vanished, first, end, rank);
            }
            rank += end - first + 1;
            if (end == last) break;
            first = end + 1;
        }
    }
}

static void hand_over(struct numbering *n, struct mailbox *to, const struct vanished_list *vanished)
{
    numbering_vanish(n, vanished->at, vanished->count);
    if (!to) {
        numbering_end(n);
        return;
    }
    list_remove(&n->node);
    list_append(&to->numberings, &n->node);
    n->mailbox = to;
}

size_t state_adopt_needs(struct state *fresh, struct state *old, struct block_key *keys, bool *is_of_old, size_t max)
{
    return 0;                            /* UIDs are known without rows */
}

void state_adopt(struct state *fresh, struct state *old)
{
    check(fresh->sequence >= old->sequence);
    metadata_adopt(fresh, old);
    for (size_t i = 0; i < old->mailbox_count; i++) {
        struct mailbox *m = old->mailboxes[i], *to = state_mailbox(fresh, m->number);
        if (to && !to->is_selectable) to = NULL;
        if (to && m->recent_from_uid < to->recent_from_uid) to->recent_from_uid = m->recent_from_uid;
        if (list_is_empty(&m->numberings)) continue;
        struct vanished_list vanished = {0};
        find_vanished(m, to, &vanished);
        list_each(node, &m->numberings) hand_over(container_of(node, struct numbering, node), to, &vanished);
        free(vanished.at);
    }
}

/* ---- checking ---- */

struct checking {
    void (*found)(void *argument, view what);
    void *argument;
    size_t problems;
};

__attribute__((format(printf, 2, 3))) static void found(struct checking *c, const char *format, ...)
{
    buf text = BUF_INIT;
    va_list arguments;
    va_start(arguments, format);
    buf_appendv(&text, format, arguments);
    va_end(arguments);
    c->problems++;
    c->found(c->argument, buf_view(&text));
    buf_done(&text);
}

static void check_block(struct checking *c, const struct mailbox *m, const struct block *b)
{
    struct block counted = {.wide = b->wide, .slim = b->slim, .count = b->count, .is_loaded = true};
    block_recount(&counted);
    if (counted.unseen != b->unseen || counted.deleted != b->deleted || counted.size_bytes != b->size_bytes || counted.highest_modseq != b->highest_modseq)
        found(c, "mailbox %u: the sums of a block do not agree with its rows", m->number);
    for (uint32_t i = 0; i < b->count; i++) {
        uint64_t modseq = block_modseq_at(b, i);
        if (modseq > m->highest_modseq || modseq > m->state->sequence)
            found(c, "mailbox %u: message %u has a modseq above the mailbox's", m->number, block_uid_at(b, i));
        if (b->peaks && modseq > b->peaks[i / BLOCK_GROUP_ROWS])
            found(c, "mailbox %u: message %u has a modseq above its group's", m->number, block_uid_at(b, i));
        unix_ms date = block_row(b, i).internal_date;
        if (date.ms < b->oldest.ms || date.ms > b->newest.ms) found(c, "mailbox %u: message %u has a date outside its block's", m->number, block_uid_at(b, i));
    }
}

static void check_mailbox(struct checking *c, const struct mailbox *m, struct usage *usage)
{
    uint64_t exists = 0, unseen = 0, deleted = 0, bytes = 0;
    uint32_t last_uid = 0;
    for (uint32_t i = 0; i < m->block_count; i++) {
        const struct block *b = m->blocks[i];
        check(b->is_loaded);
        check_block(c, m, b);
        for (uint32_t k = 0; k < b->count; k++) {
            uint32_t uid = block_uid_at(b, k);
            if (uid <= last_uid || uid >= m->uid_next) found(c, "mailbox %u: UID %u is out of order", m->number, uid);
            last_uid = uid;
        }
        exists += b->count;
        unseen += b->unseen;
        deleted += b->deleted;
        bytes += b->size_bytes;
    }
    if (exists != m->exists || unseen != m->unseen || deleted != m->deleted || bytes != m->size_bytes)
        found(c, "mailbox %u: its counters do not agree with its rows", m->number);
    usage->messages += exists;
    usage->bytes += bytes;
    for (uint32_t i = 0; i < m->grave_count; i++) {
        const struct grave *g = m->graves[i];
        uint64_t live_bytes = 0;
        for (uint32_t k = 0, row = 0; k < g->run_count; row += g->runs[k++].count)
            for (uint32_t n = row; n < row + g->runs[k].count && !g->runs[k].is_dead; n++) live_bytes += block_row(g->block, n).size_bytes;
        if (live_bytes != g->live_bytes) found(c, "mailbox %u: the sums of its graveyard do not agree with its rows", m->number);
        usage->expunged_messages += g->live;
        usage->expunged_bytes += live_bytes;
    }
}

size_t state_check(struct state *s, void (*report)(void *argument, view what), void *argument)
{
    struct checking c = {report, argument, 0};
    struct usage usage = {0};
    for (size_t i = 0; i < s->mailbox_count; i++) check_mailbox(&c, s->mailboxes[i], &usage);
    if (usage.messages != s->usage.messages || usage.bytes != s->usage.bytes || usage.expunged_messages != s->usage.expunged_messages ||
        usage.expunged_bytes != s->usage.expunged_bytes)
        found(&c, "the account's usage does not agree with its rows");
    return c.problems;
}
