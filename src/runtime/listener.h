/*
 * listener: takes connections and hands each, as a stream, to one loop.
 *
 * One listening socket (SO_REUSEADDR; an IPv6 one takes no IPv4), watched by loop 0, which deals the connections out in turn
 * (doc/decisions/0001). accepted() runs on the loop that
 * shall own the stream, outside any coroutine. With PROXY protocol on, the header (v1 or v2) is read first
 * under a limit of size and time, and peer and local address are what it says.
 */
#pragma once

#include "base/fault.h"
#include "runtime/stream.h"

struct listener;
struct loops;

struct listener_options {
    const char *name;                    /* "imap", for logs; static or as long as the listener */
    struct address address;              /* with port; or path */
    const char *path;                    /* a local socket instead, mode 0600, replaced if stale; NULL otherwise */
    bool proxy_protocol;
    void (*accepted)(void *argument, struct stream *s);
    void *argument;
};

BLOCKS NODISCARD result listener_open(struct loops *all, const struct listener_options *options, struct listener **ret_listener,
                                      struct fault *fault);
uint16_t listener_port(const struct listener *l);
/*
 * On loop 0. No more connections from here; the kernel's queue of waiting ones is kept while the socket is open elsewhere or
 * was bequeathed. What was taken before may still reach accepted() on other loops: `argument` lives as long as they do.
 */
void listener_close(struct listener *l);
/*
 * For a hand-over: marks the sockets of all open listeners to survive exec and describes them in the environment
 * (TAYORI_LISTEN); listener_open() of the new program finds its address there and takes the socket over,
 * so that a connection that came in between waits and is not refused. Sockets nobody took are closed by listener_forget_inherited().
 */
void listener_bequeath(void);
void listener_forget_inherited(void);
