/*
 * wire: a stream with the one line reader of the program and an output buffer.
 *
 * All text protocols read through it, so only this file decides what ends a line (SMTP smuggling came
 * from two readers that disagreed): CRLF, and nothing else. A lone CR or LF is a byte like any other to the
 * reader; for commands, WIRE_LF_ENDS_COMMAND lets a bare LF end a line where a protocol's old clients
 * need it (never SMTP's or LMTP's). Data blocks end at CRLF.CRLF and nothing else.
 *
 * Memory: both buffers are given back when the wire is idle and empty (wire_rest), so that an idle
 * session costs its structs alone. A line over its limit is skipped to its end and reported TOO_BIG, once.
 * Views returned are good until the next read from the wire.
 */
#pragma once

#include "base/buf.h"
#include "base/fault.h"
#include "base/time.h"
#include "runtime/colour.h"
#include "runtime/loop.h"
#include "runtime/stream.h"

enum wire_line_end { WIRE_CRLF_ENDS_COMMAND, WIRE_LF_ENDS_COMMAND };

struct wire {
    struct stream *stream;
    buf input;                    /* [input_at, len) is not yet consumed */
    size_t input_at;
    size_t scanned;               /* no line end before it */
    buf output;
    enum wire_line_end line_end;
    view skipped;                 /* of the last line, when it was too long */
    bool skips_line;              /* the rest of an over-long line */
    bool at_line_start;           /* of a data block */
    bool saw_end;                 /* the peer has closed its side */
    uint64_t bytes_in, bytes_out; /* as they went over the network */
    struct wire_zip *zip;         /* compression; NULL: none */
    struct timer rested;          /* armed by wire_rest() when a line is there already */
    void (*on_input)(void *argument);
    void *on_input_argument;
};

void wire_init(struct wire *w, struct stream *s, enum wire_line_end line_end);
void wire_done(struct wire *w);             /* frees the buffers, closes the stream */

/*
 * The next line without its end. END at the peer's end (what follows the last line end is dropped); TOO_BIG when the line
 * without its end is longer than max_bytes: it is skipped to its end, and reading goes on.
 */
MAY_YIELD NODISCARD result wire_line(struct wire *w, size_t max_bytes, millis deadline, view *ret_line, struct fault *fault);
/*
 * Of the line that was TOO_BIG its start and its end (with its middle, perhaps), so that an answer can name what it answers and what the line
 * announced can be read. Good until the next read.
 */
enum { WIRE_SKIPPED_START_BYTES = 128, WIRE_SKIPPED_END_BYTES = 32 };   /* at least: a tag; a literal's header */
static inline view wire_skipped(const struct wire *w) { return w->skipped; }
/*
 * The next piece of a data block (RFC 5321 §4.5.2: dot-unstuffed) as raw as it came, line ends included;
 * END after the final CRLF.CRLF, which is consumed (the CRLF before the dot belongs to the data and was returned).
 * Call wire_data_begin() first. Pieces are as large as the input buffer happens to hold, and at least 1 byte.
 * IO when the peer closes before the end.
 */
void wire_data_begin(struct wire *w);
MAY_YIELD NODISCARD result wire_data(struct wire *w, millis deadline, view *ret_piece, struct fault *fault);
/* Between 1 and max_bytes raw bytes: literals, BDAT. */
MAY_YIELD NODISCARD result wire_bytes(struct wire *w, size_t max_bytes, millis deadline, view *ret_bytes, struct fault *fault);
/*
 * From now on both directions are raw DEFLATE (RFC 4978); what has come and was not read is the beginning of it. Output must have been
 * flushed. Not undone.
 */
void wire_compress(struct wire *w);
bool wire_is_compressed(const struct wire *w);
/* Forgets unread input: before a TLS handshake (RFC 3207 §4.2, CVE-2011-0411). */
void wire_discard_input(struct wire *w);

/* A whole line (or, for wire_has_input, any byte) can be had without waiting: answers need not be flushed yet. */
bool wire_has_line(struct wire *w);
/* What has come and is not yet consumed, as far as it is in memory: for who wants to know what a client that pipelines will ask next. */
static inline view wire_ahead(const struct wire *w) { return view_from(buf_view(&w->input), w->input_at); }
bool wire_has_input(const struct wire *w);

/* Output gathers here; write to &w->output or with these. */
void wire_put(struct wire *w, view v);
void wire_putf(struct wire *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
enum { WIRE_OUTPUT_FULL_BYTES = 64 * 1024 };      /* from here on a producer should flush */
static inline bool wire_is_full(const struct wire *w) { return w->output.len >= WIRE_OUTPUT_FULL_BYTES; }
MAY_YIELD NODISCARD result wire_flush(struct wire *w, millis deadline, struct fault *fault);
/* Output that was gathered and then `more`, without copying it: for large bodies. */
MAY_YIELD NODISCARD result wire_flush_with(struct wire *w, view more, millis deadline, struct fault *fault);

/*
 * No coroutine until input comes: gives buffers back, then calls run(argument) as stream_when_readable() does; at the next
 * turn when a line is there already. Output must have been flushed. Cancelled by NULL and by wire_done().
 */
void wire_rest(struct wire *w, void (*run)(void *argument), void *argument);
