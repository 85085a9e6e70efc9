/*
 * Messages out: from the journal, from packs, from objects of their own.
 *
 * Who reads a mailbox in order reads neighbours in the journal or in a pack. When that is seen, the next read takes a
 * window of them, which grows up to WINDOW_MAX_BYTES, and the following messages come from memory. A window
 * belongs to its account; those that no message uses are kept while the loop's budget lasts.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "account/expect.h"
#include "account/pack_index.h"
#include "base/check.h"
#include "runtime/coroutine.h"
#include "runtime/event.h"
#include "runtime/workers.h"

enum {
    WINDOW_MIN_BYTES = 64 << 10, WINDOW_MAX_BYTES = 1 << 20,
    WINDOW_BODIES_MAX = 256,                 /* of the journal */
    NEIGHBOUR_GAP = 16,                      /* reading in order may leave some out */
    WINDOWS_BYTES = 16 << 20,                /* kept in a loop while unused */
    PIECE_MAX_BYTES = 1 << 20,               /* of an object, in memory for message_read() */
    LOOKS_MAX = 4,                           /* for a place that moves while we look */
};

struct window_body { uint64_t sequence; buf bytes; bool is_there; };

struct window {
    struct list node;                        /* in home.windows while unused */
    struct list of_account;                  /* in account.windows */
    struct account *account;
    unsigned users;
    struct index_kept *index;                /* a pack's window, else the journal's */
    uint32_t first, count;                   /* entries */
    uint64_t offset;                         /* of `bytes` in the pack */
    struct window_body *bodies;              /* the journal's, by sequence */
    size_t body_count;
    buf bytes;                               /* the pack's */
    size_t kept_bytes;                       /* of either */
};

struct message {
    struct account *account;
    uint64_t size;
    struct window *window;                   /* that holds `bytes`, or NULL */
    view bytes;                              /* all of it when is_whole */
    bool is_whole, has_turn;
    buf own;                                 /* unpacked, or a piece of an object, or all of it */
    uint64_t own_offset;
    char name[OBJECT_NAME_MAX];              /* of its object; empty otherwise */
};

/* ---- windows ------------------------------------------------------------------------------------------- */

static struct window *window_new(struct account *a)
{
    struct window *w = calloc(1, sizeof *w);
    check(w);
    w->account = a;
    w->users = 1;
    list_init(&w->node);
    list_append(&a->windows, &w->of_account);
    return w;
}

static void drop_window(struct window *w)
{
    struct home *h = w->account->home;
    if (w->users == 0) {
        list_remove(&w->node);
        h->windows_bytes -= w->kept_bytes;
    }
    list_remove(&w->of_account);
    if (w->index) w->index->users--;
    for (size_t i = 0; i < w->body_count; i++) buf_done(&w->bodies[i].bytes);
    buf_done(&w->bytes);
    free(w->bodies);
    free(w);
}

void home_drop_windows(struct home *h, size_t keep_bytes)
{
    while (h->windows_bytes > keep_bytes && !list_is_empty(&h->windows)) drop_window(container_of(h->windows.next, struct window, node));
}

void account_drop_reading(struct account *a)
{
    expected_drop(a);
    list_each (node, &a->windows) drop_window(container_of(node, struct window, of_account));
    account_drop_indexes(a);
}

static struct window *window_hold(struct window *w)
{
    if (w->users++ == 0) {
        list_remove(&w->node);
        w->account->home->windows_bytes -= w->kept_bytes;
    }
    return w;
}

static void window_let(struct window *w)
{
    struct home *h = w->account->home;
    if (--w->users > 0) return;
    if (w->body_count + w->count <= 1) {          /* of one message: not worth keeping */
        w->users = 1;
        drop_window(w);
        return;
    }
    list_append(&h->windows, &w->node);
    h->windows_bytes += w->kept_bytes;
    home_drop_windows(h, WINDOWS_BYTES);
}

