#include "formats/tls_report.h"

#include <jansson.h>
#include <stdlib.h>

#include "formats/date.h"

/* ---- the TXT record ---- */

static void take_places(view value, struct tls_report_record *record)
{
    view place;
    while (view_cut(&value, ',', &place)) {
        place = view_trim(place);
        bool is_known = view_starts_nocase(place, VIEW("mailto:")) || view_starts_nocase(place, VIEW("https:"));
        if (is_known && place.len <= TLS_REPORT_TEXT_MAX && record->count < TLS_REPORT_PLACES_MAX) record->places[record->count++] = place;
    }
}

bool tls_report_record_parse(view text, struct tls_report_record *ret_record)
{
    struct tls_report_record record = {.count = 0};
    view field;
    if (!view_cut(&text, ';', &field) || !view_equal(view_trim(field), VIEW("v=TLSRPTv1"))) return false;
    while (view_cut(&text, ';', &field)) {
        field = view_trim(field);
        if (view_starts(field, VIEW("rua=")) && record.count == 0) take_places(view_from(field, 4), &record);
    }
    if (record.count) *ret_record = record;
    return record.count > 0;
}

/* ---- adding ---- */

static view keep(struct arena *arena, view text) { return arena_keep(arena, view_slice(text, 0, TLS_REPORT_TEXT_MAX)); }

static view *keep_all(struct arena *arena, const view *texts, size_t count)
{
    view *kept = arena_array(arena, view, count + 1);
    for (size_t i = 0; i < count; i++) kept[i] = keep(arena, texts[i]);
    return kept;
}

static bool are_equal(const view *a, size_t a_count, const view *b, size_t b_count)
{
    if (a_count != b_count) return false;
    for (size_t i = 0; i < a_count; i++)
        if (!view_equal(a[i], b[i])) return false;
    return true;
}

static bool is_same_policy(const struct tls_report_policy *a, const struct tls_report_policy *b)
{
    return view_equal(a->type, b->type) && view_equal(a->domain, b->domain) && are_equal(a->strings, a->string_count, b->strings, b->string_count) &&
           are_equal(a->hosts, a->host_count, b->hosts, b->host_count);
}

static bool is_same_detail(const struct tls_report_detail *a, const struct tls_report_detail *b)
{
    return view_equal(a->result_type, b->result_type) && view_equal(a->sending_ip, b->sending_ip) && view_equal(a->receiving_host, b->receiving_host) &&
           view_equal(a->receiving_hello, b->receiving_hello) && view_equal(a->receiving_ip, b->receiving_ip) && view_equal(a->reason, b->reason) &&
           view_equal(a->more, b->more);
}

static struct tls_report_policy *policy_for(struct tls_report *r, const struct tls_report_policy *like, struct arena *arena)
{
    for (size_t i = 0; i < r->policy_count; i++)
        if (is_same_policy(&r->policies[i], like)) return &r->policies[i];
    if (r->policy_count == TLS_REPORT_POLICIES_MAX) return NULL;
    struct tls_report_policy *p = &r->policies[r->policy_count++];
    *p = (struct tls_report_policy){.type = keep(arena, like->type), .domain = keep(arena, like->domain), .string_count = like->string_count, .host_count = like->host_count};
    p->strings = keep_all(arena, like->strings, like->string_count);
    p->hosts = keep_all(arena, like->hosts, like->host_count);
    p->details = arena_array(arena, struct tls_report_detail, TLS_REPORT_DETAILS_MAX);
    return p;
}

enum { SUM_BITS = 48 };                  /* a sum stops there: what is read back never overflows */

static void add_count(uint64_t *sum, uint64_t more)
{
    const uint64_t most = 1ull << SUM_BITS;
    *sum = more >= most - *sum ? most : *sum + more;
}

static void add_detail(struct tls_report_policy *p, const struct tls_report_detail *detail, struct arena *arena)
{
    for (size_t i = 0; i < p->detail_count; i++)
        if (is_same_detail(&p->details[i], detail)) {
            add_count(&p->details[i].count, detail->count);
            return;
        }
    if (p->detail_count == TLS_REPORT_DETAILS_MAX) return;
    p->details[p->detail_count++] = (struct tls_report_detail){
        .result_type = keep(arena, detail->result_type), .sending_ip = keep(arena, detail->sending_ip), .receiving_host = keep(arena, detail->receiving_host),
        .receiving_hello = keep(arena, detail->receiving_hello), .receiving_ip = keep(arena, detail->receiving_ip), .reason = keep(arena, detail->reason),
        .more = keep(arena, detail->more), .count = detail->count};
}

