/*
 * Several clients of one mailbox do whatever comes to their minds; each must be able to believe what it is told, and in the
 * end all must believe the same, which must be true.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/test.h"
#include "engine/memory.h"
#include "formats/imap.h"
#include "imapd/test_model.h"
#include "imapd/test_server.h"
#include "runtime/clock.h"
#include "runtime/coroutine.h"
#include "runtime/random.h"
#include "runtime/wire.h"

enum { CLIENTS = 3, TURNS = 40, MESSAGES_FIRST = 6, PATIENCE_MS = 120 * 1000 };

struct party;

struct client {
    struct party *party;
    unsigned index, tag;
    struct stream *stream;
    struct wire wire;
    struct model model;
    buf line;
};

struct party {
    struct test_server *server;
    struct client clients[CLIENTS];
    unsigned turns, busy, done;
    bool has_faults;
};

static unsigned pick(unsigned below) { return (unsigned)random_below(below); }

/* ---- talking ---- */

/* One logical line with its literals. */
MAY_YIELD static bool hear_line(struct client *c)
{
    view line, piece;
    buf_clear(&c->line);
    for (;;) {
        if (wire_line(&c->wire, 1 << 20, clock_in(PATIENCE_MS), &line, NULL) != OK) return false;
        buf_append(&c->line, line);
        struct imap_literal literal;
        if (!imap_text_wants_literal(line, &literal)) return true;
        buf_append_cstr(&c->line, "\r\n");
        while (literal.size_bytes > 0) {
            if (wire_bytes(&c->wire, (size_t)literal.size_bytes, clock_in(PATIENCE_MS), &piece, NULL) != OK) return false;
            literal.size_bytes -= piece.len;
            buf_append(&c->line, piece);
        }
    }
}

/* Until the answer with the tag; its word. */
MAY_YIELD static view hear_answer(struct client *c, const char *tag)
{
    for (;;) {
        if (!hear_line(c)) {
            test_fail(__FILE__, __LINE__, "client %u: the server closed", c->index);
            test_stop();
        }
        view line = buf_view(&c->line);
        if (!model_hear(&c->model, line)) {
            test_fail(__FILE__, __LINE__, "client %u, seed %llu", c->index, (unsigned long long)sim_seed(c->party->server->sim));
            test_stop();
        }
        if (view_starts(line, view_of(tag)) && line.len > strlen(tag) && line.at[strlen(tag)] == ' ') return view_from(line, strlen(tag) + 1);
    }
}

MAY_YIELD static view ask(struct client *c, bool may_expunge, const char *format, ...) __attribute__((format(printf, 3, 4)));

MAY_YIELD static view ask(struct client *c, bool may_expunge, const char *format, ...)
{
    char tag[16];
    va_list arguments;
    snprintf(tag, sizeof tag, "t%u", c->tag++);
    wire_putf(&c->wire, "%s ", tag);
    va_start(arguments, format);
    buf_appendv(&c->wire.output, format, arguments);
    va_end(arguments);
    wire_put(&c->wire, VIEW("\r\n"));
    c->model.may_expunge = may_expunge;
    if (wire_flush(&c->wire, clock_in(PATIENCE_MS), NULL) != OK) test_stop();
    return hear_answer(c, tag);
}

MAY_YIELD static void ask_well(struct client *c, bool may_expunge, const char *command)
{
    view answer = ask(c, may_expunge, "%s", command);
    if (!view_starts(answer, VIEW("OK"))) {
        struct sim *sim = c->party->server->sim;
        view fault = sim_event_field(sim, EVENT_IMAP_COMMAND_FAILED, sim_event_count(sim, EVENT_IMAP_COMMAND_FAILED) - 1, "fault");
        test_fail(__FILE__, __LINE__, "%s: " VIEW_FMT " (" VIEW_FMT "), seed %llu", command, VIEW_ARG(answer), VIEW_ARG(fault),
                  (unsigned long long)sim_seed(sim));
        test_stop();
    }
}

/* NO is an answer where the store has faults. */
MAY_YIELD static bool ask_kindly(struct client *c, bool may_expunge, const char *command)
{
    if (!c->party->has_faults) {
        ask_well(c, may_expunge, command);
        return true;
    }
    return view_starts(ask(c, may_expunge, "%s", command), VIEW("OK"));
}

/* ---- what it does ---- */

static const char *const flag_names[] = {MODEL_FLAG_NAMES};