/* How much to read now that the message at `place` is wanted: 0: it alone. */
static size_t read_ahead(struct account *a, uint64_t place)
{
    uint64_t last = a->reader.place;
    a->reader.place = place;
    if (place <= last || place > last + NEIGHBOUR_GAP) {
        a->reader.run = 0;
        return 0;
    }
    size_t bytes = (size_t)WINDOW_MIN_BYTES << a->reader.run;
    if (bytes < WINDOW_MAX_BYTES) a->reader.run++;
    return bytes < WINDOW_MAX_BYTES ? bytes : WINDOW_MAX_BYTES;
}

/* ---- from the journal ---------------------------------------------------------------------------------- */

static struct window *find_journal_window(struct account *a, uint64_t sequence, size_t *ret_body)
{
    list_each (node, &a->windows) {
        struct window *w = container_of(node, struct window, of_account);
        for (size_t low = 0, high = w->body_count; low < high;) {
            size_t middle = low + (high - low) / 2;
            if (w->bodies[middle].sequence == sequence && w->bodies[middle].is_there) {
                *ret_body = middle;
                return w;
            }
            if (w->bodies[middle].sequence < sequence) low = middle + 1;
            else high = middle;
        }
    }
    return NULL;
}

static size_t choose_bodies(const struct account *a, uint64_t sequence, size_t ahead_bytes, struct unpacked_body *bodies)
{
    size_t count = state_unpacked(a->state, sequence - 1, bodies, ahead_bytes ? WINDOW_BODIES_MAX : 1), bytes = 0, taken = 0;
    while (taken < count && (taken == 0 || bytes + bodies[taken].place.body_bytes <= ahead_bytes)) bytes += bodies[taken++].place.body_bytes;
    return count > 0 && bodies[0].sequence == sequence ? taken : 0;
}

MAY_YIELD static result read_bodies(struct account *a, const struct unpacked_body *bodies, size_t count, millis deadline, struct window *w,
                                    struct fault *fault)
{
    struct journal_body_wanted *wanted = calloc(count, sizeof *wanted);
    w->bodies = calloc(count, sizeof *w->bodies);
    check(wanted && w->bodies);
    w->body_count = count;
    for (size_t i = 0; i < count; i++) {
        const struct record_place *p = &bodies[i].place;
        w->bodies[i].sequence = bodies[i].sequence;
        wanted[i] = (struct journal_body_wanted){.record = {.at = p->at, .body_offset = p->body_offset, .body_bytes = p->body_bytes}, .into = &w->bodies[i].bytes};
    }
    result code = engine_read_bodies(a->home->all->engine, a->id, wanted, count, deadline, fault);
    for (size_t i = 0; code == OK && i < count; i++) {
        w->bodies[i].is_there = wanted[i].code == OK;
        if (i == 0) code = wanted[i].code;                  /* a neighbour that cannot be had was not asked for */
        w->kept_bytes += w->bodies[i].bytes.capacity;
    }
    free(wanted);
    return code;
}

/* The whole sequence number of a row's record: rows keep its low half. */
static uint64_t sequence_of(const struct account *a, const struct row *row)
{
    uint64_t now = state_sequence(a->state), sequence = (now & ~(uint64_t)UINT32_MAX) | row->entry;
    return sequence <= now ? sequence : sequence - ((uint64_t)1 << 32);
}

MAY_YIELD static result open_journal_body(struct message *m, const struct row *row, millis deadline, struct fault *fault)
{
    struct account *a = m->account;
    uint64_t sequence = sequence_of(a, row);
    size_t body;
    size_t ahead = read_ahead(a, sequence);
    struct window *w = find_journal_window(a, sequence, &body);
    if (w) {
        window_hold(w);
    } else {
        struct unpacked_body *bodies = calloc(WINDOW_BODIES_MAX, sizeof *bodies);
        check(bodies);
        size_t count = choose_bodies(a, sequence, ahead, bodies);
        w = window_new(a);
        result code = count > 0 ? read_bodies(a, bodies, count, deadline, w, fault) : NOT_FOUND;
        free(bodies);
        if (code != OK) {
            drop_window(w);
            return code;
        }
        body = 0;
    }
    m->window = w;
    m->bytes = buf_view(&w->bodies[body].bytes);
    return OK;
}

