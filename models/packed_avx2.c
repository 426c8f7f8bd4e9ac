/*
 * models/packed_avx2.c - tiles of 6 rows x 16 outputs (12 sums in registers), AVX2 and FMA.
 * A row's sum is a chain over k in order, so tiles of fewer rows give the same bits.
 */
#include "models/fetch.h"
#include "models/packed_priv.h"

#if defined(__AVX2__) && defined(__FMA__)

#include <immintrin.h>

#define MAX_ROWS 6

/* ReLU that keeps NaN: max returns its second operand when one is NaN. */
static inline __m256 finish(__m256 c, unsigned flags)
{
    return (flags & FR_PACKED_RELU) != 0 ? _mm256_max_ps(_mm256_setzero_ps(), c) : c;
}

static inline __m256 begin(__m256 bias, __m256i m, const float *y, unsigned flags)
{
    return (flags & FR_PACKED_ADD) != 0 ? _mm256_add_ps(bias, _mm256_maskload_ps(y, m)) : bias;
}

/* clang-format off */
#define TILE(N)                                                                                    \
    static void tile##N(const struct fr_panels *p, const float *x, size_t ldx, unsigned flags,     \
                        __m256i m0, __m256i m1, float *y, size_t ldy)                              \
    {                                                                                              \
        __m256 c0[N], c1[N];                                                                       \
        const __m256 bias0 = _mm256_loadu_ps(p->bias), bias1 = _mm256_loadu_ps(p->bias + 8);       \
        const float *b = p->b;                                                                     \
        for (int r = 0; r < N; r++) {                                                              \
            c0[r] = begin(bias0, m0, y + (size_t)r * ldy, flags);                                  \
            c1[r] = begin(bias1, m1, y + (size_t)r * ldy + 8, flags);                              \
        }                                                                                          \
        for (int k = 0; k < p->in; k++, b += 16) {                                                 \
            const __m256 b0 = _mm256_loadu_ps(b), b1 = _mm256_loadu_ps(b + 8);                     \
            for (int r = 0; r < N; r++) {                                                          \
                const __m256 a = _mm256_set1_ps(x[(size_t)r * ldx + (size_t)k]);                   \
                c0[r] = _mm256_fmadd_ps(a, b0, c0[r]);                                             \
                c1[r] = _mm256_fmadd_ps(a, b1, c1[r]);                                             \
            }                                                                                      \
        }                                                                                          \
        for (int r = 0; r < N; r++) {                                                              \
            _mm256_maskstore_ps(y + (size_t)r * ldy, m0, finish(c0[r], flags));                    \
            _mm256_maskstore_ps(y + (size_t)r * ldy + 8, m1, finish(c1[r], flags));                \
        }                                                                                          \
    }
TILE(1) TILE(2) TILE(3) TILE(4) TILE(5) TILE(6)

typedef void (*tile_fn)(const struct fr_panels *p, const float *x, size_t ldx, unsigned flags,
                        __m256i m0, __m256i m1, float *y, size_t ldy);
/* clang-format on */
static const tile_fn tiles[MAX_ROWS + 1] = {0, tile1, tile2, tile3, tile4, tile5, tile6};

/* Lanes [0, n) of eight. */
static __m256i first(int n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

static void run(const struct fr_panels *p,
                int width,
                const float *x,
                size_t ldx,
                int rows,
                unsigned flags,
                float *y,
                size_t ldy)
{
    __m256i m0 = first(p->cols), m1 = first(p->cols - 8);

    (void)width;
    for (int r = 0; r < rows; r += MAX_ROWS) {
        int n = rows - r < MAX_ROWS ? rows - r : MAX_ROWS;
        tiles[n](p, x + (size_t)r * ldx, ldx, flags, m0, m1, y + (size_t)r * ldy, ldy);
        if (p->lines > 0)
            fr_fetch_more(p->ahead, p->lines);
    }
}

static const struct fr_packed_kernel kernel = {
    .width = 16,
    .narrow = 16,
    .rows = MAX_ROWS,
    .run = run,
    .skip = fr_packed_skip_avx2,
    .share_not_zero = fr_packed_share_not_zero_avx2,
    .skip_below = 0.62f,
};

const struct fr_packed_kernel *fr_packed_kernel_avx2(void)
{
    return &kernel;
}

#else

const struct fr_packed_kernel *fr_packed_kernel_avx2(void)
{
    return NULL;
}

#endif
