/*
 * NOTIFY: RFC 5465.
 *
 * What the client asked for is kept as it wrote it, and read again when something has happened. What it was told of each mailbox is
 * kept in a few numbers; a look at them costs the number of mailboxes, not what they hold.
 */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "formats/imap_write.h"
#include "imapd/session.h"
#include "imapd/status.h"

struct known_mailbox {
    uint32_t number, exists, uid_next, unseen;
    uint64_t modseq;
    bool is_subscribed;
    buf name;
};

struct notify {
    buf text;                                /* the command */
    struct known_mailbox *known;             /* in order of number */
    size_t count;
};

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

static const struct known_mailbox *find_known(const struct notify *n, uint32_t number)
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

/* §6: the first group that has the mailbox decides. */
static unsigned events_of(struct session *s, const struct imap_notify *asked, const struct mailbox_info *info)
{
    for (size_t i = 0; i < asked->count; i++) {
        const struct imap_mailbox_filter *filter = &asked->groups[i].filter;
        if (filter->kind > IMAP_FILTER_SELECTED_DELAYED && session_filter_has(s, filter, info)) return asked->groups[i].events;
    }
    return 0;
}

/* ---- telling ---- */

static unsigned status_items(const struct session *s)
{
    unsigned items = IMAP_STATUS_MESSAGES | IMAP_STATUS_UIDNEXT | IMAP_STATUS_UIDVALIDITY | IMAP_STATUS_UNSEEN;
    return s->has_condstore ? items | IMAP_STATUS_HIGHESTMODSEQ : items;
}

static void tell_list(struct session *s, view name, view old_name, const char *attributes)
{
    buf *out = session_out(s);
    buf_appendf(out, "* LIST (%s) \"/\" ", attributes);
    imap_write_mailbox(out, name, session_speaks_utf8(s));
    if (old_name.len) {                      /* §5.4 */
        buf_append(out, VIEW(" (\"OLDNAME\" ("));
        imap_write_mailbox(out, old_name, session_speaks_utf8(s));
        buf_append(out, VIEW("))"));
    }
    buf_append(out, VIEW("\r\n"));
}

MAY_YIELD static void tell_mailbox(struct session *s, unsigned events, const struct known_mailbox *k, const struct mailbox_info *info)
{
    view old_name = k ? buf_view(&k->name) : VIEW_EMPTY;
    bool is_renamed = !k || !view_equal(old_name, info->name);
    if ((events & IMAP_EVENT_MAILBOX_NAME) && is_renamed) tell_list(s, info->name, old_name, info->is_subscribed ? "\\Subscribed" : "");
    if ((events & IMAP_EVENT_SUBSCRIPTION_CHANGE) && k && k->is_subscribed != info->is_subscribed)
        tell_list(s, info->name, VIEW_EMPTY, info->is_subscribed ? "\\Subscribed" : "");
    if (!info->is_selectable || (s->view && mailbox_view_mailbox(s->view) == info->number)) return;
    bool has_messages = k ? k->exists != info->exists || k->uid_next != info->uid_next : info->exists > 0;
    bool has_flags = k ? k->unseen != info->unseen || k->modseq != info->highest_modseq : false;
    if (((events & IMAP_EVENT_MESSAGE_NEW) && has_messages) || ((events & IMAP_EVENT_FLAG_CHANGE) && has_flags))
        session_tell_status(s, info, status_items(s));
}

static bool is_there(const struct mailbox_info *infos, size_t count, uint32_t number)
{
    for (size_t i = 0; i < count; i++)
        if (infos[i].number == number) return true;
    return false;
}

