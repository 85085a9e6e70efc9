#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/test.h"
#include "imapd/service.h"
#include "imapd/test_server.h"

static void add(struct test_server *t, const char *arrived, const char *header)
{
    buf flags CLEANUP(buf_done) = BUF_INIT, text CLEANUP(buf_done) = BUF_INIT;
    buf_appendf(&flags, "\"%s-Jan-2026 00:00:00 +0000\"", arrived);
    buf_append_byte(&flags, 0);
    buf_appendf(&text, "%s\r\nbody\r\n", header);
    test_server_add(t, "INBOX", flags.at, buf_view(&text));
}

static struct transcript *select_inbox(struct test_server *t)
{
    struct transcript *c = test_server_login(t);
    TRANSCRIPT(c, "C: s SELECT INBOX\nS~ s OK *\n");
    return c;
}

static struct test_server *with_messages(uint64_t seed)
{
    struct test_server *t = test_server_open(seed, NULL);
    add(t, "05", "Subject: banana\r\nDate: 3 Jan 2026 00:00:00 +0000\r\nFrom: Zoe <anna@x>\r\nTo: z@x\r\n");
    add(t, "04", "Subject: Re: apple\r\nDate: 1 Jan 2026 23:00:00 -0500\r\nFrom: Adam <bob@x>\r\nTo: \"B\" <y@x>, a@x\r\nCc: c@x\r\n");
    add(t, "03", "Subject: Apple\r\nDate: 2 Jan 2026 00:00:00 +0000\r\nFrom: carl@x\r\n");
    add(t, "02", "Subject: =?utf-8?q?=C3=84pfel?=\r\nDate: nonsense\r\nFrom: =?utf-8?q?=C3=84nne?= <dora@x>\r\n");
    return t;
}

TEST(imapd_sort_orders_by_each_key)
{
    struct test_server *t = with_messages(1);
    struct transcript *c = select_inbox(t);
    TRANSCRIPT(c, "C: a SORT (ARRIVAL) UTF-8 ALL\nS: * SORT 4 3 2 1\nS: a OK *\n"
                  "C: a SORT (REVERSE ARRIVAL) UTF-8 ALL\nS: * SORT 1 2 3 4\nS: a OK *\n"
                  "C: a SORT (DATE) UTF-8 ALL\nS: * SORT 3 4 2 1\nS: a OK *\n"
                  "C: a SORT (SUBJECT) UTF-8 ALL\nS: * SORT 2 3 4 1\nS: a OK *\n"
                  "C: a SORT (SUBJECT REVERSE DATE) UTF-8 ALL\nS: * SORT 2 3 4 1\nS: a OK *\n"
                  "C: a SORT (SUBJECT DATE) UTF-8 ALL\nS: * SORT 3 2 4 1\nS: a OK *\n"
                  "C: a SORT (REVERSE SUBJECT DATE) UTF-8 ALL\nS: * SORT 1 4 3 2\nS: a OK *\n"
                  "C: a SORT (FROM) UTF-8 ALL\nS: * SORT 1 2 3 4\nS: a OK *\n"
                  "C: a SORT (DISPLAYFROM) UTF-8 ALL\nS: * SORT 2 4 3 1\nS: a OK *\n"
                  "C: a SORT (TO) UTF-8 ALL\nS: * SORT 3 4 2 1\nS: a OK *\n"
                  "C: a SORT (DISPLAYTO) UTF-8 ALL\nS: * SORT 3 4 2 1\nS: a OK *\n"
                  "C: a SORT (CC) US-ASCII 2:3\nS: * SORT 3 2\nS: a OK *\n"
                  "C: a SORT (SIZE) UTF-8 ALL\nS: * SORT *\nS: a OK *\n"
                  "C: a UID SORT (ARRIVAL) UTF-8 FLAGGED\nS: * SORT\nS: a OK *\n"
                  "C: a SORT (ARRIVAL) X-NONE ALL\nS: a NO [BADCHARSET *\nC: a SORT () UTF-8 ALL\nS: a BAD *\n");
    transcript_close(c);
    test_server_close(t);
}

