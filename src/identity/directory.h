/*
 * directory: adding, changing and removing what identity looks up. For the operator's commands and, later, the API.
 *
 * Texts are checked here, so every way in has the same rules; faults name what was expected. Every change is at once in
 * force in this process and within IDENTITY_CACHE_MS in others.
 */
#pragma once

#include "identity/identity.h"

enum { DIRECTORY_NAME_BYTES_MAX = 63, DIRECTORY_DISPLAY_NAME_BYTES_MAX = 200 };
#define DIRECTORY_DEFAULT_TENANT "default"

/* Makes the tenant "default" if there is none: called at every start. */
MAY_YIELD NODISCARD result directory_prepare(struct identity *i, millis deadline, struct fault *fault);

/* Whether complaints of its users are told to domains that ask for them (flow/feedback.h), and how much of the message with them. */
enum tenant_feedback { TENANT_FEEDBACK_OFF, TENANT_FEEDBACK_HEADER, TENANT_FEEDBACK_MESSAGE, TENANT_FEEDBACKS };
const char *tenant_feedback_name(enum tenant_feedback f);      /* "off", "header", "message" */
struct directory_tenant { view name; unix_ms created; bool has_scram; enum tenant_feedback feedback; int64_t archive_after_ms; };      /* 0: its messages never go to the archive */
struct directory_domain { view name, tenant, catch_all; unix_ms created; };
struct directory_alias { view address; view *targets; size_t target_count; };

MAY_YIELD NODISCARD result directory_add_tenant(struct identity *i, view name, millis deadline, struct fault *fault);
/* What to set; what is not set stays. */
struct directory_tenant_change {
    bool sets_scram, has_scram;          /* whether SCRAM keys are made of passwords (scram_keys.h); on by default. Keys that are there stay until a new password */
    bool sets_feedback;
    enum tenant_feedback feedback;       /* off by default */
    bool sets_archive_after;
    int64_t archive_after_ms;            /* of its accounts that have no limit of their own; 0: never, which is the default */
};
MAY_YIELD NODISCARD result directory_set_tenant(struct identity *i, view name, const struct directory_tenant_change *change, millis deadline, struct fault *fault);
/* BUSY while it has domains. */
MAY_YIELD NODISCARD result directory_remove_tenant(struct identity *i, view name, millis deadline, struct fault *fault);

MAY_YIELD NODISCARD result directory_add_domain(struct identity *i, view name, view tenant, millis deadline, struct fault *fault);
/* `catch_all` empty: none. */
MAY_YIELD NODISCARD result directory_set_domain(struct identity *i, view name, view catch_all, millis deadline, struct fault *fault);
/* BUSY while it has addresses. */
MAY_YIELD NODISCARD result directory_remove_domain(struct identity *i, view name, millis deadline, struct fault *fault);

/* What to set; what is not set stays, or takes its default in a new account. */
struct directory_account_change {
    bool sets_password, sets_quota, sets_display_name, sets_standing;
    view password;                  /* clear, or with a scheme prefix */
    uint64_t quota_bytes;
    bool sets_quota_messages;
    uint64_t quota_messages;
    view display_name;
    enum account_standing standing;
    bool sets_sending;
    bool sets_archive_after;
    int64_t archive_after_ms;       /* 0: never; IDENTITY_ARCHIVE_AS_TENANT */
    view sending;                   /* good, new, suspicious, bulk; empty: by its age */
};
/* A new account with its primary address. Its mailboxes come into being with its first message. */
MAY_YIELD NODISCARD result directory_add_account(struct identity *i, view address, const struct directory_account_change *change, millis deadline,
                                                 struct id *ret_account, struct fault *fault);
MAY_YIELD NODISCARD result directory_set_account(struct identity *i, view address, const struct directory_account_change *change, millis deadline,
                                                 struct fault *fault);
/* The row and the primary address; the caller destroys the mailboxes (accounts_destroy) of *ret_account. */
MAY_YIELD NODISCARD result directory_remove_account(struct identity *i, view address, millis deadline, struct id *ret_account, struct fault *fault);

/* A new alias, or the targets of an existing one replaced. */
MAY_YIELD NODISCARD result directory_add_alias(struct identity *i, view address, const view *targets, size_t count, bool replaces, millis deadline,
                                               struct fault *fault);
MAY_YIELD NODISCARD result directory_remove_alias(struct identity *i, view address, millis deadline, struct fault *fault);
MAY_YIELD NODISCARD result directory_find_alias(struct identity *i, view address, millis deadline, struct arena *arena, struct directory_alias *ret_alias,
                                                struct fault *fault);
MAY_YIELD NODISCARD result directory_find_domain(struct identity *i, view name, millis deadline, struct arena *arena, struct directory_domain *ret_domain,
                                                 struct fault *fault);
MAY_YIELD NODISCARD result directory_find_tenant(struct identity *i, view name, millis deadline, struct arena *arena, struct directory_tenant *ret_tenant,
                                                 struct fault *fault);

/*
 * Lists call row() for each, in order of key within a shard; row() yields if it likes and ends the list with a result other than OK,
 * which is then the list's. Views are good during the call only.
 */
typedef result directory_row_fn(void *argument, view key, view json);
MAY_YIELD NODISCARD result directory_list(struct identity *i, view table, view prefix, directory_row_fn *row, void *argument, millis deadline, struct fault *fault);
#define DIRECTORY_TENANTS VIEW("tenant")
#define DIRECTORY_DOMAINS VIEW("domain")
#define DIRECTORY_ADDRESSES VIEW("address")
#define DIRECTORY_ACCOUNTS VIEW("account")
