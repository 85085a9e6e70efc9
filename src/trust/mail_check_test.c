/* Signatures made by others: DKIM of four projects, and the ARC suite. */
#include "trust/mail_check.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/test.h"
#include "formats/header.h"
#include "runtime/clock.h"
#include "trust/test_vectors.h"

enum { PATIENCE_MS = 60000, PIECE_BYTES = 61 };

/* When all of them had been made and none had expired that may not. */
#define THEN ((unix_ms){1667900000000})

MAY_YIELD static struct mail_check *check_message(struct vectors *v, view message)
{
    view header, body;
    header_split(message, &header, &body);
    struct mail_check *c = mail_check_new(header);
    for (size_t at = 0; at < body.len; at += PIECE_BYTES) mail_check_feed(c, view_slice(body, at, PIECE_BYTES));
    mail_check_end(c, v->resolver, THEN, clock_in(PATIENCE_MS));
    return c;
}

/* ---- our own cases ---- */

static void put_keys(struct vectors *v, const json_t *keys)
{
    const char *name;
    json_t *text;
    json_object_foreach((json_t *)(uintptr_t)keys, name, text) if (json_is_string(text)) vectors_put_txt(v, view_of(name), view_of(json_string_value(text)));
}

/* pass is pass; anything else must not be pass, and an error for good is no failure that could be repaired. */
MAY_YIELD static void run_made(struct vectors *v, const char *file, const char *expect)
{
    char path[300];
    buf message CLEANUP(buf_done) = BUF_INIT;
    size_t count, passed = 0;
    snprintf(path, sizeof path, "dkim/made/%s", file);
    vectors_read(path, true, &message);
    struct mail_check *c = check_message(v, buf_view(&message));
    const struct dkim_verdict *verdicts = mail_check_dkim(c, &count);
    for (size_t i = 0; i < count; i++) passed += verdicts[i].result == CHECK_PASS;
    bool wants_pass = view_equal(view_of(expect), VIEW("pass")), takes_all = view_equal(view_of(expect), VIEW("any"));
    if (count == 0 || (!takes_all && wants_pass != (passed > 0)))
        test_fail(__FILE__, __LINE__, "%s: %zu of %zu pass, expected %s: " VIEW_FMT, file, passed, count, expect, VIEW_ARG(count ? verdicts[0].reason : VIEW_EMPTY));
    if (view_equal(view_of(expect), VIEW("permerror")) && count > 0 && verdicts[0].result != CHECK_PERMERROR)
        test_fail(__FILE__, __LINE__, "%s is %s", file, check_result_name(verdicts[0].result));
    mail_check_free(c);
}

static void run_all_made(struct vectors *v, void *unused)
{
    colour_pretend_coroutine();
    buf keys CLEANUP(buf_done) = BUF_INIT, cases CLEANUP(buf_done) = BUF_INIT;
    vectors_read("dkim/made/keys.json", false, &keys);
    vectors_read("dkim/made/cases.json", false, &cases);
    json_t *records = json_loadb(keys.at, keys.len, 0, NULL), *list = json_loadb(cases.at, cases.len, 0, NULL), *one;
    size_t i;
    REQUIRE(json_is_object(records) && json_is_array(list));
    put_keys(v, records);
    json_array_foreach(list, i, one) run_made(v, json_string_value(json_object_get(one, "file")), json_string_value(json_object_get(one, "expect")));
    EXPECT_NUMBER(json_array_size(list), 84);
    json_decref(records);
    json_decref(list);
}

TEST_SLOW(mail_check_made_dkim_cases, 60) { vectors_run(run_all_made, NULL); }

/* ---- others' messages: every signature passes ---- */

MAY_YIELD static void expect_all_pass(struct vectors *v, const char *name, view message)
{
    size_t count;
    struct mail_check *c = check_message(v, message);
    const struct dkim_verdict *verdicts = mail_check_dkim(c, &count);
    if (count == 0) test_fail(__FILE__, __LINE__, "%s: no signature", name);
    for (size_t i = 0; i < count; i++)
        if (verdicts[i].result != CHECK_PASS)
            test_fail(__FILE__, __LINE__, "%s: " VIEW_FMT ": %s: " VIEW_FMT, name, VIEW_ARG(verdicts[i].selector),
                      check_result_name(verdicts[i].result), VIEW_ARG(verdicts[i].reason));
    mail_check_free(c);
}

