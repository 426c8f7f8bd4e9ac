/*
 * models/train/attention_back.h - forward with activations kept, and backward, of
 * models/attention.h.
 *
 * Rows are taken some at a time so that a layer's matrices stay in cache. Layer: models/.
 */
#ifndef FR_MODELS_TRAIN_ATTENTION_BACK_H
#define FR_MODELS_TRAIN_ATTENTION_BACK_H

#include "models/attention.h"

#define FR_ATTENTION_BLOCK 64 /* rows at a time */

/** Gradients of one layer, added to. NULL where the layer has none. */
struct fr_attention_grads {
    float *w;            /* (cols, in) */
    float *gain, *shift; /* (A) */
};

/** Activations of `rows` rows, in blocks. Owner: the arena. */
struct fr_attention_pass {
    int rows;
    const float *x;                                             /* (rows, F, D) */
    struct fr_attention_acts (*block)[FR_ATTENTION_MAX_LAYERS]; /* by block */
    float *scratch, *dqkv, *dy[2];
};

/**
 * Memory for `rows` rows. @param backward  false: none for the way back.
 * @errors FR_ENOMEM
 */
FR_MUST_CHECK enum fr_err fr_attention_begin(const struct fr_attention *a,
                                             int rows,
                                             const float *x,
                                             bool backward,
                                             struct fr_arena *ar,
                                             struct fr_attention_pass *out);
/** All layers. No error: all memory is there. */
void fr_attention_forward(const struct fr_attention *a, struct fr_attention_pass *p);
/** One output, after that: z[r] += w (F A) . last layer's output of row r. */
void fr_attention_output(const struct fr_attention *a,
                         const struct fr_attention_pass *p,
                         const float *w,
                         float *z);

/** What the way back needs of an output. */
struct fr_attention_out {
    const float *w;  /* (F A) */
    const float *dz; /* (rows) */
    float *dw;       /* (F A), added to */
};
/**
 * Backward of the layers and of `n_outs` outputs.
 * @param g   by layer
 * @param dx  (rows, F, D), overwritten
 */
void fr_attention_backward(const struct fr_attention *a,
                           struct fr_attention_pass *p,
                           const struct fr_attention_out *outs,
                           int n_outs,
                           const struct fr_attention_grads *g,
                           float *dx);

#endif
