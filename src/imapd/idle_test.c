#include <stdio.h>

#include "base/test.h"
#include "imapd/test_server.h"

TEST(imapd_idle_tells_as_things_happen)
{
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct test_server *t = test_server_open(seed, NULL);
        struct transcript *c = test_server_login(t), *other = test_server_login(t);
        TRANSCRIPT(c, "C: s SELECT INBOX\nS~ s OK *\nC: a IDLE\nS: + idling\nQ: 1000\n");
        TRANSCRIPT(other, "C: a APPEND INBOX {3+}\nC: abc\nS: a OK *\n");
        TRANSCRIPT(c, "S: * 1 EXISTS\nS: * 1 RECENT\n");
        TRANSCRIPT(other, "C: b SELECT INBOX\nS~ b OK *\nC: c STORE 1 +FLAGS.SILENT (\\Flagged \\Deleted)\nS: c OK *\n");
        TRANSCRIPT(c, "S: * 1 FETCH (FLAGS (\\Flagged \\Deleted*))\n");
        TRANSCRIPT(other, "C: d EXPUNGE\nS: * 1 EXPUNGE\nS: d OK *\n");
        TRANSCRIPT(c, "S: * 1 EXPUNGE\nQ: 1000\nC: DONE\nS: a OK IDLE completed\nC: b NOOP\nS: b OK *\n");
        transcript_close(c);
        transcript_close(other);
        test_server_close(t);
    }
}

TEST(imapd_idle_ends_with_done_and_nothing_else)
{
    struct test_server *t = test_server_open(1, NULL);
    struct transcript *c = test_server_login(t);
    TRANSCRIPT(c, "C: a IDLE\nS: + idling\nC: done\nS: a OK *\nC: b IDLE\nS: + idling\nC: c NOOP\nS: b BAD Expected DONE\nC: d NOOP\nS: d OK *\n"
                  "C: e IDLE\nC: DONE\nC: f NOOP\nS: + idling\nS: e OK *\nS: f OK *\n"
                  "C: g IDLE\nS: + idling\nW: 1870000\nS: * BYE Autologout*\nE:\n");
    transcript_close(c);
    test_server_close(t);
}

TEST(imapd_stops_idle_sessions_with_bye)
{
    struct test_server *t = test_server_open(2, NULL);
    struct transcript *c = test_server_login(t), *d = test_server_connect(t);
    TRANSCRIPT(c, "C: a IDLE\nS: + idling\n");
    imapd_stop(t->imapd);
    TRANSCRIPT(c, "S: * BYE [UNAVAILABLE] *\nE:\n");
    TRANSCRIPT(d, "S: * BYE [UNAVAILABLE] *\nE:\n");
    transcript_close(c);
    transcript_close(d);
    test_server_close(t);
}
