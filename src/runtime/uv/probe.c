#include "runtime/uv/probe.h"

#include <dlfcn.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include "base/check.h"
#include "runtime/coroutine_private.h"

enum {
    ANSWER_MS = 50,
    SCAN_WORDS_MAX = 512,          /* of frames without frame pointers */
    SCAN_FOUND_MAX = 8,
};

extern const char __executable_start[], etext[];

static int probe_signal(void) { return SIGRTMIN + 1; }

/* --- in the handler --- */

struct registers { uintptr_t pc, sp, fp; };

static struct registers registers_of(const ucontext_t *u)
{
#if defined(__x86_64__)
    const greg_t *r = u->uc_mcontext.gregs;
    return (struct registers){(uintptr_t)r[REG_RIP], (uintptr_t)r[REG_RSP], (uintptr_t)r[REG_RBP]};
#elif defined(__aarch64__)
    return (struct registers){u->uc_mcontext.pc, u->uc_mcontext.sp, u->uc_mcontext.regs[29]};
#else
    return (struct registers){0};
#endif
}

static bool is_ours(uintptr_t pc) { return pc >= (uintptr_t)__executable_start && pc < (uintptr_t)etext; }

static void keep(struct probe *p, uintptr_t pc)
{
    if (p->count < PROBE_FRAMES_MAX) p->at[p->count++] = pc;
}

static bool is_frame(uintptr_t fp, uintptr_t from, uintptr_t high)
{
    return fp >= from && fp + 16 <= high && fp % 8 == 0;
}

__attribute__((no_sanitize("address", "undefined", "thread"))) static uintptr_t word_at(uintptr_t at)
{
    return *(const volatile uintptr_t *)at;
}

static void walk(struct probe *p, struct registers r, uintptr_t high)
{
    keep(p, r.pc);
    if (!is_ours(r.pc)) {
        uintptr_t end = is_frame(r.fp, r.sp, high) ? r.fp : high;
        if (end - r.sp > SCAN_WORDS_MAX * 8) end = r.sp + SCAN_WORDS_MAX * 8;
        for (uintptr_t at = (r.sp + 7) & ~(uintptr_t)7; at + 8 <= end && p->count < SCAN_FOUND_MAX; at += 8)
            if (is_ours(word_at(at))) keep(p, word_at(at));
    }
    for (uintptr_t from = r.sp; is_frame(r.fp, from, high) && p->count < PROBE_FRAMES_MAX; from = r.fp + 16, r.fp = word_at(r.fp)) {
        uintptr_t pc = word_at(r.fp + 8);
        if (!pc) break;
        keep(p, pc);
        if (word_at(r.fp) <= r.fp) break;
    }
}

static void on_signal(int number, siginfo_t *info, void *context)
{
    struct probe *p = info->si_value.sival_ptr;
    if (info->si_code != SI_QUEUE || info->si_pid != getpid() || !p) return;
    struct registers r = registers_of(context);
    const struct coroutine *c = p->loop->running;
    uintptr_t high = p->high;
    if (r.sp < p->low || r.sp >= p->high) high = c && (uintptr_t)c->stack->low <= r.sp ? (uintptr_t)c->stack->low + c->stack->usable_bytes : r.sp;
    p->count = 0;
    walk(p, r, high);
    atomic_store(&p->answered, atomic_load(&p->asked));
}

/* --- outside --- */

void probe_init(struct probe *p)
{
    *p = (struct probe){.is_open = false};
    pthread_mutex_init(&p->lock, NULL);
}

void probe_done(struct probe *p) { pthread_mutex_destroy(&p->lock); }

void probe_open(struct probe *p, struct loop *l)
{
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_RESTART};
    pthread_attr_t attributes;
    sigset_t one;
    void *low;
    size_t bytes;
    sigemptyset(&action.sa_mask);
    check(sigaction(probe_signal(), &action, NULL) == 0);
    check(pthread_getattr_np(pthread_self(), &attributes) == 0 && pthread_attr_getstack(&attributes, &low, &bytes) == 0);
    pthread_attr_destroy(&attributes);
    pthread_mutex_lock(&p->lock);
    p->low = (uintptr_t)low;
    p->high = p->low + bytes;
    p->thread = pthread_self();
    p->loop = l;
    p->is_open = true;
    pthread_mutex_unlock(&p->lock);
    sigemptyset(&one);
    sigaddset(&one, probe_signal());
    pthread_sigmask(SIG_UNBLOCK, &one, NULL);
}

void probe_close(struct probe *p)
{
    pthread_mutex_lock(&p->lock);
    p->is_open = false;
    pthread_mutex_unlock(&p->lock);
}

/* Offsets into files, as addr2line wants them; of callers the byte before the return address. */
static void append_place(buf *into, uintptr_t pc, bool is_innermost)
{
    Dl_info found;
    uintptr_t at = is_innermost ? pc : pc - 1;
    if (!dladdr((const void *)at, &found) || !found.dli_fname) return;
    const char *slash = strrchr(found.dli_fname, '/');
    buf_appendf(into, "%s%s+0x%llx", into->len ? " " : "", slash ? slash + 1 : found.dli_fname, (unsigned long long)(at - (uintptr_t)found.dli_fbase));
}

bool probe_take(struct probe *p, buf *into)
{
    bool answered = false;
    pthread_mutex_lock(&p->lock);
    if (p->is_open) {
        unsigned turn = atomic_fetch_add(&p->asked, 1) + 1;
        union sigval value = {.sival_ptr = p};
        if (pthread_sigqueue(p->thread, probe_signal(), value) == 0)
            for (int ms = 0; ms < ANSWER_MS && !answered; ms++) {
                nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
                answered = atomic_load(&p->answered) == turn;
            }
        for (unsigned i = 0; answered && i < p->count; i++) append_place(into, p->at[i], i == 0);
    }
    pthread_mutex_unlock(&p->lock);
    return answered;
}
