/*
 * SEARCH and UID SEARCH: RFC 9051 §6.4.4, §7.3.4, RFC 3501 §7.2.5, RFC 4731, RFC 5182, RFC 7162 §3.1.5, §3.1.10, RFC 9394 §3.1.
 *
 * A command that wants the first or the last results only ends its walk when it has them.
 */
#include <string.h>

#include "base/check.h"
#include "formats/imap_write.h"
#include "imapd/search_match.h"

/* Numbers in the order in which they are met: a walk from the end gives them reversed. */
struct found {
    struct imap_set_builder set;
    buf reversed;                            /* uint32_t each, of a walk from the end */
};

struct run {
    struct search search;
    const struct imap_search *asked;
    const struct mailbox_info *mailbox;      /* of ESEARCH in several mailboxes; else NULL */
    bool by_uid, is_back;
    struct found numbers;                    /* sequence numbers or UIDs: of ALL or PARTIAL */
    struct found uids;                       /* for SAVE */
    buf scores;                              /* a byte each, in the order of the walk: of RELEVANCY */
    uint32_t lowest, highest;
    uint32_t lowest_uid, highest_uid;
    uint64_t count, modseq, lowest_modseq, highest_modseq;
    uint64_t window_first, window_last;      /* of PARTIAL, in the order of the walk, from 1 */
};

static void found_add(struct found *f, uint32_t number, bool is_back)
{
    if (is_back) {
        buf_append(&f->reversed, view_make(&number, sizeof number));
    } else {
        imap_set_builder_add(&f->set, number);
    }
}

MAY_YIELD static struct imap_set found_set(struct found *f)
{
    size_t added = 0;
    for (size_t end = f->reversed.len; end > 0; end -= sizeof(uint32_t)) {
        uint32_t number;
        memcpy(&number, f->reversed.at + end - sizeof number, sizeof number);
        imap_set_builder_add(&f->set, number);
        if (++added % SESSION_NUMBERS_PER_TURN == 0 && coroutine_is_overdue()) coroutine_pause();
    }
    buf_clear(&f->reversed);
    return imap_set_builder_set(&f->set);
}

static void found_done(struct found *f)
{
    imap_set_builder_done(&f->set);
    buf_done(&f->reversed);
}

static bool wants(const struct run *run, unsigned what) { return run->asked->want & what; }

/* Nothing that comes later would be told. */
static bool has_enough(const struct run *run)
{
    unsigned want = run->asked->want & ~(unsigned)(IMAP_RETURN_SAVE | IMAP_RETURN_RELEVANCY), end = run->is_back ? IMAP_RETURN_MAX : IMAP_RETURN_MIN;
    if (!run->asked->has_return) return false;
    if (want == end) return run->count > 0;
    return (want & IMAP_RETURN_PARTIAL) && !(want & ~(end | IMAP_RETURN_PARTIAL)) && run->count >= run->window_last;
}

static bool is_in_window(const struct run *run)
{
    return !wants(run, IMAP_RETURN_PARTIAL) || (run->count >= run->window_first && run->count <= run->window_last);
}

MAY_YIELD static result note_match(void *argument, uint32_t number, const struct row *row)
{
    struct run *run = argument;
    uint32_t told = run->by_uid ? row->uid : number;
    bool is_first = run->count++ == 0, is_wanted = is_in_window(run);
    if (is_first || !run->is_back) {
        run->highest = told;
        run->highest_uid = row->uid;
        run->highest_modseq = row->modseq;
    }
    if (is_first || run->is_back) {
        run->lowest = told;
        run->lowest_uid = row->uid;
        run->lowest_modseq = row->modseq;
    }
    if (is_wanted && row->modseq > run->modseq) run->modseq = row->modseq;
    if (is_wanted) found_add(&run->numbers, told, run->is_back);
    if (is_wanted && wants(run, IMAP_RETURN_RELEVANCY)) buf_append_byte(&run->scores, (char)search_score(&run->search, row));
    if (wants(run, IMAP_RETURN_SAVE) && (is_wanted || wants(run, IMAP_RETURN_COUNT))) found_add(&run->uids, row->uid, run->is_back);
    return has_enough(run) ? END : OK;
}

/* ---- answers ---- */

