/* Trees of files: measured and linked, for backup and restore. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/check.h"
#include "engine/local/files.h"

enum { DEPTH_MAX = 110 };                /* names of objects have at most 200 bytes, so at most 100 parts */

struct tree {
    buf from, to;                        /* paths, with a NUL behind; `to` unused when measuring */
    bool links;
    bool (*may_change)(const char *name);
    uint64_t *sum_bytes;
    struct files_progress *progress;
    struct fault *fault;
};

static void set_path(buf *b, size_t len, const char *name)
{
    b->len = len;
    if (name) {
        buf_append_byte(b, '/');
        buf_append_cstr(b, name);
    }
    buf_append_byte(b, 0);
    b->len--;
}

BLOCKS static result take_file(struct tree *t, const char *name, uint64_t bytes)
{
    if (!t->links) {
        *t->sum_bytes += bytes;
        return OK;
    }
    bool copies = t->may_change && t->may_change(name);
    result code = copies ? files_copy(t->from.at, t->to.at, t->fault) : files_link_or_copy(t->from.at, t->to.at, t->fault);
    if (code != OK && code != EXISTS && code != NOT_FOUND) return code;
    struct files_progress *p = t->progress;
    p->done_bytes += bytes;
    if (p->done_bytes > p->all_bytes) p->all_bytes = p->done_bytes;
    if (p->told) p->told(p->argument, p->done_bytes, p->all_bytes);
    return OK;
}

BLOCKS static result take_folder(struct tree *t, unsigned depth);

BLOCKS static result take_entry(struct tree *t, const char *name, unsigned depth)
{
    struct stat s;
    if (lstat(t->from.at, &s) != 0) return errno == ENOENT ? OK : files_fail(errno, t->fault, "look at %s", t->from.at);
    if (S_ISREG(s.st_mode)) return take_file(t, name, (uint64_t)s.st_size);
    return S_ISDIR(s.st_mode) ? take_folder(t, depth + 1) : OK;
}

/* Recursion is bounded by DEPTH_MAX. */
static result take_folder(struct tree *t, unsigned depth)
{
    size_t from_len = t->from.len, to_len = t->to.len;
    result code = t->links ? files_make_folder(t->to.at, t->fault) : OK;
    if (code != OK) return code;
    if (depth > DEPTH_MAX) return fail(t->fault, TOO_BIG, "%s lies too deep", t->from.at);
    DIR *d = opendir(t->from.at);
    if (!d) return errno == ENOENT ? OK : files_fail(errno, t->fault, "folder %s", t->from.at);
    for (;;) {
        errno = 0;
        struct dirent *entry = readdir(d);
        if (!entry && errno) code = files_fail(errno, t->fault, "folder %s", t->from.at);
        if (!entry || code != OK) break;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        set_path(&t->from, from_len, entry->d_name);
        if (t->links) set_path(&t->to, to_len, entry->d_name);
        code = take_entry(t, entry->d_name, depth);
    }
    closedir(d);
    set_path(&t->from, from_len, NULL);
    if (t->links) set_path(&t->to, to_len, NULL);
    return code;
}

BLOCKS static result walk(struct tree *t, const char *from, const char *to)
{
    buf_append_cstr(&t->from, from);
    if (to) buf_append_cstr(&t->to, to);
    set_path(&t->from, t->from.len, NULL);
    if (to) set_path(&t->to, t->to.len, NULL);
    result code = take_folder(t, 0);
    buf_done(&t->from);
    buf_done(&t->to);
    return code;
}

result files_measure_tree(const char *folder, uint64_t *sum_bytes, struct fault *fault)
{
    struct tree t = {.sum_bytes = sum_bytes, .fault = fault};
    return walk(&t, folder, NULL);
}

result files_link_tree(const char *from, const char *to, bool (*may_change)(const char *name), struct files_progress *progress,
                       struct fault *fault)
{
    struct tree t = {.links = true, .may_change = may_change, .progress = progress, .fault = fault};
    return walk(&t, from, to);
}

static bool is_empty(const char *path)
{
    DIR *d = opendir(path);
    bool any = false;
    if (!d) return false;
    for (struct dirent *entry; !any && (entry = readdir(d));) any = strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    closedir(d);
    return !any;
}

result files_make_empty_folder(const char *path, struct fault *fault)
{
    result code = files_make_folder(path, fault);
    if (code != OK) return code;
    return is_empty(path) ? OK : fail(fault, EXISTS, "%s is not an empty folder", path);
}

result files_sync_all(const char *folder, struct fault *fault)
{
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return files_fail(errno, fault, "folder %s", folder);
    int error = syncfs(fd) == 0 ? 0 : errno;
    close(fd);
    return error ? files_fail(error, fault, "sync %s", folder) : OK;
}
