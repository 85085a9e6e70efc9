/* Reading the tail of the journal, heads that others wrote, blocks, and telling who waits. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "account/home.h"
#include "base/check.h"
#include "base/hash.h"
#include "runtime/clock.h"
#include "runtime/event.h"
#include "runtime/point.h"

enum {
    TAIL_ARENA_BYTES = 64 << 20,           /* a page of records and what comes of one: sets of a million scattered UIDs */
    BLOCK_KEYS = 24,                       /* asked for at once */
    BLOCK_READ_MAX_BYTES = 4 << 20,        /* neighbouring blocks are read together */
    ROW_BYTES_PER_STORED = 3,              /* what a loaded block takes, about */
    PATIENCE_MS = 3,                       /* with who holds the lock, before looking whether there is need to wait for him */
    FOLLOW_MS = 30000,                     /* a tail read in the background */
    FOLLOW_AGAIN_MS = 200,                 /* after one that failed while somebody waits */
};

/* One reading of the tail, under the replay lock. */
struct tail {
    struct account *account;
    struct arena *arena;                   /* of the page */
    struct arena *record_arena;
    struct state *fresh;                   /* built anew from a head that another node wrote; not yet in its place */
    struct journal_position fresh_position;
    struct head fresh_head;
    bool only_reads;                       /* what an own append waits for and takes turns is left to others: BUSY */
    bool is_first;                         /* the account was not in memory: what stands in the tail is history */
    millis deadline;
};

result account_report_corrupt(struct account *a, result code, const struct fault *fault)
{
    if (code != CORRUPT || a->is_corrupt) return code;
    a->is_corrupt = true;
    EVENT_EMIT(ACCOUNT_CORRUPT, EVENT_ID("account", a->id), EVENT_TEXT("fault", fault ? view_of(fault->detail) : VIEW_EMPTY));
    return code;
}

/* ---- blocks -------------------------------------------------------------------------------------------- */

static int compare_keys(const void *left, const void *right)
{
    const struct block_key *l = left, *r = right;
    int order = view_compare(l->object, r->object);
    return order ? order : (l->offset > r->offset) - (l->offset < r->offset);
}

/* Keys whose names are views into the state are copied: the state may go while we wait. */
static struct block_key *copy_keys(const struct block_key *keys, size_t count, struct arena *arena)
{
    struct block_key *copy = arena_array(arena, struct block_key, count);
    memcpy(copy, keys, count * sizeof *keys);
    for (size_t i = 0; i < count; i++) copy[i].object = arena_keep(arena, keys[i].object);
    qsort(copy, count, sizeof *copy, compare_keys);
    return copy;
}

static size_t run_of_neighbours(const struct block_key *keys, size_t count, uint64_t *ret_bytes)
{
    size_t length = 1;
    uint64_t bytes = keys[0].bytes;
    while (length < count && view_equal(keys[length].object, keys[0].object) && keys[length].offset == keys[0].offset + bytes &&
           bytes + keys[length].bytes <= BLOCK_READ_MAX_BYTES)
        bytes += keys[length++].bytes;
    *ret_bytes = bytes;
    return length;
}

/* `*where` is the state that is to get them; when it was replaced meanwhile, the bytes are not wanted any more. */
MAY_YIELD static result load_into(struct account *a, struct state **where, const struct block_key *keys, size_t count, millis deadline,
                                  struct fault *fault)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 1 << 20);
    buf bytes CLEANUP(buf_done) = BUF_INIT;
    struct block_key *sorted = copy_keys(keys, count, arena);
    struct state *wanted_by = *where;
    for (size_t done = 0, length; done < count; done += length) {
        uint64_t run_bytes;
        char name[OBJECT_NAME_MAX];
        length = run_of_neighbours(&sorted[done], count - done, &run_bytes);
        buf_clear(&bytes);
        result code = object_read(a->home->all->engine, account_object_name(a->id, sorted[done].object, name), sorted[done].offset, run_bytes,
                                  deadline, &bytes, fault);
        if (code != OK) return code;
        if (*where != wanted_by) return OK;
        for (size_t i = done; i < done + length; i++) {
            code = state_block_loaded(wanted_by, &sorted[i], view_slice(buf_view(&bytes), sorted[i].offset - sorted[done].offset, sorted[i].bytes), fault);
            if (code != OK) return account_report_corrupt(a, code, fault);
            if (coroutine_is_overdue()) coroutine_pause();
            if (*where != wanted_by) return OK;
        }
        home_grew(a->home, run_bytes * ROW_BYTES_PER_STORED);
    }
    account_slim_soon(a);
    return OK;
}

