/*
 * daemon/cli/chart_points.c - quality against time: numbered points above, below them a row each
 * with its name, interval and both values. So no name covers another, however close the points are.
 */
#include <math.h>
#include <stdio.h>

#include "daemon/cli/chart.h"
#include "daemon/cli/label.h"

#define WIDTH 720
#define LEFT 72
#define RIGHT (WIDTH - 24)
#define TOP 66
#define BOTTOM 340
#define X_NAME (BOTTOM + 38)
#define ROWS (BOTTOM + 78)  /* heading of the rows */
#define ROW 22
#define NAME 50             /* columns of a row: number and name, interval, measure, microseconds */
#define BAR_FROM 290
#define BAR_TO 540
#define VALUE 618
#define TEXT 12
#define COLUMNS 30 /* characters of a name */
#define RADIUS 4.5
#define RINGS 14 /* distances tried for a number */
#define SIDES 16 /* directions */

struct box {
    double x0, y0, x1, y1;
};

/* Where numbers may not be: points, numbers that were placed. */
struct layout {
    struct box taken[FR_CHART_POINTS * 2];
    int n;
};

static double shared(const struct box *a, const struct box *b)
{
    double w = fmin(a->x1, b->x1) - fmax(a->x0, b->x0), h = fmin(a->y1, b->y1) - fmax(a->y0, b->y0);

    return w > 0 && h > 0 ? w * h : 0;
}

static double overlap(const struct layout *l, const struct box *b)
{
    double sum = 0;

    for (int i = 0; i < l->n; i++)
        sum += shared(&l->taken[i], b);
    return sum;
}

/* A number of that width, `r` from the point in a direction. */
static struct box box_at(double x, double y, double width, double r, int side)
{
    double angle = side * 2 * 3.14159265358979 / SIDES, cx = cos(angle), cy = sin(angle);
    double left = x + r * cx - (1 - cx) / 2 * width, mid = y + r * cy + cy * TEXT / 2;

    return (struct box){left, mid - TEXT * 0.6, left + width, mid + TEXT * 0.6};
}

/* The nearest free place; if all are taken, the one that covers least. */
static struct box place(struct layout *l, double x, double y, double width)
{
    static const int order[SIDES] = {0, 8, 15, 1, 7, 9, 14, 2, 12, 4, 6, 10, 13, 3, 5, 11};
    struct box best = {0, 0, 0, 0};
    double least = (double)INFINITY;

    for (int ring = 0; ring < RINGS; ring++)
        for (int i = 0; i < SIDES; i++) {
            struct box b = box_at(x, y, width, RADIUS + 3 + ring * 7, order[i]);
            double cost;

            if (b.x0 < LEFT || b.x1 > RIGHT || b.y0 < TOP || b.y1 > BOTTOM)
                continue;
            cost = overlap(l, &b);
            if (cost < least) {
                least = cost;
                best = b;
            }
            if (!(cost > 0)) {
                l->taken[l->n++] = best;
                return best;
            }
        }
    l->taken[l->n++] = best;
    return best;
}

static bool better(const struct fr_chart_points *c, double a, double b)
{
    return c->lower_is_better ? a < b : a > b;
}

static bool drawn(const struct fr_chart_point *p)
{
    return isfinite(p->x) && p->x > 0 && isfinite(p->y);
}

/* No other one is at least as fast and better. */
static bool on_front(const struct fr_chart_points *c, int i)
{
    const struct fr_chart_point *p = &c->p[i];

    for (int k = 0; k < c->n; k++) {
        const struct fr_chart_point *q = &c->p[k];

        if (k == i || !drawn(q))
            continue;
        if (q->x <= p->x && better(c, q->y, p->y))
            return false;
        if (q->x < p->x && !better(c, p->y, q->y))
            return false;
    }
    return drawn(p);
}

/* Through the front from the fastest on. @return there are two points to join */
static bool draw_front(struct fr_buf *b, const struct fr_chart_points *c, const struct fr_chart_axis *x, const struct fr_chart_axis *y)
{
    double xy[FR_CHART_POINTS * 2], from = 0;
    size_t n = 0;

    for (int done = 0; done < c->n; done++) {
        int next = -1;

        for (int i = 0; i < c->n; i++)
            if (on_front(c, i) && c->p[i].x > from && (next < 0 || c->p[i].x < c->p[next].x))
                next = i;
        if (next < 0)
            break;
        from = c->p[next].x;
        xy[2 * n] = fr_chart_at(x, from);
        xy[2 * n++ + 1] = fr_chart_at(y, c->p[next].y);
    }
    if (n > 1)
        fr_svg_path(b, xy, n, 1.3, FR_SVG_SECOND, FR_SVG_DASHED);
    return n > 1;
}

