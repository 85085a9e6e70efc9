/*
 * numbering: the sequence numbers that one session has of a mailbox, without an entry per message.
 *
 * A session's messages are the mailbox's rows up to a UID, and ghosts: messages that were expunged since the session was last told. Their
 * sequence numbers do not change until numbering_tell(). Ghosts are ranges of consecutive UIDs that also are consecutive numbers, so the
 * expunge of a million messages is a few of them.
 * Numbers and indexes are 1-based and 0-based: sequence numbers begin with 1, places among the mailbox's rows with 0.
 */
#pragma once

#include "base/arena.h"
#include "base/list.h"
#include "formats/imap_set.h"

struct mailbox;
struct block_key;
struct row;

struct ghost {
    uint32_t first, last;               /* UIDs */
    uint32_t number;                    /* sequence number of `first` */
    uint32_t before;                    /* messages in the ghosts before this one */
};

/* From the first to the last, and none between them that changed the mailbox is another. */
struct known_records { uint64_t first, last; };
enum { NUMBERING_KNOWN_MAX = 16 };

struct numbering {
    struct list node;                   /* in its mailbox; the state takes out those of a mailbox that ends */
    struct mailbox *mailbox;            /* NULL: it is gone, all messages are ghosts */
    uint32_t known_uid;                 /* the session's messages have UIDs up to this one */
    uint32_t count;                     /* EXISTS, ghosts among them */
    struct ghost *ghosts;               /* in order of UID */
    size_t ghost_count, ghost_capacity;
    uint32_t ghost_messages;
    uint64_t told_modseq;               /* changes up to it need no telling */
    struct known_records known[NUMBERING_KNOWN_MAX];    /* nor do those of these records */
    size_t known_count;
};

/* Expunged rows: consecutive UIDs. */
struct vanished {
    uint32_t first, last;               /* UIDs */
    uint32_t rank;                      /* place of `first` among the mailbox's rows before the first of a list of these vanished */
};

void numbering_open(struct numbering *n, struct mailbox *m);
void numbering_close(struct numbering *n);
/* The state tells: `vanished` rise, all of one record. */
void numbering_vanish(struct numbering *n, const struct vanished *vanished, size_t count);
/* The mailbox ends: all its rows have vanished. */
void numbering_end(struct numbering *n);

/* What stands at a sequence number and after it: rows from a place on, or ghosts with consecutive UIDs. */
struct numbered {
    bool is_ghost;
    uint32_t uid;                       /* of the first ghost */
    uint32_t rank;                      /* of the first row among the mailbox's */
    uint32_t count;                     /* how many are of the same kind, 1 at least */
};
/* `number` is between 1 and count. */
struct numbered numbering_at(const struct numbering *n, uint32_t number);
/* UID of a message in the view. */
uint32_t numbering_uid(const struct numbering *n, uint32_t number);
/* How many messages of the view have UIDs below `uid`. */
uint32_t numbering_below(const struct numbering *n, uint32_t uid);
/* Index of the first ghost that does not end below `uid`, or their number. */
size_t numbering_ghost_from(const struct numbering *n, uint32_t uid);
uint32_t numbering_highest_uid(const struct numbering *n);

bool numbering_is_behind(const struct numbering *n);
/* The session has told of the changes of this record itself. `follows`: as its outcome says. */
void numbering_knows(struct numbering *n, uint64_t follows, uint64_t modseq);
/* The changes of this record need no telling. */
bool numbering_has_told(const struct numbering *n, uint64_t modseq);
/* Takes in the rows that are new. */
void numbering_take_new(struct numbering *n);

/* What there is to tell a session. It is of one moment, and telling of it may take as long as it likes: expunges that come meanwhile are new ghosts. */
struct mailbox_changes {
    struct ghost *expunged;             /* as they were, in order of UID; malloced. Told from the last to the first, each number is right when it is told */
    size_t expunged_count;
    uint32_t exists;                    /* after it */
    bool exists_changed;
    /* Flags: numbering_next_changed() finds them, in order of UID. */
    uint64_t since;                     /* all records up to it were told, and these: */
    struct known_records known[NUMBERING_KNOWN_MAX];
    size_t known_count;
    uint32_t from_uid, known_uid;       /* those of messages with these UIDs are not told yet */
};
/* Makes all that there is to tell known to the session's numbers; expunges only with `may_expunge`. */
void numbering_sync(struct numbering *n, bool may_expunge, struct mailbox_changes *ret_changes);
void mailbox_changes_done(struct mailbox_changes *c);
static inline struct imap_range ghost_uids(const struct ghost *g) { return (struct imap_range){g->first, g->last}; }
static inline struct imap_range ghost_numbers(const struct ghost *g) { return (struct imap_range){g->number, g->number + (g->last - g->first)}; }
/* Whatever of flags was told of these changes: the next sync begins anew with them. */
void numbering_tell_again(struct numbering *n, const struct mailbox_changes *c);

/* ---- rows (numbering_rows.c) ---- */
/* Copies rows from sequence number `first` on, ghosts as row_is_gone(), up to the first that is not loaded. How many. `max` within the count. */
size_t numbering_rows(struct numbering *n, uint32_t first, size_t max, struct row *rows);
/* The blocks that are wanted for them. */
size_t numbering_needs_rows(struct numbering *n, uint32_t first, size_t max, struct block_key *keys, size_t max_keys);
/* Blocks from c->from_uid on whose rows tell what was changed and that are not loaded. */
size_t numbering_needs_changes(const struct numbering *n, const struct mailbox_changes *c, struct block_key *keys, size_t max_keys);
/*
 * Adds the sequence numbers, as they are now, of changed messages of the next block that may have some, and moves c->from_uid behind it: a turn's work.
 * Messages of a block that is not loaded stay. False: there is no such block.
 */
bool numbering_next_changed(const struct numbering *n, struct mailbox_changes *c, struct imap_set_builder *numbers);
