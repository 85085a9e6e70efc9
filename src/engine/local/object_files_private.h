/* object_files_private: shared by object_files.c, object_list.c and backup.c. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "base/list.h"
#include "base/map.h"
#include "engine/local/object_files.h"

struct object_files {
    int objects, aside;              /* folders */
    atomic_ullong next_new;
    pthread_mutex_t lock;
    struct map by_name;              /* struct entry */
    struct list by_use;
    bool keeps_removed;
    int removed;                     /* folder of a backup under way */
};

/* Links or copies the object at `path` into the folder `root`. OK if it is there. 0 or errno. */
BLOCKS int object_files_keep(struct object_files *f, int root, const char *path);
