/* Addresses of the SMTP envelope: RFC 5321 §4.1.2 and §4.1.3, RFC 6531 §3.3. */
#include "formats/mail_address.h"

#include <arpa/inet.h>
#include <string.h>

#include "base/utf8.h"

enum { LABEL_BYTES_MAX = 63 };      /* RFC 1035 §2.3.4 */

/* atext (RFC 5322 §3.2.3) */
static bool is_atext(char byte)
{
    return ascii_is_alpha(byte) || ascii_is_digit(byte) || (byte && strchr("!#$%&'*+-/=?^_`{|}~", byte));
}

/* One character above ASCII; false and unmoved when it is none, or malformed. */
static bool take_utf8_non_ascii(struct cursor *c)
{
    uint32_t code_point;
    return cursor_peek(c) >= 0x80 && utf8_take(&c->rest, &code_point);
}

/* Dot-string = Atom *("." Atom); tolerated: dots at either end and in a row. */
static bool take_dot_string(struct cursor *c, unsigned flags, view *ret_local)
{
    struct cursor start = *c;
    bool dot_is_welcome = false;
    while (c->rest.len) {
        char byte = c->rest.at[0];
        if (byte == '.') {
            if (!dot_is_welcome && !(flags & MAIL_ADDRESS_TOLERANT)) break;
            dot_is_welcome = false;
            take_byte(c, '.');
        } else if (is_atext(byte)) {
            dot_is_welcome = true;
            take_byte(c, byte);
        } else if ((flags & MAIL_ADDRESS_UTF8) && take_utf8_non_ascii(c)) {
            dot_is_welcome = true;
        } else {
            break;
        }
    }
    view local = view_slice(start.rest, 0, start.rest.len - c->rest.len);
    bool ends_in_dot = local.len && local.at[local.len - 1] == '.';
    if (local.len == 0 || (ends_in_dot && !(flags & MAIL_ADDRESS_TOLERANT))) {
        *c = start;
        return false;
    }
    *ret_local = local;
    return true;
}

/* Quoted-string = DQUOTE *QcontentSMTP DQUOTE, where QcontentSMTP is printable ASCII or a backslash and one of it. */
static bool take_quoted_string(struct cursor *c, unsigned flags, struct arena *arena, view *ret_local)
{
    struct cursor start = *c;
    char content[MAIL_ADDRESS_LOCAL_BYTES_TOLERATED + 4];
    size_t len = 0;
    if (!take_byte(c, '"')) return false;
    while (c->rest.len && len <= MAIL_ADDRESS_LOCAL_BYTES_TOLERATED) {
        view before = c->rest;
        if (take_byte(c, '"')) {
            *ret_local = arena_keep(arena, view_make(content, len));
            return true;
        }
        if (take_byte(c, '\\')) before = c->rest;
        int byte = cursor_peek(c);
        if (byte >= ' ' && byte <= '~') take_byte(c, (char)byte);
        else if (!(flags & MAIL_ADDRESS_UTF8) || !take_utf8_non_ascii(c)) break;
        size_t count = before.len - c->rest.len;
        memcpy(content + len, before.at, count);
        len += count;
    }
    *c = start;
    return false;
}

static bool is_label(view label, unsigned flags)
{
    if (label.len == 0 || label.len > LABEL_BYTES_MAX) return false;
    if (label.at[0] == '-' || label.at[label.len - 1] == '-') return false;
    struct cursor c = cursor_of(label);
    while (c.rest.len) {
        char byte = c.rest.at[0];
        bool is_ascii = ascii_is_alpha(byte) || ascii_is_digit(byte) || byte == '-' ||
                        (byte == '_' && (flags & MAIL_ADDRESS_TOLERANT));
        if (is_ascii) take_byte(&c, byte);
        else if (!(flags & MAIL_ADDRESS_UTF8) || !take_utf8_non_ascii(&c)) return false;
    }
    return true;
}

/* Domain = sub-domain *("." sub-domain) */
bool mail_domain_is_valid(view domain, unsigned flags)
{
    view label;
    if (domain.len == 0 || domain.len > MAIL_ADDRESS_DOMAIN_BYTES_MAX || domain.at[domain.len - 1] == '.') return false;
    while (view_cut(&domain, '.', &label))
        if (!is_label(label, flags)) return false;
    return true;
}

