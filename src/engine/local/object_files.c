#include "engine/local/object_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/hash.h"
#include "base/list.h"
#include "base/map.h"
#include "engine/engine.h"
#include "engine/local/files.h"
#include "engine/local/object_files_private.h"

enum { OPEN_MAX = 512, PUBLISH_TRIES = 5 };

struct entry {
    struct list node;                /* by last use, when in the map */
    char name[ENGINE_NAME_MAX_BYTES];
    size_t name_bytes;
    int fd;
    uint64_t bytes;
    unsigned users;
    bool is_known;                   /* in the map */
};

const char *object_path(view name, char path[static OBJECT_PATH_BYTES])
{
    view rest = name, first = name;
    (void)view_cut(&rest, '/', &first);
    int len = snprintf(path, OBJECT_PATH_BYTES, "%02x/" VIEW_FMT, (unsigned)(hash_stable(first) & 0xff), VIEW_ARG(name));
    check(len > 0 && len < OBJECT_PATH_BYTES);
    return path;
}

/* ---- opening ---------------------------------------------------------------------------------------------- */

BLOCKS static result open_folder(const char *folder, const char *name, int *ret_fd, struct fault *fault)
{
    char path[PATH_BYTES];
    result code = files_make_folder(files_path(path, folder, name), fault);
    if (code != OK) return code;
    *ret_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return *ret_fd >= 0 ? OK : files_fail(errno, fault, "folder %s", path);
}

/* What a process that died had begun. */
static void empty(int folder)
{
    DIR *d = fdopendir(dup(folder));
    if (!d) return;
    for (struct dirent *entry; (entry = readdir(d));)
        if (entry->d_name[0] != '.') unlinkat(folder, entry->d_name, 0);
    closedir(d);
}

result object_files_open(const char *folder, struct object_files **ret_files, struct fault *fault)
{
    struct object_files *f = calloc(1, sizeof *f);
    check(f);
    f->objects = f->aside = -1;
    pthread_mutex_init(&f->lock, NULL);
    list_init(&f->by_use);
    result code = open_folder(folder, "objects", &f->objects, fault);
    if (code == OK) code = open_folder(folder, "new", &f->aside, fault);
    if (code != OK) {
        object_files_close(f);
        return code;
    }
    empty(f->aside);
    *ret_files = f;
    return OK;
}

static void free_entry(struct entry *e)
{
    close(e->fd);
    free(e);
}

/* Under the lock. */
static void forget(struct object_files *f, struct entry *e)
{
    map_remove(&f->by_name, view_make(e->name, e->name_bytes));
    list_remove(&e->node);
    e->is_known = false;
    if (e->users == 0) free_entry(e);
}

void object_files_close(struct object_files *f)
{
    list_each(node, &f->by_use) forget(f, container_of(node, struct entry, node));
    map_done(&f->by_name);
    if (f->objects >= 0) close(f->objects);
    if (f->aside >= 0) close(f->aside);
    pthread_mutex_destroy(&f->lock);
    free(f);
}

/* ---- writing ---------------------------------------------------------------------------------------------- */

