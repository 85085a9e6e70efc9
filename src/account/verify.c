/* Checking an account, listing what is restorable, its digest, its end. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "account/compact.h"
#include "account/search_reader.h"
#include "base/check.h"
#include "runtime/clock.h"

enum {
    LIST_NAMES = 1000, FOUND_TEXT_MAX = 400, PIECE_BYTES = 1 << 20,
    ARCHIVE_MS = 15000,                      /* is it there? */
    LOOK_MS = 500,                           /* while it waits for its pace, whether it is to stop */
};

result account_digest(struct account *a, unsigned char digest[static 32], millis deadline, struct fault *fault)
{
    result code = account_catch_up(a, deadline, fault);
    a->pins++;
    if (code == OK) code = account_load_all(a, deadline, fault);
    if (code == OK) state_digest(a->state, digest);
    a->pins--;
    return code;
}

/* ---- what is restorable --------------------------------------------------------------------------------- */

struct found_row {
    uint32_t mailbox;
    bool is_expunged;
    unix_ms expunged;
    struct row row;
};

struct found_rows {
    struct found_row *rows;
    size_t count, capacity;
    bool only_expunged;
};

static void find_row(void *argument, uint32_t mailbox, const struct row *row, bool is_expunged, unix_ms expunged)
{
    struct found_rows *f = argument;
    if (f->only_expunged && !is_expunged) return;
    if (f->count == f->capacity) {
        f->capacity = f->capacity ? 2 * f->capacity : 256;
        f->rows = realloc(f->rows, f->capacity * sizeof *f->rows);
        check(f->rows);
    }
    f->rows[f->count++] = (struct found_row){.mailbox = mailbox, .is_expunged = is_expunged, .expunged = expunged, .row = *row};
}

MAY_YIELD static result find_rows(struct account *a, bool only_expunged, struct found_rows *ret_rows, millis deadline, struct fault *fault)
{
    *ret_rows = (struct found_rows){.only_expunged = only_expunged};
    a->pins++;
    result code = account_load_and_hold(a, deadline, fault);
    if (code == OK) {
        const struct state_turns turns = account_turns(a);
        state_each_row(a->state, find_row, ret_rows, &turns);
        account_hold_no_more(a);
    }
    a->pins--;
    return code;
}

static int newest_first(const void *left, const void *right)
{
    const struct found_row *l = left, *r = right;
    if (l->expunged.ms != r->expunged.ms) return l->expunged.ms < r->expunged.ms ? 1 : -1;
    return (l->row.uid < r->row.uid) - (l->row.uid > r->row.uid);
}

result account_expunged(struct account *a, struct arena *arena, size_t max, struct expunged_info **ret_list, size_t *ret_count, millis deadline,
                        struct fault *fault)
{
    struct found_rows found;
    result code = account_catch_up(a, deadline, fault);
    if (code == OK) code = find_rows(a, true, &found, deadline, fault);
    if (code != OK) return code;
    if (found.count > 0) qsort(found.rows, found.count, sizeof *found.rows, newest_first);
    size_t count = found.count < max ? found.count : max;
    struct expunged_info *list = arena_array(arena, struct expunged_info, count);
    for (size_t i = 0; i < count; i++) {
        const struct found_row *f = &found.rows[i];
        struct mailbox_info info = {0};
        struct mailbox *m = state_mailbox(a->state, f->mailbox);
        if (m) mailbox_read_info(m, arena, &info);
        list[i] = (struct expunged_info){.mailbox = f->mailbox, .mailbox_name = info.name, .row = f->row, .expunged = f->expunged};
    }
    free(found.rows);
    *ret_list = list;
    *ret_count = count;
    return OK;
}

/* ---- checking ------------------------------------------------------------------------------------------- */

struct checking {
    struct account *account;
    struct account_verify *verify;
    millis deadline;
    millis began;
    uint64_t bytes;
    struct id listed_head;               /* when rows were listed */
    bool archive_is_away;                /* which was told: the rest is checked */
};

