#include <string.h>

#include "base/check.h"
#include "formats/imap_name.h"
#include "imapd/list.h"

static size_t levels_above(view name)
{
    size_t count = 0;
    for (size_t i = 0; i < name.len; i++) count += name.at[i] == IMAP_NAME_SEPARATOR;
    return count;
}

static void add(struct list_names *names, struct map *known, view name, const struct mailbox_info *info, bool is_subscribed)
{
    struct list_entry *entry = map_get(known, name);
    if (entry) {
        entry->is_subscribed |= is_subscribed;
        return;
    }
    entry = &names->entries[names->count++];
    *entry = (struct list_entry){.name = name, .info = info, .is_subscribed = is_subscribed};
    map_put(known, name, entry);
}

void list_names_read(struct session *s, bool with_subscriptions, struct list_names *ret_names)
{
    struct state *state = account_state(s->account);
    struct mailbox_info *infos;
    view *subscribed = NULL;
    struct map known CLEANUP(map_done) = MAP_INIT;
    size_t count = state_list(state, s->arena, &infos);
    size_t subscriptions = with_subscriptions ? state_subscriptions(state, s->arena, &subscribed) : 0;
    size_t most = count;
    for (size_t i = 0; i < subscriptions; i++) most += 1 + levels_above(subscribed[i]);
    ret_names->count = 0;
    ret_names->entries = arena_array(s->arena, struct list_entry, most);
    for (size_t i = 0; i < count; i++) add(ret_names, &known, infos[i].name, &infos[i], infos[i].is_subscribed);
    for (size_t i = 0; i < subscriptions; i++) {
        add(ret_names, &known, subscribed[i], NULL, true);
        for (view above = imap_name_parent(subscribed[i]); above.len; above = imap_name_parent(above))
            add(ret_names, &known, above, NULL, false);
    }
    check(ret_names->count <= most);
}

bool list_names_set_patterns(struct session *s, struct list_names *names, const struct imap_list *list, struct reply *r)
{
    size_t bytes = 0;
    names->pattern_count = 0;
    for (size_t i = 0; i < list->pattern_count; i++) {
        view reference, pattern;
        result code = imap_pattern_from_wire(list->reference, session_speaks_utf8(s), s->arena, &reference);
        if (code == OK) code = imap_pattern_from_wire(list->patterns[i], session_speaks_utf8(s), s->arena, &pattern);
        if (code != OK) {
            reply_set(r, REPLY_NO, "CANNOT", "That is no pattern of mailbox names");
            return false;
        }
        bytes += reference.len + pattern.len;
        if (bytes > LIST_PATTERN_BYTES_MAX) {
            reply_set(r, REPLY_NO, "LIMIT", "The patterns are too long");
            return false;
        }
        char *both = arena_alloc(s->arena, reference.len + pattern.len + 1);
        if (reference.len) memcpy(both, reference.at, reference.len);
        if (pattern.len) memcpy(both + reference.len, pattern.at, pattern.len);
        names->patterns[names->pattern_count++] = view_make(both, reference.len + pattern.len);
    }
    return true;
}

bool list_names_match(const struct list_names *names, view name)
{
    for (size_t i = 0; i < names->pattern_count; i++)
        if (imap_pattern_matches(names->patterns[i], name)) return true;
    return false;
}

/* RFC 5258 §3.5: of a subscribed name that no pattern matches, the levels above it tell. */
result list_names_mark_parents(struct session *s, struct list_names *names)
{
    result code = OK;
    struct map known CLEANUP(map_done) = MAP_INIT;
    for (size_t i = 0; i < names->count; i++) map_put(&known, names->entries[i].name, &names->entries[i]);
    for (size_t i = 0; i < names->count && code == OK; i++) {
        code = session_breathe(s);
        if (!names->entries[i].is_subscribed || list_names_match(names, names->entries[i].name)) continue;
        for (view above = imap_name_parent(names->entries[i].name); above.len; above = imap_name_parent(above)) {
            struct list_entry *parent = map_get(&known, above);
            if (parent) parent->has_subscribed_child = true;
        }
    }
    return code;
}
