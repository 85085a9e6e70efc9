#include "runtime/uv/stream_private.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "runtime/clock.h"

enum { PARTS_MAX = 64 };           /* views of one system call */

/* --- addresses --- */

void address_from_system(const struct sockaddr_storage *from, struct address *ret_address)
{
    static const unsigned char mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    struct address a = {0};
    if (from->ss_family == AF_INET) {
        const struct sockaddr_in *in = (const void *)from;
        a.family = 4;
        a.port = ntohs(in->sin_port);
        memcpy(a.bytes, &in->sin_addr, 4);
    } else if (from->ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const void *)from;
        const unsigned char *bytes = in6->sin6_addr.s6_addr;
        bool is_mapped = memcmp(bytes, mapped, sizeof mapped) == 0;
        a.family = is_mapped ? 4 : 6;
        a.port = ntohs(in6->sin6_port);
        memcpy(a.bytes, is_mapped ? bytes + 12 : bytes, is_mapped ? 4 : 16);
    }
    *ret_address = a;
}

unsigned address_to_system(const struct address *from, struct sockaddr_storage *ret_system)
{
    memset(ret_system, 0, sizeof *ret_system);
    if (from->family == 4) {
        struct sockaddr_in *in = (void *)ret_system;
        in->sin_family = AF_INET;
        in->sin_port = htons(from->port);
        memcpy(&in->sin_addr, from->bytes, 4);
        return sizeof *in;
    }
    struct sockaddr_in6 *in6 = (void *)ret_system;
    in6->sin6_family = AF_INET6;
    in6->sin6_port = htons(from->port);
    memcpy(&in6->sin6_addr, from->bytes, 16);
    return sizeof *in6;
}

/* --- readiness --- */

static void take_readable(struct stream *s)
{
    s->is_drained = false;
    struct coroutine *c = coroutine_first_of(&s->reader);
    if (c) {
        coroutine_wake(c, OK);
    } else if (s->on_readable) {
        void (*run)(void *argument) = s->on_readable;
        s->on_readable = NULL;
        timer_disarm(&s->soon);
        run(s->on_readable_argument);       /* may close the stream */
    }
}

static void event_arrived(uv_poll_t *handle, int status, int events)
{
    struct stream *s = handle->data;
    face_is_awake(s->face);
    /* libuv stops watching a socket with an error; whoever tries next hears which. */
    if (status < 0) {
        s->watched = 0;
        events = UV_READABLE | UV_WRITABLE;
    }
    int unwanted = 0;
    struct coroutine *writer = coroutine_first_of(&s->writer);
    if (events & UV_WRITABLE) {
        if (writer) coroutine_wake(writer, OK);
        else if (s->tls && tls_has_output(s->tls)) tls_send_rest(s);
        else unwanted |= UV_WRITABLE;
    }
    bool somebody_reads = !list_is_empty(&s->reader) || s->on_readable;
    if (events & UV_READABLE && !somebody_reads) {
        s->is_drained = false;
        unwanted |= UV_READABLE;
    }
    if (unwanted & s->watched) {
        s->watched &= (uint8_t)~unwanted;
        if (s->watched) uv_poll_start(&s->poll, s->watched, event_arrived);
        else uv_poll_stop(&s->poll);
    }
    if (events & UV_READABLE && somebody_reads) take_readable(s);
}

void stream_watch(struct stream *s, int events)
{
    if ((s->watched & events) == events) return;
    s->watched |= (uint8_t)events;
    check(uv_poll_start(&s->poll, s->watched, event_arrived) == 0);
}

result stream_wait_readable(struct stream *s, millis deadline)
{
    check(list_is_empty(&s->reader) && !s->on_readable);
    stream_watch(s, UV_READABLE);
    return coroutine_park(&s->reader, "input", deadline, false);
}

result stream_wait_writable(struct stream *s, millis deadline)
{
    check(list_is_empty(&s->writer));
    stream_watch(s, UV_WRITABLE);
    return coroutine_park(&s->writer, "output", deadline, false);
}

static void readable_soon(struct timer *t)
{
    take_readable(container_of(t, struct stream, soon));
}

