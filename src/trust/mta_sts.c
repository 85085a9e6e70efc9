#include "trust/mta_sts.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/map.h"
#include "runtime/clock.h"
#include "runtime/coroutine.h"

enum {
    LOOK_MS = 60 * 1000,                 /* a loop asks DNS and the table again after so long */
    RETRY_MS = 5 * 60 * 1000,            /* §3.3: a fetch that failed is not tried again sooner */
    REFRESH_MS = 24 * 3600 * 1000,       /* §10.2: a policy that is in use is fetched anew once a day, so that it never ends by chance */
    FETCH_MS = 60 * 1000,                /* §3.3 */
    ENTRIES_MAX = 4096,                  /* of one loop; a full cache is emptied of all that nobody uses */
    FETCH_ARENA_BYTES = 1 << 20,
};
static const view table = VIEW_INIT("mta_sts");

/* What a loop knows of a domain. */
struct entry {
    struct mutex lock;                   /* who finds out */
    unsigned users;
    millis good_until, no_fetch_before;
    buf id, text;                        /* text empty: no policy */
    unix_ms fetched;
    uint32_t max_age_s;
    enum mta_sts_trouble trouble;
    size_t name_len;
    char name[];
};

struct mta_sts {
    struct engine *engine;
    struct resolver *resolver;
    struct http *http;
    unsigned loops;
    struct map of_loop[];
};

/* ---- entries ---- */

static void entry_free(struct entry *e)
{
    buf_done(&e->id);
    buf_done(&e->text);
    free(e);
}

/* An open-addressed map must not change while it is walked: names are gathered first. */
static void empty(struct map *m)
{
    struct entry **idle = calloc(m->count + 1, sizeof *idle);
    size_t count = 0, position = 0;
    check(idle);
    for (struct map_slot *slot; (slot = map_next(m, &position));)
        if (((struct entry *)slot->value)->users == 0) idle[count++] = slot->value;
    for (size_t i = 0; i < count; i++) {
        map_remove(m, view_make(idle[i]->name, idle[i]->name_len));
        entry_free(idle[i]);
    }
    free(idle);
}

static struct entry *entry_of(struct mta_sts *m, view domain)
{
    struct map *entries = &m->of_loop[loop_index(loop_self())];
    struct entry *e = map_get(entries, domain);
    if (e) return e;
    if (entries->count >= ENTRIES_MAX) empty(entries);
    e = calloc(1, sizeof *e + domain.len + 1);
    check(e);
    mutex_init(&e->lock);
    memcpy(e->name, domain.at, domain.len);
    e->name_len = domain.len;
    map_put(entries, view_make(e->name, e->name_len), e);
    return e;
}

struct mta_sts *mta_sts_new(struct engine *e, struct resolver *r, struct http *http, struct loops *all)
{
    struct mta_sts *m = calloc(1, sizeof *m + loops_count(all) * sizeof m->of_loop[0]);
    check(m);
    m->engine = e;
    m->resolver = r;
    m->http = http;
    m->loops = loops_count(all);
    return m;
}

void mta_sts_free(struct mta_sts *m)
{
    if (!m) return;
    for (unsigned i = 0; i < m->loops; i++) {
        empty(&m->of_loop[i]);
        map_done(&m->of_loop[i]);
    }
    free(m);
}

static view name_of(const struct entry *e) { return view_make(e->name, e->name_len); }
static bool holds(const struct entry *e) { return e->text.len && clock_wall().ms - e->fetched.ms < (int64_t)e->max_age_s * 1000; }

static void put_text(buf *into, view text)
{
    buf_clear(into);
    buf_append(into, text);
}

/* False: it is no policy. */
static bool entry_set(struct entry *e, view id, view text, unix_ms fetched)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, FETCH_ARENA_BYTES);
    struct mta_sts_policy policy;
    const char *reason;
    if (!mta_sts_policy_parse(text, arena, &policy, &reason)) return false;
    put_text(&e->id, id);
    put_text(&e->text, text);
    e->fetched = fetched;
    e->max_age_s = policy.max_age_s;
    return true;
}

/* ---- the table ---- */

/* A row that another node wrote later is better than what we know; one that cannot be read is none. */
static void adopt_row(struct entry *e, view json)
{
    json_t *row = json_loadb(json.at, json.len, 0, NULL);
    const char *id = NULL, *text = NULL;
    json_int_t fetched_ms = 0;
    size_t text_len = 0;
    if (row && json_unpack(row, "{s:s, s:s%, s:I}", "id", &id, "policy", &text, &text_len, "fetched", &fetched_ms) == 0 && fetched_ms > e->fetched.ms)
        (void)!entry_set(e, view_of(id), view_make(text, text_len), (unix_ms){fetched_ms});
    json_decref(row);
}

MAY_YIELD static result read_row(struct mta_sts *m, struct entry *e, millis deadline, struct fault *fault)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 2 * ENGINE_VALUE_MAX_BYTES);
    view json;
    result code = table_get(m->engine, table, table_shard_of(m->engine, table, name_of(e)), name_of(e), deadline, arena, &json, fault);
    if (code == OK) adopt_row(e, json);
    return code == NOT_FOUND ? OK : code;
}

