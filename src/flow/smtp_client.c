#include "flow/smtp_client.h"

#include "base/check.h"
#include "formats/smtp_command.h"
#include "runtime/clock.h"

/* RFC 5321 §4.5.3.2. */
enum {
    GREETING_MS = 300000, HELLO_MS = 300000, ENVELOPE_MS = 300000, DATA_MS = 120000, BLOCK_MS = 180000, END_MS = 600000, TLS_MS = 60000, QUIT_MS = 2000,
    BLOCK_BYTES = 64 << 10,
};

/* ---- answers ---- */

MAY_YIELD static result read_answer(struct smtp_client *c, int64_t timeout_ms, struct fault *fault)
{
    millis deadline = clock_in(timeout_ms);
    smtp_answer_clear(&c->answer);
    while (!c->answer.is_whole) {
        view line;
        result code = wire_line(&c->wire, SMTP_ANSWER_LINE_MAX, deadline, &line, fault);
        if (code == OK && !smtp_answer_line(&c->answer, line)) code = fail(fault, INVALID, "the server's answer breaks the protocol: " VIEW_FMT, VIEW_ARG(view_slice(line, 0, 80)));
        if (code != OK) {
            c->is_broken = true;
            if (code == END) return fail(fault, UNAVAILABLE, "the server closed the connection");
            return code == TIMEOUT ? fail(fault, TIMEOUT, "the server did not answer in time") : code == INVALID ? UNAVAILABLE : code;
        }
    }
    /* Whatever it is an answer to: the server will say no more (RFC 5321 §3.8). */
    if (c->answer.code == 421) c->is_broken = true;
    return OK;
}

MAY_YIELD static result flush(struct smtp_client *c, int64_t timeout_ms, struct fault *fault)
{
    result code = wire_flush(&c->wire, clock_in(timeout_ms), fault);
    if (code != OK) c->is_broken = true;
    return code;
}

MAY_YIELD static result ask(struct smtp_client *c, int64_t timeout_ms, struct fault *fault)
{
    result code = flush(c, timeout_ms, fault);
    return code == OK ? read_answer(c, timeout_ms, fault) : code;
}

static result result_of_answer(const struct smtp_answer *a, const char *what, struct fault *fault)
{
    if (smtp_answer_is_ok(a)) return OK;
    return fail(fault, smtp_answer_is_permanent(a) ? DENIED : BUSY, "%s: %u " VIEW_FMT, what, a->code, VIEW_ARG(buf_view(&a->text)));
}

/* ---- beginning ---- */

MAY_YIELD static result say_hello(struct smtp_client *c, const struct smtp_client_options *o, struct fault *fault)
{
    wire_putf(&c->wire, "%s " VIEW_FMT "\r\n", o->is_lmtp ? "LHLO" : "EHLO", VIEW_ARG(o->hello));
    result code = ask(c, HELLO_MS, fault);
    if (code != OK) return code;
    if (smtp_answer_is_ok(&c->answer)) {
        smtp_offer_parse(buf_view(&c->answer.text), &c->offer);
        return OK;
    }
    /* A server of before 1993. */
    if (!smtp_answer_is_permanent(&c->answer) || o->is_lmtp || c->has_tls) return result_of_answer(&c->answer, "EHLO", fault);
    wire_putf(&c->wire, "HELO " VIEW_FMT "\r\n", VIEW_ARG(o->hello));
    c->offer = (struct smtp_offer){0};
    code = ask(c, HELLO_MS, fault);
    return code == OK ? result_of_answer(&c->answer, "HELO", fault) : code;
}

MAY_YIELD static result shake_hands(struct smtp_client *c, const struct smtp_client_options *o, struct fault *fault)
{
    static const struct tls_demand nothing;
    result code = stream_start_tls_to(c->wire.stream, o->tls, o->demand ? o->demand : &nothing, clock_in(TLS_MS), &c->flaw, fault);
    if (code == OK) {
        c->tls = SMTP_CLIENT_TLS_ON;
        c->has_tls = true;
        return OK;
    }
    c->is_broken = true;
    c->tls = SMTP_CLIENT_TLS_FAILED;
    fault_context(fault, "TLS");
    return code == CANCELLED ? code : UNAVAILABLE;
}

