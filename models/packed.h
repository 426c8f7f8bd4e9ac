/*
 * models/packed.h - a linear layer whose weights are laid out once for many products with few rows.
 *
 * Why:   OpenBLAS lays out both matrices anew in every call, and bias and ReLU are passes of their
 *        own: a third of the time at 500 rows of 400 x 400. Here the weights are packed when a
 * model is loaded, and bias, sum and ReLU happen in registers.
 *
 *   W (out, in) -> panels of 32 (AVX-512) or 16 (AVX2) outputs: panel p holds (in, width) in order
 *
 * Bits:  an output is one chain of fused multiply-adds over `in`, whatever the number of rows and a
 *        row's place: unlike OpenBLAS', a row's result does not depend on its company.
 * Zeros: half of what comes out of a ReLU. Where there are enough of them their terms are left out, which changes at most
 *        the sign of a zero (packed_skip_priv.h).
 * Without AVX2, or with the naive product chosen (fr_gemm_select), the product is fr_gemm()'s.
 * Layer: daemon/base/ and models/.
 */
#ifndef FR_MODELS_PACKED_H
#define FR_MODELS_PACKED_H

#include <stddef.h>

#include "daemon/base/err.h"

#define FR_PACKED_RELU 1u /* y = max(0, .); NaN stays NaN */
#define FR_PACKED_ADD 2u  /* y's present value is added */

struct fr_packed;
struct fr_fetch_list;

/**
 * @param w     (out, in), row stride ldw; borrowed for the life of the packed layer (the slow
 * path).
 * @param bias  (out) or NULL; copied.
 * @errors FR_EINVAL out < 1 or in < 0; FR_EOVERFLOW FR_ENOMEM. Owner: the caller.
 */
FR_MUST_CHECK enum fr_err fr_packed_new(
    const float *w, int ldw, const float *bias, int out, int in, struct fr_packed **out_p);
/** NULL is a no-op. */
void fr_packed_free(struct fr_packed *p);

/**
 * y (rows, out) = act(x (rows, in) W^T + bias [+ y]).
 * @param ldx, ldy  row strides; x and y do not overlap.
 * @param ahead  NULL or (fetch.h) blocks whose share is asked for in the shadow of the product, a few lines at a time.
 *               Not on the slow path.
 * @thread any; does not allocate
 */
void fr_packed_linear(const struct fr_packed *p,
                      const float *x,
                      size_t ldx,
                      int rows,
                      unsigned flags,
                      float *y,
                      size_t ldy,
                      struct fr_fetch_list *ahead);

#endif
