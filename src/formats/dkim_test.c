/* Tag lists, signatures, key records, and canonical forms with the examples of RFC 6376. */
#include "formats/dkim.h"

#include "base/check.h"
#include "base/test.h"

static struct arena *memory(void)
{
    return arena_new(NULL, 1 << 20);
}

static result parse(enum dkim_kind kind, const char *text, struct arena *arena, struct dkim_signature **ret_signature)
{
    *ret_signature = arena_new_struct(arena, struct dkim_signature);
    return dkim_signature_parse(kind, view_of(text), arena, *ret_signature, NULL);
}

#define COVERED "h=From : to:Subject; bh=YWJj; b=Y W\r\n Jj"

TEST(dkim_signature_has_its_tags)
{
    struct arena *arena CLEANUP(arena_freep) = memory();
    struct dkim_signature *s;
    REQUIRE(parse(DKIM_SIGNATURE, " v=1; a=rsa-sha256; d=example.test; s=a.b; c=relaxed; i=x@sub.example.test;\r\n\tl=12; t=5; x=6; " COVERED ";\r\n ", arena, &s) == OK);
    EXPECT(s->algorithm == DKIM_RSA_SHA256 && s->header_is_relaxed && !s->body_is_relaxed);
    EXPECT_VIEW(s->domain, VIEW("example.test"));
    EXPECT_VIEW(s->selector, VIEW("a.b"));
    EXPECT_VIEW(s->signature, VIEW("abc"));
    EXPECT_NUMBER(s->name_count, 3);
    EXPECT_VIEW(s->names[0], VIEW("From"));
    EXPECT(s->has_length && s->length == 12 && s->signed_s == 5 && s->expires_s == 6);
}

TEST(dkim_broken_signatures_are_none)
{
    static const char *const broken[] = {
        "", "v=1", "v=2; a=rsa-sha256; d=e.test; s=a; " COVERED, "a=rsa-sha256; d=e.test; s=a; " COVERED,
        "v=1; a=rsa-md5; d=e.test; s=a; " COVERED, "v=1; a=rsa-sha256; s=a; " COVERED, "v=1; a=rsa-sha256; d=e.test; d=e.test; s=a; " COVERED,
        "v=1; a=rsa-sha256; d=e.test; s=a; c=strict; " COVERED, "v=1; a=rsa-sha256; d=e.test; s=a; i=x@other.test; " COVERED,
        "v=1; a=rsa-sha256; d=e.test; s=a; i=x@note.test; " COVERED, "v=1; a=rsa-sha256; d=e.test; s=a; t=now; " COVERED,
        "v=1; a=rsa-sha256; d=e.test; s=a; t=7; x=6; " COVERED, "v=1; a=rsa-sha256; d=e.test; s=a; l=-1; " COVERED,
        "v=1; a=rsa-sha256; d=e.test; s=a; q=http; " COVERED, "v=1; a=rsa-sha256; d=e.test; s=a; h=to; bh=YWJj; b=YWJj",
        "v=1; a=rsa-sha256; d=e.test; s=a; h=from; bh=YWJj; b=Y?Jj", "v=1;; a=rsa-sha256; d=e.test; s=a; " COVERED,
    };
    for (size_t i = 0; i < array_size(broken); i++) {
        struct arena *arena CLEANUP(arena_freep) = memory();
        struct dkim_signature *s;
        if (parse(DKIM_SIGNATURE, broken[i], arena, &s) != INVALID) test_fail(__FILE__, __LINE__, "taken: %s", broken[i]);
    }
}

TEST(dkim_arc_fields_have_instances)
{
    struct arena *arena CLEANUP(arena_freep) = memory();
    struct dkim_signature *s;
    unsigned instance;
    view rest;
    EXPECT(parse(DKIM_ARC_SEAL, "i=50; a=rsa-sha256; cv=pass; d=e.test; s=a; b=YWJj", arena, &s) == OK && s->instance == 50 && s->validation == ARC_PASS);
    EXPECT(parse(DKIM_ARC_SEAL, "i=51; a=rsa-sha256; cv=pass; d=e.test; s=a; b=YWJj", arena, &s) == INVALID);
    EXPECT(parse(DKIM_ARC_SEAL, "i=1; a=rsa-sha256; d=e.test; s=a; b=YWJj", arena, &s) == INVALID);
    EXPECT(parse(DKIM_ARC_SEAL, "i=1; a=rsa-sha256; cv=none; d=e.test; s=a; h=from; b=YWJj", arena, &s) == INVALID);
    EXPECT(parse(DKIM_ARC_MESSAGE, "i=1; a=rsa-sha256; d=e.test; s=a; " COVERED, arena, &s) == OK && s->instance == 1);
    EXPECT(parse(DKIM_ARC_MESSAGE, "i=1; a=rsa-sha256; d=e.test; s=a; h=from:ARC-Seal; bh=YWJj; b=YWJj", arena, &s) == INVALID);
    EXPECT(arc_results_parse(VIEW(" i=3 ; mx.test; dkim=pass\r\n"), &instance, &rest) && instance == 3);
    EXPECT_VIEW(rest, VIEW("mx.test; dkim=pass"));
    EXPECT(!arc_results_parse(VIEW("mx.test; i=3"), &instance, NULL) && !arc_results_parse(VIEW("i=0; mx.test"), &instance, NULL));
}

