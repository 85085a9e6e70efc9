/*
 * config: the settings of a server, from a file or from the options of `tayori serve`.
 *
 * A file is checked completely before anything starts: every error is told, each with file, line and what was expected.
 * The table of keys is config.def; listeners are sections of their own.
 */
#pragma once

#include <stdio.h>

#include "base/arena.h"
#include "base/fault.h"
#include "flow/egress.h"
#include "runtime/event.h"
#include "runtime/stream.h"

enum config_protocol { CONFIG_SMTP, CONFIG_LMTP, CONFIG_SUBMISSION, CONFIG_IMAP, CONFIG_POP3, CONFIG_HTTP, CONFIG_PROTOCOLS };
enum config_engine { CONFIG_ENGINE_LOCAL, CONFIG_ENGINE_RADOS };
/* What a node does: bits of config.roles, in the order of their names. */
enum config_role { ROLE_SMTP = 1, ROLE_IMAP = 2, ROLE_POP = 4, ROLE_QUEUE = 8, ROLE_HTTP = 16, ROLE_MAINTENANCE = 32, ROLES_COUNT = 6 };
enum config_tls { CONFIG_TLS_NONE, CONFIG_TLS_STARTTLS, CONFIG_TLS_IMPLICIT };
enum config_plaintext { CONFIG_PLAINTEXT_LOOPBACK, CONFIG_PLAINTEXT_ALWAYS };

struct config_listener {
    const char *name;
    enum config_protocol protocol;
    struct address address;
    enum config_tls tls;
    bool proxy_protocol;
};

enum { CONFIG_LISTENERS_MAX = 64 };

struct config {
    const char *file;                     /* NULL: made from options */
    const char *state_folder;             /* control socket, self-made certificate; --dir */
    const char *server_name, *store_folder, *tls_certificate, *tls_key, *log_file;
    const char *ceph_config, *ceph_user, *pool, *object_pool, *archive_pool, *archive_folder, *name_space, *node_name;
    uint64_t connect_timeout_ms, flight_operations_max, flight_bytes_max;
    uint64_t roles, drain_ms, slow_operations_max;             /* roles: bits of enum config_role */
    uint64_t loops, engine, store_cache_bytes, log_format, log_level;
    uint64_t mailbox_memory_bytes, mailbox_retention_ms, mailbox_grace_ms;
    uint64_t compact_bytes, compact_records;
    uint64_t upkeep_every_ms, upkeep_rate, scrub_every_ms, scrub_rate, reclaim_rate, archive_rate;
    uint64_t message_bytes_max, recipients_max, hops_max, smtp_connections_per_address;
    uint64_t suspended_is_permanent, over_quota_is_permanent, offers_scram;
    const char *outbound_rules, *own_networks, *submission_help, *hide_client;
    const char *server_comment, *server_admin;
    const char *outbound_routes, *outbound_resolver, *outbound_trust_anchor, *outbound_authorities, *outbound_source4, *outbound_source6;
    const char *outbound_tls_report_from, *reports_feedback;
    uint64_t outbound_mta_sts, outbound_tls_reports;
    uint64_t outbound_connections, outbound_messages, outbound_expire_ms, outbound_delay_notice_ms, outbound_retry_min_ms, outbound_retry_max_ms;
    uint64_t plaintext_login, idle_timeout_ms;
    uint64_t imap_connections_per_address, imap_connections_per_account, pop_connections_per_address;
    uint64_t imap_message_limit, imap_save_limit;
    struct egress_pool *egress;           /* EGRESS_POOLS_MAX of them, or NULL */
    size_t egress_count;
    struct config_listener listeners[CONFIG_LISTENERS_MAX];
    size_t listener_count;
};

struct config_options {
    const char *file;                     /* NULL: defaults and port_base */
    const char *folder;                   /* --dir */
    unsigned port_base;
    unsigned loops;                       /* 0: the file's, or one per core */
    const char *roles;                    /* NULL: the file's */
};
/* Texts live in the arena. INVALID after every error was written to `errors`, one a line. */
NODISCARD result config_load(const struct config_options *options, struct arena *arena, FILE *errors, struct config *ret_config);
/* The settings in force, as a file that config_load() would read. */
void config_show(const struct config *c, FILE *out);
/* The rows of the table, for the manual page. */
void config_describe(FILE *out);
const char *config_protocol_name(enum config_protocol protocol);
/* The role that a listener of this protocol belongs to. */
enum config_role config_protocol_role(enum config_protocol protocol);
/* The name of role number `index`, 0 to ROLES_COUNT - 1; its bit is 1 << index. */
const char *config_role_name(unsigned index);