MAY_YIELD static result start_tls(struct smtp_client *c, const struct smtp_client_options *o, struct fault *fault)
{
    if (!o->tls) return o->tls_is_required ? fail(fault, UNAVAILABLE, "TLS is required, and there is none here") : OK;
    c->tls = SMTP_CLIENT_TLS_NOT_OFFERED;
    if (!c->offer.starttls) return o->tls_is_required ? fail(fault, UNAVAILABLE, "TLS is required, and the server offers no STARTTLS") : OK;
    wire_put(&c->wire, VIEW("STARTTLS\r\n"));
    result code = ask(c, HELLO_MS, fault);
    if (code != OK) return code;
    c->tls = SMTP_CLIENT_TLS_REFUSED;
    if (!smtp_answer_is_ok(&c->answer)) return o->tls_is_required ? fail(fault, UNAVAILABLE, "TLS is required, and the server refused STARTTLS") : OK;
    /* What was sent in the clear behind the answer is nobody's (CVE-2011-0411). */
    wire_discard_input(&c->wire);
    code = shake_hands(c, o, fault);
    return code == OK ? say_hello(c, o, fault) : code;
}

result smtp_client_open(struct smtp_client *c, struct stream *s, const struct smtp_client_options *options, struct fault *fault)
{
    *c = (struct smtp_client){.is_lmtp = options->is_lmtp};
    smtp_answer_init(&c->answer);
    wire_init(&c->wire, s, WIRE_LF_ENDS_COMMAND);
    result code = read_answer(c, GREETING_MS, fault);
    if (code == OK) code = result_of_answer(&c->answer, "greeting", fault);
    if (code == OK) code = say_hello(c, options, fault);
    if (code == OK) code = start_tls(c, options, fault);
    return code;
}

void smtp_client_close(struct smtp_client *c)
{
    struct fault fault = {0};
    if (!c->is_broken) {
        wire_put(&c->wire, VIEW("QUIT\r\n"));
        (void)!ask(c, QUIT_MS, &fault);
    }
    wire_done(&c->wire);
    smtp_answer_done(&c->answer);
}

/* ---- a transaction ---- */

struct sending {
    struct smtp_client *client;
    const struct smtp_client_message *message;
    struct smtp_client_outcome *outcomes;
    size_t accepted;
    bool is_given_up;                    /* outcomes are set */
    char last[2];                        /* bytes before the next one: where lines begin */
};

static void outcome_from_answer(struct smtp_client_outcome *o, const struct smtp_answer *a)
{
    o->what = smtp_answer_is_ok(a) ? CLIENT_DELIVERED : smtp_answer_is_permanent(a) ? CLIENT_REFUSED : CLIENT_DEFERRED;
    o->code = a->code;
    o->class = a->class;
    o->subject = a->subject;
    o->detail = a->detail;
    buf_clear(&o->text);
    buf_append(&o->text, buf_view(&a->text));
    for (size_t i = 0; i < o->text.len; i++)
        if (o->text.at[i] == '\n') o->text.at[i] = ' ';
}

static void outcome_from_fault(struct smtp_client_outcome *o, const struct fault *fault)
{
    o->what = CLIENT_DEFERRED;
    o->code = 0;
    o->class = 0;
    buf_clear(&o->text);
    buf_append_cstr(&o->text, fault->detail);
}

/* Those that are still in play. */
static bool is_in_play(const struct smtp_client_outcome *o) { return o->what == CLIENT_DELIVERED; }

static void end_all_with_answer(struct sending *s, const struct smtp_answer *a)
{
    for (size_t i = 0; i < s->message->recipient_count; i++)
        if (is_in_play(&s->outcomes[i])) outcome_from_answer(&s->outcomes[i], a);
}

static void end_all_with_fault(struct sending *s, const struct fault *fault)
{
    for (size_t i = 0; i < s->message->recipient_count; i++)
        if (is_in_play(&s->outcomes[i])) outcome_from_fault(&s->outcomes[i], fault);
    s->is_given_up = true;
}

/* RFC 3461 §4.3, §4.4; RFC 2852 §4; RFC 6710 §4. */
static void put_mail_wishes(struct sending *s)
{
    struct smtp_client *c = s->client;
    const struct smtp_client_message *m = s->message;
    if (c->offer.dsn && m->return_what) wire_put(&c->wire, m->return_what == SMTP_RETURN_FULL ? VIEW(" RET=FULL") : VIEW(" RET=HDRS"));
    if (c->offer.dsn && m->envelope_id.len) {
        wire_put(&c->wire, VIEW(" ENVID="));
        smtp_xtext_append(&c->wire.output, m->envelope_id);
    }
    if (c->offer.deliver_by && m->by_mode)
        wire_putf(&c->wire, " BY=%lld;%c%s", (long long)m->by_seconds, m->by_mode & SMTP_BY_RETURN ? 'R' : 'N', m->by_mode & SMTP_BY_TRACE ? "T" : "");
    if (c->offer.priority) wire_putf(&c->wire, " MT-PRIORITY=%d", m->priority);
}