/* ---- from a pack --------------------------------------------------------------------------------------- */

static struct window *find_pack_window(struct account *a, uint32_t slot, uint32_t entry)
{
    list_each (node, &a->windows) {
        struct window *w = container_of(node, struct window, of_account);
        if (!w->index || w->index->slot != slot || entry < w->first || entry - w->first >= w->count) continue;
        if (slot < state_packs(a->state) && view_equal(w->index->object, state_pack(a->state, slot).object)) return w;
    }
    return NULL;
}

/* Entries from `first` on that fit into so many bytes: those of the pack lie one behind the other. */
static void choose_entries(const struct pack_index *index, uint32_t first, size_t ahead_bytes, struct window *w, size_t *ret_bytes)
{
    uint64_t end = (uint64_t)index->of[first].offset + index->of[first].stored_bytes;
    w->first = first;
    w->offset = index->of[first].offset;
    w->count = 1;
    for (uint32_t i = first + 1; i < index->entries; i++, w->count++) {
        if (index->of[i].method == PACK_ABSENT) continue;
        if (index->of[i].archive != index->of[first].archive) break;
        uint64_t next_end = (uint64_t)index->of[i].offset + index->of[i].stored_bytes;
        if (index->of[i].offset < end || next_end - w->offset > ahead_bytes) break;
        end = next_end;
    }
    *ret_bytes = (size_t)(end - w->offset);
}

static result note_archive(bool is_archived, result code)
{
    if (is_archived && (code == UNAVAILABLE || code == TIMEOUT)) metric_add(METRIC_ARCHIVE_FAILURES, 1);
    return code;
}

MAY_YIELD static result read_entries(struct account *a, struct index_kept *index, uint32_t entry, size_t ahead, millis deadline, struct window **ret_window,
                                     struct fault *fault)
{
    size_t bytes;
    char text[OBJECT_NAME_MAX];
    view name;
    result code = account_object_of_entry(a, index->object, &index->index->of[entry], text, &name, fault);
    if (code != OK) return code;
    struct window *w = window_new(a);
    choose_entries(index->index, entry, ahead, w, &bytes);
    code = note_archive(engine_is_cold(name), object_read(a->home->all->engine, name, w->offset, bytes, deadline, &w->bytes, fault));
    w->index = index;                        /* now others find it */
    index->users++;
    w->kept_bytes = w->bytes.capacity;
    if (code == OK && w->bytes.len != bytes) code = fail(fault, CORRUPT, "%s: %zu bytes instead of %zu", text, w->bytes.len, bytes);
    if (code == OK) *ret_window = w;
    else drop_window(w);
    return code;
}

static result unpack(struct message *m, const struct pack_entry *e, view stored, uint32_t slot, uint32_t entry, struct fault *fault)
{
    struct home *h = m->account->home;
    if (!h->unzip) h->unzip = pack_unzip_new();
    if (e->method == PACK_ZSTD) buf_reserve(&m->own, e->bytes);
    result code = pack_unpack(e, stored, h->unzip, &m->own, fault);
    if (code != OK && fault) fault_context(fault, "pack %u entry %u", slot, entry);
    m->bytes = buf_view(&m->own);
    return code;
}

/* For who reads here and there. */
MAY_YIELD static result open_entry(struct message *m, uint32_t slot, uint32_t entry, millis deadline, struct fault *fault)
{
    struct account *a = m->account;
    struct pack_entry e;
    buf stored CLEANUP(buf_done) = BUF_INIT;
    char text[OBJECT_NAME_MAX];
    view name;
    result code = account_find_entry(a, slot, entry, deadline, &e, text, &name, fault);
    if (code != OK) return code;
    code = note_archive(engine_is_cold(name), object_read(a->home->all->engine, name, e.offset, e.stored_bytes, deadline, &stored, fault));
    return code == OK ? unpack(m, &e, buf_view(&stored), slot, entry, fault) : code;
}

