/*
 * MailboxName and SubscriptionChange: RFC 5465 §5.4, §5.5.
 *
 * What was made or deleted affects the mailbox above it too; of what was renamed, nothing is told of the mailboxes below, which moved along.
 */
#include "formats/imap_name.h"
#include "formats/imap_write.h"
#include "imapd/list.h"
#include "imapd/notify.h"

struct naming {
    struct session *s;
    const struct imap_notify *asked;
    struct map affected;                     /* names above what was made or deleted */
};

static void tell_list(struct session *s, const struct list_entry *entry, view old_name)
{
    buf *out = session_out(s);
    buf_append(out, VIEW("* LIST ("));
    list_write_attributes(s, entry, true);
    buf_append(out, VIEW(") \"/\" "));
    imap_write_mailbox(out, entry->name, session_speaks_utf8(s));
    if (old_name.len) {
        buf_append(out, VIEW(" (\"OLDNAME\" ("));
        imap_write_mailbox(out, old_name, session_speaks_utf8(s));
        buf_append(out, VIEW("))"));
    }
    buf_append(out, VIEW("\r\n"));
}

static view last_level(view name)
{
    return view_from(name, imap_name_parent(name).len);
}

/* The mailbox above it was renamed, and this one with it. */
static bool moved_along(struct session *s, view old_name, view name)
{
    struct mailbox_info above;
    view old_above = imap_name_parent(old_name), new_above = imap_name_parent(name);
    struct mailbox *m = state_find(account_state(s->account), new_above);
    if (!m || old_above.len == 0 || new_above.len == 0 || !view_equal(last_level(old_name), last_level(name))) return false;
    mailbox_read_info(m, s->arena, &above);
    const struct known_mailbox *k = notify_find_known(s->notify, above.number);
    return k && view_equal(buf_view(&k->name), old_above) && !view_equal(old_above, new_above);
}

static void note_affected(struct naming *n, view name)
{
    view above = imap_name_parent(name);
    if (above.len) map_put(&n->affected, above, n);
}

static void tell_change(struct naming *n, const struct mailbox_info *info)
{
    const struct known_mailbox *k = notify_find_known(n->s->notify, info->number);
    struct list_entry entry = {.name = info->name, .info = info, .is_subscribed = info->is_subscribed};
    unsigned events = session_notify_events(n->s, n->asked, info);
    view old_name = k ? buf_view(&k->name) : VIEW_EMPTY;
    bool is_new = !k || !view_equal(old_name, info->name);
    if (k && is_new && moved_along(n->s, old_name, info->name)) is_new = false;
    bool is_named = (events & IMAP_EVENT_MAILBOX_NAME) && (is_new || map_get(&n->affected, info->name));
    bool is_subscribed_anew = (events & IMAP_EVENT_SUBSCRIPTION_CHANGE) && k && k->is_subscribed != info->is_subscribed;
    if (is_named || is_subscribed_anew) tell_list(n->s, &entry, is_named && is_new ? old_name : VIEW_EMPTY);
}

static bool is_there(const struct mailbox_info *infos, size_t count, uint32_t number)
{
    for (size_t i = 0; i < count; i++)
        if (infos[i].number == number) return true;
    return false;
}

/* Of a name that stays for what is below it there is a mailbox again, of another number. */
static void tell_gone(struct naming *n, const struct known_mailbox *k)
{
    struct mailbox_info gone = {.number = k->number, .name = buf_view(&k->name), .is_subscribed = k->is_subscribed};
    struct list_entry entry = {.name = gone.name, .is_subscribed = k->is_subscribed};
    if (state_find(account_state(n->s->account), gone.name)) return;
    if (session_notify_events(n->s, n->asked, &gone) & IMAP_EVENT_MAILBOX_NAME) tell_list(n->s, &entry, VIEW_EMPTY);
}

void notify_tell_names(struct session *s, const struct imap_notify *asked, const struct mailbox_info *infos, size_t count)
{
    struct naming n = {s, asked, MAP_INIT};
    struct notify *notify = s->notify;
    for (size_t i = 0; i < count; i++)
        if (!notify_find_known(notify, infos[i].number)) note_affected(&n, infos[i].name);
    for (size_t i = 0; i < notify->count; i++) {
        const struct known_mailbox *k = &notify->known[i];
        if (state_mailbox(account_state(s->account), k->number) || is_there(infos, count, k->number)) continue;
        note_affected(&n, buf_view(&k->name));
        tell_gone(&n, k);
    }
    for (size_t i = 0; i < count; i++) tell_change(&n, &infos[i]);
    map_done(&n.affected);
}