result object_files_create(struct object_files *f, char ret_new_name[static OBJECT_NEW_NAME_BYTES], int *ret_fd, struct fault *fault)
{
    snprintf(ret_new_name, OBJECT_NEW_NAME_BYTES, "%llu", (unsigned long long)atomic_fetch_add(&f->next_new, 1));
    *ret_fd = openat(f->aside, ret_new_name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    return *ret_fd >= 0 ? OK : files_fail(errno, fault, "make new/%s", ret_new_name);
}

void object_files_discard(struct object_files *f, const char *new_name) { unlinkat(f->aside, new_name, 0); }

/* Syncs the folder that holds `path`, which is cut there. 0 or errno. */
static int sync_parent(int root, char *path)
{
    char *slash = strrchr(path, '/');
    if (slash) *slash = 0;
    int fd = openat(root, slash ? path : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return errno;
    int error = fsync(fd) == 0 ? 0 : errno;
    close(fd);
    return error;
}

/* The folders above `path`, made and synced where they are missing. 0 or errno. */
static int make_parents(int root, const char *path)
{
    char part[OBJECT_PATH_BYTES];
    for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
        snprintf(part, sizeof part, "%.*s", (int)(slash - path), path);
        if (mkdirat(root, part, 0700) != 0) {
            if (errno == EEXIST) continue;
            return errno;
        }
        int error = sync_parent(root, part);
        if (error) return error;
    }
    return 0;
}

/* link() instead of rename(): it tells when the name is taken, on every file system. A folder may be removed while we use it: again. */
static int link_at(int from_root, const char *from, int root, const char *path)
{
    int error = 0;
    for (int i = 0; i < PUBLISH_TRIES; i++) {
        if (linkat(from_root, from, root, path, 0) == 0) return 0;
        if (errno != ENOENT) return errno;
        error = make_parents(root, path);
        if (error && error != ENOENT) return error;
    }
    return error ? error : ENOENT;
}

/* Where renameat2() can, it is one step and one change less. */
static int move_at(int from_root, const char *from, int root, const char *path)
{
    int error = 0;
    for (int i = 0; i < PUBLISH_TRIES; i++) {
        if (renameat2(from_root, from, root, path, RENAME_NOREPLACE) == 0) return 0;
        if (errno == EINVAL || errno == ENOSYS) {
            error = link_at(from_root, from, root, path);
            if (!error) unlinkat(from_root, from, 0);
            return error;
        }
        if (errno != ENOENT) return errno;
        error = make_parents(root, path);
        if (error && error != ENOENT) return error;
    }
    return error ? error : ENOENT;
}

result object_files_publish(struct object_files *f, const char *new_name, view name, struct fault *fault)
{
    char path[OBJECT_PATH_BYTES];
    int error = move_at(f->aside, new_name, f->objects, object_path(name, path));
    if (error) object_files_discard(f, new_name);
    if (error == EEXIST) return fail(fault, EXISTS, "object " VIEW_FMT " exists", VIEW_ARG(name));
    if (!error) error = sync_parent(f->objects, path);
    return error ? files_fail(error, fault, "object " VIEW_FMT, VIEW_ARG(name)) : OK;
}

result object_files_link(struct object_files *f, view from, view to, struct fault *fault)
{
    char from_path[OBJECT_PATH_BYTES], path[OBJECT_PATH_BYTES];
    struct stat s;
    object_path(from, from_path);
    if (fstatat(f->objects, from_path, &s, 0) != 0 && errno == ENOENT) return fail(fault, NOT_FOUND, "no object " VIEW_FMT, VIEW_ARG(from));
    int error = link_at(f->objects, from_path, f->objects, object_path(to, path));
    if (error == EEXIST) return fail(fault, EXISTS, "object " VIEW_FMT " exists", VIEW_ARG(to));
    if (!error) error = sync_parent(f->objects, path);
    return error ? files_fail(error, fault, "object " VIEW_FMT, VIEW_ARG(to)) : OK;
}

/* ---- removing --------------------------------------------------------------------------------------------- */

result object_files_keep_removed_in(struct object_files *f, const char *folder, struct fault *fault)
{
    int fd = -1;
    if (folder) fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder && fd < 0) return files_fail(errno, fault, "folder %s", folder);
    pthread_mutex_lock(&f->lock);
    if (f->keeps_removed) close(f->removed);
    f->keeps_removed = fd >= 0;
    f->removed = fd;
    pthread_mutex_unlock(&f->lock);
    return OK;
}

BLOCKS static int copy_to(int from_root, int root, const char *path)
{
    char from[PATH_BYTES], to[PATH_BYTES], text[32];
    snprintf(text, sizeof text, "/proc/self/fd/%d", from_root);
    files_path(from, text, path);
    snprintf(text, sizeof text, "/proc/self/fd/%d", root);
    files_path(to, text, path);
    int error = make_parents(root, path);
    if (error) return error;
    result code = files_copy(from, to, NULL);
    return code == OK || code == EXISTS || code == NOT_FOUND ? 0 : EIO;
}

int object_files_keep(struct object_files *f, int root, const char *path)
{
    int error = link_at(f->objects, path, root, path);
    if (error == EEXIST) return 0;
    return error == EXDEV || error == EPERM || error == EMLINK ? copy_to(f->objects, root, path) : error;
}

