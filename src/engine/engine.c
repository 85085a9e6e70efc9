#include "engine/engine.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/hash.h"
#include "engine/private.h"
#include "runtime/coroutine.h"

enum { COPY_BYTES = 1 << 20 };              /* from one place to the other, at once */

void engine_init(struct engine *e, const struct engine_methods *methods)
{
    e->methods = methods;
    e->watches = watches_new();
    freezer_init(&e->freezer);
    pressure_init(&e->pressure);
}

void engine_done(struct engine *e)
{
    watches_free(e->watches);
    e->watches = NULL;
    freezer_done(&e->freezer);
}

void engine_close(struct engine *e)
{
    e->methods->close(e);
}

const char *engine_kind(const struct engine *e)
{
    return e->methods->kind;
}

/* ---- limits -------------------------------------------------------------------------------------------- */

static bool is_name_byte(char c)
{
    return ascii_is_alpha(c) || ascii_is_digit(c) || c == '.' || c == '_' || c == '/' || c == '-';
}

/* A name becomes a path in one engine and an object's name in another: no empty part, none that begins with a dot. */
static result check_name(view name, struct fault *fault)
{
    if (name.len > ENGINE_NAME_MAX_BYTES) return fail(fault, TOO_BIG, "name of %zu bytes", name.len);
    if (name.len == 0) return fail(fault, INVALID, "empty name");
    char previous = '/';
    for (size_t i = 0; i < name.len; i++) {
        char c = name.at[i];
        if (!is_name_byte(c) || (previous == '/' && (c == '.' || c == '/')))
            return fail(fault, INVALID, "name \"" VIEW_FMT "\"", VIEW_ARG(name));
        previous = c;
    }
    return previous == '/' ? fail(fault, INVALID, "name \"" VIEW_FMT "\" ends in a slash", VIEW_ARG(name)) : OK;
}

/* Of a listing: the beginning of a name. */
static result check_prefix(view prefix, struct fault *fault)
{
    if (prefix.len > ENGINE_NAME_MAX_BYTES) return fail(fault, TOO_BIG, "prefix of %zu bytes", prefix.len);
    for (size_t i = 0; i < prefix.len; i++)
        if (!is_name_byte(prefix.at[i])) return fail(fault, INVALID, "prefix \"" VIEW_FMT "\"", VIEW_ARG(prefix));
    return OK;
}

static result check_table(const struct engine *e, view table, uint32_t shard, struct fault *fault)
{
    if (table.len == 0 || table.len > ENGINE_TABLE_NAME_MAX_BYTES) return fail(fault, INVALID, "table name of %zu bytes", table.len);
    for (size_t i = 0; i < table.len; i++)
        if (table.at[i] != '_' && (table.at[i] < 'a' || table.at[i] > 'z')) return fail(fault, INVALID, "table \"" VIEW_FMT "\"", VIEW_ARG(table));
    if (shard >= e->methods->table_shards(e, table)) return fail(fault, INVALID, "shard %u of table " VIEW_FMT, shard, VIEW_ARG(table));
    return OK;
}

static result check_key(view key, struct fault *fault)
{
    if (key.len == 0) return fail(fault, INVALID, "empty key");
    return key.len > ENGINE_KEY_MAX_BYTES ? fail(fault, TOO_BIG, "key of %zu bytes", key.len) : OK;
}

static result check_append(const struct journal_append *a)
{
    if (a->meta.len == 0) return fail(a->fault, INVALID, "record without meta");
    if (a->meta.len > ENGINE_META_MAX_BYTES) return fail(a->fault, TOO_BIG, "meta of %zu bytes", a->meta.len);
    if (a->body.len > ENGINE_BODY_MAX_BYTES) return fail(a->fault, TOO_BIG, "body of %zu bytes", a->body.len);
    return OK;
}

/* ---- journals ------------------------------------------------------------------------------------------ */

bool journal_position_equal(const struct journal_position *a, const struct journal_position *b)
{
    return a->epoch == b->epoch && a->offset == b->offset && a->tail == b->tail;
}

