/*
 * models/two_tower.h - Two-Tower retrieval: a user and an item vector of unit length.
 *
 * Math:   x_u = [e_f for f in user and context fields],  x_i = [e_f for f in item fields]
 *         e_f = sum over slots x * g_f[slot] (*) v[row];  g_f = 1 unless the field has gates
 *         u = l2(MLP_u(x_u) + s * sum of e_f over skip fields),  i = l2(MLP_i(x_i) + s * ...)
 *         score = u . i / tau;  s = 1 if cfg.skip else 0
 *         bare: the MLPs are the identity; with one ID field a side, factorisation by cosine.
 *         Skip fields: fields of the id space `skip_table` (the history, and the item's own id);
 * with them the model starts as "weighted mean of the history's vectors" and learns the rest.
 *         (The skip fields' embedding is the gated one.) Gates: per-position factors of a history
 * field ("position-gated sum"). Source: Yi et al., RecSys 2019 (loss in train/); checked against
 * tests/golden/two_tower_*.frg. Layer:  daemon/base/ and models/. Most callers use models/model.h
 * instead.
 */
#ifndef FR_MODELS_TWO_TOWER_H
#define FR_MODELS_TWO_TOWER_H

#include "models/encoder.h"
#include "models/model.h"
#include "models/nn.h"
#include "models/tensor.h"

/** Hyper-parameters. */
struct fr_two_tower_config {
    int emb_dim;  /* E, 1..512 */
    int dim;      /* D, 1..512; equal to emb_dim when skip */
    int n_hidden; /* hidden layers of each tower; 0 = one linear layer */
    bool bare;    /* no layers at all: x_u and x_i themselves (n_hidden 0; E x fields = D in both) */
    int hidden[FR_MLP_MAX_LAYERS - 1];
    float tau; /* > 0 */
    bool skip;
    bool gates;                         /* gates for every multi-slot field of skip_table */
    char skip_table[FR_ENC_TABLE_NAME]; /* id space of the items, e.g. "item" */
};

/** True if the field is of the id space cfg->skip_table (its embedding joins the tower's output).
 */
bool fr_two_tower_is_skip(const struct fr_two_tower_config *cfg, const struct fr_enc_field *ef);

/** Do the settings and the encoder's fields make a model? @errors FR_EINVAL, the fault says why. */
FR_MUST_CHECK enum fr_err fr_two_tower_config_check(const struct fr_encoder *enc,
                                                    const struct fr_two_tower_config *cfg,
                                                    struct fr_fault *fault);

/**
 * Build the inference form.
 * @param take_enc  owned by the model on FR_OK (then NULL). Has user/context and item fields.
 * @param t         n tensors: embedding.<table>.weight (rows, E), user_mlp.<i>.weight/.bias,
 *                  item_mlp.<i>.weight/.bias, gate.<field>.weight (slots, E); copied or
 *                  borrowed, as `weights` says.
 * @errors FR_ENOTFOUND FR_EMISMATCH FR_ENONFINITE FR_EINVAL FR_ENOMEM
 */
FR_MUST_CHECK enum fr_err fr_two_tower_new(struct fr_encoder **take_enc,
                                           const struct fr_two_tower_config *cfg,
                                           const struct fr_tensor *t,
                                           int n,
                                           enum fr_weights weights,
                                           struct fr_model **out_m,
                                           struct fr_fault *fault);

#endif
