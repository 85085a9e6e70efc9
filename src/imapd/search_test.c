#include "base/check.h"
#include "base/test.h"
#include "imapd/test_server.h"

/* As it is, or with so many more lines of no account at its end that a worker must look into it. */
static void add_message(struct test_server *t, bool is_large, const char *flags, view message)
{
    buf text CLEANUP(buf_done) = BUF_INIT;
    buf_append(&text, message);
    while (is_large && text.len < 100000) buf_append(&text, VIEW("....................................................................\r\n"));
    test_server_add(t, "INBOX", flags, buf_view(&text));
}

static struct test_server *with_messages_of(uint64_t seed, bool is_large)
{
    struct test_server *t = test_server_open(seed, NULL);
    add_message(t, is_large, "(\\Seen $Label) \"01-Feb-2026 23:59:59 +0000\"",
                    VIEW("From: Ann <ann@example.test>\r\nSubject: =?utf-8?q?Caf=C3=A9?= menu\r\nDate: 1 Jan 2026 00:00:00 +0900\r\n\r\nHello World\r\n"));
    add_message(t, is_large, "(\\Flagged) \"02-Feb-2026 00:00:00 +0000\"",
                    VIEW("From: Bob\r\nTo: ann@example.test\r\nSubject: plain\r\nContent-Type: text/plain; charset=iso-2022-jp\r\n\r\n"
                         "\x1b$BF|K\\8l\x1b(B\r\n"));
    add_message(t, is_large, "(\\Deleted) \"03-Feb-2026 00:00:00 +0000\"",
                    VIEW("Subject: third\r\nX-Empty:\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Transfer-Encoding: base64\r\n\r\n"
                         "U2VjcmV0IFdPUkQ=\r\n--b\r\nContent-Type: image/png; name=findme\r\n\r\nSecret image\r\n--b--\r\n"));
    return t;
}

static struct test_server *with_messages(uint64_t seed) { return with_messages_of(seed, false); }

static struct transcript *select_inbox(struct test_server *t)
{
    struct transcript *c = test_server_login(t);
    TRANSCRIPT(c, "C: s EXAMINE INBOX\nS~ s OK *\n");
    return c;
}

static void expect_found(struct transcript *c, const char *keys, const char *found)
{
    buf script CLEANUP(buf_done) = BUF_INIT;
    buf_appendf(&script, "C: a SEARCH %s\nS: * SEARCH%s\nS: a OK SEARCH completed\n", keys, found);
    buf_append_byte(&script, 0);
    TRANSCRIPT(c, script.at);
}

TEST(imapd_search_by_what_rows_know)
{
    struct test_server *t = with_messages(1);
    struct transcript *c = select_inbox(t);
    expect_found(c, "ALL", " 1 2 3");
    expect_found(c, "SEEN", " 1");
    expect_found(c, "UNSEEN", " 2 3");
    expect_found(c, "FLAGGED UNDELETED", " 2");
    expect_found(c, "DELETED", " 3");
    expect_found(c, "UNDELETED", " 1 2");
    expect_found(c, "UNDELETED UNSEEN UID 1:2", " 2");
    expect_found(c, "SEEN UNSEEN", "");
    expect_found(c, "NOT UNSEEN", " 1");
    expect_found(c, "NOT (UNSEEN FLAGGED)", " 1 3");
    expect_found(c, "OR DELETED SEEN", " 1 3");
    expect_found(c, "OR SEEN OR FLAGGED DRAFT", " 1 2");
    expect_found(c, "NOT (SEEN FLAGGED)", " 1 2 3");
    expect_found(c, "NOT OR SEEN FLAGGED", " 3");
    expect_found(c, "KEYWORD $Label", " 1");
    expect_found(c, "KEYWORD $label", " 1");
    expect_found(c, "UNKEYWORD $Label", " 2 3");
    expect_found(c, "KEYWORD none", "");
    expect_found(c, "2:*", " 2 3");
    expect_found(c, "UID 3:100", " 3");
    expect_found(c, "NOT 2", " 1 3");
    expect_found(c, "BEFORE 2-Feb-2026", " 1");
    expect_found(c, "ON 2-Feb-2026", " 2");
    expect_found(c, "SINCE 2-Feb-2026", " 2 3");
    expect_found(c, "SINCE 2-Feb-2026 BEFORE 3-Feb-2026", " 2");
    expect_found(c, "UID 1:2 SINCE 2-Feb-2026", " 2");
    expect_found(c, "ON 2-Feb-2026 ON 3-Feb-2026", "");
    expect_found(c, "BEFORE 1-Jan-1990", "");
    expect_found(c, "SINCE 1-Jan-2999 2", "");
    expect_found(c, "OR SINCE 1-Jan-2999 BEFORE 2-Feb-2026", " 1");
    expect_found(c, "NOT SINCE 1-Jan-2999", " 1 2 3");
    expect_found(c, "LARGER 160", " 3");
    expect_found(c, "SMALLER 160", " 1 2");
    expect_found(c, "OLDER 1", "");
    expect_found(c, "RECENT", " 1 2 3");
    TRANSCRIPT(c, "C: b SEARCH 4\nS: * SEARCH\nS: b OK *\nC: b SEARCH 2:9\nS: * SEARCH 2 3\nS: b OK *\nC: c UID SEARCH 2\nS: * SEARCH 2\nS: c OK *\n");
    transcript_close(c);
    test_server_close(t);
}

