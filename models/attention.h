/*
 * models/attention.h - multi-head self-attention over the field embeddings of a row (AutoInt).
 *
 * One layer, x (F, in) -> y (F, A), H heads of A / H:
 *   q, k, v = x Wq^T, x Wk^T, x Wv^T      (no bias)
 *   o       = [softmax(c q_h k_h^T) v_h for each head h];  c = 1, or 1 / sqrt(A / H) when scaled
 *   r       = o + residual;   y = relu(layer_norm(r)) or relu(r)
 *   residual: see enum fr_attention_residual
 * Source: Song et al. 2019, "AutoInt", arXiv:1810.11921, eq. 5-9; scaling, layer norm and the
 * choice of residuals as FuxiCTR's implementation, whose settings the benchmark rows repeat. A
 * layer's matrices lie one under the other, query | key | value | residual, so a layer is one
 * product. Layer: daemon/base/ and models/. Check: tests/unit/test_models_attention.c,
 * tests/golden/autoint_*.frg.
 */
#ifndef FR_MODELS_ATTENTION_H
#define FR_MODELS_ATTENTION_H

#include <stdbool.h>

#include "daemon/base/arena.h"
#include "daemon/base/err.h"
#include "models/attend.h"

#define FR_ATTENTION_MAX_LAYERS 8
#define FR_ATTENTION_MAX_HEADS 16
#define FR_ATTENTION_MAX_WIDTH 512
#define FR_ATTENTION_NORM_EPS 1e-5f /* PyTorch's default */

enum fr_attention_residual {
    FR_RESIDUAL_NONE,
    FR_RESIDUAL_WIDTHS,   /* projected where the widths differ (the first layer, unless D = A), else
                             none */
    FR_RESIDUAL_IDENTITY, /* projected where the widths differ, else x itself */
    FR_RESIDUAL_PROJECTED, /* projected in every layer: the paper's */
    FR_RESIDUAL_COUNT
};

struct fr_attention_config {
    int layers; /* 0 = none */
    int heads;  /* divides width */
    int width;  /* A, all heads together */
    bool scale, layer_norm;
    enum fr_attention_residual residual;
};

/** @errors FR_EINVAL, the fault names the member */
FR_MUST_CHECK enum fr_err fr_attention_check(const struct fr_attention_config *c,
                                             struct fr_fault *fault);

struct fr_attention_layer {
    int in, cols;              /* columns of x; rows of w: 3 A, or 4 A with a projected residual */
    float *w;                  /* (cols, in) */
    const float *gain, *shift; /* (A), borrowed; NULL without layer norm */
};

/** Weights of all layers. Owner: fr_attention_done(). Thread: immutable once set. */
struct fr_attention {
    struct fr_attention_config cfg;
    int fields, dim; /* F, D */
    struct fr_attention_layer layer[FR_ATTENTION_MAX_LAYERS];
    float *block;
};

/** What a forward pass leaves for the way back, one layer. Owner: the arena. */
struct fr_attention_acts {
    const float *x; /* (n F, in) */
    float *qkv;     /* (n F, cols) */
    float *p;       /* (n, H, F, F) */
    float *hat;     /* (n F, A) normalised, and */
    float *inv_std; /* (n F) 1 / standard deviation; both NULL without layer norm */
    float *y;       /* (n F, A) */
};

/** Room for the weights, zero. @param dim D of the embeddings. @errors FR_ENOMEM */
FR_MUST_CHECK enum fr_err
fr_attention_init(struct fr_attention *a, const struct fr_attention_config *c, int fields, int dim);
void fr_attention_done(struct fr_attention *a);
/** Part of a layer's w: 0 query, 1 key, 2 value, 3 residual (where cols says so). (A, in) */
float *fr_attention_part(const struct fr_attention *a, int layer, int part);

/** q, k, v (and residual) of `rows` field rows of layer l: out (rows, cols). @param ldx of x */
void fr_attention_project(
    const struct fr_attention *a, int l, const float *x, int rows, float *out);
/**
 * The rest of layer l for n rows of F fields.
 * @param keep  x, qkv and y are set; p, and with layer norm hat and inv_std, are written.
 * @param scratch  (fr_attention_scratch())
 */
void fr_attention_mix(const struct fr_attention *a,
                      int l,
                      int n,
                      const struct fr_attention_acts *keep,
                      float *scratch);
size_t fr_attention_scratch(const struct fr_attention *a);
/** Memory for a layer's activations of n rows; x is the caller's. @errors FR_ENOMEM */
FR_MUST_CHECK enum fr_err fr_attention_alloc(
    const struct fr_attention *a, int l, int n, struct fr_arena *ar, struct fr_attention_acts *out);

/** True if layer l adds its own input. */
bool fr_attention_adds_x(const struct fr_attention *a, int l);
/** The one-head view of a layer's buffers. */
struct fr_attend fr_attention_head(const struct fr_attention *a, int l);

#endif
