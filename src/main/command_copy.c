/*
 * command_copy: a store to another engine, while it serves.
 *
 * A copy is brought up to date as often as the command is run: what is there is not copied again, so it goes on where it was cut
 * short. With --finish each account is frozen in its turn (changes get the temporary error of their protocol), copied to its last
 * record and compared by digest, and stays frozen; at the end the source says that it is gone, and the copy that it is complete. Until
 * then, if anything fails, all is thawed and nothing has happened.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "account/account_copy.h"
#include "base/check.h"
#include "base/feature.h"
#include "cluster/cluster.h"
#include "flow/queue.h"
#include "identity/directory.h"
#include "identity/row.h"
#include "main/command.h"
#include "main/move.h"
#include "main/node.h"
#include "runtime/clock.h"
#include "runtime/coroutine.h"

enum {
    AT_ONCE_DEFAULT = 8, AT_ONCE_MAX = 64,
    TRIES_MAX = 6, STEP_MS = 60000,
    FINISH_TRIES_MAX = 2, FINISH_STEP_MS = 15000,   /* mail waits meanwhile: better thawed soon, and tried again another time */
    SETTLE_MS = 5000,                    /* much longer than a cluster that is well takes for an append */
    RETRY_MS = 500, LOOK_MS = 100, TELL_EVERY_MS = 200,
    PAGE_JOURNALS = 1000,
    FREEZE_MS = 30000,
    PAUSE_MS = 60000,                    /* for deliveries to other servers that are under way */
};
/* Longer than anything is kept: nothing of the copy is purged or cleared away while it is looked at. */
static const int64_t forever_ms = (int64_t)50 * 365 * 24 * 3600 * 1000;

struct copy {
    struct command_call *call;
    struct engine *from, *to;
    struct accounts *copies;             /* accounts of the copy, to compare; NULL until finishing */
    view to_name;
    buf journals;                        /* struct id each, of one pass */
    size_t next, done, running;
    bool is_frozen;                      /* the pass freezes */
    struct map finished;                 /* journals that are frozen and compared */
    struct arena *arena;                 /* of the keys of `finished` */
    struct account_copied copied;
    uint64_t rows, compared;
    millis told;                         /* of progress */
    result code;
    struct fault fault;
};

/* ---- one account ---------------------------------------------------------------------------------------------- */

struct digesting {
    struct accounts *accounts;
    struct id account;
    unsigned char digest[32];
    result code;
    struct fault *fault;
};

MAY_YIELD static void digest_at_home(void *argument)
{
    struct digesting *d = argument;
    struct account *a;
    d->code = account_open(d->accounts, d->account, command_deadline(), &a, d->fault);
    if (d->code != OK) return;
    d->code = account_refresh(a, command_deadline(), d->fault);
    if (d->code == OK) d->code = account_digest(a, d->digest, MILLIS_NEVER, d->fault);
    account_close(a);
}

MAY_YIELD static result digest(struct accounts *accounts, struct id account, struct digesting *ret, struct fault *fault)
{
    *ret = (struct digesting){.accounts = accounts, .account = account, .fault = fault};
    loop_run_on(accounts_home(accounts, account), "store copy", digest_at_home, ret);
    return ret->code;
}

/* Journals that are no account's (queues) are compared record by record alone. */
MAY_YIELD static result compare(struct copy *c, struct id account, struct fault *fault)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 2 * ENGINE_VALUE_MAX_BYTES);
    struct identity_account row;
    struct digesting here, there;
    result r = identity_find_account(c->call->service->identity, account, command_deadline(), arena, &row, fault);
    if (r == NOT_FOUND) return OK;
    if (r == OK) r = digest(c->call->service->accounts, account, &here, fault);
    if (r == OK) r = digest(c->copies, account, &there, fault);
    if (r != OK) return r;
    c->compared++;
    if (memcmp(here.digest, there.digest, sizeof here.digest) == 0) return OK;
    return fail(fault, CORRUPT, "the copy of " VIEW_FMT " differs from it", VIEW_ARG(row.address));
}

static bool is_passing(result r) { return r == UNAVAILABLE || r == TIMEOUT || r == UNKNOWN_OUTCOME || r == BUSY || r == EXISTS; }

