/*
 * models/nn.h - small forward ops over row-major matrices, and the multi-layer perceptron.
 *
 * Layer: models/ only; no allocation, no I/O. Backward twins: models/train/nn_back.h.
 */
#ifndef FR_MODELS_NN_H
#define FR_MODELS_NN_H

#include <stddef.h>

#include "daemon/base/arena.h"
#include "daemon/base/err.h"
#include "models/tensor.h"

#define FR_MLP_MAX_LAYERS 8
#define FR_NN_MAX_WIDTH 8192

/** y (B, out) = x (B, in) * w (out, in)^T + bias (out); bias may be NULL. ldx, ldy: row strides. */
void fr_nn_linear(const float *x,
                  size_t ldx,
                  const float *w,
                  const float *bias,
                  int b,
                  int in,
                  int out,
                  float *y,
                  size_t ldy);
/** In place; NaN stays NaN. */
void fr_nn_relu(float *x, size_t n);
/** 1 / (1 + exp(-z)) without overflow for any z. */
float fr_nn_sigmoid(float z);
/** log(1 + exp(z)) without overflow. */
double fr_nn_softplus(double z);
/** y (n) = x / max(||x||, 1e-12); returns the norm. y may be x. Zero stays zero. */
float fr_nn_l2norm(const float *x, size_t n, float *y);

/**
 * Linear -> ReLU -> ... -> Linear, the last layer without ReLU unless relu_last.
 * Weights as PyTorch's nn.Linear: w[i] (width[i+1], width[i]), bias[i] (width[i+1]).
 * Owner: views; the model owns the weights. Thread: immutable, any.
 */
struct fr_mlp {
    int n_layers; /* 0 = identity */
    int width[FR_MLP_MAX_LAYERS + 1];
    bool relu_last;
    const float *w[FR_MLP_MAX_LAYERS];
    const float *bias[FR_MLP_MAX_LAYERS];
};

/**
 * Layers [from, n_layers) applied to x (B, width[from]).
 * @param x    only read.
 * @param out  (B, width[n_layers]).
 * @errors FR_ENOMEM scratch
 */
FR_MUST_CHECK enum fr_err fr_mlp_forward(const struct fr_mlp *mlp,
                                         int from,
                                         const float *x,
                                         int b,
                                         struct fr_arena *scratch,
                                         float *out);

/**
 * Point an MLP at tensors "<prefix>.0.weight", "<prefix>.0.bias", "<prefix>.1...." of the given
 * widths.
 * @errors FR_ENOTFOUND, FR_EMISMATCH; the fault names the tensor.
 */
FR_MUST_CHECK enum fr_err fr_mlp_bind(struct fr_mlp *mlp,
                                      const char *prefix,
                                      const int *width,
                                      int n_layers,
                                      bool relu_last,
                                      const struct fr_tensor *t,
                                      int n,
                                      struct fr_fault *fault);

#endif
