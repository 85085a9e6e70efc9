#include "account/home.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "account/expect.h"
#include "account/pack.h"
#include "account/search_reader.h"
#include "base/check.h"
#include "base/hash.h"
#include "runtime/random.h"

enum {
    MEMORY_BYTES_DEFAULT = 256 << 20,
    COMPACT_JOURNAL_BYTES_DEFAULT = 4 << 20,
    COMPACT_JOURNAL_RECORDS_DEFAULT = 4000,
    WORKING_BYTES = 8 << 20,               /* of an account in use, at least */
    LOOKS_PER_BUDGET = 8,
    SLIM_AFTER_MS = 1000, SLIM_BLOCKS_AT_ONCE = 8,      /* half a millisecond */
    FREED_AT_ONCE_BYTES = 4 << 20,         /* of a state: less than a millisecond */
};
static const int64_t RETENTION_MS_DEFAULT = (int64_t)7 * 24 * 3600 * 1000, GRACE_MS_DEFAULT = 3600 * 1000;

struct accounts *accounts_new(struct engine *e, struct loops *all, const struct accounts_options *options)
{
    unsigned loops = loops_count(all);
    struct accounts *a = calloc(1, sizeof *a + loops * sizeof a->homes[0]);
    check(a);
    a->engine = e;
    a->family = all;
    a->loops = loops;
    a->me = random_id();
    if (options) a->options = *options;
    a->are_shared = !a->options.is_alone && strcmp(engine_kind(e), "local") != 0;
    if (a->options.memory_bytes == 0) a->options.memory_bytes = MEMORY_BYTES_DEFAULT;
    if (a->options.compact_journal_bytes == 0) a->options.compact_journal_bytes = COMPACT_JOURNAL_BYTES_DEFAULT;
    if (a->options.compact_journal_records == 0) a->options.compact_journal_records = COMPACT_JOURNAL_RECORDS_DEFAULT;
    if (a->options.retention_ms == 0) a->options.retention_ms = RETENTION_MS_DEFAULT;
    if (a->options.grace_ms == 0) a->options.grace_ms = GRACE_MS_DEFAULT;
    atomic_init(&a->feature_level, a->options.feature_level ? a->options.feature_level : FEATURE_LEVEL_MAX);
    view name = view_slice(a->options.node_name, 0, a->options.node_name.len < HEAD_ORIGIN_MAX_BYTES ? a->options.node_name.len : HEAD_ORIGIN_MAX_BYTES);
    if (name.len) memcpy(a->node_name, name.at, name.len);
    a->options.node_name = VIEW_EMPTY;
    if (loop_self() && loop_family(loop_self()) == all) (void)accounts_here(a);
    return a;
}

void accounts_set_archive_limit(struct accounts *all, archive_limit_fn *limit, void *argument)
{
    all->archive_limit = limit;
    all->archive_argument = argument;
}

static void home_open(struct home *h, struct accounts *all)
{
    h->all = all;
    h->loop = loop_self();
    scope_init(&h->scope, NULL);
    h->accounts = h->usages = MAP_INIT;
    list_init(&h->idle);
    list_init(&h->windows);
    list_init(&h->expected);
    waitlist_init(&h->expected_done);
    list_init(&h->indexes);
    list_init(&h->summaries);
    waitlist_init(&h->unpacked);
    list_init(&h->search_pages);
    list_init(&h->search_hits);
    list_init(&h->usages_used);
    budget_init(&h->whole, MESSAGE_WHOLE_BUDGET_BYTES);
    h->is_open = true;
    home_start_upkeep(h);
}

struct home *accounts_here(struct accounts *all)
{
    struct home *h = &all->homes[loop_index(loop_self())];
    if (!h->is_open) home_open(h, all);
    return h;
}

struct loop *accounts_home(struct accounts *all, struct id account)
{
    return loops_at(all->family, (unsigned)(hash_stable(id_view(&account)) % all->loops));
}

struct engine *accounts_engine(struct accounts *all)
{
    return all->engine;
}

