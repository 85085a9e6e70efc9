/*
 * Speed of an account's state alone, without any store: what replay, flags, expunges, views and snapshots cost.
 * bench-state [messages], by default a million.
 */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "account/numbering.h"
#include "account/state_private.h"
#include "account/view.h"
#include "base/check.h"

struct bench {
    struct state *state;
    struct arena *arena;
    uint64_t ids;
    uint32_t messages;
    buf directory, blocks;
    struct outcome outcome;
};

/* Of this process: what else the machine does counts little. */
static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void report(const char *what, double ms, double target_ms)
{
    printf("%-58s %9.2f ms", what, ms);
    if (target_ms > 0) printf("   (to reach: %.0f)", target_ms);
    printf("\n");
}

static struct id next_id(struct bench *b)
{
    struct id id = ID_NONE;
    uint64_t random = ++b->ids * 0x9e3779b97f4a7c15u;
    memcpy(id.bytes + 8, &random, sizeof random);
    id.bytes[5] = (unsigned char)b->ids;
    return id;
}

/* Between two breaths others on the loop wait. */
struct pace { double last, longest; };

static void breathe(void *argument)
{
    struct pace *p = argument;
    double now = now_ms();
    if (now - p->last > p->longest) p->longest = now - p->last;
    p->last = now;
}

static struct state_turns begin_pace(struct pace *p)
{
    *p = (struct pace){now_ms(), 0};
    return (struct state_turns){breathe, p};
}

static void report_pace(struct pace *p)
{
    breathe(p);
    printf("    the longest turn %.2f ms\n", p->longest);
}

/* As the home does it: the record is decoded from its bytes. */
static void apply(struct bench *b, struct record *r)
{
    static buf meta;
    struct record decoded;
    struct pace pace;
    r->id = next_id(b);
    r->written = (unix_ms){1782864000000 + (int64_t)b->ids};
    buf_clear(&meta);
    record_encode(&meta, r);
    check(record_decode(buf_view(&meta), b->arena, &decoded, NULL) == OK);
    check(state_needs(b->state, &decoded, NULL, 0) == 0);
    const struct state_turns turns = begin_pace(&pace);
    bool takes_turns = state_wants_turns(b->state, &decoded);
    colour_pretend_coroutine();
    state_apply_in_turns(b->state, &decoded, (struct record_place){.body_bytes = 5000}, b->arena, &b->outcome, &turns);
    check(b->outcome.code == OK);
    if (takes_turns) report_pace(&pace);
    arena_reset(b->arena);
}

static void append(struct bench *b, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct record r = {.kind = RECORD_APPEND, .append = {.mailbox = 1, .message = next_id(b), .size_bytes = 5000 + i % 1000, .internal_date = {1782864000000 + i},
                                                             .save_date = {1782864000005 + i}}};
        apply(b, &r);
    }
}

static void flag(struct bench *b, uint32_t last, uint64_t flags)
{
    struct imap_range all = {1, last};
    struct record r = {.kind = RECORD_FLAGS, .flags = {.mailbox = 1, .uids = {&all, 1, false}, .flags.system = flags, .unchanged_since = UINT64_MAX}};
    apply(b, &r);
}

static void expunge(struct bench *b, uint32_t mailbox, uint32_t last)
{
    struct imap_range all = {1, last};
    struct record r = {.kind = RECORD_EXPUNGE, .expunge = {.mailbox = mailbox, .uids = {&all, 1, false}, .only_deleted = true}};
    apply(b, &r);
}

static void restore(struct bench *b)
{
    struct record r = {.kind = RECORD_RESTORE, .restore.until = {INT64_MAX}};
    apply(b, &r);
    check(state_mailbox(b->state, 1)->exists == b->messages);
}

/* All that was expunged. */
static void purge(struct bench *b)
{
    struct record r = {.kind = RECORD_PURGE, .purge.before = {INT64_MAX}};
    double begin = now_ms();
    apply(b, &r);
    report("PURGE of all that was expunged", now_ms() - begin, 0);
}

/* Every other message of a tenth, in another mailbox. */
static void sparse(struct bench *b, uint32_t last, uint32_t count)
{
    struct record c = {.kind = RECORD_CREATE, .create.name = VIEW("other")};
    apply(b, &c);
    struct imap_range all = {1, last};
    struct record r = {.kind = RECORD_COPY, .copy = {.from = 1, .to = 2, .uids = {&all, 1, false}}};
    double begin = now_ms();
    apply(b, &r);
    report("COPY of 100,000", now_ms() - begin, 0);
    struct imap_range *every_other = calloc(count / 2, sizeof *every_other);
    check(every_other != NULL);
    for (uint32_t i = 0; i < count / 2; i++) every_other[i] = (struct imap_range){2 * i + 1, 2 * i + 1};
    struct record f = {.kind = RECORD_FLAGS, .flags = {.mailbox = 2, .uids = {every_other, count / 2, false}, .flags.system = ROW_DELETED, .unchanged_since = UINT64_MAX}};
    begin = now_ms();
    apply(b, &f);
    report("FLAGS on every other of 100,000", now_ms() - begin, 0);
    struct numbering n;
    numbering_open(&n, state_mailbox(b->state, 2));
    begin = now_ms();
    expunge(b, 2, count);
    report("EXPUNGE of every other of 100,000, a session looks on", now_ms() - begin, 0);
    numbering_close(&n);
    free(every_other);
    r.copy.moves = true;
    r.copy.from = 2;
    r.copy.to = 1;
    begin = now_ms();
    apply(b, &r);
    report("MOVE of 50,000", now_ms() - begin, 0);
}

