/*
 * Message sets against what this session knows: RFC 9051 §4.1.1, §6.4.9, §6.4.4.1.
 */
#include "imapd/session.h"

enum { NUMBERS_PER_TURN = 64, COMMON_PER_TURN = 4096 };

MAY_YIELD static void let_others(void)
{
    if (coroutine_is_overdue()) coroutine_pause();
}

/* UIDs above the highest that the client was told are none of its business. */
static void cut_above(struct imap_set *set, uint32_t highest)
{
    while (set->count && set->ranges[set->count - 1].first > highest) set->count--;
    if (set->count && set->ranges[set->count - 1].last > highest) set->ranges[set->count - 1].last = highest;
}

/* "$" may stand in a command thousands of times, and each is a set as large as what was saved. */
static bool has_room(struct session *s, const struct imap_set *written, struct reply *reply)
{
    size_t need = 2 * imap_set_builder_set(&s->saved).count * sizeof(struct imap_range);
    if (!written->is_saved || arena_used(s->arena) + need < SESSION_ARENA_BYTES_MAX / 2) return true;
    reply_set(reply, REPLY_NO, "LIMIT", "The saved result is too large to be used so often");
    return false;
}

/*
 * "$": UIDs as saved, not copied, for they may be very many; no command uses them after it has saved others. Those that are gone meanwhile fall out when
 * they are looked up, and those above the highest are gone for good.
 */
static struct imap_set resolve_uids(struct session *s, const struct imap_set *written)
{
    uint32_t highest = mailbox_view_highest_uid(s->view);
    struct imap_set resolved = written->is_saved ? imap_set_builder_set(&s->saved) : imap_set_resolve(written, highest, s->arena);
    cut_above(&resolved, highest);
    return resolved;
}

result session_numbers_of(struct session *s, const struct imap_set *uids, struct imap_set *ret_numbers)
{
    struct fault fault = {0};
    struct imap_set numbers = {.ranges = arena_array(s->arena, struct imap_range, uids->count)};
    for (size_t i = 0; i < uids->count; i++) {
        struct imap_range r;
        result code = mailbox_view_range(s->view, uids->ranges[i].first, uids->ranges[i].last, &r.first, &r.last,
                                         session_store_deadline(s), &fault);
        if (code != OK) return code;
        if (r.first <= r.last && numbers.count && numbers.ranges[numbers.count - 1].last + 1 == r.first) numbers.ranges[numbers.count - 1].last = r.last;
        else if (r.first <= r.last) numbers.ranges[numbers.count++] = r;
        if (i % NUMBERS_PER_TURN == 0) let_others();
    }
    *ret_numbers = numbers;
    return OK;
}

static result resolve_numbers(struct session *s, const struct imap_set *written, struct reply *reply, struct imap_set *ret_numbers)
{
    uint32_t count = mailbox_view_count(s->view);
    struct imap_set numbers = imap_set_resolve(written, count, s->arena);
    if (numbers.count && numbers.ranges[numbers.count - 1].last > count) {
        reply_set(reply, REPLY_BAD, "", "There is no message of that number");
        return INVALID;
    }
    *ret_numbers = numbers;
    return OK;
}

result session_resolve(struct session *s, const struct imap_set *written, bool by_uid, struct reply *reply, struct imap_set *ret_resolved)
{
    if (!has_room(s, written, reply)) return TOO_BIG;
    if (by_uid) {
        *ret_resolved = resolve_uids(s, written);
        return OK;
    }
    if (!written->is_saved && s->is_uid_only) {
        reply_set(reply, REPLY_BAD, "UIDREQUIRED", "Only UIDs are used in this session");
        return INVALID;
    }
    if (!written->is_saved) return resolve_numbers(s, written, reply, ret_resolved);
    struct imap_set uids = resolve_uids(s, written);
    result code = session_numbers_of(s, &uids, ret_resolved);
    reply_result(s, reply, code, NULL);
    return code;
}