TEST(imapd_sort_returns_extended_results)
{
    struct test_server *t = with_messages(2);
    struct transcript *c = select_inbox(t);
    TRANSCRIPT(c, "C: E01 UID SORT RETURN () (REVERSE DATE) UTF-8 UNDELETED\nS: * ESEARCH (TAG \"E01\") UID ALL 1:4\nS: E01 OK *\n"
                  "C: a SORT RETURN (ALL) (SUBJECT) UTF-8 ALL\nS: * ESEARCH (TAG \"a\") ALL 2:4,1\nS: a OK *\n"
                  "C: a SORT RETURN (MIN MAX COUNT) (ARRIVAL) UTF-8 ALL\nS: * ESEARCH (TAG \"a\") MIN 4 MAX 1 COUNT 4\nS: a OK *\n"
                  "C: a SORT RETURN (PARTIAL 2:3) (ARRIVAL) UTF-8 ALL\nS: * ESEARCH (TAG \"a\") PARTIAL (2:3 3,2)\nS: a OK *\n"
                  "C: a SORT RETURN (PARTIAL -1:-2) (ARRIVAL) UTF-8 ALL\nS: * ESEARCH (TAG \"a\") PARTIAL (-1:-2 2,1)\nS: a OK *\n"
                  "C: a SORT RETURN (PARTIAL 7:9) (ARRIVAL) UTF-8 ALL\nS: * ESEARCH (TAG \"a\") PARTIAL (7:9 NIL)\nS: a OK *\n"
                  "C: a SORT RETURN (SAVE) (ARRIVAL) UTF-8 1:2\nS: a OK *\nC: a SEARCH $\nS: * SEARCH 1 2\nS: a OK *\n"
                  "C: a SORT RETURN (SAVE MIN MAX) (SUBJECT) UTF-8 ALL\nS: * ESEARCH (TAG \"a\") MIN 2 MAX 1\nS: a OK *\nC: a SEARCH $\nS: * SEARCH 1 2\nS: a OK *\n"
                  "C: a STORE 1 +FLAGS.SILENT (\\Deleted)\nS~ a OK *\nC: a EXPUNGE\nS: * 1 EXPUNGE\nS: a OK *\n"
                  "C: a UID SORT (SUBJECT) UTF-8 ALL\nS: * SORT 2 3 4\nS: a OK *\nC: a SORT (ARRIVAL) UTF-8 ALL\nS: * SORT 3 2 1\nS: a OK *\n"
                  "C: a UID SORT (ARRIVAL) UTF-8 1:2\nS: * SORT 3 2\nS: a OK *\n"
                  "C: a SORT RETURN (SAVE MAX) (ARRIVAL) UTF-8 ALL\nS: * ESEARCH (TAG \"a\") MAX 1\nS: a OK *\nC: a UID SEARCH $\nS: * SEARCH 2\nS: a OK *\n");
    transcript_close(c);
    test_server_close(t);
}

TEST(imapd_thread_by_references)
{
    struct test_server *t = test_server_open(3, NULL);
    add(t, "01", "Subject: a\r\nMessage-ID: <1@x>\r\n");
    add(t, "02", "Subject: Re: a\r\nMessage-ID: <2@x>\r\nReferences: <1@x>\r\n");
    add(t, "03", "Subject: Re: a\r\nMessage-ID: <3@x>\r\nIn-Reply-To: <2@x>\r\n");
    add(t, "04", "Subject: Re: a\r\nMessage-ID: <4@x>\r\nReferences: <1@x> <2@x>\r\n");
    add(t, "05", "Subject: lost\r\nMessage-ID: <5@x>\r\nReferences: <gone@x>\r\n");
    add(t, "06", "Subject: lost too\r\nMessage-ID: <6@x>\r\nReferences: <\"gone\"@x>\r\n");
    add(t, "07", "Subject: Re: a\r\nMessage-ID: <7@x>\r\n");
    add(t, "08", "Subject: b\r\nMessage-ID: <8@x>\r\n");
    add(t, "09", "Subject: b\r\nMessage-ID: <9@x>\r\n");
    add(t, "10", "Subject: alone\r\nMessage-ID: <9@x>\r\nReferences: <10@y> <11@y>\r\n");
    struct transcript *c = select_inbox(t);
    TRANSCRIPT(c, "C: a THREAD REFERENCES UTF-8 ALL\nS: * THREAD (1 (2 (3)(4))(7))((5)(6))((8)(9))(10)\nS: a OK *\n"
                  "C: b THREAD REFS UTF-8 ALL\nS: * THREAD (1 2 (3)(4))((5)(6))(7)(8)(9)(10)\nS: b OK *\n"
                  "C: c UID THREAD REFERENCES US-ASCII 2:4\nS: * THREAD (2 (3)(4))\nS: c OK *\n"
                  "C: d THREAD REFERENCES UTF-8 3:4\nS: * THREAD ((3)(4))\nS: d OK *\n"
                  "C: e THREAD REFERENCES UTF-8 TEXT gewp\nS: * THREAD\nS: e OK *\n");
    transcript_close(c);
    test_server_close(t);
}

