/*
 * sink: a server that takes all mail, for what sends it. It counts, and is asked by lines on standard input:
 *
 *     wait N     answers with its figures when so many have come since the last reset
 *     figures    answers at once
 *     reset      begins to count anew
 *
 * Figures: messages, the time of the last one (CLOCK_MONOTONIC), and how old messages with an X-Began field were when they had come as a whole.
 * defer=DOMAIN: its recipients get a 451. slow=DOMAIN: each of its messages takes `slow_s` seconds until its 250.
 */
#include "net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { BUFFER_BYTES = 64 << 10, OUT_BYTES = 16 << 10, LINE_MAX_BYTES = 1000 };

struct session {
    int fd;
    bool is_in_data, has_header, is_slow;
    double answer_at;                    /* of a slow one: 0: none is due */
    struct session *next_slow;
    size_t used, out_used;
    char in[BUFFER_BYTES], out[OUT_BYTES];
};

static struct {
    long messages, wanted, connections;
    bool is_waiting;
    double last;
    const char *deferred, *slow;
    double slow_s;
    struct session *slow_ones;
    struct samples ages;
} sink;

static void tell(void)
{
    printf("{\"messages\":%ld,\"last\":%.6f,\"connections\":%ld,\"stamped\":%zu,\"p50_ms\":%.3f,\"p99_ms\":%.3f}\n", sink.messages, sink.last, sink.connections, sink.ages.count,
           1000 * samples_percentile(&sink.ages, 50), 1000 * samples_percentile(&sink.ages, 99));
    fflush(stdout);
}

static void say(struct session *s, const char *text)
{
    size_t length = strlen(text);
    if (s->out_used + length > sizeof s->out) die("a client that does not read");
    memcpy(s->out + s->out_used, text, length);
    s->out_used += length;
}

/* Answers are small and the client reads them: what does not go at once goes with the next one. */
static bool flush_out(struct session *s)
{
    if (s->out_used == 0) return true;
    ssize_t put = write(s->fd, s->out, s->out_used);
    if (put < 0) return errno == EAGAIN;
    s->out_used -= (size_t)put;
    memmove(s->out, s->out + put, s->out_used);
    return true;
}

static bool is_for(const char *line, size_t length, const char *domain)
{
    return *domain && memmem(line, length, domain, strlen(domain));
}

/* False: the client says good-bye. */
static bool obey(struct session *s, const char *line, size_t length)
{
    if (length >= 4 && strncasecmp(line, "EHLO", 4) == 0) {
        say(s, "250-sink.test\r\n250-8BITMIME\r\n250 PIPELINING\r\n");
    } else if (length >= 4 && strncasecmp(line, "DATA", 4) == 0) {
        say(s, "354 go on\r\n");
        s->is_in_data = true;
        s->has_header = false;
    } else if (length >= 4 && strncasecmp(line, "RCPT", 4) == 0) {
        s->is_slow = is_for(line, length, sink.slow);
        say(s, is_for(line, length, sink.deferred) ? "451 4.3.2 not now\r\n" : "250 2.1.5 ok\r\n");
    } else if (length >= 4 && strncasecmp(line, "QUIT", 4) == 0) {
        say(s, "221 bye\r\n");
        return false;
    } else {
        say(s, "250 ok\r\n");
    }
    return true;
}

static void take_message(struct session *s)
{
    s->is_in_data = false;
    if (s->is_slow) {
        s->answer_at = now_s() + sink.slow_s;
        s->next_slow = sink.slow_ones;
        sink.slow_ones = s;
        return;
    }
    sink.messages++;
    sink.last = now_s();
    say(s, "250 2.0.0 taken\r\n");
    if (sink.is_waiting && sink.messages >= sink.wanted) {
        sink.is_waiting = false;
        tell();
    }
}

/* How old it is, if it says so; before the rest of it has come, which is near enough. */
static bool look_at_header(struct session *s, size_t from)
{
    char *start = s->in + from, *end = memmem(start, s->used - from, "\r\n\r\n", 4);
    if (!end && s->used < sizeof s->in) return false;
    s->has_header = true;
    char *field = end ? memmem(start, (size_t)(end - start), "\r\nX-Began: ", 11) : NULL;
    if (field) samples_add(&sink.ages, now_s() - strtod(field + 11, NULL));
    return true;
}

/* The bytes of the message that are used up; the last ones stay until it is clear whether they end it. */
static size_t take_data(struct session *s, size_t from)
{
    static const char end[] = "\r\n.\r\n";
    if (!s->has_header && !look_at_header(s, from)) return from;
    char *found = memmem(s->in + from, s->used - from, end, sizeof end - 1);
    if (found) {
        take_message(s);
        return (size_t)(found - s->in) + sizeof end - 1;
    }
    return s->used - from > sizeof end ? s->used - (sizeof end - 1) : from;
}

