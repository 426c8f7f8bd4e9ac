/*
 * models/adam_gap.h - Adam steps of weights that had no gradient in them, several at once, by processor level.
 *
 * Math:  models/train/params_rest.h, which makes the constants.
 * Layer: daemon/base/ and models/.
 */
#ifndef FR_MODELS_ADAM_GAP_H
#define FR_MODELS_ADAM_GAP_H

#include <stddef.h>

#define FR_ADAM_GAP_TERMS 5
/** Constants of a gap. */
struct fr_adam_gap {
    float scale; /* of sqrt(v) in the first of the steps */
    float eps;
    float moment[FR_ADAM_GAP_TERMS]; /* sum over the steps of their sizes times (scale_j / scale - 1)^n */
    float keep_m, keep_v;            /* the decays over the whole gap */
};
/** d = sqrt(v) scale + eps; u = sqrt(v) scale / d; w -= m / d * sum_n (-u)^n moment[n]; m *= keep_m; v *= keep_v.
 *  Moments that would become subnormal become 0. None overlap. @thread any */
void fr_adam_gap_update(const struct fr_adam_gap *a, size_t n, float *w, float *m, float *v);

#endif
