/*
 * view (of a mailbox): what one session has been told of it.
 *
 * Sequence numbers are the session's: they stay as they are, whatever others do to the mailbox, until
 * mailbox_view_sync() tells the session what changed. A view costs little: it shares the mailbox's rows, and
 * remembers the expunges that its session has not heard of yet and the largest UID it knows.
 * Lives on the account's home loop.
 */
#pragma once

#include "account/account.h"
#include "account/numbering.h"

struct mailbox_view;

/* NOT_FOUND when the mailbox is gone. The account must stay open longer than the view. */
NODISCARD result mailbox_view_open(struct account *a, uint32_t mailbox, struct mailbox_view **ret_view);
void mailbox_view_close(struct mailbox_view *v);
uint32_t mailbox_view_mailbox(const struct mailbox_view *v);
/* False once the mailbox was deleted: the session then has an empty view of it. */
bool mailbox_view_exists(const struct mailbox_view *v);

uint32_t mailbox_view_count(const struct mailbox_view *v);            /* EXISTS */
uint32_t mailbox_view_highest_uid(const struct mailbox_view *v);      /* of the messages in the view, 0 if none */
/*
 * Copies up to `max` rows from sequence number `first` (1-based) on. A message that others have expunged and this
 * session has not heard of yet has uid set and size_bytes and message zero (is_gone() below).
 * Yields only when blocks must be loaded.
 */
MAY_YIELD NODISCARD result mailbox_view_rows(struct mailbox_view *v, uint32_t first, size_t max, struct row *rows, size_t *ret_count,
                                             millis deadline, struct fault *fault);
static inline bool row_is_gone(const struct row *r) { return id_is_none(r->message); }
/* The sequence numbers of the messages with UIDs in [first, last]: *ret_first > *ret_last when there are none. Does not yield. */
MAY_YIELD NODISCARD result mailbox_view_range(struct mailbox_view *v, uint32_t first_uid, uint32_t last_uid, uint32_t *ret_first, uint32_t *ret_last,
                                              millis deadline, struct fault *fault);
/*
 * A set of sequence numbers (resolved; what is above the count is left out) as the set of UIDs it stands for: a range for each range,
 * which also has the UIDs in between that no message has.
 */
MAY_YIELD NODISCARD result mailbox_view_uids(struct mailbox_view *v, const struct imap_set *sequence_numbers, struct arena *arena,
                                             struct imap_set *ret_uids, millis deadline, struct fault *fault);

/*
 * Brings the view up to the state that the account has in memory (call account_refresh() first to learn what others did). What there is to tell comes as
 * struct mailbox_changes (numbering.h), to be ended with mailbox_changes_done(). Without `may_expunge` (RFC 9051 §7.5.1: during FETCH, STORE, SEARCH)
 * expunges wait for the next time. Costs little, whatever happened.
 */
void mailbox_view_sync(struct mailbox_view *v, bool may_expunge, struct mailbox_changes *ret_changes);
/*
 * Sequence numbers of some more messages whose flags changed, instead of what is in `numbers`; there may be none among them. END: there are no more. They
 * are right until the next sync. Yields only when blocks must be loaded; another result than OK and END: mailbox_view_tell_again().
 */
MAY_YIELD NODISCARD result mailbox_view_next_changed(struct mailbox_view *v, struct mailbox_changes *c, struct imap_set_builder *numbers, millis deadline,
                                                     struct fault *fault);
/* Not all changes of flags could be told: the next sync has them all again. */
void mailbox_view_tell_again(struct mailbox_view *v, const struct mailbox_changes *c);
/*
 * UIDs, as ranges, outside of which no message was changed by a record after `since` and up to now: of blocks in memory the changed ones and few others,
 * of the rest all of a block that has one (block_add_changed()). Costs the number of blocks and what changed. TOO_BIG when the arena has no room for
 * them, 8 bytes a range.
 */
MAY_YIELD NODISCARD result mailbox_view_touched(struct mailbox_view *v, uint64_t since, struct arena *arena, struct imap_set *ret_uids, struct fault *fault);
/*
 * The same for internal dates from `from` to `until`, both included: of blocks in memory those that may have some. Costs the number of blocks; the fewer
 * blocks the more the messages came in the order of their dates. Does not yield.
 */
NODISCARD result mailbox_view_dated(const struct mailbox_view *v, unix_ms from, unix_ms until, struct arena *arena, struct imap_set *ret_uids, struct fault *fault);
/* The same for messages that have ROW_SEEN or ROW_DELETED, or have not: blocks that have some, in memory or not. */
NODISCARD result mailbox_view_flagged(const struct mailbox_view *v, uint64_t flag, bool is_set, struct arena *arena, struct imap_set *ret_uids, struct fault *fault);
/* Something is there to tell. Cheap. */
bool mailbox_view_is_behind(const struct mailbox_view *v);
/*
 * The session has told its client of the changes of this record itself (FLAGS of its own STORE): sync need not. `follows`: as its outcome says, and
 * 0 if that is not at hand.
 */
void mailbox_view_knows(struct mailbox_view *v, uint64_t follows, uint64_t modseq);
/* So it need not of this record. */
bool mailbox_view_has_told(const struct mailbox_view *v, uint64_t modseq);
