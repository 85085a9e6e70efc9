#include "trust/dane.h"

#include <openssl/err.h>
#include <openssl/x509.h>

#include "base/buf.h"
#include "base/check.h"

enum { SHA256_BYTES = 32, SHA512_BYTES = 64 };

/* ---- records ---- */

/* A whole certificate or key (matching type 0) must be one: OpenSSL takes no other, and a set of such records promises no certificate. */
static bool is_certificate(view data)
{
    const unsigned char *at = (const unsigned char *)data.at, *end = at + data.len;
    X509 *certificate = d2i_X509(NULL, &at, (long)data.len);
    bool is_whole = certificate && at == end && X509_get0_pubkey(certificate);
    X509_free(certificate);
    ERR_clear_error();
    return is_whole;
}

static bool is_key(view data)
{
    const unsigned char *at = (const unsigned char *)data.at, *end = at + data.len;
    EVP_PKEY *key = d2i_PUBKEY(NULL, &at, (long)data.len);
    bool is_whole = key && at == end;
    EVP_PKEY_free(key);
    ERR_clear_error();
    return is_whole;
}

bool dane_is_usable(const struct dns_tlsa *r)
{
    if ((r->usage != 2 && r->usage != 3) || r->selector > 1) return false;
    switch (r->matching) {
    case 0: return r->selector == 0 ? is_certificate(r->data) : is_key(r->data);
    case 1: return r->data.len == SHA256_BYTES;
    case 2: return r->data.len == SHA512_BYTES;
    default: return false;
    }
}

view dane_text(const struct dane *d, size_t index, struct arena *arena)
{
    const struct tls_association *a = &d->associations[index];
    buf text CLEANUP(buf_done) = BUF_INIT;
    buf_appendf(&text, "_%u._tcp." VIEW_FMT ". IN TLSA %u %u %u ", d->port, VIEW_ARG(d->base), a->usage, a->selector, a->matching);
    for (size_t i = 0; i < a->data.len; i++) buf_appendf(&text, "%02X", (unsigned char)a->data.at[i]);
    return arena_keep(arena, buf_view(&text));
}

/* ---- asking ---- */

static void read_records(const struct dns_answer *answer, struct arena *arena, struct dane *d)
{
    d->associations = arena_array(arena, struct tls_association, answer->count);
    for (size_t i = 0; i < answer->count; i++) {
        struct dns_tlsa record;
        if (!dns_tlsa_parse(answer->records[i], &record) || !dane_is_usable(&record)) continue;
        d->associations[d->association_count++] =
            (struct tls_association){.usage = record.usage, .selector = record.selector, .matching = record.matching, .data = record.data};
    }
    d->state = d->association_count ? DANE_USABLE : DANE_UNUSABLE;
}

/* What stands under one base domain. */
MAY_YIELD static result ask(struct resolver *r, view base, uint16_t port, millis deadline, struct arena *arena, struct dane *d, struct fault *fault)
{
    struct dns_answer answer = {0};
    view name = arena_printf(arena, "_%u._tcp." VIEW_FMT, port, VIEW_ARG(base));
    result code = resolver_ask(r, name, DNS_TLSA, deadline, arena, &answer, fault);
    if (code == NOT_FOUND || code == INVALID) return OK;
    d->is_bogus = code == UNAVAILABLE && answer.is_bogus;
    if (code != OK || !answer.is_secure) return code;
    d->base = base;
    read_records(&answer, arena, d);
    return OK;
}

/* RFC 7672 §2.2.2: an alias that DNSSEC vouches for, though not for what it leads to, may have records of its own. */
MAY_YIELD static result alias_is_secure(struct resolver *r, view name, millis deadline, struct arena *arena, bool *ret_is_secure, struct fault *fault)
{
    struct dns_answer answer = {0};
    result code = resolver_ask(r, name, DNS_CNAME, deadline, arena, &answer, fault);
    if (code != OK && code != NOT_FOUND) return code;
    *ret_is_secure = code == OK && answer.is_secure;
    return OK;
}

result dane_find(struct resolver *r, const struct dane_host *host, millis deadline, struct arena *arena, struct dane *ret_dane, struct fault *fault)
{
    struct dane d = {.port = host->port};
    bool is_alias = !view_equal_nocase(host->name, host->canonical), asks_name = host->is_secure;
    result code = OK;
    if (is_alias && !host->is_secure) code = alias_is_secure(r, host->name, deadline, arena, &asks_name, fault);
    if (code == OK && is_alias && host->is_secure) code = ask(r, host->canonical, host->port, deadline, arena, &d, fault);
    if (code == OK && asks_name && d.state == DANE_NONE) code = ask(r, host->name, host->port, deadline, arena, &d, fault);
    *ret_dane = d;
    return code;
}
