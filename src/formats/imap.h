/*
 * imap: client commands as structs (RFC 9051 §9, RFC 3501 §9 and the extensions named below).
 *
 * imap_parse_command() reads one assembled command: its lines without the last CRLF, where a literal is
 * "{n}CRLF" and n bytes, as the client sent it. It is pure, never yields and recurses no deeper than
 * IMAP_SEARCH_DEPTH_MAX. All views point into the text or into `arena`, so the text must live as long.
 * Arena bytes are at most 64 * text + 4096.
 *
 * APPEND's message does not pass through here: its command text ends with the announcement of the message
 * literal, "{n}" or "{n+}" (see imap_text_wants_literal()), and what follows the message is parsed by
 * imap_parse_append_rest().
 *
 * The parser checks grammar, not meaning: unknown mailboxes, numbers out of range and states are the
 * session's affair. imap_write_command() writes any struct back, for the client side and for tests.
 */
#pragma once

#include "base/fault.h"
#include "formats/date.h"
#include "formats/imap_set.h"

enum {
    IMAP_TAG_BYTES_MAX = 100,           /* longer than any client's; answers repeat it */
    IMAP_COMMAND_BYTES_MAX = 256 * 1024, /* a command with its literals: a set of 30,000 single UIDs fits */
    IMAP_KEYWORD_BYTES_MAX = 100,       /* one keyword flag */
    IMAP_FLAGS_MAX = 64,                /* keywords in one command */
    IMAP_FETCH_ITEMS_MAX = 256,
    IMAP_SECTION_DEPTH_MAX = 100,       /* part numbers in "1.2.3"; no deeper than formats/mime.h reads */
    IMAP_HEADER_NAMES_MAX = 1000,       /* in HEADER.FIELDS (...) */
    IMAP_SEARCH_DEPTH_MAX = 50,         /* parentheses and NOT; OR chains of any length are one level */
    IMAP_SEARCH_KEYS_MAX = 5000,        /* clients build "OR HEADER Message-ID" chains of hundreds */
    IMAP_LIST_PATTERNS_MAX = 64,
    IMAP_ID_PAIRS_MAX = 30,             /* RFC 2971 §3.3 */
    IMAP_ENABLE_MAX = 64,
    IMAP_CATENATE_URLS_MAX = 1000,      /* of one message between two literals */
    IMAP_FILTER_MAILBOXES_MAX = 1000,   /* named in one filter of NOTIFY or ESEARCH */
    IMAP_NOTIFY_GROUPS_MAX = 64,
    IMAP_SORT_CRITERIA_MAX = 16,        /* there are nine keys */
    IMAP_ENTRIES_MAX = 256,             /* annotations in one command */
    IMAP_ENTRY_NAME_BYTES_MAX = 255,
};

/* System flags and those that have a bit of their own. */
enum imap_flag {
    IMAP_FLAG_ANSWERED = 1,
    IMAP_FLAG_FLAGGED = 2,
    IMAP_FLAG_DELETED = 4,
    IMAP_FLAG_SEEN = 8,
    IMAP_FLAG_DRAFT = 16,
    IMAP_FLAG_RECENT = 32,              /* only in answers and searches: no client can set it */
};

struct imap_flags {
    unsigned system;                    /* enum imap_flag */
    view *keywords;                     /* as written; not compared with each other */
    size_t keyword_count;
};

enum imap_verb {
    IMAP_CAPABILITY, IMAP_NOOP, IMAP_LOGOUT, IMAP_ID,
    IMAP_STARTTLS, IMAP_AUTHENTICATE, IMAP_LOGIN,
    IMAP_ENABLE, IMAP_SELECT, IMAP_EXAMINE, IMAP_CREATE, IMAP_DELETE, IMAP_RENAME, IMAP_SUBSCRIBE, IMAP_UNSUBSCRIBE,
    IMAP_LIST, IMAP_LSUB, IMAP_NAMESPACE, IMAP_STATUS, IMAP_APPEND, IMAP_IDLE,
    IMAP_CHECK, IMAP_CLOSE, IMAP_UNSELECT, IMAP_EXPUNGE, IMAP_SEARCH, IMAP_FETCH, IMAP_STORE, IMAP_COPY, IMAP_MOVE,
    IMAP_NOTIFY, IMAP_ESEARCH, IMAP_REPLACE, IMAP_SORT, IMAP_THREAD, IMAP_GETQUOTA, IMAP_GETQUOTAROOT, IMAP_UIDBATCHES, IMAP_UNAUTHENTICATE, IMAP_COMPRESS,
    IMAP_GETMETADATA, IMAP_SETMETADATA,
    IMAP_VERB_COUNT
};

