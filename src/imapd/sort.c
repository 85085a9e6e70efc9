/*
 * SORT and UID SORT: RFC 5256, RFC 5957; with RETURN: RFC 5267 §3, RFC 9394.
 *
 * Each message becomes one key that compares bytewise; what has the same key stays in the order of the mailbox.
 */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "formats/imap_write.h"
#include "imapd/header_digests.h"
#include "imapd/search_match.h"
#include "imapd/sort_order.h"

enum { MESSAGES_PER_BREATH = 32 };

struct sorting {
    struct search search;
    const struct imap_sort *asked;
    bool by_uid, needs_score;
    struct digest_reader reader;
    struct sort_list list;
    buf key;
    uint64_t modseq;
    uint32_t *uids;                          /* by sequence number, where they are asked for */
    size_t uids_capacity;
    buf scores;                              /* a byte by sequence number: of RELEVANCY */
    size_t told_from, told_to;               /* of the list: which are told */
    struct imap_set_builder saved;           /* UIDs of all that matched, for SAVE */
};

static int64_t number_of(enum imap_sort_key key, const struct row *row, const struct sort_values *v)
{
    if (key == IMAP_SORT_SIZE) return row->size_bytes;
    return key == IMAP_SORT_DATE && v->has_date ? v->sent.ms : row->internal_date.ms;
}

/* Of its header. */
static unsigned needs_of(enum imap_sort_key key)
{
    switch (key) {
    case IMAP_SORT_DATE: return SORT_NEEDS_DATE;
    case IMAP_SORT_SUBJECT: return SORT_NEEDS_SUBJECT;
    case IMAP_SORT_FROM: return SORT_NEEDS_FROM;
    case IMAP_SORT_TO: return SORT_NEEDS_TO;
    case IMAP_SORT_CC: return SORT_NEEDS_CC;
    case IMAP_SORT_DISPLAYFROM: return SORT_NEEDS_DISPLAY_FROM;
    case IMAP_SORT_DISPLAYTO: return SORT_NEEDS_DISPLAY_TO;
    case IMAP_SORT_ARRIVAL:
    case IMAP_SORT_SIZE:
    case IMAP_SORT_RELEVANCY: break;
    }
    return 0;
}

static bool is_number(const struct imap_sort *asked)
{
    enum imap_sort_key key = asked->criteria[0].key;
    return asked->count == 1 && (key == IMAP_SORT_ARRIVAL || key == IMAP_SORT_SIZE || key == IMAP_SORT_DATE);
}

static void append_key(struct sorting *g, const struct imap_sort_criterion *c, const struct row *row, const struct sort_values *v, unsigned score)
{
    switch (c->key) {
    case IMAP_SORT_RELEVANCY: sort_key_number(&g->key, score, !c->is_reverse); break;      /* the highest first */
    case IMAP_SORT_ARRIVAL:
    case IMAP_SORT_SIZE:
    case IMAP_SORT_DATE: sort_key_number(&g->key, number_of(c->key, row, v), c->is_reverse); break;
    case IMAP_SORT_SUBJECT: sort_key_text(&g->key, v->subject, c->is_reverse); break;
    case IMAP_SORT_FROM: sort_key_text(&g->key, v->from, c->is_reverse); break;
    case IMAP_SORT_TO: sort_key_text(&g->key, v->to, c->is_reverse); break;
    case IMAP_SORT_CC: sort_key_text(&g->key, v->cc, c->is_reverse); break;
    case IMAP_SORT_DISPLAYFROM: sort_key_text(&g->key, v->display_from, c->is_reverse); break;
    case IMAP_SORT_DISPLAYTO: sort_key_text(&g->key, v->display_to, c->is_reverse); break;
    }
}

static void note_score(struct sorting *g, uint32_t number, unsigned score)
{
    if (g->scores.len <= number) {
        size_t more = number + 1 - g->scores.len;
        memset(buf_extend(&g->scores, more), 0, more);
    }
    g->scores.at[number] = (char)score;
}

static bool needs_uids(const struct sorting *g) { return g->by_uid || (g->asked->search.want & IMAP_RETURN_SAVE); }

static void note_uid(struct sorting *g, uint32_t number, uint32_t uid)
{
    if (number >= g->uids_capacity) {
        size_t count = mailbox_view_count(g->search.s->view);
        g->uids_capacity = (number < count ? count : number) + 1;
        g->uids = realloc(g->uids, g->uids_capacity * sizeof *g->uids);
        check(g->uids != NULL);
    }
    g->uids[number] = uid;
}

/* RFC 5182 §2.4 */
static bool saves_all(const struct sorting *g)
{
    unsigned want = g->asked->search.want;
    return !(want & ~(unsigned)IMAP_RETURN_SAVE) || (want & (IMAP_RETURN_ALL | IMAP_RETURN_COUNT));
}

