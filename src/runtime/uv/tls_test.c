#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/uv/net_test.h"
#include "runtime/uv/tls_private.h"
#include "runtime/workers.h"

static struct tls_context *server;

static void serve_tls(struct stream *s)
{
    colour_pretend_coroutine();
    struct wire w;
    view line;
    struct fault fault = {0};
    wire_init(&w, s, WIRE_CRLF_ENDS_COMMAND);
    if (stream_start_tls(s, server, clock_in(2000), &fault) == OK) {
        while (wire_line(&w, 1000, clock_in(2000), &line, &fault) == OK) {
            struct tls_info info = stream_tls(s);
            wire_putf(&w, VIEW_FMT " " VIEW_FMT " " VIEW_FMT " %d\r\n", VIEW_ARG(line), VIEW_ARG(info.version),
                      VIEW_ARG(info.server_name), info.bits);
            EXPECT(wire_flush(&w, clock_in(2000), NULL) == OK);
        }
    }
    wire_done(&w);
}

/* A client of OpenSSL's own, blocking, on a worker. */
struct client {
    uint16_t port;
    int version;                   /* 0: any */
    const char *name;              /* SNI */
    SSL_SESSION *session;          /* to resume; the last one on return */
    bool was_resumed, failed;
    char common_name[100], answer[200];
    int key_kind;
};

static int keep_session(SSL *ssl, SSL_SESSION *session)
{
    struct client *c = SSL_get_app_data(ssl);
    SSL_SESSION_free(c->session);
    c->session = session;
    return 1;
}

static int connect_to(uint16_t port)
{
    struct sockaddr_storage system;
    struct address a;
    REQUIRE(address_parse(VIEW("127.0.0.1"), &a));
    struct sockaddr_in { sa_family_t family; uint16_t port; uint32_t address; char zero[8]; } in = {AF_INET, (uint16_t)(port << 8 | port >> 8), 0x0100007f, ""};
    (void)system;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    REQUIRE(connect(fd, (void *)&in, sizeof in) == 0);
    return fd;
}

static void client_main(void *argument)
{
    struct client *c = argument;
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(context, keep_session);
    if (c->version) {
        SSL_CTX_set_min_proto_version(context, c->version);
        SSL_CTX_set_max_proto_version(context, c->version);
        if (c->version < TLS1_2_VERSION) SSL_CTX_set_cipher_list(context, "DEFAULT:@SECLEVEL=0");
    }
    SSL *ssl = SSL_new(context);
    int fd = connect_to(c->port);
    SSL_set_app_data(ssl, c);
    SSL_set_fd(ssl, fd);
    if (c->name) SSL_set_tlsext_host_name(ssl, c->name);
    if (c->session) SSL_set_session(ssl, c->session);
    c->failed = SSL_connect(ssl) != 1;
    c->was_resumed = SSL_session_reused(ssl);
    X509 *peer = SSL_get1_peer_certificate(ssl);
    if (peer) {
        X509_NAME_get_text_by_NID(X509_get_subject_name(peer), NID_commonName, c->common_name, sizeof c->common_name);
        c->key_kind = EVP_PKEY_get_base_id(X509_get0_pubkey(peer));
    }
    X509_free(peer);
    memset(c->answer, 0, sizeof c->answer);
    if (!c->failed && SSL_write(ssl, "hello\r\n", 7) == 7) SSL_read(ssl, c->answer, sizeof c->answer - 1);
    SSL_shutdown(ssl);
    SSL_free(ssl);
    close(fd);
    SSL_CTX_free(context);
}

static void run_client(struct net *n, struct client *c)
{
    colour_pretend_coroutine();
    c->port = n->at.port;
    EXPECT(worker_run(WORKER_SLOW, client_main, c) == OK);
}

static void speaks_versions(void *argument)
{
    colour_pretend_coroutine();
    struct net n;
    server = net_tls("mail.example.test");
    net_open(&n, serve_tls);
    struct client c = {.version = TLS1_2_VERSION, .name = "mail.example.test"};
    run_client(&n, &c);
    EXPECT_VIEW(view_of(c.answer), VIEW("hello TLSv1.2 mail.example.test 256\r\n"));
    SSL_SESSION_free(c.session);
    c = (struct client){.version = TLS1_3_VERSION};
    run_client(&n, &c);
    EXPECT_VIEW(view_of(c.answer), VIEW("hello TLSv1.3  128\r\n"));
    EXPECT_VIEW(view_of(c.common_name), VIEW("mail.example.test"));
    EXPECT_NUMBER(c.key_kind, EVP_PKEY_EC);
    SSL_SESSION_free(c.session);
    c = (struct client){.version = TLS1_1_VERSION};
    run_client(&n, &c);
    EXPECT(c.failed);
    net_close(&n);
    EXPECT(coroutine_sleep(20) == OK);
    tls_context_free(server);
}

