#include "base/check.h"
#include "base/test.h"
#include "imapd/test_server.h"

static void add_some(struct test_server *t, unsigned count)
{
    for (unsigned i = 0; i < count; i++) test_server_add(t, "INBOX", "", VIEW("Subject: x\r\n\r\n"));
}

static struct transcript *login_qresync(struct test_server *t)
{
    struct transcript *c = test_server_login(t);
    TRANSCRIPT(c, "C: e ENABLE QRESYNC\nS: * ENABLED QRESYNC\nS: e OK *\n");
    return c;
}

/* "select" with what the client knows: UIDVALIDITY of the mailbox and the rest as given. */
static void resynchronize(struct transcript *c, const char *known, const char *answers)
{
    buf script CLEANUP(buf_done) = BUF_INIT;
    TRANSCRIPT(c, "C: v STATUS INBOX (UIDVALIDITY)\nS: * STATUS INBOX (UIDVALIDITY *)\n");
    view line = transcript_line(c), number = view_from(line, view_find_last(line, ' ') + 1);
    buf_appendf(&script, "S: v OK *\nC: s SELECT INBOX (QRESYNC (" VIEW_FMT " %s))\nS~ * OK [MAILBOXID *\n%sS: s OK *\n", VIEW_ARG(view_slice(number, 0, number.len - 1)),
                known, answers);
    buf_append_byte(&script, 0);
    TRANSCRIPT(c, script.at);
}

TEST(imapd_qresync_tells_what_changed_since)
{
    struct test_server *t = test_server_open(1, NULL);
    add_some(t, 6);
    struct transcript *c = login_qresync(t);
    TRANSCRIPT(c, "C: s SELECT INBOX\nS~ * OK [HIGHESTMODSEQ 6] *\nS~ s OK *\n"
                  "C: a UID STORE 2 +FLAGS.SILENT (\\Seen)\nS: * 2 FETCH (UID 2 MODSEQ (7))\nS: a OK *\n"
                  "C: a UID STORE 3,5 +FLAGS.SILENT (\\Deleted)\nS~ a OK *\n"
                  "C: a EXPUNGE\nS: * VANISHED 3,5\nS: a OK [HIGHESTMODSEQ 9] *\n"
                  "C: a CLOSE\nS: a OK *\n");
    resynchronize(c, "6", "S: * VANISHED (EARLIER) 3,5\nS: * 2 FETCH (UID 2 MODSEQ (7) FLAGS (\\Seen*))\n");
    resynchronize(c, "7", "S: * VANISHED (EARLIER) 3,5\n");
    resynchronize(c, "9", "");
    resynchronize(c, "6 1:4", "S: * VANISHED (EARLIER) 3\nS: * 2 FETCH (UID 2 MODSEQ (7) FLAGS (\\Seen*))\n");
    resynchronize(c, "6 1,4:6", "S: * VANISHED (EARLIER) 5\n");
    resynchronize(c, "6 1:6 (1,2,3 1,2,4)", "S: * VANISHED (EARLIER) 5\nS: * 2 FETCH (UID 2 MODSEQ (7) FLAGS (\\Seen*))\n");
    transcript_close(c);
    test_server_close(t);
}

TEST(imapd_qresync_sequence_match_spares_what_the_client_knows)
{
    struct test_server *t = test_server_open(2, NULL);
    add_some(t, 6);
    struct transcript *c = login_qresync(t);
    TRANSCRIPT(c, "C: s SELECT INBOX\nS~ s OK *\nC: a UID STORE 2,5 +FLAGS.SILENT (\\Deleted)\nS~ a OK *\nC: a EXPUNGE\nS~ a OK *\n");
    /* The client knows that 2 is gone: message 2 has UID 3. */
    resynchronize(c, "1 1:6 (1:2 1,3)", "S: * VANISHED (EARLIER) 5\nS~ * 4 FETCH *\n");
    resynchronize(c, "1 1:6 (1:3 1:3)", "S: * VANISHED (EARLIER) 2,5\nS~ * 4 FETCH *\n");
    transcript_close(c);
    test_server_close(t);
}

