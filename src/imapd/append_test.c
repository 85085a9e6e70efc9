#include <stdio.h>

#include "base/check.h"
#include "base/test.h"
#include "engine/memory.h"
#include "imapd/test_server.h"

TEST(imapd_append_takes_messages_by_every_form_of_literal)
{
    for (uint64_t seed = 1; seed <= 5; seed++) {
        struct test_server *t = test_server_open(seed, NULL);
        struct transcript *c = test_server_login(t);
        TRANSCRIPT(c, "C: a APPEND INBOX {5}\nS: + OK\nC: hello\nS: a OK [APPENDUID * 1] APPEND completed\n"
                      "C: b APPEND inbox (\\Seen) \"01-Feb-2026 09:00:00 +0900\" {5+}\nC: world\nS: b OK [APPENDUID * 2] *\n"
                      "C: c APPEND INBOX ~{3+}\nC: abc\nS: c OK [APPENDUID * 3] *\n"
                      "C: d APPEND INBOX UTF8 (~{3+}\nC: abc)\nS: d OK [APPENDUID * 4] *\n"
                      "C: e APPEND {5}\nS: + OK\nC: INBOX {3}\nS: + OK\nC: abc\nS: e OK [APPENDUID * 5] *\n"
                      "C: f APPEND nowhere {5}\nS: f NO [TRYCREATE] *\n"
                      "C: g APPEND nowhere {5+}\nC: hello\nS: g NO [TRYCREATE] *\n"
                      "C: h APPEND INBOX {0+}\nC: \nS: h NO [CANNOT] *\n"
                      "C: i APPEND INBOX {99999999999}\nS: i NO [TOOBIG] *\n"
                      "C: j APPEND INBOX \"x\"\nS: j BAD *\n"
                      "C: k APPEND INBOX {3+}\nC: abc {3+}\nC: def\nS: k OK [APPENDUID * 8:9] *\n"
                      "C: l STATUS INBOX (MESSAGES)\nS: * STATUS INBOX (MESSAGES 7)\nS: l OK *\n");
        transcript_close(c);
        test_server_close(t);
    }
}

TEST(imapd_append_pipelined_is_answered_in_order)
{
    enum { COUNT = 300 };
    for (uint64_t seed = 1; seed <= 5; seed++) {
        struct test_server *t = test_server_open(seed, NULL);
        struct memory_faults faults = {.delay_max_us = 3000};
        memory_store_set_faults(t->store, &faults);
        struct transcript *c = test_server_login(t);
        buf text CLEANUP(buf_done) = BUF_INIT;
        for (unsigned i = 0; i < COUNT; i++) {
            buf_appendf(&text, "a%u APPEND %s {%u+}\r\n", i, i % 50 == 49 ? "nowhere" : "INBOX", 10 + i);
            for (unsigned j = 0; j < 10 + i; j++) buf_append_byte(&text, 'x');
            buf_append_cstr(&text, "\r\n");
        }
        buf_append_cstr(&text, "z NOOP\r\n");
        transcript_send(c, buf_view(&text));
        unsigned uid = 1;
        for (unsigned i = 0; i < COUNT; i++) {
            char script[100];
            if (i % 50 == 49) snprintf(script, sizeof script, "S: a%u NO [TRYCREATE] *\n", i);
            else snprintf(script, sizeof script, "S: a%u OK [APPENDUID * %u] *\n", i, uid++);
            TRANSCRIPT(c, script);
        }
        TRANSCRIPT(c, "S: z OK *\n");
        EXPECT(memory_store_count(t->store, "append") >= uid - 1);
        transcript_close(c);
        test_server_close(t);
    }
}

TEST(imapd_append_to_the_selected_mailbox_tells_exists_first)
{
    struct test_server *t = test_server_open(2, NULL);
    struct transcript *c = test_server_login(t);
    TRANSCRIPT(c, "C: s SELECT INBOX\nS~ s OK *\n"
                  "C: a APPEND INBOX {3+}\nC: abc\nS: * 1 EXISTS\nS: * 1 RECENT\nS: a OK [APPENDUID * 1] *\n");
    transcript_close(c);
    test_server_close(t);
}

