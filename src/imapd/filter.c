/* Searches that clients have stored as annotations of the server: RFC 5466. */
#include "base/check.h"
#include "imapd/session.h"

static const view places[] = {VIEW_INIT("/private/filters/values/"), VIEW_INIT("/shared/filters/values/")};

static const struct metadata_entry *find(struct session *s, view name)
{
    const struct metadata_entry *entry = NULL;
    for (size_t i = 0; i < array_size(places) && !entry; i++) {
        view full = arena_printf(s->arena, VIEW_FMT VIEW_FMT, VIEW_ARG(places[i]), VIEW_ARG(name));
        entry = state_metadata_find(account_state(s->account), 0, full);
    }
    return entry;
}

/* filter-name = 1*<any ATOM-CHAR except "/"> */
static bool is_name(view name)
{
    for (size_t i = 0; i < name.len; i++)
        if (name.at[i] <= 0x20 || name.at[i] >= 0x7f || view_has_byte(VIEW("/(){%*\"\\]"), name.at[i])) return false;
    return name.len > 0 && name.len < IMAP_ENTRY_NAME_BYTES_MAX;
}

result session_refuse_filter(view name, struct reply *r)
{
    reply_set(r, REPLY_NO, "UNDEFINED-FILTER", "There is no such filter");
    if (is_name(name)) buf_appendf(&r->code, " " VIEW_FMT, VIEW_ARG(name));
    return INVALID;
}

result session_filter(struct session *s, view name, struct imap_search *ret_search, size_t *ret_bytes, struct reply *r)
{
    struct fault fault = {0};
    const struct metadata_entry *entry = is_name(name) ? find(s, name) : NULL;
    if (!entry) return session_refuse_filter(name, r);
    *ret_bytes = entry->value.len;
    /* The value may change while the search runs. */
    if (imap_parse_search(arena_keep(s->arena, entry->value), s->arena, ret_search, &fault) == OK) return OK;
    reply_set(r, REPLY_NO, "CANNOT", "What is stored under that name is no search");
    return INVALID;
}

bool session_check_filter(struct session *s, view name, view value, struct reply *r)
{
    struct imap_search unused;
    struct fault fault = {0};
    bool is_filter = false;
    for (size_t i = 0; i < array_size(places); i++) is_filter |= view_starts_nocase(name, places[i]);
    if (!is_filter || (imap_parse_search(value, s->arena, &unused, &fault) == OK && unused.charset.len == 0)) return true;
    reply_set(r, REPLY_NO, "CANNOT", "The value of a filter is to be a search");
    return false;
}
