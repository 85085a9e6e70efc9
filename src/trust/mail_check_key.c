/* Key records: <selector>._domainkey.<domain>, TXT (RFC 6376 §3.6.2). */
#include "base/check.h"
#include "trust/mail_check_private.h"

enum { ANSWER_ARENA_BYTES = 4 * RESOLVER_RECORDS_MAX * RESOLVER_RECORD_BYTES_MAX };

MAY_YIELD static void read_key(struct mail_check *c, struct resolver *resolver, struct check_key *k, millis deadline)
{
    /* Answers may be large, and there are many: of each only the key stays. */
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, ANSWER_ARENA_BYTES);
    struct dns_answer answer;
    struct fault fault = {0};
    view text;
    result code = resolver_ask(resolver, k->name, DNS_TXT, deadline, arena, &answer, &fault);
    k->result = code == NOT_FOUND || code == INVALID ? CHECK_PERMERROR : CHECK_TEMPERROR;
    k->reason = code == NOT_FOUND || code == INVALID ? VIEW("no key") : VIEW("key cannot be looked up now");
    if (code != OK) return;
    k->result = CHECK_PERMERROR;
    /* Several records are nobody's intention: the first that is a key. */
    for (size_t i = 0; i < answer.count && k->result != CHECK_PASS; i++) {
        if (!dns_txt_parse(answer.records[i], arena, &text)) continue;
        if (dkim_key_parse(text, arena, &k->key, &fault) == OK) k->result = CHECK_PASS;
    }
    k->key.key = k->result == CHECK_PASS ? arena_keep(c->arena, k->key.key) : VIEW_EMPTY;
    k->reason = k->result == CHECK_PASS ? VIEW_EMPTY : arena_keep(c->arena, view_of(fault.detail[0] ? fault.detail : "key record is broken"));
}

const struct check_key *mail_check_key(struct mail_check *c, struct resolver *resolver, const struct dkim_signature *s, millis deadline)
{
    view name = arena_printf(c->arena, VIEW_FMT "._domainkey." VIEW_FMT, VIEW_ARG(s->selector), VIEW_ARG(s->domain));
    for (size_t i = 0; i < c->key_count; i++)
        if (view_equal_nocase(c->keys[i].name, name)) return &c->keys[i];
    check(c->key_count < MAIL_CHECK_KEYS_MAX);
    struct check_key *k = &c->keys[c->key_count++];
    k->name = name;
    read_key(c, resolver, k, deadline);
    return k;
}