bool tls_report_add(struct tls_report *r, const struct tls_report_policy *policy, struct arena *arena)
{
    struct tls_report_policy *p = policy_for(r, policy, arena);
    if (!p) return false;
    add_count(&p->successes, policy->successes);
    add_count(&p->failures, policy->failures);
    for (size_t i = 0; i < policy->detail_count; i++) add_detail(p, &policy->details[i], arena);
    return true;
}

/* ---- writing ---- */

/* Texts come from servers: bytes that are no UTF-8 would make jansson refuse the whole. */
static json_t *text_json(view text)
{
    json_t *string = json_stringn(text.len ? text.at : "", text.len);
    return string ? string : json_string("?");
}

static void set_text(json_t *object, const char *key, view text)
{
    if (text.len) json_object_set_new(object, key, text_json(text));
}

static json_t *texts_json(const view *texts, size_t count)
{
    json_t *array = json_array();
    for (size_t i = 0; i < count; i++) json_array_append_new(array, text_json(texts[i]));
    return array;
}

static json_t *detail_json(const struct tls_report_detail *d)
{
    json_t *object = json_object();
    set_text(object, "result-type", d->result_type);
    set_text(object, "sending-mta-ip", d->sending_ip);
    set_text(object, "receiving-mx-hostname", d->receiving_host);
    set_text(object, "receiving-mx-helo", d->receiving_hello);
    set_text(object, "receiving-ip", d->receiving_ip);
    json_object_set_new(object, "failed-session-count", json_integer((json_int_t)d->count));
    set_text(object, "additional-information", d->more);
    set_text(object, "failure-reason-code", d->reason);
    return object;
}

static json_t *policy_json(const struct tls_report_policy *p)
{
    json_t *policy = json_object(), *summary = json_object(), *details = json_array(), *whole = json_object();
    set_text(policy, "policy-type", p->type);
    if (p->string_count) json_object_set_new(policy, "policy-string", texts_json(p->strings, p->string_count));
    set_text(policy, "policy-domain", p->domain);
    if (p->host_count) json_object_set_new(policy, "mx-host", texts_json(p->hosts, p->host_count));
    json_object_set_new(summary, "total-successful-session-count", json_integer((json_int_t)p->successes));
    json_object_set_new(summary, "total-failure-session-count", json_integer((json_int_t)p->failures));
    for (size_t i = 0; i < p->detail_count; i++) json_array_append_new(details, detail_json(&p->details[i]));
    json_object_set_new(whole, "policy", policy);
    json_object_set_new(whole, "summary", summary);
    if (p->detail_count) json_object_set(whole, "failure-details", details);
    json_decref(details);
    return whole;
}

static json_t *time_json(unix_ms at)
{
    buf text = BUF_INIT;
    date_rfc3339_append(&text, at);
    json_t *string = text_json(buf_view(&text));
    buf_done(&text);
    return string;
}

void tls_report_write(buf *into, const struct tls_report *r)
{
    json_t *whole = json_object(), *range = json_object(), *policies = json_array();
    set_text(whole, "organization-name", r->organisation);
    json_object_set_new(range, "start-datetime", time_json(r->begin));
    json_object_set_new(range, "end-datetime", time_json(r->end));
    json_object_set_new(whole, "date-range", range);
    set_text(whole, "contact-info", r->contact);
    set_text(whole, "report-id", r->id);
    for (size_t i = 0; i < r->policy_count; i++) json_array_append_new(policies, policy_json(&r->policies[i]));
    json_object_set_new(whole, "policies", policies);
    char *text = json_dumps(whole, JSON_COMPACT);
    json_decref(whole);
    buf_append_cstr(into, text);
    free(text);
}

/* ---- reading ---- */

/* The library goes down by recursion, on a stack that is small. */
static bool is_shallow(view json)
{
    unsigned depth = 0;
    bool in_text = false;
    for (size_t i = 0; i < json.len; i++) {
        char byte = json.at[i];
        if (in_text && byte == '\\') i++;
        else if (byte == '"') in_text = !in_text;
        else if (in_text) continue;
        else if ((byte == '{' || byte == '[') && ++depth > TLS_REPORT_DEPTH_MAX) return false;
        else if ((byte == '}' || byte == ']') && depth > 0) depth--;
    }
    return true;
}