MAY_YIELD static result copy_one(struct copy *c, struct id account, struct fault *fault)
{
    result r = OK;
    unsigned tries_max = c->is_frozen ? FINISH_TRIES_MAX : TRIES_MAX;
    if (c->is_frozen) engine_freeze_journal(c->from, account, clock_in(FREEZE_MS));
    for (unsigned tries = 1;; tries++) {
        r = account_copy(c->from, c->to, account, c->is_frozen, c->is_frozen ? FINISH_STEP_MS : STEP_MS, &c->copied, fault);
        if (r == OK || !is_passing(r) || tries == tries_max) break;
        if (coroutine_sleep(RETRY_MS * tries) != OK) break;
    }
    if (r == OK && c->is_frozen) r = compare(c, account, fault);
    char text[ID_TEXT_LEN + 1];
    id_text(account, text);
    if (r != OK) fault_context(fault, "account %s", text);
    return r;
}

/* ---- all of them ---------------------------------------------------------------------------------------------- */

MAY_YIELD static void copy_some(void *argument)
{
    struct copy *c = argument;
    while (c->code == OK && (c->next + 1) * sizeof(struct id) <= c->journals.len) {
        struct fault fault = {0};
        struct id account;
        memcpy(&account, c->journals.at + c->next++ * sizeof account, sizeof account);
        result r = copy_one(c, account, &fault);
        c->done++;
        if (r == OK && c->is_frozen) map_put(&c->finished, arena_keep(c->arena, id_view(&account)), c);
        if (r == OK || c->code != OK) continue;
        c->code = r;
        c->fault = fault;
    }
    c->running--;
}

static unsigned at_once(const struct copy *c)
{
    uint64_t wanted = command_number(c->call, "parallel");
    return wanted == 0 ? AT_ONCE_DEFAULT : wanted > AT_ONCE_MAX ? AT_ONCE_MAX : (unsigned)wanted;
}

/* Not OK: nobody listens any more, so nobody wants it any more. */
MAY_YIELD static result tell_progress(struct copy *c, size_t all)
{
    if (clock_now().ms - c->told.ms < TELL_EVERY_MS) return OK;
    c->told = clock_now();
    return c->call->answer(c->call->argument, json_pack("{s:{s:s, s:I, s:I}}", "progress", "what", c->is_frozen ? "accounts finished" : "accounts", "done",
                                                       (json_int_t)c->done, "all", (json_int_t)all));
}

/* Those of the list, several at a time; this coroutine tells how far it is. */
MAY_YIELD static result copy_list(struct copy *c, struct fault *fault)
{
    struct scope scope;
    size_t all = c->journals.len / sizeof(struct id);
    c->next = c->done = 0;
    scope_init(&scope, NULL);
    for (c->running = 0; c->running < at_once(c); c->running++) coroutine_spawn(&scope, "store copy", copy_some, c);
    while (c->running > 0 && coroutine_sleep(LOOK_MS) == OK && tell_progress(c, all) == OK) continue;
    if (c->running > 0 && c->code == OK) c->code = fail(&c->fault, CANCELLED, "given up by whoever asked for it");
    scope_done(&scope);
    if (c->code != OK && fault) *fault = c->fault;
    return c->code;
}

/* Journals of a store; without those that are finished. */
MAY_YIELD static result list_journals(struct copy *c, struct engine *e, struct fault *fault)
{
    struct id *page = arena_array(c->call->arena, struct id, PAGE_JOURNALS), after = ID_NONE;
    bool is_first = true;
    buf_clear(&c->journals);
    for (size_t count = 1; count > 0;) {
        result r = engine_list_journals(e, is_first ? NULL : &after, PAGE_JOURNALS, command_deadline(), page, &count, fault);
        if (r != OK) return r;
        for (size_t i = 0; i < count; i++)
            if (!map_get(&c->finished, id_view(&page[i]))) buf_append(&c->journals, id_view(&page[i]));
        if (count) after = page[count - 1];
        is_first = false;
    }
    return OK;
}

/* Of queues: their journals are copied as all are, their objects have a folder of their own. */
MAY_YIELD static result copy_queued(struct copy *c, struct fault *fault)
{
    return account_copy_objects(c->from, c->to, VIEW("queue/"), c->is_frozen, c->is_frozen ? FINISH_STEP_MS : STEP_MS, &c->copied, fault);
}

MAY_YIELD static result copy_all(struct copy *c, struct fault *fault)
{
    result r = copy_directory(c->from, c->to, &c->rows, fault);
    if (r == OK) r = copy_queued(c, fault);
    if (r == OK) r = list_journals(c, c->from, fault);
    return r == OK ? copy_list(c, fault) : r;
}

