/* clock - the one file that asks the system for the time, and the two texts of a time.
 *
 * Dates are computed here, always in UTC and in the Gregorian calendar: no locale, no time zone, no
 * state of libc. Times after the year 9999 are printed as its last millisecond; times before 1970
 * do not exist.
 */
#include "proto/ground/clock.h"

#include <time.h>

#include "proto/ground/check.h"
#include "proto/ground/err.h"

#define DAY_S       86400u
#define WALL_MS_MAX 253402300799999u /* 9999-12-31T23:59:59.999Z */

struct date {
    unsigned year, month, day; /* month and day from 1 */
    unsigned hour, minute, second, ms;
};

static uint64_t read_ms(clockid_t id)
{
    struct timespec t;

    CHECK(clock_gettime(id, &t) == 0);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

uint64_t clock_mono_us(void)
{
    struct timespec t;

    CHECK(clock_gettime(CLOCK_MONOTONIC, &t) == 0);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static uint64_t real_mono_ms(void *arg)
{
    (void)arg;
    return read_ms(CLOCK_MONOTONIC);
}

static uint64_t real_wall_ms(void *arg)
{
    (void)arg;
    return read_ms(CLOCK_REALTIME);
}

const struct clock clock_real = { .mono_ms = real_mono_ms, .wall_ms = real_wall_ms };

static bool is_leap(unsigned year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static unsigned month_days(unsigned year, unsigned month)
{
    static const uint8_t days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };

    return month == 2 && is_leap(year) ? 29 : days[month - 1];
}

/* Days from 1970-01-01 to January 1 of the year. */
static unsigned year_start(unsigned year)
{
    unsigned before = year - 1;

    return before * 365 + before / 4 - before / 100 + before / 400 - 719162;
}

static struct date date_of(uint64_t wall_ms)
{
    struct date d = { .month = 1 };
    unsigned days, rest_s;

    if (wall_ms > WALL_MS_MAX) wall_ms = WALL_MS_MAX;
    d.ms = (unsigned)(wall_ms % 1000);
    days = (unsigned)(wall_ms / 1000 / DAY_S);
    rest_s = (unsigned)(wall_ms / 1000 % DAY_S);
    d.hour = rest_s / 3600;
    d.minute = rest_s / 60 % 60;
    d.second = rest_s % 60;

    d.year = 1970 + days / 366; /* never too late; the loop goes a few years on */
    while (year_start(d.year + 1) <= days)
        d.year++;
    days -= year_start(d.year);
    while (days >= month_days(d.year, d.month))
        days -= month_days(d.year, d.month++);
    d.day = days + 1;
    return d;
}

/* Writes `digits` digits and the byte after them; returns where to go on. */
static char *put_number(char *to, unsigned v, int digits, char after)
{
    for (int i = digits - 1; i >= 0; i--) {
        to[i] = (char)('0' + v % 10);
        v /= 10;
    }
    to[digits] = after;
    return to + digits + 1;
}

static char *put_text(char *to, const char *text, size_t n, char after)
{
    memcpy(to, text, n);
    to[n] = after;
    return to + n + 1;
}

void clock_rfc3339(uint64_t wall_ms, char out[CLOCK_RFC3339_SIZE])
{
    struct date d = date_of(wall_ms);

    out = put_number(out, d.year, 4, '-');
    out = put_number(out, d.month, 2, '-');
    out = put_number(out, d.day, 2, 'T');
    out = put_number(out, d.hour, 2, ':');
    out = put_number(out, d.minute, 2, ':');
    out = put_number(out, d.second, 2, '.');
    out = put_number(out, d.ms, 3, 'Z');
    *out = '\0';
}

void clock_rfc5322(uint64_t wall_ms, char out[CLOCK_RFC5322_SIZE])
{
    static const char weekdays[] = "MonTueWedThuFriSatSun";
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    struct date d = date_of(wall_ms);
    unsigned days = year_start(d.year) + d.day - 1;

    for (unsigned m = 1; m < d.month; m++)
        days += month_days(d.year, m);
    out = put_text(out, weekdays + (days + 3) % 7 * 3, 3, ','); /* 1970-01-01 was a Thursday */
    *out++ = ' ';
    out = put_number(out, d.day, 2, ' ');
    out = put_text(out, months + (d.month - 1) * 3, 3, ' ');
    out = put_number(out, d.year, 4, ' ');
    out = put_number(out, d.hour, 2, ':');
    out = put_number(out, d.minute, 2, ':');
    out = put_number(out, d.second, 2, ' ');
    put_text(out, "+0000", 5, '\0');
}

/* `digits` digits and the byte `after` them; leaves the cursor failed when they are not there. */
static unsigned take_number(struct cursor *c, size_t digits, char after)
{
    uint64_t v = 0;
    struct span text = cursor_span(c, digits);

    if (c->failed) return 0;
    if (span_u64(text, 9999, &v) != 0 || cursor_u8(c) != (uint8_t)after) c->failed = true;
    return (unsigned)v;
}

static bool date_exists(const struct date *d)
{
    return d->year >= 1970 && d->month >= 1 && d->month <= 12 && d->day >= 1 &&
           d->day <= month_days(d->year, d->month) && d->hour < 24 && d->minute < 60 &&
           d->second < 60;
}

static uint64_t date_ms(const struct date *d)
{
    uint64_t days = year_start(d->year) + d->day - 1;

    for (unsigned m = 1; m < d->month; m++)
        days += month_days(d->year, m);
    return ((days * 24 + d->hour) * 60 + d->minute) * 60000 + d->second * 1000 + d->ms;
}

int clock_parse_rfc3339(struct span text, uint64_t *wall_ms_out)
{
    struct date d = { 0 };
    struct cursor c;
    bool has_ms = text.n == CLOCK_RFC3339_SIZE - 1;

    cursor_init(&c, text);
    d.year = take_number(&c, 4, '-');
    d.month = take_number(&c, 2, '-');
    d.day = take_number(&c, 2, 'T');
    d.hour = take_number(&c, 2, ':');
    d.minute = take_number(&c, 2, ':');
    d.second = take_number(&c, 2, has_ms ? '.' : 'Z');
    if (has_ms) d.ms = take_number(&c, 3, 'Z');
    if (!cursor_done(&c) || !date_exists(&d)) return ERR_SYNTAX;
    *wall_ms_out = date_ms(&d);
    return 0;
}
