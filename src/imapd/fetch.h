/*
 * fetch: one FETCH command under way, shared by fetch.c (rows) and fetch_message.c (what needs the bytes).
 */
#pragma once

#include "imapd/session.h"

struct fetch {
    struct session *s;
    const struct imap_fetch_item *items;
    size_t item_count;
    bool by_uid;                 /* UID FETCH: UID is told whether asked for or not */
    bool tells_uid, tells_modseq, tells_flags;   /* FLAGS are among the items */
    bool needs_message;          /* more than its row */
    bool is_listing;             /* all that needs the message may be among its summaries */
    bool needs_header;           /* the top header */
    bool needs_structure;        /* to find parts */
    bool tells_structure;        /* BODY or BODYSTRUCTURE */
    bool tells_preview, tells_lazy_preview;      /* PREVIEW; PREVIEW (LAZY) of messages that are read in one piece */
    bool has_changed_since;
    uint64_t changed_since;
    struct imap_set made_seen;   /* UIDs: their new flags are told too */
    uint64_t seen_modseq;        /* of the record that did it */
    bool met_gone;               /* some were expunged by others */
    result code;                 /* of the first message that could not be read */
    struct fault fault;
    bool met_unknown_encoding;   /* BINARY of an unknown Content-Transfer-Encoding */
};

/* "* n FETCH (" and the items that a row holds by itself. Whether one was written. */
void fetch_begin_line(struct fetch *f, uint32_t number, const struct row *row);
/* An item that needs no message. */
void fetch_write_row_item(struct fetch *f, enum imap_fetch_kind kind, const struct row *row);
/* A whole answer for a row whose message must be opened. Not OK: the client is gone; what cannot be read is noted in f->code. */
MAY_YIELD NODISCARD result fetch_write_message(struct fetch *f, uint32_t number, const struct row *row);
/* The same from the message's summaries. NOT_FOUND: it has not all of them; nothing is written. */
MAY_YIELD NODISCARD result fetch_write_listed(struct fetch *f, uint32_t number, const struct row *row);
bool fetch_is_listed_item(const struct imap_fetch_item *item);
bool fetch_is_row_item(enum imap_fetch_kind kind);
/* Some item needs the message itself, as neither its row nor its summaries have it. */
bool fetch_needs_bytes(const struct imap_fetch_item *items, size_t count);
/* Of a FETCH that does: has messages of pipelined ones read meanwhile. */
MAY_YIELD void fetch_look_ahead(struct session *s);
