#include "formats/smtp_path.h"

#include <arpa/inet.h>
#include <string.h>

#include "base/check.h"
#include "base/utf8.h"

/* RFC 5321 §4.1.2 atext, the dot, and RFC 6531 §3.3 UTF8-non-ascii. Runs and ends of dots are the carriers'. */
static bool is_local_byte(unsigned char byte)
{
    return ascii_is_alpha((char)byte) || ascii_is_digit((char)byte) || byte >= 0x80 ||
           (byte != 0 && strchr("!#$%&'*+-/=?^_`{|}~.", byte) != NULL);
}

static bool is_domain_byte(unsigned char byte)
{
    return ascii_is_alpha((char)byte) || ascii_is_digit((char)byte) || byte == '-' || byte == '_' || byte == '.' ||
           byte >= 0x80;
}

/* dcontent: %d33-90 / %d94-126 */
static bool is_literal_byte(unsigned char byte)
{
    return byte > 32 && byte < 127 && byte != '[' && byte != ']' && byte != '\\';
}

static bool has_utf8(view v)
{
    for (size_t i = 0; i < v.len; i++)
        if ((unsigned char)v.at[i] >= 0x80) return true;
    return false;
}

bool smtp_domain_is_valid(view domain)
{
    if (domain.len == 0 || domain.len > SMTP_DOMAIN_MAX) return false;
    size_t label = 0;
    for (size_t i = 0; i < domain.len; i++) {
        if (!is_domain_byte((unsigned char)domain.at[i])) return false;
        label = domain.at[i] == '.' ? 0 : label + 1;
        if (label == 0 && (i == 0 || domain.at[i - 1] == '.')) return false;
        if (label > SMTP_DOMAIN_LABEL_MAX && !has_utf8(domain)) return false;
    }
    return label > 0 && utf8_is_valid(domain);
}

static bool is_internet_address(int family, view text)
{
    char cstr[INET6_ADDRSTRLEN];
    unsigned char address[sizeof(struct in6_addr)];
    if (text.len >= sizeof cstr || view_has_byte(text, '\0')) return false;
    memcpy(cstr, text.at, text.len);
    cstr[text.len] = '\0';
    return inet_pton(family, cstr, address) == 1;
}

bool smtp_address_literal_is_valid(view literal)
{
    if (literal.len < 3 || literal.len > SMTP_DOMAIN_MAX) return false;
    if (literal.at[0] != '[' || literal.at[literal.len - 1] != ']') return false;
    view inner = view_slice(literal, 1, literal.len - 2);
    if (view_starts_nocase(inner, VIEW("IPv6:"))) return is_internet_address(AF_INET6, view_from(inner, 5));
    if (is_internet_address(AF_INET, inner)) return true;
    size_t colon = view_find(inner, ':');
    if (colon == VIEW_NONE || colon == 0 || colon + 1 == inner.len) return false;
    for (size_t i = 0; i < inner.len; i++)
        if (!is_literal_byte((unsigned char)inner.at[i])) return false;
    return true;
}

/* Quoted-string = DQUOTE *QcontentSMTP DQUOTE; quoted-pair is a backslash and %d32-126. */
static bool take_quoted_local_part(struct cursor *c, struct arena *arena, view *ret_local_part)
{
    size_t end = 1, pairs = 0;
    view rest = c->rest;
    for (;; end++) {
        if (end >= rest.len || end > 2 * SMTP_LOCAL_PART_MAX + 2) return false;
        unsigned char byte = (unsigned char)rest.at[end];
        if (byte == '"') break;
        if (byte == '\\') {
            end++, pairs++;
            if (end >= rest.len) return false;
            byte = (unsigned char)rest.at[end];
            if (byte >= 0x80) return false;
        }
        if (byte < 32 || byte == 127) return false;
    }
    view quoted = view_slice(rest, 1, end - 1);
    if (quoted.len - pairs > SMTP_LOCAL_PART_MAX) return false;
    if (pairs) {
        char *copy = arena_try_alloc(arena, quoted.len);
        size_t len = 0;
        if (!copy) return false;
        for (size_t i = 0; i < quoted.len; i++) {
            if (quoted.at[i] == '\\') i++;
            copy[len++] = quoted.at[i];
        }
        quoted = view_make(copy, len);
    }
    c->rest = view_from(rest, end + 1);
    *ret_local_part = quoted;
    return true;
}

static bool take_local_part(struct cursor *c, struct arena *arena, view *ret_local_part)
{
    if (cursor_peek(c) == '"') return take_quoted_local_part(c, arena, ret_local_part);
    struct cursor start = *c;
    if (take_while1(c, is_local_byte, ret_local_part) && ret_local_part->len <= SMTP_LOCAL_PART_MAX) return true;
    *c = start;
    return false;
}

