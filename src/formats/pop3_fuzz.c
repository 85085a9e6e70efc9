/* The first two bytes choose TOP's lines and the cut. Oracles: any cut gives the same; no line of a body is "." but the last; undone, the bytes are there. */
#include "base/check.h"
#include "formats/pop3.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void write_body(struct pop3_body p, view message, size_t cut, buf *into)
{
    bool goes_on = true;
    for (size_t at = 0; at < message.len && goes_on; at += cut) goes_on = pop3_body_append(&p, view_slice(message, at, cut), into);
    pop3_body_end(&p, into);
}

/* What a client makes of it. */
static void check_client(view answer, view message)
{
    buf back CLEANUP(buf_done) = BUF_INIT;
    bool is_ended = false, at_line_start = true;
    while (answer.len) {
        check(!is_ended);
        size_t end = view_find(answer, '\n');
        check(end != VIEW_NONE);
        view line = view_slice(answer, 0, end + 1);
        is_ended = at_line_start && view_equal(line, VIEW(".\r\n"));
        check(is_ended || !view_equal(line, VIEW(".\n")));
        if (!is_ended) buf_append(&back, line.at[0] == '.' ? view_from(line, 1) : line);
        answer = view_from(answer, end + 1);
    }
    check(is_ended && (view_equal(buf_view(&back), message) || (back.len == message.len + 2 && view_starts(buf_view(&back), message))));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2) return 0;
    view text = view_make(data + 2, size - 2);
    struct pop3_command command;
    result code = pop3_command_parse(text, &command);
    check(code != OK || (command.verb < POP3_VERB_COUNT && (!command.has_number || command.number > 0)));
    struct pop3_body starts[] = {pop3_body_whole(), pop3_body_top(data[0])};
    for (size_t i = 0; i < array_size(starts); i++) {
        buf whole CLEANUP(buf_done) = BUF_INIT, cut CLEANUP(buf_done) = BUF_INIT;
        write_body(starts[i], text, text.len + 1, &whole);
        write_body(starts[i], text, data[1] % 16u + 1, &cut);
        check(view_equal(buf_view(&whole), buf_view(&cut)));
        if (i == 0) check_client(buf_view(&whole), text);
    }
    return 0;
}