/* Keeps to the pace. CANCELLED when it is to stop. */
MAY_YIELD static result keep_pace(struct checking *k, uint64_t bytes)
{
    struct account_verify *v = k->verify;
    k->bytes += bytes;
    for (;;) {
        if (v->is_stopped && atomic_load(v->is_stopped)) return CANCELLED;
        int64_t took_ms = clock_now().ms - k->began.ms, wait_ms = v->bytes_per_second ? (int64_t)(k->bytes * 1000 / v->bytes_per_second) - took_ms : 0;
        if (wait_ms <= 0) return OK;
        result code = coroutine_sleep(wait_ms < LOOK_MS ? wait_ms : LOOK_MS);
        if (code != OK) return code;
    }
}

static void tell_problem(struct checking *k, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void tell_problem(struct checking *k, const char *format, ...)
{
    char text[FOUND_TEXT_MAX];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    k->verify->problems++;
    if (k->verify->found) k->verify->found(k->verify->argument, view_of(text));
}

static void tell_of_state(void *argument, view what)
{
    struct checking *k = argument;
    tell_problem(k, VIEW_FMT, VIEW_ARG(what));
}

/* Neighbours in packs and journal behind one another, so that they are read together; copies come together too. */
static int by_place(const void *left, const void *right)
{
    const struct row *l = &((const struct found_row *)left)->row, *r = &((const struct found_row *)right)->row;
    if (l->pack != r->pack) return l->pack < r->pack ? -1 : 1;
    if (l->entry != r->entry) return l->entry < r->entry ? -1 : 1;
    return id_compare(l->message, r->message);
}

/* message_read() sees when an object is too short, not when it is too long. */
MAY_YIELD static result check_length(struct account *a, const struct row *row, millis deadline, struct fault *fault)
{
    char name[OBJECT_NAME_MAX], cold[OBJECT_NAME_MAX];
    uint64_t bytes;
    struct engine *e = a->home->all->engine;
    view warm = account_alone_name(a->id, row->message, row->entry, name);
    result code = object_size(e, warm, deadline, &bytes, fault);
    if (code == NOT_FOUND && state_archive(a->state)->is_begun) code = object_size(e, account_cold_name(warm, cold), deadline, &bytes, fault);
    return code == OK && bytes != row->size_bytes ? fail(fault, CORRUPT, "%s has %" PRIu64 " bytes instead of %u", name, bytes, row->size_bytes) : code;
}

MAY_YIELD static result check_bytes(struct checking *k, const struct found_row *f, struct fault *fault)
{
    struct account *a = k->account;
    struct message *m;
    view piece;
    result code = message_open(a, f->mailbox, &f->row, k->deadline, &m, fault);
    if (code != OK) return code;
    for (uint64_t at = 0; code == OK && at < f->row.size_bytes; at += piece.len)
        code = message_read(m, at, PIECE_BYTES, k->deadline, &piece, fault);
    if (code == OK && f->row.pack == ROW_ALONE) code = check_length(a, &f->row, k->deadline, fault);
    message_close(m);
    return code;
}

/*
 * False when the message went while we were checking. An expunged one cannot be looked up again: when a new head has moved bodies, where
 * its bytes are now is not known here, and the next check will see them.
 */
static bool is_still_there(const struct checking *k, const struct found_row *f, uint64_t listed_at)
{
    struct account *a = k->account;
    struct row now;
    struct block_key needs = {0};
    if (f->is_expunged) return state_sequence(a->state) == listed_at && id_equal(a->head.snapshot, k->listed_head);
    return state_row(a->state, f->mailbox, f->row.uid, &now, &needs) == OK || needs.bytes > 0;
}

/* That is told once for an account. */
MAY_YIELD static void look_for_archive(struct checking *k)
{
    struct account *a = k->account;
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 1 << 16);
    struct fault fault = {0};
    char prefix[OBJECT_NAME_MAX];
    view *names;
    size_t count;
    if (!state_archive(a->state)->is_begun) return;
    view folder = account_cold_folder(a->id, prefix);
    result code = object_list(a->home->all->engine, folder, VIEW_EMPTY, 1, millis_min(k->deadline, clock_in(ARCHIVE_MS)), arena, &names, &count, &fault);
    k->archive_is_away = code != OK;
    if (code != OK) tell_problem(k, "the archive: %s: %s: what is in it was not checked", result_name(code), fault.detail);
}

