#include "identity/dkim_keys.h"

#include "base/check.h"
#include "formats/transfer.h"
#include "identity/address_key.h"
#include "identity/directory_private.h"
#include "identity/identity_private.h"
#include "runtime/clock.h"

#define DKIM_TABLE VIEW("dkim")
enum { ARENA_BYTES = 8 * ENGINE_VALUE_MAX_BYTES };

static const char *const states[] = {[DKIM_KEY_NEXT] = "next", [DKIM_KEY_ACTIVE] = "active", [DKIM_KEY_OLD] = "old"};

const char *dkim_key_state_name(enum dkim_key_state state) { return states[state]; }

/* ---- rows ---- */

static bool read_bytes(const json_t *object, const char *name, struct arena *arena, view *ret_bytes)
{
    buf bytes CLEANUP(buf_done) = BUF_INIT;
    if (!base64_decode(row_string(object, name, arena), &bytes)) return false;
    *ret_bytes = arena_keep(arena, buf_view(&bytes));
    return true;
}

static bool read_state(view text, enum dkim_key_state *ret_state)
{
    for (size_t i = 0; i < array_size(states); i++)
        if (view_equal(text, view_of(states[i]))) return *ret_state = (enum dkim_key_state)i, true;
    return false;
}

static bool read_key(const json_t *object, struct arena *arena, struct identity_dkim_key *k)
{
    view algorithm = row_string(object, "algorithm", arena);
    k->selector = row_string(object, "selector", arena);
    k->is_ed25519 = view_equal(algorithm, VIEW("ed25519-sha256"));
    k->created.ms = json_integer_value(json_object_get(object, "created"));
    k->changed.ms = json_integer_value(json_object_get(object, "changed"));
    return k->selector.len > 0 && (k->is_ed25519 || view_equal(algorithm, VIEW("rsa-sha256"))) && read_state(row_string(object, "state", arena), &k->state) &&
           read_bytes(object, "public", arena, &k->public_bytes) && read_bytes(object, "private", arena, &k->private_bytes);
}

/* Without the parser's words, which quote what they stumble over. */
static result parse_row(view domain, view json, json_t **ret_row, struct fault *fault)
{
    if (row_parse(DKIM_TABLE, domain, json, ret_row, NULL) == OK) return OK;
    return fail(fault, CORRUPT, "table dkim, row " VIEW_FMT " is damaged", VIEW_ARG(domain));
}

/* A key of a kind that is not known here is a newer program's: it signs there. */
static result read_row(view domain, view json, struct arena *arena, struct identity_dkim *ret_dkim, struct fault *fault)
{
    json_t *row CLEANUP(json_done) = NULL;
    result r = parse_row(domain, json, &row, fault);
    if (r != OK) return r;
    const json_t *list = json_object_get(row, "keys");
    struct identity_dkim dkim = {.domain = domain, .keys = arena_array(arena, struct identity_dkim_key, DKIM_KEYS_MAX)};
    for (size_t i = 0; i < json_array_size(list) && dkim.count < DKIM_KEYS_MAX; i++)
        if (read_key(json_array_get(list, i), arena, &dkim.keys[dkim.count])) dkim.count++;
    *ret_dkim = dkim;
    return OK;
}

static json_t *bytes_json(view bytes)
{
    buf text CLEANUP(buf_done) = BUF_INIT;
    base64_append(&text, bytes);
    return json_stringn(text.len ? text.at : "", text.len);
}

static json_t *key_json(const struct identity_dkim_key *k)
{
    json_t *object = json_object();
    check(object != NULL);
    row_set_string(object, "selector", k->selector);
    row_set_string(object, "algorithm", k->is_ed25519 ? VIEW("ed25519-sha256") : VIEW("rsa-sha256"));
    row_set_string(object, "state", view_of(states[DKIM_KEY_NEXT]));
    json_object_set_new(object, "public", bytes_json(k->public_bytes));
    json_object_set_new(object, "private", bytes_json(k->private_bytes));
    row_set_number(object, "created", (uint64_t)clock_wall().ms);
    row_set_number(object, "changed", (uint64_t)clock_wall().ms);
    return object;
}

/* ---- looking up ---- */

result identity_find_dkim(struct identity *i, view domain, millis deadline, struct arena *arena, struct identity_dkim *ret_dkim, struct fault *fault)
{
    view key, json;
    if (domain_key(domain, arena, &key) != OK) return NOT_FOUND;
    result r = identity_row(i, DKIM_TABLE, key, deadline, arena, &json, fault);
    return r == OK ? read_row(key, json, arena, ret_dkim, fault) : r;
}

result directory_find_dkim(struct identity *i, view domain, millis deadline, struct arena *arena, struct identity_dkim *ret_dkim, struct fault *fault)
{
    struct directory_domain found;
    view json;
    result r = directory_find_domain(i, domain, deadline, arena, &found, fault);
    if (r != OK) return r;
    r = identity_row_fresh(i, DKIM_TABLE, found.name, deadline, arena, &json, fault);
    if (r == OK) return read_row(found.name, json, arena, ret_dkim, fault);
    if (r == NOT_FOUND) *ret_dkim = (struct identity_dkim){.domain = found.name};
    return r == NOT_FOUND ? OK : r;
}

/* ---- changing ---- */

