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
#include "runtime/event.h"
#include "runtime/stream.h"

enum config_protocol { CONFIG_SMTP, CONFIG_LMTP, CONFIG_IMAP, CONFIG_POP3, CONFIG_HTTP, CONFIG_PROTOCOLS };
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
    uint64_t loops, engine, store_cache_bytes, log_format, log_level;
    uint64_t mailbox_memory_bytes, mailbox_retention_ms, mailbox_grace_ms;
    uint64_t message_bytes_max, recipients_max, hops_max, smtp_connections_per_address;
    uint64_t suspended_is_permanent, over_quota_is_permanent;
    uint64_t plaintext_login, idle_timeout_ms;
    struct config_listener listeners[CONFIG_LISTENERS_MAX];
    size_t listener_count;
};

struct config_options {
    const char *file;                     /* NULL: defaults and port_base */
    const char *folder;                   /* --dir */
    unsigned port_base;
    unsigned loops;                       /* 0: the file's, or one per core */
};
/* Texts live in the arena. INVALID after every error was written to `errors`, one a line. */
NODISCARD result config_load(const struct config_options *options, struct arena *arena, FILE *errors, struct config *ret_config);
/* The settings in force, as a file that config_load() would read. */
void config_show(const struct config *c, FILE *out);
/* The rows of the table, for the manual page. */
void config_describe(FILE *out);
const char *config_protocol_name(enum config_protocol protocol);
