/*
 * SEARCH arguments (RFC 9051 §6.4.4, RFC 3501 §6.4.4, RFC 5032, RFC 5182, RFC 7162 §3.1.5).
 *
 * Keys are read without recursion, on a stack of the keys that still want operands, so that depth costs
 * arena bytes and not stack. OR is associative: an OR inside an OR adds its operands to the outer one,
 * because clients write "OR a OR b OR c d" for long lists; such a chain stays one level deep.
 */
#include "base/check.h"
#include "formats/imap_grammar.h"
#include "formats/imap_write.h"

/* How a word is read: the argument that follows it. */
enum argument {
    ARGUMENT_NONE = 1,
    ARGUMENT_FLAG, ARGUMENT_NOT_FLAG,     /* none either: `detail` is the flag */
    ARGUMENT_NEW, ARGUMENT_OLD,           /* RFC 3501: RECENT and UNSEEN; not RECENT */
    ARGUMENT_KEYWORD, ARGUMENT_NOT_KEYWORD,
    ARGUMENT_TEXT, ARGUMENT_HEADER, ARGUMENT_SHORTHAND,
    ARGUMENT_DATE, ARGUMENT_NUMBER, ARGUMENT_SECONDS, ARGUMENT_SET, ARGUMENT_MODSEQ, ARGUMENT_OBJECTID, ARGUMENT_UID,
    ARGUMENT_KEY, ARGUMENT_TWO_KEYS,
};

