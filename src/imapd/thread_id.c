#include <inttypes.h>
#include <stdio.h>

#include "formats/sort_values.h"
#include "imapd/session.h"

const char *message_thread_id(view header, const struct row *row, struct arena *arena, char text[static THREAD_ID_BYTES])
{
    uint64_t root = sort_thread_root(header, arena);
    text[0] = 'T';
    if (root) snprintf(text + 1, THREAD_ID_BYTES - 1, "%016" PRIx64, root);
    else id_text(row->message, text + 1);
    return text;
}
