/*
 * serve: the server: what it opens, in which order it ends.
 *
 * Start: configuration, log, store, certificates, protocols, listeners, control socket. A stop goes backwards: listeners close,
 * sessions end after the command that they are in (at most STOP_TIMEOUT_MS), the store closes. A hand-over does the same but leaves the
 * listening sockets open and then becomes the new program: connections that come meanwhile wait in the kernel's queue.
 */
#pragma once

#include "main/config.h"

/* Until a signal says stop. The exit status; on a hand-over it returns only if the new program cannot be started. */
int serve(const struct config_options *options);
