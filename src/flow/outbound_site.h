/*
 * outbound_site: what one set of servers takes from us.
 *
 * Domains with the same MX set are one site, for each egress pool. A site has the connections that are open, a window that grows with what is
 * taken and halves when it slows down, a pace and rests. Which source addresses it refuses all nodes know (egress_ledger.h).
 *
 * Limits are of the whole cluster: each of the queue's shards has its part of them, and a loop has the parts of the shards that it owns. So no node
 * asks another, and the sum is right as long as each shard has one owner. A limit below the number of shards would leave some owners nothing: its
 * connections are leases, taken for each connection (doc/decisions/0010-limits-of-destinations.md).
 */
#pragma once

#include "flow/outbound_private.h"

enum { SITE_KEY_MAX = 2048, SITE_LEASE_MS = 60000 };

struct site {
    struct outbound_loop *home;
    buf key;                             /* the pool, then the hosts, a space before each */
    buf domain;                          /* the destination that it was found for */
    struct list destinations;            /* that have mail, in the order of their turns; some have none any more */
    unsigned members;                    /* destinations that are its, with mail or without */
    struct timer idle;                   /* it has had none for a while: what it has learned is forgotten */
    unsigned connections, window;
    struct list lingering;               /* connections that have nothing to send, the one that has waited longest first */
    struct site_limit limit;             /* of the cluster */
    millis rests_until;
    int64_t rest_ms;                     /* the last one; 0: none since a connection worked */
    buf reason;                          /* why it rests */
    int64_t next_us;                     /* when the next message may go, by clock_now_us(); 0: no pace */
};

/* The site of these hosts for this pool. */
struct site *site_of(struct outbound_loop *l, int pool, view domain, const view *hosts, size_t count);
void site_free(struct site *s);
/* What the rules of now allow. */
void site_find_limit(struct site *s);
/* The destination and its workers are the site's from now on. */
void site_join(struct site *s, struct destination *d);
/* It has mail: it gets its turns. */
void site_list(struct site *s, struct destination *d);
void site_unlist(struct destination *d);
/* The destination is the site's no more, or never was of one. */
void site_leave(struct destination *d);
/* Connections that there may be here now. */
unsigned site_window(const struct site *s);
unsigned site_messages_per_connection(const struct site *s);
/* One of its connections has ended: others have their turn. */
void site_consider(struct site *s);
/* Whose turn it is among those that have more mail than their connections will soon have sent; NULL: nobody. */
struct destination *site_next(struct site *s);
/* A worker waits for more, of its destination or of another one of the site, to which it is handed over. OK: woken. TIMEOUT, CANCELLED: it is to end. */
MAY_YIELD NODISCARD result site_linger(struct site *s, struct destination **destination, int64_t duration_ms);
/* One that lingers, its own rather than another, is the destination's from now on. False: nobody lingers. */
bool site_wake_idle(struct site *s, struct destination *d);
/* All that linger end. */
void site_wake_all(struct site *s);
/* Waits until the pace allows one more message. */
MAY_YIELD NODISCARD result site_await_turn(struct site *s);
void site_rest(struct site *s, int64_t at_least_ms, view reason);
void site_block(struct site *s, const struct egress_address *a, int64_t ms, view answer);   /* NULL is fine */

/* A place among few: held while a connection is open. */
struct site_place { bool is_needed, is_held; char name[64], owner[ID_TEXT_LEN + 1]; millis renew_at; };
/* BUSY: all are taken. */
MAY_YIELD NODISCARD result site_take_place(struct site *s, struct site_place *ret_place);
/* False: it is lost. Cheap when it was renewed lately. */
MAY_YIELD bool site_keep_place(struct site *s, struct site_place *p);
MAY_YIELD void site_leave_place(struct site *s, struct site_place *p);

/*
 * The address to send from to a server of this family; *ret_address is NULL for what the system picks. False: none of the pool may be used
 * there now.
 */
bool site_choose_source(struct site *s, int pool, unsigned family, const struct egress_address **ret_address);
/* A message has left from it. */
void site_count_sent(struct site *s, const struct egress_address *a);
