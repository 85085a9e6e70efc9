/* Fuzzes records of the queue. Oracle: what is accepted reads back the same when written again, and the arena stays small. */
#include "base/check.h"
#include "flow/queue_record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 1 << 20);
    buf again CLEANUP(buf_done) = BUF_INIT, third CLEANUP(buf_done) = BUF_INIT;
    struct queue_record r, s;
    if (queue_record_decode(view_make(data, size), arena, &r, NULL) != OK) return 0;
    check(arena_used(arena) <= QUEUE_RECIPIENTS_MAX * 128);
    queue_record_encode(&again, &r);
    /* What says nothing that is new is written as of old, and means the same. */
    check(queue_record_decode(buf_view(&again), arena, &s, NULL) == OK);
    queue_record_encode(&third, &s);
    check(view_equal(buf_view(&again), buf_view(&third)));
    return 0;
}
