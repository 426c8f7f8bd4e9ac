/*
 * daemon/cli/demo_metrics.c - see demo_metrics.h. Reads the Prometheus text line by line.
 */
#include "daemon/cli/demo_metrics.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "daemon/base/buf.h"
#include "daemon/cli/http_get.h"

#define TIMEOUT_MS 1000

static bool next_line(struct fr_str *rest, struct fr_str *line)
{
    const char *nl;

    if (rest->n == 0)
        return false;
    nl = memchr(rest->p, '\n', rest->n);
    line->p = rest->p;
    line->n = nl == NULL ? rest->n : (size_t)(nl - rest->p);
    rest->p += line->n + (nl != NULL);
    rest->n -= line->n + (nl != NULL);
    return true;
}

/* Is this a sample of `name`? Then its label text (between braces) and value. */
static bool sample_of(struct fr_str line, const char *name, struct fr_str *labels, double *value)
{
    size_t n = strlen(name), space = line.n;
    const char *close;

    if (line.n <= n || memcmp(line.p, name, n) != 0 || (line.p[n] != '{' && line.p[n] != ' '))
        return false;
    *labels = (struct fr_str){NULL, 0};
    if (line.p[n] == '{') {
        close = memchr(line.p, '}', line.n);
        if (close == NULL)
            return false;
        *labels = (struct fr_str){line.p + n + 1, (size_t)(close - line.p) - n - 1};
    }
    while (space > 0 && line.p[space - 1] != ' ')
        space--;
    return fr_str_to_f64((struct fr_str){line.p + space, line.n - space}, value) == FR_OK;
}

enum fr_err fr_demo_metrics_sum(struct fr_str text, const char *name, double *out)
{
    struct fr_str line, labels;
    enum fr_err e = FR_ENOTFOUND;
    double v;

    *out = 0;
    while (next_line(&text, &line))
        if (sample_of(line, name, &labels, &v)) {
            *out += v;
            e = FR_OK;
        }
    return e;
}

static double bound_of(struct fr_str labels)
{
    static const char key[] = "le=\"";
    double v;

    for (size_t i = 0; i + sizeof(key) - 1 <= labels.n; i++) {
        const char *from = labels.p + i + sizeof(key) - 1, *quote;
        if (memcmp(labels.p + i, key, sizeof(key) - 1) != 0)
            continue;
        quote = memchr(from, '"', labels.n - i - (sizeof(key) - 1));
        if (quote == NULL || fr_str_to_f64((struct fr_str){from, (size_t)(quote - from)}, &v) != FR_OK)
            return (double)INFINITY;
        return v;
    }
    return (double)INFINITY;
}

void fr_demo_metrics_buckets(struct fr_str text, const char *name, struct fr_demo_buckets *out)
{
    char full[128];
    struct fr_str line, labels, whole = text;
    double v;

    out->n = 0;
    (void)snprintf(full, sizeof(full), "%s_bucket", name);
    while (out->n < FR_DEMO_BUCKETS && next_line(&text, &line))
        if (sample_of(line, full, &labels, &v)) {
            out->le[out->n] = bound_of(labels);
            out->count[out->n++] = v;
        }
    (void)snprintf(full, sizeof(full), "%s_sum", name);
    if (fr_demo_metrics_sum(whole, full, &out->sum) != FR_OK)
        out->n = 0;
}

static double since(const struct fr_demo_buckets *b, const struct fr_demo_buckets *before, int i)
{
    return b->count[i] - (before != NULL && before->n == b->n ? before->count[i] : 0);
}

double fr_demo_buckets_ms(const struct fr_demo_buckets *b, const struct fr_demo_buckets *before, double q)
{
    double rank, below = 0, from = 0;

    if (b->n == 0 || since(b, before, b->n - 1) <= 0)
        return (double)NAN;
    rank = q * since(b, before, b->n - 1);
    for (int i = 0; i < b->n && isfinite(b->le[i]); i++) {
        double count = since(b, before, i);
        if (count >= rank && count > below)
            return (from + (b->le[i] - from) * (rank - below) / (count - below)) * 1000;
        below = count;
        from = b->le[i];
    }
    return from * 1000;
}

double fr_demo_buckets_mean_ms(const struct fr_demo_buckets *b, const struct fr_demo_buckets *before)
{
    double n = b->n == 0 ? 0 : since(b, before, b->n - 1);

    return n <= 0 ? (double)NAN : (b->sum - (before != NULL ? before->sum : 0)) / n * 1000;
}

enum fr_err fr_demo_metrics_parse(struct fr_str text, struct fr_demo_metrics *out)
{
    double events, items;

    if (fr_demo_metrics_sum(text, "freshet_events_total", &events) != FR_OK ||
        fr_demo_metrics_sum(text, "freshet_items_total", &items) != FR_OK)
        return FR_ECORRUPT;
    out->events = (uint64_t)events;
    out->items = (uint64_t)items;
    fr_demo_metrics_buckets(text, "freshet_recommendation_freshness_seconds", &out->recommendation);
    fr_demo_metrics_buckets(text, "freshet_feature_freshness_seconds", &out->feature);
    return FR_OK;
}

enum fr_err fr_demo_metrics_read(int port, struct fr_demo_metrics *out)
{
    struct fr_buf body;
    int status;
    enum fr_err e;

    fr_buf_init(&body);
    e = fr_http_get(port, "/metrics", TIMEOUT_MS, &status, &body);
    if (e == FR_OK)
        e = status == 200 ? fr_demo_metrics_parse(fr_buf_str(&body), out) : FR_ECORRUPT;
    fr_buf_done(&body);
    return e;
}