/* --- a client that keeps us busy --- */

enum { FLOOD_BYTES = 512 << 10, FLOOD_STEP = 500 };

static atomic_uint turns, turns_then;
static bool has_heard;

static void serve_flooded(struct stream *s)
{
    colour_pretend_coroutine();
    buf got CLEANUP(buf_done) = BUF_INIT;
    EXPECT(stream_start_tls(s, server, clock_in(5000), NULL) == OK);
    has_heard = stream_read(s, &got, 100, clock_in(60000), NULL) == OK && got.len == 1;
    turns_then = atomic_load(&turns);
    stream_close(s);
}

static void count_turns(void *argument)
{
    colour_pretend_coroutine();
    while (coroutine_sleep(1) == OK) turns++;
}

/* Sends changes of keys, which OpenSSL takes by itself and tells nobody of, and then a byte. */
static void flood(void *argument)
{
    int fd = connect_to(((struct net *)argument)->at.port);
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    SSL *ssl = SSL_new(context);
    SSL_set_fd(ssl, fd);
    REQUIRE(SSL_connect(ssl) == 1);
    BIO *made = BIO_new(BIO_s_mem());
    BIO_up_ref(made);
    SSL_set0_wbio(ssl, made);
    size_t len = 0;
    char *bytes;
    while (len < FLOOD_BYTES) {
        for (int i = 0; i < FLOOD_STEP; i++) REQUIRE(SSL_key_update(ssl, SSL_KEY_UPDATE_NOT_REQUESTED) == 1 && SSL_do_handshake(ssl) == 1);
        len = (size_t)BIO_get_mem_data(made, &bytes);
    }
    REQUIRE(SSL_write(ssl, "x", 1) == 1);
    len = (size_t)BIO_get_mem_data(made, &bytes);
    atomic_store(&turns, 0);
    for (size_t at = 0; at < len;) {
        ssize_t n = write(fd, bytes + at, len - at);
        if (n <= 0) break;
        at += (size_t)n;
    }
    shutdown(fd, SHUT_WR);
    while (read(fd, bytes, 1) > 0) {}          /* a socket that is closed with input unread takes back what it sent */
    BIO_free(made);
    SSL_free(ssl);
    close(fd);
    SSL_CTX_free(context);
}

static void is_flooded(void *argument)
{
    colour_pretend_coroutine();
    struct net n;
    struct scope scope;
    server = net_tls("mail.example.test");
    net_open(&n, serve_flooded);
    scope_init(&scope, NULL);
    coroutine_spawn(&scope, "count", count_turns, NULL);
    EXPECT(worker_run(WORKER_SLOW, flood, &n) == OK);
    EXPECT(coroutine_sleep(100) == OK);
    EXPECT(has_heard);
    EXPECT(turns_then > 5);              /* 16 steps of ours; in one go it was 3 */
    net_close(&n);
    scope_done(&scope);
    EXPECT(coroutine_sleep(20) == OK);
    tls_context_free(server);
}

TEST_SLOW(tls_changes_of_keys_do_not_keep_the_loop, 60) { net_run(1, is_flooded); }

TEST(tls_speaks_1_2_and_1_3_and_nothing_older) { net_run(1, speaks_versions); }

