/* charset_japanese: ISO-2022-JP and EUC-JP as they are really written. Of charset.c alone. */
#pragma once

#include <iconv.h>

#include "base/buf.h"
#include "base/view.h"

#define CHARSET_ICONV_CP932 "CP932"      /* glibc's CP932 is IBM's and Microsoft's Windows-31J with the user area */
enum { CHARSET_ESC = 0x1b };

/* Appends, with U+FFFD for what `handle` refuses; false if there was such. A handle of -1 reads ASCII. `name` is what it was opened for. */
bool charset_convert(iconv_t handle, const char *name, view bytes, buf *into);
bool charset_convert_named(const char *name, view bytes, buf *into);

bool charset_append_iso_2022_jp(view bytes, buf *into);
bool charset_append_euc_jp(view bytes, buf *into);

static inline bool charset_is_shift_jis_pair(unsigned char lead, unsigned char trail)
{
    bool is_lead = (lead >= 0x81 && lead <= 0x9f) || (lead >= 0xe0 && lead <= 0xfc);
    return is_lead && trail >= 0x40 && trail != 0x7f && trail <= 0xfc;
}

/* Bytes of the EUC-JP character at the front of v (not empty): 2 or 3, or 1 when it is none above ASCII. */
size_t charset_euc_jp_length(view v);