void stream_when_readable(struct stream *s, void (*run)(void *argument), void *argument)
{
    check(s->face == (void *)loop_self() && list_is_empty(&s->reader));
    s->on_readable = run;
    s->on_readable_argument = argument;
    if (run && s->tls && tls_has_output(s->tls)) tls_send_rest(s);
    if (!run) timer_disarm(&s->soon);
    else if (s->tls && tls_has_input(s->tls)) timer_arm(&s->soon, clock_now());
    else stream_watch(s, UV_READABLE);
}

/* --- plain input and output --- */

static result broken(const char *what, struct fault *fault)
{
    return fail(fault, IO, "%s: %s", what, strerrorname_np(errno));
}

result stream_receive(struct stream *s, void *into, size_t max, size_t *ret_count, struct fault *fault)
{
    if (s->is_aborted) return fail(fault, IO, "connection aborted");
    ssize_t got;
    do got = recv(s->fd, into, max, 0);
    while (got < 0 && errno == EINTR);
    if (got > 0) {
        s->is_drained = (size_t)got < max;
        *ret_count = (size_t)got;
        return OK;
    }
    s->is_drained = true;
    if (got == 0) return END;
    if (errno == EAGAIN) return BUSY;
    return broken("receive", fault);
}

result stream_send(struct stream *s, const view *parts, size_t count, size_t *ret_written, struct fault *fault)
{
    if (s->is_aborted) return fail(fault, IO, "connection aborted");
    struct iovec vectors[PARTS_MAX];
    if (count > PARTS_MAX) count = PARTS_MAX;
    for (size_t i = 0; i < count; i++) vectors[i] = (struct iovec){(void *)parts[i].at, parts[i].len};
    struct msghdr message = {.msg_iov = vectors, .msg_iovlen = count};
    ssize_t sent;
    do sent = count == 1 ? send(s->fd, parts[0].at, parts[0].len, MSG_NOSIGNAL) : sendmsg(s->fd, &message, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    if (sent >= 0) {
        *ret_written = (size_t)sent;
        return OK;
    }
    if (errno == EAGAIN) return BUSY;
    return broken("send", fault);
}

MAY_YIELD static result plain_read(struct stream *s, buf *into, size_t max, millis deadline, struct fault *fault)
{
    for (;;) {
        result r = BUSY;
        size_t got = 0;
        if (!s->is_drained) {
            buf_reserve(into, max);
            r = stream_receive(s, into->at + into->len, max, &got, fault);
        }
        if (r == OK) into->len += got;
        if (r == BUSY) r = stream_wait_readable(s, deadline);
        else return r;
        if (r != OK) return fail(fault, r, "waiting for input");
    }
}

result stream_read(struct stream *s, buf *into, size_t max, millis deadline, struct fault *fault)
{
    check(max > 0);
    if (coroutine_check() != OK) return CANCELLED;
    /* A peer who always has more for us must not keep the loop to itself. */
    if (coroutine_is_overdue()) coroutine_pause();
    return s->tls ? tls_read(s, into, max, deadline, fault) : plain_read(s, into, max, deadline, fault);
}

/* Drops `count` bytes from the front of views; the number of views that remain, moved to the front. */
static size_t parts_consume(view *parts, size_t parts_count, size_t count)
{
    size_t done = 0;
    while (done < parts_count && count >= parts[done].len) count -= parts[done++].len;
    if (done < parts_count) parts[done] = view_from(parts[done], count);
    memmove(parts, parts + done, (parts_count - done) * sizeof *parts);
    return parts_count - done;
}

MAY_YIELD static result plain_write(struct stream *s, view *parts, size_t count, millis deadline, struct fault *fault)
{
    while (count > 0) {
        size_t sent = 0;
        result r = stream_send(s, parts, count, &sent, fault);
        if (r == OK) count = parts_consume(parts, count, sent);
        else if (r == BUSY) r = stream_wait_writable(s, deadline);
        if (r == TIMEOUT || r == CANCELLED) return fail(fault, r, "waiting for room to write");
        if (r != OK) return r;
    }
    return OK;
}

result stream_write(struct stream *s, const view *parts, size_t count, millis deadline, struct fault *fault)
{
    check(list_is_empty(&s->writer));
    if (coroutine_is_overdue()) coroutine_pause();
    if (s->tls) return tls_write(s, parts, count, deadline, fault);
    while (count > 0) {
        view some[PARTS_MAX];
        size_t some_count = 0;
        for (; count > 0 && some_count < PARTS_MAX; parts++, count--)
            if (parts->len) some[some_count++] = *parts;
        result r = plain_write(s, some, some_count, deadline, fault);
        if (r != OK) return r;
    }
    return OK;
}

result stream_try_write(struct stream *s, view bytes, size_t *ret_written)
{
    if (!list_is_empty(&s->writer)) {
        *ret_written = 0;
        return OK;
    }
    if (s->tls) return tls_try_write(s, bytes, ret_written);
    size_t sent = 0;
    result r = bytes.len ? stream_send(s, &bytes, 1, &sent, NULL) : OK;
    if (r != OK && r != BUSY) return r;
    *ret_written = sent;
    return OK;
}

/* --- life --- */

void stream_set_options(int fd)
{
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);      /* fails on local sockets */
}

