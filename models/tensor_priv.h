/*
 * models/tensor_priv.h - the kernel table behind models/tensor.h: one row of functions per level.
 */
#ifndef FR_MODELS_TENSOR_PRIV_H
#define FR_MODELS_TENSOR_PRIV_H

#include <stddef.h>

#include "daemon/base/field.h"
#include "models/tensor.h"

/** Contracts: see models/tensor.h. Static storage, immutable. */
struct fr_tensor_kernels {
    float (*dot)(const float *a, const float *b, size_t n);
    void (*axpy)(float alpha, const float *x, float *y, size_t n);
    float (*l2sq)(const float *a, const float *b, size_t n);
    void (*mix_pair)(float a, float c, float *x, float *y, size_t n);
    /* slots with x == 0 are skipped */
    void (*gather_sum)(
        const float *table, size_t dim, const struct fr_slot *slots, size_t n, float *out);
};

/** NULL when the compiler could not build the level (another architecture). */
const struct fr_tensor_kernels *fr_tensor_kernels_avx2(void);
const struct fr_tensor_kernels *fr_tensor_kernels_avx512(void);

#endif
