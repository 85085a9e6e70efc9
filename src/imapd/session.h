/*
 * session: one connection and what it has been told.
 *
 * 1. A session that waits for a command, or idles, has no coroutine (is_resting); else exactly one runs.
 * 2. From log-in on it lives on its account's home loop, and only there touches the account.
 * 3. What the client knows of the selected mailbox is `view`; only sync.c tells it of changes, so sequence numbers
 *    are right at every instant.
 * 4. Answers are written to the wire in the order of the commands, and sent when the client has sent nothing more.
 *    APPENDs whose messages have arrived may be under way together (`appends`); no other command begins before they
 *    are answered.
 */
#pragma once

#include "account/view.h"
#include "formats/imap.h"
#include "imapd/service.h"
#include "runtime/clock.h"
#include "runtime/coroutine.h"
#include "runtime/wire.h"

enum {
    SESSION_ARENA_BYTES_MAX = 128 << 20,     /* a command's; LIST of STATE_MAILBOXES_MAX and sets of a million fit */
    SESSION_LINE_BYTES_MAX = 64 * 1024,      /* RFC 9051 §4 footnote and RFC 7162 §4: at least 8,192 octets */
    SESSION_EARLY_BYTES_MAX = 8 * 1024,      /* the same before log-in, with literals */
    SESSION_CLOSE_TIMEOUT_MS = 5000,         /* for the last words */
    SESSION_APPENDS_MAX = 64,                /* under way at once */
    SESSION_APPENDS_BYTES_MAX = 2 << 20,
};

/* Bits, so that a command can name the states it is allowed in (dispatch.c). */
enum session_state {
    SESSION_NOT_AUTHENTICATED = 1,
    SESSION_AUTHENTICATED = 2,
    SESSION_SELECTED = 4,
    SESSION_LOGGED_OUT = 8,
};

/* How a command ended. */
enum reply_kind {
    REPLY_OK, REPLY_NO, REPLY_BAD,
    REPLY_NONE,                              /* answered by itself, or to be answered later */
};
struct reply {
    enum reply_kind kind;
    buf code;                                /* response code without brackets; empty: none */
    const char *text;                        /* static, or in the session's arena; NULL: "<command> completed" */
};

struct session {
    struct imapd_loop *home;
    struct imapd *imapd;
    struct list node;                        /* in home->sessions */
    struct id id;
    enum imapd_kind kind;
    enum session_state state;
    bool is_dismissed;                       /* is to end like those of a service that stops */
    bool is_expelled;                        /* is to end: its account was suspended or removed */
    bool is_resting, is_closing, is_broken;  /* is_broken: the client cannot be told anything more */
    bool is_greeted, has_input, is_timed_out;
    bool is_logging_in;                      /* the password was right; the answer comes on the account's loop */
    bool is_idling, is_poked;                /* IDLE; the account changed since the last look */
    bool is_rev2, is_utf8, has_condstore;    /* ENABLE, and CONDSTORE by use (RFC 7162 §3.1) */
    bool has_qresync, is_uid_only;           /* ENABLE QRESYNC, UIDONLY: what is gone is told by UID (VANISHED) */
    bool is_read_only, is_watching;
    unsigned error_count, login_failure_count;
    const char *close_reason;                /* static */

    struct wire wire;
    struct timer idle_timer;
    struct arena *arena;                     /* of the command; NULL while resting */
    buf text;                                /* a command that has literals */
    char tag[IMAP_TAG_BYTES_MAX + 1];        /* of IDLE, and of a log-in that changes loops */

    struct id account_id;                    /* set by log-in */
    struct quota quota;
    struct account *account;                 /* NULL before log-in is done */
    struct account_watch watch;
    struct standing_watch standing;          /* as long as there is `account` */

    struct mailbox_view *view;               /* state SELECTED */
    uint32_t recent_from_uid;                /* messages from here on are \Recent to this session */
    unsigned keywords_told;                  /* of the selected mailbox: keywords are never taken away */
    uint32_t told_exists;
    struct imap_set_builder saved;           /* UIDs: SEARCH RETURN (SAVE), RFC 9051 §6.4.4.1 */