void accounts_set_feature_level(struct accounts *all, unsigned level)
{
    atomic_store(&all->feature_level, level);
}

unsigned accounts_feature_level(const struct accounts *all)
{
    return atomic_load(&all->feature_level);
}

uint64_t accounts_in_memory(const struct accounts *all)
{
    return atomic_load(&all->in_memory);
}

bool account_origin(const struct account *a, unix_ms *ret_written, view *ret_node)
{
    if (!a->head.has_origin) return false;
    *ret_written = a->head.written;
    *ret_node = view_of(a->head.origin);
    return true;
}

bool accounts_are_shared(const struct accounts *all)
{
    return all->are_shared;
}

/* ---- accounts in memory -------------------------------------------------------------------------------- */

/* In turns: freeing a million rows takes as long as others may be made to wait. */
static void free_in_background(void *argument)
{
    colour_pretend_coroutine();
    struct state *s = argument;
    while (state_free_some(s))
        if (coroutine_is_overdue()) coroutine_pause();
    state_free(s);
}

void home_free_state(struct home *h, struct state *s)
{
    if (!s) return;
    if (state_memory_bytes(s) <= FREED_AT_ONCE_BYTES || scope_is_cancelled(&h->scope)) state_free(s);
    else coroutine_spawn(&h->scope, "free a large account", free_in_background, s);
}

static void free_account(struct account *a)
{
    check(a->users == 0 && list_is_empty(&a->own) && list_is_empty(&a->watches) && !a->tell_posted);
    map_remove(&a->home->accounts, id_view(&a->id));
    atomic_fetch_sub(&a->home->all->in_memory, 1);
    account_drop_reading(a);
    account_drop_search(a);
    home_free_state(a->home, a->state);
    free(a->head.retired);
    free(a);
}

static void drop_idle(struct home *h, struct account *a)
{
    list_remove(&a->idle_node);
    h->idle_bytes -= a->idle_bytes;
    free_account(a);
}

struct barrier {
    struct task task;
    struct completion passed;
};

static void pass_barrier(struct task *t)
{
    completion_set(&container_of(t, struct barrier, task)->passed, OK);
}

/* Accounts are held by the task that tells of their changes. */
MAY_YIELD static void run_tasks_posted_before(void)
{
    struct barrier b = {.task.run = pass_barrier};
    completion_init(&b.passed);
    loop_post(loop_self(), &b.task);
    (void)completion_wait(&b.passed);
}

MAY_YIELD static void home_close(struct home *h)
{
    if (!h->is_open) return;
    home_stop_upkeep(h);
    scope_done(&h->scope);
    run_tasks_posted_before();
    for (struct list *node; (node = h->idle.next) != &h->idle;) drop_idle(h, container_of(node, struct account, idle_node));
    check(h->accounts.count == 0);
    map_done(&h->accounts);
    home_drop_windows(h, 0);
    home_drop_indexes(h, 0);
    home_drop_index_pieces(h);
    expected_end(h);
    home_drop_usages(h);
    home_drop_alone_summary(h);
    if (h->unzip) pack_unzip_free(h->unzip);
    if (h->unzip_ahead) pack_unzip_free(h->unzip_ahead);
    h->is_open = false;
}

MAY_YIELD static void close_here(void *argument)
{
    struct accounts *all = argument;
    home_close(&all->homes[loop_index(loop_self())]);
}

void accounts_free(struct accounts *all)
{
    for (unsigned i = 0; i < all->loops; i++) loop_run_on(loops_at(all->family, i), "accounts close", close_here, all);
    free(all);
}

struct account *home_account(struct home *h, struct id id)
{
    struct account *a = map_get(&h->accounts, id_view(&id));
    if (a) return a;
    a = calloc(1, sizeof *a);
    check(a);
    a->home = h;
    a->id = id;
    list_init(&a->idle_node);
    list_init(&a->own);
    list_init(&a->watches);
    list_init(&a->windows);
    list_init(&a->indexes);
    list_init(&a->search_readers);
    mutex_init(&a->replay);
    mutex_init(&a->compacting);
    map_put(&h->accounts, id_view(&a->id), a);
    atomic_fetch_add(&h->all->in_memory, 1);
    return a;
}