MAY_YIELD static result check_messages(struct checking *k, struct found_rows *found, uint64_t listed_at)
{
    if (found->count > 0) qsort(found->rows, found->count, sizeof *found->rows, by_place);
    for (size_t i = 0; i < found->count; i++) {
        const struct found_row *f = &found->rows[i];
        struct fault fault = {0};
        k->verify->messages++;
        if (i > 0 && by_place(f, f - 1) == 0 && f->row.size_bytes == f[-1].row.size_bytes) continue;
        k->verify->bytes += f->row.size_bytes;
        result code = keep_pace(k, f->row.size_bytes);
        if (code == OK) code = check_bytes(k, f, &fault);
        if (k->archive_is_away && (code == TIMEOUT || code == UNAVAILABLE)) continue;
        if (code == TIMEOUT || code == CANCELLED || code == UNAVAILABLE) return code;
        if (code != OK && (code != NOT_FOUND || is_still_there(k, f, listed_at)))
            tell_problem(k, "mailbox %u, UID %u%s: %s: %s", f->mailbox, f->row.uid, f->is_expunged ? " (expunged)" : "", result_name(code), fault.detail);
        if (coroutine_is_overdue()) coroutine_pause();
    }
    return OK;
}

MAY_YIELD static result list_folder(struct checking *k, view folder, struct arena *arena, struct map *there, struct fault *fault)
{
    struct arena *page CLEANUP(arena_freep) = arena_new(NULL, 4 << 20);
    char after[ENGINE_NAME_MAX_BYTES + 1] = "";
    view *names;
    for (size_t count = LIST_NAMES; count == LIST_NAMES;) {
        arena_reset(page);
        result code = object_list(k->account->home->all->engine, folder, view_of(after), LIST_NAMES, k->deadline, page, &names, &count, fault);
        if (code != OK) return code;
        for (size_t i = 0; i < count; i++) map_put(there, arena_keep(arena, view_from(names[i], folder.len)), k);
        if (count > 0) snprintf(after, sizeof after, VIEW_FMT, VIEW_ARG(names[count - 1]));
    }
    return OK;
}

/* Everything in the account's folders is referred to or will be cleared away; everything referred to is there. */
MAY_YIELD static result check_objects(struct checking *k, const struct found_rows *found, struct fault *fault)
{
    struct account *a = k->account;
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 256 << 20);
    struct map there CLEANUP(map_done) = MAP_INIT;
    char prefix[OBJECT_NAME_MAX];
    view folder = account_object_name(a->id, VIEW_EMPTY, prefix), *names;
    size_t used = 0;
    result code = list_folder(k, folder, arena, &there, fault);
    if (code == OK && state_archive(a->state)->is_begun && !k->archive_is_away) code = list_folder(k, account_cold_folder(a->id, prefix), arena, &there, fault);
    folder = account_object_name(a->id, VIEW_EMPTY, prefix);
    if (code != OK) return code;
    size_t count = state_objects(a->state, arena, &names);
    for (size_t i = 0; i < count; i++) {
        if (map_remove(&there, names[i])) used++;
        else if (names[i].at[0] == 'c' && k->archive_is_away) continue;
        else if (names[i].at[0] != 'i') tell_problem(k, "object " VIEW_FMT " is referred to and not there", VIEW_ARG(names[i]));
    }
    for (size_t i = 0; i < found->count; i++) {
        char name[OBJECT_NAME_MAX], summary[OBJECT_NAME_MAX];
        if (found->rows[i].row.pack != ROW_ALONE) continue;
        view full = account_alone_name(a->id, found->rows[i].row.message, found->rows[i].row.entry, name);
        if (map_remove(&there, view_from(full, folder.len))) used++;
        if (map_remove(&there, view_from(account_summary_name(full, summary), folder.len))) used++;
    }
    k->verify->objects += used + there.count;
    k->verify->garbage_objects += there.count;
    size_t position = 0;
    for (struct map_slot *slot; (slot = map_next(&there, &position));) k->verify->stale_objects += collect_is_stale(a, slot->key);
    return OK;
}

