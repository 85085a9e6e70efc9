/*
 * stack_marks: how deep the stacks of coroutines went, by the name that they were spawned with.
 *
 * Looked at when a stack is given back: always when it went deeper than what stays warm (16 KiB), else now and then, when what was touched by
 * others before cannot be told apart. So a mark of 16 means "at most 16", a higher one is this name's own. For /metrics. Any thread.
 */
#pragma once

struct buf;

enum { STACK_MARKS_MAX = 256 };     /* names; there is one per spawn site */

/* `name` is static. */
void stack_marks_note(const char *name, unsigned kib);
/* The deepest so far, 0: none seen. */
unsigned stack_marks_of(const char *name);
/* Prometheus' text: tayori_coroutine_stack_kib{coroutine="..."} */
void stack_marks_write(struct buf *into);
