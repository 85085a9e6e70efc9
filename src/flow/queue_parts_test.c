/* What a shard is made of: messages by id, texts in common, and how much memory a message takes. */
#include <stdlib.h>

#include "base/test.h"
#include "flow/queue_private.h"

static struct id id_of(unsigned n)
{
    struct id id = {{0}};
    for (unsigned i = 0; i < 4; i++) id.bytes[12 + i] = (unsigned char)(n >> (8 * i));
    return id;
}

TEST(queue_index_finds_what_is_there_and_nothing_else)
{
    enum { COUNT = 5000 };
    struct queue_index x = {0};
    struct queued **all = calloc(COUNT, sizeof *all);
    for (unsigned i = 0; i < COUNT; i++) {
        all[i] = calloc(1, sizeof *all[i]);
        all[i]->message = id_of(i);
        queue_index_add(&x, all[i]);
    }
    for (unsigned i = 0; i < COUNT; i += 2) queue_index_remove(&x, all[i]);
    for (unsigned i = 0; i < COUNT; i++)
        if (queue_index_find(&x, id_of(i)) != (i % 2 ? all[i] : NULL)) test_fail(__FILE__, __LINE__, "message %u", i);
    for (unsigned i = 1; i < COUNT; i += 2) queue_index_remove(&x, all[i]);
    EXPECT_NUMBER(x.count, 0);
    EXPECT(x.capacity <= 64);            /* a queue that has emptied gives its memory back */
    EXPECT(queue_index_find(&x, id_of(1)) == NULL);
    for (unsigned i = 0; i < COUNT; i++) free(all[i]);
    free(all);
    queue_index_done(&x);
}

TEST(queue_shared_texts_are_there_as_long_as_somebody_has_them)
{
    struct map all = MAP_INIT;
    struct shared_text *a = shared_keep(&all, VIEW("451 4.3.2 later")), *b = shared_keep(&all, VIEW("451 4.3.2 later")), *c = shared_keep(&all, VIEW("450"));
    EXPECT(a == b && a != c && shared_keep(&all, VIEW_EMPTY) == NULL);
    shared_drop(&all, a);
    EXPECT(view_equal(shared_view(b), VIEW("451 4.3.2 later")));
    shared_drop(&all, b);
    EXPECT_NUMBER(all.count, 1);
    shared_drop(&all, c);
    shared_drop(&all, NULL);
    EXPECT_NUMBER(all.count, 0);
    map_done(&all);
}

TEST(queue_message_is_small_and_says_what_its_envelope_said)
{
    struct shard s = {0};
    struct arena *arena = arena_new(NULL, 1 << 20);
    struct queue_address to[] = {{.address = VIEW("a@elsewhere.test"), .notify = 3}, {.address = VIEW("\"b@c\"@d.test"), .original = VIEW("rfc822;x@y.test")}};
    struct queue_envelope e = {.message = id_of(1), .account = id_of(2), .tenant = VIEW("acme"), .sender = VIEW("s@example.test"), .flags = QUEUE_IS_UTF8, .envelope_id = VIEW("e"),
                               .received = {5}, .bytes = 6, .skip_bytes = 1, .recipients = to, .recipient_count = 2, .not_before = {7}, .priority = -3, .class = QUEUE_BOUNCE,
                               .standing = QUEUE_BULK, .route = VIEW("h:25")}, got;
    struct queued *m = queued_new(&s, &e);
    queued_envelope(m, arena, &got);
    EXPECT(id_equal(got.message, e.message) && id_equal(got.account, e.account) && view_equal(got.tenant, e.tenant) && view_equal(got.sender, e.sender));
    EXPECT(got.flags == e.flags && view_equal(got.envelope_id, e.envelope_id) && got.received.ms == 5 && got.bytes == 6 && got.skip_bytes == 1 && got.not_before.ms == 7);
    EXPECT(got.priority == -3 && got.class == QUEUE_BOUNCE && got.standing == QUEUE_BULK && view_equal(got.route, e.route) && got.recipient_count == 2);
    EXPECT(view_equal(got.recipients[0].address, to[0].address) && got.recipients[0].notify == 3 && got.recipients[0].original.len == 0);
    EXPECT(view_equal(got.recipients[1].address, to[1].address) && view_equal(got.recipients[1].original, to[1].original));
    EXPECT(view_equal(queued_domain(&m->recipients[1]), VIEW("d.test")));
    queued_free(m);
    EXPECT_NUMBER(s.texts.count, 0);
    /* With its address, its place in the index and in the heap, and where it waits for its destination: below 300 bytes. */
    EXPECT(sizeof(struct queued) + sizeof(struct queued_recipient) <= 200);
    map_done(&s.texts);
    arena_free(arena);
}