/* One change of the row's list of keys; false with a fault when it cannot be. */
struct key_change {
    result (*run)(const struct key_change *change, json_t *list, struct fault *fault);
    view domain, selector;
    const struct identity_dkim_key *keys;
    size_t count;
    unix_ms forgotten;
};

static MAY_YIELD result try_change(struct identity *i, const struct key_change *change, millis deadline, struct fault *fault)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, ARENA_BYTES);
    json_t *row CLEANUP(json_done) = NULL;
    struct directory_domain found;
    view text = VIEW_EMPTY, json;
    result r = directory_find_domain(i, change->domain, deadline, arena, &found, fault);
    if (r != OK) return r;
    r = identity_row_fresh(i, DKIM_TABLE, found.name, deadline, arena, &json, fault);
    bool is_new = r == NOT_FOUND;
    if (r == OK) text = json, r = parse_row(found.name, json, &row, fault);
    else if (is_new) row = row_new(), r = OK;
    if (r != OK) return r;
    json_t *list = json_object_get(row, "keys");
    if (!json_is_array(list)) {
        list = json_array();
        json_object_set_new(row, "keys", list);
    }
    r = change->run(change, list, fault);
    if (r != OK) return r;
    if (!is_new) return directory_replace(i, DKIM_TABLE, found.name, row, text, deadline, fault);
    r = directory_put(i, DKIM_TABLE, found.name, row, DIRECTORY_IF_ABSENT, deadline, fault);
    return r == EXISTS ? CONFLICT : r;
}

static MAY_YIELD result change_keys(struct identity *i, const struct key_change *change, millis deadline, struct fault *fault)
{
    for (unsigned tries = 0; tries < DIRECTORY_TRIES; tries++) {
        result r = try_change(i, change, deadline, fault);
        if (r != CONFLICT) return r;
    }
    return fail(fault, BUSY, "others change the keys of " VIEW_FMT " at this moment", VIEW_ARG(change->domain));
}

static bool is_in(const json_t *key, enum dkim_key_state state)
{
    const char *text = json_string_value(json_object_get(key, "state"));
    return text && view_equal(view_of(text), view_of(states[state]));
}

static bool has_any(const json_t *list, enum dkim_key_state state)
{
    for (size_t i = 0; i < json_array_size(list); i++)
        if (is_in(json_array_get(list, i), state)) return true;
    return false;
}

static result add_keys(const struct key_change *change, json_t *list, struct fault *fault)
{
    if (has_any(list, DKIM_KEY_NEXT))
        return fail(fault, EXISTS, VIEW_FMT " has a next key already: publish it and rotate, or remove it", VIEW_ARG(change->domain));
    if (json_array_size(list) + change->count > DKIM_KEYS_MAX)
        return fail(fault, TOO_BIG, VIEW_FMT " has %zu keys: remove old ones", VIEW_ARG(change->domain), json_array_size(list));
    for (size_t i = 0; i < change->count; i++) json_array_append_new(list, key_json(&change->keys[i]));
    return OK;
}

static void set_state(json_t *key, enum dkim_key_state state)
{
    row_set_string(key, "state", view_of(states[state]));
    row_set_number(key, "changed", (uint64_t)clock_wall().ms);
    if (state == DKIM_KEY_OLD) row_set_string(key, "private", VIEW_EMPTY);
}

static result rotate_keys(const struct key_change *change, json_t *list, struct fault *fault)
{
    if (!has_any(list, DKIM_KEY_NEXT)) return fail(fault, NOT_FOUND, VIEW_FMT " has no next key: tayori domain dkim create makes one", VIEW_ARG(change->domain));
    for (size_t i = json_array_size(list); i-- > 0;) {
        json_t *key = json_array_get(list, i);
        if (is_in(key, DKIM_KEY_OLD) && json_integer_value(json_object_get(key, "changed")) < change->forgotten.ms) json_array_remove(list, i);
        else if (is_in(key, DKIM_KEY_ACTIVE)) set_state(key, DKIM_KEY_OLD);
        else if (is_in(key, DKIM_KEY_NEXT)) set_state(key, DKIM_KEY_ACTIVE);
    }
    return OK;
}

static result remove_keys(const struct key_change *change, json_t *list, struct fault *fault)
{
    size_t before = json_array_size(list);
    for (size_t i = before; i-- > 0;) {
        const char *selector = json_string_value(json_object_get(json_array_get(list, i), "selector"));
        if (change->selector.len == 0 || view_equal_nocase(view_of(selector), change->selector)) json_array_remove(list, i);
    }
    if (json_array_size(list) < before) return OK;
    return fail(fault, NOT_FOUND, VIEW_FMT " has no such key", VIEW_ARG(change->domain));
}

result directory_add_dkim(struct identity *i, view domain, const struct identity_dkim_key *keys, size_t count, millis deadline, struct fault *fault)
{
    struct key_change change = {.run = add_keys, .domain = domain, .keys = keys, .count = count};
    return change_keys(i, &change, deadline, fault);
}

result directory_rotate_dkim(struct identity *i, view domain, unix_ms forgotten, millis deadline, struct fault *fault)
{
    struct key_change change = {.run = rotate_keys, .domain = domain, .forgotten = forgotten};
    return change_keys(i, &change, deadline, fault);
}

result directory_remove_dkim(struct identity *i, view domain, view selector, millis deadline, struct fault *fault)
{
    struct key_change change = {.run = remove_keys, .domain = domain, .selector = selector};
    return change_keys(i, &change, deadline, fault);
}