void account_hold(struct account *a)
{
    if (a->users++ > 0 || list_is_empty(&a->idle_node)) return;
    list_remove(&a->idle_node);
    a->home->idle_bytes -= a->idle_bytes;
}

/* The budget is shared evenly by the loops, as accounts are. */
static uint64_t budget_of(const struct home *h)
{
    return h->all->options.memory_bytes / h->all->loops;
}

/* The least recently used go first. */
static void drop_idle_above(struct home *h, uint64_t bytes)
{
    while (h->idle_bytes > bytes && !list_is_empty(&h->idle)) drop_idle(h, container_of(h->idle.next, struct account, idle_node));
}

static size_t bytes_in_use(const struct home *h)
{
    size_t bytes = 0, position = 0;
    for (struct map_slot *slot; (slot = map_next(&h->accounts, &position));) {
        const struct account *a = slot->value;
        if (a->users > 0 && a->state) bytes += state_memory_bytes(a->state);
    }
    return bytes;
}

/* What sessions work with right now stays: a part of each account is never asked back. */
static void evict_blocks(struct home *h, size_t excess)
{
    size_t position = 0;
    for (struct map_slot *slot; excess > 0 && (slot = map_next(&h->accounts, &position));) {
        struct account *a = slot->value;
        if (a->users == 0 || !a->state || a->pins > 0 || a->compaction) continue;
        size_t has = state_memory_bytes(a->state);
        if (has <= WORKING_BYTES) continue;
        size_t got = state_evict(a->state, has - WORKING_BYTES < excess ? has - WORKING_BYTES : excess);
        excess -= got < excess ? got : excess;
    }
}

void home_grew(struct home *h, size_t bytes)
{
    uint64_t budget = budget_of(h);
    h->grown_bytes += bytes;
    if (h->grown_bytes < budget / LOOKS_PER_BUDGET) return;
    h->grown_bytes = 0;
    size_t used = bytes_in_use(h);
    drop_idle_above(h, used < budget ? budget - used : 0);
    if (used > budget) evict_blocks(h, used - budget);
}

/* Not at once: what was changed may be changed again right away. */
MAY_YIELD static void slim_later(void *argument)
{
    struct account *a = argument;
    bool more = coroutine_sleep(SLIM_AFTER_MS) == OK;
    while (more && a->state) {
        more = state_slim(a->state, SLIM_BLOCKS_AT_ONCE) && coroutine_check() == OK;
        if (coroutine_is_overdue()) coroutine_pause();
    }
    a->is_slimming = false;
    account_close(a);
}

void account_slim_soon(struct account *a)
{
    if (a->is_slimming || !a->state || !state_is_large(a->state) || a->users == 0) return;
    a->is_slimming = true;
    account_hold(a);
    coroutine_spawn(&a->home->scope, "slim rows", slim_later, a);
}

void account_close(struct account *a)
{
    struct home *h = a->home;
    check(h->loop == loop_self() && a->users > 0);
    if (--a->users > 0) return;
    if (!a->state) {
        free_account(a);
        return;
    }
    account_consider_upkeep(a);
    a->idle_bytes = sizeof *a + state_memory_bytes(a->state);
    h->idle_bytes += a->idle_bytes;
    list_append(&h->idle, &a->idle_node);
    drop_idle_above(h, budget_of(h));
}

void account_close_cold(struct account *a, bool was_loaded)
{
    struct home *h = a->home;
    struct id id = a->id;
    account_close(a);
    a = map_get(&h->accounts, id_view(&id));
    if (a && !was_loaded && !list_is_empty(&a->idle_node)) drop_idle(h, a);
}

