/* workers_private: for run.c and the files that start threads. */
#pragma once

#include "runtime/run.h"
#include "runtime/uv/face.h"
#include "runtime/workers.h"

struct workers *workers_start(const struct run_options *options);
/* After what is queued has been done. */
void workers_stop(struct workers *w);
/* A thread that no signal is delivered to. */
void thread_start(pthread_t *ret_thread, void *(*run)(void *argument), void *argument);
