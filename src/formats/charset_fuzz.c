/* The first byte chooses a charset and the cut. Oracles: UTF-8 comes out, bounded; chunks of any size decode alike; base64 reads back. */
#include "base/arena.h"
#include "base/check.h"
#include "base/utf8.h"
#include "formats/charset.h"
#include "formats/encoded_word.h"
#include "formats/transfer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_charsets(unsigned choice, view bytes)
{
    static const char *const names[] = {"iso-2022-jp", "shift_jis", "euc-jp", "utf-8", "utf-16", "utf-7", "us-ascii", ""};
    buf out CLEANUP(buf_done) = BUF_INIT, folded CLEANUP(buf_done) = BUF_INIT;
    charset_append_utf8(view_of(names[choice % array_size(names)]), bytes, &out);
    check(utf8_is_valid(buf_view(&out)) && out.len <= 3 * bytes.len + 16);
    charset_fold_kana(buf_view(&out), &folded);
    check(utf8_is_valid(buf_view(&folded)) && folded.len <= out.len);
}

static void check_transfer(enum transfer_encoding encoding, size_t cut, view bytes)
{
    buf whole CLEANUP(buf_done) = BUF_INIT, chunked CLEANUP(buf_done) = BUF_INIT;
    struct transfer_decoder d = transfer_decoder_of(encoding);
    bool is_clean = transfer_decode(encoding, bytes, &whole);
    for (size_t at = 0; at < bytes.len; at += cut) transfer_decoder_feed(&d, view_slice(bytes, at, cut), &chunked);
    transfer_decoder_end(&d, &chunked);
    check(view_equal(buf_view(&whole), buf_view(&chunked)) && d.is_broken == !is_clean && whole.len <= bytes.len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) return 0;
    view bytes = view_make(data + 1, size - 1);
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 4 * size + 4096);
    buf text CLEANUP(buf_done) = BUF_INIT, back CLEANUP(buf_done) = BUF_INIT;
    check_charsets(data[0], bytes);
    check(utf8_is_valid(encoded_word_decode(bytes, arena)));
    check_transfer(TRANSFER_BASE64, data[0] / 32u + 1, bytes);
    check_transfer(TRANSFER_QUOTED_PRINTABLE, data[0] / 32u + 1, bytes);
    base64_append(&text, bytes);
    check(base64_decode(buf_view(&text), &back) && view_equal(buf_view(&back), bytes));
    return 0;
}
