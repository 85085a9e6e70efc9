/*
 * LIST and LSUB arguments (RFC 9051 §6.3.9, RFC 5258, RFC 5819, RFC 6154; LSUB: RFC 3501 §6.3.9).
 */
#include "base/check.h"
#include "formats/imap_grammar.h"

static const struct imap_word select_words[] = {
    {VIEW_INIT("SUBSCRIBED"), IMAP_LIST_SUBSCRIBED},
    {VIEW_INIT("REMOTE"), IMAP_LIST_REMOTE},
    {VIEW_INIT("RECURSIVEMATCH"), IMAP_LIST_RECURSIVEMATCH},
    {VIEW_INIT("SPECIAL-USE"), IMAP_LIST_SPECIAL_USE},
};

static const struct imap_word return_words[] = {
    {VIEW_INIT("SUBSCRIBED"), IMAP_LIST_SUBSCRIBED},
    {VIEW_INIT("CHILDREN"), IMAP_LIST_CHILDREN},
    {VIEW_INIT("SPECIAL-USE"), IMAP_LIST_SPECIAL_USE},
    {VIEW_INIT("STATUS"), IMAP_LIST_STATUS},
    {VIEW_INIT("METADATA"), IMAP_LIST_METADATA},
};

/* list-select-opts = "(" [list-select-opt *(SP list-select-opt)] ")"; RECURSIVEMATCH needs a base option */
static bool take_select(struct imap_grammar *g, struct imap_list *list)
{
    if (!take_byte(&g->at, '(')) return true;
    list->is_extended = true;
    if (!take_byte(&g->at, ')')) {
        do {
            unsigned option = imap_take_word_of(g, select_words, array_size(select_words));
            if (option == 0) return imap_miss(g, "a selection option");
            list->select |= option;
        } while (take_byte(&g->at, ' '));
        if (!imap_take_close(g)) return false;
    }
    if ((list->select & IMAP_LIST_RECURSIVEMATCH) && !(list->select & (IMAP_LIST_SUBSCRIBED | IMAP_LIST_SPECIAL_USE)))
        return imap_miss(g, "SUBSCRIBED or SPECIAL-USE beside RECURSIVEMATCH");
    return imap_take_space(g);
}

static bool add_pattern(struct imap_grammar *g, struct imap_list *list)
{
    view pattern;
    if (!imap_take_list_mailbox(g, &pattern)) return imap_miss(g, "a mailbox pattern");
    if (list->pattern_count == IMAP_LIST_PATTERNS_MAX) return imap_too_many(g, "fewer patterns");
    view *patterns = imap_grow(g, list->patterns, list->pattern_count, sizeof *patterns);
    if (!patterns) return false;
    list->patterns = patterns;
    list->patterns[list->pattern_count++] = pattern;
    return true;
}

/* mbox-or-pat = list-mailbox / "(" list-mailbox *(SP list-mailbox) ")" */
static bool take_patterns(struct imap_grammar *g, struct imap_list *list)
{
    if (!take_byte(&g->at, '(')) return add_pattern(g, list);
    list->is_extended = true;
    do {
        if (!add_pattern(g, list)) return false;
    } while (take_byte(&g->at, ' '));
    return imap_take_close(g);
}

/* list-return-opts = "RETURN" SP "(" [return-option *(SP return-option)] ")" */
static bool take_return(struct imap_grammar *g, struct imap_list *list)
{
    if (!take_view_nocase(&g->at, VIEW(" RETURN "))) return true;
    list->is_extended = true;
    if (!imap_take_open(g)) return false;
    if (take_byte(&g->at, ')')) return true;
    do {
        unsigned option = imap_take_word_of(g, return_words, array_size(return_words));
        if (option == 0) return imap_miss(g, "a return option");
        list->want |= option;
        if (option == IMAP_LIST_STATUS && (!imap_take_space(g) || !imap_take_status_items(g, &list->status_items))) return false;
        if (option == IMAP_LIST_METADATA && (!imap_take_space(g) || !imap_take_entries(g, &list->metadata))) return false;
    } while (take_byte(&g->at, ' '));
    return imap_take_close(g);
}

bool imap_take_list(struct imap_grammar *g, struct imap_list *ret_list)
{
    struct imap_list list = {0};
    if (!take_select(g, &list)) return false;
    if (!imap_take_astring(g, &list.reference)) return imap_miss(g, "a reference name");
    if (!imap_take_space(g) || !take_patterns(g, &list) || !take_return(g, &list)) return false;
    *ret_list = list;
    return true;
}

bool imap_take_lsub(struct imap_grammar *g, struct imap_list *ret_list)
{
    struct imap_list list = {0};
    if (!imap_take_astring(g, &list.reference)) return imap_miss(g, "a reference name");
    if (!imap_take_space(g) || !add_pattern(g, &list)) return false;
    *ret_list = list;
    return true;
}

static void write_options(buf *out, unsigned options, const struct imap_word *words, size_t count)
{
    const char *space = "";
    for (size_t i = 0; i < count; i++) {
        if (!(options & words[i].value)) continue;
        buf_append_cstr(out, space);
        buf_append(out, words[i].text);
        space = " ";
    }
}

void imap_write_list(struct imap_command_writer *w, const struct imap_list *list)
{
    if (list->is_extended) {
        buf_append_byte(w->out, '(');
        write_options(w->out, list->select, select_words, array_size(select_words));
        buf_append_cstr(w->out, ") ");
    }
    imap_command_string(w, list->reference);
    buf_append_cstr(w->out, list->is_extended ? " (" : " ");
    for (size_t i = 0; i < list->pattern_count; i++) {
        if (i) buf_append_byte(w->out, ' ');
        imap_command_string(w, list->patterns[i]);
    }
    if (!list->is_extended) return;
    buf_append_cstr(w->out, ") RETURN (");
    const char *space = "";
    for (size_t i = 0; i < array_size(return_words); i++) {
        if (!(list->want & return_words[i].value)) continue;
        buf_append_cstr(w->out, space);
        buf_append(w->out, return_words[i].text);
        space = " ";
        if (return_words[i].value < IMAP_LIST_STATUS) continue;
        buf_append_byte(w->out, ' ');
        if (return_words[i].value == IMAP_LIST_STATUS) imap_command_status_items(w, list->status_items);
        else imap_write_entries(w, &list->metadata);
    }
    buf_append_byte(w->out, ')');
}
