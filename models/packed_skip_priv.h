/*
 * models/packed_skip_priv.h - a packed product that leaves out the terms whose input is zero,
 * compiled once a level.
 *
 * After a ReLU about every second input is zero. A row at a time, the sums of a group of panels
 * stay in registers while the row's inputs of a block (a bit each) that are not zero are gone
 * through; the block's weights stay in the first-level cache for all rows. Between blocks the sums
 * wait in y.
 *
 * Bits: what is left out would have added 0 * weight to a chain in the same order, and the order
 * stays, so the result is that of the tiles of packed_<level>.c but for the sign of a zero. Weights
 * have to be finite, and are: of every tensor when it is read (fr_tensor_require()), and of what
 * batch norm makes of them (ctr.c).
 *
 * Before it is included (there is nothing in it otherwise): FR_SKIP_BLOCK, inputs of a block (at
 * most 64); FR_SKIP_WIDEST, panels of two vectors in a group; fr_skip_v, a vector of FR_SKIP_LANES
 * floats, and fr_skip_m, which of them; and inline
 *   fr_skip_first(n): the first n, of any n;
 *   fr_skip_load (aligned), _set1, _add, _fma (a * b + c), _relu (NaN stays NaN);
 *   fr_skip_load_some(p, m), _store_some(p, m, v);
 *   fr_skip_bits(p, m): a bit for each of p[0 .. FR_SKIP_LANES) that is among m and not zero; NaN is
 *   not.
 */
#ifndef FR_MODELS_PACKED_SKIP_PRIV_H
#define FR_MODELS_PACKED_SKIP_PRIV_H

#include <stdbool.h>
#include <stdint.h>

#include "models/fetch.h"
#include "models/packed_priv.h"

#ifdef FR_SKIP_LANES

#define FR_SKIP_FETCH_EVERY 4  /* rows */
#define FR_SKIP_SAMPLE_EVERY 8 /* rows whose zeros are counted */

static inline uint64_t fr_skip_mask(const float *x, int n)
{
    const fr_skip_m all = fr_skip_first(FR_SKIP_LANES);
    uint64_t bits = 0;

    if (n >= FR_SKIP_BLOCK)
        for (int i = 0; i < FR_SKIP_BLOCK; i += FR_SKIP_LANES)
            bits |= (uint64_t)fr_skip_bits(x + i, all) << i;
    else
        for (int i = 0; i < n; i += FR_SKIP_LANES)
            bits |= (uint64_t)fr_skip_bits(x + i, fr_skip_first(n - i)) << i;
    return bits;
}

/* A group: `wide` panels of two vectors, and `narrow` (0, 1) of one; constants where it is called,
 * so sums are registers. */
