/*
 * queue_reader: a shard to look at, whoever owns it.
 *
 * One of our own is used on its loop; the state of another is read from its journal into memory, on the caller's loop, and forgotten afterwards.
 */
#pragma once

#include "flow/queue_private.h"

/* Calls run(argument, shard). Its own result is the caller's affair. */
MAY_YIELD NODISCARD result queue_with_shard(struct queue *q, unsigned number, millis deadline, MAY_YIELD void (*run)(void *argument, struct shard *s), void *argument,
                                            struct fault *fault);
/* A shard that nobody owns here, not read yet: shard_read() does. */
void shard_reader_init(struct shard *s, struct queue *q, unsigned number);
void shard_reader_done(struct shard *s);
