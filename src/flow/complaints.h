/*
 * complaints: what others report about mail of ours (RFC 5965), tied to the account that sent it.
 *
 * Outgoing mail of an account carries a token (trust/complaint_token.h). Reports come as mail to addresses that are named for it; they are
 * delivered there like any mail, and beside that the message is noted in the row of its account in the table `complaint` (doc/formats/directory.md).
 * A message counts once, however many complain: whoever got one message cannot make its sender look bad by many reports. A report without a token
 * of ours is told as an event and counts for nobody. Any loop.
 */
#pragma once

#include "flow/delivery.h"

struct complaints;

enum {
    COMPLAINTS_RECENT_MAX = 20,          /* messages that a row keeps; older ones are in the sums alone */
    COMPLAINTS_SEEN_MAX = 8,             /* reports about one message that are told apart; the sum of further ones may have one twice */
    COMPLAINTS_SECRETS_KEPT_MS = 60000,  /* on each loop: a submission reads no table */
    COMPLAINTS_ADDRESSES_MAX = 100,
};
#define COMPLAINT_TABLE VIEW("complaint")

/*
 * `addresses`: where reports come in, with spaces between: "abuse@example.jp", or "abuse@*" for all domains of ours. INVALID names what is none.
 */
NODISCARD result complaints_new(struct engine *e, struct identity *identity, struct loops *all, view addresses, struct complaints **ret_complaints, struct fault *fault);
void complaints_free(struct complaints *c);      /* NULL is fine */

/* Appends the token of a message that an account sends. */
MAY_YIELD NODISCARD result complaints_token(struct complaints *c, struct id account, struct id message, millis deadline, buf *into, struct fault *fault);
/*
 * For delivery_run(), before the message is delivered: what is a report to one of the addresses is noted. A failure is told in an event and keeps
 * nothing from being delivered.
 */
MAY_YIELD void complaints_take_in(struct complaints *c, const struct delivery_order *order, millis deadline);

/* ---- for operators ---- */

struct complaints_of_account {
    uint64_t messages, reports;          /* complained about; complaints in all */
    unix_ms last;
};
/* All zero when there are none. */
MAY_YIELD NODISCARD result complaints_find(struct engine *e, struct id account, millis deadline, struct complaints_of_account *ret_complaints, struct fault *fault);
MAY_YIELD NODISCARD result complaints_forget(struct engine *e, struct id account, millis deadline, struct fault *fault);
