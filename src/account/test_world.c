#include "account/test_world.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/test.h"
#include "runtime/clock.h"
#include "runtime/random.h"

enum { PATIENCE_MS = 60000 };

struct opening { struct world *world; struct world_node *node; };

static void opens(void *argument)
{
    colour_pretend_coroutine();
    struct opening *o = argument;
    o->node->engine = engine_open_memory(o->world->store);
    o->node->accounts = accounts_new(o->node->engine, loop_family(loop_self()), &o->world->options);
}

void world_up(struct world *w, unsigned node)
{
    struct opening o = {w, &w->nodes[node]};
    REQUIRE(sim_call(w->nodes[node].sim, 0, opens, &o));
}

static void closes(void *argument)
{
    colour_pretend_coroutine();
    struct world_node *n = argument;
    accounts_free(n->accounts);
    engine_close(n->engine);
    n->accounts = NULL;
    n->engine = NULL;
}

void world_down(struct world *w, unsigned node)
{
    if (w->nodes[node].engine) sim_call(w->nodes[node].sim, 0, closes, &w->nodes[node]);
}

struct world *world_open(uint64_t seed, unsigned nodes, unsigned loops)
{
    static const char *const names[WORLD_NODES_MAX] = {"a", "b", "c"};
    struct world *w = calloc(1, sizeof *w);
    check(w);
    w->sim = sim_open(seed);
    w->store = memory_store_new();
    w->count = nodes;
    for (unsigned i = 0; i < nodes; i++) {
        w->nodes[i].sim = sim_node_new(w->sim, names[i], loops);
        w->nodes[i].loops = loops;
    }
    for (unsigned i = 0; i < 16; i++) w->account.bytes[i] = (unsigned char)(i + 1);
    for (unsigned i = 0; i < nodes; i++) world_up(w, i);
    return w;
}

void world_close(struct world *w)
{
    for (unsigned i = 0; i < w->count; i++) {
        if (sim_node_is_up(w->nodes[i].sim)) world_down(w, i);
        else if (w->nodes[i].engine) engine_abandon_memory(w->nodes[i].engine);
    }
    sim_close(w->sim);
    memory_store_free(w->store);
    free(w);
}

void world_kill(struct world *w, unsigned node)
{
    if (sim_node_is_up(w->nodes[node].sim)) sim_node_crash(w->nodes[node].sim);
    if (w->nodes[node].engine) engine_abandon_memory(w->nodes[node].engine);
    w->nodes[node].engine = NULL;
    w->nodes[node].accounts = NULL;
    sim_node_restart(w->nodes[node].sim);
    world_up(w, node);
}

bool world_run(struct world *w, unsigned node, void (*run)(void *argument), void *argument)
{
    struct loop *home = accounts_home(w->nodes[node].accounts, w->account);
    return sim_call(w->nodes[node].sim, loop_index(home), run, argument);
}

struct accounts *world_accounts(struct world *w, unsigned node)
{
    return w->nodes[node].accounts;
}

struct accounts *world_here(struct world *w)
{
    for (unsigned i = 0; i < w->count; i++)
        if (w->nodes[i].sim == sim_node_of_caller()) return w->nodes[i].accounts;
    return NULL;
}

struct account *open_account(struct world *w)
{
    struct account *a = NULL;
    struct fault fault = {0};
    result code = account_open(world_here(w), w->account, clock_in(PATIENCE_MS), &a, &fault);
    if (code != OK) test_fail(__FILE__, __LINE__, "account_open: %s: %s", result_name(code), fault.detail);
    REQUIRE(code == OK);
    return a;
}

char message_byte(uint64_t number, size_t at)
{
    return (char)('!' + (number * 31 + at * 7 + at / 61 * (number + 3)) % 90);
}

struct draft *make_draft(struct world *w, uint64_t number, size_t bytes)
{
    struct draft *d = draft_new(world_here(w), random_id(), 1 << 30);
    char piece[1000];
    for (size_t at = 0; at < bytes;) {
        size_t count = bytes - at < sizeof piece ? bytes - at : sizeof piece;
        for (size_t i = 0; i < count; i++) piece[i] = message_byte(number, at + i);
        if (draft_write(d, view_make(piece, count), clock_in(PATIENCE_MS), NULL) != OK) {
            draft_free(d);
            return NULL;
        }
        at += count;
    }
    return d;
}

result deliver(struct world *w, uint64_t number, size_t bytes)
{
    struct draft *d = make_draft(w, number, bytes);
    if (!d) return UNAVAILABLE;
    struct delivery one = {.account = w->account};
    accounts_deliver(world_here(w), d, &one, 1, clock_in(PATIENCE_MS));
    draft_free(d);
    return one.code;
}

result append(struct world *w, struct account *a, uint32_t mailbox, uint64_t number, size_t bytes, struct outcome *ret_outcome, struct arena *arena)
{
    struct draft *d = make_draft(w, number, bytes);
    if (!d) return UNAVAILABLE;
    struct append_options options = {.mailbox = mailbox};
    result code = account_append(a, d, &options, arena, ret_outcome, clock_in(PATIENCE_MS), NULL);
    draft_free(d);
    return code;
}

result read_row(struct account *a, uint32_t mailbox, uint32_t at, struct row *ret_row)
{
    struct mailbox_view *v;
    size_t count = 0;
    result code = mailbox_view_open(a, mailbox, &v);
    if (code != OK) return code;
    code = mailbox_view_rows(v, at, 1, ret_row, &count, clock_in(PATIENCE_MS), NULL);
    mailbox_view_close(v);
    return code == OK && count == 0 ? NOT_FOUND : code;
}

bool message_is(struct account *a, uint32_t mailbox, uint32_t at, uint64_t number, size_t bytes)
{
    struct row row;
    struct message *m;
    struct fault fault = {0};
    if (read_row(a, mailbox, at, &row) != OK) return false;
    result code = message_open(a, mailbox, &row, clock_in(PATIENCE_MS), &m, &fault);
    if (code != OK) {
        test_fail(__FILE__, __LINE__, "message_open of %u: %s: %s", at, result_name(code), fault.detail);
        return false;
    }
    bool is_right = message_size(m) == bytes;
    view piece;
    for (size_t offset = 0; is_right && offset < bytes; offset += piece.len) {
        is_right = message_read(m, offset, 100000, clock_in(PATIENCE_MS), &piece, &fault) == OK && piece.len > 0;
        for (size_t i = 0; is_right && i < piece.len; i++) is_right = piece.at[i] == message_byte(number, offset + i);
    }
    message_close(m);
    return is_right;
}

uint32_t count_of(struct account *a, uint32_t mailbox)
{
    struct mailbox *m = state_mailbox(account_state(a), mailbox);
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 1 << 16);
    struct mailbox_info info = {0};
    if (m) mailbox_read_info(m, arena, &info);
    return info.exists;
}
