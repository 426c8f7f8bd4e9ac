/*
 * models/train/train_from.h - a training that goes on from a model: what the trainers share.
 *
 *   fr_train_from_check     same kind, configuration and fields, else the reason
 *   fr_train_from_ids       (before any id) the model's ids and normalisers become the trainer's
 *   fr_train_from_dense     layers and running statistics
 *   fr_train_from_rows      rows of tables, by key
 *
 * Moments begin at 0. Layer: models/. Callers outside models/train/ use fr_train_*_from().
 */
#ifndef FR_MODELS_TRAIN_TRAIN_FROM_H
#define FR_MODELS_TRAIN_TRAIN_FROM_H

#include "models/train/train_priv.h"

/**
 * @param own  a model of the trainer's present weights
 * @errors FR_EMISMATCH another kind, configuration or field; FR_ENOMEM
 */
FR_MUST_CHECK enum fr_err
fr_train_from_check(const struct fr_model *own, const struct fr_model *m, struct fr_fault *fault);
/** @errors FR_ETOOLARGE more ids than max_rows; FR_ENOMEM. The trainer is of no use then. */
FR_MUST_CHECK enum fr_err
fr_train_from_ids(struct fr_trainer *t, const struct fr_model *m, struct fr_fault *fault);
/** @errors FR_ENOTFOUND FR_EMISMATCH FR_ENONFINITE, the fault names the tensor */
FR_MUST_CHECK enum fr_err
fr_train_from_dense(struct fr_trainer *t, const struct fr_model *m, struct fr_fault *fault);
/** Rows of the parameter tables `table_of`, by encoder table. @errors as fr_train_from_table() */
FR_MUST_CHECK enum fr_err fr_train_from_rows(struct fr_trainer *t,
                                             const struct fr_model *m,
                                             const int *table_of,
                                             struct fr_fault *fault);
/**
 * Rows of tensor `name` into w (rows of enc's table, dim): by key for ids, else by number. Rows of
 * ids that the model does not know stay as they are.
 * @errors FR_EMISMATCH the model has an id that enc's table lacks, or another shape; FR_ENONFINITE
 */
FR_MUST_CHECK enum fr_err fr_train_from_table(const struct fr_model *m,
                                              const struct fr_encoder *enc,
                                              int table,
                                              const char *name,
                                              int dim,
                                              float *w,
                                              struct fr_fault *fault);

#endif
