/* date-time of RFC 3339 §5.6, as FUTURERELEASE writes it (RFC 4865 §4). */
#include "base/cursor.h"
#include "formats/date.h"

/* Exactly so many digits. */
static bool take_digits(struct cursor *c, size_t count, int *ret_number)
{
    view digits;
    int number = 0;
    struct cursor at = *c;
    if (!take_bytes(&at, count, &digits)) return false;
    for (size_t i = 0; i < count; i++) {
        if (!ascii_is_digit(digits.at[i])) return false;
        number = number * 10 + (digits.at[i] - '0');
    }
    *ret_number = number;
    *c = at;
    return true;
}

static bool is_digit(unsigned char byte) { return ascii_is_digit((char)byte); }

/* time-offset = "Z" / ("+" / "-") time-hour ":" time-minute */
static bool take_offset(struct cursor *c, int *ret_minutes)
{
    int hours, minutes;
    if (take_byte(c, 'Z') || take_byte(c, 'z')) {
        *ret_minutes = 0;
        return true;
    }
    bool is_west = take_byte(c, '-');
    if (!is_west && !take_byte(c, '+')) return false;
    if (!take_digits(c, 2, &hours) || !take_byte(c, ':') || !take_digits(c, 2, &minutes) || hours > 23 || minutes > 59) return false;
    *ret_minutes = (hours * 60 + minutes) * (is_west ? -1 : 1);
    return true;
}

bool date_rfc3339_parse(view text, unix_ms *ret_at)
{
    struct cursor c = cursor_of(text);
    struct civil civil = {0};
    int zone;
    view fraction;
    if (!take_digits(&c, 4, &civil.year) || !take_byte(&c, '-') || !take_digits(&c, 2, &civil.month) || !take_byte(&c, '-') || !take_digits(&c, 2, &civil.day)) return false;
    if (!take_byte(&c, 'T') && !take_byte(&c, 't')) return false;
    if (!take_digits(&c, 2, &civil.hour) || !take_byte(&c, ':') || !take_digits(&c, 2, &civil.minute) || !take_byte(&c, ':') || !take_digits(&c, 2, &civil.second)) return false;
    if (take_byte(&c, '.') && !take_while1(&c, is_digit, &fraction)) return false;
    if (civil.second == 60) civil.second = 59;
    return take_offset(&c, &zone) && cursor_at_end(&c) && civil_to_unix(&civil, zone, ret_at);
}

void date_rfc3339_append(buf *b, unix_ms at)
{
    struct civil c = civil_of(at, 0);
    buf_appendf(b, "%04d-%02d-%02dT%02d:%02d:%02dZ", c.year, c.month, c.day, c.hour, c.minute, c.second);
}
