#include "identity/sasl_login.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "formats/sasl.h"
#include "formats/transfer.h"
#include "identity/identity_private.h"
#include "identity/scram_keys.h"
#include "identity/secrets.h"
#include "runtime/event.h"
#include "runtime/random.h"
#include "runtime/workers.h"

enum { NONCE_BYTES = 18, ARENA_BYTES = 64 << 10, BINDING_BYTES_MAX = 64 };

struct sasl_login {
    struct identity *identity;
    struct sasl_client client;
    enum sasl_mechanism mechanism;
    unsigned offered;
    unsigned step;
    buf user, password;                  /* LOGIN's; SCRAM's user */
    /* SCRAM */
    struct arena *arena;                 /* the first message and what was found of it */
    struct scram_first first;
    struct scram_keys keys;
    bool has_keys;                       /* those of the account, and none that were made up */
    buf auth_message;                    /* client-first-message-bare "," server-first-message */
    buf nonce;                           /* of both */
    buf binding;                         /* what c= must be */
    struct identity_account account;
};

static const struct { view name; bool is_scram; } mechanisms[SASL_MECHANISMS] = {
    [SASL_SCRAM_SHA_256_PLUS] = {VIEW_INIT("SCRAM-SHA-256-PLUS"), true},
    [SASL_SCRAM_SHA_256] = {VIEW_INIT("SCRAM-SHA-256"), true},
    [SASL_PLAIN] = {VIEW_INIT("PLAIN"), false},
    [SASL_LOGIN] = {VIEW_INIT("LOGIN"), false},
};

/* ---- what is offered ---- */

/* Appends the data of a binding by its name. False: there is none of this name on this connection. */
static bool find_binding(const struct sasl_client *c, view name, buf *into)
{
    unsigned char bytes[BINDING_BYTES_MAX];
    size_t len = 32;
    if (!c->is_encrypted || !c->stream) return false;
    if (view_equal(name, VIEW("tls-exporter"))) {
        if (stream_channel_binding(c->stream, bytes) != OK) return false;
    } else if (view_equal(name, VIEW("tls-server-end-point"))) {
        if (stream_server_end_point(c->stream, bytes, &len) != OK) return false;
    } else {
        return false;
    }
    buf_append(into, view_make(bytes, len));
    return true;
}

static bool can_bind(const struct sasl_client *c)
{
    buf ignored CLEANUP(buf_done) = BUF_INIT;
    return find_binding(c, VIEW("tls-exporter"), &ignored) || find_binding(c, VIEW("tls-server-end-point"), &ignored);
}

unsigned sasl_offered(const struct sasl_client *client)
{
    unsigned offered = 1u << SASL_PLAIN;
    if (client->takes_login) offered |= 1u << SASL_LOGIN;
    if (client->has_scram) offered |= 1u << SASL_SCRAM_SHA_256;
    if (client->has_scram && can_bind(client)) offered |= 1u << SASL_SCRAM_SHA_256_PLUS;
    return offered;
}

void sasl_append_names(buf *into, unsigned offered, view before)
{
    for (unsigned m = 0; m < SASL_MECHANISMS; m++) {
        if (!(offered & 1u << m)) continue;
        buf_append(into, before);
        buf_append(into, mechanisms[m].name);
    }
}

struct sasl_login *sasl_login_new(struct identity *i, const struct sasl_client *client, view mechanism)
{
    unsigned offered = sasl_offered(client), m = 0;
    while (m < SASL_MECHANISMS && !(offered & 1u << m && view_equal_nocase(mechanism, mechanisms[m].name))) m++;
    if (m == SASL_MECHANISMS) return NULL;
    struct sasl_login *s = calloc(1, sizeof *s);
    check(s);
    s->identity = i;
    s->client = *client;
    s->mechanism = (enum sasl_mechanism)m;
    s->offered = offered;
    s->arena = arena_new(NULL, ARENA_BYTES + 4 * ENGINE_VALUE_MAX_BYTES);
    return s;
}

void sasl_login_free(struct sasl_login *s)
{
    if (!s) return;
    if (s->password.len) OPENSSL_cleanse(s->password.at, s->password.len);
    buf_done(&s->user);
    buf_done(&s->password);
    buf_done(&s->auth_message);
    buf_done(&s->nonce);
    buf_done(&s->binding);
    arena_free(s->arena);
    OPENSSL_cleanse(s, sizeof *s);
    free(s);
}

view sasl_login_prompt(const struct sasl_login *s) { return s->mechanism == SASL_LOGIN ? VIEW("Username:") : VIEW_EMPTY; }

/* ---- PLAIN and LOGIN ---- */

MAY_YIELD static result check_password(struct sasl_login *s, view user, view password, view authorization, millis deadline, struct arena *arena,
                                       struct identity_account *ret_account, struct fault *fault)
{
    struct login login = {.user = user, .password = password, .authorization = authorization, .protocol = s->client.protocol, .peer = s->client.peer,
                          .is_encrypted = s->client.is_encrypted};
    return identity_authenticate(s->identity, &login, deadline, arena, ret_account, fault);
}