result account_load_blocks(struct account *a, const struct block_key *keys, size_t count, millis deadline, struct fault *fault)
{
    struct id head = a->head.snapshot;
    result code = load_into(a, &a->state, keys, count, deadline, fault);
    if (code != NOT_FOUND) return code;
    /* Behind by more than the grace period: the new head tells where the blocks are now. */
    code = account_catch_up(a, deadline, fault);
    if (code != OK || !id_equal(head, a->head.snapshot)) return code;
    return account_report_corrupt(a, fail(fault, CORRUPT, "an object that the snapshot refers to is not there"), fault);
}

result account_load_blocks_locked(struct account *a, const struct block_key *keys, size_t count, millis deadline, struct fault *fault)
{
    result code = load_into(a, &a->state, keys, count, deadline, fault);
    if (code == NOT_FOUND) code = fail(fault, CORRUPT, "a block's object is not there");
    return account_report_corrupt(a, code, fault);
}

/* ---- applying ------------------------------------------------------------------------------------------ */

/* Brings in all blocks that `r` touches. */
MAY_YIELD static result load_needed(struct tail *t, struct state **where, const struct record *r, struct fault *fault)
{
    struct block_key keys[BLOCK_KEYS];
    for (size_t count; (count = state_needs(*where, r, keys, BLOCK_KEYS)) > 0;) {
        result code = load_into(t->account, where, keys, count, t->deadline, fault);
        if (code == NOT_FOUND) code = account_report_corrupt(t->account, fail(fault, CORRUPT, "a block's object is not there"), fault);
        if (code != OK) return code;
    }
    return OK;
}

static struct record_place place_of(const struct journal_record *jr)
{
    return (struct record_place){.at = jr->at, .body_offset = jr->body_offset, .body_bytes = jr->body_bytes};
}

/* Others of the loop; in tests at every opportunity. A pointer is not checked for its colour; this function is. */
MAY_YIELD static void let_others(void *argument)
{
    const struct account *a = argument;
    POINT("account.replay.turn");
    if (a->home->all->options.turn_rows) (void)!coroutine_sleep(0);
    else if (coroutine_is_overdue()) coroutine_pause();
}

struct state_turns account_turns(struct account *a)
{
    return (struct state_turns){let_others, a};
}

static void keep_set(struct imap_set *into, struct imap_set set, struct arena *arena)
{
    size_t bytes = set.count * sizeof *set.ranges;
    void *copy = set.count ? arena_try_alloc(arena, bytes) : NULL;
    *into = copy ? (struct imap_set){memcpy(copy, set.ranges, bytes), set.count, false} : (struct imap_set){0};
}

/* Whoever waits for an own append may have given up meanwhile, and his arena with him. */
MAY_YIELD static void apply_in_turns(struct tail *t, struct state *s, const struct record *r, struct record_place place, bool is_own)
{
    struct account *a = t->account;
    const struct state_turns turns = account_turns(a);
    struct outcome o;
    a->is_held_long = true;
    state_apply_in_turns(s, r, place, t->record_arena, is_own ? &o : NULL, &turns);
    a->is_held_long = false;
    struct own_append *own = is_own ? own_append_find(a, r->id) : NULL;
    if (!own) return;
    if (own->outcome) {
        *own->outcome = o;
        keep_set(&own->outcome->source_uids, o.source_uids, own->arena);
        keep_set(&own->outcome->result_uids, o.result_uids, own->arena);
        keep_set(&own->outcome->unchanged_uids, o.unchanged_uids, own->arena);
    }
    own_append_applied(own);
}

