#include "formats/smtp_command.h"

#include "base/check.h"

static bool is_space(unsigned char byte)
{
    return byte == ' ' || byte == '\t';
}

static bool is_word_byte(unsigned char byte)
{
    return byte > 32 && byte != 127;
}

/* An argument that must be there; what follows it is dropped only when it is white space. */
static bool take_argument(struct cursor *c, view *ret_argument)
{
    view argument = view_trim(c->rest);
    c->rest = view_from(c->rest, c->rest.len);
    *ret_argument = argument;
    return argument.len > 0;
}

/* HELO, EHLO, LHLO: whatever the client calls itself; the name is for the trace header and the log alone. */
static bool parse_hello(struct cursor *c, struct arena *arena, struct smtp_command *command, enum smtp_status_name *status)
{
    *status = SMTP_BAD_ARGUMENT;
    return take_argument(c, &command->text) && command->text.len <= SMTP_HELLO_MAX;
}

static bool parse_mail(struct cursor *c, struct arena *arena, struct smtp_command *command, enum smtp_status_name *status)
{
    *status = SMTP_BAD_SYNTAX;
    if (!take_view_nocase(c, VIEW("FROM:"))) return false;
    take_while(c, is_space);
    *status = SMTP_BAD_SENDER;
    return take_smtp_path(c, SMTP_REVERSE_PATH, arena, &command->path) &&
           take_smtp_parameters(c, SMTP_VERB_MAIL, arena, &command->parameters, status);
}

static bool parse_rcpt(struct cursor *c, struct arena *arena, struct smtp_command *command, enum smtp_status_name *status)
{
    *status = SMTP_BAD_SYNTAX;
    if (!take_view_nocase(c, VIEW("TO:"))) return false;
    take_while(c, is_space);
    *status = SMTP_BAD_RECIPIENT;
    return take_smtp_path(c, SMTP_FORWARD_PATH, arena, &command->path) &&
           take_smtp_parameters(c, SMTP_VERB_RCPT, arena, &command->parameters, status);
}

/* bdat-cmd = "BDAT" SP chunk-size [ SP "LAST" ] (RFC 3030 §2) */
static bool parse_bdat(struct cursor *c, struct arena *arena, struct smtp_command *command, enum smtp_status_name *status)
{
    *status = SMTP_BAD_CHUNK_SIZE;
    if (!take_number(c, INT64_MAX, &command->chunk_size_bytes)) return false;
    bool has_space = take_while(c, is_space).len > 0;
    command->is_last_chunk = has_space && take_view_nocase(c, VIEW("LAST"));
    return cursor_at_end(c);
}

static bool parse_nothing(struct cursor *c, struct arena *arena, struct smtp_command *command, enum smtp_status_name *status)
{
    *status = SMTP_BAD_ARGUMENT;
    return cursor_at_end(c);
}

static bool parse_optional_text(struct cursor *c, struct arena *arena, struct smtp_command *command,
                                enum smtp_status_name *status)
{
    (void)take_argument(c, &command->text);
    return true;
}

static bool parse_text(struct cursor *c, struct arena *arena, struct smtp_command *command, enum smtp_status_name *status)
{
    *status = SMTP_BAD_ARGUMENT;
    return take_argument(c, &command->text);
}

/* "AUTH" SP sasl-mech [SP initial-response], with "=" for an empty response (RFC 4954 §4) */
static bool parse_auth(struct cursor *c, struct arena *arena, struct smtp_command *command, enum smtp_status_name *status)
{
    *status = SMTP_BAD_ARGUMENT;
    if (!take_while1(c, is_word_byte, &command->mechanism)) return false;
    if (take_while(c, is_space).len > 0 && take_while1(c, is_word_byte, &command->initial_response)) {
        command->has_initial_response = true;
        if (view_equal(command->initial_response, VIEW("="))) command->initial_response = VIEW_EMPTY;
    }
    return cursor_at_end(c);
}

static const struct verb {
    const char *name;
    bool (*parse)(struct cursor *c, struct arena *arena, struct smtp_command *command, enum smtp_status_name *status);
} verbs[SMTP_VERB_UNKNOWN] = {
    [SMTP_VERB_HELO] = {"HELO", parse_hello},
    [SMTP_VERB_EHLO] = {"EHLO", parse_hello},
    [SMTP_VERB_LHLO] = {"LHLO", parse_hello},
    [SMTP_VERB_MAIL] = {"MAIL", parse_mail},
    [SMTP_VERB_RCPT] = {"RCPT", parse_rcpt},
    [SMTP_VERB_DATA] = {"DATA", parse_nothing},
    [SMTP_VERB_BDAT] = {"BDAT", parse_bdat},
    [SMTP_VERB_RSET] = {"RSET", parse_nothing},
    [SMTP_VERB_VRFY] = {"VRFY", parse_text},
    [SMTP_VERB_EXPN] = {"EXPN", parse_text},
    [SMTP_VERB_HELP] = {"HELP", parse_optional_text},
    [SMTP_VERB_NOOP] = {"NOOP", parse_optional_text},
    [SMTP_VERB_QUIT] = {"QUIT", parse_nothing},
    [SMTP_VERB_STARTTLS] = {"STARTTLS", parse_nothing},
    [SMTP_VERB_AUTH] = {"AUTH", parse_auth},
    [SMTP_VERB_ETRN] = {"ETRN", parse_text},
};

const char *smtp_verb_name(enum smtp_verb verb)
{
    return verb < SMTP_VERB_UNKNOWN ? verbs[verb].name : "unknown";
}

static enum smtp_verb find_verb(view word)
{
    enum smtp_verb verb = 0;
    while (verb < SMTP_VERB_UNKNOWN && !view_equal_nocase(word, view_of(verbs[verb].name))) verb++;
    return verb;
}

/* Control characters, NUL and bare CR or LF among them, are in no command. */
static bool has_control_byte(view line)
{
    for (size_t i = 0; i < line.len; i++) {
        unsigned char byte = (unsigned char)line.at[i];
        if ((byte < 32 && byte != '\t') || byte == 127) return true;
    }
    return false;
}

bool smtp_command_parse(view line, struct arena *arena, struct smtp_command *ret_command,
                        enum smtp_status_name *reterr_status)
{
    struct smtp_command command = {.verb = SMTP_VERB_UNKNOWN};
    struct cursor c = cursor_of(view_trim(line));
    enum smtp_status_name status = SMTP_UNKNOWN_COMMAND;
    bool is_parsed = false;
    if (line.len > SMTP_COMMAND_LINE_MAX && !view_starts_nocase(line, VIEW("AUTH "))) {
        status = SMTP_LINE_TOO_LONG;
    } else if (has_control_byte(line)) {
        status = SMTP_BAD_LINE;
    } else {
        command.word = take_while(&c, is_word_byte);
        command.verb = find_verb(command.word);
        take_while(&c, is_space);
        is_parsed = command.verb != SMTP_VERB_UNKNOWN && verbs[command.verb].parse(&c, arena, &command, &status);
    }
    if (is_parsed) {
        *ret_command = command;
    } else {
        *ret_command = (struct smtp_command){.verb = command.verb, .word = command.word};
        *reterr_status = status;
    }
    return is_parsed;
}
