/*
 * Whatever is parsed as a command can be written, and is the same when it is parsed again; memory stays
 * within what imap.h promises.
 */
#include "base/check.h"
#include "formats/imap.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 65536) return 0;
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 64 * size + 4096);
    struct arena *arena_again CLEANUP(arena_freep) = arena_new(NULL, 16 << 20);
    buf first CLEANUP(buf_done) = BUF_INIT, second CLEANUP(buf_done) = BUF_INIT;
    struct imap_command command, again;
    struct fault fault;
    view text = view_make(data, size), tag;
    bool is_last;
    struct imap_append_message message;
    result code = imap_parse_command(text, arena, &command, &fault);
    if (code == OK) {
        check(imap_parse_tag(text, &tag) && view_equal(tag, command.tag));
        imap_write_command(&first, &command, true);
        check(imap_parse_command(buf_view(&first), arena_again, &again, &fault) == OK);
        check(again.verb == command.verb && again.is_uid == command.is_uid);
        imap_write_command(&second, &again, true);
        check(view_equal(buf_view(&first), buf_view(&second)));
    } else {
        check(code == INVALID || code == TOO_BIG || code == NOT_FOUND);
        check(fault.client_text[0] != 0);
    }
    result rest = imap_parse_append_rest(text, (enum imap_append_place)(size % 4), arena_again, &is_last, &message, &fault);
    check(rest == OK || rest == INVALID || rest == TOO_BIG);
    return 0;
}
