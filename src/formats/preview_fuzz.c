/* A preview is UTF-8 of at most so many characters, without control characters, whatever the message. */
#include "base/check.h"
#include "base/utf8.h"
#include "formats/mime.h"
#include "formats/preview.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, MIME_ARENA_BYTES_ENOUGH);
    buf out CLEANUP(buf_done) = BUF_INIT;
    view message = view_make(data, size);
    preview_append(mime_parse(message, arena), message, arena, &out);
    view rest = buf_view(&out);
    uint32_t c;
    unsigned characters = 0;
    for (; utf8_take(&rest, &c); characters++) check(c >= 0x20 && c != 0x7f);
    check(rest.len == 0 && characters <= PREVIEW_CHARACTERS_MAX);
    return 0;
}
