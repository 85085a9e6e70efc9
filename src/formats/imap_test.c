#include <string.h>

#include "base/check.h"
#include "base/test.h"
#include "formats/imap.h"
#include "formats/imap_write.h"

/* What a command is, written in canonical form; or the error as "result: text". */
static void expect_parsed(const char *text, const char *canonical)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 1 << 20);
    buf out CLEANUP(buf_done) = BUF_INIT;
    struct imap_command command;
    struct fault fault;
    result code = imap_parse_command(view_of(text), arena, &command, &fault);
    if (code == OK) {
        imap_write_command(&out, &command, true);
    } else {
        buf_appendf(&out, "%s: %s", result_name(code), fault.client_text);
    }
    if (!view_equal(buf_view(&out), view_of(canonical)))
        test_fail(__FILE__, __LINE__, "%s\n#   is  %.*s\n#   not %s", text, (int)out.len, out.at, canonical);
}

#define SAME(text) expect_parsed(text, text)

TEST(imap_commands_of_few_arguments_are_read)
{
    SAME("a1 CAPABILITY");
    expect_parsed("a1 capability ", "a1 CAPABILITY");
    SAME("A.1]x LOGIN joe \"pass word\"");
    expect_parsed("a LOGIN {3}\r\njoe {5+}\r\nse\"cr", "a LOGIN joe \"se\\\"cr\"");
    expect_parsed("a LOGIN \"jo\\\\e\" {2}\r\n\r\n", "a LOGIN \"jo\\\\e\" {2+}\r\n\r\n");
    SAME("a AUTHENTICATE PLAIN");
    SAME("a AUTHENTICATE PLAIN =");
    SAME("a AUTHENTICATE PLAIN AGZvbwBiYXI=");
    SAME("a ID NIL");
    SAME("a ID (\"name\" \"x\" \"version\" NIL)");
    SAME("a ENABLE IMAP4rev2 CONDSTORE UTF8=ACCEPT");
    SAME("a SELECT INBOX (CONDSTORE)");
    SAME("a SELECT INBOX (QRESYNC (67890007 90060115194045000 41:211,214:541))");
    SAME("a SELECT INBOX (CONDSTORE QRESYNC (67890007 9006 1:29997 (5000,7500,9000,9990:9999 15000,22500,27000,29970)))");
    SAME("a EXAMINE INBOX (QRESYNC (1 20 (1:3 4:6)))");
    SAME("a UIDBATCHES 2000");
    SAME("a UIDBATCHES 2000 10:20");
    SAME("a GETQUOTA \"\"");
    SAME("a GETQUOTAROOT INBOX");
    SAME("a COMPRESS DEFLATE");
    SAME("a UNAUTHENTICATE");
    SAME("a CREATE \"Sent Mail\" (USE (\\Sent))");
    SAME("a CREATE x (USE (\\Archive \\Unknown))");
    SAME("a RENAME a b");
    SAME("a STATUS x (MESSAGES UIDNEXT UIDVALIDITY SIZE HIGHESTMODSEQ)");
    SAME("a EXPUNGE");
    SAME("a UID EXPUNGE 3000:3002");
    SAME("a UID MOVE 1:* Trash");
    SAME("a COPY 2:4,7,9,12:* \"a b\"");
    SAME("a MOVE $ Trash");
}

TEST(imap_bad_commands_are_refused_with_the_place)
{
    expect_parsed("a", "invalid: Expected a space at byte 1");
    expect_parsed("a FROB", "not-found: Expected a command that is known here at byte 6");
    expect_parsed("a UID SELECT x", "not-found: Expected a command that is known here at byte 12");
    expect_parsed("a LOGIN joe", "invalid: Expected a space at byte 11");
    expect_parsed("a LOGIN joe \"x", "invalid: Expected a closing quote at byte 12");
    expect_parsed("a LOGIN joe {9}\r\nshort", "invalid: Expected a password at byte 12");
    expect_parsed("a NOOP x", "invalid: Expected the end of the command at byte 7");
    expect_parsed("a FETCH 0 FLAGS", "invalid: Expected a message set at byte 8");
    expect_parsed("a FETCH 1:0 FLAGS", "invalid: Expected a message set at byte 8");
    expect_parsed("a FETCH 4294967296 FLAGS", "invalid: Expected a message set at byte 8");
    expect_parsed("a FETCH 1 ()", "invalid: Expected a FETCH item at byte 11");
    expect_parsed("a FETCH 1 BODY[MIME]", "invalid: Expected a part number at byte 19");
    expect_parsed("a FETCH 1 BODY[1.]", "invalid: Expected a section at byte 17");
    expect_parsed("a FETCH 1 BODY[0]", "invalid: Expected \"]\" at byte 15");
    expect_parsed("a FETCH 1 BODY[]<0.0>", "invalid: Expected a partial range at byte 20");
    expect_parsed("a FETCH 1 BINARY[HEADER]", "invalid: Expected \"]\" at byte 17");
    expect_parsed("a STORE 1 FLAGS (\\Frob)", "invalid: Expected a system flag at byte 18");
    expect_parsed("a SEARCH OR SEEN", "invalid: Expected another search key at byte 16");
    expect_parsed("a SEARCH (SEEN", "invalid: Expected \")\" at byte 14");
    expect_parsed("a SEARCH ON 31-Feb-2020", "invalid: Expected a date at byte 12");
    expect_parsed("a LIST (RECURSIVEMATCH) \"\" *", "invalid: Expected SUBSCRIBED or SPECIAL-USE beside RECURSIVEMATCH at byte 23");
}

