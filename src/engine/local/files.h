/* files: small things about files. For worker threads. */
#pragma once

#include <stdint.h>

#include "base/fault.h"
#include "base/view.h"
#include "runtime/colour.h"

/* The fault of a system call: UNAVAILABLE when the disk is full (with a text for the client), else IO. */
result files_fail(int error, struct fault *fault, const char *format, ...) __attribute__((cold, format(printf, 3, 4)));
/* 0, or errno. */
int files_write_all(int fd, view bytes);
BLOCKS NODISCARD result files_make_folder(const char *path, struct fault *fault);     /* OK if it is there */
BLOCKS NODISCARD result files_sync_folder(const char *path, struct fault *fault);
/* All of a small file (at most max_bytes), as a C string to be freed. NOT_FOUND. */
BLOCKS NODISCARD result files_read_small(const char *path, size_t max_bytes, char **ret_text, struct fault *fault);
/* Written aside, synced, renamed, and the folder synced. */
BLOCKS NODISCARD result files_write_small(const char *path, view text, struct fault *fault);
/* A hard link, or a synced copy where the file system cannot. EXISTS. */
BLOCKS NODISCARD result files_link_or_copy(const char *from, const char *to, struct fault *fault);
BLOCKS NODISCARD result files_copy(const char *from, const char *to, struct fault *fault);
/* OK: absent before, or empty, and there now. EXISTS: it has something in it. */
BLOCKS NODISCARD result files_make_empty_folder(const char *path, struct fault *fault);
/* What a walk over a tree of files told so far. */
struct files_progress {
    void (*told)(void *argument, uint64_t done_bytes, uint64_t all_bytes);     /* may be NULL */
    void *argument;
    uint64_t done_bytes, all_bytes;
};
/* Adds up the bytes of all files below `folder`. */
BLOCKS NODISCARD result files_measure_tree(const char *folder, uint64_t *sum_bytes, struct fault *fault);
/*
 * Makes the tree `to` with links to all files of `from` (or copies, across file systems). Files that go while it works are left out, such as
 * are there already are kept. `may_change(name)`: files that are written again and so must be copied; NULL: none.
 */
BLOCKS NODISCARD result files_link_tree(const char *from, const char *to, bool (*may_change)(const char *name), struct files_progress *progress,
                                        struct fault *fault);
/* All that was written in the file system of `folder` is durable. */
BLOCKS NODISCARD result files_sync_all(const char *folder, struct fault *fault);
/* "folder/name" in a buffer of the caller; check()ed to fit. */
enum { PATH_BYTES = 640 };
const char *files_path(char into[static PATH_BYTES], const char *folder, const char *name);
