/*
 * Arguments of SELECT and EXAMINE (RFC 9051 §6.3.2, RFC 7162 §3.1.8, §3.2.5), of UIDBATCHES (RFC 10022), and what is shared with
 * others: parts of results (RFC 9394 §4).
 */
#include "formats/imap_grammar.h"
#include "formats/imap_write.h"

static bool has_star(const struct imap_set *set)
{
    for (size_t i = 0; i < set->count; i++)
        if (set->ranges[i].first == IMAP_STAR || set->ranges[i].last == IMAP_STAR) return true;
    return set->is_saved;
}

/* known-uids = sequence-set, without "*" */
static bool take_known(struct imap_grammar *g, struct imap_set *ret_set)
{
    struct imap_set set;
    if (!imap_take_set(g, &set) || has_star(&set)) return imap_miss(g, "a set of numbers");
    *ret_set = set;
    return true;
}

/* "QRESYNC" SP "(" uidvalidity SP mod-sequence-value [SP known-uids] [SP "(" known-sequence-set SP known-uid-set ")"] ")" */
static bool take_qresync(struct imap_grammar *g, struct imap_select *select)
{
    select->wants_qresync = true;
    if (!imap_take_space(g) || !imap_take_open(g)) return false;
    if (!imap_take_nonzero(g, &select->uid_validity)) return imap_miss(g, "a UIDVALIDITY");
    if (!imap_take_space(g)) return false;
    if (!imap_take_number64(g, &select->modseq) || select->modseq == 0) return imap_miss(g, "a modification sequence");
    bool has_more = take_byte(&g->at, ' ');
    if (has_more && cursor_peek(&g->at) != '(') {
        if (!take_known(g, &select->known)) return false;
        select->has_known = true;
        has_more = take_byte(&g->at, ' ');
    }
    if (has_more) {
        if (!imap_take_open(g) || !take_known(g, &select->match_numbers) || !imap_take_space(g) ||
            !take_known(g, &select->match_uids) || !imap_take_close(g))
            return false;
        select->has_match = true;
    }
    return imap_take_close(g);
}

static bool take_parameter(struct imap_grammar *g, struct imap_select *select)
{
    if (imap_take_word(g, VIEW("QRESYNC"))) return take_qresync(g, select);
    if (!imap_take_word(g, VIEW("CONDSTORE"))) return imap_miss(g, "a SELECT parameter");
    select->wants_condstore = true;
    return true;
}

/* select = "SELECT" SP mailbox [SP "(" select-param *(SP select-param) ")"] */
bool imap_take_select(struct imap_grammar *g, struct imap_select *ret_select)
{
    struct imap_select select = {0};
    if (!imap_take_astring(g, &select.mailbox)) return imap_miss(g, "a mailbox name");
    if (take_view(&g->at, VIEW(" ("))) {
        do {
            if (!take_parameter(g, &select)) return false;
        } while (take_byte(&g->at, ' '));
        if (!imap_take_close(g)) return false;
    }
    *ret_select = select;
    return true;
}

void imap_write_select(struct imap_command_writer *w, const struct imap_select *select)
{
    imap_command_astring(w, select->mailbox);
    if (select->wants_condstore || select->wants_qresync) buf_append_cstr(w->out, " (");
    if (select->wants_condstore) buf_append_cstr(w->out, select->wants_qresync ? "CONDSTORE " : "CONDSTORE");
    if (select->wants_qresync) {
        buf_appendf(w->out, "QRESYNC (%u %llu", select->uid_validity, (unsigned long long)select->modseq);
        if (select->has_known) {
            buf_append_byte(w->out, ' ');
            imap_set_write(w->out, &select->known);
        }
        if (select->has_match) {
            buf_append_cstr(w->out, " (");
            imap_set_write(w->out, &select->match_numbers);
            buf_append_byte(w->out, ' ');
            imap_set_write(w->out, &select->match_uids);
            buf_append_byte(w->out, ')');
        }
        buf_append_byte(w->out, ')');
    }
    if (select->wants_condstore || select->wants_qresync) buf_append_byte(w->out, ')');
}

/* partial-range = nz-number ":" nz-number / "-" nz-number ":" "-" nz-number */
bool imap_take_partial(struct imap_grammar *g, struct imap_partial *ret_partial)
{
    struct imap_partial p = {.from_end = take_byte(&g->at, '-')};
    if (!imap_take_nonzero(g, &p.first) || !take_byte(&g->at, ':') || (p.from_end && !take_byte(&g->at, '-')) ||
        !imap_take_nonzero(g, &p.last))
        return imap_miss(g, "a range of results");
    *ret_partial = p;
    return true;
}

void imap_write_partial(buf *out, const struct imap_partial *p)
{
    const char *sign = p->from_end ? "-" : "";
    buf_appendf(out, "%s%u:%s%u", sign, p->first, sign, p->last);
}

/* uidbatches = "UIDBATCHES" SP nz-number [SP nz-number ":" nz-number] */
bool imap_take_uidbatches(struct imap_grammar *g, struct imap_uidbatches *ret_uidbatches)
{
    struct imap_uidbatches u = {0};
    if (!imap_take_nonzero(g, &u.size)) return imap_miss(g, "a number of messages");
    if (take_byte(&g->at, ' ')) {
        if (!imap_take_nonzero(g, &u.first) || !take_byte(&g->at, ':') || !imap_take_nonzero(g, &u.last))
            return imap_miss(g, "a range of batches");
    }
    *ret_uidbatches = u;
    return true;
}

void imap_write_uidbatches(struct imap_command_writer *w, const struct imap_uidbatches *u)
{
    buf_append_u64(w->out, u->size);
    if (u->first) buf_appendf(w->out, " %u:%u", u->first, u->last);
}
