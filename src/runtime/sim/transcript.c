#include "runtime/sim/transcript.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/test.h"
#include "runtime/clock.h"
#include "runtime/coroutine.h"
#include "runtime/tls.h"

enum {
    PATIENCE_MS = 10 * 60 * 1000,      /* for a line, in virtual time */
    READ_BYTES = 16 * 1024,
    SHOWN_BYTES = 4000,                /* of the conversation, in a failure */
    PIECES_PPM = 300000,               /* sendings that are cut */
    PIECES_PAUSE_MS = 3,
    CLOSE_QUIET_MS = 20,
};

struct transcript {
    struct sim_node *client, *server;
    unsigned server_loop;
    struct stream *stream, *server_stream;
    void (*start)(void *argument, struct stream *s);
    void *argument;
    struct tls_context *tls;
    buf input, unsent, log;
    size_t input_at;
    buf line;                          /* the last one that matched */
    bool has_ended;                    /* the server closed, or the connection broke */

    const char *file;                  /* of the play under way */
    int line_number, script_line;
    view script;
    bool has_failed;
    size_t wanted;                     /* by transcript_read() */
};

/* ---- matching ------------------------------------------------------------------------------------------ */

static bool matches_from(view line, view pattern)
{
    size_t l = 0, p = 0, star = VIEW_NONE, star_line = 0;
    while (l < line.len) {
        if (p < pattern.len && pattern.at[p] == '*') {
            star = p++;
            star_line = l;
        } else if (p < pattern.len && pattern.at[p] == line.at[l]) {
            p++, l++;
        } else if (star != VIEW_NONE) {
            p = star + 1;
            l = ++star_line;
        } else {
            return false;
        }
    }
    while (p < pattern.len && pattern.at[p] == '*') p++;
    return p == pattern.len;
}

bool transcript_matches(view line, view pattern)
{
    if (!view_starts(pattern, VIEW("* "))) return matches_from(line, pattern);
    return view_starts(line, VIEW("* ")) && matches_from(view_from(line, 2), view_from(pattern, 2));
}

/* ---- failing ------------------------------------------------------------------------------------------- */

static void log_line(struct transcript *t, const char *who, view text)
{
    buf_append_cstr(&t->log, who);
    buf_append(&t->log, view_slice(text, 0, 300));
    buf_append_byte(&t->log, '\n');
}

__attribute__((format(printf, 2, 3))) static void give_up(struct transcript *t, const char *format, ...)
{
    buf text = BUF_INIT;
    va_list arguments;
    va_start(arguments, format);
    buf_appendv(&text, format, arguments);
    va_end(arguments);
    t->has_failed = true;
    view log = buf_view(&t->log);
    if (log.len > SHOWN_BYTES) log = view_from(log, log.len - SHOWN_BYTES);
    test_fail(t->file, t->line_number, "line %d of the script: " VIEW_FMT " (seed %" PRIu64 ")\n" VIEW_FMT, t->script_line,
              VIEW_ARG(buf_view(&text)), sim_seed(sim_current()), VIEW_ARG(log));
    buf_done(&text);
}

/* ---- sending ------------------------------------------------------------------------------------------- */

MAY_YIELD static void send_unsent(struct transcript *t)
{
    view rest = buf_view(&t->unsent);
    bool in_pieces = sim_chance_ppm(sim_current(), PIECES_PPM);
    while (rest.len > 0 && !t->has_ended) {
        size_t count = in_pieces ? 1 + (size_t)sim_choose(sim_current(), rest.len) : rest.len;
        view piece = view_slice(rest, 0, count);
        result code = stream_write(t->stream, &piece, 1, clock_in(PATIENCE_MS), NULL);
        /* The server may have hung up, rightly: what it said before is still to be read. */
        if (code == TIMEOUT) give_up(t, "the server does not read");
        if (code != OK) break;
        rest = view_from(rest, count);
        if (in_pieces) (void)!coroutine_sleep((int64_t)sim_choose(sim_current(), PIECES_PAUSE_MS));
    }
    buf_clear(&t->unsent);
}

static int digit_of(char c)
{
    c = ascii_lower(c);
    return ascii_is_digit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : 0;
}

