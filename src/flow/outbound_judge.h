/* outbound_judge: what an answer means, by the rules, and what a site learns of it. For outbound_send.c. */
#pragma once

#include "flow/outbound_site.h"

/* Of one transaction. */
struct verdict {
    bool was_taken, slows_down;
    int64_t rest_ms, block_ms;           /* the longest that a rule asked for; 0: none did */
    view answer;                         /* that asked for it */
};

/* Sets the meaning of a result, and changes it as its rule says. */
void outbound_judge(struct destination *d, view host, struct queue_result *r, struct verdict *v);
/* A message went, or not: the site's window, rest and blocks follow from it. `source` may be NULL. */
void outbound_learn(struct destination *d, const struct egress_address *source, const struct verdict *v);
/* The server turned the connection away. */
void outbound_judge_greeting(struct destination *d, view host, const struct egress_address *source, const struct smtp_answer *answer);