static void snapshot(struct bench *b, const char *what)
{
    struct unpacked_body *bodies = calloc(b->messages + 1, sizeof *bodies);
    struct packed_body *packed = calloc(b->messages + 1, sizeof *packed);
    check(bodies != NULL && packed != NULL);
    size_t count = state_unpacked(b->state, 0, bodies, b->messages);
    for (size_t i = 0; i < count; i++) packed[i] = (struct packed_body){bodies[i].sequence, 0, (uint32_t)i};
    struct pack_slot pack = {VIEW("p"), (uint32_t)count, 1};
    struct snapshot_options options = {.object = VIEW("s"), .packs = &pack, .pack_count = 1, .bodies = packed, .body_count = count};
    struct block_key needs;
    struct pace pace;
    double longest = 0, begin = now_ms();
    state_snapshot_begin(b->state, &options);
    report("    to begin it", now_ms() - begin, 0);
    for (result stepped = OK; stepped != END;) {
        double step = now_ms();
        stepped = state_snapshot_step(b->state, &b->blocks, &b->directory, &needs);
        check(stepped == OK || stepped == END);
        step = now_ms() - step;
        if (step > longest) longest = step;
    }
    const struct state_turns turns = begin_pace(&pace);
    double commit = now_ms();
    colour_pretend_coroutine();
    state_snapshot_commit(b->state, &turns);
    report("    to commit it", now_ms() - commit, 0);
    report_pace(&pace);
    report(what, now_ms() - begin, 0);
    printf("    %zu KiB of blocks, %zu bytes of directory, the longest step %.2f ms\n", b->blocks.len >> 10, b->directory.len, longest);
    free(bodies);
}

static void load_all(struct bench *b)
{
    struct block_key keys[16];
    for (size_t count; (count = state_needs_all(b->state, keys, 16)) > 0;)
        for (size_t i = 0; i < count; i++)
            check(state_block_loaded(b->state, &keys[i], view_slice(buf_view(&b->blocks), keys[i].offset, keys[i].bytes), NULL) == OK);
}

static void read_rows(struct bench *b, uint32_t count)
{
    struct numbering n;
    struct row *rows = malloc(count * sizeof *rows);
    check(rows != NULL);
    numbering_open(&n, state_mailbox(b->state, 1));
    for (uint32_t i = 0; i < count; i++) rows[i].uid = 0;
    double begin = now_ms();
    check(numbering_rows(&n, 1, count, rows) == count);
    report("rows of 100,000 messages in a view", now_ms() - begin, 3);
    numbering_close(&n);
    free(rows);
}

int main(int argument_count, char **arguments)
{
    struct bench b = {.arena = arena_new(NULL, 64 << 20), .messages = argument_count > 1 ? (uint32_t)atoi(arguments[1]) : 1000000};
    if (b.messages < 100000) b.messages = 100000;
    struct mallinfo2 before = mallinfo2();
    double begin = now_ms();
    b.state = state_new(next_id(&b));
    append(&b, 100000);
    report("100,000 appends, encoded, decoded and applied", now_ms() - begin, 60);
    read_rows(&b, 100000);
    begin = now_ms();
    flag(&b, 100000, ROW_SEEN);
    report("FLAGS over 100,000 rows", now_ms() - begin, 5);
    append(&b, b.messages - 100000);
    printf("%u messages, %zu bytes each by the state's count, %zu by malloc's\n", b.messages, state_memory_bytes(b.state) / b.messages,
           (mallinfo2().uordblks + mallinfo2().hblkhd - before.uordblks - before.hblkhd) / b.messages);
    snapshot(&b, "snapshot of all");
    begin = now_ms();
    struct state *again;
    check(state_snapshot_open(buf_view(&b.directory), &again, NULL) == OK);
    report("open the snapshot", now_ms() - begin, 5);
    printf("    %zu bytes\n", state_memory_bytes(again));
    state_free(again);
    begin = now_ms();
    state_evict(b.state, SIZE_MAX);
    report("forget all blocks", now_ms() - begin, 0);
    begin = now_ms();
    load_all(&b);
    report("load all blocks", now_ms() - begin, 0);
    struct numbering n;
    numbering_open(&n, state_mailbox(b.state, 1));
    begin = now_ms();
    flag(&b, b.messages, ROW_DELETED);
    report("FLAGS over all rows", now_ms() - begin, 0);
    begin = now_ms();
    expunge(&b, 1, b.messages);
    report("EXPUNGE of all rows", now_ms() - begin, 100);
    struct mailbox_changes changes;
    begin = now_ms();
    check(numbering_sync(&n, true, b.arena, &changes) && changes.expunged.count == 1);
    report("a session is told of it", now_ms() - begin, 0);
    numbering_close(&n);
    begin = now_ms();
    restore(&b);
    report("RESTORE of all rows", now_ms() - begin, 0);
    flag(&b, 2 * b.messages, ROW_DELETED);
    expunge(&b, 1, 2 * b.messages);
    append(&b, 100000);
    sparse(&b, 2 * b.messages + 100000, 100000);
    unsigned char digest[32];
    begin = now_ms();
    state_digest(b.state, digest);
    report("digest", now_ms() - begin, 0);
    purge(&b);
    load_all(&b);
    append(&b, b.messages);
    struct pace pace;
    begin = now_ms();
    begin_pace(&pace);
    while (state_free_some(b.state)) breathe(&pace);
    state_free(b.state);
    report_pace(&pace);
    report("free a state of as many rows", now_ms() - begin, 0);
    buf_done(&b.directory);
    buf_done(&b.blocks);
    arena_free(b.arena);
    return 0;
}
