/*
 * search_match: which messages meet what SEARCH, SORT and THREAD ask for.
 *
 * Criteria are judged in three stages of rising cost: by the row, with the header, with the bodies. Most messages are
 * decided by their row, so their bytes are never read. When more than a few have to be read, the index of the account is asked
 * what it knows of the texts (account/search.h), and only what it is not sure of is read. A message is decoded once for all texts
 * that are looked for; a large one by a worker.
 */
#pragma once

#include "account/search.h"
#include "imapd/session.h"

struct criterion {
    enum imap_search_kind kind;
    struct criterion *next, *children;
    struct imap_set set;                     /* resolved */
    uint64_t number;                         /* size, seconds, mod-sequence; for FLAG and KEYWORD the row's flag bits */
    bool is_recent;                          /* FLAG \Recent */
    int32_t day;
    view field, needle;                      /* needle: UTF-8, folded */
    struct search_hits *hits;                /* of a text, from the index; NULL: not asked, or it cannot say */
    bool is_fuzzy;                           /* a word of a fuzzy key */
    struct search_hits *near;                /* of one: where it stands in Subject or From */
    struct criterion *next_text;             /* of search->texts */
    bool is_wanted, is_met, is_refused;      /* of the message that is being read, by its texts: neither of both is not known yet */
};

struct search {
    struct session *s;
    struct criterion *root;
    struct criterion *texts;                 /* that ask for a text that is not empty */
    unsigned reads;                          /* messages that were read */
    bool has_asked, has_asked_near;          /* the index */
    bool is_fuzzy;                           /* has a fuzzy key */
    bool has_modseq;
    bool takes_all;                          /* nothing is asked of the messages */
    uint32_t lowest_uid;                     /* not 0: older messages were not looked at (RFC 9738) */
    unix_ms now;
    result code;                             /* of the first message that could not be read */
    struct fault fault;
    struct message_text text;                /* scratch */
};

/*
 * The criteria of what was asked. INVALID or another with a reply. search_done() in any case.
 */
MAY_YIELD NODISCARD result search_prepare(struct search *search, struct session *s, const struct imap_search *asked, struct reply *r);
void search_done(struct search *search);
/* RFC 5182 §2.1: after a NO nothing is saved. */
void session_forget_saved(struct session *s, const struct imap_search *asked, const struct reply *r);
/*
 * Calls each() with the messages that match, in order of UID or from the last to the first, until it says END. What could not be read is in
 * search->code. Only messages that a set, a mod-sequence, days or flags among the criteria allow are looked at.
 */
typedef result search_match_fn(void *argument, uint32_t number, const struct row *row);
MAY_YIELD NODISCARD result search_walk(struct search *search, bool is_back, search_match_fn *each, void *argument);

/* RFC 6203 §4: 1 to 100, of a message that matches. 100: all words of the fuzzy keys stand in its Subject or From. */
MAY_YIELD unsigned search_score(struct search *search, const struct row *row);

enum { FUZZY_WORDS_MAX = 32 };               /* of a key: those that come first */
/* The next word of a folded needle, what is left of it in English without its ending. */
bool fuzzy_take_word(view *needle, view *ret_word);

/* SEARCH in the selected mailbox; with `mailbox` it tells where, and nothing when there is no match (RFC 7377). */
MAY_YIELD void session_search(struct session *s, const struct imap_search *asked, bool by_uid, view tag, const struct mailbox_info *mailbox,
                              struct reply *r);

/* OK with *ret_matches; else the client is gone. A message that cannot be read does not match and is noted in code. */
MAY_YIELD NODISCARD result search_matches(struct search *search, uint32_t number, const struct row *row, bool *ret_matches);