MAY_YIELD static result apply_one(struct tail *t, const struct journal_record *jr, struct fault *fault)
{
    struct account *a = t->account;
    struct state **where = t->fresh ? &t->fresh : &a->state;
    struct record r;
    arena_reset(t->record_arena);
    result code = record_decode(jr->meta, t->record_arena, &r, fault);
    if (code != OK) {
        if (fault) fault_context(fault, "record %" PRIu64, state_sequence(*where) + 1);
        return account_report_corrupt(a, code, fault);
    }
    struct own_append *own = t->fresh ? NULL : own_append_find(a, r.id);
    if (t->only_reads && own && state_wants_turns(*where, &r)) return fail(fault, BUSY, "a large record is not applied yet");
    code = load_needed(t, where, &r, fault);
    if (code != OK) return code;
    own = t->fresh ? NULL : own_append_find(a, r.id);
    if (!own && !t->is_first) account_saw_others(a);
    if (state_wants_turns(*where, &r)) {
        apply_in_turns(t, *where, &r, place_of(jr), own != NULL);
        return OK;
    }
    state_apply(*where, &r, place_of(jr), own ? own->arena : t->record_arena, own ? own->outcome : NULL);
    if (own) own_append_applied(own);
    return OK;
}

/* ---- heads --------------------------------------------------------------------------------------------- */

/* A copy that outlives the page; the directory is not kept. */
static void keep_head(struct head *into, const struct head *h)
{
    struct retired *retired = NULL;
    if (h->retired_count > 0) {
        retired = malloc(h->retired_count * sizeof *retired);
        check(retired);
        memcpy(retired, h->retired, h->retired_count * sizeof *retired);
    }
    free(into->retired);
    *into = *h;
    into->retired = retired;
    into->directory = VIEW_EMPTY;
}

MAY_YIELD static result read_directory(struct tail *t, const struct head *h, buf *into, view *ret_directory, struct fault *fault)
{
    if (h->directory_is_inline) {
        *ret_directory = h->directory;
        return OK;
    }
    char id[ID_TEXT_LEN + 1], name[OBJECT_NAME_MAX];
    struct account *a = t->account;
    view object = account_object_name(a->id, arena_printf(t->arena, "s-%s", id_text(h->snapshot, id).at), name);
    result code = object_read(a->home->all->engine, object, h->directory_offset, h->directory_bytes, t->deadline, into, fault);
    if (code != OK && code != NOT_FOUND) return code;
    if (code == NOT_FOUND || into->len != h->directory_bytes || crc32c(0, buf_view(into)) != h->directory_crc)
        return fail(fault, CORRUPT, "directory in %s: %s", name, code == NOT_FOUND ? "no such object" : "wrong checksum");
    *ret_directory = buf_view(into);
    return OK;
}

MAY_YIELD static result open_snapshot(struct tail *t, const struct head *h, struct state **ret_state, struct fault *fault)
{
    buf bytes CLEANUP(buf_done) = BUF_INIT;
    view directory;
    struct state *s;
    result code = read_directory(t, h, &bytes, &directory, fault);
    if (code == OK) code = state_snapshot_open(directory, &s, fault);
    if (code != OK) return code;
    if (state_sequence(s) != h->sequence) {
        state_free(s);
        return fail(fault, CORRUPT, "head and snapshot disagree about the sequence number");
    }
    *ret_state = s;
    return OK;
}

static void forget_fresh(struct tail *t)
{
    home_free_state(t->account->home, t->fresh);
    t->fresh = NULL;
    keep_head(&t->fresh_head, &(struct head){0});
}

static void take_options(const struct account *a, struct state *s)
{
    state_set_turn_rows(s, a->home->all->options.turn_rows);
    state_set_wide_bytes(s, a->home->all->options.wide_bytes);
}

