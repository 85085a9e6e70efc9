/* From the first octet of a message to its answer; the same for DATA and BDAT, SMTP and LMTP. */
#include "base/check.h"
#include "formats/smtp_trace.h"
#include "runtime/clock.h"
#include "runtime/event.h"
#include "smtpd/session.h"

enum { KEYS_TIMEOUT_MS = 20000 };      /* for keys of signatures, in all: what is not there then is not known */

static unsigned protocol_of(const struct smtp_session *s)
{
    return (s->is_extended ? SMTP_PROTOCOL_EXTENDED : 0u) | (smtp_session_is_lmtp(s) ? SMTP_PROTOCOL_LMTP : 0u) |
           (smtp_session_has_tls(s) ? SMTP_PROTOCOL_TLS : 0u) | (s->is_authenticated ? SMTP_PROTOCOL_AUTHENTICATED : 0u) | (s->transaction.is_utf8 ? SMTP_PROTOCOL_UTF8 : 0u);
}

/* RFC 6409 §7: where users are is nobody's business, if their tenant wants it so. */
static bool hides_client(const struct smtp_session *s)
{
    view rest = smtp_session_options(s)->hides_client, word;
    if (!smtp_session_is_submission(s)) return false;
    while (view_cut(&rest, ' ', &word))
        if (view_equal(word, VIEW("*")) || (word.len && view_equal_nocase(word, buf_view(&s->tenant)))) return true;
    return false;
}

static void append_trace(buf *out, const struct smtp_session *s, uint32_t *ret_return_path_bytes)
{
    const struct transaction *t = &s->transaction;
    struct tls_info tls = stream_tls(s->wire.stream);
    char peer[ADDRESS_TEXT_MAX];
    struct smtp_trace trace = {
        .protocol = protocol_of(s),
        .hello = hides_client(s) ? VIEW("hidden") : buf_view(&s->hello),
        .peer_address = s->peer.family && !hides_client(s) ? address_text(&s->peer, peer) : VIEW_EMPTY,
        .server_name = smtp_session_options(s)->server_name,
        .tls_version = tls.version,
        .tls_cipher = tls.cipher,
        .id = t->message,
        .recipient = transaction_recipients(t) == 1 && t->recipient_count == 1 ? &t->recipients[0].path : NULL,
        .received_at = clock_wall(),
    };
    smtp_trace_append_return_path(out, &t->sender);
    *ret_return_path_bytes = (uint32_t)out->len;
    smtp_trace_append_received(out, &trace);
}

/* What was kept of it is of no use any more. */
MAY_YIELD static void drop_draft(struct smtp_session *s)
{
    if (s->transaction.draft) draft_free(s->transaction.draft);
    s->transaction.draft = NULL;
}

void message_keep(struct smtp_session *s, view bytes)
{
    if (!s->transaction.draft) return;
    struct fault fault = {0};
    result code = draft_write(s->transaction.draft, bytes, clock_in(smtp_session_options(s)->delivery_timeout_ms), &fault);
    if (code == OK) return;
    enum smtp_status_name status = smtp_status_of_result(code);
    message_condemn(s, code == TOO_BIG || smtp_status(status)->code < 500 ? status : SMTP_STORE_UNAVAILABLE);
    EVENT_EMIT(MESSAGE_NOT_DELIVERED, EVENT_ID("message", s->transaction.message),
               EVENT_TEXT("result", view_of(result_name(code))), EVENT_FAULT(&fault));
    drop_draft(s);
}

void message_condemn(struct smtp_session *s, enum smtp_status_name verdict)
{
    if (s->transaction.scan.verdict == SMTP_SAVED) s->transaction.scan.verdict = verdict;
}

millis message_deadline(const struct smtp_session *s)
{
    return millis_min(clock_in(smtp_session_options(s)->data_timeout_ms), s->transaction.deadline);
}

void message_begin(struct smtp_session *s)
{
    const struct smtpd_options *options = smtp_session_options(s);
    struct transaction *t = &s->transaction;
    buf trace CLEANUP(buf_done) = BUF_INIT;
    message_scan_init(&t->scan, options->header_bytes_max, t->body == SMTP_BODY_BINARYMIME ? 0 : options->line_bytes_max,
                      options->hops_max);
    t->deadline = clock_in(options->message_timeout_ms);
    t->draft = draft_new(s->smtpd->intake.accounts, t->message, options->message_bytes_max + SMTP_TRACE_BYTES_MAX);
    if (t->forward_count > 0 && !smtp_session_is_submission(s)) t->forward = forward_message_new();
    buf_reserve(&trace, 512);
    append_trace(&trace, s, &t->return_path_bytes);
    message_keep(s, buf_view(&trace));
}

MAY_YIELD static void keep_piece(struct smtp_session *s, view piece)
{
    if (s->transaction.forward) forward_message_feed(s->transaction.forward, piece);
    message_keep(s, piece);
}

void message_piece(struct smtp_session *s, view piece)
{
    struct transaction *t = &s->transaction;
    t->received_bytes += piece.len;
    if (t->received_bytes > smtp_session_options(s)->message_bytes_max) message_condemn(s, SMTP_MESSAGE_TOO_BIG);
    if (message_verdict(s) == SMTP_SAVED) message_scan_piece(&t->scan, piece);
    if (message_verdict(s) == SMTP_SAVED && smtp_session_is_submission(s))
        submission_piece(s, piece, false);
    else if (message_verdict(s) == SMTP_SAVED)
        keep_piece(s, piece);
    else
        drop_draft(s);
    if (coroutine_is_overdue()) coroutine_pause();
}

