/* Whatever is read as a URL has a UID, a mailbox in UTF-8, and a section that can be written. */
#include "base/check.h"
#include "base/utf8.h"
#include "formats/imap_url.h"
#include "formats/imap_write.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 4000) return 0;
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 16 << 20);
    buf out CLEANUP(buf_done) = BUF_INIT;
    struct imap_url url;
    if (imap_url_parse(view_make(data, size), arena, &url) != OK) return 0;
    check(url.uid != 0 && utf8_is_valid(url.mailbox) && url.has_mailbox == (url.mailbox.len > 0));
    imap_write_fetch_item(&out, &url.item);
    check(out.len > 0);
    return 0;
}
