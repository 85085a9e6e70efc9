/*
 * The input as what a snapshot directory says. Oracles: a state that comes of it says the same when it is written and read again; lists,
 * sequence numbers and records without rows work on it; blocks that do not fit their summary are refused.
 */
#include "account/numbering.h"
#include "account/snapshot_private.h"
#include "base/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { NUMBERS_MAX = 3000 };

static void use(struct state *s)
{
    struct arena *arena = arena_new(NULL, 64 << 20);
    struct mailbox_info *infos;
    struct block_key keys[8];
    view *names;
    struct numbering n;
    size_t count = state_list(s, arena, &infos);
    check(count >= 1 && view_equal(infos[0].name, VIEW("INBOX")));
    state_subscriptions(s, arena, &names);
    state_objects(s, arena, &names);
    numbering_open(&n, state_mailbox(s, INBOX_NUMBER));
    for (uint32_t i = 1; i <= n.count && i < NUMBERS_MAX; i++) check(numbering_below(&n, numbering_uid(&n, i)) == i - 1);
    numbering_close(&n);
    count = state_needs_all(s, keys, 8);
    for (size_t i = 0; i < count; i++) check(state_block_loaded(s, &keys[i], VIEW("no frame"), NULL) == CORRUPT);
    struct record r = {.kind = RECORD_APPEND, .id = {{[8] = 0xee, [15] = 1}}, .append = {.name = VIEW("a/b"), .creates = true, .falls_back = true}};
    state_apply(s, &r, (struct record_place){0}, arena, NULL);
    r = (struct record){.kind = RECORD_RENAME, .id = {{[8] = 0xee, [15] = 2}}, .rename = {.mailbox = INBOX_NUMBER, .name = VIEW("old/inbox")}};
    state_apply(s, &r, (struct record_place){0}, arena, NULL);
    r = (struct record){.kind = RECORD_PURGE, .id = {{[8] = 0xee, [15] = 3}}, .purge.before = {INT64_MAX}};
    state_apply(s, &r, (struct record_place){0}, arena, NULL);
    check(state_usage(s).expunged_messages == 0 || state_oldest_expunged(s).ms == INT64_MAX);
    arena_free(arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct state *s, *again;
    struct snapshot nothing = {0};
    struct fault fault = {0};
    if (snapshot_directory_take(view_make(data, size), &s, &fault) != OK) {
        check(fault.code == CORRUPT);
        return 0;
    }
    buf once = BUF_INIT, twice = BUF_INIT;
    snapshot_directory_put(s, &nothing, &once);
    check(snapshot_directory_take(buf_view(&once), &again, NULL) == OK);
    snapshot_directory_put(again, &nothing, &twice);
    check(view_equal(buf_view(&once), buf_view(&twice)));
    use(s);
    state_free(s);
    state_free(again);
    buf_done(&once);
    buf_done(&twice);
    return 0;
}
