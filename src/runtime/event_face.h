/*
 * event_face: what differs between the faces of the runtime when an event is told.
 *
 * event.c counts and formats; a face says whether a line is wanted, gives the room for it and takes it away:
 * uv/event_writer.c by a ring per thread and one writer thread, sim/event_writer.c at once.
 */
#pragma once

#include <stddef.h>

#include "base/buf.h"
#include "base/time.h"
#include "runtime/event.h"

enum {
    EVENT_LINE_MAX = 4096,       /* with its line end; what does not fit is left out and `cut=1` says so */
    EVENT_VALUE_MAX = 1024,      /* bytes of one field's value before escaping */
};

/* Room for EVENT_LINE_MAX bytes until event_face_end() on the same thread, or NULL: not wanted, or full (then counted). */
char *event_face_begin(enum event_level level, enum event_format *ret_format);
void event_face_end(size_t line_bytes);

/* One line with its line end, at most EVENT_LINE_MAX bytes; its length. */
size_t event_line_write(char line[static EVENT_LINE_MAX], enum event_format format, unix_ms when, enum event e,
                        const struct event_field *fields, size_t count);
const char *event_name(enum event e);
enum event_level event_level_of(enum event e);

/* metric.c */
void metric_count_event(enum event e);
void metric_catalogue(buf *into);
