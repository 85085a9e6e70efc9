/*
 * state_name: names of mailboxes, and the records about them.
 *
 * A name that has inferiors is always there itself, as a mailbox or (after DELETE) as a name that cannot be selected; such a name
 * goes with its last inferior. Subscriptions are names of their own and stay when a mailbox goes (RFC 9051 §6.3.7).
 */
#include <stdlib.h>
#include <string.h>

#include "account/state_private.h"
#include "base/check.h"
#include "base/utf8.h"

static bool is_inbox(view name) { return view_equal(name, VIEW("INBOX")); }

bool name_is_below(view name, view parent)
{
    return name.len > parent.len && view_starts(name, parent) && name.at[parent.len] == '/';
}

int name_compare(view a, view b)
{
    bool a_first = is_inbox(a) || name_is_below(a, VIEW("INBOX")), b_first = is_inbox(b) || name_is_below(b, VIEW("INBOX"));
    if (a_first != b_first) return a_first ? -1 : 1;
    size_t common = a.len < b.len ? a.len : b.len, i = 0;
    while (i < common && a.at[i] == b.at[i]) i++;
    if (i == a.len || i == b.len) return (a.len > b.len) - (a.len < b.len);
    if (a.at[i] == '/') return -1;
    if (b.at[i] == '/') return 1;
    return (unsigned char)a.at[i] < (unsigned char)b.at[i] ? -1 : 1;
}

bool name_canonical(view name, char text[static RECORD_NAME_BYTES_MAX], view *ret_name)
{
    if (name.len == 0 || name.len > RECORD_NAME_BYTES_MAX || !utf8_is_valid(name) || view_has_byte(name, '\0')) return false;
    if (name.at[0] == '/' || name.at[name.len - 1] == '/' || view_find_view(name, VIEW("//")) != VIEW_NONE) return false;
    memcpy(text, name.at, name.len);
    if (view_starts_nocase(name, VIEW("INBOX")) && (name.len == 5 || name.at[5] == '/')) memcpy(text, "INBOX", 5);
    *ret_name = view_make(text, name.len);
    return true;
}

/* ---- the table of names ---- */

bool state_find_place(const void *of, size_t count, int (*compare)(const void *of, size_t i, view name), view name, size_t *ret_index)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = compare(of, middle, name);
        if (order == 0) {
            *ret_index = middle;
            return true;
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    *ret_index = low;
    return false;
}

static int compare_mailbox(const void *of, size_t i, view name)
{
    const struct state *s = of;
    return name_compare(s->names[i]->name, name);
}

bool state_name_index(const struct state *s, view name, size_t *ret_index)
{
    return state_find_place(s, s->name_count, compare_mailbox, name, ret_index);
}

struct mailbox *state_find(struct state *s, view name)
{
    size_t i;
    return state_name_index(s, name, &i) ? s->names[i] : NULL;
}

void state_insert_name(struct state *s, struct mailbox *m)
{
    size_t i;
    check(!state_name_index(s, m->name, &i));
    s->names = state_grow(s->names, s->name_count, &s->name_capacity, sizeof *s->names);
    memmove(&s->names[i + 1], &s->names[i], (s->name_count - i) * sizeof *s->names);
    s->names[i] = m;
    s->name_count++;
}

static void remove_name(struct state *s, const struct mailbox *m)
{
    size_t i;
    check(state_name_index(s, m->name, &i));
    s->name_count--;
    memmove(&s->names[i], &s->names[i + 1], (s->name_count - i) * sizeof *s->names);
}

bool mailbox_has_children(const struct mailbox *m)
{
    const struct state *s = m->state;
    size_t i;
    return state_name_index(s, m->name, &i) && i + 1 < s->name_count && name_is_below(s->names[i + 1]->name, m->name);
}

/* ---- making and ending mailboxes ---- */

/* In seconds of the record's clock, and larger than any before. */
static uint32_t choose_uid_validity(struct state *s, unix_ms written)
{
    int64_t seconds = written.ms / 1000;
    uint32_t least = s->last_uid_validity < UINT32_MAX ? s->last_uid_validity + 1 : UINT32_MAX;
    uint32_t chosen = seconds > least ? (seconds < UINT32_MAX ? (uint32_t)seconds : UINT32_MAX) : least;
    s->last_uid_validity = chosen;
    return chosen;
}

static void ask_uid_validity(struct mailbox *m, uint32_t uid_validity)
{
    m->uid_validity = uid_validity;
    if (uid_validity > m->state->last_uid_validity) m->state->last_uid_validity = uid_validity;
}

static struct mailbox *add_mailbox(struct state *s, view name, bool is_selectable)
{
    struct mailbox *m = mailbox_new(s, s->next_number++, name);
    m->is_selectable = is_selectable;
    m->highest_modseq = s->sequence;
    state_insert_name(s, m);
    return m;
}

static size_t count_missing_levels(const struct state *s, view name)
{
    size_t missing = 0, i;
    for (size_t at = 0; at <= name.len; at++)
        if ((at == name.len || name.at[at] == '/') && !state_name_index(s, view_slice(name, 0, at), &i)) missing++;
    return missing;
}

