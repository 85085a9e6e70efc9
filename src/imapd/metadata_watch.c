/*
 * Annotations that others changed, told without being asked: RFC 5464 §4.4.2 after ENABLE METADATA, RFC 5465 §5.6 and §5.7 by NOTIFY, which
 * decides alone once it was used. Names only; a session does not hear of its own changes.
 */
#include "formats/imap_write.h"
#include "imapd/session.h"

struct watching {
    struct session *s;
    const struct imap_notify *asked;         /* NULL: all of them are wanted */
    const struct metadata_change *changes;
    size_t count;
    uint64_t own;
};

static bool is_server_wanted(const struct imap_notify *asked)
{
    for (size_t i = 0; i < asked->count; i++)
        if (asked->groups[i].events & IMAP_EVENT_SERVER_METADATA_CHANGE) return true;
    return false;
}

/* The name is empty for the server. False: it is gone, or nobody wants to know. */
static bool find_wanted(struct watching *w, uint32_t number, view *ret_name)
{
    struct mailbox_info info;
    struct mailbox *m = number ? state_mailbox(account_state(w->s->account), number) : NULL;
    *ret_name = VIEW_EMPTY;
    if (number == 0) return !w->asked || is_server_wanted(w->asked);
    if (!m) return false;
    mailbox_read_info(m, w->s->arena, &info);
    *ret_name = info.name;
    return !w->asked || (session_notify_events(w->s, w->asked, &info) & IMAP_EVENT_MAILBOX_METADATA_CHANGE);
}

static bool was_met(const struct watching *w, size_t at, bool with_name)
{
    for (size_t i = 0; i < at; i++) {
        if (w->changes[i].sequence == w->own || w->changes[i].mailbox != w->changes[at].mailbox) continue;
        if (!with_name || view_equal_nocase(w->changes[i].name, w->changes[at].name)) return true;
    }
    return false;
}

/* "METADATA" SP mailbox SP entry-list, of the mailbox of the change at `first`. */
static void tell_mailbox(struct watching *w, size_t first, view name)
{
    buf *out = session_out(w->s);
    buf_append(out, VIEW("* METADATA "));
    imap_write_mailbox(out, name, session_speaks_utf8(w->s));
    for (size_t i = first; i < w->count; i++) {
        if (w->changes[i].sequence == w->own || w->changes[i].mailbox != w->changes[first].mailbox || was_met(w, i, true)) continue;
        buf_append_byte(out, ' ');
        imap_write_astring(out, w->changes[i].name, session_speaks_utf8(w->s));
    }
    buf_append(out, VIEW("\r\n"));
}

void session_follow_annotations(struct session *s)
{
    s->metadata_seen = state_sequence(account_state(s->account));
}

void session_tell_annotations(struct session *s, uint64_t own)
{
    if (!s->account || s->is_deaf || !(s->notify || s->has_metadata)) return;
    struct watching w = {.s = s, .own = own};
    view name;
    w.count = state_metadata_changes(account_state(s->account), s->metadata_seen, &w.changes);
    session_follow_annotations(s);
    if (w.count && s->notify) w.asked = session_notify_asked(s);
    for (size_t i = 0; i < w.count; i++)
        if (w.changes[i].sequence != own && !was_met(&w, i, false) && find_wanted(&w, w.changes[i].mailbox, &name)) tell_mailbox(&w, i, name);
}
