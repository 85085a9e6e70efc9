#include "net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

double cpu_s(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)u.ru_utime.tv_sec + (double)u.ru_stime.tv_sec + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

void die(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(1);
}

static int trust_all(X509_STORE_CTX *store, void *unused)
{
    (void)store, (void)unused;
    return 1;
}

static SSL_CTX *tls_context(void)
{
    static SSL_CTX *context;
    if (!context) {
        context = SSL_CTX_new(TLS_client_method());
        SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
        /* The server's work is measured, not ours: nobody judges the certificate, and older versions are not offered. */
        SSL_CTX_set_cert_verify_callback(context, trust_all, NULL);
        SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION);
        SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
    }
    return context;
}

struct connection *connection_open(const char *host, int port, bool tls)
{
    struct connection *c = calloc(1, sizeof *c);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int on = 1;
    inet_pton(AF_INET, host, &address.sin_addr);
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(c->fd, (struct sockaddr *)&address, sizeof address) != 0) die("connect to port %d: %s", port, strerror(errno));
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (tls) {
        c->ssl = SSL_new(tls_context());
        SSL_set_fd(c->ssl, c->fd);
        if (SSL_connect(c->ssl) != 1) die("TLS handshake with port %d failed", port);
    }
    return c;
}

void connection_close(struct connection *c)
{
    if (c->ssl) SSL_free(c->ssl);
    close(c->fd);
    free(c->input);
    free(c);
}

void connection_write(struct connection *c, const char *data, size_t length)
{
    while (length) {
        ssize_t put = c->ssl ? SSL_write(c->ssl, data, (int)(length > 1 << 20 ? 1 << 20 : length)) : write(c->fd, data, length);
        if (put <= 0) die("write: %s", strerror(errno));
        data += put;
        length -= (size_t)put;
    }
}

void connection_printf(struct connection *c, const char *format, ...)
{
    char text[8192];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    connection_write(c, text, (size_t)length);
}

bool connection_fill_once(struct connection *c)
{
    if (c->start == c->end) c->start = c->end = 0;
    if (c->end == c->capacity) {
        if (c->start) {
            memmove(c->input, c->input + c->start, c->end - c->start);
            c->end -= c->start;
            c->start = 0;
        } else {
            c->capacity = c->capacity ? c->capacity * 2 : 1024;
            c->input = realloc(c->input, c->capacity + 1);
        }
    }
    ssize_t got = c->ssl ? SSL_read(c->ssl, c->input + c->end, (int)(c->capacity - c->end)) : read(c->fd, c->input + c->end, c->capacity - c->end);
    if (got < 0 && (errno == EAGAIN || c->ssl)) return false;
    if (got <= 0) die("the server closed the connection; last read: %.*s", (int)(c->end - c->start), c->input ? c->input + c->start : "");
    c->end += (size_t)got;
    /* Large answers: read in large pieces from now on. */
    if (c->end == c->capacity && c->capacity < 1 << 18) {
        c->capacity *= 4;
        c->input = realloc(c->input, c->capacity + 1);
    }
    return true;
}

bool connection_has_line(const struct connection *c)
{
    return c->end > c->start && memchr(c->input + c->start, '\n', c->end - c->start);
}

char *connection_line(struct connection *c, size_t *ret_length)
{
    char *end;
    size_t seen = 0;
    for (;;) {
        if (c->end - c->start > seen && (end = memchr(c->input + c->start + seen, '\n', c->end - c->start - seen))) break;
        seen = c->end - c->start;
        if (!connection_fill_once(c)) die("read: %s", strerror(errno));
    }
    char *line = c->input + c->start;
    c->start = (size_t)(end - c->input) + 1;
    size_t length = (size_t)(end - line);
    if (length && line[length - 1] == '\r') length--;
    line[length] = '\0';
    if (ret_length) *ret_length = length;
    return line;
}

