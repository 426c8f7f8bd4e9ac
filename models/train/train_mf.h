/*
 * models/train/train_mf.h - training of models/mf.h by stochastic gradient descent, one example at
 * a time.
 *
 * Step:   g = label - sigmoid(z);  p += lr (g q - reg p), q += lr (g p - reg q) with the old p and
 * q, biases alike (Rendle et al. 2020, section 4.2 and its code). Threads: examples are cut into
 * threads x threads blocks by user and item; in round r worker w takes block (w, (w + r) mod
 * threads), so no two workers touch a row (Gemulla et al. 2011, DSGD). Same seed and threads = same
 * bits. Layer:  daemon/base/ and models/.
 */
#ifndef FR_MODELS_TRAIN_TRAIN_MF_H
#define FR_MODELS_TRAIN_TRAIN_MF_H

#include "daemon/base/rng.h"
#include "models/mf.h"
#include "models/model.h"
#include "models/train/checkpoint.h"

struct fr_train_mf;

struct fr_mf_train_config {
    const char *user, *item; /* the two fields, by name */
    int dim;
    float lr, reg;
    float init_std; /* of the embeddings; biases begin at 0 */
    uint64_t seed;
    int threads;
};

/** lr .002, reg .005, N(0, .1): the paper's. d = 64. */
void fr_mf_train_config_default(struct fr_mf_train_config *c);

/** Cells as fr_train_ncf_ids(). @param fs borrowed for the call.
 *  @errors FR_EINVAL FR_EDUPLICATE an id twice; FR_ENOTFOUND FR_ENOMEM */
FR_MUST_CHECK enum fr_err fr_train_mf_new(const struct fr_mf_train_config *cfg,
                                          const struct fr_field_set *fs,
                                          const struct fr_cell *user,
                                          uint32_t n_user,
                                          const struct fr_cell *item,
                                          uint32_t n_item,
                                          struct fr_train_mf **out_tr,
                                          struct fr_fault *fault);
void fr_train_mf_free(struct fr_train_mf *tr);
/**
 * Go on from a model of the same kind, configuration and fields: its rows become those of the same
 * ids, before or between passes. Ids that are new to it keep their beginning.
 * @errors FR_EMISMATCH (names what differs), also an id of the model that this
 *         training does not have; FR_ENOMEM. After FR_EMISMATCH some weights may be the model's.
 */
FR_MUST_CHECK enum fr_err
fr_train_mf_from(struct fr_train_mf *tr, const struct fr_model *m, struct fr_fault *fault);
/**
 * Once through n examples, in their order within each block.
 * @param user, item  positions in the cells; @param label 0 or 1. @param out_loss  mean
 * cross-entropy, each example's before its own step.
 * @errors FR_EINVAL a position out of range; FR_ENONFINITE the weights have blown up; FR_ENOMEM
 */
FR_MUST_CHECK enum fr_err fr_train_mf_pass(struct fr_train_mf *tr,
                                           const uint32_t *user,
                                           const uint32_t *item,
                                           const float *label,
                                           size_t n,
                                           double *out_loss);
/** A model of the current weights (a copy); the caller owns it. */
FR_MUST_CHECK enum fr_err
fr_train_mf_model(const struct fr_train_mf *tr, struct fr_model **out_m, struct fr_fault *fault);
void fr_train_mf_set_lr(struct fr_train_mf *tr, float lr);
/** As the trainers of models/train/checkpoint_trainers.h. */
void fr_train_mf_checkpoint(struct fr_train_mf *tr, struct fr_checkpoint *ck);
/** fr_checkpoint_build_fn */
enum fr_err fr_train_mf_build(
    const void *ctx, const struct fr_tensor *t, int n, struct fr_model **out_m, struct fr_fault *fault);

#endif