/* IPv4-address-literal / IPv6-address-literal; no tag but IPv6 has been standardised. */
static bool is_literal(view literal)
{
    char text[64];
    unsigned char address[16];
    view inside = view_slice(literal, 1, literal.len - 2);
    int family = AF_INET;
    if (view_starts_nocase(inside, VIEW("IPv6:"))) {
        inside = view_from(inside, 5);
        family = AF_INET6;
    }
    if (inside.len == 0 || inside.len >= sizeof text || view_has_byte(inside, 0)) return false;
    memcpy(text, inside.at, inside.len);
    text[inside.len] = 0;
    return inet_pton(family, text, address) == 1;
}

static bool take_literal(struct cursor *c, unsigned flags, view *ret_literal)
{
    size_t end = view_find(view_slice(c->rest, 0, MAIL_ADDRESS_DOMAIN_BYTES_MAX), ']');
    if ((flags & MAIL_ADDRESS_NO_LITERAL) || end == VIEW_NONE) return false;
    view literal = view_slice(c->rest, 0, end + 1);
    if (!is_literal(literal)) return false;
    *ret_literal = literal;
    c->rest = view_from(c->rest, literal.len);
    return true;
}

static bool is_domain_byte(unsigned char byte)
{
    return byte > ' ' && byte != '>' && byte != ',' && byte != ':' && byte != ';' && byte != 0x7f;
}

static bool take_domain(struct cursor *c, unsigned flags, struct smtp_address *address)
{
    if (cursor_peek(c) == '[') {
        address->is_literal = true;
        return take_literal(c, flags, &address->domain);
    }
    struct cursor start = *c;
    view domain = take_while(c, is_domain_byte);
    address->domain = domain;
    if (mail_domain_is_valid(domain, flags)) return true;
    *c = start;
    return false;
}

static bool take_local(struct cursor *c, unsigned flags, struct arena *arena, view *ret_local)
{
    struct cursor start = *c;
    size_t limit = flags & MAIL_ADDRESS_TOLERANT ? MAIL_ADDRESS_LOCAL_BYTES_TOLERATED : MAIL_ADDRESS_LOCAL_BYTES_MAX;
    view local = VIEW_EMPTY;
    bool is_there = cursor_peek(c) == '"' ? take_quoted_string(c, flags, arena, &local) : take_dot_string(c, flags, &local);
    /* The RFC counts quotes, too; what is tolerated unquoted must be tolerated when it is written down quoted. */
    size_t len = flags & MAIL_ADDRESS_TOLERANT ? local.len : start.rest.len - c->rest.len;
    if (is_there && len <= limit) {
        *ret_local = local;
        return true;
    }
    *c = start;
    return false;
}

bool take_mail_address(struct cursor *c, unsigned flags, struct arena *arena, struct smtp_address *ret_address)
{
    struct cursor start = *c;
    struct smtp_address address = {0};
    if (!take_local(c, flags, arena, &address.local) || !take_byte(c, '@') || !take_domain(c, flags, &address)) {
        *c = start;
        return false;
    }
    if (!(flags & MAIL_ADDRESS_TOLERANT) && start.rest.len - c->rest.len > MAIL_ADDRESS_BYTES_MAX) {
        *c = start;
        return false;
    }
    address.local = arena_keep(arena, address.local);
    address.domain = arena_keep(arena, address.domain);
    *ret_address = address;
    return true;
}

bool mail_address_parse(view text, unsigned flags, struct arena *arena, struct smtp_address *ret_address)
{
    struct cursor c = cursor_of(text);
    struct smtp_address address;
    if (!take_mail_address(&c, flags, arena, &address) || !cursor_at_end(&c)) return false;
    *ret_address = address;
    return true;
}

bool mail_address_local_is_plain(view local)
{
    if (local.len == 0 || local.at[0] == '.' || local.at[local.len - 1] == '.') return false;
    for (size_t i = 0; i < local.len; i++) {
        if (local.at[i] == '.' ? local.at[i - 1] == '.' : !is_atext(local.at[i]) && (unsigned char)local.at[i] < 0x80) return false;
    }
    return true;
}

void mail_address_append(buf *b, view local, view domain)
{
    if (mail_address_local_is_plain(local)) {
        buf_append(b, local);
    } else {
        buf_append_byte(b, '"');
        for (size_t i = 0; i < local.len; i++) {
            if (local.at[i] == '"' || local.at[i] == '\\') buf_append_byte(b, '\\');
            buf_append_byte(b, local.at[i]);
        }
        buf_append_byte(b, '"');
    }
    if (domain.len == 0) return;
    buf_append_byte(b, '@');
    buf_append(b, domain);
}
