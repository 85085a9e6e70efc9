#include "base/check.h"
#include "base/test.h"
#include "formats/text_fold.h"

static void expect_folded(const char *text, const char *folded)
{
    buf out CLEANUP(buf_done) = BUF_INIT;
    text_fold(view_of(text), &out);
    EXPECT_VIEW(buf_view(&out), view_of(folded));
    buf again CLEANUP(buf_done) = BUF_INIT;
    text_fold(buf_view(&out), &again);
    EXPECT_VIEW(buf_view(&again), buf_view(&out));
}

TEST(text_fold_ignores_case_in_the_scripts_that_have_it)
{
    expect_folded("Hello, WORLD 09", "hello, world 09");
    expect_folded("ÀÉÎÕÜÞß×", "àéîõüþß×");
    expect_folded("ĀŁŹŽŸŒ", "āłźžÿœ");
    expect_folded("ΑΒΓΣς", "αβγσσ");
    expect_folded("ПРИВЕТ Ё Ѣ", "привет ё ѣ");
    expect_folded("ＡＺ", "ａｚ");
    expect_folded("ẞẼỲ", "ßẽỳ");
    expect_folded("日本語", "日本語");
}

TEST(text_fold_makes_kana_full_width)
{
    expect_folded("ﾃｽﾄ ｶﾞ", "テスト ガ");
}

TEST(text_fold_keeps_what_is_no_utf8)
{
    expect_folded("A\xff\xfe" "B\xc3", "a\xff\xfe" "b\xc3");
}
