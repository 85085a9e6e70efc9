/*
 * A copy of the store while it serves: tables as of one moment (a checkpoint of RocksDB, taken by the committer), then links to
 * all objects. Objects that are removed meanwhile are kept in the copy, so that whatever its heads refer to is there. The file
 * "backup" is written last: a copy without it is not one.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "engine/local/archive.h"
#include "engine/local/local_private.h"
#include "engine/local/object_files.h"

#define NOT_INLINE __attribute__((noinline))          /* paths are long, frames are not to be */
#define ARCHIVE_IN_BACKUP "archive-objects"          /* beside "archive", the mark */

static const char backup_text[] = "tayori local backup 1\n", archive_text[] = "tayori local backup 2\n";     /* 2: with an archive */

struct backup_job {
    struct local *engine;
    const char *folder;
    struct object_files *archive;        /* NULL: the store has none */
    struct files_progress progress;
    result code;
    struct fault *fault;
};

BLOCKS NOT_INLINE static result prepare_archive(struct backup_job *j)
{
    char path[PATH_BYTES];
    if (!archive_was_used(j->engine->archive)) return OK;
    result code = archive_files(j->engine->archive, &j->archive, j->fault);
    if (code == OK) code = files_make_folder(files_path(path, j->folder, ARCHIVE_IN_BACKUP), j->fault);
    return code == OK ? object_files_keep_removed_in(j->archive, path, j->fault) : code;
}

/* Tables are flushed before the committer is asked, so that it is stopped for a short time only. */
static void run_prepare(void *argument)
{
    colour_pretend_worker();
    struct backup_job *j = argument;
    char path[PATH_BYTES];
    j->code = strlen(j->folder) < PATH_BYTES - 32 ? files_make_empty_folder(j->folder, j->fault)
                                                  : fail(j->fault, INVALID, "the folder's name is too long");
    if (j->code == EXISTS) j->code = INVALID;
    if (j->code == OK) j->code = files_make_folder(files_path(path, j->folder, "objects"), j->fault);
    if (j->code == OK) j->code = rocks_flush(&j->engine->rocks, j->fault);
    if (j->code == OK) j->code = object_files_keep_removed_in(j->engine->files, path, j->fault);
    if (j->code == OK) j->code = prepare_archive(j);
}

BLOCKS NOT_INLINE static result measure(const char *folder, const char *name, uint64_t *sum_bytes, struct fault *fault)
{
    char path[PATH_BYTES];
    uint64_t bytes = 0;
    result code = files_measure_tree(files_path(path, folder, name), &bytes, fault);
    *sum_bytes += bytes;
    return code;
}

BLOCKS NOT_INLINE static result link_tree(const char *from_folder, const char *from_name, const char *to_folder, const char *to_name, struct files_progress *progress,
                                          struct fault *fault)
{
    char from[PATH_BYTES], to[PATH_BYTES];
    return files_link_tree(files_path(from, from_folder, from_name), files_path(to, to_folder, to_name), NULL, progress, fault);
}

/* The mark says that the two belong together; it is the same in the copy. */
BLOCKS NOT_INLINE static result copy_mark(const char *from_folder, const char *to_folder, struct fault *fault)
{
    char from[PATH_BYTES], to[PATH_BYTES];
    return files_copy(files_path(from, from_folder, ARCHIVE_MARK), files_path(to, to_folder, ARCHIVE_MARK), fault);
}

BLOCKS static result link_archive(struct backup_job *j)
{
    if (!j->archive) return OK;
    result code = link_tree(archive_folder(j->engine->archive), "objects", j->folder, ARCHIVE_IN_BACKUP, &j->progress, j->fault);
    return code == OK ? copy_mark(j->engine->folder, j->folder, j->fault) : code;
}

static void run_objects(void *argument)
{
    colour_pretend_worker();
    struct backup_job *j = argument;
    char to[PATH_BYTES];
    uint64_t tables = 0;
    j->code = measure(j->folder, "tables", &tables, j->fault);
    j->progress.done_bytes = j->progress.all_bytes = tables;
    if (j->code == OK) j->code = measure(j->engine->folder, "objects", &j->progress.all_bytes, j->fault);
    if (j->code == OK && j->archive) j->code = measure(archive_folder(j->engine->archive), "objects", &j->progress.all_bytes, j->fault);
    if (j->code == OK) j->code = link_tree(j->engine->folder, "objects", j->folder, "objects", &j->progress, j->fault);
    if (j->code == OK) j->code = link_archive(j);
    if (j->code == OK) j->code = files_sync_all(j->folder, j->fault);
    if (j->code == OK) j->code = files_write_small(files_path(to, j->folder, "backup"), view_of(j->archive ? archive_text : backup_text), j->fault);
    /* Objects that went since they were measured were not there to be copied: it is whole all the same. */
    if (j->code == OK && j->progress.told) j->progress.told(j->progress.argument, j->progress.done_bytes, j->progress.done_bytes);
}

