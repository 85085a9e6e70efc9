/*
 * mta_sts: what a domain publishes about the security of its mail servers (RFC 8461): the TXT record that says there is a policy (§3.1), the
 * policy (§3.2), and which servers it means (§4.1). Pure; nothing here yields.
 */
#pragma once

#include "base/arena.h"
#include "base/view.h"

enum {
    MTA_STS_ID_MAX = 32,                 /* §3.1 */
    MTA_STS_POLICY_BYTES_MAX = 64 << 10, /* §3.2 lets a sender limit it to that */
    MTA_STS_MX_MAX = 256,                /* patterns: RESOLVER_RECORDS_MAX hosts, twice over, and some */
    MTA_STS_AGE_MAX_S = 31557600,        /* §3.2: a year */
};

/* A TXT record of _mta-sts.DOMAIN. False: it is none of version STSv1. The id is part of the text. */
bool mta_sts_record_parse(view text, view *ret_id);

enum mta_sts_mode { MTA_STS_NONE, MTA_STS_TESTING, MTA_STS_ENFORCE };
/* "none", "testing", "enforce". Static. */
const char *mta_sts_mode_name(enum mta_sts_mode mode);

struct mta_sts_policy {
    enum mta_sts_mode mode;
    uint32_t max_age_s;                  /* at most MTA_STS_AGE_MAX_S, whatever it says */
    view *patterns;                      /* host names, or *.domain */
    size_t pattern_count;
};

/* False: it is no valid policy; *reterr_reason says why (static). Patterns point into the text, the array lives in the arena. */
bool mta_sts_policy_parse(view text, struct arena *arena, struct mta_sts_policy *ret_policy, const char **reterr_reason);
/* §4.1: the host is one of the policy's: a name as it stands, or one label before what follows the asterisk. */
bool mta_sts_allows(const struct mta_sts_policy *p, view host);
