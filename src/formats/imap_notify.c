/*
 * Arguments of NOTIFY (RFC 5465 §8) and of ESEARCH, the search of many mailboxes (RFC 7377 §4).
 */
#include "base/check.h"
#include "formats/imap_grammar.h"
#include "formats/imap_write.h"

static const struct imap_word filter_words[] = {
    {VIEW_INIT("selected"), IMAP_FILTER_SELECTED},     {VIEW_INIT("selected-delayed"), IMAP_FILTER_SELECTED_DELAYED},
    {VIEW_INIT("inboxes"), IMAP_FILTER_INBOXES},       {VIEW_INIT("personal"), IMAP_FILTER_PERSONAL},
    {VIEW_INIT("subscribed"), IMAP_FILTER_SUBSCRIBED}, {VIEW_INIT("subtree"), IMAP_FILTER_SUBTREE},
    {VIEW_INIT("subtree-one"), IMAP_FILTER_SUBTREE_ONE}, {VIEW_INIT("mailboxes"), IMAP_FILTER_MAILBOXES},
};

static const struct imap_word event_words[] = {
    {VIEW_INIT("MessageNew"), IMAP_EVENT_MESSAGE_NEW},   {VIEW_INIT("MessageExpunge"), IMAP_EVENT_MESSAGE_EXPUNGE},
    {VIEW_INIT("FlagChange"), IMAP_EVENT_FLAG_CHANGE},   {VIEW_INIT("AnnotationChange"), IMAP_EVENT_ANNOTATION_CHANGE},
    {VIEW_INIT("MailboxName"), IMAP_EVENT_MAILBOX_NAME}, {VIEW_INIT("SubscriptionChange"), IMAP_EVENT_SUBSCRIPTION_CHANGE},
    {VIEW_INIT("MailboxMetadataChange"), IMAP_EVENT_MAILBOX_METADATA_CHANGE},
    {VIEW_INIT("ServerMetadataChange"), IMAP_EVENT_SERVER_METADATA_CHANGE}, {VIEW_INIT("Other"), IMAP_EVENT_OTHER},
};

/* ---- which mailboxes ---- */

static bool add_name(struct imap_grammar *g, struct imap_mailbox_filter *filter)
{
    view name;
    if (!imap_take_astring(g, &name)) return imap_miss(g, "a mailbox name");
    if (filter->count == IMAP_FILTER_MAILBOXES_MAX) return imap_too_many(g, "fewer mailboxes");
    view *names = imap_grow(g, filter->names, filter->count, sizeof *names);
    if (!names) return false;
    filter->names = names;
    filter->names[filter->count++] = name;
    return true;
}

/* filter-mailboxes; one-or-more-mailbox = mailbox / "(" mailbox *(SP mailbox) ")" */
static bool take_filter(struct imap_grammar *g, struct imap_mailbox_filter *ret_filter)
{
    struct imap_mailbox_filter filter = {.kind = imap_take_word_of(g, filter_words, array_size(filter_words))};
    if (!filter.kind) return imap_miss(g, "a mailbox filter");
    if (filter.kind >= IMAP_FILTER_SUBTREE) {
        if (!imap_take_space(g)) return false;
        bool is_list = take_byte(&g->at, '(');
        do {
            if (!add_name(g, &filter)) return false;
        } while (is_list && take_byte(&g->at, ' '));
        if (is_list && !imap_take_close(g)) return false;
    }
    *ret_filter = filter;
    return true;
}

static void write_filter(struct imap_command_writer *w, const struct imap_mailbox_filter *filter)
{
    buf_append(w->out, imap_word_text(filter_words, array_size(filter_words), filter->kind));
    for (size_t i = 0; i < filter->count; i++) {
        buf_append_cstr(w->out, i ? " " : " (");
        imap_command_astring(w, filter->names[i]);
    }
    if (filter->count) buf_append_byte(w->out, ')');
}

/* ---- NOTIFY ---- */

/* MessageNew [SP "(" fetch-att *(SP fetch-att) ")"]: only for the selected mailbox */
static bool take_event(struct imap_grammar *g, struct imap_notify_group *group)
{
    view other;
    unsigned event = imap_take_word_of(g, event_words, array_size(event_words));
    if (!event && !imap_take_atom(g, &other)) return imap_miss(g, "an event");
    group->events |= event ? event : IMAP_EVENT_OTHER;
    if (event != IMAP_EVENT_MESSAGE_NEW || !view_starts(g->at.rest, VIEW(" ("))) return true;
    if (group->filter.kind > IMAP_FILTER_SELECTED_DELAYED) return imap_miss(g, "FETCH items for the selected mailbox only");
    return imap_take_space(g) && imap_take_fetch_items(g, &group->fetch);
}

/* MessageNew and MessageExpunge come together, and FlagChange not without them (§5). */
static bool check_events(struct imap_grammar *g, const struct imap_notify_group *group)
{
    unsigned both = IMAP_EVENT_MESSAGE_NEW | IMAP_EVENT_MESSAGE_EXPUNGE, messages = both | IMAP_EVENT_FLAG_CHANGE;
    if ((group->events & both) && (group->events & both) != both) return imap_miss(g, "MessageNew and MessageExpunge together");
    if ((group->events & IMAP_EVENT_FLAG_CHANGE) && !(group->events & both)) return imap_miss(g, "MessageNew and MessageExpunge beside FlagChange");
    if (group->filter.kind <= IMAP_FILTER_SELECTED_DELAYED && (group->events & ~(messages | IMAP_EVENT_ANNOTATION_CHANGE | IMAP_EVENT_OTHER)))
        return imap_miss(g, "events of messages");
    return true;
}

