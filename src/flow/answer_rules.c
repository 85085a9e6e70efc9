#include "flow/answer_rules.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/cursor.h"

enum { AGE_MAX_MS = 30 * 24 * 3600 * 1000ll, CODE_MIN = 200, CODE_MAX = 599 };

static const char *const class_names[ANSWER_CLASSES] = {
    "other", "no-mailbox", "no-domain", "disabled", "full", "too-big", "greylisted", "slow-down", "blocked",
    "spam", "policy", "unauthenticated", "relay", "loop", "protocol", "system", "network", "tls", "late",
};

const char *answer_class_name(enum answer_class class) { return class < ANSWER_CLASSES ? class_names[class] : "other"; }

/* ---- reading ---- */

static bool is_space(unsigned char byte) { return byte == ' ' || byte == '\t' || byte == '\r'; }
static bool is_word(unsigned char byte) { return byte > ' ' && byte != '"' && byte != ':'; }

/* "10m": 90s, 10m, 4h, 1d. */
static bool parse_duration(view text, int64_t *ret_ms)
{
    uint64_t number;
    if (text.len < 2 || !view_to_u64(view_slice(text, 0, text.len - 1), &number) || number == 0 || number > 1000000) return false;
    char unit = text.at[text.len - 1];
    int64_t ms = (int64_t)number * (unit == 's' ? 1000 : unit == 'm' ? 60000 : unit == 'h' ? 3600000 : unit == 'd' ? 86400000 : 0);
    if (ms == 0 || ms > AGE_MAX_MS) return false;
    *ret_ms = ms;
    return true;
}

/* 421, or 4xx */
static bool parse_code(view text, unsigned *ret_code)
{
    uint32_t code;
    if (text.len == 3 && view_ends_nocase(text, VIEW("xx")) && text.at[0] >= '2' && text.at[0] <= '5') {
        *ret_code = (unsigned)(text.at[0] - '0');
        return true;
    }
    if (!view_to_u32(text, &code) || code < CODE_MIN || code > CODE_MAX) return false;
    *ret_code = code;
    return true;
}

/* 4.7.*, *.1.1 */
static bool parse_status(view text, int status[static 3])
{
    view part;
    uint32_t number;
    for (size_t i = 0; i < 3; i++) {
        if (!view_cut(&text, '.', &part)) return false;
        if (view_equal(part, VIEW("*"))) status[i] = -1;
        else if (view_to_u32(part, &number) && number <= 999) status[i] = (int)number;
        else return false;
    }
    return text.len == 0;
}

static bool parse_number(view text, unsigned *ret_number)
{
    uint32_t number;
    if (!view_to_u32(text, &number) || number == 0 || number > 1000000) return false;
    *ret_number = number;
    return true;
}

struct line { struct cursor c; view word, value; bool is_quoted, has_value; };

/* A word, "quoted words", or key=value. False at the end or at the colon. */
static bool next_word(struct line *l)
{
    take_while(&l->c, is_space);
    l->is_quoted = take_byte(&l->c, '"');
    l->has_value = false;
    if (l->is_quoted) {
        size_t end = view_find(l->c.rest, '"');
        return end != VIEW_NONE && end > 0 && take_bytes(&l->c, end, &l->word) && take_byte(&l->c, '"');
    }
    if (!take_while1(&l->c, is_word, &l->word)) return false;
    size_t equals = view_find(l->word, '=');
    l->has_value = equals != VIEW_NONE;
    if (l->has_value) {
        l->value = view_from(l->word, equals + 1);
        l->word = view_slice(l->word, 0, equals);
    }
    return !l->has_value || l->value.len > 0;
}

static bool key_is(const struct line *l, const char *key) { return !l->is_quoted && l->has_value && view_equal(l->word, view_of(key)); }
static bool word_is(const struct line *l, const char *word) { return !l->is_quoted && !l->has_value && view_equal(l->word, view_of(word)); }

