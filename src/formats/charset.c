#include "formats/charset.h"

#include <errno.h>
#include <iconv.h>
#include <string.h>

#include "base/check.h"
#include "base/utf8.h"
#include "formats/charset_japanese.h"

static void append_ascii_or_replace(view bytes, buf *into)
{
    for (size_t i = 0; i < bytes.len; i++) {
        if ((unsigned char)bytes.at[i] < 0x80) buf_append_byte(into, bytes.at[i]);
        else utf8_append(into, 0xfffd);
    }
}

/* How many bytes to give up after a sequence that iconv refuses: a whole character where its length is known. */
static size_t refused_length(const char *name, view rest)
{
    unsigned char lead = (unsigned char)rest.at[0];
    if (rest.len < 2) return 1;
    if (strcmp(name, CHARSET_ICONV_CP932) == 0) return charset_is_shift_jis_pair(lead, (unsigned char)rest.at[1]) ? 2 : 1;
    if (strncmp(name, "UTF-16", 6) == 0) return 2;
    return strncmp(name, "EUC", 3) == 0 && lead >= 0xa1 && (unsigned char)rest.at[1] >= 0xa1 ? 2 : 1;
}

bool charset_convert(iconv_t handle, const char *name, view bytes, buf *into)
{
    char *in = (char *)bytes.at;         /* iconv() does not write to it */
    size_t in_left = bytes.len;
    bool is_clean = true;
    if (handle == (iconv_t)-1) {
        append_ascii_or_replace(bytes, into);
        return false;
    }
    iconv(handle, NULL, NULL, NULL, NULL);
    while (in_left) {
        buf_reserve(into, in_left + 16);
        char *out = into->at + into->len;
        size_t out_left = into->capacity - into->len;
        size_t converted = iconv(handle, &in, &in_left, &out, &out_left);
        into->len = (size_t)(out - into->at);
        if (converted != (size_t)-1) break;
        if (errno == E2BIG) {
            buf_reserve(into, in_left * 4 + 16);
            continue;
        }
        size_t skip = errno == EINVAL ? in_left : refused_length(name, view_make(in, in_left));
        utf8_append(into, 0xfffd);
        in += skip;
        in_left -= skip;
        is_clean = false;
    }
    return is_clean;
}

bool charset_convert_named(const char *name, view bytes, buf *into)
{
    iconv_t handle = iconv_open("UTF-8", name);
    bool is_clean = charset_convert(handle, name, bytes, into);
    if (handle != (iconv_t)-1) iconv_close(handle);
    return is_clean;
}

/* ---- labels ---- */

enum reading { READ_UTF8, READ_ISO_2022_JP, READ_EUC_JP, READ_ASCII, READ_ICONV, READ_UTF16 };

struct label {
    const char *name;
    enum reading reading;
    const char *iconv_name;      /* NULL: as the label */
};

