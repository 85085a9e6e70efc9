/* login: LOGIN, SELECT, LOGOUT on new connections, several at a time. */
#include "net.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

static struct {
    atomic_long next;
    long cycles, accounts;
    int port;
    bool tls;
    const char *domain, *password;
} load;

static void *cycle(void *unused)
{
    (void)unused;
    long number;
    while ((number = atomic_fetch_add(&load.next, 1)) < load.cycles) {
        struct connection *c = connection_open("127.0.0.1", load.port, load.tls);
        connection_expect(c, "* OK");
        connection_printf(c, "a LOGIN u%ld@%s %s\r\n", number % load.accounts, load.domain, load.password);
        connection_expect(c, "a OK");
        connection_printf(c, "b SELECT INBOX\r\n");
        connection_expect(c, "b OK");
        connection_printf(c, "c LOGOUT\r\n");
        connection_expect(c, "c OK");
        connection_close(c);
    }
    return NULL;
}

int load_login(int count, char **words)
{
    enum { THREADS_MAX = 64 };
    pthread_t threads[THREADS_MAX];
    long concurrency = option_number(count, words, "connections", 10);
    load.cycles = option_number(count, words, "cycles", 5000);
    load.accounts = option_number(count, words, "accounts", 1000);
    load.tls = option_number(count, words, "tls", 0);
    load.port = (int)option_number(count, words, "port", load.tls ? 2093 : 2043);
    load.domain = option_text(count, words, "domain", "example.test");
    load.password = option_text(count, words, "password", "secret");
    connection_close(connection_open("127.0.0.1", load.port, load.tls));     /* sets up TLS before threads do */
    double started = now_s(), cpu = cpu_s();
    for (long i = 0; i < concurrency && i < THREADS_MAX; i++) pthread_create(&threads[i], NULL, cycle, NULL);
    for (long i = 0; i < concurrency && i < THREADS_MAX; i++) pthread_join(threads[i], NULL);
    printf("{\"cycles\":%ld,\"seconds\":%.4f,\"load_cpu\":%.4f}\n", load.cycles, now_s() - started, cpu_s() - cpu);
    return 0;
}
