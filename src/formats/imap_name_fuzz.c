/*
 * Modified UTF-7 has one way to write a name; patterns match what they must and never take long.
 */
#include "base/check.h"
#include "base/utf8.h"
#include "formats/imap_name.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 4096) return 0;
    view text = view_make(data, size), name, pattern;
    buf out CLEANUP(buf_done) = BUF_INIT, back CLEANUP(buf_done) = BUF_INIT;
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 3 * IMAP_NAME_BYTES_MAX);
    if (imap_utf7_decode(&out, text)) {
        check(utf8_is_valid(buf_view(&out)));
        imap_utf7_append(&back, buf_view(&out));
        check(view_equal(buf_view(&back), text));
    } else {
        check(out.len == 0);
    }
    if (utf8_is_valid(text)) {
        buf_clear(&out);
        buf_clear(&back);
        imap_utf7_append(&out, text);
        check(imap_utf7_decode(&back, buf_view(&out)) && view_equal(buf_view(&back), text));
    }
    if (imap_name_from_wire(text, size & 1, arena, &name) == OK) {
        check(name.len > 0 && name.len <= IMAP_NAME_BYTES_MAX && utf8_is_valid(name));
        check(imap_pattern_matches(VIEW("*"), name));
        check(imap_pattern_matches(name, name));
    }
    size_t half = size / 2;
    if (imap_pattern_from_wire(view_slice(text, 0, half), true, arena, &pattern) == OK)
        (void)imap_pattern_matches(pattern, view_from(text, half));
    return 0;
}
