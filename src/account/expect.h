/* expect: messages that will be opened soon, read and unpacked meanwhile; for message.c and home.c. What others call is in account.h. */
#pragma once

#include "account/home.h"

/* The message's bytes, if it was expected: waits until they are there. False: to be read as ever. */
MAY_YIELD bool expected_take(struct account *a, const struct row *row, millis deadline, buf *into);
/* Forgets what nobody came for. Nothing of the account is being read. */
void expected_drop(struct account *a);
void expected_end(struct home *h);
