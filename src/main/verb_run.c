/*
 * verb_run: what verbs do: ask the server, or open the store themselves when no server runs.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "engine/local.h"
#include "identity/row.h"
#include "main/command.h"
#include "main/control.h"
#include "main/serve.h"
#include "main/verb.h"
#include "runtime/clock.h"
#include "runtime/event.h"
#include "runtime/run.h"
#include "runtime/tls.h"
#include "runtime/workers.h"

enum { EXIT_USAGE = 2, PORT_BASE_DEFAULT = 2000, CALL_ARENA_BYTES_MAX = 256 << 20 };

/* `store copy --from STORE` is another word for --config, or --dir. */
static void take_store(const struct invocation *call, struct config_options *o)
{
    const char *from = call->verb->command && strcmp(call->verb->command, "store.copy") == 0 ? json_string_value(json_object_get(call->request, "from")) : NULL;
    struct stat s;
    if (!from) return;
    if (stat(from, &s) == 0 && S_ISREG(s.st_mode)) o->file = from;
    else o->folder = from;
}

static struct config_options options_of(const struct invocation *call)
{
    const json_t *base = json_object_get(call->request, "port_base");
    struct config_options o = {
        .file = call->config_file,
        .folder = call->folder,
        .port_base = base ? (unsigned)json_integer_value(base) : PORT_BASE_DEFAULT,
        .loops = (unsigned)json_integer_value(json_object_get(call->request, "loops")),
        .roles = json_string_value(json_object_get(call->request, "roles")),
    };
    take_store(call, &o);
    return o;
}

/* ---- requests ---- */

struct asking {
    const struct invocation *call;
    struct config *config;
    struct render *render;
    struct arena *arena;
    struct fault fault;
    bool failed;
};

static void show_answer(void *argument, const json_t *answer)
{
    render_answer(((struct asking *)argument)->render, answer);
}

static MAY_YIELD result show_own_answer(void *argument, json_t *answer)
{
    show_answer(argument, answer);
    json_decref(answer);
    return OK;
}

static MAY_YIELD result run_here(struct asking *a)
{
    struct service service;
    bool is_new = a->config->engine == CONFIG_ENGINE_LOCAL && access(a->config->store_folder, F_OK) != 0;
    result r = service_open(&service, a->config, &a->fault);
    if (r != OK) return r;
    /* Who is in another folder than he thinks sees nothing of his mail, and why. */
    if (is_new) fprintf(stderr, "tayori: no server runs on %s, and there was no store: a new one was made in %s\n", a->config->state_folder, a->config->store_folder);
    struct command_call call = {&service, a->call->request, a->arena, loop_self(), show_own_answer, a};
    command_run(&call);
    service_close(&service);
    return OK;
}

/* Nothing to be said where none runs. */
static bool is_of_server(const struct verb *v) { return strcmp(v->noun, "server") == 0 || strcmp(v->noun, "top") == 0; }

static MAY_YIELD void ask(void *argument)
{
    struct asking *a = argument;
    const char *path = control_path(a->config->state_folder, a->arena);
    result r = control_request(path, a->call->request, show_answer, a, &a->fault);
    if (r == NOT_FOUND && is_of_server(a->call->verb)) r = fail(&a->fault, NOT_FOUND, "no server runs on %s", a->config->state_folder);
    else if (r == NOT_FOUND) r = run_here(a);
    a->failed = r != OK;
}

int verb_request(const struct invocation *call)
{
    struct asking a = {.call = call, .arena = arena_new(NULL, CALL_ARENA_BYTES_MAX)};
    struct config_options options = options_of(call);
    struct run_options run = {.loops = 1};
    a.config = arena_new_struct(a.arena, struct config);
    int status = EXIT_USAGE;
    if (config_load(&options, a.arena, stderr, a.config) == OK) {
        a.render = render_new(call->verb->columns, call->wants_json);
        if (strcmp(call->verb->noun, "top") == 0) render_each_row(a.render);
        /* An operator's terminal is not the log: only warnings reach it. */
        result r = event_open(NULL, EVENT_FORMAT_TEXT, EVENT_WARNING, &a.fault);
        if (r == OK) r = run_loops(&run, ask, &a, &a.fault);
        if (r != OK || a.failed) fprintf(stderr, "tayori: %s\n", a.fault.detail);
        event_close();
        status = render_end(a.render);
    }
    arena_free(a.arena);
    return status;
}

/* ---- verbs with a function of their own ---- */

int verb_serve(const struct invocation *call)
{
    struct config_options options = options_of(call);
    return serve(&options);
}

static int with_config(const struct invocation *call, void (*show)(const struct config *c))
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 16 << 20);
    struct config_options options = options_of(call);
    struct config *config = arena_new_struct(arena, struct config);
    if (config_load(&options, arena, stderr, config) != OK) return 1;
    show(config);
    return 0;
}

static void say_fine(const struct config *c)
{
    printf("%s: fine, %zu listeners\n", c->file ? c->file : "defaults", c->listener_count);
}

static void show_config(const struct config *c)
{
    config_show(c, stdout);
}

/* Whether the server could use the certificate: the files are not in the configuration, but a start would fail without. */
static result check_certificate(const struct config *c, struct fault *fault)
{
    struct tls_certificate files = {c->tls_certificate, c->tls_key};
    struct tls_context *tls;
    if (!c->tls_certificate[0]) return OK;
    colour_pretend_worker();
    result r = tls_context_new_server(&files, 1, &tls, fault);
    if (r == OK) tls_context_free(tls);
    return r;
}

int verb_config_check(const struct invocation *call)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 16 << 20);
    struct config_options options = options_of(call);
    struct config *config = arena_new_struct(arena, struct config);
    struct fault fault = {0};
    if (config_load(&options, arena, stderr, config) != OK) return 1;
    if (check_certificate(config, &fault) != OK) {
        fprintf(stderr, "%s: section tls: %s\n", config->file ? config->file : "defaults", fault.detail);
        return 1;
    }
    say_fine(config);
    return 0;
}

int verb_config_show(const struct invocation *call)
{
    return with_config(call, show_config);
}

int verb_store_restore(const struct invocation *call)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 16 << 20);
    struct config_options options = options_of(call);
    struct config *config = arena_new_struct(arena, struct config);
    struct fault fault = {0};
    if (config_load(&options, arena, stderr, config) != OK) return EXIT_USAGE;
    if (config->engine != CONFIG_ENGINE_LOCAL) {
        fprintf(stderr, "tayori: store restore makes a store of the local engine; from there tayori store copy takes it to a cluster\n");
        return 1;
    }
    if (service_make_folder(config->state_folder, &fault) == OK) {
        colour_pretend_worker();
        const char *backup = json_string_value(json_object_get(call->request, "folder"));
        if (engine_restore_local(backup, config->store_folder, config->archive_folder, &fault) == OK) return 0;
    }
    fprintf(stderr, "tayori: %s\n", fault.detail);
    return 1;
}

int verb_events(const struct invocation *call)
{
    buf page CLEANUP(buf_done) = BUF_INIT;
    event_catalogue(&page);
    fwrite(page.at, 1, page.len, stdout);
    return 0;
}

int verb_version(const struct invocation *call)
{
    printf("tayori " TAYORI_VERSION "\n");
    return 0;
}
