/*
 * local: the engine of one machine: RocksDB for journals and tables with group commit, files for objects.
 *
 * One process at a time opens a folder (BUSY otherwise). A single committer thread gathers all waiting appends into
 * one synced write batch. Layout of the folder: doc/formats/local-engine.md.
 */
#pragma once

#include "engine/engine.h"

struct engine_local_options {
    const char *folder;                  /* created if absent */
    const char *archive_folder;          /* of the archive; NULL or empty: none. Created if absent, unless the store has one already */
    uint64_t cache_bytes;                /* block cache; 0: default 64 MiB */
    uint64_t write_buffer_bytes;         /* memtables; 0: default */
    bool never_sync;                     /* tests only: durability of a process crash, not of the machine's */
};
MAY_YIELD NODISCARD result engine_open_local(const struct engine_local_options *options, struct engine **ret_engine, struct fault *fault);
/*
 * Turns a folder that engine_backup() wrote into one that can be opened. `folder` must be absent or empty, as must `archive_folder`, which is needed
 * (INVALID without) when the backup has an archive, and left alone otherwise.
 */
BLOCKS NODISCARD result engine_restore_local(const char *backup, const char *folder, const char *archive_folder, struct fault *fault);
