#include "identity/address_key.h"

#include <idn2.h>
#include <stdlib.h>

#include "base/utf8.h"
#include "formats/mail_address.h"
#include "identity/identity.h"

static bool is_ascii(view v)
{
    for (size_t i = 0; i < v.len; i++)
        if ((unsigned char)v.at[i] >= 0x80) return false;
    return true;
}

static view lower(view v, struct arena *arena)
{
    char *copy = arena_cstr(arena, v);
    for (size_t i = 0; i < v.len; i++) copy[i] = ascii_lower(copy[i]);
    return view_make(copy, v.len);
}

result domain_key(view domain, struct arena *arena, view *ret_key)
{
    if (domain.len == 0 || domain.len > MAIL_ADDRESS_DOMAIN_BYTES_MAX) return INVALID;
    if (domain.at[domain.len - 1] == '.') domain.len--;
    if (!is_ascii(domain)) {
        char *labels = NULL;
        if (!utf8_is_valid(domain)) return INVALID;
        if (idn2_to_ascii_8z(arena_cstr(arena, domain), &labels, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL) != IDN2_OK) return INVALID;
        domain = arena_keep(arena, view_of(labels));
        idn2_free(labels);
    }
    if (!mail_domain_is_valid(domain, 0)) return INVALID;
    *ret_key = lower(domain, arena);
    return OK;
}

/* A quoted local part without its quotes; false when the quoting is broken. */
static bool unquote(view *local, struct arena *arena)
{
    if (local->len < 2 || local->at[0] != '"') return true;
    if (local->at[local->len - 1] != '"') return false;
    char *plain = arena_cstr(arena, *local);
    size_t len = 0;
    for (size_t i = 1; i + 1 < local->len; i++) {
        if (local->at[i] == '\\' && i + 2 < local->len) i++;
        plain[len++] = local->at[i];
    }
    *local = view_make(plain, len);
    return true;
}

result address_key(view address, struct arena *arena, view *ret_key)
{
    size_t at = view_find_last(address, '@');
    if (at == VIEW_NONE || at == 0 || address.len > IDENTITY_ADDRESS_BYTES_MAX) return INVALID;
    view local = view_slice(address, 0, at), domain;
    if (!unquote(&local, arena) || local.len == 0 || !utf8_is_valid(local)) return INVALID;
    for (size_t i = 0; i < local.len; i++)
        if ((unsigned char)local.at[i] < 0x20 || local.at[i] == 0x7f) return INVALID;
    result r = domain_key(view_from(address, at + 1), arena, &domain);
    if (r != OK) return r;
    local = lower(local, arena);
    *ret_key = arena_printf(arena, VIEW_FMT "@" VIEW_FMT, VIEW_ARG(local), VIEW_ARG(domain));
    return OK;
}

view address_key_domain(view key)
{
    size_t at = view_find_last(key, '@');
    return at == VIEW_NONE ? VIEW_EMPTY : view_from(key, at + 1);
}
