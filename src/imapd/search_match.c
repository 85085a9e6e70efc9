#include "imapd/search_match.h"

#include "base/check.h"
#include "formats/date.h"
#include "formats/header.h"
#include "formats/mime.h"
#include "runtime/workers.h"

enum {
    ARENA_BYTES_MAX = MIME_ARENA_BYTES_ENOUGH + (4 << 20),
    HEADER_BYTES_MAX = 1 << 20,              /* of a large message's header that is looked at */
    READS_BEFORE_INDEX = 4,                  /* of messages that are at hand */
    STEM_BYTES_MIN = 4,                      /* of an English word, when its ending is left out */
    SCORE_ELSEWHERE = 30,
    NEEDLES_PER_DECODING = 8,                /* looking for one takes an eighth of what decoding takes, or less */
    INDEXED_TEXTS_MAX = 64,                  /* of one command: some kilobytes for each ten thousand messages */
};

enum verdict { REFUSED, MET, LATER };        /* LATER: a later stage must say */

/* What is known of the message so far. */
struct candidate {
    struct search *search;
    uint32_t number;
    const struct row *row;
    struct message *message;
    struct arena *arena;
    bool has_header;                         /* then the texts' criteria know what is in it */
    char thread[THREAD_ID_BYTES];            /* of the header, once it was asked for; empty: it was not */
    view header, whole;
};

static enum verdict verdict_of(bool is_met) { return is_met ? MET : REFUSED; }

/* ---- text ---- */

/* HEADER field text: any field of that name; an empty text asks whether there is one (RFC 9051 §6.4.4). */
static bool header_has(struct candidate *c, view header, view name, view needle)
{
    struct header_field field;
    while (header_next(&header, &field)) {
        if (!view_equal_nocase(field.name, name)) continue;
        if (needle.len == 0 || view_find_view(message_field_text(&c->search->text, &field), needle) != VIEW_NONE) return true;
    }
    return false;
}

/* ---- texts of one message: for all criteria at once, so that it is decoded once ---- */

/* A worker may run it: it touches the criteria of texts, the scratch and the bytes. */
struct reading {
    struct search *search;
    struct candidate *candidate;
    view header, whole;
    bool with_bodies;                        /* `whole` too: then nothing stays open */
};

static bool is_open(const struct criterion *k) { return k->is_wanted && !k->is_met && !k->is_refused; }

static bool may_be_in(const struct criterion *k, enum message_zone zone)
{
    return is_open(k) && (k->kind == IMAP_SEARCH_TEXT || (k->kind == IMAP_SEARCH_BODY && zone == ZONE_BODY));
}

/* False: nothing is looked for any more. */
static bool look_into_piece(void *argument, const struct message_piece *piece)
{
    const struct reading *g = argument;
    bool is_any_open = false;
    for (struct criterion *k = g->search->texts; k; k = k->next_text) {
        if (may_be_in(k, piece->zone)) k->is_met = view_find_view(piece->text, k->needle) != VIEW_NONE;
        is_any_open |= is_open(k);
    }
    return is_any_open;
}

static bool any_wants(const struct search *search, enum imap_search_kind kind)
{
    for (const struct criterion *k = search->texts; k; k = k->next_text)
        if (is_open(k) && k->kind == kind) return true;
    return false;
}

static void read_header_texts(struct reading *g)
{
    for (struct criterion *k = g->search->texts; k; k = k->next_text) {
        if (!is_open(k) || k->kind != IMAP_SEARCH_HEADER) continue;
        k->is_met = header_has(g->candidate, g->header, k->field, k->needle);
        k->is_refused = !k->is_met;
    }
    if (any_wants(g->search, IMAP_SEARCH_TEXT)) (void)message_text_header(&g->search->text, g->header, look_into_piece, g);
}