/* Of what is told (RFC 7162 §3.1.10). */
static uint64_t told_modseq(const struct run *run)
{
    unsigned want = run->asked->want;
    uint64_t modseq = run->modseq;
    if (!run->asked->has_return || (want & (IMAP_RETURN_ALL | IMAP_RETURN_COUNT))) return modseq;
    if (!(want & IMAP_RETURN_PARTIAL)) modseq = 0;
    if ((want & IMAP_RETURN_MIN) && run->lowest_modseq > modseq) modseq = run->lowest_modseq;
    if ((want & IMAP_RETURN_MAX) && run->highest_modseq > modseq) modseq = run->highest_modseq;
    return modseq;
}

/* ret-data-partial = "PARTIAL" SP "(" partial-range SP partial-results ")" (RFC 9394 §4) */
MAY_YIELD static result write_partial(struct run *run, buf *out)
{
    struct imap_set set = found_set(&run->numbers);
    buf_append(out, VIEW(" PARTIAL ("));
    imap_write_partial(out, &run->asked->partial);
    buf_append_byte(out, ' ');
    if (set.count == 0) buf_append(out, VIEW("NIL"));
    result code = session_write_set(run->search.s, &set);
    buf_append_byte(out, ')');
    return code;
}

/* "RELEVANCY" SP "(" score *(SP score) ")", in the order of the numbers (RFC 6203 §4) */
MAY_YIELD static result write_scores(const struct run *run, buf *out)
{
    result code = OK;
    buf_append(out, VIEW(" RELEVANCY "));
    for (size_t i = 0; i < run->scores.len && code == OK; i++) {
        size_t at = run->is_back ? run->scores.len - 1 - i : i;
        buf_append_byte(out, i ? ' ' : '(');
        buf_append_u64(out, (unsigned char)run->scores.at[at]);
        if ((i + 1) % SESSION_NUMBERS_PER_TURN == 0) code = session_breathe(run->search.s);
    }
    buf_append_byte(out, ')');
    return code;
}

/* esearch-response = "ESEARCH" [search-correlator] [SP "UID"] *(SP search-return-data) */
MAY_YIELD static result tell_esearch(struct run *run, view tag)
{
    result code = OK;
    buf *out = session_out(run->search.s);
    unsigned want = run->asked->has_return ? run->asked->want : IMAP_RETURN_ALL;
    buf_append(out, VIEW("* ESEARCH (TAG "));
    imap_write_string(out, tag, false);
    if (run->mailbox) {                      /* RFC 7377 §2.1 */
        buf_append(out, VIEW(" MAILBOX "));
        imap_write_mailbox(out, run->mailbox->name, session_speaks_utf8(run->search.s));
        buf_appendf(out, " UIDVALIDITY %u", run->mailbox->uid_validity);
    }
    buf_append_cstr(out, run->by_uid ? ") UID" : ")");
    if ((want & IMAP_RETURN_MIN) && run->count) buf_appendf(out, " MIN %u", run->lowest);
    if ((want & IMAP_RETURN_MAX) && run->count) buf_appendf(out, " MAX %u", run->highest);
    if (want & IMAP_RETURN_COUNT) buf_appendf(out, " COUNT %llu", (unsigned long long)run->count);
    if ((want & IMAP_RETURN_ALL) && run->count) {
        struct imap_set set = found_set(&run->numbers);
        buf_append(out, VIEW(" ALL "));
        code = session_write_set(run->search.s, &set);
    }
    if (code == OK && (want & IMAP_RETURN_PARTIAL)) code = write_partial(run, out);
    if (code == OK && (want & IMAP_RETURN_RELEVANCY) && run->scores.len) code = write_scores(run, out);
    if (run->search.has_modseq && run->count) buf_appendf(out, " MODSEQ %llu", (unsigned long long)told_modseq(run));
    buf_append(out, VIEW("\r\n"));
    return code;
}

