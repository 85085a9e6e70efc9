#include "runtime/listener.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "formats/proxy_header.h"
#include "runtime/event.h"
#include "runtime/uv/listener_private.h"
#include "runtime/uv/stream_private.h"

enum {
    ACCEPT_BURST = 64,             /* in a row, before others have their turn */
    EXHAUSTED_PAUSE_MS = 100,      /* when file descriptors or memory are short */
    PROXY_HEADER_WAIT_MS = 5000,   /* the balancer sends it at once */
};

static void listener_unref(struct listener *l)
{
    if (atomic_fetch_sub(&l->references, 1) == 1) free(l);
}

/* --- PROXY protocol --- */

static void take_endpoint(const struct proxy_endpoint *from, struct address *ret_address)
{
    *ret_address = (struct address){.family = from->family, .port = from->port};
    memcpy(ret_address->bytes, from->bytes, sizeof from->bytes);
}

/* How many of the bytes that were peeked at surely belong to the header. */
static size_t header_bytes_in(view peeked, size_t have)
{
    view line_end = VIEW("\n");
    if (peeked.at[0] != 'P') {
        /* Version 2: its length stands in its first 16 bytes. */
        if (peeked.len < 16) return peeked.len > have ? peeked.len - have : 0;
        size_t whole = 16 + ((size_t)(unsigned char)peeked.at[14] << 8 | (unsigned char)peeked.at[15]);
        size_t end = whole < peeked.len ? whole : peeked.len;
        return end - have;
    }
    size_t end = view_find_view(peeked, line_end);
    return (end == VIEW_NONE ? peeked.len : end + 1) - have;
}

/* Reads the header and not one byte more: what follows belongs to TLS or the protocol. */
MAY_YIELD static result read_proxy_header(struct stream *s, struct proxy_header *ret_header)
{
    char bytes[PROXY_HEADER_MAX];
    size_t have = 0, len = 0;
    millis deadline = clock_in(PROXY_HEADER_WAIT_MS);
    for (;;) {
        size_t room = have < 16 ? 16 - have : sizeof bytes - have;
        ssize_t got = recv(s->fd, bytes + have, room, MSG_PEEK);
        if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) return IO;
        if (got > 0) {
            size_t mine = header_bytes_in(view_make(bytes, have + (size_t)got), have);
            if (mine == 0) return INVALID;         /* its line has ended, but not as it should */
            if (recv(s->fd, bytes + have, mine, 0) != (ssize_t)mine) return IO;
            have += mine;
            result r = proxy_header_parse(view_make(bytes, have), ret_header, &len);
            if (r != BUSY) return r == OK && len == have ? OK : INVALID;
            continue;
        }
        result r = stream_wait_readable(s, deadline);
        if (r != OK) return r;
    }
}

static void announce(struct task *t)
{
    struct stream *s = container_of(t, struct stream, move);
    struct listener *l = s->on_readable_argument;
    s->on_readable_argument = NULL;
    l->options.accepted(l->options.argument, s);
    listener_unref(l);
}

MAY_YIELD static void proxy_main(void *argument)
{
    struct stream *s = argument;
    struct listener *l = s->on_readable_argument;
    struct proxy_header h;
    result r = read_proxy_header(s, &h);
    if (r != OK) {
        EVENT_EMIT(PROXY_HEADER_REFUSED, EVENT_TEXT("listener", view_of(l->options.name)), EVENT_TEXT("result", view_of(result_name(r))));
        stream_close(s);
        listener_unref(l);
        return;
    }
    if (h.has_endpoints) {
        struct address peer, local;
        take_endpoint(&h.source, &peer);
        take_endpoint(&h.destination, &local);
        stream_set_peer(s, &peer, &local);
    }
    s->is_drained = false;
    s->move.run = announce;        /* outside this coroutine */
    loop_post(loop_self(), &s->move);
}

/* --- taking connections --- */

static void arrived(struct task *t)
{
    struct stream *s = container_of(t, struct stream, move);
    struct listener *l = s->on_readable_argument;
    stream_attach(s);
    if (l->options.proxy_protocol) coroutine_spawn(loop_scope(loop_self()), "proxy header", proxy_main, s);
    else announce(t);
}

static void deal_out(struct listener *l, int fd, const struct sockaddr_storage *from)
{
    struct address peer;
    address_from_system(from, &peer);
    struct stream *s = stream_make(fd, &peer);
    s->on_readable_argument = l;
    s->move.run = arrived;
    atomic_fetch_add(&l->references, 1);
    struct loop *target = loops_at(l->all, l->next_loop);
    l->next_loop = (l->next_loop + 1) % loops_count(l->all);
    if (target == loop_self()) arrived(&s->move);
    else loop_post(target, &s->move);
}

static void may_accept(uv_poll_t *handle, int status, int events);

static void accept_again(struct timer *t)
{
    struct listener *l = container_of(t, struct listener, pause);
    uv_poll_start(&l->poll, UV_READABLE, may_accept);
}

static void may_accept(uv_poll_t *handle, int status, int events)
{
    struct listener *l = handle->data;
    face_is_awake(face_of(loop_self()));
    for (int i = 0; i < ACCEPT_BURST && !l->is_closed; i++) {
        struct sockaddr_storage from;
        socklen_t len = sizeof from;
        int fd = accept4(l->fd, (void *)&from, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            deal_out(l, fd, &from);
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            EVENT_EMIT(LISTENER_EXHAUSTED, EVENT_TEXT("listener", view_of(l->options.name)),
                       EVENT_TEXT("reason", view_of(strerrorname_np(errno))));
            uv_poll_stop(&l->poll);
            timer_arm(&l->pause, clock_in(EXHAUSTED_PAUSE_MS));
            return;
        } else if (errno == EAGAIN) {
            return;
        }
    }
}

static void start(struct task *t)
{
    struct listener *l = container_of(t, struct listener, start);
    if (!l->is_closed) {
        check(uv_poll_init(&face_of(loop_self())->uv, &l->poll, l->fd) == 0);
        l->poll.data = l;
        l->is_started = true;
        check(uv_poll_start(&l->poll, UV_READABLE, may_accept) == 0);
    }
    listener_unref(l);
}

/* --- opening and closing --- */

result listener_open(struct loops *all, const struct listener_options *options, struct listener **ret_listener, struct fault *fault)
{
    int fd;
    result r = listener_socket(options, &fd, fault);
    if (r != OK) return r;
    struct listener *l = calloc(1, sizeof *l);
    check(l != NULL);
    l->options = *options;
    l->all = all;
    l->fd = fd;
    l->start.run = start;
    atomic_init(&l->references, 2);      /* the caller's and start()'s */
    timer_init(&l->pause, accept_again);
    listener_register(l);
    loop_post(loops_at(all, 0), &l->start);
    *ret_listener = l;
    return OK;
}

uint16_t listener_port(const struct listener *l)
{
    struct sockaddr_storage system = {0};
    socklen_t len = sizeof system;
    struct address a = {0};
    if (getsockname(l->fd, (void *)&system, &len) == 0) address_from_system(&system, &a);
    return a.port;
}

static void closed(uv_handle_t *handle) { listener_unref(handle->data); }

void listener_close(struct listener *l)
{
    check(loop_self() == loops_at(l->all, 0) && !l->is_closed);
    l->is_closed = true;
    timer_disarm(&l->pause);
    bool is_bequeathed = listener_unregister(l);
    if (l->is_started) uv_close((uv_handle_t *)&l->poll, closed);
    if (!is_bequeathed) {
        close(l->fd);
        if (l->options.path) unlink(l->options.path);
    }
    if (!l->is_started) listener_unref(l);
}
