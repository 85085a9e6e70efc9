/*
 * TLS on a stream. OpenSSL reads from the socket itself, as much at once as there is (read-ahead), and writes into memory,
 * so that all records of one write leave in one system call. Both its buffers and ours exist only while something is under way:
 * SSL_MODE_RELEASE_BUFFERS, and one output buffer lent by the loop.
 *
 * No function here yields between a call of OpenSSL and reading its error queue, which is the thread's.
 */
#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/uv/stream_private.h"
#include "runtime/uv/tls_private.h"

enum {
    OUTPUT_STEP_BYTES = 64 * 1024,     /* plain bytes sealed before they are sent */
    RECORD_BYTES = 16 * 1024,          /* RFC 8446 §5.1 */
    INPUT_STEP_BYTES = 32 * 1024,      /* taken from the socket in one call of OpenSSL, which goes on by itself while nothing is for us */
    BACKLOG_MAX_BYTES = 512 * 1024,    /* of its own answers to a peer who does not take them */
};

struct tls {
    SSL *ssl;
    struct tls_generation *generation;
    buf output;                        /* sealed; [output_at, len) is not yet sent */
    size_t output_at;
    size_t taken;                      /* from the socket, in this call of OpenSSL */
    bool takes_no_more;                /* reads only what OpenSSL holds already: no system call */
    bool is_starved;                   /* OpenSSL needs bytes from the socket to go on */
    bool saw_end, has_failed, is_open;
};

/* --- OpenSSL's side of the socket --- */

static int bio_read(BIO *bio, char *into, int max)
{
    struct stream *s = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    size_t got = 0;
    bool rests = s->tls->takes_no_more || s->is_drained || s->tls->taken >= INPUT_STEP_BYTES;
    result r = rests ? BUSY : stream_receive(s, into, (size_t)max, &got, NULL);
    s->tls->taken += got;
    if (r == OK) return (int)got;
    if (r == BUSY) BIO_set_retry_read(bio);
    if (r == END) s->tls->saw_end = true;
    return r == END ? 0 : -1;
}

static int bio_write(BIO *bio, const char *from, int count)
{
    struct stream *s = BIO_get_data(bio);
    struct tls *t = s->tls;
    BIO_clear_retry_flags(bio);
    if (t->output.capacity == 0) {
        t->output = s->face->scratch;
        s->face->scratch = BUF_INIT;
        t->output_at = 0;
    }
    buf_append(&t->output, view_make(from, (size_t)count));
    return count;
}

static long bio_control(BIO *bio, int command, long number, void *pointer)
{
    struct stream *s = BIO_get_data(bio);
    if (command == BIO_CTRL_EOF) return s->tls->saw_end;
    return command == BIO_CTRL_FLUSH || command == BIO_CTRL_DUP;
}

static BIO_METHOD *bio_method;

static void make_bio_method(void)
{
    bio_method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "stream");
    check(bio_method != NULL);
    BIO_meth_set_read(bio_method, bio_read);
    BIO_meth_set_write(bio_method, bio_write);
    BIO_meth_set_ctrl(bio_method, bio_control);
}

static BIO *bio_of(struct stream *s)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_bio_method);
    BIO *bio = BIO_new(bio_method);
    check(bio != NULL);
    BIO_set_data(bio, s);
    BIO_set_init(bio, 1);
    return bio;
}

/* --- output --- */

bool tls_has_output(const struct tls *t) { return t->output_at < t->output.len; }

static void give_output_back(struct stream *s)
{
    struct tls *t = s->tls;
    buf_shrink(&t->output, 4 * OUTPUT_STEP_BYTES);
    if (s->face->scratch.capacity == 0) s->face->scratch = t->output;
    else buf_done(&t->output);
    t->output = BUF_INIT;
    t->output_at = 0;
}

/* OK: all is sent. BUSY: no room. */
static result send_some(struct stream *s, struct fault *fault)
{
    struct tls *t = s->tls;
    while (tls_has_output(t)) {
        size_t sent = 0;
        view rest = view_from(buf_view(&t->output), t->output_at);
        result r = stream_send(s, &rest, 1, &sent, fault);
        if (r == IO) t->has_failed = true;
        if (r != OK) return r;
        t->output_at += sent;
    }
    if (t->output.capacity) give_output_back(s);
    return OK;
}

void tls_send_rest(struct stream *s)
{
    if (!s->tls->has_failed && send_some(s, NULL) == BUSY) stream_watch(s, UV_WRITABLE);
}

MAY_YIELD static result send_all(struct stream *s, millis deadline, struct fault *fault)
{
    for (;;) {
        result r = send_some(s, fault);
        if (r != BUSY) return r;
        r = stream_wait_writable(s, deadline);
        if (r != OK) return fail(fault, r, "waiting for room to write");
    }
}

/* --- errors --- */

