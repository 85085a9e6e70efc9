/* An index finds what a scan finds: no more where it is sure, no less where it is not. */
#include <stdlib.h>
#include <string.h>

#include "account/segment.h"
#include "account/test_scan.h"
#include "base/check.h"
#include "base/cursor.h"
#include "base/test.h"
#include "formats/mime.h"
#include "base/utf8.h"
#include "formats/text_fold.h"

enum { MESSAGES = 40, NEEDLES = 60 };

/* A small generator of its own, so that a failure names its seed. */
static uint64_t next(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return *seed >> 33;
}

static const char *const atoms[] = {
    "a", "b", "ab", "alpha", "beta", "Gamma", "x1", "2026", "_", "é", "Ж", "日", "本", "日本", "東京", "京都", "東京都", "語", "の", "は", "ください", "ありがとう",
    "メール", "ﾒｰﾙ", "テスト", "ー", "한국", "어", "中文字符", "一二三四五六七八九十", "ﾊﾟ", "ＡＢ", "😀",
};
static const char *const joints[] = {"", "", "", " ", " ", ".", "-", "@", "..", ", ", "\r\n", "! ", "'", "、", "。", "　", "\r\n> "};

static void append_text(buf *out, uint64_t *seed, unsigned atoms_max)
{
    for (unsigned n = (unsigned)next(seed) % atoms_max + 1; n; n--) {
        buf_append_cstr(out, atoms[next(seed) % array_size(atoms)]);
        buf_append_cstr(out, joints[next(seed) % array_size(joints)]);
    }
}

/* On one line. */
static void append_words(buf *out, uint64_t *seed)
{
    for (unsigned n = (unsigned)next(seed) % 6 + 1; n; n--) {
        buf_append_cstr(out, atoms[next(seed) % array_size(atoms)]);
        buf_append_cstr(out, next(seed) % 3 ? "" : next(seed) % 2 ? " " : "-");
    }
}

static void make_message(buf *out, uint64_t *seed)
{
    const char *const names[] = {"Subject", "From", "To", "Cc", "Bcc", "X-Other", "Received"};
    for (size_t i = 0; i < array_size(names); i++) {
        if (next(seed) % 4 == 0) continue;
        buf_appendf(out, "%s: ", names[i]);
        append_words(out, seed);
        buf_append_cstr(out, "\r\n");
    }
    bool is_mixed = next(seed) % 3 == 0;
    buf_append_cstr(out, is_mixed ? "Content-Type: multipart/mixed; boundary=alpha\r\n\r\n--alpha\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"
                                  : "Content-Type: text/plain; charset=utf-8\r\n\r\n");
    append_text(out, seed, 30);
    if (!is_mixed) return;
    buf_append_cstr(out, "\r\n--alpha\r\nContent-Type: text/html; charset=utf-8\r\nX-Part: beta\r\n\r\n<p>");
    append_text(out, seed, 20);
    buf_append_cstr(out, "</p><!-- gamma -->\r\n--alpha\r\nContent-Type: message/rfc822\r\n\r\nSubject: ");
    append_words(out, seed);
    buf_append_cstr(out, "\r\n\r\n");
    append_text(out, seed, 5);
    buf_append_cstr(out, "\r\n--alpha--\r\n");
}

MAY_YIELD static result read_memory(void *argument, uint64_t offset, size_t bytes, buf *into, struct fault *fault)
{
    (void)fault;
    buf_append(into, view_slice(*(view *)argument, (size_t)offset, bytes));
    return OK;
}

static struct segment_index *open_segment(view bytes)
{
    struct segment_footer f;
    struct segment_index *i;
    struct fault fault = {0};
    view last = view_from(bytes, bytes.len - SEGMENT_FOOTER_BYTES);
    REQUIRE(segment_footer_decode(last, bytes.len, &f, &fault) == OK);
    REQUIRE(segment_index_decode(&f, view_slice(bytes, (size_t)f.body_bytes, (size_t)segment_tail_bytes(&f)), &i, &fault) == OK);
    for (uint64_t page = 0; page < f.pages; page++) {
        view rest = view_slice(bytes, 0, (size_t)f.body_bytes);
        EXPECT(segment_page_is_sound(i, page, view_slice(rest, (size_t)page * SEGMENT_PAGE_BYTES, SEGMENT_PAGE_BYTES)));
    }
    return i;
}

