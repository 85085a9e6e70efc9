#include "engine/local/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"

enum { COPY_BYTES = 256 << 10 };

result files_fail(int error, struct fault *fault, const char *format, ...)
{
    char doing[200];
    bool is_full = error == ENOSPC || error == EDQUOT;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(doing, sizeof doing, format, arguments);
    va_end(arguments);
    result code = fail(fault, is_full ? UNAVAILABLE : IO, "%s: %s", doing, strerrordesc_np(error));
    if (is_full) fault_tell(fault, "The store is full");
    return code;
}

int files_write_all(int fd, view bytes)
{
    while (bytes.len) {
        ssize_t n = write(fd, bytes.at, bytes.len);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return errno;
        bytes = view_from(bytes, (size_t)n);
    }
    return 0;
}

const char *files_path(char into[static PATH_BYTES], const char *folder, const char *name)
{
    int len = snprintf(into, PATH_BYTES, "%s/%s", folder, name);
    check(len > 0 && len < PATH_BYTES);
    return into;
}

result files_make_folder(const char *path, struct fault *fault)
{
    return mkdir(path, 0700) == 0 || errno == EEXIST ? OK : files_fail(errno, fault, "make folder %s", path);
}

result files_sync_folder(const char *path, struct fault *fault)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return files_fail(errno, fault, "folder %s", path);
    int error = fsync(fd) == 0 ? 0 : errno;
    close(fd);
    return error ? files_fail(error, fault, "sync folder %s", path) : OK;
}

result files_read_small(const char *path, size_t max_bytes, char **ret_text, struct fault *fault)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return errno == ENOENT ? NOT_FOUND : files_fail(errno, fault, "open %s", path);
    char *text = calloc(1, max_bytes + 1);
    check(text);
    ssize_t n = read(fd, text, max_bytes);
    int error = errno;
    close(fd);
    if (n < 0) {
        free(text);
        return files_fail(error, fault, "read %s", path);
    }
    *ret_text = text;
    return OK;
}

static int write_and_sync(int fd, view text)
{
    int error = files_write_all(fd, text);
    return error ? error : fsync(fd) == 0 ? 0 : errno;
}

BLOCKS static result sync_folder_of(const char *path, struct fault *fault)
{
    char folder[PATH_BYTES];
    snprintf(folder, sizeof folder, "%s", path);
    char *slash = strrchr(folder, '/');
    if (slash) *slash = 0;
    return files_sync_folder(slash ? folder : ".", fault);
}

result files_write_small(const char *path, view text, struct fault *fault)
{
    char aside[PATH_BYTES];
    check((size_t)snprintf(aside, sizeof aside, "%s.new", path) < sizeof aside);
    int fd = open(aside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) return files_fail(errno, fault, "write %s", path);
    int error = write_and_sync(fd, text);
    close(fd);
    if (!error && rename(aside, path) != 0) error = errno;
    if (error) unlink(aside);
    return error ? files_fail(error, fault, "write %s", path) : sync_folder_of(path, fault);
}

static int copy_bytes(int from, int to)
{
    char *piece = malloc(COPY_BYTES);
    check(piece);
    int error = 0;
    for (ssize_t n; !error && (n = read(from, piece, COPY_BYTES)) != 0;) {
        if (n < 0) error = errno == EINTR ? 0 : errno;
        else error = files_write_all(to, view_make(piece, (size_t)n));
    }
    free(piece);
    return error ? error : fsync(to) == 0 ? 0 : errno;
}

result files_copy(const char *from, const char *to, struct fault *fault)
{
    int in = open(from, O_RDONLY | O_CLOEXEC);
    if (in < 0) return errno == ENOENT ? NOT_FOUND : files_fail(errno, fault, "open %s", from);
    int out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    int error = out < 0 ? errno : copy_bytes(in, out);
    close(in);
    if (out >= 0) close(out);
    if (error && out >= 0) unlink(to);
    if (out < 0 && error == EEXIST) return EXISTS;
    return error ? files_fail(error, fault, "copy %s to %s", from, to) : OK;
}

result files_link_or_copy(const char *from, const char *to, struct fault *fault)
{
    if (link(from, to) == 0) return OK;
    if (errno == EEXIST) return EXISTS;
    if (errno == ENOENT) return NOT_FOUND;
    if (errno == EXDEV || errno == EPERM || errno == EMLINK || errno == EOPNOTSUPP) return files_copy(from, to, fault);
    return files_fail(errno, fault, "link %s to %s", from, to);
}
