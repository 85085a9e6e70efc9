/*
 * Fuzzes tag lists, signatures, key records and canonical forms. Oracles: a canonical body is the same however its pieces are cut, ends in CRLF
 * and not in two, and is its own canonical form; a canonical field is its own canonical form; what parses is bounded.
 */
#include "base/check.h"
#include "formats/dkim.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void keep(void *argument, view bytes) { buf_append(argument, bytes); }

static void make_body(buf *into, view whole, size_t piece, bool is_relaxed, bool cr_ends_lines)
{
    struct dkim_body b = {.is_relaxed = is_relaxed, .cr_ends_lines = cr_ends_lines, .put = keep, .argument = into};
    for (size_t at = 0; at < whole.len; at += piece) dkim_body_feed(&b, view_slice(whole, at, piece));
    dkim_body_end(&b);
    check(b.bytes == into->len);
}

static void check_body(view whole, bool is_relaxed, bool cr_ends_lines)
{
    buf one CLEANUP(buf_done) = BUF_INIT, other CLEANUP(buf_done) = BUF_INIT, again CLEANUP(buf_done) = BUF_INIT;
    make_body(&one, whole, whole.len + 1, is_relaxed, cr_ends_lines);
    make_body(&other, whole, 1 + whole.len % 7, is_relaxed, cr_ends_lines);
    check(view_equal(buf_view(&one), buf_view(&other)));
    make_body(&again, buf_view(&one), 3, is_relaxed, cr_ends_lines);
    check(view_equal(buf_view(&one), buf_view(&again)));
    check(one.len == 0 || view_ends(buf_view(&one), VIEW("\r\n")));
    check(one.len <= 2 || !view_ends(buf_view(&one), VIEW("\r\n\r\n")));
    check(one.len <= 2 * whole.len + 2);
}

static void check_field(view whole, bool is_relaxed)
{
    buf one CLEANUP(buf_done) = BUF_INIT, again CLEANUP(buf_done) = BUF_INIT;
    dkim_append_field(&one, whole, is_relaxed);
    dkim_append_field(&again, buf_view(&one), is_relaxed);
    check(view_equal(buf_view(&one), buf_view(&again)));
    buf_clear(&one);
    (void)!dkim_append_own_field(&one, whole, is_relaxed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    view whole = view_make(data, size), rest;
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, (64 << 10) + 8 * size);
    struct dkim_signature *s = arena_new_struct(arena, struct dkim_signature);
    struct dkim_key key;
    unsigned instance;
    for (int kind = DKIM_SIGNATURE; kind <= DKIM_ARC_SEAL; kind++)
        if (dkim_signature_parse((enum dkim_kind)kind, whole, arena, s, NULL) == OK) {
            check(s->signature.len > 0 && s->domain.len > 0 && s->name_count <= DKIM_NAMES_MAX && s->instance <= ARC_INSTANCES_MAX);
            check(kind == DKIM_SIGNATURE ? s->name_count > 0 : kind == DKIM_ARC_MESSAGE || s->name_count == 0);
        }
    if (dkim_key_parse(whole, arena, &key, NULL) == OK) {
        buf text CLEANUP(buf_done) = BUF_INIT;
        struct dkim_key same;
        dkim_key_append(&text, key.type == DKIM_KEY_ED25519, key.key);
        check(dkim_key_parse(buf_view(&text), arena, &same, NULL) == OK && same.type == key.type && view_equal(same.key, key.key));
    }
    if (arc_results_parse(whole, &instance, &rest)) check(instance >= 1 && instance <= ARC_INSTANCES_MAX);
    for (int way = 0; way < 4; way++) check_body(whole, way & 1, way & 2);
    check_field(whole, true);
    return 0;
}
