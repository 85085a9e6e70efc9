/*
 * Names of objects in order. Folders that cannot hold one that is wanted are not entered; what is found is cut back to the first `max`
 * whenever it is twice that, so that memory does not follow the number of objects.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "engine/engine.h"
#include "engine/local/files.h"
#include "engine/local/object_files_private.h"

struct listing {
    view prefix, after;
    size_t max, count, capacity;
    char (*names)[ENGINE_NAME_MAX_BYTES + 1];
    buf path;                        /* of the folder that is read, below XX; ends in a slash or is empty */
    struct fault *fault;
};

static int compare(const void *a, const void *b) { return strcmp(a, b); }

static void cut_back(struct listing *l)
{
    if (l->count) qsort(l->names, l->count, sizeof *l->names, compare);
    if (l->count > l->max) l->count = l->max;
}

static void add(struct listing *l, view name)
{
    if (!view_starts(name, l->prefix) || view_compare(name, l->after) <= 0 || name.len > ENGINE_NAME_MAX_BYTES) return;
    if (l->count == l->max * 2) cut_back(l);
    if (l->count == l->capacity) {
        l->capacity = l->capacity ? l->capacity * 2 : 64;
        l->names = realloc(l->names, l->capacity * sizeof *l->names);
        check(l->names);
    }
    memcpy(l->names[l->count], name.at, name.len);
    l->names[l->count++][name.len] = 0;
}

/* Some name below the folder `path` (which ends in a slash) may be wanted. */
static bool may_hold(const struct listing *l, view path)
{
    bool fits = view_starts(path, l->prefix) || view_starts(l->prefix, path);
    return fits && (view_compare(path, l->after) > 0 || view_starts(l->after, path));
}

static bool is_folder(int parent, const struct dirent *entry)
{
    struct stat s;
    if (entry->d_type != DT_UNKNOWN) return entry->d_type == DT_DIR;
    return fstatat(parent, entry->d_name, &s, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(s.st_mode);
}

/* Recursion: each level adds two bytes or more to a name of at most ENGINE_NAME_MAX_BYTES. */
static result read_folder(struct listing *l, int fd)
{
    DIR *d = fdopendir(fd);
    if (!d) {
        int error = errno;
        close(fd);
        return files_fail(error, l->fault, "list objects");
    }
    result code = OK;
    size_t before = l->path.len;
    for (; code == OK; l->path.len = before) {
        errno = 0;
        struct dirent *entry = readdir(d);
        if (!entry && errno) code = files_fail(errno, l->fault, "list objects");
        if (!entry) break;
        if (entry->d_name[0] == '.') continue;
        buf_append_cstr(&l->path, entry->d_name);
        if (!is_folder(dirfd(d), entry)) {
            add(l, buf_view(&l->path));
            continue;
        }
        buf_append_byte(&l->path, '/');
        if (l->path.len > ENGINE_NAME_MAX_BYTES || !may_hold(l, buf_view(&l->path))) continue;
        int inner = openat(dirfd(d), entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (inner >= 0) code = read_folder(l, inner);
        else if (errno != ENOENT) code = files_fail(errno, l->fault, "list objects");
    }
    closedir(d);
    return code;
}

static result read_shard(struct listing *l, struct object_files *f, const char *shard)
{
    int fd = openat(f->objects, shard, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return errno == ENOENT ? OK : files_fail(errno, l->fault, "list objects");
    return read_folder(l, fd);
}

result object_files_list(struct object_files *f, view prefix, view after, size_t max, buf *ret_names, size_t *ret_count, struct fault *fault)
{
    struct listing l = {.prefix = prefix, .after = after, .max = max, .fault = fault};
    char shard[OBJECT_PATH_BYTES];
    result code = OK;
    if (view_has_byte(prefix, '/')) {
        object_path(prefix, shard);
        shard[2] = 0;
        code = read_shard(&l, f, shard);
    } else {
        for (unsigned i = 0; i < 256 && code == OK; i++) {
            snprintf(shard, sizeof shard, "%02x", i);
            code = read_shard(&l, f, shard);
        }
    }
    cut_back(&l);
    for (size_t i = 0; i < l.count && code == OK; i++) buf_append(ret_names, view_make(l.names[i], strlen(l.names[i]) + 1));
    if (code == OK) *ret_count = l.count;
    buf_done(&l.path);
    free(l.names);
    return code;
}