/* Special-use attributes (RFC 6154 §2, RFC 8457), as bits. */
enum imap_special_use {
    IMAP_USE_ALL = 1,
    IMAP_USE_ARCHIVE = 2,
    IMAP_USE_DRAFTS = 4,
    IMAP_USE_FLAGGED = 8,
    IMAP_USE_JUNK = 16,
    IMAP_USE_SENT = 32,
    IMAP_USE_TRASH = 64,
    IMAP_USE_IMPORTANT = 128,
    IMAP_USE_UNKNOWN = 1 << 15,         /* some other attribute was named */
};

struct imap_authenticate {
    view mechanism;                     /* as written */
    bool has_initial;                   /* SASL-IR, RFC 4959 */
    view initial;                       /* still base64; empty when the client wrote "=" */
};

struct imap_login {
    view user, password;
};

struct imap_id {
    struct imap_id_pair { view name, value; bool is_nil; } *pairs;
    size_t count;                       /* 0 for NIL */
};

struct imap_enable {
    view *names;
    size_t count;
};

struct imap_select {
    view mailbox;                       /* as on the wire: see imap_name.h */
    bool wants_condstore;               /* RFC 7162 §3.1.8 */
    bool wants_qresync;                 /* RFC 7162 §3.2.5: what follows is what the client has in its cache */
    uint32_t uid_validity;
    uint64_t modseq;
    bool has_known;
    struct imap_set known;              /* UIDs */
    bool has_match;
    struct imap_set match_numbers, match_uids;      /* as many of the one as of the other */
};

/* UIDBATCHES (RFC 10022 §3.1): batches from the newest message on; 0: all of them. */
struct imap_uidbatches {
    uint32_t size, first, last;
};

/* A part of a list of results (RFC 9394 §3.1), as written: the first may be larger than the last. */
struct imap_partial {
    uint32_t first, last;
    bool from_end;                      /* both were negative: counted from the last result */
};

struct imap_create {
    view mailbox;
    unsigned use;                       /* enum imap_special_use; RFC 6154 §3 */
};

struct imap_rename {
    view from, to;
};

enum imap_status_item {
    IMAP_STATUS_MESSAGES = 1,
    IMAP_STATUS_RECENT = 2,
    IMAP_STATUS_UIDNEXT = 4,
    IMAP_STATUS_UIDVALIDITY = 8,
    IMAP_STATUS_UNSEEN = 16,
    IMAP_STATUS_DELETED = 32,
    IMAP_STATUS_SIZE = 64,
    IMAP_STATUS_HIGHESTMODSEQ = 128,
    IMAP_STATUS_APPENDLIMIT = 256,      /* RFC 7889 */
    IMAP_STATUS_MAILBOXID = 512,        /* RFC 8474 */
    IMAP_STATUS_DELETED_STORAGE = 1024, /* RFC 9208 §4.1.4 */
};

struct imap_status {
    view mailbox;
    unsigned items;
};

enum imap_list_option {
    IMAP_LIST_SUBSCRIBED = 1,
    IMAP_LIST_REMOTE = 2,
    IMAP_LIST_RECURSIVEMATCH = 4,
    IMAP_LIST_SPECIAL_USE = 8,
    IMAP_LIST_CHILDREN = 16,
    IMAP_LIST_STATUS = 32,
    IMAP_LIST_METADATA = 64,            /* RFC 9590 */
};

/* GETMETADATA and SETMETADATA (RFC 5464 §4.2, §4.3), and of LIST what it asks for. */
enum imap_depth { IMAP_DEPTH_0, IMAP_DEPTH_1, IMAP_DEPTH_INFINITY };
struct imap_entry { view name, value; bool is_nil; };
struct imap_metadata {
    view mailbox;                       /* empty: the server */
    enum imap_depth depth;
    bool has_max_size;
    uint64_t max_size;                  /* octets of a value */
    struct imap_entry *entries;         /* values: of SETMETADATA; may hold any octet */
    size_t count;
};

struct imap_list {
    bool is_extended;                   /* any RFC 5258 syntax was used */
    unsigned select, want;              /* enum imap_list_option: selection and return options */
    unsigned status_items;              /* with IMAP_LIST_STATUS in `want` */
    struct imap_metadata metadata;      /* with IMAP_LIST_METADATA in `want` */
    view reference;
    view *patterns;
    size_t pattern_count;
};

