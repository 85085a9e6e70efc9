#include "runtime/thinning.h"

#include <stdlib.h>

struct thinning {
    struct task task;
    struct list *sessions;
    unsigned permille;
    void (*dismiss)(struct list *node);
};

static void thin_here(struct task *t)
{
    struct thinning *thin = container_of(t, struct thinning, task);
    size_t count = 0;
    list_each(node, thin->sessions) count++;
    count = (count * thin->permille + 999) / 1000;
    list_each(node, thin->sessions) {
        if (count-- == 0) break;
        thin->dismiss(node);
    }
    free(thin);
}

void thin_list(struct loop *loop, struct list *sessions, unsigned permille, void (*dismiss)(struct list *node))
{
    struct thinning *thin = malloc(sizeof *thin);
    check(thin);
    *thin = (struct thinning){.task.run = thin_here, .sessions = sessions, .permille = permille, .dismiss = dismiss};
    loop_post(loop, &thin->task);
}
