/* Conversations with the real session, on the simulator and the memory engine. */
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/test.h"
#include "engine/pressure_help.h"
#include "identity/directory.h"
#include "popd/pop_world.h"
#include "runtime/clock.h"
#include "runtime/coroutine.h"
#include "runtime/event.h"

enum { SEEDS = 8 };

#define LOGIN "S: +OK Tayori ready\nC: USER joe@example.test\nC: PASS secret\nS: +OK *\n"
#define QUIT "C: QUIT\nS: +OK Bye\nE:\n"

static const char first_message[] = "Subject: one\r\n\r\n.dot\r\nline two\r\nline three\r\n";
static const char second_message[] = "Subject: two\r\n\r\nno line end";

/* Plays a script in several worlds, joe's INBOX having two messages. */
static void try(const char *script)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct pop_world *w = pop_world_open(seed, NULL);
        pop_world_deliver(w, "joe@example.test", view_of(first_message));
        pop_world_deliver(w, "joe@example.test", view_of(second_message));
        pop_world_play(w, POPD_PLAIN, script);
        pop_world_close(w);
    }
}

TEST(popd_gives_messages_byte_for_byte)
{
    try(LOGIN "S: +OK 2 messages (* octets)\n"
        "C: STAT\nS: +OK 2 71\nC: LIST\nS: +OK 2 messages\nS: 1 44\nS: 2 27\nS: .\nC: LIST 2\nS: +OK 2 27\n"
        "C: RETR 1\nS: +OK 44 octets\nS: Subject: one\nS: \nS: ..dot\nS: line two\nS: line three\nS: .\n"
        "C: RETR 2\nS: +OK 27 octets\nS: Subject: two\nS: \nS: no line end\nS: .\n"
        "C: TOP 1 0\nS: +OK *\nS: Subject: one\nS: \nS: .\n"
        "C: TOP 1 2\nS: +OK *\nS: Subject: one\nS: \nS: ..dot\nS: line two\nS: .\n" QUIT);
}

TEST(popd_answers_a_pipeline_in_order)
{
    try("S: +OK *\nC: CAPA\nC: USER joe@example.test\nC: PASS secret\nC: STAT\nC: UIDL\nC: RETR 2\nC: DELE 2\nC: LIST\nC: NOOP\nC: QUIT\n"
        "S: +OK Cap*\nS: TOP\nS: UIDL\nS: RESP-CODES\nS: AUTH-RESP-CODE\nS: PIPELINING\nS: UTF8 USER\nS: STLS\nS: USER\nS: SASL PLAIN\nS: IMPL*\nS: .\n"
        "S: +OK *\nS: +OK 2 messages *\nS: +OK 2 71\nS: +OK *\nS: 1 *\nS: 2 *\nS: .\nS: +OK *\nS: Subject: two\nS: \nS: no line end\nS: .\n"
        "S: +OK *\nS: +OK 1 messages\nS: 1 44\nS: .\nS: +OK\nS: +OK Bye\nE:\n");
}

TEST(popd_asks_to_log_in_later_while_the_store_is_far_behind)
{
    struct pop_world *w = pop_world_open(1, NULL);
    struct transcript *early = pop_world_connect(w, POPD_PLAIN);
    pop_world_deliver(w, "joe@example.test", view_of(first_message));
    TRANSCRIPT(early, LOGIN "S: +OK 1 *\n");
    pressure_press(w->node, w->store, w->engine, 200);
    pop_world_play(w, POPD_PLAIN, "S: +OK *\nC: USER ann@example.test\nS: +OK *\nC: PASS secret\nS: -ERR [SYS/TEMP] *\n" QUIT);
    TRANSCRIPT(early, "C: DELE 1\nS: +OK *\n" QUIT);        /* who is in goes on */
    transcript_close(early);
    EXPECT_NUMBER(pop_world_count(w, "joe@example.test"), 0);
    pressure_relieve(w->node);
    pop_world_play(w, POPD_PLAIN, LOGIN "S: +OK 0 *\n" QUIT);
    pop_world_close(w);
}

