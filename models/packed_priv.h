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

struct fr_packed_kernel {
    int width, narrow; /* outputs of a panel; of a last panel that fits */
    int rows;          /* of a tile */
    void (*run)(const struct fr_panel *p,
                int width,
                const float *x,
                size_t ldx,
                int rows,
                unsigned flags,
                float *y,
                size_t ldy);
};

/** NULL when the compiler could not build the level. */
const struct fr_packed_kernel *fr_packed_kernel_avx2(void);
const struct fr_packed_kernel *fr_packed_kernel_avx512(void);

#endif
