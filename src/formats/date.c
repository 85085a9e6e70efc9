#include "formats/date.h"

#include <string.h>

#include "base/cursor.h"

enum {
    MS_PER_DAY = 86400000,
    DATE_COMMENT_DEPTH_MAX = 20,
    DATE_BYTES_MAX = 512,        /* of a field body that is read; the longest zone comments have 60 */
    ZONE_MINUTES_MAX = 24 * 60 - 1,
};

static const char month_names[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
static const char day_names[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};

/* ---- calendar ---- */

/* Days since 1970-01-01; years begin in March so that the leap day is their last. */
static int64_t days_from_civil(int year, int month, int day)
{
    int64_t y = month <= 2 ? year - 1 : year;
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t year_of_era = y - era * 400;
    int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * 146097 + day_of_era - 719468;
}

static int64_t floor_divide(int64_t number, int64_t by)
{
    return number >= 0 ? number / by : -((-number + by - 1) / by);
}

static bool is_leap_year(int year)
{
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

static int days_in_month(int year, int month)
{
    static const int days[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    return month == 2 && is_leap_year(year) ? 29 : days[month - 1];
}

struct civil civil_of(unix_ms at, int zone_minutes)
{
    int64_t local = at.ms + (int64_t)zone_minutes * 60000;
    int64_t days = floor_divide(local, MS_PER_DAY);
    int64_t ms = local - days * MS_PER_DAY;
    int64_t shifted = days + 719468;
    int64_t era = floor_divide(shifted, 146097);
    int64_t day_of_era = shifted - era * 146097;
    int64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t month_from_march = (5 * day_of_year + 2) / 153;
    int month = (int)(month_from_march < 10 ? month_from_march + 3 : month_from_march - 9);
    return (struct civil){
        .year = (int)(year_of_era + era * 400 + (month <= 2)),
        .month = month,
        .day = (int)(day_of_year - (153 * month_from_march + 2) / 5 + 1),
        .hour = (int)(ms / 3600000),
        .minute = (int)(ms / 60000 % 60),
        .second = (int)(ms / 1000 % 60),
        .millisecond = (int)(ms % 1000),
        .weekday = (int)(((days + 4) % 7 + 7) % 7),
    };
}

bool civil_to_unix(const struct civil *c, int zone_minutes, unix_ms *ret_at)
{
    if (c->year < 1 || c->year > 9999 || c->month < 1 || c->month > 12) return false;
    if (c->day < 1 || c->day > days_in_month(c->year, c->month)) return false;
    if (c->hour < 0 || c->hour > 23 || c->minute < 0 || c->minute > 59 || c->second < 0 || c->second > 59) return false;
    if (c->millisecond < 0 || c->millisecond > 999) return false;
    int64_t minutes = (days_from_civil(c->year, c->month, c->day) * 24 + c->hour) * 60 + c->minute - zone_minutes;
    *ret_at = (unix_ms){(minutes * 60 + c->second) * 1000 + c->millisecond};
    return true;
}

int32_t date_day(struct date d)
{
    return (int32_t)floor_divide(d.at.ms + (int64_t)d.zone_minutes * 60000, MS_PER_DAY);
}

/* ---- words ---- */

/* Position of the first three letters of `word` among `names`, or -1. */
static int find_name(view word, const char names[][4], int count)
{
    if (word.len < 3) return -1;
    for (int i = 0; i < count; i++)
        if (view_equal_nocase(view_slice(word, 0, 3), view_make(names[i], 3))) return i;
    return -1;
}

static bool is_alpha(unsigned char byte)
{
    return ascii_is_alpha((char)byte);
}

static bool is_digit(unsigned char byte)
{
    return ascii_is_digit((char)byte);
}

static void skip_comment(struct cursor *c)
{
    unsigned depth = 0;
    while (c->rest.len) {
        char byte = c->rest.at[0];
        if (byte == '(' && ++depth > DATE_COMMENT_DEPTH_MAX) {
            c->rest = view_from(c->rest, c->rest.len);
            return;
        }
        if (byte == ')') depth--;
        c->rest = view_from(c->rest, byte == '\\' ? 2 : 1);
        if (depth == 0) return;
    }
}

/* CFWS, and the commas, hyphens and stray dots that stand between the parts of obsolete and broken dates. */
static void skip_separators(struct cursor *c, const char *separators)
{
    for (;;) {
        int next = cursor_peek(c);
        if (next == '(') skip_comment(c);
        else if (next > 0 && (ascii_is_space((char)next) || strchr(separators, next))) c->rest = view_from(c->rest, 1);
        else return;
    }
}

static bool take_short_number(struct cursor *c, size_t digits_max, int *ret_number, size_t *ret_digits)
{
    struct cursor start = *c;
    view digits;
    uint32_t number;
    if (!take_while1(c, is_digit, &digits) || digits.len > digits_max || !view_to_u32(digits, &number)) {
        *c = start;
        return false;
    }
    *ret_number = (int)number;
    if (ret_digits) *ret_digits = digits.len;
    return true;
}

/* ---- RFC 5322 ---- */

/* RFC 5322 §4.3: two digits 00-49 are 2000 on, 50-99 are 1900 on; three digits are added to 1900. */
static int whole_year(int year, size_t digits)
{
    if (digits == 2) return year < 50 ? year + 2000 : year + 1900;
    return digits == 3 ? year + 1900 : year;
}

/* ":" with CFWS around it (obsolete), or a dot, and two digits */
static bool take_next_of_time(struct cursor *c, int *ret_number)
{
    struct cursor start = *c;
    skip_separators(c, "");
    if (take_byte(c, ':') || take_byte(c, '.')) {
        skip_separators(c, "");
        if (take_short_number(c, 2, ret_number, NULL)) return true;
    }
    *c = start;
    return false;
}

/* hour ":" minute [ ":" second ]; a dot for the colon and a fraction of a second are met in the wild. */
static bool take_time(struct cursor *c, struct civil *civil)
{
    struct cursor start = *c;
    if (!take_short_number(c, 2, &civil->hour, NULL) || !take_next_of_time(c, &civil->minute) || civil->hour > 24 ||
        civil->minute > 59) {
        *c = start;
        civil->hour = civil->minute = 0;
        return false;
    }
    int fraction;
    take_next_of_time(c, &civil->second);
    if (civil->second > 59) civil->second = 59;
    struct cursor before = *c;
    if ((!take_byte(c, '.') && !take_byte(c, ',')) || !take_short_number(c, 9, &fraction, NULL)) *c = before;
    if (civil->hour == 24) {    /* the end of the day, read as its last second */
        civil->hour = 23;
        civil->minute = civil->second = 59;
    }
    return true;
}

static int named_zone_minutes(view name)
{
    static const struct { const char *name; int minutes; } zones[] = {
        {"EDT", -240}, {"EST", -300}, {"CDT", -300}, {"CST", -360}, {"MDT", -360}, {"MST", -420}, {"PDT", -420}, {"PST", -480},
        {"JST", 540}, {"KST", 540}, {"MET", 60}, {"CET", 60}, {"MEST", 120}, {"CEST", 120}, {"EET", 120}, {"EEST", 180},
        {"BST", 60}, {"WEST", 60},
    };
    for (size_t i = 0; i < sizeof zones / sizeof zones[0]; i++)
        if (view_equal_nocase(name, view_of(zones[i].name))) return zones[i].minutes;
    return 0;    /* UT, GMT, the military letters (RFC 5322 §4.3) and whatever else */
}

/* ("+" / "-") 4DIGIT, also with a colon; 0 when out of range. */
static bool take_numeric_zone(struct cursor *c, int *ret_minutes)
{
    struct cursor start = *c;
    bool is_west = cursor_peek(c) == '-';
    int number, minutes = 0;
    size_t digits;
    if ((!take_byte(c, '+') && !take_byte(c, '-')) || !take_short_number(c, 4, &number, &digits)) {
        *c = start;
        return false;
    }
    if (digits <= 2) {
        struct cursor before = *c;
        if (!take_byte(c, ':') || !take_short_number(c, 2, &minutes, NULL)) *c = before;
        minutes += number * 60;
    } else {
        minutes = number / 100 * 60 + number % 100;
    }
    if (minutes > ZONE_MINUTES_MAX) minutes = 0;
    *ret_minutes = is_west ? -minutes : minutes;
    return true;
}

static int take_zone(struct cursor *c)
{
    int minutes;
    view name;
    skip_separators(c, ",");
    if (take_numeric_zone(c, &minutes)) return minutes;
    if (!take_while1(c, is_alpha, &name)) return 0;
    struct cursor before = *c;
    if (view_equal_nocase(name, VIEW("GMT")) || view_equal_nocase(name, VIEW("UTC"))) {
        if (take_numeric_zone(c, &minutes)) return minutes;    /* "GMT+0900" */
        *c = before;
    }
    return named_zone_minutes(name);
}

/* day month year, in this order or as month day */
static bool take_day_month(struct cursor *c, struct civil *civil)
{
    view word;
    if (take_short_number(c, 2, &civil->day, NULL)) {
        skip_separators(c, ",-./");
        if (!take_while1(c, is_alpha, &word)) return false;
        civil->month = find_name(word, month_names, 12) + 1;
        return civil->month != 0;
    }
    if (!take_while1(c, is_alpha, &word)) return false;
    civil->month = find_name(word, month_names, 12) + 1;
    skip_separators(c, ",-./");
    return civil->month != 0 && take_short_number(c, 2, &civil->day, NULL);
}

static bool take_year(struct cursor *c, struct civil *civil)
{
    size_t digits;
    skip_separators(c, ",-./");
    if (!take_short_number(c, 4, &civil->year, &digits)) return false;
    civil->year = whole_year(civil->year, digits);
    return true;
}

/* asctime(): Sun Feb  1 09:00:00 2026, also with a zone before the year. */
static bool take_time_zone_year(struct cursor *c, struct civil *civil, int *ret_zone)
{
    struct cursor start = *c;
    struct civil guess = *civil;
    int zone = 0;
    skip_separators(c, ",");
    if (take_time(c, &guess)) {
        skip_separators(c, ",");
        if (!ascii_is_digit((char)cursor_peek(c))) zone = take_zone(c);
        if (take_year(c, &guess)) {
            skip_separators(c, ",");
            if (zone == 0) zone = take_zone(c);
            *civil = guess;
            *ret_zone = zone;
            return true;
        }
    }
    *c = start;
    return false;
}

/* The weekday is not looked at: where it contradicts the date, the date is right. */
static void skip_weekday(struct cursor *c)
{
    struct cursor start = *c;
    view word;
    if (take_while1(c, is_alpha, &word) && find_name(word, day_names, 7) >= 0) skip_separators(c, ",.");
    else *c = start;
}

bool date_parse(view value, struct date *ret_date)
{
    struct cursor c = cursor_of(view_slice(value, 0, DATE_BYTES_MAX));
    struct civil civil = {0};
    struct date date = {0};
    skip_separators(&c, ",\"");
    skip_weekday(&c);
    skip_separators(&c, ",.");
    if (!take_day_month(&c, &civil)) return false;
    if (!take_time_zone_year(&c, &civil, &date.zone_minutes)) {
        if (!take_year(&c, &civil)) return false;
        skip_separators(&c, ",-T");
        take_time(&c, &civil);
        date.zone_minutes = take_zone(&c);
    }
    if (!civil_to_unix(&civil, date.zone_minutes, &date.at)) return false;
    *ret_date = date;
    return true;
}

/* Dates are written for each message of a list: put together in one piece. */
enum { DATE_TEXT_BYTES = 40 };

/* Writes `number` in `width` digits. */
static char *put_digits(char *to, int number, int width, char fill)
{
    for (int i = width - 1; i >= 0; i--) {
        if (number || i == width - 1) to[i] = (char)('0' + number % 10);
        else to[i] = fill;
        number /= 10;
    }
    return to + width;
}

/* A name of three letters and what stands behind it. */
static char *put_name(char *to, const char *name, view behind)
{
    memcpy(to, name, 3);
    memcpy(to + 3, behind.at, behind.len);
    return to + 3 + behind.len;
}

static char *put_time_zone(char *to, const struct civil *c, int zone_minutes)
{
    int minutes = zone_minutes < 0 ? -zone_minutes : zone_minutes;
    *to++ = ' ';
    to = put_digits(to, c->hour, 2, '0');
    *to++ = ':';
    to = put_digits(to, c->minute, 2, '0');
    *to++ = ':';
    to = put_digits(to, c->second, 2, '0');
    *to++ = ' ';
    *to++ = zone_minutes < 0 ? '-' : '+';
    return put_digits(to, minutes / 60 * 100 + minutes % 60, 4, '0');
}

void date_append(buf *b, struct date d)
{
    struct civil c = civil_of(d.at, d.zone_minutes);
    char text[DATE_TEXT_BYTES], *to = put_name(text, day_names[c.weekday], VIEW(", "));
    to = put_digits(to, c.day, 2, '0');
    *to++ = ' ';
    to = put_name(to, month_names[c.month - 1], VIEW(" "));
    to = put_digits(to, c.year, 4, '0');
    to = put_time_zone(to, &c, d.zone_minutes);
    buf_append(b, view_make(text, (size_t)(to - text)));
}

/* ---- IMAP ---- */

/* date-day-fixed "-" date-month "-" date-year, or date-text with a day of one digit */
static bool take_imap_day(struct cursor *c, struct civil *civil)
{
    view word;
    size_t digits;
    take_byte(c, ' ');
    if (!take_short_number(c, 2, &civil->day, NULL) || !take_byte(c, '-') || !take_while1(c, is_alpha, &word) || word.len != 3)
        return false;
    civil->month = find_name(word, month_names, 12) + 1;
    return civil->month != 0 && take_byte(c, '-') && take_short_number(c, 4, &civil->year, &digits) && digits == 4;
}

bool date_imap_parse(view text, struct date *ret_date)
{
    struct cursor c = cursor_of(text);
    struct civil civil = {0};
    struct date date = {0};
    if (!take_imap_day(&c, &civil) || !take_byte(&c, ' ')) return false;
    if (!take_short_number(&c, 2, &civil.hour, NULL) || !take_byte(&c, ':') || !take_short_number(&c, 2, &civil.minute, NULL) ||
        !take_byte(&c, ':') || !take_short_number(&c, 2, &civil.second, NULL) || !take_byte(&c, ' '))
        return false;
    if (civil.second == 60) civil.second = 59;
    if (c.rest.len != 5 || !take_numeric_zone(&c, &date.zone_minutes) || !cursor_at_end(&c)) return false;
    if (!civil_to_unix(&civil, date.zone_minutes, &date.at)) return false;
    *ret_date = date;
    return true;
}

void date_imap_append(buf *b, struct date d)
{
    struct civil c = civil_of(d.at, d.zone_minutes);
    char text[DATE_TEXT_BYTES], *to = put_digits(text, c.day, 2, ' ');
    *to++ = '-';
    to = put_name(to, month_names[c.month - 1], VIEW("-"));
    to = put_digits(to, c.year, 4, '0');
    to = put_time_zone(to, &c, d.zone_minutes);
    buf_append(b, view_make(text, (size_t)(to - text)));
}

bool date_imap_day_parse(view text, int32_t *ret_day)
{
    struct cursor c = cursor_of(text);
    struct civil civil = {0};
    unix_ms at;
    if (!take_imap_day(&c, &civil) || !cursor_at_end(&c) || !civil_to_unix(&civil, 0, &at)) return false;
    *ret_day = date_day((struct date){at, 0});
    return true;
}
