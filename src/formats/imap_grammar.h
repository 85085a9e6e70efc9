/*
 * imap_grammar: the tokens of IMAP (RFC 9051 §9) and what the grammar files of this room share.
 *
 * A grammar function returns true and moves, or returns false. The token functions do not move on
 * failure; those above them may, because a failure ends the parse: imap_miss() notes what was expected
 * where the parse got stuck, and the first note is what the client is told.
 */
#pragma once

#include "base/arena.h"
#include "base/cursor.h"
#include "formats/imap.h"

struct imap_grammar {
    struct cursor at;
    struct arena *arena;
    const char *expected;          /* what was missing first; NULL: nothing yet */
    size_t position;               /* and where */
    result code;                   /* INVALID, TOO_BIG or NOT_FOUND once `expected` is set */
};

/* Always false, for "return imap_miss(g, "a number")". */
bool imap_miss(struct imap_grammar *g, const char *expected);
bool imap_too_many(struct imap_grammar *g, const char *what);

bool imap_take_atom(struct imap_grammar *g, view *ret_atom);            /* 1*ATOM-CHAR */
bool imap_take_astring(struct imap_grammar *g, view *ret_string);
bool imap_take_string(struct imap_grammar *g, view *ret_string);        /* quoted or literal */
bool imap_take_nstring(struct imap_grammar *g, view *ret_string, bool *ret_is_nil);
bool imap_take_list_mailbox(struct imap_grammar *g, view *ret_pattern);
bool imap_take_tag(struct cursor *c, view *ret_tag);
bool imap_take_number64(struct imap_grammar *g, uint64_t *ret_number);  /* up to 2^63-1 */
bool imap_take_nonzero(struct imap_grammar *g, uint32_t *ret_number);
bool imap_take_set(struct imap_grammar *g, struct imap_set *ret_set);
bool imap_take_space(struct imap_grammar *g);
bool imap_take_open(struct imap_grammar *g);                            /* "(" */
bool imap_take_close(struct imap_grammar *g);                           /* ")" */
/* A literal's announcement "{n}", "{n+}" or "~{n}", without its CRLF. */
/* nstring or literal8: any octet. */
bool imap_take_value(struct imap_grammar *g, view *ret_value, bool *ret_is_nil);
bool imap_take_literal_header(struct cursor *c, struct imap_literal *ret_literal);

bool imap_take_flag(struct imap_grammar *g, struct imap_flags *flags);
bool imap_take_flag_list(struct imap_grammar *g, struct imap_flags *ret_flags);
bool imap_take_partial(struct imap_grammar *g, struct imap_partial *ret_partial);
bool imap_take_date(struct imap_grammar *g, int32_t *ret_day);          /* "1-Feb-1994", quoted or not */
bool imap_take_date_time(struct imap_grammar *g, struct date *ret_date);
bool imap_take_status_items(struct imap_grammar *g, unsigned *ret_items);
bool imap_take_special_use(struct imap_grammar *g, unsigned *use);

/* True, and moved past it, when the next token is exactly `word` in any case. */
bool imap_take_word(struct imap_grammar *g, view word);
/* The next token against a table of words: its bit or value; 0 when it is none of them (not moved). */
struct imap_word {
    view text;
    unsigned value;
};
unsigned imap_take_word_of(struct imap_grammar *g, const struct imap_word *words, size_t count);
view imap_word_text(const struct imap_word *words, size_t count, unsigned value);

/* Room for one more in an arena array of `count`; doubles. NULL when the arena is full. */
void *imap_grow(struct imap_grammar *g, void *array, size_t count, size_t size_bytes);

/* Arguments of the verbs, each in a file with its writer. */
bool imap_take_list(struct imap_grammar *g, struct imap_list *ret_list);
bool imap_take_lsub(struct imap_grammar *g, struct imap_list *ret_list);
bool imap_take_append(struct imap_grammar *g, struct imap_append *ret_append);
bool imap_take_replace(struct imap_grammar *g, struct imap_append *ret_append);
bool imap_take_append_message(struct imap_grammar *g, struct imap_append_message *ret_message);
bool imap_take_fetch(struct imap_grammar *g, struct imap_fetch *ret_fetch);
bool imap_take_search(struct imap_grammar *g, struct imap_search *ret_search);
bool imap_take_search_return(struct imap_grammar *g, struct imap_search *search);
/* search-key *(SP search-key) */
bool imap_take_search_keys(struct imap_grammar *g, struct imap_search_key **ret_root);
/* ALL, FAST, FULL, one item, or a list. */
bool imap_take_fetch_items(struct imap_grammar *g, struct imap_fetch *fetch);
bool imap_take_notify(struct imap_grammar *g, struct imap_notify *ret_notify);
bool imap_take_esearch(struct imap_grammar *g, struct imap_esearch *ret_esearch);
bool imap_take_sort(struct imap_grammar *g, struct imap_sort *ret_sort);
bool imap_take_thread(struct imap_grammar *g, struct imap_thread *ret_thread);
bool imap_take_store(struct imap_grammar *g, struct imap_store *ret_store);
bool imap_take_select(struct imap_grammar *g, struct imap_select *ret_select);
bool imap_take_uidbatches(struct imap_grammar *g, struct imap_uidbatches *ret_uidbatches);

bool imap_take_getmetadata(struct imap_grammar *g, struct imap_metadata *ret_metadata);
bool imap_take_setmetadata(struct imap_grammar *g, struct imap_metadata *ret_metadata);
/* "(" entry *(SP entry) ")", or one alone */
bool imap_take_entries(struct imap_grammar *g, struct imap_metadata *metadata);

/* What the writers share. */
struct imap_command_writer {
    buf *out;
    bool literal_plus;
};
void imap_command_string(struct imap_command_writer *w, view text);     /* always quoted or literal */
void imap_command_astring(struct imap_command_writer *w, view text);    /* an atom where it can be */
void imap_command_date(struct imap_command_writer *w, int32_t day);
void imap_command_status_items(struct imap_command_writer *w, unsigned items);
void imap_command_special_use(struct imap_command_writer *w, unsigned use);
void imap_write_list(struct imap_command_writer *w, const struct imap_list *list);
void imap_write_append(struct imap_command_writer *w, const struct imap_append *append);
void imap_write_fetch(struct imap_command_writer *w, const struct imap_fetch *fetch);
void imap_write_search(struct imap_command_writer *w, const struct imap_search *search);
void imap_write_search_return(struct imap_command_writer *w, const struct imap_search *search);
void imap_write_search_keys(struct imap_command_writer *w, const struct imap_search *search);
void imap_write_notify(struct imap_command_writer *w, const struct imap_notify *notify);
void imap_write_esearch(struct imap_command_writer *w, const struct imap_esearch *esearch);
void imap_write_sort(struct imap_command_writer *w, const struct imap_sort *sort);
void imap_write_thread(struct imap_command_writer *w, const struct imap_thread *thread);
void imap_write_store(struct imap_command_writer *w, const struct imap_store *store);
void imap_write_select(struct imap_command_writer *w, const struct imap_select *select);
void imap_write_getmetadata(struct imap_command_writer *w, const struct imap_metadata *m);
void imap_write_setmetadata(struct imap_command_writer *w, const struct imap_metadata *m);
void imap_write_entries(struct imap_command_writer *w, const struct imap_metadata *m);
void imap_write_uidbatches(struct imap_command_writer *w, const struct imap_uidbatches *u);
