#include "engine/local/rocks.h"

#include <string.h>

#include "base/check.h"
#include "runtime/background.h"

enum {
    CACHED_TIER = 1,                 /* ReadTier::kBlockCacheTier, which the C interface has no name for */
    NEVER = 1 << 30,
    FLUSH_POLL_MS = 5,
    FLUSH_TRIES = 4,
    RECORDS_AMPLIFICATION_PERCENT = 100,
    BODIES_AMPLIFICATION_PERCENT = 30,       /* of keys, which are small: so that what is garbage is soon known */
};

static const char *const family_names[FAMILY_COUNT] = {"default", "records", "bodies", "tables"};

result rocks_fail(char *error, const char *doing, struct fault *fault)
{
    static const struct { const char *start; result code; } kinds[] = {
        {"Corruption", CORRUPT}, {"Result incomplete", BUSY}, {"IO error: No space left", UNAVAILABLE}, {"IO error: Disk quota", UNAVAILABLE},
    };
    result code = IO;
    for (size_t i = 0; i < array_size(kinds); i++)
        if (strncmp(error, kinds[i].start, strlen(kinds[i].start)) == 0) code = kinds[i].code;
    if (code != BUSY) code = fail(fault, code, "%s: %.300s", doing, error);
    rocksdb_free(error);
    return code;
}

/* ---- options ---------------------------------------------------------------------------------------------- */

static rocksdb_options_t *make_database_options(const struct rocks_options *options)
{
    rocksdb_options_t *o = rocksdb_options_create();
    rocksdb_options_set_create_if_missing(o, 1);
    rocksdb_options_set_create_missing_column_families(o, 1);
    rocksdb_options_set_max_background_jobs(o, 2);
    rocksdb_options_set_bytes_per_sync(o, 1 << 20);
    rocksdb_options_set_max_open_files(o, 2000);
    rocksdb_options_set_skip_stats_update_on_db_open(o, 1);
    rocksdb_options_set_skip_checking_sst_file_sizes_on_db_open(o, 1);
    /* A damaged file must not stop the writes of all: it is told to who reads it. */
    rocksdb_options_set_paranoid_checks(o, 0);
    /* One thread writes. */
    rocksdb_options_set_allow_concurrent_memtable_write(o, 0);
    rocksdb_options_set_enable_write_thread_adaptive_yield(o, 0);
    rocksdb_options_set_info_log_level(o, 2);            /* warnings */
    rocksdb_options_set_max_log_file_size(o, 4 << 20);
    rocksdb_options_set_keep_log_file_num(o, 4);
    rocksdb_options_set_stats_dump_period_sec(o, 0);
    rocksdb_options_set_stats_persist_period_sec(o, 0);
    /* We flush before we close; where that fails, so would RocksDB, and wait for ever. The C interface has no name for it. */
    rocksdb_options_t *all = rocksdb_options_create();
    char *error = NULL;
    rocksdb_get_options_from_string(o, "avoid_flush_during_shutdown=true", all, &error);
    check(!error);
    rocksdb_options_destroy(o);
    return all;
}

/*
 * Indexes and filters in pieces: of a file with a million keys they take megabytes, for which no shard of the cache has room, so that each read
 * would unpack all of them.
 */
static void set_table_format(rocksdb_options_t *o, rocksdb_cache_t *cache)
{
    rocksdb_block_based_table_options_t *t = rocksdb_block_based_options_create();
    rocksdb_block_based_options_set_block_cache(t, cache);
    rocksdb_block_based_options_set_filter_policy(t, rocksdb_filterpolicy_create_bloom_full(10));
    rocksdb_block_based_options_set_format_version(t, 5);
    rocksdb_block_based_options_set_index_type(t, rocksdb_block_based_table_index_type_two_level_index_search);
    rocksdb_block_based_options_set_partition_filters(t, 1);
    rocksdb_block_based_options_set_pin_top_level_index_and_filter(t, 1);
    rocksdb_block_based_options_set_cache_index_and_filter_blocks(t, 1);
    rocksdb_block_based_options_set_pin_l0_filter_and_index_blocks_in_cache(t, 1);
    rocksdb_options_set_block_based_table_factory(o, t);
    rocksdb_block_based_options_destroy(t);
}

