#include "account/numbering.h"

#include <stdlib.h>
#include <string.h>

#include "account/state_private.h"
#include "base/check.h"
#include "runtime/workers.h"

void numbering_open(struct numbering *n, struct mailbox *m)
{
    *n = (struct numbering){.mailbox = m};
    list_append(&m->numberings, &n->node);
    numbering_take_new(n);
    n->told_modseq = m->highest_modseq;
}

void numbering_close(struct numbering *n)
{
    list_remove(&n->node);
    worker_free(n->ghosts, n->ghost_count * sizeof *n->ghosts);
    *n = (struct numbering){0};
    list_init(&n->node);
}

/* Index of the last ghost for which is_at_or_before holds for `value`, or SIZE_MAX: by number or by UID. */
static size_t last_ghost(const struct numbering *n, uint32_t value, bool by_number)
{
    size_t low = 0, high = n->ghost_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        uint32_t at = by_number ? n->ghosts[middle].number : n->ghosts[middle].first;
        if (at <= value) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low - 1;
}

size_t numbering_ghost_from(const struct numbering *n, uint32_t uid)
{
    size_t i = last_ghost(n, uid, false);
    return i == SIZE_MAX || n->ghosts[i].last < uid ? i + 1 : i;
}

static uint32_t ghost_size(const struct ghost *g) { return g->last - g->first + 1; }

static uint32_t ghosts_below(const struct numbering *n, uint32_t uid)
{
    size_t i = last_ghost(n, uid, false);
    if (i == SIZE_MAX) return 0;
    const struct ghost *g = &n->ghosts[i];
    return g->before + (uid > g->last ? ghost_size(g) : uid - g->first);
}

static void push_ghost(struct ghost *ghosts, size_t *count, uint32_t *messages, struct ghost g)
{
    struct ghost *last = *count ? &ghosts[*count - 1] : NULL;
    if (last && last->last + 1 == g.first) {
        last->last = g.last;
    } else {
        g.before = *messages;
        ghosts[(*count)++] = g;
    }
    *messages += ghost_size(&g);
}

/* Behind all ghosts: the records of one large expunge come so. Costs what has vanished. */
static void append_ghosts(struct numbering *n, const struct vanished *vanished, size_t count)
{
    uint32_t ghosts_before = n->ghost_messages;
    while (n->ghost_capacity < n->ghost_count + count) n->ghosts = state_grow(n->ghosts, n->ghost_capacity, &n->ghost_capacity, sizeof *n->ghosts);
    for (size_t i = 0; i < count; i++) {
        struct vanished v = vanished[i];
        struct ghost g = {v.first, v.last < n->known_uid ? v.last : n->known_uid, v.rank + ghosts_before + 1, 0};
        push_ghost(n->ghosts, &n->ghost_count, &n->ghost_messages, g);
    }
}

void numbering_vanish(struct numbering *n, const struct vanished *vanished, size_t count)
{
    size_t new_count = 0, old = 0;
    uint32_t messages = 0;
    while (count && vanished[count - 1].first > n->known_uid) count--;
    if (count == 0) return;
    if (n->ghost_count == 0 || n->ghosts[n->ghost_count - 1].first < vanished[0].first) {
        append_ghosts(n, vanished, count);
        return;
    }
    struct ghost *merged = malloc((n->ghost_count + count) * sizeof *merged);
    check(merged != NULL);
    for (size_t i = 0; i < count; i++) {
        struct vanished v = vanished[i];
        while (old < n->ghost_count && n->ghosts[old].first < v.first) push_ghost(merged, &new_count, &messages, n->ghosts[old++]);
        uint32_t ghosts_before = old ? n->ghosts[old - 1].before + ghost_size(&n->ghosts[old - 1]) : 0;
        struct ghost g = {v.first, v.last < n->known_uid ? v.last : n->known_uid, v.rank + ghosts_before + 1, 0};
        push_ghost(merged, &new_count, &messages, g);
    }
    while (old < n->ghost_count) push_ghost(merged, &new_count, &messages, n->ghosts[old++]);
    worker_free(n->ghosts, n->ghost_count * sizeof *n->ghosts);
    n->ghosts = merged;
    n->ghost_capacity = n->ghost_count + count;
    n->ghost_count = new_count;
    n->ghost_messages = messages;
}