static void search_texts(struct test_server *t)
{
    struct transcript *c = select_inbox(t);
    expect_found(c, "SUBJECT MENU", " 1");
    expect_found(c, "SUBJECT \"caf\xc3\x89 m\"", " 1");
    expect_found(c, "FROM ann", " 1");
    expect_found(c, "OR FROM ann TO ann", " 1 2");
    expect_found(c, "HEADER X-Empty \"\"", " 3");
    expect_found(c, "HEADER X-None \"\"", "");
    expect_found(c, "SENTON 1-Jan-2026", " 1");
    expect_found(c, "SENTBEFORE 1-Jan-2026", "");
    expect_found(c, "SENTSINCE 1-Jan-2025", " 1");
    expect_found(c, "BODY world", " 1");
    expect_found(c, "BODY menu", "");
    expect_found(c, "TEXT menu", " 1");
    expect_found(c, "TEXT \"subject: third\"", " 3");
    expect_found(c, "BODY \"secret word\"", " 3");
    expect_found(c, "BODY \"secret image\"", "");
    expect_found(c, "TEXT findme", " 3");
    expect_found(c, "BODY findme", "");
    expect_found(c, "BODY \"\"", " 1 2 3");
    expect_found(c, "CHARSET UTF-8 BODY {6+}\nC: \xe6\x9c\xac\xe8\xaa\x9e", " 2");
    expect_found(c, "CHARSET ISO-2022-JP BODY \"\x1b$BF|K\\\\\x1b(B\"", " 2");
    expect_found(c, "OR BODY world OR TEXT findme BODY \"secret image\"", " 1 3");
    expect_found(c, "NOT BODY world NOT SUBJECT plain", " 3");
    expect_found(c, "TEXT hello NOT BODY \"secret word\" NOT TEXT findme HEADER X-None \"\"", "");
    expect_found(c, "NOT (BODY world TEXT menu FROM ann) TEXT subject", " 2 3");
    expect_found(c, "BODY world BODY hello BODY menu", "");
    TRANSCRIPT(c, "C: b SEARCH CHARSET x-none TEXT a\nS: b NO [BADCHARSET (UTF-8 *)] *\n");
    transcript_close(c);
}

TEST(imapd_search_in_headers_and_bodies)
{
    struct test_server *t = with_messages(2);
    search_texts(t);
    test_server_close(t);
}

TEST(imapd_search_in_large_messages_finds_the_same)
{
    for (uint64_t seed = 1; seed < 5; seed++) {
        struct test_server *t = with_messages_of(seed, true);
        if (seed % 2) sim_workers(t->sim)->busy_ppm = 300000;
        search_texts(t);
        test_server_close(t);
    }
}