MAY_YIELD static result step_plain(struct sasl_login *s, view response, millis deadline, struct arena *arena, bool *ret_is_done, struct identity_account *ret_account,
                                   struct fault *fault)
{
    struct sasl_plain plain;
    if (!sasl_plain_parse(response, &plain)) return fail(fault, INVALID, "not a PLAIN message");
    *ret_is_done = true;
    return check_password(s, plain.user, plain.password, plain.authorization, deadline, arena, ret_account, fault);
}

MAY_YIELD static result step_login(struct sasl_login *s, view response, millis deadline, struct arena *arena, buf *challenge, bool *ret_is_done,
                                   struct identity_account *ret_account, struct fault *fault)
{
    if (response.len == 0 || response.len > SASL_PLAIN_FIELD_BYTES_MAX) return fail(fault, DENIED, "an empty user or password, or a very long one");
    if (s->step++ == 0) {
        buf_append(&s->user, response);
        buf_append(challenge, VIEW("Password:"));
        return OK;
    }
    *ret_is_done = true;
    return check_password(s, buf_view(&s->user), response, VIEW_EMPTY, deadline, arena, ret_account, fault);
}

/* ---- SCRAM: whose keys ---- */

/*
 * Of a name that leads to no keys: as steady as a salt, and of no use to who does not have the secret. Its first bytes are also the id of an account
 * that is looked for in vain, so that both ways take two look-ups.
 */
MAY_YIELD static result make_keys_up(struct sasl_login *s, millis deadline, struct fault *fault)
{
    view secret, json;
    unsigned char digest[32];
    unsigned len = sizeof digest;
    struct id nobody;
    char text[ID_TEXT_LEN + 1];
    result r = identity_find_lasting_secret(s->identity, VIEW("scram"), deadline, s->arena, &secret, fault);
    if (r != OK) return r;
    buf name CLEANUP(buf_done) = BUF_INIT;
    for (size_t i = 0; i < s->first.user.len; i++) buf_append_byte(&name, ascii_lower(s->first.user.at[i]));
    check(HMAC(EVP_sha256(), secret.at, (int)secret.len, (const unsigned char *)name.at, name.len, digest, &len) != NULL);
    s->keys = (struct scram_keys){.iterations = SCRAM_ITERATIONS, .salt_len = SCRAM_SALT_BYTES};
    memcpy(s->keys.salt, digest, SCRAM_SALT_BYTES);
    random_bytes(s->keys.stored, SCRAM_KEY_BYTES);
    random_bytes(s->keys.server, SCRAM_KEY_BYTES);
    memcpy(nobody.bytes, digest + 16, 16);
    if (id_is_none(s->account.id)) (void)!identity_row(s->identity, DIRECTORY_ACCOUNTS, id_text(nobody, text), deadline, s->arena, &json, NULL);
    return OK;
}

struct derivation { view password; struct scram_keys *keys; result code; };

BLOCKS static void derive(void *argument)
{
    struct derivation *d = argument;
    d->code = scram_keys_derive(d->password, d->keys, NULL);
}

/* Of a password that is kept in the clear: with the salt that would be made up for it. */
MAY_YIELD static result derive_keys(struct sasl_login *s, view clear, struct fault *fault)
{
    struct derivation d = {.password = clear, .keys = &s->keys};
    result r = worker_run(WORKER_SLOW, derive, &d);
    if (r != OK) return fail(fault, r == BUSY ? UNAVAILABLE : r, "keys of a password: %s", result_name(r));
    s->has_keys = d.code == OK;
    return OK;
}

MAY_YIELD static result find_keys(struct sasl_login *s, millis deadline, struct fault *fault)
{
    view password = VIEW_EMPTY, keys = VIEW_EMPTY;
    result r = identity_find_scram(s->identity, s->first.user, deadline, s->arena, &s->account, &password, &keys, fault);
    if (r != OK && r != NOT_FOUND) return r;
    r = make_keys_up(s, deadline, fault);          /* also when there are some: the same steps for all */
    if (r != OK) return r;
    s->has_keys = scram_keys_parse(keys, &s->keys);
    if (!s->has_keys && view_starts_nocase(password, VIEW("{PLAIN}"))) return derive_keys(s, view_from(password, VIEW("{PLAIN}").len), fault);
    return OK;
}

/* ---- SCRAM: the messages ---- */