static void read_body_texts(struct reading *g)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, MIME_ARENA_BYTES_ENOUGH);     /* its own: keys have spent of the message's */
    const struct mime_part *root = mime_parse(g->whole, arena);
    check(root);
    bool with_fields = any_wants(g->search, IMAP_SEARCH_TEXT);
    if (with_fields) (void)message_text_parts(&g->search->text, g->whole, root, look_into_piece, g);
    else (void)message_text_bodies(&g->search->text, g->whole, root, look_into_piece, g);
    for (struct criterion *k = g->search->texts; k; k = k->next_text) k->is_refused = !k->is_met;
}

static void read_texts(void *argument)
{
    struct reading *g = argument;
    read_header_texts(g);
    if (g->with_bodies) read_body_texts(g);
}

/* What a large message was decoded into goes again here: the loop would wait for the system to take it back. */
static void read_large_texts(void *argument)
{
    struct reading *g = argument;
    read_texts(g);
    if (g->whole.len >= WORKER_FREE_BYTES) message_text_done(&g->search->text);
}

/* A large message keeps a worker busy, and nobody else. */
MAY_YIELD static result look_into(struct candidate *c, struct reading *g, struct fault *fault)
{
    size_t bytes = g->header.len + g->whole.len, open = 0;
    for (const struct criterion *k = c->search->texts; k; k = k->next_text) open += is_open(k);
    if (bytes > SESSION_BYTES_PER_TURN || bytes * open > SESSION_BYTES_PER_TURN * NEEDLES_PER_DECODING) return session_on_worker(c->search->s, read_large_texts, g, fault);
    read_texts(g);
    return OK;
}

/* ---- criteria ---- */

static enum verdict judge(struct candidate *c, const struct criterion *k);

static enum verdict judge_all(struct candidate *c, const struct criterion *first)
{
    enum verdict all = MET;
    for (const struct criterion *k = first; k; k = k->next) {
        enum verdict one = judge(c, k);
        if (one == REFUSED) return REFUSED;
        if (one == LATER) all = LATER;
    }
    return all;
}

static enum verdict judge_any(struct candidate *c, const struct criterion *first)
{
    enum verdict any = REFUSED;
    for (const struct criterion *k = first; k; k = k->next) {
        enum verdict one = judge(c, k);
        if (one == MET) return MET;
        if (one == LATER) any = LATER;
    }
    return any;
}

static enum verdict judge_not(struct candidate *c, const struct criterion *k)
{
    enum verdict of = judge(c, k->children);
    return of == LATER ? LATER : verdict_of(of == REFUSED);
}

static enum verdict judge_sent(struct candidate *c, const struct criterion *k)
{
    struct header_field field;
    struct date date;
    if (!c->has_header) return LATER;
    if (!header_find(c->header, VIEW("Date"), &field) || !date_parse(field.value, &date)) return REFUSED;
    int32_t day = date_day(date);
    if (k->kind == IMAP_SEARCH_SENTBEFORE) return verdict_of(day < k->day);
    return verdict_of(k->kind == IMAP_SEARCH_SENTON ? day == k->day : day >= k->day);
}

static enum verdict judge_flag(struct candidate *c, const struct criterion *k)
{
    if (k->is_recent) return verdict_of(session_is_recent(c->search->s, c->row->uid));
    return verdict_of((c->row->flags & k->number) != 0);
}

/* Only the fields that have a zone of their own are told apart by the index. */
static bool is_exact(const struct criterion *k) { return k->kind != IMAP_SEARCH_HEADER || message_zone_of(k->field) != ZONE_OTHER; }

static enum verdict judge_by_index(const struct candidate *c, const struct criterion *k)
{
    switch (search_hits_verdict(k->hits, c->row)) {
    case SEARCH_NO: return REFUSED;
    case SEARCH_YES: return is_exact(k) ? MET : LATER;
    case SEARCH_MAYBE: return LATER;
    }
    unreachable();
}