static const struct search_word {
    view text;
    enum argument argument;
    unsigned detail;                      /* enum imap_search_kind, or the flag */
} search_words[] = {
    {VIEW_INIT("ALL"), ARGUMENT_NONE, IMAP_SEARCH_ALL},
    {VIEW_INIT("ANSWERED"), ARGUMENT_FLAG, IMAP_FLAG_ANSWERED},
    {VIEW_INIT("BCC"), ARGUMENT_SHORTHAND, IMAP_SEARCH_HEADER},
    {VIEW_INIT("BEFORE"), ARGUMENT_DATE, IMAP_SEARCH_BEFORE},
    {VIEW_INIT("BODY"), ARGUMENT_TEXT, IMAP_SEARCH_BODY},
    {VIEW_INIT("CC"), ARGUMENT_SHORTHAND, IMAP_SEARCH_HEADER},
    {VIEW_INIT("DELETED"), ARGUMENT_FLAG, IMAP_FLAG_DELETED},
    {VIEW_INIT("DRAFT"), ARGUMENT_FLAG, IMAP_FLAG_DRAFT},
    {VIEW_INIT("EMAILID"), ARGUMENT_OBJECTID, IMAP_SEARCH_EMAILID},
    {VIEW_INIT("FILTER"), ARGUMENT_OBJECTID, IMAP_SEARCH_FILTER},
    {VIEW_INIT("FLAGGED"), ARGUMENT_FLAG, IMAP_FLAG_FLAGGED},
    {VIEW_INIT("FROM"), ARGUMENT_SHORTHAND, IMAP_SEARCH_HEADER},
    {VIEW_INIT("FUZZY"), ARGUMENT_KEY, IMAP_SEARCH_FUZZY},
    {VIEW_INIT("HEADER"), ARGUMENT_HEADER, IMAP_SEARCH_HEADER},
    {VIEW_INIT("KEYWORD"), ARGUMENT_KEYWORD, IMAP_SEARCH_KEYWORD},
    {VIEW_INIT("LARGER"), ARGUMENT_NUMBER, IMAP_SEARCH_LARGER},
    {VIEW_INIT("MODSEQ"), ARGUMENT_MODSEQ, IMAP_SEARCH_MODSEQ},
    {VIEW_INIT("NEW"), ARGUMENT_NEW, 0},
    {VIEW_INIT("NOT"), ARGUMENT_KEY, IMAP_SEARCH_NOT},
    {VIEW_INIT("OLD"), ARGUMENT_OLD, 0},
    {VIEW_INIT("OLDER"), ARGUMENT_SECONDS, IMAP_SEARCH_OLDER},
    {VIEW_INIT("ON"), ARGUMENT_DATE, IMAP_SEARCH_ON},
    {VIEW_INIT("OR"), ARGUMENT_TWO_KEYS, IMAP_SEARCH_OR},
    {VIEW_INIT("RECENT"), ARGUMENT_FLAG, IMAP_FLAG_RECENT},
    {VIEW_INIT("SAVEDATESUPPORTED"), ARGUMENT_NONE, IMAP_SEARCH_SAVEDATE_SUPPORTED},
    {VIEW_INIT("SAVEDBEFORE"), ARGUMENT_DATE, IMAP_SEARCH_SAVEDBEFORE},
    {VIEW_INIT("SAVEDON"), ARGUMENT_DATE, IMAP_SEARCH_SAVEDON},
    {VIEW_INIT("SAVEDSINCE"), ARGUMENT_DATE, IMAP_SEARCH_SAVEDSINCE},
    {VIEW_INIT("SEEN"), ARGUMENT_FLAG, IMAP_FLAG_SEEN},
    {VIEW_INIT("SENTBEFORE"), ARGUMENT_DATE, IMAP_SEARCH_SENTBEFORE},
    {VIEW_INIT("SENTON"), ARGUMENT_DATE, IMAP_SEARCH_SENTON},
    {VIEW_INIT("SENTSINCE"), ARGUMENT_DATE, IMAP_SEARCH_SENTSINCE},
    {VIEW_INIT("SINCE"), ARGUMENT_DATE, IMAP_SEARCH_SINCE},
    {VIEW_INIT("SMALLER"), ARGUMENT_NUMBER, IMAP_SEARCH_SMALLER},
    {VIEW_INIT("SUBJECT"), ARGUMENT_SHORTHAND, IMAP_SEARCH_HEADER},
    {VIEW_INIT("TEXT"), ARGUMENT_TEXT, IMAP_SEARCH_TEXT},
    {VIEW_INIT("THREADID"), ARGUMENT_OBJECTID, IMAP_SEARCH_THREADID},
    {VIEW_INIT("TO"), ARGUMENT_SHORTHAND, IMAP_SEARCH_HEADER},
    {VIEW_INIT("UID"), ARGUMENT_SET, IMAP_SEARCH_UID},
    {VIEW_INIT("UIDAFTER"), ARGUMENT_UID, IMAP_SEARCH_UIDAFTER},
    {VIEW_INIT("UIDBEFORE"), ARGUMENT_UID, IMAP_SEARCH_UIDBEFORE},
    {VIEW_INIT("UNANSWERED"), ARGUMENT_NOT_FLAG, IMAP_FLAG_ANSWERED},
    {VIEW_INIT("UNDELETED"), ARGUMENT_NOT_FLAG, IMAP_FLAG_DELETED},
    {VIEW_INIT("UNDRAFT"), ARGUMENT_NOT_FLAG, IMAP_FLAG_DRAFT},
    {VIEW_INIT("UNFLAGGED"), ARGUMENT_NOT_FLAG, IMAP_FLAG_FLAGGED},
    {VIEW_INIT("UNKEYWORD"), ARGUMENT_NOT_KEYWORD, IMAP_SEARCH_KEYWORD},
    {VIEW_INIT("UNSEEN"), ARGUMENT_NOT_FLAG, IMAP_FLAG_SEEN},
    {VIEW_INIT("YOUNGER"), ARGUMENT_SECONDS, IMAP_SEARCH_YOUNGER},
};

