/* SCRAM on the simulator: the vectors of RFC 7677, wrong proofs, downgrades, users who do not exist, and where keys come from. */
#include "identity/sasl_login.h"

#include <jansson.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>
#include <string.h>

#include "base/check.h"
#include "base/test.h"
#include "engine/memory.h"
#include "formats/transfer.h"
#include "identity/directory.h"
#include "identity/identity_private.h"
#include "identity/row.h"
#include "identity/scram_keys.h"
#include "runtime/clock.h"
#include "runtime/coroutine.h"
#include "runtime/sim/sim.h"

/* ---- keys ---- */

static void decode(const char *text, buf *into) { REQUIRE(base64_decode(view_of(text), into)); }

TEST(scram_keys_follow_the_vectors)
{
    const char *folder = test_data_folder();
    char path[512];
    if (!folder) test_skip("no shared test data");
    snprintf(path, sizeof path, "%s/sasl/vectors.json", folder);
    json_t *all = json_load_file(path, 0, NULL), *v;
    size_t i, count = 0;
    REQUIRE(all != NULL);
    colour_pretend_worker();
    json_array_foreach(json_object_get(all, "scram"), i, v) {
        struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 1 << 20);
        buf salt CLEANUP(buf_done) = BUF_INIT, said CLEANUP(buf_done) = BUF_INIT, message CLEANUP(buf_done) = BUF_INIT;
        struct scram_keys keys = {.iterations = (uint32_t)json_integer_value(json_object_get(v, "iterations"))};
        struct scram_first first;
        struct scram_final final;
        unsigned char signature[SCRAM_KEY_BYTES];
        if (strcmp(json_string_value(json_object_get(v, "mechanism")), "SCRAM-SHA-256") != 0) continue;
        view client_final = view_of(json_string_value(json_object_get(v, "client_final"))), server_first = view_of(json_string_value(json_object_get(v, "server_first")));
        decode(json_string_value(json_object_get(v, "salt_b64")), &salt);
        keys.salt_len = salt.len;
        memcpy(keys.salt, salt.at, salt.len);
        REQUIRE(scram_keys_derive(view_of(json_string_value(json_object_get(v, "password"))), &keys, NULL) == OK);
        REQUIRE(scram_first_parse(view_of(json_string_value(json_object_get(v, "client_first"))), arena, &first));
        REQUIRE(scram_final_parse(client_final, arena, &final));
        scram_server_first_append(&said, first.nonce, view_from(final.nonce, first.nonce.len), buf_view(&salt), keys.iterations);
        EXPECT_VIEW(buf_view(&said), server_first);
        buf_appendf(&message, VIEW_FMT "," VIEW_FMT "," VIEW_FMT, VIEW_ARG(first.bare), VIEW_ARG(server_first), VIEW_ARG(final.without_proof));
        EXPECT(scram_keys_prove(&keys, buf_view(&message), final.proof, signature));
        buf_clear(&said);
        scram_server_final_append(&said, view_make(signature, sizeof signature));
        EXPECT_VIEW(buf_view(&said), view_of(json_string_value(json_object_get(v, "server_final"))));
        final.proof[0] ^= 1;
        EXPECT(!scram_keys_prove(&keys, buf_view(&message), final.proof, signature));
        count++;
    }
    json_decref(all);
    EXPECT_NUMBER(count, 1);
}

/* The same password in another writing gives the same keys; what is forbidden gives none. */
TEST(scram_keys_are_of_prepared_passwords)
{
    const char *folder = test_data_folder();
    char path[512];
    if (!folder) test_skip("no shared test data");
    snprintf(path, sizeof path, "%s/sasl/vectors.json", folder);
    json_t *all = json_load_file(path, 0, NULL), *v;
    size_t i;
    REQUIRE(all != NULL);
    colour_pretend_worker();
    json_array_foreach(json_object_get(all, "saslprep"), i, v) {
        struct scram_keys one = {.iterations = SCRAM_ITERATIONS_MIN, .salt_len = 1}, other = one;
        const char *out = json_string_value(json_object_get(v, "out"));
        result r = scram_keys_derive(view_of(json_string_value(json_object_get(v, "in"))), &one, NULL);
        EXPECT(r == (out ? OK : INVALID));
        if (out && r == OK) EXPECT(scram_keys_derive(view_of(out), &other, NULL) == OK && memcmp(one.stored, other.stored, sizeof one.stored) == 0);
    }
    json_decref(all);
    EXPECT(scram_keys_derive(VIEW("\xff"), &(struct scram_keys){.iterations = 4096}, NULL) == INVALID);
    EXPECT(scram_keys_derive(VIEW(""), &(struct scram_keys){.iterations = 4096}, NULL) == INVALID);
}

