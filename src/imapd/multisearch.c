/*
 * ESEARCH: one search of many mailboxes, RFC 7377.
 *
 * Each mailbox in turn is looked at as if it were selected; sequence numbers are those that it would have then.
 */
#include "formats/imap_name.h"
#include "imapd/search_match.h"

static bool is_below(view name, view parent, bool one_level)
{
    if (!view_starts(name, parent) || name.len <= parent.len || name.at[parent.len] != IMAP_NAME_SEPARATOR) return false;
    return !one_level || view_find(view_from(name, parent.len + 1), IMAP_NAME_SEPARATOR) == VIEW_NONE;
}

static bool names_has(struct session *s, const struct imap_mailbox_filter *filter, view name)
{
    for (size_t i = 0; i < filter->count; i++) {
        view wanted;
        if (imap_name_from_wire(filter->names[i], session_speaks_utf8(s), s->arena, &wanted) != OK) continue;
        if (view_equal(name, wanted)) return true;
        if (filter->kind != IMAP_FILTER_MAILBOXES && is_below(name, wanted, filter->kind == IMAP_FILTER_SUBTREE_ONE)) return true;
    }
    return false;
}

/* Mail is delivered into INBOX alone, as far as the server knows (RFC 5465 §6.2). */
bool session_filter_has(struct session *s, const struct imap_mailbox_filter *filter, const struct mailbox_info *info)
{
    switch (filter->kind) {
    case IMAP_FILTER_SELECTED:
    case IMAP_FILTER_SELECTED_DELAYED: return s->view && mailbox_view_mailbox(s->view) == info->number;
    case IMAP_FILTER_INBOXES: return imap_name_is_inbox(info->name);
    case IMAP_FILTER_PERSONAL: return true;
    case IMAP_FILTER_SUBSCRIBED: return info->is_subscribed;
    case IMAP_FILTER_SUBTREE:
    case IMAP_FILTER_SUBTREE_ONE:
    case IMAP_FILTER_MAILBOXES: return names_has(s, filter, info->name);
    }
    return false;
}

static bool is_wanted(struct session *s, const struct imap_esearch *e, const struct mailbox_info *info)
{
    for (size_t i = 0; i < e->count; i++)
        if (session_filter_has(s, &e->filters[i], info)) return true;
    return false;
}

/* The selected mailbox is looked at as the client knows it; any other as it is now, and "$" has none of its messages. */
MAY_YIELD static void search_mailbox(struct session *s, const struct imap_command *c, const struct mailbox_info *info, struct reply *r)
{
    struct mailbox_view *selected = s->view, *other = NULL;
    struct imap_set_builder saved = s->saved;
    uint32_t recent_from_uid = s->recent_from_uid;
    bool is_selected = selected && mailbox_view_mailbox(selected) == info->number;
    if (!is_selected) {
        if (mailbox_view_open(s->account, info->number, &other) != OK) return;
        s->view = other;
        s->recent_from_uid = info->recent_from_uid;
        s->saved = IMAP_SET_BUILDER_INIT;
    }
    session_search(s, &c->esearch.search, true, c->tag, info, r);
    if (!is_selected) s->saved = saved;
    s->view = selected;
    s->recent_from_uid = recent_from_uid;
    if (other) mailbox_view_close(other);
}

/* §2.2: "selected" asks for a selected mailbox, and SAVE for nothing but it. */
static bool check_sources(struct session *s, const struct imap_esearch *e, struct reply *r)
{
    for (size_t i = 0; i < e->count; i++) {
        bool is_selected = e->filters[i].kind == IMAP_FILTER_SELECTED;
        const char *text = is_selected && !s->view                                  ? "Select a mailbox first"
                           : !is_selected && (e->search.want & IMAP_RETURN_SAVE) ? "SAVE is for the selected mailbox"
                                                                                    : NULL;
        if (text) reply_set(r, REPLY_BAD, "CLIENTBUG", text);
        if (text) return false;
    }
    return true;
}

void imapd_esearch(struct session *s, const struct imap_command *c, struct reply *r)
{
    struct imap_mailbox_filter selected = {.kind = IMAP_FILTER_SELECTED};
    struct imap_esearch e = c->esearch;
    struct mailbox_info *infos;
    if (e.count == 0) e = (struct imap_esearch){.filters = &selected, .count = 1, .search = e.search};
    if (!check_sources(s, &e, r)) return;
    size_t count = state_list(account_state(s->account), s->arena, &infos);
    for (size_t i = 0; i < count && r->kind == REPLY_OK; i++) {
        if (infos[i].is_selectable && is_wanted(s, &e, &infos[i])) search_mailbox(s, c, &infos[i], r);
        if (session_breathe(s) != OK) return;
    }
}