/* An append that was refused before it reached the engine; told in a later turn like any other. */
struct refused {
    struct task task;
    struct journal_append *append;
    void (*done)(struct journal_append *a, void *argument);
    void *argument;
};

static void tell_refused(struct task *t)
{
    struct refused *r = container_of(t, struct refused, task);
    r->done(r->append, r->argument);
    free(r);
}

static void tell_append(struct journal_append *a, void *unused)
{
    pressure_end(&a->under_way.engine->pressure, a->under_way.slot);
    a->under_way.done(a, a->under_way.argument);
}

void engine_append_start(struct engine *e, struct journal_append *a, millis deadline,
                         void (*done)(struct journal_append *a, void *argument), void *argument)
{
    a->before_known = false;
    a->journal_bytes = a->journal_records = 0;
    a->code = check_append(a);
    if (a->code == OK) a->code = freezer_check_journal(&e->freezer, a->journal, a->fault);
    if (a->code == OK) {
        a->under_way.engine = e;
        a->under_way.done = done;
        a->under_way.argument = argument;
        a->under_way.slot = pressure_begin(&e->pressure);
        e->methods->append_start(e, a, deadline, tell_append, NULL);
        return;
    }
    struct refused *r = malloc(sizeof *r);
    check(r);
    *r = (struct refused){.task.run = tell_refused, .append = a, .done = done, .argument = argument};
    loop_post(loop_self(), &r->task);
}

struct gathering {
    size_t missing;
    struct waitlist all_told;
};

static void count_told(struct journal_append *a, void *argument)
{
    struct gathering *g = argument;
    if (--g->missing == 0) waitlist_wake_all(&g->all_told);
}

/* Deaf to cancellation: the appends stand on the caller's stack. The engine bounds the wait by the deadline. */
void engine_append_all(struct engine *e, struct journal_append *const *appends, size_t count, millis deadline)
{
    struct gathering g = {.missing = count};
    waitlist_init(&g.all_told);
    for (size_t i = 0; i < count; i++) engine_append_start(e, appends[i], deadline, count_told, &g);
    while (g.missing > 0) waitlist_wait_shielded(&g.all_told);
}

result engine_append(struct engine *e, struct journal_append *a, millis deadline)
{
    engine_append_all(e, (struct journal_append *[]){a}, 1, deadline);
    return a->code;
}

result engine_read(struct engine *e, struct id journal, const struct journal_position *from, millis deadline, struct arena *arena,
                   struct journal_page *ret_page, struct fault *fault)
{
    unsigned slot = pressure_begin(&e->pressure);
    result code = e->methods->read(e, journal, from, deadline, arena, ret_page, fault);
    pressure_end(&e->pressure, slot);
    return code;
}

result engine_read_body(struct engine *e, struct id journal, const struct journal_record *record, uint32_t offset, uint32_t len,
                        millis deadline, buf *into, struct fault *fault)
{
    if (offset > record->body_bytes || len > record->body_bytes - offset)
        return fail(fault, INVALID, "bytes %u to %u of a body of %u", offset, offset + len, record->body_bytes);
    if (len == 0) return OK;
    unsigned slot = pressure_begin(&e->pressure);
    result code = e->methods->read_body(e, journal, record, offset, len, deadline, into, fault);
    pressure_end(&e->pressure, slot);
    return code;
}

result engine_read_bodies(struct engine *e, struct id journal, struct journal_body_wanted *wanted, size_t count, millis deadline,
                          struct fault *fault)
{
    if (count == 0) return OK;
    unsigned slot = pressure_begin(&e->pressure);
    result code = e->methods->read_bodies(e, journal, wanted, count, deadline, fault);
    pressure_end(&e->pressure, slot);
    return code;
}

result engine_replace_head(struct engine *e, struct id journal, uint64_t epoch, const struct journal_position *folded, view head,
                           millis deadline, struct journal_position *ret_head_at, struct fault *fault)
{
    struct journal_position ignored;
    if (head.len == 0) return fail(fault, INVALID, "empty head");
    if (head.len > ENGINE_HEAD_MAX_BYTES) return fail(fault, TOO_BIG, "head of %zu bytes", head.len);
    result code = freezer_check_journal(&e->freezer, journal, fault);
    if (code != OK) return code;
    if (folded->epoch != epoch) return fail(fault, INVALID, "folded up to epoch %" PRIu64 " under a head of %" PRIu64, folded->epoch, epoch);
    return e->methods->replace_head(e, journal, epoch, folded, head, deadline, ret_head_at ? ret_head_at : &ignored, fault);
}

