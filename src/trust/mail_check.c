#include "trust/mail_check.h"

#include <stdlib.h>

#include "base/check.h"
#include "trust/mail_check_private.h"
#include "trust/signing_key.h"

enum { ARENA_BYTES = 16 << 20, CLOCK_SKEW_S = 300, SIGNATURE_START_BYTES = 8 };

const char *check_result_name(enum check_result r)
{
    static const char *const names[] = {[CHECK_NONE] = "none", [CHECK_PASS] = "pass", [CHECK_FAIL] = "fail", [CHECK_TEMPERROR] = "temperror", [CHECK_PERMERROR] = "permerror"};
    return names[r];
}

/* ---- the header ---- */

void check_signature_read(struct mail_check *c, struct check_signature *s, enum dkim_kind kind, const struct header_field *field)
{
    s->field = field;
    s->is_broken = dkim_signature_parse(kind, field->value, c->arena, &s->parsed, &s->fault) != OK;
    if (s->is_broken) return;
    s->body = body_digests_want(&c->body, s->parsed.body_is_relaxed, false, s->parsed.has_length, s->parsed.length);
    s->is_broken = s->body == BODY_DIGESTS_MAX;
    if (s->is_broken) (void)fail(&s->fault, TOO_BIG, "too many forms of the body");
}

static void read_signatures(struct mail_check *c)
{
    c->signatures = arena_array(c->arena, struct check_signature, MAIL_CHECK_SIGNATURES_MAX);
    c->verdicts = arena_array(c->arena, struct dkim_verdict, MAIL_CHECK_SIGNATURES_MAX);
    for (size_t i = 0; i < c->fields.count && c->signature_count < MAIL_CHECK_SIGNATURES_MAX; i++)
        if (view_equal_nocase(c->fields.list[i].name, VIEW("DKIM-Signature")))
            check_signature_read(c, &c->signatures[c->signature_count++], DKIM_SIGNATURE, &c->fields.list[i]);
}

struct mail_check *mail_check_new(view header)
{
    struct mail_check *c = calloc(1, sizeof *c);
    check(c);
    c->arena = arena_new(NULL, ARENA_BYTES + header.len);
    c->header = arena_keep(c->arena, header);
    c->is_too_big = !fields_read(c->header, c->arena, &c->fields);
    c->keys = arena_array(c->arena, struct check_key, MAIL_CHECK_KEYS_MAX);
    if (c->is_too_big) return c;
    read_signatures(c);
    arc_check_begin(c);
    return c;
}

void mail_check_free(struct mail_check *c)
{
    if (!c) return;
    body_digests_done(&c->body);
    arena_free(c->arena);
    free(c);
}

void mail_check_feed(struct mail_check *c, view body_piece) { body_digests_feed(&c->body, body_piece); }

/* ---- judging ---- */

static void judge(struct dkim_verdict *v, enum check_result verdict, view reason)
{
    v->result = verdict;
    v->reason = reason;
}

/* What can be said without the key. True: go on. */
static bool judge_content(const struct mail_check *c, const struct check_signature *s, unix_ms now, struct dkim_verdict *v)
{
    const struct body_digest *body = &c->body.list[s->body];
    view value = view_make(body->value, sizeof body->value);
    if (s->parsed.algorithm == DKIM_RSA_SHA1) judge(v, CHECK_PERMERROR, VIEW("SHA-1 is not used any more"));
    else if (s->parsed.expires_s && now.ms / 1000 > s->parsed.expires_s + CLOCK_SKEW_S) judge(v, CHECK_FAIL, VIEW("expired"));
    else if (body->has_length && body->bytes < body->length) judge(v, CHECK_FAIL, VIEW("body is shorter than was signed"));
    else if (!view_equal(value, s->parsed.body_hash)) judge(v, CHECK_FAIL, VIEW("body was changed"));
    else return true;
    return false;
}

static bool judge_key(const struct check_signature *s, const struct check_key *k, struct dkim_verdict *v)
{
    view identity_domain = view_from(s->parsed.identity, view_find_last(s->parsed.identity, '@') + 1);
    if (k->result != CHECK_PASS) judge(v, k->result, k->reason);
    else if (!k->key.takes_sha256) judge(v, CHECK_PERMERROR, VIEW("key is not for SHA-256"));
    else if (!k->key.is_for_mail) judge(v, CHECK_PERMERROR, VIEW("key is not for mail"));
    else if (k->key.is_strict && s->parsed.identity.len && !view_equal_nocase(identity_domain, s->parsed.domain)) judge(v, CHECK_PERMERROR, VIEW("key is not for subdomains"));
    else return true;
    return false;
}

static void digest_header(struct mail_check *c, const struct check_signature *s, unsigned char into[static 32])
{
    buf own CLEANUP(buf_done) = BUF_INIT;
    struct digest *digest = digest_new();
    fields_digest(&c->fields, s->parsed.names, s->parsed.name_count, s->parsed.header_is_relaxed, digest);
    (void)!dkim_append_own_field(&own, s->field->whole, s->parsed.header_is_relaxed);
    digest_add(digest, buf_view(&own));
    digest_end(digest, into);
}

