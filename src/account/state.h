/*
 * state: an account's mailboxes as a value, computed from its records.
 *
 * 1. Deterministic: same snapshot, same records, same state to the last bit; state_digest() says so.
 * 2. UIDs only grow within a UIDVALIDITY; sequence numbers of records are MODSEQs; both never go back.
 * 3. Pure: no I/O, no clock, no yield but where the caller gives turns. What is not loaded is asked for (state_needs), loaded by the home
 *    (home.c), given with state_block_loaded(), and then applied.
 *
 * 4. A record is done once: one whose id is among those applied lately (state_recent.c) takes its sequence number and does
 *    nothing. So an append of unknown outcome may be sent again with the same id. The ids are part of the value (and of
 *    the snapshot and the digest).
 *
 * Rows stand in blocks of up to BLOCK_ROWS rows in UID order. A block of the snapshot is loaded when needed: its
 * summary (UID range, counts, sizes, highest modseq) is always there, so SELECT and STATUS of a mailbox of any
 * size cost the same. Expunged rows move to the graveyard (kept for the retention period).
 */
#pragma once

#include "account/record.h"
#include "account/row.h"
#include "base/map.h"
#include "engine/engine.h"

enum { BLOCK_ROWS = 4096, STATE_WIDE_BYTES = 8 << 20 };
enum { STATE_TURN_ROWS = 16384 };      /* copied in a millisecond or two */
enum { STATE_MAILBOXES_MAX = 20000, STATE_PACKS_MAX = 1 << 20 };
/* Of the records applied lately: enough to span what one account receives between a time-out and its retry. 17 bytes each. */
enum { STATE_RECENT_MIN = 32, STATE_RECENT_MAX = 512 };

/* Annotations (RFC 5464): of one mailbox or of the account itself, and of all together, names and values. */
enum { METADATA_ENTRIES_MAX = 256, METADATA_BYTES_MAX = 1 << 20, METADATA_CHANGES_MAX = 1024 };

enum {
    MAILBOX_USE_ALL = 1, MAILBOX_USE_ARCHIVE = 2, MAILBOX_USE_DRAFTS = 4, MAILBOX_USE_FLAGGED = 8,
    MAILBOX_USE_JUNK = 16, MAILBOX_USE_SENT = 32, MAILBOX_USE_TRASH = 64, MAILBOX_USE_IMPORTANT = 128,
};

struct state;
struct mailbox;

/* What a mailbox tells without a row being read. A copy: good over yields. */
struct mailbox_info {
    uint32_t number;                    /* names it for ever within the account; never reused */
    view name;                          /* UTF-8, "/" between levels; in the arena given */
    unsigned special_use;
    bool is_subscribed, has_children, is_selectable;
    uint32_t uid_validity, uid_next;
    uint32_t exists, unseen, deleted;
    uint32_t first_unseen;              /* sequence number, 0: none; UINT32_MAX: not known without loading a block */
    uint64_t highest_modseq;            /* of the mailbox: also raised by expunges */
    uint64_t size_bytes;
    uint32_t recent_from_uid;           /* UIDs from here on were never shown to a read-write session of this process (advisory \Recent) */
};

/* What came of one's own record. Sets are in the arena given, 8 bytes a range; one that does not fit its budget is left empty. */
struct outcome {
    result code;                        /* OK; NOT_FOUND: no such mailbox; EXISTS; INVALID; TOO_BIG: a limit; CONFLICT: applied before */
    uint32_t mailbox;                   /* number: appended to, created, copied to */
    uint32_t uid_validity;              /* of that mailbox */
    uint64_t modseq;                    /* the record's sequence number */
    uint64_t follows;                   /* of FLAGS: the highest MODSEQ of the mailbox before; 0: not known */
    struct imap_set source_uids;        /* COPYUID's two sets, APPENDUID's one in result_uids; expunged UIDs in source_uids */
    struct imap_set result_uids;
    struct imap_set unchanged_uids;     /* left alone because of unchanged_since: MODIFIED */
};

