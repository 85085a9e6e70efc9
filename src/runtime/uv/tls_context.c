#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/view.h"
#include "runtime/uv/tls_private.h"

enum {
    NAMES_MAX = 200,               /* of one certificate: what public CAs issue stays below */
    SESSION_SECONDS = 24 * 3600,
};

/* One SSL_CTX: a certificate, or two for the same names with keys of different kinds. */
struct certified {
    SSL_CTX *ssl;
    char **names;                  /* DNS names, perhaps "*.example.test" */
    size_t name_count;
};

struct tls_generation {
    atomic_uint references;
    size_t count;
    struct certified *certified;   /* [0] is the default */
};

struct tls_context {
    bool is_server;
    pthread_mutex_t lock;          /* of `current`; held for a moment */
    struct tls_generation *current;
    struct tls_tickets tickets;
};

view tls_reason(char text[static 256])
{
    /* Of a file that cannot be opened the first says why. */
    unsigned long first = ERR_peek_error(), error = ERR_SYSTEM_ERROR(first) ? first : ERR_peek_last_error();
    const char *reason = ERR_SYSTEM_ERROR(error) ? strerror(ERR_GET_REASON(error)) : ERR_reason_error_string(error);
    if (error && reason) snprintf(text, 256, "%s", reason);
    else snprintf(text, 256, error ? "error %lx" : "connection broke", error);
    ERR_clear_error();
    return view_of(text);
}

/* --- generations --- */

static void certified_free(struct certified *c)
{
    for (size_t i = 0; i < c->name_count; i++) free(c->names[i]);
    free(c->names);
    SSL_CTX_free(c->ssl);
}

void tls_generation_unref(struct tls_generation *g)
{
    if (!g || atomic_fetch_sub(&g->references, 1) != 1) return;
    for (size_t i = 0; i < g->count; i++) certified_free(&g->certified[i]);
    free(g->certified);
    free(g);
}

struct tls_generation *tls_generation_ref(struct tls_context *c)
{
    pthread_mutex_lock(&c->lock);
    struct tls_generation *g = c->current;
    atomic_fetch_add(&g->references, 1);
    pthread_mutex_unlock(&c->lock);
    return g;
}

SSL_CTX *tls_generation_default(struct tls_generation *g) { return g->certified[0].ssl; }
bool tls_context_is_server(const struct tls_context *c) { return c->is_server; }

static struct tls_generation *generation_new(size_t count)
{
    struct tls_generation *g = calloc(1, sizeof *g);
    check(g != NULL);
    atomic_init(&g->references, 1);
    g->certified = calloc(count, sizeof *g->certified);
    check(g->certified != NULL);
    return g;
}

static void generation_freep(struct tls_generation **g) { tls_generation_unref(*g); }

/* --- choosing by name (RFC 6066 §3) --- */

/* "*" stands for one whole leftmost label (RFC 6125 §6.4.3). */
static bool name_matches(view pattern, view name)
{
    if (view_equal_nocase(pattern, name)) return true;
    if (!view_starts(pattern, VIEW("*."))) return false;
    size_t dot = view_find(name, '.');
    return dot != VIEW_NONE && dot > 0 && view_equal_nocase(view_from(pattern, 1), view_from(name, dot));
}

static int choose(SSL *ssl, int *alert, void *argument)
{
    struct tls_generation *g = argument;
    view name = view_of(SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name));
    if (name.len && name.at[name.len - 1] == '.') name.len--;
    for (size_t i = 0; name.len && i < g->count; i++)
        for (size_t n = 0; n < g->certified[i].name_count; n++)
            if (name_matches(view_of(g->certified[i].names[n]), name)) {
                if (i) SSL_set_SSL_CTX(ssl, g->certified[i].ssl);
                return SSL_TLSEXT_ERR_OK;
            }
    return SSL_TLSEXT_ERR_OK;      /* the default certificate: mail clients often send what they were configured with */
}

