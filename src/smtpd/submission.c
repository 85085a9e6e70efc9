/* What submission does more than an MX (RFC 6409): whose addresses they are, where recipients are, what the header must have. */
#include "base/check.h"
#include "flow/complaints.h"
#include "flow/transport.h"
#include "formats/header.h"
#include "runtime/clock.h"
#include "runtime/event.h"
#include "smtpd/session.h"
#include "smtpd/submission_header.h"

enum { DIRECTORY_TIMEOUT_MS = 30000 };

/* ---- who sends ---- */

/* The connection may be older than what an operator has done about the account. */
enum smtp_status_name submission_check_account(struct smtp_session *s)
{
    struct identity_account account;
    result code = identity_find_account(s->smtpd->intake.identity, s->account, clock_in(DIRECTORY_TIMEOUT_MS), s->scratch, &account, NULL);
    if (code == OK) return account.standing == STANDING_SUSPENDED ? SMTP_NOT_PERMITTED : SMTP_DONE;
    return code == NOT_FOUND ? SMTP_NOT_PERMITTED : SMTP_AUTH_UNAVAILABLE;
}

/* ---- whose addresses ---- */

MAY_YIELD static result address_leads_here(struct smtp_session *s, view address, struct arena *arena, struct fault *fault)
{
    struct identity_address found;
    result code = identity_find_address(s->smtpd->intake.identity, address, clock_in(DIRECTORY_TIMEOUT_MS), arena, &found, fault);
    if (code != OK) return code == NOT_FOUND || code == INVALID ? DENIED : code;
    if (found.kind == ADDRESS_ACCOUNT) return id_equal(found.account, s->account) ? OK : DENIED;
    for (size_t i = 0; i < found.target_count; i++)
        if (view_equal_nocase(found.targets[i], buf_view(&s->account_address))) return OK;
    return DENIED;
}

enum smtp_status_name submission_check_sender(struct smtp_session *s, view address)
{
    struct fault fault = {0};
    result code = address_leads_here(s, address, s->scratch, &fault);
    return code == OK ? SMTP_DONE : code == DENIED ? SMTP_SENDER_NOT_YOURS : SMTP_NO_SUCH_USER_NOW;
}

MAY_YIELD static enum smtp_status_name check_authors(struct smtp_session *s, view header)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, SUBMISSION_AUTHORS_ARENA_BYTES);
    view authors[SUBMISSION_AUTHORS_MAX];
    size_t count = 0;
    if (!submission_header_authors(header, arena, authors, &count)) return SMTP_AUTHOR_NOT_YOURS;
    for (size_t i = 0; i < count; i++) {
        enum smtp_status_name status = submission_check_sender(s, authors[i]);
        if (status != SMTP_DONE) return status == SMTP_SENDER_NOT_YOURS ? SMTP_AUTHOR_NOT_YOURS : SMTP_LOCAL_ERROR;
    }
    return SMTP_DONE;
}

/* ---- when it is to go ---- */

/* RFC 4865 §4: one of the two, and not too far ahead. */
static bool keep_hold(struct transaction *t, const struct smtp_parameters *p, unix_ms now)
{
    unix_ms until = p->given & SMTP_HAS_HOLDFOR ? (unix_ms){now.ms + p->hold_seconds * 1000ll} : p->hold_until;
    if (!(p->given & (SMTP_HAS_HOLDFOR | SMTP_HAS_HOLDUNTIL))) return true;
    if (p->given & SMTP_HAS_HOLDFOR && p->given & SMTP_HAS_HOLDUNTIL) return false;
    if (until.ms > now.ms + SMTPD_HOLD_SECONDS_MAX * 1000ll) return false;
    if (until.ms > now.ms) t->not_before = until;
    return true;
}

enum smtp_status_name submission_keep_wishes(struct smtp_session *s, const struct smtp_parameters *p)
{
    struct transaction *t = &s->transaction;
    unix_ms now = clock_wall();
    if (!keep_hold(t, p, now)) return SMTP_BAD_PARAMETER;
    /* The time for delivery begins when the message is released. */
    if (p->by_mode) t->deliver_by = (unix_ms){(t->not_before.ms ? t->not_before.ms : now.ms) + p->by_seconds * 1000ll};
    t->deliver_by_mode = (uint8_t)p->by_mode;
    t->priority = (int8_t)p->priority;
    return SMTP_DONE;
}