/* For who reads in order. */
MAY_YIELD static result open_window(struct account *a, uint32_t slot, uint32_t entry, size_t ahead, millis deadline, struct window **ret_window, struct fault *fault)
{
    struct index_kept *index;
    result code = account_open_index(a, slot, deadline, &index, fault);
    if (code != OK) return code;
    if (entry >= index->index->entries) code = fail(fault, CORRUPT, "row names entry %u of a pack of %u", entry, index->index->entries);
    else if (index->index->of[entry].method == PACK_ABSENT) code = fail(fault, NOT_FOUND, "the message was reclaimed");
    else code = read_entries(a, index, entry, ahead, deadline, ret_window, fault);
    index->users--;
    return code;
}

MAY_YIELD static result open_packed(struct message *m, uint32_t slot, uint32_t entry, millis deadline, struct fault *fault)
{
    struct account *a = m->account;
    size_t ahead = read_ahead(a, (uint64_t)1 << 63 | (uint64_t)slot << 32 | entry);
    struct window *w = find_pack_window(a, slot, entry);
    if (w) {
        window_hold(w);
    } else if (ahead == 0) {
        return open_entry(m, slot, entry, deadline, fault);
    } else {
        result code = open_window(a, slot, entry, ahead, deadline, &w, fault);
        if (code != OK) return code;
    }
    const struct pack_entry *e = &w->index->index->of[entry];
    view stored = view_slice(buf_view(&w->bytes), (size_t)(e->offset - w->offset), e->stored_bytes);
    result code = unpack(m, e, stored, slot, entry, fault);
    window_let(w);
    return code;
}

/* ---- opening ------------------------------------------------------------------------------------------- */

MAY_YIELD static result open_at(struct message *m, const struct row *row, const struct body_place *place, millis deadline, struct fault *fault)
{
    if (place->kind == BODY_ALONE) {
        account_alone_name(m->account->id, row->message, row->entry, m->name);
        return OK;
    }
    result code = place->kind == BODY_IN_JOURNAL ? open_journal_body(m, row, deadline, fault) : open_packed(m, place->pack, place->entry, deadline, fault);
    if (code != OK) return code;
    m->is_whole = true;
    return m->bytes.len == m->size ? OK : fail(fault, CORRUPT, "message of %zu bytes instead of %" PRIu64, m->bytes.len, m->size);
}

/* The row as it is now, for one whose place is not known any more. NOT_FOUND when it is another message or none. */
MAY_YIELD static result look_again(struct account *a, uint32_t mailbox, struct row *row, millis deadline, struct fault *fault)
{
    for (;;) {
        struct row now;
        struct block_key needs = {0};
        result code = state_row(a->state, mailbox, row->uid, &now, &needs);
        if (code == OK) {
            if (!id_equal(now.message, row->message)) return fail(fault, NOT_FOUND, "the message is gone");
            *row = now;
            return OK;
        }
        if (needs.bytes == 0) return fail(fault, NOT_FOUND, "the message is gone");
        code = account_load_blocks(a, &needs, 1, deadline, fault);
        if (code != OK) return code;
    }
}

/* Where a message is may change under us (another node compacts): then the tail tells of the new head, and the row of the new place. */
MAY_YIELD static result find_and_open(struct message *m, uint32_t mailbox, const struct row *row, millis deadline, struct fault *fault)
{
    struct row now = *row;
    struct account *a = m->account;
    if (!list_is_empty(&a->home->expected) && expected_take(a, row, deadline, &m->own)) {
        m->bytes = buf_view(&m->own);
        m->is_whole = true;
        return OK;
    }
    for (unsigned looks = 1;; looks++) {
        struct body_place place;
        struct fault here;
        result code = state_body(a->state, &now, &place) ? open_at(m, &now, &place, deadline, &here) : NOT_FOUND;
        if (code != NOT_FOUND || looks == LOOKS_MAX) {
            if (code == NOT_FOUND) code = fail(&here, CORRUPT, "the bytes of a message that is there cannot be found");
            if (code != OK && fault) *fault = here;
            return account_report_corrupt(a, code, &here);
        }
        code = account_catch_up(a, deadline, fault);
        if (code == OK) code = look_again(a, mailbox, &now, deadline, fault);
        if (code != OK) return code;
    }
}