static view read_text(const json_t *object, const char *key, struct arena *arena)
{
    const json_t *text = json_object_get(object, key);
    return json_is_string(text) ? keep(arena, view_make(json_string_value(text), json_string_length(text))) : VIEW_EMPTY;
}

static uint64_t read_count(const json_t *object, const char *key)
{
    json_int_t number = json_integer_value(json_object_get(object, key));
    return number < 0 ? 0 : number > (1ll << SUM_BITS) ? 1ull << SUM_BITS : (uint64_t)number;
}

/* A list, or one text: writers do both. */
static view *read_texts(const json_t *object, const char *key, struct arena *arena, size_t *ret_count)
{
    const json_t *list = json_object_get(object, key);
    size_t count = json_is_array(list) ? json_array_size(list) : json_is_string(list);
    if (count > TLS_REPORT_STRINGS_MAX) count = TLS_REPORT_STRINGS_MAX;
    view *texts = arena_array(arena, view, count + 1);
    for (size_t i = 0; i < count; i++) {
        const json_t *text = json_is_array(list) ? json_array_get(list, i) : list;
        if (json_is_string(text)) texts[i] = keep(arena, view_make(json_string_value(text), json_string_length(text)));
    }
    *ret_count = count;
    return texts;
}

static struct tls_report_detail read_detail(const json_t *d, struct arena *arena)
{
    return (struct tls_report_detail){
        .result_type = read_text(d, "result-type", arena), .sending_ip = read_text(d, "sending-mta-ip", arena), .receiving_host = read_text(d, "receiving-mx-hostname", arena),
        .receiving_hello = read_text(d, "receiving-mx-helo", arena), .receiving_ip = read_text(d, "receiving-ip", arena), .reason = read_text(d, "failure-reason-code", arena),
        .more = read_text(d, "additional-information", arena), .count = read_count(d, "failed-session-count")};
}

static void read_policy(const json_t *whole, struct arena *arena, struct tls_report *r)
{
    struct tls_report_detail details[1];
    const json_t *policy = json_object_get(whole, "policy"), *summary = json_object_get(whole, "summary"), *list = json_object_get(whole, "failure-details");
    struct tls_report_policy p = {.type = read_text(policy, "policy-type", arena), .domain = read_text(policy, "policy-domain", arena), .details = details};
    p.strings = read_texts(policy, "policy-string", arena, &p.string_count);
    p.hosts = read_texts(policy, "mx-host", arena, &p.host_count);
    p.successes = read_count(summary, "total-successful-session-count");
    p.failures = read_count(summary, "total-failure-session-count");
    (void)!tls_report_add(r, &p, arena);
    p.successes = p.failures = 0;
    p.detail_count = 1;
    for (size_t i = 0; i < json_array_size(list) && i < TLS_REPORT_DETAILS_MAX; i++) {
        details[0] = read_detail(json_array_get(list, i), arena);
        (void)!tls_report_add(r, &p, arena);
    }
}

static bool read_range(const json_t *whole, struct arena *arena, struct tls_report *r)
{
    const json_t *range = json_object_get(whole, "date-range");
    return date_rfc3339_parse(read_text(range, "start-datetime", arena), &r->begin) && date_rfc3339_parse(read_text(range, "end-datetime", arena), &r->end);
}

static const char *read_report(const json_t *whole, struct arena *arena, struct tls_report *r)
{
    const json_t *policies = json_object_get(whole, "policies");
    if (!json_is_object(whole) || !json_is_array(policies)) return "it has no policies";
    if (!read_range(whole, arena, r)) return "it has no time that it is about";
    r->organisation = read_text(whole, "organization-name", arena);
    r->contact = read_text(whole, "contact-info", arena);
    r->id = read_text(whole, "report-id", arena);
    for (size_t i = 0; i < json_array_size(policies) && i < TLS_REPORT_POLICIES_MAX; i++) read_policy(json_array_get(policies, i), arena, r);
    return NULL;
}

bool tls_report_parse(view json, struct arena *arena, struct tls_report *ret_report, const char **reterr_reason)
{
    struct tls_report *r = arena_new_struct(arena, struct tls_report);
    const char *reason = json.len > TLS_REPORT_JSON_BYTES_MAX ? "it is too long" : !is_shallow(json) ? "it is nested too deeply" : NULL;
    json_t *whole = reason ? NULL : json_loadb(json.len ? json.at : "", json.len, 0, NULL);
    if (!reason) reason = whole ? read_report(whole, arena, r) : "it is no JSON";
    json_decref(whole);
    if (reason) *reterr_reason = reason;
    else *ret_report = *r;
    return !reason;
}
