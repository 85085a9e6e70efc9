/* Events that were emitted in a world, kept for its tests. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/event_hook.h"
#include "runtime/sim/sim_private.h"

enum { TOLD_FIELDS_MAX = 16, TOLD_EVENTS_MAX = 1 << 20 };

struct sim_told {
    enum event event;
    size_t count;
    struct told_field {
        const char *name;                /* static */
        char *text;
        size_t len;
    } fields[];
};

static struct told_field keep_field(const struct event_field *f)
{
    char number[24], id[ID_TEXT_LEN + 1];
    view text = f->text;
    if (f->kind == EVENT_FIELD_NUMBER) text = view_make(number, (size_t)snprintf(number, sizeof number, "%" PRId64, f->number));
    if (f->kind == EVENT_FIELD_ID) text = id_text(f->id, id);
    struct told_field kept = {f->name, malloc(text.len + 1), text.len};
    check(kept.text);
    if (text.len) memcpy(kept.text, text.at, text.len);
    return kept;
}

static void keep_event(void *context, enum event e, const struct event_field *fields, size_t count)
{
    struct sim *s = context;
    check(s->told_count < TOLD_EVENTS_MAX);
    if (s->told_count == s->told_capacity) {
        s->told_capacity = s->told_capacity ? 2 * s->told_capacity : 64;
        s->told = realloc(s->told, s->told_capacity * sizeof(struct sim_told *));
        check(s->told);
    }
    if (count > TOLD_FIELDS_MAX) count = TOLD_FIELDS_MAX;
    struct sim_told *t = malloc(sizeof *t + count * sizeof t->fields[0]);
    check(t);
    *t = (struct sim_told){.event = e, .count = count};
    for (size_t i = 0; i < count; i++) t->fields[i] = keep_field(&fields[i]);
    s->told[s->told_count++] = t;
}

void sim_told_begin(struct sim *s) { event_hook(keep_event, s); }

void sim_told_end(struct sim *s)
{
    event_hook(NULL, NULL);
    for (size_t i = 0; i < s->told_count; i++) {
        for (size_t j = 0; j < s->told[i]->count; j++) free(s->told[i]->fields[j].text);
        free(s->told[i]);
    }
    free(s->told);
}

unsigned sim_event_count(const struct sim *s, enum event e)
{
    unsigned count = 0;
    for (size_t i = 0; i < s->told_count; i++) count += s->told[i]->event == e;
    return count;
}

view sim_event_field(const struct sim *s, enum event e, unsigned nth, const char *field)
{
    for (size_t i = 0; i < s->told_count; i++) {
        const struct sim_told *t = s->told[i];
        if (t->event != e || nth-- > 0) continue;
        for (size_t j = 0; j < t->count; j++)
            if (strcmp(t->fields[j].name, field) == 0) return view_make(t->fields[j].text, t->fields[j].len);
        break;
    }
    return VIEW_EMPTY;
}