static void resumes(void *argument)
{
    colour_pretend_coroutine();
    colour_pretend_worker();
    struct net n;
    struct fault fault = {0};
    struct tls_certificate two[] = {net_certificate("one.test"), net_certificate("two.test")};
    REQUIRE(tls_context_new_server(two, 1, &server, &fault) == OK);
    net_open(&n, serve_tls);
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        struct client c = {.version = version};
        REQUIRE(tls_context_reload(server, two, 1, &fault) == OK);
        run_client(&n, &c);
        EXPECT(!c.failed && !c.was_resumed && c.session);
        run_client(&n, &c);
        EXPECT(!c.failed && c.was_resumed);
        EXPECT(strncmp(c.answer, "hello", 5) == 0);
        REQUIRE(tls_context_reload(server, &two[1], 1, &fault) == OK);
        run_client(&n, &c);
        EXPECT(!c.failed && c.was_resumed);                        /* tickets outlive a reload */
        tls_tickets_rotate(tls_context_tickets(server));
        SSL_SESSION *old = c.session;
        SSL_SESSION_up_ref(old);
        run_client(&n, &c);
        EXPECT(!c.failed && c.was_resumed);                        /* by the key before, and a new ticket came, */
        EXPECT(version == TLS1_2_VERSION || c.session != old);     /* of which OpenSSL tells with 1.3 alone */
        tls_tickets_rotate(tls_context_tickets(server));
        SSL_SESSION_free(c.session);
        c.session = old;
        run_client(&n, &c);
        EXPECT(!c.failed && !c.was_resumed);                       /* two keys ago is too long */
        SSL_SESSION_free(c.session);
        c = (struct client){.version = version};
        run_client(&n, &c);
        EXPECT_VIEW(view_of(c.common_name), VIEW("two.test"));     /* new connections get the new certificate */
        SSL_SESSION_free(c.session);
    }
    struct tls_certificate missing = {"/nonexistent.crt", "/nonexistent.key"}, mixed = {two[0].certificate_file, two[1].key_file};
    EXPECT(tls_context_reload(server, &missing, 1, &fault) == INVALID);
    EXPECT(strstr(fault.detail, "/nonexistent.crt: No such file or directory") != NULL);
    EXPECT(tls_context_reload(server, &mixed, 1, &fault) == INVALID);
    EXPECT(tls_context_reload(server, NULL, 0, &fault) == INVALID);
    struct client c = {0};
    run_client(&n, &c);
    EXPECT_VIEW(view_of(c.common_name), VIEW("two.test"));         /* a reload that failed changed nothing */
    SSL_SESSION_free(c.session);
    net_close(&n);
    EXPECT(coroutine_sleep(20) == OK);
    tls_context_free(server);
    struct stat s;
    EXPECT(stat(two[0].key_file, &s) == 0 && (s.st_mode & 0777) == 0600);
    for (int i = 0; i < 2; i++) unlink(two[i].certificate_file), unlink(two[i].key_file);
}

TEST(tls_resumes_by_ticket_and_reloads_certificates) { net_run(1, resumes); }

static void picks_by_name(void *argument)
{
    colour_pretend_coroutine();
    colour_pretend_worker();
    struct net n;
    struct tls_certificate all[] = {net_certificate("one.test"), net_certificate("two.test"), net_certificate("*.three.test")};
    REQUIRE(tls_context_new_server(all, 3, &server, NULL) == OK);
    net_open(&n, serve_tls);
    static const char *const asks[][2] = {{"one.test", "one.test"}, {"TWO.test", "two.test"}, {"imap.three.test", "*.three.test"},
                                          {"a.b.three.test", "one.test"}, {"other.test", "one.test"}, {NULL, "one.test"}};
    for (size_t i = 0; i < array_size(asks); i++) {
        struct client c = {.name = asks[i][0]};
        run_client(&n, &c);
        EXPECT_VIEW(view_of(c.common_name), view_of(asks[i][1]));
        SSL_SESSION_free(c.session);
    }
    net_close(&n);
    EXPECT(coroutine_sleep(20) == OK);
    tls_context_free(server);
    for (int i = 0; i < 3; i++) unlink(all[i].certificate_file), unlink(all[i].key_file);
}

TEST(tls_picks_the_certificate_by_name) { net_run(1, picks_by_name); }

/* --- channel binding, and a handshake with somebody who does not speak TLS --- */

static unsigned char server_binding[32];

static void serve_binding(struct stream *s)
{
    colour_pretend_coroutine();
    struct fault fault = {0};
    unsigned char binding[32];
    EXPECT(stream_channel_binding(s, binding) == NOT_FOUND);
    result r = stream_start_tls(s, server, clock_in(300), &fault);
    if (r == OK) EXPECT(stream_channel_binding(s, server_binding) == OK);
    else EXPECT((r == IO || r == TIMEOUT) && fault.detail[0]);
    stream_close(s);
}

static void binds(void *argument)
{
    colour_pretend_coroutine();
    colour_pretend_worker();
    struct net n;
    struct tls_context *client;
    unsigned char binding[32];
    server = net_tls("one.test");
    REQUIRE(tls_context_new_client(&client, NULL) == OK);
    net_open(&n, serve_binding);
    struct stream *s = net_connect(&n);
    REQUIRE(stream_start_tls(s, client, clock_in(1000), NULL) == OK);
    EXPECT(stream_channel_binding(s, binding) == OK);
    buf b = BUF_INIT;
    EXPECT(stream_read(s, &b, 10, clock_in(1000), NULL) == END);
    EXPECT(memcmp(binding, server_binding, 32) == 0);
    stream_close(s);
    s = net_connect(&n);
    view nonsense = VIEW("EHLO this is no handshake\r\n");
    EXPECT(stream_write(s, &nonsense, 1, clock_in(1000), NULL) == OK);
    while (stream_read(s, &b, 100, clock_in(1000), NULL) == OK) continue;
    stream_close(s);
    s = net_connect(&n);                                   /* silence */
    buf_clear(&b);
    EXPECT(stream_read(s, &b, 100, clock_in(2000), NULL) == END);
    stream_close(s);
    buf_done(&b);
    net_close(&n);
    tls_context_free(client);
    tls_context_free(server);
}

