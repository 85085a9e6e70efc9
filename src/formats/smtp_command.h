/*
 * smtp_command: one command line of SMTP, LMTP or submission as a struct.
 *
 * RFC 5321 (verbs, paths), 2033 (LHLO), 1870 (SIZE), 6152 (8BITMIME), 6531 (SMTPUTF8), 3030 (BDAT,
 * BINARYMIME), 3461 (DSN parameters), 4954 (AUTH), 3207 (STARTTLS), 8689 (REQUIRETLS), 4865 (FUTURERELEASE),
 * 2852 (DELIVERBY), 6710 (MT-PRIORITY). Parsing knows
 * nothing of the session: a parameter is parsed whether the server offers it or not, and `given` says
 * which there were, so that the session can refuse what it did not offer.
 *
 * Pure; nothing here yields. Views point into the line or the arena. Arena use is at most four times the
 * length of the line plus SMTP_COMMAND_ARENA_SLACK.
 */
#pragma once

#include "base/time.h"
#include "formats/smtp_path.h"
#include "formats/smtp_reply.h"

enum {
    /*
     * The longest command line, without CRLF. RFC 5321 §4.5.3.1.4 has 512; extensions add to it up to
     * 500 for AUTH= and ORCPT= each (RFC 3461 §4.2, RFC 4954 §4), and UTF-8 addresses (RFC 6531 §3.4).
     */
    SMTP_COMMAND_LINE_MAX = 2048,
    /* The longest line in an AUTH exchange, RFC 4954 §4. */
    SMTP_AUTH_LINE_MAX = 12288,
    SMTP_HELLO_MAX = 255,             /* RFC 5321 §4.5.3.1.2 */
    SMTP_PARAMETERS_MAX = 16,         /* of one MAIL or RCPT: twice the number that exist */
    SMTP_ENVELOPE_ID_MAX = 100,       /* RFC 3461 §4.4 */
    SMTP_ORIGINAL_RECIPIENT_MAX = 500, /* RFC 3461 §4.2 */
    SMTP_AUTH_PARAMETER_MAX = 500,    /* RFC 4954 §5 */
    SMTP_INTERVAL_DIGITS_MAX = 9,     /* RFC 4865 §4, RFC 2852 §4: seconds */
    SMTP_PRIORITY_MAX = 9,            /* RFC 6710 §3: -9 to 9 */
    SMTP_COMMAND_ARENA_SLACK = 512,
};

enum smtp_verb {
    SMTP_VERB_HELO, SMTP_VERB_EHLO, SMTP_VERB_LHLO, SMTP_VERB_MAIL, SMTP_VERB_RCPT, SMTP_VERB_DATA, SMTP_VERB_BDAT,
    SMTP_VERB_RSET, SMTP_VERB_VRFY, SMTP_VERB_EXPN, SMTP_VERB_HELP, SMTP_VERB_NOOP, SMTP_VERB_QUIT,
    SMTP_VERB_STARTTLS, SMTP_VERB_AUTH, SMTP_VERB_ETRN,
    SMTP_VERB_UNKNOWN,
    SMTP_VERB_COUNT
};

/* Bits of smtp_parameters.given. */
enum smtp_parameter_bit {
    SMTP_HAS_SIZE = 1 << 0, SMTP_HAS_BODY = 1 << 1, SMTP_HAS_SMTPUTF8 = 1 << 2, SMTP_HAS_RET = 1 << 3,
    SMTP_HAS_ENVID = 1 << 4, SMTP_HAS_AUTH = 1 << 5, SMTP_HAS_REQUIRETLS = 1 << 6, SMTP_HAS_NOTIFY = 1 << 7,
    SMTP_HAS_ORCPT = 1 << 8, SMTP_HAS_HOLDFOR = 1 << 9, SMTP_HAS_HOLDUNTIL = 1 << 10, SMTP_HAS_BY = 1 << 11, SMTP_HAS_PRIORITY = 1 << 12,
};

enum smtp_body { SMTP_BODY_7BIT, SMTP_BODY_8BITMIME, SMTP_BODY_BINARYMIME };
enum smtp_return { SMTP_RETURN_UNSPECIFIED, SMTP_RETURN_FULL, SMTP_RETURN_HEADERS };

/* NOTIFY=NEVER is SMTP_NOTIFY_NEVER alone. */
enum smtp_notify { SMTP_NOTIFY_NEVER = 1, SMTP_NOTIFY_SUCCESS = 2, SMTP_NOTIFY_FAILURE = 4, SMTP_NOTIFY_DELAY = 8 };

/* BY=: what is to be done when the time is over, and whether each relay is told (RFC 2852 §4). Bits. */
enum smtp_by { SMTP_BY_RETURN = 1, SMTP_BY_NOTIFY = 2, SMTP_BY_TRACE = 4 };

struct smtp_parameters {
    unsigned given;                   /* smtp_parameter_bit */
    uint64_t size_bytes;              /* UINT64_MAX when it has more digits than that */
    enum smtp_body body;
    enum smtp_return return_what;
    view envelope_id;                 /* ENVID, xtext decoded */
    view auth;                        /* AUTH=, xtext decoded; empty for <> */
    unsigned notify;                  /* smtp_notify bits */
    view original_recipient_type;     /* ORCPT before the ';' */
    view original_recipient;          /* xtext decoded, or the utf-8-addr form (RFC 6533 §3) as it came */
    uint32_t hold_seconds;            /* HOLDFOR */
    unix_ms hold_until;               /* HOLDUNTIL */
    int32_t by_seconds;               /* BY; may be negative with SMTP_BY_NOTIFY */
    unsigned by_mode;                 /* smtp_by bits */
    int priority;                     /* MT-PRIORITY */
};

struct smtp_command {
    enum smtp_verb verb;
    view word;                        /* the verb as it came, for the log */
    view text;                        /* HELO, EHLO, LHLO: the name; VRFY, EXPN, HELP, NOOP, ETRN: the argument */
    struct smtp_path path;            /* MAIL, RCPT */
    struct smtp_parameters parameters;
    uint64_t chunk_size_bytes;        /* BDAT */
    bool is_last_chunk;
    view mechanism;                   /* AUTH */
    bool has_initial_response;
    view initial_response;            /* AUTH: base64, "" when it was '=' */
};

/*
 * Parses one line without its line end. False when it breaks the grammar: then *reterr_status is what
 * to answer, ret_command->verb and ->word are set, and nothing else is.
 */
bool smtp_command_parse(view line, struct arena *arena, struct smtp_command *ret_command,
                        enum smtp_status_name *reterr_status);

/* xtext of RFC 3461 §4, for ENVID and ORCPT. */
void smtp_xtext_append(buf *into, view text);
/* "MAIL", "STARTTLS", "unknown": for logs and metrics. Static. */
const char *smtp_verb_name(enum smtp_verb verb);

/* The parameters after the path of MAIL or RCPT; for smtp_command_parse(). `c` is at the first space or at the end. */
bool take_smtp_parameters(struct cursor *c, enum smtp_verb verb, struct arena *arena, struct smtp_parameters *parameters,
                          enum smtp_status_name *reterr_status);
