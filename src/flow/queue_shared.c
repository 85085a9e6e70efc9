#include "flow/queue_shared.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"

struct shared_text *shared_keep(struct map *all, view text)
{
    if (text.len == 0) return NULL;
    struct shared_text *t = map_get(all, text);
    if (!t) {
        t = malloc(sizeof *t + text.len);
        check(t);
        *t = (struct shared_text){.len = (uint32_t)text.len};
        memcpy(t->bytes, text.at, text.len);
        map_put(all, shared_view(t), t);
    }
    t->uses++;
    return t;
}

void shared_drop(struct map *all, struct shared_text *t)
{
    if (!t || --t->uses > 0) return;
    map_remove(all, shared_view(t));
    free(t);
}
