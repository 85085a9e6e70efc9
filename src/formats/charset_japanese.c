/*
 * Both encodings are cut into runs of one character set each; a run is rewritten in an encoding for which
 * iconv has a table and converted: JIS X 0208 with the vendors' rows and half-width kana as CP932, JIS X 0212
 * as EUC-JP-MS, JIS X 0213 as EUC-JISX0213, and what ISO-2022-JP-2 adds (RFC 1554) as EUC-CN and EUC-KR.
 */
#include "formats/charset_japanese.h"

#include "base/check.h"
#include "base/utf8.h"

enum { SO = 0x0e, SI = 0x0f, RUN_BYTES_MAX = 4096 };

enum set {
    SET_ASCII,          /* JIS X 0201 Roman too: its yen sign and overline are meant as backslash and tilde */
    SET_KANA,
    SET_0208,
    SET_0212,
    SET_0213_PLANE_1,
    SET_0213_PLANE_2,
    SET_GB2312,
    SET_KSC5601,
    SET_PICTOGRAPH,     /* ESC $ G and others to SI: SoftBank's */
    SET_COUNT,
};

static const char *const iconv_names[SET_COUNT] = {
    [SET_KANA] = CHARSET_ICONV_CP932, [SET_0208] = CHARSET_ICONV_CP932, [SET_0212] = "EUC-JP-MS", [SET_0213_PLANE_1] = "EUC-JISX0213",
    [SET_0213_PLANE_2] = "EUC-JISX0213", [SET_GB2312] = "EUC-CN", [SET_KSC5601] = "EUC-KR",
};

struct writer {
    buf *into;
    iconv_t handles[SET_COUNT];       /* -1: not opened */
    enum set set;                     /* of the run */
    buf run;                          /* in the encoding that iconv_names says */
    bool is_clean;
};

static void writer_init(struct writer *w, buf *into)
{
    *w = (struct writer){.into = into, .run = BUF_INIT, .is_clean = true};
    for (unsigned i = 0; i < SET_COUNT; i++) w->handles[i] = (iconv_t)-1;
}

static void flush_run(struct writer *w)
{
    if (w->run.len == 0) return;
    if (w->set == SET_ASCII) {
        buf_append(w->into, buf_view(&w->run));
    } else {
        if (w->handles[w->set] == (iconv_t)-1) w->handles[w->set] = iconv_open("UTF-8", iconv_names[w->set]);
        if (!charset_convert(w->handles[w->set], iconv_names[w->set], buf_view(&w->run), w->into)) w->is_clean = false;
    }
    buf_clear(&w->run);
}

static bool writer_done(struct writer *w)
{
    flush_run(w);
    for (unsigned i = 0; i < SET_COUNT; i++)
        if (w->handles[i] != (iconv_t)-1) iconv_close(w->handles[i]);
    buf_done(&w->run);
    return w->is_clean;
}

static void write_bytes(struct writer *w, enum set set, view bytes)
{
    if (w->set != set || w->run.len > RUN_BYTES_MAX) flush_run(w);
    w->set = set;
    buf_append(&w->run, bytes);
}

static void write_byte(struct writer *w, enum set set, unsigned byte)
{
    char c = (char)(unsigned char)byte;
    write_bytes(w, set, view_make(&c, 1));
}

static void write_replacement(struct writer *w)
{
    flush_run(w);
    utf8_append(w->into, 0xfffd);
    w->is_clean = false;
}

/* Row and cell (both 1 to 94) of JIS X 0208 as Shift_JIS. */
static void write_0208(struct writer *w, unsigned row, unsigned cell)
{
    unsigned lead = (row - 1) / 2 + (row <= 62 ? 0x81 : 0xc1);
    unsigned trail = row % 2 ? cell + (cell <= 63 ? 0x3f : 0x40) : cell + 0x9e;
    char pair[2] = {(char)(unsigned char)lead, (char)(unsigned char)trail};
    write_bytes(w, SET_0208, view_make(pair, 2));
}

/* Two bytes of 0x21 to 0x7e in `set`. */
static void write_pair(struct writer *w, enum set set, unsigned first, unsigned second)
{
    if (set == SET_0208) {
        write_0208(w, first - 0x20, second - 0x20);
        return;
    }
    char bytes[3] = {(char)(unsigned char)0x8f, (char)(unsigned char)(first | 0x80), (char)(unsigned char)(second | 0x80)};
    bool has_prefix = set == SET_0212 || set == SET_0213_PLANE_2;
    write_bytes(w, set, view_make(has_prefix ? bytes : bytes + 1, has_prefix ? 3 : 2));
}

/* ---- ISO-2022-JP ---- */

static const struct escape {
    view sequence;           /* after ESC */
    enum set set;
} escapes[] = {
    {VIEW_INIT("(B"), SET_ASCII}, {VIEW_INIT("(J"), SET_ASCII}, {VIEW_INIT("(H"), SET_ASCII}, {VIEW_INIT("(I"), SET_KANA},
    {VIEW_INIT("$@"), SET_0208}, {VIEW_INIT("$B"), SET_0208}, {VIEW_INIT("$(@"), SET_0208}, {VIEW_INIT("$(B"), SET_0208},
    {VIEW_INIT("$(D"), SET_0212}, {VIEW_INIT("$(O"), SET_0213_PLANE_1}, {VIEW_INIT("$(Q"), SET_0213_PLANE_1}, {VIEW_INIT("$(P"), SET_0213_PLANE_2},
    {VIEW_INIT("$A"), SET_GB2312}, {VIEW_INIT("$(A"), SET_GB2312}, {VIEW_INIT("$(C"), SET_KSC5601},
    {VIEW_INIT("$E"), SET_PICTOGRAPH}, {VIEW_INIT("$F"), SET_PICTOGRAPH}, {VIEW_INIT("$G"), SET_PICTOGRAPH},
    {VIEW_INIT("$O"), SET_PICTOGRAPH}, {VIEW_INIT("$P"), SET_PICTOGRAPH}, {VIEW_INIT("$Q"), SET_PICTOGRAPH},
};

