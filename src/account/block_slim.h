/*
 * block_slim: rows of a block as they are kept while nobody changes them, in about half of the memory. Pure.
 *
 * Rows of a block are alike: each number is kept as its difference from the column's least, in as many bytes as the largest difference needs;
 * UIDs and entries of packs, which mostly rise by one, as the difference from that. Any row can be read by itself, and its flags can be changed
 * where they stand. Copies share their bytes until flags of one are changed.
 */
#pragma once

#include "account/row.h"

struct slim_rows;

/* NULL: they would not become smaller by a quarter at least. */
struct slim_rows *slim_rows_new(const struct row *rows, uint32_t count);
void slim_rows_free(struct slim_rows *s);
struct slim_rows *slim_rows_copy(const struct slim_rows *s);
/* Of `count` rows from `first` on, with consecutive UIDs from that of `like` on, and its modseq and save date. */
struct slim_rows *slim_rows_copy_as(const struct slim_rows *s, uint32_t first, uint32_t count, const struct row *like);
/* As if it shared none. */
size_t slim_rows_bytes(const struct slim_rows *s);
uint32_t slim_row_uid(const struct slim_rows *s, uint32_t index);
uint64_t slim_row_modseq(const struct slim_rows *s, uint32_t index);
/* The first in [index, end) with a modseq above `since`, or `end`. */
uint32_t slim_rows_next_changed(const struct slim_rows *s, uint32_t index, uint32_t end, uint64_t since);
uint64_t slim_row_flags(const struct slim_rows *s, uint32_t index);
/* False, and nothing is done: there is no room for such numbers. */
bool slim_row_set_flags(struct slim_rows *s, uint32_t index, uint64_t flags, uint64_t modseq);
/* What sums need. */
struct slim_numbers { uint32_t size_bytes; uint64_t flags, modseq; };
struct slim_numbers slim_row_numbers(const struct slim_rows *s, uint32_t index);
void slim_rows_read(const struct slim_rows *s, uint32_t first, uint32_t count, struct row *into);
