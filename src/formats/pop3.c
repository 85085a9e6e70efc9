#include "formats/pop3.h"

#include <string.h>

#include "base/check.h"
#include "base/cursor.h"

enum arguments {
    NO_ARGUMENT,
    TEXT,                /* the rest of the line, not empty */
    MAYBE_NUMBER,
    NUMBER,
    NUMBER_AND_LINES,
    MECHANISM,           /* [mechanism [initial-response]] */
    UTF8_OPTIONS,        /* nothing of use: RFC 6856 §2 has "UTF8" alone */
};

static const struct {
    const char *name;
    enum arguments arguments;
} verbs[POP3_VERB_COUNT] = {
    [POP3_USER] = {"USER", TEXT},         [POP3_PASS] = {"PASS", TEXT},         [POP3_AUTH] = {"AUTH", MECHANISM},
    [POP3_STLS] = {"STLS", NO_ARGUMENT},  [POP3_CAPA] = {"CAPA", NO_ARGUMENT},  [POP3_UTF8] = {"UTF8", UTF8_OPTIONS},
    [POP3_QUIT] = {"QUIT", NO_ARGUMENT},  [POP3_NOOP] = {"NOOP", NO_ARGUMENT},  [POP3_STAT] = {"STAT", NO_ARGUMENT},
    [POP3_LIST] = {"LIST", MAYBE_NUMBER}, [POP3_UIDL] = {"UIDL", MAYBE_NUMBER}, [POP3_RETR] = {"RETR", NUMBER},
    [POP3_TOP] = {"TOP", NUMBER_AND_LINES}, [POP3_DELE] = {"DELE", NUMBER},     [POP3_RSET] = {"RSET", NO_ARGUMENT},
};

const char *pop3_verb_name(enum pop3_verb verb)
{
    return verbs[verb].name;
}

/* ---- commands ---- */

static bool is_space(unsigned char byte)
{
    return byte == ' ';
}

static bool is_not_space(unsigned char byte)
{
    return byte != ' ';
}

static bool take_message_number(struct cursor *c, struct pop3_command *command)
{
    command->has_number = take_number32(c, &command->number);
    return command->has_number && command->number > 0;
}

static bool take_mechanism(struct cursor *c, struct pop3_command *command)
{
    if (!take_while1(c, is_not_space, &command->text)) return true;
    take_while(c, is_space);
    command->has_initial = take_while1(c, is_not_space, &command->initial);
    if (view_equal(command->initial, VIEW("="))) command->initial = VIEW_EMPTY;
    return true;
}

static bool take_arguments(struct cursor *c, struct pop3_command *command)
{
    switch (verbs[command->verb].arguments) {
    case NO_ARGUMENT:
    case UTF8_OPTIONS:
        return true;
    case TEXT:
        command->text = c->rest;
        c->rest = view_from(c->rest, c->rest.len);
        return command->text.len > 0;
    case MAYBE_NUMBER:
        return cursor_at_end(c) || take_message_number(c, command);
    case NUMBER:
        return take_message_number(c, command);
    case NUMBER_AND_LINES:
        return take_message_number(c, command) && take_while(c, is_space).len > 0 && take_number32(c, &command->lines);
    case MECHANISM:
        return take_mechanism(c, command);
    }
    unreachable();
}

result pop3_command_parse(view line, struct pop3_command *ret_command)
{
    struct pop3_command command = {0};
    struct cursor c = cursor_of(line);
    view keyword = take_while(&c, is_not_space);
    unsigned verb = 0;
    while (verb < POP3_VERB_COUNT && !view_equal_nocase(keyword, view_of(verbs[verb].name))) verb++;
    if (verb == POP3_VERB_COUNT) return NOT_FOUND;
    command.verb = (enum pop3_verb)verb;
    /* A password may begin with a space: only one separates it. */
    if (verbs[verb].arguments == TEXT) take_byte(&c, ' ');
    else take_while(&c, is_space);
    bool is_right = take_arguments(&c, &command);
    take_while(&c, is_space);
    *ret_command = command;
    return is_right && cursor_at_end(&c) ? OK : INVALID;
}