/* Every page of it. */
MAY_YIELD static result check_segment(struct checking *k, struct search_reader *r, struct fault *fault)
{
    const struct segment_footer *f = &r->index->footer;
    buf piece CLEANUP(buf_done) = BUF_INIT;
    result code = OK;
    for (uint64_t at = 0; code == OK && at < f->body_bytes; at += PIECE_BYTES) {
        size_t bytes = f->body_bytes - at < PIECE_BYTES ? (size_t)(f->body_bytes - at) : PIECE_BYTES;
        buf_clear(&piece);
        code = keep_pace(k, bytes);
        if (code == OK) code = search_reader_read(r, at, bytes, &piece, fault);
        if (coroutine_is_overdue()) coroutine_pause();
    }
    if (code == CORRUPT) search_reader_distrust(r);
    return code;
}

/* The index for searches: what is lost or damaged is told, and from then on not believed: the next compaction builds it anew. */
MAY_YIELD static result check_index(struct checking *k, struct fault *fault)
{
    struct account *a = k->account;
    struct search_list list;
    result code = OK;
    search_list_copy(&list, state_search(a->state));
    for (size_t i = 0; i < list.count && (code == OK || code == CORRUPT); i++) {
        struct search_reader *r;
        search_reader_forgive(a, list.segments[i].object);       /* what was wrong once may have been the reading */
        code = search_reader_open(a, list.segments[i].object, k->deadline, &r, fault);
        if (code == OK) {
            code = check_segment(k, r, fault);
            search_reader_close(r);
        }
        if (code == CORRUPT) tell_problem(k, "search segment " VIEW_FMT " is lost or damaged", VIEW_ARG(list.segments[i].object));
    }
    search_list_done(&list);
    return code == CORRUPT ? OK : code;
}

result account_verify(struct account *a, struct account_verify *v, millis deadline, struct fault *fault)
{
    struct checking k = {.account = a, .verify = v, .deadline = deadline, .began = clock_now()};
    struct found_rows found = {0};
    result code = account_catch_up(a, deadline, fault);
    if (code == OK) code = find_rows(a, false, &found, deadline, fault);
    if (code == CORRUPT) {
        tell_problem(&k, "%s", fault ? fault->detail : "corrupt");
        code = OK;
    } else if (code == OK) {
        uint64_t listed_at = state_sequence(a->state);
        k.listed_head = a->head.snapshot;
        (void)state_check(a->state, tell_of_state, &k);
        look_for_archive(&k);
        code = check_messages(&k, &found, listed_at);
        if (code == OK) code = check_index(&k, fault);
        if (code == OK) code = check_objects(&k, &found, fault);
    }
    free(found.rows);
    return code;
}

struct scrubbing {
    struct accounts *all;
    struct id account;
    struct account_verify *verify;
    millis deadline;
    result code;
    struct fault *fault;
};

MAY_YIELD static void scrub(void *argument)
{
    struct scrubbing *s = argument;
    struct account *a;
    bool was_loaded = map_get(&accounts_here(s->all)->accounts, id_view(&s->account)) != NULL;
    s->code = account_open(s->all, s->account, s->deadline, &a, s->fault);
    if (s->code != OK) return;
    s->code = account_verify(a, s->verify, s->deadline, s->fault);
    if (s->code == OK && (s->verify->stale_objects > 0 || account_wants_indexing(a))) {
        a->wants_sweep = s->verify->stale_objects > 0;
        s->code = account_compact(a, s->deadline, s->fault);
    }
    account_close_cold(a, was_loaded);
}

result accounts_scrub(struct accounts *all, struct id account, struct account_verify *v, millis deadline, struct fault *fault)
{
    struct scrubbing s = {.all = all, .account = account, .verify = v, .deadline = deadline, .fault = fault};
    loop_run_on(accounts_home(all, account), "scrub account", scrub, &s);
    return s.code;
}
