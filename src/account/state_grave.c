/*
 * state_grave: the graveyard of a mailbox: expunged rows, until they are restored or purged.
 *
 * Rows stand in the order of (record, UID), whatever the blocks: RESTORE gives new UIDs in that order. Purging marks runs of rows as dead
 * and needs no rows; the space of dead rows is won when all of a block are.
 */
#include <stdlib.h>
#include <string.h>

#include "account/state_private.h"
#include "base/check.h"

enum { BURY_ROWWISE_PART = 8 };    /* whole blocks below this part of the largest are copied, so that graves do not become many and small */

void grave_add_run(struct grave *g, struct grave_run run)
{
    struct grave_run *last = g->run_count ? &g->runs[g->run_count - 1] : NULL;
    if (run.count == 0) return;
    if (last && last->modseq == run.modseq && last->is_dead == run.is_dead && last->expunged.ms == run.expunged.ms) {
        last->count += run.count;
        last->size_bytes += run.size_bytes;
        return;
    }
    size_t capacity = g->run_capacity;
    g->runs = state_grow(g->runs, g->run_count, &capacity, sizeof *g->runs);
    g->run_capacity = (uint32_t)capacity;
    g->runs[g->run_count++] = run;
}

void grave_recount(struct grave *g)
{
    g->live = 0;
    g->live_bytes = 0;
    for (uint32_t i = 0; i < g->run_count; i++) {
        if (g->runs[i].is_dead) continue;
        g->live += g->runs[i].count;
        g->live_bytes += g->runs[i].size_bytes;
    }
}

void grave_free(struct state *s, struct grave *g)
{
    state_release_block(s, g->block);
    free(g->runs);
    free(g);
}

void mailbox_add_grave(struct mailbox *m, struct grave *g)
{
    size_t capacity = m->grave_capacity;
    m->graves = state_grow(m->graves, m->grave_count, &capacity, sizeof *m->graves);
    m->grave_capacity = (uint32_t)capacity;
    m->graves[m->grave_count++] = g;
}

static struct grave *new_grave(struct mailbox *m, struct block *b)
{
    struct grave *g = calloc(1, sizeof *g);
    check(g != NULL);
    g->block = b;
    mailbox_add_grave(m, g);
    return g;
}

static void count_buried(struct state *s, struct grave *g, uint32_t count, uint64_t bytes)
{
    g->live += count;
    g->live_bytes += bytes;
    s->usage.expunged_messages += count;
    s->usage.expunged_bytes += bytes;
}

void grave_bury_row(struct mailbox *m, const struct row *row, view uidl, unix_ms when, uint64_t modseq)
{
    struct state *s = m->state;
    struct grave *g = m->grave_count ? m->graves[m->grave_count - 1] : NULL;
    if (!g || !g->block->is_loaded || g->block->count >= s->pool.block_rows || block_is_shared(s, g->block)) g = new_grave(m, block_new(&s->pool));
    block_push(&s->pool, g->block, row, uidl);
    grave_add_run(g, (struct grave_run){1, false, when, modseq, row->size_bytes});
    count_buried(s, g, 1, row->size_bytes);
}

void grave_bury_block(struct mailbox *m, struct block *b, unix_ms when, uint64_t modseq)
{
    struct state *s = m->state;
    if (b->is_loaded && b->count <= s->pool.block_rows / BURY_ROWWISE_PART) {
        for (uint32_t i = 0; i < b->count; i++) {
            struct row row = block_row(b, i);
            grave_bury_row(m, &row, block_uidl(b, i), when, modseq);
        }
        state_release_block(s, b);
        return;
    }
    struct grave *g = new_grave(m, b);
    grave_add_run(g, (struct grave_run){b->count, false, when, modseq, b->size_bytes});
    count_buried(s, g, b->count, b->size_bytes);
    if (!block_is_shared(s, b)) block_set_ranges(&s->pool, b, NULL, 0);
}

static void drop_empty_graves(struct mailbox *m)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < m->grave_count; i++) {
        if (m->graves[i]->live == 0) {
            grave_free(m->state, m->graves[i]);
        } else {
            m->graves[kept++] = m->graves[i];
        }
    }
    m->grave_count = kept;
}

void state_end_mailboxes(struct state *s)
{
    size_t kept = 0;
    if (s->aside) return;
    for (size_t i = 0; i < s->mailbox_count; i++) {
        struct mailbox *m = s->mailboxes[i];
        if (m->is_gone && m->grave_count == 0) {
            mailbox_free(m);
        } else {
            s->mailboxes[kept++] = m;
        }
    }
    s->mailbox_count = kept;
}

