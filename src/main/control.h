/*
 * control: the local socket through which an operator's commands reach the running server.
 *
 * DIR/control.sock, mode 0600: whoever may open it is the operator. One request to a connection: a line of JSON; answers are lines of JSON
 * (command.h).
 */
#pragma once

#include <jansson.h>

#include "main/service.h"
#include "runtime/stream.h"

enum { CONTROL_LINE_BYTES_MAX = 4 << 20 };

/* For listener_options: argument is the struct service. */
void control_accept(void *service, struct stream *s);
/* The path of the socket, in the arena. */
const char *control_path(const char *state_folder, struct arena *arena);

/* Called with each answer; borrowed. Not on the server's side. */
typedef void control_answer_fn(void *argument, const json_t *answer);
/* Sends a request and passes on the answers. NOT_FOUND: no server listens there; other faults say nothing of that. */
MAY_YIELD NODISCARD result control_request(const char *path, const json_t *request, control_answer_fn *answer, void *argument, struct fault *fault);