static enum verdict judge_message(struct candidate *c, const struct criterion *k)
{
    if (k->needle.len == 0 && k->kind != IMAP_SEARCH_HEADER) return MET;
    if (!c->has_header) return k->hits ? judge_by_index(c, k) : LATER;
    if (k->needle.len == 0) return verdict_of(header_has(c, c->header, k->field, k->needle));
    return k->is_met ? MET : k->is_refused ? REFUSED : LATER;
}

/* The message will be read for the texts of which the index is not sure. */
static void begin_texts(struct candidate *c)
{
    for (struct criterion *k = c->search->texts; k; k = k->next_text) {
        enum verdict known = k->hits ? judge_by_index(c, k) : LATER;
        k->is_wanted = known == LATER;
        k->is_met = known == MET;
        k->is_refused = known == REFUSED;
    }
}

static enum verdict judge_thread(struct candidate *c, const struct criterion *k)
{
    if (!c->has_header) return LATER;
    if (!c->thread[0]) (void)message_thread_id(c->header, c->row, c->arena, c->thread);
    return verdict_of(view_equal(view_of(c->thread), k->needle));
}

static enum verdict judge_age(struct candidate *c, const struct criterion *k)
{
    int64_t age_s = (c->search->now.ms - c->row->internal_date.ms) / 1000;
    bool is_younger = age_s <= (int64_t)k->number;
    return verdict_of(k->kind == IMAP_SEARCH_YOUNGER ? is_younger : age_s >= (int64_t)k->number);
}

static bool is_emailid(const struct row *row, view id)
{
    char text[ID_TEXT_LEN + 1];
    return id.len > 1 && id.at[0] == 'M' && view_equal(view_from(id, 1), id_text(row->message, text));
}

/* Recursion is bounded by IMAP_SEARCH_DEPTH_MAX. */
static enum verdict judge(struct candidate *c, const struct criterion *k)
{
    const struct row *row = c->row;
    switch (k->kind) {
    case IMAP_SEARCH_FUZZY:
    case IMAP_SEARCH_FILTER:
    case IMAP_SEARCH_AND: return judge_all(c, k->children);
    case IMAP_SEARCH_OR: return judge_any(c, k->children);
    case IMAP_SEARCH_NOT: return judge_not(c, k);
    case IMAP_SEARCH_SAVEDATE_SUPPORTED:
    case IMAP_SEARCH_ALL: return MET;
    case IMAP_SEARCH_EMAILID: return verdict_of(is_emailid(row, k->needle));
    case IMAP_SEARCH_THREADID: return judge_thread(c, k);
    case IMAP_SEARCH_FLAG:
    case IMAP_SEARCH_KEYWORD: return judge_flag(c, k);
    case IMAP_SEARCH_SET: return verdict_of(imap_set_has(&k->set, c->number));
    case IMAP_SEARCH_UID: return verdict_of(imap_set_has(&k->set, row->uid));
    case IMAP_SEARCH_UIDAFTER: return verdict_of(row->uid > k->number);
    case IMAP_SEARCH_UIDBEFORE: return verdict_of(row->uid < k->number);
    case IMAP_SEARCH_LARGER: return verdict_of(row->size_bytes > k->number);
    case IMAP_SEARCH_SMALLER: return verdict_of(row->size_bytes < k->number);
    case IMAP_SEARCH_MODSEQ: return verdict_of(row->modseq >= k->number);
    case IMAP_SEARCH_BEFORE: return verdict_of(date_day((struct date){row->internal_date, 0}) < k->day);
    case IMAP_SEARCH_ON: return verdict_of(date_day((struct date){row->internal_date, 0}) == k->day);
    case IMAP_SEARCH_SINCE: return verdict_of(date_day((struct date){row->internal_date, 0}) >= k->day);
    case IMAP_SEARCH_SAVEDBEFORE: return verdict_of(date_day((struct date){row->save_date, 0}) < k->day);
    case IMAP_SEARCH_SAVEDON: return verdict_of(date_day((struct date){row->save_date, 0}) == k->day);
    case IMAP_SEARCH_SAVEDSINCE: return verdict_of(date_day((struct date){row->save_date, 0}) >= k->day);
    case IMAP_SEARCH_SENTBEFORE:
    case IMAP_SEARCH_SENTON:
    case IMAP_SEARCH_SENTSINCE: return judge_sent(c, k);
    case IMAP_SEARCH_OLDER:
    case IMAP_SEARCH_YOUNGER: return judge_age(c, k);
    case IMAP_SEARCH_HEADER:
    case IMAP_SEARCH_BODY:
    case IMAP_SEARCH_TEXT: return judge_message(c, k);
    }
    unreachable();
}

