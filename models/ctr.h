/*
 * models/ctr.h - rankers that are a sum of parts over shared field embeddings.
 *
 *   kind        linear  pair  deep  attention
 *   lr          x                              logistic regression
 *   fm          x       x                      factorisation machine (Rendle 2010)
 *   wide_deep   x             x                Wide & Deep (Cheng et al. 2016), without hand-made crosses
 *   deepfm      x       x     x                DeepFM (Guo et al. 2017, arXiv:1703.04247, eq. 1-4)
 *   autoint     (x)                 x          AutoInt (Song et al. 2019, arXiv:1810.11921); linear if asked
 *   autoint+    (x)           x     x          the same, with an MLP beside it (section 5.5)
 *
 * Math:   e_f    = sum over the slots of field f of x * v[row]                        (D)
 *         linear = w0 + sum over slots x * w[row]
 *         pair   = 1/2 (||sum_f e_f||^2 - sum_f ||e_f||^2)
 *         deep   = MLP([e_1 .. e_F])
 *         attention = w . [y_1 .. y_F], y the last layer of models/attention.h over e_1 .. e_F
 *         z = the sum of the kind's parts (and w0, which `out.bias` is with attention), score = sigmoid(z)
 *         The pair term runs over fields, so a bag of many slots (a history) counts as one field;
 *         with one slot a field it is the paper's.
 * Value:  a second head over the same hidden layers and attention (models/value.h):
 *         r = value.weight . [y_1 .. y_F, h_L] + value.bias, h_L the last hidden layer; needs one of the two.
 *         No first-order weights of its own: those would double the rows that are read of every table.
 * Saving: user and context fields are the same in every row: their part of the first layer, of the
 *         sum and of the squares is computed once a query (DESIGN 7). Concatenation order is user,
 *         context, item, cross, so the first layer's matrix splits by columns without copying.
 * Check:  tests/golden/deepfm_*.frg, tests/reference/models.py.
 * Layer:  daemon/base/ and models/. Most callers use models/model.h instead.
 */
#ifndef FR_MODELS_CTR_H
#define FR_MODELS_CTR_H

#include "models/attention.h"
#include "models/encoder.h"
#include "models/model.h"
#include "models/nn.h"
#include "models/tensor.h"

#define FR_CTR_NORM_EPS 1e-5f /* of batch norm, as PyTorch's default */

enum fr_ctr_part { FR_CTR_LINEAR = 1, FR_CTR_PAIR = 2, FR_CTR_DEEP = 4, FR_CTR_ATTENTION = 8 };

/** Hyper-parameters. */
struct fr_ctr_config {
    enum fr_model_kind kind;
    int dim;                           /* D, embedding length, 1..512; lr: 0 */
    bool batch_norm;                   /* of the hidden layers; folded into them when loaded */
    int n_hidden;                      /* deepfm, wide_deep; 0 = no MLP */
    int hidden[FR_MLP_MAX_LAYERS - 1]; /* widths, each 1..FR_NN_MAX_WIDTH */
    struct fr_attention_config attention; /* autoint, autoint+; else zero */
    bool linear;                       /* autoint, autoint+: with the linear part */
    enum fr_value_kind value;          /* a value head; FR_VALUE_NONE: none */
    bool share;                        /* with one: z was taught list-wise */
};

/** Parts of a kind; 0 if it is none of this family. */
unsigned fr_ctr_parts(const struct fr_ctr_config *cfg);

/** Inputs of the value head over `n_fields` fields: of attention, then of the last hidden layer. 0: nothing is shared
 * that it could stand on. */
size_t fr_ctr_value_inputs(const struct fr_ctr_config *cfg, int n_fields);

/** @errors FR_EINVAL, the fault names the member. */
FR_MUST_CHECK enum fr_err fr_ctr_config_check(const struct fr_ctr_config *cfg,
                                              struct fr_fault *fault);

/**
 * Build the inference form.
 * @param take_enc  the encoder; owned by the model on FR_OK (then NULL).
 * @param t         n tensors: bias (1) (attention: out.bias (1), out.weight (1, F A) and by layer
 *                  attention.<i>.query|key|value[|residual].weight (A, in), with layer norm
 *                  attention.<i>.norm.weight, .bias (A)), linear.<table>.weight (rows, 1), embedding.<table>.weight
 *                  (rows, D), mlp.<i>.weight (out, in), mlp.<i>.bias (out), with batch norm
 *                  mlp_norm.<i>.weight, .bias, .running_mean, .running_var (out) of hidden layers,
 *                  with a value head value.weight (1, F A + last hidden width), value.bias (1),
 * as the parts need; copied or borrowed, as `weights` says.
 * @errors FR_ENOTFOUND FR_EMISMATCH FR_ENONFINITE FR_EINVAL FR_ENOMEM
 */
FR_MUST_CHECK enum fr_err fr_ctr_new(struct fr_encoder **take_enc,
                                     const struct fr_ctr_config *cfg,
                                     const struct fr_tensor *t,
                                     int n,
                                     enum fr_weights weights,
                                     struct fr_model **out_m,
                                     struct fr_fault *fault);

#endif