/* That it is not written is no reason to wait: this loop keeps to it, and others fetch it themselves. */
MAY_YIELD static void write_row(struct mta_sts *m, const struct entry *e, millis deadline)
{
    json_t *row = json_pack("{s:s%, s:I, s:s%}", "id", e->id.at, e->id.len, "fetched", (json_int_t)e->fetched.ms, "policy", e->text.at, e->text.len);
    char *text = row ? json_dumps(row, JSON_COMPACT) : NULL;
    json_decref(row);
    if (!text) return;
    struct table_change change = {.key = name_of(e), .what = TABLE_PUT, .value = view_of(text)};
    (void)!table_batch(m->engine, table, table_shard_of(m->engine, table, name_of(e)), &change, 1, deadline, NULL, NULL);
    free(text);
}

/* ---- DNS and HTTPS ---- */

/* §3.1: exactly one record that begins with v=STSv1. CANCELLED alone is an error: no answer is no news. */
MAY_YIELD static result ask_id(struct mta_sts *m, const struct entry *e, millis deadline, struct arena *arena, view *ret_id)
{
    struct dns_answer answer = {0};
    view text, id = VIEW_EMPTY;
    unsigned found = 0;
    result code = resolver_ask(m->resolver, arena_printf(arena, "_mta-sts.%s", e->name), DNS_TXT, deadline, arena, &answer, NULL);
    for (size_t i = 0; code == OK && i < answer.count; i++) {
        if (!dns_txt_parse(answer.records[i], arena, &text) || !view_starts(text, VIEW("v=STSv1"))) continue;
        found++;
        (void)!mta_sts_record_parse(text, &id);
    }
    *ret_id = found == 1 ? id : VIEW_EMPTY;
    return code == CANCELLED ? CANCELLED : OK;
}

/* §3.3: text/plain, with or without parameters. */
static bool is_plain(view type)
{
    view first = VIEW_EMPTY;
    (void)!view_cut(&type, ';', &first);
    return view_equal_nocase(view_trim(first), VIEW("text/plain"));
}

MAY_YIELD static result fetch(struct mta_sts *m, struct entry *e, view id, struct arena *arena)
{
    struct address addresses[HTTP_ADDRESSES_MAX];
    struct http_answer answer;
    bool is_certificate = false;
    millis deadline = clock_in(FETCH_MS);
    struct http_request request = {.url = arena_printf(arena, "https://mta-sts.%s/.well-known/mta-sts.txt", e->name), .addresses = addresses,
                                   .bytes_max = MTA_STS_POLICY_BYTES_MAX};
    request.address_count = http_find_addresses(m->resolver, request.url, deadline, arena, addresses);
    result code = request.address_count ? http_ask(m->http, &request, deadline, arena, &answer, &is_certificate, NULL) : UNAVAILABLE;
    if (code == CANCELLED) return CANCELLED;
    e->trouble = MTA_STS_NO_TROUBLE;
    if (code != OK || answer.status != 200) e->trouble = is_certificate ? MTA_STS_WEBPKI_INVALID : MTA_STS_FETCH_ERROR;
    else if (!is_plain(answer.content_type) || !entry_set(e, id, answer.body, clock_wall())) e->trouble = MTA_STS_INVALID;
    e->no_fetch_before = e->trouble == MTA_STS_NO_TROUBLE ? (millis){0} : clock_in(RETRY_MS);
    if (e->trouble == MTA_STS_NO_TROUBLE) write_row(m, e, deadline);
    return OK;
}

/* ---- finding out ---- */

static bool is_news(const struct entry *e, view id)
{
    return !holds(e) || !view_equal(id, buf_view(&e->id)) || clock_wall().ms - e->fetched.ms >= REFRESH_MS;
}

MAY_YIELD static result find_out(struct mta_sts *m, struct entry *e, millis deadline, struct fault *fault)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, FETCH_ARENA_BYTES);
    view id = VIEW_EMPTY;
    result code = read_row(m, e, deadline, fault);
    if (code == OK) code = ask_id(m, e, deadline, arena, &id);
    if (code != OK) return code;
    if (id.len == 0) e->trouble = MTA_STS_NO_TROUBLE;
    if (id.len && m->http && is_news(e, id) && !millis_before(clock_now(), e->no_fetch_before)) code = fetch(m, e, id, arena);
    if (code == OK) e->good_until = clock_in(LOOK_MS);
    return code;
}

MAY_YIELD static result look(struct mta_sts *m, struct entry *e, millis deadline, struct fault *fault)
{
    if (millis_before(clock_now(), e->good_until)) return OK;
    result code = mutex_lock(&e->lock, deadline);
    if (code != OK) return fail(fault, code, "MTA-STS of %s", e->name);
    if (!millis_before(clock_now(), e->good_until)) code = find_out(m, e, deadline, fault);
    mutex_unlock(&e->lock);
    return code;
}

result mta_sts_find(struct mta_sts *m, view domain, millis deadline, struct arena *arena, struct mta_sts_found *ret_found, struct fault *fault)
{
    char name[RESOLVER_NAME_BYTES_MAX];
    struct mta_sts_found found = {0};
    const char *reason;
    if (!dns_name_is_valid(domain)) {
        *ret_found = found;
        return OK;
    }
    for (size_t i = 0; i < domain.len; i++) name[i] = ascii_lower(domain.at[i]);
    struct entry *e = entry_of(m, view_make(name, domain.len));
    e->users++;
    result code = look(m, e, deadline, fault);
    e->users--;
    if (code != OK) return code;
    found.trouble = e->trouble;
    if (holds(e)) {
        found.text = arena_keep(arena, buf_view(&e->text));
        found.has_policy = mta_sts_policy_parse(found.text, arena, &found.policy, &reason);
    }
    *ret_found = found;
    return OK;
}
