#include "flow/route.h"

#include <string.h>

#include "base/check.h"
#include "runtime/random.h"

enum { SMTP_PORT = 25, ROUTES_MAX = 10000, DEFAULT_TTL_S = 300 };

struct static_route { view domain, host; uint16_t port; bool is_lmtp; enum route_tls tls; };
struct route_table { struct static_route *routes; size_t count; };

/* ---- the operator's ---- */

static bool parse_port(view text, uint16_t *ret_port)
{
    uint32_t port;
    if (!view_to_u32(text, &port) || port == 0 || port > 65535) return false;
    *ret_port = (uint16_t)port;
    return true;
}

/* tls=required */
static bool parse_option(view option, struct static_route *route)
{
    if (view_equal(option, VIEW("tls=never"))) route->tls = ROUTE_TLS_NEVER;
    else if (view_equal(option, VIEW("tls=required"))) route->tls = ROUTE_TLS_REQUIRED;
    else if (view_equal(option, VIEW("tls=verified"))) route->tls = ROUTE_TLS_VERIFIED;
    else return false;
    return true;
}

/* host, host:port, [v6]:port, lmtp:host:port */
static bool parse_host(view text, struct static_route *route)
{
    size_t colon;
    route->port = SMTP_PORT;
    route->is_lmtp = view_starts_nocase(text, VIEW("lmtp:"));
    if (route->is_lmtp) text = view_from(text, 5), route->port = 24;
    if (text.len && text.at[0] == '[') {
        size_t end = view_find(text, ']');
        if (end == VIEW_NONE) return false;
        route->host = view_slice(text, 1, end - 1);
        text = view_from(text, end + 1);
        return text.len == 0 || (text.at[0] == ':' && parse_port(view_from(text, 1), &route->port));
    }
    colon = view_find_last(text, ':');
    route->host = colon == VIEW_NONE ? text : view_slice(text, 0, colon);
    if (colon != VIEW_NONE && !parse_port(view_from(text, colon + 1), &route->port)) return false;
    return route->host.len > 0;
}

/* A host, or none, and options behind commas. */
static bool parse_target(view text, struct static_route *route)
{
    view host = VIEW_EMPTY, option;
    bool has_options = view_has_byte(text, ',');
    (void)!view_cut(&text, ',', &host);
    if (has_options && text.len == 0) return false;
    while (view_cut(&text, ',', &option))
        if (!parse_option(option, route)) return false;
    return host.len == 0 ? has_options : parse_host(host, route);
}

result route_table_parse(view text, struct arena *arena, struct route_table **ret_table, struct fault *fault)
{
    struct route_table *table = arena_new_struct(arena, struct route_table);
    view word, domain;
    size_t words = 1;
    for (size_t i = 0; i < text.len; i++) words += text.at[i] == ' ';
    if (words > ROUTES_MAX) return fail(fault, INVALID, "more than %d routes", ROUTES_MAX);
    table->routes = arena_array(arena, struct static_route, words);
    text = arena_keep(arena, text);
    while (view_cut(&text, ' ', &word)) {
        if (word.len == 0) continue;
        view whole = word;
        struct static_route *route = &table->routes[table->count];
        if (!view_has_byte(word, '=') || !view_cut(&word, '=', &domain) || domain.len == 0 || !parse_target(word, route))
            return fail(fault, INVALID, "route \"" VIEW_FMT "\": expected DOMAIN=HOST:PORT, and perhaps ,tls=never, ,tls=required or ,tls=verified", VIEW_ARG(whole));
        route->domain = domain;
        table->count++;
    }
    *ret_table = table;
    return OK;
}

static const struct static_route *find_static(const struct route_table *table, view domain)
{
    const struct static_route *for_all = NULL;
    for (size_t i = 0; table && i < table->count; i++) {
        if (view_equal_nocase(table->routes[i].domain, domain)) return &table->routes[i];
        if (view_equal(table->routes[i].domain, VIEW("*"))) for_all = &table->routes[i];
    }
    return for_all;
}

