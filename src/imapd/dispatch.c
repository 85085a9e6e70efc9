/*
 * From a command's text to its answer: parse, check the state, act, tell what changed, answer.
 */
#include "base/check.h"
#include "base/utf8.h"
#include "imapd/session.h"

enum {
    ANY = SESSION_NOT_AUTHENTICATED | SESSION_AUTHENTICATED | SESSION_SELECTED,
    LOGGED_IN = SESSION_AUTHENTICATED | SESSION_SELECTED,
};

static const struct command_rule rules[IMAP_VERB_COUNT] = {
    [IMAP_CAPABILITY] = {ANY, 0, imapd_capability},
    [IMAP_NOOP] = {ANY, COMMAND_REFRESHES, imapd_noop},
    [IMAP_LOGOUT] = {ANY, COMMAND_IS_QUIET, imapd_logout},
    [IMAP_ID] = {ANY, 0, imapd_id},
    [IMAP_STARTTLS] = {SESSION_NOT_AUTHENTICATED, 0, imapd_starttls},
    [IMAP_AUTHENTICATE] = {SESSION_NOT_AUTHENTICATED, 0, imapd_authenticate},
    [IMAP_LOGIN] = {SESSION_NOT_AUTHENTICATED, 0, imapd_login},
    [IMAP_ENABLE] = {LOGGED_IN, 0, imapd_enable},
    [IMAP_SELECT] = {LOGGED_IN, COMMAND_REFRESHES | COMMAND_IS_QUIET, imapd_select},
    [IMAP_EXAMINE] = {LOGGED_IN, COMMAND_REFRESHES | COMMAND_IS_QUIET, imapd_select},
    [IMAP_CREATE] = {LOGGED_IN, COMMAND_REFRESHES, imapd_create},
    [IMAP_DELETE] = {LOGGED_IN, COMMAND_REFRESHES, imapd_delete},
    [IMAP_RENAME] = {LOGGED_IN, COMMAND_REFRESHES, imapd_rename},
    [IMAP_SUBSCRIBE] = {LOGGED_IN, 0, imapd_subscribe},
    [IMAP_UNSUBSCRIBE] = {LOGGED_IN, 0, imapd_subscribe},
    [IMAP_LIST] = {LOGGED_IN, COMMAND_REFRESHES, imapd_list},
    [IMAP_LSUB] = {LOGGED_IN, COMMAND_REFRESHES, imapd_lsub},
    [IMAP_NAMESPACE] = {LOGGED_IN, 0, imapd_namespace},
    [IMAP_STATUS] = {LOGGED_IN, COMMAND_REFRESHES, imapd_status},
    [IMAP_APPEND] = {LOGGED_IN, 0, imapd_append},
    [IMAP_IDLE] = {LOGGED_IN, COMMAND_REFRESHES, imapd_idle},
    [IMAP_CHECK] = {SESSION_SELECTED, COMMAND_REFRESHES, imapd_check},
    [IMAP_CLOSE] = {SESSION_SELECTED, COMMAND_IS_QUIET, imapd_close},
    [IMAP_UNSELECT] = {SESSION_SELECTED, COMMAND_IS_QUIET, imapd_unselect},
    [IMAP_EXPUNGE] = {SESSION_SELECTED, COMMAND_WRITES, imapd_expunge},
    [IMAP_SEARCH] = {SESSION_SELECTED, COMMAND_USES_NUMBERS, imapd_search},
    [IMAP_FETCH] = {SESSION_SELECTED, COMMAND_USES_NUMBERS, imapd_fetch},
    [IMAP_STORE] = {SESSION_SELECTED, COMMAND_USES_NUMBERS | COMMAND_WRITES, imapd_store},
    [IMAP_COPY] = {SESSION_SELECTED, 0, imapd_copy},
    [IMAP_MOVE] = {SESSION_SELECTED, COMMAND_WRITES, imapd_copy},
    [IMAP_NOTIFY] = {LOGGED_IN, COMMAND_REFRESHES, imapd_notify},
    [IMAP_ESEARCH] = {LOGGED_IN, COMMAND_REFRESHES, imapd_esearch},
    [IMAP_REPLACE] = {SESSION_SELECTED, COMMAND_WRITES, imapd_append},
    [IMAP_SORT] = {SESSION_SELECTED, COMMAND_USES_NUMBERS, imapd_sort},
    [IMAP_THREAD] = {SESSION_SELECTED, COMMAND_USES_NUMBERS, imapd_thread},
    [IMAP_GETQUOTA] = {LOGGED_IN, COMMAND_REFRESHES, imapd_getquota},
    [IMAP_GETQUOTAROOT] = {LOGGED_IN, COMMAND_REFRESHES, imapd_getquota},
    [IMAP_GETMETADATA] = {LOGGED_IN, COMMAND_REFRESHES, imapd_getmetadata},
    [IMAP_SETMETADATA] = {LOGGED_IN, COMMAND_REFRESHES, imapd_setmetadata},
    [IMAP_UIDBATCHES] = {SESSION_SELECTED, 0, imapd_uidbatches},
    [IMAP_COMPRESS] = {LOGGED_IN, COMMAND_IS_QUIET, imapd_compress},
    [IMAP_UNAUTHENTICATE] = {LOGGED_IN, COMMAND_IS_QUIET, imapd_unauthenticate},
};

/* RFC 9586 §3: the commands that have a form with UID; sets in SEARCH are looked at where they are resolved (resolve.c). */
static bool uses_numbers(const struct imap_command *c)
{
    switch (c->verb) {
    case IMAP_FETCH:
    case IMAP_STORE:
    case IMAP_SEARCH:
    case IMAP_REPLACE:
    case IMAP_SORT:
    case IMAP_THREAD:
    case IMAP_COPY:
    case IMAP_MOVE: return !c->is_uid;
    default: return false;
    }
}

