#include "formats/imap_url.h"

#include "base/check.h"
#include "base/utf8.h"
#include "formats/imap_grammar.h"

static int hex_digit(char c)
{
    if (ascii_is_digit(c)) return c - '0';
    c = ascii_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* "%20": two hexadecimal digits. */
static bool decode(view text, struct arena *arena, view *ret_text)
{
    char *to = arena_try_alloc(arena, text.len + 1);
    size_t len = 0;
    if (!to) return false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.at[i] != '%') {
            to[len++] = text.at[i];
            continue;
        }
        int high = i + 2 < text.len ? hex_digit(text.at[i + 1]) : -1, low = high < 0 ? -1 : hex_digit(text.at[i + 2]);
        if (low < 0 || high * 16 + low == 0) return false;
        to[len++] = (char)(high * 16 + low);
        i += 2;
    }
    *ret_text = view_make(to, len);
    return utf8_is_valid(*ret_text);
}

/* Takes ";NAME=value" or "/;NAME=value" up to the next "/;". */
static bool take_parameter(view *rest, view name, view *ret_value)
{
    view at = view_starts(*rest, VIEW("/")) ? view_from(*rest, 1) : *rest;
    if (!view_starts(at, VIEW(";")) || !view_starts_nocase(view_from(at, 1), name)) return false;
    at = view_from(at, 1 + name.len);
    size_t end = view_find_view(at, VIEW("/;"));
    if (end == VIEW_NONE) end = at.len;
    *ret_value = view_slice(at, 0, end);
    *rest = view_from(at, end);
    return true;
}

/* The section as FETCH reads it, so that there is one grammar of sections. */
static bool parse_section(view section, struct arena *arena, struct imap_fetch_item *ret_item)
{
    struct imap_fetch fetch;
    view text = arena_printf(arena, "1 BODY.PEEK[" VIEW_FMT "]", VIEW_ARG(section));
    struct imap_grammar g = {.at = cursor_of(text), .arena = arena};
    if (!imap_take_fetch(&g, &fetch) || !cursor_at_end(&g.at) || fetch.item_count != 1) return false;
    *ret_item = fetch.items[0];
    return true;
}

static bool parse_partial(view text, struct imap_fetch_item *item)
{
    struct cursor c = cursor_of(text);
    item->is_partial = true;
    item->partial_len = UINT32_MAX;
    if (!take_number32(&c, &item->partial_from)) return false;
    if (take_byte(&c, '.') && (!take_number32(&c, &item->partial_len) || item->partial_len == 0)) return false;
    return cursor_at_end(&c);
}

static bool parse_mailbox(view text, struct arena *arena, struct imap_url *url)
{
    size_t at = view_find_nocase(text, VIEW(";UIDVALIDITY="));
    if (at != VIEW_NONE) {
        if (!view_to_u32(view_from(text, at + 13), &url->uid_validity) || url->uid_validity == 0) return false;
        text = view_slice(text, 0, at);
    }
    url->has_mailbox = text.len > 0;
    return decode(text, arena, &url->mailbox);
}

static bool parse(view text, struct arena *arena, struct imap_url *url)
{
    view value, section = VIEW_EMPTY;
    if (view_starts(text, VIEW("//")) || view_find_view(text, VIEW("://")) != VIEW_NONE) return false;
    size_t at = view_find_nocase(text, VIEW(";UID="));
    if (at == VIEW_NONE) return false;
    view before = view_slice(text, 0, at), rest = view_from(text, at);
    if (before.len && before.at[before.len - 1] == '/') before.len--;
    if (view_starts(before, VIEW("/"))) before = view_from(before, 1);
    if (!parse_mailbox(before, arena, url) || !take_parameter(&rest, VIEW("UID="), &value) || !view_to_u32(value, &url->uid) || url->uid == 0)
        return false;
    if (take_parameter(&rest, VIEW("SECTION="), &value) && !decode(value, arena, &section)) return false;
    if (!parse_section(section, arena, &url->item)) return false;
    if (take_parameter(&rest, VIEW("PARTIAL="), &value) && !parse_partial(value, &url->item)) return false;
    return rest.len == 0;
}

result imap_url_parse(view url, struct arena *arena, struct imap_url *ret_url)
{
    struct imap_url parsed = {0};
    if (!parse(url, arena, &parsed)) return INVALID;
    *ret_url = parsed;
    return OK;
}