void account_forget(struct account *a)
{
    check(!a->compaction && list_is_empty(&a->own) && !a->replay.is_locked);
    account_drop_reading(a);
    account_drop_search(a);
    home_free_state(a->home, a->state);
    free(a->head.retired);
    a->state = NULL;
    a->head = (struct head){0};
    a->position = (struct journal_position){0};
    a->skip = a->journal_bytes = a->told_sequence = 0;
    a->is_corrupt = false;
}

/* What is in memory of an account that nobody else uses may be of one that was removed, or too old to be of use: it is read anew. */
MAY_YIELD static result open_anew(struct account *a, result code, millis deadline, struct fault *fault)
{
    if (a->users > 1 || !a->state || a->replay.is_locked || (code != NOT_FOUND && code != CORRUPT)) return code;
    account_forget(a);
    return code == NOT_FOUND ? account_catch_up(a, deadline, fault) : code;
}

result account_open(struct accounts *all, struct id id, millis deadline, struct account **ret_account, struct fault *fault)
{
    check(accounts_home(all, id) == loop_self());
    struct account *a = home_account(accounts_here(all), id);
    account_hold(a);
    result code = account_refresh(a, deadline, fault);
    if (code != OK) code = open_anew(a, code, deadline, fault);
    if (code == OK) *ret_account = a;
    else account_close(a);
    return code;
}

struct id account_id(const struct account *a)
{
    return a->id;
}

struct state *account_state(struct account *a)
{
    return a->state;
}

/* ---- names --------------------------------------------------------------------------------------------- */

view account_object_name(struct id account, view name, char text[static OBJECT_NAME_MAX])
{
    char id[ID_TEXT_LEN + 1];
    const char *place = name.len > 0 && name.at[0] == 'c' ? "cold/" : "";
    check(name.len + ID_TEXT_LEN + ENGINE_COLD_BYTES + 2 <= OBJECT_NAME_MAX);
    id_text(account, id);
    return view_make(text, (size_t)snprintf(text, OBJECT_NAME_MAX, "%s%s/" VIEW_FMT, place, id, VIEW_ARG(name)));
}

view account_cold_folder(struct id account, char text[static OBJECT_NAME_MAX])
{
    char id[ID_TEXT_LEN + 1];
    id_text(account, id);
    return view_make(text, (size_t)snprintf(text, OBJECT_NAME_MAX, "cold/%s/", id));
}

view account_cold_name(view name, char text[static OBJECT_NAME_MAX])
{
    check(name.len + ENGINE_COLD_BYTES < OBJECT_NAME_MAX);
    return view_make(text, (size_t)snprintf(text, OBJECT_NAME_MAX, "cold/" VIEW_FMT, VIEW_ARG(name)));
}

static view rename_alone(view name, char from, char to, char text[static OBJECT_NAME_MAX])
{
    size_t kind = ID_TEXT_LEN + 1;
    check(name.len < OBJECT_NAME_MAX);
    memcpy(text, name.at, name.len);
    text[name.len] = '\0';
    if (name.len > kind && text[kind] == from) text[kind] = to;
    return view_make(text, name.len);
}

view account_summary_name(view alone, char text[static OBJECT_NAME_MAX]) { return rename_alone(alone, 'm', 'h', text); }
view account_summarized_name(view name, char text[static OBJECT_NAME_MAX]) { return rename_alone(name, 'h', 'm', text); }

view account_alone_name(struct id account, struct id message, uint32_t second, char text[static OBJECT_NAME_MAX])
{
    char id[ID_TEXT_LEN + 1], of_message[ID_TEXT_LEN + 1];
    id_text(account, id);
    id_text(message, of_message);
    return view_make(text, (size_t)snprintf(text, OBJECT_NAME_MAX, "%s/m-%s-%08" PRIx32, id, of_message, second));
}

/* Six letters at the front: a time in the year 5300 at the earliest. */
bool accounts_own_journal(struct id journal)
{
    for (size_t i = 0; i < 6; i++)
        if (!(journal.bytes[i] >= 'a' && journal.bytes[i] <= 'z') && journal.bytes[i] != '-') return true;
    return false;
}
