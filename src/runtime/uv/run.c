#include "runtime/run.h"

#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "runtime/uv/face.h"
#include "runtime/uv/watchdog.h"
#include "runtime/uv/workers_private.h"

enum { LOOPS_MAX = 256, LARGE_BYTES = 1 << 20 };

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

static void family_open(struct uv_family *family, struct uv_face *faces)
{
    for (unsigned i = 0; i < family->base.count; i++) {
        check(face_open(&faces[i], family, i) == 0);
        family->base.at[i] = &faces[i].base;
    }
}

static void family_run(struct uv_family *family, struct uv_face *faces)
{
    struct watchdog *watchdog = watchdog_start(&family->base);
    for (unsigned i = 1; i < family->base.count; i++) thread_start(&faces[i].thread, thread_main, &faces[i]);
    face_run(&faces[0]);
    for (unsigned i = 1; i < family->base.count; i++) pthread_join(faces[i].thread, NULL);
    watchdog_stop(watchdog);
}

/*
 * What is this large goes back to the system when it is freed. glibc would learn from each such array to take the next, up to 32 MiB, from among
 * the small ones, which keep it for good: the lists of a SORT of a large mailbox stayed for as long as the process. What is smaller is reused without
 * faults of pages.
 */
static void give_memory_back(void)
{
#ifdef M_MMAP_THRESHOLD
    (void)mallopt(M_MMAP_THRESHOLD, LARGE_BYTES);
    (void)mallopt(M_TRIM_THRESHOLD, LARGE_BYTES);
#endif
}

result run_loops(const struct run_options *options, void (*run)(void *argument), void *argument, struct fault *fault)
{
    unsigned count = count_loops(options);
    struct uv_family family = {.base = {count, calloc(count, sizeof(struct loop *))}};
    struct uv_face *faces = calloc(count, sizeof *faces);
    check(faces && family.base.at);
    atomic_init(&family.busy, count);
    signal(SIGPIPE, SIG_IGN);
    give_memory_back();
    family_open(&family, faces);
    family.workers = workers_start(options);
    struct start s = {&family, run, argument};
    loop_enter(&faces[0].base);
    coroutine_spawn(loop_scope(&faces[0].base), "main", main_coroutine, &s);
    loop_leave(&faces[0].base);
    family_run(&family, faces);
    workers_stop(family.workers);
    for (unsigned i = 0; i < count; i++) face_close(&faces[i]);
    free(faces);
    free(family.base.at);
    return OK;
}