/*
 * Universal compaction: keys are random, so each level of the other kind would be written anew for every few flushes. `percent`: how much
 * newer runs may be of the oldest before all are merged, and what was removed meanwhile goes.
 */
static void merge_by_size(rocksdb_options_t *o, int percent)
{
    rocksdb_universal_compaction_options_t *u = rocksdb_universal_compaction_options_create();
    rocksdb_universal_compaction_options_set_max_size_amplification_percent(u, percent);
    rocksdb_options_set_compaction_style(o, rocksdb_universal_compaction);
    rocksdb_options_set_universal_compaction_options(o, u);
    rocksdb_universal_compaction_options_destroy(u);
}

/* Flushes come from rocks_flush() alone, whenever the commit log has gone over to its next file: so no limit of RocksDB's own comes first. */
static rocksdb_options_t *make_family_options(rocksdb_options_t *base, rocksdb_cache_t *cache, int family, const struct rocks_options *options)
{
    int compression[] = {rocksdb_no_compression, rocksdb_no_compression, rocksdb_lz4_compression, rocksdb_lz4_compression,
                         rocksdb_lz4_compression, rocksdb_lz4_compression, rocksdb_lz4_compression};
    rocksdb_options_t *o = rocksdb_options_create_copy(base);
    set_table_format(o, cache);
    rocksdb_options_set_write_buffer_size(o, (size_t)options->memory_bytes * 4);
    rocksdb_options_set_arena_block_size(o, 256 << 10);
    rocksdb_options_set_max_write_buffer_number(o, 8);
    rocksdb_options_set_level0_file_num_compaction_trigger(o, 4);
    /* A damaged file keeps compaction from it for ever: that may cost readers time, but must not stop writers. */
    rocksdb_options_set_level0_slowdown_writes_trigger(o, NEVER);
    rocksdb_options_set_level0_stop_writes_trigger(o, NEVER);
    rocksdb_options_set_soft_pending_compaction_bytes_limit(o, 0);
    rocksdb_options_set_hard_pending_compaction_bytes_limit(o, 0);
    rocksdb_options_set_compression_per_level(o, compression, array_size(compression));
    if (family == FAMILY_RECORDS) merge_by_size(o, RECORDS_AMPLIFICATION_PERCENT);
    if (family == FAMILY_BODIES) {
        /* Bodies lie in files of their own, so that compaction moves keys alone. What heads have swallowed: rocks_collect(). */
        merge_by_size(o, BODIES_AMPLIFICATION_PERCENT);
        rocksdb_options_set_enable_blob_files(o, 1);
        rocksdb_options_set_min_blob_size(o, 256);
        rocksdb_options_set_blob_file_size(o, 256 << 20);
        rocksdb_options_set_enable_blob_gc(o, 0);
    }
    return o;
}

/* ---- opening and closing ---------------------------------------------------------------------------------- */

static result open_handle(struct rocks *s, struct fault *fault)
{
    char *error = NULL;
    s->db = rocksdb_open_column_families(s->database_options, s->options.folder, FAMILY_COUNT, family_names,
                                         (const rocksdb_options_t *const *)s->family_options, s->families, &error);
    return error ? rocks_fail(error, "open tables", fault) : OK;
}

static void close_handle(struct rocks *s)
{
    if (!s->db) return;
    for (int i = 0; i < FAMILY_COUNT; i++) rocksdb_column_family_handle_destroy(s->families[i]);
    rocksdb_close(s->db);
    s->db = NULL;
}

result rocks_open(struct rocks *s, const struct rocks_options *options, struct fault *fault)
{
    *s = (struct rocks){.options = *options};
    check(strlen(options->folder) < sizeof s->folder);
    memcpy(s->folder, options->folder, strlen(options->folder) + 1);
    s->options.folder = s->folder;
    pthread_rwlockattr_t attributes;
    pthread_rwlockattr_init(&attributes);
    pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(&s->lock, &attributes);
    pthread_rwlockattr_destroy(&attributes);
    s->cache = rocksdb_cache_create_lru(options->cache_bytes);
    s->database_options = make_database_options(options);
    for (int i = 0; i < FAMILY_COUNT; i++) s->family_options[i] = make_family_options(s->database_options, s->cache, i, options);
    s->write = rocksdb_writeoptions_create();
    rocksdb_writeoptions_disable_WAL(s->write, 1);
    s->read = rocksdb_readoptions_create();
    rocksdb_readoptions_set_ignore_range_deletions(s->read, 1);
    s->read_cached = rocksdb_readoptions_create();
    rocksdb_readoptions_set_ignore_range_deletions(s->read_cached, 1);
    rocksdb_readoptions_set_read_tier(s->read_cached, CACHED_TIER);
    result code = open_handle(s, fault);
    if (code != OK) rocks_close(s);
    return code;
}

