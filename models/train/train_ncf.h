/*
 * models/train/train_ncf.h - training of models/ncf.h on rows (user, item, label).
 *
 * Rows that a step does not read take its Adam step later, when they are next read (params_rest.h): the
 * functions below that take a trainer bring its weights up to date first.
 *
 * Loss: mean over the rows of a step of binary cross-entropy with logits. Layers begin by Glorot,
 * as the paper's code, `out` N(0, 1 / inputs), embeddings N(0, init_std).
 *
 *   new -> ids -> step* -> model / finish;   neumf pre-trained: two models -> join -> step*
 *
 * Layer: daemon/base/ and models/. Source: He et al. 2017, section 3.4.1 (pre-training).
 */
#ifndef FR_MODELS_TRAIN_TRAIN_NCF_H
#define FR_MODELS_TRAIN_TRAIN_NCF_H

#include <stdint.h>

#include "models/model.h"
#include "models/ncf.h"
#include "models/train/train.h"

struct fr_train_ncf;

struct fr_ncf_train_config {
    struct fr_train_options opt;
    struct fr_ncf_config model;
    const char *user, *item; /* the two fields, by name */
};

/** The unknown row as a position: what an id that the model does not know is scored by. */
#define FR_NCF_UNKNOWN UINT32_MAX

/** Rows of one step. Borrowed for the call. */
struct fr_ncf_rows {
    const uint32_t *user, *item; /* (n) positions in what fr_train_ncf_ids() was given, or unknown */
    const float *label;          /* (n) 0 or 1 */
    int n;
};

/** Adam 1e-3 over all rows of the tables, embeddings N(0, .01). */
void fr_ncf_train_config_default(struct fr_ncf_train_config *c);

/** @param fs borrowed for the call. @errors FR_EINVAL FR_ENOTFOUND FR_ENOMEM */
FR_MUST_CHECK enum fr_err fr_train_ncf_new(const struct fr_ncf_train_config *cfg,
                                           const struct fr_field_set *fs,
                                           struct fr_train_ncf **out_tr,
                                           struct fr_fault *fault);
void fr_train_ncf_free(struct fr_train_ncf *tr);
/**
 * The ids there are, once, before the first step: row k + 1 of a table is that of cell k.
 * @param user, item  (n_cells of the group) a row, as everywhere; the field's cell is taken
 * @errors FR_EDUPLICATE an id twice; FR_EINVAL an absent id; FR_ESTATE called before; FR_ENOMEM
 */
FR_MUST_CHECK enum fr_err fr_train_ncf_ids(struct fr_train_ncf *tr,
                                           const struct fr_cell *user,
                                           uint32_t n_user,
                                           const struct fr_cell *item,
                                           uint32_t n_item);
/**
 * Go on from a model of the same kind, configuration and fields: its rows become those of the same
 * ids, after fr_train_ncf_ids() and before the first step. Ids that are new to it keep their beginning.
 * @errors FR_ESTATE before the ids or after a step; FR_EMISMATCH (names what differs), also an id of the model that this
 *         training does not have; FR_ENOMEM. After FR_EMISMATCH some weights may be the model's.
 */
FR_MUST_CHECK enum fr_err
fr_train_ncf_from(struct fr_train_ncf *tr, const struct fr_model *m, struct fr_fault *fault);
/** One gradient step. @param out_loss nullable; before the step.
 *  @errors FR_EINVAL no rows, or a position out of range; FR_ENONFINITE: not applied; FR_ENOMEM */
FR_MUST_CHECK enum fr_err
fr_train_ncf_step(struct fr_train_ncf *tr, const struct fr_ncf_rows *rows, double *out_loss);
/**
 * neumf takes over the weights of a gmf and an mlp of the same ids: out = [alpha out_gmf, (1 -
 * alpha) out_mlp], bias alike. @errors FR_EINVAL other kinds, ids or shapes; nothing changed then
 */
FR_MUST_CHECK enum fr_err fr_train_ncf_join(struct fr_train_ncf *tr,
                                            const struct fr_model *gmf,
                                            const struct fr_model *mlp,
                                            float alpha);
/** Take the weights into their moving mean (params_mean.h), which models are made of from then on.
 * @errors FR_EINVAL share not in (0, 1]; FR_ENOMEM */
FR_MUST_CHECK enum fr_err fr_train_ncf_average(struct fr_train_ncf *tr, float share);
/** A model of the current weights or of their mean (a copy); the caller owns it. */
FR_MUST_CHECK enum fr_err
fr_train_ncf_model(struct fr_train_ncf *tr, struct fr_model **out_m, struct fr_fault *fault);
void fr_train_ncf_set_lr(struct fr_train_ncf *tr, float lr);

#endif
