/*
 * mailbox: one connection and one large mailbox. do=append fills it; do=select, store, expunge, flags time one command each
 * (`repeat` times, the median is printed).
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

/* Keeps `window` APPENDs under way. */
static void append(struct connection *c, const char *mailbox, long messages, size_t bytes, long window)
{
    size_t length, command_length;
    char *message = make_message(bytes, &length);
    char *command = malloc(length + 200);
    command_length = (size_t)sprintf(command, "a APPEND %s {%zu+}\r\n", mailbox, length);
    memcpy(command + command_length, message, length);
    memcpy(command + command_length + length, "\r\n", 2);
    command_length += length + 2;
    long sent = 0, done = 0;
    while (done < messages) {
        while (sent < messages && sent - done < window) {
            connection_write(c, command, command_length);
            sent++;
        }
        do {
            connection_expect(c, "a OK");
            done++;
        } while (done < sent && connection_has_line(c));
    }
    free(command);
    free(message);
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
        append(c, mailbox, messages, (size_t)option_number(count, words, "bytes", 5000), option_number(count, words, "window", 100));
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