TEST(imapd_thread_refs_puts_the_thread_with_the_latest_arrival_last)
{
    struct test_server *t = test_server_open(4, NULL);
    add(t, "01", "Subject: a\r\nMessage-ID: <1@x>\r\n");
    add(t, "02", "Subject: b\r\nMessage-ID: <2@x>\r\n");
    add(t, "03", "Subject: Re: a\r\nMessage-ID: <3@x>\r\nReferences: <1@x>\r\n");
    struct transcript *c = select_inbox(t);
    TRANSCRIPT(c, "C: a THREAD REFS UTF-8 ALL\nS: * THREAD (2)(1 3)\nS: a OK *\nC: b THREAD REFERENCES UTF-8 ALL\nS: * THREAD (1 3)(2)\nS: b OK *\n");
    transcript_close(c);
    test_server_close(t);
}

TEST(imapd_thread_survives_loops_of_references)
{
    struct test_server *t = test_server_open(5, NULL);
    add(t, "01", "Subject: a\r\nMessage-ID: <1@x>\r\nReferences: <2@x>\r\n");
    add(t, "02", "Subject: b\r\nMessage-ID: <2@x>\r\nReferences: <1@x>\r\n");
    add(t, "03", "Subject: c\r\nMessage-ID: <3@x>\r\nReferences: <3@x>\r\n");
    struct transcript *c = select_inbox(t);
    TRANSCRIPT(c, "C: a THREAD REFERENCES UTF-8 ALL\nS: * THREAD (2 1)(3)\nS: a OK *\n");
    transcript_close(c);
    test_server_close(t);
}

TEST(imapd_thread_finds_messages_among_very_many_references)
{
    struct test_server *t = test_server_open(8, NULL);
    for (unsigned i = 1; i <= 16; i++) {
        buf header CLEANUP(buf_done) = BUF_INIT;
        buf_appendf(&header, "Message-ID: <%u@x>\r\nReferences:", i);
        for (unsigned k = 0; k < 60; k++) buf_appendf(&header, "\r\n <%u.%u@x>", i, k);
        buf_appendf(&header, "\r\n <%u@x>\r\n", i - 1);
        buf_append_byte(&header, 0);
        add(t, "01", header.at);
    }
    add(t, "02", "Message-ID: <17@x>\r\nReferences: <1@x>\r\n");
    struct transcript *c = select_inbox(t);
    TRANSCRIPT(c, "C: a THREAD REFS UTF-8 ALL\nS: * THREAD (1 (2 3 4 5 6 7 8 9 10 11 12 13 14 15 16)(17))\nS: a OK *\n"
                  "C: b THREAD REFERENCES UTF-8 ALL\nS: * THREAD (1 (2 3 4 5 6 7 8 9 10 11 12 13 14 15 16)(17))\nS: b OK *\n");
    transcript_close(c);
    test_server_close(t);
}

TEST(imapd_thread_by_ordered_subject)
{
    struct test_server *t = test_server_open(6, NULL);
    add(t, "04", "Subject: a\r\n");
    add(t, "01", "Subject: Re: a\r\n");
    add(t, "02", "Subject: b\r\n");
    add(t, "03", "Subject: [x] A\r\n");
    add(t, "05", "Subject: Fwd: b\r\n");
    struct transcript *c = select_inbox(t);
    TRANSCRIPT(c, "C: a THREAD ORDEREDSUBJECT UTF-8 ALL\nS: * THREAD (2 (4)(1))(3 5)\nS: a OK *\n"
                  "C: a UID THREAD ORDEREDSUBJECT UTF-8 3\nS: * THREAD (3)\nS: a OK *\n");
    transcript_close(c);
    test_server_close(t);
}

/* ---- whatever is known already, the answers are the same ---- */

static const char *const mixed[] = {
    "SORT (DATE)", "SORT (SUBJECT)", "SORT (FROM REVERSE DATE)", "SORT (DISPLAYTO CC)", "SORT (TO SUBJECT DATE)", "SORT (REVERSE DISPLAYFROM)",
    "THREAD REFERENCES", "THREAD REFS", "THREAD ORDEREDSUBJECT",
};
enum { MIXED = sizeof mixed / sizeof mixed[0], MIXED_FIRST = 40, MIXED_SCRIPT_BYTES = 400 };

static size_t digests_bytes(struct test_server *t)
{
    size_t bytes = 0;
    for (unsigned i = 0; i < t->imapd->loop_count; i++) bytes += t->imapd->loops[i].digests.bytes;
    return bytes;
}

static void forget_digests(struct test_server *t, struct transcript *c)
{
    TRANSCRIPT(c, "W: 310000\n");
    EXPECT_NUMBER(digests_bytes(t), 0);
}

