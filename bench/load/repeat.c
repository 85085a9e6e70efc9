/*
 * repeat: many IMAP connections, each to an account of its own, give a command again and again, each time when it has been answered.
 * With `other` the two take turns: a flag is set and cleared.
 */
#include "net.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

struct client {
    struct connection *connection;
    bool is_other;
    double began;
};

static struct {
    long cycles, begun, done;
    const char *command, *other;
    struct samples latencies;
} load;

static void give_command(struct client *c)
{
    if (load.begun == load.cycles) return;
    load.begun++;
    c->began = now_s();
    connection_printf(c->connection, "r7 %s\r\n", c->is_other ? load.other : load.command);
    c->is_other = !c->is_other && load.other[0];
}

static void on_line(struct client *c, const char *line)
{
    if (strncmp(line, "r7 ", 3) != 0) return;
    if (strncmp(line, "r7 OK", 5) != 0) die("unexpected answer: %s", line);
    load.done++;
    samples_add(&load.latencies, now_s() - c->began);
    give_command(c);
}

static void log_in(struct client *c, int port, long number, int count, char **words)
{
    c->connection = connection_open("127.0.0.1", port, false);
    connection_expect(c->connection, "* OK");
    connection_printf(c->connection, "l LOGIN u%ld@%s %s\r\n", number, option_text(count, words, "domain", "example.test"), option_text(count, words, "password", "secret"));
    connection_expect(c->connection, "l OK");
    connection_printf(c->connection, "s SELECT INBOX\r\n");
    connection_expect(c->connection, "s OK");
}

int load_repeat(int count, char **words)
{
    long connections = option_number(count, words, "connections", 50), accounts = option_number(count, words, "accounts", 1000);
    long first = option_number(count, words, "first", 0);
    int port = (int)option_number(count, words, "port", 2043), poll_fd = epoll_create1(EPOLL_CLOEXEC);
    load.cycles = option_number(count, words, "cycles", 10000);
    load.command = option_text(count, words, "command", "NOOP");
    load.other = option_text(count, words, "other", "");
    struct client *clients = calloc((size_t)connections, sizeof *clients);
    for (long i = 0; i < connections; i++) {
        log_in(&clients[i], port, (first + i) % accounts, count, words);
        struct epoll_event e = {.events = EPOLLIN, .data.ptr = &clients[i]};
        epoll_ctl(poll_fd, EPOLL_CTL_ADD, clients[i].connection->fd, &e);
    }
    double started = now_s(), cpu = cpu_s();
    for (long i = 0; i < connections; i++) give_command(&clients[i]);
    while (load.done < load.cycles) {
        struct epoll_event events[64];
        int ready = epoll_wait(poll_fd, events, 64, 60000);
        if (ready <= 0) die("no answer for a minute");
        for (int i = 0; i < ready; i++) {
            struct client *c = events[i].data.ptr;
            connection_fill_once(c->connection);
            while (connection_has_line(c->connection)) on_line(c, connection_line(c->connection, NULL));
        }
    }
    printf("{\"cycles\":%ld,\"seconds\":%.4f,\"load_cpu\":%.4f,\"p50_ms\":%.3f,\"p99_ms\":%.3f}\n", load.done, now_s() - started, cpu_s() - cpu,
           1000 * samples_percentile(&load.latencies, 50), 1000 * samples_percentile(&load.latencies, 99));
    return 0;
}
