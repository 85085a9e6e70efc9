#include "runtime/sim/transcript.h"

#include "base/test.h"
#include "runtime/clock.h"
#include "runtime/coroutine.h"
#include "runtime/tls.h"
#include "runtime/wire.h"

/* ---- a small protocol: GREET, ECHO text, COUNT n (as many lines), SLOW, TLS, QUIT ---- */

MAY_YIELD static result answer(struct wire *w, view line)
{
    view command, rest = line;
    uint64_t count = 0;
    view_cut(&rest, ' ', &command);
    if (view_equal(command, VIEW("GREET"))) wire_put(w, VIEW("* hello \\Seen \\*\r\n"));
    else if (view_equal(command, VIEW("ECHO"))) wire_putf(w, "+ " VIEW_FMT "\r\n", VIEW_ARG(rest));
    else if (view_equal(command, VIEW("COUNT")) && view_to_u64(rest, &count))
        while (count-- > 0) wire_putf(w, "%u\r\n", (unsigned)count);
    else if (view_equal(command, VIEW("LENGTH"))) wire_putf(w, "%zu\r\n", line.len);
    else if (view_equal(command, VIEW("SLOW"))) return coroutine_sleep(60000);
    else if (view_equal(command, VIEW("TLS"))) {
        colour_pretend_worker();
        struct tls_context *context;
        struct tls_certificate none = {0};
        wire_put(w, VIEW("+ go\r\n"));
        result code = wire_flush(w, MILLIS_NEVER, NULL);
        if (code == OK) code = tls_context_new_server(&none, 1, &context, NULL);
        if (code != OK) return code;
        code = stream_start_tls(w->stream, context, MILLIS_NEVER, NULL);
        tls_context_free(context);
        return code;
    }
    return view_equal(command, VIEW("QUIT")) ? END : OK;
}

static void serve(void *argument)
{
    colour_pretend_coroutine();
    struct wire w;
    view line;
    wire_init(&w, argument, WIRE_CRLF_ENDS_COMMAND);
    wire_put(&w, VIEW("ready\r\n"));
    result code = wire_flush(&w, MILLIS_NEVER, NULL);
    while (code == OK) {
        code = wire_line(&w, 200000, MILLIS_NEVER, &line, NULL);
        if (code == OK) code = answer(&w, line);
        if (code == OK) code = wire_flush(&w, MILLIS_NEVER, NULL);
    }
    wire_done(&w);
}

static void accepts(void *argument, struct stream *s) { coroutine_spawn(loop_scope(loop_self()), "serve", serve, s); }

TEST(transcript_plays_a_conversation_whatever_the_pieces)
{
    for (uint64_t seed = 1; seed <= 30; seed++) {
        struct sim *s = sim_open(seed);
        struct sim_node *n = sim_node_new(s, "server", 2);
        struct transcript *t = transcript_open(n, 1, accepts, NULL);
        TRANSCRIPT(t, "S: ready\n"
                      "C: GREET\n"
                      "S: * hello \\Seen \\*\n"
                      "# two at once\n"
                      "C: ECHO one\n"
                      "C: ECHO two\n"
                      "S: + one\n"
                      "S: + t*\n");
        TRANSCRIPT(t, "C! ECHO a\\x20b\\r\\n\nS: + a b\n"
                      "C: COUNT 100\nS~ 5\nS: 4\nS: 3\nS: 2\nS: 1\nS: 0\n"
                      "C! LENGTH \nC@ 100000 x\nC! \\r\\n\nS: 100007\n"
                      "Q: 100\n"
                      "C: SLOW\nC: ECHO x\nQ: 50000\nW: 20000\nS: + x\n"
                      "C: QUIT\nE:\n");
        transcript_close(t);
        sim_close(s);
    }
}

TEST(transcript_speaks_tls_and_sees_the_end)
{
    struct sim *s = sim_open(1);
    struct transcript *t = transcript_open(sim_node_new(s, "server", 1), 0, accepts, NULL);
    TRANSCRIPT(t, "S: ready\nC: TLS\nS: + go\nT:\nC: ECHO 1\nS: + 1\nC: QUIT\nE:\n");
    transcript_close(t);
    sim_close(s);
}

TEST(transcript_reads_raw_bytes)
{
    struct sim *s = sim_open(1);
    struct transcript *t = transcript_open(sim_node_new(s, "server", 1), 0, accepts, NULL);
    transcript_send(t, VIEW("ECHO abc\r\nECHO d"));
    TRANSCRIPT(t, "S: ready\n");
    EXPECT_VIEW(transcript_read(t, 5), VIEW("+ abc"));
    EXPECT_VIEW(transcript_read(t, 2), VIEW("\r\n"));
    TRANSCRIPT(t, "C: \nS: + d\n");
    EXPECT_VIEW(transcript_line(t), VIEW("+ d"));
    transcript_close(t);
    sim_close(s);
}

TEST(transcript_patterns)
{
    EXPECT(transcript_matches(VIEW("abc"), VIEW("abc")));
    EXPECT(transcript_matches(VIEW("abc"), VIEW("*")));
    EXPECT(transcript_matches(VIEW(""), VIEW("*")));
    EXPECT(transcript_matches(VIEW("abcabd"), VIEW("*ab*d")));
    EXPECT(!transcript_matches(VIEW("abcabd"), VIEW("*ab*c")));
    EXPECT(transcript_matches(VIEW("* OK x"), VIEW("* OK *")));
    EXPECT(!transcript_matches(VIEW("a OK x"), VIEW("* OK *")));
    EXPECT(!transcript_matches(VIEW("ab"), VIEW("a")));
    EXPECT(!transcript_matches(VIEW("a"), VIEW("ab")));
}
