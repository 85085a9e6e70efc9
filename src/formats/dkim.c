/* Tag lists and what is written in them: RFC 6376 §3.2, §3.5, §3.6.1; RFC 8617 §4.1. */
#include "formats/dkim.h"

#include <string.h>

#include "base/check.h"
#include "base/cursor.h"
#include "formats/transfer.h"

/* ---- tag lists ---- */

static bool is_blank(unsigned char byte) { return byte == ' ' || byte == '\t' || byte == '\r' || byte == '\n'; }
static bool is_name_byte(unsigned char byte) { return ascii_is_alpha((char)byte) || ascii_is_digit((char)byte) || byte == '_'; }
/* VALCHAR and white space; bytes above 0x7f stand in notes and in U-labels (RFC 8616). */
static bool is_value_byte(unsigned char byte) { return byte != ';' && byte != 0x7f && (byte > ' ' || is_blank(byte)); }

static bool take_tag(struct cursor *c, struct dkim_tag *ret_tag)
{
    take_while(c, is_blank);
    if (!ascii_is_alpha((char)cursor_peek(c)) || !take_while1(c, is_name_byte, &ret_tag->name)) return false;
    take_while(c, is_blank);
    if (!take_byte(c, '=')) return false;
    ret_tag->raw = take_while(c, is_value_byte);
    ret_tag->value = view_trim(ret_tag->raw);
    return cursor_at_end(c) || cursor_peek(c) == ';';
}

bool dkim_tags_parse(view text, struct dkim_tags *ret_tags)
{
    struct cursor c = cursor_of(text);
    ret_tags->count = 0;
    for (;;) {
        struct dkim_tag tag;
        if (ret_tags->count == DKIM_TAGS_MAX || !take_tag(&c, &tag) || dkim_tags_find(ret_tags, tag.name)) return false;
        ret_tags->list[ret_tags->count++] = tag;
        if (cursor_at_end(&c)) return true;
        take_byte(&c, ';');
        if (view_trim(c.rest).len == 0) return true;
    }
}

const struct dkim_tag *dkim_tags_find(const struct dkim_tags *tags, view name)
{
    for (size_t i = 0; i < tags->count; i++)
        if (view_equal(tags->list[i].name, name)) return &tags->list[i];
    return NULL;
}

static view tag_value(const struct dkim_tags *tags, view name)
{
    const struct dkim_tag *tag = dkim_tags_find(tags, name);
    return tag ? tag->value : VIEW_EMPTY;
}

/* ---- values ---- */

static bool take_base64(view text, struct arena *arena, view *ret_bytes)
{
    buf packed CLEANUP(buf_done) = BUF_INIT, bytes CLEANUP(buf_done) = BUF_INIT;
    for (size_t i = 0; i < text.len; i++)
        if (!is_blank((unsigned char)text.at[i])) buf_append_byte(&packed, text.at[i]);
    if (!base64_decode(buf_view(&packed), &bytes)) return false;
    *ret_bytes = arena_keep(arena, buf_view(&bytes));
    return true;
}

/* 1*12DIGIT or more: what is larger than any time there will be counts as never. */
static bool read_seconds(view text, int64_t *ret_seconds)
{
    uint64_t number;
    if (text.len == 0) return false;
    for (size_t i = 0; i < text.len; i++)
        if (!ascii_is_digit(text.at[i])) return false;
    *ret_seconds = view_to_u64(text, &number) && number < INT64_MAX / 1000 ? (int64_t)number : INT64_MAX / 1000;
    return true;
}

/* The items of a list with colons, without white space around them. */
static bool next_item(view *list, view *ret_item)
{
    if (!view_cut(list, ':', ret_item)) return false;
    *ret_item = view_trim(*ret_item);
    return true;
}

static bool list_has(view list, view wanted)
{
    for (view item; next_item(&list, &item);)
        if (view_equal_nocase(item, wanted)) return true;
    return false;
}

static bool read_algorithm(view text, enum dkim_algorithm *ret_algorithm)
{
    if (view_equal_nocase(text, VIEW("rsa-sha256"))) *ret_algorithm = DKIM_RSA_SHA256;
    else if (view_equal_nocase(text, VIEW("ed25519-sha256"))) *ret_algorithm = DKIM_ED25519_SHA256;
    else if (view_equal_nocase(text, VIEW("rsa-sha1"))) *ret_algorithm = DKIM_RSA_SHA1;
    else return false;
    return true;
}

