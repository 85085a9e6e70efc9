#include "flow/forward.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/hash.h"
#include "flow/transport.h"
#include "formats/header.h"
#include "formats/mail_address.h"
#include "identity/address_key.h"
#include "identity/directory.h"
#include "identity/secrets.h"
#include "runtime/clock.h"
#include "runtime/event.h"
#include "runtime/random.h"
#include "trust/arc_seal.h"
#include "trust/return_path.h"

/* The addresses of the widest alias, twice, and rows of the directory. */
enum { ARENA_BYTES = 16 << 20 };

/* ---- return paths ---- */

MAY_YIELD static result read_secrets(const struct forwarding *f, millis deadline, struct arena *arena, struct return_path_secrets *ret_secrets, struct fault *fault)
{
    struct identity_secrets found;
    result code = identity_find_secrets(f->identity, VIEW("return-path"), deadline, arena, &found, fault);
    if (code != OK) return code;
    ret_secrets->count = 0;
    for (size_t i = 0; i < found.count && i < RETURN_PATH_SECRETS_MAX; i++) ret_secrets->list[ret_secrets->count++] = found.list[i];
    return OK;
}

result forward_unwrap(const struct forwarding *f, view local_part, millis deadline, struct arena *arena, view *ret_mailbox, struct fault *fault)
{
    struct return_path_secrets secrets;
    buf mailbox CLEANUP(buf_done) = BUF_INIT;
    struct srs srs;
    if (!srs_parse(local_part, &srs)) return NOT_FOUND;
    result code = read_secrets(f, deadline, arena, &secrets, fault);
    if (code == OK) code = return_path_unwrap(&secrets, clock_wall(), local_part, &mailbox, fault);
    if (code == OK) *ret_mailbox = arena_keep(arena, buf_view(&mailbox));
    return code;
}

/* ---- a message while it comes in ---- */

struct forward_message {
    buf header;                          /* until it is whole, and then for Delivered-To */
    bool header_is_done;
    struct mail_check *check;
    struct signer *signer;               /* NULL: a header that cannot be signed */
};

struct forward_message *forward_message_new(void)
{
    struct forward_message *m = calloc(1, sizeof *m);
    check(m);
    return m;
}

void forward_message_free(struct forward_message *m)
{
    if (!m) return;
    buf_done(&m->header);
    mail_check_free(m->check);
    signer_free(m->signer);
    free(m);
}

static void finish_header(struct forward_message *m)
{
    view header, body;
    header_split(buf_view(&m->header), &header, &body);
    m->header_is_done = true;
    m->check = mail_check_new(header);
    mail_check_feed(m->check, body);
    if (signer_new(DKIM_ARC_MESSAGE, header, &m->signer, NULL) == OK) signer_feed(m->signer, body);
    m->header.len = header.len;
}

/* Where a header ends: at its first empty line. Bounded: the caller condemns a header that is too large. */
static bool is_whole(const buf *header, size_t from)
{
    for (size_t i = from > 2 ? from - 2 : 0; i < header->len; i++) {
        if (header->at[i] != '\n') continue;
        view rest = view_from(buf_view(header), i + 1);
        if (view_starts(rest, VIEW("\n")) || view_starts(rest, VIEW("\r\n"))) return true;
    }
    return view_starts(buf_view(header), VIEW("\r\n")) || view_starts(buf_view(header), VIEW("\n"));
}

void forward_message_feed(struct forward_message *m, view piece)
{
    if (m->header_is_done) {
        mail_check_feed(m->check, piece);
        if (m->signer) signer_feed(m->signer, piece);
        return;
    }
    size_t from = m->header.len;
    buf_append(&m->header, piece);
    if (is_whole(&m->header, from)) finish_header(m);
}

void forward_message_end(struct forward_message *m, const struct forwarding *f, millis deadline)
{
    if (!m->header_is_done) finish_header(m);
    if (f->resolver) mail_check_end(m->check, f->resolver, clock_wall(), deadline);
}

