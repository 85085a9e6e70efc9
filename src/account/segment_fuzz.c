/*
 * First byte even: the rest is a message and, behind its last line feed, a needle: a segment of the message finds what a scan finds, also merged with
 * itself. Odd (3 modulo 4: with filters): three bytes each (place, place, value) damage a segment, whose checksums of directory and footer are then made right again: reading
 * ends with CORRUPT or with documents that there are, never otherwise.
 */
#include <stdlib.h>
#include <string.h>

#include "account/segment.h"
#include "account/test_scan.h"
#include "base/check.h"
#include "base/hash.h"
#include "base/utf8.h"
#include "formats/mime.h"
#include "formats/text_fold.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MESSAGES = 70, ALL_ZONES = (1 << ZONES) - 1 };

static result read_memory(void *argument, uint64_t offset, size_t bytes, buf *into, struct fault *fault)
{
    view v = *(view *)argument;
    if (offset > v.len || bytes > v.len - offset) return fail(fault, CORRUPT, "beyond the end");
    buf_append(into, view_slice(v, (size_t)offset, bytes));
    return OK;
}

static bool open_segment(view bytes, struct segment_index **ret_index)
{
    struct segment_footer f;
    if (bytes.len < SEGMENT_FOOTER_BYTES || segment_footer_decode(view_from(bytes, bytes.len - SEGMENT_FOOTER_BYTES), bytes.len, &f, NULL) != OK) return false;
    return segment_index_decode(&f, view_slice(bytes, (size_t)f.body_bytes, (size_t)segment_tail_bytes(&f)), ret_index, NULL) == OK;
}

/* *ret_sure and *ret_maybe: malloced. */
static result look_for(view segment, const struct segment_index *i, view needle, unsigned zones, uint64_t **ret_sure, uint64_t **ret_maybe)
{
    struct search_query q;
    struct segment_source source = {read_memory, &segment};
    size_t words = segment_bits_words(i->footer.documents);
    *ret_sure = calloc(words, sizeof **ret_sure);
    *ret_maybe = calloc(words, sizeof **ret_maybe);
    check(*ret_sure && *ret_maybe);
    search_query_make(needle, &q);
    colour_pretend_coroutine();
    result code = segment_find(i, &source, &q, zones, *ret_sure, *ret_maybe, NULL);
    for (size_t k = 0; code == OK && k < words; k++) check((*ret_sure)[k] == ((*ret_sure)[k] & (*ret_maybe)[k]));
    return code;
}

static result merge(view segment, const struct segment_index *i, size_t times, buf *into)
{
    struct segment_merge_input inputs[3] = {{.index = i}, {.index = i}, {.index = i}};
    struct segment_merge *m = segment_merge_new(inputs, times, segment.len % 2);
    result code;
    while ((code = segment_merge_step(m, NULL)) == OK || code == BUSY) {
        size_t input, bytes;
        uint64_t offset;
        if (code == OK) {
            buf_append(into, buf_view(&segment_merge_out(m)->out));
            segment_writer_took(segment_merge_out(m));
            continue;
        }
        buf *wanted = segment_merge_wants(m, &input, &offset, &bytes);
        if (read_memory(&segment, offset, bytes, wanted, NULL) != OK || wanted->len == 0) break;
    }
    if (code == END) buf_append(into, buf_view(&segment_merge_out(m)->out));
    segment_merge_free(m);
    return code;
}

/* ---- as it was written ---- */

static void check_found(view segment, view message, view needle, uint32_t documents)
{
    struct segment_index *i;
    uint64_t *sure, *maybe;
    check(open_segment(segment, &i) && i->footer.documents == documents);
    check(look_for(segment, i, needle, ALL_ZONES, &sure, &maybe) == OK);
    bool is_there = test_scan(message, ALL_ZONES, needle);
    for (uint32_t k = 0; k < documents; k++) check(is_there ? (maybe[0] >> k & 1) == 1 : (sure[0] >> k & 1) == 0);
    free(sure);
    free(maybe);
    segment_index_free(i);
}