static bool have_room(const struct state *s, view name)
{
    return s->name_count + count_missing_levels(s, name) <= STATE_MAILBOXES_MAX && s->next_number <= UINT32_MAX - RECORD_NAME_BYTES_MAX;
}

static result make_levels(struct state *s, view name, unix_ms written)
{
    if (!have_room(s, name)) return TOO_BIG;
    size_t unused;
    for (size_t at = 0; at <= name.len; at++) {
        if (at < name.len && name.at[at] != '/') continue;
        view level = view_slice(name, 0, at);
        if (!state_name_index(s, level, &unused)) add_mailbox(s, level, true)->uid_validity = choose_uid_validity(s, written);
    }
    return OK;
}

result state_create(struct state *s, view name, unix_ms written, struct mailbox **ret_mailbox)
{
    char text[RECORD_NAME_BYTES_MAX];
    view canonical;
    if (!name_canonical(name, text, &canonical)) return INVALID;
    struct mailbox *m = state_find(s, canonical);
    if (m && m->is_selectable) {
        *ret_mailbox = m;
        return EXISTS;
    }
    if (m) {
        m->is_selectable = true;
        m->uid_validity = choose_uid_validity(s, written);
    } else {
        result made = make_levels(s, canonical, written);
        if (made != OK) return made;
        m = state_find(s, canonical);
    }
    *ret_mailbox = m;
    return OK;
}

bool state_may_create(struct state *s, view name)
{
    char text[RECORD_NAME_BYTES_MAX];
    view canonical;
    return name_canonical(name, text, &canonical) && (state_find(s, canonical) || have_room(s, canonical));
}

static void tell_of_mailbox(struct outcome *o, const struct mailbox *m)
{
    o->mailbox = m->number;
    o->uid_validity = m->uid_validity;
}

void state_apply_create(struct state *s, const struct record *r, struct outcome *o)
{
    struct mailbox *m = NULL;
    o->code = state_create(s, r->create.name, r->written, &m);
    if (m) tell_of_mailbox(o, m);
    if (o->code != OK) return;
    m->special_use = r->create.special_use;
    if (r->create.uid_validity) ask_uid_validity(m, r->create.uid_validity);
    tell_of_mailbox(o, m);
    if (r->create.subscribes) state_subscribe(s, m->name, true);
}

/* Names that only stood for their inferiors go with the last of them. */
static void prune_parents(struct state *s, view name)
{
    for (;;) {
        size_t slash = view_find_last(name, '/');
        if (slash == VIEW_NONE) return;
        name = view_slice(name, 0, slash);
        struct mailbox *parent = state_find(s, name);
        if (!parent || parent->is_selectable || mailbox_has_children(parent)) return;
        remove_name(s, parent);
        parent->is_gone = true;
        metadata_clear(s, &parent->metadata);
    }
}

static void end_numberings(struct mailbox *m)
{
    list_each(node, &m->numberings) numbering_end(container_of(node, struct numbering, node));
}

/* RFC 9051 §6.3.5: inferiors stay; the name then stays for them and cannot be selected. */
void state_apply_delete(struct state *s, const struct record *r, struct outcome *o)
{
    struct mailbox *m = state_mailbox(s, r->delete.mailbox);
    o->code = !m ? NOT_FOUND : m->number == INBOX_NUMBER || !m->is_selectable ? INVALID : s->next_number == UINT32_MAX ? TOO_BIG : OK;
    if (o->code != OK) return;
    tell_of_mailbox(o, m);
    struct vanished_list vanished = {0};
    mailbox_remove_rows(m, &(struct removal){.buries = true, .when = r->written}, &vanished);
    free(vanished.at);
    end_numberings(m);
    bool has_children = mailbox_has_children(m);
    remove_name(s, m);
    m->is_gone = true;
    metadata_clear(s, &m->metadata);
    if (has_children) add_mailbox(s, m->name, false);
    prune_parents(s, m->name);
    state_end_mailboxes(s);
}

/* ---- renaming ---- */

static int by_name(const void *left, const void *right)
{
    const struct mailbox *const *a = left, *const *b = right;
    return name_compare((*a)->name, (*b)->name);
}

static bool inferiors_fit(const struct state *s, view from, view to)
{
    for (size_t i = 0; i < s->name_count; i++)
        if (name_is_below(s->names[i]->name, from) && s->names[i]->name.len - from.len + to.len > RECORD_NAME_BYTES_MAX) return false;
    return true;
}

static void change_prefix(struct mailbox *m, size_t prefix, view to)
{
    buf name = BUF_INIT;
    buf_append(&name, to);
    buf_append(&name, view_from(m->name, prefix));
    free((char *)m->name.at);
    m->name = state_keep_text(buf_view(&name));
    buf_done(&name);
}

static void rename_all(struct state *s, struct mailbox *m, view to)
{
    char text[RECORD_NAME_BYTES_MAX];
    memcpy(text, m->name.at, m->name.len);
    view from = view_make(text, m->name.len);
    for (size_t i = 0; i < s->name_count; i++)
        if (s->names[i] == m || name_is_below(s->names[i]->name, from)) change_prefix(s->names[i], from.len, to);
    qsort(s->names, s->name_count, sizeof *s->names, by_name);
    prune_parents(s, from);
    state_end_mailboxes(s);
}

