/*
 * models/packed_skip_avx512.c - packed_skip_priv.h for AVX-512 F/VL: nine sums of 16. A block is 36 KB of weights, for
 * first-level caches of 48 KB (blocks of 48, 27 KB, are 5 % slower there; 32 KB were not at hand to measure).
 */
#include "models/packed_priv.h"

#if defined(__AVX512F__) && defined(__AVX512VL__)

#include <immintrin.h>

#define FR_SKIP_LANES 16
#define FR_SKIP_WIDEST 4
#define FR_SKIP_BLOCK 64

typedef __m512 fr_skip_v;
typedef __mmask16 fr_skip_m;

static inline fr_skip_m fr_skip_first(int n)
{
    return n >= 16 ? (__mmask16)0xffff : n <= 0 ? (__mmask16)0 : (__mmask16)((1u << n) - 1u);
}

static inline fr_skip_v fr_skip_load(const float *p)
{
    return _mm512_load_ps(p);
}

static inline fr_skip_v fr_skip_load_some(const float *p, fr_skip_m m)
{
    return _mm512_maskz_loadu_ps(m, p);
}

static inline void fr_skip_store_some(float *p, fr_skip_m m, fr_skip_v v)
{
    _mm512_mask_storeu_ps(p, m, v);
}

static inline fr_skip_v fr_skip_set1(float x)
{
    return _mm512_set1_ps(x);
}

static inline fr_skip_v fr_skip_add(fr_skip_v a, fr_skip_v b)
{
    return _mm512_add_ps(a, b);
}

static inline fr_skip_v fr_skip_fma(fr_skip_v a, fr_skip_v b, fr_skip_v c)
{
    return _mm512_fmadd_ps(a, b, c);
}

static inline fr_skip_v fr_skip_relu(fr_skip_v v)
{
    return _mm512_max_ps(_mm512_setzero_ps(), v);
}

static inline unsigned fr_skip_bits(const float *p, fr_skip_m m)
{
    return _mm512_mask_cmp_ps_mask(
        m, _mm512_maskz_loadu_ps(m, p), _mm512_setzero_ps(), _CMP_NEQ_UQ);
}

#include "models/packed_skip_priv.h"

FR_SKIP_GROUP(2, 0)
FR_SKIP_GROUP(3, 0)
FR_SKIP_GROUP(4, 0)
FR_SKIP_GROUP(2, 1)
FR_SKIP_GROUP(3, 1)
FR_SKIP_GROUP(4, 1)

_Static_assert(FR_PACKED_SKIP_OUT > 5 * 16, "groups of two panels and more");
static const fr_packed_skip_fn groups[2][FR_SKIP_WIDEST + 1] = {{0, 0, group20, group30, group40},
                                                                {0, 0, group21, group31, group41}};

void fr_packed_skip_avx512(const struct fr_panels *p,
                           const float *x,
                           size_t ldx,
                           int rows,
                           unsigned flags,
                           float *y,
                           size_t ldy)
{
    fr_skip_all(groups, true, p, x, ldx, rows, flags, y, ldy);
}

float fr_packed_share_not_zero_avx512(const float *x, size_t ldx, int rows, int in)
{
    return fr_skip_share(x, ldx, rows, in);
}

#endif
