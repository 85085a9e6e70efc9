/* NOOP, HELP, VRFY, QUIT: RFC 5321 §4.1.1.6 to .10. */
#include "smtpd/session.h"

void noop_proceed(struct smtp_session *s, const struct smtp_command *command)
{
    smtp_session_reply(s, SMTP_DONE, VIEW_EMPTY);
}

void help_proceed(struct smtp_session *s, const struct smtp_command *command)
{
    smtp_session_reply(s, SMTP_HELP_TEXT, smtp_session_is_submission(s) ? VIEW("EHLO AUTH MAIL RCPT DATA BDAT RSET NOOP STARTTLS QUIT\nSee RFC 6409")
                                                        : smtp_session_is_lmtp(s) ? VIEW("LHLO MAIL RCPT DATA BDAT RSET NOOP STARTTLS QUIT\nSee RFC 2033")
                                                        : VIEW("EHLO MAIL RCPT DATA BDAT RSET NOOP STARTTLS QUIT\nSee RFC 5321"));
}

/* Who exists is said to RCPT alone, where it is counted and limited (RFC 5321 §7.3). */
void vrfy_proceed(struct smtp_session *s, const struct smtp_command *command)
{
    smtp_session_reply(s, SMTP_CANNOT_VERIFY, VIEW_EMPTY);
}

void quit_proceed(struct smtp_session *s, const struct smtp_command *command)
{
    smtp_session_reply(s, SMTP_BYE, VIEW_EMPTY);
    s->is_closing = true;
    s->close_reason = "quit";
}