static bool read_form(view text, bool *ret_is_relaxed)
{
    *ret_is_relaxed = view_equal_nocase(text, VIEW("relaxed"));
    return *ret_is_relaxed || view_equal_nocase(text, VIEW("simple"));
}

/* c=header/body; what is not said is simple. Without c= ARC's is relaxed: its suite has it so, and dkimpy. */
static bool read_forms(const struct dkim_tag *tag, struct dkim_signature *s)
{
    view header = VIEW_EMPTY, text = tag ? tag->value : VIEW_EMPTY;
    s->header_is_relaxed = s->body_is_relaxed = !tag && s->kind == DKIM_ARC_MESSAGE;
    if (!tag) return true;
    view_cut(&text, '/', &header);
    return read_form(header, &s->header_is_relaxed) && (text.len == 0 || read_form(text, &s->body_is_relaxed));
}

/* RFC 6376 wants names; in ARC, whose chains many have written, an empty one is nobody's field (as the vectors of its suite have it). */
static bool read_names(const struct dkim_tag *tag, struct dkim_signature *s)
{
    if (!tag) return false;
    view list = tag->value;
    for (view name; next_item(&list, &name);) {
        if (name.len == 0 && s->kind == DKIM_ARC_MESSAGE) continue;
        if (name.len == 0 || s->name_count == DKIM_NAMES_MAX) return false;
        s->names[s->name_count++] = name;
    }
    return s->name_count > 0 || s->kind == DKIM_ARC_MESSAGE;
}

static bool has_name(const struct dkim_signature *s, view name)
{
    for (size_t i = 0; i < s->name_count; i++)
        if (view_equal_nocase(s->names[i], name)) return true;
    return false;
}

/* ---- signatures ---- */

/* i= must be the domain of d= or below it. */
static bool identity_is_below(view identity, view domain)
{
    size_t at = view_find_last(identity, '@');
    if (at == VIEW_NONE) return false;
    view host = view_from(identity, at + 1);
    if (view_equal_nocase(host, domain)) return true;
    return host.len > domain.len && view_ends_nocase(host, domain) && host.at[host.len - domain.len - 1] == '.';
}

static result parse_instance(const struct dkim_tags *tags, struct dkim_signature *s, struct fault *fault)
{
    uint32_t instance;
    if (!view_to_u32(tag_value(tags, VIEW("i")), &instance) || instance < 1 || instance > ARC_INSTANCES_MAX) return fail(fault, INVALID, "i= is no instance");
    s->instance = instance;
    return OK;
}

static result parse_common(const struct dkim_tags *tags, struct arena *arena, struct dkim_signature *s, struct fault *fault)
{
    const struct dkim_tag *signed_at = dkim_tags_find(tags, VIEW("t")), *expires = dkim_tags_find(tags, VIEW("x"));
    s->domain = tag_value(tags, VIEW("d"));
    s->selector = tag_value(tags, VIEW("s"));
    if (s->domain.len == 0 || s->selector.len == 0) return fail(fault, INVALID, "no d= or no s=");
    if (!read_algorithm(tag_value(tags, VIEW("a")), &s->algorithm)) return fail(fault, INVALID, "a= is not known");
    if (!take_base64(tag_value(tags, VIEW("b")), arena, &s->signature) || s->signature.len == 0) return fail(fault, INVALID, "b= is broken");
    if (signed_at && !read_seconds(signed_at->value, &s->signed_s)) return fail(fault, INVALID, "t= is broken");
    if (expires && !read_seconds(expires->value, &s->expires_s)) return fail(fault, INVALID, "x= is broken");
    if (s->expires_s && s->signed_s && s->expires_s < s->signed_s) return fail(fault, INVALID, "x= is before t=");
    return OK;
}

static result parse_covered(const struct dkim_tags *tags, struct arena *arena, struct dkim_signature *s, struct fault *fault)
{
    const struct dkim_tag *length = dkim_tags_find(tags, VIEW("l")), *query = dkim_tags_find(tags, VIEW("q"));
    if (!take_base64(tag_value(tags, VIEW("bh")), arena, &s->body_hash) || s->body_hash.len == 0) return fail(fault, INVALID, "bh= is broken");
    if (!read_forms(dkim_tags_find(tags, VIEW("c")), s)) return fail(fault, INVALID, "c= is not known");
    if (!read_names(dkim_tags_find(tags, VIEW("h")), s)) return fail(fault, INVALID, "h= is broken");
    if (length && !view_to_u64(length->value, &s->length)) return fail(fault, INVALID, "l= is broken");
    s->has_length = length != NULL;
    if (query && !list_has(query->value, VIEW("dns/txt"))) return fail(fault, INVALID, "q= is not known");
    return OK;
}

