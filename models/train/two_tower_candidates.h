/*
 * models/train/two_tower_candidates.h - the candidates of a Two-Tower step and their probabilities.
 * Layer: models/. Callers outside models/train/ use train_two_tower.h.
 */
#ifndef FR_MODELS_TRAIN_TWO_TOWER_CANDIDATES_H
#define FR_MODELS_TRAIN_TWO_TOWER_CANDIDATES_H

#include "models/train/train_priv.h"

/** Estimator, counts and marks for n items of the caller's table. @errors FR_ENOMEM */
FR_MUST_CHECK enum fr_err fr_two_tower_grow_items(struct fr_train_two_tower *tr, uint32_t n);
/** Candidates of the next step into tr->cand, log_q, drawn and target; counts the step.
 *  @errors FR_EINVAL FR_ETOOLARGE FR_ENOMEM */
FR_MUST_CHECK enum fr_err fr_two_tower_candidates(struct fr_train_two_tower *tr,
                                                  const struct fr_two_tower_batch *b);

/** Probability of rank k of n under the log-uniform law. */
double fr_log_uniform_p(uint32_t k, uint32_t n);
/** A rank below n by that law. */
uint32_t fr_log_uniform_draw(struct fr_rng *rng, uint32_t n);

#endif
