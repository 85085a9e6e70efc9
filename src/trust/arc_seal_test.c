/* Sealing: each hop's seal holds for the next, and a chain that broke says so. */
#include "trust/arc_seal.h"

#include <time.h>

#include "base/check.h"
#include "base/test.h"
#include "formats/header.h"
#include "formats/transfer.h"
#include "runtime/clock.h"
#include "trust/test_vectors.h"

enum { PATIENCE_MS = 60000 };

static const char message[] = "From: Hanako <hanako@example.test>\r\nTo: taro@elsewhere.test\r\nSubject: sealed\r\n\r\nbody\r\n";

static struct signing_key *make_key(struct vectors *v)
{
    buf private CLEANUP(buf_done) = BUF_INIT, public CLEANUP(buf_done) = BUF_INIT, record CLEANUP(buf_done) = BUF_INIT;
    struct signing_key *key;
    colour_pretend_worker();
    REQUIRE(signing_key_make(DKIM_RSA_SHA256, &private, &public, NULL) == OK);
    REQUIRE(signing_key_load(DKIM_RSA_SHA256, buf_view(&private), &key, NULL) == OK);
    dkim_key_append(&record, false, buf_view(&public));
    vectors_put_txt(v, VIEW("k._domainkey.hop.test"), buf_view(&record));
    return key;
}

/* What the message's chain is, and the message with one more set. */
MAY_YIELD static enum arc_validation hop_saying(struct vectors *v, const struct signing_key *key, view results, buf *whole)
{
    struct signer *signer;
    view header, body;
    buf front CLEANUP(buf_done) = BUF_INIT;
    header_split(buf_view(whole), &header, &body);
    struct mail_check *c = mail_check_new(header);
    REQUIRE(signer_new(DKIM_ARC_MESSAGE, header, &signer, NULL) == OK);
    mail_check_feed(c, body);
    signer_feed(signer, body);
    mail_check_end(c, v->resolver, clock_wall(), clock_in(PATIENCE_MS));
    enum arc_validation validation = mail_check_arc(c)->validation;
    struct arc_order order = {.server_name = VIEW("mx.hop.test"), .domain = VIEW("hop.test"), .key = {key, VIEW("k")}, .results = results, .now_s = 1790000000};
    if (arc_seal_is_due(mail_check_arc(c))) REQUIRE(arc_seal_append(c, signer, &order, &front, NULL) == OK);
    buf_append(&front, buf_view(whole));
    buf_clear(whole);
    buf_append(whole, buf_view(&front));
    signer_free(signer);
    mail_check_free(c);
    return validation;
}

MAY_YIELD static enum arc_validation hop(struct vectors *v, const struct signing_key *key, buf *whole) { return hop_saying(v, key, VIEW_EMPTY, whole); }

static size_t count_of(const buf *whole, view needle)
{
    size_t count = 0, at;
    for (view rest = buf_view(whole); (at = view_find_view(rest, needle)) != VIEW_NONE; rest = view_from(rest, at + 1)) count++;
    return count;
}

static void run_chain(struct vectors *v, void *unused)
{
    colour_pretend_coroutine();
    struct signing_key *key = make_key(v);
    buf whole CLEANUP(buf_done) = BUF_INIT;
    buf_append_cstr(&whole, message);
    EXPECT(hop(v, key, &whole) == ARC_NONE);
    for (int i = 0; i < 3; i++) EXPECT(hop(v, key, &whole) == ARC_PASS);
    EXPECT_NUMBER(count_of(&whole, VIEW("ARC-Seal: ")), 4);
    EXPECT_NUMBER(count_of(&whole, VIEW("cv=none")), 1);
    /* Somebody changes the body: the next hop says so, and then there is no more to say. */
    whole.at[whole.len - 3] = 'X';
    EXPECT(hop(v, key, &whole) == ARC_FAIL);
    EXPECT_NUMBER(count_of(&whole, VIEW("cv=fail")), 1);
    EXPECT(hop(v, key, &whole) == ARC_FAIL);
    EXPECT_NUMBER(count_of(&whole, VIEW("ARC-Seal: ")), 5);
    signing_key_free(key);
}

TEST(arc_seal_makes_a_chain) { vectors_run(run_chain, NULL); }

static void run_long(struct vectors *v, void *unused)
{
    colour_pretend_coroutine();
    struct signing_key *key = make_key(v);
    buf whole CLEANUP(buf_done) = BUF_INIT;
    buf_append_cstr(&whole, message);
    for (int i = 0; i < 52; i++) (void)hop(v, key, &whole);
    EXPECT_NUMBER(count_of(&whole, VIEW("ARC-Seal: ")), ARC_INSTANCES_MAX);
    signing_key_free(key);
}

TEST_SLOW(arc_seal_ends_at_fifty, 60) { vectors_run(run_long, NULL); }