void rocks_close(struct rocks *s)
{
    close_handle(s);
    rocksdb_readoptions_destroy(s->read_cached);
    rocksdb_readoptions_destroy(s->read);
    rocksdb_writeoptions_destroy(s->write);
    for (int i = 0; i < FAMILY_COUNT; i++) rocksdb_options_destroy(s->family_options[i]);
    rocksdb_options_destroy(s->database_options);
    rocksdb_cache_destroy(s->cache);
    pthread_rwlock_destroy(&s->lock);
}

result rocks_reopen(struct rocks *s, result (*fill)(void *context, struct fault *fault), void *context, struct fault *fault)
{
    rocks_stop_collecting(s);
    pthread_rwlock_wrlock(&s->lock);
    close_handle(s);
    result code = open_handle(s, fault);
    if (code == OK) code = fill(context, fault);
    if (code != OK) close_handle(s);
    pthread_rwlock_unlock(&s->lock);
    return code;
}

/* With the lock held for reading when it returns OK. A loop does not wait for it: BUSY. */
static result enter(struct rocks *s, bool waits, struct fault *fault)
{
    if (waits) pthread_rwlock_rdlock(&s->lock);
    else if (pthread_rwlock_tryrdlock(&s->lock) != 0) return BUSY;
    if (s->db) return OK;
    pthread_rwlock_unlock(&s->lock);
    return fail(fault, UNAVAILABLE, "tables are closed after an error");
}

static void leave(struct rocks *s) { pthread_rwlock_unlock(&s->lock); }

/* ---- writing ---------------------------------------------------------------------------------------------- */

static result gather_entries(struct rocks *s, view payload, rocksdb_writebatch_t *batch)
{
    struct cursor c = cursor_of(payload);
    struct log_entry e;
    while (!cursor_at_end(&c)) {
        if (!take_log_entry(&c, &e) || e.family >= FAMILY_COUNT) return CORRUPT;
        rocksdb_column_family_handle_t *family = s->families[e.family];
        if (e.op == LOG_PUT) rocksdb_writebatch_put_cf(batch, family, e.key.at, e.key.len, e.value.at, e.value.len);
        else if (e.op == LOG_REMOVE) rocksdb_writebatch_delete_cf(batch, family, e.key.at, e.key.len);
        else if (e.op == LOG_REMOVE_RANGE) rocksdb_writebatch_delete_range_cf(batch, family, e.key.at, e.key.len, e.value.at, e.value.len);
        else return CORRUPT;
    }
    return OK;
}

result rocks_apply_anew(struct rocks *s, view payload, struct fault *fault)
{
    char *error = NULL;
    rocksdb_writebatch_t *batch = rocksdb_writebatch_create();
    result code = gather_entries(s, payload, batch);
    if (code != OK) code = fail(fault, CORRUPT, "a block of the commit log is malformed");
    else rocksdb_write(s->db, s->write, batch, &error);
    rocksdb_writebatch_destroy(batch);
    return error ? rocks_fail(error, "apply to tables", fault) : code;
}

result rocks_apply(struct rocks *s, view payload, struct fault *fault)
{
    result code = enter(s, true, fault);
    if (code != OK) return code;
    code = rocks_apply_anew(s, payload, fault);
    leave(s);
    return code;
}

/* Asks for a flush of every family; those that have nothing to flush do nothing. */
BLOCKS static result request_flush(struct rocks *s, struct fault *fault)
{
    char *error = NULL;
    rocksdb_flushoptions_t *options = rocksdb_flushoptions_create();
    rocksdb_flushoptions_set_wait(options, 0);
    for (int i = 0; i < FAMILY_COUNT && !error; i++) rocksdb_flush_cf(s->db, options, s->families[i], &error);
    rocksdb_flushoptions_destroy(options);
    return error ? rocks_fail(error, "flush tables", fault) : OK;
}