TEST(imap_fetch_items_are_read)
{
    expect_parsed("a FETCH 1 ALL", "a FETCH 1 (FLAGS INTERNALDATE RFC822.SIZE ENVELOPE)");
    expect_parsed("a FETCH 1 FAST", "a FETCH 1 (FLAGS INTERNALDATE RFC822.SIZE)");
    expect_parsed("a FETCH 1 full", "a FETCH 1 (FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODY)");
    expect_parsed("a UID FETCH 5:* flags", "a UID FETCH 5:* (FLAGS)");
    SAME("a FETCH 1 (UID RFC822 RFC822.HEADER RFC822.TEXT RFC822.SIZE BODY BODYSTRUCTURE MODSEQ)");
    SAME("a FETCH 1,3:5 (BODY[] BODY.PEEK[] BODY[HEADER] BODY[TEXT]<0.2048>)");
    SAME("a FETCH 1 (BODY.PEEK[1.2.MIME] BODY[3.HEADER] BODY[1.2.3] BODY[4.1.TEXT]<7.1>)");
    SAME("a FETCH 1 (BODY.PEEK[HEADER.FIELDS (DATE From \"x y\")] BODY[2.HEADER.FIELDS.NOT (To)])");
    SAME("a FETCH 1 (BINARY[1.2] BINARY.PEEK[3]<5.10> BINARY.SIZE[1])");
    expect_parsed("a FETCH 1 body[header.fields (to)]<9999999999.9999999999>",
                  "a FETCH 1 (BODY[HEADER.FIELDS (to)]<4294967295.4294967295>)");
    SAME("a UID FETCH 1:* (FLAGS) (CHANGEDSINCE 12345)");
    SAME("a UID FETCH 1:* (FLAGS) (CHANGEDSINCE 12345 VANISHED)");
    SAME("a UID FETCH 25900:26600 (UID FLAGS) (PARTIAL -1:-3)");
    expect_parsed("a UID FETCH 1:2 (UID) (PARTIAL -1:-30 CHANGEDSINCE 98305)", "a UID FETCH 1:2 (UID) (CHANGEDSINCE 98305 PARTIAL -1:-30)");
    SAME("a FETCH 1:4 (ENVELOPE PREVIEW (LAZY))");
    SAME("a FETCH 1 (RFC822.SIZE PREVIEW)");
    SAME("a FETCH 1 (SAVEDATE EMAILID THREADID MODSEQ)");
    SAME("a GETMETADATA (DEPTH 1 MAXSIZE 1024) INBOX (/shared/comment /private/comment)");
    SAME("a SETMETADATA \"\" (/private/comment \"x y\" /private/other NIL)");
    SAME("a SEARCH UIDAFTER 7 UIDBEFORE 25000");
    SAME("a SEARCH FILTER on-the-road ANSWERED");
}

TEST(imap_store_is_read)
{
    SAME("a STORE 2:4 +FLAGS (\\Deleted)");
    expect_parsed("a STORE 1 FLAGS \\Seen $MDNSent", "a STORE 1 FLAGS (\\Seen $MDNSent)");
    expect_parsed("a STORE 1 -flags.silent (\\recent \\draft)", "a STORE 1 -FLAGS.SILENT (\\Draft)");
    SAME("a STORE 7,5,9 (UNCHANGEDSINCE 320162338) +FLAGS.SILENT (\\Deleted)");
    SAME("a STORE 1 FLAGS ()");
}

