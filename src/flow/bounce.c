#include "flow/bounce.h"

#include "base/check.h"
#include "flow/delivery.h"
#include "flow/forward.h"
#include "flow/outbound_private.h"
#include "flow/signing.h"
#include "formats/smtp_command.h"
#include "runtime/clock.h"
#include "runtime/event.h"
#include "runtime/random.h"

enum {
    HEADER_BYTES_MAX = 16 << 10,         /* of the original that is returned */
    WHOLE_BYTES_MAX = 32 << 10,          /* so much of it is returned whole when the sender asks for that: a notice stays small */
    ARENA_BYTES = 4 << 20,
    SCRATCH_BYTES = INTAKE_SCRATCH_BYTES_MAX,
};

/* RFC 3461 §4.1: without NOTIFY, failures and delays. */
static bool wants(const struct queued *m, const struct queued_recipient *r, const struct queue_result *of, enum bounce_kind kind)
{
    unsigned notify = r->notify ? r->notify : SMTP_NOTIFY_FAILURE | SMTP_NOTIFY_DELAY;
    if (notify & SMTP_NOTIFY_NEVER) return false;
    /* Each relay tells (RFC 2852 §4.1.4), and who passes it on to one that keeps no time (§4.1.4.2), whatever that one tells. */
    if (kind == BOUNCE_DELIVERED && (of->is_untimed || queued_extras(m)->deliver_by_mode & QUEUE_BY_TRACE)) return true;
    if (kind == BOUNCE_DELIVERED && of->is_passed_on) return false;
    return notify & (kind == BOUNCE_FAILED ? SMTP_NOTIFY_FAILURE : kind == BOUNCE_DELAYED ? SMTP_NOTIFY_DELAY : SMTP_NOTIFY_SUCCESS);
}

static bool is_of_kind(const struct queue_result *r, enum bounce_kind kind)
{
    static const enum queue_outcome outcomes[] = {[BOUNCE_FAILED] = QUEUE_FAILED, [BOUNCE_DELAYED] = QUEUE_DEFERRED, [BOUNCE_DELIVERED] = QUEUE_DELIVERED};
    return r->outcome == outcomes[kind];
}

static size_t gather(struct queued *m, enum bounce_kind kind, const struct queue_result *results, size_t count, struct bounce_recipient *into)
{
    size_t gathered = 0;
    for (size_t i = 0; i < count; i++) {
        const struct queue_result *r = &results[i];
        const struct queued_recipient *q = &m->recipients[r->recipient];
        if (!is_of_kind(r, kind) || !wants(m, q, r, kind)) continue;
        into[gathered++] = (struct bounce_recipient){.address = queued_address(q), .original = queued_original(m, r->recipient), .host = r->host, .answer = r->answer,
                                                     .code = r->code, .class = r->class, .subject = r->subject, .detail = r->detail, .is_final = r->is_final};
    }
    return gathered;
}

/* RFC 3461 §4.3: the whole is for failures alone. */
static bool returns_whole(const struct queued *m, enum bounce_kind kind)
{
    return kind == BOUNCE_FAILED && m->return_what == SMTP_RETURN_FULL && m->bytes <= WHOLE_BYTES_MAX;
}

/* The header of the original, without the empty line; cut at a line's end when it is long. */
MAY_YIELD static result read_header(struct queued *m, enum bounce_kind kind, millis deadline, buf *into, struct fault *fault)
{
    if (returns_whole(m, kind)) return queued_read(m, 0, WHOLE_BYTES_MAX, deadline, into, fault);
    result code = queued_read(m, 0, HEADER_BYTES_MAX, deadline, into, fault);
    if (code != OK) return code;
    size_t end = view_find_view(buf_view(into), VIEW("\r\n\r\n"));
    if (end != VIEW_NONE) {
        into->len = end + 2;
    } else if (into->len == HEADER_BYTES_MAX) {
        size_t last = view_find_last(buf_view(into), '\n');
        into->len = last == VIEW_NONE ? 0 : last + 1;
    }
    return OK;
}

MAY_YIELD static result deliver_here(struct outbound *o, const struct intake_recipient *to, struct id message, view text, struct arena *arena, millis deadline, struct fault *fault)
{
    struct intake_recipient recipient = *to;
    struct draft *draft = draft_new(o->options.intake->accounts, message, text.len + 64);
    result code = draft_write(draft, VIEW("Return-Path: <>\r\n"), deadline, fault);
    if (code == OK) code = draft_write(draft, text, deadline, fault);
    if (code == OK) {
        struct delivery_order order = {.intake = o->options.intake, .draft = draft, .recipients = &recipient, .recipient_count = 1, .answers_each = false};
        delivery_run(&order, deadline, arena);
        if (recipient.status != SMTP_SAVED) code = fail(fault, UNAVAILABLE, "a notice could not be delivered");
    }
    draft_free(draft);
    return code;
}

