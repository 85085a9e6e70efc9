/*
 * archive: the second place for objects, another folder, as a rule on another disk: those whose names begin with "cold/" (engine.h).
 *
 * It has the same tree of files as the store, without the prefix. A text in the store and the same one in the archive say that they belong
 * together: a folder that is empty because its disk is not mounted, or another store's, is not taken for it. While it is away, only what
 * asks for it fails, as UNAVAILABLE; it is looked for again every ARCHIVE_LOOK_MS.
 */
#pragma once

#include "engine/local/object_files.h"

struct archive;

enum { ARCHIVE_LOOK_MS = 5000 };

/* `folder` NULL: none is configured. Never fails: it may come later. Tells of one that is away by an event. */
BLOCKS struct archive *archive_open(const char *store, const char *folder);
void archive_close(struct archive *a);
/* False: none is configured. */
bool archive_is_configured(const struct archive *a);
/* The store has, or had, one: its objects may be there. */
bool archive_was_used(const struct archive *a);
const char *archive_folder(const struct archive *a);
/* UNAVAILABLE: away, or none is configured. */
BLOCKS NODISCARD result archive_files(struct archive *a, struct object_files **ret_files, struct fault *fault);
/* The same without looking for it: NULL when it is not there. Never blocks. */
struct object_files *archive_files_now(struct archive *a);

/* For copies of both: the text that says that they belong together. */
#define ARCHIVE_MARK "archive"
