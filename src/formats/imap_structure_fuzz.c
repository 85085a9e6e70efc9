/*
 * Whatever a message looks like, its ENVELOPE, BODY and BODYSTRUCTURE are lists of strings, numbers and NIL that a client
 * can read.
 */
#include "base/check.h"
#include "formats/envelope.h"
#include "formats/imap_grammar.h"
#include "formats/imap_structure.h"
#include "formats/mime.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { DEPTH_MAX = 4 * MIME_DEPTH_MAX + 10 };

static bool take_value(struct imap_grammar *g)
{
    view string;
    uint64_t number;
    bool is_nil;
    return imap_take_nstring(g, &string, &is_nil) || take_number(&g->at, UINT32_MAX, &number);
}

/* One list, its inner ones counted instead of recursed into. */
static bool is_list(view text)
{
    struct imap_grammar g = {.at = cursor_of(text), .arena = arena_new(NULL, 64 * text.len + 4096)};
    unsigned depth = 0;
    bool is_good = true;
    do {
        if (take_byte(&g.at, '(')) {
            depth++;
        } else if (take_byte(&g.at, ')')) {
            is_good = depth-- > 0;
            take_byte(&g.at, ' ');
        } else {
            is_good = take_value(&g);
            take_byte(&g.at, ' ');
        }
    } while (is_good && depth > 0 && depth < DEPTH_MAX);
    is_good = is_good && depth == 0 && cursor_at_end(&g.at);
    arena_free(g.arena);
    return is_good;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 65536) return 0;
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 64 << 20);
    buf out CLEANUP(buf_done) = BUF_INIT;
    view message = view_make(data, size);
    struct message_envelope envelope;
    struct mime_part *root = mime_parse(message, arena);
    message_envelope_parse(message, arena, &envelope);
    for (int is_utf8 = 0; is_utf8 < 2; is_utf8++) {
        buf_clear(&out);
        imap_write_envelope(&out, &envelope, is_utf8);
        check(is_list(buf_view(&out)));
        for (int is_extended = 0; is_extended < 2; is_extended++) {
            buf_clear(&out);
            imap_write_structure(&out, root, message, is_extended, is_utf8, arena);
            check(is_list(buf_view(&out)));
        }
    }
    return 0;
}
