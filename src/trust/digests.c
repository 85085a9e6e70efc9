#include "trust/digests.h"

#include <openssl/evp.h>
#include <string.h>

#include "base/check.h"

/* ---- SHA-256 ---- */

static EVP_MD_CTX *context_of(const struct digest *d) { return (EVP_MD_CTX *)(uintptr_t)d; }

struct digest *digest_new(void)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    check(context && EVP_DigestInit_ex(context, EVP_sha256(), NULL) == 1);
    return (struct digest *)context;
}

void digest_add(struct digest *d, view bytes)
{
    check(EVP_DigestUpdate(context_of(d), bytes.len ? bytes.at : "", bytes.len) == 1);
}

void digest_end(struct digest *d, unsigned char into[static 32])
{
    unsigned len = 0;
    check(EVP_DigestFinal_ex(context_of(d), into, &len) == 1 && len == DIGEST_BYTES_SHA256);
    digest_free(d);
}

struct digest *digest_copy(const struct digest *d)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    check(context && EVP_MD_CTX_copy_ex(context, context_of(d)) == 1);
    return (struct digest *)context;
}

void digest_free(struct digest *d) { EVP_MD_CTX_free(context_of(d)); }

/* ---- bodies ---- */

static void put_body(void *argument, view bytes)
{
    struct body_digest *b = argument;
    if (b->has_length) {
        bytes = view_slice(bytes, 0, b->left < bytes.len ? (size_t)b->left : bytes.len);
        b->left -= bytes.len;
    }
    digest_add(b->digest, bytes);
}

size_t body_digests_want(struct body_digests *all, bool is_relaxed, bool cr_ends_lines, bool has_length, uint64_t length)
{
    for (size_t i = 0; i < all->count; i++) {
        const struct body_digest *b = &all->list[i];
        if (b->form.is_relaxed == is_relaxed && b->form.cr_ends_lines == cr_ends_lines && b->has_length == has_length && b->length == length) return i;
    }
    if (all->count == BODY_DIGESTS_MAX) return BODY_DIGESTS_MAX;
    struct body_digest *b = &all->list[all->count];
    *b = (struct body_digest){.has_length = has_length, .length = length, .left = length, .digest = digest_new()};
    b->form = (struct dkim_body){.is_relaxed = is_relaxed, .cr_ends_lines = cr_ends_lines, .put = put_body, .argument = b};
    return all->count++;
}

void body_digests_feed(struct body_digests *all, view piece)
{
    for (size_t i = 0; i < all->count; i++) dkim_body_feed(&all->list[i].form, piece);
}

void body_digests_end(struct body_digests *all)
{
    for (size_t i = 0; i < all->count; i++) {
        struct body_digest *b = &all->list[i];
        if (!b->digest) continue;
        dkim_body_end(&b->form);
        digest_end(b->digest, b->value);
        b->digest = NULL;
        b->bytes = b->form.bytes;
    }
}

void body_digests_done(struct body_digests *all)
{
    for (size_t i = 0; i < all->count; i++) digest_free(all->list[i].digest);
    all->count = 0;
}

/* ---- header fields ---- */

bool fields_read(view header, struct arena *arena, struct fields *ret_fields)
{
    struct header_field field;
    struct fields f = {0};
    for (view rest = header; header_next(&rest, &field);)
        if (++f.count > DKIM_HEADER_FIELDS_MAX) return false;
    f.list = arena_array(arena, struct header_field, f.count + 1);
    f.used = arena_array(arena, unsigned char, f.count + 1);
    f.count = 0;
    for (view rest = header; header_next(&rest, &field);) f.list[f.count++] = field;
    *ret_fields = f;
    return true;
}

void fields_digest(struct fields *f, const view *names, size_t name_count, bool is_relaxed, struct digest *into)
{
    buf text CLEANUP(buf_done) = BUF_INIT;
    memset(f->used, 0, f->count);
    for (size_t n = 0; n < name_count; n++)
        for (size_t i = f->count; i-- > 0;) {
            if (f->used[i] || !view_equal_nocase(f->list[i].name, names[n])) continue;
            f->used[i] = 1;
            buf_clear(&text);
            dkim_append_field(&text, f->list[i].whole, is_relaxed);
            digest_add(into, buf_view(&text));
            break;
        }
}

size_t fields_count(const struct fields *f, view name)
{
    size_t count = 0;
    for (size_t i = 0; i < f->count; i++) count += view_equal_nocase(f->list[i].name, name);
    return count;
}
