#include "runtime/wire.h"

#include <stdarg.h>

#include "base/check.h"
#include "runtime/clock.h"
#include "runtime/coroutine.h"
#include "runtime/wire_take.h"
#include "runtime/wire_zip.h"

enum {
    READ_BYTES = 16 * 1024,        /* a command, or a common message at once */
    READ_BYTES_MAX = 64 * 1024,    /* once reads come back full */
    OUTPUT_KEPT_BYTES = 4 * 1024,  /* between flushes */
    OUTPUT_LONG_BYTES = 256 * 1024,/* between those of a long answer: growing again is a quarter of what it costs to gather it */
    PACK_BYTES = 256 * 1024,       /* compressed and sent at once */
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
    wire_zip_free(w->zip);
    w->zip = NULL;
    if (w->stream) stream_close(w->stream);
    w->stream = NULL;
}

/* --- input --- */

/* One piece, after reading when there is nothing to unpack. */
MAY_YIELD static result fill_packed(struct wire *w, millis deadline, struct fault *fault)
{
    size_t before = w->input.len;
    while (w->input.len == before) {
        if (!wire_zip_has_more(w->zip)) {
            buf *arrived = wire_zip_arrived(w->zip);
            result r = stream_read(w->stream, arrived, READ_BYTES, deadline, fault);
            if (r == END) w->saw_end = true;
            if (r != OK) return r;
            w->bytes_in += arrived->len;
        }
        result r = wire_zip_unpack(w->zip, &w->input);
        if (r == END) w->saw_end = true;
        if (r == INVALID) return fail(fault, IO, "what came is not compressed");
        if (r == END && w->input.len == before) return END;
    }
    return OK;
}

MAY_YIELD static result fill(struct wire *w, millis deadline, struct fault *fault)
{
    if (w->saw_end) return END;
    if (w->zip) {
        wire_compact(w);
        return fill_packed(w, deadline, fault);
    }
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

void wire_compress(struct wire *w)
{
    check(!w->zip && w->output.len == 0);
    w->zip = wire_zip_new();
    buf_append(wire_zip_arrived(w->zip), view_from(buf_view(&w->input), w->input_at));
    wire_discard_input(w);
}

bool wire_is_compressed(const struct wire *w) { return w->zip != NULL; }

MAY_YIELD static result write_packed(struct wire *w, view bytes, millis deadline, struct fault *fault)
{
    buf packed CLEANUP(buf_done) = BUF_INIT;
    result r = OK;
    for (size_t at = 0; at < bytes.len && r == OK; at += PACK_BYTES) {
        buf_clear(&packed);
        wire_zip_pack(w->zip, view_slice(bytes, at, PACK_BYTES), &packed);
        view part = buf_view(&packed);
        r = stream_write(w->stream, &part, 1, deadline, fault);
        if (r == OK) w->bytes_out += packed.len;
        if (r == OK && bytes.len - at > PACK_BYTES && coroutine_is_overdue()) coroutine_pause();
    }
    return r;
}

MAY_YIELD static result write_parts(struct wire *w, const view *parts, size_t count, millis deadline, struct fault *fault)
{
    result r = OK;
    if (w->zip) {
        for (size_t i = 0; i < count && r == OK; i++) r = write_packed(w, parts[i], deadline, fault);
        return r;
    }
    r = stream_write(w->stream, parts, count, deadline, fault);
    for (size_t i = 0; i < count && r == OK; i++) w->bytes_out += parts[i].len;
    return r;
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
    result r = write_parts(w, parts, count, deadline, fault);
    buf_shrink(&out, out.len >= WIRE_OUTPUT_FULL_BYTES ? OUTPUT_LONG_BYTES : OUTPUT_KEPT_BYTES);
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
    if (w->zip) wire_zip_rest(w->zip);
    stream_when_readable(w->stream, run, argument);
}
