/* Reports and their records: whatever is read keeps the limits, and written down again it reads the same. */
#include "base/check.h"
#include "formats/tls_report.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t total(const struct tls_report *r)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < r->policy_count; i++) {
        sum += r->policies[i].successes + r->policies[i].failures;
        for (size_t n = 0; n < r->policies[i].detail_count; n++) sum += r->policies[i].details[n].count;
    }
    return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 2 * TLS_REPORT_ARENA_BYTES);
    struct tls_report *r = arena_new_struct(arena, struct tls_report), *again = arena_new_struct(arena, struct tls_report);
    struct tls_report_record record = {.count = 0};
    buf text CLEANUP(buf_done) = BUF_INIT;
    const char *reason = NULL;
    view input = view_make(data, size);
    if (tls_report_record_parse(input, &record)) check(record.count > 0 && record.count <= TLS_REPORT_PLACES_MAX);
    if (size > 1 << 16) return 0;
    if (!tls_report_parse(input, arena, r, &reason)) {
        check(reason != NULL);
        return 0;
    }
    check(r->policy_count <= TLS_REPORT_POLICIES_MAX);
    tls_report_write(&text, r);
    check(tls_report_parse(buf_view(&text), arena, again, &reason));
    check(again->policy_count == r->policy_count && again->begin.ms == r->begin.ms && again->end.ms == r->end.ms);
    check(total(again) == total(r));
    return 0;
}