static inline __attribute__((always_inline)) void fr_skip_rows(const struct fr_panels *g,
                                                               const int wide,
                                                               const int narrow,
                                                               const float *x,
                                                               size_t ldx,
                                                               int rows,
                                                               unsigned flags,
                                                               float *y,
                                                               size_t ldy)
{
    enum { L = FR_SKIP_LANES };
    const int n = 2 * wide + narrow;
    const size_t panel = (size_t)g->in * 2 * L;
    /* Only of the last two some may be missing. */
    const fr_skip_m all = fr_skip_first(L), last2 = fr_skip_first(g->cols - L * (n - 2)),
                    last1 = fr_skip_first(g->cols - L * (n - 1));
    fr_skip_v c[2 * FR_SKIP_WIDEST + 1];

    for (int k0 = 0; k0 < g->in; k0 += FR_SKIP_BLOCK) {
        const bool begins = k0 == 0, ends = k0 + FR_SKIP_BLOCK >= g->in,
                   adds = !begins || (flags & FR_PACKED_ADD) != 0;
        const float *w[FR_SKIP_WIDEST], *last = g->b + (size_t)wide * panel + (size_t)k0 * L,
                                        *row = x + k0;
        uint64_t bits = fr_skip_mask(row, g->in - k0);
        float *to = y;

        for (int i = 0; i < wide; i++)
            w[i] = g->b + (size_t)i * panel + (size_t)k0 * 2 * L;
        for (int r = 0; r < rows; r++, row += ldx, to += ldy) {
            /* Before this row's end is known: where a loop of unknown length ends, what follows
             * comes late. */
            const uint64_t next = r + 1 < rows ? fr_skip_mask(row + ldx, g->in - k0) : 0;

            for (int i = 0; i < n; i++) {
                const fr_skip_m there = i == n - 1 ? last1 : i == n - 2 ? last2 : all;
                const fr_skip_v was = adds ? fr_skip_load_some(to + L * i, there) : fr_skip_set1(0);
                c[i] = begins ? fr_skip_add(fr_skip_load(g->bias + L * i), was) : was;
            }
            for (; bits != 0; bits &= bits - 1) {
                const size_t k = (size_t)__builtin_ctzll(bits);
                const fr_skip_v a = fr_skip_set1(row[k]);

                for (int i = 0; i < wide; i++) {
                    c[2 * i] = fr_skip_fma(a, fr_skip_load(w[i] + k * 2 * L), c[2 * i]);
                    c[2 * i + 1] = fr_skip_fma(a, fr_skip_load(w[i] + k * 2 * L + L), c[2 * i + 1]);
                }
                if (narrow > 0)
                    c[n - 1] = fr_skip_fma(a, fr_skip_load(last + k * L), c[n - 1]);
            }
            for (int i = 0; i < n; i++) {
                const fr_skip_m there = i == n - 1 ? last1 : i == n - 2 ? last2 : all;
                if (ends && (flags & FR_PACKED_RELU) != 0)
                    c[i] = fr_skip_relu(c[i]);
                fr_skip_store_some(to + L * i, there, c[i]);
            }
            bits = next;
            if (g->lines > 0 && r % FR_SKIP_FETCH_EVERY == 0)
                fr_fetch_more(g->ahead, g->lines);
        }
    }
}

/* clang-format off */
#define FR_SKIP_GROUP(WIDE, NARROW)                                                                \
    static void group##WIDE##NARROW(const struct fr_panels *g, const float *x, size_t ldx,         \
                                    int rows, unsigned flags, float *y, size_t ldy)                \
    {                                                                                              \
        fr_skip_rows(g, WIDE, NARROW, x, ldx, rows, flags, y, ldy);                                \
    }
/* clang-format on */

/* All panels by groups; group[narrow][wide] as the two say, those that FR_PACKED_SKIP_OUT and more
 * outputs come to. */
static inline void fr_skip_all(const fr_packed_skip_fn group[2][FR_SKIP_WIDEST + 1],
                               bool narrow_last,
                               const struct fr_panels *p,
                               const float *x,
                               size_t ldx,
                               int rows,
                               unsigned flags,
                               float *y,
                               size_t ldy)
{
    enum { WIDTH = 2 * FR_SKIP_LANES };
    const bool narrow = narrow_last && (p->cols - 1) % WIDTH < FR_SKIP_LANES;
    const int wide = (p->cols - 1) / WIDTH + !narrow;
    const int n = (wide + FR_SKIP_WIDEST - 1) / FR_SKIP_WIDEST;
    const size_t steps = (size_t)n * (size_t)((p->in + FR_SKIP_BLOCK - 1) / FR_SKIP_BLOCK) *
                         (size_t)((rows + FR_SKIP_FETCH_EVERY - 1) / FR_SKIP_FETCH_EVERY);
    struct fr_panels g = *p;

    g.lines = (p->lines + steps - 1) / steps;
    for (int i = 0; i < n; i++) {
        const int panels = (wide - i + n - 1) / n; /* as equal as can be, the last the fewest */

        group[i == n - 1 && narrow][panels](&g, x, ldx, rows, flags, y, ldy);
        g.b += (size_t)panels * WIDTH * (size_t)p->in;
        g.bias += panels * WIDTH;
        g.cols -= panels * WIDTH;
        y += panels * WIDTH;
    }
}

static inline float fr_skip_share(const float *x, size_t ldx, int rows, int in)
{
    size_t bits = 0, of = 0;

    for (int r = 0; r < rows; r += FR_SKIP_SAMPLE_EVERY, of += (size_t)in)
        for (int k = 0; k < in; k += FR_SKIP_BLOCK)
            bits +=
                (size_t)__builtin_popcountll(fr_skip_mask(x + (size_t)r * ldx + (size_t)k, in - k));
    return of > 0 ? (float)bits / (float)of : 1;
}

#endif

#endif
