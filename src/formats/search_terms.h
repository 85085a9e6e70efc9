/*
 * search_terms: what an index keeps of a text, and what it must be asked for a needle. doc/decisions/0007-search-index.md
 *
 * A search asks for substrings. Folded text is cut into tokens; whatever stands between them is not indexed.
 *   word      letters and digits of scripts with spaces; one of @ . - ' + & between two of them joins ("taro@example.jp" is one word).
 *             Long ones are kept in pieces that overlap.
 *   CJK run   Han, kana, Hangul. Kept as all pairs of neighbours (alone: one character), and each stretch of one script that has
 *             SEARCH_RUN_CHARACTERS_MIN characters or more as a word. A stretch that is too long for that only has its pairs.
 * So a needle that is one word is a substring of a kept word exactly when it is a substring of the text; one or two CJK characters are a pair; more
 * of one script are a substring of a kept stretch, or the message is among those with long stretches. Other needles have words and pairs
 * that every message with the needle has: candidates, which must be read. Pure.
 */
#pragma once

#include "base/arena.h"
#include "base/view.h"

enum {
    SEARCH_WORD_BYTES_MAX = 64,              /* of a kept word; of a longer one every SEARCH_WORD_STEP_BYTES a piece is kept */
    SEARCH_WORD_STEP_BYTES = 32,             /* so that each part of so many bytes stands in one piece */
    SEARCH_RUN_CHARACTERS_MIN = 3,
    SEARCH_HAN_CHARACTERS_MAX = 8,           /* longer stretches are Chinese sentences: each is unique and would be kept whole */
    SEARCH_KANA_CHARACTERS_MAX = 16,
    SEARCH_QUERY_TERMS_MAX = 32,             /* of one needle: those that come first; what they select is read anyway */
};

/* A pair of characters: first << 21 | second; second 0: alone in its run. Smaller than every pair: */
enum { SEARCH_PAIR_LONG = 1 };               /* the text has a stretch that is too long to be kept */

struct search_terms_sink {
    void (*word)(void *argument, view word);                 /* no byte of it is below '!' */
    void (*pair)(void *argument, uint64_t pair);
    void *argument;
};
void search_terms_each(view folded, const struct search_terms_sink *sink);

/*
 * Grams, by which words are found that contain a needle: of three characters that stand one behind the other, of two where the first is of CJK. What is
 * contained in a word has no gram that the word has not. Numbers below SEARCH_GRAMS; several grams share one. They are stored: the same for ever.
 */
enum { SEARCH_GRAMS = 1 << 15, SEARCH_GRAMS_MAX = 80 };
/* Up to SEARCH_GRAMS_MAX of those that begin at `from` bytes or later, which is where a character begins. How many. */
size_t search_grams(view word, size_t from, uint16_t grams[static SEARCH_GRAMS_MAX]);

/* A word of the needle. Where it is closed a kept word must begin or end with it; where open it may go on. */
struct search_query_word { view text; bool is_open_left, is_open_right; };

struct search_query {
    enum {
        SEARCH_WORD,                         /* words[0], open on both sides: exactly the messages whose kept words contain it */
        SEARCH_PAIR,                         /* pairs[0]: exactly those that have it */
        SEARCH_CHARACTER,                    /* character: exactly those with a pair that has it */
        SEARCH_STRETCH,                      /* those with a kept word that contains words[0]; and among those with SEARCH_PAIR_LONG, those with all pairs may */
        SEARCH_CANDIDATES,                   /* those with all words and pairs may */
        SEARCH_UNKNOWN,                      /* the index cannot say */
    } kind;
    struct search_query_word words[SEARCH_QUERY_TERMS_MAX];
    uint64_t pairs[SEARCH_QUERY_TERMS_MAX];
    unsigned word_count, pair_count;
    uint32_t character;
    uint32_t ending, beginning;              /* SEARCH_CANDIDATES: with the one a run ends, with the other one begins; 0: not known */
};
/* `needle` is folded. Views point into it. */
void search_query_make(view needle, struct search_query *ret_query);