result session_resolve_there(struct session *s, const struct imap_set *written, struct reply *reply, struct imap_set *ret_resolved)
{
    uint32_t count = mailbox_view_count(s->view);
    if (written->is_saved || s->is_uid_only) return session_resolve(s, written, false, reply, ret_resolved);
    *ret_resolved = imap_set_resolve(written, count, s->arena);
    cut_above(ret_resolved, count);
    return OK;
}

result session_uids_of(struct session *s, const struct imap_set *resolved, bool is_uids, struct reply *reply, struct imap_set *ret_uids)
{
    struct fault fault = {0};
    *ret_uids = *resolved;
    if (is_uids) return OK;
    result code = mailbox_view_uids(s->view, resolved, s->arena, ret_uids, session_store_deadline(s), &fault);
    reply_result(s, reply, code, &fault);
    return code;
}

/* ---- walking over the rows of a set ---- */

enum { ROWS_AT_ONCE = 256 };

/* A set of few messages takes little memory: clients send one FETCH for each of a thousand. */
static size_t rows_at_once(const struct imap_set *set)
{
    uint64_t size = imap_set_size(set);
    return size < ROWS_AT_ONCE ? (size_t)size : ROWS_AT_ONCE;
}

MAY_YIELD static result walk_numbers(struct session *s, uint32_t first, uint32_t last, struct row *rows, size_t max, session_row_fn *each, void *argument)
{
    struct fault fault = {0};
    for (uint64_t number = first; number <= last;) {
        uint64_t want = last - number + 1;
        size_t count;
        result code = mailbox_view_rows(s->view, (uint32_t)number, want > max ? max : (size_t)want, rows, &count,
                                        session_store_deadline(s), &fault);
        if (code != OK) return code;
        if (count == 0) return OK;
        code = each(argument, (uint32_t)number, rows, count);
        if (code != OK) return code;
        number += count;
        code = session_note_progress(s, count);
        if (code == OK) code = session_breathe(s);
        if (code != OK) return code;
    }
    return OK;
}

result session_walk(struct session *s, const struct imap_set *resolved, bool by_uid, session_row_fn *each, void *argument)
{
    struct fault fault = {0};
    size_t max = rows_at_once(resolved);
    struct row *rows = arena_array(s->arena, struct row, max);
    for (size_t i = 0; i < resolved->count; i++) {
        uint32_t first = resolved->ranges[i].first, last = resolved->ranges[i].last;
        result code = OK;
        if (by_uid) code = mailbox_view_range(s->view, first, last, &first, &last, session_store_deadline(s), &fault);
        if (code == OK && first <= last) code = walk_numbers(s, first, last, rows, max, each, argument);
        if (code != OK) return code;
    }
    return OK;
}

/* From the last to the first, some hundred at a time. */
MAY_YIELD static result walk_numbers_back(struct session *s, uint32_t first, uint32_t last, struct row *rows, size_t max, session_row_fn *each, void *argument)
{
    struct fault fault = {0};
    for (uint32_t end = last; end >= first && end > 0;) {
        uint32_t begin = end - first >= max ? end - (uint32_t)max + 1 : first;
        size_t count;
        result code = mailbox_view_rows(s->view, begin, end - begin + 1, rows, &count, session_store_deadline(s), &fault);
        if (code == OK && count > 0) code = each(argument, begin, rows, count);
        if (code == OK) code = session_note_progress(s, count);
        if (code == OK) code = session_breathe(s);
        if (code != OK) return code;
        end = begin - 1;
    }
    return OK;
}

result session_walk_back(struct session *s, const struct imap_set *resolved, bool by_uid, session_row_fn *each, void *argument)
{
    struct fault fault = {0};
    size_t max = rows_at_once(resolved);
    struct row *rows = arena_array(s->arena, struct row, max);
    for (size_t i = resolved->count; i > 0; i--) {
        uint32_t first = resolved->ranges[i - 1].first, last = resolved->ranges[i - 1].last;
        result code = OK;
        if (by_uid) code = mailbox_view_range(s->view, first, last, &first, &last, session_store_deadline(s), &fault);
        if (code == OK && first <= last) code = walk_numbers_back(s, first, last, rows, max, each, argument);
        if (code != OK) return code;
    }
    return OK;
}

