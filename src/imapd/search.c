/*
 * SEARCH and UID SEARCH: RFC 9051 §6.4.4, §7.3.4, RFC 3501 §7.2.5, RFC 4731, RFC 5182, RFC 7162 §3.1.5.
 */
#include "base/check.h"
#include "formats/charset.h"
#include "formats/imap_write.h"
#include "formats/text_fold.h"
#include "imapd/search_match.h"

enum { NEEDLE_BYTES_MAX = 64 * 1024 };

/* ---- from keys to criteria ---- */

struct compiler {
    struct search *search;
    struct reply *reply;
    view charset;
};

/* What is looked for, as UTF-8 and folded like what is looked at. */
static view fold_needle(struct compiler *c, view text)
{
    buf utf8 CLEANUP(buf_done) = BUF_INIT, folded CLEANUP(buf_done) = BUF_INIT;
    (void)charset_append_utf8(c->charset.len ? c->charset : VIEW("UTF-8"), text, &utf8);
    text_fold(buf_view(&utf8), &folded);
    if (folded.len > NEEDLE_BYTES_MAX) folded.len = NEEDLE_BYTES_MAX;
    return arena_keep(c->search->s->arena, buf_view(&folded));
}

static uint64_t row_flags(struct compiler *c, const struct imap_search_key *key)
{
    struct mailbox *m = session_mailbox(c->search->s);
    if (key->kind == IMAP_SEARCH_KEYWORD) return m ? mailbox_keyword_flag(m, key->text) : 0;
    return session_record_flags(&(struct imap_flags){.system = (unsigned)key->number}).system;
}

MAY_YIELD static result compile_keys(struct compiler *c, const struct imap_search_key *first, struct criterion **ret_first);

MAY_YIELD static result compile(struct compiler *c, const struct imap_search_key *key, struct criterion *k)
{
    struct session *s = c->search->s;
    k->kind = key->kind;
    switch (key->kind) {
    case IMAP_SEARCH_AND:
    case IMAP_SEARCH_OR:
    case IMAP_SEARCH_NOT: return compile_keys(c, key->children, &k->children);
    case IMAP_SEARCH_SET: return session_resolve(s, &key->set, false, c->reply, &k->set);
    case IMAP_SEARCH_UID: return session_resolve(s, &key->set, true, c->reply, &k->set);
    case IMAP_SEARCH_FLAG:
        k->is_recent = key->number == IMAP_FLAG_RECENT;
        k->number = row_flags(c, key);
        break;
    case IMAP_SEARCH_KEYWORD: k->number = row_flags(c, key); break;
    case IMAP_SEARCH_HEADER:
    case IMAP_SEARCH_BODY:
    case IMAP_SEARCH_TEXT:
        k->field = key->kind == IMAP_SEARCH_HEADER ? key->field : VIEW_EMPTY;
        k->needle = fold_needle(c, key->text);
        break;
    case IMAP_SEARCH_MODSEQ:
        c->search->has_modseq = s->has_condstore = true;
        k->number = key->number;
        break;
    case IMAP_SEARCH_LARGER:
    case IMAP_SEARCH_SMALLER:
    case IMAP_SEARCH_OLDER:
    case IMAP_SEARCH_YOUNGER: k->number = key->number; break;
    case IMAP_SEARCH_ALL: break;
    default: k->day = key->day;
    }
    return OK;
}

/* Recursion is bounded by IMAP_SEARCH_DEPTH_MAX. */
MAY_YIELD static result compile_keys(struct compiler *c, const struct imap_search_key *first, struct criterion **ret_first)
{
    struct criterion **end = ret_first;
    *ret_first = NULL;
    for (const struct imap_search_key *key = first; key; key = key->next) {
        struct criterion *k = arena_new_struct(c->search->s->arena, struct criterion);
        result code = compile(c, key, k);
        if (code != OK) return code;
        *end = k;
        end = &k->next;
    }
    return OK;
}

/* ---- running ---- */

struct run {
    struct search *search;
    const struct imap_search *asked;
    bool by_uid;
    struct imap_set_builder numbers;         /* sequence numbers or UIDs */
    struct imap_set_builder uids;            /* for SAVE */
    uint32_t lowest, highest;
    uint64_t count, modseq;
};

static void note_match(struct run *run, uint32_t number, const struct row *row)
{
    uint32_t told = run->by_uid ? row->uid : number;
    if (run->count++ == 0) run->lowest = told;
    run->highest = told;
    if (row->modseq > run->modseq) run->modseq = row->modseq;
    imap_set_builder_add(&run->numbers, told);
    if (run->asked->want & IMAP_RETURN_SAVE) imap_set_builder_add(&run->uids, row->uid);
}

MAY_YIELD static result search_rows(void *argument, uint32_t number, const struct row *rows, size_t count)
{
    struct run *run = argument;
    for (size_t i = 0; i < count; i++) {
        bool matches;
        if (row_is_gone(&rows[i])) continue;
        result code = search_matches(run->search, number + (uint32_t)i, &rows[i], &matches);
        if (code != OK) return code;
        if (!matches) continue;
        note_match(run, number + (uint32_t)i, &rows[i]);
        if (run->asked->has_return && run->asked->want == IMAP_RETURN_MIN) return END;
    }
    return OK;
}