static void ask(struct transcript *c, const char *what, const char *of, buf *into)
{
    char script[MIXED_SCRIPT_BYTES];
    snprintf(script, sizeof script, "C: a %s UTF-8 %s\nS: * %.4s*\n", what, of, what);
    transcript_play(c, script, __FILE__, __LINE__);
    buf_clear(into);
    buf_append(into, transcript_line(c));
    TRANSCRIPT(c, "S: a OK *\n");
}

static void add_mixed(struct test_server *t, unsigned i)
{
    struct sim *s = t->sim;
    char header[800];
    unsigned a = (unsigned)sim_choose(s, 6), b = (unsigned)sim_choose(s, 4), parent = (unsigned)sim_choose(s, i + 1);
    int len = snprintf(header, sizeof header, "Subject: %s%s %u\r\nFrom: \"N%u\" <f%u@x>\r\n", sim_choose(s, 2) ? "Re: " : "", sim_choose(s, 3) ? "word" : "=?utf-8?q?w=C3=A9?=",
                       a, b, (unsigned)sim_choose(s, 5));
    if (sim_choose(s, 4)) len += snprintf(header + len, sizeof header - (size_t)len, "Date: %u Jan 2026 1%u:00:00 +0000\r\n", 1 + (unsigned)sim_choose(s, 28), b);
    if (sim_choose(s, 4)) len += snprintf(header + len, sizeof header - (size_t)len, "To: t%u@x, u@x\r\nCc: c%u@x\r\n", a, b);
    if (sim_choose(s, 8)) len += snprintf(header + len, sizeof header - (size_t)len, "Message-ID: <%u@x>\r\n", i);
    if (sim_choose(s, 3)) (void)snprintf(header + len, sizeof header - (size_t)len, "References: <%u@x> <%u@x>\r\n", parent / 2, parent);
    add(t, "05", header);
}

/* Each alone, of nothing that is known. */
static void ask_afresh(struct test_server *t, struct transcript *c, buf want[static MIXED])
{
    for (unsigned i = 0; i < MIXED; i++) {
        forget_digests(t, c);
        ask(c, mixed[i], "ALL", &want[i]);
        EXPECT(digests_bytes(t) > 0);
    }
}

static void ask_mixed(struct test_server *t, struct transcript *c, buf want[static MIXED])
{
    static const char *const parts[] = {"30:200", "1:*", "UNFLAGGED 250:270", "UID 7,9,300:500"};
    buf got CLEANUP(buf_done) = BUF_INIT;
    for (unsigned i = 0; i < 60; i++) {
        unsigned which = (unsigned)sim_choose(t->sim, MIXED);
        if (sim_choose(t->sim, 10) == 0) forget_digests(t, c);
        if (sim_choose(t->sim, 2)) ask(c, mixed[sim_choose(t->sim, MIXED)], parts[sim_choose(t->sim, array_size(parts))], &got);
        ask(c, mixed[which], "ALL", &got);
        if (!view_equal(buf_view(&got), buf_view(&want[which]))) test_fail(__FILE__, __LINE__, "%s: another answer the %uth time", mixed[which], i);
    }
}

TEST_SLOW(imapd_sort_and_thread_say_the_same_whatever_is_known_already, 120)
{
    struct test_server *t = test_server_open(sim_seed_from_environment(7), NULL);
    buf want[MIXED] = {0}, got CLEANUP(buf_done) = BUF_INIT;
    for (unsigned i = 0; i < MIXED_FIRST; i++) add_mixed(t, i);
    test_server_compact(t);
    struct transcript *c = select_inbox(t);
    for (unsigned i = 0; i < 4; i++) TRANSCRIPT(c, "C: c COPY 1:* INBOX\nS~ c OK *\nC: n NOOP\nS~ n OK *\n");
    ask_afresh(t, c, want);
    ask_mixed(t, c, want);
    for (unsigned i = 0; i < MIXED; i++) ask(c, mixed[i], "ALL", &got);
    for (unsigned i = 0; i < 5; i++) add_mixed(t, MIXED_FIRST + i);
    TRANSCRIPT(c, "C: n STORE 5,20,300:310 +FLAGS.SILENT (\\Deleted)\nS~ n OK *\nC: n EXPUNGE\nS~ n OK *\nC: n NOOP\nS~ n OK *\n");
    buf known[MIXED] = {0};
    for (unsigned i = 0; i < MIXED; i++) ask(c, mixed[i], "ALL", &known[i]);
    ask_afresh(t, c, want);
    for (unsigned i = 0; i < MIXED; i++) EXPECT_VIEW(buf_view(&known[i]), buf_view(&want[i]));
    ask_mixed(t, c, want);
    for (unsigned i = 0; i < MIXED; i++) {
        buf_done(&want[i]);
        buf_done(&known[i]);
    }
    transcript_close(c);
    test_server_close(t);
}
