/*
 * arf: complaint reports (RFC 5965; how they are used: RFC 6449, what may be redacted in them: RFC 6590), read and written.
 *
 * A report is a multipart with a text, a message/feedback-report of fields, and the message or the header that is complained about. Who reads is
 * generous: the order of the parts, their encodings and a wrong report-type do not matter. Only the fields that are used are kept; unknown ones
 * are ignored (§3). What a report says is somebody's word: nothing in it is proved. Pure; never yields.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/id.h"
#include "base/time.h"

enum {
    ARF_MESSAGE_BYTES_MAX = 1 << 20,     /* of a report that is looked at: its parts stand at the front; what is behind is the body of a spam */
    ARF_TEXT_MAX = 500,                  /* of one field; longer ones are cut */
    ARF_LIST_MAX = 16,                   /* of a field that may be there more than once; further ones are left out */
    ARF_FIELDS_MAX = 1000,               /* of the report's part; further ones are not looked at */
    ARF_ARENA_BYTES = 8 << 20,           /* for reading one: its parts out of their encoding, and its fields unfolded */
};

/* Views are in the arena, or in the message that was parsed. Empty: not said. */
struct arf_report {
    view type;                           /* "abuse", "fraud", "virus", "other", "not-spam", "auth-failure", ... in lower case */
    view user_agent, envelope_id, mail_from, reporting_mta, source_ip;
    view recipients[ARF_LIST_MAX];       /* Original-Rcpt-To, without <> */
    size_t recipient_count;
    view domains[ARF_LIST_MAX];          /* Reported-Domain */
    size_t domain_count;
    unix_ms arrival;                     /* Arrival-Date, or Received-Date of old; 0: not said */
    uint32_t incidents;                  /* 1 unless said otherwise */
    view original;                       /* the header that is complained about, with its empty line if it has one; empty: none was sent along */
    view original_body;                  /* empty: the header alone */
};

/* False: it is no complaint report. Of a message of more than ARF_MESSAGE_BYTES_MAX its front is read. */
bool arf_parse(view message, struct arena *arena, struct arf_report *ret_report);
/* Whether a report of this type complains about mail (§7.3); others praise it, or tell of signatures. Unknown types complain. */
bool arf_is_complaint(view type);

/* A report of our own. */
struct arf_message {
    view from, to, server_name, subject; /* mailboxes; a domain name; ASCII */
    view words;                          /* text/plain, UTF-8 with CRLF: what happened, for whoever reads it */
    struct id id;
    unix_ms now;
    struct arf_report report;            /* original: CRLF line ends are the caller's */
};
void arf_write(buf *into, const struct arf_message *m);
