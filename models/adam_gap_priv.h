/*
 * models/adam_gap_priv.h - the levels of models/adam_gap.h, called after detection.
 */
#ifndef FR_MODELS_ADAM_GAP_PRIV_H
#define FR_MODELS_ADAM_GAP_PRIV_H

#include "models/adam_gap.h"

typedef void (*fr_adam_gap_fn)(const struct fr_adam_gap *a, size_t n, float *w, float *m, float *v);

/** NULL when the compiler could not build the level. */
fr_adam_gap_fn fr_adam_gap_avx2(void);
fr_adam_gap_fn fr_adam_gap_avx512(void);

#endif
