#include "formats/preview.h"

#include <string.h>

#include "base/check.h"
#include "base/cursor.h"
#include "base/utf8.h"
#include "formats/charset.h"
#include "formats/mime.h"
#include "formats/transfer.h"

/* ---- which part ---- */

static bool is_attachment(const struct mime_part *part)
{
    return view_equal_nocase(part->disposition, VIEW("attachment"));
}

/* The first text in the order of the message; of alternatives the plain one. */
static const struct mime_part *find_text(const struct mime_part *part, unsigned depth)
{
    const struct mime_part *found = NULL;
    if (is_attachment(part) || depth > PREVIEW_DEPTH_MAX) return NULL;
    if (mime_is(part, "text", "plain") || mime_is(part, "text", "html")) return part->kind == MIME_LEAF ? part : NULL;
    bool is_choice = mime_is(part, "multipart", "alternative");
    for (const struct mime_part *child = part->first; child && part->kind == MIME_MULTIPART; child = child->next) {
        const struct mime_part *text = find_text(child, depth + 1);
        if (!found || (is_choice && text && mime_is(text, "text", "plain") && !mime_is(found, "text", "plain"))) found = text;
        if (found && !is_choice) break;
    }
    return found;
}

/* ---- writing ---- */

struct writer {
    buf *out;
    unsigned characters;
    bool wants_space;
};

static bool is_blank(uint32_t c)
{
    return c <= 0x20 || c == 0x7f || (c >= 0x80 && c <= 0xa0) || c == 0xad || c == 0x034f || (c >= 0x2000 && c <= 0x200f) ||
           (c >= 0x2028 && c <= 0x202f) || c == 0x2060 || c == 0x3000 || c == 0xfeff;
}

static bool is_full(const struct writer *w) { return w->characters >= PREVIEW_CHARACTERS_MAX; }

static void put(struct writer *w, uint32_t c)
{
    if (is_full(w)) return;
    if (is_blank(c)) {
        w->wants_space = w->characters > 0;
        return;
    }
    if (w->wants_space && w->characters + 1 < PREVIEW_CHARACTERS_MAX) {
        buf_append_byte(w->out, ' ');
        w->characters++;
    }
    w->wants_space = false;
    utf8_append(w->out, c);
    w->characters++;
}

static void put_text(struct writer *w, view text)
{
    uint32_t c;
    while (!is_full(w) && utf8_take(&text, &c)) put(w, c);
}

/* ---- plain text ---- */

static void put_plain(struct writer *w, view text)
{
    view line, rest = text;
    while (rest.len && !is_full(w)) {
        if (!view_cut(&rest, '\n', &line)) {
            line = rest;
            rest = VIEW_EMPTY;
        }
        view bare = view_trim(line);
        if (view_equal(bare, VIEW("--")) && w->characters) break;
        if (view_starts(bare, VIEW(">"))) continue;
        put_text(w, line);
        put(w, ' ');
    }
    if (w->characters == 0) put_text(w, text);
}

/* ---- HTML ---- */

static const struct { view name; uint32_t c; } entities[] = {
    {VIEW_INIT("amp"), '&'}, {VIEW_INIT("lt"), '<'}, {VIEW_INIT("gt"), '>'}, {VIEW_INIT("quot"), '"'}, {VIEW_INIT("apos"), '\''},
    {VIEW_INIT("nbsp"), ' '}, {VIEW_INIT("copy"), 0xa9}, {VIEW_INIT("reg"), 0xae}, {VIEW_INIT("hellip"), 0x2026},
    {VIEW_INIT("ndash"), 0x2013}, {VIEW_INIT("mdash"), 0x2014}, {VIEW_INIT("lsquo"), 0x2018}, {VIEW_INIT("rsquo"), 0x2019},
    {VIEW_INIT("ldquo"), 0x201c}, {VIEW_INIT("rdquo"), 0x201d}, {VIEW_INIT("bull"), 0x2022}, {VIEW_INIT("yen"), 0xa5},
    {VIEW_INIT("euro"), 0x20ac}, {VIEW_INIT("auml"), 0xe4}, {VIEW_INIT("ouml"), 0xf6}, {VIEW_INIT("uuml"), 0xfc},
    {VIEW_INIT("szlig"), 0xdf}, {VIEW_INIT("eacute"), 0xe9}, {VIEW_INIT("egrave"), 0xe8}, {VIEW_INIT("zwnj"), ' '},
};

static bool hex_value(view digits, uint32_t *ret_number)
{
    uint32_t number = 0;
    if (digits.len == 0 || digits.len > 6) return false;
    for (size_t i = 0; i < digits.len; i++) {
        char c = ascii_lower(digits.at[i]);
        if (!ascii_is_digit(c) && (c < 'a' || c > 'f')) return false;
        number = number * 16 + (uint32_t)(ascii_is_digit(c) ? c - '0' : c - 'a' + 10);
    }
    *ret_number = number;
    return true;
}

