#include "formats/sasl.h"

#include "base/utf8.h"

static bool take_field(view *message, view *ret_field)
{
    size_t end = view_find(*message, '\0');
    if (end == VIEW_NONE || end > SASL_PLAIN_FIELD_BYTES_MAX) return false;
    *ret_field = view_slice(*message, 0, end);
    *message = view_from(*message, end + 1);
    return true;
}

bool sasl_plain_parse(view message, struct sasl_plain *ret_plain)
{
    struct sasl_plain plain;
    if (!utf8_is_valid(message) || !take_field(&message, &plain.authorization) || !take_field(&message, &plain.user)) return false;
    plain.password = message;
    if (plain.user.len == 0 || message.len == 0 || message.len > SASL_PLAIN_FIELD_BYTES_MAX || view_has_byte(message, '\0')) return false;
    *ret_plain = plain;
    return true;
}
