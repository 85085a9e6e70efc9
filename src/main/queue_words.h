/* queue_words: the words in which operators select messages of the queue, for command_queue*.c. */
#pragma once

#include "main/command.h"

/* From the options of the request; texts are the request's. INVALID: one that cannot be understood. */
MAY_YIELD NODISCARD result queue_words_read(struct command_call *call, struct queue_filter *ret_filter, struct fault *fault);
json_t *queue_words_id(struct id id);
json_t *queue_words_text(view v);