/* Labels that mean something else than their name, or that iconv does not know. UTF-7: RFC 2152; ISO-2022-JP-1: RFC 2237. */
static const struct label labels[] = {
    {"utf-8", READ_UTF8, NULL}, {"utf8", READ_UTF8, NULL}, {"unicode-1-1-utf-8", READ_UTF8, NULL}, {"csutf8", READ_UTF8, NULL},
    {"cp65001", READ_UTF8, NULL},
    {"us-ascii", READ_ASCII, NULL}, {"ascii", READ_ASCII, NULL}, {"ansi_x3.4-1968", READ_ASCII, NULL}, {"iso-ir-6", READ_ASCII, NULL},
    {"iso646-us", READ_ASCII, NULL},
    {"iso-2022-jp", READ_ISO_2022_JP, NULL}, {"csiso2022jp", READ_ISO_2022_JP, NULL}, {"iso2022jp", READ_ISO_2022_JP, NULL},
    {"iso-2022-jp-1", READ_ISO_2022_JP, NULL}, {"iso-2022-jp-2", READ_ISO_2022_JP, NULL}, {"iso-2022-jp-3", READ_ISO_2022_JP, NULL},
    {"iso-2022-jp-2004", READ_ISO_2022_JP, NULL}, {"iso-2022-jp-ms", READ_ISO_2022_JP, NULL}, {"cp50220", READ_ISO_2022_JP, NULL},
    {"cp50221", READ_ISO_2022_JP, NULL}, {"cp50222", READ_ISO_2022_JP, NULL}, {"x-windows-50220", READ_ISO_2022_JP, NULL},
    {"x-windows-50221", READ_ISO_2022_JP, NULL}, {"x-windows-iso2022jp", READ_ISO_2022_JP, NULL}, {"jis", READ_ISO_2022_JP, NULL},
    {"csiso2022jp2", READ_ISO_2022_JP, NULL}, {"csjisencoding", READ_ISO_2022_JP, NULL}, {"jis_encoding", READ_ISO_2022_JP, NULL},
    {"shift_jis", READ_ICONV, CHARSET_ICONV_CP932}, {"shift-jis", READ_ICONV, CHARSET_ICONV_CP932}, {"sjis", READ_ICONV, CHARSET_ICONV_CP932},
    {"x-sjis", READ_ICONV, CHARSET_ICONV_CP932}, {"ms_kanji", READ_ICONV, CHARSET_ICONV_CP932}, {"csshiftjis", READ_ICONV, CHARSET_ICONV_CP932},
    {"windows-31j", READ_ICONV, CHARSET_ICONV_CP932}, {"cswindows31j", READ_ICONV, CHARSET_ICONV_CP932}, {"cp932", READ_ICONV, CHARSET_ICONV_CP932},
    {"ms932", READ_ICONV, CHARSET_ICONV_CP932}, {"x-ms-cp932", READ_ICONV, CHARSET_ICONV_CP932}, {"windows-932", READ_ICONV, CHARSET_ICONV_CP932},
    {"euc-jp", READ_EUC_JP, NULL}, {"eucjp", READ_EUC_JP, NULL}, {"x-euc-jp", READ_EUC_JP, NULL}, {"x-euc", READ_EUC_JP, NULL},
    {"cseucpkdfmtjapanese", READ_EUC_JP, NULL}, {"ujis", READ_EUC_JP, NULL}, {"eucjp-ms", READ_EUC_JP, NULL}, {"euc-jp-ms", READ_EUC_JP, NULL},
    {"eucjp-win", READ_EUC_JP, NULL}, {"cp51932", READ_EUC_JP, NULL}, {"extended_unix_code_packed_format_for_japanese", READ_EUC_JP, NULL},
    {"utf-16", READ_UTF16, NULL}, {"utf16", READ_UTF16, NULL}, {"ucs-2", READ_UTF16, NULL}, {"iso-10646-ucs-2", READ_UTF16, NULL},
    {"iso-8859-1", READ_ICONV, "CP1252"}, {"latin1", READ_ICONV, "CP1252"}, {"iso8859-1", READ_ICONV, "CP1252"}, {"l1", READ_ICONV, "CP1252"},
    {"iso-8859-8-i", READ_ICONV, "ISO-8859-8"}, {"iso-8859-6-i", READ_ICONV, "ISO-8859-6"},
    {"gb2312", READ_ICONV, "GB18030"}, {"gbk", READ_ICONV, "GB18030"}, {"x-gbk", READ_ICONV, "GB18030"}, {"gb_2312-80", READ_ICONV, "GB18030"},
    {"euc-kr", READ_ICONV, "CP949"}, {"ks_c_5601-1987", READ_ICONV, "CP949"}, {"ksc5601", READ_ICONV, "CP949"}, {"big5", READ_ICONV, "BIG5-HKSCS"},
    {"x-mac-roman", READ_ICONV, "MACINTOSH"}, {"unicode-1-1-utf-7", READ_ICONV, "UTF-7"},
};

/* A name that may be handed to iconv_open(): nothing that changes what it does ("//TRANSLIT") or where it looks. */
static bool is_plain_name(view name)
{
    if (name.len == 0 || name.len > CHARSET_NAME_BYTES_MAX) return false;
    for (size_t i = 0; i < name.len; i++)
        if (!ascii_is_alpha(name.at[i]) && !ascii_is_digit(name.at[i]) && !(name.at[i] && strchr("-_.:+", name.at[i]))) return false;
    return true;
}

static bool find_label(view charset, struct label *ret_label, char name[static CHARSET_NAME_BYTES_MAX + 1])
{
    for (size_t i = 0; i < array_size(labels); i++) {
        if (!view_equal_nocase(charset, view_of(labels[i].name))) continue;
        *ret_label = labels[i];
        return true;
    }
    if (!is_plain_name(charset)) return false;
    memcpy(name, charset.at, charset.len);
    name[charset.len] = 0;
    iconv_t handle = iconv_open("UTF-8", name);
    if (handle == (iconv_t)-1) return false;
    iconv_close(handle);
    *ret_label = (struct label){name, READ_ICONV, name};
    return true;
}

bool charset_is_known(view charset)
{
    struct label label;
    char name[CHARSET_NAME_BYTES_MAX + 1];
    return find_label(charset, &label, name);
}