MAY_YIELD static result tell_search(struct run *run)
{
    size_t since_turn = 0;
    result code = OK;
    buf *out = session_out(run->search.s);
    struct imap_set set = found_set(&run->numbers);
    buf_append(out, VIEW("* SEARCH"));
    for (size_t i = 0; i < set.count && code == OK; i++) {
        for (uint64_t number = set.ranges[i].first; number <= set.ranges[i].last && code == OK; number++) {
            buf_append_byte(out, ' ');
            buf_append_u64(out, number);
            if (++since_turn % SESSION_NUMBERS_PER_TURN == 0) code = session_breathe(run->search.s);
        }
    }
    if (run->search.has_modseq && run->count) buf_appendf(out, " (MODSEQ %llu)", (unsigned long long)run->modseq);
    buf_append(out, VIEW("\r\n"));
    return code;
}

/* RFC 5182 §2.1, RFC 9394 §3.2: what MIN, MAX and PARTIAL returned is all that is saved, unless ALL or COUNT are asked for too. */
MAY_YIELD static void save(struct run *run)
{
    struct session *s = run->search.s;
    unsigned want = run->asked->want, ends = want & (IMAP_RETURN_MIN | IMAP_RETURN_MAX);
    bool is_whole = !(want & ~(unsigned)IMAP_RETURN_SAVE) || (want & (IMAP_RETURN_ALL | IMAP_RETURN_COUNT));
    bool has_found = is_whole || (want & IMAP_RETURN_PARTIAL);
    struct imap_set found = has_found ? found_set(&run->uids) : (struct imap_set){0};
    imap_set_builder_done(&s->saved);
    s->saved = IMAP_SET_BUILDER_INIT;
    if (run->count == 0) return;
    bool adds_low = !is_whole && (ends & IMAP_RETURN_MIN), adds_high = !is_whole && (ends & IMAP_RETURN_MAX);
    if (!adds_low && !adds_high) {           /* they may be very many */
        s->saved = run->uids.set;
        run->uids.set = IMAP_SET_BUILDER_INIT;
        return;
    }
    if (adds_low && !(found.count && found.ranges[0].first == run->lowest_uid)) imap_set_builder_add(&s->saved, run->lowest_uid);
    for (size_t i = 0; i < found.count; i++) {
        imap_set_builder_add_range(&s->saved, found.ranges[i].first, found.ranges[i].last);
        if (i % SESSION_NUMBERS_PER_TURN == 0 && coroutine_is_overdue()) coroutine_pause();
    }
    struct imap_set saved = imap_set_builder_set(&s->saved);
    if (adds_high && !(saved.count && saved.ranges[saved.count - 1].last == run->highest_uid)) imap_set_builder_add(&s->saved, run->highest_uid);
}

MAY_YIELD static result tell(struct run *run, view tag)
{
    bool only_saves = run->asked->want == IMAP_RETURN_SAVE;
    if (run->asked->want & IMAP_RETURN_SAVE) save(run);
    if (only_saves || (run->mailbox && run->count == 0)) return OK;
    return run->mailbox || run->asked->has_return || run->search.s->is_rev2 ? tell_esearch(run, tag) : tell_search(run);
}

static void plan(struct run *run)
{
    const struct imap_partial *p = &run->asked->partial;
    unsigned want = run->asked->want & ~(unsigned)IMAP_RETURN_SAVE;
    if (!run->asked->has_return) return;
    run->is_back = want & IMAP_RETURN_PARTIAL ? p->from_end : want == IMAP_RETURN_MAX;
    run->window_first = p->first < p->last ? p->first : p->last;
    run->window_last = p->first < p->last ? p->last : p->first;
}

void session_search(struct session *s, const struct imap_search *asked, bool by_uid, view tag, const struct mailbox_info *mailbox, struct reply *r)
{
    struct run run = {.asked = asked, .by_uid = by_uid, .mailbox = mailbox};
    plan(&run);
    if (search_prepare(&run.search, s, asked, r) == OK) {
        result code = search_walk(&run.search, run.is_back, note_match, &run);
        if (code == OK) code = tell(&run, tag);
        reply_result(s, r, code != OK ? code : run.search.code, &run.search.fault);
        session_tell_limit(s, run.search.lowest_uid, r);
    }
    session_forget_saved(s, asked, r);
    found_done(&run.numbers);
    found_done(&run.uids);
    buf_done(&run.scores);
    search_done(&run.search);
}

void imapd_search(struct session *s, const struct imap_command *c, struct reply *r)
{
    session_search(s, &c->search, c->is_uid, c->tag, NULL, r);
}