/* A set among the keys that must all be met bounds the walk. */
MAY_YIELD static result walk(struct run *run)
{
    struct session *s = run->search->s;
    struct imap_range all = {1, mailbox_view_count(s->view)};
    struct imap_set set = {.ranges = &all, .count = all.last ? 1 : 0};
    bool is_uids = false;
    for (const struct criterion *k = run->search->root->children; k; k = k->next) {
        if (k->kind != IMAP_SEARCH_SET && k->kind != IMAP_SEARCH_UID) continue;
        set = k->set;
        is_uids = k->kind == IMAP_SEARCH_UID;
        break;
    }
    result code = session_walk(s, &set, is_uids, search_rows, run);
    return code == END ? OK : code;
}

/* ---- answers ---- */

/* esearch-response = "ESEARCH" [search-correlator] [SP "UID"] *(SP search-return-data) */
static void tell_esearch(struct run *run, view tag)
{
    struct session *s = run->search->s;
    buf *out = session_out(s);
    unsigned want = run->asked->has_return ? run->asked->want : IMAP_RETURN_ALL;
    buf_append(out, VIEW("* ESEARCH (TAG "));
    imap_write_string(out, tag, false);
    buf_append_cstr(out, run->by_uid ? ") UID" : ")");
    if ((want & IMAP_RETURN_MIN) && run->count) buf_appendf(out, " MIN %u", run->lowest);
    if ((want & IMAP_RETURN_MAX) && run->count) buf_appendf(out, " MAX %u", run->highest);
    if (want & IMAP_RETURN_COUNT) buf_appendf(out, " COUNT %llu", (unsigned long long)run->count);
    if ((want & IMAP_RETURN_ALL) && run->count) {
        struct imap_set set = imap_set_builder_set(&run->numbers);
        buf_append(out, VIEW(" ALL "));
        imap_set_write(out, &set);
    }
    if (run->search->has_modseq && run->count) buf_appendf(out, " MODSEQ %llu", (unsigned long long)run->modseq);
    buf_append(out, VIEW("\r\n"));
}

static void tell_search(struct run *run)
{
    buf *out = session_out(run->search->s);
    struct imap_set set = imap_set_builder_set(&run->numbers);
    buf_append(out, VIEW("* SEARCH"));
    for (size_t i = 0; i < set.count; i++) {
        for (uint64_t number = set.ranges[i].first; number <= set.ranges[i].last; number++) {
            buf_append_byte(out, ' ');
            buf_append_u64(out, number);
        }
    }
    if (run->search->has_modseq && run->count) buf_appendf(out, " (MODSEQ %llu)", (unsigned long long)run->modseq);
    buf_append(out, VIEW("\r\n"));
}

/* RFC 5182 §2.1: what MIN and MAX alone returned is all that is saved. */
static void save(struct run *run)
{
    struct session *s = run->search->s;
    unsigned others = run->asked->want & (IMAP_RETURN_ALL | IMAP_RETURN_COUNT);
    struct imap_set set = imap_set_builder_set(&run->uids);
    imap_set_builder_done(&s->saved);
    s->saved = IMAP_SET_BUILDER_INIT;
    if (set.count == 0) return;
    uint32_t lowest = set.ranges[0].first, highest = set.ranges[set.count - 1].last;
    bool ends_only = !others && (run->asked->want & (IMAP_RETURN_MIN | IMAP_RETURN_MAX));
    if (!ends_only) {
        s->saved = run->uids;
        run->uids = IMAP_SET_BUILDER_INIT;
        return;
    }
    if (run->asked->want & IMAP_RETURN_MIN) imap_set_builder_add(&s->saved, lowest);
    if ((run->asked->want & IMAP_RETURN_MAX) && (highest != lowest || !(run->asked->want & IMAP_RETURN_MIN)))
        imap_set_builder_add(&s->saved, highest);
}

static void tell(struct run *run, view tag)
{
    bool only_saves = run->asked->want == IMAP_RETURN_SAVE;
    if (run->asked->want & IMAP_RETURN_SAVE) save(run);
    if (only_saves) return;
    if (run->asked->has_return || run->search->s->is_rev2) {
        tell_esearch(run, tag);
    } else {
        tell_search(run);
    }
}

static bool check_charset(view charset, struct reply *r)
{
    if (charset.len == 0 || charset_is_known(charset)) return true;
    reply_set(r, REPLY_NO, "BADCHARSET (UTF-8 US-ASCII ISO-2022-JP SHIFT_JIS EUC-JP ISO-8859-1)", "That charset is not known here");
    return false;
}

void imapd_search(struct session *s, const struct imap_command *c, struct reply *r)
{
    struct search search = {.s = s, .now = clock_wall()};
    struct run run = {.search = &search, .asked = &c->search, .by_uid = c->is_uid,
                      .numbers = IMAP_SET_BUILDER_INIT, .uids = IMAP_SET_BUILDER_INIT};
    struct compiler compiler = {.search = &search, .reply = r, .charset = c->search.charset};
    if (!check_charset(c->search.charset, r)) return;
    search.root = arena_new_struct(s->arena, struct criterion);
    if (compile(&compiler, c->search.root, search.root) == OK) {
        result code = walk(&run);
        if (code == OK) tell(&run, c->tag);
        reply_result(s, r, code != OK ? code : search.code, &search.fault);
    }
    imap_set_builder_done(&run.numbers);
    imap_set_builder_done(&run.uids);
    buf_done(&search.text);
    buf_done(&search.folded);
}
