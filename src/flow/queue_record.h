/*
 * queue_record: what the journal of a queue shard is made of.
 *
 *     ENQUEUE   a message with its envelope; its bytes are the record's body, or an object of their own
 *     ATTEMPT   what came of recipients in one attempt: delivered, failed, or to be tried again
 *     ORDER     an operator's wish for one message: hold, release, retry now, expire, remove, redirect
 *     ORDERS    the same for all messages before it in the journal that a filter selects: a million in one record
 *
 * A message whose recipients are all delivered or failed is gone. Versioned; doc/formats/queue.md says it offset by offset.
 * Anybody may append; the shard's owner replays. Pure; nothing here yields.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/fault.h"
#include "base/id.h"
#include "base/time.h"

enum {
    QUEUE_RECIPIENTS_MAX = 1000,         /* of one message: as many as smtpd takes */
    QUEUE_ADDRESS_BYTES_MAX = 1000,      /* a path with everything quoted (RFC 5321 §4.5.3.1.3 has 256) */
    QUEUE_ANSWER_BYTES_MAX = 500,        /* of a server's answer, kept for logs and bounces */
    QUEUE_NAME_BYTES_MAX = 255,
};

enum queue_record_kind { QUEUE_ENQUEUE = 1, QUEUE_ATTEMPT = 2, QUEUE_ORDER = 3, QUEUE_ORDERS = 4 };

enum queue_flag {
    QUEUE_IS_ALONE = 1,                  /* the bytes are the object "queue/<message>", behind those of the record's body */
    QUEUE_IS_UTF8 = 2,                   /* MAIL had SMTPUTF8 */
    QUEUE_IS_8BIT = 4,                   /* MAIL had BODY=8BITMIME */
    QUEUE_IS_NOTICE = 8,                 /* a bounce or notice of our own */
    QUEUE_HAS_LOCAL = 16,                /* recipients may be accounts of ours: it was held back (FUTURERELEASE) */
    QUEUE_REQUIRES_TLS = 32,             /* MAIL had REQUIRETLS (RFC 8689 §2) */
    QUEUE_TLS_IS_OPTIONAL = 64,          /* the header has TLS-Required: No (RFC 8689 §3), or it is a TLS report */
};

struct queue_address {
    view address;                        /* mailbox as RFC 5321 writes it, without <> */
    uint8_t notify;                      /* enum smtp_notify bits; 0: the default, FAILURE and DELAY */
    view original;                       /* ORCPT, as it came */
};

/* What DELIVERBY asks for when the time is over (RFC 2852 §4). The numbers are those of enum smtp_by. */
enum queue_by { QUEUE_BY_RETURN = 1, QUEUE_BY_NOTIFY = 2, QUEUE_BY_TRACE = 4 };
/* Which addresses mail leaves from depends on what it is and on who sends it. Stored: numbers never change. */
enum queue_class { QUEUE_SUBMITTED = 0, QUEUE_FORWARDED = 1, QUEUE_BOUNCE = 2, QUEUE_NOTIFICATION = 3, QUEUE_CLASSES };
enum queue_standing { QUEUE_GOOD = 0, QUEUE_NEW = 1, QUEUE_SUSPICIOUS = 2, QUEUE_BULK = 3, QUEUE_STANDINGS };
const char *queue_class_name(enum queue_class class);
const char *queue_standing_name(enum queue_standing standing);

struct queue_envelope {
    struct id message;
    struct id account;                   /* who submitted it; ID_NONE: the system */
    view tenant;
    view sender;                         /* empty: the null path */
    unsigned flags;                      /* enum queue_flag */
    uint8_t return_what;                 /* enum smtp_return */
    view envelope_id;
    unix_ms received;
    uint64_t bytes;                      /* to be sent */
    uint32_t skip_bytes;                 /* at the front of what is stored: fields that do not leave (Return-Path) */
    view front;                          /* for queue_enqueue() alone, which counts it into bytes: fields that go before it (signatures) */
    struct queue_address *recipients;
    size_t recipient_count;
    /* Since FEATURE_QUEUE_WISHES; zeros: nothing is wished. */
    unix_ms not_before;                  /* FUTURERELEASE (RFC 4865) */
    unix_ms deliver_by;                  /* DELIVERBY (RFC 2852) */
    uint8_t deliver_by_mode;             /* enum queue_by */
    int8_t priority;                     /* MT-PRIORITY (RFC 6710) */
    uint8_t class, standing;             /* enum queue_class, enum queue_standing */
    view route;                          /* an operator's: HOST:PORT or lmtp:HOST:PORT in place of DNS */
};

enum queue_outcome { QUEUE_DELIVERED = 1, QUEUE_FAILED = 2, QUEUE_DEFERRED = 3 };

struct queue_result {
    uint32_t recipient;                  /* index in the envelope */
    enum queue_outcome outcome;
    unix_ms next_try;                    /* QUEUE_DEFERRED */
    uint16_t code;                       /* of the answer; 0: none came */
    uint8_t class;                       /* enhanced code */
    uint16_t subject, detail;
    view host;                           /* who answered; empty: nobody */
    view answer;
    /* Not stored. */
    bool is_passed_on;                   /* delivered to a server that tells the sender itself (DSN) */
    bool is_untimed;                     /* to one that knows nothing of the time that it should be there by (DELIVERBY) */
    bool is_final;                       /* delivered into a mailbox, and not only to the next server */
    uint8_t meaning;                     /* enum answer_class */
};

enum queue_order { QUEUE_HOLD = 1, QUEUE_RELEASE = 2, QUEUE_RETRY = 3, QUEUE_EXPIRE = 4, QUEUE_REMOVE = 5, QUEUE_REDIRECT = 6 };

/* What has all of this is selected. An empty filter selects everything. */
struct queue_filter {
    struct id message, account;          /* ID_NONE: any */
    view sender, recipient;              /* parts of the address, in any case; empty: any */
    view domain;                         /* of a recipient */
    view tenant;
    view answer;                         /* a part of the last one, in any case */
    unix_ms before, after;               /* received so; 0: any */
};
bool queue_filter_is_empty(const struct queue_filter *f);

struct queue_record {
    enum queue_record_kind kind;
    struct id id;
    unix_ms written;
    struct id message;                   /* all kinds */
    struct queue_envelope envelope;      /* QUEUE_ENQUEUE; its message is set, too */
    struct queue_result *results;        /* QUEUE_ATTEMPT */
    size_t result_count;
    enum queue_order order;              /* QUEUE_ORDER, QUEUE_ORDERS */
    struct queue_filter filter;          /* QUEUE_ORDERS */
    view target;                         /* QUEUE_REDIRECT: an address, or a route HOST:PORT or lmtp:HOST:PORT */
};

/* In version 1 unless it says what only version 2 can. */
void queue_record_encode(buf *into, const struct queue_record *r);
/* It needs FEATURE_QUEUE_WISHES. */
bool queue_record_is_new(const struct queue_record *r);
/* Views point into `bytes`, arrays live in the arena. CORRUPT with the reason. */
NODISCARD result queue_record_decode(view bytes, struct arena *arena, struct queue_record *ret_record, struct fault *fault);
