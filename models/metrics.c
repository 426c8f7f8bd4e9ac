/*
 * models/metrics.c - AUC by ranks (Mann-Whitney, mid-ranks for ties), log-loss, rank.
 */
#include "models/metrics.h"

#include <stdlib.h>

#include "daemon/base/alloc.h"
#include "models/nn.h"
#include "models/tensor.h"

struct scored {
    float s;
    uint8_t y;
};

static int by_score(const void *a, const void *b)
{
    const struct scored *x = a, *y = b;
    return (x->s > y->s) - (x->s < y->s);
}

enum fr_err fr_metric_auc(const float *score, const uint8_t *label, size_t n, double *out_auc)
{
    if (!fr_all_finite(score, n))
        return FR_ENONFINITE;
    if (n < 2)
        return FR_EINVAL;
    struct scored *v = fr_malloc_array(n, sizeof(*v));
    if (v == NULL)
        return FR_ENOMEM;
    for (size_t i = 0; i < n; i++)
        v[i] = (struct scored){score[i], label[i] != 0};
    qsort(v, n, sizeof(*v), by_score);

    /* Per run of equal scores: negatives below count 1 for each positive, those in the run 1/2. */
    double neg_below = 0, wins = 0, pos = 0;
    for (size_t i = 0; i < n;) {
        size_t j = i;
        double p = 0, q = 0;
        for (; j < n && v[j].s == v[i].s; j++) {
            p += v[j].y ? 1 : 0;
            q += v[j].y ? 0 : 1;
        }
        wins += p * (neg_below + q / 2);
        neg_below += q;
        pos += p;
        i = j;
    }
    fr_free(v);
    if (pos == 0 || neg_below == 0)
        return FR_EINVAL;
    *out_auc = wins / (pos * neg_below);
    return FR_OK;
}

enum fr_err fr_metric_logloss(const float *logit, const uint8_t *label, size_t n, double *out_loss)
{
    double s = 0;

    if (n == 0)
        return FR_EINVAL;
    if (!fr_all_finite(logit, n))
        return FR_ENONFINITE;
    for (size_t i = 0; i < n; i++)
        s += fr_nn_softplus(label[i] ? -(double)logit[i] : (double)logit[i]);
    *out_loss = s / (double)n;
    return FR_OK;
}

size_t fr_metric_rank(const float *score, size_t n, size_t label)
{
    size_t above = 0, equal = 0;

    if (!fr_is_finite(score[label]))
        return n;
    for (size_t i = 0; i < n; i++) {
        if (i == label)
            continue;
        above += score[i] > score[label];
        equal += score[i] == score[label];
    }
    return 1 + above + (equal + 1) / 2;
}