TEST(imapd_append_says_what_the_store_says)
{
    struct test_server *t = test_server_open(3, NULL);
    struct transcript *c = test_server_login(t);
    struct memory_faults faults = {.full = true};
    memory_store_set_faults(t->store, &faults);
    TRANSCRIPT(c, "C: a APPEND INBOX {3+}\nC: abc\nS: a NO [UNAVAILABLE] *\nC: b CREATE x\nS: b NO [UNAVAILABLE] *\n");
    EXPECT(sim_event_count(t->sim, EVENT_IMAP_COMMAND_FAILED) >= 2);
    faults.full = false;
    memory_store_set_faults(t->store, &faults);
    TRANSCRIPT(c, "C: c APPEND INBOX {3+}\nC: abc\nS: c OK *\n");
    transcript_close(c);
    test_server_close(t);
}

TEST(imapd_append_survives_a_client_that_leaves_in_the_middle)
{
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct test_server *t = test_server_open(seed, NULL);
        struct transcript *c = test_server_login(t);
        TRANSCRIPT(c, "C: a APPEND INBOX {3+}\nC: abc\nC: b APPEND INBOX {100000+}\nC@ 50000 x\n");
        if (seed % 2) TRANSCRIPT(c, "R:\n");
        transcript_close(c);
        c = test_server_login(t);
        TRANSCRIPT(c, "C: a STATUS INBOX (MESSAGES)\nS: * STATUS INBOX (MESSAGES *)\nS: a OK *\n");
        transcript_close(c);
        test_server_close(t);
    }
}

TEST(imapd_append_and_copy_keep_to_the_quota)
{
    struct test_server *t = test_server_open(4, NULL);
    test_server_set_quota(t, 1000);
    struct transcript *c = test_server_login(t);
    TRANSCRIPT(c, "C: a APPEND INBOX {600+}\nC@ 600 x\nC: \nS: a OK *\n"
                  "C: b APPEND INBOX {600}\nS: b NO [OVERQUOTA] *\n"
                  "C: c APPEND INBOX {600+}\nC@ 600 x\nC: \nS: c NO [OVERQUOTA] *\n"
                  "C: d CREATE x\nS: d OK *\nC: e SELECT INBOX\nS~ e OK *\n"
                  "C: f COPY 1 x\nS: f NO [OVERQUOTA] *\nC: g MOVE 1 x\nS: * OK [COPYUID *\nS: * 1 EXPUNGE\nS: g OK *\n");
    transcript_close(c);
    test_server_close(t);
}

TEST(imapd_append_pipelined_cannot_pass_the_quota_together)
{
    struct test_server *t = test_server_open(5, NULL);
    test_server_set_quota(t, 1000);
    struct memory_faults slow = {.delay_max_us = 5000};
    memory_store_set_faults(t->store, &slow);
    struct transcript *c = test_server_login(t);
    TRANSCRIPT(c, "C: a APPEND INBOX {600+}\nC@ 600 x\nC: \nC: b APPEND INBOX {600+}\nC@ 600 x\nC: \nS: a OK *\nS: b NO [OVERQUOTA] *\n");
    transcript_close(c);
    test_server_close(t);
}

static struct transcript *select_inbox(struct test_server *t)
{
    struct transcript *c = test_server_login(t);
    TRANSCRIPT(c, "C: s SELECT INBOX\nS~ s OK *\n");
    return c;
}

