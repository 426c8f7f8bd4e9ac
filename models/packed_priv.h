/*
 * models/packed_priv.h - the product of one panel, by level.
 */
#ifndef FR_MODELS_PACKED_PRIV_H
#define FR_MODELS_PACKED_PRIV_H

#include "models/packed.h"

#define FR_PACKED_MAX_WIDTH 32

/** One panel: y[r][0 .. cols) = act(bias + [y] + sum over k of x[r][k] * b[k][.]). */
struct fr_panel {
    const float *b;    /* (in, width), 64-byte aligned */
    const float *bias; /* (width) */
    int in, cols;      /* cols <= width: the rest is padding */
    struct fr_fetch_list *ahead; /* `lines` of it are asked for after each tile */
    size_t lines;
};

/** The whole layer, its panels one after the other, without the terms of inputs that are zero: the same bits. `lines` in all. */
typedef void (*fr_packed_skip)(
    const struct fr_panel *p, const float *x, size_t ldx, int rows, unsigned flags, float *y, size_t ldy);

struct fr_packed_kernel {
    int width, narrow; /* outputs of a panel; of a last panel that fits */
    int rows;          /* of a tile */
    fr_packed_skip skip;
    /** Share of x (rows, in) that is not zero, by a sample of the rows. */
    float (*not_zero)(const float *x, size_t ldx, int rows, int in);
    void (*run)(const struct fr_panel *p,
                int width,
                const float *x,
                size_t ldx,
                int rows,
                unsigned flags,
                float *y,
                size_t ldy);
};

void fr_packed_skip_avx2(
    const struct fr_panel *p, const float *x, size_t ldx, int rows, unsigned flags, float *y, size_t ldy);
float fr_packed_not_zero_avx2(const float *x, size_t ldx, int rows, int in);
void fr_packed_skip_avx512(
    const struct fr_panel *p, const float *x, size_t ldx, int rows, unsigned flags, float *y, size_t ldy);
float fr_packed_not_zero_avx512(const float *x, size_t ldx, int rows, int in);

/** NULL when the compiler could not build the level. */
const struct fr_packed_kernel *fr_packed_kernel_avx2(void);
const struct fr_packed_kernel *fr_packed_kernel_avx512(void);

#endif
