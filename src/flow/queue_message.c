/* A message that waits, in as little memory as there can be: one block, and what it has in common with others. */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "flow/outbound.h"
#include "flow/queue_private.h"

enum { EXTRAS_BYTES_MAX = 8 << 20, ORIGIN_BYTES_MAX = 16 + 1 + QUEUE_NAME_BYTES_MAX + QUEUE_ADDRESS_BYTES_MAX };
_Static_assert(QUEUE_NAME_BYTES_MAX <= 255, "the length of a tenant's name is an octet");
_Static_assert(QUEUE_RECIPIENTS_MAX <= UINT16_MAX && QUEUE_ADDRESS_BYTES_MAX <= UINT16_MAX, "counts and lengths of a message are of 16 bits");

/* ---- who sent it: account, length of the tenant, tenant, sender ---- */

static struct shared_text *keep_origin(struct shard *s, const struct queue_envelope *e)
{
    char text[ORIGIN_BYTES_MAX];
    size_t len = sizeof e->account.bytes;
    check(e->tenant.len <= QUEUE_NAME_BYTES_MAX && e->sender.len <= QUEUE_ADDRESS_BYTES_MAX);
    memcpy(text, e->account.bytes, len);
    text[len++] = (char)e->tenant.len;
    if (e->tenant.len) memcpy(text + len, e->tenant.at, e->tenant.len);
    len += e->tenant.len;
    if (e->sender.len) memcpy(text + len, e->sender.at, e->sender.len);
    return shared_keep(&s->texts, view_make(text, len + e->sender.len));
}

struct id queued_account(const struct queued *m)
{
    struct id account;
    memcpy(account.bytes, m->origin->bytes, sizeof account.bytes);
    return account;
}

static size_t tenant_len(const struct queued *m) { return (unsigned char)m->origin->bytes[sizeof(struct id)]; }
view queued_tenant(const struct queued *m) { return view_make(m->origin->bytes + sizeof(struct id) + 1, tenant_len(m)); }
view queued_sender(const struct queued *m) { return view_from(shared_view(m->origin), sizeof(struct id) + 1 + tenant_len(m)); }

/* ---- what few have ---- */

static bool has_extras(const struct queue_envelope *e)
{
    bool has_originals = false;
    for (size_t i = 0; i < e->recipient_count && !has_originals; i++) has_originals = e->recipients[i].original.len > 0;
    return has_originals || e->envelope_id.len || e->route.len || e->not_before.ms || e->deliver_by.ms || e->deliver_by_mode;
}

struct queued_extras *queued_need_extras(struct queued *m)
{
    if (m->extras) return m->extras;
    struct arena *arena = arena_new(NULL, EXTRAS_BYTES_MAX);
    m->extras = arena_new_struct(arena, struct queued_extras);
    m->extras->arena = arena;
    m->extras->originals = arena_array(arena, view, m->recipient_count);
    return m->extras;
}

static void keep_extras(struct queued *m, const struct queue_envelope *e)
{
    if (!has_extras(e)) return;
    struct queued_extras *x = queued_need_extras(m);
    x->envelope_id = arena_keep(x->arena, e->envelope_id);
    x->route = arena_keep(x->arena, e->route);
    x->not_before = e->not_before;
    x->deliver_by = e->deliver_by;
    x->deliver_by_mode = e->deliver_by_mode;
    for (size_t i = 0; i < e->recipient_count; i++) x->originals[i] = arena_keep(x->arena, e->recipients[i].original);
}

const struct queued_extras *queued_extras(const struct queued *m)
{
    static const struct queued_extras none;
    return m->extras ? m->extras : &none;
}

view queued_original(const struct queued *m, size_t recipient) { return m->extras ? m->extras->originals[recipient] : VIEW_EMPTY; }

/* ---- recipients ---- */

void queued_set_address(struct queued_recipient *r, view address)
{
    size_t at = view_find_last(address, '@');
    r->text = address.at;
    r->text_len = (uint16_t)address.len;
    r->domain_at = (uint16_t)(at == VIEW_NONE ? address.len : at + 1);
}

void queued_set_answer(struct queued *m, struct queued_recipient *r, view answer)
{
    struct shared_text *before = r->answer;
    r->answer = shared_keep(&m->shard->texts, answer);
    shared_drop(&m->shard->texts, before);
}

/* ---- all of it ---- */

struct queued *queued_new(struct shard *s, const struct queue_envelope *e)
{
    size_t size = sizeof(struct queued) + e->recipient_count * sizeof(struct queued_recipient), texts = 0;
    for (size_t i = 0; i < e->recipient_count; i++) texts += e->recipients[i].address.len;
    struct queued *m = calloc(1, size + texts);
    check(m);
    char *text = (char *)m + size;
    *m = (struct queued){.shard = s, .message = e->message, .received = e->received, .bytes = e->bytes, .flags = e->flags, .skip_bytes = e->skip_bytes,
                         .return_what = e->return_what, .priority = e->priority, .class = e->class, .standing = e->standing,
                         .recipient_count = (uint16_t)e->recipient_count, .waiting = (uint16_t)e->recipient_count};
    list_init(&m->node);
    m->origin = keep_origin(s, e);
    keep_extras(m, e);
    for (size_t i = 0; i < e->recipient_count; i++) {
        view address = e->recipients[i].address;
        memcpy(text, address.at, address.len);
        queued_set_address(&m->recipients[i], view_make(text, address.len));
        m->recipients[i].notify = e->recipients[i].notify;
        m->recipients[i].next_try = e->not_before;
        text += address.len;
    }
    return m;
}

void queued_free(struct queued *m)
{
    struct shard *s = m->shard;
    check(m->due_place == 0);
    for (size_t i = 0; i < m->recipient_count; i++) shared_drop(&s->texts, m->recipients[i].answer);
    shared_drop(&s->texts, m->origin);
    if (m->extras) arena_free(m->extras->arena);
    free(m);
}

void queued_envelope(const struct queued *m, struct arena *arena, struct queue_envelope *ret_envelope)
{
    const struct queued_extras *x = queued_extras(m);
    struct queue_envelope e = {
        .message = m->message, .account = queued_account(m), .tenant = queued_tenant(m), .sender = queued_sender(m), .flags = m->flags, .return_what = m->return_what,
        .envelope_id = x->envelope_id, .received = m->received, .bytes = m->bytes, .skip_bytes = m->skip_bytes, .recipient_count = m->recipient_count,
        .not_before = x->not_before, .deliver_by = x->deliver_by, .deliver_by_mode = x->deliver_by_mode, .priority = m->priority, .class = m->class,
        .standing = m->standing, .route = x->route,
    };
    e.recipients = arena_array(arena, struct queue_address, m->recipient_count);
    for (size_t i = 0; i < m->recipient_count; i++)
        e.recipients[i] = (struct queue_address){queued_address(&m->recipients[i]), m->recipients[i].notify, queued_original(m, i)};
    *ret_envelope = e;
}
