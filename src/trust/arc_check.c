/* The chain of ARC: RFC 8617 §5.2. */
#include "base/check.h"
#include "trust/mail_check_private.h"
#include "trust/signing_key.h"

static void break_chain(struct mail_check *c, const char *reason)
{
    c->arc.validation = ARC_FAIL;
    if (c->arc.reason.len == 0) c->arc.reason = view_of(reason);
}

static bool is_arc_field(const struct header_field *f)
{
    return view_equal_nocase(f->name, VIEW("ARC-Seal")) || view_equal_nocase(f->name, VIEW("ARC-Message-Signature")) ||
           view_equal_nocase(f->name, VIEW("ARC-Authentication-Results"));
}

/* The instance of any of the three. 0: none that can be read. */
static unsigned instance_of(struct mail_check *c, const struct header_field *f)
{
    struct dkim_tags *tags = arena_new_struct(c->arena, struct dkim_tags);
    unsigned instance;
    uint32_t number;
    if (view_equal_nocase(f->name, VIEW("ARC-Authentication-Results"))) return arc_results_parse(f->value, &instance, NULL) ? instance : 0;
    if (f->value.len > DKIM_SIGNATURE_BYTES_MAX || !dkim_tags_parse(f->value, tags)) return 0;
    const struct dkim_tag *i = dkim_tags_find(tags, VIEW("i"));
    return i && view_to_u32(i->value, &number) && number <= ARC_INSTANCES_MAX ? number : 0;
}

static void put_in_set(struct mail_check *c, const struct header_field *f, unsigned instance)
{
    struct arc_set *set = &c->sets[instance - 1];
    const struct header_field **place = view_equal_nocase(f->name, VIEW("ARC-Seal")) ? &set->seal
                                        : view_equal_nocase(f->name, VIEW("ARC-Message-Signature")) ? &set->message : &set->results;
    if (*place) break_chain(c, "an instance has a field twice");
    *place = f;
    if (instance > c->set_count) c->set_count = instance;
}

/* Each instance has one of each, and each seal says what it must say: §5.2 step 3. */
static void check_structure(struct mail_check *c)
{
    for (unsigned i = 0; i < c->set_count && c->arc.validation != ARC_FAIL; i++) {
        struct arc_set *set = &c->sets[i];
        struct fault fault = {0};
        if (!set->results || !set->message || !set->seal) break_chain(c, "an instance is not whole");
        else if (dkim_signature_parse(DKIM_ARC_SEAL, set->seal->value, c->arena, &set->seal_parsed, &fault) != OK) break_chain(c, "a seal cannot be read");
        else if (set->seal_parsed.validation == ARC_FAIL) break_chain(c, "the chain had failed before");
        else if ((set->seal_parsed.validation == ARC_NONE) != (i == 0)) break_chain(c, "a seal says what it cannot know");
    }
}

/* An earlier hop has given the chain up: nobody adds to it (§5.1.2). */
static bool was_failed(struct mail_check *c)
{
    struct dkim_signature *seal = arena_new_struct(c->arena, struct dkim_signature);
    const struct header_field *last = c->sets[c->set_count - 1].seal;
    return last && dkim_signature_parse(DKIM_ARC_SEAL, last->value, c->arena, seal, NULL) == OK && seal->validation == ARC_FAIL;
}

void arc_check_begin(struct mail_check *c)
{
    for (size_t i = 0; i < c->fields.count; i++) {
        if (!is_arc_field(&c->fields.list[i])) continue;
        if (!c->sets) c->sets = arena_array(c->arena, struct arc_set, ARC_INSTANCES_MAX);
        unsigned instance = instance_of(c, &c->fields.list[i]);
        if (instance == 0) break_chain(c, "a field without an instance");
        else put_in_set(c, &c->fields.list[i], instance);
    }
    if (c->set_count > 0) c->arc.was_failed = was_failed(c);
    if (c->set_count == 0 || c->arc.validation == ARC_FAIL) return;
    check_structure(c);
    if (c->arc.validation == ARC_FAIL) return;
    c->arc_message = arena_new_struct(c->arena, struct check_signature);
    check_signature_read(c, c->arc_message, DKIM_ARC_MESSAGE, c->sets[c->set_count - 1].message);
    if (c->arc_message->is_broken) break_chain(c, "the last message signature cannot be read");
}

/* §5.1.1: all sets up to this one, in their order, this one's seal left out. */
void arc_append_covered(const struct mail_check *c, unsigned instance, buf *into)
{
    const struct arc_set *set = &c->sets[instance - 1];
    dkim_append_field(into, set->results->whole, true);
    dkim_append_field(into, set->message->whole, true);
}

/* Each seal covers all sets before it: what they have in common is made and digested once, not fifty times. */
static void digest_sets(struct mail_check *c)
{
    buf text CLEANUP(buf_done) = BUF_INIT;
    struct digest *all = digest_new();
    for (unsigned i = 1; i <= c->set_count; i++) {
        struct arc_set *set = &c->sets[i - 1];
        buf_clear(&text);
        arc_append_covered(c, i, &text);
        digest_add(all, buf_view(&text));
        struct digest *own = digest_copy(all);
        buf_clear(&text);
        if (dkim_append_own_field(&text, set->seal->whole, true) != OK) break_chain(c, "a seal without b=");
        digest_add(own, buf_view(&text));
        digest_end(own, set->covered);
        buf_clear(&text);
        dkim_append_field(&text, set->seal->whole, true);
        digest_add(all, buf_view(&text));
    }
    digest_free(all);
}

MAY_YIELD static void check_seal(struct mail_check *c, unsigned instance, struct resolver *resolver, millis deadline)
{
    const struct arc_set *set = &c->sets[instance - 1];
    const struct check_key *k = mail_check_key(c, resolver, &set->seal_parsed, deadline);
    if (k->result != CHECK_PASS) {
        c->arc.is_temporary = k->result == CHECK_TEMPERROR;
        break_chain(c, "a seal's key is not there");
        return;
    }
    if (set->seal_parsed.algorithm == DKIM_RSA_SHA1 || !k->key.takes_sha256 || !k->key.is_for_mail ||
        signing_key_check(&k->key, set->seal_parsed.algorithm, set->covered, set->seal_parsed.signature, NULL, NULL) != OK)
        break_chain(c, "a seal does not hold");
}

void arc_check_end(struct mail_check *c, struct resolver *resolver, unix_ms now, millis deadline)
{
    struct dkim_verdict message = {0};
    c->arc.instances = c->set_count;
    if (c->set_count == 0 || c->arc.validation == ARC_FAIL) return;
    check_signature_judge(c, c->arc_message, resolver, now, deadline, &message);
    if (message.result != CHECK_PASS) {
        c->arc.is_temporary = message.result == CHECK_TEMPERROR;
        break_chain(c, "the last message signature does not hold");
        return;
    }
    digest_sets(c);
    for (unsigned i = c->set_count; i > 0 && c->arc.validation != ARC_FAIL; i--) check_seal(c, i, resolver, deadline);
    if (c->arc.validation != ARC_FAIL) c->arc.validation = ARC_PASS;
}
