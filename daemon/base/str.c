/*
 * daemon/base/str.c - checked number parsing and printing, nearest-name search.
 */
#include "daemon/base/str.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum fr_err fr_str_to_u64(struct fr_str s, uint64_t *out)
{
    uint64_t v = 0;

    if (s.n == 0)
        return FR_ESYNTAX;
    for (size_t i = 0; i < s.n; i++) {
        unsigned d = (unsigned char)s.p[i] - (unsigned)'0';
        if (d > 9)
            return FR_ESYNTAX;
        if (v > (UINT64_MAX - d) / 10)
            return FR_ERANGE;
        v = v * 10 + d;
    }
    *out = v;
    return FR_OK;
}

enum fr_err fr_str_to_i64(struct fr_str s, int64_t *out)
{
    bool neg = s.n > 0 && s.p[0] == '-';
    struct fr_str digits = neg ? (struct fr_str){s.p + 1, s.n - 1} : s;
    uint64_t v;
    enum fr_err e = fr_str_to_u64(digits, &v);

    if (e != FR_OK)
        return e;
    if (v > (uint64_t)INT64_MAX + (neg ? 1U : 0U))
        return FR_ERANGE;
    if (neg)
        *out = v == 0 ? 0 : -(int64_t)(v - 1) - 1;
    else
        *out = (int64_t)v;
    return FR_OK;
}

enum fr_err fr_str_to_f64(struct fr_str s, double *out)
{
    char tmp[64];
    char *end;
    double v;

    if (s.n == 0 || s.n >= sizeof(tmp))
        return FR_ESYNTAX;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool ok = (c >= '0' && c <= '9') || c == '.' || c == 'e' || c == 'E' || c == '-' ||
                  (c == '+' && i > 0);
        if (!ok)
            return FR_ESYNTAX;
    }
    memcpy(tmp, s.p, s.n);
    tmp[s.n] = '\0';
    errno = 0;
    v = strtod(tmp, &end);
    if (end != tmp + s.n)
        return FR_ESYNTAX;
    if (!isfinite(v))
        return FR_ERANGE;
    *out = v;
    return FR_OK;
}

size_t fr_f64_to_str(double v, char buf[32])
{
    /* %g drops trailing zeros, so 15 digits find every shorter form too; a subnormal holds fewer digits
     * than 15, and more of them than it holds would all be printed */
    for (int prec = v != 0 && fabs(v) < DBL_MIN ? 1 : 15; prec <= 17; prec++) {
        int n = snprintf(buf, 32, "%.*g", prec, v);
        double back = strtod(buf, NULL);
        if (memcmp(&back, &v, sizeof(v)) == 0 || prec == 17)
            return n < 0 ? 0 : (size_t)n;
    }
    return 0;
}

/* Levenshtein distance of short names; anything longer than 63 bytes is "far". */
static int distance(struct fr_str a, struct fr_str b)
{
    int row[65];

    if (a.n > 63 || b.n > 63)
        return 1000;
    for (size_t j = 0; j <= b.n; j++)
        row[j] = (int)j;
    for (size_t i = 1; i <= a.n; i++) {
        int diag = row[0];
        row[0] = (int)i;
        for (size_t j = 1; j <= b.n; j++) {
            int up = row[j];
            int best = diag + (a.p[i - 1] != b.p[j - 1]);
            if (up + 1 < best)
                best = up + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            row[j] = best;
            diag = up;
        }
    }
    return row[b.n];
}

int fr_str_nearest(struct fr_str s, const char *const *names, int n)
{
    int best = -1;
    int best_d = 4;

    for (int i = 0; i < n; i++) {
        int d = distance(s, fr_str_z(names[i]));
        if (d < best_d) {
            best_d = d;
            best = i;
        }
    }
    return best;
}