/* Removals wait for one another while a backup runs: the file must be in it before it goes. */
BLOCKS static int keep_and_unlink(struct object_files *f, const char *path)
{
    struct stat s;
    pthread_mutex_lock(&f->lock);
    int error = f->keeps_removed && fstatat(f->objects, path, &s, 0) == 0 ? object_files_keep(f, f->removed, path) : 0;
    if (!error && unlinkat(f->objects, path, 0) != 0) error = errno;
    pthread_mutex_unlock(&f->lock);
    return error;
}

/* Folders that are empty now, but for the first level. */
static void remove_parents(struct object_files *f, char *path)
{
    for (char *slash; (slash = strrchr(path, '/')) && slash != strchr(path, '/');) {
        *slash = 0;
        if (unlinkat(f->objects, path, AT_REMOVEDIR) != 0) return;
    }
}

static void forget_name(struct object_files *f, view name)
{
    pthread_mutex_lock(&f->lock);
    struct entry *e = map_get(&f->by_name, name);
    if (e) forget(f, e);
    pthread_mutex_unlock(&f->lock);
}

result object_files_remove(struct object_files *f, view name, struct fault *fault)
{
    char path[OBJECT_PATH_BYTES];
    int error = keep_and_unlink(f, object_path(name, path));
    forget_name(f, name);
    if (!error) remove_parents(f, path);
    return error && error != ENOENT && error != ENOTDIR ? files_fail(error, fault, "remove object " VIEW_FMT, VIEW_ARG(name)) : OK;
}

/* ---- open objects ----------------------------------------------------------------------------------------- */

/* Under the lock. */
static void use(struct object_files *f, struct entry *e, struct open_object *ret_open)
{
    e->users++;
    list_remove(&e->node);
    list_prepend(&f->by_use, &e->node);
    *ret_open = (struct open_object){e->fd, e->bytes, e};
}

bool object_files_get(struct object_files *f, view name, struct open_object *ret_open)
{
    pthread_mutex_lock(&f->lock);
    struct entry *e = map_get(&f->by_name, name);
    if (e) use(f, e, ret_open);
    pthread_mutex_unlock(&f->lock);
    return e != NULL;
}

static result open_file(struct object_files *f, view name, struct entry **ret_entry, struct fault *fault)
{
    char path[OBJECT_PATH_BYTES];
    struct stat s;
    int fd = openat(f->objects, object_path(name, path), O_RDONLY | O_CLOEXEC);
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR)) return fail(fault, NOT_FOUND, "no object " VIEW_FMT, VIEW_ARG(name));
    if (fd < 0) return files_fail(errno, fault, "object " VIEW_FMT, VIEW_ARG(name));
    if (fstat(fd, &s) != 0 || !S_ISREG(s.st_mode)) {
        close(fd);
        return fail(fault, NOT_FOUND, "no object " VIEW_FMT, VIEW_ARG(name));
    }
    struct entry *e = calloc(1, sizeof *e);
    check(e);
    list_init(&e->node);
    memcpy(e->name, name.at, name.len);
    e->name_bytes = name.len;
    e->fd = fd;
    e->bytes = (uint64_t)s.st_size;
    *ret_entry = e;
    return OK;
}

/* Under the lock. */
static void close_old_ones(struct object_files *f)
{
    for (struct list *node = f->by_use.previous; f->by_name.count > OPEN_MAX && node != &f->by_use;) {
        struct entry *e = container_of(node, struct entry, node);
        node = node->previous;
        if (e->users == 0) forget(f, e);
    }
}

result object_files_open_one(struct object_files *f, view name, struct open_object *ret_open, struct fault *fault)
{
    struct entry *e;
    if (object_files_get(f, name, ret_open)) return OK;
    result code = open_file(f, name, &e, fault);
    if (code != OK) return code;
    pthread_mutex_lock(&f->lock);
    struct entry *other = map_get(&f->by_name, name);
    if (other) {
        free_entry(e);
        e = other;
    } else {
        map_put(&f->by_name, view_make(e->name, e->name_bytes), e);
        e->is_known = true;
    }
    use(f, e, ret_open);
    close_old_ones(f);
    pthread_mutex_unlock(&f->lock);
    return OK;
}

void object_files_put(struct object_files *f, struct open_object *o)
{
    struct entry *e = o->entry;
    pthread_mutex_lock(&f->lock);
    if (--e->users == 0 && !e->is_known) free_entry(e);
    pthread_mutex_unlock(&f->lock);
}
