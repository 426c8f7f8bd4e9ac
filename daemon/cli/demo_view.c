/*
 * daemon/cli/demo_view.c - see demo_view.h.
 */
#include "daemon/cli/demo_view.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PANEL_US 500000
#define PLAIN_US 2000000

void fr_demo_view_init(struct fr_demo_view *v, bool is_shop, const char *addresses)
{
    memset(v, 0, sizeof(*v));
    v->terminal = isatty(STDOUT_FILENO) == 1;
    v->is_shop = is_shop;
    v->addresses = addresses;
}

struct fr_demo_shown *fr_demo_view_push(struct fr_demo_view *v)
{
    memmove(&v->shown[1], &v->shown[0], sizeof(v->shown[0]) * (FR_DEMO_SHOWN - 1));
    if (v->n_shown < FR_DEMO_SHOWN)
        v->n_shown++;
    memset(&v->shown[0], 0, sizeof(v->shown[0]));
    return &v->shown[0];
}

void fr_demo_view_text(char cell[FR_DEMO_TEXT], struct fr_str text)
{
    size_t k = 0;

    for (size_t i = 0; i < text.n && k + 1 < FR_DEMO_TEXT; i++)
        if ((unsigned char)text.p[i] >= 0x20 && text.p[i] != 0x7f)
            cell[k++] = text.p[i];
    if (k + 1 == FR_DEMO_TEXT) { /* maybe cut within a character: leave the last one out */
        while (k > 0 && ((unsigned char)cell[k - 1] & 0xc0) == 0x80)
            k--;
        if (k > 0 && ((unsigned char)cell[k - 1] & 0x80) != 0)
            k--;
    }
    cell[k] = '\0';
}

/* ---- cells: a number, or a dash ---- */

struct cell {
    char text[32];
};

static struct cell number(double v, const char *unit, int digits)
{
    struct cell c;

    if (isfinite(v))
        (void)snprintf(c.text, sizeof(c.text), "%.*f%s", digits, v, unit);
    else
        (void)snprintf(c.text, sizeof(c.text), "-");
    return c;
}

static struct cell percent(double v)
{
    return number(v * 100, " %", 1);
}

static struct cell ms(double v)
{
    return number(v, " ms", 1);
}

/* ---- the panel ---- */

static void line(struct fr_demo_view *v, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void line(struct fr_demo_view *v, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    (void)vprintf(fmt, ap);
    va_end(ap);
    (void)fputs(v->terminal ? "\033[K\n" : "\n", stdout);
    v->lines++;
}

static void quality(struct fr_demo_view *v, const struct fr_demo_figures *f)
{
    if (v->is_shop)
        line(v, "  click rate     shown %s   random %s   oracle %s   regret captured %s (+- %s)",
             percent(f->ctr).text, percent(f->random).text, percent(f->oracle).text,
             percent(f->captured).text, percent(f->captured_pm).text);
    else
        line(v, "  next item among the newest 20   freshet %s   decayed popularity %s   (%llu judged)",
             percent(f->hit_rate).text, percent(f->popular_hit_rate).text, (unsigned long long)f->judged);
}

static void lists(struct fr_demo_view *v)
{
    for (int i = 0; i < v->n_shown; i++) {
        const struct fr_demo_shown *s = &v->shown[i];
        line(v, "  %s used \"%s\": list after %s", s->user, s->because, ms(s->ms).text);
        for (int k = 0; k < s->n_titles; k++)
            line(v, "      %d. %s", k + 1, s->title[k]);
    }
}

static void panel(struct fr_demo_view *v, const struct fr_demo_figures *f)
{
    if (v->lines > 0)
        (void)printf("\033[%dA\033[J", v->lines);
    v->lines = 0;
    line(v, "freshet, live: %.0f s   %llu events   %llu lists", f->seconds, (unsigned long long)f->events,
         (unsigned long long)f->lists);
    line(v, "  click -> list  p50 %s   p99 %s   (the daemon says %s, %s)", ms(f->p50_ms).text,
         ms(f->p99_ms).text, ms(f->daemon_p50_ms).text, ms(f->daemon_p99_ms).text);
    quality(v, f);
    lists(v);
    line(v, "  %s   Ctrl-C ends it", v->addresses);
}

static void plain(struct fr_demo_view *v, const struct fr_demo_figures *f)
{
    const struct fr_demo_shown *s = &v->shown[0];

    (void)printf("%5.0f s  %llu events  %llu lists  click -> list p50 %s p99 %s", f->seconds,
                 (unsigned long long)f->events, (unsigned long long)f->lists, ms(f->p50_ms).text,
                 ms(f->p99_ms).text);
    if (v->is_shop)
        (void)printf("  click rate %s (random %s, oracle %s)", percent(f->ctr).text,
                     percent(f->random).text, percent(f->oracle).text);
    else
        (void)printf("  next item hit %s (popularity %s)", percent(f->hit_rate).text,
                     percent(f->popular_hit_rate).text);
    (void)putchar('\n');
    if (v->n_shown > 0) {
        (void)printf("         %s used \"%s\":", s->user, s->because);
        for (int k = 0; k < s->n_titles; k++)
            (void)printf("%s %s", k > 0 ? " |" : "", s->title[k]);
        (void)putchar('\n');
    }
}

bool fr_demo_view_due(const struct fr_demo_view *v, int64_t now_us)
{
    return now_us - v->drawn_us >= (v->terminal ? PANEL_US : PLAIN_US);
}

void fr_demo_view_draw(struct fr_demo_view *v, const struct fr_demo_figures *f, int64_t now_us)
{
    v->drawn_us = now_us;
    if (v->terminal)
        panel(v, f);
    else
        plain(v, f);
    (void)fflush(stdout);
}

static void row(const char *what, struct cell c)
{
    (void)printf("  %-46s %12s\n", what, c.text);
}

void fr_demo_view_summary(struct fr_demo_view *v, const struct fr_demo_figures *f)
{
    (void)printf("\nSummary\n");
    row("live", number(f->seconds, " s", 1));
    row("events", number((double)f->events, "", 0));
    row("recommendations", number((double)f->lists, "", 0));
    row("triggers without a list", number((double)f->missing, "", 0));
    row("click -> recommendation, p50, from outside", ms(f->p50_ms));
    row("click -> recommendation, p99, from outside", ms(f->p99_ms));
    row("click -> recommendation, p50, daemon's own", ms(f->daemon_p50_ms));
    row("click -> recommendation, p99, daemon's own", ms(f->daemon_p99_ms));
    row("click -> features in Redis, p50", ms(f->feature_p50_ms));
    row("click -> features in Redis, p99", ms(f->feature_p99_ms));
    if (v->is_shop) {
        row("lists shown to shoppers", number((double)f->shown, "", 0));
        row("clicks on them", number((double)f->clicks, "", 0));
        row("click rate, expected: as shown", percent(f->ctr));
        row("click rate, expected: random lists", percent(f->random));
        row("click rate, expected: oracle's lists", percent(f->oracle));
        row("regret captured", percent(f->captured));
        row("  half of its 95 % interval", percent(f->captured_pm));
    } else {
        row("next items judged", number((double)f->judged, "", 0));
        row("next item among the newest list's 20", percent(f->hit_rate));
        row("next item among decayed popularity's 20", percent(f->popular_hit_rate));
    }
    (void)fflush(stdout);
}