TEST(imapd_append_takes_several_messages)
{
    struct test_server *t = test_server_open(20, NULL);
    struct transcript *c = select_inbox(t);
    TRANSCRIPT(c, "C: A003 APPEND INBOX (\\Seen) {5}\nS: + OK\nC! one\\r\\n\nC:  (\\Flagged) \" 7-Feb-1994 22:43:04 -0800\" {5}\nS: + OK\nC! two\\r\\n\nC: \n"
                  "S: * 2 EXISTS\nS: * 2 RECENT\nS: A003 OK [APPENDUID * 3:4] *\n"
                  "C: f FETCH 1:2 (FLAGS RFC822.SIZE)\nS: * 1 FETCH (FLAGS (\\Seen*) RFC822.SIZE 5)\nS: * 2 FETCH (FLAGS (\\Flagged*) RFC822.SIZE 5)\nS: f OK *\n"
                  "C: b APPEND INBOX {3+}\nC! a\\r\\n\nC:  {3+}\nC! b\\r\\n\nC:  {3+}\nC! c\\r\\n\nC: \nS: * 5 EXISTS\nS: * 5 RECENT\nS: b OK [APPENDUID * 8:10] *\n"
                  /* A literal of nothing cancels all. */
                  "C: d APPEND INBOX {3+}\nC! a\\r\\n\nC:  {0+}\nC: \nS: d NO [CANNOT] *\n"
                  "C: e APPEND INBOX {3+}\nC! a\\r\\n\nC:  rubbish {3+}\nC! b\\r\\n\nC: \nS: e BAD *\n"
                  "C: n STATUS INBOX (MESSAGES)\nS: * STATUS INBOX (MESSAGES 5)\nS: n OK *\n"
                  "C: g APPEND nowhere {3+}\nC! a\\r\\n\nC:  {3+}\nC! b\\r\\n\nC: \nS: g NO [TRYCREATE] *\nC: h NOOP\nS: h OK *\n");
    transcript_close(c);
    test_server_close(t);
}

TEST(imapd_append_several_keeps_to_the_quota_as_a_whole)
{
    struct test_server *t = test_server_open(21, NULL);
    test_server_set_quota(t, 10);
    struct transcript *c = test_server_login(t);
    TRANSCRIPT(c, "C: b APPEND INBOX {6+}\nC! aaaa\\r\\n\nC:  {6+}\nC! bbbb\\r\\n\nC: \nS: b NO [OVERQUOTA] *\n"
                  "C: n STATUS INBOX (MESSAGES)\nS: * STATUS INBOX (MESSAGES 0)\nS: n OK *\n");
    transcript_close(c);
    test_server_close(t);
}

TEST(imapd_append_catenates_parts_of_messages)
{
    struct test_server *t = test_server_open(22, NULL);
    test_server_add(t, "INBOX", "", VIEW("Subject: old\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nfirst part\r\n--b\r\n\r\nsecond\r\n--b--\r\n"));
    struct transcript *c = select_inbox(t);
    TRANSCRIPT(c, "C: A003 APPEND INBOX (\\Draft) CATENATE (URL \"/INBOX/;UID=1/;SECTION=HEADER\" TEXT {5}\nS: + OK\n"
                  "C! new\\r\\n\nC:  URL \";UID=1/;SECTION=1\" TEXT {2+}\nC! \\r\\n\n"
                  "C:  URL \"/inbox/;UID=1/;SECTION=2/;PARTIAL=0.3\")\nS: * 2 EXISTS\nS: * 2 RECENT\nS: A003 OK [APPENDUID * 2] *\n"
                  "C: f FETCH 2 (BODY.PEEK[TEXT])\nS: * 2 FETCH (BODY[TEXT] {20}\nS: new\nS: first part\nS: sec)\nS: f OK *\n"
                  "C: b APPEND INBOX CATENATE (URL \"/INBOX/;UID=1\")\nS: * 3 EXISTS\nS: * 3 RECENT\nS: b OK [APPENDUID * 3] *\n"
                  "C: c APPEND INBOX CATENATE (URL \"/INBOX/;UID=9\")\nS: c NO [BADURL /INBOX/;UID=9] *\n"
                  "C: d APPEND INBOX CATENATE (URL \"/INBOX/;UID=1/;SECTION=7\" TEXT {3+}\nC! abc\nC: )\nS: d NO [BADURL *\n");
    transcript_close(c);
    test_server_close(t);
}

