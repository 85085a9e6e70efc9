/*
 * stream: a connected socket, plain or TLS, that belongs to one loop.
 *
 * Reads and writes suspend the calling coroutine and no one else; at most one coroutine reads and one
 * writes at a time. A stream that waits for input with no coroutine (stream_when_readable) costs its
 * struct and the kernel's socket: no stack, no buffer. Every call with a deadline returns TIMEOUT when
 * it passes (after which only closing is sensible for a write), CANCELLED when the scope ends,
 * END at the peer's orderly end, IO when the connection broke. A write for which there is room does not wait and
 * thus succeeds in a cancelled scope too: a last line to the client can still be said.
 */
#pragma once

#include "base/buf.h"
#include "base/fault.h"
#include "base/time.h"
#include "runtime/colour.h"

struct stream;
struct loop;
struct tls_context;
struct arena;

struct address {
    unsigned char bytes[16];     /* an IPv4 address stands in the first four */
    uint8_t family;              /* 4, 6, or 0 for a local socket */
    uint16_t port;
};

enum { ADDRESS_TEXT_MAX = 64 };
/* "192.0.2.1", "2001:db8::1", "local". Without the port. Returns a view of text. */
view address_text(const struct address *a, char text[static ADDRESS_TEXT_MAX]);
bool address_parse(view text, struct address *ret_address);     /* no port: it stays 0 */
bool address_equal(const struct address *a, const struct address *b);  /* ports not compared */
/* This machine: 127.0.0.0/8, ::1, a local socket. */
bool address_is_loopback(const struct address *a);

/* Appends between 1 and max bytes. */
MAY_YIELD NODISCARD result stream_read(struct stream *s, buf *into, size_t max, millis deadline, struct fault *fault);
/* Writes all parts, in as few system calls as there are. */
MAY_YIELD NODISCARD result stream_write(struct stream *s, const view *parts, size_t count, millis deadline, struct fault *fault);
/*
 * Calls run(argument) once, outside any coroutine, when input (or its end) is there; at once from the next
 * turn if TLS has bytes left over. The usual run() spawns a coroutine. Cancelled by NULL.
 */
void stream_when_readable(struct stream *s, void (*run)(void *argument), void *argument);
/* Like `write` of what the socket takes at once without waiting; *ret_written may be less. For notices from callbacks. */
NODISCARD result stream_try_write(struct stream *s, view bytes, size_t *ret_written);
/* The server's (or client's) side of a handshake. Input that came before it is the caller's to discard. */
MAY_YIELD NODISCARD result stream_start_tls(struct stream *s, struct tls_context *context, millis deadline, struct fault *fault);
/* Sends close_notify where TLS is on (best effort, no wait), closes, frees. Not while a coroutine reads or writes. */
void stream_close(struct stream *s);
/* Ends both directions so that whoever reads or writes returns; stream_close() is still due. */
void stream_abort(struct stream *s);
/*
 * Gives the stream to another loop: afterwards only that loop may use it. arrived(argument) runs there,
 * outside any coroutine. Not while a coroutine of this loop reads or writes it.
 */
void stream_move(struct stream *s, struct loop *target, void (*arrived)(void *argument), void *argument);

const struct address *stream_peer(const struct stream *s);
const struct address *stream_local(const struct stream *s);
void stream_set_peer(struct stream *s, const struct address *peer, const struct address *local);  /* PROXY protocol */

struct tls_info {
    bool is_on;
    view version, cipher;        /* "TLSv1.3", "TLS_AES_256_GCM_SHA384": static */
    int bits;
    view server_name;            /* SNI, lives as long as the stream; empty if none */
};
struct tls_info stream_tls(const struct stream *s);
/* RFC 9266 tls-exporter channel binding, 32 bytes. NOT_FOUND without TLS. */
/* Before TLS 1.3 only with an extended master secret (§4.2 there). */
NODISCARD result stream_channel_binding(struct stream *s, unsigned char binding[static 32]);
/* RFC 5929 §4 tls-server-end-point of the server's end: a digest of the certificate that it has shown, 32 to 64 bytes. NOT_FOUND without one. */
NODISCARD result stream_server_end_point(struct stream *s, unsigned char binding[static 64], size_t *ret_len);

/* An outgoing connection. */
MAY_YIELD NODISCARD result stream_connect(const struct address *to, const struct address *from_or_null, millis deadline,
                                          struct stream **ret_stream, struct fault *fault);
/* A local socket by path. NOT_FOUND: nobody listens there (ENOENT, ECONNREFUSED). */
MAY_YIELD NODISCARD result stream_connect_path(const char *path, millis deadline, struct stream **ret_stream, struct fault *fault);
