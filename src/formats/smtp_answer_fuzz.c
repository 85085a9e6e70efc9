/* Fuzzes answers of servers. Oracles: what is kept is bounded and has no control characters; the class of the enhanced code is the code's. */
#include "base/check.h"
#include "formats/smtp_answer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct smtp_answer a;
    struct smtp_offer offer;
    buf line CLEANUP(buf_done) = BUF_INIT;
    smtp_answer_init(&a);
    for (size_t i = 0; i < size && !a.is_whole; i++) {
        if (data[i] != '\n') {
            buf_append_byte(&line, (char)data[i]);
            continue;
        }
        if (!smtp_answer_line(&a, buf_view(&line))) break;
        buf_clear(&line);
    }
    check(a.lines <= SMTP_ANSWER_LINES_MAX && a.text.len <= SMTP_ANSWER_TEXT_MAX);
    check(a.lines == 0 || (a.code >= 200 && a.code <= 599));
    check(a.class == 0 || a.class == a.code / 100);
    buf text CLEANUP(buf_done) = BUF_INIT;
    smtp_answer_append(&text, &a);
    for (size_t i = 0; i < text.len; i++) check((unsigned char)text.at[i] >= ' ' && text.at[i] != 127);
    smtp_offer_parse(buf_view(&a.text), &offer);
    smtp_answer_done(&a);
    return 0;
}
