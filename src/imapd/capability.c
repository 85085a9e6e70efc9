/* CAPABILITY: RFC 9051 §6.1.1. What is offered depends on the state of the session. */
#include "imapd/session.h"

static const char before_login[] = "IMAP4rev1 IMAP4rev2 LITERAL+ SASL-IR ID ENABLE IDLE";

/* One name to an extension that is in force once logged in. */
static const char after_login[] =
    "IMAP4rev1 IMAP4rev2 LITERAL+ ID ENABLE IDLE NAMESPACE UIDPLUS CHILDREN LIST-EXTENDED LIST-STATUS SPECIAL-USE "
    "CREATE-SPECIAL-USE MOVE UNSELECT ESEARCH SEARCHRES PARTIAL WITHIN CONDSTORE QRESYNC BINARY STATUS=SIZE UTF8=ACCEPT OBJECTID "
    "SAVEDATE QUOTA QUOTA=RES-STORAGE QUOTA=RES-MESSAGE UIDONLY UIDBATCHES UNAUTHENTICATE COMPRESS=DEFLATE PREVIEW "
    "INPROGRESS NOTIFY MULTISEARCH MULTIAPPEND CATENATE REPLACE SEARCH=FUZZY SORT SORT=DISPLAY ESORT THREAD=ORDEREDSUBJECT THREAD=REFERENCES THREAD=REFS";

void session_write_capabilities(struct session *s, buf *out)
{
    if (s->state != SESSION_NOT_AUTHENTICATED) {
        const struct imapd_options *options = session_options(s);
        buf_appendf(out, "%s APPENDLIMIT=%llu", after_login, (unsigned long long)options->message_bytes_max);
        if (session_has_metadata(s)) buf_append(out, VIEW(" METADATA LIST-METADATA FILTERS"));
        if (options->message_limit) buf_appendf(out, " MESSAGELIMIT=%u", options->message_limit);
        if (options->save_limit) buf_appendf(out, " SAVELIMIT=%u", options->save_limit);
        return;
    }
    buf_append_cstr(out, before_login);
    if (session_options(s)->tls && !session_has_tls(s)) buf_append(out, VIEW(" STARTTLS"));
    if (session_may_log_in(s)) session_write_mechanisms(s, out);
    else buf_append(out, VIEW(" LOGINDISABLED"));
}

void imapd_capability(struct session *s, const struct imap_command *c, struct reply *r)
{
    wire_put(&s->wire, VIEW("* CAPABILITY "));
    session_write_capabilities(s, session_out(s));
    wire_put(&s->wire, VIEW("\r\n"));
}
