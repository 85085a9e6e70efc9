#include "runtime/run.h"

#include <stdlib.h>
#include <unistd.h>

#include "runtime/uv/face.h"

enum { LOOPS_MAX = 256 };

struct start {
    struct uv_family *family;
    void (*run)(void *argument);
    void *argument;
};

static void main_coroutine(void *argument)
{
    struct start *s = argument;
    s->run(s->argument);
    atomic_store(&s->family->stopping, true);
    for (unsigned i = 0; i < s->family->base.count; i++) face_nudge(face_of(s->family->base.at[i]));
}

static void *thread_main(void *argument)
{
    face_run(argument);
    return NULL;
}

static unsigned count_loops(const struct run_options *options)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    unsigned count = options && options->loops ? options->loops : cores > 0 ? (unsigned)cores : 1;
    return count > LOOPS_MAX ? LOOPS_MAX : count;
}

result run_loops(const struct run_options *options, void (*run)(void *argument), void *argument, struct fault *fault)
{
    unsigned count = count_loops(options);
    struct uv_family family = {.base = {count, calloc(count, sizeof(struct loop *))}};
    struct uv_face *faces = calloc(count, sizeof *faces);
    check(faces && family.base.at);
    atomic_init(&family.busy, count);
    for (unsigned i = 0; i < count; i++) {
        check(face_open(&faces[i], &family, i) == 0);
        family.base.at[i] = &faces[i].base;
    }
    struct start s = {&family, run, argument};
    loop_enter(&faces[0].base);
    coroutine_spawn(loop_scope(&faces[0].base), "main", main_coroutine, &s);
    loop_leave(&faces[0].base);
    for (unsigned i = 1; i < count; i++) check(pthread_create(&faces[i].thread, NULL, thread_main, &faces[i]) == 0);
    face_run(&faces[0]);
    for (unsigned i = 1; i < count; i++) pthread_join(faces[i].thread, NULL);
    for (unsigned i = 0; i < count; i++) face_close(&faces[i]);
    free(faces);
    free(family.base.at);
    return OK;
}
