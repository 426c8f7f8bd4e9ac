/*
 * models/train/step_priv.h - the kernels behind models/train/step.h: one table per processor level.
 */
#ifndef FR_MODELS_TRAIN_STEP_PRIV_H
#define FR_MODELS_TRAIN_STEP_PRIV_H

#include "models/train/step.h"

/** As fr_step_update(). */
typedef void (*fr_step_fn)(
    const struct fr_step *s, size_t n, const float *g, float *w, float *m, float *v);

/** Static storage, immutable. */
struct fr_step_kernels {
    fr_step_fn fn[FR_OPTIMIZER_COUNT];
};

/** NULL when the compiler could not build the level (another architecture). */
const struct fr_step_kernels *fr_step_kernels_avx2(void);
const struct fr_step_kernels *fr_step_kernels_avx512(void);
/** What the vector kernels leave over: fewer than 8 weights. */
extern const struct fr_step_kernels fr_step_kernels_base;

#endif