/* A list has changed the message, and says what it was before. */
MAY_YIELD static void expect_chain(struct vectors *v, const char *name, view message)
{
    struct mail_check *c = check_message(v, message);
    const struct arc_verdict *arc = mail_check_arc(c);
    if (arc->validation != ARC_PASS) test_fail(__FILE__, __LINE__, "%s: ARC: " VIEW_FMT, name, VIEW_ARG(arc->reason));
    mail_check_free(c);
}

/* Lines "name TXT", an empty line, the message. */
MAY_YIELD static void run_mail_auth(struct vectors *v, const char *file, bool wants_arc)
{
    char path[300];
    buf text CLEANUP(buf_done) = BUF_INIT;
    snprintf(path, sizeof path, "dkim/%s", file);
    vectors_read(path, true, &text);
    view rest = buf_view(&text), line, name;
    sim_dns_clear(v->sim);
    while (view_cut(&rest, '\n', &line) && view_trim(line).len > 0) {
        view_cut(&line, ' ', &name);
        vectors_put_txt(v, name, view_trim(line));
    }
    if (wants_arc) expect_chain(v, file, rest);
    else expect_all_pass(v, file, rest);
}

static void run_all_mail_auth(struct vectors *v, void *unused)
{
    colour_pretend_coroutine();
    static const char *const files[] = {"mail-auth-001.txt", "mail-auth-002.txt", "mail-auth-003.txt", "mail-auth-004.txt", "mail-auth-005.txt", "mail-auth-006.txt"};
    for (size_t i = 0; i < array_size(files); i++) run_mail_auth(v, files[i], false);
    run_mail_auth(v, "mail-auth-arc-001.txt", true);
    run_mail_auth(v, "mail-auth-arc-002.txt", true);
}

TEST(mail_check_signed_by_mail_auth) { vectors_run(run_all_mail_auth, NULL); }

static void run_mailauth(struct vectors *v, void *unused)
{
    colour_pretend_coroutine();
    buf dns CLEANUP(buf_done) = BUF_INIT, message CLEANUP(buf_done) = BUF_INIT;
    vectors_read("dkim/mailauth-signed.dns.json", false, &dns);
    vectors_read("dkim/mailauth-signed.eml", true, &message);
    json_t *records = json_loadb(dns.at, dns.len, 0, NULL), *types, *part;
    REQUIRE(json_is_object(records));
    const char *name;
    size_t i;
    json_object_foreach(records, name, types) {
        buf text CLEANUP(buf_done) = BUF_INIT;
        json_array_foreach(json_array_get(json_object_get(types, "TXT"), 0), i, part) buf_append_cstr(&text, json_string_value(part));
        if (text.len) vectors_put_txt(v, view_of(name), buf_view(&text));
    }
    json_decref(records);
    expect_all_pass(v, "mailauth-signed.eml", buf_view(&message));
}

TEST(mail_check_signed_by_mailauth) { vectors_run(run_mailauth, NULL); }

/* ---- the ARC suite ---- */

static size_t arc_cases;

static void run_arc_case(struct vectors *v, const struct yaml_case *y, view domain, view selector, view private_key)
{
    colour_pretend_coroutine();
    static const char *const names[] = {[ARC_NONE] = "none", [ARC_FAIL] = "fail", [ARC_PASS] = "pass"};
    view want = view_trim(yaml_value(y, "cv"));
    struct mail_check *c = check_message(v, buf_view(&y->message));
    const struct arc_verdict *arc = mail_check_arc(c);
    arc_cases++;
    /* An empty expectation: the draft did not judge a chain that was sealed cv=fail; RFC 8617 §5.2 step 2 has it fail. */
    if (want.len == 0) EXPECT(arc->validation == ARC_FAIL && view_equal(arc->reason, VIEW("the chain had failed before")));
    else if (!view_equal_nocase(view_of(names[arc->validation]), want))
        test_fail(__FILE__, __LINE__, VIEW_FMT ": %s, not \"" VIEW_FMT "\": " VIEW_FMT, VIEW_ARG(y->name), names[arc->validation], VIEW_ARG(want), VIEW_ARG(arc->reason));
    mail_check_free(c);
}

static void run_arc(struct vectors *v, void *unused)
{
    yaml_each(v, "arc/arc-draft-validation-tests.yml", run_arc_case);
    EXPECT_NUMBER(arc_cases, 175);             /* 171 names, four of them twice */
}

TEST_SLOW(mail_check_arc_suite, 60) { vectors_run(run_arc, NULL); }

/* ---- what is told ---- */

