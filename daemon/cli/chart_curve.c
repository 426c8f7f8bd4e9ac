/*
 * daemon/cli/chart_curve.c - a training by epoch: two panels over one axis of epochs.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "daemon/cli/chart.h"

#define WIDTH 640
#define LEFT 64
#define RIGHT (WIDTH - 20)
#define TOP 40
#define PANEL 150 /* height of a panel, its heading above it */
#define HEADING 26
#define BOTTOM 40
#define MARKS_UP_TO 60 /* epochs; more are a line only */
#define LABEL_ROOM 62 /* of a learning rate */

static double panel_top(int panel)
{
    return TOP + HEADING + panel * (PANEL + HEADING + 12);
}

static bool drop(const struct fr_chart_curve *c, int i)
{
    return i > 0 && c->lr[i] < c->lr[i - 1] * 0.999;
}

/* A schedule that falls all the time has no drops worth marking. */
static bool has_drops(const struct fr_chart_curve *c)
{
    int n = 0;

    for (int i = 1; c->lr != NULL && i < c->n; i++)
        n += drop(c, i);
    return n > 0 && n * 2 <= c->n;
}

/* From the first panel's top to the last one's bottom, between the epochs before and after. */
static void draw_drops(struct fr_buf *b, const struct fr_chart_curve *c, const struct fr_chart_axis *x, int panels)
{
    double free_from = 0;

    for (int i = 1; i < c->n; i++) {
        double at = fr_chart_at(x, i + 0.5);
        bool left = at + LABEL_ROOM > RIGHT;
        char text[FR_CHART_TEXT + 8];

        if (!drop(c, i))
            continue;
        for (int p = 0; p < panels; p++)
            fr_svg_line(b, at, panel_top(p), at, panel_top(p) + PANEL, 1, FR_SVG_SECOND, FR_SVG_DASHED);
        if (at < free_from || (left && at - LABEL_ROOM < free_from))
            continue;
        (void)snprintf(text, sizeof(text), "lr %.3g", c->lr[i]);
        fr_svg_text(b, left ? at - 4 : at + 4, panel_top(panels - 1) + 12, 11, false,
                    left ? FR_SVG_END : FR_SVG_START, FR_SVG_MUTED, fr_str_z(text));
        free_from = left ? at : at + LABEL_ROOM;
    }
}

/* One measure by epoch. @param says  right of the heading */
static void draw_panel(struct fr_buf *b,
                       const struct fr_chart_curve *c,
                       const struct fr_chart_axis *x,
                       int panel,
                       const double *v,
                       bool x_text,
                       const char *heading,
                       const char *says)
{
    double top = panel_top(panel), xy[2];
    struct fr_chart_axis y;

    fr_chart_axis_fit(&y, FR_CHART_LINEAR, v, (size_t)c->n, 0.08, top + PANEL, top, 5);
    fr_chart_frame(b, x, &y, x_text);
    fr_svg_text(b, LEFT, top - 8, 13, true, FR_SVG_START, FR_SVG_TEXT, fr_str_z(heading));
    fr_svg_text(b, RIGHT, top - 8, 12, false, FR_SVG_END, FR_SVG_MUTED, fr_str_z(says));
    for (int i = 0; i + 1 < c->n; i++) { /* piece by piece: no memory of the length of a training */
        double two[4] = {fr_chart_at(x, i + 1), fr_chart_at(&y, v[i]), fr_chart_at(x, i + 2),
                         fr_chart_at(&y, v[i + 1])};

        fr_svg_line(b, two[0], two[1], two[2], two[3], 2, FR_SVG_MAIN, FR_SVG_SOLID);
    }
    for (int i = 0; i < c->n && c->n <= MARKS_UP_TO; i++)
        fr_svg_dot(b, fr_chart_at(x, i + 1), fr_chart_at(&y, v[i]), 2, FR_SVG_MAIN, false);
    if (c->best < 1 || c->best > c->n)
        return;
    xy[0] = fr_chart_at(x, c->best);
    xy[1] = fr_chart_at(&y, v[c->best - 1]);
    fr_svg_dot(b, xy[0], xy[1], 5, FR_SVG_ACCENT, true);
}

void fr_chart_curve(const struct fr_chart_curve *c, struct fr_buf *out)
{
    int panels = c->valid_name == NULL ? 1 : 2;
    int height = (int)panel_top(panels - 1) + PANEL + BOTTOM;
    double ends[2] = {1, c->n < 1 ? 1 : c->n}, loss = (double)NAN;
    char says[96] = "", heading[96];
    struct fr_chart_axis x;

    fr_svg_begin(out, WIDTH, height, c->title);
    fr_svg_text(out, LEFT, 26, 15, true, FR_SVG_START, FR_SVG_TEXT, c->title);
    fr_chart_axis_fit(&x, FR_CHART_WHOLE, ends, 2, 0.02, LEFT, RIGHT, 12);
    if (has_drops(c))
        draw_drops(out, c, &x, panels);
    if (c->valid_name != NULL) {
        if (c->best >= 1 && c->best <= c->n && isfinite(c->valid[c->best - 1]))
            (void)snprintf(says, sizeof(says), fabs(c->valid[c->best - 1]) < 1e6 ? "best %.5f at epoch %d" : "best %.5g at epoch %d",
                           c->valid[c->best - 1], c->best);
        (void)snprintf(heading, sizeof(heading), "validation %.40s", c->valid_name);
        draw_panel(out, c, &x, 0, c->valid, false, heading, says);
    }
    for (int i = 0; i < c->n; i++)
        loss = isfinite(c->loss[i]) ? c->loss[i] : loss;
    says[0] = '\0';
    if (isfinite(loss))
        (void)snprintf(says, sizeof(says), "last %.5g", loss);
    draw_panel(out, c, &x, panels - 1, c->loss, true, "training loss", says);
    fr_svg_text(out, (LEFT + RIGHT) / 2.0, height - 6, 12, false, FR_SVG_MIDDLE, FR_SVG_MUTED, FR_STR_LIT("epoch"));
    fr_svg_end(out);
}
