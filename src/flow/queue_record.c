#include "base/check.h"
#include "flow/queue_record_private.h"

enum { VERSION_FIRST = 1, VERSION = 2 };

static void put_sized(buf *into, view v)
{
    buf_append_varint(into, v.len);
    buf_append(into, v);
}

static bool take_octet(struct cursor *c, uint8_t *ret_octet)
{
    view one;
    if (!take_bytes(c, 1, &one)) return false;
    *ret_octet = (uint8_t)one.at[0];
    return true;
}

/* ---- envelopes ---- */

static void encode_envelope(buf *into, const struct queue_envelope *e, unsigned version)
{
    check(e->recipient_count >= 1 && e->recipient_count <= QUEUE_RECIPIENTS_MAX);
    buf_append(into, id_view(&e->account));
    put_sized(into, e->tenant);
    put_sized(into, e->sender);
    buf_append_varint(into, e->flags);
    buf_append_byte(into, (char)e->return_what);
    put_sized(into, e->envelope_id);
    buf_append_le64(into, (uint64_t)e->received.ms);
    buf_append_varint(into, e->bytes);
    buf_append_varint(into, e->skip_bytes);
    buf_append_varint(into, e->recipient_count);
    for (size_t i = 0; i < e->recipient_count; i++) {
        put_sized(into, e->recipients[i].address);
        buf_append_byte(into, (char)e->recipients[i].notify);
        put_sized(into, e->recipients[i].original);
    }
    if (version > VERSION_FIRST) queue_wishes_encode(into, e);
}

static bool take_recipients(struct cursor *c, struct arena *arena, struct queue_envelope *e)
{
    uint32_t count;
    if (!take_varint32(c, &count) || count == 0 || count > QUEUE_RECIPIENTS_MAX) return false;
    e->recipients = arena_array(arena, struct queue_address, count);
    e->recipient_count = count;
    for (size_t i = 0; i < count; i++) {
        struct queue_address *r = &e->recipients[i];
        if (!take_sized(c, QUEUE_ADDRESS_BYTES_MAX, &r->address) || r->address.len == 0 || !take_octet(c, &r->notify) ||
            !take_sized(c, QUEUE_ADDRESS_BYTES_MAX, &r->original))
            return false;
    }
    return true;
}

static bool take_envelope(struct cursor *c, struct arena *arena, unsigned version, struct queue_envelope *e)
{
    uint32_t flags;
    if (!take_raw_id(c, &e->account) || !take_sized(c, QUEUE_NAME_BYTES_MAX, &e->tenant) || !take_sized(c, QUEUE_ADDRESS_BYTES_MAX, &e->sender) ||
        !take_varint32(c, &flags) || !take_octet(c, &e->return_what) || !take_sized(c, QUEUE_NAME_BYTES_MAX, &e->envelope_id) ||
        !take_unix_ms(c, &e->received) || !take_varint(c, &e->bytes) || !take_varint32(c, &e->skip_bytes))
        return false;
    e->flags = flags;
    return take_recipients(c, arena, e) && (version == VERSION_FIRST || queue_wishes_take(c, e));
}

/* ---- attempts ---- */

static void encode_results(buf *into, const struct queue_record *r)
{
    check(r->result_count >= 1 && r->result_count <= QUEUE_RECIPIENTS_MAX);
    buf_append_varint(into, r->result_count);
    for (size_t i = 0; i < r->result_count; i++) {
        const struct queue_result *one = &r->results[i];
        buf_append_varint(into, one->recipient);
        buf_append_byte(into, (char)one->outcome);
        buf_append_le64(into, (uint64_t)one->next_try.ms);
        buf_append_le16(into, one->code);
        buf_append_byte(into, (char)one->class);
        buf_append_le16(into, one->subject);
        buf_append_le16(into, one->detail);
        put_sized(into, view_slice(one->host, 0, QUEUE_NAME_BYTES_MAX));
        put_sized(into, view_slice(one->answer, 0, QUEUE_ANSWER_BYTES_MAX));
    }
}

