/*
 * daemon/cli/judge_bootstrap.c - Poisson bootstrap over users.
 */
#include "daemon/cli/judge_bootstrap.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/alloc.h"
#include "daemon/base/rng.h"
#include "daemon/cli/judge.h"

#define MAX_RESAMPLES 10000

enum fr_err fr_judge_bootstrap_init(struct fr_judge_bootstrap *b, uint32_t n_users, int n_systems)
{
    size_t cells;

    memset(b, 0, sizeof(*b));
    if (!fr_mul_size(n_users, (size_t)n_systems, &cells))
        return FR_EOVERFLOW;
    b->n_users = n_users;
    b->n_systems = n_systems;
    b->labels = fr_calloc(n_users, sizeof(*b->labels));
    b->hits = fr_calloc(cells, sizeof(*b->hits));
    b->rr = fr_calloc(cells, sizeof(*b->rr));
    if (b->labels == NULL || b->hits == NULL || b->rr == NULL) {
        fr_judge_bootstrap_done(b);
        return FR_ENOMEM;
    }
    return FR_OK;
}

void fr_judge_bootstrap_done(struct fr_judge_bootstrap *b)
{
    fr_free(b->labels);
    fr_free(b->hits);
    fr_free(b->rr);
    memset(b, 0, sizeof(*b));
}

void fr_judge_bootstrap_add(struct fr_judge_bootstrap *b, uint32_t user, const int *places)
{
    size_t at = (size_t)user * (size_t)b->n_systems;

    b->labels[user]++;
    for (int s = 0; s < b->n_systems; s++) {
        if (places[s] == 0)
            continue;
        b->hits[at + (size_t)s]++;
        b->rr[at + (size_t)s] += 1.0 / places[s];
    }
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static struct fr_judge_interval interval(double *v, int n)
{
    struct fr_judge_interval out;

    qsort(v, (size_t)n, sizeof(*v), by_value);
    out.low = v[(int)(0.025 * (n - 1) + 0.5)];
    out.high = v[(int)(0.975 * (n - 1) + 0.5)];
    return out;
}

/* One resample: weighted ratios into hr[s], mrr[s]. */
static void resample(const struct fr_judge_bootstrap *b, struct fr_rng *rng, double *hr, double *mrr)
{
    double labels = 0;

    memset(hr, 0, (size_t)b->n_systems * sizeof(*hr));
    memset(mrr, 0, (size_t)b->n_systems * sizeof(*mrr));
    for (uint32_t u = 0; u < b->n_users; u++) {
        size_t at = (size_t)u * (size_t)b->n_systems;
        int w;

        if (b->labels[u] == 0)
            continue;
        w = fr_rng_poisson1(rng);
        if (w == 0)
            continue;
        labels += (double)w * b->labels[u];
        for (int s = 0; s < b->n_systems; s++) {
            hr[s] += (double)w * b->hits[at + (size_t)s];
            mrr[s] += w * b->rr[at + (size_t)s];
        }
    }
    for (int s = 0; s < b->n_systems; s++) {
        hr[s] = labels > 0 ? hr[s] / labels : (double)NAN;
        mrr[s] = labels > 0 ? mrr[s] / labels : (double)NAN;
    }
}

void fr_judge_bootstrap_run(struct fr_judge_bootstrap *b,
                            int resamples,
                            uint64_t seed,
                            struct fr_judge_interval *out_hr,
                            struct fr_judge_interval *out_mrr)
{
    int n = resamples > MAX_RESAMPLES ? MAX_RESAMPLES : resamples, kept = 0;
    size_t systems = (size_t)b->n_systems;
    double *v = fr_calloc((size_t)n * systems * 2, sizeof(*v)); /* (hr or mrr, system, resample) */
    double hr[FR_JUDGE_SYSTEMS], mrr[FR_JUDGE_SYSTEMS];
    struct fr_rng rng;

    for (uint32_t u = 0; u < b->n_users; u++)
        b->n_users_with_labels += b->labels[u] > 0;
    fr_rng_seed(&rng, seed);
    for (int i = 0; v != NULL && i < n; i++) {
        resample(b, &rng, hr, mrr);
        if (!(hr[0] >= 0))
            continue; /* no label was drawn */
        for (size_t s = 0; s < systems; s++) {
            v[s * (size_t)n + (size_t)kept] = hr[s];
            v[(systems + s) * (size_t)n + (size_t)kept] = mrr[s];
        }
        kept++;
    }
    for (size_t s = 0; s < systems; s++) {
        struct fr_judge_interval none = {(double)NAN, (double)NAN};

        out_hr[s] = kept == 0 ? none : interval(v + s * (size_t)n, kept);
        out_mrr[s] = kept == 0 ? none : interval(v + (systems + s) * (size_t)n, kept);
    }
    fr_free(v);
}
