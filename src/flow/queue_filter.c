/* Which messages an operator means. */
#include "flow/queue_private.h"

static bool view_contains(view whole, view part) { return part.len == 0 || view_find_nocase(whole, part) != VIEW_NONE; }

bool queued_recipient_matches(const struct queue_filter *f, const struct queued_recipient *r)
{
    return r->state != RECIPIENT_DONE && view_contains(queued_address(r), f->recipient) && (f->domain.len == 0 || view_equal_nocase(queued_domain(r), f->domain)) &&
           view_contains(shared_view(r->answer), f->answer);
}

static bool envelope_matches(const struct queue_filter *f, const struct queued *m)
{
    if (!id_is_none(f->message) && !id_equal(f->message, m->message)) return false;
    if (!id_is_none(f->account) && !id_equal(f->account, queued_account(m))) return false;
    if (f->tenant.len && !view_equal_nocase(f->tenant, queued_tenant(m))) return false;
    if ((f->before.ms && m->received.ms >= f->before.ms) || (f->after.ms && m->received.ms < f->after.ms)) return false;
    return view_contains(queued_sender(m), f->sender);
}

bool queued_matches(const struct queue_filter *f, const struct queued *m)
{
    if (m->is_removed || !envelope_matches(f, m)) return false;
    for (size_t i = 0; i < m->recipient_count; i++)
        if (queued_recipient_matches(f, &m->recipients[i])) return true;
    return false;
}