static bool entity_value(view name, uint32_t *ret_c)
{
    uint32_t number;
    if (view_starts(name, VIEW("#"))) {
        view digits = view_from(name, 1);
        bool is_hex = digits.len && ascii_lower(digits.at[0]) == 'x';
        if (is_hex ? !hex_value(view_from(digits, 1), &number) : !view_to_u32(digits, &number)) return false;
        if (number == 0 || number > 0x10ffff || (number >= 0xd800 && number < 0xe000)) return false;
        *ret_c = number;
        return true;
    }
    for (size_t i = 0; i < array_size(entities); i++) {
        if (!view_equal(name, entities[i].name)) continue;
        *ret_c = entities[i].c;
        return true;
    }
    return false;
}

/* At "&". */
static bool take_entity(view *rest, uint32_t *ret_c)
{
    size_t end = view_find(view_slice(*rest, 0, 12), ';');
    if (end == VIEW_NONE || !entity_value(view_slice(*rest, 1, end - 1), ret_c)) return false;
    *rest = view_from(*rest, end + 1);
    return true;
}

static void skip_past(view *rest, view what)
{
    size_t at = view_find_nocase(*rest, what);
    *rest = at == VIEW_NONE ? VIEW_EMPTY : view_from(*rest, at + what.len);
}

static bool tag_is(view rest, view name)
{
    view after = view_from(rest, 1 + name.len);
    return view_starts_nocase(view_from(rest, 1), name) && (after.len == 0 || !ascii_is_alpha(after.at[0]));
}

/* Elements within a word do not cut it. */
static bool is_inline_tag(view rest)
{
    static const view names[] = {VIEW_INIT("a"), VIEW_INIT("b"), VIEW_INIT("i"), VIEW_INIT("u"), VIEW_INIT("em"), VIEW_INIT("font"),
                                 VIEW_INIT("span"), VIEW_INIT("strong")};
    view at = rest.len > 1 && rest.at[1] == '/' ? view_from(rest, 1) : rest;
    for (size_t i = 0; i < array_size(names); i++)
        if (tag_is(at, names[i])) return true;
    return false;
}

/* At "<": comments, and elements whose content is not shown, are left out as a whole. */
static void skip_tag(struct writer *w, view *rest)
{
    static const struct { view name, end; } hidden[] = {
        {VIEW_INIT("script"), VIEW_INIT("</script")}, {VIEW_INIT("style"), VIEW_INIT("</style")}, {VIEW_INIT("title"), VIEW_INIT("</title")}};
    if (view_starts(*rest, VIEW("<!--"))) {
        skip_past(rest, VIEW("-->"));
        return;
    }
    if (!is_inline_tag(*rest)) put(w, ' ');
    for (size_t i = 0; i < array_size(hidden); i++) {
        if (!tag_is(*rest, hidden[i].name)) continue;
        skip_past(rest, hidden[i].end);
        break;
    }
    skip_past(rest, VIEW(">"));
}

static bool begins_tag(view rest)
{
    return rest.len > 1 && (ascii_is_alpha(rest.at[1]) || rest.at[1] == '/' || rest.at[1] == '!' || rest.at[1] == '?');
}

static void put_html(struct writer *w, view text)
{
    uint32_t c;
    while (text.len && !is_full(w)) {
        if (text.at[0] == '<' && begins_tag(text)) {
            skip_tag(w, &text);
        } else if ((text.at[0] == '&' && take_entity(&text, &c)) || utf8_take(&text, &c)) {
            put(w, c);
        } else {
            text = view_from(text, 1);
        }
    }
}

void preview_append(const struct mime_part *root, view message, struct arena *arena, buf *into)
{
    buf decoded CLEANUP(buf_done) = BUF_INIT, text CLEANUP(buf_done) = BUF_INIT;
    const struct mime_part *part = find_text(root, 0);
    if (!part) return;
    view body = view_slice(mime_range_of(message, part->body), 0, PREVIEW_BODY_BYTES_MAX);
    enum transfer_encoding encoding = transfer_encoding_of(part->encoding);
    if (encoding == TRANSFER_BASE64 || encoding == TRANSFER_QUOTED_PRINTABLE) {
        (void)transfer_decode(encoding, body, &decoded);
        body = buf_view(&decoded);
    }
    (void)charset_append_utf8(mime_parameter(&part->parameters, VIEW("charset")), body, &text);
    struct writer w = {.out = into};
    if (mime_is(part, "text", "html")) {
        put_html(&w, buf_view(&text));
    } else {
        put_plain(&w, buf_view(&text));
    }
}