/* ---- stages ---- */

MAY_YIELD static result load_header(struct candidate *c, struct fault *fault)
{
    struct session *s = c->search->s;
    view bytes, body;
    result code = message_open(s->account, mailbox_view_mailbox(s->view), c->row, session_store_deadline(s), &c->message, fault);
    if (code != OK) return code;
    size_t want = message_size(c->message) < HEADER_BYTES_MAX ? (size_t)message_size(c->message) : HEADER_BYTES_MAX;
    code = message_read(c->message, 0, want, session_store_deadline(s), &bytes, fault);
    if (code != OK) return code;
    header_split(bytes, &c->header, &body);
    if (want < message_size(c->message)) c->header = arena_keep(c->arena, c->header);
    begin_texts(c);
    c->has_header = true;
    return OK;
}

MAY_YIELD static result read_header(struct candidate *c, struct fault *fault)
{
    struct reading g = {.search = c->search, .candidate = c, .header = c->header};
    return look_into(c, &g, fault);
}

/* A header that was read already is not read again, unless only its beginning was. */
MAY_YIELD static result read_whole(struct candidate *c, struct fault *fault)
{
    struct reading g = {.search = c->search, .candidate = c, .with_bodies = true};
    view header, body;
    result code = message_whole(c->message, session_store_deadline(c->search->s), &g.whole, fault);
    if (code != OK) return code;
    header_split(g.whole, &header, &body);
    if (g.whole.len > HEADER_BYTES_MAX) g.header = header;
    else c->header = header;
    c->thread[0] = 0;
    return look_into(c, &g, fault);
}

/* Later stages, until one can say. */
MAY_YIELD static result judge_by_reading(struct candidate *c, bool *ret_matches, struct fault *fault)
{
    enum verdict verdict = LATER;
    result code = load_header(c, fault);
    if (code == OK) verdict = judge(c, c->search->root);
    if (code == OK && verdict == LATER) code = read_header(c, fault);
    if (code == OK && verdict == LATER) verdict = judge(c, c->search->root);
    if (code == OK && verdict == LATER) {
        code = read_whole(c, fault);
        if (code == OK) verdict = judge(c, c->search->root);
    }
    *ret_matches = code == OK && verdict == MET;
    return code;
}

/* ---- the index ---- */

static unsigned zones_of(const struct criterion *k)
{
    if (k->kind == IMAP_SEARCH_TEXT) return (1u << ZONES) - 1;
    return 1u << (k->kind == IMAP_SEARCH_BODY ? ZONE_BODY : message_zone_of(k->field));
}

/* What it cannot say, messages must. */
MAY_YIELD static void ask_index(struct search *search)
{
    unsigned texts = 0;
    search->has_asked = true;
    for (struct criterion *k = search->texts; k && texts < INDEXED_TEXTS_MAX; k = k->next_text, texts++) {
        struct fault fault;
        if (account_search(search->s->account, zones_of(k), k->needle, session_store_deadline(search->s), &k->hits, &fault) != OK) k->hits = NULL;
    }
}

static bool wants_index(struct search *search)
{
    if (!search->texts || search->has_asked) return false;
    return search->reads++ >= READS_BEFORE_INDEX || account_has_archive(search->s->account);
}