/* RFC 9051 §6.3.6: the messages move to the new name, INBOX stays and is empty, its inferiors stay. Blocks go over as they are. */
static void empty_inbox_into(struct mailbox *inbox, struct mailbox *to)
{
    struct vanished_list vanished = {0};
    uint32_t before = 0, last;
    for (uint32_t i = 0; i < inbox->block_count; before += inbox->blocks[i++]->count)
        for (uint32_t k = 0; k < inbox->blocks[i]->count;) {
            uint32_t first = block_uid_run(inbox->blocks[i], k, &last);
            vanished_add(&vanished, first, last, before + k);
            k += last - first + 1;
        }
    for (uint32_t i = 0; i < inbox->keyword_count; i++) mailbox_add_keyword(to, inbox->keywords[i]);
    for (uint32_t i = 0; i < inbox->block_count; i++) mailbox_add_block(to, inbox->blocks[i]);
    to->uid_next = inbox->uid_next;
    inbox->block_count = 0;
    mailbox_tidy(inbox);
    inbox->highest_modseq = to->highest_modseq = inbox->state->sequence;
    vanish_log_add(inbox, vanished.at, vanished.count);
    list_each(node, &inbox->numberings) numbering_vanish(container_of(node, struct numbering, node), vanished.at, vanished.count);
    free(vanished.at);
}

void state_apply_rename(struct state *s, const struct record *r, struct outcome *o)
{
    char text[RECORD_NAME_BYTES_MAX];
    view to;
    struct mailbox *m = state_mailbox(s, r->rename.mailbox), *made;
    o->code = !m ? NOT_FOUND : !name_canonical(r->rename.name, text, &to) ? INVALID : state_find(s, to) ? EXISTS : OK;
    if (o->code != OK) return;
    if (m->number == INBOX_NUMBER) {
        o->code = state_create(s, to, r->written, &made);
        if (o->code != OK) return;
        empty_inbox_into(m, made);
        tell_of_mailbox(o, made);
        return;
    }
    size_t slash = view_find_last(to, '/');
    o->code = name_is_below(to, m->name) ? INVALID : !inferiors_fit(s, m->name, to) ? TOO_BIG : OK;
    if (o->code == OK && slash != VIEW_NONE) o->code = make_levels(s, view_slice(to, 0, slash), r->written);
    if (o->code != OK) return;
    rename_all(s, m, to);
    tell_of_mailbox(o, m);
}

/* ---- subscriptions and attributes ---- */

static bool subscription_index(const struct state *s, view name, size_t *ret_index)
{
    size_t low = 0, high = s->subscription_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = name_compare(s->subscriptions[middle], name);
        if (order == 0) {
            *ret_index = middle;
            return true;
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    *ret_index = low;
    return false;
}

bool state_is_subscribed(const struct state *s, view name)
{
    size_t i;
    return subscription_index(s, name, &i);
}

bool state_subscribe(struct state *s, view name, bool subscribes)
{
    size_t i;
    bool is_there = subscription_index(s, name, &i);
    if (is_there == subscribes) return true;
    if (is_there) {
        free((char *)s->subscriptions[i].at);
        s->subscription_count--;
        memmove(&s->subscriptions[i], &s->subscriptions[i + 1], (s->subscription_count - i) * sizeof *s->subscriptions);
        return true;
    }
    if (s->subscription_count >= STATE_MAILBOXES_MAX) return false;
    s->subscriptions = state_grow(s->subscriptions, s->subscription_count, &s->subscription_capacity, sizeof *s->subscriptions);
    memmove(&s->subscriptions[i + 1], &s->subscriptions[i], (s->subscription_count - i) * sizeof *s->subscriptions);
    s->subscriptions[i] = state_keep_text(name);
    s->subscription_count++;
    return true;
}

void state_apply_subscribe(struct state *s, const struct record *r, struct outcome *o)
{
    char text[RECORD_NAME_BYTES_MAX];
    view name;
    if (!name_canonical(r->subscribe.name, text, &name)) {
        o->code = INVALID;
        return;
    }
    if (!state_subscribe(s, name, r->subscribe.subscribes)) o->code = TOO_BIG;
}

void state_apply_mailbox(struct state *s, const struct record *r, struct outcome *o)
{
    struct mailbox *m = state_mailbox(s, r->mailbox.mailbox);
    if (!m || !m->is_selectable) {
        o->code = NOT_FOUND;
        return;
    }
    if (r->mailbox.sets_special_use) m->special_use = r->mailbox.special_use;
    bool is_unused = m->uid_next == 1;
    if (r->mailbox.uid_validity > (is_unused ? 0 : m->uid_validity)) ask_uid_validity(m, r->mailbox.uid_validity);
    if (r->mailbox.uid_next > m->uid_next && r->mailbox.uid_next <= UID_ASKED_MAX) m->uid_next = r->mailbox.uid_next;
    tell_of_mailbox(o, m);
}