/* RFC 3461 §4.1, §4.2. An address of type utf-8 is written as it came (RFC 6533 §3). */
static void put_report(struct smtp_client *c, const struct smtp_client_report *report)
{
    static const struct { unsigned bit; const char *name; } wanted[] = {
        {SMTP_NOTIFY_NEVER, "NEVER"}, {SMTP_NOTIFY_SUCCESS, "SUCCESS"}, {SMTP_NOTIFY_FAILURE, "FAILURE"}, {SMTP_NOTIFY_DELAY, "DELAY"}};
    const char *before = " NOTIFY=";
    for (size_t i = 0; i < array_size(wanted); i++) {
        if (!(report->notify & wanted[i].bit)) continue;
        wire_putf(&c->wire, "%s%s", before, wanted[i].name);
        before = ",";
    }
    view address = report->original, type;
    if (!address.len || !view_cut(&address, ';', &type)) return;
    wire_putf(&c->wire, " ORCPT=" VIEW_FMT ";", VIEW_ARG(type));
    if (view_equal_nocase(type, VIEW("utf-8"))) wire_put(&c->wire, address);
    else smtp_xtext_append(&c->wire.output, address);
}

static void put_mail(struct sending *s)
{
    struct smtp_client *c = s->client;
    wire_putf(&c->wire, "MAIL FROM:<" VIEW_FMT ">", VIEW_ARG(s->message->sender));
    if (c->offer.size) wire_putf(&c->wire, " SIZE=%llu", (unsigned long long)s->message->bytes);
    if (c->offer.eight_bit && s->message->is_8bit) wire_put(&c->wire, VIEW(" BODY=8BITMIME"));
    if (c->offer.utf8 && s->message->is_utf8) wire_put(&c->wire, VIEW(" SMTPUTF8"));
    put_mail_wishes(s);
    if (s->message->requires_tls) wire_put(&c->wire, VIEW(" REQUIRETLS"));
    wire_put(&c->wire, VIEW("\r\n"));
}

static void put_rcpt(struct sending *s, size_t i)
{
    wire_putf(&s->client->wire, "RCPT TO:<" VIEW_FMT ">", VIEW_ARG(s->message->recipients[i]));
    if (s->client->offer.dsn && s->message->reports) put_report(s->client, &s->message->reports[i]);
    wire_put(&s->client->wire, VIEW("\r\n"));
}

static void take_rcpt_answer(struct sending *s, size_t i)
{
    outcome_from_answer(&s->outcomes[i], &s->client->answer);
    if (is_in_play(&s->outcomes[i])) s->accepted++;
}

/* False: given up. */
MAY_YIELD static bool exchange(struct sending *s, int64_t timeout_ms)
{
    struct fault fault = {0};
    if (ask(s->client, timeout_ms, &fault) == OK) return true;
    end_all_with_fault(s, &fault);
    return false;
}

MAY_YIELD static bool next_answer(struct sending *s, int64_t timeout_ms)
{
    struct fault fault = {0};
    if (read_answer(s->client, timeout_ms, &fault) == OK) return true;
    end_all_with_fault(s, &fault);
    return false;
}

/* Envelope and DATA in one piece; every answer is read, whatever the first ones say (RFC 2920 §3.1). */
MAY_YIELD static bool send_envelope_at_once(struct sending *s)
{
    struct smtp_client *c = s->client;
    struct smtp_answer mail;
    bool is_whole = true;
    put_mail(s);
    for (size_t i = 0; i < s->message->recipient_count; i++) put_rcpt(s, i);
    wire_put(&c->wire, VIEW("DATA\r\n"));
    if (!exchange(s, ENVELOPE_MS)) return false;
    mail = c->answer;
    smtp_answer_init(&c->answer);
    for (size_t i = 0; is_whole && i < s->message->recipient_count; i++) {
        is_whole = next_answer(s, ENVELOPE_MS);
        if (is_whole && smtp_answer_is_ok(&mail)) take_rcpt_answer(s, i);
    }
    if (is_whole && !smtp_answer_is_ok(&mail)) end_all_with_answer(s, &mail);
    smtp_answer_done(&mail);
    return is_whole && next_answer(s, DATA_MS);
}

MAY_YIELD static bool send_envelope_in_steps(struct sending *s)
{
    struct smtp_client *c = s->client;
    put_mail(s);
    if (!exchange(s, ENVELOPE_MS)) return false;
    if (!smtp_answer_is_ok(&c->answer)) {
        end_all_with_answer(s, &c->answer);
        return false;
    }
    for (size_t i = 0; i < s->message->recipient_count; i++) {
        put_rcpt(s, i);
        if (!exchange(s, ENVELOPE_MS)) return false;
        take_rcpt_answer(s, i);
    }
    if (s->accepted == 0) return false;
    wire_put(&c->wire, VIEW("DATA\r\n"));
    return exchange(s, DATA_MS);
}

