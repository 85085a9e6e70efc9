/*
 * outbound: what the queue offers goes out, as much to each destination as it takes.
 *
 * On each loop, recipients wait at their destination (the domain), in a lane for each account, and lanes take turns: one account
 * with a hundred thousand messages delays itself. Connections to a site (outbound_site.h) begin with few, grow by one with each message that is
 * taken and are halved when the other side slows down or does not answer (additive increase, multiplicative decrease); an open one goes over
 * to other destinations of its site. A destination whose servers cannot be reached rests for a while that doubles, and its mail waits without
 * being tried.
 *
 * Failures for good, delays and successes that the sender asked to hear of become notices (bounce.h).
 */
#pragma once

#include "flow/answer_rules.h"
#include "flow/egress.h"
#include "flow/intake.h"
#include "flow/queue.h"
#include "flow/route.h"

struct outbound;
struct signing;
struct shard;
struct queued;
struct tls_context;

struct outbound_options {
    view server_name;                    /* HELO; a name that the address resolves to */
    struct resolver *resolver;
    const struct intake *intake;         /* for notices to senders who are ours */
    struct signing *signing;             /* signs notices; NULL: they go unsigned */
    struct tls_context *tls;             /* of a client; NULL: never STARTTLS */
    struct mta_sts *sts;                 /* NULL: policies of MTA-STS are not asked for */
    struct tls_reports *reports;         /* NULL: none are made */
    const struct route_table *routes;    /* NULL: DNS alone */
    const struct answer_rules *rules;    /* NULL: none; until outbound_take_rules() */
    const struct address *source4, *source6;   /* NULL: what the system picks */
    const struct egress *egress;         /* NULL: source4 and source6 for all */
    unsigned connections_max;            /* to one site, of the whole cluster (outbound_site.h) */
    unsigned messages_per_connection;
    int64_t expire_ms;                   /* how long a message is tried; 5 days */
    int64_t delay_notice_ms;             /* when the sender is told that it is late; 0: never */
    int64_t retry_min_ms, retry_max_ms;  /* the first interval; each next one doubles up to the second */
};
struct outbound_options outbound_default_options(void);

/* The options are copied; what they point to must live longer. */
struct outbound *outbound_new(const struct outbound_options *options, struct queue *queue, struct loops *all);
/* When the queue has stopped: ends the connections that linger, and frees. NULL is fine. */
MAY_YIELD void outbound_free(struct outbound *o);

/* From the shard's loop: a recipient that is due. It comes back by queued_settle() or queued_withdraw(). */
void outbound_offer(struct outbound *o, struct queued *m, size_t recipient);
/* From the shard's loop: what waits of it and has not begun comes back at once. */
void outbound_recall(struct outbound *o, struct queued *m);
/* When the message is given up: it is too old, or the sender wants it back then (RFC 2852). */
unix_ms outbound_ends(const struct outbound *o, const struct queued *m);
/* From the shard's loop: where it waits is tried now, though it rests. */
void outbound_hurry(struct outbound *o, struct queued *m);
/* Other rules from now on; when it returns, nobody looks at those of before. From loop 0. */
MAY_YIELD void outbound_take_rules(struct outbound *o, const struct answer_rules *rules);
/* Checks the addresses that mail leaves from now and every hour, in the background. From loop 0. */
void outbound_watch_egress(struct outbound *o);
/* Withdraws all of the shard that has not begun, and waits for what has. */
MAY_YIELD void outbound_leave(struct outbound *o, struct shard *s);

/* ---- for operators ---- */
const struct outbound_options *outbound_options_of(const struct outbound *o);
struct outbound_line { view domain; uint64_t waiting; unsigned connections, connections_max; int64_t rests_ms; view reason; const char *wish; };
MAY_YIELD void outbound_list(struct outbound *o, void (*show)(void *argument, const struct outbound_line *line), void *argument);
