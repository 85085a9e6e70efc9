/* command_dkim: keys that a domain signs its mail with, and what DNS says of them. Private keys stay where they are. */
#include "identity/dkim_keys.h"
#include "main/command.h"
#include "runtime/clock.h"
#include "runtime/resolver.h"
#include "runtime/workers.h"
#include "trust/signing_key.h"

enum { OLD_KEPT_DAYS = 30, DAY_MS = 86400000 };   /* the queue gives mail up long before; a hold of FUTURERELEASE counts too */

static json_t *text_json(view v) { return json_stringn(v.len ? v.at : "", v.len); }

static view record_name(const struct identity_dkim *d, const struct identity_dkim_key *k, struct arena *arena)
{
    return arena_printf(arena, VIEW_FMT "._domainkey." VIEW_FMT, VIEW_ARG(k->selector), VIEW_ARG(d->domain));
}

static view record_text(const struct identity_dkim_key *k, struct arena *arena)
{
    buf text CLEANUP(buf_done) = BUF_INIT;
    dkim_key_append(&text, k->is_ed25519, k->public_bytes);
    return arena_keep(arena, buf_view(&text));
}

static json_t *key_row(const struct identity_dkim_key *k)
{
    return json_pack("{s:o, s:s, s:s}", "selector", text_json(k->selector), "algorithm", k->is_ed25519 ? "ed25519" : "rsa", "state", dkim_key_state_name(k->state));
}

static MAY_YIELD result find(struct command_call *call, struct identity_dkim *ret_dkim, struct fault *fault)
{
    return directory_find_dkim(call->service->identity, command_text(call, "domain"), command_deadline(), call->arena, ret_dkim, fault);
}

/* ---- create, show, remove ---- */

static MAY_YIELD result show(struct command_call *call, bool only_next, struct fault *fault)
{
    struct identity_dkim d;
    result r = find(call, &d, fault);
    for (size_t i = 0; r == OK && i < d.count; i++) {
        const struct identity_dkim_key *k = &d.keys[i];
        if (only_next && k->state != DKIM_KEY_NEXT) continue;
        json_t *row = key_row(k);
        json_object_set_new(row, "changed", json_integer(k->changed.ms));
        json_object_set_new(row, "name", text_json(record_name(&d, k, call->arena)));
        json_object_set_new(row, "record", text_json(record_text(k, call->arena)));
        r = command_row(call, row);
    }
    return r;
}

result command_dkim_show(struct command_call *call, struct fault *fault) { return show(call, false, fault); }

struct making { buf private_bytes, public_bytes; bool is_ed25519; result code; struct fault *fault; };

static void make_key(void *argument)
{
    colour_pretend_worker();
    struct making *m = argument;
    m->code = signing_key_make(m->is_ed25519 ? DKIM_ED25519_SHA256 : DKIM_RSA_SHA256, &m->private_bytes, &m->public_bytes, m->fault);
}

static MAY_YIELD result make_on_worker(struct command_call *call, bool is_ed25519, view selector, struct identity_dkim_key *ret_key, struct fault *fault)
{
    struct making m = {.is_ed25519 = is_ed25519, .fault = fault};
    result r = worker_run(WORKER_SLOW, make_key, &m);
    if (r == OK) r = m.code;
    if (r == OK)
        *ret_key = (struct identity_dkim_key){.selector = selector, .is_ed25519 = is_ed25519, .public_bytes = arena_keep(call->arena, buf_view(&m.public_bytes)),
                                              .private_bytes = arena_keep(call->arena, buf_view(&m.private_bytes))};
    buf_done(&m.private_bytes);
    buf_done(&m.public_bytes);
    return r;
}

/* Named by the moment, to the millisecond: a selector never comes again with another key, however soon keys are changed again. */
result command_dkim_create(struct command_call *call, struct fault *fault)
{
    struct identity_dkim_key keys[2];
    long long now_ms = clock_wall().ms;
    result r = make_on_worker(call, false, arena_printf(call->arena, "t%lldr", now_ms), &keys[0], fault);
    if (r == OK) r = make_on_worker(call, true, arena_printf(call->arena, "t%llde", now_ms), &keys[1], fault);
    if (r == OK) r = directory_add_dkim(call->service->identity, command_text(call, "domain"), keys, 2, command_deadline(), fault);
    return r == OK ? show(call, true, fault) : r;
}

result command_dkim_remove(struct command_call *call, struct fault *fault)
{
    if (command_has(call, "selector") == command_has(call, "all")) return fail(fault, INVALID, "which keys? Give --selector or --all");
    return directory_remove_dkim(call->service->identity, command_text(call, "domain"), command_text(call, "selector"), command_deadline(), fault);
}

/* ---- what DNS says ---- */