/* One piece of the message onto the wire: every line end becomes CRLF, a dot at the start of a line is doubled. */
static void put_stuffed(struct sending *s, view piece)
{
    buf *out = &s->client->wire.output;
    size_t from = 0;
    buf_reserve(out, piece.len + piece.len / 16 + 16);
    for (size_t i = 0; i < piece.len; i++) {
        char byte = piece.at[i];
        if (byte != '\r' && byte != '\n' && byte != '.' && s->last[1] != '\r') {
            s->last[1] = byte;
            continue;
        }
        buf_append(out, view_slice(piece, from, i - from));
        from = i + 1;
        if (byte == '\n') {
            buf_append(out, VIEW("\r\n"));
        } else {
            if (s->last[1] == '\r') buf_append(out, VIEW("\r\n")), s->last[1] = '\n';
            if (byte == '.' && s->last[1] == '\n') buf_append_byte(out, '.');
            if (byte != '\r') buf_append_byte(out, byte);
        }
        s->last[1] = byte;
    }
    buf_append(out, view_from(piece, from));
}

/* In one piece with the last bytes. */
static void put_end(struct sending *s)
{
    if (s->last[1] != '\n') wire_put(&s->client->wire, VIEW("\r\n"));
    wire_put(&s->client->wire, VIEW(".\r\n"));
}

MAY_YIELD static bool send_bytes(struct sending *s)
{
    struct smtp_client *c = s->client;
    buf piece CLEANUP(buf_done) = BUF_INIT;
    struct fault fault = {0};
    s->last[1] = '\n';
    for (uint64_t at = 0; at < s->message->bytes; at += piece.len) {
        buf_clear(&piece);
        result code = s->message->read(s->message->argument, at, BLOCK_BYTES, &piece, &fault);
        if (code == OK && piece.len == 0) code = fail(&fault, CORRUPT, "the message is shorter than was said");
        if (code == OK) put_stuffed(s, buf_view(&piece));
        bool is_last = at + piece.len >= s->message->bytes;
        if (code == OK && is_last) put_end(s);
        if (code == OK) code = flush(c, BLOCK_MS, &fault);
        if (code != OK) {
            /* Half a message must not be taken for a whole one: the connection ends without the final dot. */
            c->is_broken = true;
            end_all_with_fault(s, &fault);
            return false;
        }
    }
    if (s->message->bytes == 0) put_end(s);
    return true;
}

/* LMTP answers once for each recipient that it has accepted (RFC 2033 §4.2). */
MAY_YIELD static void take_final_answers(struct sending *s)
{
    if (!exchange(s, END_MS)) return;
    if (!s->client->is_lmtp) {
        end_all_with_answer(s, &s->client->answer);
        return;
    }
    bool is_first = true;
    for (size_t i = 0; i < s->message->recipient_count; i++) {
        if (!is_in_play(&s->outcomes[i])) continue;
        if (!is_first && !next_answer(s, END_MS)) return;
        is_first = false;
        outcome_from_answer(&s->outcomes[i], &s->client->answer);
    }
}

MAY_YIELD static void reset(struct smtp_client *c)
{
    struct fault fault = {0};
    if (c->is_broken) return;
    wire_put(&c->wire, VIEW("RSET\r\n"));
    if (ask(c, ENVELOPE_MS, &fault) == OK && !smtp_answer_is_ok(&c->answer)) c->is_broken = true;
}

/* The server wants the message (354): nobody is left to have it when all recipients were refused, and the data must be ended. */
MAY_YIELD static void finish(struct sending *s)
{
    struct smtp_client *c = s->client;
    if (c->answer.code != 354) {
        if (smtp_answer_is_ok(&c->answer)) c->is_broken = true;
        if (smtp_answer_is_ok(&c->answer)) end_all_with_fault(s, &(struct fault){.detail = "the server answered DATA with 2xx"});
        else end_all_with_answer(s, &c->answer);
        reset(c);
        return;
    }
    if (s->accepted == 0) {
        wire_put(&c->wire, VIEW(".\r\n"));
        (void)!exchange(s, END_MS);
        return;
    }
    if (send_bytes(s)) take_final_answers(s);
}

void smtp_client_send(struct smtp_client *c, const struct smtp_client_message *m, struct smtp_client_outcome *outcomes)
{
    struct sending s = {.client = c, .message = m, .outcomes = outcomes};
    check(m->recipient_count >= 1 && m->recipient_count <= SMTP_CLIENT_RECIPIENTS_MAX);
    for (size_t i = 0; i < m->recipient_count; i++) outcomes[i] = (struct smtp_client_outcome){.what = CLIENT_DELIVERED, .text = BUF_INIT};
    bool goes_on = c->offer.pipelining ? send_envelope_at_once(&s) : send_envelope_in_steps(&s);
    if (goes_on) finish(&s);
    else if (!s.is_given_up) reset(c);
    c->messages++;
}
