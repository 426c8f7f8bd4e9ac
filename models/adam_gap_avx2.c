/*
 * models/adam_gap_avx2.c - models/adam_gap.h for AVX2 and FMA.
 */
#include "models/adam_gap_priv.h"

#if defined(__AVX2__) && defined(__FMA__)

#include <float.h>
#include <immintrin.h>
#include <math.h>

static inline __m256 normal_or_zero(__m256 x)
{
    __m256 size = _mm256_andnot_ps(_mm256_set1_ps(-0.0f), x);
    return _mm256_and_ps(x, _mm256_cmp_ps(size, _mm256_set1_ps(FLT_MIN), _CMP_GE_OQ));
}

static void adam_gap(const struct fr_adam_gap *a, size_t n, float *w, float *m, float *v)
{
    const float *c = a->moment;
    __m256 scale = _mm256_set1_ps(a->scale), eps = _mm256_set1_ps(a->eps);
    __m256 keep_m = _mm256_set1_ps(a->keep_m), keep_v = _mm256_set1_ps(a->keep_v);
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        __m256 vi = _mm256_loadu_ps(v + i), mi = _mm256_loadu_ps(m + i);
        __m256 r = _mm256_mul_ps(_mm256_sqrt_ps(vi), scale);
        __m256 q = _mm256_div_ps(_mm256_set1_ps(1.0f), _mm256_add_ps(r, eps)), u = _mm256_mul_ps(r, q);
        __m256 s = _mm256_set1_ps(c[FR_ADAM_GAP_TERMS - 1]);
        for (int j = FR_ADAM_GAP_TERMS - 2; j >= 0; j--)
            s = _mm256_fnmadd_ps(u, s, _mm256_set1_ps(c[j]));
        _mm256_storeu_ps(w + i, _mm256_fnmadd_ps(_mm256_mul_ps(mi, q), s, _mm256_loadu_ps(w + i)));
        _mm256_storeu_ps(m + i, normal_or_zero(_mm256_mul_ps(mi, keep_m)));
        _mm256_storeu_ps(v + i, normal_or_zero(_mm256_mul_ps(vi, keep_v)));
    }
    for (; i < n; i++) {
        float r = sqrtf(v[i]) * a->scale, q = 1.0f / (r + a->eps), u = r * q;
        w[i] -= m[i] * q * (c[0] - u * (c[1] - u * (c[2] - u * (c[3] - u * c[4]))));
        m[i] *= a->keep_m;
        v[i] *= a->keep_v;
        m[i] = fabsf(m[i]) < FLT_MIN ? 0.0f : m[i];
        v[i] = v[i] < FLT_MIN ? 0.0f : v[i];
    }
}

fr_adam_gap_fn fr_adam_gap_avx2(void)
{
    return adam_gap;
}

#else

fr_adam_gap_fn fr_adam_gap_avx2(void)
{
    return NULL;
}

#endif
