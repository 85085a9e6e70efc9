#include "base/check.h"
#include "base/feature.h"
#include "base/test.h"
#include "imapd/test_server.h"

TEST(imapd_annotations_are_set_and_told)
{
    struct test_server *t = test_server_open(1, NULL);
    struct transcript *c = test_server_login(t);
    TRANSCRIPT(c, "C: a CAPABILITY\nS: * CAPABILITY * METADATA LIST-METADATA FILTERS*\nS: a OK *\n"
                  "C: b SETMETADATA INBOX (/private/comment \"My new comment\" /shared/comment {3+}\nC: abc)\nS: b OK *\n"
                  "C: c GETMETADATA INBOX /private/comment\nS: * METADATA INBOX (/private/comment \"My new comment\")\nS: c OK *\n"
                  "C: d GETMETADATA \"INBOX\" (/SHARED/comment /private/none)\nS: * METADATA INBOX (/SHARED/comment \"abc\" /private/none NIL)\nS: d OK *\n"
                  "C: e SETMETADATA INBOX (/private/comment NIL)\nS: e OK *\n"
                  "C: f GETMETADATA INBOX /private/comment\nS: * METADATA INBOX (/private/comment NIL)\nS: f OK *\n"
                  "C: g SETMETADATA nowhere (/private/comment \"x\")\nS: g NO [NONEXISTENT] *\n"
                  "C: h GETMETADATA nowhere /private/comment\nS: h NO [NONEXISTENT] *\n"
                  "C: i SETMETADATA \"\" (/private/comment \"of the server\")\nS: i OK *\n"
                  "C: j GETMETADATA \"\" /private/comment\nS: * METADATA \"\" (/private/comment \"of the server\")\nS: j OK *\n"
                  "C: k SETMETADATA \"\" (/shared/admin \"x\")\nS: k NO [NOPERM] *\n");
    transcript_close(c);
    test_server_close(t);
}

TEST(imapd_annotations_of_odd_names_and_values)
{
    struct test_server *t = test_server_open(2, NULL);
    struct transcript *c = test_server_login(t);
    TRANSCRIPT(c, "C: a SETMETADATA INBOX (/other/comment \"x\")\nS: a BAD *\nC: b SETMETADATA INBOX (\"/private/a*\" \"x\")\nS: b BAD *\n"
                  "C: c SETMETADATA INBOX (/private//a \"x\")\nS: c BAD *\nC: d SETMETADATA INBOX (/private/a/ \"x\")\nS: d BAD *\n"
                  "C: e SETMETADATA INBOX (/private \"x\")\nS: e BAD *\nC: f SETMETADATA INBOX ()\nS: f BAD *\n"
                  "C! g SETMETADATA INBOX (/private/bin ~{3+}\\r\\na\\0b)\\r\\n\nS: g OK *\n"
                  "C: h GETMETADATA INBOX /private/bin\nS: * METADATA INBOX (/private/bin ~{3}\n");
    EXPECT_VIEW(transcript_read(c, 6), VIEW("a\0b)\r\n"));
    TRANSCRIPT(c, "S: h OK *\nC! i SETMETADATA INBOX (/private/big {65537+}\\r\\n\nC@ 65537 x\nC: )\nS: i NO [METADATA MAXSIZE 65536] *\n");
    transcript_close(c);
    test_server_close(t);
}

