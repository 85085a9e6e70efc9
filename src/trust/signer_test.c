/* What is signed here holds, and any change to it does not. */
#include "trust/signer.h"

#include "base/check.h"
#include "base/test.h"
#include "formats/header.h"
#include "runtime/clock.h"
#include "trust/mail_check.h"
#include "trust/test_vectors.h"

enum { PATIENCE_MS = 60000 };

static const char message[] = "From: Hanako <hanako@example.test>\r\nTo: taro@elsewhere.test\r\nSubject: a\r\n  folded  one\r\nDate: Sun, 22 Nov 2026 07:30:00 +0000\r\n\r\n"
                              "Body  with \t blanks \r\n\r\n.\r\nend\r\n\r\n";

MAY_YIELD static bool holds(struct vectors *v, view text, size_t *ret_count)
{
    view header, body;
    bool all = true;
    header_split(text, &header, &body);
    struct mail_check *c = mail_check_new(header);
    mail_check_feed(c, body);
    mail_check_end(c, v->resolver, clock_wall(), clock_in(PATIENCE_MS));
    const struct dkim_verdict *verdicts = mail_check_dkim(c, ret_count);
    for (size_t i = 0; i < *ret_count; i++) all &= verdicts[i].result == CHECK_PASS;
    mail_check_free(c);
    return all;
}

static struct signing_key *make_key(struct vectors *v, enum dkim_algorithm algorithm, const char *selector)
{
    buf private CLEANUP(buf_done) = BUF_INIT, public CLEANUP(buf_done) = BUF_INIT, record CLEANUP(buf_done) = BUF_INIT, name CLEANUP(buf_done) = BUF_INIT;
    struct signing_key *key;
    colour_pretend_worker();
    REQUIRE(signing_key_make(algorithm, &private, &public, NULL) == OK);
    REQUIRE(signing_key_load(algorithm, buf_view(&private), &key, NULL) == OK);
    dkim_key_append(&record, algorithm == DKIM_ED25519_SHA256, buf_view(&public));
    buf_appendf(&name, "%s._domainkey.example.test", selector);
    vectors_put_txt(v, buf_view(&name), buf_view(&record));
    return key;
}

static void with_front(buf *into, view front, view text)
{
    buf_clear(into);
    buf_append(into, front);
    buf_append(into, text);
}

static void run_signing(struct vectors *v, void *unused)
{
    colour_pretend_coroutine();
    struct signing_key *rsa = make_key(v, DKIM_RSA_SHA256, "r1"), *ed25519 = make_key(v, DKIM_ED25519_SHA256, "e1");
    struct signer_key keys[] = {{rsa, VIEW("r1")}, {ed25519, VIEW("e1")}};
    struct signer_order order = {.domain = VIEW("example.test"), .keys = keys, .key_count = 2, .now_s = 1790000000};
    buf front CLEANUP(buf_done) = BUF_INIT, whole CLEANUP(buf_done) = BUF_INIT, forged CLEANUP(buf_done) = BUF_INIT;
    size_t count;
    REQUIRE(signer_sign_message(view_of(message), &order, &front, NULL) == OK);
    with_front(&whole, buf_view(&front), view_of(message));
    EXPECT(holds(v, buf_view(&whole), &count) && count == 2);
    /* A field on top of all does not matter; one that is signed does, though it is another one. */
    with_front(&forged, VIEW("Received: x\r\n"), buf_view(&whole));
    EXPECT(holds(v, buf_view(&forged), &count));
    with_front(&forged, VIEW("From: other@example.test\r\n"), buf_view(&whole));
    EXPECT(!holds(v, buf_view(&forged), &count));
    whole.at[whole.len - 6] = 'X';
    EXPECT(!holds(v, buf_view(&whole), &count));
    signing_key_free(rsa);
    signing_key_free(ed25519);
}

TEST(signer_signs_with_both_algorithms) { vectors_run(run_signing, NULL); }

/* The sending end of SMTP makes CRLF of bare CR and LF: what is signed is what arrives. */
static void run_line_ends(struct vectors *v, void *unused)
{
    colour_pretend_coroutine();
    struct signing_key *key = make_key(v, DKIM_ED25519_SHA256, "e1");
    struct signer_key keys[] = {{key, VIEW("e1")}};
    struct signer_order order = {.domain = VIEW("example.test"), .keys = keys, .key_count = 1};
    buf front CLEANUP(buf_done) = BUF_INIT, whole CLEANUP(buf_done) = BUF_INIT;
    size_t count;
    REQUIRE(signer_sign_message(VIEW("From: a@example.test\nSubject: b\n\nx\ry\nz"), &order, &front, NULL) == OK);
    with_front(&whole, buf_view(&front), VIEW("From: a@example.test\r\nSubject: b\r\n\r\nx\r\ny\r\nz\r\n"));
    EXPECT(holds(v, buf_view(&whole), &count) && count == 1);
    signing_key_free(key);
}

TEST(signer_signs_what_smtp_sends) { vectors_run(run_line_ends, NULL); }

TEST(signer_refuses_a_header_without_measure)
{
    buf header CLEANUP(buf_done) = BUF_INIT;
    struct signer *s;
    for (int i = 0; i < 500; i++) buf_append(&header, VIEW("To: a@example.test\r\n"));
    EXPECT(signer_new(DKIM_SIGNATURE, buf_view(&header), &s, NULL) == INVALID);
}

TEST(signing_key_takes_its_kind_alone)
{
    buf private CLEANUP(buf_done) = BUF_INIT, public CLEANUP(buf_done) = BUF_INIT;
    struct signing_key *key;
    colour_pretend_worker();
    REQUIRE(signing_key_make(DKIM_ED25519_SHA256, &private, &public, NULL) == OK);
    EXPECT_NUMBER(public.len, 32);
    EXPECT(signing_key_load(DKIM_RSA_SHA256, buf_view(&private), &key, NULL) == INVALID);
    EXPECT(signing_key_load(DKIM_ED25519_SHA256, VIEW("nonsense"), &key, NULL) == INVALID);
    EXPECT(signing_key_load(DKIM_ED25519_SHA256, VIEW_EMPTY, &key, NULL) == INVALID);
}
