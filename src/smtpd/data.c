/* DATA: RFC 5321 §4.1.1.4. What ends the data is the wire's to say (runtime/wire.h), and nobody else's. */
#include "runtime/clock.h"
#include "smtpd/session.h"

enum smtp_status_name data_check(const struct smtp_session *s, const struct smtp_command *command)
{
    const struct transaction *t = &s->transaction;
    if (!t->has_sender) return SMTP_NEED_SENDER;
    if (t->in_chunks) return SMTP_IN_CHUNKS;
    if (t->body == SMTP_BODY_BINARYMIME) return SMTP_DATA_OR_CHUNKS;       /* RFC 3030 §3 */
    if (transaction_recipients(t) > 0) return SMTP_DONE;
    return t->refused_count && !smtp_session_is_lmtp(s) ? SMTP_NO_VALID_RECIPIENT : SMTP_NEED_RECIPIENT;   /* RFC 2033 §4.2 */
}

MAY_YIELD static result read_data(struct smtp_session *s, struct fault *fault)
{
    uint64_t bytes_max = smtp_session_options(s)->message_bytes_max + SMTP_SESSION_DISCARD_BYTES_MAX;
    wire_data_begin(&s->wire);
    for (;;) {
        view piece;
        result code = wire_data(&s->wire, message_deadline(s), &piece, fault);
        if (code != OK) return code;
        message_piece(s, piece);
        if (s->transaction.received_bytes > bytes_max) return TOO_BIG;
    }
}

void data_proceed(struct smtp_session *s, const struct smtp_command *command)
{
    struct fault fault = {0};
    message_begin(s);
    smtp_session_reply(s, SMTP_START_DATA, VIEW_EMPTY);
    if (smtp_session_flush(s) != OK) return;
    result code = read_data(s, &fault);
    if (code == END) {
        message_finish(s);
    } else if (code == TOO_BIG) {
        smtp_session_reply(s, SMTP_MESSAGE_TOO_BIG, VIEW_EMPTY);
        smtp_session_break(s, code, &fault);
    } else {
        smtp_session_break(s, code, &fault);
    }
}