static uint64_t property(struct rocks *s, int family, const char *name)
{
    uint64_t value = 0;
    int unknown = rocksdb_property_int_cf(s->db, s->families[family], name, &value);
    check(unknown == 0);
    return value;
}

static bool is_flushing(struct rocks *s)
{
    uint64_t waiting = 0;
    for (int i = 0; i < FAMILY_COUNT; i++) waiting += property(s, i, "rocksdb.num-immutable-mem-table");
    return waiting > 0;
}

/*
 * RocksDB's own wait does not end when a flush fails for want of disk space, so we look for ourselves. Errors of a compaction are
 * counted with those of flushes: one alone says nothing.
 */
BLOCKS static result flush_and_wait(struct rocks *s, struct fault *fault)
{
    uint64_t errors = property(s, FAMILY_STATE, "rocksdb.background-errors");
    result code = request_flush(s, fault);
    for (unsigned tries = 1; code == OK && is_flushing(s);) {
        background_pause(FLUSH_POLL_MS);
        uint64_t now = property(s, FAMILY_STATE, "rocksdb.background-errors");
        if (now == errors) continue;
        errors = now;
        if (++tries > FLUSH_TRIES) return fail(fault, IO, "flush tables: fails in the background; see LOG in %s", s->folder);
        code = request_flush(s, fault);
    }
    return code;
}

result rocks_flush(struct rocks *s, struct fault *fault)
{
    result code = enter(s, true, fault);
    if (code != OK) return code;
    code = flush_and_wait(s, fault);
    leave(s);
    return code;
}

/* ---- garbage ---------------------------------------------------------------------------------------------- */

BLOCKS static result set_body_options(struct rocks *s, const char *const values[static 2], struct fault *fault)
{
    static const char *const names[] = {"enable_blob_garbage_collection", "blob_garbage_collection_age_cutoff"};
    char *error = NULL;
    rocksdb_set_options_cf(s->db, s->families[FAMILY_BODIES], 2, names, values, &error);
    return error ? rocks_fail(error, "set options of bodies", fault) : OK;
}

/* Keys are merged, and with them the bodies in the oldest quarter of the files are moved to new ones. */
BLOCKS static void compact_bodies(struct rocks *s)
{
    rocksdb_compactoptions_t *options = rocksdb_compactoptions_create();
    rocksdb_compactoptions_set_exclusive_manual_compaction(options, 0);
    rocksdb_compactoptions_set_bottommost_level_compaction(options, 2);      /* force */
    rocksdb_compact_range_cf_opt(s->db, s->families[FAMILY_BODIES], options, NULL, 0, NULL, 0);
    rocksdb_compactoptions_destroy(options);
}

result rocks_garbage(struct rocks *s, uint64_t *ret_all_bytes, uint64_t *ret_garbage_bytes, struct fault *fault)
{
    result code = enter(s, true, fault);
    if (code != OK) return code;
    *ret_all_bytes = property(s, FAMILY_BODIES, "rocksdb.live-blob-file-size");
    *ret_garbage_bytes = property(s, FAMILY_BODIES, "rocksdb.live-blob-file-garbage-size");
    leave(s);
    return OK;
}

result rocks_collect(struct rocks *s, struct fault *fault)
{
    result code = enter(s, true, fault);
    if (code != OK) return code;
    code = set_body_options(s, (const char *const[]){"true", "0.25"}, fault);
    if (code == OK) {
        compact_bodies(s);
        code = set_body_options(s, (const char *const[]){"false", "0"}, fault);
    }
    leave(s);
    return code;
}

void rocks_stop_collecting(struct rocks *s)
{
    if (s->db) rocksdb_disable_manual_compaction(s->db);
}

result rocks_checkpoint(struct rocks *s, const char *folder, struct fault *fault)
{
    char *error = NULL;
    result code = enter(s, true, fault);
    if (code != OK) return code;
    rocksdb_checkpoint_t *checkpoint = rocksdb_checkpoint_object_create(s->db, &error);
    if (!error) rocksdb_checkpoint_create(checkpoint, folder, 0, &error);
    if (checkpoint) rocksdb_checkpoint_object_destroy(checkpoint);
    leave(s);
    return error ? rocks_fail(error, "copy tables", fault) : OK;
}

/* ---- reading ---------------------------------------------------------------------------------------------- */

