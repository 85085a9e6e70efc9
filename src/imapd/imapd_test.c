#include "base/check.h"
#include "base/test.h"
#include "engine/memory.h"
#include "identity/directory.h"
#include "imapd/test_server.h"
#include "runtime/clock.h"
#include "runtime/event.h"

TEST(imapd_greets_tells_capabilities_and_logs_out)
{
    struct test_server *t = test_server_open(1, NULL);
    struct transcript *c = test_server_connect(t);
    TRANSCRIPT(c, "C: a CAPABILITY\n"
                  "S: * CAPABILITY IMAP4rev1 IMAP4rev2 LITERAL+ SASL-IR ID ENABLE IDLE STARTTLS AUTH=PLAIN\n"
                  "S: a OK CAPABILITY completed\n"
                  "C: b NOOP\nS: b OK NOOP completed\n"
                  "C: c SELECT INBOX\nS: c BAD [CLIENTBUG] Log in first\n"
                  "C: d ID (\"name\" \"test\")\nS: * ID (\"name\" \"Tayori\")\nS: d OK ID completed\n"
                  "C: e FROB\nS: e BAD Expected a command that is known here at byte 6\n"
                  "C: f LOGOUT\nS: * BYE Logging out\nS: f OK LOGOUT completed\nE:\n");
    transcript_close(c);
    test_server_close(t);
}

TEST(imapd_logs_in_by_every_form)
{
    for (uint64_t seed = 1; seed <= 5; seed++) {
        struct test_server *t = test_server_open(seed, NULL);
        struct transcript *c = test_server_connect(t);
        TRANSCRIPT(c, "C: a LOGIN joe@example.test wrong\nS: a NO [AUTHENTICATIONFAILED] Wrong user name or password\n"
                      "C: b LOGIN nobody@example.test secret\nS: b NO [AUTHENTICATIONFAILED] Wrong user name or password\n"
                      "C: c LOGIN {16}\nS: + OK\nC: joe@example.test {6+}\nC: secret\nS: c OK [CAPABILITY *] Logged in\n"
                      "C: d LOGIN joe@example.test secret\nS: d BAD [CLIENTBUG] You are logged in already\n");
        transcript_close(c);
        c = test_server_connect(t);
        TRANSCRIPT(c, "C: a AUTHENTICATE PLAIN AGpvZUBleGFtcGxlLnRlc3QAc2VjcmV0\nS: a OK [CAPABILITY *] Logged in\n");
        transcript_close(c);
        c = test_server_connect(t);
        TRANSCRIPT(c, "C: a AUTHENTICATE PLAIN\nS: + \nC: *\nS: a BAD Given up\n"
                      "C: b AUTHENTICATE PLAIN\nS: + \nC: !!!\nS: b BAD That is no response of this mechanism\n"
                      "C: c AUTHENTICATE CRAM-MD5\nS: c NO [CANNOT] *\n"
                      "C: d AUTHENTICATE PLAIN\nS: + \nC: AGpvZUBleGFtcGxlLnRlc3QAc2VjcmV0\nS: d OK [CAPABILITY *] Logged in\n");
        transcript_close(c);
        test_server_close(t);
    }
}

static void asks_for_tls(struct imapd_options *options) { options->allows_plain_login = false; }

TEST(imapd_wants_tls_before_a_password_and_forgets_what_came_before)
{
    struct test_server *t = test_server_open(3, asks_for_tls);
    struct transcript *c = test_server_connect(t);
    TRANSCRIPT(c, "C: a LOGIN joe@example.test secret\nS: a NO [PRIVACYREQUIRED] *\n"
                  "C: b STARTTLS\nC: c LOGIN joe@example.test secret\nS: b OK *\nT:\n"
                  "C: d CAPABILITY\nS: * CAPABILITY IMAP4rev1 IMAP4rev2 LITERAL+ SASL-IR ID ENABLE IDLE AUTH=PLAIN\nS: d OK *\n"
                  "C: e STARTTLS\nS: e BAD TLS is on already\n"
                  "C: f LOGIN joe@example.test secret\nS: f OK *\n");
    transcript_close(c);
    test_server_close(t);
}

TEST(imapd_ends_sessions_that_make_no_sense_or_never_log_in)
{
    struct test_server *t = test_server_open(4, NULL);
    struct transcript *c = test_server_connect(t);
    TRANSCRIPT(c, "C: GET / HTTP/1.0\nS: GET BAD *\nC: x\nS: x BAD *\nC:  \nS: * BAD *\nC: y z\nS: y BAD *\nS: * BYE *\nE:\n");
    transcript_close(c);
    c = test_server_connect(t);
    TRANSCRIPT(c, "C@ 10000 x\nC: \nS: * BAD [TOOBIG] *\nS: * BYE *\nE:\n");
    transcript_close(c);
    c = test_server_connect(t);
    TRANSCRIPT(c, "C! early LOGIN joe@example.test \nC@ 10000 x\nC: \nS: early BAD [TOOBIG] *\nS: * BYE *\nE:\n");
    transcript_close(c);
    c = test_server_connect(t);
    TRANSCRIPT(c, "W: 181000\nS: * BYE Autologout*\nE:\n");
    transcript_close(c);
    c = test_server_connect(t);
    TRANSCRIPT(c, "C: a LOGIN {9000}\nS: a BAD [TOOBIG] *\nS: * BYE *\nE:\n");
    transcript_close(c);
    test_server_close(t);
}

