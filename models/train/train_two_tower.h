/*
 * models/train/train_two_tower.h - training of the Two-Tower model: softmax over candidates, or the
 * cosine contrastive loss.
 *
 * Candidates of a step are distinct items, so an accidental hit (a drawn item, or another example's
 * positive, that is mine too) cannot be a negative:
 *   in_batch      the positives of all examples of the batch
 *   negatives     N drawn ones, uniform or log-uniform: p = log((k + 2) / (k + 1)) / log(n + 1) for
 *                 the k-th (from 0) most frequent of n items, as observe() counted them
 *   full_softmax  all items; nothing is drawn, nothing corrected
 * Without in_batch an example's candidates are its own positive and the drawn ones.
 *
 * FR_TOWER_SOFTMAX: mean over examples of -log softmax of logit(i, j) = u_i . v_j / tau - log q_j.
 *   in_batch: q_j = 1 / B_j + N p_j, where B_j is the average number of steps between two
 *   appearances of item j (Yi et al. 2019: B <- (1 - a) B + a (t - A); A <- t), new items B = number
 *   of items. Without it q_j = 1 - (1 - p_j)^N, the probability to be drawn at all, of positives too
 *   (Jean et al. 2015, section 3).
 * FR_TOWER_CCL: mean of (1 - u_i . v_+) + w / |N_i| sum_j max(0, u_i . v_j - margin) (Mao et al.
 *   2021, SimpleX, eq. 1); no tau, no q. Layer: daemon/base/ and models/.
 */
#ifndef FR_MODELS_TRAIN_TRAIN_TWO_TOWER_H
#define FR_MODELS_TRAIN_TRAIN_TWO_TOWER_H

#include "models/model.h"
#include "models/train/train.h"
#include "models/two_tower.h"

struct fr_train_two_tower;

/** One step's examples, in time order. Pointers are borrowed for the call. */
struct fr_two_tower_batch {
    int n;
    const struct fr_cell *const *user;    /* n rows of n_cells[USER] */
    const struct fr_cell *const *context; /* n rows of n_cells[CONTEXT]; NULL if the set has none */
    const uint32_t *item;                 /* positive: index into `items` */
    const float *weight;                  /* NULL = 1 */
    struct fr_train_items items;
};

enum fr_tower_loss { FR_TOWER_SOFTMAX, FR_TOWER_CCL };

struct fr_two_tower_train_config {
    struct fr_train_options opt;
    struct fr_two_tower_config model;
    const char *const *fields; /* names; NULL = all of user, context and item */
    int n_fields;
    enum fr_tower_loss loss;
    bool in_batch;         /* the other examples' positives are candidates */
    int negatives;         /* items drawn into each step's candidates */
    bool log_uniform;      /* drawn by rank of frequency; else uniformly */
    bool full_softmax;     /* all items are candidates; for catalogues up to some 10 k */
    float logq_alpha;      /* step-gap estimator's rate, e.g. .01 */
    bool logq;             /* apply the correction (not with full_softmax) */
    float margin;          /* ccl: in [-1, 1]; .8 to .9 on the paper's data */
    float negative_weight; /* ccl: w */
};

/** Settings that are a good start with batches of 256: E = D = 64, one hidden layer of 128, tau .1,
 * skip and gates on id space "item", softmax in the batch and over 1,000 uniform negatives, logQ,
 * Adam 3e-3, id dropout .1. Of ccl: margin .8, weight 150. */
void fr_two_tower_train_config_default(struct fr_two_tower_train_config *c);

/** @param fs borrowed for the call. @errors FR_EINVAL FR_ENOTFOUND FR_ENOMEM */
FR_MUST_CHECK enum fr_err fr_train_two_tower_new(const struct fr_two_tower_train_config *cfg,
                                                 const struct fr_field_set *fs,
                                                 struct fr_train_two_tower **out_tr,
                                                 struct fr_fault *fault);
void fr_train_two_tower_free(struct fr_train_two_tower *tr);

/**
 * Go on from a model of the same kind, configuration and fields: its weights, ids and normalisers
 * become the trainer's (the normalisers for good). Before observe() and the first step, which may
 * add ids. Adam's moments begin at 0. On an error after FR_ESTATE and FR_EMISMATCH the trainer is of
 * no use.
 * @errors FR_ESTATE ids or steps are there; FR_EMISMATCH (names what differs); FR_ETOOLARGE more ids
 *         than max_rows; FR_ENOMEM
 */
FR_MUST_CHECK enum fr_err fr_train_two_tower_from(struct fr_train_two_tower *tr,
                                                  const struct fr_model *m,
                                                  struct fr_fault *fault);
/** Count ids, items and take numeric values of a batch, before the first step. @errors FR_ESTATE
 * after it */
FR_MUST_CHECK enum fr_err fr_train_two_tower_observe(struct fr_train_two_tower *tr,
                                                     const struct fr_two_tower_batch *b);
/**
 * One gradient step.
 * @param out_loss  nullable; mean loss of the batch before the step.
 * @errors FR_EINVAL an item index is out of range, or log_uniform and fewer items than before;
 * FR_ENONFINITE: the step was not applied; FR_ENOMEM
 */
FR_MUST_CHECK enum fr_err fr_train_two_tower_step(struct fr_train_two_tower *tr,
                                                  const struct fr_two_tower_batch *b,
                                                  double *out_loss);
/** A model of the current weights (a copy); the caller owns it. */
FR_MUST_CHECK enum fr_err fr_train_two_tower_model(const struct fr_train_two_tower *tr,
                                                   struct fr_model **out_m,
                                                   struct fr_fault *fault);
/** Write a bundle; the self-test uses `cases` (1..4). The trainer can go on after that. */
FR_MUST_CHECK enum fr_err fr_train_two_tower_finish(const struct fr_train_two_tower *tr,
                                                    const struct fr_model_meta *meta,
                                                    const struct fr_model_case *cases,
                                                    int n_cases,
                                                    const char *dir,
                                                    struct fr_fault *fault);
/** Change the step size (schedules). */
void fr_train_two_tower_set_lr(struct fr_train_two_tower *tr, float lr);
/** Steps taken. */
uint64_t fr_train_two_tower_steps(const struct fr_train_two_tower *tr);

#endif
