/*
 * The input as one record. Oracles: what is decoded is valid and, encoded and decoded again, the same; the arena stays within its bound.
 */
#include "account/record.h"
#include "base/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *arena = arena_new(NULL, 8 * size + 4096);
    struct record r, again;
    struct fault fault = {0};
    if (record_decode(view_make(data, size), arena, &r, &fault) == OK) {
        buf once = BUF_INIT, twice = BUF_INIT;
        check(record_is_valid(&r));
        record_encode(&once, &r);
        arena_reset(arena);
        check(once.len <= size && record_decode(buf_view(&once), arena, &again, NULL) == OK);
        record_encode(&twice, &again);
        check(view_equal(buf_view(&once), buf_view(&twice)));
        buf_done(&once);
        buf_done(&twice);
    } else {
        check(fault.code == CORRUPT && fault.detail[0]);
    }
    arena_free(arena);
    return 0;
}
