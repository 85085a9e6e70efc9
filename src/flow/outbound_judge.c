#include "flow/outbound_judge.h"

#include "runtime/clock.h"
#include "runtime/random.h"

static void add_rule(struct verdict *v, const struct answer_rule *rule, view answer)
{
    v->slows_down |= rule->is_slow;
    if (rule->rest_ms > v->rest_ms) v->rest_ms = rule->rest_ms, v->answer = answer;
    if (rule->block_ms > v->block_ms) v->block_ms = rule->block_ms, v->answer = answer;
}

/* With some chance in it, as all intervals have. */
static void retry_after(struct queue_result *r, int64_t ms)
{
    r->next_try = (unix_ms){clock_wall().ms + ms + (int64_t)random_below((uint64_t)ms / 8 + 1)};
}

void outbound_judge(struct destination *d, view host, struct queue_result *r, struct verdict *v)
{
    const struct outbound_options *o = &d->home->all->options;
    const struct answer_rules *rules = d->home->rules;
    struct answer_facts facts = {.mx = host, .domain = view_of(d->domain), .code = r->code, .class = r->class, .subject = r->subject, .detail = r->detail, .text = r->answer};
    v->was_taken |= r->outcome == QUEUE_DELIVERED;
    if (r->outcome == QUEUE_DELIVERED) return;
    v->slows_down |= r->code == 421 || r->code == 0;
    r->meaning = r->code == 0 ? ANSWER_NETWORK : ANSWER_OTHER;
    const struct answer_rule *rule = rules && r->code ? answer_rules_find(rules, &facts) : NULL;
    if (!rule) return;
    r->meaning = (uint8_t)rule->class;
    if (rule->fails) r->outcome = QUEUE_FAILED;
    if (rule->defers && r->outcome == QUEUE_FAILED) {
        r->outcome = QUEUE_DEFERRED;
        retry_after(r, o->retry_max_ms);
    }
    if (r->outcome == QUEUE_DEFERRED && rule->retry_ms) retry_after(r, rule->retry_ms);
    add_rule(v, rule, r->answer);
}

void outbound_learn(struct destination *d, const struct egress_address *source, const struct verdict *v)
{
    struct site *s = d->site;
    if (v->slows_down) s->window = s->window > 1 ? s->window / 2 : 1;
    else if (v->was_taken && s->window < s->limit.connections) s->window++;
    /* What came in one go while the window was small: a further connection only if each would have something to do. */
    if (v->was_taken && d->waiting > 2 * (size_t)d->connections) destination_consider(d);
    if (v->was_taken) {
        s->rest_ms = 0;
        site_count_sent(s, source);
    }
    if (v->block_ms) site_block(s, source, v->block_ms, v->answer);
    if (v->rest_ms) site_rest(s, v->rest_ms, v->answer);
}

void outbound_judge_greeting(struct destination *d, view host, const struct egress_address *source, const struct smtp_answer *answer)
{
    struct verdict v = {0};
    struct queue_result r = {.outcome = QUEUE_DEFERRED, .code = answer->code, .class = answer->class, .subject = answer->subject, .detail = answer->detail,
                             .answer = buf_view(&answer->text)};
    if (answer->code < 400) return;
    outbound_judge(d, host, &r, &v);
    outbound_learn(d, source, &v);
}
