#include "formats/text_fold.h"

#include "base/check.h"
#include "base/utf8.h"
#include "formats/charset.h"

/* Where upper and lower case stand `distance` apart, and where they alternate (distance 0: upper case is even, or odd). */
static const struct range {
    uint32_t first, last;
    uint32_t distance;
    bool upper_is_odd;
} ranges[] = {
    {0x00c0, 0x00d6, 32, false}, {0x00d8, 0x00de, 32, false}, {0x0100, 0x012f, 0, false}, {0x0132, 0x0137, 0, false},
    {0x0139, 0x0148, 0, true},   {0x014a, 0x0177, 0, false},  {0x0179, 0x017e, 0, true},  {0x01cd, 0x01dc, 0, true},
    {0x01de, 0x01ef, 0, false},  {0x01f8, 0x021f, 0, false},  {0x0222, 0x0233, 0, false}, {0x0391, 0x03a1, 32, false},
    {0x03a3, 0x03ab, 32, false}, {0x03d8, 0x03ef, 0, false},  {0x0400, 0x040f, 80, false}, {0x0410, 0x042f, 32, false},
    {0x0460, 0x0481, 0, false},  {0x048a, 0x04bf, 0, false},  {0x04c1, 0x04ce, 0, true},  {0x04d0, 0x052f, 0, false},
    {0x0531, 0x0556, 48, false}, {0x1e00, 0x1e95, 0, false},  {0x1ea0, 0x1eff, 0, false}, {0xff21, 0xff3a, 32, false},
};

uint32_t text_fold_code_point(uint32_t c)
{
    if (c < 0x80) return c >= 'A' && c <= 'Z' ? c + 32 : c;
    if (c == 0x0178) return 0x00ff;                        /* Y with diaeresis */
    if (c == 0x03c2) return 0x03c3;                        /* final sigma */
    if (c == 0x1e9e) return 0x00df;                        /* capital sharp s */
    for (size_t i = 0; i < array_size(ranges); i++) {
        const struct range *r = &ranges[i];
        if (c < r->first) return c;
        if (c > r->last) continue;
        if (r->distance) return c + r->distance;
        return (c & 1) == (r->upper_is_odd ? 1u : 0u) ? c + 1 : c;
    }
    return c;
}

/* Half-width kana stand at U+FF61 to U+FF9F: EF BD A1 to EF BE 9F. */
static bool has_half_width_kana(view text)
{
    for (view rest = text; rest.len >= 3;) {
        size_t at = view_find(rest, (char)0xef);
        if (at == VIEW_NONE || at + 2 >= rest.len) return false;
        unsigned char second = (unsigned char)rest.at[at + 1];
        if (second == 0xbd || second == 0xbe) return true;
        rest = view_from(rest, at + 1);
    }
    return false;
}

static size_t ascii_prefix(view text)
{
    size_t len = 0;
    while (len < text.len && (unsigned char)text.at[len] < 0x80) len++;
    return len;
}

static void fold_case(view text, buf *into)
{
    while (text.len) {
        size_t plain = ascii_prefix(text);
        char *out = plain ? buf_extend(into, plain) : NULL;
        for (size_t i = 0; i < plain; i++) out[i] = ascii_lower(text.at[i]);
        text = view_from(text, plain);
        uint32_t c;
        while (text.len && (unsigned char)text.at[0] >= 0x80) {
            if (utf8_take(&text, &c)) {
                utf8_append(into, text_fold_code_point(c));
            } else {
                buf_append_byte(into, text.at[0]);
                text = view_from(text, 1);
            }
        }
    }
}

void text_fold(view utf8, buf *into)
{
    buf wide CLEANUP(buf_done) = BUF_INIT;
    if (has_half_width_kana(utf8)) {
        charset_fold_kana(utf8, &wide);
        utf8 = buf_view(&wide);
    }
    fold_case(utf8, into);
}