void stream_attach(struct stream *s)
{
    s->face = face_of(loop_self());
    s->watched = 0;
    s->is_drained = false;
    check(uv_poll_init(&s->face->uv, &s->poll, s->fd) == 0);
    s->poll.data = s;
}

struct stream *stream_make(int fd, const struct address *peer)
{
    struct stream *s = calloc(1, sizeof *s);
    check(s != NULL);
    s->fd = fd;
    s->peer = *peer;
    list_init(&s->reader);
    list_init(&s->writer);
    timer_init(&s->soon, readable_soon);
    return s;
}

static void closed(uv_handle_t *handle) { free(handle->data); }

static void detach(struct stream *s, uv_close_cb done)
{
    check(s->face == (void *)loop_self() && list_is_empty(&s->reader) && list_is_empty(&s->writer));
    timer_disarm(&s->soon);
    s->on_readable = NULL;
    uv_close((uv_handle_t *)&s->poll, done);
}

void stream_close(struct stream *s)
{
    if (s->tls) tls_close(s);
    detach(s, closed);
    close(s->fd);
    s->fd = -1;
}

void stream_abort(struct stream *s)
{
    s->is_aborted = true;
    shutdown(s->fd, SHUT_RDWR);
    if (!list_is_empty(&s->reader)) coroutine_wake(coroutine_first_of(&s->reader), OK);
    if (!list_is_empty(&s->writer)) coroutine_wake(coroutine_first_of(&s->writer), OK);
    s->is_drained = false;
}

/* --- moving --- */

static void move_arrived(struct task *t)
{
    struct stream *s = container_of(t, struct stream, move);
    void (*arrived)(void *argument) = s->on_readable;
    s->on_readable = NULL;
    stream_attach(s);
    arrived(s->on_readable_argument);
}

static void move_departs(uv_handle_t *handle)
{
    struct stream *s = handle->data;
    s->move.run = move_arrived;
    loop_post(s->move_target, &s->move);
}

void stream_move(struct stream *s, struct loop *target, void (*arrived)(void *argument), void *argument)
{
    detach(s, move_departs);
    s->on_readable = arrived;
    s->on_readable_argument = argument;
    s->move_target = target;
}

/* --- who is there --- */

const struct address *stream_peer(const struct stream *s) { return &s->peer; }

const struct address *stream_local(const struct stream *s)
{
    if (!s->knows_local) {
        struct stream *known = (struct stream *)s;     /* asked of the kernel at first need */
        struct sockaddr_storage system;
        socklen_t len = sizeof system;
        if (getsockname(s->fd, (void *)&system, &len) == 0) address_from_system(&system, &known->local);
        known->knows_local = true;
    }
    return &s->local;
}

void stream_set_peer(struct stream *s, const struct address *peer, const struct address *local)
{
    s->peer = *peer;
    s->local = *local;
    s->knows_local = true;
}
