/* ID: RFC 2971. What a client says of itself goes into the log at most. */
#include "imapd/session.h"
#include "runtime/event.h"

static view value_of(const struct imap_id *id, view name)
{
    for (size_t i = 0; i < id->count; i++)
        if (view_equal_nocase(id->pairs[i].name, name)) return id->pairs[i].value;
    return VIEW_EMPTY;
}

void imapd_id(struct session *s, const struct imap_command *c, struct reply *r)
{
    if (c->id.count)
        EVENT_EMIT(IMAP_CLIENT_NAMED, EVENT_ID("session", s->id), EVENT_TEXT("name", view_slice(value_of(&c->id, VIEW("name")), 0, 100)),
                   EVENT_TEXT("version", view_slice(value_of(&c->id, VIEW("version")), 0, 100)));
    session_tellf(s, "ID (\"name\" \"Tayori\")");
}
