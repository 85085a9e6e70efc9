/*
 * What SEARCH, SORT and THREAD look for: from keys to criteria, and the walk over the messages (RFC 9051 §6.4.4, RFC 7162 §3.1.5,
 * RFC 8474 §6, RFC 8514 §4.3).
 */
#include "base/check.h"
#include "base/utf8.h"
#include "formats/charset.h"
#include "formats/text_fold.h"
#include "imapd/search_match.h"

enum {
    NEEDLE_BYTES_MAX = 64 * 1024,
    FILTERS_DEPTH_MAX = 8,                   /* RFC 5466 §3.1: at least 3. One that names itself is deeper */
    FILTER_BYTES_MAX = 256 * 1024,           /* of all that a command names: parsing takes a multiple of it in memory */
    DAY_MS = 24 * 60 * 60 * 1000,
};

/* ---- from keys to criteria ---- */

struct compiler {
    struct search *search;
    struct reply *reply;
    view charset;
    unsigned fuzzy;                          /* FUZZY keys that we are in */
    unsigned depth;                          /* of filters and keys in each other */
    unsigned filters;                        /* that we are in */
    size_t keys, filter_bytes;               /* so far */
};

/* What is looked for, as UTF-8 and folded like what is looked at. */
static view fold_needle(struct compiler *c, view text)
{
    buf utf8 CLEANUP(buf_done) = BUF_INIT, folded CLEANUP(buf_done) = BUF_INIT;
    (void)charset_append_utf8(c->charset.len ? c->charset : VIEW("UTF-8"), text, &utf8);
    text_fold(buf_view(&utf8), &folded);
    if (folded.len > NEEDLE_BYTES_MAX) {
        folded.len = NEEDLE_BYTES_MAX;
        while (!utf8_is_valid(buf_view(&folded))) folded.len--;      /* at most three times */
    }
    return arena_keep(c->search->s->arena, buf_view(&folded));
}

static uint64_t row_flags(struct compiler *c, const struct imap_search_key *key)
{
    struct mailbox *m = session_mailbox(c->search->s);
    if (key->kind == IMAP_SEARCH_KEYWORD) return m ? mailbox_keyword_flag(m, key->text) : 0;
    return session_record_flags(&(struct imap_flags){.system = (unsigned)key->number}).system;
}

MAY_YIELD static result compile_keys(struct compiler *c, const struct imap_search_key *first, struct criterion **ret_first);

static bool check_charset(view charset, struct reply *r)
{
    if (charset.len == 0 || charset_is_known(charset)) return true;
    reply_set(r, REPLY_NO, "BADCHARSET (UTF-8 US-ASCII ISO-2022-JP SHIFT_JIS EUC-JP ISO-8859-1)", "That charset is not known here");
    return false;
}

/* RFC 5466 §3.1: a search that names a filter is in UTF-8. */
static bool check_filter_charset(struct compiler *c)
{
    if (c->charset.len == 0 || view_equal_nocase(c->charset, VIEW("UTF-8")) || view_equal_nocase(c->charset, VIEW("US-ASCII"))) return true;
    reply_set(c->reply, REPLY_BAD, "BADCHARSET (UTF-8 US-ASCII)", "Filters are in UTF-8");
    return false;
}

/* The keys of a stored search in the place of its name (RFC 5466 §3.1). */
MAY_YIELD static result compile_filter(struct compiler *c, view name, struct criterion **ret_first)
{
    struct imap_search stored;
    view charset = c->charset;
    size_t bytes;
    if (c->filters == FILTERS_DEPTH_MAX) return session_refuse_filter(name, c->reply);
    result code = session_filter(c->search->s, name, &stored, &bytes, c->reply);
    if (code == OK && !check_charset(stored.charset, c->reply)) code = INVALID;
    if (code == OK && (c->filter_bytes += bytes) > FILTER_BYTES_MAX) {
        reply_set(c->reply, REPLY_NO, "LIMIT", "The filters are too long together");
        code = TOO_BIG;
    }
    if (code != OK) return code;
    c->filters++;
    c->charset = stored.charset;
    code = compile_keys(c, stored.root, ret_first);
    c->charset = charset;
    c->filters--;
    return code;
}