TEST(imap_list_is_read)
{
    SAME("a LIST \"\" \"*\"");
    expect_parsed("a LIST \"\" %/x]*", "a LIST \"\" \"%/x]*\"");
    expect_parsed("a LIST (SUBSCRIBED RECURSIVEMATCH) \"\" (a \"b%\") RETURN (CHILDREN STATUS (MESSAGES UNSEEN))",
                  "a LIST (SUBSCRIBED RECURSIVEMATCH) \"\" (\"a\" \"b%\") RETURN (CHILDREN STATUS (MESSAGES UNSEEN))");
    expect_parsed("a LIST (SPECIAL-USE) \"\" \"*\"", "a LIST (SPECIAL-USE) \"\" (\"*\") RETURN ()");
    SAME("a LSUB \"x/\" \"%\"");
}

TEST(imap_search_keys_make_a_tree)
{
    SAME("a SEARCH ALL");
    SAME("a ESEARCH IN (mailboxes (folder1) subtree (folder2 folder3)) RETURN (COUNT) NOT SEEN");
    SAME("a ESEARCH ALL");
    SAME("a NOTIFY NONE");
    SAME("a NOTIFY SET STATUS (selected (MessageNew (UID BODY.PEEK[]) MessageExpunge)) (personal (MailboxName)) (mailboxes (x y) NONE)");
    expect_parsed("a NOTIFY SET (personal (MessageNew))", "invalid: Expected MessageNew and MessageExpunge together at byte 35");
    SAME("a SORT (SUBJECT REVERSE DATE) UTF-8 ALL");
    SAME("a UID SORT RETURN (COUNT PARTIAL 1:10) (DISPLAYFROM ARRIVAL) US-ASCII NOT DELETED");
    SAME("a UID THREAD ORDEREDSUBJECT UTF-8 SINCE 5-Mar-2000");
    SAME("a THREAD REFERENCES US-ASCII TEXT \"gewp\"");
    SAME("a UID SEARCH RETURN (COUNT PARTIAL -1:-100) NOT DELETED NOT KEYWORD $Junk");
    SAME("a SEARCH EMAILID M6d99ac3275bb4e THREADID T1 SAVEDBEFORE 1-Feb-1994 SAVEDON 2-Feb-1994 SAVEDSINCE 3-Feb-1994 SAVEDATESUPPORTED");
    SAME("a UID SEARCH RETURN (MIN COUNT) 1:5 UID 7:* SEEN");
    expect_parsed("a SEARCH RETURN () SEEN", "a SEARCH RETURN (ALL) SEEN");
    expect_parsed("a SEARCH CHARSET UTF-8 TEXT {6}\r\n\xe6\x97\xa5\xe6\x9c\xac", "a SEARCH CHARSET UTF-8 TEXT \"\xe6\x97\xa5\xe6\x9c\xac\"");
    expect_parsed("a SEARCH NEW OLD UNSEEN UNKEYWORD $x", "a SEARCH (RECENT NOT SEEN) NOT RECENT NOT SEEN NOT KEYWORD $x");
    SAME("a SEARCH OR FROM \"x\" (SUBJECT \"y\" SINCE 1-Feb-1994) NOT (DELETED LARGER 100)");

}

TEST(imap_search_or_chains_are_one_level)
{
    expect_parsed("a SEARCH OR SEEN OR DRAFT OR FLAGGED ANSWERED", "a SEARCH OR SEEN OR DRAFT OR FLAGGED ANSWERED");
    expect_parsed("a SEARCH OR OR OR SEEN DRAFT FLAGGED ANSWERED", "a SEARCH OR SEEN OR DRAFT OR FLAGGED ANSWERED");
    buf text CLEANUP(buf_done) = BUF_INIT;
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 4 << 20);
    struct imap_command command;
    buf_append_cstr(&text, "a SEARCH ");
    for (int i = 0; i < 2000; i++) buf_append_cstr(&text, "OR HEADER Message-ID <x@y> ");
    buf_append_cstr(&text, "SEEN");
    EXPECT(imap_parse_command(buf_view(&text), arena, &command, NULL) == OK);
}

TEST(imap_search_depth_and_keys_are_limited)
{
    buf text CLEANUP(buf_done) = BUF_INIT;
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 4 << 20);
    struct imap_command command;
    buf_append_cstr(&text, "a SEARCH ");
    for (int i = 0; i < 60; i++) buf_append_cstr(&text, "NOT ");
    buf_append_cstr(&text, "SEEN");
    EXPECT(imap_parse_command(buf_view(&text), arena, &command, NULL) == TOO_BIG);
    buf_clear(&text);
    buf_append_cstr(&text, "a SEARCH ALL");
    for (int i = 0; i < IMAP_SEARCH_KEYS_MAX; i++) buf_append_cstr(&text, " ALL");
    EXPECT(imap_parse_command(buf_view(&text), arena, &command, NULL) == TOO_BIG);
}

