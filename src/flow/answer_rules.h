/*
 * answer_rules: what the answers of servers mean, and how much known destinations take.
 *
 * Text, a rule to a line; `#` begins a comment. The first rule that matches decides.
 *
 *     answer [mx=SUFFIX] [domain=SUFFIX] [code=421|4xx|5xx] [status=4.7.1|4.7.*|*.1.1] ["words" ...] : CLASS [slow] [rest=10m] [retry=30m] [block=1d] [fail] [defer]
 *     limit  [mx=SUFFIX] [domain=SUFFIX] : [connections=N] [messages=N] [rate=N]
 *
 * SUFFIX matches a name and all below it. All words must be in the text, in any case. slow: fewer connections from now on; rest: nothing
 * is tried there for so long; retry: this mail is tried again after so long; block: our address is refused there, another is taken for so
 * long; fail: the answer is for good; defer: it is not. connections: at once, of the whole cluster; messages: over one connection; rate: in a
 * minute, of the whole cluster.
 *
 * Pure; nothing here yields.
 */
#pragma once

#include "base/arena.h"
#include "base/fault.h"
#include "base/view.h"

enum {
    ANSWER_RULES_MAX = 10000,
    ANSWER_RULE_LINE_MAX = 1000,
    ANSWER_WORDS_MAX = 8,
};

enum answer_class {
    ANSWER_OTHER, ANSWER_NO_MAILBOX, ANSWER_NO_DOMAIN, ANSWER_DISABLED, ANSWER_FULL, ANSWER_TOO_BIG, ANSWER_GREYLISTED, ANSWER_SLOW_DOWN, ANSWER_BLOCKED,
    ANSWER_SPAM, ANSWER_POLICY, ANSWER_UNAUTHENTICATED, ANSWER_RELAY, ANSWER_LOOP, ANSWER_PROTOCOL, ANSWER_SYSTEM, ANSWER_NETWORK, ANSWER_TLS, ANSWER_LATE,
    ANSWER_CLASSES
};
/* "no-mailbox". Static. */
const char *answer_class_name(enum answer_class class);

struct answer_facts {
    view mx, domain;                     /* who said it, about whom; may be empty */
    unsigned code, class, subject, detail;    /* class 0: no enhanced code */
    view text;
};

struct answer_rule {
    view source;                         /* name of the file, or "built in" */
    unsigned line;
    view whole;                          /* the line */
    /* What it matches; empty or 0: anything. */
    view mx, domain;
    unsigned code;                       /* 421, or 4 for 4xx */
    int status[3];                       /* -1: any */
    bool has_status;
    view words[ANSWER_WORDS_MAX];
    size_t word_count;
    /* What it does. */
    enum answer_class class;
    bool is_slow, fails, defers;
    int64_t rest_ms, retry_ms, block_ms; /* 0: not */
};

struct site_limit { view mx, domain; unsigned connections, messages, rate; };   /* 0: not limited here */

struct answer_rules {
    struct answer_rule *rules;
    size_t rule_count;
    struct site_limit *limits;
    size_t limit_count;
};

/* Adds what stands in `text`, which must live as long, behind what is there. INVALID names the line. */
NODISCARD result answer_rules_parse(view text, view source, struct arena *arena, struct answer_rules *rules, struct fault *fault);
/* NULL: none matches. */
const struct answer_rule *answer_rules_find(const struct answer_rules *rules, const struct answer_facts *facts);
/* By the first limit that names each; `mx` are the hosts of the destination. */
struct site_limit answer_rules_limit(const struct answer_rules *rules, view domain, const view *mx, size_t mx_count);
/* "421 4.7.0 Try later" taken apart: false when it does not begin with a code. */
bool answer_facts_parse(view answer, struct answer_facts *ret_facts);

extern const char answer_rules_built_in[];