static void add_wide_alias(void *argument)
{
    colour_pretend_coroutine();
    struct pop_world *w = argument;
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 1 << 20);
    struct fault fault = {0};
    view *targets = arena_array(arena, view, IDENTITY_ALIAS_TARGETS_MAX);
    for (unsigned i = 0; i < IDENTITY_ALIAS_TARGETS_MAX; i++) targets[i] = arena_printf(arena, "%0230u@example.test", i);
    EXPECT(directory_add_alias(w->identity, VIEW("wide@example.test"), targets, IDENTITY_ALIAS_TARGETS_MAX, false, clock_in(60000), &fault) == OK);
}

TEST(popd_takes_the_widest_alias_for_no_user)
{
    struct pop_world *w = pop_world_open(1, NULL);
    sim_call(w->node, 0, add_wide_alias, w);
    pop_world_play(w, POPD_PLAIN, "S: +OK *\nC: USER wide@example.test\nS: +OK *\nC: PASS secret\nS: -ERR [AUTH] *\n" QUIT);
    pop_world_close(w);
}

TEST(popd_removes_at_quit_alone)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct pop_world *w = pop_world_open(seed, NULL);
        for (int i = 0; i < 5; i++) pop_world_deliver(w, "joe@example.test", view_of(first_message));
        pop_world_play(w, POPD_PLAIN, LOGIN "S: +OK 5 *\nC: DELE 1\nS: +OK *\nC: DELE 1\nS: -ERR *\nC: RETR 1\nS: -ERR *\nC: STAT\nS: +OK 4 176\nR:\n");
        EXPECT_NUMBER(pop_world_count(w, "joe@example.test"), 5);
        pop_world_play(w, POPD_PLAIN, LOGIN "S: +OK 5 *\nC: DELE 2\nS: +OK *\nC: RSET\nS: +OK\nC: STAT\nS: +OK 5 220\n" QUIT);
        EXPECT_NUMBER(pop_world_count(w, "joe@example.test"), 5);
        pop_world_play(w, POPD_PLAIN, LOGIN "S: +OK 5 *\nC: DELE 1\nC: DELE 2\nC: DELE 4\nS: +OK *\nS: +OK *\nS: +OK *\n" QUIT);
        EXPECT_NUMBER(pop_world_count(w, "joe@example.test"), 2);
        pop_world_play(w, POPD_PLAIN, LOGIN "S: +OK 2 *\nC: DELE 1\nC: DELE 2\nS: +OK *\nS: +OK *\nC: LIST\nS: +OK *\nS: .\n" QUIT);
        EXPECT_NUMBER(pop_world_count(w, "joe@example.test"), 0);
        pop_world_play(w, POPD_PLAIN, LOGIN "S: +OK 0 messages (0 octets)\nC: UIDL\nS: +OK *\nS: .\nC: RETR 1\nS: -ERR No such message\n" QUIT);
        pop_world_close(w);
    }
}

TEST(popd_numbers_and_uidls_stay_while_others_change_the_mailbox)
{
    char uidl[200];
    struct pop_world *w = pop_world_open(1, NULL);
    for (int i = 0; i < 3; i++) pop_world_deliver(w, "joe@example.test", view_of(i == 1 ? second_message : first_message));
    struct transcript *t = pop_world_connect(w, POPD_PLAIN);
    TRANSCRIPT(t, LOGIN "S: +OK 3 *\nC: UIDL 3\nS: +OK 3 *\n");
    snprintf(uidl, sizeof uidl, VIEW_FMT, VIEW_ARG(view_from(transcript_line(t), 6)));
    pop_world_expunge(w, "joe@example.test", 2);
    pop_world_deliver(w, "joe@example.test", view_of(second_message));
    TRANSCRIPT(t, "C: STAT\nS: +OK 3 *\nC: LIST 3\nS: +OK 3 44\nC: LIST 4\nS: -ERR *\nC: RETR 2\nS: -ERR *\nC: DELE 3\nS: +OK *\n" QUIT);
    transcript_close(t);
    EXPECT_NUMBER(pop_world_count(w, "joe@example.test"), 2);
    pop_world_close(w);

    /* The id is the row's for ever, whatever its number in the maildrop. */
    w = pop_world_open(1, NULL);
    for (int i = 0; i < 3; i++) pop_world_deliver(w, "joe@example.test", view_of(first_message));
    t = pop_world_connect(w, POPD_PLAIN);
    TRANSCRIPT(t, LOGIN "S: +OK 3 *\nC: UIDL 3\nS: +OK 3 *\n");
    snprintf(uidl, sizeof uidl, VIEW_FMT, VIEW_ARG(view_from(transcript_line(t), 6)));
    TRANSCRIPT(t, "C: DELE 1\nS: +OK *\n" QUIT);
    transcript_close(t);
    t = pop_world_connect(w, POPD_PLAIN);
    TRANSCRIPT(t, LOGIN "S: +OK 2 *\nC: UIDL 2\nS: +OK 2 *\n");
    EXPECT_VIEW(view_from(transcript_line(t), 6), view_of(uidl));
    transcript_close(t);
    pop_world_close(w);
}

