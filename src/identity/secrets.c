#include "identity/secrets.h"

#include "base/check.h"
#include "formats/transfer.h"
#include "identity/directory_private.h"
#include "identity/identity_private.h"
#include "runtime/clock.h"
#include "runtime/random.h"

#define SECRET_TABLE VIEW("secret")

/* One in the row: {"created":ms,"secret":"base64"}, newest first. */
struct kept { view bytes; int64_t created_ms; };

static size_t read_list(const json_t *row, struct arena *arena, struct kept *list)
{
    const json_t *secrets = json_object_get(row, "secrets");
    size_t count = 0;
    for (size_t i = 0; i < json_array_size(secrets) && count < SECRETS_MAX; i++) {
        const json_t *one = json_array_get(secrets, i);
        buf bytes CLEANUP(buf_done) = BUF_INIT;
        if (!base64_decode(row_string(one, "secret", arena), &bytes) || bytes.len < SECRET_BYTES) continue;
        list[count++] = (struct kept){arena_keep(arena, buf_view(&bytes)), json_integer_value(json_object_get(one, "created"))};
    }
    return count;
}

/* Without the parser's words, which quote what they stumble over. */
static result parse_row(view name, view json, json_t **ret_row, struct fault *fault)
{
    if (row_parse(SECRET_TABLE, name, json, ret_row, NULL) == OK) return OK;
    return fail(fault, CORRUPT, "table secret, row " VIEW_FMT " is damaged", VIEW_ARG(name));
}

static json_t *make_secret(void)
{
    unsigned char bytes[SECRET_BYTES];
    buf text CLEANUP(buf_done) = BUF_INIT;
    json_t *one = json_object();
    check(one != NULL);
    random_bytes(bytes, sizeof bytes);
    base64_append(&text, view_make(bytes, sizeof bytes));
    row_set_string(one, "secret", buf_view(&text));
    row_set_number(one, "created", (uint64_t)clock_wall().ms);
    return one;
}

/* `text` empty: there is no row. CONFLICT: somebody else has made one. */
static MAY_YIELD result add_secret(struct identity *i, view name, view text, millis deadline, struct fault *fault)
{
    json_t *row CLEANUP(json_done) = NULL;
    result r = OK;
    if (text.len == 0) row = row_new();
    else r = parse_row(name, text, &row, fault);
    if (r != OK) return r;
    json_t *list = json_object_get(row, "secrets");
    if (!json_is_array(list)) {
        list = json_array();
        json_object_set_new(row, "secrets", list);
    }
    for (size_t at = json_array_size(list); at-- > 0;) {
        int64_t age_ms = clock_wall().ms - json_integer_value(json_object_get(json_array_get(list, at), "created"));
        if (age_ms > SECRET_KEPT_MS || at + 1 >= SECRETS_MAX) json_array_remove(list, at);
    }
    json_array_insert_new(list, 0, make_secret());
    if (text.len) return directory_replace(i, SECRET_TABLE, name, row, text, deadline, fault);
    r = directory_put(i, SECRET_TABLE, name, row, DIRECTORY_IF_ABSENT, deadline, fault);
    return r == EXISTS ? CONFLICT : r;
}

/* The newest that all nodes know stands first; the first of all has no time to become known. */
static void put_in_order(const struct kept *list, size_t count, struct identity_secrets *ret_secrets)
{
    size_t first = 0;
    while (first + 1 < count && clock_wall().ms - list[first].created_ms < SECRET_KNOWN_MS) first++;
    ret_secrets->count = 0;
    ret_secrets->list[ret_secrets->count++] = list[first].bytes;
    for (size_t i = 0; i < count; i++)
        if (i != first) ret_secrets->list[ret_secrets->count++] = list[i].bytes;
}

static MAY_YIELD result find(struct identity *i, view name, bool is_fresh, millis deadline, struct arena *arena, struct identity_secrets *ret_secrets, struct fault *fault)
{
    struct kept list[SECRETS_MAX];
    json_t *row CLEANUP(json_done) = NULL;
    view text = VIEW_EMPTY;
    size_t count = 0;
    result r = is_fresh ? identity_row_fresh(i, SECRET_TABLE, name, deadline, arena, &text, fault) : identity_row(i, SECRET_TABLE, name, deadline, arena, &text, fault);
    if (r == OK) r = parse_row(name, text, &row, fault);
    else if (r == NOT_FOUND) r = OK, text = VIEW_EMPTY;
    if (r != OK) return r;
    if (row) count = read_list(row, arena, list);
    if (count > 0 && clock_wall().ms - list[0].created_ms < SECRET_FRESH_MS) return put_in_order(list, count, ret_secrets), OK;
    if (!is_fresh) return CONFLICT;
    r = add_secret(i, name, text, deadline, fault);
    if (r == OK) return CONFLICT;
    /* What there is will do until one can be made. */
    if (r != CONFLICT && count > 0) return put_in_order(list, count, ret_secrets), OK;
    return r;
}

result identity_find_secrets(struct identity *i, view name, millis deadline, struct arena *arena, struct identity_secrets *ret_secrets, struct fault *fault)
{
    result r = find(i, name, false, deadline, arena, ret_secrets, fault);
    for (unsigned tries = 0; r == CONFLICT && tries < DIRECTORY_TRIES; tries++) r = find(i, name, true, deadline, arena, ret_secrets, fault);
    return r == CONFLICT ? fail(fault, BUSY, "others change the secret " VIEW_FMT " at this moment", VIEW_ARG(name)) : r;
}

static MAY_YIELD result find_lasting(struct identity *i, view name, bool is_fresh, millis deadline, struct arena *arena, view *ret_secret, struct fault *fault)
{
    struct kept list[SECRETS_MAX];
    json_t *row CLEANUP(json_done) = NULL;
    view text = VIEW_EMPTY;
    result r = is_fresh ? identity_row_fresh(i, SECRET_TABLE, name, deadline, arena, &text, fault) : identity_row(i, SECRET_TABLE, name, deadline, arena, &text, fault);
    if (r == NOT_FOUND && !is_fresh) return CONFLICT;
    if (r == NOT_FOUND) {
        r = add_secret(i, name, VIEW_EMPTY, deadline, fault);
        return r == OK ? CONFLICT : r;
    }
    if (r == OK) r = parse_row(name, text, &row, fault);
    if (r != OK) return r;
    if (read_list(row, arena, list) == 0) return fail(fault, CORRUPT, "table secret, row " VIEW_FMT " is damaged", VIEW_ARG(name));
    *ret_secret = list[0].bytes;
    return OK;
}

result identity_find_lasting_secret(struct identity *i, view name, millis deadline, struct arena *arena, view *ret_secret, struct fault *fault)
{
    result r = find_lasting(i, name, false, deadline, arena, ret_secret, fault);
    for (unsigned tries = 0; r == CONFLICT && tries < DIRECTORY_TRIES; tries++) r = find_lasting(i, name, true, deadline, arena, ret_secret, fault);
    return r == CONFLICT ? fail(fault, BUSY, "others change the secret " VIEW_FMT " at this moment", VIEW_ARG(name)) : r;
}
