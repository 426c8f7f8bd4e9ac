/*
 * daemon/cli/progress.c - progress line on standard error.
 */
#include "daemon/cli/progress.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "daemon/base/clock.h"

#define REDRAW_US 100000   /* often enough to look alive */
#define LINE_US 10000000   /* plain lines in a log */
#define BAR_MOST 30
#define BAR_LEAST 6        /* cells; below, no bar */
#define COLUMNS 80         /* of a terminal that does not say */
#define RATE_FROM 0.2      /* seconds, before which a rate says nothing */

static int64_t now_us(void)
{
    struct fr_clock c;

    fr_clock_init_real(&c);
    return fr_clock_mono_us(&c);
}

void fr_progress_start(struct fr_progress *p, const char *what, const char *unit, uint64_t total, bool quiet)
{
    p->what = what;
    p->unit = unit;
    p->note[0] = '\0';
    p->total = total;
    p->terminal = isatty(STDERR_FILENO) == 1;
    p->quiet = quiet;
    p->start_us = now_us();
    p->shown_us = p->start_us;
}

void fr_progress_note(struct fr_progress *p, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(p->note, sizeof(p->note), fmt, ap);
    va_end(ap);
}

/* " 1.24M rows/s"; nothing so early that it would be a guess. */
static void put_rate(const struct fr_progress *p, uint64_t done, double seconds, char *out, size_t cap)
{
    static const struct {
        double from;
        const char *letter;
    } scale[] = {{1e9, "G"}, {1e6, "M"}, {1e3, "k"}, {0, ""}};
    double rate = (double)done / seconds;
    size_t i = 0;

    out[0] = '\0';
    if (seconds < RATE_FROM || done == 0)
        return;
    while (rate < scale[i].from * 0.9995 && i < 3) /* 999,600 is 1.00M */
        i++;
    rate /= scale[i].from > 0 ? scale[i].from : 1;
    (void)snprintf(out, cap, " %.*f%s %s/s", rate < 9.995 ? 2 : rate < 99.95 ? 1 : 0, rate, scale[i].letter, p->unit);
}

/* " ETA 0:42" of the whole. */
static void put_eta(const struct fr_progress *p, uint64_t done, double seconds, char *out, size_t cap)
{
    double left = p->total > done && done > 0 ? seconds * (double)(p->total - done) / (double)done : 0;
    unsigned s = left < 359999 ? (unsigned)(left + 0.5) : 359999;

    out[0] = '\0';
    if (seconds < RATE_FROM || done == 0)
        return;
    if (s >= 3600)
        (void)snprintf(out, cap, " ETA %u:%02u:%02u", s / 3600, s / 60 % 60, s % 60);
    else
        (void)snprintf(out, cap, " ETA %u:%02u", s / 60, s % 60);
}

void fr_progress_line(
    const struct fr_progress *p, uint64_t done, double seconds, size_t columns, char out[FR_PROGRESS_LINE])
{
    uint64_t d = p->total > 0 && done > p->total ? p->total : done;
    char right[FR_PROGRESS_LINE], bar[BAR_MOST + 4] = "", count[48] = "", rate[48], eta[32] = "";
    size_t most = columns < 2 ? 1 : columns - 1, used, cells; /* the last column makes some terminals go on */

    put_rate(p, done, seconds, rate, sizeof(rate));
    if (p->total > 0) {
        put_eta(p, d, seconds, eta, sizeof(eta));
        (void)snprintf(count, sizeof(count), " %d%%", (int)((double)d * 100 / (double)p->total));
    } else {
        (void)snprintf(count, sizeof(count), " %llu %s", (unsigned long long)done, p->unit);
    }
    (void)snprintf(right, sizeof(right), "%s%s%s%s%s", count, p->note[0] == '\0' ? "" : " ", p->note, rate, eta);
    used = strlen(p->what) + strlen(right) + 3;
    cells = used < most ? most - used : 0;
    cells = cells > BAR_MOST ? BAR_MOST : cells;
    if (p->total > 0 && cells >= BAR_LEAST) {
        size_t full = (size_t)((double)d / (double)p->total * (double)cells);

        memcpy(bar, " [", 2);
        memset(bar + 2, '#', full);
        memset(bar + 2 + full, '.', cells - full);
        memcpy(bar + 2 + cells, "]", 2);
    }
    (void)snprintf(out, FR_PROGRESS_LINE, "%s%s%s", p->what, bar, right);
    if (strlen(out) > most)
        out[most] = '\0';
}

static size_t terminal_columns(void)
{
    struct winsize w;

    return ioctl(STDERR_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col > 0 ? w.ws_col : COLUMNS;
}

void fr_progress_update(struct fr_progress *p, uint64_t done)
{
    const char *gap = p->note[0] == '\0' ? "" : ", ";
    char line[FR_PROGRESS_LINE];
    int64_t now;

    if (p->quiet)
        return;
    now = now_us();
    if (now - p->shown_us < (p->terminal ? REDRAW_US : LINE_US))
        return;
    p->shown_us = now;
    if (p->terminal) {
        fr_progress_line(p, done, (double)(now - p->start_us) / 1e6, terminal_columns(), line);
        fprintf(stderr, "\r%s\033[K", line);
    } else if (p->total > 0) {
        fprintf(stderr, "%s: %llu of %llu %s%s%s\n", p->what, (unsigned long long)done,
                (unsigned long long)p->total, p->unit, gap, p->note);
    } else {
        fprintf(stderr, "%s: %llu %s%s%s\n", p->what, (unsigned long long)done, p->unit, gap, p->note);
    }
}

void fr_progress_finish(struct fr_progress *p, uint64_t done)
{
    double s = (double)(now_us() - p->start_us) / 1e6;
    char rate[48];

    if (p->quiet)
        return;
    put_rate(p, done, s, rate, sizeof(rate));
    fprintf(stderr, "%s%s%s%s: %llu %s in %.1f s%s%s%s\n", p->terminal ? "\r" : "", p->what,
            p->note[0] == '\0' ? "" : ": ", p->note, (unsigned long long)done, p->unit, s,
            rate[0] == '\0' ? "" : ",", rate, p->terminal ? "\033[K" : "");
}
