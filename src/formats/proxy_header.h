/*
 * proxy_header: the PROXY protocol, versions 1 and 2 (HAProxy, doc/proxy-protocol.txt): who is behind a load balancer.
 *
 * Pure: bytes in, addresses out. The header is all that precedes the protocol's own bytes; whoever reads it must take
 * exactly *ret_len bytes and not one more.
 */
#pragma once

#include "base/result.h"
#include "base/view.h"

struct proxy_endpoint {
    unsigned char bytes[16];       /* an IPv4 address stands in the first four */
    uint8_t family;                /* 4 or 6 */
    uint16_t port;
};

struct proxy_header {
    bool has_endpoints;            /* false: the balancer speaks for itself (LOCAL, UNKNOWN): keep the connection's own */
    struct proxy_endpoint source, destination;
};

enum {
    PROXY_HEADER_1_MAX = 107,      /* §2.1: the longest version 1 line, CRLF included */
    PROXY_HEADER_MAX = 2048,       /* version 2 with what extensions balancers send; the format would allow 64 KiB */
};

/* OK; BUSY: needs more bytes; INVALID: no such header; TOO_BIG. */
NODISCARD result proxy_header_parse(view bytes, struct proxy_header *ret_header, size_t *ret_len);
