/*
 * models/metrics.c - AUC by ranks (Mann-Whitney, mid-ranks for ties), log-loss, calibration, lists.
 */
#include "models/metrics.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "daemon/base/alloc.h"
#include "models/nn.h"
#include "models/tensor.h"

struct scored {
    float s;
    uint8_t y;
    uint32_t g;
};

static int by_group_and_score(const void *a, const void *b)
{
    const struct scored *x = a, *y = b;
    if (x->g != y->g)
        return x->g < y->g ? -1 : 1;
    return (x->s > y->s) - (x->s < y->s);
}

/* AUC of sorted rows; false without both labels. Per run of equal scores: negatives below count 1
 * for each positive, those in the run 1/2. */
static bool auc_sorted(const struct scored *v, size_t n, double *out)
{
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
    if (pos == 0 || neg_below == 0)
        return false;
    *out = wins / (pos * neg_below);
    return true;
}

/* Rows in order of group and score; group NULL: one group. */
static enum fr_err sort_rows(
    const float *score, const uint8_t *label, const uint32_t *group, size_t n, struct scored **out)
{
    struct scored *v;

    if (!fr_all_finite(score, n))
        return FR_ENONFINITE;
    if (n < 2)
        return FR_EINVAL;
    v = fr_malloc_array(n, sizeof(*v));
    if (v == NULL)
        return FR_ENOMEM;
    for (size_t i = 0; i < n; i++)
        v[i] = (struct scored){score[i], label[i] != 0, group == NULL ? 0 : group[i]};
    qsort(v, n, sizeof(*v), by_group_and_score);
    *out = v;
    return FR_OK;
}

enum fr_err fr_metric_auc(const float *score, const uint8_t *label, size_t n, double *out_auc)
{
    struct scored *v = NULL;
    enum fr_err e = sort_rows(score, label, NULL, n, &v);

    if (e == FR_OK && !auc_sorted(v, n, out_auc))
        e = FR_EINVAL;
    fr_free(v);
    return e;
}

enum fr_err fr_metric_gauc(
    const float *score, const uint8_t *label, const uint32_t *group, size_t n, double *out_gauc)
{
    struct scored *v = NULL;
    double sum = 0, rows = 0, auc;
    enum fr_err e = sort_rows(score, label, group, n, &v);

    for (size_t i = 0, j; e == FR_OK && i < n; i = j) {
        for (j = i; j < n && v[j].g == v[i].g; j++)
            ;
        if (!auc_sorted(v + i, j - i, &auc))
            continue;
        sum += auc * (double)(j - i);
        rows += (double)(j - i);
    }
    fr_free(v);
    if (e != FR_OK)
        return e;
    if (rows == 0)
        return FR_EINVAL;
    *out_gauc = sum / rows;
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

enum fr_err fr_metric_calibration(
    const float *p, const uint8_t *label, size_t n, int bins, struct fr_calibration *out)
{
    double sum_p = 0, sum_y = 0, ece = 0;
    double *gap;

    if (n == 0 || bins <= 0)
        return FR_EINVAL;
    if (!fr_all_finite(p, n))
        return FR_ENONFINITE;
    gap = fr_calloc((size_t)bins, sizeof(*gap)); /* of a bin: sum of p - sum of labels */
    if (gap == NULL)
        return FR_ENOMEM;
    for (size_t i = 0; i < n; i++) {
        int b;

        if (p[i] < 0 || p[i] > 1) {
            fr_free(gap);
            return FR_EINVAL;
        }
        b = (int)((double)p[i] * bins);
        gap[b < bins ? b : bins - 1] += (double)p[i] - (label[i] ? 1 : 0);
        sum_p += (double)p[i];
        sum_y += label[i] ? 1 : 0;
    }
    for (int b = 0; b < bins; b++)
        ece += fabs(gap[b]);
    fr_free(gap);
    if (sum_y == 0)
        return FR_EINVAL;
    *out = (struct fr_calibration){ece / (double)n, sum_p / sum_y};
    return FR_OK;
}

size_t fr_metric_rank_ncf(const uint32_t *item, const float *score, size_t n)
{
    const uint32_t test = item[n - 1];
    const float s = score[n - 1];
    bool before = true; /* of the test item's place in the dictionary */
    size_t ahead = 0;

    if (!fr_is_finite(s))
        return n;
    for (size_t i = 0; i + 1 < n; i++) {
        bool seen = false;

        if (item[i] == test) {
            before = false;
            continue;
        }
        if (!(score[i] > s || (before && score[i] == s)))
            continue;
        for (size_t j = 0; j < i && !seen; j++)
            seen = item[j] == item[i];
        ahead += !seen;
    }
    return 1 + ahead;
}

size_t fr_metric_top(
    const float *score, uint32_t n, const uint32_t *skip, size_t n_skip, size_t k, uint32_t *out)
{
    size_t have = 0, s = 0;

    for (uint32_t i = 0; i < n && k > 0; i++) {
        size_t at;

        while (s < n_skip && skip[s] < i)
            s++;
        if ((s < n_skip && skip[s] == i) || !fr_is_finite(score[i]))
            continue;
        if (have == k && !(score[i] > score[out[k - 1]]))
            continue;
        at = have < k ? have++ : k - 1;
        for (; at > 0 && score[i] > score[out[at - 1]]; at--)
            out[at] = out[at - 1];
        out[at] = i;
    }
    return have;
}

static bool among(const uint32_t *sorted, size_t n, uint32_t x)
{
    size_t lo = 0, hi = n;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (sorted[mid] < x)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < n && sorted[lo] == x;
}

struct fr_list_metrics fr_metric_list(
    const uint32_t *list, size_t n_list, size_t k, const uint32_t *relevant, size_t n_relevant)
{
    struct fr_list_metrics m = {0, 0, 0, 0};
    double dcg = 0, best = 0;
    size_t hits = 0;

    for (size_t i = 0; i < n_list && i < k; i++) {
        if (!among(relevant, n_relevant, list[i]))
            continue;
        dcg += 1 / log2((double)i + 2);
        if (hits++ == 0)
            m.mrr = 1 / ((double)i + 1);
    }
    for (size_t i = 0; i < k && i < n_relevant; i++)
        best += 1 / log2((double)i + 2);
    m.hr = hits > 0 ? 1 : 0;
    if (n_relevant > 0)
        m.recall = (double)hits / (double)n_relevant;
    if (best > 0)
        m.ndcg = dcg / best;
    return m;
}

struct fr_list_metrics fr_metric_list_of_rank(size_t rank, size_t k)
{
    if (rank == 0 || rank > k)
        return (struct fr_list_metrics){0, 0, 0, 0};
    return (struct fr_list_metrics){1, 1, 1 / log2((double)rank + 1), 1 / (double)rank};
}

void fr_metric_list_add(struct fr_list_metrics *sum, const struct fr_list_metrics *one)
{
    sum->hr += one->hr;
    sum->recall += one->recall;
    sum->ndcg += one->ndcg;
    sum->mrr += one->mrr;
}
