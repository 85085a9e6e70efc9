/* client_private: the client from within. connection.c has the connection and its replacement, client.c the operations. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "base/list.h"
#include "engine/rados/client.h"

enum {
    CLIENT_DEFAULT_CONNECT_MS = 15000,
    CLIENT_DEFAULT_FLIGHT_OPERATIONS = 8192,
    CLIENT_DEFAULT_FLIGHT_BYTES = 256 << 20,
    CLIENT_SPACE_NAME_BYTES = 300,
};

/* One rados_t. Everything that uses it holds a share; when it was replaced and the last share is gone, the keeper shuts it down. */
struct connection {
    struct list node;                    /* in client->connections */
    rados_t cluster;
    rados_ioctx_t io[SPACE_COUNT];
    uint64_t generation;
    size_t shares;                       /* under client->lock */
    bool is_fenced;                      /* under client->lock */
};

/* What one loop has under way. Only that loop looks at it. */
struct client_loop {
    struct client *client;
    struct list under_way;               /* struct operation, oldest first */
    struct timer look;                   /* for slow ones */
    bool is_set_up;
    int64_t slow;                        /* as last counted */
    millis told_of_slow;
};

struct client {
    struct engine_rados_options options; /* strings: its own */
    uint64_t alignment[SPACE_COUNT];
    _Atomic uint64_t generation;
    _Atomic uint64_t flight_operations, flight_bytes;
    pthread_mutex_t lock;
    pthread_cond_t wake_keeper;
    struct connection *now;              /* NULL: fenced, and not yet connected anew */
    struct list connections;             /* all that are not yet shut down */
    struct background *keeper;
    bool must_stop;
    unsigned loop_count;
    struct client_loop loops[];
};

/* connection.c */
/* operation_seconds: librados ends each operation after that many (0: none, client.c does). For connections on which a thread waits. */
BLOCKS result connection_open(struct client *c, unsigned operation_seconds, struct connection **ret_connection, struct fault *fault);
BLOCKS void connection_close(struct connection *k);
/* A share of the connection of now. NULL: there is none. */
struct connection *connection_take(struct client *c);
void connection_drop(struct client *c, struct connection *k);
/* The cluster refuses this client for good: nothing new goes over it, the keeper connects anew. */
void connection_is_fenced(struct client *c, struct connection *k);
void keeper_start(struct client *c);
BLOCKS void keeper_stop(struct client *c);

/* errors.c */
enum { RETURNED_NOT_BEGUN_LATE = -ETIME, RETURNED_NOT_BEGUN_FULL = -ENOBUFS, RETURNED_NOT_CONNECTED = -ENOTCONN, RETURNED_NO_ARCHIVE = -ENODEV };
const char *client_space_name(enum client_space space);