/* Deleted ones: only looked for when some must be gone. */
static void tell_gone(struct session *s, const struct imap_notify *asked, const struct mailbox_info *infos, size_t count)
{
    for (size_t i = 0; i < s->notify->count; i++) {
        const struct known_mailbox *k = &s->notify->known[i];
        struct mailbox_info gone = {.number = k->number, .name = buf_view(&k->name), .is_subscribed = k->is_subscribed};
        if (state_mailbox(account_state(s->account), k->number) || is_there(infos, count, k->number)) continue;
        if (events_of(s, asked, &gone) & IMAP_EVENT_MAILBOX_NAME) tell_list(s, gone.name, VIEW_EMPTY, "\\NonExistent");
    }
}

/* New messages with what MessageNew asks for; the rest is sync.c's. */
MAY_YIELD static void tell_selected(struct session *s, const struct imap_notify_group *group)
{
    uint32_t before = mailbox_view_highest_uid(s->view);
    session_sync(s, group->filter.kind == IMAP_FILTER_SELECTED);
    uint32_t after = mailbox_view_highest_uid(s->view);
    if (group->fetch.item_count == 0 || after <= before || s->is_closing) return;
    struct imap_range range = {before + 1, after};
    struct imap_command fetch = {.verb = IMAP_FETCH, .is_uid = true, .fetch = group->fetch};
    struct reply unused = {0};
    fetch.fetch.set = (struct imap_set){.ranges = &range, .count = 1};
    imapd_fetch(s, &fetch, &unused);
    reply_done(&unused);
}

MAY_YIELD static void tell_others(struct session *s, const struct imap_notify *asked, bool is_first)
{
    struct mailbox_info *infos;
    size_t count = state_list(account_state(s->account), s->arena, &infos);
    for (size_t i = 0; i < count; i++) {
        unsigned events = events_of(s, asked, &infos[i]);
        if (!events) continue;
        if (!is_first) {
            tell_mailbox(s, events, find_known(s->notify, infos[i].number), &infos[i]);
        } else if (asked->wants_status && infos[i].is_selectable && (events & IMAP_EVENT_MESSAGE_NEW) &&
                   !(s->view && mailbox_view_mailbox(s->view) == infos[i].number)) {
            session_tell_status(s, &infos[i], status_items(s));
        }
        if (session_breathe(s) != OK) return;
    }
    if (!is_first) tell_gone(s, asked, infos, count);
    remember(s->notify, infos, count);
}

void session_notify(struct session *s)
{
    struct fault fault = {0};
    struct imap_command again;
    if (session_refresh(s, &fault) != OK || imap_parse_command(buf_view(&s->notify->text), s->arena, &again, NULL) != OK) return;
    const struct imap_notify_group *selected = selected_group(&again.notify);
    if (s->state == SESSION_SELECTED && selected && (selected->events & IMAP_EVENT_MESSAGE_NEW)) {
        tell_selected(s, selected);
    } else if (s->state == SESSION_SELECTED && s->is_idling) {
        session_sync(s, true);
    }
    tell_others(s, &again.notify, false);
}

/* ---- the command ---- */

static bool check_events(const struct imap_notify *asked, struct reply *r)
{
    unsigned unknown = IMAP_EVENT_ANNOTATION_CHANGE | IMAP_EVENT_MAILBOX_METADATA_CHANGE | IMAP_EVENT_SERVER_METADATA_CHANGE, events = 0;
    for (size_t i = 0; i < asked->count; i++) events |= asked->groups[i].events;
    if (!(events & unknown)) return true;
    /* §8: which events are known */
    reply_set(r, REPLY_NO, "BADEVENT (MessageNew MessageExpunge FlagChange MailboxName SubscriptionChange)", "Some of the events are not known here");
    return false;
}

void imapd_notify(struct session *s, const struct imap_command *c, struct reply *r)
{
    if (!check_events(&c->notify, r)) return;
    session_end_notify(s);
    session_unwatch(s);
    if (c->notify.count == 0) return;
    s->notify = calloc(1, sizeof *s->notify);
    check(s->notify != NULL);
    imap_write_command(&s->notify->text, c, true);
    session_watch(s);
    tell_others(s, &c->notify, true);
}
