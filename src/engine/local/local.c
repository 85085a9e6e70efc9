#include "engine/local.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/check.h"
#include "engine/local/archive.h"
#include "engine/local/local_private.h"
#include "engine/local/object_files.h"
#include "runtime/event.h"

enum { BLOCK_ARENA_BYTES = 64 << 20, FORMAT_TEXT_MAX = 100 };
static const char format_text[] = LOCAL_FORMAT_TEXT;

static const struct engine_methods methods;

/* ---- the folder ------------------------------------------------------------------------------------------- */

/* A lock on an open file: it ends with the process, however that ends. */
BLOCKS static result take_lock(struct local *e, struct fault *fault)
{
    char path[PATH_BYTES], owner[32] = "";
    e->lock_fd = open(files_path(path, e->folder, "lock"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (e->lock_fd < 0) return files_fail(errno, fault, "open %s", path);
    if (flock(e->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        int error = errno;
        ssize_t n = pread(e->lock_fd, owner, sizeof owner - 1, 0);
        if (error != EWOULDBLOCK) return files_fail(error, fault, "lock %s", path);
        owner[n > 0 ? strcspn(owner, "\n") : 0] = 0;
        (void)fail(fault, BUSY, "the store %s is in use by process %s", e->folder, *owner ? owner : "(unknown)");
        fault_tell(fault, "The store is in use by another process");
        return BUSY;
    }
    int len = snprintf(owner, sizeof owner, "%d\n", (int)getpid());
    if (ftruncate(e->lock_fd, 0) != 0 || pwrite(e->lock_fd, owner, (size_t)len, 0) != len) return files_fail(errno, fault, "write %s", path);
    return OK;
}

BLOCKS static result check_format(struct local *e, struct fault *fault)
{
    char path[PATH_BYTES], *text;
    files_path(path, e->folder, "format");
    result code = files_read_small(path, FORMAT_TEXT_MAX, &text, fault);
    if (code == NOT_FOUND) return files_write_small(path, view_of(format_text), fault);
    if (code != OK) return code;
    text[strcspn(text, "\n")] = 0;
    if (strncmp(text, format_text, strlen(text)) != 0 || strlen(text) + 1 != strlen(format_text))
        code = fail(fault, INVALID, "%s says \"%s\": not a store that this version can read", path, text);
    free(text);
    return code;
}

BLOCKS static result make_folders(struct local *e, struct fault *fault)
{
    char path[PATH_BYTES];
    result code = files_make_folder(e->folder, fault);
    if (code == OK) code = take_lock(e, fault);
    if (code == OK) code = check_format(e, fault);
    if (code == OK) code = files_make_folder(files_path(path, e->folder, "log"), fault);
    if (code == OK) code = files_make_folder(files_path(path, e->folder, "tables"), fault);
    return code == OK ? files_sync_folder(e->folder, fault) : code;
}

/* ---- opening ---------------------------------------------------------------------------------------------- */

static result apply(void *context, view payload, struct fault *fault)
{
    colour_pretend_worker();
    return rocks_apply(context, payload, fault);
}

static void tell_damage(struct local *e, const struct log_damage *d)
{
    if (d->lost_blocks)
        EVENT_EMIT(STORE_LOG_DAMAGED, EVENT_TEXT("folder", view_of(e->folder)), EVENT_NUMBER("generation", d->generation),
                   EVENT_NUMBER("at", d->at), EVENT_NUMBER("lost_blocks", d->lost_blocks));
    else if (d->is_torn)
        EVENT_EMIT(STORE_LOG_TORN, EVENT_TEXT("folder", view_of(e->folder)), EVENT_NUMBER("generation", d->generation), EVENT_NUMBER("at", d->at));
}

BLOCKS static result read_sequence(struct local *e, struct fault *fault)
{
    CLEANUP(buf_done) buf value = BUF_INIT;
    result code = rocks_get(&e->rocks, FAMILY_STATE, STATE_SEQUENCE_KEY, 0, 8, false, &value, fault);
    /* The log knows it too; without a log the tables' word is needed. */
    if (code != OK && code != NOT_FOUND && e->log.generation == 0) return code;
    uint64_t kept = value.len == 8 ? get_be64(value.at) : 1;
    e->next_sequence = kept > e->log.next_sequence ? kept : e->log.next_sequence;
    return OK;
}

/* What the log has and the tables lack goes there, into files: the log then begins anew. */
BLOCKS static result catch_up(struct local *e, struct fault *fault)
{
    struct log_damage damage = {0};
    result code = commit_log_replay(&e->log, apply, &e->rocks, &damage, fault);
    if (code == OK) tell_damage(e, &damage);
    if (code == OK) code = rocks_flush(&e->rocks, fault);
    if (code == OK) code = commit_log_settle(&e->log, fault);
    if (code == OK) code = read_sequence(e, fault);
    return code;
}

struct opening {
    struct local *engine;
    bool has_store, has_log;
    result code;
    struct fault *fault;
};

BLOCKS static result open_parts(struct opening *o)
{
    struct local *e = o->engine;
    const struct engine_local_options *options = &e->options;
    char path[PATH_BYTES];
    result code = make_folders(e, o->fault);
    if (code != OK) return code;
    code = object_files_open(e->folder, &e->files, o->fault);
    if (code != OK) return code;
    e->archive = archive_open(e->folder, options->archive_folder);
    struct rocks_options rocks_options = {files_path(path, e->folder, "tables"), options->cache_bytes, options->write_buffer_bytes};
    code = rocks_open(&e->rocks, &rocks_options, o->fault);
    o->has_store = code == OK;
    if (code != OK) return code;
    code = commit_log_open(&e->log, files_path(path, e->folder, "log"), options->write_buffer_bytes, options->never_sync, o->fault);
    o->has_log = code == OK;
    if (code == OK) code = catch_up(e, o->fault);
    return code == OK ? commit_log_make_spare(&e->log, o->fault) : code;
}

static void close_parts(struct opening *o)
{
    struct local *e = o->engine;
    colour_pretend_worker();
    if (o->has_log) commit_log_close(&e->log);
    if (o->has_store) rocks_close(&e->rocks);
    archive_close(e->archive);
    if (e->files) object_files_close(e->files);
    if (e->lock_fd >= 0) close(e->lock_fd);
}

static void run_open(void *argument)
{
    colour_pretend_worker();
    struct opening *o = argument;
    o->code = open_parts(o);
    if (o->code != OK) close_parts(o);
}

/* What is not of the disk. On the loop. */
static void start(struct local *e)
{
    tails_init(&e->tails);
    e->leases = leases_new();
    e->block_arena = arena_new(NULL, BLOCK_ARENA_BYTES);
    e->block = (struct log_block){.at = aligned_alloc(LOG_ALIGN, LOG_BLOCK_MAX_BYTES), .capacity = LOG_BLOCK_MAX_BYTES};
    check(e->block.at);
    log_block_begin(&e->block);
    e->members_end = &e->members;
    engine_init(&e->base, &methods);
    collector_start(e);
    flusher_start(e);
    e->batcher = batcher_new("committer", committer_run, e);
}

static result copy_options(struct local *e, const struct engine_local_options *options, struct fault *fault)
{
    if (strlen(options->folder) >= sizeof e->folder) return fail(fault, INVALID, "the name of the store's folder is too long");
    e->options = *options;
    snprintf(e->folder, sizeof e->folder, "%s", options->folder);
    e->options.folder = e->folder;
    const char *archive = options->archive_folder ? options->archive_folder : "";
    if (strlen(archive) >= sizeof e->archive_folder) return fail(fault, INVALID, "the name of the archive's folder is too long");
    snprintf(e->archive_folder, sizeof e->archive_folder, "%s", archive);
    e->options.archive_folder = e->archive_folder;
    if (!options->cache_bytes) e->options.cache_bytes = LOCAL_DEFAULT_CACHE_BYTES;
    if (!options->write_buffer_bytes) e->options.write_buffer_bytes = LOCAL_DEFAULT_WRITE_BUFFER_BYTES;
    return OK;
}

result engine_open_local(const struct engine_local_options *options, struct engine **ret_engine, struct fault *fault)
{
    struct local *e = calloc(1, sizeof *e);
    check(e);
    e->lock_fd = -1;
    struct opening o = {.engine = e, .fault = fault};
    result code = copy_options(e, options, fault);
    if (code == OK) code = worker_run(WORKER_SLOW, run_open, &o);
    if (code == OK) code = o.code;
    if (code != OK) {
        free(e);
        return code;
    }
    start(e);
    *ret_engine = &e->base;
    return OK;
}

/* ---- closing ---------------------------------------------------------------------------------------------- */

/* A failure here costs the next start a longer replay, nothing else. */
static void run_close(void *argument)
{
    colour_pretend_worker();
    struct opening *o = argument;
    struct local *e = o->engine;
    flusher_stop(e);
    collector_stop(e);
    if (!atomic_load(&e->is_broken) && rocks_flush(&e->rocks, NULL) == OK) {
        commit_log_release(&e->log, e->log.generation);
        result code = commit_log_settle(&e->log, NULL);
        (void)code;
    }
    close_parts(o);
}

MAY_YIELD static void local_close(struct engine *base)
{
    struct local *e = local_of(base);
    struct opening o = {.engine = e, .has_store = true, .has_log = true};
    batcher_free(e->batcher);
    engine_done(&e->base);
    while (worker_run(WORKER_SLOW, run_close, &o) != OK) coroutine_pause();
    tails_clear(&e->tails);
    map_done(&e->touched);
    map_done(&e->table_rows);
    arena_free(e->block_arena);
    leases_free(e->leases);
    free(e->block.at);
    free(e);
}

static bool local_has_archive(const struct engine *base) { return archive_is_configured(local_of(base)->archive); }

static const struct engine_methods methods = {
    .kind = "local",
    .has_archive = local_has_archive,
    .close = local_close,
    .append_start = local_append_start,
    .read = local_read,
    .read_body = local_read_body,
    .read_bodies = local_read_bodies,
    .replace_head = local_replace_head,
    .remove_journal = local_remove_journal,
    .list_journals = local_list_journals,
    .object_create = local_object_create,
    .object_write = local_object_write,
    .object_commit = local_object_commit,
    .object_abort = local_object_abort,
    .object_put = local_object_put,
    .object_copy = local_object_copy,
    .object_read = local_object_read,
    .object_size = local_object_size,
    .object_remove = local_object_remove,
    .object_list = local_object_list,
    .table_shards = local_table_shards,
    .table_get = local_table_get,
    .table_scan = local_table_scan,
    .table_batch = local_table_batch,
    .lease_acquire = local_lease_acquire,
    .lease_renew = local_lease_renew,
    .lease_release = local_lease_release,
    .backup = local_backup,
    .verify = local_verify,
};