TEST(popd_gives_a_maildrop_to_one_session)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct pop_world *w = pop_world_open(seed, NULL);
        struct transcript *holder = pop_world_connect(w, POPD_PLAIN), *other = pop_world_connect(w, POPD_PLAIN);
        TRANSCRIPT(holder, LOGIN "S: +OK 0 *\n");
        TRANSCRIPT(other, LOGIN "S: -ERR [IN-USE] *\nC: STAT\nS: -ERR Log in first\n");
        pop_world_play(w, POPD_PLAIN, "S: +OK *\nC: USER ann@example.test\nS: +OK *\nC: PASS secret\nS: +OK 0 *\n" QUIT);
        TRANSCRIPT(holder, QUIT);
        TRANSCRIPT(other, "C: USER joe@example.test\nS: +OK *\nC: PASS secret\nS: +OK 0 *\n" QUIT);
        transcript_close(holder);
        transcript_close(other);
        pop_world_close(w);
    }
}

/* ---- several nodes ---- */

#define LOGIN_AGAIN "C: USER joe@example.test\nC: PASS secret\nS: +OK *\n"

TEST(popd_gives_a_maildrop_to_one_session_of_all_nodes)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct pop_world *a = pop_world_open(seed, NULL), *b = pop_world_join(a, NULL);
        pop_world_deliver(a, "joe@example.test", view_of(first_message));
        struct transcript *here = pop_world_connect(a, POPD_PLAIN), *there = pop_world_connect(b, POPD_PLAIN);
        TRANSCRIPT(here, LOGIN "S: +OK 1 *\n");
        TRANSCRIPT(there, LOGIN "S: -ERR [IN-USE] *\nC: STAT\nS: -ERR Log in first\n");
        /* It is kept for as long as the session lasts. */
        for (int i = 0; i < 3; i++) {
            sim_run(a->sim, 90000);
            TRANSCRIPT(here, "C: NOOP\nS: +OK\n");
            TRANSCRIPT(there, LOGIN_AGAIN "S: -ERR [IN-USE] *\n");
        }
        TRANSCRIPT(here, "C: DELE 1\nS: +OK *\n" QUIT);
        TRANSCRIPT(there, LOGIN_AGAIN "S: +OK 0 *\n" QUIT);
        transcript_close(here);
        transcript_close(there);
        pop_world_close(b);
        pop_world_close(a);
    }
}

TEST(popd_gives_the_maildrop_of_a_dead_node_away_a_minute_later)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct pop_world *a = pop_world_open(seed, NULL), *b = pop_world_join(a, NULL);
        struct transcript *there = pop_world_connect(b, POPD_PLAIN), *here = pop_world_connect(a, POPD_PLAIN);
        TRANSCRIPT(there, LOGIN "S: +OK 0 *\n");
        pop_world_kill(b);
        TRANSCRIPT(here, LOGIN "S: -ERR [IN-USE] *\n");
        sim_run(a->sim, 61000);
        TRANSCRIPT(here, LOGIN_AGAIN "S: +OK 0 *\n" QUIT);
        transcript_close(here);
        transcript_close(there);
        pop_world_close(b);
        pop_world_close(a);
    }
}

