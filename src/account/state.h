/*
 * state: an account's mailboxes as a value, computed from its records.
 *
 * 1. Deterministic: same snapshot, same records, same state to the last bit; state_digest() says so.
 * 2. UIDs only grow within a UIDVALIDITY; sequence numbers of records are MODSEQs; both never go back.
 * 3. Pure: no I/O, no clock, no yield. What is not loaded is asked for (state_needs), loaded by the home
 *    (home.c), given with state_block_loaded(), and then applied.
 *
 * Rows stand in blocks of up to BLOCK_ROWS rows in UID order. A block of the snapshot is loaded when needed: its
 * summary (UID range, counts, sizes, highest modseq) is always there, so SELECT and STATUS of a mailbox of any
 * size cost the same. Expunged rows move to the graveyard (kept for the retention period).
 */
#pragma once

#include "account/record.h"
#include "account/row.h"
#include "base/map.h"

enum { BLOCK_ROWS = 4096 };
enum { STATE_MAILBOXES_MAX = 20000, STATE_PACKS_MAX = 1 << 20 };

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

/* What came of one's own record. Sets are in the arena given. */
struct outcome {
    result code;                        /* OK; NOT_FOUND: no such mailbox; EXISTS; INVALID; TOO_BIG: a limit */
    uint32_t mailbox;                   /* number: appended to, created, copied to */
    uint32_t uid_validity;              /* of that mailbox */
    uint64_t modseq;                    /* the record's sequence number */
    struct imap_set source_uids;        /* COPYUID's two sets, APPENDUID's one in result_uids; expunged UIDs in source_uids */
    struct imap_set result_uids;
    struct imap_set unchanged_uids;     /* left alone because of unchanged_since: MODIFIED */
};

struct state *state_new(void);
void state_free(struct state *s);
uint64_t state_sequence(const struct state *s);        /* of the last record applied */
size_t state_memory_bytes(const struct state *s);

/* Where a record's body is, for rows that it makes: an index that the home resolves (struct row.entry). */
struct record_place { uint32_t body_index; };

/*
 * The blocks that must be loaded before `r` can be applied: at most max of them; 0: apply now. Blocks are named by block_key.
 */
struct block_key { uint32_t mailbox; uint32_t index; view object; uint64_t offset; uint32_t bytes; uint32_t crc; bool is_graveyard; };
size_t state_needs(struct state *s, const struct record *r, struct block_key *keys, size_t max);
/* `bytes` as they stand in the snapshot object. CORRUPT if they are not. */
NODISCARD result state_block_loaded(struct state *s, const struct block_key *key, view bytes, struct fault *fault);
/* Applies the next record. `ret_outcome` may be NULL (somebody else's record). */
void state_apply(struct state *s, const struct record *r, struct record_place place, struct arena *arena, struct outcome *ret_outcome);

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
size_t mailbox_keywords(const struct mailbox *m, struct arena *arena, view **ret_keywords);
/* POP3's unique id: the row's own when it carries one, else made of UIDVALIDITY and UID. Written to `text` (71 bytes). */
view mailbox_uidl(const struct mailbox *m, const struct row *row, char text[static RECORD_UIDL_BYTES_MAX + 1]);
struct usage { uint64_t bytes, messages; uint64_t expunged_bytes, expunged_messages; };
struct usage state_usage(const struct state *s);
/* SHA-256 over everything that a client can see and the expunged (invariant 2). All blocks must be loaded (the home does that). */
void state_digest(struct state *s, unsigned char digest[static 32]);

/* ---- snapshots and packs (compaction.c uses these) ---- doc/formats/snapshot.md */
