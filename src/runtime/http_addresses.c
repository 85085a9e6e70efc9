/* Where a URL's host is: the same in both faces. */
#include "base/check.h"
#include "runtime/http.h"
#include "runtime/resolver.h"

view http_host(view url)
{
    view host = VIEW_EMPTY, rest;
    if (url.len > HTTP_URL_BYTES_MAX || !view_starts_nocase(url, VIEW("https://"))) return host;
    rest = view_from(url, sizeof "https://" - 1);
    (void)!view_cut(&rest, '/', &host);
    return dns_name_is_valid(host) ? host : VIEW_EMPTY;
}

size_t http_find_addresses(struct resolver *r, view url, millis deadline, struct arena *arena, struct address addresses[static HTTP_ADDRESSES_MAX])
{
    static const enum dns_type types[] = {DNS_AAAA, DNS_A};
    view host = http_host(url);
    size_t count = 0;
    for (size_t t = 0; host.len && t < array_size(types); t++) {
        struct dns_answer answer = {0};
        if (resolver_ask(r, host, types[t], deadline, arena, &answer, NULL) != OK) continue;
        for (size_t i = 0; i < answer.count && count < HTTP_ADDRESSES_MAX; i++) count += dns_address_parse(answer.records[i], types[t], &addresses[count]);
    }
    return count;
}
