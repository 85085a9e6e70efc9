/*
 * service: the store, the accounts and the directory of one node, opened together.
 *
 * `tayori serve` has one for as long as it runs; the operator's commands open one of their own when no server runs.
 */
#pragma once

#include "account/account.h"
#include "engine/engine.h"
#include "flow/queue.h"
#include "identity/identity.h"
#include "main/config.h"

struct resolver;
struct signing;

struct service {
    const struct config *config;
    struct engine *engine;
    struct accounts *accounts;
    struct identity *identity;
    struct queue *queue;
    struct signing *signing;
    struct resolver *resolver;           /* of a server */
    struct outbound *outbound;           /* NULL: this process sends nothing */
    struct tls_reporting *reporting;     /* NULL: no reports are made */
    bool is_server;                      /* tayori serve, and not one command */
    struct loops *loops;
    struct node *node;            /* of a server that has joined; else NULL */
};

/* BUSY: another process has the store open (local). INVALID: the store is written at a feature level above this program's. */
MAY_YIELD NODISCARD result service_open(struct service *s, const struct config *config, struct fault *fault);
/* The store alone. */
MAY_YIELD NODISCARD result service_open_engine(const struct config *config, struct engine **ret_engine, struct fault *fault);
struct engine_rados_options;
/* For accounts_set_archive_limit(): `argument` is the identity. */
result service_archive_limit(void *argument, struct id account, int64_t *ret_after_ms);
/* What the configuration says of the cluster; texts are the configuration's. */
void service_rados_options(const struct config *config, struct engine_rados_options *ret_options);
/* Mode 0700; fine when it exists. */
NODISCARD result service_make_folder(const char *path, struct fault *fault);
/* A resolver as the configuration says, which has nothing in its cache. */
MAY_YIELD NODISCARD result service_make_resolver(struct service *s, struct resolver **ret_resolver, struct fault *fault);
MAY_YIELD void service_free_resolver(struct resolver *resolver);         /* NULL is fine */
MAY_YIELD void service_close(struct service *s);
