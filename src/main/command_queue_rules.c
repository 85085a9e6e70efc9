/* command_queue_rules: the rules about answers, and which of them an answer meets. */
#include "flow/outbound.h"
#include "main/queue_words.h"
#include "main/sending.h"

static view what_it_does(const struct answer_rule *r, unsigned code, struct arena *arena)
{
    bool fails = (code >= 500 && !r->defers) || r->fails;
    view text = code < 400 ? VIEW("delivered") : fails ? VIEW("the message fails") : VIEW("it is tried again");
    if (code >= 400 && !fails && r->retry_ms) text = arena_printf(arena, VIEW_FMT " after %lld s", VIEW_ARG(text), (long long)(r->retry_ms / 1000));
    if (r->is_slow) text = arena_printf(arena, VIEW_FMT ", fewer connections", VIEW_ARG(text));
    if (r->rest_ms) text = arena_printf(arena, VIEW_FMT ", the destination rests for %lld s", VIEW_ARG(text), (long long)(r->rest_ms / 1000));
    if (r->block_ms) text = arena_printf(arena, VIEW_FMT ", the source address is not used there for %lld s", VIEW_ARG(text), (long long)(r->block_ms / 1000));
    return text;
}

result command_queue_explain(struct command_call *call, struct fault *fault)
{
    struct answer_facts facts;
    struct answer_rules rules = {0};
    static const struct answer_rule none = {.class = ANSWER_OTHER};
    if (!answer_facts_parse(command_text(call, "answer"), &facts)) return fail(fault, INVALID, "expected an answer that begins with its code: 421 4.7.0 Try again later");
    facts.mx = command_text(call, "mx");
    facts.domain = command_text(call, "domain");
    result code = sending_read_rules(call->service->config, call->arena, &rules, fault);
    if (code != OK) return code;
    const struct answer_rule *r = answer_rules_find(&rules, &facts);
    if (!r) r = &none;
    view does = what_it_does(r, facts.code, call->arena);
    return command_row(call, json_pack("{s:s, s:o, s:o, s:o, s:i}", "class", answer_class_name(r->class), "does", queue_words_text(does), "rule", queue_words_text(r->whole),
                                       "source", queue_words_text(r->source), "line", (int)r->line));
}

result command_queue_rules(struct command_call *call, struct fault *fault)
{
    view text = view_of(answer_rules_built_in), line;
    result code = OK;
    while (code == OK && view_cut(&text, '\n', &line)) code = command_row(call, json_pack("{s:o}", "rule", queue_words_text(line)));
    return code;
}
