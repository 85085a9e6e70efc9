#include "runtime/wire.h"

#include <stdarg.h>

#include "base/check.h"
#include "runtime/clock.h"
#include "runtime/wire_take.h"

enum {
    READ_BYTES = 16 * 1024,        /* a command, or a common message at once */
    READ_BYTES_MAX = 64 * 1024,    /* once reads come back full */
    OUTPUT_KEPT_BYTES = 4 * 1024,  /* between flushes */
};

static void rested(struct timer *t)
{
    struct wire *w = container_of(t, struct wire, rested);
    w->on_input(w->on_input_argument);
}

void wire_done(struct wire *w)
{
    timer_disarm(&w->rested);
    buf_done(&w->input);
    buf_done(&w->output);
    if (w->stream) stream_close(w->stream);
    w->stream = NULL;
}

/* --- input --- */

MAY_YIELD static result fill(struct wire *w, millis deadline, struct fault *fault)
{
    if (w->saw_end) return END;
    bool was_full = w->input.capacity && w->input.len == w->input.capacity;
    wire_compact(w);
    size_t room = w->input.capacity - w->input.len;
    size_t want = was_full ? READ_BYTES_MAX : READ_BYTES;
    if (room > want || (room > READ_BYTES / 2 && !was_full)) want = room;
    size_t before = w->input.len;
    result r = stream_read(w->stream, &w->input, want, deadline, fault);
    if (r == END) w->saw_end = true;
    if (r == OK) w->bytes_in += w->input.len - before;
    return r;
}

result wire_line(struct wire *w, size_t max_bytes, millis deadline, view *ret_line, struct fault *fault)
{
    for (;;) {
        result r = wire_take_line(w, max_bytes, ret_line);
        if (r == TOO_BIG) return fail(fault, TOO_BIG, "line longer than %zu bytes", max_bytes);
        if (r == BUSY) r = fill(w, deadline, fault);
        else return r;
        if (r != OK) return r;
    }
}

result wire_data(struct wire *w, millis deadline, view *ret_piece, struct fault *fault)
{
    for (;;) {
        result r = wire_take_data(w, ret_piece);
        if (r != BUSY) return r;
        r = fill(w, deadline, fault);
        if (r == END) return fail(fault, IO, "the peer closed in the middle of a message");
        if (r != OK) return r;
    }
}

result wire_bytes(struct wire *w, size_t max_bytes, millis deadline, view *ret_bytes, struct fault *fault)
{
    for (;;) {
        result r = wire_take_bytes(w, max_bytes, ret_bytes);
        if (r != BUSY) return r;
        r = fill(w, deadline, fault);
        if (r != OK) return r;
    }
}

/* --- output --- */

void wire_put(struct wire *w, view v) { buf_append(&w->output, v); }

void wire_putf(struct wire *w, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    buf_appendv(&w->output, format, arguments);
    va_end(arguments);
}

result wire_flush_with(struct wire *w, view more, millis deadline, struct fault *fault)
{
    /* The buffer is ours while we write: others of the session may put lines meanwhile. */
    buf out = w->output;
    view parts[2];
    size_t count = 0;
    if (out.len) parts[count++] = buf_view(&out);
    if (more.len) parts[count++] = more;
    if (count == 0) return OK;
    w->output = BUF_INIT;
    result r = stream_write(w->stream, parts, count, deadline, fault);
    if (r == OK) w->bytes_out += out.len + more.len;
    buf_shrink(&out, OUTPUT_KEPT_BYTES);
    if (w->output.capacity == 0) w->output = out;
    else buf_done(&out);
    return r;
}

result wire_flush(struct wire *w, millis deadline, struct fault *fault)
{
    return wire_flush_with(w, VIEW_EMPTY, deadline, fault);
}

/* --- rest --- */

void wire_rest(struct wire *w, void (*run)(void *argument), void *argument)
{
    timer_disarm(&w->rested);
    if (!run) {
        stream_when_readable(w->stream, NULL, NULL);
        return;
    }
    if (w->output.len == 0) buf_done(&w->output);
    if (w->saw_end || wire_has_line(w)) {
        w->on_input = run;
        w->on_input_argument = argument;
        timer_init(&w->rested, rested);
        timer_arm(&w->rested, clock_now());
        return;
    }
    wire_compact(w);
    if (w->input.len == 0) buf_done(&w->input);
    stream_when_readable(w->stream, run, argument);
}
