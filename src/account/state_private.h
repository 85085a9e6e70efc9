/*
 * state_private: what a state is made of, for the state*.c and snapshot*.c files and for views.
 *
 * 1. `mailboxes` rise in number and have the gone ones too, which keep name and keywords for their graveyard and end with it; `names`
 *    has those that are not gone in the order of state_list().
 * 2. Sums of a mailbox (exists, unseen, deleted, size_bytes) are those of its blocks' summaries.
 * 3. Nothing that a client can see depends on where blocks begin, are stored, or whether they are loaded.
 */
#pragma once

#include "account/block.h"
#include "account/numbering.h"
#include "account/state.h"

enum {
    INBOX_NUMBER = 1,
    UID_MAX = UINT32_MAX - 1,
    /* The largest that a migration may ask for: leaves room for sixteen million messages after it. */
    UID_ASKED_MAX = UINT32_MAX - (1 << 24),
};

/* Rows of a grave's block, in order: expunged by one record. */
struct grave_run {
    uint32_t count;
    bool is_dead;                        /* restored or purged: the rows are no longer there */
    unix_ms expunged;
    uint64_t modseq;                     /* of the record that expunged them */
    uint64_t size_bytes;
};

struct grave {
    struct block *block;
    struct grave_run *runs;
    uint32_t run_count, run_capacity;
    uint32_t live;                       /* rows that are not dead */
    uint64_t live_bytes;
};

/* Expunges since the state was loaded, in the order of records (vanished.c). All after complete_after are there. */
struct vanish_range { uint64_t modseq; uint32_t first, last; };
struct vanish_log {
    struct vanish_range *at;
    size_t count, capacity;
    uint64_t complete_after;
};

/* Of a mailbox or the account, in order of name; names and values malloced. */
struct metadata {
    struct metadata_entry *at;
    size_t count, capacity;
};

/* Which annotations changed lately, for who is told of it: of this process only. Names malloced. */
struct metadata_log {
    struct metadata_change *at;
    size_t count, capacity;
};

struct mailbox {
    struct state *state;
    uint32_t number;
    view name;                           /* malloced */
    bool is_gone;
    bool is_selectable;                  /* false: a name that has children only */
    unsigned special_use;
    uint32_t uid_validity, uid_next;
    uint32_t exists, unseen, deleted;
    uint64_t size_bytes, highest_modseq;
    struct block **blocks;
    uint32_t block_count, block_capacity;
    uint32_t before_valid;               /* `before` is right in the first this many blocks */
    struct grave **graves;
    uint32_t grave_count, grave_capacity;
    view *keywords;                      /* malloced, as are the texts; at most ROW_KEYWORDS_MAX */
    size_t keyword_capacity;
    uint32_t keyword_count;
    uint32_t recent_from_uid;
    struct metadata metadata;
    struct list numberings;              /* struct numbering */
    struct vanish_log log;
};

struct body {
    uint64_t sequence;
    struct id message;
    struct body_place place;
};

/* The records applied last, oldest at `first`; the newest has the state's sequence number. */
struct recent {
    uint64_t *ids;                       /* bytes 8 to 15 of each: they are random */
    int64_t *written_ms;
    uint8_t *codes;                      /* what came of each */
    uint32_t first, count, capacity;
};

struct stored_object { view name; uint64_t bytes; };      /* of a snapshot; name malloced, empty: a free slot */

struct state {
    uint64_t sequence;
    uint32_t next_number, last_uid_validity;
    struct mailbox **mailboxes, **names;
    size_t mailbox_count, mailbox_capacity, name_count, name_capacity;
    view *subscriptions;                 /* malloced, in the order of names */
    size_t subscription_count, subscription_capacity;
    struct recent recent;
    struct metadata metadata;            /* of the account */
    struct metadata_log metadata_log;
    size_t metadata_bytes;               /* of all, mailboxes' too */
    struct usage usage;
    struct block_pool pool;
    struct body *bodies;                 /* in order of sequence */
    size_t body_count, body_capacity;
    uint64_t bodies_kept_from;           /* packed ones of records after it stay in the table */
    struct pack_slot *packs;             /* object malloced */
    size_t pack_count, pack_capacity;
    struct stored_object *objects;
    size_t object_count, object_capacity;
    struct search_list search;
    struct archive_list archive;
    unix_ms arrived_oldest;              /* internal date of what came since state_archive_look() */
    struct snapshot *snapshot;           /* being written */
    const struct state_turns *turns;     /* of what is under way and takes turns; NULL: nothing does */
    uint32_t since_breath;               /* rows */
    struct aside *aside;                 /* not NULL: this state has copies of another's mailboxes (state_aside.c) */
};

