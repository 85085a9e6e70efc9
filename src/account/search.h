/*
 * search: which messages of an account have a text, by its index. doc/formats/search.md, doc/decisions/0007-search-index.md
 *
 * The index is made by compaction and is derived data: what is not in it, or cannot be believed, is "maybe", and who searches reads the message.
 * On the account's home loop.
 */
#pragma once

#include "account/account.h"
#include "formats/message_text.h"

struct search_hits;
enum search_verdict { SEARCH_NO, SEARCH_YES, SEARCH_MAYBE };

enum {
    SEARCH_CACHE_BYTES = 32 << 20,           /* of a loop: pages of segments that were read lately */
    SEARCH_HITS_BYTES = 16 << 20,            /* of a loop: answers that nobody holds now: who turns pages of a result asks again */
};

/*
 * Looks a needle (folded) up in some zones (bits of enum message_zone). OK also when there is no index, or a damaged one: then the verdict is
 * SEARCH_MAYBE, and what is damaged is built anew by the next compaction. Gives others a turn.
 */
MAY_YIELD NODISCARD result account_search(struct account *a, unsigned zones, view needle, millis deadline, struct search_hits **ret_hits, struct fault *fault);
/* Of a row of this account, also one that came after the search. */
enum search_verdict search_hits_verdict(struct search_hits *h, const struct row *row);
void search_hits_free(struct search_hits *h);

/* Documents in segments, and segments. */
void account_search_size(const struct account *a, uint64_t *ret_documents, uint64_t *ret_segments);