/* --- certificates --- */

static SSL_CTX *ssl_context(bool is_server)
{
    SSL_CTX *ssl = SSL_CTX_new(is_server ? TLS_server_method() : TLS_client_method());
    check(ssl != NULL);
    SSL_CTX_set_min_proto_version(ssl, TLS1_2_VERSION);
    SSL_CTX_set_options(ssl, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_IGNORE_UNEXPECTED_EOF |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    SSL_CTX_set_mode(ssl, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_read_ahead(ssl, 1);
    SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);      /* tickets hold the state */
    SSL_CTX_set_session_id_context(ssl, (const unsigned char *)"tayori", 6);
    SSL_CTX_set_timeout(ssl, SESSION_SECONDS);
    SSL_CTX_set_num_tickets(ssl, 1);
    SSL_CTX_set1_groups_list(ssl, "X25519:P-256:P-384");
    SSL_CTX_set_ciphersuites(ssl, "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256");
    SSL_CTX_set_verify(ssl, SSL_VERIFY_NONE, NULL);
    return ssl;
}

static void add_name(struct certified *c, const unsigned char *at, int len)
{
    if (c->name_count == NAMES_MAX || len <= 0 || memchr(at, 0, (size_t)len)) return;
    if (!c->names) c->names = calloc(NAMES_MAX, sizeof *c->names);
    check(c->names != NULL);
    c->names[c->name_count] = strndup((const char *)at, (size_t)len);
    check(c->names[c->name_count++] != NULL);
}

/* The DNS names of the leaf; its common name if it has none. */
static void read_names(struct certified *c)
{
    X509 *leaf = SSL_CTX_get0_certificate(c->ssl);
    GENERAL_NAMES *names = X509_get_ext_d2i(leaf, NID_subject_alt_name, NULL, NULL);
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        if (name->type == GEN_DNS) add_name(c, ASN1_STRING_get0_data(name->d.dNSName), ASN1_STRING_length(name->d.dNSName));
    }
    GENERAL_NAMES_free(names);
    X509_NAME *subject = X509_get_subject_name(leaf);
    int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
    if (c->name_count || at < 0) return;
    ASN1_STRING *common = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at));
    add_name(c, ASN1_STRING_get0_data(common), ASN1_STRING_length(common));
}

static result use_files(SSL_CTX *ssl, const struct tls_certificate *from, struct fault *fault)
{
    char text[256];
    ERR_clear_error();
    if (SSL_CTX_use_certificate_chain_file(ssl, from->certificate_file) != 1) {
        view reason = tls_reason(text);
        return fail(fault, INVALID, "certificate %s: " VIEW_FMT, from->certificate_file, VIEW_ARG(reason));
    }
    if (SSL_CTX_use_PrivateKey_file(ssl, from->key_file, SSL_FILETYPE_PEM) != 1) {
        view reason = tls_reason(text);
        return fail(fault, INVALID, "key %s: " VIEW_FMT, from->key_file, VIEW_ARG(reason));
    }
    if (SSL_CTX_check_private_key(ssl) != 1)
        return fail(fault, INVALID, "key %s does not belong to certificate %s", from->key_file, from->certificate_file);
    return OK;
}

static int key_kind(SSL_CTX *ssl) { return EVP_PKEY_get_base_id(SSL_CTX_get0_privatekey(ssl)); }

static bool same_names(const struct certified *a, const struct certified *b)
{
    if (a->name_count != b->name_count) return false;
    for (size_t i = 0; i < a->name_count; i++)
        if (!view_equal_nocase(view_of(a->names[i]), view_of(b->names[i]))) return false;
    return a->name_count > 0;
}

