/*
 * object_files: the files of objects, and which of them are open.
 *
 * An object NAME is the file objects/XX/NAME, XX by the first part of the name (so that no folder grows without end), written
 * under new/ first, synced, renamed, its folder synced. Files never change, so open ones are kept for later reads.
 */
#pragma once

#include <sys/types.h>

#include "base/buf.h"
#include "base/fault.h"
#include "runtime/colour.h"

struct object_files;

enum { OBJECT_PATH_BYTES = 240 };        /* "XX/" and a name */
const char *object_path(view name, char path[static OBJECT_PATH_BYTES]);

/* `folder` of the engine. Makes objects/ and new/, and empties new/. */
BLOCKS NODISCARD result object_files_open(const char *folder, struct object_files **ret_files, struct fault *fault);
void object_files_close(struct object_files *f);

/* A file under new/: the caller closes it, then object_files_publish() or object_files_discard() it. */
enum { OBJECT_NEW_NAME_BYTES = 24 };
BLOCKS NODISCARD result object_files_create(struct object_files *f, char ret_new_name[static OBJECT_NEW_NAME_BYTES], int *ret_fd, struct fault *fault);
/* Its bytes are synced. EXISTS: then it is gone. Durable when OK. */
BLOCKS NODISCARD result object_files_publish(struct object_files *f, const char *new_name, view name, struct fault *fault);
BLOCKS void object_files_discard(struct object_files *f, const char *new_name);
BLOCKS NODISCARD result object_files_link(struct object_files *f, view from, view to, struct fault *fault);
/* OK also when there was none. */
BLOCKS NODISCARD result object_files_remove(struct object_files *f, view name, struct fault *fault);

/* An open object. Held until object_files_put(). */
struct open_object { int fd; uint64_t bytes; void *entry; };
bool object_files_get(struct object_files *f, view name, struct open_object *ret_open);        /* false: not open now. Never blocks */
BLOCKS NODISCARD result object_files_open_one(struct object_files *f, view name, struct open_object *ret_open, struct fault *fault);
void object_files_put(struct object_files *f, struct open_object *o);

/* Names with `prefix` after `after`, in order of bytes, at most `max`: each with a NUL behind it. */
BLOCKS NODISCARD result object_files_list(struct object_files *f, view prefix, view after, size_t max, buf *ret_names, size_t *ret_count,
                                          struct fault *fault);
/*
 * From now on what is removed is first linked (or copied) into folder/objects, until NULL: so that a backup that began before has it.
 */
NODISCARD result object_files_keep_removed_in(struct object_files *f, const char *folder, struct fault *fault);
