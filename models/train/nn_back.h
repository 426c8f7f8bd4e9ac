/*
 * models/train/nn_back.h - backward twins of models/nn.h and models/embed.h.
 *
 * Gradients are added to dw, db and the tables (several calls of a step accumulate); dx is
 * overwritten. Layer: models/.
 */
#ifndef FR_MODELS_TRAIN_NN_BACK_H
#define FR_MODELS_TRAIN_NN_BACK_H

#include "models/embed.h"
#include "models/nn.h"
#include "models/train/params.h"

/**
 * y (b, out) = x (b, in) w (out, in)^T + bias, backward.
 * @param ldw  row stride of w and dw (a column block of a wider matrix has a larger one).
 * @param db   (out) or NULL. @param dx (b, in) or NULL.
 */
void fr_back_linear(const float *x,
                    const float *w,
                    int ldw,
                    const float *dy,
                    int b,
                    int in,
                    int out,
                    float *dw,
                    float *db,
                    float *dx);

/** dy[i] = 0 where y[i] <= 0 (y is the output of the ReLU). */
void fr_back_relu(const float *y, float *dy, size_t n);

/** y = x / norm: dx = (dy - y (y . dy)) / norm; norm as fr_nn_l2norm() returned. dx may be dy. */
void fr_back_l2norm(const float *y, float norm, const float *dy, size_t n, float *dx);

/** Activations of an MLP kept for the way back. Owner: the arena. */
struct fr_mlp_acts {
    const float *x[FR_MLP_MAX_LAYERS + 1]; /* x[l] (b, width[l]): input of layer l; last: output */
};

/** Layers [from, n_layers) of the MLP, keeping activations; x is kept by reference.
 *  @errors FR_ENOMEM */
FR_MUST_CHECK enum fr_err fr_mlp_forward_keep(const struct fr_mlp *mlp,
                                              int from,
                                              const float *x,
                                              int b,
                                              struct fr_arena *ar,
                                              struct fr_mlp_acts *out);
/**
 * Backward of the same layers.
 * @param dout    (b, width[n_layers]); overwritten when the last layer has a ReLU.
 * @param dw, db  by layer, added to.
 * @param dx      (b, width[from]) or NULL.
 */
FR_MUST_CHECK enum fr_err fr_mlp_backward(const struct fr_mlp *mlp,
                                          int from,
                                          const struct fr_mlp_acts *acts,
                                          int b,
                                          float *dout,
                                          float *const *dw,
                                          float *const *db,
                                          struct fr_arena *ar,
                                          float *dx);

/**
 * Backward of fr_embed_group(): adds to the gradients of tables (by encoder table, `table_of[t]` is
 * the index in params) and of gates.
 * @param de    (fields of e, dim)
 * @param gate  by field: gradient (slots, dim) or NULL
 */
void fr_back_embed_group(const struct fr_encoder *enc,
                         const struct fr_embed *em,
                         enum fr_entity e,
                         const struct fr_slot *slots,
                         const float *de,
                         const struct fr_params *p,
                         const int *table_of,
                         struct fr_grads *g,
                         float *const *gate);

/** Count the slots of a group with x != 0 into n[table]: what fr_grads_reserve() needs. */
void fr_back_count_slots(const struct fr_encoder *enc,
                         enum fr_entity e,
                         const struct fr_slot *slots,
                         size_t *n);

#endif
