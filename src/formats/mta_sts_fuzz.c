/* Records and policies of MTA-STS: what is taken keeps the limits, and a policy written down again is the same one. */
#include "base/buf.h"
#include "base/check.h"
#include "formats/mta_sts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void write_policy(buf *out, const struct mta_sts_policy *p)
{
    buf_appendf(out, "version: STSv1\nmode: %s\nmax_age: %u\n", mta_sts_mode_name(p->mode), p->max_age_s);
    for (size_t i = 0; i < p->pattern_count; i++) buf_appendf(out, "mx: " VIEW_FMT "\n", VIEW_ARG(p->patterns[i]));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 1 << 20);
    buf text CLEANUP(buf_done) = BUF_INIT;
    struct mta_sts_policy p, again;
    const char *reason = NULL;
    view input = view_make(data, size), id;
    if (mta_sts_record_parse(input, &id)) check(id.len > 0 && id.len <= MTA_STS_ID_MAX && id.at >= input.at && id.at + id.len <= input.at + input.len);
    if (!mta_sts_policy_parse(input, arena, &p, &reason)) {
        check(reason != NULL);
        return 0;
    }
    check(p.pattern_count <= MTA_STS_MX_MAX && p.max_age_s <= MTA_STS_AGE_MAX_S && (p.mode == MTA_STS_NONE || p.pattern_count > 0));
    write_policy(&text, &p);
    if (text.len > MTA_STS_POLICY_BYTES_MAX) return 0;
    check(mta_sts_policy_parse(buf_view(&text), arena, &again, &reason) && again.mode == p.mode && again.max_age_s == p.max_age_s && again.pattern_count == p.pattern_count);
    for (size_t i = 0; i < p.pattern_count; i++) {
        bool is_wild = view_starts(p.patterns[i], VIEW("*."));
        check(view_equal(again.patterns[i], p.patterns[i]) && (is_wild || mta_sts_allows(&p, p.patterns[i])));
    }
    return 0;
}