static bool is_dead_row(void *argument, uint32_t index, const struct row *row)
{
    struct grave_run **run = argument;
    while (index >= (*run)->count) {        /* counts were made cumulative by squeeze() */
        (*run)++;
    }
    return (*run)->is_dead;
}

/* Takes dead rows out of a loaded grave once they are the larger part. */
static void squeeze(struct state *s, struct grave *g)
{
    if (!g->block->is_loaded || g->live == 0 || g->live > g->block->count / 2) return;
    uint32_t sum = 0, kept = 0;
    for (uint32_t i = 0; i < g->run_count; i++) {
        sum += g->runs[i].count;
        g->runs[i].count = sum;
    }
    struct grave_run *at = g->runs;
    if (block_is_shared(s, g->block)) {
        struct block *own = block_copy(&s->pool, g->block);
        state_release_block(s, g->block);
        g->block = own;
    }
    block_remove(&s->pool, g->block, is_dead_row, &at);
    for (uint32_t i = 0, before = 0; i < g->run_count; i++) {
        struct grave_run run = g->runs[i];
        uint32_t count = run.count - before;
        before = run.count;
        if (run.is_dead) continue;
        run.count = count;
        g->runs[kept++] = run;
    }
    g->run_count = kept;
}

static void purge_grave(struct state *s, struct grave *g, unix_ms before)
{
    for (uint32_t i = 0; i < g->run_count; i++) {
        struct grave_run *run = &g->runs[i];
        if (run->is_dead || run->expunged.ms >= before.ms) continue;
        run->is_dead = true;
        s->usage.expunged_messages -= run->count;
        s->usage.expunged_bytes -= run->size_bytes;
    }
    grave_recount(g);
    squeeze(s, g);
}

void state_apply_purge(struct state *s, const struct record *r)
{
    for (size_t i = 0; i < s->mailbox_count; i++) {
        struct mailbox *m = s->mailboxes[i];
        for (uint32_t k = 0; k < m->grave_count; k++) purge_grave(s, m->graves[k], r->purge.before);
        drop_empty_graves(m);
    }
    state_end_mailboxes(s);
}

unix_ms state_oldest_expunged(const struct state *s)
{
    unix_ms oldest = {0};
    for (size_t i = 0; i < s->mailbox_count; i++) {
        const struct mailbox *m = s->mailboxes[i];
        for (uint32_t k = 0; k < m->grave_count; k++)
            for (uint32_t n = 0; n < m->graves[k]->run_count; n++) {
                const struct grave_run *run = &m->graves[k]->runs[n];
                if (!run->is_dead && (oldest.ms == 0 || run->expunged.ms < oldest.ms)) oldest = run->expunged;
            }
    }
    return oldest;
}

/* ---- restoring ---- */

static bool wants_run(const struct record *r, const struct grave_run *run)
{
    return !run->is_dead && run->expunged.ms >= r->restore.since.ms && run->expunged.ms <= r->restore.until.ms;
}

static bool wants_row(const struct record *r, const struct row *row)
{
    return r->restore.uids.count == 0 || imap_set_has(&r->restore.uids, row->uid);
}

bool restore_needs_grave(const struct record *r, const struct grave *g)
{
    for (uint32_t i = 0; i < g->run_count; i++)
        if (wants_run(r, &g->runs[i])) return true;
    return false;
}

struct restoring {
    struct state *state;
    const struct record *record;
    struct mailbox *to;
    struct keyword_map *map;
    struct imap_set_builder result;
    bool failed;                         /* no UIDs left */
};

static bool restore_row(struct restoring *restoring, const struct row *row)
{
    struct mailbox *to = restoring->to;
    if (to->uid_next > UID_MAX) {
        restoring->failed = true;
        return false;
    }
    struct row again = *row;
    again.uid = to->uid_next;
    again.modseq = restoring->state->sequence;
    again.flags = keyword_map_flags(restoring->map, row->flags);
    if (restoring->record->kind == RECORD_RESTORE) again.flags &= ~ROW_DELETED;
    mailbox_push(to, &again, VIEW_EMPTY);
    imap_set_builder_add(&restoring->result, again.uid);
    return true;
}

