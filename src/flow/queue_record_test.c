#include "base/check.h"
#include "base/test.h"
#include "flow/queue_record.h"

static struct queue_record enqueue_record(struct queue_address *recipients, size_t count)
{
    return (struct queue_record){
        .kind = QUEUE_ENQUEUE, .id = {{1}}, .written = {12345}, .message = {{2}},
        .envelope = {.account = {{3}}, .tenant = VIEW("default"), .sender = VIEW("s@example.test"), .flags = QUEUE_IS_8BIT, .return_what = 2,
                     .envelope_id = VIEW("e+2D"), .received = {99}, .bytes = 1 << 20, .skip_bytes = 40, .recipients = recipients, .recipient_count = count},
    };
}

TEST(queue_record_reads_what_it_wrote)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 1 << 20);
    struct queue_address recipients[] = {{VIEW("a@elsewhere.test"), 3, VIEW("rfc822;a@old.test")}, {VIEW("b@elsewhere.test"), 0, VIEW_EMPTY}};
    struct queue_record r = enqueue_record(recipients, 2), got;
    buf bytes CLEANUP(buf_done) = BUF_INIT;
    queue_record_encode(&bytes, &r);
    REQUIRE(queue_record_decode(buf_view(&bytes), arena, &got, NULL) == OK);
    EXPECT(got.kind == QUEUE_ENQUEUE && id_equal(got.envelope.message, r.message) && got.envelope.bytes == 1 << 20 && got.envelope.skip_bytes == 40);
    EXPECT_NUMBER(got.envelope.recipient_count, 2);
    EXPECT_VIEW(got.envelope.recipients[0].original, VIEW("rfc822;a@old.test"));
    EXPECT_VIEW(got.envelope.recipients[1].address, VIEW("b@elsewhere.test"));
}

TEST(queue_record_cut_anywhere_is_told)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 1 << 20);
    struct queue_address recipient = {VIEW("a@elsewhere.test"), 0, VIEW_EMPTY};
    struct queue_record r = enqueue_record(&recipient, 1), got;
    buf bytes CLEANUP(buf_done) = BUF_INIT;
    queue_record_encode(&bytes, &r);
    for (size_t len = 0; len < bytes.len; len++) EXPECT(queue_record_decode(view_slice(buf_view(&bytes), 0, len), arena, &got, NULL) == CORRUPT);
    bytes.at[0] = 2;
    struct fault fault = {0};
    EXPECT(queue_record_decode(buf_view(&bytes), arena, &got, &fault) == CORRUPT);
    EXPECT(view_find_view(view_of(fault.detail), VIEW("newer version")) != VIEW_NONE);
}
