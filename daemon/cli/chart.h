/*
 * daemon/cli/chart.h - axes with round ticks, and the two pictures drawn with them.
 *
 *   values ──fr_chart_axis_fit()──► range, ticks ──fr_chart_at()──► places ──► svg.h
 *
 * Any values may come: NaN and infinities are left out, one value or equal ones get room around
 * them, extreme ones are clamped. Layer: daemon/cli, pure. Thread: any.
 */
#ifndef FR_CLI_CHART_H
#define FR_CLI_CHART_H

#include "daemon/cli/svg.h"

#define FR_CHART_TICKS 16
#define FR_CHART_TEXT 32

enum fr_chart_scale {
    FR_CHART_LINEAR,
    FR_CHART_WHOLE, /* linear, ticks at whole numbers only */
    FR_CHART_LOG    /* values that are not positive are left out */
};

/** Owner: the caller's storage. */
struct fr_chart_axis {
    enum fr_chart_scale scale;
    double lo, hi;     /* range, hi > lo */
    double from, to;   /* where lo and hi lie in the picture */
    double tick[FR_CHART_TICKS];
    int n_ticks;
    int decimals;      /* of the ticks' text; < 0: scientific */
};

/**
 * Make an axis for n values.
 * @param from, to  places of its ends. @param most  ticks, 2..FR_CHART_TICKS
 * @param pad       room beyond the values at either end, as a share of the range
 */
void fr_chart_axis_fit(struct fr_chart_axis *a,
                       enum fr_chart_scale scale,
                       const double *v,
                       size_t n,
                       double pad,
                       double from,
                       double to,
                       int most);
/** Place of a value; NaN if the axis cannot show it. */
double fr_chart_at(const struct fr_chart_axis *a, double v);
/** Text of a value as ticks have it: "0.98", "1,000", "2e-05". */
void fr_chart_text(const struct fr_chart_axis *a, double v, char out[FR_CHART_TEXT]);

/** Frame, grid and ticks of a panel. @param x_text  with the text of x ticks below */
void fr_chart_frame(struct fr_buf *b, const struct fr_chart_axis *x, const struct fr_chart_axis *y, bool x_text);

/** How a training went. Borrowed for the call. */
struct fr_chart_curve {
    struct fr_str title;    /* untrusted */
    const char *valid_name; /* of valid[]; NULL: there is none */
    const double *loss, *valid, *lr; /* (n) by epoch; lr nullable: no drops are marked */
    int n;
    int best;               /* epoch from 1; 0: none */
};
/** Validation above, loss below, learning-rate drops and the best epoch marked. */
void fr_chart_curve(const struct fr_chart_curve *c, struct fr_buf *out);

#define FR_CHART_POINTS 64
/** A bundle of a comparison. */
struct fr_chart_point {
    struct fr_str label; /* untrusted */
    double x, y;         /* microseconds, the measure */
    double low, high;    /* of y; NaN: none */
};
/** Quality against time, and a row each; at most FR_CHART_POINTS are drawn. Borrowed for the call. */
struct fr_chart_points {
    struct fr_str title, x_name, y_name; /* untrusted */
    struct fr_str measure;               /* of y, short: "auc" */
    const struct fr_chart_point *p;
    int n;
    bool lower_is_better; /* of y */
};
void fr_chart_points(const struct fr_chart_points *c, struct fr_buf *out);

#endif