/* The state before the first record: an empty INBOX (number 1), whose UIDVALIDITY is the second of the account's making (in its id). */
struct state *state_new(struct id account);
void state_free(struct state *s);
/* Of a state that nobody looks at any more: frees some thousand rows. False: there are none left, and state_free() does the rest quickly. */
bool state_free_some(struct state *s);
uint64_t state_sequence(const struct state *s);        /* of the last record applied */
size_t state_memory_bytes(const struct state *s);

/*
 * Where a record's body is in the journal, for the row that it makes; body_bytes 0: no body. The state keeps it in its table of
 * bodies under the record's sequence number, whose low 32 bits are row.entry of a row with ROW_IN_JOURNAL: a row copied
 * earlier keeps its meaning when the state was built anew.
 */
struct record_place { struct journal_position at; uint64_t body_offset; uint32_t body_bytes; };

/*
 * The blocks that must be loaded before `r` can be applied: at most max of them; 0: apply now. Blocks are named by block_key.
 */
struct block_key { uint32_t mailbox; uint32_t index; view object; uint64_t offset; uint32_t bytes; uint32_t crc; bool is_graveyard; };
size_t state_needs(struct state *s, const struct record *r, struct block_key *keys, size_t max);
/* `bytes` as they stand in the snapshot object. CORRUPT if they are not. */
NODISCARD result state_block_loaded(struct state *s, const struct block_key *key, view bytes, struct fault *fault);
/* Applies the next record. `ret_outcome` may be NULL (somebody else's record). */
void state_apply(struct state *s, const struct record *r, struct record_place place, struct arena *arena, struct outcome *ret_outcome);

/*
 * Records that touch very many rows are applied in turns: breathe() is called again and again, and others may run in it and read the state, which is
 * as it was before the record until it has all of it at once. Meanwhile blocks may be loaded, but none unloaded, and nothing else may change.
 */
struct state_turns {
    void (*breathe)(void *argument);         /* MAY_YIELD */
    void *argument;
};
bool state_wants_turns(struct state *s, const struct record *r);
/*
 * FLAGS of very many messages that need not change at once are better several records, none of which takes turns: who writes meanwhile waits for
 * one of them. *ret_part is what of `uids` (resolved) from *from_uid on, 0 at first, the next record takes: all, or what is kept in `room` until the
 * next call. *from_uid moves behind it. False: nothing is left.
 */
bool state_cut_flags(struct state *s, uint32_t mailbox, const struct imap_set *uids, uint64_t *from_uid, struct imap_set_builder *room,
                     struct imap_set *ret_part);
/* The same for EXPUNGE of the deleted: whole blocks go at once, however many; of others the rows that stay are made anew, of some thousand in a record. */
bool state_cut_expunge(struct state *s, uint32_t mailbox, const struct imap_set *uids, uint64_t *from_uid, struct imap_set_builder *room,
                       struct imap_set *ret_part);
/* How many rows are made anew without turns; 0: STATE_TURN_ROWS. */
void state_set_turn_rows(struct state *s, uint32_t rows);
/* state_apply() for every record, in turns if it wants them. */
MAY_YIELD void state_apply_in_turns(struct state *s, const struct record *r, struct record_place place, struct arena *arena, struct outcome *ret_outcome,
                                    const struct state_turns *turns);

/* What came of a record that was applied, if it is among those applied lately: its sequence number and outcome.code. */
bool state_record_code(const struct state *s, struct id record, uint64_t *ret_sequence, result *ret_code);

/* ---- reading ---- */
struct mailbox *state_find(struct state *s, view name);             /* canonical name; NULL */
struct mailbox *state_mailbox(struct state *s, uint32_t number);    /* NULL when gone */
void mailbox_read_info(const struct mailbox *m, struct arena *arena, struct mailbox_info *ret_info);
/* All, in order of name, INBOX first. */
size_t state_list(struct state *s, struct arena *arena, struct mailbox_info **ret_infos);
size_t state_subscriptions(struct state *s, struct arena *arena, view **ret_names);
/* The keyword of a bit (ROW_KEYWORD_BIT + i), empty if none; and the bit of a keyword, 0 if it has none here. */
view mailbox_keyword(const struct mailbox *m, unsigned bit);
uint64_t mailbox_keyword_flag(const struct mailbox *m, view keyword);
/* For a read-write session that begins: recent_from_uid as it was; from now on only later arrivals are recent. */
uint32_t mailbox_claim_recent(struct mailbox *m);
/*
 * Of the resolved `uids` below UIDNEXT, in rising order: those expunged by records after `since`, and true; or when that is no longer known,
 * all that no message has, and false. Costs what it tells, and the number of blocks. Needs no rows.
 */