TEST(imapd_selects_what_there_is)
{
    struct test_server *t = test_server_open(5, NULL);
    struct transcript *c = test_server_login(t);
    TRANSCRIPT(c, "C: a SELECT inbox\n"
                  "S: * FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft)\n"
                  "S: * OK [PERMANENTFLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft \\*)] *\n"
                  "S: * 0 EXISTS\nS: * 0 RECENT\nS: * OK [UIDVALIDITY *\nS: * OK [UIDNEXT 1] *\nS: * OK [HIGHESTMODSEQ *\nS: * OK [MAILBOXID (F1)] *\n"
                  "S: a OK [READ-WRITE] SELECT completed\n"
                  "C: b FETCH 1:* FLAGS\nS: b OK *\nC: c FETCH 1 FLAGS\nS: c BAD *\n"
                  "C: d SELECT nowhere\nS: * OK [CLOSED] *\nS: d NO [NONEXISTENT] *\n"
                  "C: e FETCH 1:* FLAGS\nS: e BAD [CLIENTBUG] Select a mailbox first\n"
                  "C: f EXAMINE INBOX\nS~ f OK [READ-ONLY] EXAMINE completed\n"
                  "C: g EXPUNGE\nS: g NO [READ-ONLY] *\n"
                  "C: h CLOSE\nS: h OK *\nC: i SELECT a//b\nS: i NO [CANNOT] *\n");
    transcript_close(c);
    test_server_close(t);
}

TEST(imapd_answers_what_was_sent_behind_the_login_on_the_accounts_loop)
{
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct test_server *t = test_server_open(seed, NULL);
        struct transcript *c = test_server_connect(t);
        TRANSCRIPT(c, "C: a LOGIN joe@example.test secret\nC: b CREATE x\nC: c APPEND x {3+}\nC: abc\nC: d SELECT x\nC: e FETCH 1 UID\nC: f LOGOUT\n"
                      "S: a OK *\nS: b OK *\nS: c OK *\nS~ d OK *\nS: * 1 FETCH (UID 1)\nS: e OK *\nS: * BYE *\nS: f OK *\nE:\n");
        transcript_close(c);
        test_server_close(t);
    }
}

static void limit_connections(struct imapd_options *options)
{
    options->connections_per_address_max = 3;
    options->connections_per_account_max = 2;
}

TEST(imapd_limits_connections_of_a_client_and_of_an_account)
{
    for (uint64_t seed = 1; seed <= 4; seed++) {
        struct test_server *t = test_server_open(seed, limit_connections);
        struct transcript *one = test_server_login(t), *two = test_server_login(t), *three = test_server_connect(t);
        TRANSCRIPT(three, "C: a LOGIN joe@example.test secret\nS: a NO [LIMIT] *\nC: b NOOP\nS: b OK *\n");
        struct transcript *four = transcript_open(t->node, 0, imapd_accept, imapd_service(t->imapd, IMAPD_PLAIN));
        TRANSCRIPT(four, "S: * BYE [UNAVAILABLE] Too many connections from your address\nE:\n");
        transcript_close(four);
        TRANSCRIPT(one, "C: u UNAUTHENTICATE\nS: u OK *\n");
        TRANSCRIPT(three, "C: a LOGIN joe@example.test secret\nS: a OK *\n");
        TRANSCRIPT(one, "C: a LOGIN joe@example.test secret\nS: a NO [LIMIT] *\nC: o LOGOUT\nS~ o OK *\nE:\n");
        transcript_close(one);
        TRANSCRIPT(two, "C: o LOGOUT\nS~ o OK *\nE:\n");
        transcript_close(two);
        two = test_server_login(t);
        EXPECT_NUMBER(sim_event_count(t->sim, EVENT_IMAP_REFUSED_CONNECTION), 1);
        EXPECT_NUMBER(sim_event_count(t->sim, EVENT_IMAP_REFUSED_LOGIN), 2);
        transcript_close(three);
        transcript_close(two);
        test_server_close(t);
    }
}

/* ---- accounts that are suspended or removed ---- */

static void suspends(void *argument)
{
    colour_pretend_coroutine();
    struct test_server *t = argument;
    struct directory_account_change change = {.sets_standing = true, .standing = STANDING_SUSPENDED};
    EXPECT(directory_set_account(t->identity, VIEW("joe@example.test"), &change, clock_in(60000), NULL) == OK);
}

static void removes(void *argument)
{
    colour_pretend_coroutine();
    struct test_server *t = argument;
    struct id account;
    EXPECT(directory_remove_account(t->identity, VIEW("joe@example.test"), clock_in(60000), &account, NULL) == OK);
    EXPECT(accounts_destroy(t->accounts, account, clock_in(60000), NULL) == OK);
}

