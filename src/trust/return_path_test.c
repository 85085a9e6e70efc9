/* Return paths: made here, read here, and by nobody else. */
#include "trust/return_path.h"

#include "base/check.h"
#include "base/test.h"
#include "formats/mail_address.h"

#define NOW ((unix_ms){1790000000000})
static const struct return_path_secrets ours = {{VIEW_INIT("a secret of thirty-two bytes....")}, 1}, theirs = {{VIEW_INIT("another secret, of the others...")}, 1};

static void wrap(const struct return_path_secrets *secrets, view sender, const char *domain, buf *into)
{
    buf_clear(into);
    REQUIRE(return_path_wrap(secrets, NOW, sender, view_of(domain), into, NULL) == OK);
}

static view local_of(const buf *address) { return view_slice(buf_view(address), 0, view_find_last(buf_view(address), '@')); }

TEST(return_path_leads_back)
{
    buf address CLEANUP(buf_done) = BUF_INIT, back CLEANUP(buf_done) = BUF_INIT;
    wrap(&ours, VIEW("Taro=x@elsewhere.test"), "example.test", &address);
    EXPECT(view_starts(buf_view(&address), VIEW("SRS0=")) && view_ends(buf_view(&address), VIEW("=elsewhere.test=Taro=x@example.test")));
    EXPECT(return_path_unwrap(&ours, NOW, local_of(&address), &back, NULL) == OK);
    EXPECT_VIEW(buf_view(&back), VIEW("Taro=x@elsewhere.test"));
    /* Case gets lost on the way; days go by; a new secret comes. */
    for (size_t i = 0; i < address.len; i++) address.at[i] = ascii_upper(address.at[i]);
    struct return_path_secrets both = {{theirs.list[0], ours.list[0]}, 2};
    buf_clear(&back);
    EXPECT(return_path_unwrap(&both, (unix_ms){NOW.ms + 30ll * 86400000}, local_of(&address), &back, NULL) == OK);
    EXPECT(return_path_unwrap(&both, (unix_ms){NOW.ms + 31ll * 86400000}, local_of(&address), &back, NULL) == DENIED);
    EXPECT(return_path_unwrap(&theirs, NOW, local_of(&address), &back, NULL) == DENIED);
    EXPECT(return_path_unwrap(&ours, NOW, VIEW("taro"), &back, NULL) == NOT_FOUND);
    EXPECT(return_path_unwrap(&ours, NOW, VIEW("SRS0=aaaaaa=zz=victim.test=a"), &back, NULL) == DENIED);
}

TEST(return_path_of_a_forwarder_goes_back_through_it)
{
    buf first CLEANUP(buf_done) = BUF_INIT, second CLEANUP(buf_done) = BUF_INIT, third CLEANUP(buf_done) = BUF_INIT, back CLEANUP(buf_done) = BUF_INIT;
    wrap(&theirs, VIEW("taro@elsewhere.test"), "first.test", &first);
    wrap(&ours, buf_view(&first), "second.test", &second);
    EXPECT(view_starts(buf_view(&second), VIEW("SRS1=")));
    EXPECT(return_path_unwrap(&ours, NOW, local_of(&second), &back, NULL) == OK);
    EXPECT_VIEW(buf_view(&back), buf_view(&first));
    /* A third forwarder sends it to the first at once, and the address is no longer than before. */
    wrap(&theirs, buf_view(&second), "third.test", &third);
    EXPECT_NUMBER(local_of(&third).len, local_of(&second).len);
    buf_clear(&back);
    EXPECT(return_path_unwrap(&theirs, NOW, local_of(&third), &back, NULL) == OK);
    EXPECT_VIEW(buf_view(&back), buf_view(&first));
}

/* Local parts that want quotes, and a literal: SMTP can say the address, whoever bounces to it gives us the local part, and it leads back. */
TEST(return_path_of_a_quoted_sender_is_an_address)
{
    static const view senders[] = {VIEW_INIT("\"a b\"@elsewhere.test"), VIEW_INIT("\"a..b\"@carrier.test"), VIEW_INIT("\"q\\\"u\\\\o@te\"@elsewhere.test"),
                                   VIEW_INIT("taro@[192.0.2.1]"), VIEW_INIT("\"\"@elsewhere.test")};
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 1 << 20);
    struct smtp_address first, second;
    for (size_t i = 0; i < array_size(senders); i++) {
        buf address CLEANUP(buf_done) = BUF_INIT, again CLEANUP(buf_done) = BUF_INIT, back CLEANUP(buf_done) = BUF_INIT;
        if (i == 4) {
            EXPECT(return_path_wrap(&ours, NOW, senders[i], VIEW("x.test"), &address, NULL) == INVALID);
            continue;
        }
        wrap(&ours, senders[i], "first.test", &address);
        REQUIRE(mail_address_parse(buf_view(&address), MAIL_ADDRESS_TOLERANT, arena, &first));
        EXPECT_VIEW(first.domain, VIEW("first.test"));
        REQUIRE(return_path_unwrap(&ours, NOW, first.local, &back, NULL) == OK);
        EXPECT_VIEW(buf_view(&back), senders[i]);
        /* And through a second forwarder. */
        wrap(&theirs, buf_view(&address), "second.test", &again);
        REQUIRE(mail_address_parse(buf_view(&again), MAIL_ADDRESS_TOLERANT, arena, &second));
        EXPECT(view_starts(second.local, VIEW("SRS1=")));
        buf_clear(&back);
        REQUIRE(return_path_unwrap(&theirs, NOW, second.local, &back, NULL) == OK);
        EXPECT_VIEW(buf_view(&back), buf_view(&address));
    }
}

/* What comes back to us must be an address that we take (255 bytes), or nobody is told of a bounce. */
TEST(return_path_is_never_longer_than_what_smtp_takes)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 1 << 20);
    struct smtp_address parsed;
    for (size_t len = 1; len <= MAIL_ADDRESS_LOCAL_BYTES_TOLERATED; len++) {
        buf sender CLEANUP(buf_done) = BUF_INIT, address CLEANUP(buf_done) = BUF_INIT;
        for (size_t i = 0; i < len; i++) buf_append_byte(&sender, 'x');
        buf_append(&sender, VIEW("@elsewhere.test"));
        result code = return_path_wrap(&ours, NOW, buf_view(&sender), VIEW("example.test"), &address, NULL);
        EXPECT(code == OK ? mail_address_parse(buf_view(&address), MAIL_ADDRESS_TOLERANT, arena, &parsed) : code == INVALID);
        EXPECT(code == OK || len > 200);
    }
}

TEST(return_path_refuses_what_it_cannot_write)
{
    buf address CLEANUP(buf_done) = BUF_INIT, sender CLEANUP(buf_done) = BUF_INIT;
    for (int i = 0; i < 600; i++) buf_append_byte(&sender, 'x');
    buf_append(&sender, VIEW("@elsewhere.test"));
    EXPECT(return_path_wrap(&ours, NOW, buf_view(&sender), VIEW("example.test"), &address, NULL) == INVALID);
    EXPECT(return_path_wrap(&ours, NOW, VIEW("taro"), VIEW("example.test"), &address, NULL) == INVALID);
    EXPECT_NUMBER(address.len, 0);
}