static bool take_result(struct cursor *c, struct queue_result *r)
{
    uint8_t outcome;
    if (!take_varint32(c, &r->recipient) || r->recipient >= QUEUE_RECIPIENTS_MAX || !take_octet(c, &outcome) || !take_unix_ms(c, &r->next_try) ||
        !take_le16(c, &r->code) || !take_octet(c, &r->class) || !take_le16(c, &r->subject) || !take_le16(c, &r->detail) ||
        !take_sized(c, QUEUE_NAME_BYTES_MAX, &r->host) || !take_sized(c, QUEUE_ANSWER_BYTES_MAX, &r->answer))
        return false;
    r->outcome = (enum queue_outcome)outcome;
    return outcome >= QUEUE_DELIVERED && outcome <= QUEUE_DEFERRED;
}

static bool take_results(struct cursor *c, struct arena *arena, struct queue_record *r)
{
    uint32_t count;
    if (!take_varint32(c, &count) || count == 0 || count > QUEUE_RECIPIENTS_MAX) return false;
    r->results = arena_array(arena, struct queue_result, count);
    r->result_count = count;
    for (size_t i = 0; i < count; i++)
        if (!take_result(c, &r->results[i])) return false;
    return true;
}

/* ---- records ---- */

bool queue_record_is_new(const struct queue_record *r)
{
    /* Whoever does not know that flag would send the message in the clear. */
    if (r->kind == QUEUE_ENQUEUE) return queue_wishes_count(&r->envelope) > 0 || r->envelope.flags & QUEUE_REQUIRES_TLS;
    return r->kind == QUEUE_ORDERS || (r->kind == QUEUE_ORDER && r->order == QUEUE_REDIRECT);
}

void queue_record_encode(buf *into, const struct queue_record *r)
{
    unsigned version = queue_record_is_new(r) ? VERSION : VERSION_FIRST;
    buf_append_byte(into, (char)version);
    buf_append_byte(into, (char)r->kind);
    buf_append(into, id_view(&r->id));
    buf_append_le64(into, (uint64_t)r->written.ms);
    buf_append(into, id_view(&r->message));
    switch (r->kind) {
    case QUEUE_ENQUEUE: encode_envelope(into, &r->envelope, version); break;
    case QUEUE_ATTEMPT: encode_results(into, r); break;
    case QUEUE_ORDER:
        if (version == VERSION_FIRST) buf_append_byte(into, (char)r->order);
        else queue_orders_encode(into, r);
        break;
    case QUEUE_ORDERS: queue_orders_encode(into, r); break;
    }
}

static bool take_order(struct cursor *c, struct queue_record *r)
{
    uint8_t order;
    if (!take_octet(c, &order)) return false;
    r->order = (enum queue_order)order;
    return order >= QUEUE_HOLD && order <= QUEUE_REMOVE;
}

static bool take_content(struct cursor *c, struct arena *arena, unsigned version, struct queue_record *r)
{
    switch (r->kind) {
    case QUEUE_ENQUEUE: r->envelope.message = r->message; return take_envelope(c, arena, version, &r->envelope);
    case QUEUE_ATTEMPT: return take_results(c, arena, r);
    case QUEUE_ORDER: return version == VERSION_FIRST ? take_order(c, r) : queue_orders_take(c, r);
    case QUEUE_ORDERS: return version > VERSION_FIRST && queue_orders_take(c, r);
    }
    return false;
}

result queue_record_decode(view bytes, struct arena *arena, struct queue_record *ret_record, struct fault *fault)
{
    struct cursor c = cursor_of(bytes);
    struct queue_record r = {0};
    uint8_t version, kind;
    if (!take_octet(&c, &version) || !take_octet(&c, &kind)) return fail(fault, CORRUPT, "queue record of %zu bytes", bytes.len);
    if (version > VERSION || kind > QUEUE_ORDERS) return fail(fault, CORRUPT, "queue record written by a newer version (%u, kind %u)", version, kind);
    r.kind = (enum queue_record_kind)kind;
    if (version == 0 || !take_raw_id(&c, &r.id) || !take_unix_ms(&c, &r.written) || !take_raw_id(&c, &r.message) || !take_content(&c, arena, version, &r) || !cursor_at_end(&c))
        return fail(fault, CORRUPT, "queue record is broken at byte %zu", cursor_position(&c));
    *ret_record = r;
    return OK;
}
