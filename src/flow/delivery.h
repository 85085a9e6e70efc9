/*
 * delivery: one message to the accounts of its recipients.
 *
 * Every account gets the message once, however many recipients led to it; all appends are given to the
 * store at once and share its bytes. Afterwards each recipient has a status: SAVED when the message is
 * durable in all its accounts, else the reason. Any loop.
 */
#pragma once

#include "flow/intake.h"

enum {
    /* Accounts of one message: a full list of recipients, and one alias as wide as they come. */
    DELIVERY_ACCOUNTS_MAX = 2 * INTAKE_ACCOUNTS_MAX,
};

struct delivery_order {
    const struct intake *intake;
    struct draft *draft;
    struct intake_recipient *recipients;
    size_t recipient_count;
    bool answers_each;           /* LMTP, or one recipient: one that is over quota can be refused by itself now */
};

/*
 * Sets the status of all recipients. The arena needs room for DELIVERY_ACCOUNTS_MAX of struct delivery at most.
 * Failures are told in events, with the message's id.
 */
MAY_YIELD void delivery_run(const struct delivery_order *order, millis deadline, struct arena *arena);

/*
 * The one answer of SMTP: SAVED when all have it. When some have and some have not, a temporary failure: the
 * client comes again, and a message twice is better than none.
 */
enum smtp_status_name delivery_summary(const struct delivery_order *order);
