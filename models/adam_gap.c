/*
 * models/adam_gap.c - the baseline and the choice of a level: that of models/tensor.h.
 */
#include "models/adam_gap.h"

#include <float.h>
#include <math.h>

#include "models/adam_gap_priv.h"
#include "models/tensor.h"

static void adam_gap_base(
    const struct fr_adam_gap *a, size_t n, float *restrict w, float *restrict m, float *restrict v)
{
    const float *c = a->moment;

    for (size_t i = 0; i < n; i++) {
        float r = sqrtf(v[i]) * a->scale, q = 1.0f / (r + a->eps), u = r * q;

        w[i] -= m[i] * q * (c[0] - u * (c[1] - u * (c[2] - u * (c[3] - u * c[4]))));
        m[i] *= a->keep_m;
        v[i] *= a->keep_v;
        m[i] = fabsf(m[i]) < FLT_MIN ? 0.0f : m[i];
        v[i] = v[i] < FLT_MIN ? 0.0f : v[i];
    }
}

void fr_adam_gap_update(const struct fr_adam_gap *a, size_t n, float *w, float *m, float *v)
{
    enum fr_cpu_level level = fr_tensor_level();
    fr_adam_gap_fn fn = level >= FR_CPU_AVX512 ? fr_adam_gap_avx512() : NULL;

    if (fn == NULL && level >= FR_CPU_AVX2)
        fn = fr_adam_gap_avx2();
    if (fn == NULL)
        fn = adam_gap_base;
    fn(a, n, w, m, v);
}