/* A message whose row and hits do not decide. */
MAY_YIELD static result match_by_reading(struct candidate *c, bool *ret_matches)
{
    struct search *search = c->search;
    struct fault fault = {0};
    c->arena = arena_new(NULL, ARENA_BYTES_MAX);
    result code = judge_by_reading(c, ret_matches, &fault);
    if (code != OK && code != NOT_FOUND && search->code == OK) {
        search->code = code;
        search->fault = fault;
    }
    if (c->message) message_close(c->message);
    arena_free(c->arena);
    code = session_note_progress(search->s, 0);      /* messages that must be read are slow: some hundred of them are too many between looks at the clock */
    return code == OK ? session_breathe(search->s) : code;
}

result search_matches(struct search *search, uint32_t number, const struct row *row, bool *ret_matches)
{
    struct candidate c = {.search = search, .number = number, .row = row};
    enum verdict verdict = judge(&c, search->root);
    if (verdict == LATER && wants_index(search)) {
        ask_index(search);
        verdict = judge(&c, search->root);
    }
    *ret_matches = verdict == MET;
    return verdict == LATER ? match_by_reading(&c, ret_matches) : OK;
}

/* ---- fuzzy searches ---- */

static bool is_space_at(view text, size_t *ret_bytes)
{
    *ret_bytes = view_starts(text, VIEW("\xe3\x80\x80")) ? 3 : 1;      /* U+3000 */
    return *ret_bytes == 3 || (unsigned char)text.at[0] <= ' ';
}

static view without_ending(view word)
{
    static const view endings[] = {VIEW_INIT("ing"), VIEW_INIT("ed"), VIEW_INIT("es"), VIEW_INIT("s")};
    for (size_t i = 0; i < word.len; i++)
        if (!ascii_is_alpha(word.at[i])) return word;
    for (size_t i = 0; i < array_size(endings); i++)
        if (view_ends(word, endings[i]) && word.len >= endings[i].len + STEM_BYTES_MIN) return view_slice(word, 0, word.len - endings[i].len);
    return word;
}

bool fuzzy_take_word(view *needle, view *ret_word)
{
    size_t bytes, end = 0;
    while (needle->len && is_space_at(*needle, &bytes)) *needle = view_from(*needle, bytes);
    if (needle->len == 0) return false;
    while (end < needle->len && !is_space_at(view_from(*needle, end), &bytes)) end++;
    *ret_word = without_ending(view_slice(*needle, 0, end));
    *needle = view_from(*needle, end);
    return true;
}

MAY_YIELD static void ask_near(struct search *search)
{
    struct fault fault;
    search->has_asked_near = true;
    for (struct criterion *k = search->texts; k; k = k->next_text) {
        if (!k->is_fuzzy) continue;
        unsigned zones = 1u << ZONE_SUBJECT | 1u << ZONE_FROM;
        if (account_search(search->s->account, zones, k->needle, session_store_deadline(search->s), &k->near, &fault) != OK) k->near = NULL;
    }
}

/* The header is read when the index does not know. */
MAY_YIELD static bool is_near(struct candidate *c, const struct criterion *k)
{
    enum search_verdict verdict = k->near ? search_hits_verdict(k->near, c->row) : SEARCH_MAYBE;
    struct fault fault;
    if (verdict != SEARCH_MAYBE) return verdict == SEARCH_YES;
    if (!c->arena) c->arena = arena_new(NULL, ARENA_BYTES_MAX);
    if (!c->has_header && load_header(c, &fault) != OK) return false;
    return header_has(c, c->header, VIEW("Subject"), k->needle) || header_has(c, c->header, VIEW("From"), k->needle);
}

unsigned search_score(struct search *search, const struct row *row)
{
    struct candidate c = {.search = search, .row = row};
    unsigned words = 0, score = 0;
    if (!search->has_asked_near) ask_near(search);
    for (const struct criterion *k = search->texts; k; k = k->next_text) {
        if (!k->is_fuzzy) continue;
        words++;
        score += is_near(&c, k) ? 100 : SCORE_ELSEWHERE;
    }
    if (c.message) message_close(c.message);
    arena_free(c.arena);
    return words ? score / words : 100;
}
