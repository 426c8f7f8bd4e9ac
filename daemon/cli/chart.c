/*
 * daemon/cli/chart.c - ranges and ticks.
 */
#include "daemon/cli/chart.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define LARGEST 1e300 /* beyond, differences overflow */
#define SMALLEST 1e-300
#define TICK_TEXT 12

static bool shown(enum fr_chart_scale scale, double v)
{
    return isfinite(v) && (scale != FR_CHART_LOG || v > 0);
}

static double clamp(double v)
{
    return v > LARGEST ? LARGEST : v < -LARGEST ? -LARGEST : v;
}

/* The range of the values; with none 0..1 (log: 1..10). */
static void range(struct fr_chart_axis *a, const double *v, size_t n)
{
    bool any = false;

    for (size_t i = 0; i < n; i++) {
        double x = clamp(v[i]);

        if (!shown(a->scale, v[i]))
            continue;
        if (a->scale == FR_CHART_LOG)
            x = log10(x < SMALLEST ? SMALLEST : x);
        a->lo = any && a->lo < x ? a->lo : x;
        a->hi = any && a->hi > x ? a->hi : x;
        any = true;
    }
    if (!any) {
        a->lo = 0;
        a->hi = 1;
    }
}

/* The smallest of 1, 2, 5 times a power of ten that is at least v. */
static double round_step(double v)
{
    double p = pow(10, floor(log10(v)));

    return v <= p * 1.0000001 ? p : v <= 2 * p ? 2 * p : v <= 5 * p ? 5 * p : 10 * p;
}

/* @param first, last  of the values: whole ticks do not go beyond (there is no epoch 0) */
static void linear_ticks(struct fr_chart_axis *a, int most, double first, double last)
{
    double step = round_step((a->hi - a->lo) / most), from, to;

    if (a->scale == FR_CHART_WHOLE && step < 1)
        step = 1;
    for (;; step = round_step(step * 1.5)) { /* both ends may be ticks: one more than steps */
        from = ceil(a->lo / step - 1e-6);
        to = floor(a->hi / step + 1e-6);
        if (to - from + 1 <= most)
            break;
    }
    for (int i = 0; i <= (int)(to - from) && a->n_ticks < FR_CHART_TICKS; i++) {
        double v = (from + i) * step;

        if (a->scale != FR_CHART_WHOLE || (v > first - 0.5 && v < last + 0.5))
            a->tick[a->n_ticks++] = fabs(v) < step * 1e-6 ? 0 : v;
    }
    a->decimals = step < 1 ? (int)ceil(-log10(step) - 1e-9) : 0;
    if (a->decimals > 6 || fabs(a->hi) >= 1e7 || fabs(a->lo) >= 1e7)
        a->decimals = -1;
}

static void add_log_tick(struct fr_chart_axis *a, int decade, double m)
{
    double at = decade + log10(m), v = m * pow(10, decade);

    if (at >= a->lo && at <= a->hi && v >= SMALLEST && v <= LARGEST && a->n_ticks < FR_CHART_TICKS)
        a->tick[a->n_ticks++] = v;
}

/* 1, 2, 5 of each decade while there is room, else powers of ten. lo and hi are logarithms. */
static void log_ticks(struct fr_chart_axis *a, int most)
{
    static const double all[] = {1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9}, some[] = {1, 2, 5}, one[] = {1};
    static const struct {
        const double *m;
        int n;
    } set[] = {{all, 10}, {some, 3}, {one, 1}};
    int from = (int)floor(a->lo), to = (int)ceil(a->hi), every = 1;

    for (size_t s = 0; s < 3; s++) {
        int n = 0;

        for (int d = from; d <= to; d++)
            for (int i = 0; i < set[s].n; i++) {
                double v = d + log10(set[s].m[i]);

                n += v >= a->lo && v <= a->hi;
            }
        if (n > most && s < 2)
            continue;
        while (s == 2 && (to - from) / every + 1 > most)
            every++;
        for (int d = from; d <= to; d += every)
            for (int i = 0; i < set[s].n; i++)
                add_log_tick(a, d, set[s].m[i]);
        break;
    }
    a->decimals = a->lo < -4 || a->hi > 9 ? -1 : a->lo >= 0.9999 ? 0 : (int)ceil(1 - a->lo);
}

