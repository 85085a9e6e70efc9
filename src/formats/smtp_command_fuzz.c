/*
 * Every line of the input as a command. Oracles: the arena stays within its bound; a path that was read
 * and written reads back as the same path; every refusal has a 4xx or 5xx status.
 */
#include "base/check.h"
#include "formats/smtp_command.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_path(const struct smtp_path *path, enum smtp_path_kind kind, struct arena *arena)
{
    struct smtp_path again;
    buf text = BUF_INIT;
    smtp_path_append(&text, path);
    struct cursor c = cursor_of(buf_view(&text));
    check(take_smtp_path(&c, kind, arena, &again) && cursor_at_end(&c));
    check(view_equal(again.local_part, path->local_part) && view_equal(again.domain, path->domain));
    check(again.is_null == path->is_null && again.is_utf8 == path->is_utf8 && again.domain_kind == path->domain_kind);
    buf_done(&text);
}

static void parse_line(view line)
{
    size_t bound = 4 * line.len + SMTP_COMMAND_ARENA_SLACK;
    struct arena *arena = arena_new(NULL, 2 * bound);
    struct smtp_command command;
    enum smtp_status_name status = SMTP_DONE;
    if (smtp_command_parse(line, arena, &command, &status)) {
        check(command.verb < SMTP_VERB_UNKNOWN && arena_used(arena) <= bound);
        if (command.verb == SMTP_VERB_MAIL) check_path(&command.path, SMTP_REVERSE_PATH, arena);
        if (command.verb == SMTP_VERB_RCPT) check_path(&command.path, SMTP_FORWARD_PATH, arena);
    } else {
        check(smtp_status(status)->code >= 400);
    }
    arena_free(arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    view rest = view_make(data, size), line;
    while (view_cut(&rest, '\n', &line)) parse_line(view_ends(line, VIEW("\r")) ? view_slice(line, 0, line.len - 1) : line);
    return 0;
}
