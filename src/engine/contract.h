/*
 * contract: what every engine must do, as cases that run on any of them.
 *
 * A case runs as a coroutine on loop 0 of a node with at least two loops, with an engine on an empty store. A test
 * program makes one test of each:
 *
 *     static void run_case(void (*run)(struct contract *c)) { ... start loops, open, run, close ... }
 *     #define CASE(name) TEST(local_##name) { run_case(contract_##name); }
 *     ENGINE_CONTRACT(CASE)
 *
 * and lists contract_journal.c, contract_object.c, contract_table.c and contract_signal.c among its files.
 */
#pragma once

#include "engine/engine.h"

struct contract {
    struct engine *engine;
    /* Closes the engine and opens the store again: *engine is another one then. */
    void (*reopen)(struct contract *c);
    void *context;                       /* the program's own */
};

#define ENGINE_CONTRACT(CASE)                                    \
    CASE(journal_comes_into_being_with_its_first_record)         \
    CASE(journal_keeps_records_in_order_with_their_bodies)       \
    CASE(journal_batch_keeps_its_order)                          \
    CASE(journal_append_on_condition_holds_or_conflicts)         \
    CASE(journal_condition_lets_one_of_many_win)                 \
    CASE(journal_is_read_on_from_any_position)                   \
    CASE(journal_pages_end_at_their_limits)                      \
    CASE(journal_bodies_are_read_in_parts_and_many_at_once)      \
    CASE(journal_append_tells_where_its_record_is)               \
    CASE(journal_head_takes_the_place_of_what_it_folded)         \
    CASE(journal_head_is_replaced_by_one_only)                   \
    CASE(journal_head_may_fold_nothing_or_all)                   \
    CASE(journal_reader_of_a_former_epoch_gets_the_head)         \
    CASE(journal_appends_during_a_replacement_are_kept)          \
    CASE(journal_is_removed_with_all_it_had)                     \
    CASE(journal_list_is_whole_and_in_parts)                  \
    CASE(journal_sizes_are_limited)                              \
    CASE(journal_takes_appends_from_several_loops)               \
    CASE(journal_appends_are_told_on_the_loop_that_started_them) \
    CASE(journal_outlives_its_engine)                            \
    CASE(journal_deadline_in_the_past_leaves_no_doubt_for_long)  \
    CASE(object_is_read_back_in_ranges)                          \
    CASE(object_is_invisible_until_committed)                    \
    CASE(object_exists_once)                                     \
    CASE(object_copy_lives_on_its_own)                           \
    CASE(object_list_is_in_order_and_in_parts)                   \
    CASE(object_names_are_checked)                               \
    CASE(object_may_be_large)                                    \
    CASE(object_outlives_its_engine)                             \
    CASE(object_may_be_in_the_archive)                           \
    CASE(table_rows_are_put_got_and_removed)                     \
    CASE(table_conditions_hold_or_nothing_is_done)               \
    CASE(table_scan_is_in_order_of_bytes)                        \
    CASE(table_shards_are_apart)                                 \
    CASE(table_sizes_are_limited)                                \
    CASE(table_counts_right_from_several_loops)                  \
    CASE(table_outlives_its_engine)                              \
    CASE(signal_tells_of_appends_anywhere)                       \
    CASE(signal_tells_no_one_who_left)                           \
    CASE(signal_may_be_left_while_being_told)                    \
    CASE(lease_has_one_owner_at_a_time)                          \
    CASE(lease_ends_with_its_time)

#define CONTRACT_DECLARE(name) MAY_YIELD void contract_##name(struct contract *c);
ENGINE_CONTRACT(CONTRACT_DECLARE)
#undef CONTRACT_DECLARE

/* For the cases: a deadline that no healthy engine misses. */
millis contract_soon(void);
/* Appends one record; fails the test unless OK. */
MAY_YIELD struct journal_append contract_append(struct contract *c, struct id journal, view meta, view body);
/* All records of the journal from `from` on, page by page. The metas live in `arena`. */
MAY_YIELD struct journal_record *contract_read_all(struct contract *c, struct id journal, const struct journal_position *from,
                                                   struct arena *arena, size_t *ret_count);
/* Runs run(argument) on `count` coroutines spread over all loops, and returns when all have ended. */
MAY_YIELD void contract_run_many(size_t count, void (*run)(void *argument), void *argument);
