/*
 * models/metrics.h - offline measures of a scored set: AUC, log-loss, calibration, ranked lists.
 *
 * The protocols are those of the papers whose tables they are compared with: see each function.
 * Check: tests/unit/test_models_metrics.c: each against a second program by its definition.
 * Layer: daemon/base/ only.
 */
#ifndef FR_MODELS_METRICS_H
#define FR_MODELS_METRICS_H

#include <stddef.h>
#include <stdint.h>

#include "daemon/base/err.h"

/**
 * Area under the ROC curve: the probability that a positive scores above a negative, ties count
 * half.
 * @param label    0 or 1
 * @errors FR_EINVAL no positive or no negative; FR_ENONFINITE; FR_ENOMEM
 */
FR_MUST_CHECK enum fr_err
fr_metric_auc(const float *score, const uint8_t *label, size_t n, double *out_auc);

/** Mean of -log p(label) from logits, stable for any logit. @errors FR_EINVAL n == 0; FR_ENONFINITE
 */
FR_MUST_CHECK enum fr_err
fr_metric_logloss(const float *logit, const uint8_t *label, size_t n, double *out_loss);

/** Rank (1 = best) of entry `label` among n scores; ties count against it by half, rounded up.
 *  A non-finite score of the label is rank n. */
size_t fr_metric_rank(const float *score, size_t n, size_t label);

/**
 * AUC of each group (user) with both labels in it, averaged with the group's rows as weights
 * (Zhou et al. 2018, DIN, eq. 7); groups of one label are left out.
 * @errors as fr_metric_auc(); FR_EINVAL when no group has both
 */
FR_MUST_CHECK enum fr_err fr_metric_gauc(const float *score,
                                         const uint8_t *label,
                                         const uint32_t *group,
                                         size_t n,
                                         double *out_gauc);

/** How far probabilities are from frequencies. */
struct fr_calibration {
    double ece;   /* sum over bins of (rows / n) * |mean p - share of positives| */
    double ratio; /* sum of p / number of positives; 1 = right in all */
};
/**
 * Expected calibration error over `bins` bins of equal width of p in [0, 1] (Guo et al. 2017), and the
 * ratio of predicted to seen positives. @param p probabilities
 * @errors FR_EINVAL n or bins 0, p outside [0, 1], no positive; FR_ENONFINITE; FR_ENOMEM
 */
FR_MUST_CHECK enum fr_err fr_metric_calibration(
    const float *p, const uint8_t *label, size_t n, int bins, struct fr_calibration *out);

/**
 * Rank (1 = best) of the last of n listed items as evaluate.py of He et al. 2017 (NCF) finds it: the
 * items are keys of a dictionary, negatives first, so a repeated item counts once, at its first place
 * (156 users of ml-1m have the test item among their negatives); heapq.nlargest is stable, so an equal
 * score listed earlier is ahead. A non-finite score of the test item is rank n.
 * @param item, score  (n), n >= 1; equal items have equal scores
 */
size_t fr_metric_rank_ncf(const uint32_t *item, const float *score, size_t n);

/**
 * The k best of n scores, best first; equal scores: the lower index first. Items in `skip` (ascending)
 * and non-finite scores are never taken. @return the number taken, <= k
 */
size_t fr_metric_top(const float *score,
                     uint32_t n,
                     const uint32_t *skip,
                     size_t n_skip,
                     size_t k,
                     uint32_t *out);

/** Measures of one list, or sums and means of many. */
struct fr_list_metrics {
    double hr;     /* 1 if anything relevant is in the list */
    double recall; /* relevant in the list / relevant */
    double ndcg;   /* sum of 1 / log2(place + 1) of hits / the best such sum of min(k, relevant) */
    double mrr;    /* 1 / place of the first hit */
};
/**
 * Of a list of n_list <= k items against `relevant` (ascending, n >= 1), as LightGCN, SimpleX and
 * RecZoo count. With one relevant item recall = hr and ndcg is NCF's ln 2 / ln(place + 1).
 */
struct fr_list_metrics fr_metric_list(
    const uint32_t *list, size_t n_list, size_t k, const uint32_t *relevant, size_t n_relevant);
/** The same of a rank of one relevant item. */
struct fr_list_metrics fr_metric_list_of_rank(size_t rank, size_t k);
/** sum += one. */
void fr_metric_list_add(struct fr_list_metrics *sum, const struct fr_list_metrics *one);

#endif
