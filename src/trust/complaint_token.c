#include "trust/complaint_token.h"

#include <openssl/evp.h>
#include <string.h>

#include "base/check.h"
#include "formats/header.h"
#include "formats/transfer.h"

enum { TAG_BYTES = 16, CLEAR_BYTES = 32, TOKEN_BYTES = TAG_BYTES + CLEAR_BYTES };

/* Two ids in, or (`is_sealing` false) out of, tag and ciphertext. False: the tag is not right. */
static bool run_siv(view secret, bool is_sealing, const unsigned char *input, unsigned char *output, unsigned char tag[static TAG_BYTES])
{
    EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, "AES-128-SIV", NULL);
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    unsigned char rest[TAG_BYTES];
    int length = 0;
    check(cipher && context && secret.len == COMPLAINT_SECRET_BYTES);
    check(EVP_CipherInit_ex2(context, cipher, (const unsigned char *)secret.at, NULL, is_sealing, NULL) == 1);
    if (!is_sealing) check(EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, TAG_BYTES, tag) == 1);
    bool holds = EVP_CipherUpdate(context, output, &length, input, CLEAR_BYTES) == 1 && length == CLEAR_BYTES && EVP_CipherFinal_ex(context, rest, &length) == 1;
    if (holds && is_sealing) check(EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, TAG_BYTES, tag) == 1);
    EVP_CIPHER_CTX_free(context);
    EVP_CIPHER_free(cipher);
    return holds;
}

result complaint_token_append(const struct complaint_secrets *secrets, const struct complaint_subject *subject, buf *into, struct fault *fault)
{
    unsigned char clear[CLEAR_BYTES], token[TOKEN_BYTES];
    if (secrets->count == 0) return fail(fault, UNAVAILABLE, "no secret to make tokens with");
    memcpy(clear, subject->account.bytes, 16);
    memcpy(clear + 16, subject->message.bytes, 16);
    if (!run_siv(secrets->list[0], true, clear, token + TAG_BYTES, token)) return fail(fault, IO, "AES-SIV failed");
    size_t from = into->len;
    base64_append(into, view_make(token, sizeof token));
    check(into->len - from == COMPLAINT_TOKEN_CHARACTERS);
    for (size_t i = from; i < into->len; i++) into->at[i] = into->at[i] == '+' ? '-' : into->at[i] == '/' ? '_' : into->at[i];
    return OK;
}

/* base64 of URLs (RFC 4648 §5), whose one right form the decoder checks. */
static bool decode(view text, unsigned char token[static TOKEN_BYTES])
{
    char plain[COMPLAINT_TOKEN_CHARACTERS];
    buf bytes CLEANUP(buf_done) = BUF_INIT;
    if (text.len != COMPLAINT_TOKEN_CHARACTERS || view_has_byte(text, '+') || view_has_byte(text, '/')) return false;
    for (size_t i = 0; i < text.len; i++) plain[i] = text.at[i] == '-' ? '+' : text.at[i] == '_' ? '/' : text.at[i];
    if (!base64_decode(view_make(plain, sizeof plain), &bytes) || bytes.len != TOKEN_BYTES) return false;
    memcpy(token, bytes.at, TOKEN_BYTES);
    return true;
}

result complaint_token_read(const struct complaint_secrets *secrets, view token, struct complaint_subject *ret_subject, struct fault *fault)
{
    unsigned char bytes[TOKEN_BYTES], clear[CLEAR_BYTES];
    if (!decode(token, bytes)) return NOT_FOUND;
    for (size_t i = 0; i < secrets->count; i++) {
        if (!run_siv(secrets->list[i], false, bytes + TAG_BYTES, clear, bytes)) continue;
        memcpy(ret_subject->account.bytes, clear, 16);
        memcpy(ret_subject->message.bytes, clear + 16, 16);
        return OK;
    }
    return fail(fault, DENIED, "an id of a message that was not made here, or long ago");
}

view complaint_token_find(view header, struct arena *arena)
{
    view token = header_value(header, COMPLAINT_FIELD, arena), id;
    if (token.len == COMPLAINT_TOKEN_CHARACTERS) return token;
    /* What it is called in a message that came from us without such a field: "<token@server>". The part behind @ may be redacted. */
    id = header_value(header, VIEW("Message-ID"), arena);
    size_t open = view_find(id, '<'), at = view_find(id, '@');
    if (open == VIEW_NONE) return VIEW_EMPTY;
    token = view_slice(id, open + 1, (at == VIEW_NONE ? id.len : at) - open - 1);
    if (at == VIEW_NONE && view_ends(token, VIEW(">"))) token.len--;
    return at != VIEW_NONE && at < open ? VIEW_EMPTY : token.len == COMPLAINT_TOKEN_CHARACTERS ? token : VIEW_EMPTY;
}
