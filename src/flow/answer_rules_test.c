#include "base/buf.h"
#include "base/check.h"
#include "base/test.h"
#include "flow/answer_rules.h"

static const struct answer_rule *rule_for(const struct answer_rules *rules, const char *answer, const char *mx)
{
    struct answer_facts facts;
    REQUIRE(answer_facts_parse(view_of(answer), &facts));
    facts.mx = view_of(mx);
    return answer_rules_find(rules, &facts);
}

TEST(answer_rules_built_in_are_read_and_name_what_servers_say)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 1 << 20);
    struct answer_rules rules = {0};
    struct fault fault = {0};
    if (answer_rules_parse(view_of(answer_rules_built_in), VIEW("built in"), arena, &rules, &fault) != OK) test_fail(__FILE__, __LINE__, "%s", fault.detail);
    static const struct { const char *answer, *mx; enum answer_class class; } said[] = {
        {"550 5.1.1 <x@y>: Recipient address rejected: User unknown", "mx.test", ANSWER_NO_MAILBOX},
        {"550 No such user here", "mx.test", ANSWER_NO_MAILBOX},
        {"452 4.2.2 Over quota", "mx.test", ANSWER_FULL},
        {"450 4.7.1 <x@y>: Recipient address rejected: Greylisted", "mx.test", ANSWER_GREYLISTED},
        {"421 4.7.28 Our system has detected an unusual rate", "gmail-smtp-in.l.google.com", ANSWER_SLOW_DOWN},
        {"550 5.7.1 Service unavailable, Client host [192.0.2.1] blocked using Spamhaus", "mx.test", ANSWER_BLOCKED},
        {"550 5.7.26 This mail is unauthenticated", "aspmx.l.google.com", ANSWER_UNAUTHENTICATED},
        {"552 5.3.4 Message size exceeds fixed limit", "mx.test", ANSWER_TOO_BIG},
        {"554 5.7.1 Relay access denied", "mx.test", ANSWER_RELAY},
        {"530 5.7.10 Encryption required", "mx.test", ANSWER_TLS},
    };
    for (size_t i = 0; i < array_size(said); i++) {
        const struct answer_rule *r = rule_for(&rules, said[i].answer, said[i].mx);
        if (!r || r->class != said[i].class) test_fail(__FILE__, __LINE__, "%s: %s", said[i].answer, r ? answer_class_name(r->class) : "no rule");
    }
    const struct answer_rule *slow = rule_for(&rules, "421 4.7.28 x", "alt1.aspmx.l.google.com");
    EXPECT(slow->is_slow && slow->rest_ms == 600000 && slow->retry_ms == 1800000);
    /* The suffix is of names, and not of letters. */
    EXPECT(rule_for(&rules, "421 4.7.28 x", "notgoogle.com")->rest_ms == 0);
}

TEST(answer_rules_of_the_first_file_go_first)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 1 << 20);
    struct answer_rules rules = {0};
    struct fault fault = {0};
    view mine = VIEW("# mine\n\nanswer domain=d.test code=5xx \"later\" \"please\" : greylisted defer retry=7m # why\n"
                     "limit mx=mx.test : connections=3 rate=10\nlimit : messages=9\n");
    REQUIRE(answer_rules_parse(mine, VIEW("mine"), arena, &rules, &fault) == OK);
    REQUIRE(answer_rules_parse(VIEW("answer code=5xx : policy fail\nlimit mx=mx.test : connections=50 messages=50\n"), VIEW("theirs"), arena, &rules, &fault) == OK);
    struct answer_facts facts;
    REQUIRE(answer_facts_parse(VIEW("550 Please come later"), &facts));
    EXPECT(facts.class == 0 && facts.code == 550);
    facts.domain = VIEW("sub.d.test");
    const struct answer_rule *r = answer_rules_find(&rules, &facts);
    REQUIRE(r != NULL);
    EXPECT(r->defers && r->retry_ms == 420000 && r->class == ANSWER_GREYLISTED && r->line == 3);
    EXPECT_VIEW(r->source, VIEW("mine"));
    facts.domain = VIEW("other.test");
    EXPECT_VIEW(answer_rules_find(&rules, &facts)->source, VIEW("theirs"));
    const view hosts[] = {VIEW("a.example"), VIEW("in.mx.test")};
    struct site_limit limit = answer_rules_limit(&rules, VIEW("d.test"), hosts, 2);
    EXPECT(limit.connections == 3 && limit.rate == 10 && limit.messages == 9);
}

TEST(answer_rules_that_are_none_are_told_with_their_line)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 1 << 20);
    const char *const bad[] = {"answer code=421", "answer code=42 : other", "answer status=4.7 : other", "answer : nonsense", "answer \"open : other",
                               "answer code=421 : other often",
                               "answer : other rest=0m", "answer : other fail defer", "limit mx=a.test :", "limit code=421 : rate=1", "other : x", "answer mx= : other"};
    for (size_t i = 0; i < array_size(bad); i++) {
        struct answer_rules rules = {0};
        struct fault fault = {0};
        buf text CLEANUP(buf_done) = BUF_INIT;
        buf_appendf(&text, "# fine\n%s\n", bad[i]);
        if (answer_rules_parse(buf_view(&text), VIEW("f"), arena, &rules, &fault) != INVALID) test_fail(__FILE__, __LINE__, "taken: %s", bad[i]);
        EXPECT(view_starts(view_of(fault.detail), VIEW("f:2: ")));
    }
}