/* Room for one more in an array of `size`-byte things. */
void *state_grow(void *array, size_t count, size_t *capacity, size_t size);
view state_keep_text(view v);            /* malloced copy */
struct state *state_blank(void);         /* without an INBOX */

/* ---- names (state_name.c) ---- */
/* Names in the order of lists: INBOX first, then by levels. */
int name_compare(view a, view b);
/* A name as it is stored: INBOX in capitals. False: not a name. `text` holds what is made. */
bool name_canonical(view name, char text[static RECORD_NAME_BYTES_MAX], view *ret_name);
bool name_is_below(view name, view parent);
struct mailbox *state_any_mailbox(const struct state *s, uint32_t number);       /* gone ones too */
bool mailbox_has_children(const struct mailbox *m);
/* A mailbox with the number given: in no list of names yet. */
struct mailbox *mailbox_new(struct state *s, uint32_t number, view name);
void mailbox_free(struct mailbox *m);
void state_insert_name(struct state *s, struct mailbox *m);
/* Index of `name` among `count` things in the order of their names, or of where it would stand. compare(of, i, name): the i-th's name with `name`. */
bool state_find_place(const void *of, size_t count, int (*compare)(const void *of, size_t i, view name), view name, size_t *ret_index);
/* The same in `names`. */
bool state_name_index(const struct state *s, view name, size_t *ret_index);
/* The mailbox of a name, made with its parents when absent. EXISTS, INVALID, TOO_BIG. `written` gives the UIDVALIDITY. */
NODISCARD result state_create(struct state *s, view name, unix_ms written, struct mailbox **ret_mailbox);
/* It would not fail. */
bool state_may_create(struct state *s, view name);
void state_apply_create(struct state *s, const struct record *r, struct outcome *o);
void state_apply_delete(struct state *s, const struct record *r, struct outcome *o);
void state_apply_rename(struct state *s, const struct record *r, struct outcome *o);
void state_apply_subscribe(struct state *s, const struct record *r, struct outcome *o);
void state_apply_mailbox(struct state *s, const struct record *r, struct outcome *o);
bool state_subscribe(struct state *s, view name, bool subscribes);
bool state_is_subscribed(const struct state *s, view name);

/* ---- rows (mailbox_rows.c) ---- */
void mailbox_add_block(struct mailbox *m, struct block *b);
/* Adds a row at the end (its UID is the largest so far) and to the sums. */
void mailbox_push(struct mailbox *m, const struct row *row, view uidl);
/* All rows of a block that has some, with UIDs from UIDNEXT on and the modseq of the record. */
void mailbox_push_block(struct mailbox *m, struct block *b);
uint32_t mailbox_count_before(struct mailbox *m, uint32_t block);
/* Index of the first block whose last UID is not below `uid`. */
uint32_t mailbox_block_of_uid(const struct mailbox *m, uint32_t uid);
uint32_t mailbox_rank(struct mailbox *m, uint32_t uid);            /* rows with UIDs below it */
uint32_t mailbox_uid_at(struct mailbox *m, uint32_t rank);
struct block *mailbox_block_at(struct mailbox *m, uint32_t rank, uint32_t *ret_index);
/* Sums and prefix counts anew from the summaries; drops empty blocks, joins small neighbours. */
void mailbox_tidy(struct mailbox *m);
/* Index of the first range that does not end before `number`. */
size_t set_range_from(const struct imap_set *set, uint32_t number);
bool set_overlaps(const struct imap_set *set, uint32_t first, uint32_t last);
bool set_touches_block(const struct imap_set *set, const struct block *b);
bool set_covers_block(const struct imap_set *set, const struct block *b);

struct vanished_list { struct vanished *at; size_t count, capacity; };
void vanished_add(struct vanished_list *v, uint32_t first, uint32_t last, uint32_t rank);

void vanish_log_add(struct mailbox *m, const struct vanished *vanished, size_t count);
void vanish_log_done(struct vanish_log *l);

/* Which rows go, and what of them. */
struct removal {
    const struct imap_set *uids;         /* NULL: all */
    bool only_deleted;
    bool buries;                         /* to the graveyard; else they are somewhere else now */
    unix_ms when;
};
/* Removes them and tells the numberings. What went is added to `vanished`. */
void mailbox_remove_rows(struct mailbox *m, const struct removal *removal, struct vanished_list *vanished);
/* Some of the block's rows go, and others may stay. */
bool removal_takes_part(const struct removal *removal, const struct block *b);
/* Whether the removal must see the rows of the block. */
bool removal_needs_rows(const struct removal *removal, const struct block *b);

