/*
 * session: one connection, and the mail transaction that it is in.
 *
 * States are what RFC 5321 §4.1.4 makes of them: no hello yet; hello; sender; recipients; and, with BDAT,
 * chunks. They are not numbered: has_hello, transaction.has_sender, .recipient_count and .draft say
 * where a session is, and each command's check reads them (dispatch.c).
 *
 * 1. A session that waits for a command has no coroutine (is_resting); else exactly one runs.
 * 2. Everything of a transaction lives in `arena` and ends with transaction_reset().
 * 3. A reply is written to the wire when its command is done, and sent when the client has sent
 *    nothing more, or before something that may take long while a SAVED waits to be sent.
 */
#pragma once

#include "flow/delivery.h"
#include "flow/forward.h"
#include "flow/signing.h"
#include "formats/smtp_command.h"
#include "runtime/coroutine.h"
#include "runtime/wire.h"
#include "smtpd/message_scan.h"
#include "smtpd/service.h"

enum {
    /* What a client may go on sending of a message or chunk that is refused already, before it is cut off. */
    SMTP_SESSION_DISCARD_BYTES_MAX = 256 << 20,
    SMTP_SESSION_CLOSE_TIMEOUT_MS = 5000,     /* for the last words */
};

struct transaction {
    bool has_sender;
    struct id message;                   /* the message's id for ever */
    struct smtp_path sender;
    enum smtp_body body;
    bool is_utf8;                        /* MAIL had SMTPUTF8 */
    bool requires_tls;                   /* MAIL had REQUIRETLS */
    bool tls_is_optional;                /* submission: the header has TLS-Required: No */
    uint64_t declared_bytes;             /* SIZE, or 0 */
    struct intake_recipient *recipients;
    size_t recipient_count, recipient_capacity;
    size_t account_count;                /* of all recipients */
    size_t forward_count;                /* addresses on other servers, of all recipients */
    struct forward_message *forward;     /* what those are told of the message; not of submission */
    unsigned refused_count;              /* recipients that were refused */
    struct queue_address *remote;        /* submission: recipients elsewhere */
    size_t remote_count, remote_capacity;
    view envelope_id;                    /* ENVID, RET: RFC 3461 */
    uint8_t return_what;
    unix_ms not_before, deliver_by;      /* FUTURERELEASE, DELIVERBY; 0: none */
    uint8_t deliver_by_mode;
    int8_t priority;
    bool has_local;                      /* some of `remote` may be accounts of ours */
    buf header;                          /* submission: of the message, until it is whole */
    bool header_is_done;
    struct message_signing *signing;     /* submission: while it goes by; NULL: it goes unsigned, or not out */
    uint32_t return_path_bytes;          /* at the front of the draft: not for others */
    struct draft *draft;                 /* from DATA or the first BDAT on; NULL again once it is refused */
    bool in_chunks;
    uint64_t received_bytes;
    millis deadline;                     /* of its last octet */
    struct message_scan scan;            /* its verdict is the message's */
};

struct smtp_session {
    struct smtpd_loop *home;
    struct smtpd *smtpd;
    struct list node;                    /* in home->sessions */
    enum smtpd_kind kind;
    struct id id;
    struct wire wire;
    struct timer idle_timer;
    struct address peer;
    buf hello;                           /* what the client calls itself */
    bool is_authenticated;
    struct id account;                   /* authenticated: whose mail it is */
    buf account_address, tenant;
    unsigned failed_login_count;
    bool has_hello, is_extended;         /* is_extended: EHLO or LHLO */
    bool is_dismissed;                       /* is to end like those of a service that stops */
    bool is_resting;
    bool is_closing;
    bool has_unsent_success;             /* a message is durable and its client has not been told yet */
    const char *close_reason;            /* static */
    unsigned message_count, error_count, idle_command_count;
    struct arena *arena;                 /* of the transaction */
    struct arena *scratch;               /* of the command */
    struct transaction transaction;
};