/* event-group = "(" filter-mailboxes SP events ")" */
static bool take_group(struct imap_grammar *g, struct imap_notify *notify)
{
    struct imap_notify_group group = {0};
    if (!imap_take_open(g) || !take_filter(g, &group.filter) || !imap_take_space(g)) return false;
    if (group.filter.kind == IMAP_FILTER_SUBTREE_ONE) return imap_miss(g, "a filter of NOTIFY");
    for (size_t i = 0; i < notify->count && group.filter.kind <= IMAP_FILTER_SELECTED_DELAYED; i++)       /* §6.1 */
        if (notify->groups[i].filter.kind <= IMAP_FILTER_SELECTED_DELAYED) return imap_miss(g, "the selected mailbox once");
    if (!imap_take_word(g, VIEW("NONE"))) {
        if (!imap_take_open(g)) return false;
        do {
            if (!take_event(g, &group)) return false;
        } while (take_byte(&g->at, ' '));
        if (!imap_take_close(g) || !check_events(g, &group)) return false;
    }
    if (notify->count == IMAP_NOTIFY_GROUPS_MAX) return imap_too_many(g, "fewer event groups");
    struct imap_notify_group *groups = imap_grow(g, notify->groups, notify->count, sizeof *groups);
    if (!groups) return false;
    notify->groups = groups;
    notify->groups[notify->count++] = group;
    return imap_take_close(g);
}

/* notify = "NOTIFY" SP ("SET" [SP "STATUS"] SP event-group *(SP event-group) / "NONE") */
bool imap_take_notify(struct imap_grammar *g, struct imap_notify *ret_notify)
{
    struct imap_notify notify = {0};
    if (!imap_take_word(g, VIEW("NONE"))) {
        if (!imap_take_word(g, VIEW("SET"))) return imap_miss(g, "SET or NONE");
        notify.wants_status = take_view_nocase(&g->at, VIEW(" STATUS"));
        if (!imap_take_space(g)) return false;
        do {
            if (!take_group(g, &notify)) return false;
        } while (take_byte(&g->at, ' '));
    }
    *ret_notify = notify;
    return true;
}

void imap_write_notify(struct imap_command_writer *w, const struct imap_notify *notify)
{
    buf_append_cstr(w->out, notify->count == 0 ? "NONE" : notify->wants_status ? "SET STATUS" : "SET");
    for (size_t i = 0; i < notify->count; i++) {
        const struct imap_notify_group *group = &notify->groups[i];
        const char *before = " (";
        buf_append_cstr(w->out, " (");
        write_filter(w, &group->filter);
        if (!group->events) buf_append_cstr(w->out, " NONE");
        for (size_t k = 0; k < array_size(event_words); k++) {
            if (!(group->events & event_words[k].value)) continue;
            buf_append_cstr(w->out, before);
            buf_append(w->out, event_words[k].text);
            before = " ";
            if (event_words[k].value != IMAP_EVENT_MESSAGE_NEW) continue;
            for (size_t n = 0; n < group->fetch.item_count; n++) {
                buf_append_cstr(w->out, n ? " " : " (");
                imap_write_fetch_item(w->out, &group->fetch.items[n]);
            }
            if (group->fetch.item_count) buf_append_byte(w->out, ')');
        }
        buf_append_cstr(w->out, group->events ? "))" : ")");
    }
}

/* ---- ESEARCH ---- */

/* esearch = "ESEARCH" [SP "IN" SP "(" source-mbox ")"] [SP search-return-opts] SP search-program; no scope options are defined */
bool imap_take_esearch(struct imap_grammar *g, struct imap_esearch *ret_esearch)
{
    struct imap_esearch esearch = {0};
    if (imap_take_word(g, VIEW("IN"))) {
        if (!imap_take_space(g) || !imap_take_open(g)) return false;
        do {
            struct imap_mailbox_filter *filters = imap_grow(g, esearch.filters, esearch.count, sizeof *filters);
            if (esearch.count == IMAP_NOTIFY_GROUPS_MAX) return imap_too_many(g, "fewer mailbox filters");
            if (!filters) return false;
            esearch.filters = filters;
            if (!take_filter(g, &esearch.filters[esearch.count])) return false;
            if (esearch.filters[esearch.count++].kind == IMAP_FILTER_SELECTED_DELAYED) return imap_miss(g, "a filter of ESEARCH");
        } while (take_byte(&g->at, ' '));
        if (!imap_take_close(g) || !imap_take_space(g)) return false;
    }
    if (!imap_take_search(g, &esearch.search)) return false;
    *ret_esearch = esearch;
    return true;
}

void imap_write_esearch(struct imap_command_writer *w, const struct imap_esearch *esearch)
{
    for (size_t i = 0; i < esearch->count; i++) {
        buf_append_cstr(w->out, i ? " " : "IN (");
        write_filter(w, &esearch->filters[i]);
    }
    if (esearch->count) buf_append_cstr(w->out, ") ");
    imap_write_search(w, &esearch->search);
}
