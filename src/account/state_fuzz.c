/*
 * The input as a journal: records, each behind a varint with its length. Oracles: replaying twice gives the same digest; counters agree with
 * rows; a session that looks on has numbers that rise with UIDs.
 */
#include <string.h>

#include "account/numbering.h"
#include "account/state_private.h"
#include "account/view.h"
#include "base/check.h"
#include "base/cursor.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { RECORDS_MAX = 200, MESSAGES_MAX = 5000, FUZZ_BLOCK_ROWS = 8 };

static void found(void *argument, view what) { check_failed("a state agrees with its rows", __FILE__, __LINE__, what.at); }

static void look(struct numbering *n, struct arena *arena, uint32_t turn)
{
    struct mailbox_changes changes;
    uint32_t last = 0;
    for (uint32_t i = 1; i <= n->count; i++) {
        uint32_t uid = numbering_uid(n, i);
        check(uid > last && numbering_below(n, uid) == i - 1);
        last = uid;
    }
    check(numbering_sync(n, turn % 3 == 0, arena, &changes) && changes.exists == n->count);
}

static void replay(view journal, uint32_t block_rows, unsigned char digest[static 32])
{
    struct cursor c = cursor_of(journal);
    struct arena *arena = arena_new(NULL, 16 << 20);
    struct state *s = state_new(ID_NONE);
    struct numbering n;
    view meta;
    s->pool.block_rows = block_rows;
    numbering_open(&n, state_mailbox(s, INBOX_NUMBER));
    for (uint32_t i = 0; i < RECORDS_MAX && take_sized(&c, ENGINE_META_MAX_BYTES, &meta); i++) {
        struct record r;
        struct outcome outcome;
        if (record_decode(meta, arena, &r, NULL) != OK) continue;
        state_apply(s, &r, (struct record_place){.body_bytes = 1}, arena, &outcome);
        look(&n, arena, i);
        struct usage usage = state_usage(s);
        if (usage.messages + usage.expunged_messages > MESSAGES_MAX) break;
        arena_reset(arena);
    }
    state_digest(s, digest);
    check(state_check(s, found, NULL) == 0);
    numbering_close(&n);
    state_free(s);
    arena_free(arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    unsigned char large[32], small[32];
    replay(view_make(data, size), BLOCK_ROWS, large);
    replay(view_make(data, size), FUZZ_BLOCK_ROWS, small);
    check(memcmp(large, small, sizeof large) == 0);
    return 0;
}