TEST(scram_keys_are_read_as_others_write_them)
{
    struct scram_keys keys, again;
    buf text CLEANUP(buf_done) = BUF_INIT, dovecot CLEANUP(buf_done) = BUF_INIT;
    colour_pretend_worker();
    REQUIRE(scram_keys_make(VIEW("pencil"), &keys, NULL) == OK && keys.iterations == SCRAM_ITERATIONS);
    scram_keys_append(&text, &keys);
    REQUIRE(scram_keys_parse(buf_view(&text), &again) && memcmp(again.stored, keys.stored, SCRAM_KEY_BYTES) == 0);
    EXPECT(scram_keys_match(&again, VIEW("pencil")) == OK && scram_keys_match(&again, VIEW("pencils")) == DENIED);
    for (size_t i = 0; i < text.len; i++) buf_append_byte(&dovecot, i > 10 && (text.at[i] == ':' || text.at[i] == '$') ? ',' : text.at[i]);
    EXPECT(scram_keys_parse(buf_view(&dovecot), &again) && memcmp(again.server, keys.server, SCRAM_KEY_BYTES) == 0);
    EXPECT(!scram_keys_parse(VIEW("{SCRAM-SHA-256}"), &again) && !scram_keys_parse(VIEW("{SCRAM-SHA-256}4096:c2FsdA==$AAAA:AAAA"), &again));
    EXPECT(!scram_keys_parse(view_slice(buf_view(&text), 0, text.len - 1), &again) && !scram_keys_parse(VIEW("{SCRAM-SHA-1}4096"), &again));
}

/* ---- log-ins ---- */

struct world {
    struct identity *identity;
    struct engine *engine;
    struct arena *arena;
    struct fault fault;
};

static millis soon(void) { return clock_in(10000); }

static void run_inside(void *argument)
{
    colour_pretend_coroutine();
    void (*body)(struct world *w) = *(void (**)(struct world *))argument;
    struct memory_store *disks = memory_store_new();
    struct world w = {.engine = engine_open_memory(disks), .arena = arena_new(NULL, 64 << 20)};
    w.identity = identity_new(w.engine, loop_family(loop_self()));
    REQUIRE(directory_prepare(w.identity, soon(), &w.fault) == OK);
    REQUIRE(directory_add_domain(w.identity, VIEW("example.test"), VIEW("default"), soon(), &w.fault) == OK);
    body(&w);
    identity_free(w.identity);
    engine_close(w.engine);
    memory_store_free(disks);
    arena_free(w.arena);
}

static void in_world(void (*body)(struct world *w))
{
    struct sim *s = sim_open(sim_seed_from_environment(1));
    sim_call(sim_node_new(s, "a", 1), 0, run_inside, &body);
    sim_close(s);
}

static MAY_YIELD void set_account(struct world *w, const char *address, const char *password, bool is_suspended)
{
    struct directory_account_change change = {.sets_password = password != NULL, .password = view_of(password), .sets_standing = true,
                                              .standing = is_suspended ? STANDING_SUSPENDED : STANDING_ACTIVE};
    struct id account;
    result r = directory_add_account(w->identity, view_of(address), &change, soon(), &account, &w->fault);
    if (r == EXISTS) r = directory_set_account(w->identity, view_of(address), &change, soon(), &w->fault);
    REQUIRE(r == OK);
}

/* A client, written from the RFC alone. */
struct client { const char *user, *password, *flag, *authorization; };

static void hmac(const unsigned char *key, size_t key_len, view text, unsigned char out[32])
{
    unsigned len = 32;
    HMAC(EVP_sha256(), key, (int)key_len, (const unsigned char *)text.at, text.len, out, &len);
}

static view field(view message, char letter)
{
    view part;
    while (view_cut(&message, ',', &part))
        if (part.len > 2 && part.at[0] == letter) return view_from(part, 2);
    return VIEW_EMPTY;
}