static const struct imap_word return_words[] = {
    {VIEW_INIT("MIN"), IMAP_RETURN_MIN},     {VIEW_INIT("MAX"), IMAP_RETURN_MAX},   {VIEW_INIT("ALL"), IMAP_RETURN_ALL},
    {VIEW_INIT("COUNT"), IMAP_RETURN_COUNT}, {VIEW_INIT("SAVE"), IMAP_RETURN_SAVE}, {VIEW_INIT("PARTIAL"), IMAP_RETURN_PARTIAL},
    {VIEW_INIT("RELEVANCY"), IMAP_RETURN_RELEVANCY},
};

/* A key that takes operands, while they are read. */
struct frame {
    struct imap_search_key *key;
    struct imap_search_key **end;         /* where the next operand goes */
    size_t wanted;                        /* operands still to come; 0 in a list, which ends at ")" */
    bool is_list;
};

struct reader {
    struct imap_grammar *g;
    struct frame stack[IMAP_SEARCH_DEPTH_MAX];
    size_t depth, keys;
};

static struct imap_search_key *new_key(struct reader *r, enum imap_search_kind kind)
{
    if (r->keys == IMAP_SEARCH_KEYS_MAX) {
        imap_too_many(r->g, "fewer search keys");
        return NULL;
    }
    struct imap_search_key *key = arena_try_alloc(r->g->arena, sizeof *key);
    if (!key) {
        imap_too_many(r->g, "fewer search keys");
        return NULL;
    }
    r->keys++;
    key->kind = kind;
    return key;
}

static bool push(struct reader *r, struct imap_search_key *key, size_t wanted)
{
    if (r->depth == IMAP_SEARCH_DEPTH_MAX) return imap_too_many(r->g, "fewer nested search keys");
    r->stack[r->depth++] = (struct frame){.key = key, .end = &key->children, .wanted = wanted, .is_list = wanted == 0};
    return true;
}

static struct frame *top(struct reader *r)
{
    return &r->stack[r->depth - 1];
}

static void add_operand(struct reader *r, struct imap_search_key *key)
{
    struct frame *f = top(r);
    *f->end = key;
    f->end = &key->next;
    if (!f->is_list) f->wanted--;
}

static struct imap_search_key *negated(struct reader *r, struct imap_search_key *key)
{
    struct imap_search_key *negation = key ? new_key(r, IMAP_SEARCH_NOT) : NULL;
    if (negation) negation->children = key;
    return negation;
}

static struct imap_search_key *flag_key(struct reader *r, unsigned flag)
{
    struct imap_search_key *key = new_key(r, IMAP_SEARCH_FLAG);
    if (key) key->number = flag;
    return key;
}

/* NEW = RECENT UNSEEN */
static struct imap_search_key *new_mail_key(struct reader *r)
{
    struct imap_search_key *both = new_key(r, IMAP_SEARCH_AND);
    struct imap_search_key *recent = flag_key(r, IMAP_FLAG_RECENT), *unseen = negated(r, flag_key(r, IMAP_FLAG_SEEN));
    if (!both || !recent || !unseen) return NULL;
    both->children = recent;
    recent->next = unseen;
    return both;
}

/* search-modseq = "MODSEQ" [SP entry-name SP entry-type-req] SP mod-sequence-valzer; entries are not kept apart */
static bool take_modseq(struct imap_grammar *g, struct imap_search_key *key)
{
    view entry;
    if (cursor_peek(&g->at) == '"') {
        if (!imap_take_string(g, &entry) || !imap_take_space(g)) return imap_miss(g, "an entry name");
        if (!imap_take_word(g, VIEW("all")) && !imap_take_word(g, VIEW("priv")) && !imap_take_word(g, VIEW("shared")))
            return imap_miss(g, "an entry type");
        if (!imap_take_space(g)) return false;
    }
    return imap_take_number64(g, &key->number) || imap_miss(g, "a modification sequence");
}

