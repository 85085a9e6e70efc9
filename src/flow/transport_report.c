/* What reports to other domains say of our connections (RFC 8460 §4.3). */
#include "base/check.h"
#include "flow/transport.h"

enum { ARENA_BYTES = 1 << 20 };

result transport_ask_reports(struct resolver *r, view domain, millis deadline, struct arena *arena, struct tls_report_record *ret_record)
{
    struct dns_answer answer = {0};
    unsigned found = 0;
    view text;
    result code = resolver_ask(r, arena_printf(arena, "_smtp._tls." VIEW_FMT, VIEW_ARG(domain)), DNS_TXT, deadline, arena, &answer, NULL);
    for (size_t i = 0; code == OK && i < answer.count; i++)
        if (dns_txt_parse(answer.records[i], arena, &text)) found += tls_report_record_parse(text, ret_record);
    if (code != OK) return code;
    return found == 1 ? OK : NOT_FOUND;
}

/* ---- what it was measured by ---- */

static void describe_dane(const struct dane *d, struct arena *arena, struct tls_report_policy *p)
{
    p->type = VIEW("tlsa");
    p->string_count = d->association_count < TLS_REPORT_STRINGS_MAX ? d->association_count : TLS_REPORT_STRINGS_MAX;
    p->strings = arena_array(arena, view, p->string_count + 1);
    for (size_t i = 0; i < p->string_count; i++) p->strings[i] = dane_text(d, i, arena);
}

static void describe_sts(const struct mta_sts_found *sts, struct arena *arena, struct tls_report_policy *p)
{
    view text = sts->text, line;
    p->type = VIEW("sts");
    p->strings = arena_array(arena, view, TLS_REPORT_STRINGS_MAX);
    while (p->string_count < TLS_REPORT_STRINGS_MAX && view_cut(&text, '\n', &line)) {
        line = view_trim(line);
        if (line.len) p->strings[p->string_count++] = line;
    }
    p->hosts = sts->policy.patterns;
    p->host_count = sts->policy.pattern_count;
}

static void describe(const struct transport_outcome *o, struct arena *arena, struct tls_report_policy *p)
{
    const struct dane *dane = &o->plan->dane;
    const struct mta_sts_found *sts = &o->domain->sts;
    p->domain = o->domain->name;
    if (dane->state != DANE_NONE || dane->is_bogus) describe_dane(dane, arena, p);
    else if (sts->has_policy) describe_sts(sts, arena, p);
    else if (sts->trouble != MTA_STS_NO_TROUBLE) p->type = VIEW("sts");
    else p->type = VIEW("no-policy-found");
}

/* ---- what came of it: §4.3.2; NULL: it was good ---- */

static const char *flaw_name(enum tls_flaw flaw)
{
    static const char *const names[] = {[TLS_FLAW_EXPIRED] = "certificate-expired", [TLS_FLAW_NAME] = "certificate-host-mismatch", [TLS_FLAW_UNTRUSTED] = "certificate-not-trusted",
                                        [TLS_FLAW_UNMATCHED] = "validation-failure", [TLS_FLAW_OTHER] = "validation-failure"};
    return names[flaw];
}

static const char *trouble_name(enum mta_sts_trouble trouble)
{
    return trouble == MTA_STS_FETCH_ERROR ? "sts-policy-fetch-error" : trouble == MTA_STS_INVALID ? "sts-policy-invalid" : "sts-webpki-invalid";
}

static const char *judge(const struct transport_outcome *o, const char **ret_reason)
{
    const struct smtp_client *c = o->client;
    *ret_reason = o->fault->detail;
    if (o->plan->dane.is_bogus) return "dnssec-invalid";
    if (o->plan->is_outside_sts) *ret_reason = "the MX host is not in the policy";
    if (o->plan->is_outside_sts) return "validation-failure";
    if (o->domain->sts.trouble != MTA_STS_NO_TROUBLE && !o->domain->sts.has_policy && o->plan->dane.state == DANE_NONE) return trouble_name(o->domain->sts.trouble);
    if (c && (c->tls == SMTP_CLIENT_TLS_NOT_OFFERED || c->tls == SMTP_CLIENT_TLS_REFUSED)) return "starttls-not-supported";
    if (c && c->flaw != TLS_FLAW_NONE) return flaw_name(c->flaw);
    if (c && c->tls == SMTP_CLIENT_TLS_FAILED) return "validation-failure";
    if (o->plan->dane.state == DANE_UNUSABLE) return "tlsa-invalid";
    return NULL;
}

/* A connection that broke before TLS says nothing about TLS; a host that was not to be connected to says what forbade it. */
static bool is_telling(const struct transport_outcome *o)
{
    if (o->client) return o->client->tls != SMTP_CLIENT_TLS_UNTRIED;
    return o->plan->dane.is_bogus || (o->planned == DENIED && o->plan->is_outside_sts);
}

void transport_tell(const struct outbound_options *options, const struct transport_outcome *o)
{
    char from[ADDRESS_TEXT_MAX], to[ADDRESS_TEXT_MAX];
    if (!o->domain->wants_reports || !is_telling(o)) return;
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, ARENA_BYTES);
    struct tls_report_policy p = {.successes = 0};
    const char *reason = "", *failure = judge(o, &reason);
    struct tls_report_detail detail = {.receiving_host = o->host, .count = 1};
    describe(o, arena, &p);
    if (!failure) {
        p.successes = 1;
    } else {
        detail.result_type = view_of(failure);
        detail.reason = view_of(reason);
        if (o->from) detail.sending_ip = address_text(o->from, from);
        if (o->to) detail.receiving_ip = address_text(o->to, to);
        p.failures = 1;
        p.details = &detail;
        p.detail_count = 1;
    }
    tls_reports_add(options->reports, &p);
}
