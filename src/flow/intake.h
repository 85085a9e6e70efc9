/*
 * intake: may this recipient have a message here, and which accounts are meant?
 *
 * A forward-path is looked up in the directory; aliases are followed (each address once, to a limited
 * depth and number of accounts), and standing and quota of every account are asked. The answer is a
 * status of the one SMTP table, so SMTP, LMTP and later submission give the same one:
 *
 *     the domain is not ours                      RELAY_DENIED         550 5.7.1
 *     no such address, or an alias to nobody      NO_SUCH_USER         550 5.1.1
 *     suspended                                   SUSPENDED(_NOW)      450 4.2.1 or 550 5.2.1
 *     over quota                                  MAILBOX_FULL(_NOW)   452 4.2.2 or 552 5.2.2
 *     an alias that only leads back to itself     ALIAS_LOOP           554 5.4.6
 *     more accounts than the limit                ALIAS_TOO_WIDE       552 5.2.4
 *     an alias to another server                  NO_ROUTE             451 4.4.4: only where mail is not forwarded
 *     a return path (forward.h) not made here     RETURN_PATH_NOT_OURS 550 5.1.1
 *     the directory cannot be asked               NO_SUCH_USER_NOW     450 4.1.1
 *
 * An alias is accepted when at least one of its accounts can take the message; members that cannot are
 * left out and named in an event. Any loop.
 */
#pragma once

#include "account/account.h"
#include "formats/smtp_path.h"
#include "formats/smtp_reply.h"
#include "identity/identity.h"

enum {
    /* Accounts of one recipient: an alias with every target there can be. */
    INTAKE_ACCOUNTS_MAX = IDENTITY_ALIAS_TARGETS_MAX,
    /* Addresses looked at for one recipient: nested aliases that share members need more looks than accounts. */
    INTAKE_LOOKUPS_MAX = 4 * INTAKE_ACCOUNTS_MAX,
    INTAKE_ALIASES_MAX = 100,            /* of those lookups: aliases within aliases */
    /* What the directory's answers for one recipient can take in `scratch`, with room to spare. */
    INTAKE_SCRATCH_BYTES_MAX = 96 << 20,
};

struct forwarding;
struct complaints;

struct intake {
    struct identity *identity;
    struct accounts *accounts;
    const struct forwarding *forwarding; /* NULL: aliases to other servers are refused */
    struct complaints *complaints;       /* NULL: reports about mail of ours are mail like any other */
    view postmaster_domain;              /* of <postmaster> without a domain (RFC 5321 §4.5.1): this, or the nearest domain above it that is ours */
    bool suspended_is_permanent;         /* 550 5.2.1 and not 450 4.2.1 */
    bool over_quota_is_permanent;        /* 552 5.2.2 and not 452 4.2.2 */
    bool is_for_notices;                 /* what is told of their own mail reaches accounts that are suspended or full, too */
};

struct intake_account {
    struct id id;
    struct quota quota;
};

struct intake_recipient {
    struct smtp_path path;
    struct intake_account *accounts;     /* each once */
    size_t account_count;
    view *forwards;                      /* mailboxes on other servers, as the directory spells them */
    size_t forward_count;
    view alias;                          /* what led there, as the directory spells it; only with forwards */
    bool is_return;                      /* it is a return path of ours, not an alias */
    uint64_t checked_bytes;              /* the size for which the quota was asked */
    enum smtp_status_name status;        /* set by delivery_run() */
};

/*
 * Decides one recipient for a message of (as far as it was declared) size_bytes. RECIPIENT_OK: *ret_recipient is
 * filled, all of it in `arena`. Any other status is the answer to give, and `fault` tells the log why. `scratch`
 * has a budget of INTAKE_SCRATCH_BYTES_MAX at least; what is left in it means nothing.
 */
MAY_YIELD enum smtp_status_name intake_decide(const struct intake *intake, const struct smtp_path *path, uint64_t size_bytes,
                                              millis deadline, struct arena *arena, struct arena *scratch,
                                              struct intake_recipient *ret_recipient, struct fault *fault);
/* Whether a message of size_bytes fits the account: RECIPIENT_OK, MAILBOX_FULL..., STORE_UNAVAILABLE. */
MAY_YIELD enum smtp_status_name intake_check_quota(const struct intake *intake, const struct intake_account *account,
                                                   uint64_t size_bytes, millis deadline, struct fault *fault);