static void build_and_find(view input)
{
    size_t cut = view_find_last(input, '\n');
    view message = view_slice(input, 0, cut == VIEW_NONE ? input.len : cut), raw = cut == VIEW_NONE ? VIEW("a") : view_from(input, cut + 1);
    buf segment = BUF_INIT, merged = BUF_INIT, repaired = BUF_INIT, needle = BUF_INIT;
    struct segment_builder *b = segment_builder_new();
    utf8_append_repaired(&repaired, raw);
    text_fold(buf_view(&repaired), &needle);
    segment_builder_add(b, message);
    segment_builder_is_alone(b, (struct id){{1}});
    segment_builder_write(b, message.len % 2, &segment);
    segment_builder_free(b);
    if (needle.len) {
        struct segment_index *i;
        check_found(buf_view(&segment), message, buf_view(&needle), 1);
        check(open_segment(buf_view(&segment), &i) && merge(buf_view(&segment), i, 2, &merged) == END);
        check_found(buf_view(&merged), message, buf_view(&needle), 2);
        segment_index_free(i);
    }
    buf_done(&segment);
    buf_done(&merged);
    buf_done(&repaired);
    buf_done(&needle);
}

/* ---- damaged ---- */

/* With filters: of some 200 KB. */
static void make_segment(bool has_filters, buf *segment)
{
    struct segment_builder *b = segment_builder_new();
    buf message = BUF_INIT;
    for (unsigned i = 0; i < MESSAGES; i++) {
        buf_clear(&message);
        buf_appendf(&message, "Subject: alpha n%u\r\nTo: b%u@example.org\r\n\r\n%s 東京%s 会議 w%u", i, i % 7, i % 2 ? "odd" : "even", i % 3 ? "都" : "", i);
        segment_builder_add(b, buf_view(&message));
        if (i % 9 == 0) segment_builder_is_alone(b, (struct id){{(unsigned char)i}});
    }
    buf_clear(&message);
    buf_append_cstr(&message, "Subject: long\r\n\r\n");
    for (unsigned i = 0; has_filters && message.len < SEGMENT_CHUNK_BYTES * (SEGMENT_CHUNKS_MIN + 1); i++) buf_appendf(&message, "word%u odd%u ", i, i * 77);
    segment_builder_add(b, buf_view(&message));
    segment_builder_write(b, has_filters, segment);
    segment_builder_free(b);
    buf_done(&message);
}

static void put_le32(buf *b, size_t at, uint32_t number)
{
    for (unsigned i = 0; i < 4; i++) b->at[at + i] = (char)(unsigned char)(number >> 8 * i);
}

static uint32_t get_le32(const buf *b, size_t at)
{
    uint32_t number = 0;
    for (unsigned i = 0; i < 4; i++) number |= (uint32_t)(unsigned char)b->at[at + i] << 8 * i;
    return number;
}

static void make_right(buf *b)
{
    size_t footer = b->len - SEGMENT_FOOTER_BYTES, tail = (size_t)get_le32(b, footer + 24) + (size_t)get_le32(b, footer + 28) * 4;
    if (tail <= footer) put_le32(b, footer + 32, crc32c(0, view_slice(buf_view(b), footer - tail, tail)));
    put_le32(b, footer + 40, crc32c(0, view_slice(buf_view(b), footer, 40)));
}

/* Filters stand at the end: there places are counted from it. */
static void damage_and_read(bool has_filters, view input)
{
    static const view needles[] = {VIEW_INIT("odd"), VIEW_INIT("a"), VIEW_INIT("東京都"), VIEW_INIT("会"), VIEW_INIT("会議"), VIEW_INIT("n1 w"), VIEW_INIT("!")};
    struct segment_index *i;
    buf segment = BUF_INIT, merged = BUF_INIT;
    make_segment(has_filters, &segment);
    for (; input.len >= 3; input = view_from(input, 3)) {
        size_t at = (size_t)(unsigned char)input.at[0] << 8 | (unsigned char)input.at[1];
        at %= segment.len;
        segment.at[has_filters ? segment.len - 1 - at : at] = input.at[2];
    }
    make_right(&segment);
    if (open_segment(buf_view(&segment), &i)) {
        for (size_t k = 0; k < array_size(needles); k++) {
            uint64_t *sure, *maybe;
            (void)!look_for(buf_view(&segment), i, needles[k], k % 2 ? ALL_ZONES : 1 << ZONE_BODY, &sure, &maybe);
            free(sure);
            free(maybe);
        }
        if (i->footer.documents < SEGMENT_DOCUMENTS_MAX / 2) (void)!merge(buf_view(&segment), i, 2, &merged);
        segment_index_free(i);
    }
    buf_done(&segment);
    buf_done(&merged);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) return 0;
    view rest = view_make(data + 1, size - 1);
    if (data[0] % 2) damage_and_read(data[0] % 4 == 3, rest);
    else build_and_find(rest);
    return 0;
}
