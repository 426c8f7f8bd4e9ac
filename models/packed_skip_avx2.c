/*
 * models/packed_skip_avx2.c - packed_skip_priv.h for AVX2 and FMA: twelve sums of 8, a block is 24
 * KB.
 */
#include "models/packed_priv.h"

#if defined(__AVX2__) && defined(__FMA__)

#include <immintrin.h>

#define FR_SKIP_LANES 8
#define FR_SKIP_WIDEST 6
#define FR_SKIP_BLOCK 64

typedef __m256 fr_skip_v;
typedef __m256i fr_skip_m;

static inline fr_skip_m fr_skip_first(int n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

static inline fr_skip_v fr_skip_load(const float *p)
{
    return _mm256_load_ps(p);
}

static inline fr_skip_v fr_skip_load_some(const float *p, fr_skip_m m)
{
    return _mm256_maskload_ps(p, m);
}

static inline void fr_skip_store_some(float *p, fr_skip_m m, fr_skip_v v)
{
    _mm256_maskstore_ps(p, m, v);
}

static inline fr_skip_v fr_skip_set1(float x)
{
    return _mm256_set1_ps(x);
}

static inline fr_skip_v fr_skip_add(fr_skip_v a, fr_skip_v b)
{
    return _mm256_add_ps(a, b);
}

static inline fr_skip_v fr_skip_fma(fr_skip_v a, fr_skip_v b, fr_skip_v c)
{
    return _mm256_fmadd_ps(a, b, c);
}

static inline fr_skip_v fr_skip_relu(fr_skip_v v)
{
    return _mm256_max_ps(_mm256_setzero_ps(), v);
}

static inline unsigned fr_skip_bits(const float *p, fr_skip_m m)
{
    return (unsigned)_mm256_movemask_ps(
        _mm256_cmp_ps(_mm256_maskload_ps(p, m), _mm256_setzero_ps(), _CMP_NEQ_UQ));
}

#include "models/packed_skip_priv.h"

FR_SKIP_GROUP(3, 0)
FR_SKIP_GROUP(4, 0)
FR_SKIP_GROUP(5, 0)
FR_SKIP_GROUP(6, 0)

_Static_assert(FR_PACKED_SKIP_OUT > 5 * 16, "groups of three panels and more");
static const fr_packed_skip_fn groups[2][FR_SKIP_WIDEST + 1] = {
    {0, 0, 0, group30, group40, group50, group60}, {0}};

void fr_packed_skip_avx2(const struct fr_panels *p,
                         const float *x,
                         size_t ldx,
                         int rows,
                         unsigned flags,
                         float *y,
                         size_t ldy)
{
    fr_skip_all(groups, false, p, x, ldx, rows, flags, y, ldy);
}

float fr_packed_share_not_zero_avx2(const float *x, size_t ldx, int rows, int in)
{
    return fr_skip_share(x, ldx, rows, in);
}

#endif
