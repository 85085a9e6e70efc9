/* Any bytes as a note between nodes: what is read writes the same bytes again. */
#include <string.h>

#include "base/check.h"
#include "engine/rados/signal_note.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct note n;
    if (!note_parse(view_make(data, size), &n)) return 0;
    buf again = BUF_INIT;
    note_append(&again, &n);
    check(again.len == size && memcmp(again.at, data, 2) == 0 && memcmp(again.at + 4, data + 4, size - 4) == 0);
    for (size_t i = 0; i < note_count(&n); i++) (void)note_id(&n, i);
    buf_done(&again);
    return 0;
}
