#include "trust/return_path.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/check.h"

static void append_hash(buf *into, view secret, const struct srs *s)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    uint64_t bits = 0;
    buf covered CLEANUP(buf_done) = BUF_INIT;
    srs_append_covered(&covered, s);
    check(HMAC(EVP_sha256(), secret.at, (int)secret.len, (const unsigned char *)covered.at, covered.len, digest, &len) && len >= 8);
    for (unsigned i = 0; i < 8; i++) bits = bits << 8 | digest[i];
    srs_append_base32(into, bits, SRS_HASH_CHARACTERS);
}

static bool hash_is_ours(const struct return_path_secrets *secrets, const struct srs *s)
{
    char given[SRS_HASH_CHARACTERS];
    int holds = 0;
    if (s->hash.len != SRS_HASH_CHARACTERS) return false;
    for (size_t i = 0; i < sizeof given; i++) given[i] = ascii_lower(s->hash.at[i]);
    for (size_t i = 0; i < secrets->count; i++) {
        buf hash CLEANUP(buf_done) = BUF_INIT;
        append_hash(&hash, secrets->list[i], s);
        holds |= CRYPTO_memcmp(hash.at, given, sizeof given) == 0;
    }
    return holds;
}

/* Inside of another local part quotes would be bytes like any other: what is wrapped is the bare local part, and the whole is quoted. */
static view unquote(view local, buf *memory)
{
    if (local.len < 2 || local.at[0] != '"' || local.at[local.len - 1] != '"') return local;
    for (size_t i = 1; i + 1 < local.len; i++) {
        if (local.at[i] == '\\' && i + 2 < local.len) i++;
        buf_append_byte(memory, local.at[i]);
    }
    return buf_view(memory);
}

result return_path_wrap(const struct return_path_secrets *secrets, unix_ms now, view sender, view domain, buf *into, struct fault *fault)
{
    struct srs s = {0}, inner;
    buf stamp CLEANUP(buf_done) = BUF_INIT, hash CLEANUP(buf_done) = BUF_INIT, bare CLEANUP(buf_done) = BUF_INIT, wrapped CLEANUP(buf_done) = BUF_INIT;
    size_t at = view_find_last(sender, '@');
    if (at == VIEW_NONE || at == 0 || at + 1 == sender.len || secrets->count == 0) return fail(fault, INVALID, "a sender without a domain");
    view local = unquote(view_slice(sender, 0, at), &bare), host = view_from(sender, at + 1);
    if (local.len == 0) return fail(fault, INVALID, "a sender with an empty local part");
    srs_append_stamp(&stamp, now);
    if (!srs_parse(local, &inner)) {
        s = (struct srs){.stamp = buf_view(&stamp), .domain = host, .local = local};
    } else if (inner.is_second) {
        /* The first forwarder stays the one that is named: a chain does not grow. */
        s = (struct srs){.is_second = true, .domain = inner.domain, .local = inner.local};
    } else {
        s = (struct srs){.is_second = true, .domain = host, .local = view_from(local, 4)};
    }
    append_hash(&hash, secrets->list[0], &s);
    s.hash = buf_view(&hash);
    srs_append(&wrapped, &s);
    if (wrapped.len > RETURN_PATH_LOCAL_BYTES_MAX) return fail(fault, INVALID, "a sender that is too long to be rewritten");
    mail_address_append(into, buf_view(&wrapped), domain);
    return OK;
}

result return_path_unwrap(const struct return_path_secrets *secrets, unix_ms now, view local_part, buf *into, struct fault *fault)
{
    struct srs s;
    buf local CLEANUP(buf_done) = BUF_INIT;
    if (!srs_parse(local_part, &s)) return NOT_FOUND;
    if (!hash_is_ours(secrets, &s)) return fail(fault, DENIED, "a return path that was not made here");
    int age = s.is_second ? 0 : srs_stamp_age(s.stamp, now);
    /* A clock that is a little ahead makes tomorrow's stamps. */
    if (age < 0 || (age > RETURN_PATH_DAYS && age != SRS_STAMP_DAYS - 1)) return fail(fault, DENIED, "a return path that is too old");
    if (s.is_second) buf_append(&local, VIEW("SRS0"));
    buf_append(&local, s.local);
    mail_address_append(into, buf_view(&local), s.domain);
    return OK;
}