static void append_unescaped(buf *into, view text)
{
    static const char names[] = "rnt0\\", bytes[] = "\r\n\t\0\\";
    for (size_t i = 0; i < text.len; i++) {
        if (text.at[i] != '\\' || i + 1 == text.len) {
            buf_append_byte(into, text.at[i]);
            continue;
        }
        char name = text.at[++i];
        const char *found = memchr(names, name, sizeof names - 1);
        if (name == 'x' && i + 2 < text.len) {
            buf_append_byte(into, (char)(digit_of(text.at[i + 1]) * 16 + digit_of(text.at[i + 2])));
            i += 2;
        } else {
            check(found);                              /* an escape that no script has */
            buf_append_byte(into, bytes[found - names]);
        }
    }
}

static void append_repeated(buf *into, view text)
{
    view number;
    uint64_t count;
    check(view_cut(&text, ' ', &number) && view_to_u64(number, &count) && text.len == 1);
    memset(buf_extend(into, count), text.at[0], count);
}

/* ---- hearing ------------------------------------------------------------------------------------------- */

/* More input, or has_ended. False when nothing came in time. */
MAY_YIELD static bool hear(struct transcript *t, int64_t patience_ms)
{
    if (t->has_ended) return true;
    buf_consume(&t->input, t->input_at);
    t->input_at = 0;
    result code = stream_read(t->stream, &t->input, READ_BYTES, clock_in(patience_ms), NULL);
    if (code == TIMEOUT) return false;
    t->has_ended = code != OK;
    return true;
}

/* The next line in t->line; false when the server ended or is silent, which is told. */
MAY_YIELD static bool hear_line(struct transcript *t, view pattern)
{
    for (;;) {
        view rest = view_from(buf_view(&t->input), t->input_at);
        size_t end = view_find_view(rest, VIEW("\r\n"));
        if (end != VIEW_NONE) {
            buf_clear(&t->line);
            buf_append(&t->line, view_slice(rest, 0, end));
            t->input_at += end + 2;
            log_line(t, "  S: ", buf_view(&t->line));
            return true;
        }
        if (t->has_ended) {
            give_up(t, "expected \"" VIEW_FMT "\", but the server closed%s" VIEW_FMT, VIEW_ARG(pattern), rest.len ? " after " : "", VIEW_ARG(rest));
            return false;
        }
        if (!hear(t, PATIENCE_MS)) {
            give_up(t, "expected \"" VIEW_FMT "\", but the server is silent", VIEW_ARG(pattern));
            return false;
        }
    }
}

MAY_YIELD static void expect_line(struct transcript *t, view pattern, bool skips)
{
    while (hear_line(t, pattern)) {
        if (transcript_matches(buf_view(&t->line), pattern)) return;
        if (skips) continue;
        give_up(t, "expected \"" VIEW_FMT "\", got \"" VIEW_FMT "\"", VIEW_ARG(pattern), VIEW_ARG(buf_view(&t->line)));
        return;
    }
}

MAY_YIELD static void expect_end(struct transcript *t)
{
    while (!t->has_ended && t->input_at == t->input.len)
        if (!hear(t, PATIENCE_MS)) break;
    view rest = view_from(buf_view(&t->input), t->input_at);
    if (rest.len > 0) give_up(t, "expected the end, got \"" VIEW_FMT "\"", VIEW_ARG(rest));
    else if (!t->has_ended) give_up(t, "expected the end, but the server is silent");
}

MAY_YIELD static void expect_silence(struct transcript *t, uint64_t for_ms)
{
    if (t->input_at == t->input.len && !t->has_ended && !hear(t, (int64_t)for_ms)) return;
    view rest = view_from(buf_view(&t->input), t->input_at);
    give_up(t, "expected silence, got \"" VIEW_FMT "\"%s", VIEW_ARG(rest), t->has_ended ? " and the end" : "");
}

MAY_YIELD static void start_tls(struct transcript *t)
{
    struct fault fault = {0};
    colour_pretend_worker();
    if (!t->tls) check(tls_context_new_client(&t->tls, NULL) == OK);
    if (t->input_at < t->input.len) give_up(t, "the server went on talking before TLS");
    else if (stream_start_tls(t->stream, t->tls, clock_in(PATIENCE_MS), &fault) != OK) give_up(t, "%s", fault.detail);
}

/* ---- playing ------------------------------------------------------------------------------------------- */

static uint64_t number_of(view text)
{
    uint64_t number = 0;
    check(view_to_u64(text, &number));
    return number;
}

