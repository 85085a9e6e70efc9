/*
 * service: the store, the accounts and the directory of one node, opened together.
 *
 * `tayori serve` has one for as long as it runs; the operator's commands open one of their own when no server runs.
 */
#pragma once

#include "account/account.h"
#include "engine/engine.h"
#include "identity/identity.h"
#include "main/config.h"

struct service {
    const struct config *config;
    struct engine *engine;
    struct accounts *accounts;
    struct identity *identity;
    struct loops *loops;
};

/* BUSY: another process has the store open. */
MAY_YIELD NODISCARD result service_open(struct service *s, const struct config *config, struct fault *fault);
/* Mode 0700; fine when it exists. */
NODISCARD result service_make_folder(const char *path, struct fault *fault);
MAY_YIELD void service_close(struct service *s);