/* The loop decodes nothing of them: what makes no other session wait is seen by what no worker can be had for. */
TEST(imapd_large_messages_are_looked_into_by_workers)
{
    struct test_server *t = with_messages(6);
    add_message(t, true, "", VIEW("Subject: large\r\n\r\nHello\r\n"));
    struct transcript *c = select_inbox(t);
    expect_found(c, "BODY hello", " 1 4");
    sim_workers(t->sim)->busy_ppm = 1000000;
    expect_found(c, "SUBJECT large", " 4");
    expect_found(c, "1:3 BODY hello", " 1");
    TRANSCRIPT(c, "C: b SEARCH BODY hello\nS: * OK [INPROGRESS *\nS: * SEARCH 1\nS: b NO *\n");
    sim_workers(t->sim)->busy_ppm = 0;
    expect_found(c, "BODY hello", " 1 4");
    transcript_close(c);
    test_server_close(t);
}

TEST(imapd_search_returns_extended_results_and_saves_them)
{
    struct test_server *t = with_messages(3);
    struct transcript *c = select_inbox(t);
    TRANSCRIPT(c, "C: a SEARCH RETURN (MIN MAX COUNT ALL) ALL\nS: * ESEARCH (TAG \"a\") MIN 1 MAX 3 COUNT 3 ALL 1:3\nS: a OK *\n"
                  "C: b UID SEARCH RETURN () OR 1 3\nS: * ESEARCH (TAG \"b\") UID ALL 1,3\nS: b OK *\n"
                  "C: c SEARCH RETURN (MIN COUNT) KEYWORD none\nS: * ESEARCH (TAG \"c\") COUNT 0\nS: c OK *\n"
                  "C: d SEARCH RETURN (MIN) UNSEEN\nS: * ESEARCH (TAG \"d\") MIN 2\nS: d OK *\n"
                  "C: e SEARCH RETURN (SAVE) UNSEEN\nS: e OK *\n"
                  "C: f FETCH $ UID\nS: * 2 FETCH (UID 2)\nS: * 3 FETCH (UID 3)\nS: f OK *\n"
                  "C: g UID SEARCH RETURN (SAVE COUNT) UID $ DELETED\nS: * ESEARCH (TAG \"g\") UID COUNT 1\nS: g OK *\n"
                  "C: h UID FETCH $ FLAGS\nS: * 3 FETCH (UID 3 FLAGS (\\Deleted*))\nS: h OK *\n"
                  "C: i SEARCH RETURN (SAVE MIN) ALL\nS: * ESEARCH (TAG \"i\") MIN 1\nS: i OK *\n"
                  "C: j SEARCH $\nS: * SEARCH 1\nS: j OK *\n"
                  "C: k SEARCH MODSEQ 2\nS: * SEARCH 2 3 (MODSEQ 3)\nS: k OK *\n"
                  "C: l SEARCH RETURN (ALL) MODSEQ \"/flags/\\\\Seen\" all 100\nS: * ESEARCH (TAG \"l\")\nS: l OK *\n");
    transcript_close(c);
    test_server_close(t);
}

/* All that was found before there was an index is found with it, and new messages with it. */
TEST(imapd_search_after_compaction_finds_the_same)
{
    struct test_server *t = test_server_open(5, NULL);
    buf text CLEANUP(buf_done) = BUF_INIT;
    for (unsigned i = 0; i < 60; i++) {
        buf_clear(&text);
        buf_appendf(&text, "Subject: s%u\r\nFrom: p%u@example.test\r\nX-Some: thing%u\r\n\r\nword%u word%u\r\n", i % 7, i % 3, i, i % 5, i % 9);
        test_server_add(t, "INBOX", "", buf_view(&text));
    }
    struct transcript *c = select_inbox(t);
    for (unsigned round = 0; round < 2; round++) {
        expect_found(c, "TEXT word1 SUBJECT s3", " 11 32");
        expect_found(c, "BODY \"word1 word2\"", " 12 57");
        expect_found(c, "HEADER X-Some thing5", " 6 51 52 53 54 55 56 57 58 59 60");
        expect_found(c, "NOT OR TEXT word1 NOT SUBJECT s3", " 4 18 25 39 46 53 60");
        expect_found(c, "TEXT \"x-some: thing42\"", " 43");
        expect_found(c, "TEXT ord1 BODY s3", "");
        expect_found(c, "FROM p2@example SUBJECT s3 TEXT hing", " 18 39 60");
        test_server_compact(t);
    }
    transcript_close(c);
    test_server_close(t);
}

