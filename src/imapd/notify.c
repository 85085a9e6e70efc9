/*
 * NOTIFY: RFC 5465.
 *
 * What the client asked for is kept as it wrote it, and read again when something has happened. What it was told of each mailbox is
 * kept in a few numbers; a look at them costs the number of mailboxes, not what they hold.
 */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "imapd/notify.h"
#include "imapd/status.h"

/* ---- what is known ---- */

static void forget(struct notify *n)
{
    for (size_t i = 0; i < n->count; i++) buf_done(&n->known[i].name);
    free(n->known);
    n->known = NULL;
    n->count = 0;
}

void session_end_notify(struct session *s)
{
    if (!s->notify) return;
    forget(s->notify);
    buf_done(&s->notify->text);
    imap_set_builder_done(&s->notify->own);
    free(s->notify);
    s->notify = NULL;
}

static int by_number(const void *a, const void *b)
{
    uint32_t x = ((const struct known_mailbox *)a)->number, y = ((const struct known_mailbox *)b)->number;
    return x < y ? -1 : x > y;
}

static void remember(struct notify *n, const struct mailbox_info *infos, size_t count)
{
    forget(n);
    n->known = calloc(count + 1, sizeof *n->known);
    check(n->known != NULL);
    for (size_t i = 0; i < count; i++) {
        struct known_mailbox *k = &n->known[n->count++];
        *k = (struct known_mailbox){infos[i].number, infos[i].exists, infos[i].uid_next, infos[i].unseen, infos[i].highest_modseq,
                                    infos[i].is_subscribed, BUF_INIT};
        buf_append(&k->name, infos[i].name);
    }
    qsort(n->known, n->count, sizeof *n->known, by_number);
}

const struct known_mailbox *notify_find_known(const struct notify *n, uint32_t number)
{
    struct known_mailbox key = {.number = number};
    return n->count ? bsearch(&key, n->known, n->count, sizeof key, by_number) : NULL;
}

/* ---- what is asked for ---- */

static const struct imap_notify_group *selected_group(const struct imap_notify *asked)
{
    for (size_t i = 0; i < asked->count; i++)
        if (asked->groups[i].filter.kind <= IMAP_FILTER_SELECTED_DELAYED) return &asked->groups[i];
    return NULL;
}

const struct imap_notify *session_notify_asked(struct session *s)
{
    struct imap_command *again = arena_new_struct(s->arena, struct imap_command);
    return imap_parse_command(buf_view(&s->notify->text), s->arena, again, NULL) == OK ? &again->notify : NULL;
}

/* §6: several groups can have the same mailbox. */
unsigned session_notify_events(struct session *s, const struct imap_notify *asked, const struct mailbox_info *info)
{
    unsigned events = 0;
    for (size_t i = 0; i < asked->count; i++) {
        const struct imap_mailbox_filter *filter = &asked->groups[i].filter;
        if (filter->kind > IMAP_FILTER_SELECTED_DELAYED && session_filter_has(s, filter, info)) events |= asked->groups[i].events;
    }
    return events;
}

bool session_hears(const struct session *s, enum imap_event event)
{
    return !s->is_deaf && (!s->notify || (s->notify->selected_events & event));
}

/* ---- telling ---- */

static unsigned status_items(const struct session *s)
{
    unsigned items = IMAP_STATUS_MESSAGES | IMAP_STATUS_UIDNEXT | IMAP_STATUS_UIDVALIDITY | IMAP_STATUS_UNSEEN;
    return s->has_condstore ? items | IMAP_STATUS_HIGHESTMODSEQ : items;
}

/* Both numbers and flags of one that is not selected are told by STATUS (§5.1 to §5.3). */
MAY_YIELD static void tell_messages(struct session *s, unsigned events, const struct known_mailbox *k, const struct mailbox_info *info)
{
    if (!info->is_selectable || (s->view && mailbox_view_mailbox(s->view) == info->number)) return;
    bool has_messages = k ? k->exists != info->exists || k->uid_next != info->uid_next : info->exists > 0;
    bool has_flags = k ? k->unseen != info->unseen || k->modseq != info->highest_modseq : false;
    if (((events & IMAP_EVENT_MESSAGE_NEW) && has_messages) || ((events & IMAP_EVENT_FLAG_CHANGE) && has_flags))
        session_tell_status(s, info, status_items(s));
}

void session_note_own(struct session *s, uint32_t mailbox, const struct imap_set *uids)
{
    if (!s->notify || !s->view || mailbox_view_mailbox(s->view) != mailbox) return;
    for (size_t i = 0; i < uids->count; i++) imap_set_builder_add_range(&s->notify->own, uids->ranges[i].first, uids->ranges[i].last);
}

