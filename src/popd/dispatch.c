#include "popd/session.h"

enum { BEFORE_LOGIN = 1 << POP_AUTHORIZATION, AFTER_LOGIN = 1 << POP_TRANSACTION, ANY_TIME = BEFORE_LOGIN | AFTER_LOGIN };

/* In which states a command may be given (RFC 1939 §4 to §6, RFC 2449 §5, RFC 2595 §4, RFC 6856 §2), and what it does. */
static const struct {
    unsigned states;
    void (*run)(struct pop_session *s, const struct pop3_command *command);
} rules[POP3_VERB_COUNT] = {
    [POP3_USER] = {BEFORE_LOGIN, pop_user}, [POP3_PASS] = {BEFORE_LOGIN, pop_pass}, [POP3_AUTH] = {BEFORE_LOGIN, pop_auth},
    [POP3_STLS] = {BEFORE_LOGIN, pop_stls}, [POP3_UTF8] = {BEFORE_LOGIN, pop_utf8}, [POP3_CAPA] = {ANY_TIME, pop_capa},
    [POP3_QUIT] = {ANY_TIME, pop_quit},     [POP3_NOOP] = {AFTER_LOGIN, pop_noop},  [POP3_STAT] = {AFTER_LOGIN, pop_stat},
    [POP3_LIST] = {AFTER_LOGIN, pop_list},  [POP3_UIDL] = {AFTER_LOGIN, pop_uidl},  [POP3_RETR] = {AFTER_LOGIN, pop_retr},
    [POP3_TOP] = {AFTER_LOGIN, pop_retr},   [POP3_DELE] = {AFTER_LOGIN, pop_dele},  [POP3_RSET] = {AFTER_LOGIN, pop_rset},
};

/* The colour of rules[].run. */
MAY_YIELD static void run_rule(struct pop_session *s, const struct pop3_command *command)
{
    rules[command->verb].run(s, command);
}

void pop_session_command(struct pop_session *s, view line)
{
    struct pop3_command command;
    if (s->lock.is_lost) {
        pop_session_error(s, POP3_SYS_TEMP, "Another session has this mailbox now");
        pop_session_break(s, "maildrop lost");
        return;
    }
    result code = pop3_command_parse(line, &command);
    if (code == NOT_FOUND) pop_session_error(s, POP3_NO_CODE, "Unknown command");
    else if (!(rules[command.verb].states & 1u << s->state)) pop_session_error(s, POP3_NO_CODE, s->state == POP_TRANSACTION ? "Already logged in" : "Log in first");
    else if (code != OK) pop_session_error(s, POP3_NO_CODE, "Wrong arguments");
    else run_rule(s, &command);
}