TEST(dkim_key_records)
{
    struct arena *arena CLEANUP(arena_freep) = memory();
    struct dkim_key key;
    REQUIRE(dkim_key_parse(VIEW("v=DKIM1; k=ed25519; h=sha1; s=other; t=y:s; p=YW Jj"), arena, &key, NULL) == OK);
    EXPECT(key.type == DKIM_KEY_ED25519 && !key.takes_sha256 && !key.is_for_mail && key.is_test && key.is_strict);
    EXPECT_VIEW(key.key, VIEW("abc"));
    EXPECT(dkim_key_parse(VIEW("p="), arena, &key, NULL) == OK && key.key.len == 0 && key.takes_sha256 && key.is_for_mail);
    EXPECT(dkim_key_parse(VIEW("v=DKIM1"), arena, &key, NULL) == INVALID);
    EXPECT(dkim_key_parse(VIEW("v=spf1 -all"), arena, &key, NULL) == INVALID);
    EXPECT(dkim_key_parse(VIEW("p=YWJj; v=DKIM1"), arena, &key, NULL) == INVALID);
    EXPECT(dkim_key_parse(VIEW("v=DKIM1; k=dsa; p=YWJj"), arena, &key, NULL) == INVALID);
}

/* What is written is read back, and its lines stay short. */
TEST(dkim_drafts_parse)
{
    struct arena *arena CLEANUP(arena_freep) = memory();
    buf text CLEANUP(buf_done) = BUF_INIT;
    struct dkim_signature *s;
    char bytes[256] = {1, 2, 3};
    struct dkim_draft d = {.kind = DKIM_SIGNATURE, .algorithm = DKIM_ED25519_SHA256, .domain = VIEW("example.test"), .selector = VIEW("k1"),
                           .names = VIEW("from:from:to:to:cc:cc:subject:subject:date:date:message-id:message-id:reply-to:reply-to:in-reply-to"),
                           .body_hash = view_make(bytes, 32), .signed_s = 1234567890};
    dkim_draft_append(&text, &d);
    dkim_draft_finish(&text, view_make(bytes, sizeof bytes));
    view value = buf_view(&text), name;
    view_cut(&value, ':', &name);
    EXPECT_VIEW(name, VIEW("DKIM-Signature"));
    s = arena_new_struct(arena, struct dkim_signature);
    REQUIRE(dkim_signature_parse(DKIM_SIGNATURE, value, arena, s, NULL) == OK);
    EXPECT(s->header_is_relaxed && s->body_is_relaxed && s->name_count == 15 && s->signed_s == 1234567890);
    EXPECT_VIEW(s->signature, view_make(bytes, sizeof bytes));
    view rest = buf_view(&text);
    for (view line; view_cut(&rest, '\n', &line);) EXPECT(line.len <= 78);
}

static void keep(void *argument, view bytes) { buf_append(argument, bytes); }

static void expect_body(const char *text, bool is_relaxed, bool cr_ends_lines, const char *want, int line)
{
    for (size_t piece = 1; piece < 8; piece++) {
        buf got CLEANUP(buf_done) = BUF_INIT;
        struct dkim_body b = {.is_relaxed = is_relaxed, .cr_ends_lines = cr_ends_lines, .put = keep, .argument = &got};
        for (size_t at = 0; at < view_of(text).len; at += piece) dkim_body_feed(&b, view_slice(view_of(text), at, piece));
        dkim_body_end(&b);
        if (!view_equal(buf_view(&got), view_of(want))) test_fail(__FILE__, line, "pieces of %zu: \"" VIEW_FMT "\"", piece, VIEW_ARG(buf_view(&got)));
    }
}
#define EXPECT_BODY(text, is_relaxed, want) expect_body(text, is_relaxed, false, want, __LINE__)

TEST(dkim_canonical_forms)
{
    /* RFC 6376 §3.4.5. */
    buf fields CLEANUP(buf_done) = BUF_INIT;
    dkim_append_field(&fields, VIEW("A: X\r\n"), true);
    dkim_append_field(&fields, VIEW("B : Y\t\r\n\tZ  \r\n"), true);
    EXPECT_VIEW(buf_view(&fields), VIEW("a:X\r\nb:Y Z\r\n"));
    buf_clear(&fields);
    dkim_append_field(&fields, VIEW("B : Y\t\n\tZ  \n"), false);
    EXPECT_VIEW(buf_view(&fields), VIEW("B : Y\t\r\n\tZ  \r\n"));
    EXPECT_BODY(" C \r\nD \t E\r\n\r\n\r\n", true, " C\r\nD E\r\n");
    EXPECT_BODY(" C \r\nD \t E\r\n\r\n\r\n", false, " C \r\nD \t E\r\n");
    EXPECT_BODY("", true, "");
    EXPECT_BODY("", false, "\r\n");
    EXPECT_BODY("\r\n \r\n", true, "");
    EXPECT_BODY("a\n\n b", true, "a\r\n\r\n b\r\n");
    EXPECT_BODY("a\rb", false, "a\rb\r\n");
    expect_body("a\rb\r\r\n", false, true, "a\r\nb\r\n", __LINE__);
}

TEST(dkim_own_field_is_without_its_signature)
{
    buf field CLEANUP(buf_done) = BUF_INIT;
    EXPECT(dkim_append_own_field(&field, VIEW("DKIM-Signature: v=1; b= Y\r\n W ; bh=Yb=\r\n"), true) == OK);
    EXPECT_VIEW(buf_view(&field), VIEW("dkim-signature:v=1; b=; bh=Yb="));
    EXPECT(dkim_append_own_field(&field, VIEW("DKIM-Signature: v=1\r\n"), true) == INVALID);
}