static void answer(const struct client *c, view bare, view server_first, buf *into)
{
    unsigned char salted[32], client_key[32], stored[32], signature[32];
    buf salt CLEANUP(buf_done) = BUF_INIT, header CLEANUP(buf_done) = BUF_INIT, message CLEANUP(buf_done) = BUF_INIT;
    uint32_t iterations = 0;
    REQUIRE(base64_decode(field(server_first, 's'), &salt) && view_to_u32(field(server_first, 'i'), &iterations));
    PKCS5_PBKDF2_HMAC(c->password, -1, (unsigned char *)salt.at, (int)salt.len, (int)iterations, EVP_sha256(), 32, salted);
    hmac(salted, 32, VIEW("Client Key"), client_key);
    SHA256(client_key, 32, stored);
    buf_appendf(&header, "%s,%s%s,", c->flag, c->authorization ? "a=" : "", c->authorization ? c->authorization : "");
    buf_append(into, VIEW("c="));
    base64_append(into, buf_view(&header));
    buf_appendf(into, ",r=" VIEW_FMT, VIEW_ARG(field(server_first, 'r')));
    buf_appendf(&message, VIEW_FMT "," VIEW_FMT "," VIEW_FMT, VIEW_ARG(bare), VIEW_ARG(server_first), VIEW_ARG(buf_view(into)));
    hmac(stored, 32, buf_view(&message), signature);
    for (int i = 0; i < 32; i++) signature[i] ^= client_key[i];
    buf_append(into, VIEW(",p="));
    base64_append(into, view_make(signature, 32));
}

/* What came of it; *ret_first (may be NULL) is what the server said first. */
static MAY_YIELD result play(struct world *w, const struct client *c, buf *ret_first, struct identity_account *ret_account)
{
    static const struct sasl_client imap = {.protocol = "imap", .has_scram = true};
    struct sasl_login *s = sasl_login_new(w->identity, &imap, VIEW("scram-sha-256"));
    buf challenge CLEANUP(buf_done) = BUF_INIT, message CLEANUP(buf_done) = BUF_INIT, final CLEANUP(buf_done) = BUF_INIT;
    bool is_done;
    REQUIRE(s != NULL);
    w->fault = (struct fault){0};
    buf_appendf(&message, "%s,%s%s,n=%s,r=fyko+d2lbbFgONRv9qkxdawL", c->flag, c->authorization ? "a=" : "", c->authorization ? c->authorization : "", c->user);
    result r = sasl_login_step(s, buf_view(&message), soon(), w->arena, &challenge, &is_done, ret_account, &w->fault);
    if (r == OK) {
        if (ret_first) buf_clear(ret_first), buf_append(ret_first, buf_view(&challenge));
        answer(c, view_from(buf_view(&message), view_find_view(buf_view(&message), VIEW(",n=")) + 1), buf_view(&challenge), &final);
        r = sasl_login_step(s, buf_view(&final), soon(), w->arena, &challenge, &is_done, ret_account, &w->fault);
    }
    if (r == OK) {
        EXPECT(!is_done && view_starts(buf_view(&challenge), VIEW("v=")));
        r = sasl_login_step(s, VIEW_EMPTY, soon(), w->arena, &challenge, &is_done, ret_account, &w->fault);
        EXPECT(r == OK && is_done);
    }
    sasl_login_free(s);
    return r;
}

static MAY_YIELD result log_in(struct world *w, const char *user, const char *password)
{
    struct identity_account account;
    struct client c = {user, password, "n", NULL};
    return play(w, &c, NULL, &account);
}

static MAY_YIELD void logs_in(struct world *w)
{
    struct identity_account account;
    struct client hanako = {"Hanako@example.test", "pencil", "n", NULL}, other = {"hanako@example.test", "pencil", "n", "hanako@example.test"};
    set_account(w, "hanako@example.test", "pencil", false);
    REQUIRE(play(w, &hanako, NULL, &account) == OK);
    EXPECT_VIEW(account.address, VIEW("hanako@example.test"));
    EXPECT(play(w, &other, NULL, &account) == OK);
    other.authorization = "taro@example.test";
    EXPECT(play(w, &other, NULL, &account) == DENIED);
    EXPECT(log_in(w, "hanako@example.test", "pencils") == DENIED);
    /* Without PLUS on offer a client may say that it could. */
    hanako.flag = "y";
    EXPECT(play(w, &hanako, NULL, &account) == OK);
    hanako.flag = "p=tls-exporter";
    EXPECT(play(w, &hanako, NULL, &account) == INVALID);
    set_account(w, "hanako@example.test", "eraser", false);
    EXPECT(log_in(w, "hanako@example.test", "pencil") == DENIED && log_in(w, "hanako@example.test", "eraser") == OK);
    set_account(w, "hanako@example.test", NULL, true);
    EXPECT(log_in(w, "hanako@example.test", "eraser") == DENIED && w->fault.client_text[0] != 0);
    EXPECT(log_in(w, "hanako@example.test", "pencil") == DENIED && w->fault.client_text[0] == 0);
}