/* ---- addresses ---- */

struct search {
    struct resolver *resolver;
    millis deadline;
    struct arena *arena;
    struct fault *fault;
    uint32_t ttl_s;
    bool was_unsure;                     /* something could not be asked */
};

/* Fills the host's canonical name, and takes its is_secure away where DNSSEC does not vouch. */
MAY_YIELD static size_t ask_addresses(struct search *s, struct route_host *host, enum dns_type type, struct address *into)
{
    view name = host->name;
    uint16_t port = host->port;
    struct dns_answer answer;
    size_t count = 0;
    result code = resolver_ask(s->resolver, name, type, s->deadline, s->arena, &answer, s->fault);
    if (code != OK && code != NOT_FOUND && code != INVALID) s->was_unsure = true;
    if (code != OK) return 0;
    host->canonical = answer.canonical;
    host->is_secure &= answer.is_secure;
    if (answer.ttl_s < s->ttl_s) s->ttl_s = answer.ttl_s;
    for (size_t i = 0; i < answer.count && count < ROUTE_ADDRESSES_MAX; i++) {
        if (!dns_address_parse(answer.records[i], type, &into[count])) continue;
        into[count++].port = port;
    }
    return count;
}

/* IPv6 first, then in turn, so that one family that goes nowhere costs one try in two. */
MAY_YIELD static void find_addresses(struct search *s, struct route_host *host, uint16_t port)
{
    struct address six[ROUTE_ADDRESSES_MAX], four[ROUTE_ADDRESSES_MAX];
    host->port = port;
    host->canonical = host->name;
    host->is_literal = address_parse(host->name, &host->addresses[0]);
    if (host->is_literal) {
        host->addresses[0].port = port;
        host->address_count = 1;
        return;
    }
    host->is_secure = true;
    size_t sixes = ask_addresses(s, host, DNS_AAAA, six), fours = ask_addresses(s, host, DNS_A, four);
    for (size_t i = 0; i < ROUTE_ADDRESSES_MAX; i++) {
        if (i < sixes && host->address_count < ROUTE_ADDRESSES_MAX) host->addresses[host->address_count++] = six[i];
        if (i < fours && host->address_count < ROUTE_ADDRESSES_MAX) host->addresses[host->address_count++] = four[i];
    }
}

MAY_YIELD static result find_all_addresses(struct search *s, struct route *route, uint16_t port, view domain)
{
    size_t kept = 0;
    for (size_t i = 0; i < route->host_count; i++) {
        find_addresses(s, &route->hosts[i], port);
        if (route->hosts[i].address_count > 0) route->hosts[kept++] = route->hosts[i];
    }
    route->host_count = kept;
    route->ttl_s = s->ttl_s < ROUTE_TTL_MIN_S ? ROUTE_TTL_MIN_S : s->ttl_s > ROUTE_TTL_MAX_S ? ROUTE_TTL_MAX_S : s->ttl_s;
    if (kept > 0) return OK;
    if (s->was_unsure) return fail(s->fault, UNAVAILABLE, "DNS does not answer for the servers of " VIEW_FMT, VIEW_ARG(domain));
    return fail(s->fault, DENIED, "no server of " VIEW_FMT " has an address", VIEW_ARG(domain));
}

/* ---- MX ---- */

struct mx_order { struct dns_mx mx; uint64_t lot; };

static bool mx_before(const struct mx_order *a, const struct mx_order *b)
{
    return a->mx.preference != b->mx.preference ? a->mx.preference < b->mx.preference : a->lot < b->lot;
}

/* Few: at most RESOLVER_RECORDS_MAX. */
static void sort_mx(struct mx_order *of, size_t count)
{
    for (size_t i = 1; i < count; i++)
        for (size_t n = i; n > 0 && mx_before(&of[n], &of[n - 1]); n--) {
            struct mx_order moved = of[n];
            of[n] = of[n - 1];
            of[n - 1] = moved;
        }
}

