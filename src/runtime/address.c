#include <arpa/inet.h>
#include <string.h>

#include "runtime/stream.h"

view address_text(const struct address *a, char text[static ADDRESS_TEXT_MAX])
{
    if (a->family == 0) return VIEW("local");
    if (!inet_ntop(a->family == 4 ? AF_INET : AF_INET6, a->bytes, text, ADDRESS_TEXT_MAX)) return VIEW_EMPTY;
    return view_of(text);
}

bool address_parse(view text, struct address *ret_address)
{
    char cstr[ADDRESS_TEXT_MAX];
    struct address a = {0};
    if (text.len == 0 || text.len >= sizeof cstr || view_has_byte(text, '\0')) return false;
    memcpy(cstr, text.at, text.len);
    cstr[text.len] = '\0';
    a.family = view_has_byte(text, ':') ? 6 : 4;
    if (inet_pton(a.family == 4 ? AF_INET : AF_INET6, cstr, a.bytes) != 1) return false;
    *ret_address = a;
    return true;
}

bool address_equal(const struct address *a, const struct address *b)
{
    size_t len = a->family == 6 ? 16 : a->family == 4 ? 4 : 0;
    return a->family == b->family && memcmp(a->bytes, b->bytes, len) == 0;
}

bool address_is_loopback(const struct address *a)
{
    static const unsigned char loopback6[16] = {[15] = 1};
    if (a->family == 0) return true;
    if (a->family == 4) return a->bytes[0] == 127;
    return memcmp(a->bytes, loopback6, sizeof loopback6) == 0;
}
