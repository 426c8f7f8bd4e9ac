/*
 * daemon/learn/benchmark_detail.c - sums by user, the Poisson bootstrap over them.
 */
#include "daemon/learn/benchmark_detail.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/alloc.h"
#include "daemon/base/rng.h"
#include "models/metrics.h"

#define AUC "auc"

enum { LOGLOSS, GAUC, RATIO, ROW_RATIOS };

void fr_benchmark_detail_done(struct fr_benchmark_detail *d)
{
    for (int i = 0; i < d->n_ratios; i++) {
        fr_free(d->ratio[i].num);
        fr_free(d->ratio[i].den);
    }
    fr_free(d->place);
    memset(d, 0, sizeof(*d));
}

enum fr_err fr_benchmark_detail_begin(
    struct fr_benchmark_detail *d, const char *unit, size_t n_units, const char *const *name, int n)
{
    d->unit = unit;
    d->n_units = n_units;
    for (int i = 0; i < n && i < FR_BENCHMARK_METRICS; i++) {
        struct fr_benchmark_ratio *r = &d->ratio[d->n_ratios++];

        r->name = name[i];
        r->num = fr_calloc(n_units + 1, sizeof(*r->num));
        r->den = fr_calloc(n_units + 1, sizeof(*r->den));
        if (r->num == NULL || r->den == NULL)
            return FR_ENOMEM;
    }
    return FR_OK;
}

void fr_benchmark_detail_add(struct fr_benchmark_detail *d, int ratio, size_t unit, double value)
{
    d->ratio[ratio].num[unit] += value;
    d->ratio[ratio].den[unit] += 1;
}

/* ---- labelled rows ---- */

struct row {
    uint32_t user, at;
    float logit;
};

static int by_user(const void *a, const void *b)
{
    const struct row *x = a, *y = b;

    if (x->user != y->user)
        return x->user < y->user ? -1 : 1;
    return (x->at > y->at) - (x->at < y->at);
}

static int by_logit(const void *a, const void *b)
{
    const struct row *x = a, *y = b;

    if (x->logit < y->logit || x->logit > y->logit)
        return x->logit < y->logit ? -1 : 1;
    return (x->at > y->at) - (x->at < y->at);
}

/* Users become 0, 1, ... in the order of their numbers. @return how many */
static size_t number_users(struct row *r, size_t n)
{
    uint32_t units = 0, was = 0;

    qsort(r, n, sizeof(*r), by_user);
    for (size_t i = 0; i < n; i++) {
        if (i > 0 && r[i].user != was)
            units++;
        was = r[i].user;
        r[i].user = units;
    }
    return n == 0 ? 0 : (size_t)units + 1;
}

/* AUC of one user's rows r[0..n) times n, if both labels occur. */
static enum fr_err
user_auc(struct fr_benchmark_detail *d, const struct row *r, const uint8_t *label, size_t n)
{
    float *s = fr_malloc_array(n, sizeof(*s));
    uint8_t *y = fr_malloc_array(n, sizeof(*y));
    double auc = 0;
    enum fr_err e = s == NULL || y == NULL ? FR_ENOMEM : FR_OK;

    for (size_t i = 0; e == FR_OK && i < n; i++) {
        s[i] = r[i].logit;
        y[i] = label[r[i].at];
    }
    if (e == FR_OK)
        e = fr_metric_auc(s, y, n, &auc);
    if (e == FR_OK) {
        d->ratio[GAUC].num[r->user] = auc * (double)n;
        d->ratio[GAUC].den[r->user] = (double)n;
    }
    fr_free(s);
    fr_free(y);
    return e == FR_EINVAL ? FR_OK : e; /* one label only: the user does not count */
}

/* Per-user sums of rows ordered by user. */
static enum fr_err
sum_rows(struct fr_benchmark_detail *d, const struct row *r, const uint8_t *label, size_t n, bool users)
{
    enum fr_err e = FR_OK;

    for (size_t i = 0; e == FR_OK && i < n; i++) {
        uint32_t u = r[i].user;
        uint8_t y = label[r[i].at];
        double z = (double)r[i].logit, loss = 0;

        e = fr_metric_logloss(&r[i].logit, &y, 1, &loss);
        d->ratio[LOGLOSS].num[u] += loss;
        d->ratio[LOGLOSS].den[u] += 1;
        d->ratio[RATIO].num[u] += 1 / (1 + exp(-z));
        d->ratio[RATIO].den[u] += y;
    }
    for (size_t i = 0, end; users && e == FR_OK && i < n; i = end) {
        for (end = i + 1; end < n && r[end].user == r[i].user;)
            end++;
        e = user_auc(d, r + i, label, end - i);
    }
    return e;
}

