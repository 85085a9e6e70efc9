/*
 * date: the ways in which mail writes a moment down. Pure: no clock, no time zone of the machine.
 *
 * A moment is a unix_ms; the zone that it was written in is kept beside it in minutes east of UTC,
 * because IMAP gives INTERNALDATE back as it came and SENTON means the day in the sender's zone.
 */
#pragma once

#include "base/buf.h"
#include "base/time.h"
#include "base/view.h"

struct date {
    unix_ms at;
    int zone_minutes;            /* east of UTC, -1439 to 1439 */
};

/* A moment taken apart, in the proleptic Gregorian calendar, years 1 to 9999. */
struct civil {
    int year, month, day;        /* month 1 to 12, day 1 to 31 */
    int hour, minute, second;    /* second 0 to 59 */
    int millisecond;
    int weekday;                 /* 0 is Sunday; ignored by civil_to_unix() */
};

struct civil civil_of(unix_ms at, int zone_minutes);
/* False when a member is out of range (31 February too). */
bool civil_to_unix(const struct civil *c, int zone_minutes, unix_ms *ret_at);

/* Days since 1970-01-01 of the calendar day that `d` falls on in its own zone: what IMAP's ON, SENTON ... compare. */
int32_t date_day(struct date d);

/*
 * A Date field body (RFC 5322 §3.3 and the obsolete forms of §4.3): comments, folds, missing weekday or
 * seconds, two-digit years, named zones, asctime() order, a leap second (read as the second before).
 * False when no day can be read; a missing or unknown zone is UTC, a missing time is midnight.
 */
bool date_parse(view value, struct date *ret_date);
/* "Sun, 01 Feb 2026 09:00:00 +0900", as Date and Received want it. */
void date_append(buf *b, struct date d);

/* IMAP date-time without its quotes: " 1-Feb-2026 09:00:00 +0900" (RFC 9051 §9, date-time). */
bool date_imap_parse(view text, struct date *ret_date);
void date_imap_append(buf *b, struct date d);
/* IMAP date, quotes removed: "1-Feb-2026", as days since 1970-01-01 (RFC 9051 §9, date-text). */
bool date_imap_day_parse(view text, int32_t *ret_day);

/* "2026-02-01T09:00:00+09:00" (RFC 3339 §5.6); fractions of seconds are read and left out. */
bool date_rfc3339_parse(view text, unix_ms *ret_at);
/* In UTC, with Z. */
void date_rfc3339_append(buf *b, unix_ms at);
