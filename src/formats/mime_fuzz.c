/* Oracles: the invariants of mime.h; the fields of a header give its bytes back; memory is bounded by the input. */
#include "base/check.h"
#include "formats/envelope.h"
#include "formats/header.h"
#include "formats/mime.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_part(const struct mime_part *root, const struct mime_part *part, size_t from, size_t to, unsigned *parts)
{
    size_t end = part->body.from + part->body.len;
    check(part->header.from >= from && part->header.from + part->header.len == part->body.from && end <= to);
    check(part->type.len && part->subtype.len && (part->kind == MIME_LEAF) == !part->first && part->depth <= MIME_DEPTH_MAX);
    ++*parts;
    unsigned number = 0;
    for (const struct mime_part *child = part->first; child; child = child->next) {
        check(child->parent == part && child->number == ++number && child->depth == part->depth + 1);
        check_part(root, child, part->body.from, end, parts);
    }
    if (part != root && part->parent->kind == MIME_MULTIPART && part->parent == root)
        check(mime_find(root, &part->number, 1) == part);
}

static void check_header(view header)
{
    struct header_field field;
    size_t bytes = 0;
    view rest = header;
    while (header_next(&rest, &field)) bytes += field.whole.len;
    check(bytes <= header.len && header.len - bytes <= 2);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, MIME_ARENA_BYTES_ENOUGH);
    view message = view_make(data, size), header, body;
    const struct mime_part *root = mime_parse(message, arena);
    check(root);
    unsigned parts = 0;
    check_part(root, root, 0, size, &parts);
    check(arena_used(arena) <= 40 * size + parts * 512 + 4096);
    header_split(message, &header, &body);
    check_header(header);
    struct message_envelope envelope;
    message_envelope_parse(message, arena, &envelope);
    return 0;
}
