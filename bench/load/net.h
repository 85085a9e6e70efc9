/*
 * net: what all load programs share: connections that block, a buffered line reader, figures.
 *
 * A load generator must cost far less than the server that it measures: no allocation per message, TCP_NODELAY, one write
 * per turn. It stops at the first answer that it does not expect.
 */
#pragma once

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct connection {
    int fd;
    SSL *ssl;                     /* NULL: plain */
    char *input;
    size_t start, end, capacity;
};

double now_s(void);
double cpu_s(void);               /* of this process */
_Noreturn void die(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* "127.0.0.1" and a port. `tls`: a full handshake without a session to resume. */
struct connection *connection_open(const char *host, int port, bool tls);
void connection_close(struct connection *c);
void connection_write(struct connection *c, const char *data, size_t length);
void connection_printf(struct connection *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The next line without CRLF, NUL-terminated; good until the next read. Dies at the end of the stream. */
char *connection_line(struct connection *c, size_t *ret_length);
/* The next `length` bytes, thrown away. */
void connection_skip(struct connection *c, size_t length);
/* Reads until a line begins with `start`; dies when it begins with `start` of another status. Returns the line. */
char *connection_expect(struct connection *c, const char *start);
/* Whether a whole line waits in the buffer. */
bool connection_has_line(const struct connection *c);
/* Reads what is there without waiting; false when nothing came. For sockets made non-blocking. */
bool connection_fill_once(struct connection *c);

/* Latencies. */
struct samples { double *values; size_t count, capacity; };
void samples_add(struct samples *s, double value);
double samples_percentile(struct samples *s, double percent);    /* sorts */

/* A realistic message: header fields as mail has them, text of about `bytes`. The caller frees. */
char *make_message(size_t bytes, size_t *ret_length);
/* Text alone, and the dot that ends a message. The caller frees. */
char *make_text(size_t bytes, size_t *ret_length);

/* Options: name=value words. */
const char *option_text(int count, char **words, const char *name, const char *otherwise);
long option_number(int count, char **words, const char *name, long otherwise);

int load_smtp(int count, char **words);
int load_idle(int count, char **words);
int load_login(int count, char **words);
int load_mailbox(int count, char **words);
int load_pop3(int count, char **words);
int load_repeat(int count, char **words);
int load_submit(int count, char **words);
int load_sink(int count, char **words);
