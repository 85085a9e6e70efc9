/* smtp: delivers messages over many connections at once and says how long it took. */
#include "net.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum step { GREETING, HELLO, ENVELOPE, CONTENT };

struct client {
    struct connection *connection;
    enum step step;
    int answers_left;            /* lines of the pipelined envelope that are still to come */
    double began;
};

static struct {
    long messages, accounts, recipients, begun, done, next_account;
    const char *domain;
    char *message;
    size_t length;
    struct samples latencies;
} load;

static void begin_message(struct client *c)
{
    static char text[256 * 1024];
    size_t at = (size_t)sprintf(text, "MAIL FROM:<taro.yamada@example.org>\r\n");
    for (long i = 0; i < load.recipients; i++)
        at += (size_t)sprintf(text + at, "RCPT TO:<u%ld@%s>\r\n", load.next_account++ % load.accounts, load.domain);
    at += (size_t)sprintf(text + at, "DATA\r\n");
    load.begun++;
    c->step = ENVELOPE;
    c->answers_left = (int)load.recipients + 2;
    c->began = now_s();
    connection_write(c->connection, text, at);
}

static void on_line(struct client *c, const char *line)
{
    if (line[3] == '-') return;
    if (line[0] != '2' && line[0] != '3') die("unexpected answer: %s", line);
    switch (c->step) {
    case GREETING:
        c->step = HELLO;
        connection_printf(c->connection, "EHLO load.example.org\r\n");
        break;
    case HELLO: begin_message(c); break;
    case ENVELOPE:
        if (--c->answers_left) break;
        c->step = CONTENT;
        connection_write(c->connection, load.message, load.length);
        break;
    case CONTENT:
        load.done++;
        samples_add(&load.latencies, now_s() - c->began);
        if (load.begun < load.messages) begin_message(c);
        break;
    }
}

int load_smtp(int count, char **words)
{
    long connections = option_number(count, words, "connections", 50);
    int port = (int)option_number(count, words, "port", 2025), poll_fd = epoll_create1(EPOLL_CLOEXEC);
    load.messages = option_number(count, words, "messages", 10000);
    load.accounts = option_number(count, words, "accounts", 1000);
    load.recipients = option_number(count, words, "recipients", 1);
    load.domain = option_text(count, words, "domain", "example.test");
    load.message = make_message((size_t)option_number(count, words, "bytes", 5000), &load.length);
    memcpy(load.message + load.length, ".\r\n", 3);
    load.length += 3;
    struct client *clients = calloc((size_t)connections, sizeof *clients);
    double started = now_s(), cpu = cpu_s();
    for (long i = 0; i < connections; i++) {
        clients[i].connection = connection_open("127.0.0.1", port, false);
        struct epoll_event e = {.events = EPOLLIN, .data.ptr = &clients[i]};
        epoll_ctl(poll_fd, EPOLL_CTL_ADD, clients[i].connection->fd, &e);
        fcntl(clients[i].connection->fd, F_SETFL, 0);
    }
    while (load.done < load.messages) {
        struct epoll_event events[64];
        int ready = epoll_wait(poll_fd, events, 64, 60000);
        if (ready <= 0) die("no answer for a minute");
        for (int i = 0; i < ready; i++) {
            struct client *c = events[i].data.ptr;
            connection_fill_once(c->connection);
            while (connection_has_line(c->connection)) on_line(c, connection_line(c->connection, NULL));
        }
    }
    double seconds = now_s() - started;
    printf("{\"messages\":%ld,\"recipients\":%ld,\"seconds\":%.4f,\"load_cpu\":%.4f,\"p50_ms\":%.3f,\"p99_ms\":%.3f}\n", load.done, load.done * load.recipients, seconds,
           cpu_s() - cpu, 1000 * samples_percentile(&load.latencies, 50), 1000 * samples_percentile(&load.latencies, 99));
    return 0;
}
