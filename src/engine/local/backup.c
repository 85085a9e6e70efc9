/*
 * A copy of the store while it serves: tables as of one moment (a checkpoint of RocksDB, taken by the committer), then links to
 * all objects. Objects that are removed meanwhile are kept in the copy, so that whatever its heads refer to is there. The file
 * "backup" is written last: a copy without it is not one.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "engine/local/local_private.h"
#include "engine/local/object_files.h"

static const char backup_text[] = "tayori local backup 1\n";

struct backup_job {
    struct local *engine;
    const char *folder;
    struct files_progress progress;
    result code;
    struct fault *fault;
};

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
}

static void run_objects(void *argument)
{
    colour_pretend_worker();
    struct backup_job *j = argument;
    char from[PATH_BYTES], to[PATH_BYTES];
    uint64_t tables = 0;
    j->code = files_measure_tree(files_path(to, j->folder, "tables"), &tables, j->fault);
    if (j->code == OK) j->code = files_measure_tree(files_path(from, j->engine->folder, "objects"), &j->progress.all_bytes, j->fault);
    j->progress.all_bytes += tables;
    j->progress.done_bytes = tables;
    if (j->code == OK) j->code = files_link_tree(from, files_path(to, j->folder, "objects"), NULL, &j->progress, j->fault);
    if (j->code == OK) j->code = files_sync_all(j->folder, j->fault);
    if (j->code == OK) j->code = files_write_small(files_path(to, j->folder, "backup"), view_of(backup_text), j->fault);
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
    if (code != OK) return code;
    struct change c = {.kind = CHANGE_CHECKPOINT, .deadline = MILLIS_NEVER, .fault = fault, .copy_folder = files_path(tables, folder, "tables")};
    code = change_commit(e, &c);
    if (code == OK) code = run_on_worker(run_objects, &j);
    (void)!object_files_keep_removed_in(e->files, NULL, NULL);
    return code;
}

/* ---- and back --------------------------------------------------------------------------------------------- */

/* RocksDB writes its tables and bodies once and never again; the rest of its files it goes on writing. */
static bool may_change(const char *name)
{
    view v = view_of(name);
    return !view_ends(v, VIEW(".sst")) && !view_ends(v, VIEW(".blob"));
}

BLOCKS static result check_backup(const char *backup, struct fault *fault)
{
    char path[PATH_BYTES], *text;
    result code = files_read_small(files_path(path, backup, "backup"), sizeof backup_text, &text, fault);
    if (code == NOT_FOUND) return fail(fault, INVALID, "%s is not a backup, or one that was not finished", backup);
    if (code != OK) return code;
    bool is_known = strcmp(text, backup_text) == 0;
    free(text);
    return is_known ? OK : fail(fault, INVALID, "%s is not a backup that this version can read", backup);
}

/* Until all is there the folder is none that can be opened: whoever restores may die, and half of the mail would look like all of it. */
result engine_restore_local(const char *backup, const char *folder, struct fault *fault)
{
    struct files_progress progress = {0};
    char from[PATH_BYTES], to[PATH_BYTES], format[PATH_BYTES];
    if (strlen(backup) >= PATH_BYTES - 32 || strlen(folder) >= PATH_BYTES - 32) return fail(fault, INVALID, "the folder's name is too long");
    result code = check_backup(backup, fault);
    if (code == OK) code = files_make_empty_folder(folder, fault);
    if (code == OK) code = files_write_small(files_path(format, folder, "format"), VIEW("a restore that was not finished\n"), fault);
    if (code == OK)
        code = files_link_tree(files_path(from, backup, "tables"), files_path(to, folder, "tables"), may_change, &progress, fault);
    if (code == OK) code = files_link_tree(files_path(from, backup, "objects"), files_path(to, folder, "objects"), NULL, &progress, fault);
    if (code == OK) code = files_sync_all(folder, fault);
    return code == OK ? files_write_small(format, VIEW(LOCAL_FORMAT_TEXT), fault) : code;
}