result message_open(struct account *a, uint32_t mailbox, const struct row *row, millis deadline, struct message **ret_message, struct fault *fault)
{
    struct message *m = calloc(1, sizeof *m);
    check(m && a->home->loop == loop_self());
    m->account = a;
    m->size = row->size_bytes;
    account_hold(a);
    m->is_whole = m->size == 0;
    result code = m->is_whole ? OK : find_and_open(m, mailbox, row, deadline, fault);
    if (code == OK) *ret_message = m;
    else message_close(m);
    return code;
}

uint64_t message_size(const struct message *m)
{
    return m->size;
}

/* It may have gone to the archive, also while it is read: it keeps its name there. */
MAY_YIELD static result read_moved(struct message *m, uint64_t offset, size_t len, millis deadline, struct fault *fault)
{
    struct account *a = m->account;
    char name[OBJECT_NAME_MAX];
    struct fault here = {0};
    if (engine_is_cold(view_of(m->name))) return NOT_FOUND;
    if (!state_archive(a->state)->is_begun) {
        result code = account_catch_up(a, deadline, &here);
        if (code != OK) return fail(fault, code, "%s", here.detail);
        if (!state_archive(a->state)->is_begun) return NOT_FOUND;
    }
    metric_add(METRIC_ARCHIVE_READS, 1);
    result code = note_archive(true, object_read(a->home->all->engine, account_cold_name(view_of(m->name), name), offset, len, deadline, &m->own, &here));
    if (code == OK) memcpy(m->name, name, sizeof m->name);
    else if (code != NOT_FOUND && fault) *fault = here;
    return code;
}

MAY_YIELD static result read_piece(struct message *m, uint64_t offset, size_t len, millis deadline, struct fault *fault)
{
    buf_clear(&m->own);
    m->own_offset = offset;
    result code = object_read(m->account->home->all->engine, view_of(m->name), offset, len, deadline, &m->own, fault);
    if (code == NOT_FOUND) code = read_moved(m, offset, len, deadline, fault);
    if (code == OK && m->own.len != len) code = fail(fault, CORRUPT, "%s: %zu bytes from %" PRIu64 " on instead of %zu", m->name, m->own.len, offset, len);
    return account_report_corrupt(m->account, code, fault);
}

result message_read(struct message *m, uint64_t offset, size_t len, millis deadline, view *ret_bytes, struct fault *fault)
{
    if (offset >= m->size) {
        *ret_bytes = VIEW_EMPTY;
        return OK;
    }
    if (len > m->size - offset) len = (size_t)(m->size - offset);
    if (m->is_whole) {
        *ret_bytes = view_slice(m->bytes, (size_t)offset, len);
        return OK;
    }
    if (len > PIECE_MAX_BYTES) len = PIECE_MAX_BYTES;
    if (offset < m->own_offset || offset + len > m->own_offset + m->own.len) {
        result code = read_piece(m, offset, len, deadline, fault);
        if (code != OK) return code;
    }
    *ret_bytes = view_slice(buf_view(&m->own), (size_t)(offset - m->own_offset), len);
    return OK;
}

result message_whole(struct message *m, millis deadline, view *ret_bytes, struct fault *fault)
{
    if (!m->is_whole) {
        result code = OK;
        if (m->size > MESSAGE_WHOLE_FREE_BYTES && !m->has_turn) {
            code = budget_take(&m->account->home->whole, (size_t)m->size, deadline);
            if (code != OK) return fail(fault, code, "waiting for memory for a large message");
            m->has_turn = true;
        }
        code = read_piece(m, 0, (size_t)m->size, deadline, fault);
        if (code != OK) return code;
        m->bytes = buf_view(&m->own);
        m->is_whole = true;
    }
    *ret_bytes = m->bytes;
    return OK;
}

void message_close(struct message *m)
{
    if (!m) return;
    struct account *a = m->account;
    if (m->window) window_let(m->window);
    if (m->has_turn) budget_give(&a->home->whole, (size_t)m->size);
    worker_free(m->own.at, m->own.capacity);
    free(m);
    account_close(a);
}