/* One more, which it has not and has room for. */
void mailbox_add_keyword(struct mailbox *m, view keyword);
/* The bits of keywords in m, which gets those it has not (as long as there is room). */
uint64_t mailbox_take_keywords(struct mailbox *m, const view *keywords, size_t count);
/* `flags` of `from` as flags of `to`. `map` begins as zeros and is kept between calls: bit i of from -> its flag in to, 1: not asked yet. */
struct keyword_map { struct mailbox *from, *to; uint64_t known; uint64_t to_flag[ROW_KEYWORDS_MAX]; };
uint64_t keyword_map_flags(struct keyword_map *map, uint64_t flags);

/* Tells the log and the numberings. */
void mailbox_tell_vanished(struct mailbox *m, const struct vanished_list *vanished);

/* ---- applying aside (state_aside.c): in a state of its own everything is as if these were not ---- */
/* The other state has the block too: it must not change. */
bool block_is_shared(const struct state *s, const struct block *b);
/* block_free(), as soon as nobody has it. */
void state_release_block(struct state *s, struct block *b);
void state_replace_block(struct mailbox *m, uint32_t at, struct block *with);
/* The block at this place, a copy if it was shared. */
struct block *state_own_block(struct mailbox *m, uint32_t at);
void state_breathe_now(struct state *s);
/* So many rows more were worked on. May yield where there are turns: then the caller of state_apply_in_turns() or state_snapshot_commit() may. */
static inline void state_breathe(struct state *s, uint32_t rows)
{
    if (s->turns && (s->since_breath += rows) >= s->pool.breath_rows) state_breathe_now(s);
}
/* A grave that changes: a copy if it was shared. Its block is still the one that both have. */
struct grave *state_own_grave(struct mailbox *m, uint32_t at);
/* The mailbox that RESTORE names: made if there is none. Aside, the record's effect makes it. */
NODISCARD result state_restore_target(struct state *s, const struct record *r, struct mailbox **ret_mailbox);
/* True: what vanished is told when the record takes effect. */
bool state_keeps_vanished(struct mailbox *m, const struct vanished_list *vanished);
void state_apply_kind(struct state *s, const struct record *r, const struct record_place *place, struct arena *arena, struct outcome *o);

/* ---- the graveyard (state_grave.c) ---- */
void grave_bury_row(struct mailbox *m, const struct row *row, view uidl, unix_ms when, uint64_t modseq);
/* Takes the block over. */
void grave_bury_block(struct mailbox *m, struct block *b, unix_ms when, uint64_t modseq);
void grave_free(struct state *s, struct grave *g);
void grave_add_run(struct grave *g, struct grave_run run);
void grave_recount(struct grave *g);
void mailbox_add_grave(struct mailbox *m, struct grave *g);
void state_apply_purge(struct state *s, const struct record *r);
void state_apply_restore(struct state *s, const struct record *r, struct arena *arena, struct outcome *o);
bool restore_needs_grave(const struct record *r, const struct grave *g);
/* Ends gone mailboxes whose graves are all gone; not aside. */
void state_end_mailboxes(struct state *s);

/* Hidden messages: OK, or NOT_FOUND and INVALID with nothing done. */
void state_apply_reveal(struct state *s, const struct record *r, struct arena *arena, struct outcome *o);

/* ---- annotations (state_metadata.c) ---- */
void state_apply_metadata(struct state *s, const struct record *r, struct outcome *o);
/* As it was written down, behind all others. False: names do not rise, or a limit. */
bool metadata_add(struct state *s, struct metadata *m, view name, view value);
void metadata_clear(struct state *s, struct metadata *m);
void metadata_log_done(struct metadata_log *l);
/* All of `fresh` takes the place of that of `old`. */
void metadata_adopt(struct state *fresh, struct state *old);

/* ---- the archive (state_archive.c) ---- */
void archive_arrives(struct state *s, unix_ms internal_date);
/* As it was written down, behind all others. */
void archive_list_put(struct archive_list *l, uint32_t number, view object, uint64_t bytes);

/* ---- bodies and blocks ---- */
struct block_key state_block_key(const struct state *s, uint32_t mailbox, const struct block *b, uint32_t index, bool is_graveyard);
struct body *state_find_body(const struct state *s, uint32_t sequence_low);
/* ---- records applied last (state_recent.c) ---- */
void recent_done(struct recent *l);
/* The oldest may go for it. */
void recent_add(struct recent *l, struct id record, unix_ms written, result code);
/* As it was written down: none goes. */
void recent_put(struct recent *l, uint64_t half, unix_ms written, result code);
bool recent_has(const struct recent *l, struct id record);

/* Copy of a set for an outcome; left empty when the arena has no room. */
struct imap_set outcome_set(const struct imap_set_builder *builder, struct arena *arena);
