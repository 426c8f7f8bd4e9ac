/*
 * models/attend.c - the baseline, and the choice of a level.
 */
#include "models/attend.h"

#include "models/attend_priv.h"
#include "models/tensor.h"

static void forward(const struct fr_attend *a,
                    const float *q,
                    const float *k,
                    const float *v,
                    float *p,
                    float *o,
                    float *scratch)
{
    fr_attend_forward_body(a, q, k, v, p, o, scratch);
}

static void backward(const struct fr_attend *a,
                     const float *q,
                     const float *k,
                     const float *v,
                     const float *p,
                     const float *dout,
                     float *dq,
                     float *dk,
                     float *dv,
                     float *scratch)
{
    fr_attend_backward_body(a, q, k, v, p, dout, dq, dk, dv, scratch);
}

static const struct fr_attend_kernel *kernel(void)
{
    static const struct fr_attend_kernel base = {forward, backward};
    const struct fr_attend_kernel *k = NULL;

    if (fr_tensor_level() >= FR_CPU_AVX512)
        k = fr_attend_kernel_avx512();
    if (k == NULL && fr_tensor_level() >= FR_CPU_AVX2)
        k = fr_attend_kernel_avx2();
    return k == NULL ? &base : k;
}

size_t fr_attend_scratch(const struct fr_attend *a)
{
    size_t f = (size_t)a->fields, fp = fr_attend_pad(a->fields), dp = fr_attend_pad(a->dim);

    return (size_t)a->dim * fp + f * dp + f * fp + fp + dp;
}

void fr_attend_forward(const struct fr_attend *a,
                       const float *q,
                       const float *k,
                       const float *v,
                       float *p,
                       float *o,
                       float *scratch)
{
    kernel()->forward(a, q, k, v, p, o, scratch);
}

void fr_attend_backward(const struct fr_attend *a,
                        const float *q,
                        const float *k,
                        const float *v,
                        const float *p,
                        const float *dout,
                        float *dq,
                        float *dk,
                        float *dv,
                        float *scratch)
{
    kernel()->backward(a, q, k, v, p, dout, dq, dk, dv, scratch);
}