struct imap_literal {
    uint64_t size_bytes;
    bool is_sync;                       /* the client waits for "+" before it goes on */
    bool is_binary;                     /* literal8, "~{n}" */
};

struct imap_append_message {
    struct imap_flags flags;
    bool has_date;
    struct date date;
    bool is_utf8;                       /* UTF8 (~{n}, RFC 6855 §4, of the message or of a part: the rest begins with ")" */
    bool is_catenate;                   /* RFC 4469: URLs, and when has_literal then a literal, and more parts after it */
    bool is_continued;                  /* these are further parts of the message before (of a rest) */
    view *urls;
    size_t url_count;
    bool has_literal;                   /* else the message is complete, and `rest` comes behind it */
    struct imap_literal literal;
    view rest;
};

struct imap_append {
    struct imap_set replaces;           /* REPLACE (RFC 8508): one message */
    view mailbox;
    struct imap_append_message message;
};

/* Section of BODY[...] and BINARY[...] (RFC 9051 §6.4.5.1). */
enum imap_section_kind {
    IMAP_SECTION_ALL, IMAP_SECTION_HEADER, IMAP_SECTION_HEADER_FIELDS, IMAP_SECTION_HEADER_FIELDS_NOT,
    IMAP_SECTION_TEXT, IMAP_SECTION_MIME,
};

struct imap_section {
    enum imap_section_kind kind;
    uint32_t *parts;                    /* from 1 */
    size_t part_count;
    view *names;                        /* HEADER.FIELDS and .NOT */
    size_t name_count;
};

enum imap_fetch_kind {
    IMAP_FETCH_FLAGS, IMAP_FETCH_UID, IMAP_FETCH_INTERNALDATE, IMAP_FETCH_RFC822_SIZE,
    IMAP_FETCH_SAVEDATE, IMAP_FETCH_EMAILID,                         /* RFC 8514, RFC 8474 */
    IMAP_FETCH_MODSEQ,
    IMAP_FETCH_THREADID,                /* RFC 8474 §5.2 */
    IMAP_FETCH_ENVELOPE, IMAP_FETCH_BODY, IMAP_FETCH_BODYSTRUCTURE,
    IMAP_FETCH_PREVIEW,                 /* RFC 8970 */
    IMAP_FETCH_RFC822, IMAP_FETCH_RFC822_HEADER, IMAP_FETCH_RFC822_TEXT,
    IMAP_FETCH_SECTION, IMAP_FETCH_BINARY, IMAP_FETCH_BINARY_SIZE,
};

struct imap_fetch_item {
    enum imap_fetch_kind kind;
    bool is_peek;                       /* BODY.PEEK, BINARY.PEEK */
    bool is_lazy;                       /* PREVIEW (LAZY) */
    bool is_partial;
    uint32_t partial_from, partial_len; /* octets; partial_len is not 0 */
    struct imap_section section;        /* of the last three kinds */
};

struct imap_fetch {
    struct imap_set set;
    struct imap_fetch_item *items;      /* macros ALL, FAST, FULL are spelled out */
    size_t item_count;
    bool has_changed_since;             /* RFC 7162 §3.1.4 */
    uint64_t changed_since;
    bool wants_vanished;                /* RFC 7162 §3.2.6 */
    bool has_partial;                   /* RFC 9394 §3.3 */
    struct imap_partial partial;
};

enum imap_store_kind { IMAP_STORE_REPLACE, IMAP_STORE_ADD, IMAP_STORE_REMOVE };

struct imap_store {
    struct imap_set set;
    enum imap_store_kind kind;
    bool is_silent;
    bool has_unchanged_since;           /* RFC 7162 §3.1.3 */
    uint64_t unchanged_since;
    struct imap_flags flags;
};

struct imap_copy {
    struct imap_set set;
    view mailbox;
};