/* After a call of OpenSSL that returned no success. BUSY: it needs input. */
static result judge(struct stream *s, int returned, const char *what, struct fault *fault)
{
    struct tls *t = s->tls;
    int error = SSL_get_error(t->ssl, returned);
    if (error == SSL_ERROR_WANT_READ) {
        t->is_starved = true;
        return BUSY;
    }
    if (error == SSL_ERROR_ZERO_RETURN) return END;
    t->has_failed = true;
    char text[256];
    view reason = tls_reason(text);
    if (t->saw_end) return fail(fault, IO, "%s: the peer closed the connection", what);
    return fail(fault, IO, "%s: " VIEW_FMT, what, VIEW_ARG(reason));
}

static result has_failed(struct fault *fault) { return fail(fault, IO, "TLS has failed before"); }

/* --- reading --- */

bool tls_has_input(const struct tls *t) { return !t->is_starved && SSL_has_pending(t->ssl); }

/* At least one byte, or BUSY, END, IO; then what OpenSSL still holds. */
static result read_some(struct stream *s, buf *into, size_t max, struct fault *fault)
{
    struct tls *t = s->tls;
    size_t total = 0;
    result r = OK;
    while (total < max && r == OK) {
        size_t got = 0;
        t->is_starved = false;
        t->taken = 0;
        t->takes_no_more = total > 0;
        ERR_clear_error();
        int returned = SSL_read_ex(t->ssl, into->at + into->len, max - total, &got);
        if (returned == 1) total += got, into->len += got;
        else r = judge(s, returned, "TLS receive", fault);
    }
    t->takes_no_more = false;
    /* An error or the end behind good bytes shows itself at the next read. */
    return total ? OK : r;
}

/*
 * There is more in the socket, and what came was not for us: changes of keys, attempts to negotiate anew. A peer may send those for ever, so
 * others have their turn, and the deadline holds.
 */
MAY_YIELD static result go_on(struct stream *s, millis deadline, struct fault *fault)
{
    if (coroutine_is_overdue()) coroutine_pause();
    result r = coroutine_check();
    if (r == OK && !millis_before(clock_now(), deadline)) r = TIMEOUT;
    if (r != OK) return fail(fault, r, "waiting for input");
    if (s->tls->output.len - s->tls->output_at <= BACKLOG_MAX_BYTES) return OK;
    s->tls->has_failed = true;
    return fail(fault, IO, "TLS: the peer does not take the answers to what it sends");
}

result tls_read(struct stream *s, buf *into, size_t max, millis deadline, struct fault *fault)
{
    for (;;) {
        if (s->tls->has_failed) return has_failed(fault);
        buf_reserve(into, max);
        result r = read_some(s, into, max, fault);
        if (tls_has_output(s->tls) && list_is_empty(&s->writer)) tls_send_rest(s);
        if (r != BUSY) return r;
        if (!s->is_drained) r = go_on(s, deadline, fault);
        else if ((r = stream_wait_readable(s, deadline)) != OK) return fail(fault, r, "waiting for input");
        if (r != OK) return r;
    }
}

/* --- writing --- */

static result seal(struct stream *s, view *bytes, size_t max, struct fault *fault)
{
    size_t taken = 0;
    if (s->tls->has_failed) return has_failed(fault);
    ERR_clear_error();
    int returned = SSL_write_ex(s->tls->ssl, bytes->at, bytes->len < max ? bytes->len : max, &taken);
    if (returned != 1) {
        result r = judge(s, returned, "TLS send", fault);
        return r == BUSY || r == END ? fail(fault, IO, "TLS send: unexpected state") : r;
    }
    *bytes = view_from(*bytes, taken);
    return OK;
}

result tls_write(struct stream *s, const view *parts, size_t count, millis deadline, struct fault *fault)
{
    struct tls *t = s->tls;
    for (size_t i = 0; i < count; i++) {
        view rest = parts[i];
        while (rest.len) {
            result r = seal(s, &rest, RECORD_BYTES, fault);
            if (r == OK && t->output.len - t->output_at >= OUTPUT_STEP_BYTES) r = send_all(s, deadline, fault);
            if (r != OK) return r;
        }
    }
    return send_all(s, deadline, fault);
}

result tls_try_write(struct stream *s, view bytes, size_t *ret_written)
{
    view rest = bytes;
    result r = OK;
    if (tls_has_output(s->tls)) tls_send_rest(s);
    while (rest.len && r == OK && !tls_has_output(s->tls)) {
        r = seal(s, &rest, RECORD_BYTES, NULL);
        if (r == OK) tls_send_rest(s);
    }
    if (r != OK) return r;
    *ret_written = bytes.len - rest.len;
    return OK;
}

/* --- handshake and end --- */

MAY_YIELD static result handshake(struct stream *s, millis deadline, struct fault *fault)
{
    struct tls *t = s->tls;
    for (;;) {
        t->is_starved = false;
        t->taken = 0;
        ERR_clear_error();
        int returned = SSL_do_handshake(t->ssl);
        result r = returned == 1 ? OK : judge(s, returned, "TLS handshake", fault);
        if (r == END) r = fail(fault, IO, "TLS handshake: the peer closed the connection");
        if (r != OK && r != BUSY) {
            (void)!send_some(s, NULL);           /* the alert */
            return r;
        }
        /* A ticket leaves with the first answer, or before input is waited for: it costs no segment of its own. */
        if (r == OK && SSL_is_server(t->ssl) && SSL_version(t->ssl) >= TLS1_3_VERSION) return OK;
        result sent = send_all(s, deadline, fault);
        if (sent != OK) return sent;
        if (r == OK) return OK;
        if (!s->is_drained) r = go_on(s, deadline, fault);
        else if ((r = stream_wait_readable(s, deadline)) != OK) return fail(fault, r, "waiting for the TLS handshake");
        if (r != OK) return r;
    }
}