/* Moves past ESC and a sequence that is known; ESC & @ announces the revision of 1990 and changes nothing. */
static bool take_escape(view *rest, enum set *set)
{
    view after = view_from(*rest, 1);
    if (view_starts(after, VIEW("&@"))) {
        *rest = view_from(after, 2);
        return true;
    }
    for (size_t i = 0; i < array_size(escapes); i++) {
        if (!view_starts(after, escapes[i].sequence)) continue;
        *rest = view_from(after, escapes[i].sequence.len);
        *set = escapes[i].set;
        return true;
    }
    return false;
}

static bool is_graphic(unsigned char byte)
{
    return byte >= 0x21 && byte <= 0x7e;
}

/* 8-bit bytes where there should be none: half-width kana or Shift_JIS. */
static size_t write_high(struct writer *w, view rest)
{
    unsigned char byte = (unsigned char)rest.at[0];
    size_t length = rest.len > 1 && charset_is_shift_jis_pair(byte, (unsigned char)rest.at[1]) ? 2 : 1;
    write_bytes(w, SET_KANA, view_slice(rest, 0, length));
    return length;
}

/* One character of `set` at the front of *rest. */
static void take_character(struct writer *w, view *rest, enum set set)
{
    unsigned char byte = (unsigned char)rest->at[0], next = rest->len > 1 ? (unsigned char)rest->at[1] : 0;
    size_t length = 1;
    if (byte >= 0x80) {
        length = write_high(w, *rest);
    } else if (set == SET_ASCII || !is_graphic(byte)) {
        write_byte(w, SET_ASCII, byte);
    } else if (set == SET_KANA) {
        if (byte <= 0x5f) write_byte(w, SET_KANA, byte | 0x80u);
        else write_replacement(w);
    } else if (set == SET_PICTOGRAPH || !is_graphic(next)) {
        write_replacement(w);
    } else {
        write_pair(w, set, byte, next);
        length = 2;
    }
    *rest = view_from(*rest, length);
}

/* ASCII at the front that changes no state. */
static size_t plain_length(view v)
{
    size_t length = 0;
    while (length < v.len && (unsigned char)v.at[length] < 0x80 && v.at[length] != CHARSET_ESC && v.at[length] != SO && v.at[length] != SI) length++;
    return length;
}

bool charset_append_iso_2022_jp(view bytes, buf *into)
{
    struct writer w;
    enum set set = SET_ASCII;
    bool is_shifted = false;                 /* by SO: JIS X 0201 kana in 7 bits */
    writer_init(&w, into);
    while (bytes.len) {
        char byte = bytes.at[0];
        size_t plain = set == SET_ASCII && !is_shifted ? plain_length(bytes) : 0;
        if (plain) {
            write_bytes(&w, SET_ASCII, view_slice(bytes, 0, plain));
            bytes = view_from(bytes, plain);
            continue;
        }
        if (byte == CHARSET_ESC && take_escape(&bytes, &set)) continue;
        if (byte == SO || byte == SI) {
            is_shifted = byte == SO;
            if (set == SET_PICTOGRAPH) set = SET_ASCII;
            bytes = view_from(bytes, 1);
            continue;
        }
        if (byte == '\n' || byte == '\r') {  /* RFC 1468: every line begins in ASCII */
            set = SET_ASCII;
            is_shifted = false;
        }
        take_character(&w, &bytes, is_shifted ? SET_KANA : set);
    }
    return writer_done(&w);
}

/* ---- EUC-JP ---- */

size_t charset_euc_jp_length(view v)
{
    unsigned char first = (unsigned char)v.at[0], second = v.len > 1 ? (unsigned char)v.at[1] : 0;
    if (first == 0x8e) return second >= 0xa1 && second <= 0xdf ? 2 : 1;
    if (first == 0x8f) return second >= 0xa1 && second != 0xff && v.len > 2 && (unsigned char)v.at[2] >= 0xa1 && (unsigned char)v.at[2] != 0xff ? 3 : 1;
    return first >= 0xa1 && first != 0xff && second >= 0xa1 && second != 0xff ? 2 : 1;
}

static size_t ascii_length(view v)
{
    size_t length = 0;
    while (length < v.len && (unsigned char)v.at[length] < 0x80) length++;
    return length;
}

bool charset_append_euc_jp(view bytes, buf *into)
{
    struct writer w;
    writer_init(&w, into);
    while (bytes.len) {
        unsigned char first = (unsigned char)bytes.at[0];
        size_t length = first < 0x80 ? ascii_length(bytes) : charset_euc_jp_length(bytes);
        if (first < 0x80) write_bytes(&w, SET_ASCII, view_slice(bytes, 0, length));
        else if (length == 1) write_replacement(&w);
        else if (first == 0x8e) write_byte(&w, SET_KANA, (unsigned char)bytes.at[1]);
        else if (length == 3) write_bytes(&w, SET_0212, view_slice(bytes, 0, 3));
        else write_0208(&w, first - 0xa0u, (unsigned char)bytes.at[1] - 0xa0u);
        bytes = view_from(bytes, length);
    }
    return writer_done(&w);
}
