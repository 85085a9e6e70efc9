#include "engine/local/archive.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/id.h"
#include "engine/local/files.h"
#include "runtime/clock.h"
#include "runtime/event.h"
#include "runtime/random.h"

enum { MARK_BYTES_MAX = 100 };
#define MARK_BEGIN "tayori archive 1 "
#define MARK_NEW " new\n"                /* behind the id, in the store: the archive may not have its mark yet */

struct archive {
    char store[PATH_BYTES], folder[PATH_BYTES];
    bool is_configured;
    atomic_bool was_used;
    pthread_mutex_t lock;
    _Atomic(struct object_files *) files;    /* once there, it stays */
    millis next_look;
    bool is_told;                        /* that it is away */
};

/* ---- marks ---------------------------------------------------------------------------------------------------- */

struct mark { char id[ID_TEXT_LEN + 1]; bool is_there, is_new; };

/* Paths are long, frames are not to be. */
BLOCKS __attribute__((noinline)) static result read_mark(const char *folder, struct mark *ret_mark, struct fault *fault)
{
    char path[PATH_BYTES], *text;
    struct mark m = {.is_there = true};
    struct id id;
    result code = files_read_small(files_path(path, folder, ARCHIVE_MARK), MARK_BYTES_MAX, &text, fault);
    if (code == NOT_FOUND) {
        *ret_mark = (struct mark){0};
        return OK;
    }
    if (code != OK) return code;
    view v = view_of(text), digits = VIEW_EMPTY;
    bool is_one = view_starts(v, VIEW(MARK_BEGIN));
    if (is_one) digits = view_slice(v, sizeof MARK_BEGIN - 1, ID_TEXT_LEN);
    is_one = is_one && id_parse(digits, &id);
    if (is_one) id_text(id, m.id);
    m.is_new = view_ends(v, VIEW(MARK_NEW));
    free(text);
    if (!is_one) return fail(fault, INVALID, "%s is not the mark of an archive that this version knows", path);
    *ret_mark = m;
    return OK;
}

BLOCKS __attribute__((noinline)) static result write_mark(const char *folder, const char *id, const char *end, struct fault *fault)
{
    char path[PATH_BYTES], text[MARK_BYTES_MAX];
    int len = snprintf(text, sizeof text, "%s%s%s", MARK_BEGIN, id, end);
    return files_write_small(files_path(path, folder, ARCHIVE_MARK), view_make(text, (size_t)len), fault);
}

/* The store's mark first: a node that dies between the two finds that it was at it. */
BLOCKS static result found_archive(struct archive *a, struct mark *own, struct fault *fault)
{
    if (!own->is_there) {
        id_text(random_id(), own->id);
        result code = write_mark(a->store, own->id, MARK_NEW, fault);
        if (code != OK) return code;
    }
    result code = files_make_folder(a->folder, fault);
    if (code == OK) code = write_mark(a->folder, own->id, "\n", fault);
    return code == OK ? write_mark(a->store, own->id, "\n", fault) : code;
}

BLOCKS static result check_marks(struct archive *a, struct fault *fault)
{
    struct mark own, theirs;
    result code = read_mark(a->store, &own, fault);
    if (code == OK) code = read_mark(a->folder, &theirs, fault);
    if (code != OK) return code;
    if (!theirs.is_there && (!own.is_there || own.is_new)) return found_archive(a, &own, fault);
    if (!theirs.is_there) return fail(fault, UNAVAILABLE, "%s is not the archive of this store: is its disk mounted?", a->folder);
    if (!own.is_there || strcmp(own.id, theirs.id) != 0) return fail(fault, UNAVAILABLE, "%s is the archive of another store", a->folder);
    return own.is_new ? write_mark(a->store, own.id, "\n", fault) : OK;
}

/* ---- looking for it -------------------------------------------------------------------------------------------- */

/* Under the lock. */
BLOCKS static result look(struct archive *a, struct fault *fault)
{
    struct object_files *files = NULL;
    result code = check_marks(a, fault);
    if (code == OK) code = object_files_open(a->folder, &files, fault);
    a->next_look = clock_in(ARCHIVE_LOOK_MS);
    if (code == OK) {
        if (a->is_told) EVENT_EMIT(STORE_ARCHIVE_FOUND, EVENT_TEXT("folder", view_of(a->folder)));
        atomic_store(&a->was_used, true);
        atomic_store(&a->files, files);
        return OK;
    }
    if (!a->is_told) EVENT_EMIT(STORE_ARCHIVE_AWAY, EVENT_TEXT("folder", view_of(a->folder)), EVENT_FAULT(fault));
    a->is_told = true;
    return UNAVAILABLE;
}

struct object_files *archive_files_now(struct archive *a) { return atomic_load(&a->files); }

static result away(const struct archive *a, struct fault *fault)
{
    if (a->is_configured) (void)fail(fault, UNAVAILABLE, "the archive %s is away", a->folder);
    else (void)fail(fault, UNAVAILABLE, "no archive is configured here (store.archive_directory)");
    fault_tell(fault, "The archive of old messages is not available");
    return UNAVAILABLE;
}

result archive_files(struct archive *a, struct object_files **ret_files, struct fault *fault)
{
    struct fault ignored = {0};
    if (!a->is_configured) return away(a, fault);
    if (!archive_files_now(a)) {
        pthread_mutex_lock(&a->lock);
        if (!archive_files_now(a) && !millis_before(clock_now(), a->next_look)) (void)!look(a, &ignored);
        pthread_mutex_unlock(&a->lock);
    }
    *ret_files = archive_files_now(a);
    return *ret_files ? OK : away(a, fault);
}

struct archive *archive_open(const char *store, const char *folder)
{
    struct archive *a = calloc(1, sizeof *a);
    struct object_files *ignored_files;
    struct mark own;
    check(a);
    pthread_mutex_init(&a->lock, NULL);
    a->is_configured = folder && *folder && strlen(folder) < sizeof a->folder - 64;
    snprintf(a->store, sizeof a->store, "%s", store);
    snprintf(a->folder, sizeof a->folder, "%s", a->is_configured ? folder : "");
    atomic_store(&a->was_used, read_mark(store, &own, NULL) != OK || own.is_there);
    if (a->is_configured) (void)!archive_files(a, &ignored_files, NULL);
    return a;
}

void archive_close(struct archive *a)
{
    if (!a) return;
    struct object_files *files = archive_files_now(a);
    if (files) object_files_close(files);
    pthread_mutex_destroy(&a->lock);
    free(a);
}

bool archive_is_configured(const struct archive *a) { return a->is_configured; }
bool archive_was_used(const struct archive *a) { return atomic_load(&((struct archive *)(uintptr_t)a)->was_used); }
const char *archive_folder(const struct archive *a) { return a->folder; }
