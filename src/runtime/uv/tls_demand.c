/*
 * What a client demands of a server's certificate, in OpenSSL's terms: names by X509_VERIFY_PARAM, TLSA records by its DANE interface.
 */
#include <openssl/err.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>
#include <string.h>

#include "base/check.h"
#include "runtime/resolver.h"
#include "runtime/uv/tls_private.h"

typedef char name_text[RESOLVER_NAME_BYTES_MAX + 1];

static bool copy_name(view name, name_text into)
{
    if (name.len == 0 || name.len >= sizeof(name_text) || memchr(name.at, 0, name.len)) return false;
    memcpy(into, name.at, name.len);
    into[name.len] = '\0';
    return true;
}

/* RFC 6125 §6.4.3: a wildcard is a whole label; RFC 7672 §3.2.3: the common name counts only where there are no DNS names. */
static result set_names(SSL *ssl, const struct tls_demand *d, struct fault *fault)
{
    name_text name;
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    for (size_t i = 0; i < d->name_count; i++) {
        if (!copy_name(d->names[i], name)) return fail(fault, INVALID, "a name that no certificate can have");
        if ((i == 0 ? SSL_set1_host(ssl, name) : SSL_add1_host(ssl, name)) != 1) return fail(fault, IO, "TLS: name %s", name);
    }
    return d->name_count ? OK : fail(fault, INVALID, "no name to look for in the certificate");
}

static result set_associations(SSL *ssl, const struct tls_demand *d, struct fault *fault)
{
    int usable = 0;
    for (size_t i = 0; i < d->association_count; i++) {
        const struct tls_association *a = &d->associations[i];
        ERR_clear_error();
        if (SSL_dane_tlsa_add(ssl, a->usage, a->selector, a->matching, (const unsigned char *)a->data.at, a->data.len) == 1) usable++;
    }
    ERR_clear_error();
    return usable ? OK : fail(fault, INVALID, "none of %zu TLSA records can be used", d->association_count);
}

/* RFC 7672 §3.1.1: of DANE-EE neither names nor dates matter. */
static result enable_dane(SSL *ssl, const struct tls_demand *d, struct fault *fault)
{
    name_text base;
    if (!copy_name(d->server_name, base) || SSL_dane_enable(ssl, base) != 1) return fail(fault, INVALID, "TLS: no name for DANE");
    SSL_dane_set_flags(ssl, DANE_FLAG_NO_DANE_EE_NAMECHECKS);
    return OK;
}

result tls_demand_set(SSL *ssl, const struct tls_demand *d, struct fault *fault)
{
    name_text name;
    result code = OK;
    if (d->server_name.len) {
        if (!copy_name(d->server_name, name) || SSL_set_tlsext_host_name(ssl, name) != 1) return fail(fault, INVALID, "a name that no server can have");
    }
    if (d->check == TLS_CHECK_NOTHING) return OK;
    if (d->check == TLS_CHECK_DANE) code = enable_dane(ssl, d, fault);
    if (code == OK) code = set_names(ssl, d, fault);
    if (code == OK && d->check == TLS_CHECK_DANE) code = set_associations(ssl, d, fault);
    SSL_set_verify(ssl, d->is_reported_only ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
    return code;
}

enum tls_flaw tls_demand_flaw(long verdict)
{
    switch (verdict) {
    case X509_V_OK: return TLS_FLAW_NONE;
    case X509_V_ERR_CERT_HAS_EXPIRED: return TLS_FLAW_EXPIRED;
    case X509_V_ERR_HOSTNAME_MISMATCH: return TLS_FLAW_NAME;
    case X509_V_ERR_DANE_NO_MATCH: return TLS_FLAW_UNMATCHED;
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_CERT_UNTRUSTED: return TLS_FLAW_UNTRUSTED;
    default: return TLS_FLAW_OTHER;
    }
}