/* ---- the end -------------------------------------------------------------------------------------------------- */

/* Nodes that serve this store, but for the one that is meant to. */
MAY_YIELD static result check_nodes(struct engine *e, view but_for, struct fault *fault)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 64 << 20);
    struct cluster_node *nodes;
    size_t count;
    if (strcmp(engine_kind(e), "local") == 0) return OK;       /* the folder's lock says that nobody else does */
    result r = cluster_nodes(e, command_deadline(), arena, &nodes, &count, fault);
    for (size_t i = 0; r == OK && i < count; i++)
        if (!nodes[i].is_gone && !view_equal(nodes[i].name, but_for))
            r = fail(fault, BUSY, "the node " VIEW_FMT " serves this store: stop it first", VIEW_ARG(nodes[i].name));
    return r;
}

static view own_node(const struct copy *c)
{
    const struct service *s = c->call->service;
    return s->node ? view_of(s->config->node_name) : VIEW_EMPTY;
}

/*
 * In a cluster appends to a hot journal wait for those before them, in the node: some of an account may have been on their way when it was
 * frozen. Now that nothing new begins they come to their end, and all accounts are looked at once more. (On one machine the freezing itself waits
 * for what is under way.)
 */
MAY_YIELD static void settle(struct copy *c)
{
    if (strcmp(engine_kind(c->from), "local") == 0) return;
    (void)!coroutine_sleep(SETTLE_MS);
    map_done(&c->finished);
    c->finished = MAP_INIT;
    c->compared = 0;
}

/* What came into being while the accounts were finished one by one, and what the copy has that is gone. */
MAY_YIELD static result finish_rest(struct copy *c, struct fault *fault)
{
    engine_freeze_journals(c->from, clock_in(FREEZE_MS));
    settle(c);
    result r = list_journals(c, c->from, fault);
    if (r == OK) r = copy_list(c, fault);
    if (r == OK) r = list_journals(c, c->to, fault);
    if (r == OK) r = copy_list(c, fault);
    if (r == OK) r = copy_queued(c, fault);
    return r == OK ? copy_directory(c->from, c->to, &c->rows, fault) : r;
}

/* What is sent while the queue is frozen could not be written down, and the copy would send it once more. */
MAY_YIELD static result pause_queue(struct copy *c, struct fault *fault)
{
    queue_pause(c->call->service->queue, true);
    result r = queue_await_pause(c->call->service->queue, clock_in(PAUSE_MS));
    return r == OK ? OK : fail(fault, r, "mail is being sent to slow servers: try again, or stop sending (the role queue) first");
}

MAY_YIELD static result finish_accounts(struct copy *c, struct fault *fault)
{
    result r = pause_queue(c, fault);
    if (r != OK) return r;
    c->is_frozen = true;
    freeze_directory(c->from);
    r = list_journals(c, c->from, fault);
    if (r == OK) r = copy_list(c, fault);
    if (r == OK) r = finish_rest(c, fault);
    return r == OK ? check_nodes(c->from, own_node(c), fault) : r;
}

/* The source goes before the copy comes: if it ends between the two, none can be served, and running it again mends that. */
MAY_YIELD static result finish(struct copy *c, struct fault *fault)
{
    struct queue *queue = c->call->service->queue;
    bool was_paused = queue_pauses(queue);
    struct accounts_options options = {.compact_journal_bytes = UINT64_MAX, .compact_journal_records = UINT32_MAX, .retention_ms = forever_ms, .grace_ms = forever_ms};
    result r = check_nodes(c->from, own_node(c), fault);
    if (r != OK) return r;
    c->copies = accounts_new(c->to, c->call->service->loops, &options);
    r = finish_accounts(c, fault);
    accounts_free(c->copies);
    if (r == OK) r = move_mark_gone(c->from, c->to_name, fault);
    if (r != OK) {
        engine_thaw(c->from);
        queue_pause(queue, was_paused);
        return r;
    }
    return move_mark_copy(c->to, view_of(c->call->service->config->state_folder), true, fault);
}

/* ---- the other store -------------------------------------------------------------------------------------------- */

