#include "formats/imap_url.h"

#include "base/check.h"
#include "base/test.h"
#include "formats/imap_write.h"

static void expect_url(const char *text, const char *want)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 1 << 20);
    buf out CLEANUP(buf_done) = BUF_INIT;
    struct imap_url url;
    if (imap_url_parse(view_of(text), arena, &url) == OK) {
        buf_appendf(&out, "%s" VIEW_FMT " %u %u ", url.has_mailbox ? "in " : "selected", VIEW_ARG(url.mailbox), url.uid_validity, url.uid);
        imap_write_fetch_item(&out, &url.item);
    } else {
        buf_append_cstr(&out, "invalid");
    }
    EXPECT_VIEW(buf_view(&out), view_of(want));
}

TEST(imap_urls_of_messages_and_parts_are_read)
{
    expect_url("/Drafts/;UID=3002", "in Drafts 0 3002 BODY.PEEK[]");
    expect_url("/Drafts;UIDVALIDITY=385759045/;UID=20/;section=HEADER", "in Drafts 385759045 20 BODY.PEEK[HEADER]");
    expect_url("/a/b%20c/;UID=2/;SECTION=1.2.MIME/;PARTIAL=0.1024", "in a/b c 0 2 BODY.PEEK[1.2.MIME]<0.1024>");
    expect_url(";UID=7/;SECTION=1", "selected 0 7 BODY.PEEK[1]");
    expect_url("/;UID=7", "selected 0 7 BODY.PEEK[]");
    expect_url("imap://host/x/;UID=7", "invalid");
    expect_url("//host/x/;UID=7", "invalid");
    expect_url("/x/;UID=0", "invalid");
    expect_url("/x", "invalid");
    expect_url("/x%/;UID=1", "invalid");
    expect_url("/x%00/;UID=1", "invalid");
    expect_url("/x/;UID=1/;SECTION=FROB", "invalid");
    expect_url("/x/;UID=1/;SECTION=1/more", "invalid");
}
