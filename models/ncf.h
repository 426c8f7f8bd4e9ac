/*
 * models/ncf.h - neural collaborative filtering: rankers of one user id and one item id.
 *
 *   kind    gmf  mlp     p, q: gmf_embedding of user and item (f);  e: mlp_embedding (hidden[0] / 2
 * each) gmf     x            z = out . (p * q)                              + b mlp          x z =
 * out . relu(W_L ... relu(W_1 [e_u, e_i]))   + b neumf   x    x       z = out . [p * q, relu(W_L
 * ...)]               + b;   score = sigmoid(z)
 *
 * Source: He et al. 2017, "Neural Collaborative Filtering", eq. 8-12; hidden is what its code calls
 * layers: hidden[0] is the width of the concatenation. An absent id is a zero vector, an unknown
 * one row 0 (train_ncf.h: FR_NCF_UNKNOWN). Saving: the
 * user's part of the first layer is made once a query. Layer: daemon/base/ and models/. Check:
 * tests/unit/test_models_ncf.c, tests/golden/ncf_*.frg.
 */
#ifndef FR_MODELS_NCF_H
#define FR_MODELS_NCF_H

#include "models/encoder.h"
#include "models/model.h"
#include "models/nn.h"
#include "models/tensor.h"

#define FR_NCF_MAX_HIDDEN FR_MLP_MAX_LAYERS

struct fr_ncf_config {
    enum fr_model_kind kind;       /* neumf, gmf, mlp */
    int factors;                   /* f, 1..512; mlp: 0 */
    int n_hidden;                  /* 2..FR_NCF_MAX_HIDDEN; gmf: 0 */
    int hidden[FR_NCF_MAX_HIDDEN]; /* hidden[0] even, each 1..FR_NN_MAX_WIDTH */
};

/** Settings, and fields: one ID of one slot in USER, one in ITEM, tables apart. @errors FR_EINVAL:
 * says why */
FR_MUST_CHECK enum fr_err
fr_ncf_check(const struct fr_encoder *enc, const struct fr_ncf_config *cfg, struct fr_fault *fault);
/** The part of the check that any model of one user and one item id needs. */
FR_MUST_CHECK enum fr_err
fr_ncf_check_fields(const struct fr_encoder *enc, const char *kind, struct fr_fault *fault);
/** Encoder tables of user and item. */
static inline int fr_ncf_table(const struct fr_encoder *enc, enum fr_entity e)
{
    return enc->field[enc->first_field[e]].table;
}

/**
 * Build the inference form.
 * @param take_enc  owned by the model on FR_OK (then NULL).
 * @param t         gmf_embedding.<table>.weight (rows, f), mlp_embedding.<table>.weight (rows,
 * hidden[0] / 2), mlp.<i>.weight (out, in), mlp.<i>.bias (out), out.weight (1, f + last), out.bias
 * (1); copied.
 * @errors FR_ENOTFOUND FR_EMISMATCH FR_ENONFINITE FR_EINVAL FR_ENOMEM
 */
FR_MUST_CHECK enum fr_err fr_ncf_new(struct fr_encoder **take_enc,
                                     const struct fr_ncf_config *cfg,
                                     const struct fr_tensor *t,
                                     int n,
                                     struct fr_model **out_m,
                                     struct fr_fault *fault);

#endif
