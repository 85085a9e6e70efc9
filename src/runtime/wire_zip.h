/*
 * wire_zip: raw DEFLATE in both directions of a wire (RFC 4978 §4): wire.h's inner side.
 *
 * What comes is unpacked no faster than it is read, so that a small input cannot fill the memory. The packer's window is given
 * back while the wire rests: a new one goes on with the same stream, since every flush ends at a byte. An idle connection then costs the
 * unpacker's window, about 40 KiB.
 */
#pragma once

#include "base/buf.h"
#include "base/fault.h"

struct wire_zip;

struct wire_zip *wire_zip_new(void);
void wire_zip_free(struct wire_zip *z);                     /* NULL is fine */

/* Packed bytes as they came, and room for more of them. */
buf *wire_zip_arrived(struct wire_zip *z);
/* Something can be unpacked without more input. */
bool wire_zip_has_more(const struct wire_zip *z);
/* Unpacks a piece: OK, also when nothing came of it; END when the peer's stream has ended; INVALID when it is none. */
NODISCARD result wire_zip_unpack(struct wire_zip *z, buf *into);

/* Packs and flushes. */
void wire_zip_pack(struct wire_zip *z, view bytes, buf *into);
/* The packer's memory until it is needed again. */
void wire_zip_rest(struct wire_zip *z);
