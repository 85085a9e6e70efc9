/*
 * From lines and literals to the text of a command (RFC 9051 §2.2.1, §4.3; RFC 7888).
 *
 * A command without literals, nearly all of them, is a view of the wire's buffer. One with literals is put together in
 * s->text. A literal that is announced as too long is refused before it is sent; one that the client does not wait
 * with ("{n+}") is read and dropped, so that what follows is not taken for commands.
 */
#include "base/check.h"
#include "imapd/session.h"

static size_t bytes_max(const struct session *s)
{
    return s->state == SESSION_NOT_AUTHENTICATED ? SESSION_EARLY_BYTES_MAX : IMAP_COMMAND_BYTES_MAX;
}

/* TOO_BIG, and nothing said: *ret_line is what is known of it. */
MAY_YIELD static result read_line(struct session *s, view *ret_line)
{
    struct fault fault = {0};
    bool is_early = s->state == SESSION_NOT_AUTHENTICATED;
    int64_t patience_ms = is_early ? session_options(s)->login_timeout_ms : session_options(s)->idle_timeout_ms;
    size_t max_bytes = is_early ? SESSION_EARLY_BYTES_MAX : SESSION_LINE_BYTES_MAX;
    result code = wire_line(&s->wire, max_bytes, clock_in(patience_ms), ret_line, &fault);
    if (code == TOO_BIG) *ret_line = wire_skipped(&s->wire);
    else if (code != OK) session_break(s, code, &fault);
    return code;
}

result session_skip_bytes(struct session *s, uint64_t count)
{
    struct fault fault = {0};
    while (count > 0) {
        view piece;
        size_t want = count > SIZE_MAX ? SIZE_MAX : (size_t)count;
        result code = wire_bytes(&s->wire, want, clock_in(session_options(s)->idle_timeout_ms), &piece, &fault);
        if (code != OK) {
            session_break(s, code, &fault);
            return code;
        }
        count -= piece.len;
    }
    return OK;
}

result session_drop_literals(struct session *s, view text)
{
    struct imap_literal literal;
    while (imap_text_wants_literal(text, &literal) && !literal.is_sync) {
        result code = session_skip_bytes(s, literal.size_bytes);
        if (code == OK) code = read_line(s, &text);
        if (code != OK && code != TOO_BIG) return code;
    }
    return OK;
}

/*
 * Refuses the command that begins with `start`, of which `line` is what was read last: literals that come anyway are dropped, up to its end.
 * RFC 2683 §3.2.1.5: BAD, with its tag.
 */
MAY_YIELD static result refuse(struct session *s, view start, view line)
{
    view tag;
    view known = imap_parse_tag(start, &tag) ? tag : VIEW("*");
    wire_putf(&s->wire, VIEW_FMT " BAD [TOOBIG] The command is too long\r\n", VIEW_ARG(known));
    if (s->state == SESSION_NOT_AUTHENTICATED) session_bye(s, "command too long", "That was no IMAP");
    else (void)!session_drop_literals(s, line);
    return TOO_BIG;
}

MAY_YIELD static result read_literal(struct session *s, uint64_t size_bytes)
{
    struct fault fault = {0};
    buf_append(&s->text, VIEW("\r\n"));
    while (size_bytes > 0) {
        view piece;
        result code = wire_bytes(&s->wire, (size_t)size_bytes, clock_in(session_options(s)->idle_timeout_ms), &piece, &fault);
        if (code != OK) {
            session_break(s, code, &fault);
            return code;
        }
        buf_append(&s->text, piece);
        size_bytes -= piece.len;
    }
    return OK;
}

/* The literal is APPEND's message and not, say, the name of its mailbox. */
static bool is_message(struct session *s)
{
    struct imap_command command;
    if (!imap_text_is_append(buf_view(&s->text))) return false;
    bool is_append = imap_parse_command(buf_view(&s->text), s->arena, &command, NULL) == OK;
    arena_reset(s->arena);
    return is_append;
}

/* `line` is the first one, which announces `literal`. */
MAY_YIELD static result read_with_literals(struct session *s, view line, struct imap_literal literal, view *ret_text, bool *ret_is_append)
{
    do {
        if (is_message(s)) {
            *ret_text = buf_view(&s->text);
            *ret_is_append = true;
            return OK;
        }
        if (literal.size_bytes > bytes_max(s) || s->text.len + literal.size_bytes > bytes_max(s)) return refuse(s, buf_view(&s->text), line);
        if (literal.is_sync) {
            wire_put(&s->wire, VIEW("+ OK\r\n"));
            result code = session_flush(s);
            if (code != OK) return code;
        }
        result code = read_literal(s, literal.size_bytes);
        if (code == OK) code = read_line(s, &line);
        if (code == TOO_BIG) return refuse(s, buf_view(&s->text), line);
        if (code != OK) return code;
        if (s->text.len + line.len > bytes_max(s)) return refuse(s, buf_view(&s->text), line);
        buf_append(&s->text, line);
    } while (imap_text_wants_literal(line, &literal));
    *ret_text = buf_view(&s->text);
    *ret_is_append = false;
    return OK;
}

result session_read_command(struct session *s, view *ret_text, bool *ret_is_append)
{
    struct imap_literal literal;
    view line;
    result code = read_line(s, &line);
    if (code == TOO_BIG) return refuse(s, line, line);
    if (code != OK) return code;
    if (!imap_text_wants_literal(line, &literal)) {
        *ret_text = line;
        *ret_is_append = false;
        return OK;
    }
    buf_clear(&s->text);
    buf_append(&s->text, line);
    return read_with_literals(s, line, literal, ret_text, ret_is_append);
}
