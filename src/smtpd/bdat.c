/* BDAT: RFC 3030. Octets follow the command whether it is accepted or not, so they are read in any case. */
#include "runtime/clock.h"
#include "smtpd/session.h"

enum smtp_status_name bdat_check(const struct smtp_session *s, const struct smtp_command *command)
{
    const struct transaction *t = &s->transaction;
    if (!t->has_sender) return SMTP_NEED_SENDER;
    if (transaction_recipients(t) > 0) return SMTP_DONE;
    return t->refused_count && !smtp_session_is_lmtp(s) ? SMTP_NO_VALID_RECIPIENT : SMTP_NEED_RECIPIENT;
}

/* False: the connection is over. What was answered before is sent when the octets are waited for. */
MAY_YIELD static bool read_chunk(struct smtp_session *s, uint64_t size_bytes, bool is_kept)
{
    struct fault fault = {0};
    while (size_bytes > 0) {
        view piece;
        if (!wire_has_input(&s->wire) && smtp_session_flush(s) != OK) return false;
        size_t max_bytes = size_bytes < WIRE_OUTPUT_FULL_BYTES ? (size_t)size_bytes : WIRE_OUTPUT_FULL_BYTES;
        millis deadline = is_kept ? message_deadline(s) : clock_in(smtp_session_options(s)->data_timeout_ms);
        result code = wire_bytes(&s->wire, max_bytes, deadline, &piece, &fault);
        if (code != OK) {
            smtp_session_break(s, code, &fault);
            return false;
        }
        if (is_kept) message_piece(s, piece);
        size_bytes -= piece.len;
    }
    return true;
}

/* A chunk that no message can be made of is not waited for to its end. */
static bool is_beyond_measure(struct smtp_session *s, uint64_t size_bytes)
{
    return size_bytes > smtp_session_options(s)->message_bytes_max + SMTP_SESSION_DISCARD_BYTES_MAX;
}

void bdat_refused(struct smtp_session *s, const struct smtp_command *command)
{
    if (is_beyond_measure(s, command->chunk_size_bytes))
        smtp_session_break(s, TOO_BIG, &(struct fault){0});
    else
        (void)read_chunk(s, command->chunk_size_bytes, false);
}

/* A reply other than 250 ends the transaction here: chunks that are under way already find none (RFC 3030 §2). */
MAY_YIELD static void refuse_chunk(struct smtp_session *s, const struct smtp_command *command)
{
    enum smtp_status_name verdict = message_verdict(s);
    transaction_reset(s);
    smtp_session_refuse(s, command, verdict, &(struct fault){0});
}

void bdat_proceed(struct smtp_session *s, const struct smtp_command *command)
{
    struct transaction *t = &s->transaction;
    if (!t->in_chunks) message_begin(s);
    t->in_chunks = true;
    if (is_beyond_measure(s, command->chunk_size_bytes)) {
        smtp_session_reply(s, SMTP_MESSAGE_TOO_BIG, VIEW_EMPTY);
        smtp_session_break(s, TOO_BIG, &(struct fault){0});
        return;
    }
    if (command->chunk_size_bytes > smtp_session_options(s)->message_bytes_max) message_condemn(s, SMTP_MESSAGE_TOO_BIG);
    if (!read_chunk(s, command->chunk_size_bytes, true)) return;
    if (command->is_last_chunk)
        message_finish(s);
    else if (message_verdict(s) != SMTP_SAVED)
        refuse_chunk(s, command);
    else
        smtp_session_reply(s, SMTP_CHUNK_OK, arena_printf(s->scratch, "%llu octets received", (unsigned long long)command->chunk_size_bytes));
}