/* What the last hop's check costs beside one reading of a results field of 300 KiB: processor time. */
static void run_large(struct vectors *v, void *unused)
{
    colour_pretend_coroutine();
    enum { RESULTS_BYTES = 300 << 10 };
    struct signing_key *key = make_key(v);
    struct header_field field;
    buf whole CLEANUP(buf_done) = BUF_INIT, results CLEANUP(buf_done) = BUF_INIT, text CLEANUP(buf_done) = BUF_INIT;
    buf_append_cstr(&results, "none");
    while (results.len < RESULTS_BYTES) buf_append_cstr(&results, ";\r\n dkim=pass header.d=x.test");
    buf_append_cstr(&whole, message);
    EXPECT(hop_saying(v, key, buf_view(&results), &whole) == ARC_NONE);
    for (int i = 1; i < ARC_INSTANCES_MAX; i++) EXPECT(hop(v, key, &whole) == ARC_PASS);
    clock_t begin = clock();
    EXPECT(hop(v, key, &whole) == ARC_PASS);
    clock_t check_time = clock() - begin;
    view header, body;
    header_split(buf_view(&whole), &header, &body);
    for (view rest = header; header_next(&rest, &field);)
        if (field.value.len >= RESULTS_BYTES) break;
    REQUIRE(field.value.len >= RESULTS_BYTES);
    begin = clock();
    dkim_append_field(&text, field.whole, true);
    clock_t once = clock() - begin;
    if (check_time > 30 * once) test_fail(__FILE__, __LINE__, "%ld us, and one reading %ld us", (long)check_time, (long)once);
    signing_key_free(key);
}

TEST_SLOW(arc_seal_reads_large_sets_once, 60) { vectors_run(run_large, NULL); }

/* ---- the suite's signing cases: other tags in another order, so fields are compared by what they say ---- */

static size_t sign_cases;

static struct signing_key *read_pem(view pem)
{
    buf text CLEANUP(buf_done) = BUF_INIT, der CLEANUP(buf_done) = BUF_INIT;
    struct signing_key *key;
    for (view line; view_cut(&pem, '\n', &line);)
        if (!view_starts(line, VIEW("-----"))) buf_append(&text, view_trim(line));
    REQUIRE(base64_decode(buf_view(&text), &der));
    REQUIRE(signing_key_load(DKIM_RSA_SHA256, buf_view(&der), &key, NULL) == OK);
    return key;
}

static struct dkim_signature *read_signature(enum dkim_kind kind, view header, const char *name, struct arena *arena)
{
    struct dkim_signature *s = arena_new_struct(arena, struct dkim_signature);
    struct header_field field;
    view value = header;
    if (name) REQUIRE(header_find(header, view_of(name), &field));
    if (name) value = field.value;
    REQUIRE(dkim_signature_parse(kind, value, arena, s, NULL) == OK);
    return s;
}

static void expect_same(const struct yaml_case *y, view header, struct arena *arena)
{
    const struct dkim_signature *want = read_signature(DKIM_ARC_MESSAGE, yaml_value(y, "AMS"), NULL, arena);
    const struct dkim_signature *got = read_signature(DKIM_ARC_MESSAGE, header, "ARC-Message-Signature", arena);
    const struct dkim_signature *seal = read_signature(DKIM_ARC_SEAL, header, "ARC-Seal", arena), *want_seal = read_signature(DKIM_ARC_SEAL, yaml_value(y, "AS"), NULL, arena);
    if (!view_equal(got->body_hash, want->body_hash) || got->instance != want->instance || seal->validation != want_seal->validation)
        test_fail(__FILE__, __LINE__, VIEW_FMT ": i=%u, not %u; cv=%d, not %d", VIEW_ARG(y->name), got->instance, want->instance, seal->validation, want_seal->validation);
}

static void run_sign_case(struct vectors *v, const struct yaml_case *y, view domain, view selector, view private_key)
{
    colour_pretend_coroutine();
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 4 << 20);
    struct signing_key *key = read_pem(private_key);
    struct signer *signer;
    view header, body;
    buf front CLEANUP(buf_done) = BUF_INIT;
    header_split(buf_view(&y->message), &header, &body);
    struct mail_check *c = mail_check_new(header);
    REQUIRE(signer_new(DKIM_ARC_MESSAGE, header, &signer, NULL) == OK);
    mail_check_feed(c, body);
    signer_feed(signer, body);
    mail_check_end(c, v->resolver, clock_wall(), clock_in(PATIENCE_MS));
    struct arc_order order = {.server_name = VIEW("lists.example.org"), .domain = domain, .key = {key, selector}, .now_s = 12345};
    bool wants_seal = view_trim(yaml_value(y, "AS")).len > 0;
    if (arc_seal_is_due(mail_check_arc(c)) != wants_seal) test_fail(__FILE__, __LINE__, VIEW_FMT ": %s", VIEW_ARG(y->name), wants_seal ? "not sealed" : "sealed");
    if (wants_seal) {
        REQUIRE(arc_seal_append(c, signer, &order, &front, NULL) == OK);
        expect_same(y, buf_view(&front), arena);
    }
    sign_cases++;
    signer_free(signer);
    mail_check_free(c);
    signing_key_free(key);
}

static void run_sign_suite(struct vectors *v, void *unused)
{
    yaml_each(v, "arc/arc-draft-sign-tests.yml", run_sign_case);
    EXPECT_NUMBER(sign_cases, 17);
}

TEST(arc_seal_suite) { vectors_run(run_sign_suite, NULL); }
