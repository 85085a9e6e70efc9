#include "main/node.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/check.h"
#include "cluster/cluster.h"
#include "engine/pressure.h"
#include "runtime/clock.h"
#include "runtime/coroutine.h"
#include "runtime/event.h"
#include "runtime/random.h"
#include "runtime/workers.h"

enum { JOIN_TIMEOUT_MS = 60000, DRAIN_STEP_MS = 1000, GLANCE_MS = 1000 };

struct node {
    struct service *service;
    struct node_doors doors;
    struct cluster *cluster;
    struct loop *loop;
    struct scope scope;
    struct waitlist changed;
    struct task look;
    struct timer glance;            /* at how far the store is behind */
    atomic_bool looks;
    bool wants_drain, is_closed;
    millis drained_at;              /* when the last session is to be gone */
    struct id id;
    int id_file;
    char *id_path;
    result code;
    struct fault fault;
};

/* ---- who this node is ---- */

/*
 * The folder's own id, made at the first start. The file is locked as long as the process lives: two servers in one folder would take
 * each other's control socket.
 */
BLOCKS static void read_id(void *argument)
{
    struct node *n = argument;
    char text[ID_TEXT_LEN + 1];
    n->id_file = open(n->id_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (n->id_file < 0) {
        n->code = fail(&n->fault, IO, "%s: %s", n->id_path, strerror(errno));
    } else if (flock(n->id_file, LOCK_EX | LOCK_NB) != 0) {
        n->code = fail(&n->fault, BUSY, "another server runs in %s", n->service->config->state_folder);
    } else if (read(n->id_file, text, ID_TEXT_LEN) != ID_TEXT_LEN || !id_parse(view_make(text, ID_TEXT_LEN), &n->id)) {
        n->id = random_id();
        view digits = id_text(n->id, text);
        bool written = ftruncate(n->id_file, 0) == 0 && pwrite(n->id_file, digits.at, digits.len, 0) == ID_TEXT_LEN;
        n->code = written ? OK : fail(&n->fault, IO, "%s: %s", n->id_path, strerror(errno));
    }
}

static view roles_text(uint64_t roles, struct arena *arena)
{
    view text = VIEW_EMPTY;
    for (unsigned i = 0; i < ROLES_COUNT; i++)
        if (roles & 1ull << i) text = arena_printf(arena, VIEW_FMT "%s%s", VIEW_ARG(text), text.len ? "," : "", config_role_name(i));
    return text;
}

static view addresses_text(const struct config *c, struct arena *arena)
{
    view text = VIEW_EMPTY;
    for (size_t i = 0; i < c->listener_count; i++) {
        const struct config_listener *l = &c->listeners[i];
        char address[ADDRESS_TEXT_MAX];
        if (!(c->roles & config_protocol_role(l->protocol))) continue;
        text = arena_printf(arena, VIEW_FMT "%s%s " VIEW_FMT " %u", VIEW_ARG(text), text.len ? ", " : "", config_protocol_name(l->protocol),
                            VIEW_ARG(address_text(&l->address, address)), l->address.port);
    }
    return text;
}

/* ---- draining ---- */

static MAY_YIELD void drain_step(struct node *n)
{
    if (!n->is_closed) {
        n->is_closed = true;
        n->doors.close(n->doors.argument);
    }
    int64_t left_ms = n->drained_at.ms - clock_now().ms;
    if (n->doors.sessions(n->doors.argument) == 0) return;
    n->doors.dismiss(n->doors.argument, left_ms <= DRAIN_STEP_MS ? 1000 : (unsigned)(1000 * DRAIN_STEP_MS / left_ms) + 1);
}

static MAY_YIELD void undrain(struct node *n)
{
    struct fault fault = {0};
    result r = n->doors.open(n->doors.argument, &fault);
    if (r == OK) n->is_closed = false;
    else EVENT_EMIT(NODE_NOT_UNDRAINED, EVENT_FAULT(&fault));
}

static void run_drain(void *argument)
{
    colour_pretend_coroutine();
    struct node *n = argument;
    for (;;) {
        if (n->wants_drain) drain_step(n);
        else if (n->is_closed) undrain(n);
        bool rests = !n->wants_drain && !n->is_closed;
        if (waitlist_wait(&n->changed, rests ? MILLIS_NEVER : clock_in(DRAIN_STEP_MS)) == CANCELLED) return;
    }
}

static void drain_changed(void *argument, bool drains, int64_t over_ms)
{
    struct node *n = argument;
    n->wants_drain = drains;
    n->drained_at = clock_in(over_ms >= 0 ? over_ms : (int64_t)n->service->config->drain_ms);
    waitlist_wake_all(&n->changed);
}

bool node_drains(const struct node *n)
{
    return n->wants_drain;
}

/* ---- what it says and hears ---- */

static void tell_load(void *argument, struct cluster_load *ret_load)
{
    struct node *n = argument;
    struct engine_load store = engine_load(n->service->engine);
    *ret_load = (struct cluster_load){
        .sessions = n->doors.sessions(n->doors.argument),
        .accounts = accounts_in_memory(n->service->accounts),
        .operations = store.under_way,
        .slow_operations = store.slow,
        .pressure = store.pressure,
    };
}

static void level_changed(void *argument, unsigned level)
{
    accounts_set_feature_level(((struct node *)argument)->service->accounts, level);
}

static void outdated(void *argument, const struct fault *fault)
{
    struct node *n = argument;
    if (n->cluster) n->doors.stop(n->doors.argument);        /* else node_join() fails, and says why */
}

static void look_here(struct task *t)
{
    struct node *n = container_of(t, struct node, look);
    atomic_store(&n->looks, false);
    if (n->cluster) cluster_look(n->cluster);
}

void node_look(struct node *n)
{
    if (n && !atomic_exchange(&n->looks, true)) loop_post(n->loop, &n->look);
}

/* Metrics and events of the store's pressure are as of the last look, and at a front door where nobody knocks nobody looks. */
static void glance(struct timer *t)
{
    struct node *n = container_of(t, struct node, glance);
    (void)engine_pressure(n->service->engine);
    timer_arm(&n->glance, clock_in(GLANCE_MS));
}

static void free_node(struct node *n)
{
    if (n->id_file >= 0) close(n->id_file);
    free(n->id_path);
    free(n);
}

static MAY_YIELD result join(struct node *n, struct fault *fault)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 1 << 20);
    const struct config *c = n->service->config;
    struct cluster_options o = {
        .name = view_of(c->node_name),
        .version = VIEW(TAYORI_VERSION),
        .roles = roles_text(c->roles, arena),
        .addresses = addresses_text(c, arena),
        .load = tell_load,
        .level_changed = level_changed,
        .drain_changed = drain_changed,
        .outdated = outdated,
        .argument = n,
    };
    result r = worker_run(WORKER_SLOW, read_id, n);
    if (r == OK) r = n->code;
    if (r != OK) {
        *fault = n->fault;
        return r;
    }
    o.id = n->id;
    return cluster_join(n->service->engine, &o, clock_in(JOIN_TIMEOUT_MS), &n->cluster, fault);
}

result node_join(struct service *s, const struct node_doors *doors, struct node **ret_node, struct fault *fault)
{
    struct node *n = calloc(1, sizeof *n);
    check(n != NULL);
    *n = (struct node){.service = s, .doors = *doors, .loop = loop_self(), .look.run = look_here, .id_file = -1};
    int failed = asprintf(&n->id_path, "%s/node-id", s->config->state_folder);
    check(failed >= 0);
    waitlist_init(&n->changed);
    result r = join(n, fault);
    if (r != OK) {
        free_node(n);
        return r;
    }
    timer_init(&n->glance, glance);
    timer_arm(&n->glance, clock_in(GLANCE_MS));
    if (n->wants_drain) drain_step(n);
    scope_init(&n->scope, NULL);
    coroutine_spawn(&n->scope, "drain", run_drain, n);
    *ret_node = n;
    return OK;
}

void node_leave(struct node *n)
{
    if (!n) return;
    timer_disarm(&n->glance);
    struct cluster *c = n->cluster;
    n->cluster = NULL;
    cluster_leave(c);
    scope_done(&n->scope);
    /* A look that was posted before comes before this coroutine goes on. */
    while (atomic_load(&n->looks)) coroutine_pause();
    free_node(n);
}