TEST(sasl_login_by_scram) { in_world(logs_in); }

static MAY_YIELD void tells_nobody_who_exists(struct world *w)
{
    buf first CLEANUP(buf_done) = BUF_INIT, again CLEANUP(buf_done) = BUF_INIT, other CLEANUP(buf_done) = BUF_INIT;
    struct identity_account account;
    struct client nobody = {"nobody@example.test", "x", "n", NULL}, upper = {"NOBODY@Example.Test", "x", "n", NULL}, elsewhere = {"x@elsewhere.test", "x", "n", NULL};
    set_account(w, "hash@example.test", "{CRYPT}$6$abcdefgh$uJ0", false);
    EXPECT(play(w, &nobody, &first, &account) == DENIED && play(w, &upper, &again, &account) == DENIED && play(w, &elsewhere, &other, &account) == DENIED);
    EXPECT_VIEW(field(buf_view(&first), 's'), field(buf_view(&again), 's'));
    EXPECT(!view_equal(field(buf_view(&first), 's'), field(buf_view(&other), 's')) && field(buf_view(&first), 's').len == 24);
    EXPECT_VIEW(field(buf_view(&first), 'i'), VIEW("65536"));
    EXPECT(log_in(w, "hash@example.test", "x") == DENIED);
    /* Later it is the same salt, in a process that knows nothing of this one. */
    (void)!coroutine_sleep(1000 * 1000);
    struct identity *before = w->identity;
    w->identity = identity_new(w->engine, loop_family(loop_self()));
    EXPECT(play(w, &nobody, &again, &account) == DENIED);
    EXPECT_VIEW(field(buf_view(&first), 's'), field(buf_view(&again), 's'));
    identity_free(w->identity);
    w->identity = before;
}

TEST(sasl_login_of_nobody_looks_like_any_other) { in_world(tells_nobody_who_exists); }

static MAY_YIELD result by_password(struct world *w, const char *user, const char *password)
{
    struct identity_account account;
    struct login l = {.user = view_of(user), .password = view_of(password), .protocol = "imap"};
    return identity_authenticate(w->identity, &l, soon(), w->arena, &account, &w->fault);
}

static MAY_YIELD void captures(struct world *w)
{
    set_account(w, "clear@example.test", "{PLAIN}secret", false);
    EXPECT(log_in(w, "clear@example.test", "secret") == OK && log_in(w, "clear@example.test", "other") == DENIED);
    struct scram_keys keys = {.iterations = 4096, .salt_len = 4, .salt = "salt"};
    buf text CLEANUP(buf_done) = BUF_INIT;
    colour_pretend_worker();
    REQUIRE(scram_keys_derive(VIEW("secret"), &keys, NULL) == OK);
    scram_keys_append(&text, &keys);
    buf_append_byte(&text, '\0');
    set_account(w, "imported@example.test", text.at, false);
    EXPECT(log_in(w, "imported@example.test", "secret") == OK && by_password(w, "imported@example.test", "secret") == OK);
    EXPECT(by_password(w, "imported@example.test", "other") == DENIED);
    struct directory_account_change bad = {.sets_password = true, .password = VIEW("{SCRAM-SHA-256}1:a$b:c")};
    EXPECT(directory_set_account(w->identity, VIEW("imported@example.test"), &bad, soon(), &w->fault) == INVALID);
}

TEST(sasl_login_with_keys_of_others) { in_world(captures); }

