/* What a client is told when the store fails, and what is left of what it was told when the node dies. */
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/test.h"
#include "engine/pressure_help.h"
#include "runtime/clock.h"
#include "runtime/coroutine.h"
#include "runtime/wire.h"
#include "smtpd/post_office.h"

#define BEGIN "S: 220 *\nC: LHLO x\nS~ 250 HELP\nC: MAIL FROM:<s@away.test>\nS: 250 *\nC: RCPT TO:<a@example.test>\nS: 250 *\nC: RCPT TO:<c@example.test>\nS: 250 *\n"
#define QUIT "C: QUIT\nS: 221 *\nE:\n"

TEST(smtpd_asks_to_come_again_when_the_store_takes_nothing)
{
    struct post_office *o = post_office_open(1, NULL);
    buf bytes CLEANUP(buf_done) = BUF_INIT;
    memory_store_set_faults(o->store, &(struct memory_faults){.full = true});
    post_office_play(o, SMTPD_LMTP, BEGIN "C: DATA\nS: 354 *\nC: x\nC: .\nS: 451 4.3.0 <a@*\nS: 451 4.3.0 <c@*\n" QUIT);
    EXPECT_NUMBER(sim_event_count(o->sim, EVENT_MESSAGE_NOT_DELIVERED), 2);
    memory_store_set_faults(o->store, &(struct memory_faults){0});
    EXPECT_NUMBER(post_office_inbox(o, "a@example.test", &bytes), 0);
    post_office_play(o, SMTPD_LMTP, BEGIN "C: DATA\nS: 354 *\nC: x\nC: .\nS: 250 *\nS: 250 *\n" QUIT);
    EXPECT_NUMBER(post_office_inbox(o, "a@example.test", &bytes), 1);
    EXPECT_NUMBER(post_office_inbox(o, "c@example.test", &bytes), 1);
    post_office_close(o);
}

TEST(smtpd_refuses_a_large_message_when_it_cannot_be_streamed)
{
    struct post_office *o = post_office_open(1, NULL);
    memory_store_set_faults(o->store, &(struct memory_faults){.full = true});
    post_office_play(o, SMTPD_LMTP, BEGIN "C: DATA\nS: 354 *\nC: \nC@ 300000 x\nC: \nC: .\nS: 451 4.3.0 *\nS: 451 4.3.0 *\nC: NOOP\nS: 250 *\n" QUIT);
    memory_store_set_faults(o->store, &(struct memory_faults){0});
    post_office_close(o);
}

/* In each way in which it can fail, at RCPT and at the end of the data. */
TEST(smtpd_answers_every_failure_of_the_store_as_temporary)
{
    static const struct memory_faults troubles[] = {{.unavailable_ppm = 1000000}, {.delay_max_us = 2000000000}, {.unknown_ppm = 1000000, .unavailable_ppm = 500000}};
    for (unsigned i = 0; i < array_size(troubles); i++) {
        struct post_office *o = post_office_open(i + 1, NULL);
        struct transcript *t = post_office_connect(o, SMTPD_MX);
        TRANSCRIPT(t, "S: 220 *\nC: EHLO x\nS~ 250 HELP\nC: MAIL FROM:<s@away.test>\nS: 250 *\n");
        if (troubles[i].unknown_ppm == 0) {
            memory_store_set_faults(o->store, &troubles[i]);
            TRANSCRIPT(t, "C: RCPT TO:<d@example.test>\nS: 4*\n");
            memory_store_set_faults(o->store, &(struct memory_faults){0});
        }
        TRANSCRIPT(t, "C: RCPT TO:<a@example.test>\nS: 250 *\nC: DATA\nS: 354 *\n");
        memory_store_set_faults(o->store, &troubles[i]);
        TRANSCRIPT(t, "C: x\nC: .\nS: 451 4.3.0 *\n");
        TRANSCRIPT(t, "C: MAIL FROM:<s@away.test>\nS: 250 *\n");
        memory_store_set_faults(o->store, &(struct memory_faults){0});
        memory_store_settle(o->store);
        TRANSCRIPT(t, "C: RCPT TO:<c@example.test>\nS: 250 *\nC: DATA\nS: 354 *\nC: x\nC: .\nS: 250 *\n" QUIT);
        transcript_close(t);
        post_office_close(o);
    }
}

TEST(smtpd_puts_off_deliveries_and_then_connections_while_the_store_is_behind)
{
    struct post_office *o = post_office_open(1, NULL);
    struct transcript *early = post_office_connect(o, SMTPD_LMTP);
    TRANSCRIPT(early, BEGIN);
    pressure_press(o->node, o->store, o->engine, 60);
    /* What has begun goes on: its sender has done its part. */
    TRANSCRIPT(early, "C: RCPT TO:<d@example.test>\nS: 451 4.3.0 *\nC: DATA\nS: 354 *\nC: x\nC: .\nS: 250 *\nS: 250 *\nC: MAIL FROM:<s@away.test>\nS: 451 4.3.0 *\n" QUIT);
    transcript_close(early);
    post_office_play(o, SMTPD_MX, "S: 220 *\nC: HELO away.test\nS: 250 *\nC: MAIL FROM:<s@away.test>\nS: 451 4.3.0 *\nC: NOOP\nS: 250 *\n" QUIT);
    pressure_press(o->node, o->store, o->engine, 60);
    post_office_play(o, SMTPD_MX, "S: 421 4.3.0 *\nE:\n");
    EXPECT_NUMBER(sim_event_count(o->sim, EVENT_STORE_PRESSED), 2);
    pressure_relieve(o->node);
    post_office_play(o, SMTPD_LMTP, BEGIN "C: DATA\nS: 354 *\nC: x\nC: .\nS: 250 *\nS: 250 *\n" QUIT);
    EXPECT_NUMBER(sim_event_count(o->sim, EVENT_STORE_KEEPS_UP), 1);
    post_office_close(o);
}

