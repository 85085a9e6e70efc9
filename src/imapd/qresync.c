/*
 * Quick resynchronization: RFC 7162 §3.2.
 *
 * Costs what it tells and the number of blocks: rows are read only where some were changed since (mailbox_view_touched()).
 */
#include "imapd/session.h"

enum { PAIRS_MAX = 10000 };              /* of the client's sample that are compared, from the last on */

result session_tell_vanished(struct session *s, const struct imap_set *uids, uint64_t since)
{
    result code = OK;
    struct mailbox *m = session_mailbox(s);
    struct imap_set_builder gone = IMAP_SET_BUILDER_INIT;
    buf *out = session_out(s);
    if (!m) return OK;
    (void)mailbox_vanished(m, uids, since, s->arena, &gone);
    struct imap_set set = imap_set_builder_set(&gone);
    if (set.count) {
        buf_append(out, VIEW("* VANISHED (EARLIER) "));
        code = session_write_set(s, &set);
        buf_append(out, VIEW("\r\n"));
    }
    imap_set_builder_done(&gone);
    return code;
}

/* Steps through a set from its last number on. */
struct backwards {
    const struct imap_set *set;
    size_t range;                        /* from 1; 0: no more */
    uint32_t number;
};

static struct backwards backwards_of(const struct imap_set *set)
{
    return (struct backwards){set, set->count, set->count ? set->ranges[set->count - 1].last : 0};
}

static void step_back(struct backwards *b)
{
    if (b->number > b->set->ranges[b->range - 1].first) {
        b->number--;
    } else if (--b->range > 0) {
        b->number = b->set->ranges[b->range - 1].last;
    }
}

/*
 * §3.2.5.2: up to the largest UID that has the sequence number that the client knows, it knows all. 0 when there is none.
 */
MAY_YIELD static uint32_t known_up_to(struct session *s, const struct imap_set *numbers, const struct imap_set *uids)
{
    struct fault fault = {0};
    struct backwards number = backwards_of(numbers), uid = backwards_of(uids);
    if (imap_set_size(numbers) != imap_set_size(uids)) return 0;
    for (unsigned i = 0; i < PAIRS_MAX && number.range > 0 && uid.range > 0; i++) {
        uint32_t first, last;
        result code = mailbox_view_range(s->view, uid.number, uid.number, &first, &last, session_store_deadline(s), &fault);
        if (code == OK && first == last && first == number.number) return uid.number;
        step_back(&number);
        step_back(&uid);
    }
    return 0;
}

struct telling { struct session *s; uint64_t since; };

MAY_YIELD static result tell_rows(void *argument, uint32_t number, const struct row *rows, size_t count)
{
    struct telling *t = argument;
    struct mailbox *m = session_mailbox(t->s);
    for (size_t i = 0; i < count; i++)
        if (!row_is_gone(&rows[i]) && rows[i].modseq > t->since) session_tell_flags(t->s, m, number + (uint32_t)i, &rows[i], true);
    return OK;
}

result session_resynchronize(struct session *s, const struct imap_select *select, struct reply *reply)
{
    struct mailbox_info info;
    struct mailbox *m = session_mailbox(s);
    if (m) mailbox_read_info(m, s->arena, &info);
    if (!m || info.uid_validity != select->uid_validity || info.uid_next == 1) return OK;
    struct imap_range all = {1, info.uid_next - 1};
    struct imap_set known = {.ranges = &all, .count = 1}, missing, changed;
    if (select->has_known) known = imap_set_resolve(&select->known, UINT32_MAX, s->arena);
    missing = known;
    if (select->has_match) {
        struct imap_set numbers = imap_set_resolve(&select->match_numbers, UINT32_MAX, s->arena);
        struct imap_set uids = imap_set_resolve(&select->match_uids, UINT32_MAX, s->arena);
        uint32_t floor = known_up_to(s, &numbers, &uids);
        while (missing.count && missing.ranges[0].last <= floor) missing = (struct imap_set){missing.ranges + 1, missing.count - 1, false};
        struct imap_range *copy = arena_array(s->arena, struct imap_range, missing.count);
        for (size_t i = 0; i < missing.count; i++) copy[i] = missing.ranges[i];
        if (missing.count && copy[0].first <= floor) copy[0].first = floor + 1;
        missing.ranges = copy;
    }
    struct telling t = {s, select->modseq};
    result code = session_tell_vanished(s, &missing, select->modseq);
    if (code == OK) code = session_cut_unchanged(s, &known, true, select->modseq, &changed);
    if (code == OK) code = session_walk(s, &changed, true, tell_rows, &t);
    reply_result(s, reply, code, NULL);
    return code;
}
