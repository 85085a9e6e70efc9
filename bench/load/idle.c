/*
 * idle: many logged-in connections in IDLE. Prints a line "ready" when all are, waits for a line on standard input (the caller measures
 * memory meanwhile), then delivers at a steady rate and measures from the final dot to EXISTS.
 */
#include "net.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

struct idler {
    struct connection *connection;
    double sent;                      /* when the message for it had its final dot; 0: none under way */
};

static struct samples latencies, answers;      /* final dot to EXISTS, final dot to 250 */

static void log_in(struct connection *c, long account, const char *domain, const char *password)
{
    connection_expect(c, "* OK");
    connection_printf(c, "a LOGIN u%ld@%s %s\r\n", account, domain, password);
    connection_expect(c, "a OK");
    connection_printf(c, "b SELECT INBOX\r\n");
    connection_expect(c, "b OK");
    connection_printf(c, "c IDLE\r\n");
    connection_expect(c, "+");
    free(c->input);
    c->input = NULL;
    c->start = c->end = c->capacity = 0;
    fcntl(c->fd, F_SETFL, O_NONBLOCK);
}

static void deliver(struct connection *smtp, struct idler *idler, long account, const char *domain, const char *message, size_t length)
{
    connection_printf(smtp, "MAIL FROM:<a@example.org>\r\nRCPT TO:<u%ld@%s>\r\nDATA\r\n", account, domain);
    connection_expect(smtp, "354");
    connection_write(smtp, message, length);
    idler->sent = now_s();
}

static void hear(int poll_fd, struct connection *smtp, int timeout_ms)
{
    struct epoll_event events[64];
    int ready = epoll_wait(poll_fd, events, 64, timeout_ms);
    for (int i = 0; i < ready; i++) {
        struct idler *idler = events[i].data.ptr;
        if (!idler) {
            connection_fill_once(smtp);
            continue;
        }
        while (connection_fill_once(idler->connection)) continue;
        while (connection_has_line(idler->connection))
            if (strstr(connection_line(idler->connection, NULL), "EXISTS") && idler->sent) {
                samples_add(&latencies, now_s() - idler->sent);
                idler->sent = 0;
            }
    }
}

int load_idle(int count, char **words)
{
    long connections = option_number(count, words, "connections", 5000), accounts = option_number(count, words, "accounts", 1000);
    long rate = option_number(count, words, "rate", 200), seconds = option_number(count, words, "seconds", 10);
    bool tls = option_number(count, words, "tls", 0);
    int port = (int)option_number(count, words, "port", 2043), poll_fd = epoll_create1(EPOLL_CLOEXEC);
    const char *domain = option_text(count, words, "domain", "example.test"), *password = option_text(count, words, "password", "secret");
    size_t length;
    char *message = make_message(5000, &length), answer[16];
    memcpy(message + length, ".\r\n", 3);
    struct idler *idlers = calloc((size_t)connections, sizeof *idlers);
    for (long i = 0; i < connections; i++) {
        idlers[i].connection = connection_open("127.0.0.1", port, tls);
        log_in(idlers[i].connection, i % accounts, domain, password);
        struct epoll_event e = {.events = EPOLLIN, .data.ptr = &idlers[i]};
        epoll_ctl(poll_fd, EPOLL_CTL_ADD, idlers[i].connection->fd, &e);
    }
    printf("ready\n");
    fflush(stdout);
    if (!fgets(answer, sizeof answer, stdin)) return 1;
    struct connection *smtp = connection_open("127.0.0.1", (int)option_number(count, words, "smtp_port", 2025), false);
    connection_expect(smtp, "220");
    connection_printf(smtp, "EHLO load.example.org\r\n");
    connection_expect(smtp, "250 ");
    struct epoll_event heard = {.events = EPOLLIN, .data.ptr = NULL};
    epoll_ctl(poll_fd, EPOLL_CTL_ADD, smtp->fd, &heard);
    double started = now_s();
    long sent = 0;
    for (; sent < rate * seconds; sent++) {
        while (now_s() < started + (double)sent / (double)rate) hear(poll_fd, smtp, 1);
        struct idler *idler = &idlers[sent * 7919 % connections];
        if (idler->sent) continue;
        deliver(smtp, idler, sent * 7919 % connections % accounts, domain, message, length + 3);
        /* The answer and the notice come in either order: hear both. */
        double dot = idler->sent, answered = now_s();
        for (; !connection_has_line(smtp); answered = now_s()) hear(poll_fd, smtp, 1000);
        connection_expect(smtp, "250");
        samples_add(&answers, answered - dot);
    }
    double until = now_s() + 5;
    while (latencies.count < (size_t)sent && now_s() < until) hear(poll_fd, smtp, 10);
    printf("{\"sent\":%ld,\"heard\":%zu,\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"answer_p50_ms\":%.3f,\"answer_p99_ms\":%.3f}\n", sent, latencies.count,
           1000 * samples_percentile(&latencies, 50), 1000 * samples_percentile(&latencies, 99), 1000 * samples_percentile(&answers, 50),
           1000 * samples_percentile(&answers, 99));
    return 0;
}
