/* Fuzzes return paths of forwarded mail. Oracle: what is read is written so that it reads the same, whatever its separator and case were. */
#include "base/check.h"
#include "formats/srs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct srs s, same;
    buf text CLEANUP(buf_done) = BUF_INIT;
    if (!srs_parse(view_make(data, size), &s)) return 0;
    srs_append(&text, &s);
    check(srs_parse(buf_view(&text), &same) && same.is_second == s.is_second && view_equal(same.hash, s.hash) && view_equal(same.stamp, s.stamp) &&
          view_equal(same.domain, s.domain) && view_equal(same.local, s.local));
    int age = srs_stamp_age(s.stamp, (unix_ms){1790000000000});
    check(age >= -1 && age < SRS_STAMP_DAYS);
    return 0;
}
