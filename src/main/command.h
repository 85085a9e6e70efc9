/*
 * command: what an operator can tell a server to do.
 *
 * A request is one JSON object with the key "command"; what it does is told as JSON objects: any number of
 * {"progress":{...}} and {"row":{...}}, then one {"done":{...}} or {"error":{"result":...,"text":...}}. The same
 * functions run in the server, reached over the local socket, and in the command-line program when no server runs.
 */
#pragma once

#include <jansson.h>

#include "main/service.h"

struct command_call {
    struct service *service;
    const json_t *request;
    struct arena *arena;                        /* of the call */
    struct loop *loop;                          /* where answer() runs; commands may run on any loop meanwhile */
    /* Takes one answer object; the callee owns it from then on. A result other than OK: nobody listens any more. */
    MAY_YIELD result (*answer)(void *argument, json_t *object);
    void *argument;
};

/* Runs a request to its end; the last answer (done or error) was given when it returns. */
MAY_YIELD void command_run(struct command_call *call);

/* For commands. Texts of the request: the empty view when absent. */
view command_text(const struct command_call *call, const char *key);
bool command_has(const struct command_call *call, const char *key);
uint64_t command_number(const struct command_call *call, const char *key);
MAY_YIELD NODISCARD result command_row(struct command_call *call, json_t *row);
/* A text for a row: what is no UTF-8 in it, as mail and other servers have it, becomes U+FFFD, so that every text can be told. */
json_t *command_json_text(view v);
/* Cheap when called often: passes on at most ten a second. `what` is "messages", "bytes" ... */
MAY_YIELD void command_progress(struct command_call *call, const char *what, uint64_t done, uint64_t all);
millis command_deadline(void);
/* Runs run(call, account, fault) on the home loop of an account, with the account open. `address` names it. */
typedef result command_home_fn(struct command_call *call, struct account *account, struct fault *fault);
MAY_YIELD NODISCARD result command_at_home(struct command_call *call, view address, command_home_fn *run, struct fault *fault);
/* An age limit, of --archive-after: 0: never; -1: as the tenant has it. INVALID. */
NODISCARD result command_archive_after(struct command_call *call, int64_t *ret_after_ms, struct fault *fault);
json_t *command_archive_after_json(int64_t after_ms);
/* The bytes of 32, as 64 hexadecimal digits in the arena. */
view command_hex(const unsigned char digest[static 32], struct arena *arena);

typedef result command_fn(struct command_call *call, struct fault *fault);
#define COMMANDS(X)                                                                                                     \
    X("tenant.set", command_tenant_set) X("tenant.add", command_tenant_add) X("tenant.show", command_tenant_show) X("tenant.list", command_tenant_list)     \
    X("tenant.remove", command_tenant_remove)                                                                           \
    X("domain.add", command_domain_add) X("domain.show", command_domain_show) X("domain.list", command_domain_list)     \
    X("domain.set", command_domain_set) X("domain.remove", command_domain_remove)                                       \
    X("domain.dkim_create", command_dkim_create) X("domain.dkim_show", command_dkim_show) X("domain.dkim_check", command_dkim_check) \
    X("domain.dkim_rotate", command_dkim_rotate) X("domain.dkim_remove", command_dkim_remove)                           \
    X("account.add", command_account_add) X("account.show", command_account_show) X("account.list", command_account_list) \
    X("account.set", command_account_set) X("account.remove", command_account_remove) X("account.load", command_account_load) \
    X("account.digest", command_account_digest) X("account.expunged", command_account_expunged)                         \
    X("account.restore", command_account_restore) X("account.mailboxes", command_account_mailboxes)                     \
    X("account.compact", command_account_compact)                                                                       \
    X("alias.add", command_alias_add) X("alias.show", command_alias_show) X("alias.list", command_alias_list)           \
    X("alias.set", command_alias_set) X("alias.remove", command_alias_remove)                                           \
    X("queue.list", command_queue_list) X("queue.summary", command_queue_summary) X("queue.destinations", command_queue_destinations) \
    X("queue.hold", command_queue_hold) X("queue.release", command_queue_release) X("queue.retry", command_queue_retry) \
    X("queue.expire", command_queue_expire) X("queue.remove", command_queue_remove) X("legacy.list", command_legacy_list) X("legacy.forget", command_legacy_forget) \
    X("feedback.add", command_feedback_add) X("feedback.list", command_feedback_list) X("feedback.remove", command_feedback_remove) \
    X("report.list", command_report_list) X("report.show", command_report_show) X("report.forget", command_report_forget) \
    X("queue.redirect", command_queue_redirect) X("pool.list", command_pool_list) X("pool.refused", command_pool_refused) X("pool.clear", command_pool_clear) \
    X("queue.show", command_queue_show) X("queue.trace", command_queue_trace) X("queue.top", command_queue_top) \
    X("queue.explain", command_queue_explain) X("queue.rules", command_queue_rules)                                     \
    X("transport.show", command_transport_show) X("transport.reports", command_transport_reports)                       \
    X("transport.send_reports", command_transport_send_reports)                                                         \
    X("import", command_import) X("export", command_export)                                                             \
    X("store.verify", command_store_verify) X("store.backup", command_store_backup) X("store.scrub", command_store_scrub) \
    X("store.copy", command_store_copy) X("store.release", command_store_release)                                       \
    X("store.upkeep", command_store_upkeep) X("server.status", command_server_status) X("server.top", command_server_top) \
    X("cluster.status", command_cluster_status) X("cluster.level", command_cluster_level)                               \
    X("cluster.drain", command_cluster_drain) X("cluster.undrain", command_cluster_undrain) X("cluster.forget", command_cluster_forget)
#define X(name, function) MAY_YIELD NODISCARD result function(struct command_call *call, struct fault *fault);
COMMANDS(X)
#undef X
