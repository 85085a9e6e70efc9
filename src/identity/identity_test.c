/* The directory on the simulator: spelling, catch-all, aliases, credentials, caches. */
#include "identity/identity.h"

#include <time.h>

#include "base/test.h"
#include "engine/memory.h"
#include "identity/address_key.h"
#include "identity/credential.h"
#include "identity/directory.h"
#include "identity/row.h"
#include "runtime/clock.h"
#include "runtime/coroutine.h"
#include "runtime/sim/sim.h"

struct world {
    struct identity *identity;
    struct engine *engine;
    struct arena *arena;
    struct fault fault;
};

static void in_world(void (*run)(struct world *w))
{
    struct sim *s = sim_open(sim_seed_from_environment(1));
    sim_call(sim_node_new(s, "a", 1), 0, (void (*)(void *))(void (*)(void))run, NULL);
    sim_close(s);
}

/* Each test's body runs in a coroutine of a node with an empty directory that serves example.test. */
#define IDENTITY_TEST(name)                                                             \
    MAY_YIELD static void body_##name(struct world *w);                                 \
    static void coroutine_##name(struct world *unused)                                  \
    {                                                                                   \
        colour_pretend_coroutine();                                                     \
        struct world w = open_world();                                                  \
        body_##name(&w);                                                                \
        close_world(&w);                                                                \
    }                                                                                   \
    TEST(name) { in_world(coroutine_##name); }                                          \
    MAY_YIELD static void body_##name(struct world *w)

static struct memory_store *disks;

static millis soon(void)
{
    return clock_in(10000);
}

static MAY_YIELD struct world open_world(void)
{
    disks = memory_store_new();
    struct world w = {.engine = engine_open_memory(disks), .arena = arena_new(NULL, 16 << 20)};
    w.identity = identity_new(w.engine, loop_family(loop_self()));
    REQUIRE(directory_prepare(w.identity, soon(), &w.fault) == OK);
    REQUIRE(directory_add_domain(w.identity, VIEW("Example.Test"), VIEW("default"), soon(), &w.fault) == OK);
    return w;
}

static MAY_YIELD void close_world(struct world *w)
{
    identity_free(w->identity);
    engine_close(w->engine);
    memory_store_free(disks);
    arena_free(w->arena);
}

static MAY_YIELD result add_account(struct world *w, view address, view password, struct id *ret_account)
{
    struct directory_account_change change = {.sets_password = true, .password = password};
    return directory_add_account(w->identity, address, &change, soon(), ret_account, &w->fault);
}

static MAY_YIELD result find(struct world *w, view address, struct identity_address *ret_address)
{
    return identity_find_address(w->identity, address, soon(), w->arena, ret_address, &w->fault);
}

static MAY_YIELD result login(struct world *w, view user, view password)
{
    struct identity_account account;
    struct login l = {.user = user, .password = password, .protocol = "imap"};
    return identity_authenticate(w->identity, &l, soon(), w->arena, &account, &w->fault);
}

TEST(address_key_has_one_spelling_for_an_address)
{
    static const struct { view written, key; } cases[] = {
        {VIEW_INIT("Hanako@EXAMPLE.test"), VIEW_INIT("hanako@example.test")},
        {VIEW_INIT("\"a..b\"@example.test"), VIEW_INIT("a..b@example.test")},
        {VIEW_INIT("a..b@example.test"), VIEW_INIT("a..b@example.test")},
        {VIEW_INIT("\"with \\\"quote\\\"\"@example.test."), VIEW_INIT("with \"quote\"@example.test")},
        {VIEW_INIT("x@日本語.example"), VIEW_INIT("x@xn--wgv71a119e.example")},
        {VIEW_INIT("x@XN--WGV71A119E.example"), VIEW_INIT("x@xn--wgv71a119e.example")},
        {VIEW_INIT("花子@example.test"), VIEW_INIT("花子@example.test")},
        {VIEW_INIT("a@b@example.test"), VIEW_INIT("a@b@example.test")},
    };
    struct arena *arena = arena_new(NULL, 1 << 16);
    for (size_t i = 0; i < array_size(cases); i++) {
        view key;
        REQUIRE(address_key(cases[i].written, arena, &key) == OK);
        EXPECT_VIEW(key, cases[i].key);
    }
    arena_free(arena);
}

TEST(address_key_refuses_what_is_no_address)
{
    static const view bad[] = {VIEW_INIT(""),        VIEW_INIT("a"),          VIEW_INIT("@b"),           VIEW_INIT("a@"),          VIEW_INIT("\"\"@b"),
                               VIEW_INIT("a@b c"),   VIEW_INIT("a\x01@b"),    VIEW_INIT("a@-b.example"), VIEW_INIT("\"a@b"),       VIEW_INIT("\xff@b"),
                               VIEW_INIT("a@b..c"),  VIEW_INIT("a@\xff")};
    struct arena *arena = arena_new(NULL, 1 << 16);
    view key;
    for (size_t i = 0; i < array_size(bad); i++) EXPECT(address_key(bad[i], arena, &key) == INVALID);
    arena_free(arena);
}

IDENTITY_TEST(identity_finds_accounts_aliases_and_the_catch_all)
{
    struct id account;
    struct identity_address found;
    view targets[] = {VIEW("Hanako@example.test"), VIEW("other@elsewhere.example")};
    REQUIRE(add_account(w, VIEW("hanako@example.test"), VIEW("{PLAIN}x"), &account) == OK);
    REQUIRE(find(w, VIEW("HANAKO@example.test"), &found) == OK);
    EXPECT(found.kind == ADDRESS_ACCOUNT && id_equal(found.account, account));
    REQUIRE(directory_add_alias(w->identity, VIEW("all@example.test"), targets, 2, false, soon(), &w->fault) == OK);
    REQUIRE(find(w, VIEW("all@example.test"), &found) == OK);
    EXPECT(found.kind == ADDRESS_ALIAS && found.target_count == 2 && !found.is_catch_all);
    EXPECT_VIEW(found.targets[0], VIEW("hanako@example.test"));
    EXPECT_NUMBER(find(w, VIEW("nobody@example.test"), &found), NOT_FOUND);
    EXPECT_NUMBER(find(w, VIEW("nobody@elsewhere.example"), &found), DENIED);
    EXPECT_NUMBER(find(w, VIEW("not an address"), &found), INVALID);
    REQUIRE(directory_set_domain(w->identity, VIEW("example.test"), VIEW("hanako@example.test"), soon(), &w->fault) == OK);
    REQUIRE(find(w, VIEW("nobody@example.test"), &found) == OK);
    EXPECT(found.is_catch_all && found.target_count == 1);
}

IDENTITY_TEST(identity_an_address_is_given_once)
{
    struct id account;
    view target = VIEW("x@elsewhere.example");
    REQUIRE(add_account(w, VIEW("a@example.test"), VIEW("{PLAIN}x"), &account) == OK);
    EXPECT_NUMBER(add_account(w, VIEW("A@Example.Test"), VIEW("{PLAIN}x"), &account), EXISTS);
    EXPECT_NUMBER(directory_add_alias(w->identity, VIEW("a@example.test"), &target, 1, false, soon(), &w->fault), EXISTS);
    EXPECT_NUMBER(add_account(w, VIEW("a@elsewhere.example"), VIEW("{PLAIN}x"), &account), NOT_FOUND);
    EXPECT_NUMBER(directory_remove_domain(w->identity, VIEW("example.test"), soon(), &w->fault), BUSY);
    REQUIRE(directory_remove_account(w->identity, VIEW("a@example.test"), soon(), &account, &w->fault) == OK);
    EXPECT_NUMBER(directory_remove_domain(w->identity, VIEW("example.test"), soon(), &w->fault), OK);
}

IDENTITY_TEST(identity_authenticates_every_scheme_alike)
{
    struct id account;
    view crypted = VIEW("{CRYPT}$6$abcdefgh$bsE2ZPQRUxM5xiaAYz4dcsvkwIo8Yl0VhQWr5YpnXrv64IZ0Tqw0RbrYv7TLcDSOdp5KYxxNkGP0QzqbcKUpP1");
    REQUIRE(add_account(w, VIEW("clear@example.test"), VIEW("{PLAIN}pass"), &account) == OK);
    REQUIRE(add_account(w, VIEW("hashed@example.test"), VIEW("pass"), &account) == OK);
    REQUIRE(add_account(w, VIEW("crypted@example.test"), crypted, &account) == OK);
    static const view users[] = {VIEW_INIT("clear@example.test"), VIEW_INIT("hashed@example.test")};
    for (size_t i = 0; i < array_size(users); i++) {
        EXPECT_NUMBER(login(w, users[i], VIEW("pass")), OK);
        EXPECT_NUMBER(login(w, users[i], VIEW("pass")), OK);
        EXPECT_NUMBER(login(w, users[i], VIEW("Pass")), DENIED);
        EXPECT_NUMBER(login(w, users[i], VIEW("")), DENIED);
    }
    EXPECT_NUMBER(login(w, VIEW("crypted@example.test"), VIEW("wrong")), DENIED);
    EXPECT_NUMBER(login(w, VIEW("nobody@example.test"), VIEW("pass")), DENIED);
    EXPECT_VIEW(view_of(w->fault.client_text), VIEW(""));
    EXPECT_NUMBER(add_account(w, VIEW("x@example.test"), VIEW("{MD5}abc"), &account), INVALID);
    EXPECT_NUMBER(add_account(w, VIEW("x@example.test"), VIEW(""), &account), INVALID);
}

IDENTITY_TEST(identity_a_changed_password_and_a_suspension_are_in_force_at_once)
{
    struct id account;
    struct directory_account_change password = {.sets_password = true, .password = VIEW("{PLAIN}new")};
    struct directory_account_change suspension = {.sets_standing = true, .standing = STANDING_SUSPENDED};
    REQUIRE(add_account(w, VIEW("a@example.test"), VIEW("{PLAIN}old"), &account) == OK);
    EXPECT_NUMBER(login(w, VIEW("a@example.test"), VIEW("old")), OK);
    REQUIRE(directory_set_account(w->identity, VIEW("a@example.test"), &password, soon(), &w->fault) == OK);
    EXPECT_NUMBER(login(w, VIEW("a@example.test"), VIEW("old")), DENIED);
    EXPECT_NUMBER(login(w, VIEW("a@example.test"), VIEW("new")), OK);
    REQUIRE(directory_set_account(w->identity, VIEW("a@example.test"), &suspension, soon(), &w->fault) == OK);
    EXPECT_NUMBER(login(w, VIEW("a@example.test"), VIEW("wrong")), DENIED);
    EXPECT(view_find_view(view_of(w->fault.client_text), VIEW("suspended")) == VIEW_NONE);
    EXPECT_NUMBER(login(w, VIEW("a@example.test"), VIEW("new")), DENIED);
    EXPECT(view_find_view(view_of(w->fault.client_text), VIEW("suspended")) != VIEW_NONE);
}

IDENTITY_TEST(identity_rows_keep_keys_that_are_not_known)
{
    struct id account;
    char text[ID_TEXT_LEN + 1];
    view json;
    REQUIRE(add_account(w, VIEW("a@example.test"), VIEW("{PLAIN}x"), &account) == OK);
    view key = id_text(account, text);
    uint32_t shard = table_shard_of(w->engine, DIRECTORY_ACCOUNTS, key);
    struct table_change newer = {.key = key, .what = TABLE_PUT,
                                 .value = VIEW("{\"v\":7,\"address\":\"a@example.test\",\"tenant\":\"default\",\"forward\":[\"b\"],\"password\":\"{PLAIN}x\"}")};
    REQUIRE(table_batch(w->engine, DIRECTORY_ACCOUNTS, shard, &newer, 1, soon(), NULL, &w->fault) == OK);
    struct directory_account_change quota = {.sets_quota = true, .quota_bytes = 7};
    REQUIRE(directory_set_account(w->identity, VIEW("a@example.test"), &quota, soon(), &w->fault) == OK);
    REQUIRE(table_get(w->engine, DIRECTORY_ACCOUNTS, shard, key, soon(), w->arena, &json, &w->fault) == OK);
    EXPECT(view_find_view(json, VIEW("\"forward\":[\"b\"]")) != VIEW_NONE && view_find_view(json, VIEW("\"v\":7")) != VIEW_NONE);
    EXPECT(view_find_view(json, VIEW("\"quota\":7")) != VIEW_NONE);
}

IDENTITY_TEST(identity_a_row_that_is_no_json_concerns_its_account_alone)
{
    struct id broken, sound;
    struct identity_account row;
    char text[ID_TEXT_LEN + 1];
    REQUIRE(add_account(w, VIEW("broken@example.test"), VIEW("{PLAIN}x"), &broken) == OK);
    REQUIRE(add_account(w, VIEW("sound@example.test"), VIEW("{PLAIN}x"), &sound) == OK);
    view key = id_text(broken, text);
    struct table_change damage = {.key = key, .what = TABLE_PUT, .value = VIEW("{\"v\":1,")};
    REQUIRE(table_batch(w->engine, DIRECTORY_ACCOUNTS, table_shard_of(w->engine, DIRECTORY_ACCOUNTS, key), &damage, 1, soon(), NULL, &w->fault) == OK);
    REQUIRE(coroutine_sleep(IDENTITY_CACHE_MS + 1) == OK);
    EXPECT_NUMBER(identity_find_account(w->identity, broken, soon(), w->arena, &row, &w->fault), CORRUPT);
    EXPECT_NUMBER(login(w, VIEW("broken@example.test"), VIEW("x")), CORRUPT);
    EXPECT_NUMBER(login(w, VIEW("sound@example.test"), VIEW("x")), OK);
}

/* ---- two nodes, one directory: each has an engine and caches of its own ---- */

static MAY_YIELD void set(struct world *w, struct directory_account_change change)
{
    REQUIRE(directory_set_account(w->identity, VIEW("a@example.test"), &change, soon(), &w->fault) == OK);
}

IDENTITY_TEST(identity_what_another_node_changes_is_in_force_within_five_seconds)
{
    struct id account;
    struct identity_address found;
    struct world other = {.engine = engine_open_memory(disks), .arena = w->arena};
    other.identity = identity_new(other.engine, loop_family(loop_self()));
    REQUIRE(add_account(w, VIEW("a@example.test"), VIEW("{PLAIN}old"), &account) == OK);
    EXPECT_NUMBER(login(&other, VIEW("a@example.test"), VIEW("old")), OK);
    set(w, (struct directory_account_change){.sets_password = true, .password = VIEW("{PLAIN}new")});
    REQUIRE(coroutine_sleep(5000) == OK);
    EXPECT_NUMBER(login(&other, VIEW("a@example.test"), VIEW("old")), DENIED);
    EXPECT_NUMBER(login(&other, VIEW("a@example.test"), VIEW("new")), OK);
    set(w, (struct directory_account_change){.sets_standing = true, .standing = STANDING_SUSPENDED});
    REQUIRE(coroutine_sleep(5000) == OK);
    EXPECT_NUMBER(login(&other, VIEW("a@example.test"), VIEW("new")), DENIED);
    /* An address that is new elsewhere must not be told 550 for long. */
    EXPECT_NUMBER(find(&other, VIEW("b@example.test"), &found), NOT_FOUND);
    REQUIRE(add_account(w, VIEW("b@example.test"), VIEW("{PLAIN}x"), &account) == OK);
    REQUIRE(coroutine_sleep(IDENTITY_ABSENT_MS) == OK);
    EXPECT_NUMBER(find(&other, VIEW("b@example.test"), &found), OK);
    identity_free(other.identity);
    engine_close(other.engine);
}

IDENTITY_TEST(identity_a_row_that_came_late_is_not_kept_for_longer)
{
    struct id account;
    struct identity_account row;
    struct world other = {.engine = engine_open_memory(disks), .arena = w->arena};
    other.identity = identity_new(other.engine, loop_family(loop_self()));
    REQUIRE(add_account(w, VIEW("a@example.test"), VIEW("{PLAIN}x"), &account) == OK);
    for (unsigned at = 0; at < 20; at++) {
        millis asked = clock_now();
        memory_store_set_faults(disks, &(struct memory_faults){.delay_max_us = 9000000});
        REQUIRE(identity_find_account(other.identity, account, clock_in(60000), w->arena, &row, &w->fault) == OK);
        uint64_t before = row.quota_bytes;
        memory_store_set_faults(disks, &(struct memory_faults){0});
        set(w, (struct directory_account_change){.sets_quota = true, .quota_bytes = before + 1});
        millis now = clock_now();
        REQUIRE(identity_find_account(other.identity, account, clock_in(60000), w->arena, &row, &w->fault) == OK);
        if (now.ms - asked.ms >= IDENTITY_CACHE_MS) EXPECT_NUMBER(row.quota_bytes, before + 1);
        REQUIRE(coroutine_sleep(IDENTITY_CACHE_MS) == OK);
    }
    identity_free(other.identity);
    engine_close(other.engine);
}

/* Complaints of others are kept in rows with what they say of themselves. */
TEST(row_keeps_a_text_whatever_its_bytes)
{
    struct arena *arena = arena_new(NULL, 1 << 16);
    json_t *row CLEANUP(json_done) = row_new(), *again CLEANUP(json_done) = NULL;
    row_set_string(row, "text", view_make("a\xff\0\xe3\x81", 5));
    REQUIRE(row_parse(VIEW("t"), VIEW("k"), row_text(row, arena), &again, NULL) == OK);
    EXPECT_VIEW(row_string(again, "text", arena), VIEW("a\xef\xbf\xbd?\xef\xbf\xbd\xef\xbf\xbd"));
    arena_free(arena);
}

/* Processor time of a log-in that fails. */
static MAY_YIELD double cost_of(struct world *w, view user)
{
    clock_t before = clock();
    EXPECT(login(w, user, VIEW("wrong")) == DENIED);
    return (double)(clock() - before);
}

IDENTITY_TEST(identity_tells_nobody_by_time_who_is_there)
{
    struct id account;
    double unknown = cost_of(w, VIEW("nobody@example.test"));
    REQUIRE(add_account(w, VIEW("clear@example.test"), VIEW("{PLAIN}x"), &account) == OK);
    REQUIRE(add_account(w, VIEW("old@example.test"), VIEW("{CRYPT}$1$abcdefgh$0123456789012345678901"), &account) == OK);
    EXPECT(cost_of(w, VIEW("clear@example.test")) > unknown / 3);
    EXPECT(cost_of(w, VIEW("old@example.test")) > unknown / 3);
}

struct changer {
    struct world *world;
    unsigned number;
    result code;
};

static void change_often(void *argument)
{
    colour_pretend_coroutine();
    struct changer *c = argument;
    for (unsigned at = 1; at <= 20 && c->code == OK; at++) {
        struct directory_account_change name = {.sets_display_name = true, .display_name = VIEW("Hanako")};
        struct directory_account_change quota = {.sets_quota = true, .quota_bytes = at};
        struct directory_account_change *change = c->number ? &name : &quota;
        c->code = directory_set_account(c->world->identity, VIEW("a@example.test"), change, clock_in(600000), &c->world->fault);
    }
}

IDENTITY_TEST(identity_changes_of_two_nodes_do_not_undo_each_other)
{
    struct id account;
    struct identity_account row;
    struct scope scope;
    struct world other = {.engine = engine_open_memory(disks), .arena = w->arena};
    other.identity = identity_new(other.engine, loop_family(loop_self()));
    REQUIRE(add_account(w, VIEW("a@example.test"), VIEW("{PLAIN}x"), &account) == OK);
    memory_store_set_faults(disks, &(struct memory_faults){.delay_max_us = 3000});
    struct changer changers[2] = {{w, 0, OK}, {&other, 1, OK}};
    scope_init(&scope, NULL);
    for (unsigned at = 0; at < 2; at++) coroutine_spawn(&scope, "changer", change_often, &changers[at]);
    scope_join(&scope);
    scope_done(&scope);
    EXPECT(changers[0].code == OK && changers[1].code == OK);
    REQUIRE(coroutine_sleep(IDENTITY_CACHE_MS) == OK);
    REQUIRE(identity_find_account(w->identity, account, soon(), w->arena, &row, &w->fault) == OK);
    EXPECT_VIEW(row.display_name, VIEW("Hanako"));
    EXPECT_NUMBER(row.quota_bytes, 20);
    memory_store_set_faults(disks, &(struct memory_faults){0});
    identity_free(other.identity);
    engine_close(other.engine);
}