/* Takes the stream; greets. On the session's loop, outside coroutines. */
void smtp_session_start(struct smtpd_loop *home, enum smtpd_kind kind, struct stream *stream);
/* Ends it with 421 4.3.2 if it rests; otherwise it ends itself after its command. Outside coroutines. */
void smtp_session_stop(struct smtp_session *s);

/* ---- replies: written to the wire, not sent ---- */
/* Counts errors; an empty text is the standard one. A 421 closes the session. */
void smtp_session_reply(struct smtp_session *s, enum smtp_status_name status, view text);
/* One error, or one idle command too many; the last one that is borne closes the session. */
void smtp_session_count_error(struct smtp_session *s);
/* A refusal with its reason for the log. */
void smtp_session_refuse(struct smtp_session *s, const struct smtp_command *command, enum smtp_status_name status, const struct fault *fault);
MAY_YIELD NODISCARD result smtp_session_flush(struct smtp_session *s);
/* The peer is gone, too slow, or the service stops: what is left is to close. */
void smtp_session_break(struct smtp_session *s, result code, const struct fault *fault);

static inline const struct smtpd_options *smtp_session_options(const struct smtp_session *s) { return &s->smtpd->options; }
static inline bool smtp_session_is_lmtp(const struct smtp_session *s) { return s->kind == SMTPD_LMTP; }
static inline bool smtp_session_is_submission(const struct smtp_session *s) { return s->kind == SMTPD_SUBMISSION || s->kind == SMTPD_SUBMISSIONS; }
bool smtp_session_has_tls(const struct smtp_session *s);
/* A password may be sent: TLS, from this machine, or allowed. */
bool smtp_session_may_log_in(const struct smtp_session *s);
/* The queue can keep when mail is to go and how urgent it is. */
static inline bool smtp_session_takes_wishes(const struct smtp_session *s) { return s->smtpd->options.queue && queue_takes_wishes(s->smtpd->options.queue); }
/* REQUIRETLS (RFC 8689): the client came by TLS, and what goes on from here can keep to it. */
static inline bool smtp_session_takes_requiretls(const struct smtp_session *s)
{
    return !smtp_session_is_lmtp(s) && smtp_session_has_tls(s) && (!s->smtpd->options.queue || queue_takes_wishes(s->smtpd->options.queue));
}
static inline size_t transaction_recipients(const struct transaction *t) { return t->recipient_count + t->remote_count; }

/* ---- the transaction ---- */
MAY_YIELD void transaction_reset(struct smtp_session *s);
/* A copy. False: too many accounts or addresses in all. */
bool transaction_keep_recipient(struct smtp_session *s, const struct intake_recipient *recipient);

/* ---- the message (message.c) ---- */
/* DATA, or the first BDAT: the trace fields go in. */
MAY_YIELD void message_begin(struct smtp_session *s);
/* The next piece. A message that is refused goes on being read, and is not kept. */
MAY_YIELD void message_piece(struct smtp_session *s, view piece);
/* Delivers, answers (LMTP: once per recipient), and ends the transaction. */
MAY_YIELD void message_finish(struct smtp_session *s);
/* Bytes of the message that stay, behind those before. */
MAY_YIELD void message_keep(struct smtp_session *s, view bytes);
/* Until when the next piece must come. */
millis message_deadline(const struct smtp_session *s);
void message_condemn(struct smtp_session *s, enum smtp_status_name verdict);
static inline enum smtp_status_name message_verdict(const struct smtp_session *s) { return s->transaction.scan.verdict; }

