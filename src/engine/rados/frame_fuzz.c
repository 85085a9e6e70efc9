/* Any bytes as frames of a journal: read, and what was read writes the same bytes again. */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "engine/rados/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void write_again(view bytes, const struct frame *f)
{
    char *again = malloc(f->bytes);
    view body = view_slice(bytes, FRAME_HEADER_BYTES + f->meta.len, f->body_bytes);
    journal_frame_write(again, f->append_id, f->meta, body);
    bool is_good = journal_frame_body_is_good(view_slice(bytes, FRAME_HEADER_BYTES + f->meta.len, f->body_bytes + FRAME_BODY_CRC_BYTES));
    check(is_good == (memcmp(again, bytes.at, f->bytes) == 0));
    free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    view bytes = view_make(data, size);
    struct frame f;
    size_t needed;
    enum frame_state state;
    while ((state = journal_frame_read(bytes, &f, &needed)) == FRAME_WHOLE) {
        check(f.bytes <= bytes.len && f.bytes == needed);
        write_again(bytes, &f);
        bytes = view_from(bytes, f.bytes);
    }
    if (state == FRAME_CUT) check(needed > bytes.len);
    return 0;
}
