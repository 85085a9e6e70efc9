/* verb_cluster: `tayori cluster init`, which comes before there is a store. */
#include <string.h>

#include "base/check.h"
#include "engine/rados_cluster.h"
#include "main/service.h"
#include "main/verb.h"

enum { EXIT_USAGE = 2, PORT_BASE_UNUSED = 2000 };

static const char *text_or(const struct invocation *call, const char *key, const char *otherwise)
{
    const char *text = json_string_value(json_object_get(call->request, key));
    return text ? text : otherwise;
}

static unsigned number_or(const struct invocation *call, const char *key, unsigned otherwise)
{
    const json_t *number = json_object_get(call->request, key);
    return number ? (unsigned)json_integer_value(number) : otherwise;
}

static void show_finding(void *argument, const struct rados_finding *f)
{
    static const char *const words[] = {[RADOS_FINE] = "fine", [RADOS_MADE] = "made", [RADOS_ADVICE] = "note", [RADOS_WRONG] = "WRONG"};
    const struct invocation *call = argument;
    if (call->wants_json) {
        json_t *row = json_pack("{s:s, s:s, s:s, s:s}", "finding", words[f->kind], "about", f->about, "text", f->text, "mend", f->mend);
        json_dumpf(row, stdout, JSON_COMPACT);
        putchar('\n');
        json_decref(row);
        return;
    }
    printf("%-6s %s: %s\n", words[f->kind], f->about, f->text);
    if (*f->mend) printf("       %s\n", f->mend);
}

int verb_cluster_init(const struct invocation *call)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 16 << 20);
    struct config *config = arena_new_struct(arena, struct config);
    struct config_options options = {.file = call->config_file, .folder = call->folder, .port_base = PORT_BASE_UNUSED};
    struct engine_rados_options cluster;
    struct fault fault = {0};
    if (config_load(&options, arena, stderr, config) != OK) return EXIT_USAGE;
    if (config->engine != CONFIG_ENGINE_RADOS) {
        fprintf(stderr, "tayori: cluster init is for store { engine = \"rados\" }: give the configuration with --config\n");
        return EXIT_USAGE;
    }
    struct rados_pool_plan plan = {
        .size = number_or(call, "size", 3), .min_size = number_or(call, "min_size", 2), .k = number_or(call, "k", 4), .m = number_or(call, "m", 2),
        .profile = text_or(call, "profile", "tayori"), .failure_domain = text_or(call, "failure_domain", "host"), .device_class = text_or(call, "device_class", NULL),
        .archive_device_class = text_or(call, "archive_device_class", NULL), .accounts = number_or(call, "accounts", 0), .pg_num = number_or(call, "pg", 0),
        .object_pg_num = number_or(call, "object_pg", 0), .archive_pg_num = number_or(call, "archive_pg", 0),
    };
    service_rados_options(config, &cluster);
    colour_pretend_worker();
    bool only_checks = json_is_true(json_object_get(call->request, "check"));
    result r = rados_cluster_init(&cluster, &plan, only_checks, show_finding, (void *)(uintptr_t)call, &fault);
    if (r != OK) fprintf(stderr, "tayori: %s\n", fault.detail);
    return r == OK ? 0 : 1;
}