    struct notify *notify;                   /* NOTIFY SET; NULL: none */
    bool is_deaf;                            /* NOTIFY NONE */
    bool has_metadata;                       /* ENABLE METADATA */
    uint64_t metadata_seen;                  /* the record up to which changes of annotations were told */

    view progress_tag;                       /* of the command that runs */
    millis progress_at;                      /* when the client last heard something, or the command began */
    uint64_t progress_bytes, progress_done;

    unsigned looked_ahead;                   /* FETCHes behind this one whose messages are expected already (look_ahead.c) */

    struct list appends;                     /* append.c, oldest first */
    size_t append_count, append_bytes;
    struct waitlist append_done;
};

/* Takes the stream; greets. On the session's loop, outside coroutines. */
void session_start(struct imapd_loop *home, enum imapd_kind kind, struct stream *stream);
/* Ends it with BYE if it rests; otherwise it ends itself after its command. Outside coroutines. */
void session_stop(struct session *s);
/* The account was suspended or removed. As session_stop(), but the second time it ends whatever its client does. */
void session_expel(struct standing_watch *w);

static inline const struct imapd_options *session_options(const struct session *s) { return &s->imapd->options; }
static inline buf *session_out(struct session *s) { return &s->wire.output; }
static inline millis session_store_deadline(const struct session *s) { return clock_in(session_options(s)->store_timeout_ms); }
/* Expunges are told as UIDs. */
static inline bool session_tells_vanished(const struct session *s) { return s->has_qresync || s->is_uid_only; }
static inline bool session_speaks_utf8(const struct session *s) { return s->is_utf8 || s->is_rev2; }
bool session_has_tls(const struct session *s);
/* Passwords may be sent: TLS, or a peer that cannot be listened to, or the operator allows it. */
bool session_may_log_in(const struct session *s);

