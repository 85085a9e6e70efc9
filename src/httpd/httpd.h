/*
 * httpd: metrics and health over HTTP/1.1: GET /metrics (Prometheus text), /healthz (the process runs), /readyz (it takes sessions).
 *
 * Only fixed paths and no request bodies. Answers say nothing about accounts, but the listener belongs on an address of the
 * operator's own all the same.
 */
#pragma once

#include "runtime/stream.h"

struct httpd;
struct loops;

struct httpd *httpd_new(struct loops *all);
/* After httpd_sessions() has fallen to 0. */
void httpd_free(struct httpd *d);
/* For listener_options; argument is the httpd. */
void httpd_accept(void *httpd, struct stream *s);
/* From any loop: /readyz answers 503. */
void httpd_stop(struct httpd *d);
/* From any loop: whether /readyz says that this node wants new sessions (200), or has them elsewhere (503). At first it does. */
void httpd_set_ready(struct httpd *d, bool is_ready);
unsigned httpd_sessions(const struct httpd *d);