/* §5.2: not of what the client put there itself. */
static struct imap_set without_own(struct session *s, uint32_t first, uint32_t last)
{
    struct imap_set own = imap_set_builder_set(&s->notify->own);
    struct imap_set left = {.ranges = arena_array(s->arena, struct imap_range, own.count + 1)};
    for (size_t i = 0; i < own.count && first <= last; i++) {
        if (own.ranges[i].last < first || own.ranges[i].first > last) continue;
        if (own.ranges[i].first > first) left.ranges[left.count++] = (struct imap_range){first, own.ranges[i].first - 1};
        first = own.ranges[i].last + 1;
    }
    if (first <= last) left.ranges[left.count++] = (struct imap_range){first, last};
    return left;
}

void session_tell_new(struct session *s, uint32_t above_uid)
{
    uint32_t highest = mailbox_view_highest_uid(s->view);
    if (!s->notify || !s->notify->has_fetch || highest <= above_uid || s->is_closing) return;
    const struct imap_notify *asked = session_notify_asked(s);
    const struct imap_notify_group *group = asked ? selected_group(asked) : NULL;
    struct imap_set uids = without_own(s, above_uid + 1, highest);
    imap_set_builder_done(&s->notify->own);
    s->notify->own = IMAP_SET_BUILDER_INIT;
    if (!group || uids.count == 0) return;
    struct imap_command fetch = {.verb = IMAP_FETCH, .is_uid = true, .fetch = group->fetch};
    struct reply unused = {0};
    fetch.fetch.set = uids;
    imapd_fetch(s, &fetch, &unused);
    reply_done(&unused);
}

/* §3.1: with FlagChange HIGHESTMODSEQ too, as CONDSTORE is there. */
MAY_YIELD static void tell_first(struct session *s, unsigned events, const struct mailbox_info *info)
{
    bool is_selected = s->view && mailbox_view_mailbox(s->view) == info->number;
    if (is_selected || !info->is_selectable || !(events & IMAP_EVENT_MESSAGE_NEW)) return;
    session_tell_status(s, info, status_items(s) | (events & IMAP_EVENT_FLAG_CHANGE ? IMAP_STATUS_HIGHESTMODSEQ : 0));
}

MAY_YIELD static void tell_others(struct session *s, const struct imap_notify *asked, bool is_first)
{
    struct mailbox_info *infos;
    size_t count = state_list(account_state(s->account), s->arena, &infos);
    if (!is_first) notify_tell_names(s, asked, infos, count);
    for (size_t i = 0; i < count; i++) {
        unsigned events = session_notify_events(s, asked, &infos[i]);
        if (events && !is_first) tell_messages(s, events, notify_find_known(s->notify, infos[i].number), &infos[i]);
        if (events && is_first && asked->wants_status) tell_first(s, events, &infos[i]);
        if (session_breathe(s) != OK) return;
    }
    remember(s->notify, infos, count);
}

void session_notify(struct session *s)
{
    struct fault fault = {0};
    if (session_refresh(s, &fault) != OK) return;
    const struct imap_notify *asked = session_notify_asked(s);
    if (!asked) return;
    if (s->state == SESSION_SELECTED && session_hears(s, IMAP_EVENT_MESSAGE_NEW)) session_sync(s, !s->notify->is_delayed || s->is_idling);
    if (!s->is_closing) tell_others(s, asked, false);
    session_tell_annotations(s, 0);
}

/* ---- the command ---- */

static bool check_events(const struct imap_notify *asked, struct reply *r)
{
    unsigned unknown = IMAP_EVENT_ANNOTATION_CHANGE | IMAP_EVENT_OTHER, events = 0;
    for (size_t i = 0; i < asked->count; i++) events |= asked->groups[i].events;
    if (!(events & unknown)) return true;
    /* §3.1: which events are known */
    reply_set(r, REPLY_NO, "BADEVENT (MessageNew MessageExpunge FlagChange MailboxName SubscriptionChange MailboxMetadataChange ServerMetadataChange)",
              "Some of the events are not known here");
    return false;
}

void imapd_notify(struct session *s, const struct imap_command *c, struct reply *r)
{
    if (!check_events(&c->notify, r)) return;
    bool followed = s->notify || s->has_metadata;
    session_end_notify(s);
    session_unwatch(s);
    s->is_deaf = c->notify.count == 0;
    if (s->is_deaf) return;
    if (!followed) session_follow_annotations(s);
    s->notify = calloc(1, sizeof *s->notify);
    check(s->notify != NULL);
    imap_write_command(&s->notify->text, c, true);
    const struct imap_notify_group *selected = selected_group(&c->notify);
    s->notify->selected_events = selected ? selected->events : 0;
    s->notify->is_delayed = selected && selected->filter.kind == IMAP_FILTER_SELECTED_DELAYED;
    s->notify->has_fetch = selected && selected->fetch.item_count > 0;
    session_watch(s);
    tell_others(s, &c->notify, true);
}
