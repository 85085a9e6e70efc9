/* LIST: RFC 9051 §6.3.9, RFC 3348, RFC 5258, RFC 5819, RFC 6154, RFC 9590. */
#include "imapd/list.h"

#include "formats/imap_write.h"
#include "imapd/status.h"

static void add_attribute(buf *out, const char **space, const char *attribute)
{
    buf_append_cstr(out, *space);
    buf_append_cstr(out, attribute);
    *space = " ";
}

void list_write_attributes(struct session *s, const struct list_entry *entry, bool tells_subscribed)
{
    buf *out = session_out(s);
    const char *space = "";
    if (!entry->info) {
        add_attribute(out, &space, "\\NonExistent");
    } else {
        if (!entry->info->is_selectable) add_attribute(out, &space, "\\Noselect");
        add_attribute(out, &space, entry->info->has_children ? "\\HasChildren" : "\\HasNoChildren");
    }
    if (entry->is_subscribed && tells_subscribed) add_attribute(out, &space, "\\Subscribed");
    if (entry->info && entry->info->special_use) {
        buf_append_cstr(out, space);
        imap_write_special_use(out, entry->info->special_use);
    }
}

MAY_YIELD static void tell_entry(struct session *s, const struct list_entry *entry, const struct imap_list *list, bool is_selected)
{
    buf *out = session_out(s);
    buf_append(out, VIEW("* LIST ("));
    list_write_attributes(s, entry, (list->select | list->want) & IMAP_LIST_SUBSCRIBED);
    buf_append(out, VIEW(") \"/\" "));
    imap_write_mailbox(out, entry->name, session_speaks_utf8(s));
    bool tells_child = (list->select & IMAP_LIST_RECURSIVEMATCH) && entry->has_subscribed_child;
    if (tells_child) buf_append(out, VIEW(" (\"CHILDINFO\" (\"SUBSCRIBED\"))"));
    buf_append(out, VIEW("\r\n"));
    bool has_status = entry->info && entry->info->is_selectable;
    if ((list->want & IMAP_LIST_STATUS) && has_status && is_selected) session_tell_status(s, entry->info, list->status_items);
    if ((list->want & IMAP_LIST_METADATA) && entry->info && is_selected) (void)session_tell_metadata(s, entry->info->number, entry->name, &list->metadata);
}

static bool is_selected(const struct list_entry *entry, const struct imap_list *list)
{
    if ((list->select & IMAP_LIST_SUBSCRIBED) && !entry->is_subscribed) return false;
    if ((list->select & IMAP_LIST_SPECIAL_USE) && !(entry->info && entry->info->special_use)) return false;
    return entry->info || (list->select & IMAP_LIST_SUBSCRIBED);
}

/* LIST "" "" asks for the separator (RFC 9051 §6.3.9). */
static bool asks_for_separator(const struct imap_list *list)
{
    return !list->is_extended && list->pattern_count == 1 && list->patterns[0].len == 0;
}

void imapd_list(struct session *s, const struct imap_command *c, struct reply *r)
{
    const struct imap_list *list = &c->list;
    bool by_subscription = list->select & IMAP_LIST_SUBSCRIBED, is_recursive = list->select & IMAP_LIST_RECURSIVEMATCH;
    if (asks_for_separator(list)) {
        session_tellf(s, "LIST (\\Noselect) \"/\" \"\"");
        return;
    }
    struct list_names *names = arena_new_struct(s->arena, struct list_names);
    list_names_read(s, by_subscription, names);
    if (!list_names_set_patterns(s, names, list, r)) return;
    if ((list->want & IMAP_LIST_STATUS) && (list->status_items & IMAP_STATUS_HIGHESTMODSEQ)) s->has_condstore = true;
    if (is_recursive && list_names_mark_parents(s, names) != OK) return;
    for (size_t i = 0; i < names->count; i++) {
        const struct list_entry *entry = &names->entries[i];
        bool selected = is_selected(entry, list);
        if (!selected && !(is_recursive && entry->has_subscribed_child)) continue;
        if (!list_names_match(names, entry->name)) continue;
        tell_entry(s, entry, list, selected);
        if (session_breathe(s) != OK) return;
    }
}