static void end_sessions(uint64_t seed, void (*change)(void *server))
{
    struct test_server *t = test_server_open(seed, NULL);
    struct transcript *idle = test_server_login(t), *rests = test_server_login(t), *half = test_server_login(t), *stranger = test_server_connect(t);
    TRANSCRIPT(idle, "C: a SELECT INBOX\nS~ a OK *\nC: b IDLE\nS: + idling\n");
    TRANSCRIPT(half, "C! a CREATE late");
    TRANSCRIPT(rests, "C: a NOOP\nS: a OK *\nQ: 60000\nC: b NOOP\nS: b OK *\n");
    TRANSCRIPT(idle, "Q: 1\n");
    sim_call(t->node, 0, change, t);
    TRANSCRIPT(idle, "S: * BYE [CONTACTADMIN] *\nE:\n");
    TRANSCRIPT(rests, "S: * BYE [CONTACTADMIN] *\nE:\n");
    TRANSCRIPT(half, "C: \nS: * BYE [CONTACTADMIN] *\nE:\n");
    TRANSCRIPT(stranger, "C: a NOOP\nS: a OK *\n");
    transcript_close(idle);
    transcript_close(rests);
    transcript_close(half);
    transcript_close(stranger);
    test_server_close(t);
}

/* Somebody else has its password, and stays connected: an operator who suspends the account ends that. */
TEST(imapd_ends_sessions_of_an_account_that_was_suspended_or_removed)
{
    for (uint64_t seed = 1; seed <= 10; seed++) {
        end_sessions(seed, suspends);
        end_sessions(seed, removes);
    }
}

/* One that begins a command and does not end it, or takes no answers, is cut off. */
TEST(imapd_cuts_off_who_does_not_hear_that_the_account_was_suspended)
{
    struct test_server *t = test_server_open(1, NULL);
    struct transcript *c = test_server_login(t);
    TRANSCRIPT(c, "C! a CREATE late");
    sim_call(t->node, 0, suspends, t);
    TRANSCRIPT(c, "W: 45000\nE:\n");
    EXPECT_NUMBER(imapd_sessions(t->imapd), 0);
    transcript_close(c);
    test_server_close(t);
}

/* Whoever is asked and does not know has said nothing. */
TEST(imapd_keeps_sessions_while_the_directory_cannot_be_asked)
{
    struct test_server *t = test_server_open(2, NULL);
    struct transcript *c = test_server_login(t);
    TRANSCRIPT(c, "C: a IDLE\nS: + idling\n");
    memory_store_set_faults(t->store, &(struct memory_faults){.unavailable_ppm = 1000000});
    TRANSCRIPT(c, "Q: 120000\n");
    memory_store_set_faults(t->store, &(struct memory_faults){0});
    TRANSCRIPT(c, "Q: 60000\nC: DONE\nS: a OK *\n");
    transcript_close(c);
    test_server_close(t);
}

TEST(imapd_answers_lines_that_are_too_long_with_their_tags)
{
    struct test_server *t = test_server_open(6, NULL);
    struct transcript *c = test_server_connect(t);
    TRANSCRIPT(c, "C: a LOGIN joe@example.test secret\nS: a OK *\n"
                  "C! long1 SEARCH \nC@ 70000 x\nC: \nC: b NOOP\nS: long1 BAD [TOOBIG] *\nS: b OK *\n"
                  "C@ 70000 x\nC: \nC: c NOOP\nS: * BAD [TOOBIG] *\nS: c OK *\n"
                  "# what it announced and sent is no command, were it one in form, nor the next line, were it as long\n"
                  "C! long2 SEARCH \nC@ 70000 x\nC:  {8+}\nC: d NOOP\nC: \nC: e NOOP\nS: long2 BAD [TOOBIG] *\nS: e OK *\n"
                  "C! long3 SEARCH \nC@ 70000 x\nC:  {8+}\nC! f NOOP\\r\\n\nC@ 70000 y\nC:  {8+}\nC! g NOOP\\r\\n\nC:  z\nC: h NOOP\nS: long3 BAD [TOOBIG] *\nS: h OK *\n"
                  "# a client that waits before its literal need not be asked for it\n"
                  "C! long4 SEARCH \nC@ 70000 x\nC:  {8}\nS: long4 BAD [TOOBIG] *\nC: i NOOP\nS: i OK *\n"
                  "# behind a literal\n"
                  "C: long5 SEARCH {1+}\nC! x\nC@ 70000 y\nC: \nC: j NOOP\nS: long5 BAD [TOOBIG] *\nS: j OK *\n"
                  "C: long6 SEARCH {1+}\nC! x\nC@ 70000 y\nC:  {8+}\nC: k NOOP\nC: \nC: l NOOP\nS: long6 BAD [TOOBIG] *\nS: l OK *\n"
                  "C: long7 APPEND INBOX {1+}\nC! x\nC@ 70000 y\nC:  {8+}\nC: m NOOP\nC: \nC: n NOOP\nS: long7 NO [LIMIT] *\nS: n OK *\n");
    transcript_close(c);
    test_server_close(t);
}
