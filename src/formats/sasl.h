/* sasl: messages of SASL mechanisms, once out of their base64. Pure; views point into the input. */
#pragma once

#include "base/view.h"

enum {
    SASL_PLAIN_FIELD_BYTES_MAX = 1024,   /* RFC 4616 §2 asks for 255 bytes at least */
    /* A line that carries the longest PLAIN message in base64. */
    SASL_PLAIN_LINE_BYTES_MAX = (3 * SASL_PLAIN_FIELD_BYTES_MAX + 2) / 3 * 4 + 4,
};

struct sasl_plain {
    view authorization;                  /* on whose behalf; empty: the user's own */
    view user, password;
};

/* message = [authzid] NUL authcid NUL passwd, in UTF-8, authcid and passwd not empty (RFC 4616 §2). */
bool sasl_plain_parse(view message, struct sasl_plain *ret_plain);