bool mailbox_vanished(const struct mailbox *m, const struct imap_set *uids, uint64_t since, struct arena *arena, struct imap_set_builder *into);
size_t mailbox_keywords(const struct mailbox *m, struct arena *arena, view **ret_keywords);
/*
 * Annotations in the order of their names, which compare without regard to case; of mailbox 0: the account's. Views into the state.
 */
struct metadata_entry { view name, value; };
size_t state_metadata(const struct state *s, uint32_t mailbox, const struct metadata_entry **ret_entries);
const struct metadata_entry *state_metadata_find(const struct state *s, uint32_t mailbox, view name);
/*
 * The annotations that records after `since` set or took away, oldest first: of the last METADATA_CHANGES_MAX that this process has seen. Views
 * into the state.
 */
struct metadata_change { uint64_t sequence; uint32_t mailbox; view name; };
size_t state_metadata_changes(const struct state *s, uint64_t since, const struct metadata_change **ret_changes);
/* POP3's unique id: the row's own when it carries one, else made of UIDVALIDITY and UID. Written to `text` (71 bytes). */
view mailbox_uidl(const struct mailbox *m, const struct row *row, char text[static RECORD_UIDL_BYTES_MAX + 1]);
struct usage { uint64_t bytes, messages; uint64_t expunged_bytes, expunged_messages; };
struct usage state_usage(const struct state *s);
/* SHA-256 over everything that a client can see and the expunged (invariant 2). All blocks must be loaded (the home does that). */
void state_digest(struct state *s, unsigned char digest[static 32]);

/* ---- bodies: where a message's bytes are ---- */

struct body_place {
    enum { BODY_IN_JOURNAL, BODY_IN_PACK, BODY_ALONE } kind;
    struct record_place record;         /* BODY_IN_JOURNAL */
    uint32_t pack, entry;               /* BODY_IN_PACK: slot and entry */
};
/* False: not known (a row of before the state was built anew; look the row up again by its UID). */
bool state_body(const struct state *s, const struct row *row, struct body_place *ret_place);

/*
 * The row of a UID as it is now. NOT_FOUND: there is none, or, if ret_needs->bytes is not 0, that block must be loaded first.
 */
NODISCARD result state_row(struct state *s, uint32_t mailbox, uint32_t uid, struct row *ret_row, struct block_key *ret_needs);

struct unpacked_body { uint64_t sequence; struct id message; struct record_place place; };
/* The journal's head was replaced and the record stands in a new epoch. Unknown and packed bodies are ignored. */
void state_body_moved(struct state *s, uint64_t sequence, struct record_place place);
/* The bodies that stand in the journal, of records after `after_sequence`, in order: up to max. */
size_t state_unpacked(const struct state *s, uint64_t after_sequence, struct unpacked_body *bodies, size_t max);

/* A slot of the pack table. Slots are never reused while a row may name them. object empty: a free slot. */
struct pack_slot { view object; uint32_t entries; uint64_t bytes; };
size_t state_packs(const struct state *s);                       /* slots are 0 .. count-1 */
struct pack_slot state_pack(const struct state *s, uint32_t slot);

/* ---- the index for searches: which segments there are ---- doc/formats/search.md */