TEST(imapd_annotations_by_depth_and_size)
{
    struct test_server *t = test_server_open(3, NULL);
    struct transcript *c = test_server_login(t);
    TRANSCRIPT(c, "C: a SETMETADATA INBOX (/private/a \"1\" /private/a/b \"22\" /private/a/b/c \"333\" /private/ab \"4\")\nS: a OK *\n"
                  "C: b GETMETADATA (DEPTH 1) INBOX /private/a\nS: * METADATA INBOX (/private/a \"1\" /private/a/b \"22\")\nS: b OK *\n"
                  "C: c GETMETADATA (DEPTH infinity) INBOX (/private/a)\n"
                  "S: * METADATA INBOX (/private/a \"1\" /private/a/b \"22\" /private/a/b/c \"333\")\nS: c OK *\n"
                  "C: d GETMETADATA (DEPTH infinity MAXSIZE 2) INBOX /private/a\n"
                  "S: * METADATA INBOX (/private/a \"1\" /private/a/b \"22\")\nS: d OK [METADATA LONGENTRIES 3] *\n"
                  "C: e GETMETADATA INBOX (MAXSIZE 1) /private/a/b\nS: e OK [METADATA LONGENTRIES 2] *\n"
                  "C: f GETMETADATA (DEPTH 1) INBOX /private/none\nS: f OK *\n"
                  "# all there are\n"
                  "C: g GETMETADATA (DEPTH infinity) INBOX (/private /SHARED)\n"
                  "S: * METADATA INBOX (/private/a \"1\" /private/a/b \"22\" /private/a/b/c \"333\" /private/ab \"4\")\nS: g OK *\n"
                  "C: h GETMETADATA (DEPTH 1) INBOX /private\nS: * METADATA INBOX (/private/a \"1\" /private/ab \"4\")\nS: h OK *\n"
                  "C: i GETMETADATA INBOX /private\nS: * METADATA INBOX (/private NIL)\nS: i OK *\n"
                  "C: j SETMETADATA INBOX (/private \"x\")\nS: j BAD *\n");
    transcript_close(c);
    test_server_close(t);
}

TEST(imapd_list_returns_annotations)
{
    struct test_server *t = test_server_open(4, NULL);
    struct transcript *c = test_server_login(t);
    TRANSCRIPT(c, "C: a CREATE foo\nS: a OK *\nC: b SETMETADATA INBOX (/shared/vendor/cmu/cyrus-imapd/color \"#b71c1c\")\nS: b OK *\n"
                  "C: c LIST \"\" % RETURN (METADATA (\"/shared/vendor/cmu/cyrus-imapd/color\"))\n"
                  "S: * LIST (\\HasNoChildren) \"/\" INBOX\nS: * METADATA INBOX (/shared/vendor/cmu/cyrus-imapd/color \"#b71c1c\")\n"
                  "S: * LIST (\\HasNoChildren) \"/\" foo\nS: * METADATA foo (/shared/vendor/cmu/cyrus-imapd/color NIL)\nS: c OK *\n"
                  "C: d RENAME foo bar\nS: d OK *\nC: e DELETE bar\nS: e OK *\n"
                  "C: f LIST \"\" INBOX RETURN (STATUS (MESSAGES) METADATA (/private/x))\n"
                  "S: * LIST (\\HasNoChildren) \"/\" INBOX\nS: * STATUS INBOX (MESSAGES 0)\nS: * METADATA INBOX (/private/x NIL)\nS: f OK *\n");
    transcript_close(c);
    test_server_close(t);
}

