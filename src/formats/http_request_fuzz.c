/* Oracle: what is parsed lies inside the input; a request that parses still does with a harmless field added. */
#include "base/buf.h"
#include "base/check.h"
#include "formats/http_request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct http_request r, again;
    view head = view_make(data, size);
    if (!http_request_parse(head, &r)) return 0;
    check(r.target.at >= head.at && r.target.at + r.target.len <= head.at + head.len);
    buf longer CLEANUP(buf_done) = BUF_INIT;
    size_t line = view_find(head, '\n') + 1;
    buf_append(&longer, view_slice(head, 0, line));
    buf_append_cstr(&longer, "X-A: b\r\n");
    buf_append(&longer, view_from(head, line));
    if (http_request_parse(buf_view(&longer), &again)) check(again.has_body == r.has_body && view_equal(again.path, r.path));
    return 0;
}
