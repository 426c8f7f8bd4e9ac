/*
 * models/deepfm.h - DeepFM: linear + factorisation machine + MLP over shared field embeddings.
 *
 * Math:   e_f  = sum over the slots of field f of x * v[row]                        (D)
 *         z    = w0 + sum over slots x * w[row] + 1/2 (||sum_f e_f||^2 - sum_f ||e_f||^2)
 *                + MLP([e_1 .. e_F]);   score = sigmoid(z)
 *         The pair term runs over fields, so a bag of many slots (a history) counts as one field;
 * with one slot a field it is the paper's. Saving: user and context fields are the same in every
 * row: their part of the first layer, of the sum and of the squares is computed once a query
 * (DESIGN 7). Concatenation order is user, context, item, cross, so the first layer's matrix splits
 * by columns without copying. Source: Guo et al. 2017, arXiv:1703.04247, eq. 1-4; checked against
 * tests/golden/deepfm_*.frg. Layer:  daemon/base/ and models/. Most callers use models/model.h
 * instead.
 */
#ifndef FR_MODELS_DEEPFM_H
#define FR_MODELS_DEEPFM_H

#include "models/encoder.h"
#include "models/model.h"
#include "models/nn.h"
#include "models/tensor.h"

/** Hyper-parameters. */
struct fr_deepfm_config {
    int dim;                           /* D, embedding length, 1..512 */
    int n_hidden;                      /* 0 = no MLP (a plain FM) */
    int hidden[FR_MLP_MAX_LAYERS - 1]; /* widths, each 1..FR_NN_MAX_WIDTH */
};

/** @errors FR_EINVAL, the fault names the member. */
FR_MUST_CHECK enum fr_err fr_deepfm_config_check(const struct fr_deepfm_config *cfg,
                                                 struct fr_fault *fault);

/**
 * Build the inference form.
 * @param take_enc  the encoder; owned by the model on FR_OK (then NULL).
 * @param t         n tensors: bias (1), embedding.<table>.weight (rows, D), linear.<table>.weight
 *                  (rows, 1), mlp.<i>.weight (out, in), mlp.<i>.bias (out); contents are copied.
 * @errors FR_ENOTFOUND FR_EMISMATCH FR_ENONFINITE FR_EINVAL FR_ENOMEM
 */
FR_MUST_CHECK enum fr_err fr_deepfm_new(struct fr_encoder **take_enc,
                                        const struct fr_deepfm_config *cfg,
                                        const struct fr_tensor *t,
                                        int n,
                                        struct fr_model **out_m,
                                        struct fr_fault *fault);

#endif