static void tell_received(const struct smtp_session *s)
{
    const struct transaction *t = &s->transaction;
    char peer[ADDRESS_TEXT_MAX];
    EVENT_EMIT(MESSAGE_RECEIVED, EVENT_ID("message", t->message), EVENT_ID("session", s->id),
               EVENT_TEXT("from", smtp_path_keep_text(s->scratch, &t->sender)), EVENT_NUMBER("recipients", transaction_recipients(t)),
               EVENT_NUMBER("bytes", t->received_bytes), EVENT_TEXT("protocol", view_of(smtp_protocol_name(protocol_of(s)))),
               EVENT_TEXT("hello", buf_view(&s->hello)), EVENT_TEXT("peer", address_text(&s->peer, peer)));
}

static void tell_refused(const struct smtp_session *s, enum smtp_status_name status)
{
    const struct transaction *t = &s->transaction;
    EVENT_EMIT(MESSAGE_REFUSED, EVENT_ID("message", t->message), EVENT_ID("session", s->id),
               EVENT_TEXT("from", smtp_path_keep_text(s->scratch, &t->sender)), EVENT_NUMBER("bytes", t->received_bytes),
               EVENT_NUMBER("status", smtp_status(status)->code), EVENT_TEXT("reason", view_of(smtp_status(status)->text)));
}

/* "250 2.0.0 <id> saved": the id finds the message in the log and in its Received field. */
static void reply_one(struct smtp_session *s, enum smtp_status_name status, const struct smtp_path *recipient)
{
    char id[ID_TEXT_LEN + 1];
    buf text CLEANUP(buf_done) = BUF_INIT;
    if (recipient) {
        smtp_path_append(&text, recipient);
        buf_append_byte(&text, ' ');
    }
    if (status == SMTP_SAVED) {
        buf_append(&text, id_text(s->transaction.message, id));
        buf_append_byte(&text, ' ');
        s->has_unsent_success = true;
    }
    buf_append_cstr(&text, smtp_status(status)->text);
    smtp_session_reply(s, status, buf_view(&text));
}

static void reply_all(struct smtp_session *s, enum smtp_status_name summary)
{
    const struct transaction *t = &s->transaction;
    if (smtp_session_is_lmtp(s))
        for (size_t i = 0; i < t->recipient_count; i++) reply_one(s, t->recipients[i].status, &t->recipients[i].path);
    else
        reply_one(s, summary, NULL);
}

static void condemn_recipients(struct smtp_session *s, enum smtp_status_name verdict)
{
    for (size_t i = 0; i < s->transaction.recipient_count; i++) s->transaction.recipients[i].status = verdict;
}

/* Those whose accounts have it, or who have none here. */
MAY_YIELD static void forward(struct smtp_session *s, view signatures)
{
    struct transaction *t = &s->transaction;
    const struct forwarding *f = s->smtpd->intake.forwarding;
    millis deadline = clock_in(smtp_session_options(s)->delivery_timeout_ms);
    if (t->forward) forward_message_end(t->forward, f, millis_min(deadline, clock_in(KEYS_TIMEOUT_MS)));
    for (size_t i = 0; i < t->recipient_count; i++) {
        struct intake_recipient *r = &t->recipients[i];
        struct forward_order order = {
            .recipient = r, .message = t->forward, .front = signatures, .sender = t->sender.is_null ? VIEW_EMPTY : smtp_path_keep_text(s->scratch, &t->sender),
            .flags = (t->is_utf8 ? QUEUE_IS_UTF8 : 0u) | (t->body == SMTP_BODY_8BITMIME ? QUEUE_IS_8BIT : 0u) |
                     (t->requires_tls ? QUEUE_REQUIRES_TLS : t->tls_is_optional ? QUEUE_TLS_IS_OPTIONAL : 0u),
            .draft = t->draft, .skip_bytes = t->return_path_bytes,
        };
        if (r->status == SMTP_SAVED && r->forward_count > 0) r->status = forward_send(f, &order, deadline);
    }
}

void message_finish(struct smtp_session *s)
{
    struct transaction *t = &s->transaction;
    struct delivery_order order = {.intake = &s->smtpd->intake, .draft = t->draft, .recipients = t->recipients,
                                   .recipient_count = t->recipient_count,
                                   .answers_each = smtp_session_is_lmtp(s) || transaction_recipients(t) == 1};
    if (message_verdict(s) == SMTP_SAVED && smtp_session_is_submission(s)) submission_piece(s, VIEW_EMPTY, true);
    order.draft = t->draft;
    enum smtp_status_name summary = message_verdict(s);
    if (summary == SMTP_SAVED) {
        if (s->has_unsent_success && smtp_session_flush(s) != OK) return;
        tell_received(s);
        int64_t begun_us = clock_now_us();
        buf signatures CLEANUP(buf_done) = BUF_INIT;
        submission_sign(s, &signatures);
        if (t->recipient_count > 0) {
            delivery_run(&order, clock_in(smtp_session_options(s)->delivery_timeout_ms), s->arena);
            if (t->forward_count > 0) forward(s, buf_view(&signatures));
            summary = delivery_summary(&order);
        }
        if (t->remote_count > 0 && summary == SMTP_SAVED) summary = submission_enqueue(s, buf_view(&signatures));
        metric_observe_us(METRIC_SMTP_DELIVERY, clock_now_us() - begun_us);
    } else {
        condemn_recipients(s, summary);
    }
    if (summary == SMTP_SAVED) {
        s->message_count++;
        s->error_count = 0;
        s->idle_command_count = 0;
    } else {
        tell_refused(s, summary);
    }
    reply_all(s, summary);
    transaction_reset(s);
}