TEST(imapd_filters_are_searches_by_name)
{
    struct test_server *t = test_server_open(5, NULL);
    test_server_add(t, "INBOX", "(\\Seen)", VIEW("Subject: holiday\r\n\r\nx\r\n"));
    test_server_add(t, "INBOX", "()", VIEW("Subject: work\r\n\r\nx\r\n"));
    test_server_add(t, "INBOX", "()", VIEW("Subject: holiday\r\n\r\nx\r\n"));
    struct transcript *c = test_server_login(t);
    TRANSCRIPT(c, "C: a SETMETADATA \"\" (/private/filters/values/leave \"SUBJECT holiday\" /private/filters/values/new \"UNSEEN FILTER leave\")\nS: a OK *\n"
                  "C: b SELECT INBOX\nS~ b OK *\nC: c SEARCH FILTER leave\nS: * SEARCH 1 3\nS: c OK *\n"
                  "C: d SEARCH FILTER new\nS: * SEARCH 3\nS: d OK *\nC: e SEARCH NOT FILTER leave\nS: * SEARCH 2\nS: e OK *\n"
                  "C: f SEARCH FILTER none\nS: f NO [UNDEFINED-FILTER none] *\n"
                  "C: g SETMETADATA \"\" (/private/filters/values/bad \"SUBJECT\")\nS: g NO [CANNOT] *\n"
                  "C: h SETMETADATA \"\" (/private/filters/values/bad \"RETURN (MIN) ALL\")\nS: h NO [CANNOT] *\n"
                  "C: i SETMETADATA \"\" (/private/filters/values/self \"FILTER self\")\nS: i OK *\n"
                  "C: j SEARCH FILTER self\nS: j NO [UNDEFINED-FILTER self] *\n"
                  "C: k GETMETADATA (DEPTH 1) \"\" /private/filters/values\n"
                  "S: * METADATA \"\" (/private/filters/values/leave \"SUBJECT holiday\" /private/filters/values/new \"UNSEEN FILTER leave\" "
                  "/private/filters/values/self \"FILTER self\")\nS: k OK *\n");
    transcript_close(c);
    test_server_close(t);
}

TEST(imapd_annotations_wait_for_all_nodes_to_know_them)
{
    struct test_server *t = test_server_open(6, NULL);
    accounts_set_feature_level(t->accounts, FEATURE_ANNOTATIONS - 1);
    struct transcript *c = test_server_login(t);
    TRANSCRIPT(c, "C: a SETMETADATA INBOX (/private/comment \"x\")\nS: a NO [UNAVAILABLE] *\n"
                  "C: b GETMETADATA INBOX /private/comment\nS: * METADATA INBOX (/private/comment NIL)\nS: b OK *\n"
                  "C: c APPEND INBOX {4+}\nC: a: b {4+}\nC: c: d\nS: c OK [APPENDUID * 1:2] *\n");
    transcript_close(c);
    test_server_close(t);
}

TEST(imapd_threads_have_ids)
{
    struct test_server *t = test_server_open(7, NULL);
    test_server_add(t, "INBOX", "()", VIEW("Message-ID: <1@a>\r\n\r\nx\r\n"));
    test_server_add(t, "INBOX", "()", VIEW("Message-ID: <2@a>\r\nIn-Reply-To: <1@a>\r\n\r\nx\r\n"));
    test_server_add(t, "INBOX", "()", VIEW("Message-ID: <3@a>\r\nReferences: <1@a> <2@a>\r\nIn-Reply-To: <2@a>\r\n\r\nx\r\n"));
    test_server_add(t, "INBOX", "()", VIEW("Subject: alone\r\n\r\nx\r\n"));
    struct transcript *c = test_server_login(t);
    TRANSCRIPT(c, "C: a SELECT INBOX\nS~ a OK *\nC: b FETCH 1 (THREADID)\nS: * 1 FETCH (THREADID (T*))\n");
    buf id CLEANUP(buf_done) = BUF_INIT, script CLEANUP(buf_done) = BUF_INIT;
    view line = transcript_line(c);
    size_t open = view_find_last(line, '(');
    buf_append(&id, view_slice(line, open + 1, view_find(line, ')') - open - 1));
    buf_appendf(&script, "S: b OK *\nC: c SEARCH THREADID " VIEW_FMT "\nS: * SEARCH 1 2 3\nS: c OK *\nC: d FETCH 3:4 (THREADID UID)\n"
                         "S: * 3 FETCH (THREADID (" VIEW_FMT ") UID 3)\nS: * 4 FETCH (THREADID (T*) UID 4)\nS: d OK *\n",
                VIEW_ARG(buf_view(&id)), VIEW_ARG(buf_view(&id)));
    buf_append_byte(&script, 0);
    TRANSCRIPT(c, script.at);
    transcript_close(c);
    test_server_close(t);
}
