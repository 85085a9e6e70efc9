/*
 * What pipelined FETCHes will ask for.
 *
 * Clients that synchronise send hundreds of FETCHes, one for each message, before they read an answer. Commands that have come already are
 * looked at without being consumed, and the messages that they name are read while this one is answered. A guess and no more: what is not
 * understood here, or turns out otherwise, is read when its command runs.
 */
#include "imapd/fetch.h"

enum {
    LINE_BYTES_MAX = 256,
    AHEAD_MAX = MESSAGES_EXPECTED_JOBS * MESSAGES_EXPECTED_AT_ONCE,
};

/* One message by its number or UID. */
MAY_YIELD static bool find_row(struct session *s, const struct imap_command *c, struct row *ret_row)
{
    struct fault fault;
    const struct imap_set *set = &c->fetch.set;
    size_t count;
    if (set->is_saved || set->count != 1 || set->ranges[0].first != set->ranges[0].last) return false;
    uint32_t number = set->ranges[0].first, last = number;
    if (c->is_uid && mailbox_view_range(s->view, number, number, &number, &last, session_store_deadline(s), &fault) != OK) return false;
    if (number != last) return false;
    return mailbox_view_rows(s->view, number, 1, ret_row, &count, session_store_deadline(s), &fault) == OK && count == 1 && !row_is_gone(ret_row);
}

MAY_YIELD static bool understand(struct session *s, view line, struct row *ret_row)
{
    struct imap_command c;
    if (line.len > LINE_BYTES_MAX || imap_parse_command(line, s->arena, &c, NULL) != OK || c.verb != IMAP_FETCH) return false;
    return fetch_needs_bytes(c.fetch.items, c.fetch.item_count) && find_row(s, &c, ret_row);
}

/* The next line that has come whole. */
static bool take_line(view *ahead, view *ret_line)
{
    size_t end = view_find(*ahead, '\n');
    if (end == VIEW_NONE) return false;
    *ret_line = view_slice(*ahead, 0, end > 0 && ahead->at[end - 1] == '\r' ? end - 1 : end);
    *ahead = view_from(*ahead, end + 1);
    return true;
}

/* Looks at the lines of `ahead` up to the first that is something else. How many of them were. */
MAY_YIELD static unsigned expect_some(struct session *s, view ahead)
{
    struct row rows[MESSAGES_EXPECTED_AT_ONCE];
    unsigned count = 0;
    for (view line; count < MESSAGES_EXPECTED_AT_ONCE && take_line(&ahead, &line) && understand(s, line, &rows[count]);) count++;
    if (count > 0 && messages_may_expect(s->account)) messages_expect(s->account, rows, count);
    return count;
}

void fetch_look_ahead(struct session *s)
{
    view line;
    if (s->looked_ahead > 0) s->looked_ahead--;
    while (s->looked_ahead <= AHEAD_MAX - MESSAGES_EXPECTED_AT_ONCE && messages_may_expect(s->account)) {
        view ahead = wire_ahead(&s->wire);
        for (unsigned i = 0; i < s->looked_ahead; i++)
            if (!take_line(&ahead, &line)) s->looked_ahead = i;
        unsigned count = expect_some(s, ahead);
        s->looked_ahead += count;
        if (count < MESSAGES_EXPECTED_AT_ONCE) return;
    }
}
