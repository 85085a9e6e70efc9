/*
 * feature: what the nodes of a cluster may write, by level.
 *
 * A format's new version has a level of its own here. A program reads every version up to its own FEATURE_LEVEL_MAX; it writes a new
 * version only when the cluster's level (src/cluster/) has reached it, that is, when every node understands it. Levels only rise;
 * doc/operations/cluster.md has them with what they bring. -Dfeature_level=N makes a program that knows only the first N.
 */
#pragma once

enum feature_level {
    FEATURE_LEVEL_FIRST = 1,
    FEATURE_HEAD_ORIGIN = 2,       /* heads of journals say when they were written, and by which node: version 2 of account-head.md */
    FEATURE_ANNOTATIONS = 3,       /* annotations, and appends of several messages at once: records 12 and 13 and hidden appends of journal-records.md */
    FEATURE_QUEUE_WISHES = 4,      /* messages in the queue have a time to be sent at, one to be there by and a priority; orders have filters: version 2 of queue.md */
    FEATURE_QUEUE_FRONT = 5,       /* fields that were made for a large message on its way out, in the body of its queue record: queue.md */
    FEATURE_SEARCH = 6,            /* an index for searches: section 2 of snapshot.md's directories, retired objects of kind 'i' in account-head.md */
    FEATURE_ARCHIVE = 7,           /* old messages in the archive: section 3 of snapshot.md's directories, packs of version 2, retired objects of kind 'c' */
    FEATURE_SEARCH_FILTERS = 8,    /* filters in segments of the index for searches: version 2 of search.md */
    FEATURE_LEVEL_KNOWN = 8,       /* the last of them */
#ifdef TAYORI_FEATURE_LEVEL
    FEATURE_LEVEL_MAX = TAYORI_FEATURE_LEVEL,
#else
    FEATURE_LEVEL_MAX = FEATURE_LEVEL_KNOWN,
#endif
};
_Static_assert(FEATURE_LEVEL_MAX >= FEATURE_LEVEL_FIRST && FEATURE_LEVEL_MAX <= FEATURE_LEVEL_KNOWN, "-Dfeature_level out of range");