TEST(imapd_search_fuzzy_ranks_what_it_finds)
{
    struct test_server *t = test_server_open(4, NULL);
    test_server_add(t, "INBOX", "", VIEW("Subject: other\r\nFrom: bob@example.test\r\n\r\nThe IMAP server is breaking.\r\n"));
    test_server_add(t, "INBOX", "", VIEW("Subject: Breaks of IMAP\r\n\r\nnothing\r\n"));
    test_server_add(t, "INBOX", "", VIEW("Subject: nothing\r\n\r\nIMAP alone\r\n"));
    test_server_add(t, "INBOX", "", VIEW("Subject: IMAP\r\n\r\nnow it is breaking\r\n"));
    struct transcript *c = select_inbox(t);
    expect_found(c, "TEXT \"imap breaks\"", "");
    expect_found(c, "FUZZY TEXT \"imap breaks\"", " 1 2 4");
    expect_found(c, "FUZZY SUBJECT \"imap breaking\"", " 2");
    expect_found(c, "FUZZY SUBJECT \"imap breaking\" FROM bob", "");
    expect_found(c, "NOT FUZZY TEXT \"imap breaks\"", " 3");
    expect_found(c, "FUZZY OR SUBJECT other SUBJECT nothing", " 1 3");
    TRANSCRIPT(c, "C: a SEARCH RETURN (RELEVANCY ALL) FUZZY TEXT \"imap breaks\"\nS: * ESEARCH (TAG \"a\") ALL 1:2,4 RELEVANCY (30 100 65)\nS: a OK *\n"
                  "C: b SEARCH RETURN (RELEVANCY PARTIAL -1:-2) FUZZY TEXT \"imap breaks\"\n"
                  "S: * ESEARCH (TAG \"b\") PARTIAL (-1:-2 2,4) RELEVANCY (100 65)\nS: b OK *\n"
                  "C: c SEARCH RETURN (RELEVANCY) TEXT imap\nS: c BAD *\nC: c SORT (RELEVANCY) UTF-8 TEXT imap\nS: c BAD *\n"
                  "C: d SORT (RELEVANCY) UTF-8 FUZZY TEXT \"imap breaks\"\nS: * SORT 2 4 1\nS: d OK *\n"
                  "C: e SORT (REVERSE RELEVANCY) UTF-8 FUZZY TEXT \"imap breaks\"\nS: * SORT 1 4 2\nS: e OK *\n"
                  "C: f SORT RETURN (RELEVANCY) (RELEVANCY) UTF-8 FUZZY TEXT \"imap breaks\"\nS: * ESEARCH (TAG \"f\") ALL 2,4,1 RELEVANCY (100 65 30)\nS: f OK *\n");
    transcript_close(c);
    test_server_close(t);
}

static void append_folded(buf *text, const char *name, size_t bytes)
{
    buf_appendf(text, "%s:", name);
    for (size_t i = 0; i < bytes; i += 60) buf_append(text, VIEW(" xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n"));
}

/* What is asked of the header again and again leaves no memory for the structure. */
TEST(imapd_search_of_many_threadids_and_a_body_is_answered)
{
    struct test_server *t = test_server_open(1, NULL);
    buf text CLEANUP(buf_done) = BUF_INIT, keys CLEANUP(buf_done) = BUF_INIT;
    append_folded(&text, "References", 200000);
    append_folded(&text, "In-Reply-To", 2000);
    append_folded(&text, "Message-ID", 100);
    buf_append(&text, VIEW("\r\nHello\r\n"));
    test_server_add(t, "INBOX", "()", buf_view(&text));
    struct transcript *c = select_inbox(t);
    for (unsigned i = 0; i < 200; i++) buf_append(&keys, VIEW("NOT THREADID T1 "));
    buf_append(&keys, VIEW("BODY hello"));
    buf_append_byte(&keys, 0);
    expect_found(c, keys.at, " 1");
    transcript_close(c);
    test_server_close(t);
}
