/*
 * sending: what a node needs to send mail to other servers: names, TLS of a client, the queue's owner and its destinations.
 */
#pragma once

#include "flow/outbound.h"
#include "main/service.h"

struct sending {
    struct tls_context *tls;
    struct http *http;
    struct mta_sts *sts;
    struct tls_reports *reports;
    struct tls_reporting *reporting;
    struct outbound *outbound;
    struct route_table *routes;
    struct answer_rules *rules;
    struct arena *rules_arena;           /* of them alone: they are read anew */
    struct egress egress;
    struct address source4, source6;
    struct arena *arena;
};

/* Adds the rules of the configuration and the built-in ones; texts live in the arena. INVALID names file and line. */
MAY_YIELD NODISCARD result sending_read_rules(const struct config *c, struct arena *arena, struct answer_rules *rules, struct fault *fault);
/* The rules that the configuration names now. When they cannot be read those of before stay, and the fault says why. */
MAY_YIELD NODISCARD result sending_reload_rules(struct sending *s, const struct config *c, struct fault *fault);
/* Makes all of it; the queue pauses until the node's doors open (queue_pause()). `intake` lives as long. */
MAY_YIELD NODISCARD result sending_start(struct sending *s, struct service *service, const struct intake *intake, struct fault *fault);
/* Ends what is under way, for at most some seconds, gives the queue back, and frees. Fine when it was never started. */
MAY_YIELD void sending_stop(struct sending *s, struct service *service);