enum imap_search_kind {
    IMAP_SEARCH_AND, IMAP_SEARCH_OR, IMAP_SEARCH_NOT,   /* of `children` */
    IMAP_SEARCH_FUZZY,          /* of one key in `children`; RFC 6203 */
    IMAP_SEARCH_ALL,
    IMAP_SEARCH_FLAG,           /* number: one enum imap_flag */
    IMAP_SEARCH_KEYWORD,        /* text */
    IMAP_SEARCH_SET,            /* set of sequence numbers */
    IMAP_SEARCH_UID,            /* set of UIDs */
    IMAP_SEARCH_UIDAFTER, IMAP_SEARCH_UIDBEFORE,        /* number: a UID; RFC 9738 §3.2 */
    IMAP_SEARCH_LARGER, IMAP_SEARCH_SMALLER,            /* number: octets */
    IMAP_SEARCH_BEFORE, IMAP_SEARCH_ON, IMAP_SEARCH_SINCE,             /* day */
    IMAP_SEARCH_SENTBEFORE, IMAP_SEARCH_SENTON, IMAP_SEARCH_SENTSINCE, /* day */
    IMAP_SEARCH_OLDER, IMAP_SEARCH_YOUNGER,             /* number: seconds; RFC 5032 */
    IMAP_SEARCH_HEADER,         /* field, text (which may be empty: the field is there) */
    IMAP_SEARCH_BODY, IMAP_SEARCH_TEXT,                 /* text */
    IMAP_SEARCH_MODSEQ,         /* number; RFC 7162 §3.1.5 */
    IMAP_SEARCH_SAVEDBEFORE, IMAP_SEARCH_SAVEDON, IMAP_SEARCH_SAVEDSINCE,    /* day; RFC 8514 */
    IMAP_SEARCH_SAVEDATE_SUPPORTED,
    IMAP_SEARCH_EMAILID, IMAP_SEARCH_THREADID,          /* text; RFC 8474 */
    IMAP_SEARCH_FILTER,         /* text: the name of a stored search; RFC 5466 */
};

struct imap_search_key {
    enum imap_search_kind kind;
    bool is_shorthand;          /* HEADER written as FROM, TO, CC, BCC or SUBJECT */
    struct imap_search_key *next;
    union {                     /* as the kind says */
        struct imap_search_key *children;
        struct { view field, text; };   /* text in the search's charset */
        struct imap_set set;
        uint64_t number;
        int32_t day;            /* days since 1970-01-01 */
    };
};

enum imap_search_return {
    IMAP_RETURN_MIN = 1,
    IMAP_RETURN_MAX = 2,
    IMAP_RETURN_ALL = 4,
    IMAP_RETURN_COUNT = 8,
    IMAP_RETURN_SAVE = 16,      /* RFC 5182 */
    IMAP_RETURN_PARTIAL = 32,   /* RFC 9394; not together with ALL */
    IMAP_RETURN_RELEVANCY = 64, /* RFC 6203; without ALL or PARTIAL or the like, ALL too */
};

struct imap_search {
    bool has_return;            /* RETURN (...) was written, RFC 9051 §6.4.4 */
    unsigned want;              /* enum imap_search_return; RETURN () is ALL */
    struct imap_partial partial; /* with IMAP_RETURN_PARTIAL */
    view charset;               /* empty: none named */
    struct imap_search_key *root; /* an AND */
};

enum imap_sort_key {
    IMAP_SORT_ARRIVAL = 1, IMAP_SORT_CC, IMAP_SORT_DATE, IMAP_SORT_FROM, IMAP_SORT_SIZE, IMAP_SORT_SUBJECT, IMAP_SORT_TO,
    IMAP_SORT_DISPLAYFROM, IMAP_SORT_DISPLAYTO,         /* RFC 5957 */
    IMAP_SORT_RELEVANCY,                                /* RFC 6203 §6 */
};

/* SORT (RFC 5256, with RETURN: RFC 5267 §3). */
struct imap_sort {
    struct imap_sort_criterion { enum imap_sort_key key; bool is_reverse; } *criteria;
    size_t count;
    struct imap_search search;
};

enum imap_thread_algorithm { IMAP_THREAD_ORDEREDSUBJECT = 1, IMAP_THREAD_REFERENCES, IMAP_THREAD_REFS };

struct imap_thread {
    enum imap_thread_algorithm algorithm;
    struct imap_search search;
};

/* Which mailboxes (RFC 5465 §6, RFC 7377 §2.2). */
enum imap_filter_kind {
    IMAP_FILTER_SELECTED = 1, IMAP_FILTER_SELECTED_DELAYED, IMAP_FILTER_INBOXES, IMAP_FILTER_PERSONAL, IMAP_FILTER_SUBSCRIBED,
    IMAP_FILTER_SUBTREE, IMAP_FILTER_SUBTREE_ONE, IMAP_FILTER_MAILBOXES,    /* of `names` */
};
struct imap_mailbox_filter {
    enum imap_filter_kind kind;
    view *names;
    size_t count;
};

