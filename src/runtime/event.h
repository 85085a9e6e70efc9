/*
 * event: the catalogue of what Tayori tells its operator.
 *
 * One table (events.def) makes the log lines (text and JSON), the metrics (Prometheus text) and the page
 * doc/events.md. An event has a name, a level, a help text and fields; each emission writes one log line (if its level is
 * on) and counts in `tayori_events_total{event="..."}`. Metrics that are not events (gauges, byte counters,
 * histograms) are rows of metrics.def. Emitting takes no lock and never waits: lines go to a ring per loop that a writer
 * thread empties; when it is full, lines are dropped and counted.
 *
 *     EVENT_EMIT(SMTP_MESSAGE_ACCEPTED, EVENT_ID("message", id), EVENT_NUMBER("bytes", size), EVENT_TEXT("from", from));
 *
 * Secrets and message content are never fields. Field values are escaped, so a peer cannot forge lines.
 */
#pragma once

#include <stdint.h>

#include "base/fault.h"
#include "base/id.h"
#include "base/view.h"

enum event {
#define EVENT(name, level, text, help) EVENT_##name,
#include "runtime/events.def"
#undef EVENT
    EVENT_COUNT
};

enum metric {
#define METRIC(name, kind, text, help) METRIC_##name,
#include "runtime/metrics.def"
#undef METRIC
    METRIC_COUNT
};

enum event_level { EVENT_DEBUG, EVENT_INFO, EVENT_NOTICE, EVENT_WARNING, EVENT_ERROR };

struct event_field {
    const char *name;
    enum { EVENT_FIELD_TEXT, EVENT_FIELD_NUMBER, EVENT_FIELD_ID } kind;
    view text;
    int64_t number;
    struct id id;
};

#define EVENT_TEXT(name_, value) ((struct event_field){.name = (name_), .kind = EVENT_FIELD_TEXT, .text = (value)})
#define EVENT_NUMBER(name_, value) ((struct event_field){.name = (name_), .kind = EVENT_FIELD_NUMBER, .number = (int64_t)(value)})
#define EVENT_ID(name_, value) ((struct event_field){.name = (name_), .kind = EVENT_FIELD_ID, .id = (value)})
/* The result, detail and place of a fault as one field. `fault` points to a struct fault. */
#define EVENT_FAULT(fault) EVENT_TEXT("fault", view_of((fault)->detail))

#define EVENT_EMIT(event_, ...)                                                                   \
    do {                                                                                          \
        const struct event_field event_fields_[] = {__VA_ARGS__};                                 \
        event_emit(EVENT_##event_, event_fields_, sizeof event_fields_ / sizeof event_fields_[0]); \
    } while (0)

void event_emit(enum event e, const struct event_field *fields, size_t count);

void metric_add(enum metric m, int64_t amount);              /* counters, and gauges by difference */
void metric_observe_us(enum metric m, int64_t value_us);     /* histograms */

enum event_format { EVENT_FORMAT_TEXT, EVENT_FORMAT_JSON };
/* Before the loops start; `file` NULL is standard error. May be called again to reopen after rotation. */
NODISCARD result event_open(const char *file, enum event_format format, enum event_level least, struct fault *fault);
void event_close(void);                                       /* writes out what is left */
struct buf;
/* All metrics in Prometheus' text format, appended. */
void event_metrics(struct buf *into);
/* The catalogue as Markdown (doc/events.md), appended. */
void event_catalogue(struct buf *into);
