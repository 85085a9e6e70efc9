#include "formats/smtp_path.h"

#include "base/check.h"
#include "formats/mail_address.h"

enum { MAILBOX_FLAGS = MAIL_ADDRESS_TOLERANT | MAIL_ADDRESS_UTF8 };

static bool has_utf8(view v)
{
    for (size_t i = 0; i < v.len; i++)
        if ((unsigned char)v.at[i] >= 0x80) return true;
    return false;
}

/* "<Postmaster>" (RFC 5321 §4.1.1.3): the only local part that needs no domain. */
static bool take_postmaster(struct cursor *c, struct arena *arena, struct smtp_path *path)
{
    view local_part = view_slice(c->rest, 0, sizeof "postmaster" - 1);
    if (!take_view_nocase(c, VIEW("postmaster"))) return false;
    path->local_part = arena_keep(arena, local_part);
    return true;
}

static bool take_mailbox(struct cursor *c, enum smtp_path_kind kind, struct arena *arena, struct smtp_path *path)
{
    struct smtp_address address;
    if (!take_mail_address(c, MAILBOX_FLAGS, arena, &address))
        return kind == SMTP_FORWARD_PATH && take_postmaster(c, arena, path);
    path->domain_kind = address.is_literal ? SMTP_DOMAIN_LITERAL : SMTP_DOMAIN_NAME;
    path->local_part = address.local;
    path->domain = address.domain;
    path->is_utf8 = has_utf8(address.local) || has_utf8(address.domain);
    return true;
}

static bool is_hop_byte(unsigned char byte)
{
    return byte > 32 && byte != ',' && byte != '>' && byte != '<' && byte != '@' && byte != ':' && byte != 127;
}

/* An IPv6 literal has colons. */
static bool take_hop(struct cursor *c)
{
    view hop;
    if (cursor_peek(c) != '[') return take_while1(c, is_hop_byte, &hop) && mail_domain_is_valid(hop, MAILBOX_FLAGS);
    size_t end = view_find(c->rest, ']');
    return end != VIEW_NONE && end <= MAIL_ADDRESS_DOMAIN_BYTES_MAX && take_bytes(c, end + 1, &hop);
}

/* A-d-l ":" with A-d-l = At-domain *( "," At-domain ) */
static bool drop_source_route(struct cursor *c)
{
    if (cursor_peek(c) != '@') return true;
    for (unsigned hops = 0; hops < SMTP_SOURCE_ROUTE_HOPS_MAX; hops++) {
        if (!take_byte(c, '@') || !take_hop(c)) return false;
        if (take_byte(c, ':')) return true;
        if (!take_byte(c, ',')) return false;
    }
    return false;
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

void smtp_path_append_mailbox(buf *out, const struct smtp_path *path)
{
    if (!path->is_null) mail_address_append(out, path->local_part, path->domain);
}

void smtp_path_append(buf *out, const struct smtp_path *path)
{
    buf_append_byte(out, '<');
    smtp_path_append_mailbox(out, path);
    buf_append_byte(out, '>');
}

view smtp_path_keep_text(struct arena *arena, const struct smtp_path *path)
{
    if (path->domain_kind != SMTP_DOMAIN_NONE && mail_address_local_is_plain(path->local_part))
        return arena_printf(arena, VIEW_FMT "@" VIEW_FMT, VIEW_ARG(path->local_part), VIEW_ARG(path->domain));
    buf mailbox CLEANUP(buf_done) = BUF_INIT;
    smtp_path_append_mailbox(&mailbox, path);
    return arena_keep(arena, buf_view(&mailbox));
}
