#include "runtime/background.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "runtime/uv/workers_private.h"

struct background {
    pthread_t thread;
    void (*run)(void *argument);
    void *argument;
};

static void *background_main(void *argument)
{
    struct background *b = argument;
    b->run(b->argument);
    return NULL;
}

struct background *background_start(const char *name, void (*run)(void *argument), void *argument)
{
    struct background *b = malloc(sizeof *b);
    check(b);
    *b = (struct background){.run = run, .argument = argument};
    thread_start(&b->thread, background_main, b);
    pthread_setname_np(b->thread, name);
    return b;
}

void background_join(struct background *b)
{
    pthread_join(b->thread, NULL);
    free(b);
}

void background_pause(unsigned duration_ms)
{
    usleep(duration_ms * 1000);
}
