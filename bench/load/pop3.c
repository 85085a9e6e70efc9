/* pop3: one session: UIDL, or RETR of all messages pipelined. */
#include "net.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t read_block(struct connection *c)
{
    uint64_t bytes = 0;
    size_t length;
    connection_expect(c, "+OK");
    for (;;) {
        char *line = connection_line(c, &length);
        if (length == 1 && line[0] == '.') return bytes;
        bytes += length + 2;
    }
}

int load_pop3(int count, char **words)
{
    long messages = option_number(count, words, "messages", 10000), window = option_number(count, words, "window", 200);
    const char *what = option_text(count, words, "do", "uidl");
    struct connection *c = connection_open("127.0.0.1", (int)option_number(count, words, "port", 2010), false);
    connection_expect(c, "+OK");
    connection_printf(c, "USER %s\r\n", option_text(count, words, "user", "u0@example.test"));
    connection_expect(c, "+OK");
    double login = now_s();
    connection_printf(c, "PASS %s\r\n", option_text(count, words, "password", "secret"));
    connection_expect(c, "+OK");
    double started = now_s();
    uint64_t bytes = 0;
    if (strcmp(what, "retr") == 0) {
        long sent = 0, done = 0;
        while (done < messages) {
            char batch[8192];
            size_t at = 0;
            while (sent < messages && sent - done < window && at < sizeof batch - 32) at += (size_t)sprintf(batch + at, "RETR %ld\r\n", ++sent);
            if (at) connection_write(c, batch, at);
            do {
                bytes += read_block(c);
                done++;
            } while (done < sent && sent - done > window / 2);
        }
    } else {
        connection_printf(c, "UIDL\r\n");
        bytes = read_block(c);
    }
    double seconds = now_s() - started;
    printf("{\"seconds\":%.6f,\"login_seconds\":%.6f,\"bytes\":%llu}\n", seconds, started - login, (unsigned long long)bytes);
    connection_printf(c, "QUIT\r\n");
    return 0;
}
