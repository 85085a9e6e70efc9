/*
 * What the queue has for accounts of ours: mail that was to be held until a time (RFC 4865), and mail of whose arrival the sender wants to
 * hear (RFC 3461). Whose it is is asked when it goes, not when it came.
 */
#include <stdlib.h>

#include "base/check.h"
#include "flow/delivery.h"
#include "flow/forward.h"
#include "flow/outbound_private.h"
#include "formats/smtp_command.h"
#include "formats/smtp_trace.h"
#include "runtime/clock.h"
#include "runtime/event.h"
#include "runtime/random.h"

enum { HERE_MS = 60000, PIECE_BYTES = 64 << 10, ARENA_BYTES = 16 << 20 };

struct here {
    struct destination *destination;
    struct parcel *parcel;
    struct arena *arena;
    struct intake_recipient *recipients; /* accounts of ours */
    uint32_t *index_of;                  /* of each: its index in the envelope */
    size_t count;
    struct queue_result *results;
    size_t result_count;
    uint32_t return_path_bytes;          /* at the front of the draft */
    millis deadline;
};

static bool parse_path(view address, enum smtp_path_kind kind, struct arena *arena, struct smtp_path *ret_path)
{
    view path = arena_printf(arena, "<" VIEW_FMT ">", VIEW_ARG(address));
    struct cursor c = cursor_of(path);
    return take_smtp_path(&c, kind, arena, ret_path) && cursor_at_end(&c);
}

static void put_result(struct here *h, uint32_t recipient, enum smtp_status_name name)
{
    const struct smtp_status *status = smtp_status(name);
    const struct queued *m = h->parcel->message;
    struct queue_result *r = &h->results[h->result_count++];
    *r = (struct queue_result){.recipient = recipient, .code = status->code, .class = (uint8_t)(status->code / 100), .subject = status->subject, .detail = status->detail,
                               .host = h->destination->home->all->options.server_name, .answer = view_of(status->text), .is_final = true};
    r->outcome = status->code < 300 ? QUEUE_DELIVERED : status->code >= 500 ? QUEUE_FAILED : QUEUE_DEFERRED;
    if (r->outcome == QUEUE_DEFERRED) r->next_try = outbound_next_try(&h->destination->home->all->options, m, m->recipients[recipient].tries);
}

/* The envelope's index of those who are elsewhere is given back and offered anew. */
MAY_YIELD static void decide(struct here *h, uint32_t recipient)
{
    struct queued *m = h->parcel->message;
    struct arena *scratch CLEANUP(arena_freep) = arena_new(NULL, INTAKE_SCRATCH_BYTES_MAX);
    struct smtp_path path;
    struct fault fault = {0};
    enum smtp_status_name status = SMTP_BAD_RECIPIENT;
    if (parse_path(queued_address(&m->recipients[recipient]), SMTP_FORWARD_PATH, h->arena, &path))
        status = intake_decide(h->destination->home->all->options.intake, &path, m->bytes, h->deadline, h->arena, scratch, &h->recipients[h->count], &fault);
    if (status == SMTP_RECIPIENT_OK) {
        h->index_of[h->count++] = recipient;
    } else if (status == SMTP_RELAY_DENIED) {
        m->recipients[recipient].is_elsewhere = true;
        queued_withdraw(m, recipient);
    } else {
        put_result(h, recipient, status);
    }
}

MAY_YIELD static result copy_message(struct here *h, struct draft *draft, struct fault *fault)
{
    struct queued *m = h->parcel->message;
    struct smtp_path sender = {.is_null = true};
    buf piece CLEANUP(buf_done) = BUF_INIT;
    if (queued_sender(m).len && !parse_path(queued_sender(m), SMTP_REVERSE_PATH, h->arena, &sender)) sender = (struct smtp_path){.is_null = true};
    smtp_trace_append_return_path(&piece, &sender);
    h->return_path_bytes = (uint32_t)piece.len;
    result code = draft_write(draft, buf_view(&piece), h->deadline, fault);
    for (uint64_t at = 0; at < m->bytes && code == OK; at += piece.len) {
        buf_clear(&piece);
        code = queued_read(m, at, PIECE_BYTES, h->deadline, &piece, fault);
        if (code == OK && piece.len == 0) code = fail(fault, CORRUPT, "the message is shorter than was said");
        if (code == OK) code = draft_write(draft, buf_view(&piece), h->deadline, fault);
    }
    return code;
}

/* An alias may lead to other servers, too. It was signed when it was submitted. */
MAY_YIELD static void forward(struct here *h, struct draft *draft, struct intake_recipient *r)
{
    const struct queued *m = h->parcel->message;
    struct forward_order order = {.recipient = r, .sender = queued_sender(m), .flags = m->flags & (QUEUE_IS_UTF8 | QUEUE_IS_8BIT), .draft = draft,
                                  .skip_bytes = h->return_path_bytes};
    if (r->forward_count == 0 || r->status != SMTP_SAVED) return;
    r->status = forward_send(h->destination->home->all->options.intake->forwarding, &order, h->deadline);
}

MAY_YIELD static void deliver(struct here *h)
{
    const struct intake *intake = h->destination->home->all->options.intake;
    struct queued *m = h->parcel->message;
    struct fault fault = {0};
    struct draft *draft = draft_new(intake->accounts, random_id(), m->bytes + SMTP_TRACE_BYTES_MAX);
    result code = copy_message(h, draft, &fault);
    if (code == OK) {
        struct delivery_order order = {.intake = intake, .draft = draft, .recipients = h->recipients, .recipient_count = h->count, .answers_each = true};
        delivery_run(&order, h->deadline, h->arena);
        for (size_t i = 0; i < h->count; i++) forward(h, draft, &h->recipients[i]);
    } else {
        EVENT_EMIT(MESSAGE_NOT_DELIVERED, EVENT_ID("message", m->message), EVENT_TEXT("result", view_of(result_name(code))), EVENT_FAULT(&fault));
    }
    for (size_t i = 0; i < h->count; i++) put_result(h, h->index_of[i], code == OK ? h->recipients[i].status : SMTP_STORE_UNAVAILABLE);
    draft_free(draft);
}

MAY_YIELD static void run_parcel(struct destination *d, struct parcel *p)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, ARENA_BYTES);
    struct queued *m = p->message;
    struct here h = {.destination = d, .parcel = p, .arena = arena, .deadline = clock_in(HERE_MS), .recipients = arena_array(arena, struct intake_recipient, p->count),
                     .index_of = arena_array(arena, uint32_t, p->count), .results = arena_array(arena, struct queue_result, p->count)};
    m->offered++;                        /* holds it while parts of it are given back */
    for (size_t i = 0; i < p->count; i++) decide(&h, p->recipients[i]);
    if (h.count > 0) deliver(&h);
    m->offered--;
    if (h.result_count > 0) parcel_settle(d, p, h.results, h.result_count);
    else if (m->is_removed && m->offered == 0) queued_let_go(m);
    else queued_consider(m);
}

void destination_deliver_here(struct destination *d)
{
    for (struct parcel *p; (p = destination_take(d));) {
        run_parcel(d, p);
        free(p);
        if (coroutine_is_overdue()) coroutine_pause();
    }
}
