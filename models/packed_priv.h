/*
 * models/packed_priv.h - the product of panels, by level.
 */
#ifndef FR_MODELS_PACKED_PRIV_H
#define FR_MODELS_PACKED_PRIV_H

#include "models/packed.h"

#define FR_PACKED_MAX_WIDTH 32

/* Fewer outputs than this fill no group of sums, and zeros are not left out. */
#define FR_PACKED_SKIP_OUT 96

/** Panels, one after the other: y[r][0 .. cols) = act(bias + [y] + sum over k of x[r][k] * b[k][.]). */
struct fr_panels {
    const float *b;    /* each (in, width), 64-byte aligned */
    const float *bias; /* of all outputs, padding too */
    int in, cols;      /* outputs that there are: the rest of the last panel is padding */
    struct fr_fetch_list *ahead;
    size_t lines; /* of it after each step; given to `skip`: in all */
};

/** All panels without the terms of inputs that are zero: the same values (packed_skip_priv.h). */
typedef void (*fr_packed_skip_fn)(const struct fr_panels *p,
                                  const float *x,
                                  size_t ldx,
                                  int rows,
                                  unsigned flags,
                                  float *y,
                                  size_t ldy);

struct fr_packed_kernel {
    int width, narrow; /* outputs of a panel; of a last panel that fits */
    int rows;          /* of a tile: a step */
    /** One panel of `width` outputs. */
    void (*run)(const struct fr_panels *p,
                int width,
                const float *x,
                size_t ldx,
                int rows,
                unsigned flags,
                float *y,
                size_t ldy);
    fr_packed_skip_fn skip;
    /** Share of x (rows, in) that is not zero, by a sample of the rows. */
    float (*share_not_zero)(const float *x, size_t ldx, int rows, int in);
    float skip_below; /* share below which `skip` is faster */
};

void fr_packed_skip_avx2(const struct fr_panels *p,
                         const float *x,
                         size_t ldx,
                         int rows,
                         unsigned flags,
                         float *y,
                         size_t ldy);
float fr_packed_share_not_zero_avx2(const float *x, size_t ldx, int rows, int in);
void fr_packed_skip_avx512(const struct fr_panels *p,
                           const float *x,
                           size_t ldx,
                           int rows,
                           unsigned flags,
                           float *y,
                           size_t ldy);
float fr_packed_share_not_zero_avx512(const float *x, size_t ldx, int rows, int in);

/** NULL when the compiler could not build the level. */
const struct fr_packed_kernel *fr_packed_kernel_avx2(void);
const struct fr_packed_kernel *fr_packed_kernel_avx512(void);

#endif
