#include "main/service.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "engine/local.h"
#include "identity/directory.h"
#include "runtime/clock.h"

enum { START_TIMEOUT_MS = 60000 };

result service_make_folder(const char *path, struct fault *fault)
{
    if (mkdir(path, 0700) == 0 || errno == EEXIST) return OK;
    return fail(fault, IO, "folder %s: %s", path, strerror(errno));
}

result service_open(struct service *s, const struct config *config, struct fault *fault)
{
    *s = (struct service){.config = config, .loops = loop_family(loop_self())};
    struct engine_local_options store = {.folder = config->store_folder, .cache_bytes = config->store_cache_bytes};
    struct accounts_options mailboxes = {.memory_bytes = config->mailbox_memory_bytes, .retention_ms = (int64_t)config->mailbox_retention_ms,
                                         .grace_ms = (int64_t)config->mailbox_grace_ms};
    result r = service_make_folder(config->state_folder, fault);
    if (r == OK) r = engine_open_local(&store, &s->engine, fault);
    if (r != OK) return r;
    s->accounts = accounts_new(s->engine, s->loops, &mailboxes);
    s->identity = identity_new(s->engine, s->loops);
    r = directory_prepare(s->identity, clock_in(START_TIMEOUT_MS), fault);
    if (r != OK) service_close(s);
    return r;
}

void service_close(struct service *s)
{
    identity_free(s->identity);
    if (s->accounts) accounts_free(s->accounts);
    if (s->engine) engine_close(s->engine);
    *s = (struct service){0};
}
