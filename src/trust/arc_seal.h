/*
 * arc_seal: what a forwarder adds to a message so that those after it can see what it saw (RFC 8617 §5.1).
 *
 * One more set of three fields: what was found (ARC-Authentication-Results), the message as it leaves (ARC-Message-Signature), and a seal over
 * all sets (ARC-Seal). A chain that an earlier hop has sealed as failed ends there, one of 50 sets too, and where a key could not be asked for
 * nothing is said. Any loop; does not yield.
 */
#pragma once

#include "trust/mail_check.h"
#include "trust/signer.h"

struct arc_order {
    view server_name;                    /* who says it: authserv-id (RFC 8601 §2.5) */
    view domain;
    struct signer_key key;
    int64_t now_s;
    view results;                        /* in place of the check's: "; dkim=pass ...", folded; empty: the check's */
};
/* False: nothing is to be added. */
bool arc_seal_is_due(const struct arc_verdict *verdict);
/* `message` is a signer of kind DKIM_ARC_MESSAGE that has seen the whole. Appends the three fields. */
NODISCARD result arc_seal_append(const struct mail_check *check, struct signer *message, const struct arc_order *order, buf *into, struct fault *fault);
