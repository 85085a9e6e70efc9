#include "flow/signing.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/map.h"
#include "formats/header.h"
#include "formats/mail_address.h"
#include "identity/address_key.h"
#include "identity/dkim_keys.h"
#include "runtime/clock.h"
#include "runtime/event.h"
#include "runtime/loop.h"

enum { ROW_ARENA_BYTES = 4 << 20, AUTHOR_ARENA_BYTES = 4 << 20 };

struct cached {
    char domain[256];
    millis good_until;
    uint64_t generation;
    struct signing_keys *keys;           /* NULL: none */
};

struct signing {
    struct identity *identity;
    struct loops *loops;
    struct map of_loop[];                /* struct cached by domain */
};

/* ---- keys of a domain ---- */

void signing_keys_close(struct signing_keys *k)
{
    if (!k || --k->uses > 0) return;
    for (size_t i = 0; i < k->count; i++) {
        signing_key_free((struct signing_key *)(uintptr_t)k->keys[i].key);
        free((char *)(uintptr_t)k->keys[i].selector.at);
    }
    free(k);
}

static void cached_free(struct cached *c)
{
    signing_keys_close(c->keys);
    free(c);
}

static void empty(struct map *m)
{
    size_t at = 0;
    for (struct map_slot *slot; (slot = map_next(m, &at));) cached_free(slot->value);
    map_done(m);
}

struct signing *signing_new(struct identity *identity, struct loops *all)
{
    struct signing *s = calloc(1, sizeof *s + loops_count(all) * sizeof s->of_loop[0]);
    check(s);
    s->identity = identity;
    s->loops = all;
    return s;
}

void signing_free(struct signing *s)
{
    if (!s) return;
    for (unsigned i = 0; i < loops_count(s->loops); i++) empty(&s->of_loop[i]);
    free(s);
}

static void load_key(struct signing_keys *keys, const struct identity_dkim_key *k)
{
    struct fault fault = {0};
    struct signing_key *key;
    if (k->state != DKIM_KEY_ACTIVE || keys->count == SIGNER_KEYS_MAX) return;
    if (signing_key_load(k->is_ed25519 ? DKIM_ED25519_SHA256 : DKIM_RSA_SHA256, k->private_bytes, &key, &fault) != OK) {
        EVENT_EMIT(DKIM_KEY_BROKEN, EVENT_TEXT("domain", view_of(keys->domain)), EVENT_TEXT("selector", k->selector), EVENT_FAULT(&fault));
        return;
    }
    char *selector = NULL;
    int len = asprintf(&selector, VIEW_FMT, VIEW_ARG(k->selector));
    check(len >= 0);
    keys->keys[keys->count++] = (struct signer_key){key, view_make(selector, (size_t)len)};
}

static struct signing_keys *load_keys(const struct identity_dkim *dkim)
{
    struct signing_keys *keys = calloc(1, sizeof *keys);
    check(keys);
    keys->uses = 1;
    snprintf(keys->domain, sizeof keys->domain, VIEW_FMT, VIEW_ARG(dkim->domain));
    for (size_t i = 0; i < dkim->count; i++) load_key(keys, &dkim->keys[i]);
    if (keys->count > 0) return keys;
    signing_keys_close(keys);
    return NULL;
}

static void keep(struct signing *s, view domain, uint64_t generation, millis asked, struct signing_keys *keys)
{
    struct map *m = &s->of_loop[loop_index(loop_self())];
    if (m->count >= SIGNING_DOMAINS_MAX) empty(m);
    struct cached *old = map_remove(m, domain), *c = calloc(1, sizeof *c);
    if (old) cached_free(old);
    check(c);
    *c = (struct cached){.good_until = millis_add(asked, SIGNING_KEPT_MS), .generation = generation, .keys = keys};
    snprintf(c->domain, sizeof c->domain, VIEW_FMT, VIEW_ARG(domain));
    map_put(m, view_of(c->domain), c);
}

