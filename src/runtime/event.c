#include "base/buf.h"
#include "base/check.h"
#include "runtime/clock.h"
#include "runtime/event_face.h"
#include "runtime/event_hook.h"

static const struct {
    const char *name, *help;
    enum event_level level;
} catalogue[EVENT_COUNT] = {
#define EVENT(name, level, text, help) [EVENT_##name] = {text, help, EVENT_##level},
#include "runtime/events.def"
#undef EVENT
};

static const char *const level_names[] = {"debug", "info", "notice", "warning", "error"};

static struct {
    void (*told)(void *context, enum event e, const struct event_field *fields, size_t count);
    void *context;
} hook;

void event_hook(void (*told)(void *context, enum event e, const struct event_field *fields, size_t count), void *context)
{
    hook.told = told;
    hook.context = context;
}

const char *event_name(enum event e) { return catalogue[e].name; }
enum event_level event_level_of(enum event e) { return catalogue[e].level; }

void event_emit(enum event e, const struct event_field *fields, size_t count)
{
    check((unsigned)e < EVENT_COUNT);
    metric_count_event(e);
    if (hook.told) hook.told(hook.context, e, fields, count);
    enum event_format format;
    char *line = event_face_begin(catalogue[e].level, &format);
    if (line) event_face_end(event_line_write(line, format, clock_wall(), e, fields, count));
}

void event_catalogue(struct buf *into)
{
    buf_append_cstr(into,
        "# Events and metrics\n\n"
        "Made from src/runtime/events.def and src/runtime/metrics.def; do not edit.\n\n"
        "Each event is a line of the log (text or JSON) and counts in `tayori_events_total{event=\"...\"}`.\n"
        "The metrics are served as Prometheus text at `GET /metrics` of the HTTP port.\n\n"
        "## Events\n\n| event | level | what it says |\n|---|---|---|\n");
    for (unsigned i = 0; i < EVENT_COUNT; i++)
        buf_appendf(into, "| `%s` | %s | %s |\n", catalogue[i].name, level_names[catalogue[i].level], catalogue[i].help);
    metric_catalogue(into);
}
