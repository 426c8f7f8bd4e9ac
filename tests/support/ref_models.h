/*
 * tests/support/ref_models.h - the two models and their losses in double, straight from the
 * formulas: the naive twin of the trainers, and what finite differences are taken of.
 */
#ifndef FR_TESTS_SUPPORT_REF_MODELS_H
#define FR_TESTS_SUPPORT_REF_MODELS_H

#include "models/train/train_priv.h"

#define REF_MAX_PARAMS 64

/** Parameters as doubles, by name. Owner: ref_params_done(). */
struct ref_params {
    int n;
    struct {
        char name[FR_TENSOR_NAME];
        size_t count, cols;
        double *w;
    } p[REF_MAX_PARAMS];
};

void ref_params_copy(struct ref_params *r, const struct fr_params *p);
void ref_params_done(struct ref_params *r);

/** Mean loss of the lists; enc is only read. */
double ref_ctr_loss(const struct ref_params *r,
                    const struct fr_encoder *enc,
                    const struct fr_ctr_train_config *cfg,
                    const struct fr_rank_list *lists,
                    int n);

/** Mean loss of a batch over `cand`, with log q and (unless in_batch or full) `drawn` by candidate. */
double ref_two_tower_loss(const struct ref_params *r,
                          const struct fr_encoder *enc,
                          const struct fr_two_tower_train_config *cfg,
                          const struct fr_two_tower_batch *b,
                          const uint32_t *cand,
                          const float *log_q,
                          const bool *drawn,
                          int n_cand);

#endif