static result parse_dkim(const struct dkim_tags *tags, struct arena *arena, struct dkim_signature *s, struct fault *fault)
{
    s->identity = tag_value(tags, VIEW("i"));
    if (!view_equal(tag_value(tags, VIEW("v")), VIEW("1"))) return fail(fault, INVALID, "v= is not 1");
    result code = parse_covered(tags, arena, s, fault);
    if (code != OK) return code;
    if (!has_name(s, VIEW("from"))) return fail(fault, INVALID, "From is not signed");
    if (s->identity.len && !identity_is_below(s->identity, s->domain)) return fail(fault, INVALID, "i= is not in d=");
    return OK;
}

static result parse_arc_message(const struct dkim_tags *tags, struct arena *arena, struct dkim_signature *s, struct fault *fault)
{
    result code = parse_instance(tags, s, fault);
    if (code == OK) code = parse_covered(tags, arena, s, fault);
    if (code != OK) return code;
    /* RFC 8617 §4.1.2: a seal must not be covered; the other two were in drafts. */
    return has_name(s, VIEW("arc-seal")) ? fail(fault, INVALID, "h= has ARC-Seal") : OK;
}

static result parse_arc_seal(const struct dkim_tags *tags, struct dkim_signature *s, struct fault *fault)
{
    view validation = tag_value(tags, VIEW("cv"));
    result code = parse_instance(tags, s, fault);
    if (code != OK) return code;
    if (dkim_tags_find(tags, VIEW("h")) || dkim_tags_find(tags, VIEW("bh"))) return fail(fault, INVALID, "a seal with h= or bh=");
    s->header_is_relaxed = true;
    if (view_equal_nocase(validation, VIEW("none"))) s->validation = ARC_NONE;
    else if (view_equal_nocase(validation, VIEW("pass"))) s->validation = ARC_PASS;
    else if (view_equal_nocase(validation, VIEW("fail"))) s->validation = ARC_FAIL;
    else return fail(fault, INVALID, "cv= is not known");
    return OK;
}

result dkim_signature_parse(enum dkim_kind kind, view value, struct arena *arena, struct dkim_signature *ret_signature, struct fault *fault)
{
    struct dkim_tags *tags = arena_new_struct(arena, struct dkim_tags);
    if (value.len > DKIM_SIGNATURE_BYTES_MAX) return fail(fault, INVALID, "longer than a signature is");
    if (!dkim_tags_parse(value, tags)) return fail(fault, INVALID, "no list of tags");
    *ret_signature = (struct dkim_signature){.kind = kind};
    result code = parse_common(tags, arena, ret_signature, fault);
    if (code != OK) return code;
    switch (kind) {
    case DKIM_SIGNATURE: return parse_dkim(tags, arena, ret_signature, fault);
    case DKIM_ARC_MESSAGE: return parse_arc_message(tags, arena, ret_signature, fault);
    case DKIM_ARC_SEAL: return parse_arc_seal(tags, ret_signature, fault);
    }
    unreachable();
}

bool arc_results_parse(view value, unsigned *ret_instance, view *ret_rest)
{
    struct cursor c = cursor_of(value);
    uint64_t instance;
    take_while(&c, is_blank);
    if (!take_byte(&c, 'i')) return false;
    take_while(&c, is_blank);
    if (!take_byte(&c, '=')) return false;
    take_while(&c, is_blank);
    if (!take_number(&c, ARC_INSTANCES_MAX, &instance) || instance == 0) return false;
    take_while(&c, is_blank);
    if (!take_byte(&c, ';')) return false;
    *ret_instance = (unsigned)instance;
    if (ret_rest) *ret_rest = view_trim(c.rest);
    return true;
}

/* ---- writing ---- */

static const char *const algorithms[] = {[DKIM_RSA_SHA256] = "rsa-sha256", [DKIM_ED25519_SHA256] = "ed25519-sha256", [DKIM_RSA_SHA1] = "rsa-sha1"};
static const char *const validations[] = {[ARC_NONE] = "none", [ARC_FAIL] = "fail", [ARC_PASS] = "pass"};

enum { LINE_COLUMNS = 76 };