/* Documents of a segment, in order: entries of a pack, or (SEARCH_ALONE) messages that are objects of their own. */
enum { SEARCH_SEGMENTS_MAX = 4096 };
#define SEARCH_ALONE UINT32_MAX
struct search_range { uint32_t pack, first, count; };
struct search_segment { view object; struct search_range *ranges; size_t range_count; };
struct search_list {
    struct search_segment *segments;     /* malloced, as are names and ranges */
    size_t count, capacity;
    uint64_t alone_sequence;             /* messages alone that came with records after it may be in no segment */
};
const struct search_list *state_search(const struct state *s);
uint32_t search_segment_documents(const struct search_segment *g);
void search_list_add(struct search_list *l, view object, const struct search_range *ranges, size_t count);
void search_list_remove(struct search_list *l, size_t index);
void search_list_copy(struct search_list *into, const struct search_list *l);
void search_list_done(struct search_list *l);
/* The next entries of packs that no segment has, from *from on: pack and first entry, which moves behind them. False: there are none. */
bool state_search_missing(const struct state *s, const struct search_list *l, struct search_range *from, struct search_range *ret_range);

/* ---- the archive: which packs of it there are ---- doc/formats/packs.md, snapshot.md */

/* A pack in the archive, "c-<id>", that entries of the packs of slots refer to by its number; numbers are never given twice. */
enum { ARCHIVE_NUMBER_MAX = (1 << 24) - 1 };     /* as much as an index entry has room for */
struct archived_pack { uint32_t number; view object; uint64_t bytes; };
struct archive_list {
    bool is_begun;                       /* messages that are objects of their own may be there, too */
    bool knows_oldest;
    unix_ms oldest;                      /* no message that is not in the archive has an older internal date */
    uint32_t next_number;                /* from 1 on */
    uint64_t alone_messages, alone_bytes;    /* about: messages that are objects of their own */
    uint64_t packed_messages, packed_bytes;  /* about: messages in packs, and their sizes */
    struct archived_pack *packs;         /* malloced, as are the names; in order of number */
    size_t count, capacity;
};
#define ARCHIVE_OLDEST_NONE ((unix_ms){INT64_MAX / 4})
#define ARCHIVE_OLDEST_NOW ((unix_ms){INT64_MIN / 4})        /* some that are old were left where they were */
const struct archive_list *state_archive(const struct state *s);
/* The name of a pack's object; empty: there is none of that number. */
view archive_list_find(const struct archive_list *l, uint32_t number);
/* Bytes of all, as stored. */
uint64_t archive_list_bytes(const struct archive_list *l);
/* The number of the new one. */
uint32_t archive_list_add(struct archive_list *l, view object);
void archive_list_remove(struct archive_list *l, size_t index);
void archive_list_copy(struct archive_list *into, const struct archive_list *l);
void archive_list_done(struct archive_list *l);
/* From now on the internal dates of what arrives are noted apart: who looks at all rows now learns of the others when the snapshot begins. */
void state_archive_look(struct state *s);

/* ---- snapshots (compact.c uses these) ---- doc/formats/snapshot.md */

/*
 * A snapshot is a directory (everything but rows: mailboxes, block summaries with the place of each block, packs, ids; small) and
 * blocks, which stand in this or in older snapshot objects. The home keeps the directory in the journal's head if it is short.
 *
 *   ahead    blocks that would be written now are encoded while the state may go on changing, a few ms in a step, until there are no more: what is not
 *            changed until the snapshot encodes it need not be encoded then. `blocks` is the same for both.
 *   begin    new packs, with the bodies that went into them, become part of what is encoded; the state itself still reads from the
 *            journal. The state must not change until state_snapshot_step() gives END; reading is fine. One at a time.
 *   step     encodes some more blocks into `blocks` (a few ms; the caller pauses in between): OK, or END when all are done and `directory`
 *            is written. Blocks that did not change stay where they are by reference. It asks for blocks to be loaded by NOT_FOUND and
 *            *ret_needs when it wants to move blocks out of objects that are mostly dead.
 *   commit   the head names the snapshot: blocks not changed since and bodies are now where the snapshot says. In turns (NULL: in one piece): what is
 *            read meanwhile is right, whether it has learned its new place yet or not; no record may be applied.
 *   abort    it does not: forget it.
 * Records may be applied between END and commit or abort.
 */