/* The first load, a journal whose head another node has replaced, or our own compaction's head. */
MAY_YIELD static result take_head(struct tail *t, const struct journal_page *page, struct fault *fault)
{
    struct account *a = t->account;
    struct head h = {0};
    struct state *s = NULL;
    forget_fresh(t);
    if (page->head.len == 0) {
        if (a->state && state_sequence(a->state) == 0) {
            a->position = page->head_at;
            return OK;
        }
        s = state_new(a->id);
    } else {
        result code = head_decode(page->head, t->arena, &h, fault);
        if (code != OK) return account_report_corrupt(a, code, fault);
        const struct state_turns turns = account_turns(a);
        a->is_held_long = true;
        bool is_ours = a->state && compaction_is_head(a, &h, &turns);
        a->is_held_long = false;
        if (is_ours) {
            a->position = page->head_at;
            a->skip = state_sequence(a->state) - h.sequence;
            keep_head(&a->head, &h);
            return OK;
        }
        code = open_snapshot(t, &h, &s, fault);
        if (code != OK) return account_report_corrupt(a, code, fault);
    }
    a->journal_bytes = 0;
    take_options(a, s);
    if (a->state) {
        t->fresh = s;
        t->fresh_position = page->head_at;
        keep_head(&t->fresh_head, &h);
        return OK;
    }
    a->state = s;
    a->position = page->head_at;
    a->skip = 0;
    keep_head(&a->head, &h);
    return OK;
}

/* Puts the state built anew in its place once it is as far as the old one. */
MAY_YIELD static result adopt(struct tail *t, struct fault *fault)
{
    struct account *a = t->account;
    if (!t->fresh || state_sequence(t->fresh) < state_sequence(a->state)) return OK;
    struct block_key keys[BLOCK_KEYS];
    bool is_of_old;
    for (size_t count; (count = state_adopt_needs(t->fresh, a->state, keys, &is_of_old, BLOCK_KEYS)) > 0;) {
        result code = load_into(a, is_of_old ? &a->state : &t->fresh, keys, count, t->deadline, fault);
        if (code == NOT_FOUND) code = fail(fault, CORRUPT, "a block's object is not there");
        if (code != OK) return code;
    }
    compaction_abort(a);
    state_adopt(t->fresh, a->state);
    home_free_state(a->home, a->state);
    a->state = t->fresh;
    a->position = t->fresh_position;
    a->skip = 0;
    keep_head(&a->head, &t->fresh_head);
    t->fresh = NULL;
    return OK;
}

/* ---- the tail ------------------------------------------------------------------------------------------ */

MAY_YIELD static result take_record(struct tail *t, const struct journal_record *jr, struct fault *fault)
{
    struct account *a = t->account;
    if (!t->fresh && a->skip > 0) {
        state_body_moved(a->state, state_sequence(a->state) - a->skip + 1, place_of(jr));
        a->skip--;
        a->position = jr->at;
        return OK;
    }
    result code = apply_one(t, jr, fault);
    if (code != OK) return code;
    if (!t->fresh) {
        a->position = jr->at;
        a->journal_bytes += jr->meta.len + jr->body_bytes;
        return OK;
    }
    t->fresh_position = jr->at;
    return adopt(t, fault);
}

MAY_YIELD static result take_page(struct tail *t, const struct journal_page *page, struct fault *fault)
{
    result code = OK;
    struct account *a = t->account;
    if (page->has_head) code = take_head(t, page, fault);
    if (code == OK && t->fresh) code = adopt(t, fault);
    for (size_t i = 0; code == OK && i < page->count; i++) {
        code = take_record(t, &page->records[i], fault);
        if (coroutine_is_overdue()) coroutine_pause();
    }
    if (code != OK) return code;
    *(t->fresh ? &t->fresh_position : &a->position) = page->end;
    if (page->journal_bytes > 0 && !t->fresh) a->journal_bytes = page->journal_bytes;
    return OK;
}

/* The journal is not there: nothing was ever written to it, or the account was destroyed under those who have it open. */
static result take_absence(struct tail *t, struct fault *fault)
{
    struct account *a = t->account;
    if (a->state && state_sequence(a->state) > 0) return fail(fault, NOT_FOUND, "the account was removed");
    if (!a->state) take_options(a, a->state = state_new(a->id));
    a->position = (struct journal_position){0};
    a->skip = 0;
    return OK;
}

