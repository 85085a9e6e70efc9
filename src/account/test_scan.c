#include "account/test_scan.h"

#include "formats/mime.h"
#include "formats/text_fold.h"

struct scan { view needle; unsigned zones; bool is_found; };

static bool scan_piece(void *argument, const struct message_piece *piece)
{
    struct scan *s = argument;
    bool is_in = s->zones == (1u << ZONES) - 1 || s->zones == 1u << ZONE_BODY;
    view text = is_in ? piece->text : view_from(piece->text, piece->value_at);
    if (s->zones >> piece->zone & 1 && view_find_view(text, s->needle) != VIEW_NONE) s->is_found = true;
    return !s->is_found;
}

bool test_scan(view message, unsigned zones, view needle)
{
    struct scan s = {needle, zones, false};
    struct message_text t = MESSAGE_TEXT_INIT;
    struct arena *arena = arena_new(NULL, MIME_ARENA_BYTES_ENOUGH);
    view header, body;
    header_split(message, &header, &body);
    if (message_text_header(&t, header, scan_piece, &s)) message_text_parts(&t, message, mime_parse(message, arena), scan_piece, &s);
    arena_free(arena);
    message_text_done(&t);
    return s.is_found;
}