void check_signature_judge(struct mail_check *c, const struct check_signature *s, struct resolver *resolver, unix_ms now, millis deadline,
                           struct dkim_verdict *v)
{
    unsigned char digest[DIGEST_BYTES_SHA256];
    struct fault fault = {0};
    if (!judge_content(c, s, now, v)) return;
    const struct check_key *k = mail_check_key(c, resolver, &s->parsed, deadline);
    if (!judge_key(s, k, v)) return;
    v->is_test = k->key.is_test;
    digest_header(c, s, digest);
    result code = signing_key_check(&k->key, s->parsed.algorithm, digest, s->parsed.signature, &v->key_bits, &fault);
    judge(v, code == OK ? CHECK_PASS : code == DENIED ? CHECK_FAIL : CHECK_PERMERROR, code == OK ? VIEW_EMPTY : arena_keep(c->arena, view_of(fault.detail)));
}

static void describe(struct mail_check *c, const struct check_signature *s, struct dkim_verdict *v)
{
    static const char *const algorithms[] = {[DKIM_RSA_SHA256] = "rsa-sha256", [DKIM_ED25519_SHA256] = "ed25519-sha256", [DKIM_RSA_SHA1] = "rsa-sha1"};
    struct dkim_tags *tags = arena_new_struct(c->arena, struct dkim_tags);
    v->domain = s->parsed.domain;
    v->selector = s->parsed.selector;
    v->identity = s->parsed.identity;
    v->algorithm = view_of(algorithms[s->parsed.algorithm]);
    if (dkim_tags_parse(s->field->value, tags)) {
        const struct dkim_tag *b = dkim_tags_find(tags, VIEW("b"));
        if (b) v->signature_start = view_slice(b->value, 0, SIGNATURE_START_BYTES);
    }
}

void mail_check_end(struct mail_check *c, struct resolver *resolver, unix_ms now, millis deadline)
{
    body_digests_end(&c->body);
    for (size_t i = 0; i < c->signature_count; i++) {
        const struct check_signature *s = &c->signatures[i];
        struct dkim_verdict *v = &c->verdicts[i];
        if (s->is_broken) {
            judge(v, CHECK_PERMERROR, view_of(s->fault.detail));
            continue;
        }
        describe(c, s, v);
        check_signature_judge(c, s, resolver, now, deadline, v);
    }
    arc_check_end(c, resolver, now, deadline);
}

const struct dkim_verdict *mail_check_dkim(const struct mail_check *c, size_t *ret_count)
{
    *ret_count = c->signature_count;
    return c->verdicts;
}

const struct arc_verdict *mail_check_arc(const struct mail_check *c) { return &c->arc; }

void mail_check_append_chain(const struct mail_check *c, buf *into)
{
    for (unsigned i = 1; i <= c->arc.instances; i++) {
        arc_append_covered(c, i, into);
        dkim_append_field(into, c->sets[i - 1].seal->whole, true);
    }
}

/* ---- telling ---- */

/* A value of RFC 8601 §2.2: what is no token is quoted; nothing that could end a field or a quote comes through. */
static void append_value(buf *into, view value)
{
    value = view_slice(value, 0, 255);
    bool is_token = value.len > 0;
    for (size_t i = 0; i < value.len; i++) is_token &= ascii_is_alpha(value.at[i]) || ascii_is_digit(value.at[i]) || view_has_byte(VIEW("-._@"), value.at[i]);
    if (!is_token) buf_append_byte(into, '"');
    for (size_t i = 0; i < value.len; i++) {
        unsigned char byte = (unsigned char)value.at[i];
        if (byte == '"' || byte == '\\' || byte < ' ' || byte == 127) byte = '_';
        buf_append_byte(into, (char)byte);
    }
    if (!is_token) buf_append_byte(into, '"');
}

static void append_dkim(buf *into, const struct dkim_verdict *v)
{
    buf_appendf(into, ";\r\n\tdkim=%s", check_result_name(v->result));
    if (v->key_bits) buf_appendf(into, " (%u-bit key)", v->key_bits);
    if (v->reason.len) {
        buf_append(into, VIEW(" reason="));
        append_value(into, v->reason);
    }
    if (v->domain.len == 0) return;
    buf_append(into, VIEW(" header.d="));
    append_value(into, v->domain);
    buf_append(into, VIEW(" header.s="));
    append_value(into, v->selector);
    buf_append(into, VIEW("\r\n\t header.a="));
    append_value(into, v->algorithm);
    buf_append(into, VIEW(" header.b="));
    append_value(into, v->signature_start);
}

void mail_check_append_results(const struct mail_check *c, buf *into)
{
    static const char *const validations[] = {[ARC_NONE] = "none", [ARC_FAIL] = "fail", [ARC_PASS] = "pass"};
    if (c->signature_count == 0) buf_append(into, VIEW(";\r\n\tdkim=none"));
    for (size_t i = 0; i < c->signature_count; i++) append_dkim(into, &c->verdicts[i]);
    buf_appendf(into, ";\r\n\tarc=%s", validations[c->arc.validation]);
}
