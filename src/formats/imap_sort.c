/*
 * Arguments of SORT and THREAD (RFC 5256 §5, RFC 5267 §3, RFC 5957 §5).
 */
#include "base/check.h"
#include "formats/imap_grammar.h"

static const struct imap_word sort_words[] = {
    {VIEW_INIT("ARRIVAL"), IMAP_SORT_ARRIVAL}, {VIEW_INIT("CC"), IMAP_SORT_CC},           {VIEW_INIT("DATE"), IMAP_SORT_DATE},
    {VIEW_INIT("FROM"), IMAP_SORT_FROM},       {VIEW_INIT("SIZE"), IMAP_SORT_SIZE},       {VIEW_INIT("SUBJECT"), IMAP_SORT_SUBJECT},
    {VIEW_INIT("TO"), IMAP_SORT_TO},           {VIEW_INIT("DISPLAYFROM"), IMAP_SORT_DISPLAYFROM},
    {VIEW_INIT("DISPLAYTO"), IMAP_SORT_DISPLAYTO}, {VIEW_INIT("RELEVANCY"), IMAP_SORT_RELEVANCY},
};

static const struct imap_word thread_words[] = {
    {VIEW_INIT("ORDEREDSUBJECT"), IMAP_THREAD_ORDEREDSUBJECT},
    {VIEW_INIT("REFERENCES"), IMAP_THREAD_REFERENCES},
    {VIEW_INIT("REFS"), IMAP_THREAD_REFS},
};

/* sort-criterion = ["REVERSE" SP] sort-key */
static bool take_criterion(struct imap_grammar *g, struct imap_sort *sort)
{
    struct imap_sort_criterion criterion = {.is_reverse = imap_take_word(g, VIEW("REVERSE"))};
    if (criterion.is_reverse && !imap_take_space(g)) return false;
    criterion.key = imap_take_word_of(g, sort_words, array_size(sort_words));
    if (!criterion.key) return imap_miss(g, "a sort key");
    if (sort->count == IMAP_SORT_CRITERIA_MAX) return imap_too_many(g, "fewer sort keys");
    struct imap_sort_criterion *criteria = imap_grow(g, sort->criteria, sort->count, sizeof *criteria);
    if (!criteria) return false;
    sort->criteria = criteria;
    sort->criteria[sort->count++] = criterion;
    return true;
}

/* search-criteria = charset 1*(SP search-key) */
static bool take_search_criteria(struct imap_grammar *g, struct imap_search *search)
{
    if (!imap_take_astring(g, &search->charset)) return imap_miss(g, "a charset");
    return imap_take_space(g) && imap_take_search_keys(g, &search->root);
}

static void write_search_criteria(struct imap_command_writer *w, const struct imap_search *search)
{
    imap_command_astring(w, search->charset);
    buf_append_byte(w->out, ' ');
    imap_write_search_keys(w, search);
}

/* sort = "SORT" [SP search-return-opts] SP "(" sort-criterion *(SP sort-criterion) ")" SP search-criteria */
bool imap_take_sort(struct imap_grammar *g, struct imap_sort *ret_sort)
{
    struct imap_sort sort = {0};
    if (!imap_take_search_return(g, &sort.search) || !imap_take_open(g)) return false;
    do {
        if (!take_criterion(g, &sort)) return false;
    } while (take_byte(&g->at, ' '));
    if (!imap_take_close(g) || !imap_take_space(g) || !take_search_criteria(g, &sort.search)) return false;
    *ret_sort = sort;
    return true;
}

void imap_write_sort(struct imap_command_writer *w, const struct imap_sort *sort)
{
    imap_write_search_return(w, &sort->search);
    for (size_t i = 0; i < sort->count; i++) {
        buf_append_byte(w->out, i ? ' ' : '(');
        if (sort->criteria[i].is_reverse) buf_append_cstr(w->out, "REVERSE ");
        buf_append(w->out, imap_word_text(sort_words, array_size(sort_words), sort->criteria[i].key));
    }
    buf_append_cstr(w->out, ") ");
    write_search_criteria(w, &sort->search);
}

/* thread = "THREAD" SP thread-alg SP search-criteria */
bool imap_take_thread(struct imap_grammar *g, struct imap_thread *ret_thread)
{
    struct imap_thread thread = {.algorithm = imap_take_word_of(g, thread_words, array_size(thread_words))};
    if (!thread.algorithm) return imap_miss(g, "a threading algorithm");
    if (!imap_take_space(g) || !take_search_criteria(g, &thread.search)) return false;
    *ret_thread = thread;
    return true;
}

void imap_write_thread(struct imap_command_writer *w, const struct imap_thread *thread)
{
    buf_append(w->out, imap_word_text(thread_words, array_size(thread_words), thread->algorithm));
    buf_append_byte(w->out, ' ');
    write_search_criteria(w, &thread->search);
}