/* ---- submission (submission.c) ---- */
/* Whether the account may send under this address: DONE, SENDER_NOT_YOURS, or that it cannot be asked now. */
MAY_YIELD enum smtp_status_name submission_check_sender(struct smtp_session *s, view address);
/* The account may send now: DONE; it was suspended or removed since it logged in; or it cannot be asked now. */
MAY_YIELD enum smtp_status_name submission_check_account(struct smtp_session *s);
/* FUTURERELEASE, DELIVERBY and MT-PRIORITY into the transaction: DONE, or why not. */
enum smtp_status_name submission_keep_wishes(struct smtp_session *s, const struct smtp_parameters *p);
/* A recipient who is ours, but whose mail goes by the queue: it is to be held, or its arrival is to be told. */
bool submission_is_for_queue(const struct smtp_session *s, const struct smtp_command *command);
/* A recipient who is not ours: RECIPIENT_OK, or why not. */
enum smtp_status_name submission_keep_recipient(struct smtp_session *s, const struct smtp_command *command);
/* A piece of the message: gathers the header and passes on what is to be kept. `is_last`: nothing follows. */
MAY_YIELD void submission_piece(struct smtp_session *s, view piece, bool is_last);
/* Puts what is for others into the queue: SAVED when it is durable. */
MAY_YIELD enum smtp_status_name submission_enqueue(struct smtp_session *s, view signatures);
/* Appends the signatures of the author's domain, when the message is whole. */
void submission_sign(const struct smtp_session *s, buf *signatures);

/* ---- who sends the old way (legacy.c) ---- */
/* Relaying was denied. The text for a user of ours, who is noted; the empty view for anybody else. */
MAY_YIELD view legacy_refusal(struct smtp_session *s);

/* ---- commands (dispatch.c) ---- */
/*
 * One row per verb: who may say it, whether it can be said now (a status that is not DONE refuses it), and
 * what it does. A refused command with something left to do (BDAT's octets follow it) has `refused`.
 */
struct command_rule {
    unsigned kinds;                      /* 1 << enum smtpd_kind */
    bool is_idle;                        /* moves nothing: limited between messages */
    enum smtp_status_name (*judge)(const struct smtp_session *s, const struct smtp_command *command);
    void (*proceed)(struct smtp_session *s, const struct smtp_command *command);
    void (*refused)(struct smtp_session *s, const struct smtp_command *command);
};
/* Parses, checks, acts. Replies are on the wire afterwards. */
MAY_YIELD void smtp_session_command(struct smtp_session *s, view line);

enum smtp_status_name hello_check(const struct smtp_session *s, const struct smtp_command *command);
MAY_YIELD void hello_proceed(struct smtp_session *s, const struct smtp_command *command);
enum smtp_status_name mail_check(const struct smtp_session *s, const struct smtp_command *command);
MAY_YIELD void mail_proceed(struct smtp_session *s, const struct smtp_command *command);
enum smtp_status_name rcpt_check(const struct smtp_session *s, const struct smtp_command *command);
MAY_YIELD void rcpt_proceed(struct smtp_session *s, const struct smtp_command *command);
MAY_YIELD void rset_proceed(struct smtp_session *s, const struct smtp_command *command);
enum smtp_status_name data_check(const struct smtp_session *s, const struct smtp_command *command);
MAY_YIELD void data_proceed(struct smtp_session *s, const struct smtp_command *command);
enum smtp_status_name bdat_check(const struct smtp_session *s, const struct smtp_command *command);
MAY_YIELD void bdat_proceed(struct smtp_session *s, const struct smtp_command *command);
MAY_YIELD void bdat_refused(struct smtp_session *s, const struct smtp_command *command);
enum smtp_status_name starttls_check(const struct smtp_session *s, const struct smtp_command *command);
MAY_YIELD void starttls_proceed(struct smtp_session *s, const struct smtp_command *command);
/* " PLAIN LOGIN": what AUTH takes on this connection. */
void auth_append_names(const struct smtp_session *s, buf *into);
enum smtp_status_name auth_check(const struct smtp_session *s, const struct smtp_command *command);
MAY_YIELD void auth_proceed(struct smtp_session *s, const struct smtp_command *command);
MAY_YIELD void noop_proceed(struct smtp_session *s, const struct smtp_command *command);
MAY_YIELD void help_proceed(struct smtp_session *s, const struct smtp_command *command);
MAY_YIELD void vrfy_proceed(struct smtp_session *s, const struct smtp_command *command);
MAY_YIELD void quit_proceed(struct smtp_session *s, const struct smtp_command *command);
