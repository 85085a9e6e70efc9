/* Listeners and connections inside a world: one network for all nodes. A port belongs to an address, or to any. */
#include "runtime/listener.h"

#include <stdlib.h>
#include <string.h>

#include "runtime/clock.h"
#include "runtime/coroutine.h"
#include "runtime/sim/sim_private.h"

enum { LOCAL_PATH_MAX = 108 };

struct listener {
    struct list node;                    /* in sim_node.listeners */
    struct sim_node *owner;
    uint64_t serial;                     /* an address of memory may come back, this does not */
    struct address address;
    char path[LOCAL_PATH_MAX];           /* empty: address */
    void (*accepted)(void *argument, struct stream *s);
    void *argument;
};

static bool is_any(const struct address *a)
{
    static const unsigned char zero[16];
    return memcmp(a->bytes, zero, sizeof zero) == 0;
}

/* To whom a connection to this place goes. */
static struct listener *find(const struct address *to, const char *path)
{
    list_each (node, &sim_world->nodes) {
        list_each (inner, &container_of(node, struct sim_node, node)->listeners) {
            struct listener *l = container_of(inner, struct listener, node);
            if (path ? strcmp(l->path, path) == 0
                     : !l->path[0] && l->address.port == to->port && (is_any(&l->address) || is_any(to) || address_equal(&l->address, to)))
                return l;
        }
    }
    return NULL;
}

result listener_open(struct loops *all, const struct listener_options *options, struct listener **ret_listener, struct fault *fault)
{
    struct address address = options->address;
    if (options->path && strlen(options->path) >= LOCAL_PATH_MAX) return fail(fault, INVALID, "path %s is too long", options->path);
    while (!options->path && address.port == 0) {
        address.port = sim_world->next_port++;
        if (find(&address, NULL)) address.port = 0;
    }
    if (find(&address, options->path)) return fail(fault, BUSY, "%s: address already in use", options->name);
    struct listener *l = calloc(1, sizeof *l);
    check(l);
    l->owner = sim_node_of(loops_at(all, 0));
    l->serial = ++sim_world->listeners_opened;
    l->address = address;
    if (options->path) memcpy(l->path, options->path, strlen(options->path));
    l->accepted = options->accepted;
    l->argument = options->argument;
    list_append(&l->owner->listeners, &l->node);
    *ret_listener = l;
    return OK;
}

uint16_t listener_port(const struct listener *l) { return l->address.port; }

void listener_close(struct listener *l)
{
    list_remove(&l->node);
    free(l);
}

void sim_listeners_drop(struct sim_node *n)
{
    list_each (node, &n->listeners) listener_close(container_of(node, struct listener, node));
}

/* A hand-over passes sockets to a new program: there is none here. */
void listener_bequeath(void) {}
void listener_forget_inherited(void) {}

/* ---- connecting ---------------------------------------------------------------------------------------- */

struct acceptance {
    struct sim_node *owner;
    uint64_t listener;                   /* serial */
    struct stream *stream;
    struct loop *loop;
};

/* A connection that waited while its listener was closed is broken. */
static void accept_it(void *argument)
{
    struct acceptance a = *(struct acceptance *)argument;
    struct listener *found = NULL;
    free(argument);
    list_each (node, &a.owner->listeners) {
        struct listener *l = container_of(node, struct listener, node);
        if (l->serial == a.listener) found = l;
    }
    loop_enter(a.loop);
    if (found) {
        found->accepted(found->argument, a.stream);
    } else {
        sim_stream_reset(a.stream);
        stream_close(a.stream);
    }
    loop_leave(a.loop);
}

static struct stream *connect_to(struct listener *l, const struct address *from)
{
    struct sim *s = sim_world;
    struct loop *theirs = sim_node_loop(l->owner, (unsigned)sim_choose(s, l->owner->life->count));
    struct stream *near = sim_stream_new(loop_self()), *far = sim_stream_new(theirs);
    sim_stream_connect_ends(near, far);
    sim_stream_set_addresses(near, from, &l->address);
    sim_stream_set_addresses(far, &l->address, from);
    struct acceptance *a = malloc(sizeof *a);
    check(a);
    *a = (struct acceptance){l->owner, l->serial, far, theirs};
    sim_event_in(s, l->owner, (int64_t)sim_upto(s, s->network.delay_max_us), accept_it, a);
    return near;
}

MAY_YIELD static result connect_anywhere(const struct address *to, const char *path, const struct address *from_or_null, millis deadline,
                                         struct stream **ret_stream, struct fault *fault)
{
    struct sim *s = sim_world;
    struct address from = {.bytes = {198, 51, 100, (unsigned char)(sim_node_of(loop_self())->index + 1)}, .family = 4};
    if (from_or_null) from = *from_or_null;
    if (path) from = (struct address){0};
    else if (from.port == 0) from.port = s->next_port++;
    int64_t wait_ms = (int64_t)sim_upto(s, s->network.delay_max_us / 1000 + 1);
    if (!millis_before(clock_in(wait_ms), deadline)) wait_ms = deadline.ms - clock_now().ms;
    result code = coroutine_sleep(wait_ms > 0 ? wait_ms : 0);
    if (code != OK) return code;
    if (!millis_before(clock_now(), deadline)) return fail(fault, TIMEOUT, "connect: timeout");
    struct listener *l = find(to, path);
    if (!l || sim_chance_ppm(s, s->network.refuse_ppm)) return fail(fault, path ? NOT_FOUND : IO, "connect: connection refused");
    *ret_stream = connect_to(l, &from);
    return OK;
}

result stream_connect(const struct address *to, const struct address *from_or_null, millis deadline, struct stream **ret_stream, struct fault *fault)
{
    return connect_anywhere(to, NULL, from_or_null, deadline, ret_stream, fault);
}

result stream_connect_path(const char *path, millis deadline, struct stream **ret_stream, struct fault *fault)
{
    return connect_anywhere(NULL, path, NULL, deadline, ret_stream, fault);
}