MAY_YIELD static result read_pages(struct tail *t, struct fault *fault)
{
    struct account *a = t->account;
    for (bool more = true; more;) {
        struct journal_page page = {0};
        arena_reset(t->arena);
        const struct journal_position *from = t->fresh ? &t->fresh_position : a->state ? &a->position : NULL;
        result code = engine_read(a->home->all->engine, a->id, from, t->deadline, t->arena, &page, fault);
        if (code == NOT_FOUND) return take_absence(t, fault);
        if (code == OK) code = take_page(t, &page, fault);
        if (code != OK) return account_report_corrupt(a, code, fault);
        more = page.more;
        home_grew(a->home, page.count * sizeof(struct row));
    }
    /* A head of a shorter history than the one that was seen: not ours to repair. */
    return t->fresh ? account_report_corrupt(a, fail(fault, CORRUPT, "the journal has lost records"), fault) : OK;
}

MAY_YIELD static result read_tail(struct account *a, bool only_reads, millis deadline, struct fault *fault)
{
    struct tail t = {.account = a, .deadline = deadline, .is_first = !a->state, .only_reads = only_reads};
    millis began = clock_now();
    uint64_t number = ++a->reads_begun;
    t.arena = arena_new(NULL, TAIL_ARENA_BYTES);
    t.record_arena = arena_new(NULL, TAIL_ARENA_BYTES);
    a->pins++;
    result code = read_pages(&t, fault);
    a->pins--;
    forget_fresh(&t);
    arena_free(t.record_arena);
    arena_free(t.arena);
    if (code == OK) {
        a->reads_done = number;
        a->current_at = began;
        own_appends_after_read(a, number);
    }
    return code;
}

result account_read_tail(struct account *a, millis deadline, struct fault *fault)
{
    return read_tail(a, false, deadline, fault);
}

void account_unlock(struct account *a)
{
    mutex_unlock(&a->replay);
    account_tell(a);
}

result account_hold_still(struct account *a, millis deadline, struct fault *fault)
{
    result code = mutex_lock(&a->replay, deadline);
    if (code != OK) return fail(fault, code, "waiting for the account's tail");
    a->is_held_long = true;
    return OK;
}

void account_hold_no_more(struct account *a)
{
    a->is_held_long = false;
    account_unlock(a);
}

result account_catch_up(struct account *a, millis deadline, struct fault *fault)
{
    uint64_t wanted = a->reads_begun + 1;
    result code = mutex_lock(&a->replay, deadline);
    if (code != OK) return fail(fault, code, "waiting for the account's tail");
    if (a->reads_done < wanted) code = account_read_tail(a, deadline, fault);
    account_unlock(a);
    return code;
}

/* ---- for who only reads -------------------------------------------------------------------------------- */

/*
 * Who holds the lock may be at it for long: a record of a million rows, a snapshot. The state shows what it was before, and may be read if nobody
 * was told of more. That is so while all that is still to be applied was written by such as wait here to hear of it, and while nobody else reads
 * the store, who could have shown it to others.
 */

/* How many records of the page the state has. False: its head is not one that the state leads to. */
static bool count_applied(const struct account *a, const struct journal_page *page, struct arena *arena, uint64_t *ret_count)
{
    struct head h = {0};
    *ret_count = a->skip;
    if (!page->has_head) return true;
    /* Ours, which is being committed in turns. */
    if (!compaction_is_of(a, page->head, arena, &h) || h.sequence > state_sequence(a->state)) return false;
    *ret_count = state_sequence(a->state) - h.sequence;
    return true;
}

static bool is_untold(struct account *a, const struct journal_page *page, struct arena *arena)
{
    struct record r;
    uint64_t applied;
    if (page->more || !count_applied(a, page, arena, &applied)) return false;
    for (uint64_t i = applied; i < page->count; i++)
        if (record_decode(page->records[i].meta, arena, &r, NULL) != OK || !own_append_find(a, r.id)) return false;
    return true;
}

/* Of the journal as it is now. */
MAY_YIELD static bool shows_all_told(struct account *a, millis deadline)
{
    struct journal_page page = {0};
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, TAIL_ARENA_BYTES);
    struct journal_position from = a->position;
    result code = engine_read(a->home->all->engine, a->id, &from, deadline, arena, &page, NULL);
    return code == OK && a->state && journal_position_equal(&from, &a->position) && is_untold(a, &page, arena);
}

