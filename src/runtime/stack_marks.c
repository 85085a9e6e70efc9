#include "runtime/stack_marks.h"

#include <stdatomic.h>
#include <string.h>

#include "base/buf.h"

/* Names are compared as texts: two spawn sites may share one. Slots fill from the front and stay. */
static struct {
    _Atomic(const char *) name;
    atomic_uint kib;
} marks[STACK_MARKS_MAX];

void stack_marks_note(const char *name, unsigned kib)
{
    for (unsigned i = 0; i < STACK_MARKS_MAX; i++) {
        const char *held = NULL;
        if (atomic_compare_exchange_strong(&marks[i].name, &held, name)) held = name;
        if (held != name && strcmp(held, name) != 0) continue;
        unsigned seen = atomic_load(&marks[i].kib);
        while (kib > seen && !atomic_compare_exchange_weak(&marks[i].kib, &seen, kib)) continue;
        return;
    }
}

unsigned stack_marks_of(const char *name)
{
    for (unsigned i = 0; i < STACK_MARKS_MAX; i++) {
        const char *held = atomic_load(&marks[i].name);
        if (!held) break;
        if (strcmp(held, name) == 0) return atomic_load(&marks[i].kib);
    }
    return 0;
}

void stack_marks_write(struct buf *into)
{
    for (unsigned i = 0; i < STACK_MARKS_MAX; i++) {
        const char *name = atomic_load(&marks[i].name);
        if (!name) break;
        buf_appendf(into, "tayori_coroutine_stack_kib{coroutine=\"%s\"} %u\n", name, atomic_load(&marks[i].kib));
    }
}