MAY_YIELD static result run_on_worker(void (*run)(void *argument), struct backup_job *j)
{
    result code = worker_run(WORKER_SLOW, run, j);
    return code == OK ? j->code : fail(j->fault, code, "too much other work waits");
}

result local_backup(struct engine *base, const char *folder, void (*progress)(void *argument, uint64_t done_bytes, uint64_t all_bytes),
                    void *argument, struct fault *fault)
{
    struct local *e = local_of(base);
    struct backup_job j = {.engine = e, .folder = folder, .progress = {.told = progress, .argument = argument}, .fault = fault};
    char tables[PATH_BYTES];
    result code = run_on_worker(run_prepare, &j);
    struct change c = {.kind = CHANGE_CHECKPOINT, .deadline = MILLIS_NEVER, .fault = fault, .copy_folder = files_path(tables, folder, "tables")};
    if (code == OK) code = change_commit(e, &c);
    if (code == OK) code = run_on_worker(run_objects, &j);
    (void)!object_files_keep_removed_in(e->files, NULL, NULL);
    if (j.archive) (void)!object_files_keep_removed_in(j.archive, NULL, NULL);
    return code;
}

/* ---- and back --------------------------------------------------------------------------------------------- */

/* RocksDB writes its tables and bodies once and never again; the rest of its files it goes on writing. */
static bool may_change(const char *name)
{
    view v = view_of(name);
    return !view_ends(v, VIEW(".sst")) && !view_ends(v, VIEW(".blob"));
}

BLOCKS NOT_INLINE static result check_backup(const char *backup, struct fault *fault)
{
    char path[PATH_BYTES], *text;
    result code = files_read_small(files_path(path, backup, "backup"), sizeof backup_text, &text, fault);
    if (code == NOT_FOUND) return fail(fault, INVALID, "%s is not a backup, or one that was not finished", backup);
    if (code != OK) return code;
    bool is_known = strcmp(text, backup_text) == 0 || strcmp(text, archive_text) == 0;
    free(text);
    return is_known ? OK : fail(fault, INVALID, "%s is not a backup that this version can read", backup);
}

BLOCKS NOT_INLINE static bool is_there(const char *folder, const char *name)
{
    char path[PATH_BYTES];
    return access(files_path(path, folder, name), F_OK) == 0;
}

BLOCKS static result restore_archive(const char *backup, const char *folder, const char *archive_folder, struct files_progress *progress, struct fault *fault)
{
    result code = link_tree(backup, ARCHIVE_IN_BACKUP, archive_folder, "objects", progress, fault);
    if (code == OK) code = copy_mark(backup, archive_folder, fault);
    if (code == OK) code = files_sync_all(archive_folder, fault);
    return code == OK ? copy_mark(backup, folder, fault) : code;
}

BLOCKS NOT_INLINE static result restore_tables(const char *backup, const char *folder, struct files_progress *progress, struct fault *fault)
{
    char from[PATH_BYTES], to[PATH_BYTES];
    return files_link_tree(files_path(from, backup, "tables"), files_path(to, folder, "tables"), may_change, progress, fault);
}

/* Until all is there the folder is none that can be opened: whoever restores may die, and half of the mail would look like all of it. */
result engine_restore_local(const char *backup, const char *folder, const char *archive_folder, struct fault *fault)
{
    struct files_progress progress = {0};
    char format[PATH_BYTES];
    bool has_archive = strlen(backup) < PATH_BYTES - 32 && is_there(backup, ARCHIVE_MARK), names_archive = archive_folder && *archive_folder;
    if (strlen(backup) >= PATH_BYTES - 32 || strlen(folder) >= PATH_BYTES - 32 || (names_archive && strlen(archive_folder) >= PATH_BYTES - 32))
        return fail(fault, INVALID, "the folder's name is too long");
    if (has_archive && !names_archive) return fail(fault, INVALID, "%s has an archive: store.archive_directory says where it is to be", backup);
    result code = check_backup(backup, fault);
    if (code == OK) code = files_make_empty_folder(folder, fault);
    if (code == OK && has_archive) code = files_make_empty_folder(archive_folder, fault);
    if (code == OK) code = files_write_small(files_path(format, folder, "format"), VIEW("a restore that was not finished\n"), fault);
    if (code == OK) code = restore_tables(backup, folder, &progress, fault);
    if (code == OK) code = link_tree(backup, "objects", folder, "objects", &progress, fault);
    if (code == OK && has_archive) code = restore_archive(backup, folder, archive_folder, &progress, fault);
    if (code == OK) code = files_sync_all(folder, fault);
    return code == OK ? files_write_small(format, VIEW(LOCAL_FORMAT_TEXT), fault) : code;
}
