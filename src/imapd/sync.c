/*
 * What changed in the selected mailbox, told where RFC 9051 §7.5.1 allows it: EXPUNGE, EXISTS, RECENT, FETCH FLAGS.
 */
#include "imapd/session.h"

enum { ROWS_AT_ONCE = 256, EXPUNGES_PER_BREATH = 1024, RANGES_PER_BREATH = 256 };

struct mailbox *session_mailbox(struct session *s)
{
    return state_mailbox(account_state(s->account), mailbox_view_mailbox(s->view));
}

result session_refresh(struct session *s, struct fault *fault)
{
    return account_refresh(s->account, session_store_deadline(s), fault);
}

/* A mailbox that another session, on another node perhaps, has only just made is there for this one too. */
bool session_find_destination(struct session *s, view name, struct mailbox_info *ret_info)
{
    struct fault fault = {0};
    struct mailbox *m = state_find(account_state(s->account), name);
    if (!m && session_refresh(s, &fault) == OK) m = state_find(account_state(s->account), name);
    if (!m) return false;
    mailbox_read_info(m, s->arena, ret_info);
    return ret_info->is_selectable;
}

/* Exact, because the session is where the account is. */
result session_check_quota(const struct session *s, struct quota more, struct fault *fault)
{
    struct usage used = state_usage(account_state(s->account));
    struct quota quota = s->quota;
    bool bytes_fit = quota.bytes == 0 || (more.bytes <= quota.bytes && used.bytes <= quota.bytes - more.bytes);
    bool messages_fit = quota.messages == 0 || (more.messages <= quota.messages && used.messages <= quota.messages - more.messages);
    if (bytes_fit && messages_fit) return OK;
    return fail(fault, OVER_QUOTA, "%llu of %llu bytes and %llu of %llu messages are used, %llu and %llu more do not fit", (unsigned long long)used.bytes,
                (unsigned long long)quota.bytes, (unsigned long long)used.messages, (unsigned long long)quota.messages, (unsigned long long)more.bytes,
                (unsigned long long)more.messages);
}

MAY_YIELD static result tell_changed_range(struct session *s, struct imap_range range, struct row *rows)
{
    struct fault fault = {0};
    bool with_uid = s->has_condstore || s->notify;            /* RFC 5465 §5.1 */
    for (uint32_t number = range.first; number <= range.last;) {
        size_t want = range.last - number + 1, count;
        result code = mailbox_view_rows(s->view, number, want > ROWS_AT_ONCE ? ROWS_AT_ONCE : want, rows, &count,
                                        session_store_deadline(s), &fault);
        if (code != OK || count == 0) return code;
        struct mailbox *m = session_mailbox(s);
        for (size_t i = 0; i < count; i++)
            if (!row_is_gone(&rows[i])) session_tell_flags(s, m, number + (uint32_t)i, &rows[i], with_uid);
        number += (uint32_t)count;
        code = session_breathe(s);
        if (code != OK || number == 0) return code;
    }
    return OK;
}

MAY_YIELD static result tell_changed(struct session *s, struct mailbox_changes *changes)
{
    struct imap_set_builder numbers = IMAP_SET_BUILDER_INIT;
    struct fault fault = {0};
    struct row *rows = NULL;
    result code = OK;
    while (code == OK && (code = mailbox_view_next_changed(s->view, changes, &numbers, session_store_deadline(s), &fault)) == OK) {
        struct imap_set set = imap_set_builder_set(&numbers);
        if (set.count) session_tell_new_keywords(s, session_mailbox(s));
        if (set.count && !rows) rows = arena_array(s->arena, struct row, ROWS_AT_ONCE);
        for (size_t i = 0; i < set.count && code == OK; i++) code = tell_changed_range(s, set.ranges[i], rows);
        if (code == OK) code = session_breathe(s);
    }
    imap_set_builder_done(&numbers);
    return code == END ? OK : code;
}

/* RFC 7162 §3.2.10.2, RFC 9586 §3.5 */
MAY_YIELD static result tell_vanished(struct session *s, const struct mailbox_changes *changes)
{
    buf *out = session_out(s);
    result code = OK;
    if (changes->expunged_count == 0) return OK;
    buf_append(out, VIEW("* VANISHED "));
    for (size_t i = 0; i < changes->expunged_count && code == OK; i++) {
        struct imap_range uids = ghost_uids(&changes->expunged[i]);
        if (i) buf_append_byte(out, ',');
        imap_set_write(out, &(struct imap_set){.ranges = &uids, .count = 1});
        if (i % RANGES_PER_BREATH == 0) code = session_breathe(s);
    }
    buf_append(out, VIEW("\r\n"));
    return code;
}

/* From the last to the first, so that each number is right when it is told. */
MAY_YIELD static result tell_expunged(struct session *s, const struct mailbox_changes *changes)
{
    buf *out = session_out(s);
    size_t told = 0;
    for (size_t i = changes->expunged_count; i > 0; i--) {
        struct imap_range range = ghost_numbers(&changes->expunged[i - 1]);
        for (uint32_t number = range.last; number >= range.first; number--) {
            buf_append(out, VIEW("* "));
            buf_append_u64(out, number);
            buf_append(out, VIEW(" EXPUNGE\r\n"));
            if (++told % EXPUNGES_PER_BREATH != 0) continue;
            result code = session_breathe(s);
            if (code != OK) return code;
        }
    }
    return OK;
}

/* RECENT is of rev1 only, and only advice (RFC 9051 appendix E). */
MAY_YIELD static void tell_exists(struct session *s, uint32_t exists)
{
    struct fault fault = {0};
    uint32_t first, last;
    session_tellf(s, "%u EXISTS", exists);
    if (s->is_rev2) return;
    result code = mailbox_view_range(s->view, s->recent_from_uid, UINT32_MAX, &first, &last, session_store_deadline(s), &fault);
    if (code == OK) session_tellf(s, "%u RECENT", first <= last ? last - first + 1 : 0);
}

void session_sync(struct session *s, bool may_expunge)
{
    struct mailbox_changes changes;
    uint32_t highest_uid = mailbox_view_highest_uid(s->view);
    if (!mailbox_view_is_behind(s->view)) return;
    mailbox_view_sync(s->view, may_expunge, &changes);
    result code = session_tells_vanished(s) ? tell_vanished(s, &changes) : tell_expunged(s, &changes);
    if (code == OK && changes.exists_changed) tell_exists(s, changes.exists);
    if (code == OK) session_tell_new(s, highest_uid);
    if (code == OK && session_hears(s, IMAP_EVENT_FLAG_CHANGE)) {
        code = tell_changed(s, &changes);
        /* The store is slow or away: the next command tries again. */
        if (code != OK) mailbox_view_tell_again(s->view, &changes);
    }
    mailbox_changes_done(&changes);
}
