/*
 * A client that says anything, to the real session on the simulator and the memory engine. The first byte chooses
 * service and how far the conversation has come when it begins. Oracles: the sanitizers; the session ends; the
 * replies are the same whether the input comes at once or in small pieces.
 */
#include <stdio.h>

#include "base/check.h"
#include "smtpd/post_office.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const beginnings[] = {
    "",
    "EHLO x\r\n",
    "EHLO x\r\nMAIL FROM:<s@x> BODY=BINARYMIME SMTPUTF8\r\nRCPT TO:<all@example.test>\r\n",
    "EHLO x\r\nMAIL FROM:<s@x>\r\nRCPT TO:<a@example.test>\r\nRCPT TO:<b@example.test>\r\nDATA\r\n",
    "LHLO x\r\n",
    "LHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<a@example.test>\r\nRCPT TO:<nested@example.test>\r\nBDAT 1\r\nx",
    "LHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<a@example.test>\r\nRCPT TO:<b@example.test>\r\nDATA\r\n",
};

static void converse(enum smtpd_kind kind, view input, size_t piece, buf *replies)
{
    struct smtpd_options options = smtpd_default_options();
    options.server_name = VIEW("mx.example.test");
    options.message_bytes_max = 20000;
    options.header_bytes_max = 1000;
    struct post_office *o = post_office_open(1, &options);
    post_office_converse(o, kind, input, piece, replies);
    post_office_close(o);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum { INPUT_MAX = 8192, PIECES_MAX = 200 };
    if (size == 0 || size > INPUT_MAX) return 0;
    const char *beginning = beginnings[data[0] % array_size(beginnings)];
    enum smtpd_kind kind = beginning[0] == 'L' || data[0] >= 0x80 ? SMTPD_LMTP : SMTPD_MX;
    buf input = BUF_INIT, whole = BUF_INIT, cut = BUF_INIT;
    buf_append_cstr(&input, beginning);
    buf_append(&input, view_make(data + 1, size - 1));
    converse(kind, buf_view(&input), 0, &whole);
    converse(kind, buf_view(&input), 1 + input.len / PIECES_MAX, &cut);
    bool is_same = view_equal(buf_view(&whole), buf_view(&cut));
    if (!is_same) fprintf(stderr, "at once:\n" VIEW_FMT "\nin pieces:\n" VIEW_FMT "\n", VIEW_ARG(buf_view(&whole)), VIEW_ARG(buf_view(&cut)));
    check(is_same);
    buf_done(&input);
    buf_done(&whole);
    buf_done(&cut);
    return 0;
}
