/*
 * record: what the journal of an account is made of (meta of engine.h's records).
 *
 * Records are intents; replay decides what comes of them (state.h). Each carries an id of its own, by which
 * its author finds out whether an append of unknown outcome was done, and the wall clock of its author,
 * because replay reads no clock. The format, offset by offset: doc/formats/journal-records.md. An unknown record kind or a
 * version above ours is CORRUPT with a text that says "written by a newer version".
 */
#pragma once

#include "account/row.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/fault.h"
#include "formats/imap_set.h"

enum record_kind {
    RECORD_APPEND = 1,          /* a message arrives: delivery, APPEND, import */
    RECORD_FLAGS = 2,
    RECORD_COPY = 3,            /* and MOVE */
    RECORD_EXPUNGE = 4,
    RECORD_CREATE = 5,
    RECORD_DELETE = 6,
    RECORD_RENAME = 7,
    RECORD_SUBSCRIBE = 8,
    RECORD_RESTORE = 9,         /* expunged messages come back, as new UIDs */
    RECORD_PURGE = 10,          /* expunged rows older than a time are gone for good */
    RECORD_MAILBOX = 11,        /* attributes of a mailbox: special use, UIDVALIDITY and UIDNEXT set by a migration */
    RECORD_METADATA = 12,       /* annotations of a mailbox or of the account (RFC 5464); from FEATURE_ANNOTATIONS on */
    RECORD_REVEAL = 13,         /* messages that were appended hidden come into sight, all or none; from FEATURE_ANNOTATIONS on */
};

enum {
    RECORD_NAME_BYTES_MAX = 1000,
    RECORD_UIDL_BYTES_MAX = 70,         /* RFC 1939 §7 */
    RECORD_ENTRIES_MAX = 256,           /* annotations set at once: those of one command */
    RECORD_ENTRY_NAME_BYTES_MAX = 255,
    RECORD_ENTRY_VALUE_BYTES_MAX = 64 << 10,
    RECORD_ENTRIES_BYTES_MAX = 512 << 10,   /* of all in one record, names and values */
    RECORD_KEYWORDS_MAX = 64,           /* as a client names them, doubles too; replay keeps as many as there are bits */
};

/* An annotation: names are ASCII and compare without regard to case. */
struct record_entry { view name, value; bool removes; };

enum flags_change { FLAGS_ADD, FLAGS_REMOVE, FLAGS_REPLACE };

/* Flags as a client names them: replay gives keywords their bits. */
struct record_flags {
    uint64_t system;                    /* ROW_SYSTEM_FLAGS only */
    view *keywords;
    size_t keyword_count;
};

struct record {
    enum record_kind kind;
    struct id id;
    unix_ms written;
    union {
        struct {
            uint32_t mailbox;           /* number; 0: the mailbox named `name`, created if absent when `creates` */
            view name;                  /* used when mailbox is 0; empty: INBOX */
            bool creates;
            bool falls_back;            /* to INBOX when the mailbox is gone (deliveries); else the record does nothing (APPEND) */
            struct id message;
            uint32_t size_bytes;
            bool is_alone;              /* the bytes are an object of their own, else the record's body */
            bool is_hidden;             /* goes to the graveyard with a UID of its own, until a reveal brings it back */
            unix_ms internal_date;
            unix_ms save_date;
            struct record_flags flags;
            uint32_t uid;               /* 0: the next. Else this one if it is not below UIDNEXT, else the next (migration) */
            view uidl;                  /* empty: derived from UIDVALIDITY and UID */
            uint32_t replaces_mailbox, replaces_uid;    /* this message is expunged with it, and if it is gone the record does nothing; 0: none */
        } append;
        struct {
            uint32_t mailbox;
            struct imap_set uids;       /* resolved */
            enum flags_change change;
            struct record_flags flags;
            uint64_t unchanged_since;   /* UINT64_MAX: unconditional. Rows with a larger modseq are left (RFC 7162 §3.1.3) */
        } flags;
        struct {
            uint32_t from, to;
            struct imap_set uids;
            bool moves;
        } copy;
        struct {
            uint32_t mailbox;
            struct imap_set uids;
            bool only_deleted;          /* only rows with \Deleted */
        } expunge;
        struct {
            view name;                  /* parents are created too */
            unsigned special_use;       /* MAILBOX_USE_… bits */
            uint32_t uid_validity;      /* 0: replay's choice */
            bool subscribes;
        } create;
        struct { uint32_t mailbox; } delete;
        struct { uint32_t mailbox; view name; } rename;      /* inferiors move along; INBOX: RFC 9051 §6.3.6 */
        struct { view name; bool subscribes; } subscribe;
        struct {
            uint32_t mailbox;           /* 0: all */
            unix_ms since, until;       /* of their expunging, inclusive */
            struct imap_set uids;       /* empty: all; the UIDs that they had */
            view into;                  /* name of the mailbox they go to; empty: where they were, or INBOX if it is gone */
        } restore;                      /* of REVEAL too: a mailbox and UIDs are named, `into` is empty, and one that is gone means that nothing is done */
        struct { unix_ms before; } purge;
        struct {
            uint32_t mailbox;
            bool sets_special_use;
            unsigned special_use;
            uint32_t uid_validity, uid_next;    /* 0: as it is; never lowered */
        } mailbox;
        struct {
            uint32_t mailbox;           /* 0: of the account */
            struct record_entry *entries;
            size_t count;
        } metadata;
    };
};

/*
 * Whether it can be written down: texts within their limits, no keyword empty, sets resolved. Whoever makes a record of what a client said
 * asks first; record_encode() checks.
 */
bool record_is_valid(const struct record *r);
/* Appends the meta bytes. */
void record_encode(buf *into, const struct record *r);
/* Pure. Lists are in the arena, texts are views into `meta`. CORRUPT when it is not a record. */
NODISCARD result record_decode(view meta, struct arena *arena, struct record *ret_record, struct fault *fault);