TEST(imap_append_stops_at_the_message)
{
    SAME("a APPEND Drafts (\\Draft $x) \" 1-Feb-2026 09:00:00 +0900\" {310}");
    SAME("a APPEND INBOX {5+}");
    SAME("a APPEND INBOX ~{5}");
    SAME("a APPEND INBOX UTF8 (~{5+}");
    expect_parsed("a APPEND INBOX UTF8 ({5}", "invalid: Expected a literal8 at byte 24");
    expect_parsed("a APPEND {5}\r\nINBOX {310}", "a APPEND INBOX {310}");
    SAME("A003 APPEND Drafts (\\Seen \\Draft $MDNSent) CATENATE (URL \"/Drafts;UIDVALIDITY=385759045/;UID=20/;section=HEADER\" TEXT {42}");
    SAME("a APPEND Drafts CATENATE (URL \"/Drafts/;UID=20\" URL \"/Drafts/;UID=21\")");
    SAME("a UID REPLACE 2000 Drafts (\\Seen \\Draft) {350}");
    SAME("a REPLACE * Drafts {350+}");
    expect_parsed("a REPLACE 1:2 Drafts {350+}", "invalid: Expected one message at byte 13");
    expect_parsed("a APPEND {5}", "invalid: Expected a mailbox name at byte 9");
}

TEST(imap_append_rest_ends_or_brings_another_message)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 65536);
    struct imap_append_message message;
    bool is_last;
    EXPECT(imap_parse_append_rest(VIEW(""), IMAP_AFTER_MESSAGE, arena, &is_last, &message, NULL) == OK && is_last);
    EXPECT(imap_parse_append_rest(VIEW(")"), IMAP_AFTER_UTF8, arena, &is_last, &message, NULL) == OK && is_last);
    EXPECT(imap_parse_append_rest(VIEW(" (\\Seen) {7+}"), IMAP_AFTER_MESSAGE, arena, &is_last, &message, NULL) == OK && !is_last);
    EXPECT_NUMBER(message.literal.size_bytes, 7);
    EXPECT(imap_parse_append_rest(VIEW(" URL \"/x/;UID=1\" TEXT {3}"), IMAP_AFTER_CATENATE, arena, &is_last, &message, NULL) == OK && !is_last);
    EXPECT(message.is_continued && message.url_count == 1 && message.has_literal);
    EXPECT(imap_parse_append_rest(VIEW(")"), IMAP_AFTER_CATENATE, arena, &is_last, &message, NULL) == OK && is_last);
    EXPECT(imap_parse_append_rest(VIEW(") UTF8 (~{3}"), IMAP_AFTER_CATENATE_UTF8, arena, &is_last, &message, NULL) == OK && !is_last);
    EXPECT(message.is_continued && message.is_utf8 && imap_append_place(&message) == IMAP_AFTER_CATENATE_UTF8);
    EXPECT(imap_parse_append_rest(VIEW("))"), IMAP_AFTER_CATENATE_UTF8, arena, &is_last, &message, NULL) == OK && is_last);
    EXPECT(imap_parse_append_rest(VIEW(")"), IMAP_AFTER_CATENATE_UTF8, arena, &is_last, &message, NULL) == INVALID);
    EXPECT(imap_parse_append_rest(VIEW("x"), IMAP_AFTER_MESSAGE, arena, &is_last, &message, NULL) == INVALID);
    EXPECT(imap_parse_append_rest(VIEW(""), IMAP_AFTER_UTF8, arena, &is_last, &message, NULL) == INVALID);
}

TEST(imap_text_announces_literals)
{
    struct imap_literal literal;
    EXPECT(imap_text_wants_literal(VIEW("a LOGIN {3}"), &literal) && literal.size_bytes == 3 && literal.is_sync);
    EXPECT(imap_text_wants_literal(VIEW("a LOGIN {3+}"), &literal) && !literal.is_sync && !literal.is_binary);
    EXPECT(imap_text_wants_literal(VIEW("a APPEND x ~{12+}"), &literal) && literal.is_binary);
    EXPECT(!imap_text_wants_literal(VIEW("a LOGIN {3} "), &literal));
    EXPECT(!imap_text_wants_literal(VIEW("a LOGIN {}"), &literal));
    EXPECT(!imap_text_wants_literal(VIEW("a LOGIN {99999999999999999999}"), &literal));
    EXPECT(imap_text_is_append(VIEW("a append x {3}")) && !imap_text_is_append(VIEW("a SELECT APPEND ")));
}

