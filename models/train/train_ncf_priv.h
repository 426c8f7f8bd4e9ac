/*
 * models/train/train_ncf_priv.h - the inside of the trainer, for its pass and for gradient tests.
 */
#ifndef FR_MODELS_TRAIN_TRAIN_NCF_PRIV_H
#define FR_MODELS_TRAIN_TRAIN_NCF_PRIV_H

#include "models/train/params_rest.h"
#include "models/train/train_ncf.h"
#include "models/train/train_priv.h"

/** Owner: fr_train_ncf_free(). */
struct fr_train_ncf {
    struct fr_trainer t;
    struct fr_ncf_config cfg;
    uint32_t n_user, n_item;
    int user, item;                                   /* encoder tables */
    int gmf_of[FR_MAX_FIELDS], mlp_of[FR_MAX_FIELDS]; /* parameter tables, by encoder table */
    int mlp_w[FR_MLP_MAX_LAYERS], mlp_b[FR_MLP_MAX_LAYERS], out, bias;
    struct fr_mlp mlp;
    struct fr_rest *rest;           /* NULL before the ids */
    int rest_of[2];                 /* groups of the user's and the item's tables */
    const struct fr_ncf_rows *rows; /* of the step in flight */
    bool resting;                   /* rows outside the step wait */
    struct fr_grads *g[FR_TRAIN_MAX_THREADS];
    struct fr_step_pair adam;
};

/** Gradients of the mean loss into t.w[0].g, nothing applied. For tests. */
FR_MUST_CHECK enum fr_err
fr_train_ncf_gradient(struct fr_train_ncf *tr, const struct fr_ncf_rows *rows, double *out_loss);
/** A worker's share of the rows: loss and gradients. @param arg struct fr_train_ncf * */
void fr_train_ncf_pass(void *arg, int worker);
/** Rows without a gradient may wait: nothing but their moments moves them. */
bool fr_train_ncf_may_rest(const struct fr_train_options *o);
/** All rows of the tables as after the last step. */
void fr_train_ncf_settle(struct fr_train_ncf *tr);

#endif
