/* RETR and TOP (RFC 1939 §5, §7). */
#include "popd/session.h"

enum { PIECE_BYTES = 64 * 1024 };

/* Writes the message from its first piece on. False when it could not be ended: the answer is broken off. */
MAY_YIELD static bool write_message(struct pop_session *s, struct message *m, view piece, struct pop3_body *body)
{
    struct fault fault = {0};
    uint64_t size = message_size(m), at = 0;
    for (;;) {
        at += piece.len;
        bool goes_on = pop3_body_append(body, piece, &s->wire.output) && at < size;
        if (wire_is_full(&s->wire) && pop_session_flush(s) != OK) return false;
        if (!goes_on) break;
        result code = message_read(m, at, PIECE_BYTES, pop_session_store_deadline(s), &piece, &fault);
        if (code != OK || piece.len == 0) return false;
    }
    pop3_body_end(body, &s->wire.output);
    return true;
}

/* The first piece is read before +OK, so that nearly all that can go wrong is told by -ERR. */
MAY_YIELD static void send_message(struct pop_session *s, struct message *m, struct pop3_body *body)
{
    struct fault fault = {0};
    view piece = VIEW_EMPTY;
    if (message_size(m) > 0) {
        result code = message_read(m, 0, PIECE_BYTES, pop_session_store_deadline(s), &piece, &fault);
        if (code == OK && piece.len == 0) code = fail(&fault, CORRUPT, "no bytes");
        if (code != OK) {
            pop_session_fail(s, code, &fault);
            return;
        }
    }
    pop_session_okf(s, "%llu octets", (unsigned long long)message_size(m));
    if (write_message(s, m, piece, body)) s->retrieved_count++;
    else pop_session_break(s, "message broken off");
}

void pop_retr(struct pop_session *s, const struct pop3_command *command)
{
    struct fault fault = {0};
    struct row row;
    struct message *message;
    struct pop3_body body = command->verb == POP3_TOP ? pop3_body_top(command->lines) : pop3_body_whole();
    if (!maildrop_row(s, command->number, &row)) return;
    result code = message_open(s->maildrop.account, s->maildrop.mailbox, &row, pop_session_store_deadline(s), &message, &fault);
    if (code != OK) {
        pop_session_fail(s, code, &fault);
        return;
    }
    send_message(s, message, &body);
    message_close(message);
}