/* A part of some message's text, or anything. */
static void make_needle(buf *out, uint64_t *seed)
{
    buf text CLEANUP(buf_done) = BUF_INIT;
    buf_clear(out);
    append_text(&text, seed, 4);
    view v = buf_view(&text);
    while (v.len && next(seed) % 2) {
        uint32_t c;
        (void)utf8_take(&v, &c);
    }
    while (v.len && next(seed) % 3) {
        do v.len--;
        while (v.len && ((unsigned char)v.at[v.len] & 0xc0) == 0x80);
    }
    text_fold(v, out);
}

static const unsigned zone_sets[] = {(1u << ZONES) - 1, 1u << ZONE_BODY, 1u << ZONE_SUBJECT, 1u << ZONE_TO};

static void check_needle(uint64_t seed, view segment, const struct segment_index *i, const buf *messages, view needle, unsigned zones)
{
    uint64_t sure[MESSAGES / 64 + 1] = {0}, maybe[MESSAGES / 64 + 1] = {0};
    struct search_query q;
    struct segment_source source = {read_memory, &segment};
    search_query_make(needle, &q);
    colour_pretend_coroutine();
    EXPECT_NUMBER(segment_find(i, &source, &q, zones, sure, maybe, NULL), OK);
    for (unsigned k = 0; k < MESSAGES; k++) {
        bool is_there = test_scan(buf_view(&messages[k]), zones, needle), is_sure = sure[k / 64] >> k % 64 & 1, may_be = maybe[k / 64] >> k % 64 & 1;
        if (is_sure == is_there || (may_be && !is_sure)) continue;
        test_fail(__FILE__, __LINE__, "seed %llu, message %u, kind %d, zones %x, needle \"" VIEW_FMT "\"", (unsigned long long)seed, k, (int)q.kind, zones, VIEW_ARG(needle));
        return;
    }
}

static void check_segment(uint64_t seed, view segment, const buf *messages)
{
    struct segment_index *i = open_segment(segment);
    buf needle CLEANUP(buf_done) = BUF_INIT;
    uint64_t state = seed + 77;
    for (unsigned n = 0; n < NEEDLES; n++) {
        make_needle(&needle, &state);
        if (needle.len) check_needle(seed, segment, i, messages, buf_view(&needle), zone_sets[n % array_size(zone_sets)]);
    }
    segment_index_free(i);
}

static void build(buf *messages, unsigned count, uint64_t *seed, buf *segment)
{
    struct segment_builder *b = segment_builder_new();
    for (unsigned i = 0; i < count; i++) {
        make_message(&messages[i], seed);
        EXPECT_NUMBER(segment_builder_add(b, buf_view(&messages[i])), i);
        if (i % 5 == 0) segment_builder_is_alone(b, (struct id){{(unsigned char)next(seed), (unsigned char)i}});
    }
    segment_builder_write(b, *seed % 2, segment);
    segment_builder_free(b);
}

TEST(segment_finds_what_a_scan_finds)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        buf messages[MESSAGES] = {0}, segment CLEANUP(buf_done) = BUF_INIT;
        uint64_t state = seed;
        build(messages, MESSAGES, &state, &segment);
        check_segment(seed, buf_view(&segment), messages);
        for (unsigned i = 0; i < MESSAGES; i++) buf_done(&messages[i]);
    }
}