static bool was_delivered_to(const struct forward_message *m, view alias)
{
    struct header_field field;
    for (view rest = buf_view(&m->header); header_next(&rest, &field);)
        if (view_equal_nocase(field.name, VIEW("Delivered-To")) && view_equal_nocase(view_trim(field.value), alias)) return true;
    return false;
}

/* ---- what goes before it ---- */

static const struct signer_key *rsa_key(const struct signing_keys *keys)
{
    for (size_t i = 0; i < keys->count; i++)
        if (signing_key_algorithm(keys->keys[i].key) == DKIM_RSA_SHA256) return &keys->keys[i];
    return NULL;
}

/* Ed25519 in ARC is read by few: a seal that the next hop cannot check is a broken chain. */
MAY_YIELD static void append_seal(const struct forwarding *f, const struct forward_order *order, millis deadline, buf *into)
{
    struct forward_message *m = order->message;
    struct signing_keys *keys;
    struct fault fault = {0};
    if (!m || !m->signer || !f->signing || !f->resolver || !arc_seal_is_due(mail_check_arc(m->check))) return;
    result code = signing_keys_open(f->signing, address_key_domain(order->recipient->alias), deadline, &keys, &fault);
    if (code == NOT_FOUND) return;
    if (code == OK) {
        const struct signer_key *key = rsa_key(keys);
        struct arc_order seal = {.server_name = f->server_name, .domain = view_of(keys->domain), .now_s = clock_wall().ms / 1000};
        if (key) seal.key = *key, code = arc_seal_append(m->check, m->signer, &seal, into, &fault);
        signing_keys_close(keys);
    }
    if (code != OK) EVENT_EMIT(MESSAGE_NOT_SIGNED, EVENT_ID("message", draft_message(order->draft)), EVENT_FAULT(&fault));
}

/* A sender who is ours stays; another one is replaced by an address of the alias's domain. */
MAY_YIELD static result choose_sender(const struct forwarding *f, const struct forward_order *order, millis deadline, struct arena *arena, view *ret_sender,
                                      struct fault *fault)
{
    struct identity_address found;
    struct return_path_secrets secrets;
    buf sender CLEANUP(buf_done) = BUF_INIT;
    *ret_sender = order->sender;
    if (order->sender.len == 0) return OK;
    result code = identity_find_address(f->identity, order->sender, deadline, arena, &found, fault);
    if (code != DENIED) return code == OK || code == NOT_FOUND || code == INVALID ? OK : code;
    code = read_secrets(f, deadline, arena, &secrets, fault);
    if (code != OK) return code;
    code = return_path_wrap(&secrets, clock_wall(), order->sender, address_key_domain(order->recipient->alias), &sender, fault);
    if (code == OK && sender.len <= QUEUE_ADDRESS_BYTES_MAX) *ret_sender = arena_keep(arena, buf_view(&sender));
    return OK;
}

static bool is_ascii(view v)
{
    for (size_t i = 0; i < v.len; i++)
        if ((unsigned char)v.at[i] >= 128) return false;
    return true;
}

view forward_mailbox(view key, struct arena *arena)
{
    buf text CLEANUP(buf_done) = BUF_INIT;
    size_t at = view_find_last(key, '@');
    mail_address_append(&text, view_slice(key, 0, at), view_from(key, at + 1));
    return arena_keep(arena, buf_view(&text));
}

static struct queue_address *make_recipients(const struct intake_recipient *r, struct arena *arena, unsigned *flags)
{
    struct queue_address *list = arena_array(arena, struct queue_address, r->forward_count);
    for (size_t i = 0; i < r->forward_count; i++) {
        list[i].address = forward_mailbox(r->forwards[i], arena);
        if (!is_ascii(list[i].address)) *flags |= QUEUE_IS_UTF8;
    }
    return list;
}

/* ---- who caused it ---- */

