#include "engine/rados.h"

#include <stdlib.h>

#include "base/check.h"
#include "engine/rados/rados_private.h"

static const struct engine_methods methods;

result engine_open_rados(const struct engine_rados_options *options, struct engine **ret_engine, struct fault *fault)
{
    struct rados *e = calloc(1, sizeof *e);
    check(e);
    result code = client_open(options, &e->client, fault);
    if (code != OK) {
        free(e);
        return code;
    }
    engine_init(&e->base, &methods);
    *ret_engine = &e->base;
    return OK;
}

MAY_YIELD static void rados_close(struct engine *base)
{
    struct rados *e = rados_of(base);
    client_close(e->client);
    engine_done(&e->base);
    free(e);
}

static const struct engine_methods methods = {
    .kind = "rados",
    .close = rados_close,
};