/* A message that cannot be read sorts as one without fields. */
MAY_YIELD static result gather(void *argument, uint32_t number, const struct row *row)
{
    struct sorting *g = argument;
    struct sort_values values = {0};         /* also of what cannot be read */
    struct fault fault = {0};
    result code = OK;
    if (g->reader.needs) {
        code = digest_reader_read(&g->reader, row, &values, &fault);
        if (code != OK && code != NOT_FOUND && g->search.code == OK) {
            g->search.code = code;
            g->search.fault = fault;
        }
        code = number % MESSAGES_PER_BREATH == 0 ? session_breathe(g->search.s) : OK;
        if (code != OK) return code;
    }
    unsigned score = g->needs_score ? search_score(&g->search, row) : 0;
    if (g->needs_score) note_score(g, number, score);
    if (needs_uids(g)) note_uid(g, number, row->uid);
    if (row->modseq > g->modseq) g->modseq = row->modseq;
    if ((g->asked->search.want & IMAP_RETURN_SAVE) && saves_all(g)) imap_set_builder_add(&g->saved, row->uid);
    if (is_number(g->asked)) {
        sort_list_add_number(&g->list, number_of(g->asked->criteria[0].key, row, &values), g->asked->criteria[0].is_reverse, number);
        return OK;
    }
    buf_clear(&g->key);
    for (size_t i = 0; i < g->asked->count; i++) append_key(g, &g->asked->criteria[i], row, &values, score);
    return sort_list_add(&g->list, buf_view(&g->key), number);
}

static uint32_t told(const struct sorting *g, size_t i)
{
    uint32_t number = g->list.items[i].number;
    return g->by_uid ? g->uids[number] : number;
}

/* RFC 5267 §3.2: numbers in order; ranges only where they rise. */
MAY_YIELD static result write_order(struct sorting *g, size_t from, size_t to)
{
    buf *out = session_out(g->search.s);
    result code = OK;
    for (size_t i = from, since_turn = 0; i < to && code == OK;) {
        size_t last = i;
        while (last + 1 < to && told(g, last + 1) == told(g, last) + 1) last++;
        if (i > from) buf_append_byte(out, ',');
        buf_append_u64(out, told(g, i));
        if (last > i) buf_appendf(out, ":%u", told(g, last));
        since_turn += last - i + 1;
        i = last + 1;
        if (since_turn < SESSION_NUMBERS_PER_TURN) continue;
        since_turn = 0;
        code = session_breathe(g->search.s);
    }
    return code;
}

MAY_YIELD static result write_partial(struct sorting *g)
{
    result code = OK;
    const struct imap_partial *p = &g->asked->search.partial;
    g->told_to = 0;
    size_t low = p->first < p->last ? p->first : p->last, high = p->first < p->last ? p->last : p->first, count = g->list.count;
    buf *out = session_out(g->search.s);
    buf_append(out, VIEW(" PARTIAL ("));
    imap_write_partial(out, p);
    buf_append_byte(out, ' ');
    if (high > count) high = count;
    if (low > count) {
        buf_append(out, VIEW("NIL"));
    } else {
        g->told_from = p->from_end ? count - high : low - 1;
        g->told_to = p->from_end ? count - low + 1 : high;
        code = write_order(g, g->told_from, g->told_to);
    }
    buf_append_byte(out, ')');
    return code;
}

static void write_scores(struct sorting *g)
{
    buf *out = session_out(g->search.s);
    buf_append(out, VIEW(" RELEVANCY "));
    for (size_t i = g->told_from; i < g->told_to; i++)
        buf_appendf(out, "%c%u", i > g->told_from ? ' ' : '(', (unsigned)(unsigned char)g->scores.at[g->list.items[i].number]);
    buf_append_byte(out, ')');
}

MAY_YIELD static void raise_modseq(struct sorting *g, size_t i, uint64_t *modseq)
{
    struct session *s = g->search.s;
    struct fault fault = {0};
    struct row row;
    size_t count;
    result code = mailbox_view_rows(s->view, g->list.items[i].number, 1, &row, &count, session_store_deadline(s), &fault);
    if (code == OK && count && row.modseq > *modseq) *modseq = row.modseq;
    if (coroutine_is_overdue()) coroutine_pause();
}

/* Of what is told (RFC 7162 §3.1.10). */
MAY_YIELD static uint64_t told_modseq(struct sorting *g)
{
    unsigned want = g->asked->search.want;
    uint64_t modseq = 0;
    if (want & (IMAP_RETURN_ALL | IMAP_RETURN_COUNT)) return g->modseq;
    if (want & IMAP_RETURN_MIN) raise_modseq(g, 0, &modseq);
    if (want & IMAP_RETURN_MAX) raise_modseq(g, g->list.count - 1, &modseq);
    for (size_t i = g->told_from; want & IMAP_RETURN_PARTIAL && i < g->told_to; i++) raise_modseq(g, i, &modseq);
    return modseq;
}