/* Under its feet: the one who has it now is not disturbed, and nothing is removed behind its back. */
TEST(popd_session_that_lost_its_maildrop_ends_without_removing)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct pop_world *a = pop_world_open(seed, NULL), *b = pop_world_join(a, NULL);
        for (int i = 0; i < 3; i++) pop_world_deliver(a, "joe@example.test", view_of(first_message));
        struct transcript *here = pop_world_connect(a, POPD_PLAIN), *there = pop_world_connect(b, POPD_PLAIN);
        TRANSCRIPT(here, LOGIN "S: +OK 3 *\nC: DELE 1\nS: +OK *\n");
        memory_store_expire_leases(a->store);
        TRANSCRIPT(there, LOGIN "S: +OK 3 *\nC: DELE 2\nS: +OK *\n");
        sim_run(a->sim, 61000);
        TRANSCRIPT(here, "C: QUIT\nS: -ERR [SYS/TEMP] *\nE:\n");
        EXPECT_NUMBER(pop_world_count(a, "joe@example.test"), 3);
        TRANSCRIPT(there, "C: LIST\nS: +OK *\nS: 1 44\nS: 3 44\nS: .\n" QUIT);
        EXPECT_NUMBER(pop_world_count(a, "joe@example.test"), 2);
        EXPECT(sim_event_count(a->sim, EVENT_POP3_MAILDROP_LOST) == 1);
        transcript_close(here);
        transcript_close(there);
        pop_world_close(b);
        pop_world_close(a);
    }
}

/* One that nobody has taken meanwhile is taken again. */
TEST(popd_session_goes_on_when_its_lease_ended_and_nobody_took_it)
{
    struct pop_world *a = pop_world_open(1, NULL), *b = pop_world_join(a, NULL);
    pop_world_deliver(a, "joe@example.test", view_of(first_message));
    struct transcript *here = pop_world_connect(a, POPD_PLAIN), *there = pop_world_connect(b, POPD_PLAIN);
    TRANSCRIPT(here, LOGIN "S: +OK 1 *\nC: DELE 1\nS: +OK *\n");
    memory_store_expire_leases(a->store);
    sim_run(a->sim, 30000);
    TRANSCRIPT(there, LOGIN "S: -ERR [IN-USE] *\n" "C: QUIT\nS: +OK Bye\nE:\n");
    TRANSCRIPT(here, QUIT);
    EXPECT_NUMBER(pop_world_count(a, "joe@example.test"), 0);
    transcript_close(here);
    transcript_close(there);
    pop_world_close(b);
    pop_world_close(a);
}

static void suspends(void *argument)
{
    colour_pretend_coroutine();
    struct pop_world *w = argument;
    struct directory_account_change change = {.sets_standing = true, .standing = STANDING_SUSPENDED};
    EXPECT(directory_set_account(w->identity, VIEW("joe@example.test"), &change, clock_in(60000), NULL) == OK);
}

/* On the node that it was told, and on others. What was marked stays. */
TEST(popd_ends_sessions_of_an_account_that_was_suspended)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct pop_world *a = pop_world_open(seed, NULL), *b = pop_world_join(a, NULL);
        pop_world_deliver(a, "joe@example.test", view_of(first_message));
        struct transcript *here = pop_world_connect(a, POPD_PLAIN), *other = pop_world_connect(a, POPD_PLAIN);
        TRANSCRIPT(other, "S: +OK *\nC: USER ann@example.test\nS: +OK *\nC: PASS secret\nS: +OK *\n");
        TRANSCRIPT(here, LOGIN "S: +OK 1 *\nC: DELE 1\nS: +OK *\nQ: 60000\n");
        sim_call((seed % 2 ? a : b)->node, 0, suspends, seed % 2 ? a : b);
        TRANSCRIPT(here, "W: 25000\nS: -ERR [SYS/PERM] *\nE:\n");
        EXPECT_NUMBER(pop_world_count(a, "joe@example.test"), 1);
        TRANSCRIPT(other, "C: STAT\nS: +OK *\n" QUIT);
        transcript_close(here);
        transcript_close(other);
        pop_world_close(b);
        pop_world_close(a);
    }
}

