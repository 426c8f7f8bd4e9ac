/*
 * daemon/metrics.c - sums and the Prometheus text format (version 0.0.4).
 */
#include "daemon/metrics.h"

#include <math.h>
#include <string.h>

struct row {
    const char *metric, *label, *value, *help;
};

static const struct row counter_rows[] = {
#define C(id, metric, label, value, help) {metric, label, value, help},
#define H(id, metric, label, value, help)
#include "daemon/metrics.def"
#undef C
#undef H
};

static const struct row hist_rows[] = {
#define C(id, metric, label, value, help)
#define H(id, metric, label, value, help) {metric, label, value, help},
#include "daemon/metrics.def"
#undef C
#undef H
};

uint64_t fr_metrics_sum(struct fr_metrics *const *shards, int n, enum fr_counter id)
{
    uint64_t sum = 0;

    for (int i = 0; i < n; i++)
        sum += atomic_load_explicit(&shards[i]->c[id], memory_order_relaxed);
    return sum;
}

void fr_metrics_hist(struct fr_metrics *const *shards,
                     int n,
                     enum fr_hist id,
                     struct fr_histogram_sum *out)
{
    memset(out, 0, sizeof(*out));
    for (int i = 0; i < n; i++)
        fr_histogram_add(out, &shards[i]->h[id]);
}

static void head(struct fr_buf *out, const char *metric, const char *type, const char *help)
{
    fr_buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", metric, help, metric, type);
}

void fr_metrics_gauge_head(struct fr_buf *out, const char *metric, const char *help)
{
    head(out, metric, "gauge", help);
}

static void put_f64(struct fr_buf *out, double v)
{
    char tmp[32];

    fr_f64_to_str(v, tmp);
    fr_buf_puts(out, tmp);
}

static void render_dead(struct fr_metrics *const *shards, int n, struct fr_buf *out)
{
    head(out, "freshet_dead_letters_total", "counter", "Records sent to the dead-letter topic");
    for (int e = 1; e < FR_ERR_COUNT; e++) {
        uint64_t sum = 0;
        for (int i = 0; i < n; i++)
            sum += atomic_load_explicit(&shards[i]->dead[e], memory_order_relaxed);
        if (sum > 0)
            fr_buf_printf(out, "freshet_dead_letters_total{reason=\"%s\"} %llu\n",
                          fr_err_label((enum fr_err)e), (unsigned long long)sum);
    }
}

static void render_hist(struct fr_metrics *const *shards, int n, int id, struct fr_buf *out)
{
    const struct row *r = &hist_rows[id];
    struct fr_histogram_sum s;
    uint64_t below = 0;
    const char *comma = r->label[0] ? "," : "";

    fr_metrics_hist(shards, n, (enum fr_hist)id, &s);
    for (int b = 0; b < FR_HISTOGRAM_BUCKETS; b++) {
        double bound = fr_histogram_bound(b);
        below += s.count[b];
        fr_buf_printf(out, "%s_bucket{", r->metric);
        if (r->label[0])
            fr_buf_printf(out, "%s=\"%s\"%s", r->label, r->value, comma);
        fr_buf_puts(out, "le=\"");
        if (isinf(bound))
            fr_buf_puts(out, "+Inf");
        else
            put_f64(out, bound);
        fr_buf_printf(out, "\"} %llu\n", (unsigned long long)below);
    }
    for (int part = 0; part < 2; part++) {
        fr_buf_printf(out, "%s_%s", r->metric, part == 0 ? "sum" : "count");
        if (r->label[0])
            fr_buf_printf(out, "{%s=\"%s\"}", r->label, r->value);
        fr_buf_putc(out, ' ');
        if (part == 0)
            put_f64(out, s.sum_s);
        else
            fr_buf_put_u64(out, s.total);
        fr_buf_putc(out, '\n');
    }
}

/* Observations below zero are counted as zero in the histogram, and here: a clock is wrong somewhere. */
static void render_clamped(struct fr_metrics *const *shards, int n, struct fr_buf *out)
{
    head(out, "freshet_negative_lags_total", "counter", "Lags below zero (clocks disagree), counted as zero");
    for (int i = 0; i < FR_HISTS; i++) {
        struct fr_histogram_sum s;
        if (hist_rows[i].label[0] != '\0')
            continue; /* stages: one clock */
        fr_metrics_hist(shards, n, (enum fr_hist)i, &s);
        fr_buf_printf(out, "freshet_negative_lags_total{metric=\"%s\"} %llu\n", hist_rows[i].metric,
                      (unsigned long long)s.clamped);
    }
}

void fr_metrics_render(struct fr_metrics *const *shards, int n, struct fr_buf *out)
{
    for (int i = 0; i < FR_COUNTERS; i++) {
        const struct row *r = &counter_rows[i];
        if (i == 0 || strcmp(r->metric, counter_rows[i - 1].metric) != 0)
            head(out, r->metric, "counter", r->help);
        fr_buf_puts(out, r->metric);
        if (r->label[0])
            fr_buf_printf(out, "{%s=\"%s\"}", r->label, r->value);
        fr_buf_printf(out, " %llu\n",
                      (unsigned long long)fr_metrics_sum(shards, n, (enum fr_counter)i));
    }
    render_dead(shards, n, out);
    render_clamped(shards, n, out);
    for (int i = 0; i < FR_HISTS; i++) {
        if (i == 0 || strcmp(hist_rows[i].metric, hist_rows[i - 1].metric) != 0)
            head(out, hist_rows[i].metric, "histogram", hist_rows[i].help);
        render_hist(shards, n, i, out);
    }
}
