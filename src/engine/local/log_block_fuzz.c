/* Any bytes as a block of the commit log: read, and what was read writes the same bytes again. */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "engine/local/log_block.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void write_again(view payload)
{
    struct log_block b = {.capacity = payload.len + 2 * LOG_ALIGN};
    b.at = malloc(b.capacity);
    log_block_begin(&b);
    struct cursor c = cursor_of(payload);
    struct log_entry e;
    while (take_log_entry(&c, &e)) {
        if (e.op == LOG_PUT && e.value.len) memcpy(log_block_put(&b, e.family, e.key, e.value.len), e.value.at, e.value.len);
        else if (e.op == LOG_REMOVE_RANGE && e.value.len) log_block_remove_range(&b, e.family, e.key, e.value);
        else break;
        view again = log_block_payload(&b);
        check(again.len == cursor_position(&c) && memcmp(again.at, payload.at, again.len) == 0);
    }
    free(b.at);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    view bytes = view_make(data, size), payload;
    struct log_header h;
    if (log_header_read(bytes, &h) == OK) {
        if (log_payload_check(bytes, &h, &payload) == OK) write_again(payload);
        bytes = view_from(bytes, LOG_HEADER_BYTES);
    }
    write_again(bytes);
    return 0;
}