TEST(popd_authenticates)
{
    try("S: +OK *\nC: AUTH\nS: +OK *\nS: PLAIN\nS: .\nC: AUTH PLAIN\nS: + \nC: AGpvZUBleGFtcGxlLnRlc3QAc2VjcmV0\nS: +OK 2 *\n" QUIT);
    try("S: +OK *\nC: AUTH PLAIN AGpvZUBleGFtcGxlLnRlc3QAc2VjcmV0\nC: STAT\nS: +OK 2 *\nS: +OK 2 71\n" QUIT);
    try("S: +OK *\nC: AUTH PLAIN\nS: + \nC: *\nS: -ERR *\nC: AUTH PLAIN =\nS: -ERR *\nC: AUTH PLAIN AAAA\nS: -ERR *\nC: AUTH PLAIN !\nS: -ERR *\n"
        "C: AUTH GSSAPI\nS: -ERR *\n" QUIT);
    try("S: +OK *\nC: PASS secret\nS: -ERR *\nC: USER joe@example.test\nS: +OK *\nC: PASS wrong\nQ: 900\nS: -ERR [AUTH] *\nC: PASS secret\nS: -ERR USER first\n"
        "C: USER nobody@example.test\nS: +OK *\nC: PASS secret\nQ: 1900\nS: -ERR [AUTH] *\nC: USER suspended@example.test\nS: +OK *\nC: PASS secret\n"
        "S: -ERR [AUTH] *suspended*\nE:\n");
}

TEST(popd_holds_to_the_order_of_commands)
{
    try("S: +OK *\nC: STAT\nS: -ERR *\nC: RETR 1\nS: -ERR *\nC: NOOP\nS: -ERR *\nC: UTF8\nS: +OK *\nC: APOP x y\nS: -ERR *\n" QUIT);
    try(LOGIN "S: +OK *\nC: USER x\nS: -ERR Already *\nC: STLS\nS: -ERR *\nC: UTF8\nS: -ERR *\nC: RETR\nS: -ERR Wrong *\nC: RETR 0\nS: -ERR *\nC: FOO\nS: -ERR Unk*\n"
        "C: CAPA\nS: +OK *\nS: TOP\nS: UIDL\nS: RESP-CODES\nS: AUTH-RESP-CODE\nS: PIPELINING\nS: UTF8 USER\nS: USER\nS: SASL PLAIN\nS: IMPL*\nS: .\n" QUIT);
}

TEST(popd_speaks_tls)
{
    struct pop_world *w = pop_world_open(2, NULL);
    pop_world_play(w, POPD_PLAIN, "S: +OK *\nC: USER ann@example.test\nS: +OK *\nC: STLS\nS: +OK *\nT:\nC: PASS secret\nS: -ERR USER first\nC: STLS\nS: -ERR *\n"
                   "C: USER ann@example.test\nS: +OK *\nC: PASS secret\nS: +OK *\n" QUIT);
    /* what was sent behind STLS in the clear is not obeyed */
    pop_world_play(w, POPD_PLAIN, "S: +OK *\nC! STLS\\r\\nUSER ann@example.test\\r\\n\nS: +OK *\nT:\nC: PASS secret\nS: -ERR USER first\n" QUIT);
    pop_world_play(w, POPD_TLS, "T:\nS: +OK *\nC: USER ann@example.test\nS: +OK *\nC: PASS secret\nS: +OK *\n" QUIT);
    pop_world_close(w);

    struct popd_options options = popd_default_options();
    w = pop_world_open(4, &options);
    options.tls = w->tls;
    pop_world_play(w, POPD_PLAIN, "S: +OK *\nC: STLS\nS: -ERR TLS is not offered\n" QUIT);
    pop_world_close(w);
}

TEST(popd_ends_sessions)
{
    static char script[4096] = LOGIN "S: +OK *\n";
    for (int i = 0; i < 20; i++) strcat(script, "C: FOO\n");
    for (int i = 0; i < 20; i++) strcat(script, "S: -ERR Unknown command\n");
    strcat(script, "E:\n");
    try(script);
    try(LOGIN "S: +OK *\nW: 590000\nC: NOOP\nS: +OK\nW: 601000\nS: -ERR *\nE:\n");
    try("S: +OK *\nC@ 10000 x\nC: \nS: -ERR Line too long\nC: CAPA\nS: +OK *\nS~ .\n" QUIT);
    try("S: +OK *\nC! QU\nW: 130000\nE:\n");
}

