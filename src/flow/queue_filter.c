/* Which messages an operator means. */
#include "flow/queue_private.h"

static bool view_contains(view whole, view part) { return part.len == 0 || view_find_nocase(whole, part) != VIEW_NONE; }

bool queued_recipient_matches(const struct queue_filter *f, const struct queued_recipient *r)
{
    return r->state != RECIPIENT_DONE && view_contains(r->address.address, f->recipient) && (f->domain.len == 0 || view_equal_nocase(r->domain, f->domain)) &&
           view_contains(buf_view(&r->answer), f->answer);
}

static bool envelope_matches(const struct queue_filter *f, const struct queue_envelope *e)
{
    if (!id_is_none(f->message) && !id_equal(f->message, e->message)) return false;
    if (!id_is_none(f->account) && !id_equal(f->account, e->account)) return false;
    if (f->tenant.len && !view_equal_nocase(f->tenant, e->tenant)) return false;
    if ((f->before.ms && e->received.ms >= f->before.ms) || (f->after.ms && e->received.ms < f->after.ms)) return false;
    return view_contains(e->sender, f->sender);
}

bool queued_matches(const struct queue_filter *f, const struct queued *m)
{
    if (m->is_removed || !envelope_matches(f, &m->envelope)) return false;
    for (size_t i = 0; i < m->envelope.recipient_count; i++)
        if (queued_recipient_matches(f, &m->recipients[i])) return true;
    return false;
}
