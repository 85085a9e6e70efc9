/*
 * Two clients of one mailbox say anything, to real sessions on the simulator and the memory engine. The first byte chooses how
 * far the conversations have come; then pieces of input, separated by 0x1e, go to the one and the other in turn.
 * Oracles: the sanitizers; sessions end; neither client is told anything that contradicts what it was told before.
 */
#include <stdio.h>

#include "base/check.h"
#include "formats/imap.h"
#include "imapd/test_model.h"
#include "imapd/test_server.h"
#include "runtime/clock.h"
#include "runtime/coroutine.h"
#include "runtime/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define LOGIN "a LOGIN joe@example.test secret\r\n"
static const char *const beginnings[] = {
    "",
    LOGIN,
    LOGIN "b SELECT INBOX\r\n",
    LOGIN "b ENABLE IMAP4rev2\r\nc SELECT INBOX\r\n",
    LOGIN "b ENABLE CONDSTORE UTF8=ACCEPT\r\nc EXAMINE INBOX\r\n",
    LOGIN "b SELECT INBOX\r\nc IDLE\r\n",
};

enum { INPUT_MAX = 4096, CLIENTS = 2, QUIET_MS = 20 };

struct client {
    struct test_server *server;
    struct stream *stream, *far;
    struct wire wire;
    struct model model;
    buf line, to_send;
    bool has_ended;
};

/* One logical line of the server's with its literals. */
MAY_YIELD static bool hear_line(struct client *c)
{
    view line, piece;
    struct imap_literal literal;
    buf_clear(&c->line);
    for (;;) {
        if (wire_line(&c->wire, 1 << 20, MILLIS_NEVER, &line, NULL) != OK) return false;
        buf_append(&c->line, line);
        if (!imap_text_wants_literal(line, &literal)) return true;
        buf_append_cstr(&c->line, "\r\n");
        while (literal.size_bytes > 0) {
            if (wire_bytes(&c->wire, (size_t)literal.size_bytes, MILLIS_NEVER, &piece, NULL) != OK) return false;
            literal.size_bytes -= piece.len;
            buf_append(&c->line, piece);
        }
    }
}

/* FLAGS and PERMANENTFLAGS begin a SELECT, of which EXISTS is next, and tell of a new keyword. */
static bool begins_mailbox(view line, unsigned *flags_lines)
{
    unsigned before = *flags_lines;
    *flags_lines = view_starts(line, VIEW("* FLAGS (")) ? 1 : before == 1 && view_starts(line, VIEW("* OK [PERMANENTFLAGS (")) ? 2 : 0;
    return before == 2 && view_ends(line, VIEW(" EXISTS"));
}

/* With a new SELECT what was believed of the mailbox before is void. */
static void listen(void *argument)
{
    colour_pretend_coroutine();
    struct client *c = argument;
    unsigned flags_lines = 0;
    wire_init(&c->wire, c->stream, WIRE_CRLF_ENDS_COMMAND);
    c->model.may_expunge = true;
    while (hear_line(c)) {
        if (begins_mailbox(buf_view(&c->line), &flags_lines)) model_clear(&c->model);
        check(model_hear(&c->model, buf_view(&c->line)));
    }
    wire_done(&c->wire);
    c->has_ended = true;
}

static void say(void *argument)
{
    colour_pretend_coroutine();
    struct client *c = argument;
    view part = buf_view(&c->to_send);
    if (!c->has_ended && part.len) (void)!stream_write(c->stream, &part, 1, clock_in(1000), NULL);
}

static void hang_up(void *argument)
{
    struct client *c = argument;
    if (!c->has_ended) stream_abort(c->stream);
}

static void accept_here(void *argument)
{
    struct client *c = argument;
    imapd_accept(imapd_service(c->server->imapd, IMAPD_PLAIN), c->far);
}

static void send_piece(struct test_server *t, struct sim_node *node, struct client *c, view piece)
{
    buf_clear(&c->to_send);
    buf_append(&c->to_send, piece);
    sim_call(node, 0, say, c);
    (void)sim_run(t->sim, QUIET_MS);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct client clients[CLIENTS] = {0};
    if (size == 0 || size > INPUT_MAX) return 0;
    struct test_server *t = test_server_open(1, NULL);
    for (int i = 0; i < 3; i++) test_server_add(t, "INBOX", "(k1)", VIEW("Subject: x\r\nContent-Type: text/plain\r\n\r\nhello\r\n"));
    struct sim_node *node = sim_node_new(t->sim, "clients", 1);
    for (unsigned i = 0; i < CLIENTS; i++) {
        clients[i].server = t;
        sim_stream_pair(sim_node_loop(t->node, i), sim_node_loop(node, 0), &clients[i].far, &clients[i].stream);
        sim_spawn(t->node, i, "accept", accept_here, &clients[i]);
        sim_spawn(node, 0, "listen", listen, &clients[i]);
        send_piece(t, node, &clients[i], view_of(beginnings[data[0] % array_size(beginnings)]));
    }
    view rest = view_make(data + 1, size - 1), piece;
    for (unsigned turn = 0; view_cut(&rest, 0x1e, &piece); turn++) send_piece(t, node, &clients[turn % CLIENTS], piece);
    for (unsigned i = 0; i < CLIENTS; i++) sim_spawn(node, 0, "hang up", hang_up, &clients[i]);
    (void)sim_run(t->sim, 1000);
    for (unsigned i = 0; i < CLIENTS; i++) {
        check(clients[i].has_ended);
        model_done(&clients[i].model);
        buf_done(&clients[i].line);
        buf_done(&clients[i].to_send);
    }
    test_server_close(t);
    return 0;
}