/* `kind` is the two characters in front. */
MAY_YIELD static void play_line(struct transcript *t, const char *kind, view text)
{
    bool sends = kind[0] == 'C';
    if (!sends) send_unsent(t);
    switch (kind[0]) {
    case 'C':
        log_line(t, "  C: ", text);
        if (kind[1] == '!') append_unescaped(&t->unsent, text);
        else if (kind[1] == '@') append_repeated(&t->unsent, text);
        else buf_append(&t->unsent, text), buf_append(&t->unsent, VIEW("\r\n"));
        break;
    case 'S': expect_line(t, text, kind[1] == '~'); break;
    case 'E': expect_end(t); break;
    case 'Q': expect_silence(t, number_of(text)); break;
    case 'W': (void)!coroutine_sleep((int64_t)number_of(text)); break;
    case 'T': start_tls(t); break;
    case 'R': sim_stream_reset(t->stream); break;
    default: check_failed("a line of a transcript begins in a way that means nothing", t->file, t->line_number, kind);
    }
}

static void play(void *argument)
{
    colour_pretend_coroutine();
    struct transcript *t = argument;
    view script = t->script, line;
    for (t->script_line = 1; !t->has_failed && view_cut(&script, '\n', &line); t->script_line++) {
        while (line.len > 0 && ascii_is_space(line.at[0])) line = view_from(line, 1);
        if (line.len == 0 || line.at[0] == '#') continue;
        char kind[3] = {line.at[0], line.len > 1 ? line.at[1] : ' ', '\0'};
        bool has_blank = line.len > 2 && line.at[2] == ' ';
        play_line(t, kind, view_from(line, has_blank ? 3 : 2));
    }
    send_unsent(t);
}

void transcript_play(struct transcript *t, const char *script, const char *file, int line)
{
    t->script = view_of(script);
    t->file = file;
    t->line_number = line;
    if (t->has_failed) return;
    sim_call(t->client, 0, play, t);
    if (t->has_failed) test_stop();
}

static void send_only(void *argument)
{
    colour_pretend_coroutine();
    send_unsent(argument);
}

void transcript_send(struct transcript *t, view bytes)
{
    buf_append(&t->unsent, bytes);
    sim_call(t->client, 0, send_only, t);
}

static void read_only(void *argument)
{
    colour_pretend_coroutine();
    struct transcript *t = argument;
    buf_clear(&t->line);
    while (t->line.len < t->wanted) {
        view rest = view_slice(view_from(buf_view(&t->input), t->input_at), 0, t->wanted - t->line.len);
        buf_append(&t->line, rest);
        t->input_at += rest.len;
        if (t->line.len < t->wanted && (t->has_ended || !hear(t, PATIENCE_MS))) break;
    }
}

view transcript_read(struct transcript *t, size_t count)
{
    t->wanted = count;
    sim_call(t->client, 0, read_only, t);
    return t->line.len == count ? buf_view(&t->line) : VIEW_EMPTY;
}

view transcript_line(const struct transcript *t) { return buf_view(&t->line); }

/* ---- beginning and end --------------------------------------------------------------------------------- */

static void accept_here(void *argument)
{
    struct transcript *t = argument;
    t->start(t->argument, t->server_stream);
}

struct transcript *transcript_open(struct sim_node *server, unsigned loop, void (*start)(void *argument, struct stream *s), void *argument)
{
    struct transcript *t = calloc(1, sizeof *t);
    check(t);
    t->client = sim_node_new(sim_current(), "client", 1);
    t->server = server;
    t->start = start;
    t->argument = argument;
    sim_stream_pair(sim_node_loop(t->client, 0), sim_node_loop(server, loop), &t->stream, &t->server_stream);
    sim_on_loop(sim_node_loop(server, loop), accept_here, t);
    return t;
}

static void hang_up(void *argument)
{
    struct transcript *t = argument;
    stream_close(t->stream);
    if (t->tls) tls_context_free(t->tls);
}

void transcript_close(struct transcript *t)
{
    sim_on_loop(sim_node_loop(t->client, 0), hang_up, t);
    sim_settle(sim_current(), CLOSE_QUIET_MS);
    buf_done(&t->input);
    buf_done(&t->unsent);
    buf_done(&t->log);
    buf_done(&t->line);
    free(t);
}
