/* load: the load generator of bench/run and bench/queue.py. load WHAT name=value ...; figures come as one line of JSON. */
#include "net.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

int main(int count, char **words)
{
    static const struct { const char *name; int (*run)(int count, char **words); } programs[] = {
        {"smtp", load_smtp}, {"idle", load_idle}, {"login", load_login}, {"mailbox", load_mailbox}, {"pop3", load_pop3}, {"repeat", load_repeat},
        {"submit", load_submit}, {"sink", load_sink}};
    signal(SIGPIPE, SIG_IGN);
    for (size_t i = 0; count > 1 && i < sizeof programs / sizeof programs[0]; i++)
        if (strcmp(words[1], programs[i].name) == 0) return programs[i].run(count - 2, words + 2);
    fprintf(stderr, "usage: load smtp|idle|login|mailbox|pop3|repeat|submit|sink name=value ...\n");
    return 2;
}