MAY_YIELD static result tell_esearch(struct sorting *g, view tag)
{
    result code = OK;
    buf *out = session_out(g->search.s);
    unsigned want = g->asked->search.want;
    size_t count = g->list.count;
    buf_append(out, VIEW("* ESEARCH (TAG "));
    imap_write_string(out, tag, false);
    buf_append_cstr(out, g->by_uid ? ") UID" : ")");
    if ((want & IMAP_RETURN_MIN) && count) buf_appendf(out, " MIN %u", told(g, 0));
    if ((want & IMAP_RETURN_MAX) && count) buf_appendf(out, " MAX %u", told(g, count - 1));
    if (want & IMAP_RETURN_COUNT) buf_appendf(out, " COUNT %zu", count);
    if ((want & IMAP_RETURN_ALL) && count) {
        buf_append(out, VIEW(" ALL "));
        code = write_order(g, 0, count);
    }
    g->told_to = count;
    if (code == OK && (want & IMAP_RETURN_PARTIAL)) code = write_partial(g);
    if ((want & IMAP_RETURN_RELEVANCY) && g->told_to > g->told_from) write_scores(g);
    if (g->search.has_modseq && count) buf_appendf(out, " MODSEQ %llu", (unsigned long long)told_modseq(g));
    buf_append(out, VIEW("\r\n"));
    return code;
}

MAY_YIELD static result tell_sort(struct sorting *g)
{
    buf *out = session_out(g->search.s);
    result code = OK;
    buf_append(out, VIEW("* SORT"));
    for (size_t i = 0; i < g->list.count && code == OK; i++) {
        buf_append_byte(out, ' ');
        buf_append_u64(out, told(g, i));
        if (i % SESSION_NUMBERS_PER_TURN == 0) code = session_breathe(g->search.s);
    }
    if (g->search.has_modseq && g->list.count) buf_appendf(out, " (MODSEQ %llu)", (unsigned long long)g->modseq);
    buf_append(out, VIEW("\r\n"));
    return code;
}

static int compare_uids(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

/* RFC 5182 §2.4, RFC 9394 §3.2, with the places in the sorted list */
static bool is_saved(const struct sorting *g, size_t i)
{
    unsigned want = g->asked->search.want;
    if ((want & IMAP_RETURN_PARTIAL) && i >= g->told_from && i < g->told_to) return true;
    return ((want & IMAP_RETURN_MIN) && i == 0) || ((want & IMAP_RETURN_MAX) && i + 1 == g->list.count);
}

/* What "$" means afterwards, in the order of the mailbox: all as they were met, or those of some places. */
static void save(struct sorting *g)
{
    struct session *s = g->search.s;
    imap_set_builder_done(&s->saved);
    s->saved = IMAP_SET_BUILDER_INIT;
    if (saves_all(g)) {
        s->saved = g->saved;
        g->saved = IMAP_SET_BUILDER_INIT;
        return;
    }
    uint32_t *uids = arena_array(s->arena, uint32_t, g->list.count);
    size_t count = 0;
    for (size_t i = 0; i < g->list.count; i++)
        if (is_saved(g, i)) uids[count++] = g->uids[g->list.items[i].number];
    qsort(uids, count, sizeof *uids, compare_uids);
    for (size_t i = 0; i < count; i++) imap_set_builder_add(&s->saved, uids[i]);
}

MAY_YIELD static result tell(struct sorting *g, view tag)
{
    const struct imap_search *asked = &g->asked->search;
    bool only_saves = asked->want == IMAP_RETURN_SAVE;
    result code = OK;
    if (!asked->has_return) code = tell_sort(g);
    else if (!only_saves) code = tell_esearch(g, tag);
    if (asked->want & IMAP_RETURN_SAVE) save(g);
    return code;
}

/* RFC 6203 §6 */
static bool check_scores(const struct sorting *g, struct reply *r)
{
    if (!g->needs_score || g->search.is_fuzzy) return true;
    reply_set(r, REPLY_BAD, "CLIENTBUG", "RELEVANCY is for FUZZY searches");
    return false;
}

void imapd_sort(struct session *s, const struct imap_command *c, struct reply *r)
{
    struct sorting g = {.asked = &c->sort, .by_uid = c->is_uid, .saved = IMAP_SET_BUILDER_INIT};
    unsigned needs = 0;
    g.needs_score = c->sort.search.want & IMAP_RETURN_RELEVANCY;
    for (size_t i = 0; i < c->sort.count; i++) {
        g.needs_score |= c->sort.criteria[i].key == IMAP_SORT_RELEVANCY;
        needs |= needs_of(c->sort.criteria[i].key);
    }
    digest_reader_init(&g.reader, s, needs);
    if (search_prepare(&g.search, s, &c->sort.search, r) == OK && check_scores(&g, r)) {
        result code = search_walk(&g.search, false, gather, &g);
        if (code == OK) code = sort_list_sort(s, &g.list);
        if (code == OK) code = tell(&g, c->tag);
        reply_result(s, r, code != OK ? code : g.search.code, &g.search.fault);
        session_tell_limit(s, g.search.lowest_uid, r);
    }
    session_forget_saved(s, &c->sort.search, r);
    sort_list_done(&g.list);
    imap_set_builder_done(&g.saved);
    free(g.uids);
    buf_done(&g.key);
    buf_done(&g.scores);
    search_done(&g.search);
    digest_reader_done(&g.reader);
}