/* False with a reply when the command cannot be run now. */
MAY_YIELD static bool may_run(struct session *s, const struct imap_command *c, struct reply *r)
{
    const struct command_rule *rule = &rules[c->verb];
    struct fault fault = {0};
    if (!(rule->states & s->state)) {
        const char *text = s->state == SESSION_NOT_AUTHENTICATED      ? "Log in first"
                           : rule->states & SESSION_NOT_AUTHENTICATED ? "You are logged in already"
                                                                      : "Select a mailbox first";
        reply_set(r, REPLY_BAD, "CLIENTBUG", text);
        return false;
    }
    if (s->is_uid_only && uses_numbers(c)) {
        reply_set(r, REPLY_BAD, "UIDREQUIRED", "Only UIDs are used in this session");
        return false;
    }
    if ((rule->flags & COMMAND_WRITES) && s->is_read_only) {
        reply_set(r, REPLY_NO, "READ-ONLY", "The mailbox was opened with EXAMINE");
        return false;
    }
    if ((rule->flags & COMMAND_REFRESHES) && s->account) {
        result code = session_refresh(s, &fault);
        reply_result(s, r, code, &fault);
        return code == OK;
    }
    return true;
}

/* What a refused APPEND sends is not to be taken for commands. Before log-in nobody may send much. */
MAY_YIELD static void drop_message(struct session *s, view text)
{
    if (s->state == SESSION_NOT_AUTHENTICATED) session_bye(s, "message before log-in", "Log in first");
    else (void)!session_drop_literals(s, text);
}

/* `message`: the text that announces one, else empty. */
MAY_YIELD static void run(struct session *s, const struct imap_command *c, view message, struct reply *r)
{
    const struct command_rule *rule = &rules[c->verb];
    if (may_run(s, c, r)) rule->run(s, c, r);
    else if (message.len) drop_message(s, message);
    bool tells = s->state == SESSION_SELECTED && r->kind != REPLY_NONE && !(rule->flags & COMMAND_IS_QUIET);
    if (tells && !s->is_closing) session_sync(s, c->is_uid || !(rule->flags & COMMAND_USES_NUMBERS));
    if (r->kind != REPLY_NONE && !(rule->flags & COMMAND_IS_QUIET)) session_tell_annotations(s, 0);
}

/* The command cannot be understood. */
static void refuse(struct session *s, view text, result code, const struct fault *fault)
{
    struct reply r = {.kind = REPLY_BAD, .text = fault->client_text};
    view tag;
    if (code == TOO_BIG) buf_append_cstr(&r.code, "TOOBIG");
    reply_write(s, imap_parse_tag(text, &tag) ? tag : VIEW("*"), "Command", &r);
    reply_done(&r);
    if (++s->error_count >= session_options(s)->errors_max || (s->state == SESSION_NOT_AUTHENTICATED && s->error_count > 3))
        session_bye(s, "too many errors", "Too many commands that make no sense");
}

/* Messages of APPEND and REPLACE are read by the command itself; of a CATENATE of URLs alone there is nothing to read. */
static bool takes_messages(const struct imap_command *c)
{
    struct imap_literal literal;
    if (c->verb != IMAP_APPEND && c->verb != IMAP_REPLACE) return false;
    return c->append.message.has_literal || imap_text_wants_literal(c->append.message.rest, &literal);
}

/* RFC 6855 §3: what stands in quotes is UTF-8; literals may be anything. */
static bool has_broken_quotes(view text)
{
    while (text.len) {
        size_t quote = view_find(text, '"'), literal = view_find(text, '\r');
        if (literal < quote) {                 /* "{n}" or "{n+}" stands before it, as the parser will see */
            uint64_t bytes = 0;
            for (size_t at = view_find_last(view_slice(text, 0, literal), '{') + 1; at < literal && ascii_is_digit(text.at[at]) && bytes < text.len; at++)
                bytes = bytes * 10 + (unsigned)(text.at[at] - '0');
            text = view_from(text, literal + 2 + (size_t)bytes);
            continue;
        }
        if (quote == VIEW_NONE) return false;
        text = view_from(text, quote + 1);
        size_t end = 0;
        while (end < text.len && text.at[end] != '"') end += text.at[end] == '\\' ? 2 : 1;
        if (!utf8_is_valid(view_slice(text, 0, end))) return true;
        text = view_from(text, end + 1);
    }
    return false;
}

void session_run_command(struct session *s, view text, bool is_append)
{
    struct imap_command command;
    struct fault fault = {0};
    struct reply r = {0};
    result code = imap_parse_command(text, s->arena, &command, &fault);
    bool joins_appends = code == OK && command.verb == IMAP_APPEND;
    if (!joins_appends) session_finish_appends(s);
    bool is_broken = session_speaks_utf8(s) && !utf8_is_valid(text) && has_broken_quotes(text);
    if (code != OK || is_broken || takes_messages(&command) != is_append) {
        if (code == OK) fault_tell(&fault, is_broken ? "Strings in quotes are UTF-8" : "Expected a literal");
        refuse(s, text, code, &fault);
        if (is_append) drop_message(s, text);
        return;
    }
    s->error_count = 0;
    command.tag = arena_keep(s->arena, command.tag);       /* AUTHENTICATE and APPEND read on, and lose the text */
    session_begin_progress(s, command.tag);
    run(s, &command, is_append ? text : VIEW_EMPTY, &r);
    if (!s->is_broken) reply_write(s, command.tag, imap_verb_name(command.verb), &r);
    reply_done(&r);
}
