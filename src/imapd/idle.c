/*
 * IDLE: RFC 9051 §6.3.13, RFC 2177.
 *
 * While a session idles it has no coroutine: a change of the account wakes one (session_watch) that tells and ends, and
 * so does the client's next line, which must be DONE.
 */
#include <string.h>

#include "base/check.h"
#include "imapd/session.h"

void imapd_idle(struct session *s, const struct imap_command *c, struct reply *r)
{
    check(c->tag.len < sizeof s->tag);
    memcpy(s->tag, c->tag.at, c->tag.len);
    s->tag[c->tag.len] = 0;
    s->is_idling = true;
    r->kind = REPLY_NONE;
    wire_put(&s->wire, VIEW("+ idling\r\n"));
    if (s->state != SESSION_SELECTED && !s->has_metadata) return;
    session_watch(s);
    if (s->state == SESSION_SELECTED && session_hears(s, IMAP_EVENT_MESSAGE_NEW)) session_sync(s, true);
}

void imapd_idle_tell(struct session *s)
{
    struct fault fault = {0};
    if (s->notify) {
        session_notify(s);
        return;
    }
    if (session_refresh(s, &fault) != OK) return;
    if (s->state == SESSION_SELECTED && session_hears(s, IMAP_EVENT_MESSAGE_NEW)) session_sync(s, true);
    session_tell_annotations(s, 0);
}

void imapd_idle_line(struct session *s)
{
    struct fault fault = {0};
    struct reply r = {0};
    view line;
    result code = wire_line(&s->wire, SESSION_LINE_BYTES_MAX, clock_in(session_options(s)->idle_timeout_ms), &line, &fault);
    if (code != OK && code != TOO_BIG) {
        session_break(s, code, &fault);
        return;
    }
    if (code == TOO_BIG || !view_equal_nocase(view_trim(line), VIEW("DONE"))) reply_set(&r, REPLY_BAD, "", "Expected DONE");
    s->is_idling = false;
    session_unwatch(s);
    if (s->state == SESSION_SELECTED && session_hears(s, IMAP_EVENT_MESSAGE_NEW)) session_sync(s, true);
    session_tell_annotations(s, 0);
    reply_write(s, view_of(s->tag), "IDLE", &r);
    reply_done(&r);
}
