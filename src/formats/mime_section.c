/* Finding parts and their bytes by IMAP's section numbers (RFC 9051 §6.4.5.1), and small questions about parts. */
#include "formats/mime.h"

bool mime_is(const struct mime_part *part, const char *type, const char *subtype)
{
    if (!view_equal_nocase(part->type, view_of(type))) return false;
    return !subtype || !subtype[0] || view_equal_nocase(part->subtype, view_of(subtype));
}

view mime_parameter(const struct mime_parameters *parameters, view name)
{
    for (unsigned i = 0; i < parameters->count; i++)
        if (view_equal_nocase(parameters->at[i].name, name)) return parameters->at[i].value;
    return VIEW_EMPTY;
}

static const struct mime_part *child_at(const struct mime_part *multipart, uint32_t number)
{
    const struct mime_part *child = multipart->first;
    while (child && child->number != number) child = child->next;
    return child;
}

/* Part `number` of the message whose root is `root`: what is no multipart has itself as its only part. */
static const struct mime_part *message_part_at(const struct mime_part *root, uint32_t number)
{
    if (root->kind == MIME_MULTIPART) return child_at(root, number);
    return number == 1 ? root : NULL;
}

const struct mime_part *mime_find(const struct mime_part *root, const uint32_t *numbers, size_t count)
{
    if (count == 0) return root;
    const struct mime_part *part = message_part_at(root, numbers[0]);
    for (size_t i = 1; part && i < count; i++) {
        if (part->kind == MIME_MULTIPART) part = child_at(part, numbers[i]);
        else if (part->kind == MIME_MESSAGE) part = message_part_at(part->first, numbers[i]);
        else part = NULL;
    }
    return part;
}

bool mime_section(const struct mime_part *root, const uint32_t *numbers, size_t count, enum mime_what what,
                  struct mime_range *ret_range)
{
    const struct mime_part *part = mime_find(root, numbers, count);
    if (!part || (what == MIME_MIME && count == 0)) return false;
    if (what == MIME_WHOLE) {
        *ret_range = count ? part->body : (struct mime_range){part->header.from, part->header.len + part->body.len};
        return true;
    }
    if (what == MIME_MIME) {
        *ret_range = part->header;
        return true;
    }
    if (count) {
        if (part->kind != MIME_MESSAGE) return false;
        part = part->first;
    }
    *ret_range = what == MIME_HEADER ? part->header : part->body;
    return true;
}