static void set_needle(struct compiler *c, const struct imap_search_key *key, view needle, struct criterion *k)
{
    k->kind = key->kind;
    k->field = key->kind == IMAP_SEARCH_HEADER ? key->field : VIEW_EMPTY;
    k->needle = needle;
    k->is_fuzzy = c->fuzzy > 0;
    if (needle.len == 0) return;
    k->next_text = c->search->texts;
    c->search->texts = k;
}

/* RFC 6203 §3: all of the words, in any order, English ones without their endings. */
static void compile_fuzzy(struct compiler *c, const struct imap_search_key *key, struct criterion *all)
{
    view rest = fold_needle(c, key->text), word;
    struct criterion **end = &all->children;
    all->kind = IMAP_SEARCH_AND;
    for (unsigned words = 0; words < FUZZY_WORDS_MAX && fuzzy_take_word(&rest, &word); words++) {
        *end = arena_new_struct(c->search->s->arena, struct criterion);
        set_needle(c, key, word, *end);
        end = &(*end)->next;
    }
}

MAY_YIELD static result compile(struct compiler *c, const struct imap_search_key *key, struct criterion *k)
{
    struct session *s = c->search->s;
    result code;
    k->kind = key->kind;
    switch (key->kind) {
    case IMAP_SEARCH_FUZZY:
        c->fuzzy++;
        c->search->is_fuzzy = true;
        code = compile_keys(c, key->children, &k->children);
        c->fuzzy--;
        return code;
    case IMAP_SEARCH_AND:
    case IMAP_SEARCH_OR:
    case IMAP_SEARCH_NOT: return compile_keys(c, key->children, &k->children);
    case IMAP_SEARCH_FILTER: return check_filter_charset(c) ? compile_filter(c, key->text, &k->children) : INVALID;
    case IMAP_SEARCH_SET: return session_resolve_there(s, &key->set, c->reply, &k->set);
    case IMAP_SEARCH_UID: return session_resolve(s, &key->set, true, c->reply, &k->set);
    case IMAP_SEARCH_FLAG:
        k->is_recent = key->number == IMAP_FLAG_RECENT;
        k->number = row_flags(c, key);
        break;
    case IMAP_SEARCH_KEYWORD: k->number = row_flags(c, key); break;
    case IMAP_SEARCH_HEADER:
    case IMAP_SEARCH_BODY:
    case IMAP_SEARCH_TEXT:
        if (c->fuzzy && key->text.len) compile_fuzzy(c, key, k);
        else set_needle(c, key, fold_needle(c, key->text), k);
        break;
    case IMAP_SEARCH_MODSEQ:
        c->search->has_modseq = s->has_condstore = true;
        k->number = key->number;
        break;
    case IMAP_SEARCH_EMAILID:
    case IMAP_SEARCH_THREADID: k->needle = key->text; break;
    case IMAP_SEARCH_UIDAFTER:
    case IMAP_SEARCH_UIDBEFORE:
    case IMAP_SEARCH_LARGER:
    case IMAP_SEARCH_SMALLER:
    case IMAP_SEARCH_OLDER:
    case IMAP_SEARCH_YOUNGER: k->number = key->number; break;
    case IMAP_SEARCH_SAVEDATE_SUPPORTED:
    case IMAP_SEARCH_ALL: break;
    default: k->day = key->day;
    }
    return OK;
}

/* Recursion is bounded by IMAP_SEARCH_DEPTH_MAX, with filters that name each other too. */
MAY_YIELD static result compile_keys(struct compiler *c, const struct imap_search_key *first, struct criterion **ret_first)
{
    struct criterion **end = ret_first;
    *ret_first = NULL;
    if (c->depth == IMAP_SEARCH_DEPTH_MAX) {
        reply_set(c->reply, REPLY_NO, "LIMIT", "Filters name each other too deeply");
        return TOO_BIG;
    }
    c->depth++;
    for (const struct imap_search_key *key = first; key; key = key->next) {
        if (++c->keys > 2 * IMAP_SEARCH_KEYS_MAX) {
            reply_set(c->reply, REPLY_NO, "LIMIT", "There are too many keys in the filters");
            return TOO_BIG;
        }
        struct criterion *k = arena_new_struct(c->search->s->arena, struct criterion);
        result code = compile(c, key, k);
        if (code != OK) return code;
        *end = k;
        end = &k->next;
    }
    c->depth--;
    return OK;
}

