/*
 * models/adam_gap_avx512.c - models/adam_gap.h for AVX-512 F/VL; tails use masks.
 */
#include "models/adam_gap_priv.h"

#if defined(__AVX512F__) && defined(__AVX512VL__)

#include <float.h>
#include <immintrin.h>

static inline __mmask16 tail(size_t n)
{
    return (__mmask16)((1u << n) - 1u);
}

static inline __m512 normal_or_zero(__m512 x)
{
    return _mm512_maskz_mov_ps(
        _mm512_cmp_ps_mask(_mm512_abs_ps(x), _mm512_set1_ps(FLT_MIN), _CMP_GE_OQ), x);
}

static void adam_gap(const struct fr_adam_gap *a, size_t n, float *w, float *m, float *v)
{
    __m512 scale = _mm512_set1_ps(a->scale), eps = _mm512_set1_ps(a->eps);
    __m512 keep_m = _mm512_set1_ps(a->keep_m), keep_v = _mm512_set1_ps(a->keep_v);
    __m512 one = _mm512_set1_ps(1.0f);
    for (size_t i = 0; i < n; i += 16) {
        __mmask16 k = n - i >= 16 ? (__mmask16)0xffff : tail(n - i);
        __m512 vi = _mm512_maskz_loadu_ps(k, v + i), mi = _mm512_maskz_loadu_ps(k, m + i);
        __m512 r = _mm512_mul_ps(_mm512_sqrt_ps(vi), scale);
        __m512 q = _mm512_div_ps(one, _mm512_add_ps(r, eps)), u = _mm512_mul_ps(r, q);
        __m512 s = _mm512_set1_ps(a->moment[FR_ADAM_GAP_TERMS - 1]);
        for (int j = FR_ADAM_GAP_TERMS - 2; j >= 0; j--)
            s = _mm512_fnmadd_ps(u, s, _mm512_set1_ps(a->moment[j]));
        __m512 wi = _mm512_maskz_loadu_ps(k, w + i);
        _mm512_mask_storeu_ps(w + i, k, _mm512_fnmadd_ps(_mm512_mul_ps(mi, q), s, wi));
        _mm512_mask_storeu_ps(m + i, k, normal_or_zero(_mm512_mul_ps(mi, keep_m)));
        _mm512_mask_storeu_ps(v + i, k, normal_or_zero(_mm512_mul_ps(vi, keep_v)));
    }
}

fr_adam_gap_fn fr_adam_gap_avx512(void)
{
    return adam_gap;
}

#else

fr_adam_gap_fn fr_adam_gap_avx512(void)
{
    return NULL;
}

#endif
