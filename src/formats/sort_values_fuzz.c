/* A base subject has none of what was taken away, is itself its base, and lies within bounds; collating twice changes nothing. */
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
    collate_append(&once, input);
    collate_append(&twice, buf_view(&once));
    check(view_equal(buf_view(&once), buf_view(&twice)));
    sort_values_read(input, arena, &values);
    check(values.reference_count <= SORT_REFERENCES_MAX);
    return 0;
}
