/* Oracles: the arena's use is bounded by the input; what SMTP takes reads back from its written form. */
#include "base/check.h"
#include "formats/date.h"
#include "formats/mail_address.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_smtp(view text, unsigned flags, struct arena *arena)
{
    struct smtp_address a, again;
    if (!mail_address_parse(text, flags, arena, &a)) return;
    buf b CLEANUP(buf_done) = BUF_INIT;
    mail_address_append(&b, a.local, a.domain);
    check(mail_address_parse(buf_view(&b), flags | MAIL_ADDRESS_TOLERANT, arena, &again));
    check(view_equal(a.local, again.local) && view_equal(a.domain, again.domain));
}

static void check_date(view text)
{
    struct date d, again;
    buf b CLEANUP(buf_done) = BUF_INIT;
    if (!date_parse(text, &d)) return;
    date_append(&b, d);
    check(date_parse(buf_view(&b), &again) && again.at.ms == d.at.ms && again.zone_minutes == d.zone_minutes);
    buf_clear(&b);
    date_imap_append(&b, d);
    check(date_imap_parse(buf_view(&b), &again) && again.at.ms == d.at.ms && again.zone_minutes == d.zone_minutes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 16 << 20);
    view text = view_make(data, size);
    unsigned count = 0;
    for (struct mail_address *a = mail_address_list_parse(text, arena); a; a = a->next) count++;
    check(count <= MAIL_ADDRESS_COUNT_MAX);
    check(arena_used(arena) <= 8 * size + count * sizeof(struct mail_address));
    for (unsigned flags = 0; flags < 8; flags++) check_smtp(text, flags, arena);
    check_date(text);
    return 0;
}