TEST(imapd_qresync_with_another_uidvalidity_tells_nothing_more)
{
    struct test_server *t = test_server_open(3, NULL);
    add_some(t, 2);
    struct transcript *c = login_qresync(t);
    TRANSCRIPT(c, "C: s SELECT INBOX (QRESYNC (1 1))\nS~ * OK [MAILBOXID *\nS: s OK [READ-WRITE] *\n");
    transcript_close(c);
    test_server_close(t);
}

TEST(imapd_qresync_must_be_enabled)
{
    struct test_server *t = test_server_open(4, NULL);
    add_some(t, 1);
    struct transcript *c = test_server_login(t);
    TRANSCRIPT(c, "C: s SELECT INBOX (QRESYNC (1 1))\nS: s BAD *\n"
                  "C: s SELECT INBOX\nS~ s OK *\n"
                  "C: f UID FETCH 1:* (FLAGS) (CHANGEDSINCE 1 VANISHED)\nS: f BAD *\n"
                  "C: e ENABLE QRESYNC\nS: * ENABLED QRESYNC\nS: e OK *\n"
                  "C: f UID FETCH 1:* (FLAGS) (VANISHED)\nS: f BAD *\n"
                  "C: f FETCH 1:* (FLAGS) (CHANGEDSINCE 1 VANISHED)\nS: f BAD *\n"
                  "C: f SELECT INBOX (QRESYNC (0 1))\nS: f BAD *\n");
    transcript_close(c);
    test_server_close(t);
}

TEST(imapd_uid_fetch_tells_the_vanished_before_the_changed)
{
    struct test_server *t = test_server_open(5, NULL);
    add_some(t, 5);
    struct transcript *c = login_qresync(t);
    TRANSCRIPT(c, "C: s SELECT INBOX\nS~ s OK *\n"
                  "C: a UID STORE 2,4 +FLAGS.SILENT (\\Deleted)\nS~ a OK *\nC: a EXPUNGE\nS~ a OK *\n"
                  "C: a UID STORE 5 +FLAGS.SILENT (\\Seen)\nS~ a OK *\n"
                  "C: s100 UID FETCH 1:4 (FLAGS) (CHANGEDSINCE 5 VANISHED)\nS: * VANISHED (EARLIER) 2,4\nS: s100 OK *\n"
                  "C: s101 UID FETCH 3:5 (FLAGS) (CHANGEDSINCE 5 VANISHED)\nS: * VANISHED (EARLIER) 4\nS: * 3 FETCH (UID 5 MODSEQ (8) FLAGS (\\Seen*))\nS: s101 OK *\n");
    transcript_close(c);
    test_server_close(t);
}

TEST(imapd_qresync_clients_hear_of_others_expunges_by_uid)
{
    struct test_server *t = test_server_open(6, NULL);
    add_some(t, 5);
    struct transcript *c = login_qresync(t), *other = test_server_login(t);
    TRANSCRIPT(c, "C: s SELECT INBOX\nS~ s OK *\n");
    TRANSCRIPT(other, "C: s SELECT INBOX\nS~ s OK *\nC: a STORE 1:2,4 +FLAGS.SILENT (\\Deleted)\nS: a OK *\nC: a EXPUNGE\nS: * 4 EXPUNGE\nS~ a OK *\n");
    TRANSCRIPT(c, "C: n NOOP\nS: * VANISHED 1:2,4\nS: n OK *\nC: m UID MOVE 3 INBOX\nS: * OK [COPYUID * 3 6] *\nS: * VANISHED 3\nS: * 2 EXISTS\nS~ m OK [HIGHESTMODSEQ *\n");
    transcript_close(other);
    transcript_close(c);
    test_server_close(t);
}
