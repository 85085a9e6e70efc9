/*
 * sending: what a node needs to send mail to other servers: names, TLS of a client, the queue's owner and its destinations.
 */
#pragma once

#include "flow/outbound.h"
#include "main/service.h"

struct sending {
    struct resolver *resolver;
    struct tls_context *tls;
    struct outbound *outbound;
    struct route_table *routes;
    struct address source4, source6;
    struct arena *arena;
};

/* Makes all of it; the queue pauses until the node's doors open (queue_pause()). `intake` lives as long. */
MAY_YIELD NODISCARD result sending_start(struct sending *s, struct service *service, const struct intake *intake, struct fault *fault);
/* Ends what is under way, for at most some seconds, gives the queue back, and frees. Fine when it was never started. */
MAY_YIELD void sending_stop(struct sending *s, struct service *service);
