/*
 * models/train/params_mean.h - a moving mean of the weights, to be served instead of the newest ones.
 *
 * Steps of a constant size leave the weights moving about the place they have found; their mean over
 * some time lies nearer to it, as a smaller step size would, without losing pace.
 *
 *   mean <- mean + max(share, 1 / takes) (w - mean)
 *
 * Source: Polyak & Juditsky 1992; Izmailov et al. 2018 (arXiv:1803.05407). Layer: models/train/.
 */
#ifndef FR_MODELS_TRAIN_PARAMS_MEAN_H
#define FR_MODELS_TRAIN_PARAMS_MEAN_H

#include "models/train/params.h"

/** Zeroed storage is a mean of nothing. Owner: the trainer. Thread: one. */
struct fr_params_mean {
    float *w[FR_PARAMS_MAX_TENSORS]; /* in the order of fr_params_tensors() */
    size_t n[FR_PARAMS_MAX_TENSORS]; /* elements */
    uint64_t takes;
};

/**
 * Take the weights as they are now. Rows that a table has grown by since enter as they are.
 * @param share  of the newest weights, (0, 1]
 * @errors FR_EINVAL share out of range; FR_ENOMEM: the mean is as it was
 */
FR_MUST_CHECK enum fr_err
fr_params_mean_take(struct fr_params_mean *mean, const struct fr_params *p, float share);
/** Room for n elements of tensor i, those that are new 0. @errors FR_ENOMEM, nothing changed */
FR_MUST_CHECK enum fr_err fr_params_mean_room(struct fr_params_mean *mean, int i, size_t n);
/** As fr_params_tensors(), with the mean's data where there is one; rows newer than the last take are
 * not in it. @return the number */
int fr_params_mean_tensors(const struct fr_params_mean *mean,
                           const struct fr_params *p,
                           struct fr_tensor *out);
void fr_params_mean_done(struct fr_params_mean *mean);

#endif