static void merge(const view *parts, size_t count, const uint64_t *living, bool has_filters, buf *merged)
{
    struct segment_merge_input inputs[4];
    struct fault fault = {0};
    for (size_t i = 0; i < count; i++) inputs[i] = (struct segment_merge_input){.index = open_segment(parts[i]), .living = i == 1 ? living : NULL};
    struct segment_merge *m = segment_merge_new(inputs, count, has_filters);
    result code;
    while ((code = segment_merge_step(m, &fault)) != END) {
        size_t input, bytes;
        uint64_t offset;
        if (code == BUSY) {
            buf *into = segment_merge_wants(m, &input, &offset, &bytes);
            buf_append(into, view_slice(parts[input], (size_t)offset, bytes));
            continue;
        }
        REQUIRE(code == OK);
        buf_append(merged, buf_view(&segment_merge_out(m)->out));
        segment_writer_took(segment_merge_out(m));
    }
    buf_append(merged, buf_view(&segment_merge_out(m)->out));
    segment_merge_free(m);
    for (size_t i = 0; i < count; i++) segment_index_free((struct segment_index *)(uintptr_t)inputs[i].index);
}

TEST(segment_merged_finds_the_same)
{
    for (uint64_t seed = 1; seed <= 10; seed++) {
        buf messages[MESSAGES] = {0}, parts[4] = {0}, merged CLEANUP(buf_done) = BUF_INIT;
        view views[4];
        uint64_t state = seed;
        for (unsigned i = 0; i < 4; i++) {
            build(messages + i * (MESSAGES / 4), MESSAGES / 4, &state, &parts[i]);
            views[i] = buf_view(&parts[i]);
        }
        merge(views, 4, NULL, seed % 2, &merged);
        check_segment(seed, buf_view(&merged), messages);
        struct segment_index *i = open_segment(buf_view(&merged));
        EXPECT_NUMBER(i->footer.alone, 8);
        segment_index_free(i);
        for (unsigned k = 0; k < 4; k++) buf_done(&parts[k]);
        for (unsigned k = 0; k < MESSAGES; k++) buf_done(&messages[k]);
    }
}

TEST(segment_merge_leaves_out_the_dead)
{
    buf messages[MESSAGES] = {0}, parts[2] = {0}, merged CLEANUP(buf_done) = BUF_INIT;
    uint64_t seed = 5, none = 0;
    build(messages, 20, &seed, &parts[0]);
    build(messages + 20, 20, &seed, &parts[1]);
    view views[2] = {buf_view(&parts[0]), buf_view(&parts[1])};
    merge(views, 2, &none, true, &merged);
    EXPECT(merged.len < parts[0].len + parts[1].len / 4);
    struct segment_index *i = open_segment(buf_view(&merged));
    EXPECT_NUMBER(i->footer.documents, 40);
    EXPECT_NUMBER(i->footer.alone, 4);
    segment_index_free(i);
    buf_done(&parts[0]);
    buf_done(&parts[1]);
    for (unsigned k = 0; k < MESSAGES; k++) buf_done(&messages[k]);
}

TEST(segment_of_nothing_and_of_much_text)
{
    struct segment_builder *b = segment_builder_new();
    buf segment CLEANUP(buf_done) = BUF_INIT, message CLEANUP(buf_done) = BUF_INIT;
    struct search_query q;
    segment_builder_write(b, true, &segment);
    segment_index_free(open_segment(buf_view(&segment)));
    buf_clear(&segment);
    buf_append_cstr(&message, "Subject: much\r\n\r\n");
    while (message.len < 2 << 20) buf_appendf(&message, "word%zu ", message.len);
    buf_append_cstr(&message, "needle");
    segment_builder_add(b, buf_view(&message));
    segment_builder_add(b, VIEW("Subject: little\r\n\r\nneedle"));
    segment_builder_add_empty(b, true);
    segment_builder_add_empty(b, false);
    segment_builder_write(b, true, &segment);
    segment_builder_free(b);
    struct segment_index *i = open_segment(buf_view(&segment));
    uint64_t sure = 0, maybe = 0;
    view bytes = buf_view(&segment);
    struct segment_source source = {read_memory, &bytes};
    search_query_make(VIEW("needle"), &q);
    colour_pretend_coroutine();
    EXPECT_NUMBER(segment_find(i, &source, &q, 1u << ZONE_BODY, &sure, &maybe, NULL), OK);
    EXPECT_NUMBER(sure, 2);
    EXPECT_NUMBER(maybe, 7);
    segment_index_free(i);
}