static bool asks_nothing(const struct criterion *root)
{
    if (root->kind != IMAP_SEARCH_AND) return root->kind == IMAP_SEARCH_ALL;
    for (const struct criterion *k = root->children; k; k = k->next)
        if (k->kind != IMAP_SEARCH_ALL) return false;
    return true;
}

result search_prepare(struct search *search, struct session *s, const struct imap_search *asked, struct reply *r)
{
    struct compiler compiler = {.search = search, .reply = r, .charset = asked->charset};
    *search = (struct search){.s = s, .now = clock_wall()};
    if (!check_charset(asked->charset, r)) return INVALID;
    search->root = arena_new_struct(s->arena, struct criterion);
    result code = compile(&compiler, asked->root, search->root);
    search->takes_all = code == OK && asks_nothing(search->root);
    if (code != OK || search->is_fuzzy || !(asked->want & IMAP_RETURN_RELEVANCY)) return code;
    reply_set(r, REPLY_BAD, "CLIENTBUG", "RELEVANCY is for FUZZY searches");
    return INVALID;
}

void session_forget_saved(struct session *s, const struct imap_search *asked, const struct reply *r)
{
    if (!(asked->want & IMAP_RETURN_SAVE) || r->kind != REPLY_NO) return;
    imap_set_builder_done(&s->saved);
    s->saved = IMAP_SET_BUILDER_INIT;
}

void search_done(struct search *search)
{
    message_text_done(&search->text);
    for (struct criterion *k = search->texts; k; k = k->next_text) {
        search_hits_free(k->hits);
        search_hits_free(k->near);
    }
}

/* ---- the walk ---- */

struct walk {
    struct search *search;
    bool is_back;
    search_match_fn *each;
    void *argument;
};

MAY_YIELD static result look_at_rows(void *argument, uint32_t number, const struct row *rows, size_t count)
{
    struct walk *w = argument;
    for (size_t k = 0; k < count; k++) {
        size_t i = w->is_back ? count - 1 - k : k;
        bool matches;
        if (row_is_gone(&rows[i])) continue;
        result code = OK;
        if (w->search->takes_all) matches = true;
        else code = search_matches(w->search, number + (uint32_t)i, &rows[i], &matches);
        if (code == OK && matches) code = w->each(w->argument, number + (uint32_t)i, &rows[i]);
        if (code != OK) return code;
    }
    return OK;
}

/* The part of `set` from one UID to another. */
static struct imap_set cut_uids(struct session *s, const struct imap_set *set, struct imap_range to)
{
    struct imap_set cut = {.ranges = arena_array(s->arena, struct imap_range, set->count)};
    for (size_t i = 0; i < set->count; i++) {
        struct imap_range r = set->ranges[i];
        if (r.first < to.first) r.first = to.first;
        if (r.last > to.last) r.last = to.last;
        if (r.first <= r.last) cut.ranges[cut.count++] = r;
    }
    return cut;
}

/* UIDBEFORE and UIDAFTER bound the walk too: with them a client goes on where MESSAGELIMIT ended it (RFC 9738 §3.2). */
static void bound_by_uid(struct search *search, bool has_set, struct imap_set *set, bool *is_uids)
{
    struct imap_range to = {1, UINT32_MAX}, any = to;
    bool is_bound = false;
    for (const struct criterion *k = search->root->children; k; k = k->next) {
        if (k->kind != IMAP_SEARCH_UIDAFTER && k->kind != IMAP_SEARCH_UIDBEFORE) continue;
        is_bound = true;
        uint32_t uid = (uint32_t)k->number;
        if (k->kind == IMAP_SEARCH_UIDBEFORE && uid - 1 < to.last) to.last = uid - 1;
        if (k->kind == IMAP_SEARCH_UIDAFTER && uid == UINT32_MAX) to.last = 0;
        else if (k->kind == IMAP_SEARCH_UIDAFTER && uid + 1 > to.first) to.first = uid + 1;
    }
    if (!is_bound || (has_set && !*is_uids)) return;
    *set = cut_uids(search->s, has_set ? set : &(struct imap_set){.ranges = &any, .count = 1}, to);
    *is_uids = true;
}