/* A second certificate for the same names with a key of another kind joins the first: the handshake picks what the client knows. */
static result add_certificate(struct tls_generation *g, struct tls_tickets *tickets, const struct tls_certificate *from,
                              struct fault *fault)
{
    struct certified c = {.ssl = ssl_context(true)};
    result r = use_files(c.ssl, from, fault);
    if (r == OK) read_names(&c);
    for (size_t i = 0; r == OK && i < g->count; i++) {
        struct certified *other = &g->certified[i];
        if (!same_names(&c, other) || key_kind(c.ssl) == key_kind(other->ssl)) continue;
        certified_free(&c);
        return use_files(other->ssl, from, fault);
    }
    if (r != OK) {
        certified_free(&c);
        return r;
    }
    SSL_CTX_set_tlsext_servername_callback(c.ssl, choose);
    SSL_CTX_set_tlsext_servername_arg(c.ssl, g);
    tls_tickets_use(tickets, c.ssl);
    g->certified[g->count++] = c;
    return OK;
}

static result generation_load(struct tls_tickets *tickets, const struct tls_certificate *certificates, size_t count,
                              struct tls_generation **ret_generation, struct fault *fault)
{
    if (count == 0) return fail(fault, INVALID, "no certificate");
    CLEANUP(generation_freep) struct tls_generation *g = generation_new(count);
    for (size_t i = 0; i < count; i++) {
        result r = add_certificate(g, tickets, &certificates[i], fault);
        if (r != OK) return r;
    }
    *ret_generation = g;
    g = NULL;
    return OK;
}

/* --- contexts --- */

static struct tls_context *context_new(bool is_server)
{
    struct tls_context *c = calloc(1, sizeof *c);
    check(c != NULL);
    c->is_server = is_server;
    pthread_mutex_init(&c->lock, NULL);
    tls_tickets_init(&c->tickets);
    return c;
}

static void context_freep(struct tls_context **c) { tls_context_free(*c); }

struct tls_tickets *tls_context_tickets(struct tls_context *c) { return &c->tickets; }

result tls_context_new_server(const struct tls_certificate *certificates, size_t count, struct tls_context **ret_context,
                              struct fault *fault)
{
    CLEANUP(context_freep) struct tls_context *c = context_new(true);
    result r = generation_load(&c->tickets, certificates, count, &c->current, fault);
    if (r != OK) return r;
    *ret_context = c;
    c = NULL;
    return OK;
}

result tls_context_reload(struct tls_context *c, const struct tls_certificate *certificates, size_t count, struct fault *fault)
{
    struct tls_generation *g;
    check(c->is_server);
    result r = generation_load(&c->tickets, certificates, count, &g, fault);
    if (r != OK) return r;
    pthread_mutex_lock(&c->lock);
    struct tls_generation *old = c->current;
    c->current = g;
    pthread_mutex_unlock(&c->lock);
    tls_generation_unref(old);
    return OK;
}

result tls_context_new_client(struct tls_context **ret_context, struct fault *fault)
{
    struct tls_context *c = context_new(false);
    c->current = generation_new(1);
    c->current->certified[c->current->count++] = (struct certified){.ssl = ssl_context(false)};
    check(SSL_CTX_dane_enable(c->current->certified[0].ssl) == 1);
    *ret_context = c;
    return OK;
}

result tls_context_trust(struct tls_context *c, const char *authorities_file, struct fault *fault)
{
    char text[256];
    check(!c->is_server);
    SSL_CTX *ssl = tls_generation_default(c->current);
    ERR_clear_error();
    int done = authorities_file ? SSL_CTX_load_verify_file(ssl, authorities_file) : SSL_CTX_set_default_verify_paths(ssl);
    if (done == 1) return OK;
    view reason = tls_reason(text);
    return fail(fault, INVALID, "authorities %s: " VIEW_FMT, authorities_file ? authorities_file : "of the system", VIEW_ARG(reason));
}

void tls_context_free(struct tls_context *c)
{
    if (!c) return;
    tls_generation_unref(c->current);
    tls_tickets_done(&c->tickets);
    pthread_mutex_destroy(&c->lock);
    free(c);
}