static bool take_argument(struct imap_grammar *g, const struct search_word *word, struct imap_search_key *key)
{
    uint32_t seconds, uid;
    if (!imap_take_space(g)) return false;
    switch (word->argument) {
    case ARGUMENT_SHORTHAND:
        key->is_shorthand = true;
        key->field = word->text;
        return imap_take_astring(g, &key->text) || imap_miss(g, "a string");
    case ARGUMENT_HEADER:
        if (!imap_take_astring(g, &key->field)) return imap_miss(g, "a header name");
        if (!imap_take_space(g)) return false;
        return imap_take_astring(g, &key->text) || imap_miss(g, "a string");
    case ARGUMENT_TEXT: return imap_take_astring(g, &key->text) || imap_miss(g, "a string");
    case ARGUMENT_KEYWORD:
    case ARGUMENT_NOT_KEYWORD: return imap_take_atom(g, &key->text) || imap_miss(g, "a keyword");
    case ARGUMENT_OBJECTID: return imap_take_astring(g, &key->text) || imap_miss(g, "an id or a name");
    case ARGUMENT_DATE: return imap_take_date(g, &key->day);
    case ARGUMENT_NUMBER: return imap_take_number64(g, &key->number) || imap_miss(g, "a number");
    case ARGUMENT_SECONDS:
        if (!imap_take_nonzero(g, &seconds)) return imap_miss(g, "a number of seconds");
        key->number = seconds;
        return true;
    case ARGUMENT_UID:
        if (!imap_take_nonzero(g, &uid)) return imap_miss(g, "a UID");
        key->number = uid;
        return true;
    case ARGUMENT_SET: return imap_take_set(g, &key->set) || imap_miss(g, "a set of UIDs");
    case ARGUMENT_MODSEQ: return take_modseq(g, key);
    default: unreachable();
    }
}

static const struct search_word *take_search_word(struct imap_grammar *g)
{
    for (size_t i = 0; i < array_size(search_words); i++)
        if (imap_take_word(g, search_words[i].text)) return &search_words[i];
    return NULL;
}

/* A word that takes no other key. */
static struct imap_search_key *take_simple(struct reader *r, const struct search_word *word)
{
    switch (word->argument) {
    case ARGUMENT_NONE: return new_key(r, word->detail);
    case ARGUMENT_FLAG: return flag_key(r, word->detail);
    case ARGUMENT_NOT_FLAG: return negated(r, flag_key(r, word->detail));
    case ARGUMENT_NEW: return new_mail_key(r);
    case ARGUMENT_OLD: return negated(r, flag_key(r, IMAP_FLAG_RECENT));
    default: break;
    }
    struct imap_search_key *key = new_key(r, word->detail);
    if (!key || !take_argument(r->g, word, key)) return NULL;
    return word->argument == ARGUMENT_NOT_KEYWORD ? negated(r, key) : key;
}

/* An OR right inside an OR becomes more operands of the outer one. */
static bool open_or(struct reader *r)
{
    struct frame *f = top(r);
    if (!f->is_list && f->key->kind == IMAP_SEARCH_OR) {
        f->wanted++;
        return true;
    }
    struct imap_search_key *key = new_key(r, IMAP_SEARCH_OR);
    if (!key) return false;
    add_operand(r, key);
    return push(r, key, 2);
}

static bool open_key(struct reader *r, enum imap_search_kind kind, size_t wanted)
{
    struct imap_search_key *key = new_key(r, kind);
    if (!key) return false;
    add_operand(r, key);
    return push(r, key, wanted);
}

/* One key, or the beginning of one that takes operands (*ret_is_open). */
static bool take_key(struct reader *r, bool *ret_is_open)
{
    struct imap_grammar *g = r->g;
    struct imap_search_key *key = NULL;
    *ret_is_open = true;
    if (take_byte(&g->at, '(')) return open_key(r, IMAP_SEARCH_AND, 0);
    struct imap_set set;
    if (imap_take_set(g, &set)) {
        key = new_key(r, IMAP_SEARCH_SET);
        if (key) key->set = set;
    } else {
        const struct search_word *word = take_search_word(g);
        if (!word) return imap_miss(g, "a search key");
        if (word->argument == ARGUMENT_TWO_KEYS) return imap_take_space(g) && open_or(r);
        if (word->argument == ARGUMENT_KEY) return imap_take_space(g) && open_key(r, word->detail, 1);
        key = take_simple(r, word);
    }
    *ret_is_open = false;
    if (!key) return false;
    add_operand(r, key);
    return true;
}

