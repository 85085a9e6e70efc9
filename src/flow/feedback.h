/*
 * feedback: complaints of our users, told to those who ask for them (RFC 6449, written as RFC 5965 has it).
 *
 * A user marks a message as junk (the keyword $Junk, or into the mailbox with the use \Junk). If the user's tenant lets it be told, and the message has a
 * DKIM signature that holds now, of a domain that an operator has registered and that its author's address belongs to, then that domain's address
 * gets one report, by the queue, from nobody. A registered domain is a feedback loop: table `feedback_loop`.
 *
 * Nobody waits for it: feedback_marked() begins a coroutine and returns. What is under way when a node dies is not reported; what was begun is never
 * reported twice, for the row of `feedback_sent` is written before the report (doc/formats/directory.md). The user's address is not told: what
 * stands before the @ of the user's domain is replaced by a keyed digest, in the header and in the body (RFC 6590).
 */
#pragma once

#include <stdatomic.h>

#include "account/account.h"
#include "flow/queue.h"
#include "identity/identity.h"
#include "runtime/resolver.h"

struct feedback;
struct signing;

enum {
    FEEDBACK_AT_ONCE = 32,               /* marks under way in a process; what is beyond is not reported */
    FEEDBACK_OF_A_MARK = 20,             /* messages of one command that are looked at: who moves thousands tidies up */
    FEEDBACK_OF_A_DAY = 100,             /* reports because of one account, by each process */
    FEEDBACK_BODY_BYTES_MAX = 64 << 10,  /* of a message that is told whole */
};
#define FEEDBACK_LOOPS VIEW("feedback_loop")

struct feedback_options {
    struct engine *engine;
    struct identity *identity;
    struct accounts *accounts;
    struct queue *queue;
    struct signing *signing;             /* NULL: reports leave unsigned */
    struct resolver *resolver;
    view server_name, from;              /* `from`: mailbox of who reports */
};
struct feedback *feedback_new(const struct feedback_options *options);
/* After feedback_stop(). NULL is fine. */
void feedback_free(struct feedback *f);
/* Waits for what is under way. */
MAY_YIELD void feedback_stop(struct feedback *f);

/* Messages of an account were marked. On the account's home loop; does not wait. */
void feedback_marked(struct feedback *f, struct id account, uint32_t mailbox, const struct imap_set *uids);

/* ---- for operators ---- */
MAY_YIELD NODISCARD result feedback_add_loop(struct engine *e, view domain, view address, millis deadline, struct fault *fault);
MAY_YIELD NODISCARD result feedback_remove_loop(struct engine *e, view domain, millis deadline, struct fault *fault);

/* Each "local@domain" of this domain with a digest in the place of what is before the @: for feedback and its tests. */
void feedback_redact(buf *into, view text, view domain, view secret);
