/* Complaint reports: whatever comes, the limits are kept; what was read and is written down again reads the same. */
#include "base/check.h"
#include "formats/arf.h"
#include "formats/header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_limits(const struct arf_report *r)
{
    check(r->type.len > 0 && r->type.len <= ARF_TEXT_MAX && r->incidents > 0);
    check(r->user_agent.len <= ARF_TEXT_MAX && r->envelope_id.len <= ARF_TEXT_MAX && r->mail_from.len <= ARF_TEXT_MAX);
    check(r->recipient_count <= ARF_LIST_MAX && r->domain_count <= ARF_LIST_MAX && r->original.len <= HEADER_VALUE_BYTES_MAX);
}

static bool is_plain(view v)
{
    for (size_t i = 0; i < v.len; i++)
        if ((unsigned char)v.at[i] < ' ' || (unsigned char)v.at[i] == 127) return false;
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 4 * ARF_ARENA_BYTES);
    struct arf_report *r = arena_new_struct(arena, struct arf_report), *again = arena_new_struct(arena, struct arf_report);
    buf text CLEANUP(buf_done) = BUF_INIT;
    if (!arf_parse(view_make(data, size), arena, r)) return 0;
    check_limits(r);
    struct arf_message m = {.from = VIEW("a@x.test"), .to = VIEW("b@y.test"), .server_name = VIEW("mx.x.test"), .subject = VIEW("complaint"), .words = VIEW("words\r\n"),
                            .now = {1790000000000}, .report = *r};
    arf_write(&text, &m);
    check(text.len <= ARF_MESSAGE_BYTES_MAX + 65536);
    check(arf_parse(buf_view(&text), arena, again));
    check_limits(again);
    check(again->recipient_count <= r->recipient_count && again->domain_count == r->domain_count && again->incidents == r->incidents);
    if (is_plain(r->type)) check(view_equal(again->type, r->type));
    if (is_plain(r->source_ip)) check(view_equal(again->source_ip, r->source_ip));
    return 0;
}
