/*
 * models/metrics.h - offline measures of a scored set: AUC, log-loss, rank of the positive.
 *
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

#endif