/* Leaves the keys that have all their operands, and lists at their ")". */
static void close_keys(struct reader *r)
{
    while (r->depth > 1) {
        struct frame *f = top(r);
        if (f->is_list ? !take_byte(&r->g->at, ')') : f->wanted > 0) break;
        r->depth--;
    }
}

/* search-key *(SP search-key), up to the end of the command */
bool imap_take_search_keys(struct imap_grammar *g, struct imap_search_key **ret_root)
{
    struct reader r = {.g = g};
    bool is_open;
    struct imap_search_key *root = new_key(&r, IMAP_SEARCH_AND);
    if (!root || !push(&r, root, 0)) return false;
    do {
        do {
            if (!take_key(&r, &is_open)) return false;
        } while (is_open);
        close_keys(&r);
    } while (take_byte(&g->at, ' '));
    if (r.depth > 1) return imap_miss(g, top(&r)->is_list ? "\")\"" : "another search key");
    *ret_root = root;
    return true;
}

/* search-return-opts = SP "RETURN" SP "(" [search-return-opt *(SP search-return-opt)] ")" */
bool imap_take_search_return(struct imap_grammar *g, struct imap_search *search)
{
    if (!imap_take_word(g, VIEW("RETURN"))) return true;
    search->has_return = true;
    if (!imap_take_space(g) || !imap_take_open(g)) return false;
    if (!take_byte(&g->at, ')')) {
        do {
            unsigned option = imap_take_word_of(g, return_words, array_size(return_words));
            if (option == 0) return imap_miss(g, "a return option");
            search->want |= option;
            if (option == IMAP_RETURN_PARTIAL && (!imap_take_space(g) || !imap_take_partial(g, &search->partial))) return false;
        } while (take_byte(&g->at, ' '));
        if ((search->want & IMAP_RETURN_ALL) && (search->want & IMAP_RETURN_PARTIAL)) return imap_miss(g, "either ALL or PARTIAL");
        if (!imap_take_close(g)) return false;
    }
    if (search->want == 0 || (search->want & IMAP_RETURN_RELEVANCY && !(search->want & ~(unsigned)(IMAP_RETURN_RELEVANCY | IMAP_RETURN_SAVE))))
        search->want |= IMAP_RETURN_ALL;
    return imap_take_space(g);
}

/* search = "SEARCH" [search-return-opts] SP [charset SP] search-key *(SP search-key) */
bool imap_take_search(struct imap_grammar *g, struct imap_search *ret_search)
{
    struct imap_search search = {0};
    if (!imap_take_search_return(g, &search)) return false;
    if (imap_take_word(g, VIEW("CHARSET"))) {
        if (!imap_take_space(g) || !imap_take_astring(g, &search.charset)) return imap_miss(g, "a charset");
        if (!imap_take_space(g)) return false;
    }
    if (!imap_take_search_keys(g, &search.root)) return false;
    *ret_search = search;
    return true;
}

static const struct search_word *word_of(enum imap_search_kind kind, unsigned flag)
{
    for (size_t i = 0; i < array_size(search_words); i++) {
        const struct search_word *word = &search_words[i];
        if (kind == IMAP_SEARCH_FLAG) {
            if (word->argument == ARGUMENT_FLAG && word->detail == flag) return word;
        } else if (word->argument != ARGUMENT_FLAG && word->argument != ARGUMENT_NOT_FLAG &&
                   word->argument != ARGUMENT_NEW && word->argument != ARGUMENT_OLD && word->argument != ARGUMENT_SHORTHAND &&
                   word->argument != ARGUMENT_NOT_KEYWORD && word->detail == kind) {
            return word;
        }
    }
    unreachable();
}