bool submission_is_for_queue(const struct smtp_session *s, const struct smtp_command *command)
{
    if (!smtp_session_is_submission(s) || !smtp_session_takes_wishes(s)) return false;
    return s->transaction.not_before.ms || command->parameters.notify & SMTP_NOTIFY_SUCCESS;
}

/* ---- recipients elsewhere ---- */

static view keep_original(struct smtp_session *s, const struct smtp_parameters *p)
{
    if (!(p->given & SMTP_HAS_ORCPT)) return VIEW_EMPTY;
    return arena_printf(s->arena, VIEW_FMT ";" VIEW_FMT, VIEW_ARG(p->original_recipient_type), VIEW_ARG(p->original_recipient));
}

enum smtp_status_name submission_keep_recipient(struct smtp_session *s, const struct smtp_command *command)
{
    struct transaction *t = &s->transaction;
    if (command->path.domain_kind == SMTP_DOMAIN_NONE) return SMTP_BAD_RECIPIENT;
    if (t->remote_count == t->remote_capacity) {
        size_t capacity = t->remote_capacity ? 2 * t->remote_capacity : 4;
        struct queue_address *grown = arena_array(s->arena, struct queue_address, capacity);
        for (size_t i = 0; i < t->remote_count; i++) grown[i] = t->remote[i];
        t->remote = grown;
        t->remote_capacity = capacity;
    }
    t->remote[t->remote_count++] = (struct queue_address){
        .address = smtp_path_keep_text(s->arena, &command->path),
        .notify = (uint8_t)command->parameters.notify,
        .original = keep_original(s, &command->parameters),
    };
    return SMTP_RECIPIENT_OK;
}

/* A message that cannot be signed goes as it is: its sender has done nothing wrong. */
void submission_sign(const struct smtp_session *s, buf *front)
{
    struct fault fault = {0};
    if (!s->transaction.signing || message_signing_finish(s->transaction.signing, front, &fault) == OK) return;
    buf_clear(front);
    EVENT_EMIT(MESSAGE_NOT_SIGNED, EVENT_ID("message", s->transaction.message), EVENT_FAULT(&fault));
}

/* An account is new for so long: what it sends leaves from addresses that have less to lose. */
enum { NEW_ACCOUNT_MS = 14 * 24 * 3600 * 1000 };

MAY_YIELD static uint8_t find_standing(struct smtp_session *s)
{
    struct identity_account account;
    if (identity_find_account(s->smtpd->intake.identity, s->account, clock_in(DIRECTORY_TIMEOUT_MS), s->scratch, &account, NULL) != OK) return QUEUE_GOOD;
    for (unsigned i = 0; i < QUEUE_STANDINGS; i++)
        if (view_equal(account.sending, view_of(queue_standing_name((enum queue_standing)i)))) return (uint8_t)i;
    return clock_wall().ms - account.created.ms < NEW_ACCOUNT_MS ? QUEUE_NEW : QUEUE_GOOD;
}