struct packed_body { uint64_t sequence; uint32_t pack; uint32_t entry; };     /* pack: index in the packs given here */
struct snapshot_options {
    view object;                         /* name that the blocks' object will have */
    const struct pack_slot *packs;       /* new ones */
    size_t pack_count;
    struct packed_body *bodies;          /* in order of sequence; malloc'ed, and the state's from now on */
    size_t body_count;
    const struct search_list *search;    /* the index from now on; NULL: as it is */
    const struct archive_list *archive;  /* the archive from now on; NULL: as it is */
    struct snapshot_ahead *ahead;        /* of this very state; the snapshot's from now on; NULL: none */
    const struct pack_slot *replaced;    /* by slot: object not empty where a pack's object was rewritten, same entries; NULL: none */
    size_t replaced_count;
};
struct snapshot_ahead *state_snapshot_ahead_new(const struct state *s);
void state_snapshot_ahead_free(struct snapshot_ahead *ahead);       /* NULL is fine */
/* False: there are none left. */
bool state_snapshot_ahead(struct state *s, struct snapshot_ahead *ahead, buf *blocks);
void state_snapshot_begin(struct state *s, const struct snapshot_options *options);
NODISCARD result state_snapshot_step(struct state *s, buf *blocks, buf *directory, struct block_key *ret_needs);
MAY_YIELD void state_snapshot_commit(struct state *s, const struct state_turns *turns);
void state_snapshot_abort(struct state *s);
/* A state as of a snapshot, from its directory. CORRUPT. */
NODISCARD result state_snapshot_open(view directory, struct state **ret_state, struct fault *fault);

/* Names of the snapshot objects and packs that the state refers to. In the arena. */
size_t state_objects(const struct state *s, struct arena *arena, view **ret_names);
/* The blocks that are not loaded, up to max of them: with 0 left, state_digest() and state_each_row() may be called. */
size_t state_needs_all(struct state *s, struct block_key *keys, size_t max);
/* Breathes between blocks: nothing may change the state meanwhile. */
MAY_YIELD void state_each_row(struct state *s, void (*each)(void *argument, uint32_t mailbox, const struct row *row, bool is_expunged, unix_ms expunged),
                              void *argument, const struct state_turns *turns);
/* The same for what changed in mailboxes since a record: blocks with such rows that are not loaded; then their rows with larger MODSEQs. */
size_t state_needs_since(struct state *s, uint64_t since, struct block_key *keys, size_t max);
MAY_YIELD void state_each_row_since(struct state *s, uint64_t since, void (*each)(void *argument, uint32_t mailbox, const struct row *row), void *argument,
                                    const struct state_turns *turns);
/* Drops loaded blocks that did not change since their snapshot, least recently used first, until about `bytes` are free. Bytes freed. */
size_t state_evict(struct state *s, size_t bytes);
/*
 * Rows of a state that takes more than so many bytes are kept in half the memory (block.h); 0: STATE_WIDE_BYTES. Those that are loaded are made so
 * at once, those that were changed by state_slim(): least recently used first, at most `max` blocks in one call. True: there may be more to do.
 */
void state_set_wide_bytes(struct state *s, size_t bytes);
bool state_is_large(const struct state *s);
bool state_slim(struct state *s, size_t max);
/* When the oldest of the graveyard was expunged; 0: it is empty. */
unix_ms state_oldest_expunged(const struct state *s);
/* Counters, order of UIDs, sums against rows: found() is told what does not agree. All blocks must be loaded. The number of problems. */
size_t state_check(struct state *s, void (*found)(void *argument, view what), void *argument);

/* ---- a state built anew ---- */
/*
 * `fresh` comes from a head that another node wrote; `old` has the views. When fresh is at old's sequence they have the same value and
 * only move; when it is ahead, views learn the difference (vanished UIDs are pending expunges). `needs` as state_needs(), for either.
 */
size_t state_adopt_needs(struct state *fresh, struct state *old, struct block_key *keys, bool *is_of_old, size_t max);
void state_adopt(struct state *fresh, struct state *old);
