/*
 * models/attend_avx512.c - models/attend_priv.h compiled for AVX-512 F/VL.
 */
#include "models/attend_priv.h"

#if defined(__AVX512F__) && defined(__AVX512VL__)

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

const struct fr_attend_kernel *fr_attend_kernel_avx512(void)
{
    static const struct fr_attend_kernel kernel = {forward, backward};
    return &kernel;
}

#else

const struct fr_attend_kernel *fr_attend_kernel_avx512(void)
{
    return NULL;
}

#endif