/* BUSY: the tail has a large record, which is now applied by another coroutine. */
MAY_YIELD static result refresh_locked(struct account *a, uint64_t wanted, bool only_reads, millis deadline, struct fault *fault)
{
    result code = a->reads_done < wanted ? read_tail(a, only_reads, deadline, fault) : OK;
    account_unlock(a);
    if (code == BUSY) account_follow(a);
    return code;
}

result account_refresh(struct account *a, millis deadline, struct fault *fault)
{
    uint64_t wanted = a->reads_begun + 1;
    bool is_alone = !a->home->all->are_shared && a->state, only_reads = is_alone;
    for (int64_t patience_ms = PATIENCE_MS;; patience_ms *= 2) {
        if (is_alone && a->is_held_long && shows_all_told(a, deadline)) return OK;
        result code = mutex_lock(&a->replay, is_alone ? millis_min(deadline, clock_in(patience_ms)) : deadline);
        if (code == OK) {
            code = refresh_locked(a, wanted, only_reads, deadline, fault);
            if (code != BUSY || !only_reads) return code;
            only_reads = false;
        } else if (code != TIMEOUT || !millis_before(clock_now(), deadline)) {
            return fail(fault, code, "waiting for the account's tail");
        }
        if (shows_all_told(a, deadline)) return OK;
    }
}

/* ---- in the background --------------------------------------------------------------------------------- */

MAY_YIELD static void follow(void *argument)
{
    struct account *a = argument;
    struct fault fault;
    do {
        a->follow_again = false;
        result code = account_catch_up(a, clock_in(FOLLOW_MS), &fault);
        if (code == OK) continue;
        bool waited_for = own_appends_give_up(a, code, &fault);
        if (!waited_for && (code == CORRUPT || a->watch_count == 0)) continue;
        if (coroutine_sleep(FOLLOW_AGAIN_MS) != OK) {
            (void)own_appends_give_up(a, CORRUPT, &fault);
            break;
        }
        a->follow_again = true;
    } while (a->follow_again);
    a->is_following = false;
    account_close(a);
}

void account_follow(struct account *a)
{
    a->follow_again = true;
    if (a->is_following) return;
    a->is_following = true;
    account_hold(a);
    coroutine_spawn(&a->home->scope, "account follow", follow, a);
}

/* A watch may be removed by what changed() does: each stands in its place again before it is called. */
static void call_watches(struct account *a)
{
    struct list waiting;
    list_init(&waiting);
    list_splice(&waiting, &a->watches);
    for (struct list *node; (node = list_pop(&waiting));) {
        struct account_watch *w = container_of(node, struct account_watch, node);
        list_append(&a->watches, node);
        w->changed(w);
    }
}

static void run_tell(struct task *t)
{
    struct account *a = container_of(t, struct account, tell);
    a->tell_posted = false;
    own_appends_pump(a);
    own_appends_finish(a);
    if (a->state && state_sequence(a->state) != a->told_sequence) {
        a->told_sequence = state_sequence(a->state);
        call_watches(a);
        account_consider_compaction(a);
    }
    account_slim_soon(a);
    account_close(a);
}

void account_tell(struct account *a)
{
    if (a->tell_posted || (list_is_empty(&a->own) && (!a->state || state_sequence(a->state) == a->told_sequence))) return;
    a->tell_posted = true;
    account_hold(a);
    a->tell.run = run_tell;
    loop_post(a->home->loop, &a->tell);
}

static void journal_changed(struct journal_watch *w)
{
    account_follow(container_of(w, struct account, journal_watch));
}

void account_watch(struct account *a, struct account_watch *w, void (*changed)(struct account_watch *w))
{
    w->changed = changed;
    list_append(&a->watches, &w->node);
    if (a->watch_count++ > 0) return;
    engine_watch(a->home->all->engine, a->id, &a->journal_watch, journal_changed);
    account_follow(a);        /* what came between the last refresh and now */
}

void account_unwatch(struct account *a, struct account_watch *w)
{
    list_remove(&w->node);
    if (--a->watch_count > 0) return;
    engine_unwatch(a->home->all->engine, &a->journal_watch);
}