/* h=, folded at its colons. */
static void append_names(buf *into, view names)
{
    size_t column = 3;
    buf_append(into, VIEW("\r\n\th="));
    for (view name; view_cut(&names, ':', &name);) {
        if (column + name.len + 1 > LINE_COLUMNS) {
            buf_append(into, VIEW("\r\n\t "));
            column = 2;
        }
        buf_append(into, name);
        buf_append_byte(into, names.len ? ':' : ';');
        column += name.len + 1;
    }
}

void dkim_draft_append(buf *into, const struct dkim_draft *d)
{
    static const char *const fields[] = {[DKIM_SIGNATURE] = "DKIM-Signature: v=1;", [DKIM_ARC_MESSAGE] = "ARC-Message-Signature:", [DKIM_ARC_SEAL] = "ARC-Seal:"};
    buf_append_cstr(into, fields[d->kind]);
    if (d->kind != DKIM_SIGNATURE) buf_appendf(into, " i=%u;", d->instance);
    buf_appendf(into, " a=%s;", algorithms[d->algorithm]);
    if (d->kind == DKIM_ARC_SEAL) buf_appendf(into, " cv=%s;", validations[d->validation]);
    else buf_append(into, VIEW(" c=relaxed/relaxed;"));
    buf_appendf(into, "\r\n\td=" VIEW_FMT "; s=" VIEW_FMT ";", VIEW_ARG(d->domain), VIEW_ARG(d->selector));
    if (d->signed_s) buf_appendf(into, " t=%lld;", (long long)d->signed_s);
    if (d->kind != DKIM_ARC_SEAL) {
        append_names(into, d->names);
        buf_append(into, VIEW("\r\n\tbh="));
        base64_append(into, d->body_hash);
        buf_append_byte(into, ';');
    }
    buf_append(into, VIEW("\r\n\tb="));
}

void dkim_draft_finish(buf *into, view signature)
{
    buf text CLEANUP(buf_done) = BUF_INIT;
    base64_append(&text, signature);
    for (size_t at = 0, most = LINE_COLUMNS - 4; at < text.len; at += most) {
        if (at > 0) buf_append(into, VIEW("\r\n\t "));
        buf_append(into, view_slice(buf_view(&text), at, most));
    }
    buf_append(into, VIEW("\r\n"));
}

/* ---- keys ---- */

result dkim_key_parse(view text, struct arena *arena, struct dkim_key *ret_key, struct fault *fault)
{
    struct dkim_tags *tags = arena_new_struct(arena, struct dkim_tags);
    struct dkim_key key = {.takes_sha256 = true, .is_for_mail = true};
    if (!dkim_tags_parse(text, tags)) return fail(fault, INVALID, "key record is no list of tags");
    const struct dkim_tag *version = dkim_tags_find(tags, VIEW("v")), *type = dkim_tags_find(tags, VIEW("k")), *bytes = dkim_tags_find(tags, VIEW("p")),
                          *hashes = dkim_tags_find(tags, VIEW("h")), *services = dkim_tags_find(tags, VIEW("s")), *flags = dkim_tags_find(tags, VIEW("t"));
    /* v= is recommended, and the first tag where it stands. */
    if (version && (version != &tags->list[0] || !view_equal(version->value, VIEW("DKIM1")))) return fail(fault, INVALID, "key record's v= is not DKIM1");
    if (!bytes) return fail(fault, INVALID, "key record has no p=");
    if (!type || view_equal_nocase(type->value, VIEW("rsa"))) key.type = DKIM_KEY_RSA;
    else if (view_equal_nocase(type->value, VIEW("ed25519"))) key.type = DKIM_KEY_ED25519;
    else return fail(fault, INVALID, "key record's k= is not known");
    if (!take_base64(bytes->value, arena, &key.key)) return fail(fault, INVALID, "key record's p= is broken");
    if (hashes) key.takes_sha256 = list_has(hashes->value, VIEW("sha256"));
    if (services) key.is_for_mail = list_has(services->value, VIEW("*")) || list_has(services->value, VIEW("email"));
    if (flags) key.is_test = list_has(flags->value, VIEW("y")), key.is_strict = list_has(flags->value, VIEW("s"));
    *ret_key = key;
    return OK;
}

void dkim_key_append(buf *into, bool is_ed25519, view key)
{
    buf_appendf(into, "v=DKIM1; k=%s; p=", is_ed25519 ? "ed25519" : "rsa");
    base64_append(into, key);
}