void numbering_end(struct numbering *n)
{
    check_slow(n->ghost_messages == n->count);
    list_remove(&n->node);
    n->mailbox = NULL;
}

struct numbered numbering_at(const struct numbering *n, uint32_t number)
{
    check_slow(number >= 1 && number <= n->count);
    size_t i = last_ghost(n, number, true);
    const struct ghost *g = i == SIZE_MAX ? NULL : &n->ghosts[i];
    if (g && number - g->number < ghost_size(g)) {
        uint32_t past = number - g->number;
        return (struct numbered){.is_ghost = true, .uid = g->first + past, .count = ghost_size(g) - past};
    }
    uint32_t next = i + 1 < n->ghost_count ? n->ghosts[i + 1].number : n->count + 1;
    return (struct numbered){.rank = number - 1 - (g ? g->before + ghost_size(g) : 0), .count = next - number};
}

uint32_t numbering_uid(const struct numbering *n, uint32_t number)
{
    struct numbered at = numbering_at(n, number);
    return at.is_ghost ? at.uid : mailbox_uid_at(n->mailbox, at.rank);
}

uint32_t numbering_below(const struct numbering *n, uint32_t uid)
{
    if (uid > n->known_uid) return n->count;
    return ghosts_below(n, uid) + (n->mailbox ? mailbox_rank(n->mailbox, uid) : 0);
}

uint32_t numbering_highest_uid(const struct numbering *n)
{
    return n->count ? numbering_uid(n, n->count) : 0;
}

/* Index among the known, or known_count. */
static size_t find_known(const struct numbering *n, uint64_t modseq)
{
    size_t i = 0;
    while (i < n->known_count && (modseq < n->known[i].first || modseq > n->known[i].last)) i++;
    return i;
}

bool numbering_has_told(const struct numbering *n, uint64_t modseq)
{
    return modseq <= n->told_modseq || find_known(n, modseq) < n->known_count;
}

bool numbering_is_behind(const struct numbering *n)
{
    if (n->ghost_messages) return true;
    /* Also when the last change is known: there may be others before it. */
    return n->mailbox && (n->mailbox->exists != n->count || n->mailbox->highest_modseq > n->told_modseq);
}

void numbering_knows(struct numbering *n, uint64_t follows, uint64_t modseq)
{
    size_t before = find_known(n, follows);
    if (numbering_has_told(n, modseq)) return;
    if (follows && follows <= n->told_modseq) {
        n->told_modseq = modseq;
        return;
    }
    if (before < n->known_count) {
        n->known[before].last = modseq;
        return;
    }
    if (n->known_count == NUMBERING_KNOWN_MAX) {
        memmove(n->known, n->known + 1, sizeof n->known - sizeof n->known[0]);
        n->known_count--;
    }
    n->known[n->known_count++] = (struct known_records){modseq, modseq};
}

void numbering_take_new(struct numbering *n)
{
    if (!n->mailbox) return;
    n->known_uid = n->mailbox->uid_next - 1;
    n->count = n->mailbox->exists + n->ghost_messages;
}

void numbering_sync(struct numbering *n, bool may_expunge, struct mailbox_changes *ret_changes)
{
    struct mailbox_changes c = {.since = n->told_modseq, .known_count = n->known_count, .from_uid = 1, .known_uid = n->known_uid};
    memcpy(c.known, n->known, n->known_count * sizeof n->known[0]);
    if (may_expunge) {
        c.expunged = n->ghosts;
        c.expunged_count = n->ghost_count;
        n->count -= n->ghost_messages;
        n->ghosts = NULL;
        n->ghost_count = n->ghost_capacity = 0;
        n->ghost_messages = 0;
    }
    uint32_t known = n->count;
    numbering_take_new(n);
    c.exists = n->count;
    c.exists_changed = n->count != known;
    if (n->mailbox) n->told_modseq = n->mailbox->highest_modseq;
    n->known_count = 0;
    *ret_changes = c;
}

void mailbox_changes_done(struct mailbox_changes *c)
{
    worker_free(c->expunged, c->expunged_count * sizeof *c->expunged);
    c->expunged = NULL;
    c->expunged_count = 0;
}

void numbering_tell_again(struct numbering *n, const struct mailbox_changes *c)
{
    n->told_modseq = c->since;
    n->known_count = c->known_count;
    memcpy(n->known, c->known, c->known_count * sizeof c->known[0]);
}
