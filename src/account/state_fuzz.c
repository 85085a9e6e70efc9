/*
 * The input as a journal: records, each behind a varint with its length. Oracles: replaying it with blocks of other sizes gives the same
 * digest; counters agree with rows; sessions that look on have numbers that rise with UIDs, also when a state that is further on takes
 * them over.
 */
#include <string.h>

#include "account/numbering.h"
#include "account/state_private.h"
#include "account/view.h"
#include "base/check.h"
#include "base/cursor.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { RECORDS_MAX = 200, MESSAGES_MAX = 5000, FUZZ_BLOCK_ROWS = 8, SESSIONS = 4 };

static void found(void *argument, view what) { check_failed("a state agrees with its rows", __FILE__, __LINE__, what.at); }

static void look(struct numbering *n, uint32_t turn)
{
    struct mailbox_changes changes;
    uint32_t last = 0;
    for (uint32_t i = 1; i <= n->count; i++) {
        uint32_t uid = numbering_uid(n, i);
        check(uid > last && numbering_below(n, uid) == i - 1);
        last = uid;
    }
    numbering_sync(n, turn % 3 == 0, &changes);
    check(changes.exists == n->count);
    for (size_t i = 1; i < changes.expunged_count; i++) check(changes.expunged[i].first > changes.expunged[i - 1].last + 1);
    mailbox_changes_done(&changes);
    struct imap_set_builder numbers = IMAP_SET_BUILDER_INIT;
    while (numbering_next_changed(n, &changes, &numbers)) continue;
    struct imap_set changed = imap_set_builder_set(&numbers);
    check(changed.count == 0 || changed.ranges[changed.count - 1].last <= n->count);
    imap_set_builder_done(&numbers);
}

/* Of the first mailboxes, as far as there are such. */
struct sessions { struct numbering of[SESSIONS]; };

static void begin_sessions(struct sessions *all)
{
    memset(all, 0, sizeof *all);
    for (uint32_t i = 0; i < SESSIONS; i++) list_init(&all->of[i].node);
}

static void end_sessions(struct sessions *all)
{
    for (uint32_t i = 0; i < SESSIONS; i++) numbering_close(&all->of[i]);
}

static void look_all(struct sessions *all, struct state *s, struct arena *arena, uint32_t turn)
{
    for (uint32_t i = 0; i < SESSIONS; i++) {
        struct numbering *n = &all->of[i];
        struct mailbox *m = state_mailbox(s, i + 1);
        if (n->mailbox || n->count) {
            look(n, turn);
        } else if (m && m->is_selectable) {
            numbering_close(n);
            numbering_open(n, m);
        }
    }
}

static struct state *replay(view journal, uint32_t block_rows, uint32_t records_max, struct sessions *sessions, struct arena *arena)
{
    struct cursor c = cursor_of(journal);
    struct state *s = state_new(ID_NONE);
    view meta;
    s->pool.block_rows = block_rows;
    for (uint32_t i = 0; i < records_max && take_sized(&c, ENGINE_META_MAX_BYTES, &meta); i++) {
        struct record r;
        struct outcome outcome;
        if (record_decode(meta, arena, &r, NULL) != OK) continue;
        state_apply(s, &r, (struct record_place){.body_bytes = 1}, arena, &outcome);
        if (sessions) look_all(sessions, s, arena, i);
        struct usage usage = state_usage(s);
        if (usage.messages + usage.expunged_messages > MESSAGES_MAX) break;
        arena_reset(arena);
    }
    check(state_check(s, found, NULL) == 0);
    return s;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    unsigned char large[32], small[32];
    struct sessions sessions;
    view journal = view_make(data, size);
    struct arena *arena = arena_new(NULL, 16 << 20);
    begin_sessions(&sessions);
    struct state *behind = replay(journal, FUZZ_BLOCK_ROWS, size ? data[size - 1] % RECORDS_MAX : 0, &sessions, arena);
    struct state *ahead = replay(journal, FUZZ_BLOCK_ROWS, RECORDS_MAX, NULL, arena);
    struct state *other = replay(journal, BLOCK_ROWS, RECORDS_MAX, NULL, arena);
    state_digest(ahead, small);
    state_digest(other, large);
    check(memcmp(large, small, sizeof large) == 0);
    state_adopt(ahead, behind);
    state_free(behind);
    for (uint32_t turn = 0; turn < 4; turn++) look_all(&sessions, ahead, arena, turn);
    end_sessions(&sessions);
    state_free(ahead);
    state_free(other);
    arena_free(arena);
    return 0;
}