result engine_remove_journal(struct engine *e, struct id journal, millis deadline, struct fault *fault)
{
    result code = freezer_check_journal(&e->freezer, journal, fault);
    return code == OK ? e->methods->remove_journal(e, journal, deadline, fault) : code;
}

result engine_list_journals(struct engine *e, const struct id *after, size_t max, millis deadline, struct id *journals,
                            size_t *ret_count, struct fault *fault)
{
    return e->methods->list_journals(e, after, max, deadline, journals, ret_count, fault);
}

/* ---- objects ------------------------------------------------------------------------------------------- */

result object_create(struct engine *e, view name, millis deadline, struct object_writer **ret_writer, struct fault *fault)
{
    result code = check_name(name, fault);
    return code == OK ? e->methods->object_create(e, name, deadline, ret_writer, fault) : code;
}

result object_write(struct object_writer *w, view bytes, millis deadline, struct fault *fault)
{
    if (bytes.len == 0) return OK;
    struct pressure_gauge *g = &w->engine->pressure;
    unsigned slot = pressure_begin(g);
    result code = w->engine->methods->object_write(w, bytes, deadline, fault);
    pressure_end(g, slot);
    return code;
}

result object_commit(struct object_writer *w, millis deadline, struct fault *fault)
{
    struct pressure_gauge *g = &w->engine->pressure;
    unsigned slot = pressure_begin(g);
    result code = w->engine->methods->object_commit(w, deadline, fault);
    pressure_end(g, slot);
    return code;
}

void object_abort(struct object_writer *w)
{
    w->engine->methods->object_abort(w);
}

MAY_YIELD static result put_in_steps(struct engine *e, view name, view bytes, millis deadline, struct fault *fault)
{
    struct object_writer *w;
    result code = object_create(e, name, deadline, &w, fault);
    if (code != OK) return code;
    code = object_write(w, bytes, deadline, fault);
    if (code == OK) return object_commit(w, deadline, fault);
    object_abort(w);
    return code;
}

result object_put(struct engine *e, view name, view bytes, millis deadline, struct fault *fault)
{
    result code = check_name(name, fault);
    if (code != OK) return code;
    if (!e->methods->object_put) return put_in_steps(e, name, bytes, deadline, fault);
    unsigned slot = pressure_begin(&e->pressure);
    code = e->methods->object_put(e, name, bytes, deadline, fault);
    pressure_end(&e->pressure, slot);
    return code;
}

MAY_YIELD static result copy_bytes(struct engine *e, view from, struct object_writer *w, millis deadline, struct fault *fault)
{
    CLEANUP(buf_done) buf chunk = BUF_INIT;
    uint64_t size, at = 0;
    result code = object_size(e, from, deadline, &size, fault);
    for (; code == OK && at < size; at += chunk.len) {
        buf_clear(&chunk);
        code = object_read(e, from, at, COPY_BYTES, deadline, &chunk, fault);
        if (code == OK && chunk.len == 0) code = fail(fault, CORRUPT, "object " VIEW_FMT " ends too early", VIEW_ARG(from));
        if (code == OK) code = object_write(w, buf_view(&chunk), deadline, fault);
    }
    return code;
}

/* From one place to the other. */
MAY_YIELD static result copy_across(struct engine *e, view from, view to, millis deadline, struct fault *fault)
{
    struct object_writer *w;
    result code = object_create(e, to, deadline, &w, fault);
    if (code != OK) return code;
    code = copy_bytes(e, from, w, deadline, fault);
    if (code == OK) return object_commit(w, deadline, fault);
    object_abort(w);
    return code;
}