enum fr_err fr_benchmark_detail_rows(struct fr_benchmark_detail *d,
                                     const float *logit,
                                     const uint8_t *label,
                                     const uint32_t *user,
                                     size_t n)
{
    static const char *const name[ROW_RATIOS] = {"logloss", "gauc", "calibration_ratio"};
    struct row *r = fr_malloc_array(n, sizeof(*r));
    size_t units = n;
    enum fr_err e = n > UINT32_MAX ? FR_ETOOLARGE : r == NULL ? FR_ENOMEM : FR_OK;

    for (size_t i = 0; e == FR_OK && i < n; i++)
        r[i] = (struct row){user == NULL ? (uint32_t)i : user[i], (uint32_t)i, logit[i]};
    if (e == FR_OK) {
        units = number_users(r, n);
        e = fr_benchmark_detail_begin(d, user == NULL ? "rows" : "users", units, name, ROW_RATIOS);
    }
    if (e == FR_OK)
        e = sum_rows(d, r, label, n, user != NULL);
    if (e == FR_OK && (d->place = fr_malloc_array(n, sizeof(*d->place))) == NULL)
        e = FR_ENOMEM;
    if (e == FR_OK) {
        qsort(r, n, sizeof(*r), by_logit);
        for (size_t i = 0; i < n; i++)
            d->place[i] = (struct fr_benchmark_place){
                r[i].user, label[r[i].at], i > 0 && !(r[i].logit > r[i - 1].logit)};
        d->n_rows = n;
    }
    fr_free(r);
    return e;
}

/* ---- resampling ---- */

/* The measure with unit u counted w[u] times. NaN: nothing was drawn, or no such measure. */
static double ratio(const struct fr_benchmark_ratio *r, const uint8_t *w, size_t n)
{
    double num = 0, den = 0;

    for (size_t u = 0; u < n; u++) {
        num += w[u] * r->num[u];
        den += w[u] * r->den[u];
    }
    return den > 0 ? num / den : (double)NAN;
}

/* Pairs of a positive above a negative, ties half, over all pairs. */
static double auc(const struct fr_benchmark_detail *d, const uint8_t *w)
{
    uint64_t neg = 0, pos = 0, tie_neg = 0, tie_pos = 0; /* before the ties in hand; of them */
    double twice = 0;

    for (size_t i = 0; i < d->n_rows; i++) {
        const struct fr_benchmark_place *p = &d->place[i];

        if (!p->tie) {
            twice += (double)tie_pos * (double)(2 * neg + tie_neg);
            neg += tie_neg;
            pos += tie_pos;
            tie_neg = tie_pos = 0;
        }
        if (p->label != 0)
            tie_pos += w[p->unit];
        else
            tie_neg += w[p->unit];
    }
    twice += (double)tie_pos * (double)(2 * neg + tie_neg);
    neg += tie_neg;
    pos += tie_pos;
    return neg == 0 || pos == 0 ? (double)NAN : twice / (2 * (double)neg * (double)pos);
}

static double measure(const struct fr_benchmark_detail *d, const char *m, const uint8_t *w)
{
    if (d->place != NULL && strcmp(m, AUC) == 0)
        return auc(d, w);
    for (int i = 0; i < d->n_ratios; i++)
        if (strcmp(d->ratio[i].name, m) == 0)
            return ratio(&d->ratio[i], w, d->n_units);
    return (double)NAN;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* The middle 95 % of the first n of v, which may hold NaN. */
static void middle(double *v, int n, double *out_low, double *out_high)
{
    int k = 0;

    *out_low = *out_high = (double)NAN;
    for (int i = 0; i < n; i++)
        if (!isnan(v[i]))
            v[k++] = v[i];
    if (k == 0)
        return;
    qsort(v, (size_t)k, sizeof(*v), by_value);
    *out_low = v[(int)(0.025 * (k - 1) + 0.5)];
    *out_high = v[(int)(0.975 * (k - 1) + 0.5)];
}

enum fr_err fr_benchmark_intervals(const struct fr_benchmark_detail *const *d,
                                   int n,
                                   const char *m,
                                   int resamples,
                                   uint64_t seed,
                                   struct fr_benchmark_interval *out)
{
    size_t units = n == 0 ? 0 : d[0]->n_units, each = (size_t)resamples;
    double *v = fr_malloc_array((size_t)n * 2, each * sizeof(*v)); /* (n, value or difference, resample) */
    uint8_t *w = fr_malloc_array(units + 1, sizeof(*w));
    struct fr_rng rng;
    enum fr_err e = v == NULL || w == NULL ? FR_ENOMEM : FR_OK;

    for (int i = 0; i < n; i++)
        if (d[i]->n_units != units)
            e = FR_EINVAL;
    fr_rng_seed(&rng, seed);
    for (size_t k = 0; e == FR_OK && k < each; k++) {
        for (size_t u = 0; u < units; u++)
            w[u] = (uint8_t)fr_rng_poisson1(&rng);
        for (size_t i = 0; i < (size_t)n; i++) {
            v[2 * i * each + k] = measure(d[i], m, w);
            v[(2 * i + 1) * each + k] = v[2 * i * each + k] - v[k];
        }
    }
    for (size_t i = 0; e == FR_OK && i < (size_t)n; i++)
        middle(v + (2 * i + 1) * each, resamples, &out[i].diff_low, &out[i].diff_high);
    for (size_t i = 0; e == FR_OK && i < (size_t)n; i++)
        middle(v + 2 * i * each, resamples, &out[i].low, &out[i].high);
    fr_free(v);
    fr_free(w);
    return e;
}