MAY_YIELD static void store(struct client *c)
{
    uint32_t count = c->model.count, first = 1 + pick(count), last = first + pick(count - first + 1);
    unsigned flag = pick(MODEL_FLAG_COUNT);
    char sign = "+-"[pick(2)];
    bool is_silent = pick(2);
    /* A silent change is known without being told: noted before the answer, which may tell of later ones. */
    for (uint32_t i = first; is_silent && i <= last; i++) {
        struct model_message *m = &c->model.messages[i - 1];
        if (m->flags == MODEL_FLAGS_UNKNOWN) continue;
        m->flags = sign == '+' ? m->flags | 1u << flag : m->flags & ~(1u << flag);
    }
    view answer = ask(c, false, "STORE %u:%u %cFLAGS%s (%s)", first, last, sign, is_silent ? ".SILENT" : "", flag_names[flag]);
    if (view_starts(answer, VIEW("OK"))) return;
    for (uint32_t i = first; is_silent && i <= last; i++) c->model.messages[i - 1].flags = MODEL_FLAGS_UNKNOWN;
}

MAY_YIELD static void idle(struct client *c)
{
    char tag[16];
    snprintf(tag, sizeof tag, "t%u", c->tag++);
    wire_putf(&c->wire, "%s IDLE\r\n", tag);
    c->model.may_expunge = true;
    if (wire_flush(&c->wire, clock_in(PATIENCE_MS), NULL) != OK || coroutine_sleep(pick(200)) != OK) test_stop();
    wire_put(&c->wire, VIEW("DONE\r\n"));
    if (wire_flush(&c->wire, clock_in(PATIENCE_MS), NULL) != OK) test_stop();
    (void)hear_answer(c, tag);
}

MAY_YIELD static void select_inbox(struct client *c)
{
    do {
        model_clear(&c->model);
    } while (!ask_kindly(c, true, "SELECT INBOX"));
}

MAY_YIELD static void act(struct client *c)
{
    uint32_t count = c->model.count;
    switch (pick(14)) {
    case 0: (void)ask_kindly(c, true, "NOOP"); break;
    case 1: (void)ask_kindly(c, false, count ? "FETCH 1:* (UID FLAGS)" : "SEARCH ALL"); break;
    case 2: (void)ask_kindly(c, true, "UID FETCH 1:* (FLAGS BODY.PEEK[])"); break;
    case 3:
    case 4:
        if (count) store(c);
        break;
    case 5: (void)ask(c, true, "UID STORE %u:* +FLAGS (\\Deleted)", 1 + pick(40)); break;
    case 6: (void)ask_kindly(c, true, "EXPUNGE"); break;
    case 7: (void)ask(c, true, "UID EXPUNGE %u:%u", 1 + pick(20), 20 + pick(20)); break;
    case 8:
        if (count) (void)ask(c, true, "COPY %u INBOX", 1 + pick(count));
        break;
    case 9:
        if (count) (void)ask(c, true, "MOVE %u:%u %s", 1 + pick(count), 1 + pick(count), pick(2) ? "INBOX" : "Other");
        break;
    case 10:
    case 11: (void)ask(c, true, "APPEND INBOX (k1) {11+}\r\nA: b\r\n\r\nc\r\n"); break;
    case 12: idle(c); break;
    case 13:
        if (pick(4) == 0) select_inbox(c);
        else if (count) (void)ask(c, false, "FETCH %u (FLAGS BODY[TEXT])", 1 + pick(count));
        break;
    }
}

/* What it believes must be so. */
MAY_YIELD static void prove(struct client *c)
{
    struct model_message before[400];
    ask_well(c, true, "NOOP");
    uint32_t count = c->model.count < array_size(before) ? c->model.count : (uint32_t)array_size(before);
    memcpy(before, c->model.messages, count * sizeof before[0]);
    if (c->model.count) ask_well(c, false, "FETCH 1:* (UID FLAGS)");
    for (uint32_t i = 0; i < count; i++) {
        struct model_message *now = &c->model.messages[i];
        if (before[i].flags != MODEL_FLAGS_UNKNOWN && before[i].flags != now->flags)
            test_fail(__FILE__, __LINE__, "client %u believed flags %x of UID %u, which has %x; seed %llu", c->index, before[i].flags, now->uid,
                      now->flags, (unsigned long long)sim_seed(c->party->server->sim));
    }
}

