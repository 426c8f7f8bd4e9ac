/*
 * models/attend.h - dot-product attention of one head over the fields of one row, and its backward.
 *
 *   s_ij = scale q_i . k_j     p_i = softmax(s_i)     o_i = sum_j p_ij v_j          (Vaswani et al.
 * 2017, eq. 1)
 *
 * q, k, v, o: (fields, dim), row stride ld (heads lie side by side in a wider matrix); p: (fields,
 * fields). One function a level (AVX-512, AVX2, baseline), chosen as models/tensor.h chooses. A
 * row's bits do not depend on other rows. Layer: models/.
 */
#ifndef FR_MODELS_ATTEND_H
#define FR_MODELS_ATTEND_H

#include <stddef.h>

struct fr_attend {
    int fields, dim; /* >= 1 */
    size_t ld;       /* of q, k, v, and of their gradients */
    size_t ldo;      /* of o and of its gradient */
    float scale;
};

/** Floats of scratch that either direction needs. */
size_t fr_attend_scratch(const struct fr_attend *a);

/** @param p (fields, fields), o: overwritten. @thread any; does not allocate */
void fr_attend_forward(const struct fr_attend *a,
                       const float *q,
                       const float *k,
                       const float *v,
                       float *p,
                       float *o,
                       float *scratch);
/** Gradients from p and that of o; dq, dk, dv are overwritten. @thread any; does not allocate */
void fr_attend_backward(const struct fr_attend *a,
                        const float *q,
                        const float *k,
                        const float *v,
                        const float *p,
                        const float *dout,
                        float *dq,
                        float *dk,
                        float *dv,
                        float *scratch);

#endif
