#include "formats/srs.h"

#include "base/check.h"

static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz234567";
enum { DAY_MS = 86400000, STAMP_CHARACTERS = 2 };

static int digit_of(char c)
{
    size_t at = view_find(VIEW("abcdefghijklmnopqrstuvwxyz234567"), ascii_lower(c));
    return at == VIEW_NONE ? -1 : (int)at;
}

/* SRS0= ... : the kind, the separator, and what follows. */
static bool take_start(view *rest, bool *ret_is_second)
{
    if (rest->len > SRS_LOCAL_BYTES_MAX || rest->len < 5) return false;
    if (!view_starts_nocase(*rest, VIEW("SRS0")) && !view_starts_nocase(*rest, VIEW("SRS1"))) return false;
    if (!view_has_byte(VIEW("=+-"), rest->at[4])) return false;
    *ret_is_second = rest->at[3] == '1';
    *rest = view_from(*rest, 5);
    return true;
}

bool srs_parse(view local_part, struct srs *ret_srs)
{
    struct srs s = {0};
    view rest = local_part;
    if (!take_start(&rest, &s.is_second) || !view_cut(&rest, '=', &s.hash) || s.hash.len == 0) return false;
    if (!s.is_second && (!view_cut(&rest, '=', &s.stamp) || s.stamp.len == 0)) return false;
    if (view_find(rest, '=') == VIEW_NONE || !view_cut(&rest, '=', &s.domain) || s.domain.len == 0 || rest.len == 0) return false;
    s.local = rest;
    *ret_srs = s;
    return true;
}

void srs_append(buf *into, const struct srs *s)
{
    buf_append_cstr(into, s->is_second ? "SRS1=" : "SRS0=");
    buf_append(into, s->hash);
    buf_append_byte(into, '=');
    if (!s->is_second) {
        buf_append(into, s->stamp);
        buf_append_byte(into, '=');
    }
    buf_append(into, s->domain);
    buf_append_byte(into, '=');
    buf_append(into, s->local);
}

void srs_append_covered(buf *into, const struct srs *s)
{
    struct srs covered = *s;
    covered.hash = VIEW_EMPTY;
    size_t from = into->len;
    srs_append(into, &covered);
    for (size_t i = from; i < into->len; i++) into->at[i] = ascii_lower(into->at[i]);
}

void srs_append_base32(buf *into, uint64_t bits, unsigned characters)
{
    for (unsigned i = characters; i-- > 0;) buf_append_byte(into, alphabet[bits >> 5 * i & 31]);
}

void srs_append_stamp(buf *into, unix_ms now)
{
    srs_append_base32(into, (uint64_t)(now.ms / DAY_MS) % SRS_STAMP_DAYS, STAMP_CHARACTERS);
}

int srs_stamp_age(view stamp, unix_ms now)
{
    if (stamp.len != STAMP_CHARACTERS) return -1;
    int high = digit_of(stamp.at[0]), low = digit_of(stamp.at[1]);
    if (high < 0 || low < 0) return -1;
    int today = (int)(now.ms / DAY_MS % SRS_STAMP_DAYS);
    return (today - (high * 32 + low) + SRS_STAMP_DAYS) % SRS_STAMP_DAYS;
}