MAY_YIELD static result enqueue(struct outbound *o, view sender, unsigned flags, struct id message, view text, millis deadline, struct fault *fault)
{
    struct queue_address to = {.address = sender, .notify = SMTP_NOTIFY_NEVER};
    struct queue_envelope envelope = {.message = message, .flags = QUEUE_IS_NOTICE | QUEUE_IS_8BIT | flags, .received = clock_wall(), .bytes = text.len, .recipients = &to,
                                      .recipient_count = 1, .class = queue_takes_wishes(o->queue) ? QUEUE_BOUNCE : QUEUE_SUBMITTED};
    buf signatures CLEANUP(buf_done) = BUF_INIT;
    if (o->options.signing) signing_sign_own(o->options.signing, text, deadline, &signatures);
    envelope.front = buf_view(&signatures);
    /* A hundred recipients and what their server had to say of each are more than a record's body. */
    struct draft *draft = draft_new(o->options.intake->accounts, message, text.len);
    result code = draft_write(draft, text, deadline, fault);
    if (code == OK) code = queue_enqueue(o->queue, &envelope, draft, deadline, fault);
    draft_free(draft);
    return code;
}

/* A sender whose address leads elsewhere, or a return path of ours: to those whom it stands for. */
MAY_YIELD static result pass_on(struct outbound *o, const struct intake_recipient *to, unsigned flags, struct id message, view text, struct arena *arena,
                                millis deadline, struct fault *fault)
{
    result code = to->account_count > 0 ? deliver_here(o, to, message, text, arena, deadline, fault) : OK;
    for (size_t i = 0; i < to->forward_count && code == OK; i++)
        code = enqueue(o, forward_mailbox(to->forwards[i], arena), flags, random_id(), text, deadline, fault);
    return code;
}

static bool parse_sender(view sender, struct arena *arena, struct smtp_path *ret_path)
{
    view path = arena_printf(arena, "<" VIEW_FMT ">", VIEW_ARG(sender));
    struct cursor c = cursor_of(path);
    return take_smtp_path(&c, SMTP_FORWARD_PATH, arena, ret_path) && cursor_at_end(&c);
}

/* To an account of ours, or out. A sender of ours who does not exist (any more) gets nothing: there is nobody to tell. */
MAY_YIELD static result post(struct outbound *o, view sender, unsigned flags, struct id message, view text, struct arena *arena, millis deadline, struct fault *fault)
{
    struct arena *scratch CLEANUP(arena_freep) = arena_new(NULL, SCRATCH_BYTES);
    struct smtp_path path;
    struct intake_recipient recipient;
    struct intake intake = *o->options.intake;
    if (!parse_sender(sender, arena, &path)) return OK;
    intake.is_for_notices = true;
    enum smtp_status_name status = intake_decide(&intake, &path, text.len, deadline, arena, scratch, &recipient, fault);
    if (status == SMTP_RECIPIENT_OK && recipient.forward_count > 0) return pass_on(o, &recipient, flags, message, text, arena, deadline, fault);
    if (status == SMTP_RECIPIENT_OK) return deliver_here(o, &recipient, message, text, arena, deadline, fault);
    if (status == SMTP_RELAY_DENIED) return enqueue(o, sender, flags, message, text, deadline, fault);
    if (smtp_status(status)->code >= 500) return OK;
    return fail(fault, UNAVAILABLE, "the sender of a failed message cannot be told now");
}

result bounce_send(struct outbound *o, struct queued *m, enum bounce_kind kind, const struct queue_result *results, size_t count, millis deadline, struct fault *fault)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, ARENA_BYTES);
    struct bounce_recipient *recipients = arena_array(arena, struct bounce_recipient, count);
    buf header CLEANUP(buf_done) = BUF_INIT, text CLEANUP(buf_done) = BUF_INIT;
    if (queued_sender(m).len == 0) return OK;
    size_t told = gather(m, kind, results, count, recipients);
    if (told == 0) return OK;
    result code = read_header(m, kind, deadline, &header, fault);
    if (code != OK && code != NOT_FOUND && code != CORRUPT) return code;
    struct bounce b = {
        .kind = kind, .server_name = o->options.server_name, .sender = queued_sender(m), .envelope_id = queued_extras(m)->envelope_id, .message = m->message,
        .notice = random_id(), .received = m->received, .now = clock_wall(), .until = {m->received.ms + o->options.expire_ms},
        .deliver_by = {queued_extras(m)->deliver_by_mode ? queued_extras(m)->deliver_by.ms : 0},
        .recipients = recipients, .recipient_count = told, .header = buf_view(&header),
        .is_whole = code == OK && returns_whole(m, kind), .is_utf8 = m->flags & QUEUE_IS_UTF8,
    };
    bounce_write(&text, &b);
    /* RFC 8689 §5: what is told of such a message is protected as it was, as far as that can be had. */
    code = post(o, queued_sender(m), m->flags & QUEUE_REQUIRES_TLS, b.notice, buf_view(&text), arena, deadline, fault);
    if (code == OK)
        EVENT_EMIT(NOTICE_SENT, EVENT_ID("message", b.notice), EVENT_ID("about", m->message), EVENT_TEXT("to", queued_sender(m)), EVENT_NUMBER("recipients", told));
    return code;
}