/* ---- answers ---- */

void pop3_append_ok(buf *b, view text)
{
    buf_append(b, VIEW("+OK"));
    if (text.len) buf_append_byte(b, ' ');
    buf_append(b, text);
    buf_append(b, VIEW("\r\n"));
}

void pop3_append_error(buf *b, enum pop3_code code, view text)
{
    static const char *const codes[] = {
        [POP3_NO_CODE] = "", [POP3_IN_USE] = "[IN-USE] ", [POP3_SYS_TEMP] = "[SYS/TEMP] ", [POP3_SYS_PERM] = "[SYS/PERM] ",
        [POP3_AUTH_FAILED] = "[AUTH] ",
    };
    buf_append(b, VIEW("-ERR "));
    buf_append_cstr(b, codes[code]);
    buf_append(b, text);
    buf_append(b, VIEW("\r\n"));
}

/* ---- bodies ---- */

/* Nothing was written: as if a line had just ended. */
struct pop3_body pop3_body_whole(void)
{
    return (struct pop3_body){.last = {'\r', '\n'}};
}

struct pop3_body pop3_body_top(uint32_t lines)
{
    return (struct pop3_body){.last = {'\r', '\n'}, .in_header = true, .is_limited = true, .lines_left = lines};
}

static void remember_end(struct pop3_body *p, view piece)
{
    if (piece.len == 0) return;
    p->last[0] = piece.len > 1 ? piece.at[piece.len - 2] : p->last[1];
    p->last[1] = piece.at[piece.len - 1];
}

/* A line of `piece` that TOP wants ends here: counts it, and finds the empty one between header and body. */
static void count_line(struct pop3_body *p)
{
    bool is_empty = p->line_bytes == 0 || (p->line_bytes == 1 && p->line_first == '\r');
    if (!p->in_header) p->lines_left--;
    if (is_empty) p->in_header = false;
    p->is_full = !p->in_header && p->lines_left == 0;
    p->line_bytes = 0;
}

/* How much of `piece` TOP wants. */
static view cut_top(struct pop3_body *p, view piece)
{
    size_t at = 0;
    while (at < piece.len && !p->is_full) {
        view rest = view_from(piece, at);
        size_t end = view_find(rest, '\n');
        if (p->line_bytes == 0) p->line_first = rest.at[0];
        p->line_bytes += end == VIEW_NONE ? rest.len : end;
        at += end == VIEW_NONE ? rest.len : end + 1;
        if (end != VIEW_NONE) count_line(p);
    }
    return view_slice(piece, 0, at);
}

bool pop3_body_append(struct pop3_body *p, view piece, buf *into)
{
    if (p->is_limited) piece = cut_top(p, piece);
    view rest = piece;
    char last = p->last[1];
    buf_reserve(into, piece.len + 64);
    while (rest.len) {
        if (last == '\n' && rest.at[0] == '.') buf_append_byte(into, '.');
        size_t end = view_find(rest, '\n');
        view line = view_slice(rest, 0, end == VIEW_NONE ? rest.len : end + 1);
        /* Lines go on together until one begins with a dot. */
        while (line.len < rest.len && rest.at[line.len] != '.') {
            end = view_find(view_from(rest, line.len), '\n');
            line.len = end == VIEW_NONE ? rest.len : line.len + end + 1;
        }
        buf_append(into, line);
        last = line.at[line.len - 1];
        rest = view_from(rest, line.len);
    }
    remember_end(p, piece);
    return !p->is_full;
}

void pop3_body_end(struct pop3_body *p, buf *into)
{
    bool has_line_end = p->last[0] == '\r' && p->last[1] == '\n';
    buf_append(into, has_line_end ? VIEW(".\r\n") : VIEW("\r\n.\r\n"));
}