static bool take_condition(struct line *l, struct answer_rule *r)
{
    if (l->is_quoted) {
        if (r->word_count == ANSWER_WORDS_MAX) return false;
        r->words[r->word_count++] = l->word;
        return true;
    }
    if (key_is(l, "mx")) return r->mx = l->value, true;
    if (key_is(l, "domain")) return r->domain = l->value, true;
    if (key_is(l, "code")) return parse_code(l->value, &r->code);
    if (key_is(l, "status")) return r->has_status = true, parse_status(l->value, r->status);
    return false;
}

static bool take_action(struct line *l, struct answer_rule *r)
{
    if (word_is(l, "slow")) return r->is_slow = true, true;
    if (word_is(l, "fail")) return r->fails = true, !r->defers;
    if (word_is(l, "defer")) return r->defers = true, !r->fails;
    if (key_is(l, "rest")) return parse_duration(l->value, &r->rest_ms);
    if (key_is(l, "retry")) return parse_duration(l->value, &r->retry_ms);
    if (key_is(l, "block")) return parse_duration(l->value, &r->block_ms);
    return false;
}

static bool take_class(struct line *l, enum answer_class *ret_class)
{
    if (!next_word(l) || l->is_quoted || l->has_value) return false;
    for (unsigned i = 0; i < ANSWER_CLASSES; i++) {
        if (!view_equal(l->word, view_of(class_names[i]))) continue;
        *ret_class = (enum answer_class)i;
        return true;
    }
    return false;
}

static bool at_colon(struct line *l)
{
    take_while(&l->c, is_space);
    return take_byte(&l->c, ':');
}

static bool at_end(struct line *l)
{
    take_while(&l->c, is_space);
    return cursor_at_end(&l->c) || cursor_peek(&l->c) == '#';
}

static bool parse_answer(struct line *l, struct answer_rule *r)
{
    while (!at_colon(l))
        if (!next_word(l) || !take_condition(l, r)) return false;
    if (!take_class(l, &r->class)) return false;
    while (!at_end(l))
        if (!next_word(l) || !take_action(l, r)) return false;
    return true;
}

static bool parse_limit(struct line *l, struct site_limit *limit)
{
    while (!at_colon(l)) {
        if (!next_word(l)) return false;
        if (key_is(l, "mx")) limit->mx = l->value;
        else if (key_is(l, "domain")) limit->domain = l->value;
        else return false;
    }
    while (!at_end(l)) {
        if (!next_word(l)) return false;
        bool is_good = key_is(l, "connections") ? parse_number(l->value, &limit->connections) : key_is(l, "messages") ? parse_number(l->value, &limit->messages)
                       : key_is(l, "rate") && parse_number(l->value, &limit->rate);
        if (!is_good) return false;
    }
    return limit->connections || limit->messages || limit->rate;
}

static bool parse_line(view text, struct answer_rules *rules)
{
    struct line l = {.c = cursor_of(text)};
    if (at_end(&l)) return true;
    if (text.len > ANSWER_RULE_LINE_MAX || !next_word(&l)) return false;
    if (word_is(&l, "answer")) {
        struct answer_rule *r = &rules->rules[rules->rule_count];
        *r = (struct answer_rule){.whole = view_trim(text)};
        if (!parse_answer(&l, r)) return false;
        rules->rule_count++;
        return true;
    }
    if (!word_is(&l, "limit")) return false;
    struct site_limit *limit = &rules->limits[rules->limit_count];
    *limit = (struct site_limit){0};
    if (!parse_limit(&l, limit)) return false;
    rules->limit_count++;
    return true;
}