static int best_of(const struct fr_chart_points *c)
{
    int best = -1;

    for (int i = 0; i < c->n && i < FR_CHART_POINTS; i++)
        if (drawn(&c->p[i]) && (best < 0 || better(c, c->p[i].y, c->p[best].y)))
            best = i;
    return best;
}

static void draw_number(struct fr_buf *b, struct layout *l, double x, double y, int number, bool best)
{
    char text[16];
    struct box at;
    double nx, ny, d;

    (void)snprintf(text, sizeof(text), "%d", number);
    at = place(l, x, y, fr_svg_text_width(fr_str_z(text), TEXT) + 3);
    nx = fmax(at.x0, fmin(x, at.x1));
    ny = fmax(at.y0, fmin(y, at.y1));
    d = hypot(nx - x, ny - y);
    if (d > RADIUS + 7)
        fr_svg_line(b, x + (nx - x) * (RADIUS + 2) / d, y + (ny - y) * (RADIUS + 2) / d, nx, ny, 1, FR_SVG_FRAME,
                    FR_SVG_SOLID);
    fr_svg_text(b, (at.x0 + at.x1) / 2, at.y0 + TEXT * 0.95, TEXT, best, FR_SVG_MIDDLE, FR_SVG_TEXT, fr_str_z(text));
}

static void draw_points(struct fr_buf *b,
                        const struct fr_chart_points *c,
                        const struct fr_chart_axis *x,
                        const struct fr_chart_axis *y,
                        int best)
{
    struct layout l = {.n = 0};

    for (int i = 0; i < c->n; i++) {
        double px = fr_chart_at(x, c->p[i].x), py = fr_chart_at(y, c->p[i].y);

        if (!drawn(&c->p[i]))
            continue;
        l.taken[l.n++] = (struct box){px - RADIUS - 1, py - RADIUS - 1, px + RADIUS + 1, py + RADIUS + 1};
        if (i != best)
            fr_svg_dot(b, px, py, RADIUS, FR_SVG_MAIN, true);
    }
    if (best >= 0) /* above the others */
        fr_svg_dot(b, fr_chart_at(x, c->p[best].x), fr_chart_at(y, c->p[best].y), RADIUS, FR_SVG_ACCENT, true);
    for (int i = 0; i < c->n; i++)
        if (drawn(&c->p[i]))
            draw_number(b, &l, fr_chart_at(x, c->p[i].x), fr_chart_at(y, c->p[i].y), i + 1, i == best);
}

static void draw_interval(struct fr_buf *b, const struct fr_chart_axis *x, const struct fr_chart_point *p, double y, enum fr_svg_ink ink)
{
    double low = fr_chart_at(x, p->low), high = fr_chart_at(x, p->high);

    fr_svg_line(b, low, y, high, y, 1.6, ink, FR_SVG_SOLID);
    fr_svg_line(b, low, y - 4, low, y + 4, 1.6, ink, FR_SVG_SOLID);
    fr_svg_line(b, high, y - 4, high, y + 4, 1.6, ink, FR_SVG_SOLID);
    fr_svg_dot(b, fr_chart_at(x, p->y), y, RADIUS - 1, ink, false);
}

/* "0.98490", "2,014"; "-" for what is not a number. */
static void draw_value(struct fr_buf *b, double x, double y, double v, int decimals, bool bold)
{
    struct fr_chart_axis plain = {.decimals = decimals};
    char text[FR_CHART_TEXT] = "-";

    if (isfinite(v))
        fr_chart_text(&plain, v, text);
    fr_svg_text(b, x, y, TEXT, bold, FR_SVG_END, FR_SVG_TEXT, fr_str_z(text));
}

