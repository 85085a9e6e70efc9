#include "formats/collate.h"

#include "base/check.h"
#include "base/utf8.h"

enum { DECOMPOSED_MAX = 4 };

static const struct entry {
    uint16_t from;
    uint16_t to[DECOMPOSED_MAX];         /* ends with 0 */
} entries[] = {
#include "formats/collate.def"
};

static const struct entry *find(uint32_t c)
{
    size_t low = 0, high = array_size(entries);
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (entries[middle].from == c) return &entries[middle];
        if (entries[middle].from < c) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return NULL;
}

/* Hangul syllables are computed (Unicode §3.12). */
static void append_hangul(buf *out, uint32_t c)
{
    enum { L = 0x1100, V = 0x1161, T = 0x11a7, V_COUNT = 21, T_COUNT = 28 };
    uint32_t index = c - 0xac00;
    utf8_append(out, L + index / (V_COUNT * T_COUNT));
    utf8_append(out, V + index % (V_COUNT * T_COUNT) / T_COUNT);
    if (index % T_COUNT) utf8_append(out, T + index % T_COUNT);
}

static void append_code_point(buf *out, uint32_t c)
{
    const struct entry *e = c <= UINT16_MAX ? find(c) : NULL;
    if (c >= 0xac00 && c < 0xd7a4) {
        append_hangul(out, c);
    } else if (!e) {
        utf8_append(out, c);
    } else {
        for (size_t i = 0; i < DECOMPOSED_MAX && e->to[i]; i++) utf8_append(out, e->to[i]);
    }
}

static void take_ascii(view *text, buf *out)
{
    size_t len = 0;
    while (len < text->len && (unsigned char)text->at[len] < 0x80) len++;
    char *to = buf_extend(out, len);
    for (size_t i = 0; i < len; i++) to[i] = ascii_upper(text->at[i]);
    *text = view_from(*text, len);
}

void collate_append(buf *out, view text)
{
    buf_reserve(out, text.len);
    while (text.len) {
        uint32_t c;
        if ((unsigned char)text.at[0] < 0x80) {
            take_ascii(&text, out);
        } else if (utf8_take(&text, &c)) {
            append_code_point(out, c);
        } else {
            buf_append_byte(out, text.at[0]);
            text = view_from(text, 1);
        }
    }
}