static result open_cached(struct signing_keys *keys, struct signing_keys **ret_keys)
{
    if (!keys) return NOT_FOUND;
    keys->uses++;
    *ret_keys = keys;
    return OK;
}

result signing_keys_open(struct signing *s, view domain, millis deadline, struct signing_keys **ret_keys, struct fault *fault)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, ROW_ARENA_BYTES);
    struct identity_dkim dkim;
    view key;
    if (domain_key(domain, arena, &key) != OK) return NOT_FOUND;
    uint64_t generation = identity_generation(s->identity);
    struct cached *c = map_get(&s->of_loop[loop_index(loop_self())], key);
    millis now = clock_now();
    if (c && c->generation == generation && millis_before(now, c->good_until)) return open_cached(c->keys, ret_keys);
    result code = identity_find_dkim(s->identity, key, deadline, arena, &dkim, fault);
    if (code != OK && code != NOT_FOUND) return code;
    struct signing_keys *keys = code == OK ? load_keys(&dkim) : NULL;
    keep(s, key, generation, now, keys);
    return open_cached(keys, ret_keys);
}

/* ---- a message that goes by ---- */

struct message_signing {
    struct signing_keys *keys;
    struct signer *signer;
};

static view domain_of_author(view header, struct arena *arena)
{
    struct header_field from;
    if (!header_find(header, VIEW("From"), &from)) return VIEW_EMPTY;
    for (const struct mail_address *a = mail_address_list_parse(view_slice(from.value, 0, HEADER_VALUE_BYTES_MAX), arena); a; a = a->next)
        if (a->kind == MAIL_ADDRESS_MAILBOX) return a->domain;
    return VIEW_EMPTY;
}

result message_signing_new(struct signing *s, view header, millis deadline, struct message_signing **ret_signing, struct fault *fault)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, AUTHOR_ARENA_BYTES + 2 * header.len);
    struct signing_keys *keys;
    struct signer *signer;
    result code = signing_keys_open(s, domain_of_author(header, arena), deadline, &keys, fault);
    if (code != OK) return code;
    code = signer_new(DKIM_SIGNATURE, header, &signer, fault);
    if (code != OK) {
        signing_keys_close(keys);
        return NOT_FOUND;
    }
    struct message_signing *m = calloc(1, sizeof *m);
    check(m);
    *m = (struct message_signing){keys, signer};
    *ret_signing = m;
    return OK;
}

void message_signing_feed(struct message_signing *m, view body_piece) { signer_feed(m->signer, body_piece); }
view message_signing_domain(const struct message_signing *m) { return view_of(m->keys->domain); }

static struct signer_order order_of(const struct signing_keys *k)
{
    return (struct signer_order){.domain = view_of(k->domain), .keys = k->keys, .key_count = k->count, .now_s = clock_wall().ms / 1000};
}

result message_signing_finish(struct message_signing *m, buf *into, struct fault *fault)
{
    struct signer_order order = order_of(m->keys);
    return signer_finish(m->signer, &order, into, fault);
}

void message_signing_free(struct message_signing *m)
{
    if (!m) return;
    signer_free(m->signer);
    signing_keys_close(m->keys);
    free(m);
}

/* ---- our own ---- */

void signing_sign_own(struct signing *s, view message, millis deadline, buf *into)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, AUTHOR_ARENA_BYTES);
    struct signing_keys *keys = NULL;
    struct fault fault = {0};
    view header, body, label;
    header_split(message, &header, &body);
    result code = NOT_FOUND;
    for (view domain = domain_of_author(header, arena); domain.len > 0 && code == NOT_FOUND; view_cut(&domain, '.', &label))
        code = signing_keys_open(s, domain, deadline, &keys, &fault);
    if (code == NOT_FOUND) return;
    size_t before = into->len;
    if (code == OK) {
        struct signer_order order = order_of(keys);
        code = signer_sign_message(message, &order, into, &fault);
        signing_keys_close(keys);
    }
    if (code == OK) return;
    into->len = before;
    EVENT_EMIT(MESSAGE_NOT_SIGNED, EVENT_FAULT(&fault));
}
