#include "identity/identity.h"

#include <stdlib.h>

#include "identity/address_key.h"
#include "identity/identity_private.h"
#include "identity/row.h"
#include "runtime/clock.h"
#include "runtime/random.h"

struct identity *identity_new(struct engine *e, struct loops *all)
{
    struct identity *i = calloc(1, sizeof *i);
    check(i != NULL);
    i->engine = e;
    i->loops = all;
    atomic_init(&i->generation, 1);
    random_bytes(i->login_key, sizeof i->login_key);
    i->caches = calloc(loops_count(all), sizeof(struct row_cache *));
    check(i->caches != NULL);
    for (unsigned at = 0; at < loops_count(all); at++) i->caches[at] = row_cache_new();
    return i;
}

void identity_free(struct identity *i)
{
    if (!i) return;
    for (unsigned at = 0; at < loops_count(i->loops); at++) row_cache_free(i->caches[at]);
    free(i->caches);
    free(i);
}

uint64_t identity_generation(const struct identity *i)
{
    return atomic_load(&i->generation);
}

void identity_changed(struct identity *i)
{
    atomic_fetch_add(&i->generation, 1);
}

result identity_row_fresh(struct identity *i, view table, view key, millis deadline, struct arena *arena, view *ret_json, struct fault *fault)
{
    return table_get(i->engine, table, table_shard_of(i->engine, table, key), key, deadline, arena, ret_json, fault);
}

result identity_row(struct identity *i, view table, view key, millis deadline, struct arena *arena, view *ret_json, struct fault *fault)
{
    struct row_cache *cache = i->caches[loop_index(loop_self())];
    uint64_t generation = atomic_load(&i->generation);
    millis asked = clock_now();
    result r = row_cache_get(cache, generation, table, key, arena, ret_json);
    if (r != END) return r;
    r = identity_row_fresh(i, table, key, deadline, arena, ret_json, fault);
    /* What was read before a change must not be put under the generation after it. */
    if (atomic_load(&i->generation) != generation) return r;
    if (r == OK) row_cache_put(cache, generation, table, key, ret_json, asked);
    if (r == NOT_FOUND) row_cache_put(cache, generation, table, key, NULL, asked);
    return r;
}

static MAY_YIELD result find_catch_all(struct identity *i, view key, millis deadline, struct arena *arena, struct identity_address *ret_address,
                                       struct fault *fault)
{
    view json, domain = address_key_domain(key);
    result r = identity_row(i, DIRECTORY_DOMAINS, domain, deadline, arena, &json, fault);
    if (r == NOT_FOUND) return fail(fault, DENIED, "domain " VIEW_FMT " is not served here", VIEW_ARG(domain));
    if (r != OK) return r;
    json_t *row CLEANUP(json_done) = NULL;
    r = row_parse(DIRECTORY_DOMAINS, domain, json, &row, fault);
    if (r != OK) return r;
    view catch_all = row_string(row, "catch_all", arena);
    if (catch_all.len == 0) return fail(fault, NOT_FOUND, "address " VIEW_FMT " does not exist", VIEW_ARG(key));
    *ret_address = (struct identity_address){.kind = ADDRESS_ALIAS, .targets = arena_new_struct(arena, view), .target_count = 1, .is_catch_all = true};
    ret_address->targets[0] = catch_all;
    return OK;
}

result identity_find_address(struct identity *i, view address, millis deadline, struct arena *arena, struct identity_address *ret_address,
                             struct fault *fault)
{
    view key, json;
    if (address_key(address, arena, &key) != OK) return fail(fault, INVALID, VIEW_FMT " is not an address", VIEW_ARG(address));
    result r = identity_row(i, DIRECTORY_ADDRESSES, key, deadline, arena, &json, fault);
    if (r == OK) return row_read_address(key, json, arena, ret_address, fault);
    if (r != NOT_FOUND) return r;
    return find_catch_all(i, key, deadline, arena, ret_address, fault);
}

result identity_find_account(struct identity *i, struct id account, millis deadline, struct arena *arena, struct identity_account *ret_account,
                             struct fault *fault)
{
    char text[ID_TEXT_LEN + 1];
    view key = id_text(account, text), json;
    result r = identity_row(i, DIRECTORY_ACCOUNTS, key, deadline, arena, &json, fault);
    if (r == NOT_FOUND) return fail(fault, NOT_FOUND, "account %s does not exist", text);
    if (r != OK) return r;
    return row_read_account(key, json, arena, ret_account, NULL, fault);
}

result identity_find_account_by_address(struct identity *i, view address, millis deadline, struct arena *arena, struct identity_account *ret_account,
                                        struct fault *fault)
{
    struct identity_address found;
    result r = identity_find_address(i, address, deadline, arena, &found, fault);
    if (r != OK) return r;
    if (found.kind != ADDRESS_ACCOUNT) return fail(fault, NOT_FOUND, VIEW_FMT " is an alias, not an account", VIEW_ARG(address));
    return identity_find_account(i, found.account, deadline, arena, ret_account, fault);
}

result identity_archive_after(struct identity *i, struct id account, millis deadline, int64_t *ret_after_ms, struct fault *fault)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 4 * ENGINE_VALUE_MAX_BYTES);
    struct identity_account found;
    view json;
    json_t *row CLEANUP(json_done) = NULL;
    result r = identity_find_account(i, account, deadline, arena, &found, fault);
    if (r == OK && found.archive_after_ms >= 0) {
        *ret_after_ms = found.archive_after_ms;
        return OK;
    }
    if (r == OK) r = identity_row(i, DIRECTORY_TENANTS, found.tenant, deadline, arena, &json, fault);
    if (r == OK) r = row_parse(DIRECTORY_TENANTS, found.tenant, json, &row, fault);
    if (r != OK && r != NOT_FOUND) return r;
    *ret_after_ms = r == OK ? row_number(row, "archive_after", 0) : 0;
    return OK;
}