TEST(imap_sets_resolve_to_rising_ranges)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 65536);
    struct imap_range ranges[] = {{12, IMAP_STAR}, {7, 7}, {4, 2}, {5, 5}, {8, 8}};
    struct imap_set written = {.ranges = ranges, .count = 5};
    buf out CLEANUP(buf_done) = BUF_INIT;
    struct imap_set set = imap_set_resolve(&written, 15, arena);
    imap_set_write(&out, &set);
    EXPECT_VIEW(buf_view(&out), VIEW("2:5,7:8,12:15"));
    EXPECT(imap_set_has(&set, 2) && imap_set_has(&set, 8) && imap_set_has(&set, 15));
    EXPECT(!imap_set_has(&set, 1) && !imap_set_has(&set, 6) && !imap_set_has(&set, 16));
    EXPECT_NUMBER(imap_set_size(&set), 10);
    set = imap_set_resolve(&written, 0, arena);
    EXPECT_NUMBER(set.count, 2);
    struct imap_range whole[] = {{1, UINT32_MAX}, {UINT32_MAX, UINT32_MAX}};
    set = imap_set_resolve(&(struct imap_set){.ranges = whole, .count = 2}, 5, arena);
    EXPECT(set.count == 1 && imap_set_size(&set) == UINT32_MAX);
}

TEST(imap_sets_are_compared_step_by_step_with_the_same_result)
{
    struct imap_range left[] = {{1, 4}, {6, 6}, {9, 20}, {30, 40}}, right[] = {{2, 6}, {8, 10}, {12, 12}, {35, UINT32_MAX}};
    struct imap_set a = {.ranges = left, .count = 4}, b = {.ranges = right, .count = 4};
    for (size_t steps = 1; steps <= 8; steps++) {
        struct imap_set_builder builder = IMAP_SET_BUILDER_INIT;
        struct imap_common_place at = {0};
        buf out CLEANUP(buf_done) = BUF_INIT;
        size_t turns = 1;
        while (imap_set_builder_add_some_common(&builder, &a, &b, steps, &at)) turns++;
        struct imap_set set = imap_set_builder_set(&builder);
        imap_set_write(&out, &set);
        EXPECT_VIEW(buf_view(&out), VIEW("2:4,6,9:10,12,35:40"));
        EXPECT_NUMBER(turns, (7 + steps - 1) / steps);
        imap_set_builder_done(&builder);
    }
}

TEST(imap_set_builder_joins_neighbours)
{
    struct imap_set_builder builder = IMAP_SET_BUILDER_INIT;
    buf out CLEANUP(buf_done) = BUF_INIT;
    static const uint32_t numbers[] = {1, 2, 3, 5, 7, 8, UINT32_MAX};
    for (size_t i = 0; i < array_size(numbers); i++) imap_set_builder_add(&builder, numbers[i]);
    struct imap_set set = imap_set_builder_set(&builder);
    imap_set_write(&out, &set);
    EXPECT_VIEW(buf_view(&out), VIEW("1:3,5,7:8,4294967295"));
    imap_set_builder_done(&builder);
}

static void expect_string(view text, bool is_utf8, const char *written)
{
    buf out CLEANUP(buf_done) = BUF_INIT;
    imap_write_string(&out, text, is_utf8);
    EXPECT_VIEW(buf_view(&out), view_of(written));
}

TEST(imap_strings_are_quoted_where_they_can_be)
{
    expect_string(VIEW("a \"b\" \\"), false, "\"a \\\"b\\\" \\\\\"");
    expect_string(VIEW("é"), false, "{2}\r\né");
    expect_string(VIEW("é"), true, "\"é\"");
    expect_string(VIEW("a\r\nb"), true, "{4}\r\na\r\nb");
    expect_string(VIEW("a\0b"), true, "{3}\r\na?b");
    expect_string(VIEW(""), IMAP_AFTER_UTF8, "\"\"");
}

TEST(imap_mailboxes_are_written_as_the_session_reads_them)
{
    static const struct { const char *name; bool is_utf8; const char *wire; } cases[] = {
        {"INBOX", false, "INBOX"}, {"Sent Mail", false, "\"Sent Mail\""}, {"a&b", false, "a&-b"}, {"a&b", true, "a&b"},
        {"日本", false, "&ZeVnLA-"}, {"日本", true, "\"日本\""}, {"nil", false, "\"nil\""}, {"a*", true, "\"a*\""},
    };
    for (size_t i = 0; i < array_size(cases); i++) {
        buf out CLEANUP(buf_done) = BUF_INIT;
        imap_write_mailbox(&out, view_of(cases[i].name), cases[i].is_utf8);
        EXPECT_VIEW(buf_view(&out), view_of(cases[i].wire));
    }
}
