/*
 * frame: one record as it stands in a journal's object. Pure. doc/formats/rados-engine.md has it byte by byte.
 *
 *     magic 'T' 'J', version 1, 0 | meta bytes | body bytes | crc of the header and meta | append id | meta | body | crc of body | append id
 *
 * The append id stands at both ends: whoever knows where a record ends can tell whether it is still there.
 */
#pragma once

#include "base/view.h"

enum {
    FRAME_HEADER_BYTES = 24,
    FRAME_BODY_CRC_BYTES = 4,
    FRAME_ID_BYTES = 8,
    FRAME_TRAILER_BYTES = FRAME_BODY_CRC_BYTES + FRAME_ID_BYTES,
};

struct frame {
    view meta;                           /* into the bytes it was taken from */
    uint64_t append_id;                  /* never 0 */
    uint32_t body_bytes;
    size_t bytes;                        /* of the whole frame */
};
enum frame_state {
    FRAME_WHOLE,
    FRAME_CUT,                           /* what is there is in order, more of it is missing */
    FRAME_BROKEN,
};

static inline size_t journal_frame_bytes(size_t meta_bytes, size_t body_bytes) { return FRAME_HEADER_BYTES + meta_bytes + body_bytes + FRAME_TRAILER_BYTES; }
/* Writes journal_frame_bytes() bytes. meta and body are within the limits of the engine. */
void journal_frame_write(char *into, uint64_t append_id, view meta, view body);
/* The frame at the beginning of `bytes`. FRAME_CUT: *ret_needed bytes must be there to know more. The body's bytes are not looked at. */
enum frame_state journal_frame_read(view bytes, struct frame *ret_frame, size_t *ret_needed);
/* Whether the body with its crc (and nothing else) is what was written. */
bool journal_frame_body_is_good(view body_and_crc);

/* Numbers of attributes: eight bytes, big-endian, so that equal numbers are equal bytes. */
void journal_put_be64(char *at, uint64_t number);
uint64_t journal_take_be64(const char *at);
uint64_t journal_frame_id_at(const char *at);    /* the append id at the end of a trailer */
