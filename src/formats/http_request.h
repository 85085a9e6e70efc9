/*
 * http_request: the request line and header of HTTP/1.x (RFC 9112 §3, §5), as far as fixed paths need them. Pure.
 */
#pragma once

#include "base/view.h"

enum {
    HTTP_HEADER_BYTES_MAX = 8192,      /* of request line and fields: what monitoring programs send is a tenth of it */
    HTTP_FIELDS_MAX = 64,
};

struct http_request {
    view method, target;               /* "GET", "/metrics?x=y" */
    view path;                         /* without the query */
    unsigned minor_version;            /* HTTP/1.x */
    bool has_body;                     /* Content-Length above 0, or Transfer-Encoding */
};

/*
 * `head` is all before and including the empty line. False when it is not a well-formed request: then 400 and close.
 * Views point into `head`.
 */
bool http_request_parse(view head, struct http_request *ret_request);
