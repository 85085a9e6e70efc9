#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/check.h"
#include "base/test.h"
#include "base/utf8.h"
#include "formats/charset.h"
#include "formats/encoded_word.h"

static void expect_utf8(const char *charset, view bytes, view want, bool is_clean)
{
    buf b CLEANUP(buf_done) = BUF_INIT;
    bool was_clean = charset_append_utf8(view_of(charset), bytes, &b);
    EXPECT_VIEW(buf_view(&b), want);
    if (was_clean != is_clean) test_fail(__FILE__, __LINE__, "%s: " VIEW_FMT " clean: %d", charset, VIEW_ARG(want), was_clean);
}

TEST(charset_reads_japanese_as_it_is_meant)
{
    expect_utf8("ISO-2022-JP", VIEW("a\x1b$BF|K\\\x1b(Bb"), VIEW("a日本b"), true);
    expect_utf8("iso-2022-jp", VIEW("\x1b$BF|K\\\r\nabc"), VIEW("日本\r\nabc"), true);
    expect_utf8("ISO-2022-JP", VIEW("\x1b(I1\x1b(B\x0e" "2\x0f" "\xb3"), VIEW("ｱｲｳ"), true);
    expect_utf8("ISO-2022-JP", VIEW("\x1b$B-!\x1b(J\\"), VIEW("①\\"), true);
    expect_utf8("ISO-2022-JP", VIEW("\x83\x65\x83\x58"), VIEW("テス"), false);
    expect_utf8("ISO-2022-JP", VIEW("\x1b$B\x7e\x7e" "F"), VIEW("\xef\xbf\xbd\xef\xbf\xbd"), false);
    expect_utf8("Shift_JIS", VIEW("\x87\x40\xb1\xfa\xb1\x5c"), VIEW("①ｱ﨑\\"), true);
    expect_utf8("EUC-JP", VIEW("\xc6\xfc\xad\xa1\x8e\xb1\x8f\xb0\xa1"), VIEW("日①ｱ丂"), true);
    expect_utf8("EUC-JP", VIEW("\xc6\xff\xc6"), VIEW("\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"), false);
}

TEST(charset_never_fails)
{
    expect_utf8("utf-8", VIEW("a\xff" "b"), VIEW("a\xef\xbf\xbd" "b"), false);
    expect_utf8("no-such-charset", VIEW("plain"), VIEW("plain"), false);
    expect_utf8("UTF-8//TRANSLIT", VIEW("\xe3\x81\x82"), VIEW("あ"), false);
    expect_utf8("us-ascii", VIEW("caf\xe9 au lait"), VIEW("café au lait"), false);
    expect_utf8("iso-8859-1", VIEW("\x93quoted\x94"), VIEW("“quoted”"), true);
    expect_utf8("", VIEW("plain"), VIEW("plain"), true);
    expect_utf8("utf-16", VIEW("\xff\xfe" "a\0"), VIEW("a"), true);
    expect_utf8("utf-16", VIEW("\0a\xd8"), VIEW("a\xef\xbf\xbd"), false);
    expect_utf8("gb2312", VIEW("\xd6\xd0"), VIEW("中"), true);
    expect_utf8("ks_c_5601-1987", VIEW("\xc7\xd1"), VIEW("한"), true);
}

TEST(charset_of_hostile_bytes_is_valid_utf8_and_quick)
{
    static const char *const names[] = {"iso-2022-jp", "shift_jis", "euc-jp", "utf-8", "utf-16", "utf-7", "gb18030", "big5", "iso-2022-kr", "hz", ""};
    static const char *const patterns[] = {"\x1b$B", "\x1b", "\xff", "\x81", "\x0e\x0f", "+", "\x1b$B!!\x1b(B", "~{", "\x8f\xa1"};
    for (size_t i = 0; i < array_size(names); i++) {
        for (size_t j = 0; j < array_size(patterns); j++) {
            buf in CLEANUP(buf_done) = BUF_INIT, out CLEANUP(buf_done) = BUF_INIT;
            while (in.len < 50000) buf_append_cstr(&in, patterns[j]);
            charset_append_utf8(view_of(names[i]), buf_view(&in), &out);
            EXPECT(utf8_is_valid(buf_view(&out)) && out.len <= 3 * in.len + 16);
        }
    }
}

