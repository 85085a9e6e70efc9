/*
 * transcript: plays a conversation against a session on a simulated stream. For protocol tests.
 *
 *     struct sim *s = sim_open(1);
 *     struct sim_node *n = sim_node_new(s, "server", 1);
 *     struct transcript *t = transcript_open(n, 0, imapd_accepted, &service);
 *     TRANSCRIPT(t, "S: * OK * ready\n"
 *                   "C: a1 LOGIN joe secret\n"
 *                   "S: a1 OK *\n");
 *     transcript_close(t);
 *     sim_close(s);
 *
 * Each line of a script is one of
 *
 *     C: text       sends the text and CRLF. Lines that follow each other are sent together, as a client that pipelines does
 *     C! text       sends the text without CRLF; \r \n \t \0 \\ and \xHH in it stand for bytes
 *     C@ 5000 x     sends the byte so many times
 *     S: pattern    the next line is this; "*" stands for any bytes, except that "* " in front stands for itself
 *     S~ pattern    lines are skipped until one is this
 *     E:            the server closes, and has nothing more to say
 *     Q: 500        for so many milliseconds nothing comes
 *     W: 1500       waits so many milliseconds
 *     T:            the client's side of a TLS handshake
 *     R:            breaks the connection
 *     # text        a remark
 *
 * and empty lines and blanks in front of a line are nothing. What the client sends is cut into pieces by the seed, with
 * pauses between them. The server's lines end in CRLF. A mismatch fails the test that runs, shows the conversation, and
 * ends it.
 */
#pragma once

#include "runtime/sim/sim.h"

struct transcript;

/* A connection to `server`: start(argument, stream) runs on its loop as the `accepted` of a listener. The client is a node of its own. */
struct transcript *transcript_open(struct sim_node *server, unsigned loop, void (*start)(void *argument, struct stream *s), void *argument);
void transcript_play(struct transcript *t, const char *script, const char *file, int line);
#define TRANSCRIPT(t, script) transcript_play((t), (script), __FILE__, __LINE__)
/* The client hangs up, the world runs until the server has noticed. */
void transcript_close(struct transcript *t);

/* Bytes as they are, outside a script: large messages. */
void transcript_send(struct transcript *t, view bytes);
/* The line that matched last, without CRLF; good until the next play. */
view transcript_line(const struct transcript *t);
/* Exactly `count` raw bytes from the server, good until the next play or read. Empty if the server closed before. */
view transcript_read(struct transcript *t, size_t count);

/* Whether a line fits a pattern as "S:" has it. */
bool transcript_matches(view line, view pattern);