TEST_SLOW(popd_gives_large_mailboxes_and_messages, 60)
{
    enum { MESSAGES = 300, LARGE_BYTES = 1 << 20 };
    struct pop_world *w = pop_world_open(5, NULL);
    buf large CLEANUP(buf_done) = BUF_INIT, input CLEANUP(buf_done) = BUF_INIT, answers CLEANUP(buf_done) = BUF_INIT;
    buf_append(&large, VIEW("Subject: large\r\n\r\n"));
    while (large.len < LARGE_BYTES) buf_append(&large, VIEW("a line without a dot in front\r\n"));
    pop_world_deliver(w, "joe@example.test", buf_view(&large));
    for (int i = 1; i < MESSAGES; i++) pop_world_deliver(w, "joe@example.test", view_of(first_message));
    buf_append(&input, VIEW("USER joe@example.test\r\nPASS secret\r\nLIST\r\nUIDL\r\n"));
    for (int i = 1; i <= MESSAGES; i++) buf_appendf(&input, "RETR %d\r\nDELE %d\r\n", i, i);
    buf_append(&input, VIEW("QUIT\r\n"));
    pop_world_converse(w, buf_view(&input), 0, &answers);
    EXPECT(view_find_view(buf_view(&answers), buf_view(&large)) != VIEW_NONE);
    EXPECT(view_ends(buf_view(&answers), VIEW("+OK Bye\r\n")));
    EXPECT(view_find_view(buf_view(&answers), VIEW("-ERR")) == VIEW_NONE);
    EXPECT_NUMBER(pop_world_count(w, "joe@example.test"), 0);
    pop_world_close(w);
}

static bool says(const buf *answers, const char *text)
{
    return view_find_view(buf_view(answers), view_of(text)) != VIEW_NONE;
}

TEST_SLOW(popd_tells_the_truth_when_the_store_fails, 120)
{
    enum { MESSAGES = 4, FAULT_SEEDS = 150 };
    static const char commands[] = "USER joe@example.test\r\nPASS secret\r\nUIDL\r\nRETR 1\r\nRETR 2\r\nRETR 3\r\nRETR 4\r\n"
                                   "DELE 1\r\nDELE 2\r\nDELE 3\r\nDELE 4\r\nQUIT\r\n";
    unsigned byes = 0, refusals = 0;
    for (uint64_t seed = 1; seed <= FAULT_SEEDS; seed++) {
        struct pop_world *w = pop_world_open(seed, NULL);
        for (int i = 0; i < MESSAGES; i++) pop_world_deliver(w, "joe@example.test", view_of(first_message));
        memory_store_set_faults(w->store, &(struct memory_faults){.delay_max_us = 5000, .unavailable_ppm = 100000, .unknown_ppm = 60000, .corrupt_read_ppm = 20000});
        buf answers CLEANUP(buf_done) = BUF_INIT;
        pop_world_converse(w, view_of(commands), 0, &answers);
        memory_store_set_faults(w->store, &(struct memory_faults){0});
        memory_store_settle(w->store);
        uint32_t left = pop_world_count(w, "joe@example.test");
        bool has_mailbox = says(&answers, "4 messages (176 octets)"), is_bye = says(&answers, "+OK Bye\r\n");
        if (is_bye && has_mailbox && !says(&answers, "-ERR")) EXPECT_NUMBER(left, 0);
        if (!has_mailbox) EXPECT_NUMBER(left, MESSAGES);
        byes += is_bye && has_mailbox;
        refusals += says(&answers, "-ERR [SYS/TEMP]");
        pop_world_close(w);
    }
    EXPECT(byes > 10 && refusals > 10);
}

/* Every command while the store is out of reach: a temporary error, and the session goes on afterwards. */
TEST(popd_answers_every_failure_of_the_store_as_temporary)
{
    static const struct memory_faults troubles[] = {{.unavailable_ppm = 1000000}, {.delay_max_us = 2000000000}};
    for (unsigned i = 0; i < array_size(troubles); i++) {
        struct pop_world *w = pop_world_open(i + 1, NULL);
        for (int n = 0; n < 3; n++) pop_world_deliver(w, "joe@example.test", view_of(first_message));
        struct transcript *t = pop_world_connect(w, POPD_PLAIN);
        memory_store_set_faults(w->store, &troubles[i]);
        TRANSCRIPT(t, "S: +OK *\nC: USER joe@example.test\nS: +OK *\nC: PASS secret\nS: -ERR [SYS/TEMP] *\n");
        memory_store_set_faults(w->store, &(struct memory_faults){0});
        memory_store_settle(w->store);
        TRANSCRIPT(t, "C: USER joe@example.test\nS: +OK *\nC: PASS secret\nS: +OK 3 *\n");
        memory_store_set_faults(w->store, &troubles[i]);
        TRANSCRIPT(t, "C: RETR 1\nS: -ERR [SYS/TEMP] *\nC: TOP 2 0\nS: -ERR [SYS/TEMP] *\nC: STAT\nS: +OK 3 *\nC: NOOP\nS: +OK\nC: DELE 1\nS: +OK *\n");
        memory_store_set_faults(w->store, &(struct memory_faults){0});
        TRANSCRIPT(t, "C: RETR 2\nS: +OK *\nS~ .\n");
        memory_store_set_faults(w->store, &troubles[i]);
        TRANSCRIPT(t, "C: QUIT\nS: -ERR [SYS/TEMP] *\nE:\n");
        memory_store_set_faults(w->store, &(struct memory_faults){0});
        memory_store_settle(w->store);
        transcript_close(t);
        sim_run(w->sim, 61000);          /* the lease, which could not be released */
        pop_world_play(w, POPD_PLAIN, LOGIN "S: +OK * messages *\n" QUIT);
        pop_world_close(w);
    }
}

