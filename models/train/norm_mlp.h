/*
 * models/train/norm_mlp.h - an MLP with batch norm and dropout, trained by several workers at once.
 *
 *   hidden layer:  z = x W^T + b;  y = gamma (z - mean) / sqrt(var + EPS) + beta;  relu;  dropout
 *
 * Mean and (biased) variance are over the rows of all workers, as if the batch were one: workers
 * meet at the pool's barrier in every layer. Running mean and variance (momentum .1, unbiased, as
 * PyTorch's BatchNorm1d) are what evaluation and serving use. Source: Ioffe & Szegedy 2015; order
 * Linear -> norm -> ReLU -> dropout as FuxiCTR's MLP block. Layer: models/.
 */
#ifndef FR_MODELS_TRAIN_NORM_MLP_H
#define FR_MODELS_TRAIN_NORM_MLP_H

#include "models/ctr.h"
#include "models/nn.h"
#include "models/train/params.h"
#include "models/train/pool.h"

#define FR_NORM_EPS FR_CTR_NORM_EPS
#define FR_NORM_MOMENTUM 0.1

/** Shared by the workers. Owner: the trainer. */
struct fr_norm_mlp {
    const struct fr_mlp *mlp; /* not relu_last */
    bool norm;
    float dropout;
    int w[FR_MLP_MAX_LAYERS], b[FR_MLP_MAX_LAYERS]; /* dense parameters */
    int gamma[FR_MLP_MAX_LAYERS], beta[FR_MLP_MAX_LAYERS];
    int mean[FR_MLP_MAX_LAYERS], var[FR_MLP_MAX_LAYERS]; /* buffers */
    struct fr_params *params;
    struct fr_pool *pool;
    double *part; /* (threads, 2, widest) */
    size_t widest;
    uint64_t seed;   /* of the step's dropout */
    bool training;   /* batch statistics and dropout; else the running ones and none */
    double all_rows; /* of the step, over all workers */
    _Atomic int failed;
};

/** One worker's rows. Everything is allocated before the first barrier. */
struct fr_norm_pass {
    int worker, rows;
    float *x[FR_MLP_MAX_LAYERS + 1];                          /* [0] unused; [l] (rows, width[l]) */
    float *xhat[FR_MLP_MAX_LAYERS];                           /* (rows, width[l + 1]) */
    float *mean[FR_MLP_MAX_LAYERS], *rstd[FR_MLP_MAX_LAYERS]; /* (width[l + 1]) */
    float *back[2];                                           /* (rows, widest) */
    /* a second output over the last hidden layer: its weights (width) and gradients (rows); NULL = none */
    const float *also_w, *also_d;
};

/**
 * Add gamma, beta and the running statistics "<prefix>_norm.<l>.*" of the hidden layers.
 * @errors FR_ENOMEM FR_EFULL. Owner: fr_norm_mlp_done().
 */
FR_MUST_CHECK enum fr_err fr_norm_mlp_init(struct fr_norm_mlp *nm,
                                           const char *prefix,
                                           struct fr_params *p,
                                           struct fr_pool *pool);
void fr_norm_mlp_done(struct fr_norm_mlp *nm);

/**
 * Get memory, and agree: if any worker has an error (`e`), all return one and none goes on to a
 * barrier.
 * @param backward  false: no room for the way back.
 */
FR_MUST_CHECK enum fr_err fr_norm_mlp_begin(struct fr_norm_mlp *nm,
                                            struct fr_norm_pass *p,
                                            enum fr_err e,
                                            bool backward,
                                            struct fr_arena *ar);
/** Memory that holds the first layer's z: (rows, width[1]); fill it, then call forward. */
float *fr_norm_mlp_first(struct fr_norm_pass *p);
/** The last hidden layer's output (rows, width), after fr_norm_mlp_forward(), before _backward(). */
const float *fr_norm_mlp_last(const struct fr_norm_mlp *nm, const struct fr_norm_pass *p);
/** @return output (rows). No error: p was made by begin. */
const float *fr_norm_mlp_forward(struct fr_norm_mlp *nm, struct fr_norm_pass *p);
/**
 * @param dout  (rows) gradient of the output; p->also_d that of a second one, whose own weights are the caller's.
 * @return gradient of the first layer's z, (rows, width[1]); those of layers, gamma and beta are
 * added to g. The first layer's own weights and bias are the caller's.
 */
const float *fr_norm_mlp_backward(struct fr_norm_mlp *nm,
                                  struct fr_norm_pass *p,
                                  const float *dout,
                                  struct fr_grads *g);

#endif