/* ---- reading ---- */

static bool has_high_byte(view bytes)
{
    for (size_t i = 0; i < bytes.len; i++)
        if ((unsigned char)bytes.at[i] >= 0x80) return true;
    return false;
}

static bool append_repaired(view bytes, buf *into)
{
    bool is_valid = utf8_is_valid(bytes);
    if (is_valid) buf_append(into, bytes);
    else utf8_append_repaired(into, bytes);
    return is_valid;
}

static bool append_guessed(view bytes, buf *into)
{
    view guess = charset_guess(bytes);
    if (view_equal(guess, VIEW("us-ascii")) || view_equal(guess, VIEW("utf-8"))) return append_repaired(bytes, into);
    if (view_equal(guess, VIEW("iso-2022-jp"))) return charset_append_iso_2022_jp(bytes, into);
    if (view_equal(guess, VIEW("euc-jp"))) return charset_append_euc_jp(bytes, into);
    return charset_convert_named(view_equal(guess, VIEW("shift_jis")) ? CHARSET_ICONV_CP932 : "CP1252", bytes, into);
}

/* RFC 2781 §4.3: without a byte order mark big-endian. */
static bool append_utf16(view bytes, buf *into)
{
    bool is_little = view_starts(bytes, VIEW("\xff\xfe")), is_big = view_starts(bytes, VIEW("\xfe\xff"));
    return charset_convert_named(is_little ? "UTF-16LE" : "UTF-16BE", view_from(bytes, is_little || is_big ? 2 : 0), into);
}

bool charset_append_utf8(view charset, view bytes, buf *into)
{
    struct label label;
    char name[CHARSET_NAME_BYTES_MAX + 1];
    if (!find_label(charset, &label, name)) return append_guessed(bytes, into) && charset.len == 0;
    switch (label.reading) {
    case READ_UTF8:
        return append_repaired(bytes, into);
    case READ_ASCII:
        return append_guessed(bytes, into) && !has_high_byte(bytes);
    case READ_ISO_2022_JP:
        /* 8-bit text under this label is something else, unless escapes say that it is not */
        if (has_high_byte(bytes) && !view_has_byte(bytes, CHARSET_ESC)) {
            append_guessed(bytes, into);
            return false;
        }
        return charset_append_iso_2022_jp(bytes, into);
    case READ_EUC_JP:
        return charset_append_euc_jp(bytes, into);
    case READ_UTF16:
        return append_utf16(bytes, into);
    case READ_ICONV:
        break;
    }
    return charset_convert_named(label.iconv_name, bytes, into);
}

/* ---- guessing ---- */

struct score {
    size_t characters, errors;
};

static bool is_high_at(view v, size_t at)
{
    return at < v.len && (unsigned char)v.at[at] >= 0x80;
}

/*
 * A character that would be rare in Japanese and stands alone between ASCII is an accented letter of a European text: a
 * half-width kana between letters, or a lead byte above 0xe0 whose trail byte is ASCII.
 */
static bool is_lone_accent(view v, size_t at, size_t length)
{
    bool is_alone = !(at > 0 && is_high_at(v, at - 1)) && !is_high_at(v, at + length);
    if (!is_alone) return false;
    if (length == 2) return (unsigned char)v.at[at] >= 0xe0 && !is_high_at(v, at + 1);
    return at > 0 && ascii_is_alpha(v.at[at - 1]) && at + 1 < v.len && ascii_is_alpha(v.at[at + 1]);
}

static struct score score_shift_jis(view v)
{
    struct score s = {0};
    for (size_t i = 0; i < v.len; i++) {
        unsigned char byte = (unsigned char)v.at[i];
        if (byte < 0x80) continue;
        s.characters++;
        bool is_kana = byte >= 0xa1 && byte <= 0xdf;
        bool is_pair = !is_kana && i + 1 < v.len && charset_is_shift_jis_pair(byte, (unsigned char)v.at[i + 1]);
        if ((!is_kana && !is_pair) || is_lone_accent(v, i, is_pair ? 2 : 1)) s.errors++;
        i += is_pair;
    }
    return s;
}

static struct score score_euc_jp(view v)
{
    struct score s = {0};
    for (size_t i = 0; i < v.len; i++) {
        unsigned char byte = (unsigned char)v.at[i];
        if (byte < 0x80) continue;
        s.characters++;
        size_t length = charset_euc_jp_length(view_from(v, i));
        if (length == 1) s.errors++;
        i += length - 1;
    }
    return s;
}