static MAY_YIELD const char *ask_dns(struct command_call *call, struct resolver *resolver, const struct identity_dkim *d, const struct identity_dkim_key *k,
                                     struct fault *fault)
{
    struct dns_answer answer;
    struct dkim_key published;
    view text;
    result r = resolver_ask(resolver, record_name(d, k, call->arena), DNS_TXT, command_deadline(), call->arena, &answer, fault);
    if (r == NOT_FOUND) return "missing";
    if (r != OK) return "unknown";
    if (answer.count != 1 || !dns_txt_parse(answer.records[0], call->arena, &text) || dkim_key_parse(text, call->arena, &published, fault) != OK) return "different";
    bool is_same = (published.type == DKIM_KEY_ED25519) == k->is_ed25519 && view_equal(published.key, k->public_bytes);
    if (!is_same || !published.takes_sha256 || !published.is_for_mail || published.is_strict) return "different";
    return published.is_test ? "published for tests (t=y)" : "published";
}

static view advice_of(struct command_call *call, const struct identity_dkim_key *k, const char *dns)
{
    bool is_there = view_starts(view_of(dns), VIEW("published"));
    int64_t left_ms = k->changed.ms + OLD_KEPT_DAYS * (int64_t)DAY_MS - clock_wall().ms;
    if (k->state == DKIM_KEY_OLD && left_ms > 0) return arena_printf(call->arena, "leave it in DNS for %lld more days", (long long)(left_ms / DAY_MS) + 1);
    if (k->state == DKIM_KEY_OLD) return is_there ? VIEW("no longer needed: take it out of DNS") : VIEW("no longer needed");
    if (!is_there) return VIEW("publish the record that tayori domain dkim show has");
    return k->state == DKIM_KEY_NEXT ? VIEW("ready: tayori domain dkim rotate") : VIEW_EMPTY;
}

struct checking { struct identity_dkim dkim; size_t wrong; view first_wrong; bool shows, only_next; };

static MAY_YIELD result check_all(struct command_call *call, struct checking *c, struct fault *fault)
{
    /* What was asked before it was published must not be answered from a cache. */
    struct resolver *resolver = NULL;
    result r = find(call, &c->dkim, fault);
    if (r == OK) r = service_make_resolver(call->service, &resolver, fault);
    for (size_t i = 0; r == OK && i < c->dkim.count; i++) {
        const struct identity_dkim_key *k = &c->dkim.keys[i];
        struct fault ignored = {0};
        if (c->only_next && k->state != DKIM_KEY_NEXT) continue;
        const char *dns = ask_dns(call, resolver, &c->dkim, k, &ignored);
        bool is_wrong = k->state != DKIM_KEY_OLD && !view_starts(view_of(dns), VIEW("published"));
        if (is_wrong && c->wrong++ == 0) c->first_wrong = arena_printf(call->arena, VIEW_FMT " is %s in DNS", VIEW_ARG(record_name(&c->dkim, k, call->arena)), dns);
        if (!c->shows) continue;
        json_t *row = key_row(k);
        json_object_set_new(row, "dns", json_string(dns));
        json_object_set_new(row, "advice", text_json(advice_of(call, k, dns)));
        r = command_row(call, row);
    }
    service_free_resolver(resolver);
    return r;
}

result command_dkim_check(struct command_call *call, struct fault *fault)
{
    struct checking c = {.shows = true};
    result r = check_all(call, &c, fault);
    if (r == OK && c.dkim.count == 0) return fail(fault, NOT_FOUND, VIEW_FMT " has no keys: tayori domain dkim create makes them", VIEW_ARG(c.dkim.domain));
    if (r == OK && c.wrong > 0) return fail(fault, NOT_FOUND, VIEW_FMT, VIEW_ARG(c.first_wrong));
    return r;
}

result command_dkim_rotate(struct command_call *call, struct fault *fault)
{
    struct checking c = {.only_next = true};
    result r = command_has(call, "unchecked") ? OK : check_all(call, &c, fault);
    if (r == OK && c.wrong > 0) return fail(fault, DENIED, VIEW_FMT "; publish it first, or use --unchecked if others see it", VIEW_ARG(c.first_wrong));
    unix_ms forgotten = {clock_wall().ms - OLD_KEPT_DAYS * (int64_t)DAY_MS};
    if (r == OK) r = directory_rotate_dkim(call->service->identity, command_text(call, "domain"), forgotten, command_deadline(), fault);
    if (r == OK) r = find(call, &c.dkim, fault);
    for (size_t i = 0; r == OK && i < c.dkim.count; i++) {
        const struct identity_dkim_key *k = &c.dkim.keys[i];
        json_t *row = key_row(k);
        json_object_set_new(row, "advice", text_json(k->state == DKIM_KEY_OLD ? advice_of(call, k, "") : VIEW("signs")));
        r = command_row(call, row);
    }
    return r;
}
