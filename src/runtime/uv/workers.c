/* Worker threads: one pool for each class, with a queue that is bounded. */
#include "runtime/workers.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "runtime/uv/workers_private.h"

enum {
    CLASSES = WORKER_SLOW + 1,
    QUEUE_MAX = 1024,              /* jobs that wait: beyond it a caller is told BUSY rather than left to time out */
    THREADS_MAX = 64,
};

struct job {
    struct task task;              /* back to the loop that asked */
    struct list node;
    struct loop *origin;
    void (*run)(void *argument);
    void *argument;
    struct completion ended;
};

struct pool {
    pthread_mutex_t lock;
    pthread_cond_t more;
    struct list queue;
    unsigned queued, idle;
    bool must_stop;
    pthread_t threads[THREADS_MAX];
    unsigned thread_count;
};

struct workers { struct pool pools[CLASSES]; };

static void job_ended(struct task *t)
{
    completion_set(&container_of(t, struct job, task)->ended, OK);
}

static struct job *pool_take(struct pool *p)
{
    pthread_mutex_lock(&p->lock);
    while (list_is_empty(&p->queue) && !p->must_stop) {
        p->idle++;
        pthread_cond_wait(&p->more, &p->lock);
        p->idle--;
    }
    struct list *node = list_pop(&p->queue);
    if (node) p->queued--;
    pthread_mutex_unlock(&p->lock);
    return node ? container_of(node, struct job, node) : NULL;
}

static void *worker_main(void *argument)
{
    struct pool *p = argument;
    for (struct job *j; (j = pool_take(p));) {
        j->run(j->argument);
        j->task.run = job_ended;
        loop_post(j->origin, &j->task);
    }
    return NULL;
}

result worker_run(enum worker_class class, void (*run)(void *argument), void *argument)
{
    struct loop *l = loop_self();
    struct pool *p = &family_of(l)->workers->pools[class];
    struct job j = {.origin = l, .run = run, .argument = argument};
    completion_init(&j.ended);
    pthread_mutex_lock(&p->lock);
    bool is_full = p->queued >= QUEUE_MAX;
    bool wakes = p->idle > p->queued;
    if (!is_full) {
        list_append(&p->queue, &j.node);
        p->queued++;
    }
    pthread_mutex_unlock(&p->lock);
    if (is_full) return BUSY;
    if (wakes) pthread_cond_signal(&p->more);
    return completion_wait(&j.ended);
}

/* --- life --- */

void thread_start(pthread_t *ret_thread, void *(*run)(void *argument), void *argument)
{
    /* Signals are for the main thread. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    check(pthread_create(ret_thread, NULL, run, argument) == 0);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void pool_start(struct pool *p, unsigned count)
{
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->more, NULL);
    list_init(&p->queue);
    p->thread_count = count < THREADS_MAX ? count : THREADS_MAX;
    for (unsigned i = 0; i < p->thread_count; i++) thread_start(&p->threads[i], worker_main, p);
}

static void pool_stop(struct pool *p)
{
    pthread_mutex_lock(&p->lock);
    p->must_stop = true;
    pthread_cond_broadcast(&p->more);
    pthread_mutex_unlock(&p->lock);
    for (unsigned i = 0; i < p->thread_count; i++) pthread_join(p->threads[i], NULL);
    pthread_cond_destroy(&p->more);
    pthread_mutex_destroy(&p->lock);
}

struct workers *workers_start(const struct run_options *options)
{
    struct workers *w = calloc(1, sizeof *w);
    check(w != NULL);
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    unsigned slow = cores > 1 ? (unsigned)cores : 1;
    /*
     * Reads and writes wait for disks, so more of them than cores; password hashing uses the cores. Unpacking leaves cores to the loops that it
     * helps: with four threads on two cores they were put off by 2 of 13 ms.
     */
    pool_start(&w->pools[WORKER_READ], options && options->read_workers ? options->read_workers : 4);
    pool_start(&w->pools[WORKER_WRITE], options && options->write_workers ? options->write_workers : 4);
    pool_start(&w->pools[WORKER_UNPACK], slow > 1 ? slow / 2 : 1);
    pool_start(&w->pools[WORKER_SLOW], options && options->slow_workers ? options->slow_workers : slow);
    return w;
}

void workers_stop(struct workers *w)
{
    for (unsigned i = 0; i < CLASSES; i++) pool_stop(&w->pools[i]);
    free(w);
}