static result get(struct rocks *s, int family, view key, size_t offset, size_t len, bool only_cached, buf *into, struct fault *fault)
{
    char *error = NULL;
    result code = OK;
    rocksdb_pinnableslice_t *slice =
        rocksdb_get_pinned_cf(s->db, only_cached ? s->read_cached : s->read, s->families[family], key.at, key.len, &error);
    if (error) code = rocks_fail(error, "read", fault);
    else if (!slice) code = NOT_FOUND;
    if (slice) {
        size_t value_bytes;
        const char *value = rocksdb_pinnableslice_value(slice, &value_bytes);
        /* A file that is not open yet "may have" the key for a read that must not wait: RocksDB says found, and gives no bytes. */
        if (only_cached && value_bytes == 0) code = BUSY;
        else buf_append(into, view_slice(view_make(value, value_bytes), offset, len));
        rocksdb_pinnableslice_destroy(slice);
    }
    return code;
}

result rocks_get(struct rocks *s, int family, view key, size_t offset, size_t len, bool only_cached, buf *into, struct fault *fault)
{
    result code = enter(s, !only_cached, fault);
    if (code != OK) return code;
    code = get(s, family, key, offset, len, only_cached, into, fault);
    leave(s);
    return code;
}

result rocks_walk_get(struct rocks_walk *w, int family, view key, buf *into, struct fault *fault)
{
    return get(w->rocks, family, key, 0, SIZE_MAX, false, into, fault);
}

/* The first key after all that begin with `prefix`; 0 bytes: there is none. */
static size_t key_after(view prefix, unsigned char *into)
{
    if (prefix.len) memcpy(into, prefix.at, prefix.len);
    for (size_t len = prefix.len; len > 0; len--)
        if (into[len - 1]++ != 0xff) return len;
    return 0;
}

void rocks_walk_begin(struct rocks_walk *w, struct rocks *s, int family, view prefix, bool is_journal, bool only_cached)
{
    *w = (struct rocks_walk){.rocks = s};
    w->code = enter(s, !only_cached, NULL);
    if (w->code != OK) return;
    w->options = rocksdb_readoptions_create();
    if (is_journal) rocksdb_readoptions_set_ignore_range_deletions(w->options, 1);
    if (only_cached) rocksdb_readoptions_set_read_tier(w->options, CACHED_TIER);
    size_t bound = key_after(prefix, w->before);
    if (bound) rocksdb_readoptions_set_iterate_upper_bound(w->options, (const char *)w->before, bound);
    w->iterator = rocksdb_create_iterator_cf(s->db, w->options, s->families[family]);
}

void rocks_walk_end(struct rocks_walk *w)
{
    if (!w->options) return;
    rocksdb_iter_destroy(w->iterator);
    rocksdb_readoptions_destroy(w->options);
    w->options = NULL;
    leave(w->rocks);
}

static bool is_at_row(struct rocks_walk *w) { return rocksdb_iter_valid(w->iterator); }

bool rocks_walk_seek(struct rocks_walk *w, view key)
{
    if (w->code != OK) return false;
    rocksdb_iter_seek(w->iterator, key.at, key.len);
    return is_at_row(w);
}

bool rocks_walk_seek_last(struct rocks_walk *w, view key)
{
    if (w->code != OK) return false;
    rocksdb_iter_seek_for_prev(w->iterator, key.at, key.len);
    return is_at_row(w);
}

bool rocks_walk_next(struct rocks_walk *w)
{
    rocksdb_iter_next(w->iterator);
    return is_at_row(w);
}

bool rocks_walk_previous(struct rocks_walk *w)
{
    rocksdb_iter_prev(w->iterator);
    return is_at_row(w);
}

view rocks_walk_key(const struct rocks_walk *w)
{
    size_t len;
    const char *at = rocksdb_iter_key(w->iterator, &len);
    return view_make(at, len);
}

view rocks_walk_value(const struct rocks_walk *w)
{
    size_t len;
    const char *at = rocksdb_iter_value(w->iterator, &len);
    return view_make(at, len);
}

result rocks_walk_result(struct rocks_walk *w, struct fault *fault)
{
    if (w->code == BUSY) return BUSY;
    if (w->code != OK) return fail(fault, w->code, "tables are closed after an error");
    char *error = NULL;
    rocksdb_iter_get_error(w->iterator, &error);
    return error ? rocks_fail(error, "read", fault) : OK;
}
