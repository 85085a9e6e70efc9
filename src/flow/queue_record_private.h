/* queue_record_private: what version 2 of a record has more, for queue_record.c. */
#pragma once

#include "base/cursor.h"
#include "flow/queue_record.h"

/* How many fields an envelope has that version 1 does not know. */
unsigned queue_wishes_count(const struct queue_envelope *e);
void queue_wishes_encode(buf *into, const struct queue_envelope *e);
bool queue_wishes_take(struct cursor *c, struct queue_envelope *e);
/* Order, target and filter. */
void queue_orders_encode(buf *into, const struct queue_record *r);
bool queue_orders_take(struct cursor *c, struct queue_record *r);
