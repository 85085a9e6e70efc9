/* The rules about answers: those of the file that outbound.rules names, then the built-in ones. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "main/sending.h"
#include "runtime/workers.h"

enum { RULES_BYTES_MAX = 1 << 20 };

struct reading { const char *path; char *bytes; size_t len; result code; struct fault *fault; };

BLOCKS static void read_rules(void *argument)
{
    struct reading *r = argument;
    FILE *file = fopen(r->path, "re");
    if (!file) {
        r->code = fail(r->fault, INVALID, "outbound.rules: %s: %s", r->path, strerror(errno));
        return;
    }
    r->len = fread(r->bytes, 1, RULES_BYTES_MAX + 1, file);
    if (ferror(file)) r->code = fail(r->fault, IO, "outbound.rules: %s cannot be read", r->path);
    else if (r->len > RULES_BYTES_MAX) r->code = fail(r->fault, INVALID, "outbound.rules: %s is larger than %d bytes", r->path, RULES_BYTES_MAX);
    fclose(file);
}

result sending_read_rules(const struct config *c, struct arena *arena, struct answer_rules *rules, struct fault *fault)
{
    result code = OK;
    if (*c->outbound_rules) {
        struct reading r = {.path = c->outbound_rules, .bytes = arena_alloc(arena, RULES_BYTES_MAX + 1), .fault = fault};
        code = worker_run(WORKER_SLOW, read_rules, &r);
        if (code == OK) code = r.code;
        if (code == OK) code = answer_rules_parse(view_make(r.bytes, r.len), view_of(r.path), arena, rules, fault);
    }
    return code == OK ? answer_rules_parse(view_of(answer_rules_built_in), VIEW("built in"), arena, rules, fault) : code;
}
