/*
 * transfer: content transfer encodings (RFC 2045 §6), and base64 for everyone who needs it (RFC 4648).
 *
 * Two decoders: base64_decode() judges (SASL, keys: one right form), struct transfer_decoder forgives
 * (mail: line ends, stray bytes, missing padding, lower-case hex, soft breaks with blanks) and takes its
 * input in chunks of any size: same chunks or not, same bytes come out. Pure.
 */
#pragma once

#include "base/buf.h"
#include "base/view.h"

/* ---- base64, strict ---- */

/* Appends the text, padded, on one line. */
void base64_append(buf *b, view bytes);
/* Appends the bytes. False (and nothing appended) for any byte outside the alphabet, wrong padding or bits left over. */
bool base64_decode(view text, buf *into);

/* ---- bodies ---- */

enum transfer_encoding {
    TRANSFER_IDENTITY,            /* 7bit, 8bit, binary, none */
    TRANSFER_BASE64,
    TRANSFER_QUOTED_PRINTABLE,
    TRANSFER_UNKNOWN,             /* passed through as it is */
};

/* Of a Content-Transfer-Encoding field; empty is TRANSFER_IDENTITY (RFC 2045 §6.1). */
enum transfer_encoding transfer_encoding_of(view name);

struct transfer_decoder {
    enum transfer_encoding encoding;
    uint32_t bits;                /* base64: not yet written */
    unsigned count;               /* base64: sextets in bits */
    bool is_broken;               /* some input was not of the encoding */
    char held[2];                 /* quoted-printable: an escape of which not all has come */
    unsigned held_count;
    buf blanks;                   /* quoted-printable: white space that may be trailing, at most TRANSFER_BLANKS_MAX */
};

enum { TRANSFER_BLANKS_MAX = 998 };     /* RFC 5322 §2.1.1: a line has no more; what is longer is kept as text */

struct transfer_decoder transfer_decoder_of(enum transfer_encoding encoding);
void transfer_decoder_feed(struct transfer_decoder *d, view chunk, buf *into);
/* The input has ended: writes what was held back and frees. is_broken is final. */
void transfer_decoder_end(struct transfer_decoder *d, buf *into);

/* All at once. False when the body was not wholly of its encoding; what could be read is there nevertheless. */
bool transfer_decode(enum transfer_encoding encoding, view body, buf *into);

/* ---- encoding ---- */

/* Base64 in lines of 76 with CRLF, also after the last. */
void transfer_append_base64(buf *b, view bytes);
/* Quoted-printable of text whose line ends are CRLF (or LF, made CRLF); lines of at most 76. */
void transfer_append_quoted_printable(buf *b, view text);