static void draw_row(struct fr_buf *b, const struct fr_chart_points *c, const struct fr_chart_axis *x, int i, bool best)
{
    const struct fr_chart_point *p = &c->p[i];
    double y = ROWS + (i + 1) * ROW;
    struct fr_buf name = {NULL, 0, 0, FR_OK};
    char number[16];

    (void)snprintf(number, sizeof(number), "%d", i + 1);
    fr_svg_text(b, NAME - 8, y, TEXT, best, FR_SVG_END, FR_SVG_MUTED, fr_str_z(number));
    fr_label_clean(&name, p->label, COLUMNS);
    fr_svg_text(b, NAME, y, TEXT, best, FR_SVG_START, FR_SVG_TEXT, fr_buf_str(&name));
    if (fr_buf_err(&name) != FR_OK)
        b->err = fr_buf_err(&name);
    fr_buf_done(&name);
    draw_interval(b, x, p, y - 4, best ? FR_SVG_ACCENT : FR_SVG_MAIN);
    draw_value(b, VALUE, y, p->y, 5, best);
    draw_value(b, RIGHT, y, p->x, p->x < 100 ? 1 : 0, false);
}

static void draw_rows(struct fr_buf *b, const struct fr_chart_points *c, const double *ys, size_t n, int best)
{
    double bottom = ROWS + c->n * ROW + 10;
    struct fr_chart_axis x;
    char text[FR_CHART_TEXT];

    fr_chart_axis_fit(&x, FR_CHART_LINEAR, ys, n, 0.04, BAR_FROM, BAR_TO, 5);
    for (int i = 0; i < x.n_ticks; i++) {
        double at = fr_chart_at(&x, x.tick[i]);

        fr_svg_line(b, at, ROWS + 8, at, bottom, 1, FR_SVG_GRID, FR_SVG_SOLID);
        fr_chart_text(&x, x.tick[i], text);
        fr_svg_text(b, at, bottom + 16, TEXT, false, FR_SVG_MIDDLE, FR_SVG_MUTED, fr_str_z(text));
    }
    fr_svg_line(b, NAME - 24, ROWS + 7, RIGHT, ROWS + 7, 1, FR_SVG_FRAME, FR_SVG_SOLID);
    fr_svg_text(b, NAME, ROWS, TEXT, true, FR_SVG_START, FR_SVG_TEXT, FR_STR_LIT("bundle"));
    fr_svg_text(b, VALUE, ROWS, TEXT, true, FR_SVG_END, FR_SVG_TEXT, c->measure);
    fr_svg_text(b, RIGHT, ROWS, TEXT, true, FR_SVG_END, FR_SVG_TEXT, FR_STR_LIT("\xc2\xb5s"));
    for (int i = 0; i < c->n; i++)
        draw_row(b, c, &x, i, i == best);
}

void fr_chart_points(const struct fr_chart_points *c, struct fr_buf *out)
{
    struct fr_chart_points shown = *c;
    double xs[FR_CHART_POINTS] = {0}, ys[FR_CHART_POINTS] = {0}, bars[FR_CHART_POINTS * 3] = {0};
    struct fr_chart_axis x, y;
    int best = best_of(c);
    size_t n = 0;

    shown.n = c->n > FR_CHART_POINTS ? FR_CHART_POINTS : c->n;
    for (int i = 0; i < shown.n; i++) {
        const struct fr_chart_point *p = &c->p[i];

        bars[3 * i] = p->y;
        bars[3 * i + 1] = p->low;
        bars[3 * i + 2] = p->high;
        if (!drawn(p))
            continue;
        xs[n] = p->x;
        ys[n++] = p->y;
    }
    fr_chart_axis_fit(&x, FR_CHART_LOG, xs, n, 0.08, LEFT, RIGHT, 10);
    fr_chart_axis_fit(&y, FR_CHART_LINEAR, ys, n, 0.12, BOTTOM, TOP, 7);
    fr_svg_begin(out, WIDTH, ROWS + shown.n * ROW + 44, c->title);
    fr_svg_text(out, NAME - 24, 26, 15, true, FR_SVG_START, FR_SVG_TEXT, c->title);
    fr_svg_text(out, NAME - 24, 46, TEXT, false, FR_SVG_START, FR_SVG_MUTED, c->y_name);
    fr_chart_frame(out, &x, &y, true);
    if (draw_front(out, &shown, &x, &y))
        fr_svg_text(out, RIGHT, 46, TEXT, false, FR_SVG_END, FR_SVG_MUTED,
                    FR_STR_LIT("dashed: no other is both better and faster"));
    draw_points(out, &shown, &x, &y, best);
    fr_svg_text(out, (LEFT + RIGHT) / 2.0, X_NAME, TEXT, false, FR_SVG_MIDDLE, FR_SVG_MUTED, c->x_name);
    draw_rows(out, &shown, bars, (size_t)shown.n * 3, best);
    fr_svg_end(out);
}
