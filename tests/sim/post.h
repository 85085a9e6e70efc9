/*
 * post: nodes that serve one account by SMTP, LMTP, IMAP and POP3, clients that use it, and what these were told.
 *
 * Each message is a letter with a number in its subject. What a client was told of a letter is noted here, and must hold for ever:
 * with every later client, on every node, and in the end.
 */
#pragma once

#include "world.h"
#include "imapd/imapd.h"
#include "popd/popd.h"
#include "runtime/wire.h"
#include "smtpd/smtpd.h"

enum { POST_LETTERS_MAX = 400, POST_UIDL_MAX = 100, POST_PATIENCE_MS = 15 * 60000, POST_LINE_MAX = 8000 };

enum post_box { POST_INBOX, POST_ARCHIVE, POST_BOXES };
extern const char *const post_box_names[POST_BOXES];

struct letter {
    bool is_sent, is_taken;              /* asked for; acknowledged */
    millis taken;
    bool may_be_removed, may_be_moved;   /* somebody has asked for it */
    bool has_left_inbox, is_in_archive;  /* somebody was told */
    millis left;
    unsigned flags, flags_asked;         /* that were told (POST_SEEN ...), and that somebody asked for; they are only ever added */
    uint32_t uid[POST_BOXES];            /* as first told */
    char uidl[POST_UIDL_MAX];
};

enum { POST_SEEN = 1, POST_ANSWERED = 2, POST_FLAGGED = 4, POST_DRAFT = 8, POST_DELETED = 16 };

struct post_node {
    struct identity *identity;
    struct smtpd *smtpd;
    struct imapd *imapd;
    struct popd *popd;
};

/* An annotation of INBOX, one client's at a time: numbers that grow. */
struct post_note {
    bool is_busy;
    bool is_unsure;                      /* of some that were asked for nobody knows whether they came about, or when */
    uint64_t told, asked;
};
enum { POST_NOTES = 4 };

struct post {
    struct world world;
    struct sim_node *away;               /* where the clients are; never dies */
    struct post_node nodes[WORLD_NODES_MAX];
    struct letter letters[POST_LETTERS_MAX];
    unsigned letter_count;
    uint32_t uid_validity[POST_BOXES];
    unsigned clients, clients_left;      /* that run; to be started */
    unsigned pop_sessions;               /* that have been told that the maildrop is theirs, and have not ended */
    bool pop_is_exclusive;               /* in this world no lease ends before its time */
    unsigned told, lost_connections;
    struct post_note notes[POST_NOTES];
};

/* The next letter; NULL when there were enough. */
struct letter *post_letter(struct post *p);
unsigned post_number(const struct post *p, const struct letter *l);
/* The letter that this subject line ("Subject: letter 12") names. */
struct letter *post_letter_of(struct post *p, view subject);
/* The whole message. */
void post_write(struct post *p, const struct letter *l, buf *into);

enum post_service { POST_SMTP, POST_LMTP, POST_IMAP, POST_POP };

/* A client's connection. Words that ask for an answer fail the scenario when there is none in POST_PATIENCE_MS. */
struct client {
    struct post *post;
    struct wire wire;
    struct arena *arena;                 /* of one command */
    bool is_lost;                        /* the connection; nothing more is told */
};
/* False when no node is up. */
MAY_YIELD bool client_connect(struct client *c, struct post *p, enum post_service service, int node);
MAY_YIELD void client_close(struct client *c);
/* Sends what has been put into the wire. */
MAY_YIELD void client_flush(struct client *c);
/* The next line, in the arena; an empty one when the connection is lost. */
MAY_YIELD view client_line(struct client *c);

/* Each plays one session. From a coroutine of the clients' node. */
MAY_YIELD void smtp_client(struct post *p);
MAY_YIELD void pop_client(struct post *p);
MAY_YIELD void imap_client(struct post *p);

/* What IMAP shows of a mailbox on a node, with nobody else at work: how often each letter is there, and its flags. */
struct post_look { unsigned times[POST_LETTERS_MAX], flags[POST_LETTERS_MAX]; };
MAY_YIELD void imap_look(struct post *p, int node, enum post_box box, struct post_look *look);
