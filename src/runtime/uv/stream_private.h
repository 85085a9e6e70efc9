/*
 * stream_private: the struct behind runtime/stream.h, for the files of runtime/uv.
 *
 * 1. Input and output are tried first and waited for only when the socket has none or no room. `is_drained` remembers
 *    that the last read took all there was, so that a request and its answer cost one read, one write and a share of
 *    one epoll_wait.
 * 2. Interest is registered once and left: libuv's poll is level-triggered, so an event that nobody waits for takes its
 *    interest away, and the next wait registers it again. A quiet conversation never calls epoll_ctl.
 * 3. Freed in libuv's close callback, one turn after stream_close().
 */
#pragma once

#include "runtime/stream.h"
#include "runtime/uv/face.h"

struct tls;

struct stream {
    uv_poll_t poll;
    struct uv_face *face;
    int fd;
    uint8_t watched;               /* UV_READABLE, UV_WRITABLE that libuv watches */
    bool is_drained, is_aborted, knows_local;
    struct list reader, writer;    /* at most one coroutine each */
    void (*on_readable)(void *argument);
    void *on_readable_argument;
    struct tls *tls;               /* NULL: plain */
    struct timer soon;             /* on_readable at the next turn: TLS has bytes left over */
    struct task move;              /* to move_target; on_readable is arrived() then */
    struct loop *move_target;
    struct address peer, local;
};

/* Takes the socket, which is non-blocking. Belongs to no loop before stream_attach() on the one that shall own it. */
struct stream *stream_make(int fd, const struct address *peer);
void stream_attach(struct stream *s);
void stream_set_options(int fd);                     /* TCP_NODELAY */
/* Waits until the socket has input, or room. */
MAY_YIELD NODISCARD result stream_wait_readable(struct stream *s, millis deadline);
MAY_YIELD NODISCARD result stream_wait_writable(struct stream *s, millis deadline);
void stream_watch(struct stream *s, int events);

/* One system call each. BUSY: nothing there, no room. */
NODISCARD result stream_receive(struct stream *s, void *into, size_t max, size_t *ret_count, struct fault *fault);
NODISCARD result stream_send(struct stream *s, const view *parts, size_t count, size_t *ret_written, struct fault *fault);

struct sockaddr_storage;
void address_from_system(const struct sockaddr_storage *from, struct address *ret_address);
unsigned address_to_system(const struct address *from, struct sockaddr_storage *ret_system);    /* the length */

/* tls_stream.c */
MAY_YIELD NODISCARD result tls_read(struct stream *s, buf *into, size_t max, millis deadline, struct fault *fault);
MAY_YIELD NODISCARD result tls_write(struct stream *s, const view *parts, size_t count, millis deadline, struct fault *fault);
NODISCARD result tls_try_write(struct stream *s, view bytes, size_t *ret_written);
bool tls_has_input(const struct tls *t);             /* a read may succeed without new bytes from the socket */
bool tls_has_output(const struct tls *t);            /* sealed and not yet sent */
void tls_send_rest(struct stream *s);                /* what the socket takes at once */
void tls_close(struct stream *s);                    /* close_notify if it can be sent at once; frees */