/* ---- parts of results ---- */

/* `uids` are worked on. */
MAY_YIELD static result cut_to(struct session *s, const struct imap_set *resolved, bool by_uid, struct imap_set *uids, struct imap_set *ret_resolved)
{
    struct imap_set_builder common = IMAP_SET_BUILDER_INIT;
    result code = by_uid ? OK : session_numbers_of(s, uids, uids);
    if (code != OK) return code;
    for (struct imap_common_place at = {0}; imap_set_builder_add_some_common(&common, resolved, uids, COMMON_PER_TURN, &at);) let_others();
    struct imap_set set = imap_set_builder_set(&common);
    *ret_resolved = imap_set_resolve(&set, UINT32_MAX, s->arena);
    imap_set_builder_done(&common);
    return OK;
}

result session_cut_unchanged(struct session *s, const struct imap_set *resolved, bool by_uid, uint64_t since, struct imap_set *ret_resolved)
{
    struct imap_set touched;
    struct fault fault = {0};
    result code = mailbox_view_touched(s->view, since, s->arena, &touched, &fault);
    return code == OK ? cut_to(s, resolved, by_uid, &touched, ret_resolved) : code;
}

result session_cut_dated(struct session *s, const struct imap_set *resolved, bool by_uid, unix_ms from, unix_ms until, struct imap_set *ret_resolved)
{
    struct imap_set dated;
    struct fault fault = {0};
    result code = mailbox_view_dated(s->view, from, until, s->arena, &dated, &fault);
    return code == OK ? cut_to(s, resolved, by_uid, &dated, ret_resolved) : code;
}

result session_cut_flagged(struct session *s, const struct imap_set *resolved, bool by_uid, uint64_t flag, bool is_set, struct imap_set *ret_resolved)
{
    struct imap_set flagged;
    struct fault fault = {0};
    result code = mailbox_view_flagged(s->view, flag, is_set, s->arena, &flagged, &fault);
    return code == OK ? cut_to(s, resolved, by_uid, &flagged, ret_resolved) : code;
}

/* Which of `total` results are meant: [*ret_first, *ret_last] from 1, or nothing. */
static bool partial_bounds(const struct imap_partial *p, uint64_t total, uint64_t *ret_first, uint64_t *ret_last)
{
    uint64_t low = p->first < p->last ? p->first : p->last, high = p->first < p->last ? p->last : p->first;
    if (low > total) return false;
    if (high > total) high = total;
    *ret_first = p->from_end ? total - high + 1 : low;
    *ret_last = p->from_end ? total - low + 1 : high;
    return true;
}

uint64_t session_count(struct session *s, const struct imap_set *uids)
{
    struct imap_set numbers;
    return session_numbers_of(s, uids, &numbers) == OK ? imap_set_size(&numbers) : UINT64_MAX;
}

result session_cut_partial(struct session *s, const struct imap_set *uids, const struct imap_partial *partial, struct imap_set *ret_uids)
{
    struct imap_set numbers, cut = {0};
    uint64_t first, last, before = 0;
    result code = session_numbers_of(s, uids, &numbers);
    if (code != OK) return code;
    if (partial_bounds(partial, imap_set_size(&numbers), &first, &last)) {
        cut.ranges = arena_array(s->arena, struct imap_range, numbers.count);
        for (size_t i = 0; i < numbers.count; i++) {
            struct imap_range r = numbers.ranges[i];
            uint64_t count = r.last - r.first + 1, skip = first > before + 1 ? first - before - 1 : 0;
            uint64_t take = last > before ? last - before : 0;
            before += count;
            if (skip >= count || take == 0) continue;
            if (take > count) take = count;
            if (skip < take) cut.ranges[cut.count++] = (struct imap_range){r.first + (uint32_t)skip, r.first + (uint32_t)take - 1};
        }
    }
    struct fault fault = {0};
    return mailbox_view_uids(s->view, &cut, s->arena, ret_uids, session_store_deadline(s), &fault);
}
