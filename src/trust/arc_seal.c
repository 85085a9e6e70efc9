#include "trust/arc_seal.h"

#include "base/check.h"
#include "trust/digests.h"

bool arc_seal_is_due(const struct arc_verdict *verdict)
{
    return !verdict->is_temporary && !verdict->was_failed && verdict->instances < ARC_INSTANCES_MAX;
}

static void append_results(const struct mail_check *check, const struct arc_order *order, unsigned instance, buf *into)
{
    buf_appendf(into, "ARC-Authentication-Results: i=%u; " VIEW_FMT, instance, VIEW_ARG(order->server_name));
    if (order->results.len) buf_append(into, order->results);
    else mail_check_append_results(check, into);
    buf_append(into, VIEW("\r\n"));
}

/* §5.1.1: over all sets; §5.1.2: over its own alone when the chain has failed. */
static result append_seal(const struct mail_check *check, const struct arc_order *order, unsigned instance, view results, view message, buf *into, struct fault *fault)
{
    const struct arc_verdict *verdict = mail_check_arc(check);
    buf covered CLEANUP(buf_done) = BUF_INIT;
    struct dkim_draft draft = {.kind = DKIM_ARC_SEAL, .algorithm = signing_key_algorithm(order->key.key), .domain = order->domain, .selector = order->key.selector,
                               .signed_s = order->now_s, .instance = instance, .validation = verdict->validation};
    if (verdict->validation == ARC_PASS) mail_check_append_chain(check, &covered);
    dkim_append_field(&covered, results, true);
    dkim_append_field(&covered, message, true);
    struct digest *before = digest_new();
    digest_add(before, buf_view(&covered));
    result code = signer_append_field(&draft, order->key.key, before, into, fault);
    digest_free(before);
    return code;
}

result arc_seal_append(const struct mail_check *check, struct signer *message, const struct arc_order *order, buf *into, struct fault *fault)
{
    unsigned instance = mail_check_arc(check)->instances + 1;
    buf results CLEANUP(buf_done) = BUF_INIT, signature CLEANUP(buf_done) = BUF_INIT, seal CLEANUP(buf_done) = BUF_INIT;
    struct signer_order sign = {.domain = order->domain, .keys = &order->key, .key_count = 1, .now_s = order->now_s, .instance = instance};
    append_results(check, order, instance, &results);
    result code = signer_finish(message, &sign, &signature, fault);
    if (code == OK) code = append_seal(check, order, instance, buf_view(&results), buf_view(&signature), &seal, fault);
    if (code != OK) return code;
    buf_append(into, buf_view(&seal));
    buf_append(into, buf_view(&signature));
    buf_append(into, buf_view(&results));
    return OK;
}
