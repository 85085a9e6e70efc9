/*
 * imap_write: the pieces of which answers are made (RFC 9051 §9).
 *
 * All append to a buf and cannot fail. `is_utf8` says whether the session may get UTF-8 in quoted strings
 * (IMAP4rev2 or UTF8=ACCEPT was enabled); otherwise bytes above 0x7f go into literals.
 */
#pragma once

#include "base/buf.h"
#include "formats/imap.h"

/* Quoted when it is short and of plain characters, else a literal. NUL, which no string may hold, becomes "?". */
void imap_write_string(buf *out, view text, bool is_utf8);
/* NIL when there is nothing; `is_present` tells "" from NIL. */
void imap_write_nstring(buf *out, view text, bool is_present, bool is_utf8);
/* An atom where it can be one. */
void imap_write_astring(buf *out, view text, bool is_utf8);
/* A mailbox name of the store as the session sees it (imap_name.h), as astring. */
void imap_write_mailbox(buf *out, view name, bool is_utf8);
/* "{n}CRLF", or "~{n}CRLF" when is_binary; the bytes follow by the caller's hand. */
void imap_write_literal_header(buf *out, uint64_t size_bytes, bool is_binary);

/* "(\Seen $Forwarded)" */
void imap_write_flags(buf *out, const struct imap_flags *flags);
/* "\Answered \Seen" without parentheses; nothing for 0. */
void imap_write_system_flags(buf *out, unsigned system);
/* "\Sent \Archive" without parentheses; IMAP_USE_UNKNOWN is not written. */
void imap_write_special_use(buf *out, unsigned use);

/* "-1:-100" */
void imap_write_partial(buf *out, const struct imap_partial *partial);

/* The section of a FETCH item as the answer repeats it: "BODY[1.HEADER.FIELDS (Subject)]<0>". */
void imap_write_section_label(buf *out, const struct imap_fetch_item *item);
/* The item as a client writes it: "BODY.PEEK[1]<0.100>". */
void imap_write_fetch_item(buf *out, const struct imap_fetch_item *item);
