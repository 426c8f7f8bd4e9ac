/*
 * models/train/step_avx512.c - optimiser steps for AVX-512; compiled with its flags, called after
 * detection. Tails use masks: no element past n is read or written.
 */
#include "models/train/step_priv.h"

#if defined(__AVX512F__) && defined(__AVX512VL__)

#include <immintrin.h>

static inline __mmask16 lanes(size_t left)
{
    return left >= 16 ? (__mmask16)0xffff : (__mmask16)((1u << left) - 1u);
}

/* g + l2 w */
static inline __m512 gradient(const struct fr_step *s, __m512 g, __m512 w)
{
    return _mm512_fmadd_ps(_mm512_set1_ps(s->l2), w, g);
}

static void
adam(const struct fr_step *s, size_t n, const float *g, float *w, float *m, float *v)
{
    __m512 b1 = _mm512_set1_ps(s->b1), o1 = _mm512_set1_ps(1.0f - s->b1);
    __m512 b2 = _mm512_set1_ps(s->b2), o2 = _mm512_set1_ps(1.0f - s->b2);
    __m512 lr = _mm512_set1_ps(s->lr), inv = _mm512_set1_ps(s->inv_sc2);
    __m512 eps = _mm512_set1_ps(s->eps);
    for (size_t i = 0; i < n; i += 16) {
        __mmask16 k = lanes(n - i);
        __m512 wi = _mm512_maskz_loadu_ps(k, w + i);
        __m512 gi = gradient(s, _mm512_maskz_loadu_ps(k, g + i), wi);
        __m512 mi = _mm512_fmadd_ps(b1, _mm512_maskz_loadu_ps(k, m + i), _mm512_mul_ps(o1, gi));
        __m512 vi = _mm512_fmadd_ps(
            b2, _mm512_maskz_loadu_ps(k, v + i), _mm512_mul_ps(o2, _mm512_mul_ps(gi, gi)));
        __m512 d = _mm512_fmadd_ps(_mm512_sqrt_ps(vi), inv, eps);
        _mm512_mask_storeu_ps(m + i, k, mi);
        _mm512_mask_storeu_ps(v + i, k, vi);
        _mm512_mask_storeu_ps(w + i, k, _mm512_fnmadd_ps(lr, _mm512_div_ps(mi, d), wi));
    }
}

static void sgd(const struct fr_step *s, size_t n, const float *g, float *w, float *m, float *v)
{
    __m512 lr = _mm512_set1_ps(s->lr);
    (void)m;
    (void)v;
    for (size_t i = 0; i < n; i += 16) {
        __mmask16 k = lanes(n - i);
        __m512 wi = _mm512_maskz_loadu_ps(k, w + i);
        __m512 gi = gradient(s, _mm512_maskz_loadu_ps(k, g + i), wi);
        _mm512_mask_storeu_ps(w + i, k, _mm512_fnmadd_ps(lr, gi, wi));
    }
}

static void
adagrad(const struct fr_step *s, size_t n, const float *g, float *w, float *m, float *v)
{
    __m512 lr = _mm512_set1_ps(s->lr), eps = _mm512_set1_ps(s->eps);
    __m512 decay = _mm512_set1_ps(s->decay);
    (void)m;
    for (size_t i = 0; i < n; i += 16) {
        __mmask16 k = lanes(n - i);
        __m512 wi = _mm512_maskz_loadu_ps(k, w + i);
        __m512 gi = gradient(s, _mm512_maskz_loadu_ps(k, g + i), wi);
        __m512 vi = _mm512_fmadd_ps(decay, _mm512_maskz_loadu_ps(k, v + i), _mm512_mul_ps(gi, gi));
        __m512 d = _mm512_add_ps(_mm512_sqrt_ps(vi), eps);
        _mm512_mask_storeu_ps(v + i, k, vi);
        _mm512_mask_storeu_ps(w + i, k, _mm512_fnmadd_ps(lr, _mm512_div_ps(gi, d), wi));
    }
}

static void
ftrl(const struct fr_step *s, size_t n, const float *g, float *w, float *z, float *sum)
{
    __m512 lr = _mm512_set1_ps(s->lr), l1 = _mm512_set1_ps(s->lr * s->l1);
    __m512 add = _mm512_set1_ps(s->beta + s->lr * s->prox2), beta = _mm512_set1_ps(s->beta);
    __m512 zero = _mm512_setzero_ps();
    for (size_t i = 0; i < n; i += 16) {
        __mmask16 k = lanes(n - i);
        __m512 wi = _mm512_maskz_loadu_ps(k, w + i), n0 = _mm512_maskz_loadu_ps(k, sum + i);
        __m512 gi = gradient(s, _mm512_maskz_loadu_ps(k, g + i), wi);
        __m512 n1 = _mm512_fmadd_ps(gi, gi, n0), root = _mm512_sqrt_ps(n1);
        __m512 z0 = _mm512_mask_sub_ps(_mm512_maskz_loadu_ps(k, z + i),
                                       _mm512_cmp_ps_mask(n0, zero, _CMP_EQ_OQ),
                                       zero,
                                       _mm512_mul_ps(beta, wi));
        __m512 z1 = _mm512_fnmadd_ps(
            _mm512_sub_ps(root, _mm512_sqrt_ps(n0)), wi, _mm512_fmadd_ps(lr, gi, z0));
        __m512 u = _mm512_sub_ps(_mm512_abs_ps(z1), l1);
        __m512 up = _mm512_div_ps(u, _mm512_add_ps(add, root));
        __m512 w1 = _mm512_mask_sub_ps(up, _mm512_cmp_ps_mask(z1, zero, _CMP_GT_OQ), zero, up);
        w1 = _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(u, zero, _CMP_GT_OQ), w1);
        k &= _mm512_cmp_ps_mask(n1, zero, _CMP_NEQ_UQ); /* no gradient so far: stays */
        _mm512_mask_storeu_ps(sum + i, k, n1);
        _mm512_mask_storeu_ps(z + i, k, z1);
        _mm512_mask_storeu_ps(w + i, k, w1);
    }
}

const struct fr_step_kernels *fr_step_kernels_avx512(void)
{
    static const struct fr_step_kernels k = {.fn = {[FR_OPTIMIZER_ADAM] = adam,
                                                    [FR_OPTIMIZER_SGD] = sgd,
                                                    [FR_OPTIMIZER_ADAGRAD] = adagrad,
                                                    [FR_OPTIMIZER_FTRL] = ftrl}};
    return &k;
}

#else

const struct fr_step_kernels *fr_step_kernels_avx512(void)
{
    return NULL;
}

#endif
