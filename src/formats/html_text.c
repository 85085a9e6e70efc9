#include "formats/html_text.h"

#include "base/check.h"
#include "base/utf8.h"

struct shown {
    html_text_fn *put;
    void *argument;
    bool is_ended;
};

static void show(struct shown *s, uint32_t c)
{
    if (!s->is_ended) s->is_ended = !s->put(s->argument, c);
}

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
static void skip_tag(struct shown *s, view *rest)
{
    static const struct { view name, end; } hidden[] = {
        {VIEW_INIT("script"), VIEW_INIT("</script")}, {VIEW_INIT("style"), VIEW_INIT("</style")}, {VIEW_INIT("title"), VIEW_INIT("</title")}};
    if (view_starts(*rest, VIEW("<!--"))) {
        skip_past(rest, VIEW("-->"));
        return;
    }
    if (!is_inline_tag(*rest)) show(s, ' ');
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

static void show_html(struct shown *s, view text)
{
    uint32_t c;
    while (text.len && !s->is_ended) {
        if (text.at[0] == '<' && begins_tag(text)) {
            skip_tag(s, &text);
        } else if ((text.at[0] == '&' && take_entity(&text, &c)) || utf8_take(&text, &c)) {
            show(s, c);
        } else {
            text = view_from(text, 1);
        }
    }
}

void html_text_each(view utf8, html_text_fn *put, void *argument)
{
    struct shown s = {.put = put, .argument = argument};
    show_html(&s, utf8);
}