static void begin_tls(struct stream *s, struct tls_context *context)
{
    check(!s->tls);
    struct tls *t = calloc(1, sizeof *t);
    check(t != NULL);
    t->generation = tls_generation_ref(context);
    t->ssl = SSL_new(tls_generation_default(t->generation));
    check(t->ssl != NULL);
    s->tls = t;
    BIO *bio = bio_of(s);
    SSL_set_bio(t->ssl, bio, bio);
    if (tls_context_is_server(context)) SSL_set_accept_state(t->ssl);
    else SSL_set_connect_state(t->ssl);
}

MAY_YIELD static result run_handshake(struct stream *s, millis deadline, struct fault *fault)
{
    if (coroutine_is_overdue()) coroutine_pause();
    result r = handshake(s, deadline, fault);
    s->tls->is_open = r == OK;
    if (r != OK) s->tls->has_failed = true;
    return r;
}

result stream_start_tls(struct stream *s, struct tls_context *context, millis deadline, struct fault *fault)
{
    begin_tls(s, context);
    return run_handshake(s, deadline, fault);
}

result stream_start_tls_to(struct stream *s, struct tls_context *context, const struct tls_demand *demand, millis deadline, enum tls_flaw *reterr_flaw,
                           struct fault *fault)
{
    begin_tls(s, context);
    *reterr_flaw = TLS_FLAW_NONE;
    result r = tls_demand_set(s->tls->ssl, demand, fault);
    if (r != OK) {
        s->tls->has_failed = true;
        return r;
    }
    r = run_handshake(s, deadline, fault);
    if (demand->check == TLS_CHECK_NOTHING) return r;
    long verdict = SSL_get_verify_result(s->tls->ssl);
    *reterr_flaw = tls_demand_flaw(verdict);
    if (r != IO || *reterr_flaw == TLS_FLAW_NONE) return r;
    return fail(fault, DENIED, "the server's certificate: %s", X509_verify_cert_error_string(verdict));
}

void tls_close(struct stream *s)
{
    struct tls *t = s->tls;
    if (t->is_open && !t->has_failed) {
        ERR_clear_error();
        (void)SSL_shutdown(t->ssl);
        (void)!send_some(s, NULL);
    }
    ERR_clear_error();
    SSL_free(t->ssl);
    tls_generation_unref(t->generation);
    buf_done(&t->output);
    free(t);
    s->tls = NULL;
}

/* --- what was agreed --- */

struct tls_info stream_tls(const struct stream *s)
{
    if (!s->tls || !s->tls->is_open) return (struct tls_info){0};
    SSL *ssl = s->tls->ssl;
    const SSL_CIPHER *cipher = SSL_get_current_cipher(ssl);
    return (struct tls_info){
        .is_on = true,
        .version = view_of(SSL_get_version(ssl)),
        .cipher = view_of(SSL_CIPHER_get_name(cipher)),
        .bits = SSL_CIPHER_get_bits(cipher, NULL),
        .server_name = view_of(SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name)),
    };
}

result stream_channel_binding(struct stream *s, unsigned char binding[static 32])
{
    static const char label[] = "EXPORTER-Channel-Binding";
    unsigned char bytes[32];
    if (!s->tls || !s->tls->is_open) return NOT_FOUND;
    if (SSL_version(s->tls->ssl) < TLS1_3_VERSION && SSL_get_extms_support(s->tls->ssl) != 1) return NOT_FOUND;
    ERR_clear_error();
    int done = SSL_export_keying_material(s->tls->ssl, bytes, sizeof bytes, label, sizeof label - 1, (const unsigned char *)"", 0, 1);
    if (done != 1) return NOT_FOUND;
    memcpy(binding, bytes, sizeof bytes);
    return OK;
}

result stream_server_end_point(struct stream *s, unsigned char binding[static 64], size_t *ret_len)
{
    unsigned char bytes[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    int digest = NID_undef;
    if (!s->tls || !s->tls->is_open) return NOT_FOUND;
    const X509 *certificate = SSL_get_certificate(s->tls->ssl);
    if (!certificate || X509_get_signature_info((X509 *)(uintptr_t)certificate, &digest, NULL, NULL, NULL) != 1) return NOT_FOUND;
    /* §4.1: SHA-256 in the place of what is weaker; for a signature without a digest (Ed25519) nothing is defined. */
    if (digest == NID_md5 || digest == NID_sha1) digest = NID_sha256;
    const EVP_MD *md = digest == NID_undef ? NULL : EVP_get_digestbynid(digest);
    if (!md || X509_digest(certificate, md, bytes, &len) != 1 || len > 64) return NOT_FOUND;
    memcpy(binding, bytes, len);
    *ret_len = len;
    return OK;
}
