/*
 * Events in the program: a ring of bytes per thread, and one thread that writes them all to the log.
 *
 * A ring has one producer, its thread, and one consumer, the writer. A record is its length (four bytes) and the line, never
 * wrapped: where the end of the ring is too near for the longest line, a mark sends the reader to its start.
 * The writer sleeps when all rings are empty; the first line after that wakes it, and it waits PAUSE_US for more before
 * it writes, so a busy process costs it at most 200 writes a second.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/list.h"
#include "runtime/clock.h"
#include "runtime/event_face.h"

enum {
    RING_BYTES = 256 << 10,
    RECORD_MAX = EVENT_LINE_MAX + 4,
    OUT_BYTES = 64 << 10,
    PAUSE_US = 5000,
    STALLED_MS = 1000,           /* how long a log that takes nothing is waited for before its lines are dropped */
    NOTHING_WANTED = 1000,
};
static const uint32_t GO_TO_START = UINT32_MAX;

struct ring {
    struct list node;
    _Atomic uint64_t head;       /* the producer's; both only grow */
    uint64_t next;               /* the producer's: head, or the start of the ring if a mark was put */
    _Atomic bool has_ended;      /* its thread is gone */
    _Atomic uint64_t dropped;
    char pad[64];
    _Atomic uint64_t tail;       /* the writer's */
    uint64_t dropped_told;
    char bytes[RING_BYTES] __attribute__((aligned(4)));
};

static struct {
    pthread_mutex_t lock;        /* of rings and is_running; not held while writing */
    pthread_once_t once;
    pthread_key_t at_thread_end;
    struct list rings;
    bool is_running;
    pthread_t thread;
    sem_t wake;
    _Atomic bool sleeps, must_stop;
    _Atomic int least, format;
    _Atomic int next_fd;         /* replaces fd at the next write; -1: none */
    int fd;
    char *out;
    size_t out_len;
} writer = {.lock = PTHREAD_MUTEX_INITIALIZER, .once = PTHREAD_ONCE_INIT, .rings = {&writer.rings, &writer.rings},
            .least = NOTHING_WANTED, .next_fd = -1, .fd = -1};

static _Thread_local struct ring *mine;

/* ---- the emitting threads --------------------------------------------------------------------------------- */

static void leave(void *ring)
{
    struct ring *r = ring;
    mine = NULL;
    pthread_mutex_lock(&writer.lock);
    if (writer.is_running) {
        atomic_store(&r->has_ended, true);
    } else {
        list_remove(&r->node);
        free(r);
    }
    pthread_mutex_unlock(&writer.lock);
}

static void make_key(void)
{
    check(pthread_key_create(&writer.at_thread_end, leave) == 0);
    check(sem_init(&writer.wake, 0, 0) == 0);
}

__attribute__((noinline, cold)) static struct ring *join(void)
{
    struct ring *r = malloc(sizeof *r);
    check(r != NULL);
    memset(r, 0, offsetof(struct ring, bytes));
    pthread_setspecific(writer.at_thread_end, r);
    pthread_mutex_lock(&writer.lock);
    list_append(&writer.rings, &r->node);
    pthread_mutex_unlock(&writer.lock);
    return mine = r;
}

char *event_face_begin(enum event_level level, enum event_format *ret_format)
{
    if ((int)level < atomic_load_explicit(&writer.least, memory_order_relaxed)) return NULL;
    struct ring *r = mine ? mine : join();
    uint64_t head = atomic_load_explicit(&r->head, memory_order_relaxed);
    uint64_t to_end = RING_BYTES - head % RING_BYTES;
    r->next = to_end < RECORD_MAX ? head + to_end : head;
    if (r->next + RECORD_MAX - atomic_load_explicit(&r->tail, memory_order_acquire) > RING_BYTES) {
        atomic_fetch_add_explicit(&r->dropped, 1, memory_order_relaxed);
        metric_add(METRIC_LOG_LINES_DROPPED, 1);
        return NULL;
    }
    if (r->next != head) memcpy(r->bytes + head % RING_BYTES, &GO_TO_START, 4);
    *ret_format = (enum event_format)atomic_load_explicit(&writer.format, memory_order_relaxed);
    return r->bytes + r->next % RING_BYTES + 4;
}

static void wake(void)
{
    atomic_thread_fence(memory_order_seq_cst);       /* pairs with go_to_sleep() */
    if (atomic_load_explicit(&writer.sleeps, memory_order_relaxed) && atomic_exchange(&writer.sleeps, false)) sem_post(&writer.wake);
}

void event_face_end(size_t line_bytes)
{
    uint32_t len = (uint32_t)line_bytes;
    memcpy(mine->bytes + mine->next % RING_BYTES, &len, 4);
    atomic_store_explicit(&mine->head, mine->next + 4 + ((line_bytes + 3) & ~(size_t)3), memory_order_release);
    wake();
}

/* ---- the writing thread ----------------------------------------------------------------------------------- */

static void take_next_file(void)
{
    int fd = atomic_exchange(&writer.next_fd, -1);
    if (fd < 0) return;
    if (writer.fd > STDERR_FILENO) close(writer.fd);
    writer.fd = fd;
}

