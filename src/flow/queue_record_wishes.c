/* What version 2 of a record has more: wishes of an envelope as tagged fields, and filters. */
#include "base/check.h"
#include "base/cursor.h"
#include "flow/queue_record_private.h"

enum { TAGS_MAX = 32 };
enum tag { TAG_NOT_BEFORE = 1, TAG_DELIVER_BY = 2, TAG_PRIORITY = 3, TAG_CLASS = 4, TAG_ROUTE = 5 };

const char *queue_class_name(enum queue_class class)
{
    static const char *const names[QUEUE_CLASSES] = {"submitted", "forwarded", "bounce", "notification"};
    return class < QUEUE_CLASSES ? names[class] : "unknown";
}

const char *queue_standing_name(enum queue_standing standing)
{
    static const char *const names[QUEUE_STANDINGS] = {"good", "new", "suspicious", "bulk"};
    return standing < QUEUE_STANDINGS ? names[standing] : "unknown";
}

bool queue_filter_is_empty(const struct queue_filter *f)
{
    return id_is_none(f->message) && id_is_none(f->account) && !f->sender.len && !f->recipient.len && !f->domain.len && !f->tenant.len && !f->answer.len &&
           f->before.ms == 0 && f->after.ms == 0;
}

/* ---- fields of an envelope: a count, then tag and sized value of each; unknown tags are passed over ---- */

static bool has_class(const struct queue_envelope *e) { return e->class || e->standing; }

unsigned queue_wishes_count(const struct queue_envelope *e)
{
    return (e->not_before.ms != 0 ? 1u : 0u) + (e->deliver_by.ms != 0 ? 1u : 0u) + (e->priority != 0 ? 1u : 0u) + (has_class(e) ? 1u : 0u) + (e->route.len > 0 ? 1u : 0u);
}

void queue_wishes_encode(buf *into, const struct queue_envelope *e)
{
    buf_append_varint(into, queue_wishes_count(e));
    if (e->not_before.ms) {
        buf_append_byte(into, TAG_NOT_BEFORE);
        buf_append_varint(into, 8);
        buf_append_le64(into, (uint64_t)e->not_before.ms);
    }
    if (e->deliver_by.ms) {
        buf_append_byte(into, TAG_DELIVER_BY);
        buf_append_varint(into, 9);
        buf_append_le64(into, (uint64_t)e->deliver_by.ms);
        buf_append_byte(into, (char)e->deliver_by_mode);
    }
    if (e->priority) {
        buf_append_byte(into, TAG_PRIORITY);
        buf_append_varint(into, 1);
        buf_append_byte(into, (char)e->priority);
    }
    if (has_class(e)) {
        buf_append_byte(into, TAG_CLASS);
        buf_append_varint(into, 2);
        buf_append_byte(into, (char)e->class);
        buf_append_byte(into, (char)e->standing);
    }
    if (e->route.len) {
        buf_append_byte(into, TAG_ROUTE);
        buf_append_varint(into, e->route.len);
        buf_append(into, e->route);
    }
}

static bool take_octet_of(struct cursor *c, uint8_t *ret_octet)
{
    view one;
    if (!take_bytes(c, 1, &one)) return false;
    *ret_octet = (uint8_t)one.at[0];
    return true;
}

static bool parse_field(uint32_t tag, view value, struct queue_envelope *e)
{
    struct cursor c = cursor_of(value);
    uint8_t octet;
    switch (tag) {
    case TAG_NOT_BEFORE: return take_unix_ms(&c, &e->not_before) && cursor_at_end(&c);
    case TAG_DELIVER_BY: return take_unix_ms(&c, &e->deliver_by) && take_octet_of(&c, &e->deliver_by_mode) && cursor_at_end(&c);
    case TAG_PRIORITY:
        if (!take_octet_of(&c, &octet)) return false;
        e->priority = (int8_t)octet;
        return cursor_at_end(&c) && e->priority >= -9 && e->priority <= 9;
    case TAG_CLASS: return take_octet_of(&c, &e->class) && take_octet_of(&c, &e->standing) && cursor_at_end(&c);
    case TAG_ROUTE: e->route = value; return true;
    default: return true;
    }
}

bool queue_wishes_take(struct cursor *c, struct queue_envelope *e)
{
    uint32_t count, tag;
    view value;
    if (!take_varint32(c, &count) || count > TAGS_MAX) return false;
    for (uint32_t i = 0; i < count; i++)
        if (!take_varint32(c, &tag) || !take_sized(c, QUEUE_ADDRESS_BYTES_MAX, &value) || !parse_field(tag, value, e)) return false;
    return true;
}

/* ---- orders with a filter ---- */

static void put_sized(buf *into, view v)
{
    v = view_slice(v, 0, QUEUE_ADDRESS_BYTES_MAX);
    buf_append_varint(into, v.len);
    buf_append(into, v);
}

void queue_orders_encode(buf *into, const struct queue_record *r)
{
    const struct queue_filter *f = &r->filter;
    buf_append_byte(into, (char)r->order);
    put_sized(into, r->target);
    if (r->kind != QUEUE_ORDERS) return;
    buf_append(into, id_view(&f->account));
    put_sized(into, f->sender);
    put_sized(into, f->recipient);
    put_sized(into, f->domain);
    put_sized(into, f->tenant);
    put_sized(into, f->answer);
    buf_append_le64(into, (uint64_t)f->before.ms);
    buf_append_le64(into, (uint64_t)f->after.ms);
}

bool queue_orders_take(struct cursor *c, struct queue_record *r)
{
    struct queue_filter *f = &r->filter;
    uint8_t order;
    if (!take_octet_of(c, &order) || order < QUEUE_HOLD || order > QUEUE_REDIRECT || !take_sized(c, QUEUE_ADDRESS_BYTES_MAX, &r->target)) return false;
    r->order = (enum queue_order)order;
    if ((r->order == QUEUE_REDIRECT) != (r->target.len > 0)) return false;
    if (r->kind != QUEUE_ORDERS) return true;
    f->message = r->message;
    return take_raw_id(c, &f->account) && take_sized(c, QUEUE_ADDRESS_BYTES_MAX, &f->sender) && take_sized(c, QUEUE_ADDRESS_BYTES_MAX, &f->recipient) &&
           take_sized(c, QUEUE_ADDRESS_BYTES_MAX, &f->domain) && take_sized(c, QUEUE_ADDRESS_BYTES_MAX, &f->tenant) &&
           take_sized(c, QUEUE_ADDRESS_BYTES_MAX, &f->answer) && take_unix_ms(c, &f->before) && take_unix_ms(c, &f->after);
}
