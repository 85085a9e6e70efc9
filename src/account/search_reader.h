/*
 * search_reader: a segment that is open: its directory, and pages of it that were read lately and agreed with their checksums.
 *
 * Readers belong to their account and stay after their last use while the loop's cache lasts.
 */
#pragma once

#include "account/home.h"
#include "account/segment.h"

struct search_page { struct list node; struct search_reader *reader; uint32_t number; buf bytes; };

struct search_reader {
    struct list of_account;                  /* in account.search_readers */
    struct account *account;
    view object;                             /* malloced */
    struct segment_index *index;
    struct search_page **pages;              /* by number */
    unsigned users;
    bool is_bad;                             /* damaged or lost: not believed any more */
    millis deadline;                         /* of who reads now */
};

/* Holds it. CORRUPT also when its object is lost. */
MAY_YIELD NODISCARD result search_reader_open(struct account *a, view object, millis deadline, struct search_reader **ret_reader, struct fault *fault);
void search_reader_close(struct search_reader *r);
/* For segment_find() and merges. Pauses when the loop was held for long. */
struct segment_source search_reader_source(struct search_reader *r);
MAY_YIELD NODISCARD result search_reader_read(struct search_reader *r, uint64_t offset, size_t bytes, buf *into, struct fault *fault);
/* Who met damage says so: the segment is built anew. */
void search_reader_distrust(struct search_reader *r);
/* It is looked at anew: for whoever reads all of it. */
void search_reader_forgive(struct account *a, view object);
bool search_is_distrusted(const struct account *a, view object);
/* Forgets what is distrusted and not in the list any more. */
void search_forget_distrusted(struct account *a);
/* Before an account's memory goes: readers; and answers (search.c). */
void account_drop_search(struct account *a);
void account_drop_hits(struct account *a);
