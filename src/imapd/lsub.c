/*
 * LSUB: RFC 3501 §6.3.9. Subscribed names, also of mailboxes that are gone; a name that is not subscribed itself but is above
 * one that "%" cannot reach is told as \Noselect.
 */
#include "formats/imap_write.h"
#include "imapd/list.h"

void imapd_lsub(struct session *s, const struct imap_command *c, struct reply *r)
{
    buf *out = session_out(s);
    struct list_names *names = arena_new_struct(s->arena, struct list_names);
    list_names_read(s, true, names);
    if (!list_names_set_patterns(s, names, &c->list, r)) return;
    if (list_names_mark_parents(s, names) != OK) return;
    for (size_t i = 0; i < names->count; i++) {
        const struct list_entry *entry = &names->entries[i];
        if (!entry->is_subscribed && !entry->has_subscribed_child) continue;
        if (!list_names_match(names, entry->name)) continue;
        buf_append_cstr(out, entry->is_subscribed ? "* LSUB () \"/\" " : "* LSUB (\\Noselect) \"/\" ");
        imap_write_mailbox(out, entry->name, session_speaks_utf8(s));
        buf_append(out, VIEW("\r\n"));
        if (session_breathe(s) != OK) return;
    }
}
