#include "account/test_store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/test.h"

void test_store_done(struct test_store *t)
{
    for (size_t i = 0; i < t->count; i++) buf_done(&t->objects[i]);
    free(t->objects);
    test_store_forget_ahead(t);
    buf_done(&t->blocks_ahead);
    buf_done(&t->directory);
}

buf *test_store_add(struct test_store *t)
{
    t->objects = realloc(t->objects, (t->count + 1) * sizeof *t->objects);
    check(t->objects != NULL);
    t->objects[t->count] = BUF_INIT;
    return &t->objects[t->count++];
}

void test_store_load(struct test_store *t, struct state *s, const struct block_key *key)
{
    uint32_t object;
    struct fault fault = {0};
    REQUIRE(key->object.len > 2 && view_to_u32(view_from(key->object, 2), &object) && object < t->count);
    view bytes = view_slice(buf_view(&t->objects[object]), (size_t)key->offset, key->bytes);
    if (state_block_loaded(s, key, bytes, &fault) != OK) {
        test_fail(__FILE__, __LINE__, "%s", fault.detail);
        test_stop();
    }
    t->loads++;
}

void test_store_load_all(struct test_store *t, struct state *s)
{
    struct block_key keys[16];
    for (size_t count; (count = state_needs_all(s, keys, 16)) > 0;)
        for (size_t i = 0; i < count; i++) test_store_load(t, s, &keys[i]);
}

void test_store_prepare(struct test_store *t, struct state *s, const struct record *r)
{
    struct block_key keys[3];
    for (size_t count; (count = state_needs(s, r, keys, 3)) > 0;)
        for (size_t i = 0; i < count && i < 3; i++) test_store_load(t, s, &keys[i]);
}

static struct packed_body *pack_all(const struct state *s, size_t *ret_count)
{
    struct packed_body *packed = NULL;
    struct unpacked_body bodies[32];
    size_t count = 0;
    uint64_t after = 0;
    for (size_t got; (got = state_unpacked(s, after, bodies, 32)) > 0; after = bodies[got - 1].sequence) {
        packed = realloc(packed, (count + got) * sizeof *packed);
        check(packed != NULL);
        for (size_t i = 0; i < got; i++, count++) packed[count] = (struct packed_body){bodies[i].sequence, 0, (uint32_t)count};
    }
    *ret_count = count;
    return packed;
}

void test_store_ahead(struct test_store *t, struct state *s)
{
    if (!t->ahead) t->ahead = state_snapshot_ahead_new(s);
    (void)state_snapshot_ahead(s, t->ahead, &t->blocks_ahead);
}

void test_store_forget_ahead(struct test_store *t)
{
    state_snapshot_ahead_free(t->ahead);
    t->ahead = NULL;
    buf_clear(&t->blocks_ahead);
}

size_t test_store_snapshot(struct test_store *t, struct state *s, bool aborts)
{
    char name[32], pack_name[32];
    size_t body_count;
    struct packed_body *bodies = pack_all(s, &body_count);
    view object = view_make(name, (size_t)snprintf(name, sizeof name, "s-%zu", t->count));
    view pack = view_make(pack_name, (size_t)snprintf(pack_name, sizeof pack_name, "p-%zu", t->count));
    struct pack_slot slot = {pack, (uint32_t)body_count, 1000};
    buf *blocks = test_store_add(t), directory = BUF_INIT;
    struct snapshot_options options = {.object = object, .packs = &slot, .pack_count = body_count ? 1 : 0, .bodies = bodies, .body_count = body_count, .ahead = t->ahead};
    buf_append(blocks, buf_view(&t->blocks_ahead));
    state_snapshot_begin(s, &options);
    t->ahead = NULL;
    test_store_forget_ahead(t);
    struct block_key needs;
    for (result stepped; (stepped = state_snapshot_step(s, blocks, &directory, &needs)) != END;)
        if (stepped == NOT_FOUND) test_store_load(t, s, &needs);
    t->written_bytes += blocks->len;
    if (aborts) {
        state_snapshot_abort(s);
        buf_done(&directory);
        return blocks->len;
    }
    colour_pretend_coroutine();
    state_snapshot_commit(s, t->turns);
    buf_done(&t->directory);
    t->directory = directory;
    return blocks->len;
}

struct state *test_store_open(struct test_store *t)
{
    struct state *s = NULL;
    struct fault fault = {0};
    if (state_snapshot_open(buf_view(&t->directory), &s, &fault) != OK) {
        test_fail(__FILE__, __LINE__, "%s", fault.detail);
        test_stop();
    }
    return s;
}
