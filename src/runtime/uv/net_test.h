/* net_test: what the tests of streams share: a listener whose connections are handled by one coroutine each. */
#pragma once

#include "base/test.h"
#include "runtime/clock.h"
#include "runtime/coroutine.h"
#include "runtime/listener.h"
#include "runtime/run.h"
#include "runtime/stream.h"
#include "runtime/tls.h"
#include "runtime/wire.h"

struct net {
    struct listener *listener;
    struct address at;             /* where to connect */
    void (*serve)(struct stream *s);   /* a coroutine for each connection; closes the stream */
};

/* On loop 0. */
void net_open(struct net *n, void (*serve)(struct stream *s));
void net_open_with(struct net *n, struct listener_options options, void (*serve)(struct stream *s));
void net_close(struct net *n);
MAY_YIELD struct stream *net_connect(struct net *n);
void net_run(unsigned loops, void (*body)(void *argument));
/* A server context with a self-made certificate for `name`. */
struct tls_context *net_tls(const char *name);
struct tls_certificate net_certificate(const char *name);