TEST(smtpd_keeps_a_large_message)
{
    struct post_office *o = post_office_open(1, NULL);
    buf bytes CLEANUP(buf_done) = BUF_INIT;
    post_office_play(o, SMTPD_LMTP, BEGIN "C: DATA\nS: 354 *\nC: Subject: large\nC: \nC@ 3000000 x\nC: \nC: .\nS: 250 *\nS: 250 *\n" QUIT);
    EXPECT_NUMBER(post_office_inbox(o, "a@example.test", &bytes), 1);
    size_t begin = view_find_view(buf_view(&bytes), VIEW("Subject: large\r\n\r\nxxx"));
    REQUIRE(begin != VIEW_NONE);
    EXPECT_NUMBER(bytes.len - begin, 3000000 + strlen("Subject: large\r\n\r\n\r\n"));
    post_office_close(o);
}

/* ---- invariant 1: what was acknowledged is there, once, whenever the node dies ---- */

enum { MESSAGES = 12, SEEDS = 60, STEPS_MAX = 220 };

struct sender {
    struct stream *near, *far;
    void *service;
    unsigned sent, acknowledged;
    bool is_done;
};

static void accepts(void *argument)
{
    struct sender *sender = argument;
    smtpd_accept(sender->service, sender->near);
}

MAY_YIELD static bool hears(struct wire *w, unsigned count, const char *last)
{
    view line = VIEW_EMPTY;
    for (unsigned i = 0; i < count; i++)
        if (wire_line(w, 1000, MILLIS_NEVER, &line, NULL) != OK) return false;
    return view_starts(line, view_of(last));
}

MAY_YIELD static bool sends(struct wire *w, unsigned number)
{
    char data[64];
    snprintf(data, sizeof data, "Subject: message-%u.\r\n\r\n.\r\n", number);
    wire_put(w, VIEW("MAIL FROM:<s@away.test>\r\nRCPT TO:<a@example.test>\r\nDATA\r\n"));
    if (wire_flush(w, MILLIS_NEVER, NULL) != OK || !hears(w, 3, "354")) return false;
    wire_put(w, view_of(data));
    return wire_flush(w, MILLIS_NEVER, NULL) == OK && hears(w, 1, "250 2.0.0");
}

static void sends_messages(void *argument)
{
    colour_pretend_coroutine();
    struct sender *sender = argument;
    struct wire w;
    wire_init(&w, sender->far, WIRE_CRLF_ENDS_COMMAND);
    wire_put(&w, VIEW("HELO x\r\n"));
    if (hears(&w, 1, "220") && wire_flush(&w, MILLIS_NEVER, NULL) == OK && hears(&w, 1, "250")) {
        while (sender->sent < MESSAGES && sends(&w, sender->sent++)) sender->acknowledged = sender->sent;
    }
    wire_done(&w);
    sender->is_done = true;
}

static bool sender_is_done(void *argument)
{
    return ((struct sender *)argument)->is_done;
}

/* Whether it died in time. */
static bool die_and_look(uint64_t seed)
{
    struct post_office *o = post_office_open(seed, NULL);
    struct sim_node *client = sim_node_new(o->sim, "client", 1);
    struct sender sender = {.service = smtpd_service(o->smtpd, SMTPD_MX)};
    buf bytes CLEANUP(buf_done) = BUF_INIT;
    memory_store_set_faults(o->store, &(struct memory_faults){.delay_max_us = 3000});
    sim_stream_pair(sim_node_loop(o->node, 0), sim_node_loop(client, 0), &sender.near, &sender.far);
    sim_spawn(o->node, 0, "accept", accepts, &sender);
    sim_spawn(client, 0, "send", sends_messages, &sender);
    sim_node_crash_after(o->node, 1 + sim_choose(o->sim, STEPS_MAX));
    EXPECT(sim_run_until(o->sim, sender_is_done, &sender, millis_add(clock_now(), 600 * 1000)) == SIM_DONE);
    sim_node_crash_after(o->node, 0);
    bool died = !sim_node_is_up(o->node);
    if (died) post_office_reopen(o, NULL);
    (void)!post_office_inbox(o, "a@example.test", &bytes);
    for (unsigned i = 0; i < sender.sent; i++) {
        char subject[32];
        snprintf(subject, sizeof subject, "message-%u.", i);
        view rest = buf_view(&bytes);
        unsigned count = 0;
        for (size_t at; (at = view_find_view(rest, view_of(subject))) != VIEW_NONE; rest = view_from(rest, at + 1)) count++;
        if (count > 1 || (count == 0 && i < sender.acknowledged))
            test_fail(__FILE__, __LINE__, "seed %u: message %u of %u acknowledged is there %u times", (unsigned)seed, i, sender.acknowledged, count);
    }
    post_office_close(o);
    return died;
}

TEST_SLOW(smtpd_loses_nothing_that_it_acknowledged, 120)
{
    unsigned deaths = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) deaths += die_and_look(seed);
    EXPECT(deaths > SEEDS / 2);
}
