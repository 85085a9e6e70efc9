/*
 * submit: hands in messages over many connections at once, each a transaction of its own, and says how long it took.
 *
 * AUTH once for each connection when the caller names somebody; MAIL, RCPT and DATA in one write where the server offers PIPELINING. Recipients
 * are u<n>@d<n mod domains>.test, or all at `domain`. `rate`: so many a second and no more. `stamped`: each says when it began, for `load sink`.
 */
#include "net.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

enum step { GREETING, HELLO, AUTH, RESTING, MAIL, RCPT, DATA, CONTENT };
enum { HEADER_BYTES_MAX = 1000 };

struct client {
    struct connection *connection;
    enum step step;
    bool has_pipelining;
    long number;                 /* of its message */
    double began;
};

static struct {
    long messages, first, domains, rate, begun, done, resting;
    double started;
    const char *domain, *sender, *auth;
    char *body;
    size_t length;
    bool is_stamped;
    struct client *clients;
    long connections;
    struct samples latencies;
} load;

static int put_recipient(char *into, long number)
{
    return load.domains ? sprintf(into, "u%ld@d%ld.test", number, number % load.domains) : sprintf(into, "u%ld@%s", number, load.domain);
}

static void begin_message(struct client *c)
{
    char text[2 * HEADER_BYTES_MAX], recipient[HEADER_BYTES_MAX];
    bool must_wait = load.rate && now_s() < load.started + (double)load.begun / (double)load.rate;
    if (load.begun == load.messages || must_wait) {
        load.resting += c->step != RESTING;
        c->step = RESTING;
        return;
    }
    load.resting -= c->step == RESTING;
    c->number = load.first + load.begun++;
    c->began = now_s();
    c->step = MAIL;
    put_recipient(recipient, c->number);
    int at = sprintf(text, "MAIL FROM:<%s>\r\n", load.sender);
    if (c->has_pipelining) at += sprintf(text + at, "RCPT TO:<%s>\r\nDATA\r\n", recipient);
    connection_write(c->connection, text, (size_t)at);
}

static void put_content(struct client *c)
{
    static char text[HEADER_BYTES_MAX + (1 << 20)];
    char recipient[HEADER_BYTES_MAX];
    put_recipient(recipient, c->number);
    int at = sprintf(text, "From: <%s>\r\nTo: <%s>\r\nSubject: m%ld\r\nMessage-ID: <%ld.%ld@load.test>\r\nDate: Sun, 22 Nov 2026 00:00:00 +0000\r\n", load.sender, recipient,
                     c->number, c->number, (long)(load.started * 1000));
    if (load.is_stamped) at += sprintf(text + at, "X-Began: %.6f\r\n", c->began);
    at += sprintf(text + at, "\r\n");
    memcpy(text + at, load.body, load.length);
    connection_write(c->connection, text, (size_t)at + load.length);
    c->step = CONTENT;
}

static void say_recipient(struct client *c)
{
    char recipient[HEADER_BYTES_MAX];
    put_recipient(recipient, c->number);
    connection_printf(c->connection, "RCPT TO:<%s>\r\n", recipient);
}

static void on_line(struct client *c, const char *line)
{
    if (c->step == HELLO && strstr(line, "PIPELINING")) c->has_pipelining = true;
    if (line[3] == '-') return;
    if (line[0] != '2' && line[0] != '3') die("unexpected answer: %s", line);
    switch (c->step) {
    case GREETING:
        c->step = HELLO;
        connection_printf(c->connection, "EHLO load.example.org\r\n");
        break;
    case HELLO:
        if (!*load.auth) {
            begin_message(c);
            break;
        }
        c->step = AUTH;
        connection_printf(c->connection, "AUTH PLAIN %s\r\n", load.auth);
        break;
    case AUTH: begin_message(c); break;
    case RESTING: die("an answer to nothing: %s", line);
    case MAIL:
        c->step = RCPT;
        if (!c->has_pipelining) say_recipient(c);
        break;
    case RCPT:
        c->step = DATA;
        if (!c->has_pipelining) connection_printf(c->connection, "DATA\r\n");
        break;
    case DATA: put_content(c); break;
    case CONTENT:
        load.done++;
        samples_add(&load.latencies, now_s() - c->began);
        begin_message(c);
        break;
    }
}

static void open_clients(int port, int poll_fd)
{
    load.clients = calloc((size_t)load.connections, sizeof *load.clients);
    for (long i = 0; i < load.connections; i++) {
        struct client *c = &load.clients[i];
        c->connection = connection_open("127.0.0.1", port, false);
        struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
        epoll_ctl(poll_fd, EPOLL_CTL_ADD, c->connection->fd, &e);
        fcntl(c->connection->fd, F_SETFL, 0);
    }
}

/* Those that wait for their time. */
static void wake_resting(void)
{
    for (long i = 0; load.rate && load.resting && load.begun < load.messages && i < load.connections; i++)
        if (load.clients[i].step == RESTING) begin_message(&load.clients[i]);
}

int load_submit(int count, char **words)
{
    int poll_fd = epoll_create1(EPOLL_CLOEXEC);
    double waited = now_s();
    load.connections = option_number(count, words, "connections", 50);
    load.messages = option_number(count, words, "messages", 10000);
    load.first = option_number(count, words, "first", 0);
    load.domains = option_number(count, words, "domains", 0);
    load.rate = option_number(count, words, "rate", 0);
    load.domain = option_text(count, words, "domain", "elsewhere.test");
    load.sender = option_text(count, words, "sender", "bench@example.test");
    load.auth = option_text(count, words, "auth", "");
    load.is_stamped = option_number(count, words, "stamped", 0);
    load.body = make_text((size_t)option_number(count, words, "bytes", 5000), &load.length);
    load.started = now_s();
    double cpu = cpu_s();
    open_clients((int)option_number(count, words, "port", 2587), poll_fd);
    while (load.done < load.messages) {
        struct epoll_event events[64];
        int ready = epoll_wait(poll_fd, events, 64, load.rate ? 1 : 1000);
        if (ready > 0) waited = now_s();
        if (now_s() - waited > 120) die("no answer for two minutes");
        for (int i = 0; i < ready; i++) {
            struct client *c = events[i].data.ptr;
            connection_fill_once(c->connection);
            while (connection_has_line(c->connection)) on_line(c, connection_line(c->connection, NULL));
        }
        wake_resting();
    }
    printf("{\"messages\":%ld,\"began\":%.6f,\"seconds\":%.4f,\"load_cpu\":%.4f,\"p50_ms\":%.3f,\"p99_ms\":%.3f}\n", load.done, load.started, now_s() - load.started,
           cpu_s() - cpu, 1000 * samples_percentile(&load.latencies, 50), 1000 * samples_percentile(&load.latencies, 99));
    return 0;
}