void fr_chart_axis_fit(struct fr_chart_axis *a,
                       enum fr_chart_scale scale,
                       const double *v,
                       size_t n,
                       double pad,
                       double from,
                       double to,
                       int most)
{
    double room;

    memset(a, 0, sizeof(*a));
    a->scale = scale;
    a->from = from;
    a->to = to;
    range(a, v, n);
    room = (a->hi - a->lo) * pad;
    if (scale == FR_CHART_LOG)
        room = room < 0.1 ? 0.1 : room;
    else if (!(a->hi - a->lo > fabs(a->hi) * 1e-12 + SMALLEST)) /* one value, or all equal */
        room = scale == FR_CHART_WHOLE ? 0.6 : fabs(a->hi) > SMALLEST * 1e9 ? fabs(a->hi) * 0.05 : 0.5;
    a->lo -= room;
    a->hi += room;
    if (scale == FR_CHART_LOG)
        log_ticks(a, most);
    else
        linear_ticks(a, most, a->lo + room, a->hi - room);
}

double fr_chart_at(const struct fr_chart_axis *a, double v)
{
    double x = clamp(v);

    if (!shown(a->scale, v))
        return (double)NAN;
    if (a->scale == FR_CHART_LOG)
        x = log10(x < SMALLEST ? SMALLEST : x);
    return a->from + (x - a->lo) / (a->hi - a->lo) * (a->to - a->from);
}

void fr_chart_text(const struct fr_chart_axis *a, double v, char out[FR_CHART_TEXT])
{
    char plain[FR_CHART_TEXT];
    size_t whole, n = 0;

    if (a->decimals < 0 || !(fabs(v) < 1e12)) {
        (void)snprintf(out, FR_CHART_TEXT, "%.4g", v);
        return;
    }
    (void)snprintf(plain, sizeof(plain), "%.*f", a->decimals > 8 ? 8 : a->decimals, v);
    if (a->scale == FR_CHART_LOG && strchr(plain, '.') != NULL) { /* 0.5 and 10 on one axis */
        size_t end = strlen(plain);

        while (plain[end - 1] == '0')
            end--;
        plain[plain[end - 1] == '.' ? end - 1 : end] = '\0';
    }
    whole = strcspn(plain, ".");
    for (size_t i = 0; plain[i] != '\0' && n + 2 < FR_CHART_TEXT; i++) {
        size_t left = whole - i; /* digits of the whole part from here on */

        if (i > 0 && i < whole && left % 3 == 0 && plain[i - 1] != '-')
            out[n++] = ',';
        out[n++] = plain[i];
    }
    out[n] = '\0';
}

void fr_chart_frame(struct fr_buf *b, const struct fr_chart_axis *x, const struct fr_chart_axis *y, bool x_text)
{
    char text[FR_CHART_TEXT];

    for (int i = 0; i < y->n_ticks; i++) {
        double at = fr_chart_at(y, y->tick[i]);

        fr_chart_text(y, y->tick[i], text);
        fr_svg_line(b, x->from, at, x->to, at, 1, FR_SVG_GRID, FR_SVG_SOLID);
        fr_svg_text(b, x->from - 8, at + 4, TICK_TEXT, false, FR_SVG_END, FR_SVG_MUTED, fr_str_z(text));
    }
    for (int i = 0; i < x->n_ticks; i++) {
        double at = fr_chart_at(x, x->tick[i]);

        fr_svg_line(b, at, y->from, at, y->from + 4, 1, FR_SVG_FRAME, FR_SVG_SOLID);
        if (!x_text)
            continue;
        fr_chart_text(x, x->tick[i], text);
        fr_svg_text(b, at, y->from + 18, TICK_TEXT, false, FR_SVG_MIDDLE, FR_SVG_MUTED, fr_str_z(text));
    }
    fr_svg_line(b, x->from, y->from, x->to, y->from, 1, FR_SVG_FRAME, FR_SVG_SOLID);
}
