/*
 * models/packed_avx512.c - tiles of 12 rows x 32 outputs (24 sums in registers), AVX-512 F/VL.
 * A row's sum is a chain over k in order, so tiles of fewer rows give the same bits.
 */
#include "models/fetch.h"
#include "models/packed_priv.h"

#if defined(__AVX512F__) && defined(__AVX512VL__)

#include <immintrin.h>

#define MAX_ROWS 12

/* ReLU that keeps NaN: max returns its second operand when one is NaN. */
static inline __m512 finish(__m512 c, unsigned flags)
{
    return (flags & FR_PACKED_RELU) != 0 ? _mm512_max_ps(_mm512_setzero_ps(), c) : c;
}

static inline __m512 begin(__m512 bias, __mmask16 m, const float *y, unsigned flags)
{
    return (flags & FR_PACKED_ADD) != 0 ? _mm512_add_ps(bias, _mm512_maskz_loadu_ps(m, y)) : bias;
}

/* clang-format off */
#define WIDE(N)                                                                                    \
    static void wide##N(const struct fr_panels *p, const float *x, size_t ldx, unsigned flags,     \
                        __mmask16 m0, __mmask16 m1, float *y, size_t ldy)                          \
    {                                                                                              \
        __m512 c0[N], c1[N];                                                                       \
        const __m512 bias0 = _mm512_load_ps(p->bias), bias1 = _mm512_load_ps(p->bias + 16);        \
        const float *b = p->b;                                                                     \
        for (int r = 0; r < N; r++) {                                                              \
            c0[r] = begin(bias0, m0, y + (size_t)r * ldy, flags);                                  \
            c1[r] = begin(bias1, m1, y + (size_t)r * ldy + 16, flags);                             \
        }                                                                                          \
        for (int k = 0; k < p->in; k++, b += 32) {                                                 \
            const __m512 b0 = _mm512_load_ps(b), b1 = _mm512_load_ps(b + 16);                      \
            for (int r = 0; r < N; r++) {                                                          \
                const __m512 a = _mm512_set1_ps(x[(size_t)r * ldx + (size_t)k]);                   \
                c0[r] = _mm512_fmadd_ps(a, b0, c0[r]);                                             \
                c1[r] = _mm512_fmadd_ps(a, b1, c1[r]);                                             \
            }                                                                                      \
        }                                                                                          \
        for (int r = 0; r < N; r++) {                                                              \
            _mm512_mask_storeu_ps(y + (size_t)r * ldy, m0, finish(c0[r], flags));                  \
            _mm512_mask_storeu_ps(y + (size_t)r * ldy + 16, m1, finish(c1[r], flags));             \
        }                                                                                          \
    }                                                                                              \
    static void narrow##N(const struct fr_panels *p, const float *x, size_t ldx, unsigned flags,    \
                          __mmask16 m0, __mmask16 m1, float *y, size_t ldy)                        \
    {                                                                                              \
        __m512 c0[N];                                                                              \
        const __m512 bias0 = _mm512_load_ps(p->bias);                                              \
        const float *b = p->b;                                                                     \
        (void)m1;                                                                                  \
        for (int r = 0; r < N; r++)                                                                \
            c0[r] = begin(bias0, m0, y + (size_t)r * ldy, flags);                                  \
        for (int k = 0; k < p->in; k++, b += 16) {                                                 \
            const __m512 b0 = _mm512_load_ps(b);                                                   \
            for (int r = 0; r < N; r++)                                                            \
                c0[r] = _mm512_fmadd_ps(_mm512_set1_ps(x[(size_t)r * ldx + (size_t)k]), b0, c0[r]);\
        }                                                                                          \
        for (int r = 0; r < N; r++)                                                                \
            _mm512_mask_storeu_ps(y + (size_t)r * ldy, m0, finish(c0[r], flags));                  \
    }
WIDE(1) WIDE(2) WIDE(3) WIDE(4) WIDE(5) WIDE(6) WIDE(7) WIDE(8) WIDE(9) WIDE(10) WIDE(11) WIDE(12)

typedef void (*tile_fn)(const struct fr_panels *p, const float *x, size_t ldx, unsigned flags,
                        __mmask16 m0, __mmask16 m1, float *y, size_t ldy);
static const tile_fn wide[MAX_ROWS + 1] = {
    0, wide1, wide2, wide3, wide4, wide5, wide6, wide7, wide8, wide9, wide10, wide11, wide12};
static const tile_fn narrow[MAX_ROWS + 1] = {
    0, narrow1, narrow2, narrow3, narrow4, narrow5, narrow6, narrow7, narrow8, narrow9, narrow10,
    narrow11, narrow12};
/* clang-format on */

static __mmask16 first(int n)
{
    return n >= 16 ? (__mmask16)0xffff : n <= 0 ? (__mmask16)0 : (__mmask16)((1u << n) - 1u);
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
    const tile_fn *tiles = width == 32 ? wide : narrow;
    __mmask16 m0 = first(p->cols), m1 = first(p->cols - 16);

    for (int r = 0; r < rows; r += MAX_ROWS) {
        int n = rows - r < MAX_ROWS ? rows - r : MAX_ROWS;
        tiles[n](p, x + (size_t)r * ldx, ldx, flags, m0, m1, y + (size_t)r * ldy, ldy);
        if (p->lines > 0)
            fr_fetch_more(p->ahead, p->lines);
    }
}

static const struct fr_packed_kernel kernel = {
    .width = 32,
    .narrow = 16,
    .rows = MAX_ROWS,
    .run = run,
    .skip = fr_packed_skip_avx512,
    .share_not_zero = fr_packed_share_not_zero_avx512,
    .skip_below = 0.55f,
};

const struct fr_packed_kernel *fr_packed_kernel_avx512(void)
{
    return &kernel;
}

#else

const struct fr_packed_kernel *fr_packed_kernel_avx512(void)
{
    return NULL;
}

#endif