/* What c= must be (RFC 5802 §6, §7). INVALID: what the client wants of it cannot be. DENIED: it was lied to about what we offer. */
static result settle_binding(struct sasl_login *s, struct fault *fault)
{
    buf_append(&s->binding, s->first.header);
    if (s->mechanism == SASL_SCRAM_SHA_256_PLUS) {
        if (s->first.binding != SCRAM_BINDS) return fail(fault, INVALID, "channel binding is demanded, and the client does none");
        if (!find_binding(&s->client, s->first.binding_name, &s->binding)) return fail(fault, INVALID, "channel binding of a type that is not supported");
        return OK;
    }
    if (s->first.binding == SCRAM_BINDS) return fail(fault, INVALID, "channel binding without -PLUS");
    if (s->first.binding == SCRAM_BINDS_NOT || !(s->offered & 1u << SASL_SCRAM_SHA_256_PLUS)) return OK;
    char peer[ADDRESS_TEXT_MAX];
    EVENT_EMIT(LOGIN_DOWNGRADED, EVENT_TEXT("protocol", view_of(s->client.protocol)), EVENT_TEXT("user", s->first.user),
               EVENT_TEXT("peer", s->client.peer ? address_text(s->client.peer, peer) : VIEW_EMPTY));
    return fail(fault, DENIED, "the client does not know that channel binding is offered");
}

MAY_YIELD static result step_first(struct sasl_login *s, view response, millis deadline, buf *challenge, struct fault *fault)
{
    unsigned char random[NONCE_BYTES];
    buf nonce CLEANUP(buf_done) = BUF_INIT;
    view message = arena_keep(s->arena, response);
    if (!scram_first_parse(message, s->arena, &s->first)) return fail(fault, INVALID, "not a first message of SCRAM");
    result r = settle_binding(s, fault);
    if (r == OK) r = find_keys(s, deadline, fault);
    if (r != OK) return r;
    random_bytes(random, sizeof random);
    base64_append(&nonce, view_make(random, sizeof random));
    scram_server_first_append(challenge, s->first.nonce, buf_view(&nonce), view_make(s->keys.salt, s->keys.salt_len), s->keys.iterations);
    buf_append(&s->nonce, s->first.nonce);
    buf_append(&s->nonce, buf_view(&nonce));
    buf_append(&s->auth_message, s->first.bare);
    buf_append_byte(&s->auth_message, ',');
    buf_append(&s->auth_message, buf_view(challenge));
    return OK;
}

static result step_final(struct sasl_login *s, view response, buf *challenge, struct fault *fault)
{
    struct scram_final final;
    unsigned char signature[SCRAM_KEY_BYTES];
    if (!scram_final_parse(response, s->arena, &final)) return fail(fault, INVALID, "not a final message of SCRAM");
    buf_append_byte(&s->auth_message, ',');
    buf_append(&s->auth_message, final.without_proof);
    bool holds = scram_keys_prove(&s->keys, buf_view(&s->auth_message), final.proof, signature) && s->has_keys;
    holds &= view_equal(final.nonce, buf_view(&s->nonce)) && view_equal(final.binding, buf_view(&s->binding));
    holds &= s->first.authorization.len == 0 || view_equal_nocase(s->first.authorization, s->first.user);
    struct login login = {.user = s->first.user, .protocol = s->client.protocol, .peer = s->client.peer, .is_encrypted = s->client.is_encrypted};
    result r = identity_judge(&login, &s->account, holds, fault);
    if (r == OK) scram_server_final_append(challenge, view_make(signature, sizeof signature));
    return r;
}

static void keep_account(const struct identity_account *a, struct arena *arena, struct identity_account *ret_account)
{
    *ret_account = *a;
    ret_account->address = arena_keep(arena, a->address);
    ret_account->tenant = arena_keep(arena, a->tenant);
    ret_account->display_name = arena_keep(arena, a->display_name);
    ret_account->sending = arena_keep(arena, a->sending);
}

MAY_YIELD static result step_scram(struct sasl_login *s, view response, millis deadline, struct arena *arena, buf *challenge, bool *ret_is_done,
                                   struct identity_account *ret_account, struct fault *fault)
{
    switch (s->step++) {
    case 0: return step_first(s, response, deadline, challenge, fault);
    case 1: return step_final(s, response, challenge, fault);
    default: break;
    }
    if (response.len) return fail(fault, INVALID, "the log-in is over, and the client has more to say");
    *ret_is_done = true;
    keep_account(&s->account, arena, ret_account);
    return OK;
}

result sasl_login_step(struct sasl_login *s, view response, millis deadline, struct arena *arena, buf *challenge, bool *ret_is_done,
                       struct identity_account *ret_account, struct fault *fault)
{
    *ret_is_done = false;
    buf_clear(challenge);
    if (response.len > SASL_RESPONSE_BYTES_MAX) return fail(fault, INVALID, "a response of more than %d bytes", SASL_RESPONSE_BYTES_MAX);
    if (mechanisms[s->mechanism].is_scram) return step_scram(s, response, deadline, arena, challenge, ret_is_done, ret_account, fault);
    if (s->mechanism == SASL_PLAIN) return step_plain(s, response, deadline, arena, ret_is_done, ret_account, fault);
    return step_login(s, response, deadline, arena, challenge, ret_is_done, ret_account, fault);
}