static bool take_all(struct session *s)
{
    size_t at = 0;
    bool goes_on = true;
    while (goes_on && at < s->used && s->answer_at == 0) {
        size_t before = at;
        if (s->is_in_data) {
            at = take_data(s, at);
            if (s->is_in_data) break;
            continue;
        }
        char *end = memchr(s->in + at, '\n', s->used - at);
        if (!end) break;
        at = (size_t)(end - s->in) + 1;
        goes_on = obey(s, s->in + before, at - before);
    }
    memmove(s->in, s->in + at, s->used - at);
    s->used -= at;
    return flush_out(s) && goes_on;
}

static void end_session(struct session *s)
{
    for (struct session **at = &sink.slow_ones; *at; at = &(*at)->next_slow)
        if (*at == s) {
            *at = s->next_slow;
            break;
        }
    close(s->fd);
    free(s);
    sink.connections--;
}

static void hear(struct session *s)
{
    ssize_t got = read(s->fd, s->in + s->used, sizeof s->in - s->used);
    if (got < 0 && errno == EAGAIN) return;
    if (got > 0) s->used += (size_t)got;
    if (got <= 0 || !take_all(s)) end_session(s);
}

static void accept_all(int listener, int poll_fd)
{
    int on = 1;
    for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
        struct session *s = malloc(sizeof *s);
        memset(s, 0, offsetof(struct session, in));
        s->fd = fd;
        sink.connections++;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        struct epoll_event e = {.events = EPOLLIN, .data.ptr = s};
        epoll_ctl(poll_fd, EPOLL_CTL_ADD, fd, &e);
        say(s, "220 sink.test ESMTP\r\n");
        if (!flush_out(s)) end_session(s);
    }
}

static void answer_slow_ones(void)
{
    struct session *all = sink.slow_ones, *next;
    sink.slow_ones = NULL;
    for (; all; all = next) {
        next = all->next_slow;
        if (all->answer_at > now_s()) {
            all->next_slow = sink.slow_ones;
            sink.slow_ones = all;
            continue;
        }
        all->answer_at = 0;
        all->next_slow = NULL;
        say(all, "250 2.0.0 taken at last\r\n");
        if (!take_all(all)) end_session(all);
    }
}

static void obey_caller(void)
{
    static char text[LINE_MAX_BYTES];
    static size_t used;
    ssize_t got = read(STDIN_FILENO, text + used, sizeof text - 1 - used);
    if (got <= 0) exit(0);
    used += (size_t)got;
    text[used] = '\0';
    for (char *end; (end = strchr(text, '\n'));) {
        *end = '\0';
        if (strncmp(text, "wait ", 5) == 0) {
            sink.wanted = strtol(text + 5, NULL, 10);
            sink.is_waiting = sink.messages < sink.wanted;
            if (!sink.is_waiting) tell();
        } else if (strcmp(text, "reset") == 0) {
            sink.messages = 0;
            sink.ages.count = 0;
            sink.is_waiting = false;
        } else {
            sink.is_waiting = false;
            tell();
        }
        used -= (size_t)(end + 1 - text);
        memmove(text, end + 1, used + 1);
    }
}

static int listen_on(int port)
{
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || listen(fd, 4096) != 0) die("port %d: %s", port, strerror(errno));
    return fd;
}

int load_sink(int count, char **words)
{
    int listener = listen_on((int)option_number(count, words, "port", 2525)), poll_fd = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event events[64], e = {.events = EPOLLIN, .data.ptr = &listener}, orders = {.events = EPOLLIN, .data.ptr = NULL};
    sink.deferred = option_text(count, words, "defer", "");
    sink.slow = option_text(count, words, "slow", "");
    sink.slow_s = (double)option_number(count, words, "slow_s", 60);
    epoll_ctl(poll_fd, EPOLL_CTL_ADD, listener, &e);
    epoll_ctl(poll_fd, EPOLL_CTL_ADD, STDIN_FILENO, &orders);
    printf("ready\n");
    fflush(stdout);
    for (;;) {
        int ready = epoll_wait(poll_fd, events, 64, sink.slow_ones ? 100 : -1);
        for (int i = 0; i < ready; i++) {
            if (!events[i].data.ptr) obey_caller();
            else if (events[i].data.ptr == &listener) accept_all(listener, poll_fd);
            else hear(events[i].data.ptr);
        }
        if (sink.slow_ones) answer_slow_ones();
    }
}