enum smtp_status_name submission_enqueue(struct smtp_session *s, view signatures)
{
    const struct transaction *t = &s->transaction;
    struct fault fault = {0};
    struct queue_envelope envelope = {
        .message = t->message, .account = s->account, .tenant = buf_view(&s->tenant), .sender = smtp_path_keep_text(s->scratch, &t->sender),
        .flags = (t->is_utf8 ? QUEUE_IS_UTF8 : 0u) | (t->body == SMTP_BODY_8BITMIME ? QUEUE_IS_8BIT : 0u) | (t->has_local ? QUEUE_HAS_LOCAL : 0u) |
                 (t->requires_tls ? QUEUE_REQUIRES_TLS : t->tls_is_optional ? QUEUE_TLS_IS_OPTIONAL : 0u),
        .return_what = t->return_what,
        .envelope_id = t->envelope_id, .received = clock_wall(), .bytes = draft_bytes(t->draft) - t->return_path_bytes, .skip_bytes = t->return_path_bytes,
        .front = signatures, .recipients = t->remote, .recipient_count = t->remote_count,
        .not_before = t->not_before, .deliver_by = t->deliver_by, .deliver_by_mode = t->deliver_by_mode, .priority = t->priority,
    };
    if (smtp_session_takes_wishes(s)) envelope.standing = find_standing(s);
    result code = queue_enqueue(smtp_session_options(s)->queue, &envelope, t->draft, clock_in(smtp_session_options(s)->delivery_timeout_ms), &fault);
    if (code != OK) {
        EVENT_EMIT(MESSAGE_NOT_DELIVERED, EVENT_ID("message", t->message), EVENT_ID("account", s->account), EVENT_TEXT("result", view_of(result_name(code))), EVENT_FAULT(&fault));
        return smtp_status_of_result(code);
    }
    EVENT_EMIT(MESSAGE_QUEUED, EVENT_ID("message", t->message), EVENT_ID("account", s->account), EVENT_TEXT("from", envelope.sender),
               EVENT_NUMBER("recipients", envelope.recipient_count), EVENT_NUMBER("bytes", envelope.bytes),
               EVENT_TEXT("signed_by", signatures.len ? message_signing_domain(t->signing) : VIEW_EMPTY));
    return SMTP_SAVED;
}

/* ---- the header ---- */

/* The body's pieces are digested on their way into the draft, so what leaves is signed without being read again. */
MAY_YIELD static void begin_signing(struct smtp_session *s, view header, view body)
{
    struct transaction *t = &s->transaction;
    struct fault fault = {0};
    if (!smtp_session_options(s)->signing || (t->remote_count == 0 && t->forward_count == 0)) return;
    result code = message_signing_new(smtp_session_options(s)->signing, header, clock_in(DIRECTORY_TIMEOUT_MS), &t->signing, &fault);
    if (code == OK) message_signing_feed(t->signing, body);
    else if (code != NOT_FOUND) message_condemn(s, SMTP_LOCAL_ERROR);
}

/* A message without it is better than none. */
MAY_YIELD static void make_token(struct smtp_session *s, buf *into)
{
    struct complaints *complaints = smtp_session_options(s)->complaints;
    struct fault fault = {0};
    if (!complaints || complaints_token(complaints, s->account, s->transaction.message, clock_in(DIRECTORY_TIMEOUT_MS), into, &fault) == OK) return;
    EVENT_EMIT(MESSAGE_NOT_MARKED, EVENT_ID("message", s->transaction.message), EVENT_FAULT(&fault));
}

MAY_YIELD static void finish_header(struct smtp_session *s)
{
    struct transaction *t = &s->transaction;
    buf completed CLEANUP(buf_done) = BUF_INIT, token CLEANUP(buf_done) = BUF_INIT;
    view header, body;
    t->header_is_done = true;
    submission_header_mend(&t->header);
    header_split(buf_view(&t->header), &header, &body);
    enum smtp_status_name status = check_authors(s, header);
    if (status != SMTP_DONE) {
        message_condemn(s, status);
        return;
    }
    t->tls_is_optional = transport_header_makes_tls_optional(header);
    make_token(s, &token);
    struct submission_facts facts = {.now = clock_wall(), .message = t->message, .server_name = smtp_session_options(s)->server_name, .token = buf_view(&token)};
    submission_header_complete(header, &facts, &completed);
    begin_signing(s, buf_view(&completed), body);
    if (message_verdict(s) == SMTP_SAVED) message_keep(s, buf_view(&completed));
    if (message_verdict(s) == SMTP_SAVED) message_keep(s, body);
    buf_done(&t->header);
}

void submission_piece(struct smtp_session *s, view piece, bool is_last)
{
    struct transaction *t = &s->transaction;
    if (t->header_is_done) {
        if (t->signing) message_signing_feed(t->signing, piece);
        message_keep(s, piece);
        return;
    }
    /* Bounded: the scan condemns a header that is too large. */
    buf_append(&t->header, piece);
    if (t->scan.in_body || is_last) finish_header(s);
}