static void write_key(struct imap_command_writer *w, const struct imap_search_key *key);

static void write_list(struct imap_command_writer *w, const struct imap_search_key *first)
{
    for (const struct imap_search_key *key = first; key; key = key->next) {
        if (key != first) buf_append_byte(w->out, ' ');
        write_key(w, key);
    }
}

static void write_or(struct imap_command_writer *w, const struct imap_search_key *or)
{
    for (const struct imap_search_key *key = or->children; key; key = key->next) {
        if (key->next) buf_append_cstr(w->out, "OR ");
        write_key(w, key);
        if (key->next) buf_append_byte(w->out, ' ');
    }
}

static void write_leaf(struct imap_command_writer *w, const struct imap_search_key *key)
{
    const struct search_word *word = word_of(key->kind, key->kind == IMAP_SEARCH_FLAG ? (unsigned)key->number : 0);
    buf_append(w->out, key->is_shorthand ? key->field : word->text);
    if (word->argument == ARGUMENT_NONE || word->argument == ARGUMENT_FLAG) return;
    buf_append_byte(w->out, ' ');
    switch (word->argument) {
    case ARGUMENT_HEADER:
        if (!key->is_shorthand) {
            imap_command_astring(w, key->field);
            buf_append_byte(w->out, ' ');
        }
        imap_command_string(w, key->text);
        break;
    case ARGUMENT_TEXT: imap_command_string(w, key->text); break;
    case ARGUMENT_KEYWORD: buf_append(w->out, key->text); break;
    case ARGUMENT_OBJECTID: imap_command_astring(w, key->text); break;
    case ARGUMENT_DATE: imap_command_date(w, key->day); break;
    case ARGUMENT_SET: imap_set_write(w->out, &key->set); break;
    default: buf_append_u64(w->out, key->number);
    }
}

/* Depth is bounded by IMAP_SEARCH_DEPTH_MAX. */
static void write_key(struct imap_command_writer *w, const struct imap_search_key *key)
{
    switch (key->kind) {
    case IMAP_SEARCH_AND:
        buf_append_byte(w->out, '(');
        write_list(w, key->children);
        buf_append_byte(w->out, ')');
        break;
    case IMAP_SEARCH_OR: write_or(w, key); break;
    case IMAP_SEARCH_NOT:
    case IMAP_SEARCH_FUZZY:
        buf_append_cstr(w->out, key->kind == IMAP_SEARCH_NOT ? "NOT " : "FUZZY ");
        write_list(w, key->children);
        break;
    case IMAP_SEARCH_SET: imap_set_write(w->out, &key->set); break;
    default: write_leaf(w, key);
    }
}

void imap_write_search_return(struct imap_command_writer *w, const struct imap_search *search)
{
    if (search->has_return) {
        const char *space = "";
        buf_append_cstr(w->out, "RETURN (");
        for (size_t i = 0; i < array_size(return_words); i++) {
            if (!(search->want & return_words[i].value)) continue;
            buf_append_cstr(w->out, space);
            buf_append(w->out, return_words[i].text);
            if (return_words[i].value == IMAP_RETURN_PARTIAL) {
                buf_append_byte(w->out, ' ');
                imap_write_partial(w->out, &search->partial);
            }
            space = " ";
        }
        buf_append_cstr(w->out, ") ");
    }
}

void imap_write_search_keys(struct imap_command_writer *w, const struct imap_search *search)
{
    write_list(w, search->root->children);
}

void imap_write_search(struct imap_command_writer *w, const struct imap_search *search)
{
    imap_write_search_return(w, search);
    if (search->charset.len) {
        buf_append_cstr(w->out, "CHARSET ");
        imap_command_astring(w, search->charset);
        buf_append_byte(w->out, ' ');
    }
    write_list(w, search->root->children);
}