static void restore_grave(struct restoring *restoring, struct grave *g)
{
    check(g->block->is_loaded);
    struct grave_run *runs = g->runs;
    const struct row *rows = block_rows(&restoring->state->pool, g->block);
    uint32_t run_count = g->run_count, row = 0;
    g->runs = NULL;
    g->run_count = g->run_capacity = 0;
    for (uint32_t i = 0; i < run_count; i++) {
        bool wanted = wants_run(restoring->record, &runs[i]);
        for (uint32_t end = row + runs[i].count; row < end; row++) {
            struct grave_run one = runs[i];
            one.count = 1;
            one.size_bytes = rows[row].size_bytes;
            if (wanted && wants_row(restoring->record, &rows[row]) && restore_row(restoring, &rows[row])) {
                one.is_dead = true;
                restoring->state->usage.expunged_messages--;
                restoring->state->usage.expunged_bytes -= one.size_bytes;
            }
            grave_add_run(g, one);
        }
    }
    free(runs);
    grave_recount(g);
    squeeze(restoring->state, g);
}

static void restore_mailbox(struct restoring *restoring, struct mailbox *m, struct mailbox *into)
{
    struct state *s = restoring->state;
    restoring->to = into ? into : !m->is_gone && m->is_selectable ? m : state_mailbox(s, INBOX_NUMBER);
    struct keyword_map map = {.from = m, .to = restoring->to};
    restoring->map = &map;
    uint32_t count = m->grave_count;
    for (uint32_t i = 0; i < count; i++) {
        if (!restore_needs_grave(restoring->record, m->graves[i])) continue;
        uint32_t rows = m->graves[i]->block->count;
        restore_grave(restoring, state_own_grave(m, i));
        state_breathe(s, rows);
    }
    restoring->map = NULL;
    drop_empty_graves(m);
}

void state_apply_restore(struct state *s, const struct record *r, struct arena *arena, struct outcome *o)
{
    struct mailbox *into = NULL;
    o->code = state_restore_target(s, r, &into);
    if (o->code != OK) return;
    if (r->restore.mailbox && !state_any_mailbox(s, r->restore.mailbox)) {
        o->code = NOT_FOUND;
        return;
    }
    struct restoring restoring = {.state = s, .record = r, .result = IMAP_SET_BUILDER_INIT};
    size_t count = s->mailbox_count;
    for (size_t i = 0; i < count; i++)
        if (r->restore.mailbox == 0 || s->mailboxes[i]->number == r->restore.mailbox) restore_mailbox(&restoring, s->mailboxes[i], into);
    if (restoring.to && (into || r->restore.mailbox)) {
        o->mailbox = restoring.to->number;
        o->uid_validity = restoring.to->uid_validity;
    }
    if (restoring.failed) o->code = TOO_BIG;
    if (arena && (into || r->restore.mailbox)) o->result_uids = outcome_set(&restoring.result, arena);
    imap_set_builder_done(&restoring.result);
    state_end_mailboxes(s);
}

/* ---- messages that were appended hidden ---- */

static uint64_t count_wanted(struct mailbox *m, const struct record *r)
{
    uint64_t wanted = 0;
    for (uint32_t i = 0; i < m->grave_count; i++) {
        const struct grave *g = m->graves[i];
        uint32_t row = 0;
        if (!restore_needs_grave(r, g)) continue;
        const struct row *rows = block_rows(&m->state->pool, g->block);
        for (uint32_t k = 0; k < g->run_count; k++)
            for (uint32_t end = row + g->runs[k].count; row < end; row++)
                if (wants_run(r, &g->runs[k]) && wants_row(r, &rows[row])) wanted++;
    }
    return wanted;
}

/* RFC 3502: all or none. They get new UIDs, because others may have come since theirs were given. */
void state_apply_reveal(struct state *s, const struct record *r, struct arena *arena, struct outcome *o)
{
    struct mailbox *m = state_mailbox(s, r->restore.mailbox);
    uint64_t count = imap_set_size(&r->restore.uids);
    o->code = !m || !m->is_selectable ? NOT_FOUND : m->uid_next > UID_MAX - count ? TOO_BIG : count_wanted(m, r) != count ? INVALID : OK;
    if (o->code != OK) return;
    struct restoring restoring = {.state = s, .record = r, .result = IMAP_SET_BUILDER_INIT};
    restore_mailbox(&restoring, m, m);
    o->mailbox = m->number;
    o->uid_validity = m->uid_validity;
    if (arena) o->result_uids = outcome_set(&restoring.result, arena);
    imap_set_builder_done(&restoring.result);
}