result object_copy(struct engine *e, view from, view to, millis deadline, struct fault *fault)
{
    result code = check_name(from, fault);
    if (code == OK) code = check_name(to, fault);
    if (code != OK) return code;
    if (engine_is_cold(from) != engine_is_cold(to)) return copy_across(e, from, to, deadline, fault);
    return e->methods->object_copy(e, from, to, deadline, fault);
}

bool engine_has_archive(const struct engine *e)
{
    return e->methods->has_archive && e->methods->has_archive(e);
}

result object_read(struct engine *e, view name, uint64_t offset, size_t len, millis deadline, buf *into, struct fault *fault)
{
    result code = check_name(name, fault);
    if (code != OK) return code;
    unsigned slot = pressure_begin(&e->pressure);
    code = e->methods->object_read(e, name, offset, len, deadline, into, fault);
    pressure_end(&e->pressure, slot);
    return code;
}

result object_size(struct engine *e, view name, millis deadline, uint64_t *ret_bytes, struct fault *fault)
{
    result code = check_name(name, fault);
    return code == OK ? e->methods->object_size(e, name, deadline, ret_bytes, fault) : code;
}

result object_remove(struct engine *e, view name, millis deadline, struct fault *fault)
{
    result code = check_name(name, fault);
    return code == OK ? e->methods->object_remove(e, name, deadline, fault) : code;
}

result object_list(struct engine *e, view prefix, view after, size_t max, millis deadline, struct arena *arena, view **ret_names,
                   size_t *ret_count, struct fault *fault)
{
    result code = check_prefix(prefix, fault);
    if (code == OK) code = check_prefix(after, fault);
    return code == OK ? e->methods->object_list(e, prefix, after, max, deadline, arena, ret_names, ret_count, fault) : code;
}

/* ---- tables -------------------------------------------------------------------------------------------- */

uint32_t table_shards(const struct engine *e, view table)
{
    return e->methods->table_shards(e, table);
}

uint32_t table_shard_of(const struct engine *e, view table, view shard_key)
{
    return (uint32_t)(hash_stable(shard_key) % table_shards(e, table));
}

result table_get(struct engine *e, view table, uint32_t shard, view key, millis deadline, struct arena *arena, view *ret_value,
                 struct fault *fault)
{
    result code = check_table(e, table, shard, fault);
    if (code == OK) code = check_key(key, fault);
    if (code != OK) return code;
    unsigned slot = pressure_begin(&e->pressure);
    code = e->methods->table_get(e, table, shard, key, deadline, arena, ret_value, fault);
    pressure_end(&e->pressure, slot);
    return code;
}

result table_scan(struct engine *e, view table, uint32_t shard, view prefix, view after, size_t max, millis deadline, struct arena *arena,
                  struct table_row **ret_rows, size_t *ret_count, struct fault *fault)
{
    result code = check_table(e, table, shard, fault);
    if (code != OK) return code;
    return e->methods->table_scan(e, table, shard, prefix, after, max, deadline, arena, ret_rows, ret_count, fault);
}

static result check_changes(const struct table_change *changes, size_t count, struct fault *fault)
{
    if (count > TABLE_BATCH_MAX) return fail(fault, TOO_BIG, "batch of %zu changes", count);
    for (size_t i = 0; i < count; i++) {
        result code = check_key(changes[i].key, fault);
        if (code != OK) return code;
        if (changes[i].what == TABLE_PUT && changes[i].value.len > ENGINE_VALUE_MAX_BYTES)
            return fail(fault, TOO_BIG, "value of %zu bytes", changes[i].value.len);
    }
    return OK;
}

result table_batch(struct engine *e, view table, uint32_t shard, const struct table_change *changes, size_t count, millis deadline,
                   size_t *ret_failed, struct fault *fault)
{
    result code = check_table(e, table, shard, fault);
    if (code == OK) code = freezer_check_table(&e->freezer, table, fault);
    if (code == OK) code = check_changes(changes, count, fault);
    if (code != OK || count == 0) return code;
    unsigned slot = pressure_begin(&e->pressure);
    code = e->methods->table_batch(e, table, shard, changes, count, deadline, ret_failed, fault);
    pressure_end(&e->pressure, slot);
    return code;
}