static void live(void *argument)
{
    colour_pretend_coroutine();
    struct client *c = argument;
    struct party *party = c->party;
    wire_init(&c->wire, c->stream, WIRE_CRLF_ENDS_COMMAND);
    while (!ask_kindly(c, true, "LOGIN joe@example.test secret")) continue;
    ask_well(c, true, "ENABLE IMAP4rev2");
    select_inbox(c);
    for (unsigned i = 0; i < party->turns; i++) {
        act(c);
        if (pick(4) == 0 && coroutine_sleep(pick(50)) != OK) break;
    }
    if (--party->busy == 0) {
        memory_store_set_faults(party->server->store, &(struct memory_faults){0});
        party->has_faults = false;
    }
    while (party->busy > 0)
        if (coroutine_sleep(10) != OK) break;
    prove(c);
    party->done++;
    while (party->done < CLIENTS)
        if (coroutine_sleep(10) != OK) break;
    ask_well(c, true, "LOGOUT");
    wire_done(&c->wire);
}

static bool is_over(void *argument)
{
    struct party *party = argument;
    for (unsigned i = 0; i < CLIENTS; i++)
        if (party->clients[i].wire.stream || !party->clients[i].tag) return false;
    return true;
}

static void accept_here(void *argument)
{
    struct client *c = argument;
    imapd_accept(imapd_service(c->party->server->imapd, IMAPD_PLAIN), c->stream);
}

static void run_party(uint64_t seed, unsigned turns, const struct memory_faults *faults)
{
    struct party party = {.server = test_server_open(seed, NULL), .turns = turns, .busy = CLIENTS};
    struct test_server *t = party.server;
    sim_set_hasty(t->sim, seed % 5 > 2);
    struct transcript *c = test_server_login(t);
    TRANSCRIPT(c, "C: a CREATE Other\nS: a OK *\n");
    transcript_close(c);
    for (unsigned i = 0; i < MESSAGES_FIRST; i++) test_server_add(t, "INBOX", "", VIEW("Subject: x\r\n\r\ny"));
    if (faults) memory_store_set_faults(t->store, faults);
    party.has_faults = faults && (faults->unavailable_ppm || faults->unknown_ppm);
    struct sim_node *node = sim_node_new(t->sim, "clients", 1);
    struct client servers[CLIENTS];
    for (unsigned i = 0; i < CLIENTS; i++) {
        struct client *one = &party.clients[i];
        unsigned loop = (unsigned)sim_choose(t->sim, 3);
        *one = (struct client){.party = &party, .index = i, .tag = 0, .line = BUF_INIT};
        servers[i] = (struct client){.party = &party};
        sim_stream_pair(sim_node_loop(t->node, loop), sim_node_loop(node, 0), &servers[i].stream, &one->stream);
        sim_spawn(t->node, loop, "accept", accept_here, &servers[i]);
        sim_spawn(node, 0, "client", live, one);
    }
    EXPECT(sim_run_until(t->sim, is_over, &party, MILLIS_NEVER) == SIM_DONE);
    for (unsigned i = 0; i < CLIENTS; i++) {
        model_done(&party.clients[i].model);
        buf_done(&party.clients[i].line);
    }
    test_server_close(t);
}

/* TAYORI_SEED=n runs that seed alone, TAYORI_SEEDS=n so many. */
static void run_parties(const struct memory_faults *odd, const struct memory_faults *even)
{
    const char *one = getenv("TAYORI_SEED"), *many = getenv("TAYORI_SEEDS"), *is_long = getenv("TAYORI_CHECK_LONG");
    uint64_t count = many ? strtoull(many, NULL, 10) : is_long && *is_long ? 5000 : 40;
    uint64_t first = one ? strtoull(one, NULL, 10) : 1, last = one ? first : count;
    for (uint64_t seed = first; seed <= last; seed++) run_party(seed, TURNS, seed % 2 ? odd : even);
}

TEST_SLOW(imapd_clients_of_one_mailbox_can_believe_what_they_are_told, 300)
{
    struct memory_faults slow = {.delay_max_us = 5000};
    run_parties(&slow, NULL);
    /* Once wrong: a silent STORE hid what another client had changed just before. */
    run_party(237, TURNS, &slow);
    run_party(1886, TURNS, NULL);
}

TEST_SLOW(imapd_clients_of_one_mailbox_can_believe_what_they_are_told_while_the_store_fails, 300)
{
    struct memory_faults refusing = {.delay_max_us = 3000, .unavailable_ppm = 30000};
    struct memory_faults unsure = {.delay_max_us = 3000, .unavailable_ppm = 10000, .unknown_ppm = 20000, .blind_appends_tell_nothing = true};
    run_parties(&refusing, &unsure);
}
