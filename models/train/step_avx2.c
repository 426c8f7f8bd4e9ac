/*
 * models/train/step_avx2.c - optimiser steps for AVX2 + FMA; compiled with those flags, called after
 * detection. The last n % 8 weights go through the baseline.
 */
#include "models/train/step_priv.h"

#if defined(__AVX2__) && defined(__FMA__)

#include <immintrin.h>

/* g + l2 w */
static inline __m256 gradient(const struct fr_step *s, const float *g, __m256 w)
{
    return _mm256_fmadd_ps(_mm256_set1_ps(s->l2), w, _mm256_loadu_ps(g));
}

static void
adam(const struct fr_step *s, size_t n, const float *g, float *w, float *m, float *v)
{
    __m256 b1 = _mm256_set1_ps(s->b1), o1 = _mm256_set1_ps(1.0f - s->b1);
    __m256 b2 = _mm256_set1_ps(s->b2), o2 = _mm256_set1_ps(1.0f - s->b2);
    __m256 lr = _mm256_set1_ps(s->lr), inv = _mm256_set1_ps(s->inv_sc2);
    __m256 eps = _mm256_set1_ps(s->eps);
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        __m256 wi = _mm256_loadu_ps(w + i), gi = gradient(s, g + i, wi);
        __m256 mi = _mm256_fmadd_ps(b1, _mm256_loadu_ps(m + i), _mm256_mul_ps(o1, gi));
        __m256 vi =
            _mm256_fmadd_ps(b2, _mm256_loadu_ps(v + i), _mm256_mul_ps(o2, _mm256_mul_ps(gi, gi)));
        __m256 d = _mm256_fmadd_ps(_mm256_sqrt_ps(vi), inv, eps);
        _mm256_storeu_ps(m + i, mi);
        _mm256_storeu_ps(v + i, vi);
        _mm256_storeu_ps(w + i, _mm256_fnmadd_ps(lr, _mm256_div_ps(mi, d), wi));
    }
    if (i < n)
        fr_step_kernels_base.fn[FR_OPTIMIZER_ADAM](s, n - i, g + i, w + i, m + i, v + i);
}

static void sgd(const struct fr_step *s, size_t n, const float *g, float *w, float *m, float *v)
{
    __m256 lr = _mm256_set1_ps(s->lr);
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        __m256 wi = _mm256_loadu_ps(w + i);
        _mm256_storeu_ps(w + i, _mm256_fnmadd_ps(lr, gradient(s, g + i, wi), wi));
    }
    if (i < n)
        fr_step_kernels_base.fn[FR_OPTIMIZER_SGD](s, n - i, g + i, w + i, m, v);
}

static void
adagrad(const struct fr_step *s, size_t n, const float *g, float *w, float *m, float *v)
{
    __m256 lr = _mm256_set1_ps(s->lr), eps = _mm256_set1_ps(s->eps);
    __m256 decay = _mm256_set1_ps(s->decay);
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        __m256 wi = _mm256_loadu_ps(w + i), gi = gradient(s, g + i, wi);
        __m256 vi = _mm256_fmadd_ps(decay, _mm256_loadu_ps(v + i), _mm256_mul_ps(gi, gi));
        __m256 d = _mm256_add_ps(_mm256_sqrt_ps(vi), eps);
        _mm256_storeu_ps(v + i, vi);
        _mm256_storeu_ps(w + i, _mm256_fnmadd_ps(lr, _mm256_div_ps(gi, d), wi));
    }
    if (i < n)
        fr_step_kernels_base.fn[FR_OPTIMIZER_ADAGRAD](s, n - i, g + i, w + i, m, v + i);
}

static void
ftrl(const struct fr_step *s, size_t n, const float *g, float *w, float *z, float *sum)
{
    __m256 lr = _mm256_set1_ps(s->lr), l1 = _mm256_set1_ps(s->lr * s->l1);
    __m256 add = _mm256_set1_ps(s->beta + s->lr * s->prox2), beta = _mm256_set1_ps(s->beta);
    __m256 zero = _mm256_setzero_ps(), sign = _mm256_set1_ps(-0.0f);
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        __m256 wi = _mm256_loadu_ps(w + i), n0 = _mm256_loadu_ps(sum + i);
        __m256 zi = _mm256_loadu_ps(z + i), gi = gradient(s, g + i, wi);
        __m256 n1 = _mm256_fmadd_ps(gi, gi, n0), root = _mm256_sqrt_ps(n1);
        __m256 z0 = _mm256_blendv_ps(zi,
                                     _mm256_sub_ps(zero, _mm256_mul_ps(beta, wi)),
                                     _mm256_cmp_ps(n0, zero, _CMP_EQ_OQ));
        __m256 z1 = _mm256_fnmadd_ps(
            _mm256_sub_ps(root, _mm256_sqrt_ps(n0)), wi, _mm256_fmadd_ps(lr, gi, z0));
        __m256 u = _mm256_sub_ps(_mm256_andnot_ps(sign, z1), l1);
        __m256 up = _mm256_div_ps(u, _mm256_add_ps(add, root));
        __m256 w1 = _mm256_xor_ps(up, _mm256_andnot_ps(z1, sign)); /* the sign of -z, u > 0 */
        w1 = _mm256_and_ps(w1, _mm256_cmp_ps(u, zero, _CMP_GT_OQ));
        __m256 stays = _mm256_cmp_ps(n1, zero, _CMP_EQ_OQ); /* no gradient so far */
        _mm256_storeu_ps(sum + i, n1);
        _mm256_storeu_ps(z + i, _mm256_blendv_ps(z1, zi, stays));
        _mm256_storeu_ps(w + i, _mm256_blendv_ps(w1, wi, stays));
    }
    if (i < n)
        fr_step_kernels_base.fn[FR_OPTIMIZER_FTRL](s, n - i, g + i, w + i, z + i, sum + i);
}

const struct fr_step_kernels *fr_step_kernels_avx2(void)
{
    static const struct fr_step_kernels k = {.fn = {[FR_OPTIMIZER_ADAM] = adam,
                                                    [FR_OPTIMIZER_SGD] = sgd,
                                                    [FR_OPTIMIZER_ADAGRAD] = adagrad,
                                                    [FR_OPTIMIZER_FTRL] = ftrl}};
    return &k;
}

#else

const struct fr_step_kernels *fr_step_kernels_avx2(void)
{
    return NULL;
}

#endif
