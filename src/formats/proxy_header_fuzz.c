/* Oracles: a header that is accepted lies within its limits; each of its beginnings asks for more. */
#include "base/check.h"
#include "formats/proxy_header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct proxy_header h, shorter;
    size_t len = 0, ignored;
    view bytes = view_make(data, size);
    if (proxy_header_parse(bytes, &h, &len) != OK) return 0;
    check(len > 0 && len <= size && len <= PROXY_HEADER_MAX);
    check(!h.has_endpoints || (h.source.family == h.destination.family && (h.source.family == 4 || h.source.family == 6)));
    for (size_t i = 0; i < len; i++) check(proxy_header_parse(view_slice(bytes, 0, i), &shorter, &ignored) == BUSY);
    return 0;
}
