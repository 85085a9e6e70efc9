/* Tokens of messages: made here, read here, and by nobody else. */
#include "trust/complaint_token.h"

#include "base/check.h"
#include "base/test.h"

static const struct complaint_secrets ours = {{VIEW_INIT("a secret of thirty-two bytes....")}, 1}, theirs = {{VIEW_INIT("another secret, of the others...")}, 1};
static const struct complaint_subject subject = {{{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}}, {{17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32}}};

TEST(complaint_token_leads_back)
{
    buf token CLEANUP(buf_done) = BUF_INIT, again CLEANUP(buf_done) = BUF_INIT;
    struct complaint_subject found;
    REQUIRE(complaint_token_append(&ours, &subject, &token, NULL) == OK && token.len == COMPLAINT_TOKEN_CHARACTERS);
    REQUIRE(complaint_token_append(&ours, &subject, &again, NULL) == OK);
    EXPECT_VIEW(buf_view(&again), buf_view(&token));
    REQUIRE(complaint_token_read(&ours, buf_view(&token), &found, NULL) == OK);
    EXPECT(id_equal(found.account, subject.account) && id_equal(found.message, subject.message));
    /* A new secret comes, the old one is still there. */
    struct complaint_secrets both = {{theirs.list[0], ours.list[0]}, 2};
    EXPECT(complaint_token_read(&both, buf_view(&token), &found, NULL) == OK);
}

TEST(complaint_token_cannot_be_made_by_others)
{
    buf token CLEANUP(buf_done) = BUF_INIT;
    struct complaint_subject found;
    REQUIRE(complaint_token_append(&ours, &subject, &token, NULL) == OK);
    EXPECT(complaint_token_read(&theirs, buf_view(&token), &found, NULL) == DENIED);
    for (size_t i = 0; i < token.len; i++) {
        char before = token.at[i];
        token.at[i] = before == 'A' ? 'B' : 'A';
        EXPECT(complaint_token_read(&ours, buf_view(&token), &found, NULL) == DENIED);
        token.at[i] = before;
    }
    EXPECT(complaint_token_read(&ours, VIEW("short"), &found, NULL) == NOT_FOUND);
    token.at[3] = '+';
    EXPECT(complaint_token_read(&ours, buf_view(&token), &found, NULL) == NOT_FOUND);
}

TEST(complaint_token_is_found_in_headers)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 1 << 20);
    static const char token[] = "0123456789012345678901234567890123456789012345678901234567890123";
    view found = complaint_token_find(arena_printf(arena, "From: a\r\nX-Complaint-Id:\r\n %s\r\nMessage-ID: <x@y>\r\n", token), arena);
    EXPECT_VIEW(found, view_of(token));
    EXPECT_VIEW(complaint_token_find(arena_printf(arena, "Message-ID: <%s@mx.test>\r\n", token), arena), view_of(token));
    EXPECT_VIEW(complaint_token_find(arena_printf(arena, "Message-ID: <%s>\r\n", token), arena), view_of(token));
    EXPECT(complaint_token_find(VIEW("Message-ID: @<\r\nX-Complaint-Id: abc\r\n"), arena).len == 0);
    EXPECT(complaint_token_find(VIEW("From: a\r\n\r\n"), arena).len == 0);
}