TEST(charset_is_guessed_from_the_bytes)
{
    EXPECT_VIEW(charset_guess(VIEW("plain")), VIEW("us-ascii"));
    EXPECT_VIEW(charset_guess(VIEW("日本")), VIEW("utf-8"));
    EXPECT_VIEW(charset_guess(VIEW("\x1b$BF|\x1b(B")), VIEW("iso-2022-jp"));
    EXPECT_VIEW(charset_guess(VIEW("\x93\xfa\x96\x7b\x8c\xea")), VIEW("shift_jis"));
    EXPECT_VIEW(charset_guess(VIEW("\xc6\xfc\xcb\xdc\xb8\xec")), VIEW("euc-jp"));
    EXPECT_VIEW(charset_guess(VIEW("d\xe9j\xe0 vu")), VIEW("windows-1252"));
    EXPECT_VIEW(charset_guess(VIEW("Die Hasen und die Fr\xf6sche")), VIEW("windows-1252"));
    EXPECT_VIEW(charset_guess(VIEW("\xf6t\xe4vaan stra\xdf" "e")), VIEW("windows-1252"));
}

TEST(charset_folds_half_width_kana)
{
    buf b CLEANUP(buf_done) = BUF_INIT;
    charset_fold_kana(VIEW("ﾃｽﾄ ｶﾞｷﾞ ﾊﾟﾝ ｳﾞ a｡ ﾞ"), &b);
    EXPECT_VIEW(buf_view(&b), VIEW("テスト ガギ パン ヴ a。 ゛"));
}

static void expect_text(const char *value, const char *want)
{
    struct arena *arena = arena_new(NULL, 1 << 20);
    view text = encoded_word_decode(view_of(value), arena);
    if (!view_equal(text, view_of(want))) test_fail(__FILE__, __LINE__, "%s is read as " VIEW_FMT ", not %s", value, VIEW_ARG(text), want);
    arena_free(arena);
}

TEST(encoded_words_of_rfc_2047)
{
    expect_text("(=?ISO-8859-1?Q?a?=)", "(a)");
    expect_text("=?ISO-8859-1?Q?a?= b", "a b");
    expect_text("=?ISO-8859-1?Q?a?= =?ISO-8859-1?Q?b?=", "ab");
    expect_text("=?ISO-8859-1?Q?a?=\r\n     =?ISO-8859-1?Q?b?=", "ab");
    expect_text("=?ISO-8859-1?Q?a_b?=", "a b");
    expect_text("=?ISO-8859-1?Q?a?= =?ISO-8859-2?Q?_b?=", "a b");
    expect_text("=?US-ASCII*en-US?q?Keith_Moore?=", "Keith Moore");
    expect_text("no word =? at all ?=", "no word =? at all ?=");
}

TEST(encoded_words_as_they_are_met)
{
    expect_text("=?utf-8?B?5pel?= =?utf-8?b?5pys?=", "日本");
    expect_text("=?utf-8?B?5pelYQ?= =?utf-8?B?Yg==?=", "日ab");
    expect_text("=?UTF-8?Q?What?" "?= next", "What? next");
    expect_text("Re:=?UTF-8?Q?x?=(1)", "Re:x(1)");
    expect_text("=?UTF-8?B?never ends", "=?UTF-8?B?never ends");
    expect_text("=?UTF-8?X?x?=", "=?UTF-8?X?x?=");
    expect_text("\xe3\x83\x86 raw =?UTF-8?Q?=0D=0Ax?=", "テ raw   x");
    expect_text("=?UTF-8?Q?=E3=83?= =?UTF-8?Q?=86?=", "テ");
    expect_text("", "");
}
