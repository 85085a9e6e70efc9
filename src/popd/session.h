/*
 * session: one POP3 connection.
 *
 * States (RFC 1939 §3): AUTHORIZATION until the maildrop is open, then TRANSACTION. QUIT in TRANSACTION is the UPDATE state:
 * only there messages are removed; a session that ends in any other way removes nothing.
 *
 * 1. A session that waits for a command has no coroutine (is_resting); else exactly one runs, or it is on its
 *    way to another loop.
 * 2. After log-in it lives on its account's home loop. It holds the maildrop's lock from then on until QUIT or its
 *    end: one session to an account, among all nodes.
 * 3. Message numbers are those of its view of INBOX, which is never synchronised: they stay as they were.
 * 4. Answers gather in the wire's output and are sent when no further command is waiting.
 */
#pragma once

#include "account/view.h"
#include "base/arena.h"
#include "formats/pop3.h"
#include "popd/service.h"
#include "runtime/coroutine.h"
#include "runtime/wire.h"

enum {
    POP_SCRATCH_BYTES_MAX = IDENTITY_LOGIN_ARENA_BYTES + (256 << 10),   /* a command: directory rows at log-in are the most */
    POP_CLOSE_TIMEOUT_MS = 5000,         /* for the last words */
    POP_HANDSHAKE_TIMEOUT_MS = 60 * 1000,
};

enum pop_state { POP_AUTHORIZATION, POP_TRANSACTION };

struct maildrop {
    struct account *account;
    struct mailbox_view *view;           /* of INBOX */
    uint32_t mailbox;                    /* its number */
    uint32_t count;                      /* messages when the session began, and their bytes */
    uint64_t bytes;
    uint64_t *deleted;                   /* a bit to a message; NULL before the first DELE */
    uint32_t deleted_count;
    uint64_t deleted_bytes;
};

/* That the account's one POP3 session is this one (lock.c). */
struct maildrop_lock {
    bool is_held;                        /* in home->maildrops */
    bool has_lease;                      /* among nodes, or perhaps: the outcome was unknown */
    bool is_lost;                        /* another session has it: this one ends at its next command */
    bool is_renewing;                    /* a coroutine does */
    struct waitlist renewed;
    struct timer timer;
    millis sure_until;                   /* no other can have it before then */
};

struct pop_session {
    struct popd_loop *home;
    struct popd *popd;
    struct list node;                    /* in home->sessions, but not on its way to another loop */
    enum popd_kind kind;
    enum pop_state state;
    struct id id;
    struct wire wire;
    struct timer idle_timer;
    struct address peer;
    buf user;                            /* of USER, until PASS */
    struct id account;                   /* who has logged in */
    struct maildrop maildrop;
    struct maildrop_lock lock;
    struct standing_watch standing;      /* as long as there is maildrop.account */
    bool is_entering;                    /* logged in: to be continued on the account's home loop */
    bool is_dismissed;                   /* is to end like those of a service that stops */
    bool is_expelled;                    /* is to end: its account was suspended or removed */
    bool is_resting, is_closing;
    const char *close_reason;            /* static */
    unsigned error_count, failed_login_count;
    uint32_t retrieved_count, removed_count;
    struct arena *scratch;               /* of the command */
};

/* Takes the stream; greets. On the session's loop, outside coroutines. */
void pop_session_start(struct popd_loop *home, enum popd_kind kind, struct stream *stream);
/* Ends it if it rests; otherwise it ends itself after its command. Outside coroutines. */
void pop_session_stop(struct pop_session *s);
/* The account was suspended or removed. As pop_session_stop(), but the second time it ends whatever its client does. */
void pop_session_expel(struct standing_watch *w);

static inline const struct popd_options *pop_session_options(const struct pop_session *s) { return &s->popd->options; }
bool pop_session_has_tls(const struct pop_session *s);
/* Passwords may be sent: under TLS, from the machine itself, or where the operator allows it. */
bool pop_session_may_log_in(const struct pop_session *s);
/* When the store must have answered. */
millis pop_session_store_deadline(const struct pop_session *s);

/* ---- answers: written to the wire, not sent ---- */
void pop_session_ok(struct pop_session *s, view text);
void pop_session_okf(struct pop_session *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Counts errors in a row; too many end the session. */
void pop_session_error(struct pop_session *s, enum pop3_code code, const char *text);
/* What a failed operation means to the client. */
void pop_session_fail(struct pop_session *s, result code, const struct fault *fault);
MAY_YIELD NODISCARD result pop_session_flush(struct pop_session *s);
/* The peer is gone, too slow, or an answer cannot be ended: what is left is to close. */
void pop_session_break(struct pop_session *s, const char *reason);

/* ---- commands (dispatch.c) ---- */
/* Parses, checks the state, acts. The answer is on the wire afterwards. */
MAY_YIELD void pop_session_command(struct pop_session *s, view line);

MAY_YIELD void pop_capa(struct pop_session *s, const struct pop3_command *command);
MAY_YIELD void pop_stls(struct pop_session *s, const struct pop3_command *command);
MAY_YIELD void pop_utf8(struct pop_session *s, const struct pop3_command *command);
MAY_YIELD void pop_noop(struct pop_session *s, const struct pop3_command *command);
MAY_YIELD void pop_quit(struct pop_session *s, const struct pop3_command *command);
MAY_YIELD void pop_user(struct pop_session *s, const struct pop3_command *command);
MAY_YIELD void pop_pass(struct pop_session *s, const struct pop3_command *command);
/* What AUTH takes on this connection, each name with `before` in front. */
void pop_append_mechanisms(const struct pop_session *s, buf *into, view before);
MAY_YIELD void pop_auth(struct pop_session *s, const struct pop3_command *command);
MAY_YIELD void pop_stat(struct pop_session *s, const struct pop3_command *command);
MAY_YIELD void pop_list(struct pop_session *s, const struct pop3_command *command);
MAY_YIELD void pop_uidl(struct pop_session *s, const struct pop3_command *command);
MAY_YIELD void pop_retr(struct pop_session *s, const struct pop3_command *command);
MAY_YIELD void pop_dele(struct pop_session *s, const struct pop3_command *command);
MAY_YIELD void pop_rset(struct pop_session *s, const struct pop3_command *command);

/* ---- the maildrop (maildrop.c) ---- */
/* Logged in, on the account's home loop: locks and opens the maildrop, answers, and enters TRANSACTION or stays in AUTHORIZATION. */
MAY_YIELD void maildrop_enter(struct pop_session *s);
/* Closes and unlocks it. Nothing when there is none. */
MAY_YIELD void maildrop_leave(struct pop_session *s);
/* The row of a message. An answer was written if false: no such number, deleted, or gone. */
MAY_YIELD bool maildrop_row(struct pop_session *s, uint32_t number, struct row *ret_row);
bool maildrop_is_deleted(const struct maildrop *m, uint32_t number);
void maildrop_delete(struct maildrop *m, uint32_t number, uint64_t bytes);
void maildrop_reset(struct maildrop *m);
/* Expunges what DELE marked. */
MAY_YIELD NODISCARD result maildrop_update(struct pop_session *s, struct fault *fault);

/* ---- its lock (lock.c) ---- */
/* BUSY: another session has it. */
MAY_YIELD NODISCARD result maildrop_lock(struct pop_session *s, struct fault *fault);
/* Also for one that is not held. */
MAY_YIELD void maildrop_unlock(struct pop_session *s);
/* OK: no other session has it. BUSY: one has, as this one was away from the store for too long. */
MAY_YIELD NODISCARD result maildrop_lock_check(struct pop_session *s, struct fault *fault);
