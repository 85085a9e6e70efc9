/* Every command while the store fails in each of its ways: a temporary answer, and a session that goes on as if nothing had been. */
#include <stdio.h>

#include "base/check.h"
#include "base/test.h"
#include "engine/memory.h"
#include "imapd/test_server.h"

static const struct { const char *name; struct memory_faults faults; } troubles[] = {
    {"unavailable", {.unavailable_ppm = 1000000}},
    {"full", {.full = true}},
    {"unknown outcome", {.unknown_ppm = 1000000}},
    {"too late", {.delay_max_us = 2000000000}},
};

/* `needs_store`: it cannot be done from memory. `changes`: nor without writing. */
static const struct { const char *command; bool needs_store, changes; } commands[] = {
    {"NOOP", true, false},
    {"CHECK", true, false},
    {"LIST \"\" *", true, false},
    {"STATUS Other (MESSAGES)", true, false},
    {"SELECT Other", true, false},
    {"EXAMINE INBOX", true, false},
    {"UID FETCH 1:* (FLAGS)", false, false},
    {"UID FETCH 2 (BODY.PEEK[])", true, false},
    {"UID FETCH 3 (ENVELOPE BODYSTRUCTURE)", true, false},
    {"UID SEARCH BODY line", true, false},
    {"UID SORT (SUBJECT) UTF-8 ALL", true, false},
    {"UID THREAD REFERENCES UTF-8 ALL", true, false},
    {"CREATE New", true, true},
    {"RENAME Other Another", true, true},
    {"SUBSCRIBE INBOX", true, true},
    {"DELETE Other", true, true},
    {"APPEND INBOX {3+}\nC: abc", true, true},
    {"UID STORE 1 +FLAGS (\\Deleted)", true, true},
    {"UID COPY 1 Other", true, true},
    {"UID MOVE 2 Other", true, true},
    {"EXPUNGE", true, true},
};

/* The messages that a session sees are those that a new one finds. */
static void expect_agreement(struct test_server *t, struct transcript *c)
{
    char script[400];
    unsigned count = 0;
    struct transcript *other = test_server_login(t);
    TRANSCRIPT(other, "C: a EXAMINE INBOX\nS: * FLAGS *\nS: * OK *\nS: * * EXISTS\n");
    view line = transcript_line(other);
    for (size_t i = 2; i < line.len && line.at[i] >= '0' && line.at[i] <= '9'; i++) count = count * 10 + (unsigned)(line.at[i] - '0');
    TRANSCRIPT(other, "S~ a OK *\n");
    snprintf(script, sizeof script, "C: u EXAMINE INBOX\nS~ * %u EXISTS\nS~ u OK *\nC: v UID FETCH 1:* FLAGS\nS~ v OK *\nC: w UID FETCH 4 BODY.PEEK[]\nS~ w OK *\n", count);
    TRANSCRIPT(c, script);
    transcript_close(other);
}

static void suffer(unsigned trouble, unsigned command)
{
    char script[400];
    struct test_server *t = test_server_open(1 + trouble, NULL);
    for (int i = 0; i < 4; i++) test_server_add(t, "INBOX", "", VIEW("Subject: x\r\n\r\nline\r\n"));
    struct transcript *c = test_server_login(t);
    TRANSCRIPT(c, "C: a CREATE Other\nS: a OK *\nC: b SELECT INBOX\nS~ b OK *\nC: c UID STORE 3 +FLAGS (\\Deleted)\nS~ c OK *\n");
    memory_store_set_faults(t->store, &troubles[trouble].faults);
    bool is_about_writes = troubles[trouble].faults.full || troubles[trouble].faults.unknown_ppm;
    bool must_fail = commands[command].changes || (commands[command].needs_store && !is_about_writes);
    snprintf(script, sizeof script, "C: x %s\nS~ x *\n", commands[command].command);
    TRANSCRIPT(c, script);
    bool is_refused = view_starts(transcript_line(c), VIEW("x NO [UNAVAILABLE] ")), is_done = view_starts(transcript_line(c), VIEW("x OK "));
    /* Of an unknown outcome another try may have made a good one. */
    if (troubles[trouble].faults.unknown_ppm ? !is_refused && !is_done : must_fail ? !is_refused : !is_done)
        test_fail(__FILE__, __LINE__, "%s, %s: " VIEW_FMT, troubles[trouble].name, commands[command].command, VIEW_ARG(transcript_line(c)));
    memory_store_set_faults(t->store, &(struct memory_faults){0});
    memory_store_settle(t->store);
    expect_agreement(t, c);
    transcript_close(c);
    test_server_close(t);
}

TEST_SLOW(imapd_answers_every_failure_of_the_store_as_temporary, 300)
{
    for (unsigned i = 0; i < array_size(troubles); i++)
        for (unsigned j = 0; j < array_size(commands); j++) suffer(i, j);
}

TEST_SLOW(imapd_cannot_be_logged_into_when_the_store_fails_and_says_that_it_is_not_the_password, 60)
{
    for (unsigned i = 0; i < array_size(troubles); i++) {
        if (troubles[i].faults.full || troubles[i].faults.unknown_ppm) continue;
        struct test_server *t = test_server_open(1, NULL);
        struct transcript *c = test_server_connect(t);
        memory_store_set_faults(t->store, &troubles[i].faults);
        TRANSCRIPT(c, "C: a LOGIN joe@example.test secret\nS: a NO [UNAVAILABLE] *\n");
        memory_store_set_faults(t->store, &(struct memory_faults){0});
        TRANSCRIPT(c, "C: b LOGIN joe@example.test secret\nS: b OK *\n");
        transcript_close(c);
        test_server_close(t);
    }
}