/* What a program that does not know of keys leaves in a row whose password it has changed. */
static MAY_YIELD void keys_of_an_old_password(struct world *w)
{
    struct identity_account account;
    char text[ID_TEXT_LEN + 1];
    view json;
    json_t *row CLEANUP(json_done) = NULL;
    set_account(w, "hanako@example.test", "pencil", false);
    REQUIRE(identity_find_account_by_address(w->identity, VIEW("hanako@example.test"), soon(), w->arena, &account, &w->fault) == OK);
    view key = id_text(account.id, text);
    REQUIRE(identity_row_fresh(w->identity, DIRECTORY_ACCOUNTS, key, soon(), w->arena, &json, &w->fault) == OK && row_parse(DIRECTORY_ACCOUNTS, key, json, &row, NULL) == OK);
    EXPECT(row_scram(row, w->arena).len > 0);
    struct directory_account_change other = {.sets_password = true, .password = VIEW("eraser")};
    REQUIRE(directory_set_account(w->identity, VIEW("hanako@example.test"), &other, soon(), &w->fault) == OK);
    json_t *scram = json_incref(json_object_get(row, "scram"));
    json_t *changed CLEANUP(json_done) = NULL;
    REQUIRE(identity_row_fresh(w->identity, DIRECTORY_ACCOUNTS, key, soon(), w->arena, &json, &w->fault) == OK && row_parse(DIRECTORY_ACCOUNTS, key, json, &changed, NULL) == OK);
    json_object_set_new(changed, "scram", scram);
    EXPECT(row_scram(changed, w->arena).len == 0);
    struct table_change put = {.key = key, .what = TABLE_PUT, .value = row_text(changed, w->arena)};
    REQUIRE(table_batch(w->engine, DIRECTORY_ACCOUNTS, table_shard_of(w->engine, DIRECTORY_ACCOUNTS, key), &put, 1, soon(), NULL, NULL) == OK);
    identity_changed(w->identity);
    EXPECT(log_in(w, "hanako@example.test", "pencil") == DENIED && log_in(w, "hanako@example.test", "eraser") == DENIED);
    /* By password it still goes, and from then on by keys again: the password was seen. */
    EXPECT(by_password(w, "hanako@example.test", "eraser") == OK);
    (void)!coroutine_sleep(IDENTITY_CACHE_MS + 100);
    EXPECT(log_in(w, "hanako@example.test", "eraser") == OK && log_in(w, "hanako@example.test", "pencil") == DENIED);
}

TEST(sasl_login_keys_hold_for_their_password_alone) { in_world(keys_of_an_old_password); }

static MAY_YIELD void tenants_may_do_without(struct world *w)
{
    REQUIRE(directory_set_tenant(w->identity, VIEW("default"), &(struct directory_tenant_change){.sets_scram = true}, soon(), &w->fault) == OK);
    set_account(w, "hanako@example.test", "pencil", false);
    EXPECT(log_in(w, "hanako@example.test", "pencil") == DENIED && by_password(w, "hanako@example.test", "pencil") == OK);
    (void)!coroutine_sleep(IDENTITY_CACHE_MS + 100);
    EXPECT(log_in(w, "hanako@example.test", "pencil") == DENIED);
    REQUIRE(directory_set_tenant(w->identity, VIEW("default"), &(struct directory_tenant_change){.sets_scram = true, .has_scram = true}, soon(), &w->fault) == OK);
    EXPECT(by_password(w, "hanako@example.test", "pencil") == OK);
    (void)!coroutine_sleep(IDENTITY_CACHE_MS + 100);
    EXPECT(log_in(w, "hanako@example.test", "pencil") == OK);
}

TEST(sasl_login_keys_are_made_when_a_password_is_seen) { in_world(tenants_may_do_without); }

static MAY_YIELD void breaks_grammar(struct world *w)
{
    static const struct sasl_client imap = {.protocol = "imap", .has_scram = true}, without = {.protocol = "imap"};
    buf challenge CLEANUP(buf_done) = BUF_INIT;
    struct identity_account account;
    bool is_done;
    EXPECT(!sasl_login_new(w->identity, &without, VIEW("SCRAM-SHA-256")) && !sasl_login_new(w->identity, &imap, VIEW("SCRAM-SHA-256-PLUS")));
    EXPECT(!sasl_login_new(w->identity, &imap, VIEW("LOGIN")) && !sasl_login_new(w->identity, &imap, VIEW("")));
    struct sasl_login *s = sasl_login_new(w->identity, &imap, VIEW("SCRAM-SHA-256"));
    EXPECT(sasl_login_step(s, VIEW("nonsense"), soon(), w->arena, &challenge, &is_done, &account, &w->fault) == INVALID);
    sasl_login_free(s);
    s = sasl_login_new(w->identity, &imap, VIEW("SCRAM-SHA-256"));
    EXPECT(sasl_login_step(s, VIEW("n,,n=u,r=a"), soon(), w->arena, &challenge, &is_done, &account, &w->fault) == OK);
    EXPECT(sasl_login_step(s, VIEW("c=biws,r=a"), soon(), w->arena, &challenge, &is_done, &account, &w->fault) == INVALID);
    sasl_login_free(s);
}

TEST(sasl_login_refuses_what_is_no_message) { in_world(breaks_grammar); }
