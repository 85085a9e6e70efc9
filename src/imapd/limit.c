/*
 * How many messages one command may touch, where the operator limits it: RFC 9738.
 *
 * FETCH, STORE and SEARCH do the newest ones and say how far they came; COPY, MOVE and APPEND of more are refused.
 */
#include "imapd/session.h"

bool session_cut_limit(struct session *s, struct imap_set *set, bool is_uids, uint32_t *ret_lowest_uid)
{
    struct imap_partial newest = {1, session_options(s)->message_limit, true};
    struct imap_set uids;
    struct reply unused = {0};
    *ret_lowest_uid = 0;
    if (newest.last == 0 || (!is_uids && imap_set_size(set) <= newest.last)) return true;
    bool is_good = session_uids_of(s, set, is_uids, &unused, &uids) == OK && session_count(s, &uids) != UINT64_MAX;
    reply_done(&unused);
    if (!is_good || session_count(s, &uids) <= newest.last) return is_good;
    if (session_cut_partial(s, &uids, &newest, &uids) != OK || uids.count == 0) return false;
    *ret_lowest_uid = uids.ranges[0].first;
    *set = uids;
    if (is_uids) return true;
    return session_numbers_of(s, &uids, set) == OK;
}

bool session_check_limit(struct session *s, uint64_t count, struct reply *r)
{
    uint32_t limit = session_options(s)->message_limit;
    if (limit == 0 || count <= limit) return true;
    reply_set(r, REPLY_NO, "MESSAGELIMIT ", "Too many messages for one command");
    buf_append_u64(&r->code, limit);
    return false;
}

/* Beside another code it is an untagged NO (§3.1). */
void session_tell_limit(struct session *s, uint32_t lowest_uid, struct reply *r)
{
    uint32_t limit = session_options(s)->message_limit;
    if (lowest_uid == 0 || r->kind != REPLY_OK) return;
    if (r->code.len) {
        session_tellf(s, "NO [MESSAGELIMIT %u %u] Only the newest messages were looked at", limit, lowest_uid);
        return;
    }
    buf_appendf(&r->code, "MESSAGELIMIT %u %u", limit, lowest_uid);
    r->text = "Only the newest messages were looked at";
}

static uint32_t save_limit(const struct session *s)
{
    uint32_t limit = session_options(s)->message_limit, saves = session_options(s)->save_limit;
    return saves && (limit == 0 || saves < limit) ? saves : limit;
}

bool session_check_copy_limit(struct session *s, const struct imap_set *uids, struct reply *r)
{
    struct imap_partial newest = {1, save_limit(s), true};
    struct imap_set allowed;
    if (save_limit(s) == 0 || session_check_save_limit(s, session_count(s, uids), r)) return true;
    if (session_cut_partial(s, uids, &newest, &allowed) == OK && allowed.count) buf_appendf(&r->code, " %u", allowed.ranges[0].first);
    return false;
}

bool session_check_save_limit(struct session *s, uint64_t count, struct reply *r)
{
    uint32_t limit = save_limit(s);
    if (limit == 0 || count <= limit) return true;
    reply_set(r, REPLY_NO, "MESSAGELIMIT ", "Too many messages for one command");
    buf_append_u64(&r->code, limit);
    return false;
}
