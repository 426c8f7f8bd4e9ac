/*
 * models/train/train_ctr.h - training of the models of ctr.h on lists of candidates.
 *
 * Loss:   FR_LOSS_LISTWISE  mean over lists of -log softmax(logits)[label]   (the good ranker loss)
 *         FR_LOSS_BCE       mean over rows of binary cross-entropy with logits; labels 0 or 1
 * Value:  with a value head (models/value.h), + value_weight * mean over the rows that have a value
 * of that head's loss; the mean is over all rows of a step, weighted as their lists are.
 * A list's user and context part is computed once, forward and backward.
 * Layer:  daemon/base/ and models/.
 */
#ifndef FR_MODELS_TRAIN_TRAIN_CTR_H
#define FR_MODELS_TRAIN_TRAIN_CTR_H

#include "models/ctr.h"
#include "models/model.h"
#include "models/train/train.h"

struct fr_train_ctr;

enum fr_loss_kind { FR_LOSS_LISTWISE, FR_LOSS_BCE };

/** One user at one time and n candidates. Pointers are borrowed for the call. */
struct fr_rank_list {
    struct fr_model_case c;
    int label; /* listwise: index of the positive; BCE without `labels`: the only 1, -1 none */
    const float *labels; /* BCE: (c.n) 0 or 1; NULL = from `label` */
    float weight;        /* of the list, usually 1 */
    const float *values; /* (c.n) what the rows were worth, NaN = not known; NULL = of none; read with a value head */
};

struct fr_ctr_train_config {
    struct fr_train_options opt;
    struct fr_ctr_config model;
    const char *const *fields; /* names; NULL = all */
    int n_fields;
    enum fr_loss_kind loss;
    float dropout; /* of the hidden layers, [0, 1) */
    float value_weight; /* of the value head's loss, >= 0 */
};

/** Settings that are a good start: D = 16, MLP 128x64, listwise, Adam 2e-3, embeddings N(0, .05),
 * L2 1e-5. */
void fr_ctr_train_config_default(struct fr_ctr_train_config *c);

/** @param fs borrowed for the call. @errors FR_EINVAL FR_ENOTFOUND FR_ENOMEM */
FR_MUST_CHECK enum fr_err fr_train_ctr_new(const struct fr_ctr_train_config *cfg,
                                           const struct fr_field_set *fs,
                                           struct fr_train_ctr **out_tr,
                                           struct fr_fault *fault);
void fr_train_ctr_free(struct fr_train_ctr *tr);

/**
 * Go on from a model of the same kind, configuration and fields: its weights, ids and normalisers
 * become the trainer's (the normalisers for good). Before observe() and the first step, which may
 * add ids. Adam's moments begin at 0. On an error after FR_ESTATE and FR_EMISMATCH the trainer is of
 * no use.
 * @errors FR_ESTATE ids or steps are there; FR_EMISMATCH (names what differs); FR_ETOOLARGE more ids
 *         than max_rows; FR_ENOMEM
 */
FR_MUST_CHECK enum fr_err
fr_train_ctr_from(struct fr_train_ctr *tr, const struct fr_model *m, struct fr_fault *fault);
/** Count ids and take numeric values, before the first step. @errors FR_ESTATE after it */
FR_MUST_CHECK enum fr_err
fr_train_ctr_observe(struct fr_train_ctr *tr, const struct fr_rank_list *lists, int n);
/**
 * Start from a known order: give a numeric field the linear weight `weight` per unit of its raw
 * value, after observe() and before the first step. With the retrieval score and 1 / tau the ranker
 * starts as the tower's softmax and learns what that leaves over.
 * @errors FR_ENOTFOUND no such numeric field, or the model has no linear part; FR_ESTATE before observe() or after a step. A field
 * that was constant stays out (FR_OK).
 */
FR_MUST_CHECK enum fr_err
fr_train_ctr_start(struct fr_train_ctr *tr, const char *field, float weight);
/**
 * One gradient step over n lists (e.g. 32..256).
 * @param out_loss  nullable; mean loss before the step.
 * @errors FR_EINVAL label out of range, an empty list, or a value that does not fit the target
 * (fr_value_fits()); FR_ENONFINITE: not applied; FR_ENOMEM
 */
FR_MUST_CHECK enum fr_err fr_train_ctr_step(struct fr_train_ctr *tr,
                                            const struct fr_rank_list *lists,
                                            int n,
                                            double *out_loss);
/** Mean loss without a step and without id dropout. @param out_logit nullable, (sum of c.n) */
FR_MUST_CHECK enum fr_err fr_train_ctr_eval(struct fr_train_ctr *tr,
                                            const struct fr_rank_list *lists,
                                            int n,
                                            double *out_loss,
                                            float *out_logit);
/** The same with the value head's raw outputs. @param out_raw (sum of c.n) @errors FR_EINVAL no value head */
FR_MUST_CHECK enum fr_err fr_train_ctr_eval_heads(struct fr_train_ctr *tr,
                                                  const struct fr_rank_list *lists,
                                                  int n,
                                                  double *out_loss,
                                                  float *out_logit,
                                                  float *out_raw);
/** Take the weights into their moving mean (params_mean.h), which models are made of from then on; running moments of
 * batch norm alike. fr_train_ctr_eval() keeps to the newest. @errors FR_EINVAL share not in (0, 1]; FR_ENOMEM */
FR_MUST_CHECK enum fr_err fr_train_ctr_average(struct fr_train_ctr *tr, float share);
/** A model of the current weights or of their mean (a copy); the caller owns it. */
FR_MUST_CHECK enum fr_err
fr_train_ctr_model(const struct fr_train_ctr *tr, struct fr_model **out_m, struct fr_fault *fault);
/** Write a bundle; the self-test uses `cases` (1..4). The trainer can go on after that. */
FR_MUST_CHECK enum fr_err fr_train_ctr_finish(const struct fr_train_ctr *tr,
                                              const struct fr_model_meta *meta,
                                              const struct fr_model_case *cases,
                                              int n_cases,
                                              const char *dir,
                                              struct fr_fault *fault);
void fr_train_ctr_set_lr(struct fr_train_ctr *tr, float lr);
uint64_t fr_train_ctr_steps(const struct fr_train_ctr *tr);

#endif