view charset_guess(view bytes)
{
    bool has_escape = view_find_view(bytes, VIEW("\x1b$")) != VIEW_NONE || view_find_view(bytes, VIEW("\x1b(")) != VIEW_NONE;
    if (has_escape) return VIEW("iso-2022-jp");
    if (!has_high_byte(bytes)) return VIEW("us-ascii");
    if (utf8_is_valid(bytes)) return VIEW("utf-8");
    struct score shift_jis = score_shift_jis(bytes), euc_jp = score_euc_jp(bytes);
    const struct score *best = euc_jp.errors <= shift_jis.errors ? &euc_jp : &shift_jis;
    if (best->errors * 10 > best->characters) {
        /* mostly UTF-8 that was cut or damaged, or a European charset */
        size_t valid = 0, broken = 0;
        uint32_t code_point;
        while (bytes.len) {
            bool is_high = (unsigned char)bytes.at[0] >= 0x80;
            if (utf8_take(&bytes, &code_point)) {
                valid += is_high;
            } else {
                broken++;
                bytes = view_from(bytes, 1);
            }
        }
        return valid > 2 * broken ? VIEW("utf-8") : VIEW("windows-1252");
    }
    return best == &euc_jp ? VIEW("euc-jp") : VIEW("shift_jis");
}

/* ---- folding ---- */

enum { HALF_WIDTH_FIRST = 0xff61, HALF_WIDTH_LAST = 0xff9f, VOICED_MARK = 0xff9e, SEMI_VOICED_MARK = 0xff9f };

/* U+FF61 to U+FF9F: JIS X 0201 katakana in their order there. */
static const uint16_t full_width[HALF_WIDTH_LAST - HALF_WIDTH_FIRST + 1] = {
    0x3002, 0x300c, 0x300d, 0x3001, 0x30fb, 0x30f2, 0x30a1, 0x30a3, 0x30a5, 0x30a7, 0x30a9, 0x30e3, 0x30e5, 0x30e7, 0x30c3, 0x30fc,
    0x30a2, 0x30a4, 0x30a6, 0x30a8, 0x30aa, 0x30ab, 0x30ad, 0x30af, 0x30b1, 0x30b3, 0x30b5, 0x30b7, 0x30b9, 0x30bb, 0x30bd, 0x30bf,
    0x30c1, 0x30c4, 0x30c6, 0x30c8, 0x30ca, 0x30cb, 0x30cc, 0x30cd, 0x30ce, 0x30cf, 0x30d2, 0x30d5, 0x30d8, 0x30db, 0x30de, 0x30df,
    0x30e0, 0x30e1, 0x30e2, 0x30e4, 0x30e6, 0x30e8, 0x30e9, 0x30ea, 0x30eb, 0x30ec, 0x30ed, 0x30ef, 0x30f3, 0x309b, 0x309c,
};

/* The katakana with its sound mark, or 0 when there is no such character. */
static uint32_t marked_kana(uint32_t kana, uint32_t mark)
{
    bool is_ha_row = kana == 0x30cf || kana == 0x30d2 || kana == 0x30d5 || kana == 0x30d8 || kana == 0x30db;
    if (mark == SEMI_VOICED_MARK) return is_ha_row ? kana + 2 : 0;
    if (mark != VOICED_MARK) return 0;
    if (kana == 0x30a6) return 0x30f4;
    if (kana == 0x30ef) return 0x30f7;
    if (kana == 0x30f2) return 0x30fa;
    bool is_ka_to_chi = kana >= 0x30ab && kana <= 0x30c1 && kana % 2 == 1, is_tsu_to_to = kana == 0x30c4 || kana == 0x30c6 || kana == 0x30c8;
    return is_ka_to_chi || is_tsu_to_to || is_ha_row ? kana + 1 : 0;
}

void charset_fold_kana(view text, buf *into)
{
    while (text.len) {
        view start = text, after;
        uint32_t code_point, mark, marked;
        if (!utf8_take(&text, &code_point)) {
            buf_append_byte(into, text.at[0]);
            text = view_from(text, 1);
        } else if (code_point < HALF_WIDTH_FIRST || code_point > HALF_WIDTH_LAST) {
            buf_append(into, view_slice(start, 0, start.len - text.len));
        } else {
            uint32_t kana = full_width[code_point - HALF_WIDTH_FIRST];
            after = text;
            if (utf8_take(&after, &mark) && (marked = marked_kana(kana, mark)) != 0) {
                kana = marked;
                text = after;
            }
            utf8_append(into, kana);
        }
    }
}