TEST(tls_binds_channels_and_refuses_what_is_no_handshake) { net_run(1, binds); }

/* --- what a client demands --- */

static void serve_plainly(struct stream *s)
{
    colour_pretend_coroutine();
    (void)!stream_start_tls(s, server, clock_in(2000), NULL);
    stream_close(s);
}

/* SHA-256 of the certificate's key. */
static void digest_key(const char *file, unsigned char digest[static 32])
{
    FILE *in = fopen(file, "r");
    REQUIRE(in != NULL);
    X509 *certificate = PEM_read_X509(in, NULL, NULL, NULL);
    unsigned char *der = NULL;
    fclose(in);
    REQUIRE(certificate != NULL);
    int len = i2d_PUBKEY(X509_get0_pubkey(certificate), &der);
    REQUIRE(len > 0 && EVP_Digest(der, (size_t)len, digest, NULL, EVP_sha256(), NULL) == 1);
    OPENSSL_free(der);
    X509_free(certificate);
}

MAY_YIELD static result demand_of(struct net *n, struct tls_context *client, const struct tls_demand *d, enum tls_flaw expected)
{
    struct fault fault = {0};
    enum tls_flaw flaw = TLS_FLAW_OTHER;
    struct stream *s = net_connect(n);
    result code = stream_start_tls_to(s, client, d, clock_in(2000), &flaw, &fault);
    if (flaw != expected) test_fail(__FILE__, __LINE__, "flaw %d, not %d: %s", (int)flaw, (int)expected, fault.detail);
    stream_close(s);
    return code;
}

static void demands(void *argument)
{
    colour_pretend_coroutine();
    colour_pretend_worker();
    struct net n;
    struct tls_context *client, *stranger;
    unsigned char digest[32];
    struct tls_certificate certificate = net_certificate("one.test");
    REQUIRE(tls_context_new_server(&certificate, 1, &server, NULL) == OK);
    REQUIRE(tls_context_new_client(&client, NULL) == OK && tls_context_new_client(&stranger, NULL) == OK);
    REQUIRE(tls_context_trust(client, certificate.certificate_file, NULL) == OK);
    digest_key(certificate.certificate_file, digest);
    net_open(&n, serve_plainly);
    struct tls_association right = {.usage = 3, .selector = 1, .matching = 1, .data = view_make(digest, 32)}, wrong = right, broken = right;
    wrong.data = VIEW("0123456789abcdef0123456789abcdef");
    broken.data = VIEW("short");
    struct tls_demand name = {.check = TLS_CHECK_NAME, .server_name = VIEW("one.test"), .names = {VIEW("other.test"), VIEW("one.test")}, .name_count = 2};
    EXPECT(demand_of(&n, client, &name, TLS_FLAW_NONE) == OK);
    EXPECT(demand_of(&n, stranger, &name, TLS_FLAW_UNTRUSTED) == DENIED);
    name.name_count = 1;
    EXPECT(demand_of(&n, client, &name, TLS_FLAW_NAME) == DENIED);
    name.is_reported_only = true;
    EXPECT(demand_of(&n, client, &name, TLS_FLAW_NAME) == OK);
    struct tls_demand dane = {.check = TLS_CHECK_DANE, .server_name = VIEW("no.such.name"), .names = {VIEW("no.such.name")}, .name_count = 1, .associations = &right,
                              .association_count = 1};
    EXPECT(demand_of(&n, stranger, &dane, TLS_FLAW_NONE) == OK);
    dane.associations = (struct tls_association[]){broken, wrong, right}, dane.association_count = 3;
    EXPECT(demand_of(&n, stranger, &dane, TLS_FLAW_NONE) == OK);
    dane.association_count = 2;
    EXPECT(demand_of(&n, stranger, &dane, TLS_FLAW_UNMATCHED) == DENIED);
    dane.association_count = 1;
    EXPECT(demand_of(&n, stranger, &dane, TLS_FLAW_NONE) == INVALID);      /* none can be used: nothing is sent to the server */
    EXPECT(demand_of(&n, stranger, &(struct tls_demand){.server_name = VIEW("one.test")}, TLS_FLAW_NONE) == OK);
    net_close(&n);
    EXPECT(coroutine_sleep(20) == OK);
    tls_context_free(server);
    tls_context_free(client);
    tls_context_free(stranger);
    unlink(certificate.certificate_file);
    unlink(certificate.key_file);
}

TEST(tls_looks_at_the_servers_certificate_as_demanded) { net_run(1, demands); }
