/*
 * smtpd: takes mail in, by SMTP (as a domain's MX) and by LMTP (RFC 2033).
 *
 * One struct smtpd serves a node; each listener hands its connections to a service of it. A session stays
 * on the loop that accepted it. Between commands it holds no coroutine and no buffers. By submission it takes mail from
 * its own users for anybody, after AUTH and under addresses that are theirs: what is for others goes to the queue.
 */
#pragma once

#include "flow/intake.h"
#include "flow/queue.h"
#include "runtime/stream.h"

struct smtpd;
struct signing;
struct complaints;
struct tls_context;
struct legacy_network;

enum {
    SMTPD_RECIPIENTS_MAX = INTAKE_ACCOUNTS_MAX,
    SMTPD_MESSAGES_MAX = 999999,         /* RFC 9422: a limit has six digits at most */
    SMTPD_HOLD_SECONDS_MAX = 30 * 24 * 3600,   /* mail is held for the sender until a time at most so far ahead (RFC 4865) */
};

/* SUBMISSION: RFC 6409, with STARTTLS; SUBMISSIONS: RFC 8314, TLS from the start. Both need a queue. */
enum smtpd_kind { SMTPD_MX, SMTPD_LMTP, SMTPD_SUBMISSION, SMTPD_SUBMISSIONS, SMTPD_KIND_COUNT };

/* Start with smtpd_default_options(). What points somewhere lives as long as the smtpd. */
struct smtpd_options {
    view server_name;                    /* in the greeting, EHLO and Received; a domain name */
    struct tls_context *tls;             /* NULL: STARTTLS is not offered */
    struct queue *queue;                 /* NULL: no submission */
    struct signing *signing;             /* NULL: nothing is signed */
    struct complaints *complaints;       /* NULL: what is submitted gets no id that complaints are known by */
    bool offers_scram;                   /* AUTH SCRAM-SHA-256 and -PLUS beside PLAIN and LOGIN */
    bool allows_plain_login;             /* AUTH without TLS from anywhere; from this machine it always may be */
    view hides_client;                   /* tenants with spaces between, or "*": what they submit does not tell the client's address and name */
    const struct legacy_network *own_networks;   /* MX: whose clients are told how to submit (flow/legacy.h) */
    size_t own_network_count;
    view legacy_help;                    /* where they read more; may be empty */
    unsigned failed_logins_max;          /* of one connection; then 421 */
    int64_t failed_login_delay_ms;       /* before a wrong password is answered, times their number */
    uint64_t message_bytes_max;          /* SIZE (RFC 1870) */
    unsigned recipients_max;             /* of one message: LIMITS RCPTMAX (RFC 9422); at most SMTPD_RECIPIENTS_MAX */
    unsigned messages_max;               /* of one connection: LIMITS MAILMAX; high, so that connections move to other nodes one day */
    unsigned errors_max;                 /* 4xx and 5xx since the last message that was taken; then 421. SMTP */
    unsigned lmtp_errors_max;            /* the same for LMTP, whose clients are ours */
    unsigned idle_commands_max;          /* NOOP, RSET, EHLO ... between two messages; from then on each counts as an error */
    unsigned hops_max;                   /* Received fields: more is a loop (RFC 5321 §6.3) */
    uint64_t header_bytes_max;           /* of the message's header, before its first empty line */
    uint64_t line_bytes_max;             /* of any line of the message, BINARYMIME excepted */
    unsigned connections_per_address_max; /* open at once from one IPv4 address or IPv6 /64; SMTP only; 0: no limit */
    int64_t command_timeout_ms;          /* RFC 5321 §4.5.3.2.7 */
    int64_t data_timeout_ms;             /* between two pieces of data */
    int64_t message_timeout_ms;          /* from the first octet of a message to its last */
    int64_t delivery_timeout_ms;         /* until a message must be durable; below the 10 minutes of §4.5.3.2.6 */
};
struct smtpd_options smtpd_default_options(void);

/* The options are copied; `intake` and what both point to must live longer. */
struct smtpd *smtpd_new(const struct smtpd_options *options, const struct intake *intake, struct loops *all);
/* When smtpd_sessions() is 0. */
void smtpd_free(struct smtpd *d);

/*
 * For listener_options: accepted = smtpd_accept, argument = smtpd_service(d, kind). Runs on the loop that shall own
 * the stream, outside coroutines; takes the stream over.
 */
void smtpd_accept(void *service, struct stream *s);
void *smtpd_service(struct smtpd *d, enum smtpd_kind kind);

/*
 * From any loop: no new sessions from now on (421 4.3.2); each session that is open ends with 421 4.3.2 after
 * the command that it is in, which may be a message that still gets its 250.
 */
void smtpd_stop(struct smtpd *d);
/* From any loop, before the stop: ends so many of a thousand sessions in the same way, the oldest first; new ones may come. */
void smtpd_dismiss(struct smtpd *d, unsigned permille);
/* Open on all loops, and after smtpd_stop() each loop that has not heard of it yet: some time later it is 0. */
unsigned smtpd_sessions(const struct smtpd *d);