/* ---- output ---- */
/* "* " + text + CRLF. */
void session_tellf(struct session *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
MAY_YIELD NODISCARD result session_flush(struct session *s);
/*
 * To be called in long loops between two answers: sends what has gathered when it is much, and gives others a turn. Not OK
 * when the client is gone: the command then ends itself quickly.
 */
MAY_YIELD NODISCARD result session_breathe(struct session *s);
/*
 * What computes for longer than a turn may last, and cannot be cut: job(argument) on a worker, one at a time of a loop. It touches only what stays
 * still meanwhile. Of so many bytes decoding takes about as long as a turn should.
 */
MAY_YIELD NODISCARD result session_on_worker(struct session *s, void (*job)(void *argument), void *argument, struct fault *fault);
enum { SESSION_BYTES_PER_TURN = 64 << 10 };
/* Any number of ranges, in turns. The set stays as long. */
MAY_YIELD NODISCARD result session_write_set(struct session *s, const struct imap_set *set);
enum { SESSION_NUMBERS_PER_TURN = 4096 };       /* written between two breaths */
/* The peer is gone or too slow: what is left is to close. */
void session_break(struct session *s, result code, const struct fault *fault);
/* "* BYE" and the end. */
void session_bye(struct session *s, const char *reason, const char *text);

/* ---- replies (reply.c) ---- */
void reply_set(struct reply *r, enum reply_kind kind, const char *code, const char *text);
/* What a result is called in IMAP: one table. Logs what is not the client's doing. OK leaves the reply as it is. */
void reply_result(struct session *s, struct reply *r, result code, const struct fault *fault);
void reply_done(struct reply *r);
/* "HIGHESTMODSEQ n" into the reply of an expunge (RFC 7162 §3.2.7). */
void reply_highest_modseq(struct session *s, struct reply *r, uint64_t modseq);
/* The tagged line. `name`: of the command, for "completed". */
void reply_write(struct session *s, view tag, const char *name, const struct reply *r);

/* ---- reading commands (read_command.c) ---- */
/*
 * The next command's text with its literals, good until something is read again. *ret_is_append: the text ends with the
 * announcement of a message, which has not been read. INVALID and TOO_BIG: the client was told.
 */
MAY_YIELD NODISCARD result session_read_command(struct session *s, view *ret_text, bool *ret_is_append);
/* Reads and drops what follows an announcement that cannot be taken. */
MAY_YIELD NODISCARD result session_skip_bytes(struct session *s, uint64_t count);
/* The same of all that a refused command, whose text ends with an announcement, sends without being asked. */
MAY_YIELD NODISCARD result session_drop_literals(struct session *s, view text);
MAY_YIELD void session_run_command(struct session *s, view text, bool is_append);   /* dispatch.c */

/* ---- the selected mailbox (select.c, sync.c) ---- */
void session_unselect(struct session *s);
/* FLAGS and PERMANENTFLAGS. m of the others may be NULL. */
void session_tell_keywords(struct session *s, const struct mailbox *m);
/* If the mailbox was given a keyword since. */
void session_tell_new_keywords(struct session *s, const struct mailbox *m);
/* The client itself gave it those that are not told. */
void session_knows_keywords(struct session *s, const struct mailbox *m);
/* Tells of everything that changed. `may_expunge` false during FETCH, STORE and SEARCH (RFC 9051 §7.5.1). */
MAY_YIELD void session_sync(struct session *s, bool may_expunge);
/* Learns what other nodes wrote, first. */
MAY_YIELD NODISCARD result session_refresh(struct session *s, struct fault *fault);
/* For COPY, MOVE and APPEND: false when there is no such mailbox, or none that holds messages. */
MAY_YIELD bool session_find_destination(struct session *s, view name, struct mailbox_info *ret_info);
/* OVER_QUOTA when so many more do not fit the account. */
NODISCARD result session_check_quota(const struct session *s, struct quota more, struct fault *fault);
struct mailbox *session_mailbox(struct session *s);      /* the selected one; NULL when it is gone */
/* The name of the store, or INVALID/TOO_BIG with a reply (also of APPEND ... to see in `reply`). */
NODISCARD result session_mailbox_name(struct session *s, view wire, struct reply *reply, view *ret_name);
/* Follows the account while idling. */
void session_watch(struct session *s);
void session_unwatch(struct session *s);

/*
 * A set as the client wrote it, as sequence numbers of the view, or UIDs when `by_uid`; "$" is what was saved. Sequence numbers that
 * do not exist are BAD (the reply is set, INVALID). UIDs are cut to those that the client can know.
 */
MAY_YIELD NODISCARD result session_resolve(struct session *s, const struct imap_set *written, bool by_uid, struct reply *reply,
                                           struct imap_set *ret_resolved);
/* Of sequence numbers in a search, where those that do not exist are no error (RFC 7377 §2). */
MAY_YIELD NODISCARD result session_resolve_there(struct session *s, const struct imap_set *written, struct reply *reply, struct imap_set *ret_resolved);
/* A resolved set as UIDs, for records. */
MAY_YIELD NODISCARD result session_uids_of(struct session *s, const struct imap_set *resolved, bool is_uids, struct reply *reply,
                                           struct imap_set *ret_uids);
/*
 * Calls each() with the rows of a resolved set in order, some hundred at a time, `number` being the first one's sequence number; it may
 * yield, and ends the walk with a result other than OK, which is then the walk's. Breathes in between. Rows may be gone (row_is_gone).
 */
typedef result session_row_fn(void *argument, uint32_t number, const struct row *rows, size_t count);
MAY_YIELD NODISCARD result session_walk(struct session *s, const struct imap_set *resolved, bool by_uid, session_row_fn *each, void *argument);

/* What of a resolved set may have changed since a mod-sequence (mailbox_view_touched()). In the arena. */
MAY_YIELD NODISCARD result session_cut_unchanged(struct session *s, const struct imap_set *resolved, bool by_uid, uint64_t since,
                                                 struct imap_set *ret_resolved);
/* What of it may have an internal date from one to the other (mailbox_view_dated()). In the arena. */
MAY_YIELD NODISCARD result session_cut_dated(struct session *s, const struct imap_set *resolved, bool by_uid, unix_ms from, unix_ms until,
                                             struct imap_set *ret_resolved);
/* What of it may have ROW_SEEN or ROW_DELETED, or not (mailbox_view_flagged()). In the arena. */
MAY_YIELD NODISCARD result session_cut_flagged(struct session *s, const struct imap_set *resolved, bool by_uid, uint64_t flag, bool is_set,
                                               struct imap_set *ret_resolved);
/*
 * Of a set of UIDs (resolved) the part that a range of results names, counted in messages (RFC 9394 §3.3). In the arena.
 */
MAY_YIELD NODISCARD result session_cut_partial(struct session *s, const struct imap_set *uids, const struct imap_partial *partial,
                                               struct imap_set *ret_uids);
/* The same as session_walk(), from the last row to the first: each() gets rows that rise, of numbers that fall. */
MAY_YIELD NODISCARD result session_walk_back(struct session *s, const struct imap_set *resolved, bool by_uid, session_row_fn *each, void *argument);

/* Sequence numbers of UIDs (resolved) that have a message. And how many messages that are; UINT64_MAX when the store fails. */
MAY_YIELD NODISCARD result session_numbers_of(struct session *s, const struct imap_set *uids, struct imap_set *ret_numbers);
MAY_YIELD uint64_t session_count(struct session *s, const struct imap_set *uids);

/* Of `uids` (resolved) those that have \Deleted go; *ret_modseq is that of the last record by which any did, or 0 (expunge.c). */
MAY_YIELD NODISCARD result session_expunge(struct session *s, uint32_t mailbox, const struct imap_set *uids, uint64_t *ret_modseq, struct fault *fault);

/* ---- limits of messages (limit.c) ---- */
/* Leaves the newest messages of a resolved set; 0 or the UID of the oldest that is left. False: the store failed. */
MAY_YIELD bool session_cut_limit(struct session *s, struct imap_set *set, bool is_uids, uint32_t *ret_lowest_uid);
/* False with a reply: too many for a command that does all or nothing. */
bool session_check_limit(struct session *s, uint64_t count, struct reply *r);
/* Says in the reply that it was cut. */
void session_tell_limit(struct session *s, uint32_t lowest_uid, struct reply *r);
/* False with a reply: too many to be saved by one command. */
bool session_check_save_limit(struct session *s, uint64_t count, struct reply *r);
/* The same of copies of messages (resolved UIDs): the reply says from which UID on they were not too many. */
MAY_YIELD bool session_check_copy_limit(struct session *s, const struct imap_set *uids, struct reply *r);

/* ---- who comes back (qresync.c) ---- */
/* "* VANISHED (EARLIER)" of those UIDs (resolved) that were expunged since (RFC 7162 §3.2.10.1). */
MAY_YIELD NODISCARD result session_tell_vanished(struct session *s, const struct imap_set *uids, uint64_t since);
/* What SELECT (QRESYNC ...) asks for, of a mailbox that is selected. */
MAY_YIELD NODISCARD result session_resynchronize(struct session *s, const struct imap_select *select, struct reply *reply);

/* ---- appends under way (append.c) ---- */
/* Writes the answers of those that are done, in order. */
MAY_YIELD void session_answer_appends(struct session *s);
/* Waits for all and answers them. */
MAY_YIELD void session_finish_appends(struct session *s);

/* ---- notifications (notify.c) ---- */
/* Between commands: tells what NOTIFY asked for. */
MAY_YIELD void session_notify(struct session *s);
void session_end_notify(struct session *s);
/* Whether the client wants to hear of an event (enum imap_event) in the selected mailbox: of all, as long as NOTIFY was not used. */
bool session_hears(const struct session *s, enum imap_event event);
/* Messages came into the selected mailbox above a UID and EXISTS was told: tells what MessageNew asks for. */
MAY_YIELD void session_tell_new(struct session *s, uint32_t above_uid);
/* These came by the session's own doing, which it is not told of so. */
void session_note_own(struct session *s, uint32_t mailbox, const struct imap_set *uids);
/* What NOTIFY SET asked for, in the arena; NULL: nothing. And of one mailbox, as enum imap_event. */
const struct imap_notify *session_notify_asked(struct session *s);
unsigned session_notify_events(struct session *s, const struct imap_notify *asked, const struct mailbox_info *info);
/* Whether a filter names a mailbox. Names of the filter are as the client wrote them. */
bool session_filter_has(struct session *s, const struct imap_mailbox_filter *filter, const struct mailbox_info *info);

/* ---- progress (progress.c) ---- */
void session_begin_progress(struct session *s, view tag);
/* Some more was looked at: says how far a command is that has said nothing for long (RFC 9585). Between two answers. */
MAY_YIELD NODISCARD result session_note_progress(struct session *s, uint64_t more);

/* ---- flags (flags.c) ---- */
/* "\Seen $Forwarded" of a row's bits, without parentheses. */
void session_write_flags(struct session *s, const struct mailbox *m, const struct row *row);
/* Of a client's flags; keywords that no record can hold are INVALID. */
struct record_flags session_record_flags(const struct imap_flags *flags);
bool session_is_recent(const struct session *s, uint32_t uid);
/* "* n FETCH (", or "* uid UIDFETCH (" with UIDONLY (RFC 9586 §3.3). */
void session_begin_fetch(struct session *s, uint32_t number, const struct row *row);
/* "* n FETCH (FLAGS (...))", with UID and MODSEQ as the session has enabled them. */
void session_tell_flags(struct session *s, const struct mailbox *m, uint32_t number, const struct row *row, bool with_uid);

/* ---- threads (thread_id.c) ---- */
/* "T..." of a message, from its header (RFC 8474 §5.2); one that names no message is a thread by itself. Written to `text`. */
enum { THREAD_ID_BYTES = 2 + ID_TEXT_LEN };
const char *message_thread_id(view header, const struct row *row, struct arena *arena, char text[static THREAD_ID_BYTES]);

/* ---- annotations (metadata.c, filter.c) ---- */
/* Whether they may be written: all nodes know of them. */
bool session_has_metadata(const struct session *s);
/* "* METADATA mailbox (...)" of what is asked for. The length of the longest value that was left out for its size, else 0. */
size_t session_tell_metadata(struct session *s, uint32_t mailbox, view name, const struct imap_metadata *asked);
/*
 * Names of annotations that others changed, when the client wants to know (metadata_watch.c). `own` is the session's own record, of which
 * it knows; 0: none.
 */
void session_tell_annotations(struct session *s, uint64_t own);
/* From now on. */
void session_follow_annotations(struct session *s);
/* A stored search (RFC 5466) and its length. INVALID with a reply when it is not there or is none. */
NODISCARD result session_filter(struct session *s, view name, struct imap_search *ret_search, size_t *ret_bytes, struct reply *r);
/* There is no such filter, or it names itself. INVALID. */
NODISCARD result session_refuse_filter(view name, struct reply *r);
/* False: the annotation is to hold a search and `value` is none. */
bool session_check_filter(struct session *s, view name, view value, struct reply *r);

/* ---- capabilities (capability.c) ---- */
/* " AUTH=PLAIN": what AUTHENTICATE takes on this connection. */
void session_write_mechanisms(const struct session *s, buf *out);
void session_write_capabilities(struct session *s, buf *out);

/* ---- log-in (authenticate.c) ---- */
/* After a good password: the session goes to its account's loop; there session_finish_login() answers. */
MAY_YIELD void session_finish_login(struct session *s);
/* Nothing when none is open. */
MAY_YIELD void session_leave_account(struct session *s);

/* ---- commands, a file each ---- */
struct command_rule {
    unsigned states;                         /* enum session_state bits in which it is allowed */
    unsigned flags;
    void (*run)(struct session *s, const struct imap_command *c, struct reply *r);
};
enum {
    COMMAND_USES_NUMBERS = 1,                /* sequence numbers: no EXPUNGE while it runs, unless written with UID */
    COMMAND_REFRESHES = 2,                   /* should see what others did just now */
    COMMAND_WRITES = 4,                      /* needs a mailbox that was selected read-write */
    COMMAND_IS_QUIET = 8,                    /* tells of no changes at its end */
};
MAY_YIELD void imapd_append(struct session *s, const struct imap_command *c, struct reply *r);
MAY_YIELD void imapd_authenticate(struct session *s, const struct imap_command *c, struct reply *r);
MAY_YIELD void imapd_capability(struct session *s, const struct imap_command *c, struct reply *r);
MAY_YIELD void imapd_check(struct session *s, const struct imap_command *c, struct reply *r);
MAY_YIELD void imapd_close(struct session *s, const struct imap_command *c, struct reply *r);
MAY_YIELD void imapd_compress(struct session *s, const struct imap_command *c, struct reply *r);
MAY_YIELD void imapd_copy(struct session *s, const struct imap_command *c, struct reply *r);
MAY_YIELD void imapd_create(struct session *s, const struct imap_command *c, struct reply *r);
MAY_YIELD void imapd_delete(struct session *s, const struct imap_command *c, struct reply *r);
MAY_YIELD void imapd_enable(struct session *s, const struct imap_command *c, struct reply *r);
MAY_YIELD void imapd_esearch(struct session *s, const struct imap_command *c, struct reply *r);
MAY_YIELD void imapd_expunge(struct session *s, const struct imap_command *c, struct reply *r);
MAY_YIELD void imapd_fetch(struct session *s, const struct imap_command *c, struct reply *r);
MAY_YIELD void imapd_getquota(struct session *s, const struct imap_command *c, struct reply *r);
MAY_YIELD void imapd_getmetadata(struct session *s, const struct imap_command *c, struct reply *r);
MAY_YIELD void imapd_id(struct session *s, const struct imap_command *c, struct reply *r);
MAY_YIELD void imapd_idle(struct session *s, const struct imap_command *c, struct reply *r);
MAY_YIELD void imapd_list(struct session *s, const struct imap_command *c, struct reply *r);
MAY_YIELD void imapd_login(struct session *s, const struct imap_command *c, struct reply *r);
MAY_YIELD void imapd_logout(struct session *s, const struct imap_command *c, struct reply *r);
MAY_YIELD void imapd_lsub(struct session *s, const struct imap_command *c, struct reply *r);
MAY_YIELD void imapd_namespace(struct session *s, const struct imap_command *c, struct reply *r);
MAY_YIELD void imapd_noop(struct session *s, const struct imap_command *c, struct reply *r);
MAY_YIELD void imapd_notify(struct session *s, const struct imap_command *c, struct reply *r);
MAY_YIELD void imapd_rename(struct session *s, const struct imap_command *c, struct reply *r);
MAY_YIELD void imapd_search(struct session *s, const struct imap_command *c, struct reply *r);
MAY_YIELD void imapd_select(struct session *s, const struct imap_command *c, struct reply *r);
MAY_YIELD void imapd_setmetadata(struct session *s, const struct imap_command *c, struct reply *r);
MAY_YIELD void imapd_sort(struct session *s, const struct imap_command *c, struct reply *r);
MAY_YIELD void imapd_starttls(struct session *s, const struct imap_command *c, struct reply *r);
MAY_YIELD void imapd_status(struct session *s, const struct imap_command *c, struct reply *r);
MAY_YIELD void imapd_store(struct session *s, const struct imap_command *c, struct reply *r);
MAY_YIELD void imapd_subscribe(struct session *s, const struct imap_command *c, struct reply *r);
MAY_YIELD void imapd_thread(struct session *s, const struct imap_command *c, struct reply *r);
MAY_YIELD void imapd_uidbatches(struct session *s, const struct imap_command *c, struct reply *r);
MAY_YIELD void imapd_unauthenticate(struct session *s, const struct imap_command *c, struct reply *r);
MAY_YIELD void imapd_unselect(struct session *s, const struct imap_command *c, struct reply *r);
/* The line that ends IDLE (idle.c). */
MAY_YIELD void imapd_idle_line(struct session *s);
/* Tells an idling session what happened. */
MAY_YIELD void imapd_idle_tell(struct session *s);