struct id forward_account(view alias)
{
    struct id id;
    buf salted CLEANUP(buf_done) = BUF_INIT;
    buf_append(&salted, VIEW("forwarded by "));
    buf_append(&salted, alias);
    uint64_t halves[2] = {hash_stable(alias), hash_stable(buf_view(&salted))};
    _Static_assert(sizeof halves == sizeof id.bytes, "an id is two hashes");
    memcpy(id.bytes, halves, sizeof id.bytes);
    return id;
}

/* Its turns and its limits are of the account that it also goes to, else of the alias; for what comes back to a return path of ours, of the domain. */
MAY_YIELD static result choose_account(const struct forwarding *f, const struct intake_recipient *r, millis deadline, struct arena *arena, struct queue_envelope *e,
                                       struct fault *fault)
{
    struct directory_domain domain;
    view name = address_key_domain(r->alias);
    e->account = r->account_count == 1 ? r->accounts[0].id : forward_account(r->is_return ? name : r->alias);
    result code = directory_find_domain(f->identity, name, deadline, arena, &domain, fault);
    if (code == OK) e->tenant = domain.tenant;
    return code == NOT_FOUND ? OK : code;
}

/* ---- sending on ---- */

static void tell(const struct forward_order *order, const struct queue_envelope *e)
{
    static const char *const validations[] = {[ARC_NONE] = "none", [ARC_FAIL] = "fail", [ARC_PASS] = "pass"};
    EVENT_EMIT(MESSAGE_FORWARDED, EVENT_ID("message", draft_message(order->draft)), EVENT_ID("as", e->message), EVENT_TEXT("recipient", order->recipient->alias),
               EVENT_TEXT("from", e->sender), EVENT_NUMBER("recipients", e->recipient_count), EVENT_NUMBER("bytes", e->bytes),
               EVENT_TEXT("arc", order->message ? view_of(validations[mail_check_arc(order->message->check)->validation]) : VIEW_EMPTY));
}

enum smtp_status_name forward_send(const struct forwarding *f, const struct forward_order *order, millis deadline)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, ARENA_BYTES);
    const struct intake_recipient *r = order->recipient;
    struct fault fault = {0};
    buf front CLEANUP(buf_done) = BUF_INIT;
    if (order->message && !r->is_return && was_delivered_to(order->message, r->alias)) return SMTP_MAIL_LOOP;
    struct queue_envelope e = {
        .message = random_id(), .flags = order->flags, .received = clock_wall(), .bytes = draft_bytes(order->draft) - order->skip_bytes, .skip_bytes = order->skip_bytes,
        .recipient_count = r->forward_count, .class = queue_takes_wishes(f->queue) ? QUEUE_FORWARDED : QUEUE_SUBMITTED,
    };
    e.recipients = make_recipients(r, arena, &e.flags);
    if (order->message && !(e.flags & QUEUE_REQUIRES_TLS) && transport_header_makes_tls_optional(buf_view(&order->message->header))) e.flags |= QUEUE_TLS_IS_OPTIONAL;
    result code = choose_sender(f, order, deadline, arena, &e.sender, &fault);
    if (code == OK) code = choose_account(f, r, deadline, arena, &e, &fault);
    if (code == OK) {
        append_seal(f, order, deadline, &front);
        buf_append(&front, order->front);
        if (!r->is_return) buf_appendf(&front, "Delivered-To: " VIEW_FMT "\r\n", VIEW_ARG(r->alias));
        if (front.len > QUEUE_FRONT_BYTES_MAX) buf_clear(&front);
        e.front = buf_view(&front);
        code = queue_enqueue(f->queue, &e, order->draft, deadline, &fault);
    }
    if (code == OK) {
        tell(order, &e);
        return SMTP_SAVED;
    }
    EVENT_EMIT(MESSAGE_NOT_DELIVERED, EVENT_ID("message", draft_message(order->draft)), EVENT_TEXT("recipient", r->alias), EVENT_TEXT("result", view_of(result_name(code))),
               EVENT_FAULT(&fault));
    enum smtp_status_name status = smtp_status_of_result(code);
    return smtp_status(status)->code < 500 ? status : SMTP_STORE_UNAVAILABLE;
}
