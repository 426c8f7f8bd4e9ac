/*
 * models/tensor_avx2.c - kernels for AVX2 + FMA; compiled with those flags, called after detection.
 */
#include "models/tensor_priv.h"

#if defined(__AVX2__) && defined(__FMA__)

#include <immintrin.h>

static inline float hsum(__m256 v)
{
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    s = _mm_add_ss(s, _mm_movehdup_ps(s));
    return _mm_cvtss_f32(s);
}

static float dot(const float *a, const float *b, size_t n)
{
    __m256 s0 = _mm256_setzero_ps(), s1 = s0;
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        s0 = _mm256_fmadd_ps(_mm256_loadu_ps(a + i), _mm256_loadu_ps(b + i), s0);
        s1 = _mm256_fmadd_ps(_mm256_loadu_ps(a + i + 8), _mm256_loadu_ps(b + i + 8), s1);
    }
    float t = 0;
    for (; i < n; i++)
        t += a[i] * b[i];
    return hsum(_mm256_add_ps(s0, s1)) + t;
}

static void axpy(float alpha, const float *x, float *y, size_t n)
{
    __m256 va = _mm256_set1_ps(alpha);
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm256_storeu_ps(y + i,
                         _mm256_fmadd_ps(va, _mm256_loadu_ps(x + i), _mm256_loadu_ps(y + i)));
    for (; i < n; i++)
        y[i] += alpha * x[i];
}

static float l2sq(const float *a, const float *b, size_t n)
{
    __m256 s0 = _mm256_setzero_ps(), s1 = s0;
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        __m256 d0 = _mm256_sub_ps(_mm256_loadu_ps(a + i), _mm256_loadu_ps(b + i));
        __m256 d1 = _mm256_sub_ps(_mm256_loadu_ps(a + i + 8), _mm256_loadu_ps(b + i + 8));
        s0 = _mm256_fmadd_ps(d0, d0, s0);
        s1 = _mm256_fmadd_ps(d1, d1, s1);
    }
    float t = 0;
    for (; i < n; i++) {
        float d = a[i] - b[i];
        t += d * d;
    }
    return hsum(_mm256_add_ps(s0, s1)) + t;
}

static void mix_pair(float a, float c, float *x, float *y, size_t n)
{
    __m256 va = _mm256_set1_ps(a), vc = _mm256_set1_ps(c);
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        __m256 u = _mm256_loadu_ps(x + i), v = _mm256_loadu_ps(y + i);
        _mm256_storeu_ps(x + i, _mm256_fmadd_ps(va, u, _mm256_mul_ps(vc, v)));
        _mm256_storeu_ps(y + i, _mm256_fmadd_ps(va, v, _mm256_mul_ps(vc, u)));
    }
    for (; i < n; i++) {
        float u = x[i], v = y[i];
        x[i] = a * u + c * v;
        y[i] = a * v + c * u;
    }
}

static void
gather_sum(const float *table, size_t dim, const struct fr_slot *slots, size_t n, float *out)
{
    size_t d = 0;
    for (; d + 16 <= dim; d += 16) {
        __m256 s0 = _mm256_setzero_ps(), s1 = s0;
        for (size_t s = 0; s < n; s++) {
            if (slots[s].x == 0.0f)
                continue;
            const float *row = table + (size_t)slots[s].row * dim + d;
            __m256 x = _mm256_set1_ps(slots[s].x);
            s0 = _mm256_fmadd_ps(x, _mm256_loadu_ps(row), s0);
            s1 = _mm256_fmadd_ps(x, _mm256_loadu_ps(row + 8), s1);
        }
        _mm256_storeu_ps(out + d, s0);
        _mm256_storeu_ps(out + d + 8, s1);
    }
    for (; d < dim; d++) {
        float t = 0;
        for (size_t s = 0; s < n; s++)
            if (slots[s].x != 0.0f)
                t += slots[s].x * table[(size_t)slots[s].row * dim + d];
        out[d] = t;
    }
}

const struct fr_tensor_kernels *fr_tensor_kernels_avx2(void)
{
    static const struct fr_tensor_kernels k = {
        .dot = dot, .axpy = axpy, .l2sq = l2sq, .mix_pair = mix_pair, .gather_sum = gather_sum};
    return &k;
}

#else

const struct fr_tensor_kernels *fr_tensor_kernels_avx2(void)
{
    return NULL;
}

#endif
