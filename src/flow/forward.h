/*
 * forward: mail for an alias that leads to another server.
 *
 * It goes to the queue, from an address of ours that stands for its sender (trust/return_path.h), with what we found in it sealed (ARC) by the
 * alias's domain if that has an RSA key, and with a Delivered-To field of the alias, by which a message that comes round again is known. The null
 * sender stays null, a sender who is ours stays who he is. What comes back to such an address of ours goes on to the sender that it stands for.
 */
#pragma once

#include "flow/intake.h"
#include "flow/queue.h"
#include "flow/signing.h"
#include "trust/mail_check.h"

struct forwarding {
    struct identity *identity;
    struct queue *queue;
    struct signing *signing;             /* NULL: nothing is sealed */
    struct resolver *resolver;           /* NULL: the same */
    view server_name;
};

/* ---- return paths ---- */

/* NOT_FOUND: not such an address. DENIED: it was not made here, or is too old. OK: the mailbox that it stands for. */
MAY_YIELD NODISCARD result forward_unwrap(const struct forwarding *f, view local_part, millis deadline, struct arena *arena, view *ret_mailbox, struct fault *fault);

/* One of intake_recipient.forwards as SMTP writes it. */
view forward_mailbox(view key, struct arena *arena);

/*
 * Whose an alias's mail is in the queue when no account of ours is behind it: an id of the alias (as the directory spells it), so that it has turns and
 * limits of its own. The same on all nodes, and never that of an account.
 */
struct id forward_account(view alias);

/* ---- a message while it comes in ---- */

struct forward_message;
struct forward_message *forward_message_new(void);
void forward_message_free(struct forward_message *m);                  /* NULL is fine */
void forward_message_feed(struct forward_message *m, view piece);
/* After the last piece: asks for keys. */
MAY_YIELD void forward_message_end(struct forward_message *m, const struct forwarding *f, millis deadline);

/* ---- sending on ---- */

struct forward_order {
    const struct intake_recipient *recipient;
    struct forward_message *message;     /* ended; NULL: nothing is sealed, and loops are found by others */
    view front;                          /* signatures of ours */
    view sender;                         /* mailbox; empty: the null path */
    unsigned flags;                      /* QUEUE_IS_UTF8, QUEUE_IS_8BIT */
    struct draft *draft;
    uint32_t skip_bytes;                 /* at the front of the draft: not for others */
};
/* Puts it into the queue for all of recipient->forwards: SAVED when it is durable. */
MAY_YIELD enum smtp_status_name forward_send(const struct forwarding *f, const struct forward_order *order, millis deadline);