enum imap_event {
    IMAP_EVENT_MESSAGE_NEW = 1, IMAP_EVENT_MESSAGE_EXPUNGE = 2, IMAP_EVENT_FLAG_CHANGE = 4, IMAP_EVENT_ANNOTATION_CHANGE = 8,
    IMAP_EVENT_MAILBOX_NAME = 16, IMAP_EVENT_SUBSCRIPTION_CHANGE = 32, IMAP_EVENT_MAILBOX_METADATA_CHANGE = 64,
    IMAP_EVENT_SERVER_METADATA_CHANGE = 128,
    IMAP_EVENT_OTHER = 256,             /* of some other name (RFC 5465 §8 event-ext) */
};
struct imap_notify {
    bool wants_status;
    struct imap_notify_group {
        struct imap_mailbox_filter filter;
        unsigned events;                /* enum imap_event; 0: NONE */
        struct imap_fetch fetch;        /* items alone, of MessageNew */
    } *groups;
    size_t count;                       /* 0: NOTIFY NONE */
};

struct imap_esearch {
    struct imap_mailbox_filter *filters;    /* none: the selected mailbox */
    size_t count;
    struct imap_search search;
};

struct imap_command {
    view tag;
    enum imap_verb verb;
    bool is_uid;                /* written with UID: sets name UIDs */
    union {
        struct imap_authenticate authenticate;
        struct imap_login login;
        struct imap_id id;
        struct imap_enable enable;
        struct imap_select select;      /* SELECT, EXAMINE */
        struct imap_create create;
        view mailbox;                   /* DELETE, SUBSCRIBE, UNSUBSCRIBE */
        struct imap_rename rename;
        struct imap_list list;          /* LIST, LSUB */
        struct imap_status status;
        struct imap_append append;
        struct imap_set expunge;        /* UID EXPUNGE */
        struct imap_search search;
        struct imap_notify notify;
        struct imap_esearch esearch;
        struct imap_sort sort;
        struct imap_thread thread;
        struct imap_fetch fetch;
        struct imap_store store;
        struct imap_copy copy;          /* COPY, MOVE */
        view quota_root;                /* GETQUOTA */
        view compression;               /* COMPRESS */
        struct imap_metadata metadata;  /* GETMETADATA, SETMETADATA */
        struct imap_uidbatches uidbatches;
    };
};

/*
 * INVALID: the text breaks the grammar (fault says where, safe for the client); TOO_BIG: a limit above;
 * NOT_FOUND: no such command. `*ret_command` is set only with OK.
 */
NODISCARD result imap_parse_command(view text, struct arena *arena, struct imap_command *ret_command, struct fault *fault);
/* [CHARSET SP charset SP] keys, as a stored search has them (RFC 5466 §3.1). */
NODISCARD result imap_parse_search(view text, struct arena *arena, struct imap_search *ret_search, struct fault *fault);
/* Of an annotation: RFC 5464 §3.2. */
bool imap_entry_name_is_valid(view name);
/* The tag and, when there is one, the command word, whatever comes after: enough for an answer. */
NODISCARD bool imap_parse_tag(view text, view *ret_tag);

/*
 * What follows the message literal of APPEND or REPLACE: nothing (is_last), further parts of a CATENATE, or for MULTIAPPEND (RFC 3502)
 * the next message; up to a literal's announcement.
 */
enum imap_append_place { IMAP_AFTER_MESSAGE, IMAP_AFTER_UTF8, IMAP_AFTER_CATENATE, IMAP_AFTER_CATENATE_UTF8 };
static inline enum imap_append_place imap_append_place(const struct imap_append_message *m)
{
    if (m->is_catenate && m->has_literal) return m->is_utf8 ? IMAP_AFTER_CATENATE_UTF8 : IMAP_AFTER_CATENATE;
    return m->is_utf8 ? IMAP_AFTER_UTF8 : IMAP_AFTER_MESSAGE;
}
NODISCARD result imap_parse_append_rest(view text, enum imap_append_place place, struct arena *arena, bool *ret_is_last,
                                        struct imap_append_message *ret_message, struct fault *fault);

/* The text so far ends with the announcement of a literal, whose bytes come next. */
NODISCARD bool imap_text_wants_literal(view text, struct imap_literal *ret_literal);
/* "TAG APPEND ...", "TAG [UID] REPLACE ..." (the commands whose literal may be a message). */
bool imap_text_is_append(view text);

const char *imap_verb_name(enum imap_verb verb);

/*
 * The command in canonical form, without the last CRLF: strings quoted where they can be and as literals
 * ("{n+}" with `literal_plus`) where not.
 */
void imap_write_command(buf *out, const struct imap_command *command, bool literal_plus);
