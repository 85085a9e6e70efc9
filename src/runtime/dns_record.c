/* What stands in DNS records. Pure. RFC 1035 §3.3, RFC 3596 §2.2, RFC 6698 §2.1. */
#include <string.h>

#include "base/check.h"
#include "base/cursor.h"
#include "runtime/resolver.h"

static bool take_be16(struct cursor *c, uint16_t *ret_number)
{
    view two;
    if (!take_bytes(c, 2, &two)) return false;
    *ret_number = (uint16_t)((unsigned char)two.at[0] << 8 | (unsigned char)two.at[1]);
    return true;
}

/* A label with a dot in it would read as two: such names are nobody's mail host. */
static bool label_is_text(view label)
{
    for (size_t i = 0; i < label.len; i++)
        if ((unsigned char)label.at[i] <= ' ' || label.at[i] == '.' || (unsigned char)label.at[i] >= 127) return false;
    return true;
}

static bool take_name(struct cursor *c, struct arena *arena, view *ret_name)
{
    char text[RESOLVER_NAME_BYTES_MAX];
    size_t len = 0;
    for (;;) {
        view head, label;
        if (!take_bytes(c, 1, &head)) return false;
        unsigned char size = (unsigned char)head.at[0];
        if (size == 0) break;
        if (size > 63 || !take_bytes(c, size, &label) || !label_is_text(label) || len + (len > 0) + size > RESOLVER_NAME_BYTES_MAX) return false;
        if (len) text[len++] = '.';
        memcpy(text + len, label.at, size);
        len += size;
    }
    *ret_name = arena_keep(arena, view_make(text, len));
    return true;
}

bool dns_name_parse(view record, struct arena *arena, view *ret_name)
{
    struct cursor c = cursor_of(record);
    return take_name(&c, arena, ret_name) && cursor_at_end(&c);
}

bool dns_mx_parse(view record, struct arena *arena, struct dns_mx *ret_mx)
{
    struct cursor c = cursor_of(record);
    return take_be16(&c, &ret_mx->preference) && take_name(&c, arena, &ret_mx->host) && cursor_at_end(&c);
}

bool dns_tlsa_parse(view record, struct dns_tlsa *ret_tlsa)
{
    if (record.len < 4) return false;
    const unsigned char *at = (const unsigned char *)record.at;
    *ret_tlsa = (struct dns_tlsa){.usage = at[0], .selector = at[1], .matching = at[2], .data = view_from(record, 3)};
    return true;
}

bool dns_address_parse(view record, enum dns_type type, struct address *ret_address)
{
    size_t len = type == DNS_A ? 4 : 16;
    if (record.len != len) return false;
    *ret_address = (struct address){.family = type == DNS_A ? 4 : 6};
    memcpy(ret_address->bytes, record.at, len);
    return true;
}

bool dns_txt_parse(view record, struct arena *arena, view *ret_text)
{
    struct cursor c = cursor_of(record);
    buf text CLEANUP(buf_done) = BUF_INIT;
    while (!cursor_at_end(&c)) {
        view head, part;
        if (!take_bytes(&c, 1, &head) || !take_bytes(&c, (unsigned char)head.at[0], &part)) return false;
        buf_append(&text, part);
    }
    *ret_text = arena_keep(arena, buf_view(&text));
    return true;
}

static bool is_name_byte(char c) { return ascii_is_alpha(c) || ascii_is_digit(c) || c == '-' || c == '_'; }

bool dns_name_is_valid(view name)
{
    size_t label = 0;
    if (name.len == 0 || name.len > RESOLVER_NAME_BYTES_MAX) return false;
    for (size_t i = 0; i < name.len; i++) {
        if (name.at[i] == '.') {
            if (label == 0) return false;
            label = 0;
        } else if (!is_name_byte(name.at[i]) || ++label > 63) {
            return false;
        }
    }
    return label > 0;
}