TEST(imapd_replace_is_one_step)
{
    struct test_server *t = test_server_open(23, NULL);
    test_server_set_quota(t, 40);
    test_server_add(t, "INBOX", "", VIEW("Subject: keep\r\n\r\n"));
    test_server_add(t, "INBOX", "", VIEW("Subject: draft 1\r\n\r\n"));
    struct transcript *c = select_inbox(t), *other;
    TRANSCRIPT(c, "C: A003 REPLACE 2 INBOX (\\Draft) {20}\nS: + OK\nC! Subject: draft 2\\r\\n\\r\\n\nC: \n"
                  "S: * OK [APPENDUID * 3] *\nS: * 2 EXPUNGE\nS: * 2 EXISTS\nS: * 2 RECENT\nS: A003 OK *\n");
    transcript_close(c);
    c = select_inbox(t);
    other = select_inbox(t);
    TRANSCRIPT(c, "C: f FETCH 1:* (UID FLAGS)\nS: * 1 FETCH (UID 1*\nS: * 2 FETCH (UID 3 FLAGS (\\Draft*))\nS: f OK *\n"
                  "C: A004 UID REPLACE 9 INBOX {3+}\nC! abc\nC: \nS: A004 NO [NONEXISTENT] *\n"
                  "C: A005 REPLACE 9 INBOX {3+}\nC! abc\nC: \nS: A005 BAD *\n"
                  "C: A006 REPLACE 1 nowhere {3+}\nC! abc\nC: \nS: A006 NO [TRYCREATE] *\n"
                  "C: A007 REPLACE 1 INBOX {3+}\nC! abc\nC:  {3+}\nC! def\nC: \nS: A007 NO [CANNOT] *\n");
    TRANSCRIPT(other, "C: x STORE 2 +FLAGS.SILENT (\\Deleted)\nS: x OK *\nC: x EXPUNGE\nS~ x OK *\n");
    TRANSCRIPT(c, "C: A008 UID REPLACE 3 INBOX {3+}\nC! abc\nC: \nS~ A008 NO *\nC: n NOOP\nS~ n OK *\nC: m STATUS INBOX (MESSAGES)\nS: * STATUS INBOX (MESSAGES 1)\nS: m OK *\n");
    transcript_close(other);
    transcript_close(c);
    test_server_close(t);
}

TEST(imapd_a_refused_append_leaves_no_commands_behind)
{
    struct test_server *t = test_server_open(20, NULL);
    test_server_add(t, "INBOX", "", VIEW("Subject: one\r\n\r\n"));
    struct transcript *c = test_server_login(t);
    TRANSCRIPT(c, "C: a UID REPLACE 1 INBOX {13+}\nC: b CREATE evil\nS: a BAD [CLIENTBUG] *\nC: c EXAMINE INBOX\nS~ c OK *\n"
                  "C: d REPLACE 1 INBOX {13+}\nC: b CREATE evil (\\Seen) {13+}\nC: b CREATE evil\nS: d NO [READ-ONLY] *\n"
                  "C: e ENABLE UIDONLY\nS: * ENABLED UIDONLY\nS: e OK *\nC: f REPLACE 1 INBOX {13+}\nC: b CREATE evil\nS: f BAD [UIDREQUIRED] *\n"
                  "C: g LIST \"\" e*\nS: g OK *\n");
    transcript_close(c);
    c = test_server_connect(t);
    TRANSCRIPT(c, "C: a APPEND INBOX {13+}\nC: b CREATE evil\nS: * BYE *\nS: a BAD [CLIENTBUG] *\n");
    transcript_close(c);
    test_server_close(t);
}
