/* Fuzzes rules about answers. Oracle: what is read decides about any answer without reading outside of it, and limits are within bounds. */
#include "base/check.h"
#include "flow/answer_rules.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 16 << 20);
    struct answer_rules rules = {0};
    struct answer_facts facts = {0};
    view text = view_make(data, size), first = text;
    size_t end = view_find(text, '\n');
    /* The first line is the answer. */
    if (end != VIEW_NONE) first = view_slice(text, 0, end), text = view_from(text, end + 1);
    if (answer_facts_parse(first, &facts)) check(facts.code >= 200 && facts.code <= 599 && facts.class <= 5 && facts.text.len <= first.len);
    if (answer_rules_parse(text, VIEW("fuzz"), arena, &rules, NULL) != OK) return 0;
    const struct answer_rule *r = answer_rules_find(&rules, &facts);
    if (r) check(r->class < ANSWER_CLASSES && !(r->fails && r->defers) && r->rest_ms >= 0 && r->word_count <= ANSWER_WORDS_MAX);
    struct site_limit limit = answer_rules_limit(&rules, VIEW("d.test"), &first, 1);
    check(limit.connections <= 1000000 && limit.rate <= 1000000);
    return 0;
}
