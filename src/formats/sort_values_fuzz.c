/* A base subject has none of what was taken away, is itself its base, and lies within bounds; a text collates as its pieces do. */
#include "base/check.h"
#include "formats/collate.h"
#include "formats/sort_values.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 65536) return 0;
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 64 << 20);
    buf once CLEANUP(buf_done) = BUF_INIT, twice CLEANUP(buf_done) = BUF_INIT;
    struct sort_values values;
    bool is_reply, is_reply_again;
    view input = view_make(data, size), base = sort_base_subject(input, arena, &is_reply);
    view again = sort_base_subject(base, arena, &is_reply_again);
    check(base.len <= size && view_equal(again, base) && !is_reply_again);
    collate_append(&once, base);
    size_t ascii = 0;
    while (ascii < base.len && (unsigned char)base.at[ascii] < 0x80) ascii++;
    collate_append(&twice, view_slice(base, 0, ascii));
    collate_append(&twice, view_from(base, ascii));
    check(view_equal(buf_view(&once), buf_view(&twice)) && once.len <= 12 * base.len);
    sort_values_read(input, arena, &values);
    check(values.reference_count <= SORT_REFERENCES_MAX);
    return 0;
}
