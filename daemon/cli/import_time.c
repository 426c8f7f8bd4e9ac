/*
 * daemon/cli/import_time.c - times as data sets write them, see import_map.h. No locale, no time zone.
 */
#include "daemon/cli/import_time.h"

#include <math.h>
#include <string.h>

#define TS_MAX 9007199254740992.0 /* 2^53 ms */

/* Days since 1970-01-01 of a day of the proleptic Gregorian calendar (Hinnant's days_from_civil). */
static int64_t days_from_civil(int64_t y, int64_t m, int64_t d)
{
    int64_t era, yoe, doy, doe;

    y -= m <= 2;
    era = (y >= 0 ? y : y - 399) / 400;
    yoe = y - era * 400;
    doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
    doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    return era * 146097 + doe - 719468;
}

static int64_t month_days(int64_t y, int64_t m)
{
    static const int n[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

    return n[m - 1] + (m == 2 && (y % 4 == 0 && (y % 100 != 0 || y % 400 == 0)));
}

/* Up to `max` digits. */
static bool digits(struct fr_str *s, int max, int64_t *out)
{
    int n = 0;

    *out = 0;
    while (n < max && s->n > 0 && s->p[0] >= '0' && s->p[0] <= '9') {
        *out = *out * 10 + (s->p[0] - '0');
        s->p++;
        s->n--;
        n++;
    }
    return n > 0;
}

/* A fraction of a second: 1 to 9 digits, in ms, what is below a ms is cut off. */
static bool fraction(struct fr_str *s, int64_t *out)
{
    size_t before = s->n;

    if (!digits(s, 9, out))
        return false;
    for (size_t n = before - s->n; n > 3; n--)
        *out /= 10;
    for (size_t n = before - s->n; n < 3; n++)
        *out *= 10;
    return true;
}

static int slot_of(char c)
{
    static const char letters[] = "YmdHMSf";
    const char *at = c == '\0' ? NULL : strchr(letters, c);

    return at == NULL ? -1 : (int)(at - letters);
}

static enum fr_err by_pattern(struct fr_str s, const char *format, int64_t *out_ms)
{
    int64_t part[7] = {1970, 1, 1, 0, 0, 0, 0};

    for (const char *f = format; *f != '\0'; f++) {
        if (*f != '%') {
            if (s.n == 0 || s.p[0] != *f)
                return FR_ESYNTAX;
            s.p++;
            s.n--;
            continue;
        }
        f++;
        if (*f == 'f' ? !fraction(&s, &part[6])
                      : slot_of(*f) < 0 || !digits(&s, *f == 'Y' ? 4 : 2, &part[slot_of(*f)]))
            return FR_ESYNTAX;
    }
    if (s.n != 0)
        return FR_ESYNTAX;
    if (part[0] < 1970 || part[1] < 1 || part[1] > 12 || part[2] < 1 || part[2] > month_days(part[0], part[1]) ||
        part[3] > 23 || part[4] > 59 || part[5] > 60)
        return FR_ERANGE;
    *out_ms = ((days_from_civil(part[0], part[1], part[2]) * 24 + part[3]) * 60 + part[4]) * 60000 + part[5] * 1000 + part[6];
    return FR_OK;
}

bool fr_import_time_format_valid(const char *format)
{
    if (strcmp(format, "seconds") == 0 || strcmp(format, "milliseconds") == 0)
        return true;
    if (strstr(format, "%Y") == NULL)
        return false;
    for (const char *f = format; *f != '\0'; f++)
        if (*f == '%' && slot_of(*++f) < 0)
            return false;
    return true;
}

enum fr_err fr_import_time(struct fr_str field, const char *format, int64_t *out_ms)
{
    bool seconds = strcmp(format, "seconds") == 0;
    double v;
    enum fr_err e;

    if (!seconds && strcmp(format, "milliseconds") != 0)
        return by_pattern(field, format, out_ms);
    e = fr_str_to_f64(field, &v);
    if (e != FR_OK)
        return e;
    v = seconds ? v * 1000 : v;
    if (!(v >= 0 && v < TS_MAX))
        return FR_ERANGE;
    *out_ms = (int64_t)llround(v);
    return FR_OK;
}
