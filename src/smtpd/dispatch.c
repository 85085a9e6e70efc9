/* Which commands there are, and the way each of them goes: syntax, state, action. */
#include "base/check.h"
#include "runtime/event.h"
#include "smtpd/session.h"

enum { LMTP = 1 << SMTPD_LMTP, SUBMISSION = 1 << SMTPD_SUBMISSION | 1 << SMTPD_SUBMISSIONS, SMTP = 1 << SMTPD_MX | SUBMISSION, ALL = SMTP | LMTP };

/* EXPN and ETRN are known and refused: without a row they are 502, which tells a client more than 500. */
static const struct command_rule rules[SMTP_VERB_COUNT] = {
    [SMTP_VERB_HELO] = {SMTP, true, hello_check, hello_proceed, NULL},
    [SMTP_VERB_EHLO] = {SMTP, true, hello_check, hello_proceed, NULL},
    [SMTP_VERB_LHLO] = {LMTP, true, hello_check, hello_proceed, NULL},
    [SMTP_VERB_MAIL] = {ALL, false, mail_check, mail_proceed, NULL},
    [SMTP_VERB_RCPT] = {ALL, false, rcpt_check, rcpt_proceed, NULL},
    [SMTP_VERB_DATA] = {ALL, false, data_check, data_proceed, NULL},
    [SMTP_VERB_BDAT] = {ALL, false, bdat_check, bdat_proceed, bdat_refused},
    [SMTP_VERB_RSET] = {ALL, true, NULL, rset_proceed, NULL},
    [SMTP_VERB_VRFY] = {ALL, true, NULL, vrfy_proceed, NULL},
    [SMTP_VERB_HELP] = {ALL, true, NULL, help_proceed, NULL},
    [SMTP_VERB_NOOP] = {ALL, true, NULL, noop_proceed, NULL},
    [SMTP_VERB_QUIT] = {ALL, false, NULL, quit_proceed, NULL},
    [SMTP_VERB_AUTH] = {SUBMISSION, false, auth_check, auth_proceed, NULL},
    [SMTP_VERB_STARTTLS] = {ALL, false, starttls_check, starttls_proceed, NULL},
};

/* HELO to an LMTP server and LHLO to an SMTP server are 500 (RFC 2033 §4.1); what is no row at all is 502. */
static enum smtp_status_name check_kind(const struct smtp_session *s, enum smtp_verb verb)
{
    if (!rules[verb].proceed) return SMTP_NOT_IMPLEMENTED;
    if (rules[verb].kinds & (1u << s->kind)) return SMTP_DONE;
    return verb == SMTP_VERB_AUTH ? SMTP_NOT_IMPLEMENTED : SMTP_UNKNOWN_COMMAND;
}

static enum smtp_status_name check_command(struct smtp_session *s, const struct smtp_command *command)
{
    const struct command_rule *rule = &rules[command->verb];
    enum smtp_status_name status = check_kind(s, command->verb);
    if (status == SMTP_DONE && rule->judge) status = rule->judge(s, command);
    return status;
}

/* Somebody who only talks uses up the patience meant for errors. */
static void count_idle(struct smtp_session *s)
{
    if (++s->idle_command_count > smtp_session_options(s)->idle_commands_max) smtp_session_count_error(s);
}

MAY_YIELD static void run_refused(struct smtp_session *s, const struct smtp_command *command)
{
    if (rules[command->verb].refused) rules[command->verb].refused(s, command);
}

MAY_YIELD static void run_proceed(struct smtp_session *s, const struct smtp_command *command)
{
    rules[command->verb].proceed(s, command);
}

void smtp_session_command(struct smtp_session *s, view line)
{
    struct smtp_command command;
    enum smtp_status_name status;
    if (!smtp_command_parse(line, s->scratch, &command, &status)) {
        enum smtp_status_name by_kind = command.verb == SMTP_VERB_UNKNOWN ? SMTP_DONE : check_kind(s, command.verb);
        smtp_session_refuse(s, &command, by_kind == SMTP_DONE ? status : by_kind, &(struct fault){0});
        return;
    }
    status = check_command(s, &command);
    if (status != SMTP_DONE) {
        run_refused(s, &command);
        smtp_session_refuse(s, &command, status, &(struct fault){0});
        return;
    }
    if (rules[command.verb].is_idle) count_idle(s);
    if (!s->is_closing) run_proceed(s, &command);
}
