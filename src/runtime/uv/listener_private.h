/* listener_private: the struct, for listener.c (taking connections) and listener_socket.c (the sockets and their hand-over). */
#pragma once

#include "runtime/listener.h"
#include "runtime/uv/face.h"

struct listener {
    struct listener_options options;
    struct loops *all;
    int fd;
    uv_poll_t poll;                /* on loop 0 */
    struct task start;
    struct timer pause;
    unsigned next_loop;
    bool is_started, is_closed, is_bequeathed;
    atomic_uint references;        /* the owner's, and one for each connection on its way to a loop */
    struct list node;              /* of all open ones */
};

/* A listening socket for the options: inherited, or new. */
BLOCKS NODISCARD result listener_socket(const struct listener_options *options, int *ret_fd, struct fault *fault);
void listener_register(struct listener *l);
/* True when the socket was bequeathed and must stay open. */
bool listener_unregister(struct listener *l);
