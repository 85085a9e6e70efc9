/*
 * probe: where a loop's thread is, asked from another thread by a signal (SIGRTMIN+1).
 *
 * The handler walks frame pointers, within the bounds of the stack that it interrupted and nowhere else: it calls nothing, takes no lock and
 * allocates nothing. Libraries that are built without frame pointers hide their own frames, so words on the stack that point into this
 * program are taken as well until the first frame that is sure.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include "base/buf.h"

struct loop;

enum { PROBE_FRAMES_MAX = 24 };

struct probe {
    pthread_mutex_t lock;          /* of is_open, and of asking */
    bool is_open;
    pthread_t thread;
    struct loop *loop;
    uintptr_t low, high;           /* the thread's own stack */
    atomic_uint asked, answered;   /* turns */
    unsigned count;
    uintptr_t at[PROBE_FRAMES_MAX];
};

void probe_init(struct probe *p);
void probe_done(struct probe *p);
/* On the loop's thread, around its life. */
void probe_open(struct probe *p, struct loop *l);
void probe_close(struct probe *p);
/* From another thread: appends "program+0x1234 libc.so.6+0x5678 ...", innermost first. False when the thread did not answer in time. */
bool probe_take(struct probe *p, buf *into);