/* ---- needles that the index cannot be sure of ---- */

enum { MIXED_MESSAGES = 400, MIXED_HITS = 4 };

static struct segment_index *build_mixed(buf *segment)
{
    struct segment_builder *b = segment_builder_new();
    buf message CLEANUP(buf_done) = BUF_INIT;
    for (unsigned k = 0; k < MIXED_MESSAGES; k++) {
        const char *text = k % (MIXED_MESSAGES / MIXED_HITS) == 7 ? "今年の第3回大会、東京word1st。返信は、京\r\n" : k % 2 ? "今年の第二回、3人。東風\r\n" : "3、回答。返信は東へ\r\n";
        buf_clear(&message);
        buf_appendf(&message, "Subject: =?utf-8?b?5p2x5Lqs?= 3\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nword1 word2 %s", text);
        segment_builder_add(b, buf_view(&message));
    }
    segment_builder_write(b, true, segment);
    segment_builder_free(b);
    return open_segment(buf_view(segment));
}

/* How many messages must be read. */
static unsigned count_candidates(const struct segment_index *i, view segment, unsigned zones, view needle)
{
    uint64_t sure[MIXED_MESSAGES / 64 + 1] = {0}, maybe[MIXED_MESSAGES / 64 + 1] = {0};
    struct segment_source source = {read_memory, &segment};
    struct search_query q;
    unsigned count = 0;
    search_query_make(needle, &q);
    colour_pretend_coroutine();
    EXPECT_NUMBER(segment_find(i, &source, &q, zones, sure, maybe, NULL), OK);
    for (unsigned k = 0; k < MIXED_MESSAGES; k++) count += (unsigned)(maybe[k / 64] >> k % 64 & 1);
    return count;
}

TEST(segment_leaves_few_messages_to_read_for_a_needle_of_two_scripts)
{
    static const struct { view needle; unsigned candidates; } all[] = {
        {VIEW_INIT("東京word1"), MIXED_HITS},      /* both are in all: one in the subject, the other in the body */
        {VIEW_INIT("第3回"), MIXED_HITS},          /* one character of each script, "3" in all */
        {VIEW_INIT("回大会、東京word1"), MIXED_HITS},
        {VIEW_INIT("は、京"), MIXED_HITS},
        {VIEW_INIT("3人"), MIXED_MESSAGES / 2 - MIXED_HITS},
        {VIEW_INIT("風 3"), MIXED_MESSAGES / 2 - MIXED_HITS},
        {VIEW_INIT("東京 3"), MIXED_MESSAGES},     /* the subject of all */
    };
    buf segment CLEANUP(buf_done) = BUF_INIT;
    struct segment_index *i = build_mixed(&segment);
    for (size_t n = 0; n < array_size(all); n++) {
        unsigned found = count_candidates(i, buf_view(&segment), (1u << ZONES) - 1, all[n].needle);
        if (found != all[n].candidates) test_fail(__FILE__, __LINE__, VIEW_FMT ": %u messages to read", VIEW_ARG(all[n].needle), found);
    }
    EXPECT_NUMBER(count_candidates(i, buf_view(&segment), 1u << ZONE_SUBJECT, VIEW("京 3")), MIXED_MESSAGES);
    EXPECT_NUMBER(count_candidates(i, buf_view(&segment), 1u << ZONE_SUBJECT, VIEW("東 3")), 0);
    segment_index_free(i);
}

/* ---- filters ---- */

enum { LONG_MESSAGES = 64, LONG_WORDS = 6000 };

struct counted { view segment; uint64_t bytes; };

MAY_YIELD static result read_counted(void *argument, uint64_t offset, size_t bytes, buf *into, struct fault *fault)
{
    struct counted *c = argument;
    c->bytes += bytes;
    return read_memory(&c->segment, offset, bytes, into, fault);
}

