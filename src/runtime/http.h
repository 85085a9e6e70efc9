/*
 * http: documents of other servers over HTTPS (libcurl in the real face; what a test has put there in the simulator).
 *
 * For small things that are asked for seldom: policies and reports. One thread of its own does all of it, so that no loop ever waits for a
 * library; certificates are verified for the host's name, redirects are not followed, proxies of the environment are not used. Any loop.
 */
#pragma once

#include "base/arena.h"
#include "base/fault.h"
#include "base/time.h"
#include "runtime/colour.h"
#include "runtime/stream.h"

struct http;
struct resolver;

enum {
    HTTP_FLIGHT_MAX = 32,                /* requests under way in a process; more are UNAVAILABLE at once */
    HTTP_URL_BYTES_MAX = 2000,
    HTTP_ADDRESSES_MAX = 8,
};

struct http_options {
    const char *authorities_file;        /* PEM; NULL: those of the system */
};
NODISCARD result http_new(const struct http_options *options, struct http **ret_http, struct fault *fault);
/* Nobody may wait for an answer; from a worker, while the loops run. NULL is fine. */
BLOCKS void http_free(struct http *h);

struct http_request {
    view url;                            /* https://host/... */
    /* Where its host is, as the resolver says: the library does not ask. None: it asks the system. */
    const struct address *addresses;
    size_t address_count;
    size_t bytes_max;                    /* of the answer */
    view body, content_type;             /* not empty: POST */
};

/*
 * Addresses of a URL's host, as the resolver says: how many, 0 when there are none or they cannot be had. Loopback and the like are
 * not told apart: certificates are.
 */
MAY_YIELD size_t http_find_addresses(struct resolver *r, view url, millis deadline, struct arena *arena, struct address addresses[static HTTP_ADDRESSES_MAX]);
view http_host(view url);                /* empty: it is no URL of https, or names another port or a user */

struct http_answer {
    unsigned status;
    view content_type;                   /* as it stands in the header */
    view body;
};

/*
 * OK: the server answered, whatever the status; memory in the arena. UNAVAILABLE: it cannot be reached, or its certificate does not do
 * (*reterr_is_certificate). TOO_BIG. TIMEOUT, CANCELLED. INVALID: not a URL for this.
 */
MAY_YIELD NODISCARD result http_ask(struct http *h, const struct http_request *request, millis deadline, struct arena *arena, struct http_answer *ret_answer,
                                    bool *reterr_is_certificate, struct fault *fault);