/* `name` is a configuration file, or the folder of a server with the embedded store. */
static result load_other(struct copy *c, const char *name, struct config *ret_config, struct fault *fault)
{
    struct stat s;
    bool is_file = stat(name, &s) == 0 && S_ISREG(s.st_mode);
    struct config_options options = {.file = is_file ? name : NULL, .folder = is_file ? c->call->service->config->state_folder : name, .port_base = 2000};
    char *errors = NULL;
    size_t len = 0;
    FILE *memory = open_memstream(&errors, &len);
    check(memory);
    result r = config_load(&options, c->call->arena, memory, ret_config);
    fclose(memory);
    for (size_t i = 0; i < len; i++)
        if (errors[i] == '\n') errors[i] = i + 1 < len ? ';' : '\0';
    if (r != OK) r = fail(fault, INVALID, "%s", errors);
    else if (is_file && ret_config->engine == CONFIG_ENGINE_LOCAL)
        r = fail(fault, INVALID, "%s: its store is the embedded one: give the server's folder (--dir) in place of its configuration", name);
    free(errors);
    return r;
}

static bool is_same_store(const struct config *a, const struct config *b)
{
    if (a->engine != b->engine) return false;
    if (a->engine == CONFIG_ENGINE_LOCAL) return strcmp(a->store_folder, b->store_folder) == 0;
    return strcmp(a->ceph_config, b->ceph_config) == 0 && strcmp(a->pool, b->pool) == 0 && strcmp(a->name_space, b->name_space) == 0;
}

/* Only an empty store or an earlier copy is written over, and only when nobody serves it. */
MAY_YIELD static result check_other(struct copy *c, struct fault *fault)
{
    struct move_marks marks;
    struct cluster_level here, there;
    result r = check_nodes(c->to, VIEW_EMPTY, fault);
    if (r == OK) r = move_read(c->to, c->call->arena, &marks, fault);
    if (r == OK && !marks.is_gone && !(marks.is_copy && !marks.is_complete)) r = directory_is_empty(c->to, fault);
    if (r == OK) r = cluster_read_level(c->from, command_deadline(), &here, fault);
    if (r == OK) r = cluster_open_level(c->to, true, command_deadline(), &there, fault);
    if (r == OK && there.level < here.level) r = fail(fault, INVALID, "it is at feature level %u, this store at %u: tayori cluster level raises it", there.level, here.level);
    if (r == OK) r = move_mark_copy(c->to, view_of(c->call->service->config->state_folder), false, fault);
    return r;
}

MAY_YIELD static result open_other(struct copy *c, struct fault *fault)
{
    struct config *config = arena_new_struct(c->call->arena, struct config);
    const char *name = arena_cstr(c->call->arena, c->to_name);
    result r = load_other(c, name, config, fault);
    if (r == OK && is_same_store(config, c->call->service->config)) r = fail(fault, INVALID, "that is this store itself");
    if (r == OK && config->engine == CONFIG_ENGINE_LOCAL) r = service_make_folder(config->state_folder, fault);
    if (r == OK) r = service_open_engine(config, &c->to, fault);
    if (r != OK) fault_context(fault, "%s", name);
    return r;
}

MAY_YIELD static result run(struct copy *c, struct fault *fault)
{
    result r = check_other(c, fault);
    if (r != OK) {
        fault_context(fault, VIEW_FMT, VIEW_ARG(c->to_name));
        return r;
    }
    r = copy_all(c, fault);
    bool must_finish = command_has(c->call, "finish");
    if (r == OK && must_finish) r = finish(c, fault);
    if (r != OK) return r;
    return command_row(c->call, json_pack("{s:I, s:I, s:I, s:I, s:I, s:b}", "records", (json_int_t)c->copied.records, "objects", (json_int_t)c->copied.objects, "bytes",
                                          (json_int_t)c->copied.bytes, "rows", (json_int_t)c->rows, "compared", (json_int_t)c->compared, "finished", must_finish));
}

result command_store_copy(struct command_call *call, struct fault *fault)
{
    struct copy c = {.call = call, .from = call->service->engine, .to_name = command_text(call, "to"), .arena = arena_new(NULL, 1 << 30)};
    result r = open_other(&c, fault);
    if (r == OK) {
        r = run(&c, fault);
        engine_close(c.to);
    }
    buf_done(&c.journals);
    map_done(&c.finished);
    arena_free(c.arena);
    return r;
}

result command_store_release(struct command_call *call, struct fault *fault)
{
    result r = move_forget(call->service->engine, fault);
    if (r != OK) return r;
    engine_thaw(call->service->engine);
    if (call->service->node && !node_drains(call->service->node)) queue_pause(call->service->queue, false);
    return OK;
}