/* Errors cannot be logged here: what the file does not take is lost. */
static void write_out(void)
{
    take_next_file();
    for (size_t done = 0; done < writer.out_len;) {
        ssize_t n = write(writer.fd, writer.out + done, writer.out_len - done);
        if (n > 0) done += (size_t)n;
        else if (n < 0 && errno == EAGAIN) {
            struct pollfd p = {.fd = writer.fd, .events = POLLOUT};
            if (poll(&p, 1, STALLED_MS) <= 0) break;
        } else if (n < 0 && errno != EINTR) break;
    }
    writer.out_len = 0;
}

static char *out_room(size_t bytes)
{
    if (OUT_BYTES - writer.out_len < bytes) write_out();
    return writer.out + writer.out_len;
}

static void drain(struct ring *r)
{
    uint64_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);
    while (tail != atomic_load_explicit(&r->head, memory_order_acquire)) {
        uint32_t len;
        memcpy(&len, r->bytes + tail % RING_BYTES, 4);
        if (len == GO_TO_START) {
            tail += RING_BYTES - tail % RING_BYTES;
            continue;
        }
        memcpy(out_room(len), r->bytes + tail % RING_BYTES + 4, len);
        writer.out_len += len;
        tail += 4 + ((len + 3) & ~UINT32_C(3));
        atomic_store_explicit(&r->tail, tail, memory_order_release);
    }
}

static void tell_dropped(struct ring *r)
{
    uint64_t dropped = atomic_load_explicit(&r->dropped, memory_order_relaxed);
    if (dropped == r->dropped_told) return;
    struct event_field field = EVENT_NUMBER("lines", dropped - r->dropped_told);
    enum event_format format = (enum event_format)atomic_load(&writer.format);
    r->dropped_told = dropped;
    metric_count_event(EVENT_LOG_LINES_DROPPED);
    writer.out_len += event_line_write(out_room(EVENT_LINE_MAX), format, clock_wall(), EVENT_LOG_LINES_DROPPED, &field, 1);
}

static bool is_drained(struct ring *r) { return atomic_load(&r->head) == atomic_load(&r->tail); }

/* The ring after `r` in the list; frees `r` when its thread has gone and it is empty. */
static struct list *step(struct ring *r)
{
    pthread_mutex_lock(&writer.lock);
    struct list *next = r->node.next;
    if (atomic_load(&r->has_ended) && is_drained(r)) {
        list_remove(&r->node);
        free(r);
    }
    pthread_mutex_unlock(&writer.lock);
    return next;
}

/* Rings are only removed by this thread, so that walking without the lock is safe except for the links themselves. */
static void drain_all(void)
{
    pthread_mutex_lock(&writer.lock);
    struct list *node = writer.rings.next;
    pthread_mutex_unlock(&writer.lock);
    while (node != &writer.rings) {
        struct ring *r = container_of(node, struct ring, node);
        drain(r);
        tell_dropped(r);
        node = step(r);
    }
    if (writer.out_len) write_out();
}

static bool has_lines(void)
{
    bool any = false;
    pthread_mutex_lock(&writer.lock);
    list_each(node, &writer.rings) any = any || !is_drained(container_of(node, struct ring, node));
    pthread_mutex_unlock(&writer.lock);
    return any;
}

static void go_to_sleep(void)
{
    atomic_store(&writer.sleeps, true);
    atomic_thread_fence(memory_order_seq_cst);
    if (has_lines() || atomic_load(&writer.must_stop)) {
        atomic_store(&writer.sleeps, false);
        return;
    }
    while (sem_wait(&writer.wake) != 0 && errno == EINTR) {}
    if (!atomic_load(&writer.must_stop)) usleep(PAUSE_US);
}

static void *run_writer(void *unused)
{
    while (!atomic_load(&writer.must_stop)) {
        drain_all();
        go_to_sleep();
    }
    drain_all();
    return unused;
}

/* ---- opening and closing ---------------------------------------------------------------------------------- */

/* Signals are for loop 0. */
static void start(void)
{
    sigset_t every, before;
    sigfillset(&every);
    writer.out = malloc(OUT_BYTES);
    check(writer.out != NULL);
    writer.out_len = 0;
    atomic_store(&writer.must_stop, false);
    pthread_sigmask(SIG_SETMASK, &every, &before);
    check(pthread_create(&writer.thread, NULL, run_writer, NULL) == 0);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_setname_np(writer.thread, "log");
    writer.is_running = true;
}

result event_open(const char *file, enum event_format format, enum event_level least, struct fault *fault)
{
    int fd = file ? open(file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640) : STDERR_FILENO;
    if (fd < 0) return fail(fault, IO, "log file %s: %s", file, strerror(errno));
    pthread_once(&writer.once, make_key);
    int unused = atomic_exchange(&writer.next_fd, fd);
    if (unused > STDERR_FILENO) close(unused);
    atomic_store(&writer.format, (int)format);
    pthread_mutex_lock(&writer.lock);
    if (!writer.is_running) start();
    pthread_mutex_unlock(&writer.lock);
    atomic_store(&writer.least, (int)least);
    return OK;
}

void event_close(void)
{
    if (!writer.is_running) return;
    atomic_store(&writer.least, NOTHING_WANTED);
    atomic_store(&writer.must_stop, true);
    if (atomic_exchange(&writer.sleeps, false)) sem_post(&writer.wake);
    pthread_join(writer.thread, NULL);
    pthread_mutex_lock(&writer.lock);
    writer.is_running = false;
    pthread_mutex_unlock(&writer.lock);
    take_next_file();
    if (writer.fd > STDERR_FILENO) close(writer.fd);
    writer.fd = -1;
    free(writer.out);
    writer.out = NULL;
}