static void run_dns_trouble(struct vectors *v, void *unused)
{
    colour_pretend_coroutine();
    buf text CLEANUP(buf_done) = BUF_INIT, results CLEANUP(buf_done) = BUF_INIT;
    size_t count;
    vectors_read("dkim/mail-auth-002.txt", true, &text);
    view message = view_from(buf_view(&text), view_find_view(buf_view(&text), VIEW("\r\n\r\n")) + 4);
    sim_dns_fail(v->sim, VIEW("newengland._domainkey.example.com"), true);
    struct mail_check *c = check_message(v, message);
    EXPECT(mail_check_dkim(c, &count)->result == CHECK_TEMPERROR);
    mail_check_append_results(c, &results);
    EXPECT_VIEW(buf_view(&results), VIEW(";\r\n\tdkim=temperror reason=\"key cannot be looked up now\" header.d=example.com header.s=newengland\r\n\t header.a=rsa-sha256"
                                         " header.b=Xh4Ujb2w;\r\n\tarc=none"));
    mail_check_free(c);
}

TEST(mail_check_servers_that_fail_are_no_verdict) { vectors_run(run_dns_trouble, NULL); }

static void run_many(struct vectors *v, void *unused)
{
    colour_pretend_coroutine();
    buf message CLEANUP(buf_done) = BUF_INIT;
    size_t count;
    for (int i = 0; i < 1000; i++) buf_append(&message, VIEW("DKIM-Signature: v=1; a=rsa-sha256; d=e.test; s=a; h=from; bh=YWJj; b=YWJj\r\nARC-Seal: i=1; b=Y\r\n"));
    buf_append(&message, VIEW("From: a@e.test\r\n\r\nx\r\n"));
    struct mail_check *c = check_message(v, buf_view(&message));
    mail_check_dkim(c, &count);
    EXPECT_NUMBER(count, 0);                     /* more fields than are looked at */
    mail_check_free(c);
    c = check_message(v, view_from(buf_view(&message), message.len / 2));
    EXPECT(mail_check_dkim(c, &count)->result != CHECK_PASS);
    EXPECT_NUMBER(count, MAIL_CHECK_SIGNATURES_MAX);
    EXPECT(mail_check_arc(c)->validation == ARC_FAIL);
    mail_check_free(c);
}

TEST(mail_check_is_bounded) { vectors_run(run_many, NULL); }

/* As many keys as there can be, each with as much in DNS as an answer may have. */
static void run_large_answers(struct vectors *v, void *unused)
{
    colour_pretend_coroutine();
    static const char empty_body[] = "h=from; bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=; b=YWJj\r\n";
    buf message CLEANUP(buf_done) = BUF_INIT, text CLEANUP(buf_done) = BUF_INIT;
    size_t count;
    for (int i = 0; i < 3800; i++) buf_append_byte(&text, 'x');
    for (int i = 1; i <= ARC_INSTANCES_MAX; i++) {
        buf name CLEANUP(buf_done) = BUF_INIT;
        buf_appendf(&message, "ARC-Authentication-Results: i=%d; mx.test\r\nARC-Message-Signature: i=%d; a=rsa-sha256; d=e.test; s=k0; %s", i, i, empty_body);
        buf_appendf(&message, "ARC-Seal: i=%d; a=rsa-sha256; cv=%s; d=e.test; s=k%d; b=YWJj\r\n", i, i == 1 ? "none" : "pass", i);
        if (i <= MAIL_CHECK_SIGNATURES_MAX)
            buf_appendf(&message, "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=e.test; s=k%d; %s", i - 1, empty_body);
        buf_appendf(&name, "k%d._domainkey.e.test", i - 1);
        for (int n = 0; n < RESOLVER_RECORDS_MAX; n++) vectors_put_txt(v, buf_view(&name), buf_view(&text));
    }
    buf_append(&message, VIEW("From: a@e.test\r\n\r\n"));
    struct mail_check *c = check_message(v, buf_view(&message));
    const struct dkim_verdict *verdicts = mail_check_dkim(c, &count);
    EXPECT_NUMBER(count, MAIL_CHECK_SIGNATURES_MAX);
    for (size_t i = 0; i < count; i++) EXPECT(verdicts[i].result == CHECK_PERMERROR && verdicts[i].reason.len > 0);
    EXPECT(mail_check_arc(c)->validation == ARC_FAIL);
    mail_check_free(c);
}

TEST(mail_check_takes_little_of_large_answers) { vectors_run(run_large_answers, NULL); }
