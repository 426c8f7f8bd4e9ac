/*
 * daemon/cli/progress.c - progress line on standard error.
 */
#include "daemon/cli/progress.h"

#include <stdio.h>
#include <unistd.h>

#include "daemon/base/clock.h"

#define REDRAW_US 200000   /* often enough to look alive */
#define LINE_US 10000000   /* plain lines in a log */
#define BAR_WIDTH 30

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
    p->total = total;
    p->terminal = isatty(STDERR_FILENO) == 1;
    p->quiet = quiet;
    p->start_us = now_us();
    p->shown_us = p->start_us;
}

static void bar(const struct fr_progress *p, uint64_t done)
{
    char cells[BAR_WIDTH + 1];
    uint64_t d = done > p->total ? p->total : done;
    int full = (int)((double)d / (double)p->total * BAR_WIDTH);

    for (int i = 0; i < BAR_WIDTH; i++)
        cells[i] = i < full ? '#' : '.';
    cells[BAR_WIDTH] = '\0';
    fprintf(stderr, "\r%s [%s] %3d%% %llu %s", p->what, cells, (int)((double)d * 100 / (double)p->total),
            (unsigned long long)done, p->unit);
}

void fr_progress_update(struct fr_progress *p, uint64_t done)
{
    int64_t now;

    if (p->quiet)
        return;
    now = now_us();
    if (now - p->shown_us < (p->terminal ? REDRAW_US : LINE_US))
        return;
    p->shown_us = now;
    if (p->terminal && p->total > 0)
        bar(p, done);
    else if (p->terminal)
        fprintf(stderr, "\r%s %llu %s", p->what, (unsigned long long)done, p->unit);
    else if (p->total > 0)
        fprintf(stderr, "%s: %llu of %llu %s\n", p->what, (unsigned long long)done,
                (unsigned long long)p->total, p->unit);
    else
        fprintf(stderr, "%s: %llu %s\n", p->what, (unsigned long long)done, p->unit);
}

void fr_progress_finish(struct fr_progress *p, uint64_t done)
{
    double s = (double)(now_us() - p->start_us) / 1e6;

    if (p->quiet)
        return;
    fprintf(stderr, "%s%s: %llu %s in %.1f s%s\n", p->terminal ? "\r" : "", p->what,
            (unsigned long long)done, p->unit, s, p->terminal ? "\033[K" : "");
}