/* DENIED only for the null MX. */
static result read_mx(struct search *s, const struct dns_answer *answer, view domain, struct route *route)
{
    struct mx_order *of = arena_array(s->arena, struct mx_order, answer->count);
    size_t count = 0;
    for (size_t i = 0; i < answer->count; i++) {
        if (!dns_mx_parse(answer->records[i], s->arena, &of[count].mx)) continue;
        if (of[count].mx.host.len == 0) {
            if (answer->count == 1) return fail(s->fault, DENIED, VIEW_FMT " takes no mail (null MX)", VIEW_ARG(domain));
            continue;
        }
        of[count++].lot = random_u64();
    }
    if (count == 0) return fail(s->fault, UNAVAILABLE, "the MX records of " VIEW_FMT " are broken", VIEW_ARG(domain));
    sort_mx(of, count);
    route->host_count = count < ROUTE_HOSTS_MAX ? count : ROUTE_HOSTS_MAX;
    route->hosts = arena_array(s->arena, struct route_host, route->host_count);
    for (size_t i = 0; i < route->host_count; i++) route->hosts[i].name = of[i].mx.host;
    return OK;
}

static void route_to(struct search *s, view name, struct route *route)
{
    route->hosts = arena_array(s->arena, struct route_host, 1);
    route->hosts[0].name = arena_keep(s->arena, name);
    route->host_count = 1;
}

MAY_YIELD static result ask_mx(struct search *s, view domain, struct route *route, bool *ret_is_null_mx)
{
    struct dns_answer answer;
    result code = resolver_ask(s->resolver, domain, DNS_MX, s->deadline, s->arena, &answer, s->fault);
    if (code == NOT_FOUND && !answer.has_name) return fail(s->fault, DENIED, "no such domain: " VIEW_FMT, VIEW_ARG(domain));
    if (code == INVALID) return fail(s->fault, DENIED, "not a domain: " VIEW_FMT, VIEW_ARG(domain));
    if (code != OK && code != NOT_FOUND) return code;
    route->is_secure = answer.is_secure;
    route->canonical = answer.canonical;
    if (code == NOT_FOUND) {
        route_to(s, domain, route);
        return OK;
    }
    route->has_mx = true;
    s->ttl_s = answer.ttl_s;
    code = read_mx(s, &answer, domain, route);
    if (code == DENIED) *ret_is_null_mx = true;
    return code;
}

/* [192.0.2.1], [IPv6:2001:db8::1]: RFC 5321 §4.1.3. */
static result route_to_literal(view literal, struct route *route, struct search *s)
{
    view inner = view_slice(literal, 1, literal.len - 2);
    if (view_starts_nocase(inner, VIEW("IPv6:"))) inner = view_from(inner, 5);
    struct address ignored;
    if (!address_parse(inner, &ignored)) return fail(s->fault, DENIED, "not an address: " VIEW_FMT, VIEW_ARG(literal));
    route_to(s, inner, route);
    return OK;
}

result route_find(struct resolver *r, const struct route_table *table, view domain, millis deadline, struct arena *arena, struct route *ret_route,
                  bool *ret_is_null_mx, struct fault *fault)
{
    struct search s = {.resolver = r, .deadline = deadline, .arena = arena, .fault = fault, .ttl_s = DEFAULT_TTL_S};
    struct route route = {0};
    uint16_t port = SMTP_PORT;
    const struct static_route *fixed = find_static(table, domain);
    result code = OK;
    *ret_is_null_mx = false;
    route.canonical = domain;
    if (fixed) route.tls = fixed->tls;
    if (fixed && fixed->host.len) {
        route_to(&s, fixed->host, &route);
        route.is_lmtp = fixed->is_lmtp;
        route.is_fixed = route.is_secure = true;
        port = fixed->port;
    } else if (domain.len > 2 && domain.at[0] == '[') {
        code = route_to_literal(domain, &route, &s);
    } else {
        code = ask_mx(&s, domain, &route, ret_is_null_mx);
    }
    if (code == OK) code = find_all_addresses(&s, &route, port, domain);
    if (code == OK) *ret_route = route;
    return code;
}
