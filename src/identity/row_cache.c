/*
 * row_cache: rows and logins that this loop has seen lately.
 *
 * An entry is good until its time is over or the directory's generation changes, whichever is first: a change on another
 * node is in force here within IDENTITY_CACHE_MS, counted from when the store was asked, however long it took to answer. A
 * full cache is emptied whole: simple, and rare at its size.
 */
#include <stdlib.h>
#include <string.h>

#include "identity/identity_private.h"
#include "runtime/clock.h"

struct cached_row {
    millis good_until;
    bool exists;
    size_t key_len, json_len;
    char bytes[];                  /* table, NUL, key; then the JSON */
};

struct cached_login {
    millis good_until;
    unsigned char digest[32];
};

struct row_cache {
    uint64_t generation;
    struct map rows, logins;
};

struct row_cache *row_cache_new(void)
{
    struct row_cache *c = calloc(1, sizeof *c);
    check(c != NULL);
    return c;
}

static void empty(struct map *m)
{
    size_t position = 0;
    for (struct map_slot *slot; (slot = map_next(m, &position));) free(slot->value);
    map_done(m);
}

void row_cache_free(struct row_cache *c)
{
    if (!c) return;
    empty(&c->rows);
    empty(&c->logins);
    free(c);
}

static void follow(struct row_cache *c, uint64_t generation)
{
    if (c->generation == generation) return;
    empty(&c->rows);
    empty(&c->logins);
    c->generation = generation;
}

static view full_key(view table, view key, struct arena *arena)
{
    return arena_printf(arena, VIEW_FMT "%c" VIEW_FMT, VIEW_ARG(table), '\0', VIEW_ARG(key));
}

result row_cache_get(struct row_cache *c, uint64_t generation, view table, view key, struct arena *arena, view *ret_json)
{
    follow(c, generation);
    struct cached_row *row = map_get(&c->rows, full_key(table, key, arena));
    if (!row || !millis_before(clock_now(), row->good_until)) return END;
    if (!row->exists) return NOT_FOUND;
    *ret_json = arena_keep(arena, view_make(row->bytes + row->key_len, row->json_len));
    return OK;
}

void row_cache_put(struct row_cache *c, uint64_t generation, view table, view key, const view *json, millis asked)
{
    follow(c, generation);
    if (c->rows.count >= IDENTITY_CACHE_ROWS_MAX) empty(&c->rows);
    size_t key_len = table.len + 1 + key.len, json_len = json ? json->len : 0;
    struct cached_row *row = calloc(1, sizeof *row + key_len + json_len);
    check(row != NULL);
    *row = (struct cached_row){millis_add(asked, json ? IDENTITY_CACHE_MS : IDENTITY_ABSENT_MS), json != NULL, key_len, json_len};
    memcpy(row->bytes, table.at, table.len);
    memcpy(row->bytes + table.len + 1, key.at, key.len);
    if (json_len) memcpy(row->bytes + key_len, json->at, json_len);
    view name = view_make(row->bytes, key_len);
    free(map_remove(&c->rows, name));
    map_put(&c->rows, name, row);
}

bool row_cache_knows_login(struct row_cache *c, uint64_t generation, const unsigned char digest[static 32])
{
    follow(c, generation);
    struct cached_login *login = map_get(&c->logins, view_make(digest, 32));
    return login && millis_before(clock_now(), login->good_until);
}

void row_cache_put_login(struct row_cache *c, uint64_t generation, const unsigned char digest[static 32])
{
    follow(c, generation);
    if (c->logins.count >= IDENTITY_LOGINS_MAX) empty(&c->logins);
    struct cached_login *login = malloc(sizeof *login);
    check(login != NULL);
    login->good_until = clock_in(IDENTITY_LOGIN_REMEMBERED_MS);
    memcpy(login->digest, digest, 32);
    free(map_remove(&c->logins, view_make(digest, 32)));
    map_put(&c->logins, view_make(login->digest, 32), login);
}
