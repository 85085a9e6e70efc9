/*
 * imap_name: mailbox names between the wire and the store.
 *
 * The store knows names as UTF-8 with "/" between levels. IMAP4rev1 writes them in modified UTF-7
 * (RFC 3501 §5.1.3), IMAP4rev2 and UTF8=ACCEPT sessions as UTF-8 (RFC 9051 §5.1, RFC 6855 §3). INBOX is
 * the same mailbox in any case; it is kept as "INBOX", also as the first level of a longer name.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/result.h"

enum {
    IMAP_NAME_BYTES_MAX = 1000,     /* in UTF-8: fits each client's own line limits even in UTF-7 */
    IMAP_NAME_LEVELS_MAX = 32,      /* deeper trees come from broken clients only; bounds LIST's work */
    IMAP_NAME_SEPARATOR = '/',
};

/*
 * Decodes strictly: what is not exactly what imap_utf7_append() would write (superfluous shifts, ASCII
 * in base64, half surrogates) is refused, so that no mailbox has two names. Adds nothing on failure.
 */
bool imap_utf7_decode(buf *out, view wire);
/* `name` is valid UTF-8. */
void imap_utf7_append(buf *out, view name);

/*
 * The store's name of what a client wrote: decoded (`is_utf8`: the session speaks UTF-8), one trailing
 * separator removed, INBOX made canonical. INVALID: not decodable, a control character, an empty level;
 * TOO_BIG: a limit above. The name lives in `arena`, of which it takes at most 2 * IMAP_NAME_BYTES_MAX.
 * A rev1 client that sends 8-bit bytes where UTF-7 belongs is understood when they are valid UTF-8.
 */
NODISCARD result imap_name_from_wire(view wire, bool is_utf8, struct arena *arena, view *ret_name);
/* The same for a LIST pattern: may be empty, keeps its wildcards and trailing separator. */
NODISCARD result imap_pattern_from_wire(view wire, bool is_utf8, struct arena *arena, view *ret_pattern);
/* As the client is to see it, before quoting. */
void imap_name_append_wire(buf *out, view name, bool is_utf8);

/* RFC 9051 §6.3.9: "*" matches anything, "%" anything within one level. Time is pattern times name. */
bool imap_pattern_matches(view pattern, view name);
bool imap_name_is_inbox(view name);
/* "a/b" of "a/b/c"; empty for a name of one level. */
view imap_name_parent(view name);
