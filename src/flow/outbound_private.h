/* outbound_private: destinations of one loop, for outbound.c, outbound_send.c and bounce.c. */
#pragma once

#include "base/list.h"
#include "base/map.h"
#include "flow/bounce.h"
#include "flow/egress_ledger.h"
#include "flow/outbound.h"
#include "flow/queue_private.h"
#include "flow/smtp_client.h"
#include "flow/transport.h"
#include "runtime/coroutine.h"

/* Recipients of one message at one destination: one transaction. */
struct parcel {
    struct list node;                    /* in its lane */
    struct lane *lane;                   /* NULL: it was taken */
    struct queued *message;
    uint16_t count, room;                /* at most SMTP_CLIENT_RECIPIENTS_MAX */
    uint16_t recipients[];
};

/* Mail of one account for one destination, in the order of its coming. */
struct lane {
    struct list node;                    /* in destination.lanes, in the order of their turns */
    struct destination *destination;
    struct id account;
    struct list parcels;                 /* the higher priority first (RFC 6710), each in the order of its coming */
};

/* The names of destinations that are none: accounts of ours, and mail whose time is over; "=" and an operator's route are one, too. */
#define DESTINATION_HERE "(here)"
#define DESTINATION_LATE "(late)"

struct destination {
    struct outbound_loop *home;
    enum { TO_DOMAIN, TO_ROUTE, TO_ACCOUNTS, TO_NOBODY } kind;
    const char *domain;                  /* the domain, NUL-terminated, and */
    view key;                            /* in home->destinations: the domain, the wish and the pool */
    int pool;                            /* of egress: where its connections come from */
    struct site *site;                   /* NULL: it is not known yet whose servers take its mail */
    struct list in_site;                 /* while it has mail that waits */
    bool is_listed;
    enum transport_wish wish;                /* of all its messages, so that its connections are good for each of them */
    struct list lanes;
    struct map lane_of;                  /* by account */
    size_t waiting;                      /* parcels */
    unsigned connections;                /* workers; an open connection goes over to another destination of its site */
    unsigned coming;                     /* those of them that will look for a parcel when they are through with finding servers and connecting */
    millis rests_until;
    int64_t rest_ms;                     /* the last one; 0: none since a connection worked */
    buf reason;                          /* why it rests */
    struct timer wake;                   /* its rest is over; or nothing has waited for a while, and it is forgotten */
    char text[];                         /* of domain and key */
};

struct outbound_loop {
    struct outbound *all;
    const struct answer_rules *rules;    /* NULL: none. Nobody keeps one over a yield */
    struct map destinations, sites;
    struct egress_ledger *ledger;        /* NULL: there are no pools */
    struct scope scope;
    bool is_open;
    struct waitlist settled;             /* somebody waits for deliveries of a shard to end */
};

struct outbound {
    struct outbound_options options;
    struct queue *queue;
    unsigned loops;
    struct outbound_loop of_loop[];
};

/* ---- outbound.c ---- */
/* The next parcel of the lane whose turn it is; NULL: none. The caller frees it. Lanes of shards that may not act are passed over. */
struct parcel *destination_take(struct destination *d);
/* Nothing is tried for a while. */
void destination_rest(struct destination *d, const char *reason);
/* Finds a worker if there is need for one: one that lingers at the site, or a further one if the site allows it. */
void destination_consider(struct destination *d);
/* Nothing waits, perhaps: then it is forgotten after a while. */
void destination_consider_end(struct destination *d);
/* A worker with its connection is the other one's from now on. */
void destination_hand_over(struct destination *from, struct destination *to);

/* ---- outbound_send.c ---- */
/* One connection: as a coroutine of the loop. */
void destination_work(void *destination);
/* Records what came of recipients, and tells the sender. */
MAY_YIELD void parcel_settle(struct destination *d, struct parcel *p, struct queue_result *results, size_t count);
/* When it is tried again after so many tries. */
unix_ms outbound_next_try(const struct outbound_options *o, const struct queued *m, unsigned tries);

/* ---- outbound_here.c ---- */
/* Delivers all that waits into accounts of ours; who is none of ours goes on to its domain. */
MAY_YIELD void destination_deliver_here(struct destination *d);