void connection_skip(struct connection *c, size_t length)
{
    while (length) {
        if (c->start == c->end && !connection_fill_once(c)) die("read: %s", strerror(errno));
        size_t part = c->end - c->start < length ? c->end - c->start : length;
        c->start += part;
        length -= part;
    }
}

char *connection_expect(struct connection *c, const char *start)
{
    size_t length = strlen(start), space = strcspn(start, " ");
    for (;;) {
        char *line = connection_line(c, NULL);
        if (strncmp(line, start, length) == 0) return line;
        /* "a1 NO ..." where "a1 OK" was expected. */
        if (space < length && strncmp(line, start, space + 1) == 0) die("expected \"%s\", got \"%s\"", start, line);
        if (strncmp(line, "-ERR", 4) == 0 || line[0] == '4' || line[0] == '5') die("expected \"%s\", got \"%s\"", start, line);
    }
}

void samples_add(struct samples *s, double value)
{
    if (s->count == s->capacity) {
        s->capacity = s->capacity ? s->capacity * 2 : 1024;
        s->values = realloc(s->values, s->capacity * sizeof *s->values);
    }
    s->values[s->count++] = value;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

double samples_percentile(struct samples *s, double percent)
{
    if (!s->count) return 0;
    qsort(s->values, s->count, sizeof *s->values, by_value);
    size_t at = (size_t)(percent / 100 * (double)(s->count - 1) + 0.5);
    return s->values[at];
}

/* Words in lines of about 70 characters; the last line ends with its CRLF. */
static size_t put_words(char *into, size_t bytes)
{
    static const char *const words[] = {"meeting ", "on Monday ", "please find ", "the minutes ", "attached; ", "regards, ", "Yamada ", "budget ", "2026 ", "draft "};
    size_t at = 0, column = 0;
    uint32_t random = 12345;
    while (at < bytes) {
        random = random * 1664525 + 1013904223;
        const char *word = words[(random >> 16) % 10];
        size_t length = strlen(word);
        memcpy(into + at, word, length);
        at += length;
        if ((column += length) > 66) {
            memcpy(into + at, "\r\n", 2);
            at += 2;
            column = 0;
        }
    }
    memcpy(into + at, "\r\n", 2);
    return at + 2;
}

char *make_message(size_t bytes, size_t *ret_length)
{
    static const char header[] =
        "Received: from mail.example.org (mail.example.org [192.0.2.10])\r\n\tby relay.example.org with ESMTPS id 4XyZ12abc\r\n\tfor <user@example.test>; "
        "Sun, 22 Nov 2026 09:00:00 +0900 (JST)\r\nFrom: =?UTF-8?B?5bGx55Sw5aSq6YOO?= <taro.yamada@example.org>\r\nTo: user@example.test\r\n"
        "Subject: =?UTF-8?B?5LuK6YCx44Gu5Lya6K2w44Gr44Gk44GE44Gm?=\r\nDate: Sun, 22 Nov 2026 09:00:00 +0900\r\n"
        "Message-ID: <20261122090000.1A2B3C@example.org>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=UTF-8\r\nContent-Transfer-Encoding: 7bit\r\n\r\n";
    char *message = malloc(bytes + sizeof header + 100);
    size_t at = sizeof header - 1;
    memcpy(message, header, at);
    *ret_length = at + put_words(message + at, bytes > at ? bytes - at : 0);
    return message;
}

char *make_text(size_t bytes, size_t *ret_length)
{
    char *text = malloc(bytes + 100);
    size_t at = put_words(text, bytes);
    memcpy(text + at, ".\r\n", 3);
    *ret_length = at + 3;
    return text;
}

const char *option_text(int count, char **words, const char *name, const char *otherwise)
{
    size_t length = strlen(name);
    for (int i = 0; i < count; i++)
        if (strncmp(words[i], name, length) == 0 && words[i][length] == '=') return words[i] + length + 1;
    return otherwise;
}

long option_number(int count, char **words, const char *name, long otherwise)
{
    const char *text = option_text(count, words, name, NULL);
    return text ? strtol(text, NULL, 10) : otherwise;
}
