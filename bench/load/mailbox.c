/*
 * mailbox: one connection and one large mailbox. do=append fills it; do=select, store, expunge, flags time one command each
 * (`repeat` times, the median is printed). multi=N: N messages to an APPEND (RFC 3502), for servers that sync once per command.
 */
#include "net.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static double login_seconds;

static struct connection *log_in(int count, char **words)
{
    struct connection *c = connection_open("127.0.0.1", (int)option_number(count, words, "port", 2043), false);
    connection_expect(c, "* OK");
    double started = now_s();
    connection_printf(c, "l LOGIN %s %s\r\n", option_text(count, words, "user", "u0@example.test"), option_text(count, words, "password", "secret"));
    connection_expect(c, "l OK");
    login_seconds = now_s() - started;
    return c;
}

/* One APPEND of `multi` messages. */
static char *append_command(const char *mailbox, size_t bytes, long multi, size_t *ret_length)
{
    size_t length, at;
    char *message = make_message(bytes, &length), *command = malloc(200 + (length + 20) * (size_t)multi);
    at = (size_t)sprintf(command, "a APPEND %s", mailbox);
    for (long i = 0; i < multi; i++) {
        at += (size_t)sprintf(command + at, " {%zu+}\r\n", length);
        memcpy(command + at, message, length);
        at += length;
    }
    memcpy(command + at, "\r\n", 2);
    free(message);
    *ret_length = at + 2;
    return command;
}

/* Keeps `window` APPENDs under way. */
static void append(struct connection *c, const char *mailbox, long messages, size_t bytes, long window, long multi)
{
    size_t length;
    char *command = append_command(mailbox, bytes, multi, &length);
    long sent = 0, done = 0, commands = messages / multi;
    while (done < commands) {
        while (sent < commands && sent - done < window) {
            connection_write(c, command, length);
            sent++;
        }
        do {
            connection_expect(c, "a OK");
            done++;
        } while (done < sent && connection_has_line(c));
    }
    free(command);
}

static double timed(struct connection *c, const char *command)
{
    double started = now_s();
    connection_printf(c, "t %s\r\n", command);
    connection_expect(c, "t OK");
    return now_s() - started;
}

int load_mailbox(int count, char **words)
{
    const char *what = option_text(count, words, "do", "select"), *mailbox = option_text(count, words, "mailbox", "INBOX");
    long messages = option_number(count, words, "messages", 100000), repeat = option_number(count, words, "repeat", 1);
    struct connection *c = log_in(count, words);
    struct samples samples = {0};
    char select[300];
    double started = now_s();
    snprintf(select, sizeof select, "SELECT %s", mailbox);
    if (strcmp(what, "append") == 0) {
        append(c, mailbox, messages, (size_t)option_number(count, words, "bytes", 5000), option_number(count, words, "window", 100),
               option_number(count, words, "multi", 1));
        samples_add(&samples, now_s() - started);
    } else if (strcmp(what, "select") == 0) {
        for (long i = 0; i < repeat; i++) samples_add(&samples, timed(c, select));
    } else {
        timed(c, select);
        const char *command = option_text(count, words, "command", "NOOP");
        for (long i = 0; i < repeat; i++) samples_add(&samples, timed(c, command));
    }
    printf("{\"seconds\":%.6f,\"login_seconds\":%.6f}\n", samples_percentile(&samples, 50), login_seconds);
    return 0;
}
