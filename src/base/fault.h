/*
 * fault: why something failed, for two readers.
 *
 * client_text is safe to show to whoever is connected; detail is for the log and may name files and
 * peers, never secrets. It is set once, where the failure begins, by fail(); callers pass it up
 * unchanged or add a frame of context with fault_context(). Lower floors do not log: the session logs
 * a fault once. A struct fault is plain memory of fixed size: no ownership, may live on the stack.
 * A NULL fault is allowed everywhere.
 */
#pragma once

#include "base/result.h"
#include "base/view.h"

enum { FAULT_CLIENT_TEXT_MAX = 160, FAULT_DETAIL_MAX = 400 };

struct fault {
    result code;
    const char *file;                            /* where it began; static */
    int line;
    char client_text[FAULT_CLIENT_TEXT_MAX];     /* NUL-terminated; empty: the protocol's standard text */
    char detail[FAULT_DETAIL_MAX];               /* NUL-terminated */
};

/* return fail(fault, IO, "append to journal %s: %s", name, reason); */
#define fail(fault, code, ...) fault_set((fault), (code), __FILE__, __LINE__, __VA_ARGS__)

/* Cold: kept out of the caller's hot path. Returns `code`. */
result fault_set(struct fault *fault, result code, const char *file, int line, const char *format, ...)
    __attribute__((cold, format(printf, 5, 6)));
/* The text that the client may see. One line, no CR or LF. Returns the fault's code. */
result fault_tell(struct fault *fault, const char *format, ...) __attribute__((cold, format(printf, 2, 3)));
/* Puts "context: " before the detail. */
void fault_context(struct fault *fault, const char *format, ...) __attribute__((cold, format(printf, 2, 3)));
