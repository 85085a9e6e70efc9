/*
 * buf: bytes that are owned and grow.
 *
 * Invariants: len <= capacity; at is NULL exactly when capacity is 0. Start with BUF_INIT, end with
 * buf_done() (or CLEANUP(buf_done)). A view of a buf is good until the next call that may grow it.
 * Growth never fails (out of memory aborts): the caller limits what it lets in.
 */
#pragma once

#include <stdarg.h>
#include <stdint.h>

#include "base/view.h"

typedef struct buf {
    char *at;
    size_t len;
    size_t capacity;
} buf;

#define BUF_INIT ((buf){NULL, 0, 0})

void buf_done(buf *b);                               /* frees, leaves BUF_INIT */
static inline view buf_view(const buf *b) { return (view){b->at, b->len}; }
static inline void buf_clear(buf *b) { b->len = 0; } /* keeps the memory */
void buf_shrink(buf *b, size_t keep_bytes);          /* gives memory above keep_bytes back; empties */

void buf_reserve(buf *b, size_t more);               /* room for `more` bytes after len */
char *buf_extend(buf *b, size_t count);              /* adds `count` bytes for the caller to fill */
void buf_append(buf *b, view v);
void buf_append_byte(buf *b, char c);
void buf_append_cstr(buf *b, const char *cstr);
void buf_append_u64(buf *b, uint64_t number);        /* in decimal */
void buf_append_i64(buf *b, int64_t number);
void buf_appendf(buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
void buf_appendv(buf *b, const char *format, va_list arguments) __attribute__((format(printf, 2, 0)));
void buf_consume(buf *b, size_t count);              /* removes the first `count` bytes */

/* Fixed-width little-endian numbers and unsigned LEB128, the two ways Tayori writes numbers down. */
void buf_append_le16(buf *b, uint16_t number);
void buf_append_le32(buf *b, uint32_t number);
void buf_append_le64(buf *b, uint64_t number);
void buf_append_varint(buf *b, uint64_t number);
