/* coroutine_private: the struct, for coroutine.c and scope.c. */
#pragma once

#include "runtime/loop_private.h"
#include "runtime/stack.h"

enum coroutine_state { COROUTINE_READY, COROUTINE_RUNNING, COROUTINE_PARKED, COROUTINE_ENDED };

/* Stands on its own stack, below struct stack. */
struct coroutine {
    enum coroutine_state state;
    bool is_shielded;              /* this wait is deaf to cancellation */
    result wake_code;
    struct loop *loop;
    struct scope *scope;
    struct stack *stack;
    void *context;
    void (*run)(void *argument);
    void *argument;
    const char *name, *waits_for;
    struct list all_node;
    struct list scope_node;
    struct list ready_node;
    struct list wait_node;
    struct timer timer;            /* the deadline of its wait */
    millis spawned;
};

/* scope.c: the coroutine has left its scope; whoever joins may go on. */
void scope_child_ended(struct scope *s);
