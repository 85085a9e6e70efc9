/*
 * The input as the rows of a block. Oracle: what is decoded, encoded again and decoded is the same.
 */
#include <string.h>

#include "account/snapshot_private.h"
#include "base/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct row_place as_it_is(const void *argument, const struct row *row) { return (struct row_place){row->pack, row->entry}; }

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct block_pool pool = {.block_rows = BLOCK_ROWS};
    struct block *b = block_new(&pool), *again = block_new(&pool);
    struct fault fault = {0};
    if (block_decode(view_make(data, size), &pool, b, &fault) == OK) {
        buf payload = BUF_INIT;
        block_encode(b, as_it_is, NULL, &payload);
        check(payload.len <= BLOCK_PAYLOAD_MAX_BYTES && block_decode(buf_view(&payload), &pool, again, NULL) == OK);
        check(b->count == again->count && memcmp(b->wide, again->wide, b->count * sizeof *b->wide) == 0);
        for (uint32_t i = 0; i < b->count; i++) check(view_equal(block_uidl(b, i), block_uidl(again, i)));
        buf_done(&payload);
    } else {
        check(fault.code == CORRUPT);
    }
    block_free(&pool, b);
    block_free(&pool, again);
    check(pool.memory_bytes == 0);
    return 0;
}