/* ---- signals ------------------------------------------------------------------------------------------- */

void engine_watch(struct engine *e, struct id journal, struct journal_watch *w, void (*changed)(struct journal_watch *w))
{
    watches_add(e->watches, journal, w, changed);
}

void engine_unwatch(struct engine *e, struct journal_watch *w)
{
    watches_remove(e->watches, w);
}

void engine_notify(struct engine *e, struct id journal)
{
    if (e->methods->notify) e->methods->notify(e, journal);
    else watches_tell(e->watches, journal);
}

static result check_lease(view name, view owner, int64_t duration_ms, struct fault *fault)
{
    result code = check_name(name, fault);
    if (code == OK) code = check_name(owner, fault);
    if (code == OK && duration_ms <= 0) code = fail(fault, INVALID, "lease of %" PRId64 " ms", duration_ms);
    return code;
}

result lease_acquire(struct engine *e, view name, view owner, int64_t duration_ms, millis deadline, struct fault *fault)
{
    result code = check_lease(name, owner, duration_ms, fault);
    return code == OK ? e->methods->lease_acquire(e, name, owner, duration_ms, deadline, fault) : code;
}

result lease_renew(struct engine *e, view name, view owner, int64_t duration_ms, millis deadline, struct fault *fault)
{
    result code = check_lease(name, owner, duration_ms, fault);
    return code == OK ? e->methods->lease_renew(e, name, owner, duration_ms, deadline, fault) : code;
}

result lease_release(struct engine *e, view name, view owner, millis deadline, struct fault *fault)
{
    result code = check_lease(name, owner, 1, fault);
    return code == OK ? e->methods->lease_release(e, name, owner, deadline, fault) : code;
}

/* ---- the store as a whole ------------------------------------------------------------------------------ */

result engine_backup(struct engine *e, const char *folder, void (*progress)(void *argument, uint64_t done_bytes, uint64_t all_bytes),
                     void *argument, struct fault *fault)
{
    if (!e->methods->backup) return fail(fault, INVALID, "the %s engine has no backup of its own", engine_kind(e));
    return e->methods->backup(e, folder, progress, argument, fault);
}

result engine_verify(struct engine *e, void (*found)(void *argument, view what), void *argument, struct fault *fault)
{
    return e->methods->verify ? e->methods->verify(e, found, argument, fault) : OK;
}

result engine_reclaim(struct engine *e, uint64_t *place, uint64_t *count, struct fault *fault)
{
    return e->methods->reclaim ? e->methods->reclaim(e, place, count, fault) : END;
}

/* ---- freezing ---------------------------------------------------------------------------------------------- */

struct settling {
    struct engine *engine;
    struct id journal;
    millis deadline;
};

/*
 * A replacement of a head that is not the journal's: it changes nothing, and an engine judges it after everything that came before it to the
 * same journal.
 */
MAY_YIELD static void settle(void *argument)
{
    struct settling *s = argument;
    struct journal_position nowhere = {.epoch = UINT64_MAX}, at;
    (void)!s->engine->methods->replace_head(s->engine, s->journal, UINT64_MAX, &nowhere, VIEW("x"), s->deadline, &at, NULL);
}

/* Once every loop has had a turn, none is between its look at the freezer and the engine. */
MAY_YIELD static void settle_everywhere(struct engine *e, struct id journal, millis deadline)
{
    struct settling s = {e, journal, deadline};
    struct loops *all = loop_family(loop_self());
    for (unsigned i = 0; i < loops_count(all); i++) loop_run_on(loops_at(all, i), "freeze", settle, &s);
}

void engine_freeze_journal(struct engine *e, struct id journal, millis deadline)
{
    freezer_add(&e->freezer, id_view(&journal));
    settle_everywhere(e, journal, deadline);
}

void engine_freeze_journals(struct engine *e, millis deadline)
{
    freezer_add_all_journals(&e->freezer);
    settle_everywhere(e, ID_NONE, deadline);
}

void engine_freeze_table(struct engine *e, view table) { freezer_add(&e->freezer, table); }

void engine_thaw(struct engine *e) { freezer_thaw_all(&e->freezer); }
