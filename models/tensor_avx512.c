/*
 * models/tensor_avx512.c - kernels for AVX-512 F/VL; compiled with those flags, called after
 * detection. Tails use masks: no element past n is read or written.
 */
#include "models/tensor_priv.h"

#if defined(__AVX512F__) && defined(__AVX512VL__)

#include <immintrin.h>

static inline __mmask16 tail(size_t n)
{
    return (__mmask16)((1u << n) - 1u);
}

static float dot(const float *a, const float *b, size_t n)
{
    __m512 s0 = _mm512_setzero_ps(), s1 = s0;
    size_t i = 0;
    for (; i + 32 <= n; i += 32) {
        s0 = _mm512_fmadd_ps(_mm512_loadu_ps(a + i), _mm512_loadu_ps(b + i), s0);
        s1 = _mm512_fmadd_ps(_mm512_loadu_ps(a + i + 16), _mm512_loadu_ps(b + i + 16), s1);
    }
    for (; i + 16 <= n; i += 16)
        s0 = _mm512_fmadd_ps(_mm512_loadu_ps(a + i), _mm512_loadu_ps(b + i), s0);
    if (i < n) {
        __mmask16 m = tail(n - i);
        s1 = _mm512_fmadd_ps(_mm512_maskz_loadu_ps(m, a + i), _mm512_maskz_loadu_ps(m, b + i), s1);
    }
    return _mm512_reduce_add_ps(_mm512_add_ps(s0, s1));
}

static void axpy(float alpha, const float *x, float *y, size_t n)
{
    __m512 va = _mm512_set1_ps(alpha);
    size_t i = 0;
    for (; i + 16 <= n; i += 16)
        _mm512_storeu_ps(y + i,
                         _mm512_fmadd_ps(va, _mm512_loadu_ps(x + i), _mm512_loadu_ps(y + i)));
    if (i < n) {
        __mmask16 m = tail(n - i);
        _mm512_mask_storeu_ps(
            y + i,
            m,
            _mm512_fmadd_ps(va, _mm512_maskz_loadu_ps(m, x + i), _mm512_maskz_loadu_ps(m, y + i)));
    }
}

static float l2sq(const float *a, const float *b, size_t n)
{
    __m512 s0 = _mm512_setzero_ps(), s1 = s0;
    size_t i = 0;
    for (; i + 32 <= n; i += 32) {
        __m512 d0 = _mm512_sub_ps(_mm512_loadu_ps(a + i), _mm512_loadu_ps(b + i));
        __m512 d1 = _mm512_sub_ps(_mm512_loadu_ps(a + i + 16), _mm512_loadu_ps(b + i + 16));
        s0 = _mm512_fmadd_ps(d0, d0, s0);
        s1 = _mm512_fmadd_ps(d1, d1, s1);
    }
    for (; i < n; i += 16) {
        __mmask16 m = n - i >= 16 ? (__mmask16)0xffff : tail(n - i);
        __m512 d = _mm512_sub_ps(_mm512_maskz_loadu_ps(m, a + i), _mm512_maskz_loadu_ps(m, b + i));
        s0 = _mm512_fmadd_ps(d, d, s0);
    }
    return _mm512_reduce_add_ps(_mm512_add_ps(s0, s1));
}

static void mix_pair(float a, float c, float *x, float *y, size_t n)
{
    __m512 va = _mm512_set1_ps(a), vc = _mm512_set1_ps(c);
    for (size_t i = 0; i < n; i += 16) {
        __mmask16 k = n - i >= 16 ? (__mmask16)0xffff : tail(n - i);
        __m512 u = _mm512_maskz_loadu_ps(k, x + i), v = _mm512_maskz_loadu_ps(k, y + i);
        _mm512_mask_storeu_ps(x + i, k, _mm512_fmadd_ps(va, u, _mm512_mul_ps(vc, v)));
        _mm512_mask_storeu_ps(y + i, k, _mm512_fmadd_ps(va, v, _mm512_mul_ps(vc, u)));
    }
}

static void
gather_sum(const float *table, size_t dim, const struct fr_slot *slots, size_t n, float *out)
{
    size_t d = 0;
    for (; d + 64 <= dim; d += 64) {
        __m512 s0 = _mm512_setzero_ps(), s1 = s0, s2 = s0, s3 = s0;
        for (size_t s = 0; s < n; s++) {
            if (slots[s].x == 0.0f)
                continue;
            const float *row = table + (size_t)slots[s].row * dim + d;
            __m512 x = _mm512_set1_ps(slots[s].x);
            s0 = _mm512_fmadd_ps(x, _mm512_loadu_ps(row), s0);
            s1 = _mm512_fmadd_ps(x, _mm512_loadu_ps(row + 16), s1);
            s2 = _mm512_fmadd_ps(x, _mm512_loadu_ps(row + 32), s2);
            s3 = _mm512_fmadd_ps(x, _mm512_loadu_ps(row + 48), s3);
        }
        _mm512_storeu_ps(out + d, s0);
        _mm512_storeu_ps(out + d + 16, s1);
        _mm512_storeu_ps(out + d + 32, s2);
        _mm512_storeu_ps(out + d + 48, s3);
    }
    for (; d < dim; d += 16) {
        __mmask16 m = dim - d >= 16 ? (__mmask16)0xffff : tail(dim - d);
        __m512 acc = _mm512_setzero_ps();
        for (size_t s = 0; s < n; s++) {
            if (slots[s].x == 0.0f)
                continue;
            const float *row = table + (size_t)slots[s].row * dim + d;
            acc = _mm512_fmadd_ps(_mm512_set1_ps(slots[s].x), _mm512_maskz_loadu_ps(m, row), acc);
        }
        _mm512_mask_storeu_ps(out + d, m, acc);
    }
}

const struct fr_tensor_kernels *fr_tensor_kernels_avx512(void)
{
    static const struct fr_tensor_kernels k = {
        .dot = dot, .axpy = axpy, .l2sq = l2sq, .mix_pair = mix_pair, .gather_sum = gather_sum};
    return &k;
}

#else

const struct fr_tensor_kernels *fr_tensor_kernels_avx512(void)
{
    return NULL;
}

#endif
