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
    bytes.at[0] = 3;
    struct fault fault = {0};
    EXPECT(queue_record_decode(buf_view(&bytes), arena, &got, &fault) == CORRUPT);
    EXPECT(view_find_view(view_of(fault.detail), VIEW("newer version")) != VIEW_NONE);
}

TEST(queue_record_keeps_wishes_and_is_of_old_without_them)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 1 << 20);
    struct queue_address recipient = {VIEW("a@elsewhere.test"), 0, VIEW_EMPTY};
    struct queue_record r = enqueue_record(&recipient, 1), got;
    buf bytes CLEANUP(buf_done) = BUF_INIT;
    queue_record_encode(&bytes, &r);
    EXPECT_NUMBER(bytes.at[0], 1);
    buf_clear(&bytes);
    r.envelope.not_before = (unix_ms){5000};
    r.envelope.deliver_by = (unix_ms){9000};
    r.envelope.deliver_by_mode = QUEUE_BY_RETURN | QUEUE_BY_TRACE;
    r.envelope.priority = -4;
    r.envelope.class = QUEUE_FORWARDED;
    r.envelope.standing = QUEUE_BULK;
    r.envelope.route = VIEW("lmtp:192.0.2.9:24");
    queue_record_encode(&bytes, &r);
    EXPECT_NUMBER(bytes.at[0], 2);
    REQUIRE(queue_record_decode(buf_view(&bytes), arena, &got, NULL) == OK);
    EXPECT(got.envelope.not_before.ms == 5000 && got.envelope.deliver_by.ms == 9000 && got.envelope.deliver_by_mode == (QUEUE_BY_RETURN | QUEUE_BY_TRACE));
    EXPECT(got.envelope.priority == -4 && got.envelope.class == QUEUE_FORWARDED && got.envelope.standing == QUEUE_BULK);
    EXPECT_VIEW(got.envelope.route, VIEW("lmtp:192.0.2.9:24"));
    for (size_t len = 0; len < bytes.len; len++) EXPECT(queue_record_decode(view_slice(buf_view(&bytes), 0, len), arena, &got, NULL) == CORRUPT);
}

TEST(queue_record_of_orders_has_its_filter)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 1 << 20);
    struct queue_record got, r = {.kind = QUEUE_ORDERS, .id = {{1}}, .order = QUEUE_REDIRECT, .target = VIEW("smart.test:25"),
                                  .filter = {.account = {{7}}, .sender = VIEW("s@"), .domain = VIEW("d.test"), .tenant = VIEW("t"), .answer = VIEW("busy"), .before = {77}}};
    buf bytes CLEANUP(buf_done) = BUF_INIT;
    queue_record_encode(&bytes, &r);
    REQUIRE(queue_record_decode(buf_view(&bytes), arena, &got, NULL) == OK);
    EXPECT(got.kind == QUEUE_ORDERS && got.order == QUEUE_REDIRECT && got.filter.before.ms == 77 && id_equal(got.filter.account, r.filter.account));
    EXPECT_VIEW(got.target, VIEW("smart.test:25"));
    EXPECT_VIEW(got.filter.answer, VIEW("busy"));
    /* A redirection without a target leads nowhere. */
    r.target = VIEW_EMPTY;
    buf_clear(&bytes);
    queue_record_encode(&bytes, &r);
    EXPECT(queue_record_decode(buf_view(&bytes), arena, &got, NULL) == CORRUPT);
}
