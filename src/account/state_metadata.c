/*
 * state_metadata: annotations of mailboxes and of the account (RFC 5464), and the record that changes them.
 *
 * A record is done wholly or not at all. Annotations stay with their mailbox when it is renamed and go with it when it is deleted.
 */
#include <stdlib.h>
#include <string.h>

#include "account/state_private.h"
#include "base/check.h"

static int compare_name(const void *of, size_t i, view name)
{
    const struct metadata *m = of;
    return view_compare_nocase(m->at[i].name, name);
}

static bool find_index(const struct metadata *m, view name, size_t *ret_index)
{
    return state_find_place(m, m->count, compare_name, name, ret_index);
}

static void free_text(view v) { free((char *)v.at); }

static void remove_at(struct state *s, struct metadata *m, size_t i)
{
    s->metadata_bytes -= m->at[i].name.len + m->at[i].value.len;
    free_text(m->at[i].name);
    free_text(m->at[i].value);
    m->count--;
    memmove(&m->at[i], &m->at[i + 1], (m->count - i) * sizeof *m->at);
}

static void insert_at(struct state *s, struct metadata *m, size_t i, view name, view value)
{
    m->at = state_grow(m->at, m->count, &m->capacity, sizeof *m->at);
    memmove(&m->at[i + 1], &m->at[i], (m->count - i) * sizeof *m->at);
    m->at[i] = (struct metadata_entry){state_keep_text(name), state_keep_text(value)};
    m->count++;
    s->metadata_bytes += name.len + value.len;
}

bool metadata_add(struct state *s, struct metadata *m, view name, view value)
{
    if (m->count == METADATA_ENTRIES_MAX || s->metadata_bytes + name.len + value.len > METADATA_BYTES_MAX) return false;
    if (m->count && view_compare_nocase(m->at[m->count - 1].name, name) >= 0) return false;
    insert_at(s, m, m->count, name, value);
    return true;
}

void metadata_clear(struct state *s, struct metadata *m)
{
    while (m->count) remove_at(s, m, m->count - 1);
    free(m->at);
    *m = (struct metadata){0};
}

/* ---- what changed lately ---- */

static void log_drop(struct metadata_log *l, size_t count)
{
    if (count == 0) return;
    for (size_t i = 0; i < count; i++) free_text(l->at[i].name);
    l->count -= count;
    memmove(l->at, &l->at[count], l->count * sizeof *l->at);
}

static void log_add(struct state *s, uint32_t mailbox, view name)
{
    struct metadata_log *l = &s->metadata_log;
    if (l->count == METADATA_CHANGES_MAX) log_drop(l, METADATA_CHANGES_MAX / 4);
    l->at = state_grow(l->at, l->count, &l->capacity, sizeof *l->at);
    l->at[l->count++] = (struct metadata_change){s->sequence, mailbox, state_keep_text(name)};
}

void metadata_log_done(struct metadata_log *l)
{
    log_drop(l, l->count);
    free(l->at);
    *l = (struct metadata_log){0};
}

size_t state_metadata_changes(const struct state *s, uint64_t since, const struct metadata_change **ret_changes)
{
    const struct metadata_log *l = &s->metadata_log;
    size_t first = l->count;
    while (first > 0 && l->at[first - 1].sequence > since) first--;
    *ret_changes = first < l->count ? &l->at[first] : NULL;
    return l->count - first;
}

/* ---- the record ---- */

static struct metadata *metadata_of(struct state *s, uint32_t mailbox)
{
    struct mailbox *m = mailbox ? state_mailbox(s, mailbox) : NULL;
    return mailbox == 0 ? &s->metadata : m ? &m->metadata : NULL;
}

/* A name may stand in a record twice: what it grows by is then counted twice, which only matters at the limits. */
static bool fits(const struct state *s, const struct metadata *m, const struct record *r)
{
    size_t count = m->count, bytes = s->metadata_bytes, i;
    for (size_t k = 0; k < r->metadata.count; k++) {
        const struct record_entry *e = &r->metadata.entries[k];
        bool is_there = find_index(m, e->name, &i);
        if (is_there) bytes -= m->at[i].value.len < bytes ? m->at[i].value.len : bytes;
        if (e->removes) continue;
        if (!is_there) {
            count++;
            bytes += e->name.len;
        }
        bytes += e->value.len;
    }
    return count <= METADATA_ENTRIES_MAX && bytes <= METADATA_BYTES_MAX;
}

static void set(struct state *s, struct metadata *m, const struct record_entry *e)
{
    size_t i;
    bool is_there = find_index(m, e->name, &i);
    if (is_there) remove_at(s, m, i);
    if (!e->removes) insert_at(s, m, i, e->name, e->value);
}

void state_apply_metadata(struct state *s, const struct record *r, struct outcome *o)
{
    struct metadata *m = metadata_of(s, r->metadata.mailbox);
    o->code = !m ? NOT_FOUND : !fits(s, m, r) ? TOO_BIG : OK;
    if (o->code != OK) return;
    for (size_t i = 0; i < r->metadata.count; i++) {
        set(s, m, &r->metadata.entries[i]);
        log_add(s, r->metadata.mailbox, r->metadata.entries[i].name);
    }
    o->mailbox = r->metadata.mailbox;
}

/* Both are in order of name. */
static void log_difference(struct state *s, uint32_t mailbox, const struct metadata *fresh, const struct metadata *old)
{
    for (size_t i = 0, k = 0; i < fresh->count || k < old->count;) {
        int order = i == fresh->count ? 1 : k == old->count ? -1 : view_compare_nocase(fresh->at[i].name, old->at[k].name);
        bool is_same = order == 0 && view_equal(fresh->at[i].value, old->at[k].value);
        if (!is_same) log_add(s, mailbox, order > 0 ? old->at[k].name : fresh->at[i].name);
        i += order <= 0;
        k += order >= 0;
    }
}

void metadata_adopt(struct state *fresh, struct state *old)
{
    metadata_log_done(&fresh->metadata_log);
    fresh->metadata_log = old->metadata_log;
    old->metadata_log = (struct metadata_log){0};
    log_difference(fresh, 0, &fresh->metadata, &old->metadata);
    for (size_t i = 0; i < old->mailbox_count; i++) {
        struct mailbox *to = state_mailbox(fresh, old->mailboxes[i]->number);
        if (to) log_difference(fresh, to->number, &to->metadata, &old->mailboxes[i]->metadata);
    }
}

/* ---- reading ---- */

static const struct metadata *look_up(const struct state *s, uint32_t mailbox)
{
    static const struct metadata none;
    const struct mailbox *m = mailbox ? state_any_mailbox(s, mailbox) : NULL;
    return mailbox == 0 ? &s->metadata : m ? &m->metadata : &none;
}

size_t state_metadata(const struct state *s, uint32_t mailbox, const struct metadata_entry **ret_entries)
{
    const struct metadata *m = look_up(s, mailbox);
    *ret_entries = m->at;
    return m->count;
}

const struct metadata_entry *state_metadata_find(const struct state *s, uint32_t mailbox, view name)
{
    const struct metadata *m = look_up(s, mailbox);
    size_t i;
    return find_index(m, name, &i) ? &m->at[i] : NULL;
}
