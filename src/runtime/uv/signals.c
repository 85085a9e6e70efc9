/* Signals, by libuv, as results of run_wait_signal(). They are caught from its first call on, and kept until the next. */
#include <signal.h>
#include <stdlib.h>

#include "runtime/run.h"
#include "runtime/uv/signals.h"

static const int caught[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2};

struct signals {
    uv_signal_t handles[array_size(caught)];
    uint32_t pending;              /* a bit for each of caught[] */
    struct waitlist waiters;
    unsigned closing;
};

static void signal_came(uv_signal_t *handle, int number)
{
    struct signals *s = handle->data;
    s->pending |= 1u << (handle - s->handles);
    waitlist_wake_one(&s->waiters);
}

static struct signals *signals_open(struct uv_face *f)
{
    struct signals *s = calloc(1, sizeof *s);
    check(s != NULL);
    waitlist_init(&s->waiters);
    for (size_t i = 0; i < array_size(caught); i++) {
        check(uv_signal_init(&f->uv, &s->handles[i]) == 0);
        s->handles[i].data = s;
        check(uv_signal_start(&s->handles[i], signal_came, caught[i]) == 0);
    }
    return s;
}

static void closed(uv_handle_t *handle)
{
    struct signals *s = handle->data;
    if (++s->closing == array_size(caught)) free(s);
}

void signals_close(struct uv_face *f)
{
    if (!f->signals) return;
    for (size_t i = 0; i < array_size(caught); i++) uv_close((uv_handle_t *)&f->signals->handles[i], closed);
    f->signals = NULL;
}

int run_wait_signal(void)
{
    struct loop *l = loop_self();
    check(l->index == 0);
    struct uv_face *f = face_of(l);
    if (!f->signals) f->signals = signals_open(f);
    struct signals *s = f->signals;
    while (!s->pending)
        if (waitlist_wait(&s->waiters, MILLIS_NEVER) != OK) return -1;
    int first = __builtin_ctz(s->pending);
    s->pending &= s->pending - 1;
    return caught[first];
}