/* SINCE, BEFORE and ON, which are days of UTC: blocks of rows with other dates are left out. */
MAY_YIELD static result bound_by_date(struct search *search, struct imap_set *set, bool is_uids)
{
    int64_t first = INT32_MIN, last = INT32_MAX;         /* days */
    bool is_bound = false;
    for (const struct criterion *k = search->root->children; k; k = k->next) {
        bool is_since = k->kind == IMAP_SEARCH_SINCE || k->kind == IMAP_SEARCH_ON, is_before = k->kind == IMAP_SEARCH_BEFORE || k->kind == IMAP_SEARCH_ON;
        int64_t before = (int64_t)k->day + (k->kind == IMAP_SEARCH_ON);
        if (is_since && k->day > first) first = k->day;
        if (is_before && before - 1 < last) last = before - 1;
        is_bound |= is_since || is_before;
    }
    if (!is_bound) return OK;
    return session_cut_dated(search->s, set, is_uids, (unix_ms){first * DAY_MS}, (unix_ms){(last + 1) * DAY_MS - 1}, set);
}

/* UNSEEN, SEEN, DELETED and UNDELETED, of which blocks know how many they have. */
MAY_YIELD static result bound_by_flag(struct search *search, struct imap_set *set, bool is_uids)
{
    result code = OK;
    for (const struct criterion *k = search->root->children; k && code == OK; k = k->next) {
        bool is_not = k->kind == IMAP_SEARCH_NOT && k->children && !k->children->next;
        const struct criterion *flag = is_not ? k->children : k;
        if (flag->kind != IMAP_SEARCH_FLAG || (flag->number != ROW_SEEN && flag->number != ROW_DELETED)) continue;
        code = session_cut_flagged(search->s, set, is_uids, flag->number, !is_not, set);
    }
    return code;
}

/* A set among the keys that must all be met bounds the walk; so do a mod-sequence, days, and flags. */
MAY_YIELD static result bounds_of(struct search *search, struct imap_set *set, bool *is_uids)
{
    struct session *s = search->s;
    const struct criterion *modseq = NULL;
    bool has_set = false;
    for (const struct criterion *k = search->root->children; k; k = k->next) {
        if (k->kind == IMAP_SEARCH_MODSEQ) modseq = k;
        if (has_set || (k->kind != IMAP_SEARCH_SET && k->kind != IMAP_SEARCH_UID)) continue;
        *set = k->set;
        *is_uids = k->kind == IMAP_SEARCH_UID;
        has_set = true;
    }
    bound_by_uid(search, has_set, set, is_uids);
    if (coroutine_is_overdue()) coroutine_pause();
    result code = modseq && modseq->number > 0 ? session_cut_unchanged(s, set, *is_uids, modseq->number - 1, set) : OK;
    if (code == OK) code = bound_by_date(search, set, *is_uids);
    if (code == OK) code = bound_by_flag(search, set, *is_uids);
    if (code == OK && !session_cut_limit(s, set, *is_uids, &search->lowest_uid)) code = UNAVAILABLE;
    return code;
}

result search_walk(struct search *search, bool is_back, search_match_fn *each, void *argument)
{
    struct session *s = search->s;
    struct walk w = {search, is_back, each, argument};
    struct imap_range all = {1, mailbox_view_count(s->view)};
    struct imap_set set = {.ranges = &all, .count = all.last ? 1 : 0};
    bool is_uids = false;
    result code = bounds_of(search, &set, &is_uids);
    if (code == OK) code = is_back ? session_walk_back(s, &set, is_uids, look_at_rows, &w) : session_walk(s, &set, is_uids, look_at_rows, &w);
    return code == END ? OK : code;
}