static bool take_literal(struct cursor *c, view *ret_domain)
{
    size_t close = view_find(c->rest, ']');
    if (close == VIEW_NONE || !smtp_address_literal_is_valid(view_slice(c->rest, 0, close + 1))) return false;
    return take_bytes(c, close + 1, ret_domain);
}

static bool take_domain(struct cursor *c, struct smtp_path *path)
{
    if (cursor_peek(c) == '[') {
        path->domain_kind = SMTP_DOMAIN_LITERAL;
        return take_literal(c, &path->domain);
    }
    view domain = take_while(c, is_domain_byte);
    if (view_ends(domain, VIEW("."))) domain.len--;
    path->domain_kind = SMTP_DOMAIN_NAME;
    path->domain = domain;
    return smtp_domain_is_valid(domain);
}

/* Mailbox = Local-part "@" ( Domain / address-literal ) */
static bool take_mailbox(struct cursor *c, enum smtp_path_kind kind, struct arena *arena, struct smtp_path *path)
{
    if (!take_local_part(c, arena, &path->local_part)) return false;
    if (take_byte(c, '@')) {
        if (!take_domain(c, path)) return false;
    } else if (kind != SMTP_FORWARD_PATH || !view_equal_nocase(path->local_part, VIEW("postmaster"))) {
        return false;
    }
    path->is_utf8 = has_utf8(path->local_part) || has_utf8(path->domain);
    return !path->is_utf8 || utf8_is_valid(path->local_part);
}

/* A-d-l ":" with A-d-l = At-domain *( "," At-domain ) */
static bool drop_source_route(struct cursor *c)
{
    if (cursor_peek(c) != '@') return true;
    struct smtp_path hop = {0};
    struct cursor start = *c;
    do {
        if (!take_byte(c, '@') || !take_domain(c, &hop)) return false;
    } while (take_byte(c, ','));
    return start.rest.len - c->rest.len <= SMTP_SOURCE_ROUTE_MAX && take_byte(c, ':');
}

static bool take_bracketed(struct cursor *c, enum smtp_path_kind kind, struct arena *arena, struct smtp_path *path)
{
    if (kind == SMTP_REVERSE_PATH && take_byte(c, '>')) {
        path->is_null = true;
        return true;
    }
    return drop_source_route(c) && take_mailbox(c, kind, arena, path) && take_byte(c, '>');
}

bool take_smtp_path(struct cursor *c, enum smtp_path_kind kind, struct arena *arena, struct smtp_path *ret_path)
{
    struct cursor start = *c;
    struct smtp_path path = {0};
    bool taken = take_byte(c, '<') ? take_bracketed(c, kind, arena, &path) : take_mailbox(c, kind, arena, &path);
    if (!taken) {
        *c = start;
        return false;
    }
    *ret_path = path;
    return true;
}

/* Dot-string = Atom *("." Atom) */
static bool is_dot_string(view local_part)
{
    bool after_dot = true;
    for (size_t i = 0; i < local_part.len; i++) {
        if (!is_local_byte((unsigned char)local_part.at[i])) return false;
        bool is_dot = local_part.at[i] == '.';
        if (is_dot && after_dot) return false;
        after_dot = is_dot;
    }
    return !after_dot;
}

void smtp_path_append_mailbox(buf *out, const struct smtp_path *path)
{
    if (path->is_null) return;
    if (is_dot_string(path->local_part)) {
        buf_append(out, path->local_part);
    } else {
        buf_append_byte(out, '"');
        for (size_t i = 0; i < path->local_part.len; i++) {
            char byte = path->local_part.at[i];
            if (byte == '"' || byte == '\\') buf_append_byte(out, '\\');
            buf_append_byte(out, byte);
        }
        buf_append_byte(out, '"');
    }
    if (path->domain_kind == SMTP_DOMAIN_NONE) return;
    buf_append_byte(out, '@');
    buf_append(out, path->domain);
}

void smtp_path_append(buf *out, const struct smtp_path *path)
{
    buf_append_byte(out, '<');
    smtp_path_append_mailbox(out, path);
    buf_append_byte(out, '>');
}

view smtp_path_keep_text(struct arena *arena, const struct smtp_path *path)
{
    if (!path->is_null && path->domain_kind != SMTP_DOMAIN_NONE && is_dot_string(path->local_part))
        return arena_printf(arena, VIEW_FMT "@" VIEW_FMT, VIEW_ARG(path->local_part), VIEW_ARG(path->domain));
    buf mailbox CLEANUP(buf_done) = BUF_INIT;
    smtp_path_append_mailbox(&mailbox, path);
    return arena_keep(arena, buf_view(&mailbox));
}