static void append_word(buf *out, uint64_t *seed)
{
    static const char *const kana[] = {"あ", "い", "か", "さ", "た", "ま", "せ", "ん"};
    bool is_kana = next(seed) % 8 == 0;
    for (unsigned n = 3 + (unsigned)next(seed) % 9; n; n--) {
        if (is_kana) buf_append_cstr(out, kana[next(seed) % array_size(kana)]);
        else buf_append_byte(out, (char)('a' + next(seed) % 20));
    }
}

/* Documents with the needle, by looking; and by the index, which is exact for such needles. */
static void check_long(const struct segment_index *i, view segment, const buf *messages, view needle, bool is_rare)
{
    uint64_t sure[LONG_MESSAGES / 64 + 1] = {0}, maybe[LONG_MESSAGES / 64 + 1] = {0}, expected = 0;
    struct counted c = {segment, 0};
    struct segment_source source = {read_counted, &c};
    struct search_query q;
    search_query_make(needle, &q);
    colour_pretend_coroutine();
    for (unsigned k = 0; k < LONG_MESSAGES; k++)
        if (view_find_view(buf_view(&messages[k]), needle) != VIEW_NONE) expected |= (uint64_t)1 << k;
    EXPECT_NUMBER(segment_find(i, &source, &q, 1u << ZONE_BODY, sure, maybe, NULL), OK);
    if (sure[0] != expected) test_fail(__FILE__, __LINE__, "needle " VIEW_FMT, VIEW_ARG(needle));
    if (is_rare && c.bytes > segment.len / 8)
        test_fail(__FILE__, __LINE__, "%llu of %zu bytes were read for " VIEW_FMT, (unsigned long long)c.bytes, segment.len, VIEW_ARG(needle));
}

TEST(segment_filters_spare_most_of_the_words_and_lose_none)
{
    buf messages[LONG_MESSAGES] = {0}, segment CLEANUP(buf_done) = BUF_INIT, merged CLEANUP(buf_done) = BUF_INIT, word CLEANUP(buf_done) = BUF_INIT;
    uint64_t seed = 3;
    struct segment_builder *b = segment_builder_new();
    for (unsigned k = 0; k < LONG_MESSAGES; k++) {
        buf_append_cstr(&messages[k], "Subject: x\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n");
        for (unsigned n = 0; n < LONG_WORDS; n++) {
            append_word(&messages[k], &seed);
            buf_append_byte(&messages[k], n % 10 == 9 ? '\n' : ' ');
        }
        segment_builder_add(b, buf_view(&messages[k]));
    }
    segment_builder_write(b, true, &segment);
    segment_builder_free(b);
    view part = buf_view(&segment);
    merge(&part, 1, NULL, true, &merged);
    struct segment_index *i = open_segment(part), *again = open_segment(buf_view(&merged));
    for (unsigned n = 0; n < 300; n++) {
        buf_clear(&word);
        append_word(&word, &seed);
        view needle = buf_view(&word);
        if (n % 2) {                         /* a part of one that is there */
            view text = view_from(buf_view(&messages[n % LONG_MESSAGES]), 60 + next(&seed) % 5000);
            while (text.len && ((unsigned char)text.at[0] & 0xc0) == 0x80) text = view_from(text, 1);
            size_t end = view_find(text, ' ');
            needle = view_slice(text, 0, end == VIEW_NONE ? 0 : end);
            if (needle.len < 2 || view_find(needle, '\n') != VIEW_NONE || (unsigned char)needle.at[0] >= 0x80) continue;
        }
        bool is_rare = (unsigned char)needle.at[0] < 0x80 && needle.len >= 6;
        check_long(i, part, messages, needle, is_rare);
        check_long(again, buf_view(&merged), messages, needle, is_rare);
    }
    segment_index_free(i);
    segment_index_free(again);
    for (unsigned k = 0; k < LONG_MESSAGES; k++) buf_done(&messages[k]);
}