result answer_rules_parse(view text, view source, struct arena *arena, struct answer_rules *rules, struct fault *fault)
{
    size_t lines = 1;
    unsigned number = 0;
    view line;
    for (size_t i = 0; i < text.len; i++) lines += text.at[i] == '\n';
    if (lines > ANSWER_RULES_MAX) return fail(fault, INVALID, VIEW_FMT ": more than %d lines", VIEW_ARG(source), ANSWER_RULES_MAX);
    struct answer_rules grown = {.rules = arena_array(arena, struct answer_rule, rules->rule_count + lines), .rule_count = rules->rule_count,
                                 .limits = arena_array(arena, struct site_limit, rules->limit_count + lines), .limit_count = rules->limit_count};
    for (size_t i = 0; i < rules->rule_count; i++) grown.rules[i] = rules->rules[i];
    for (size_t i = 0; i < rules->limit_count; i++) grown.limits[i] = rules->limits[i];
    while (view_cut(&text, '\n', &line)) {
        size_t before = grown.rule_count;
        number++;
        if (!parse_line(line, &grown)) return fail(fault, INVALID, VIEW_FMT ":%u: not a rule: " VIEW_FMT, VIEW_ARG(source), number, VIEW_ARG(view_slice(view_trim(line), 0, 200)));
        if (grown.rule_count == before) continue;
        grown.rules[before].source = source;
        grown.rules[before].line = number;
    }
    *rules = grown;
    return OK;
}

/* ---- deciding ---- */

/* The name itself, or one below it. */
static bool is_under(view name, view suffix)
{
    if (suffix.len == 0) return true;
    if (suffix.at[0] == '.') suffix = view_from(suffix, 1);
    if (view_equal_nocase(name, suffix)) return true;
    return name.len > suffix.len && view_ends_nocase(name, suffix) && name.at[name.len - suffix.len - 1] == '.';
}

static bool status_matches(const struct answer_rule *r, const struct answer_facts *f)
{
    const unsigned said[3] = {f->class, f->subject, f->detail};
    if (!r->has_status) return true;
    if (f->class == 0) return false;
    for (size_t i = 0; i < 3; i++)
        if (r->status[i] >= 0 && (unsigned)r->status[i] != said[i]) return false;
    return true;
}

static bool rule_matches(const struct answer_rule *r, const struct answer_facts *f)
{
    if (r->code && r->code != f->code && (r->code > 9 || r->code != f->code / 100)) return false;
    if (!is_under(f->mx, r->mx) || !is_under(f->domain, r->domain) || !status_matches(r, f)) return false;
    for (size_t i = 0; i < r->word_count; i++)
        if (view_find_nocase(f->text, r->words[i]) == VIEW_NONE) return false;
    return true;
}

const struct answer_rule *answer_rules_find(const struct answer_rules *rules, const struct answer_facts *facts)
{
    for (size_t i = 0; i < rules->rule_count; i++)
        if (rule_matches(&rules->rules[i], facts)) return &rules->rules[i];
    return NULL;
}

static bool limit_matches(const struct site_limit *l, view domain, const view *mx, size_t mx_count)
{
    if (!is_under(domain, l->domain)) return false;
    bool is_there = l->mx.len == 0;
    for (size_t i = 0; i < mx_count && !is_there; i++) is_there = is_under(mx[i], l->mx);
    return is_there;
}

struct site_limit answer_rules_limit(const struct answer_rules *rules, view domain, const view *mx, size_t mx_count)
{
    struct site_limit found = {0};
    for (size_t i = 0; i < rules->limit_count; i++) {
        const struct site_limit *l = &rules->limits[i];
        if (!limit_matches(l, domain, mx, mx_count)) continue;
        if (!found.connections) found.connections = l->connections;
        if (!found.messages) found.messages = l->messages;
        if (!found.rate) found.rate = l->rate;
    }
    return found;
}

bool answer_facts_parse(view answer, struct answer_facts *ret_facts)
{
    struct cursor c = cursor_of(view_trim(answer)), at;
    struct answer_facts f = {0};
    uint64_t code, class, subject, detail;
    if (!take_number(&c, CODE_MAX, &code) || code < CODE_MIN) return false;
    if (!take_byte(&c, '-')) take_while(&c, is_space);
    f.code = (unsigned)code;
    at = c;
    if (take_number(&at, 5, &class) && class >= 2 && take_byte(&at, '.') && take_number(&at, 999, &subject) && take_byte(&at, '.') && take_number(&at, 999, &detail)) {
        f.class = (unsigned)class;
        f.subject = (unsigned)subject;
        f.detail = (unsigned)detail;
        c = at;
    }
    f.text = view_trim(c.rest);
    *ret_facts = f;
    return true;
}