/* The lease alone cannot be taken: who would share the maildrop is not known. */
TEST(popd_waits_with_the_maildrop_until_its_lease_is_certain)
{
    struct pop_world *w = pop_world_open(3, NULL);
    unsigned entered = 0;
    for (unsigned i = 0; i < 30; i++) {
        buf answers CLEANUP(buf_done) = BUF_INIT;
        memory_store_set_faults(w->store, &(struct memory_faults){.unknown_ppm = 500000});
        pop_world_converse(w, VIEW("USER joe@example.test\r\nPASS secret\r\nQUIT\r\n"), 0, &answers);
        bool is_in = says(&answers, "0 messages");
        entered += is_in;
        EXPECT(is_in || says(&answers, "-ERR [SYS/TEMP]") || says(&answers, "-ERR [IN-USE]"));
        memory_store_settle(w->store);
    }
    EXPECT(entered > 0);
    memory_store_set_faults(w->store, &(struct memory_faults){0});
    sim_run(w->sim, 70000);
    pop_world_play(w, POPD_PLAIN, LOGIN "S: +OK 0 *\n" QUIT);
    pop_world_close(w);
}

struct stopping {
    struct pop_world *world;
    int64_t after_ms;
};

static void stop_later(void *argument)
{
    colour_pretend_coroutine();
    struct stopping *s = argument;
    (void)!coroutine_sleep(s->after_ms);
    popd_stop(s->world->popd);
}

TEST_SLOW(popd_stops_whatever_its_sessions_do, 60)
{
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct pop_world *w = pop_world_open(seed, NULL);
        pop_world_deliver(w, "joe@example.test", view_of(first_message));
        memory_store_set_faults(w->store, &(struct memory_faults){.delay_max_us = 20000});
        struct stopping stopping = {w, (int64_t)(100 + sim_choose(w->sim, 60))};
        sim_spawn(w->node, 0, "stop", stop_later, &stopping);
        buf answers CLEANUP(buf_done) = BUF_INIT;
        pop_world_converse(w, VIEW("USER joe@example.test\r\nPASS secret\r\nRETR 1\r\nDELE 1\r\nNOOP\r\nRETR 1\r\n"), 7, &answers);
        EXPECT_NUMBER(pop_world_count(w, "joe@example.test"), 1);
        EXPECT(says(&answers, "+OK Tayori ready\r\n") && says(&answers, "-ERR [SYS/TEMP] The server is restarting"));
        pop_world_close(w);
    }
}

TEST(popd_limits_connections_of_one_client)
{
    struct popd_options options = popd_default_options();
    options.connections_per_address_max = 2;
    struct pop_world *w = pop_world_open(1, &options);
    struct transcript *one = pop_world_connect(w, POPD_PLAIN), *two = pop_world_connect(w, POPD_PLAIN);
    TRANSCRIPT(one, "S: +OK *\n");
    TRANSCRIPT(two, "S: +OK *\n");
    pop_world_play(w, POPD_PLAIN, "S: -ERR [SYS/TEMP] Too many connections from your address\nE:\n");
    TRANSCRIPT(one, QUIT);
    transcript_close(one);
    pop_world_play(w, POPD_PLAIN, "S: +OK *\n" QUIT);
    transcript_close(two);
    pop_world_close(w);
}
