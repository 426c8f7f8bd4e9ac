/*
 * models/train/checkpoint_trainers.h - the walks of the trainers over a checkpoint.
 *
 * A trainer to be loaded is a new one with the same settings (compared) and, for ncf and mf, the same ids. What comes
 * in replaces all its state; after an error a part of it may be there: free the trainer. Names go into the checkpoint's
 * present section, so several trainers fit in a file. Layer: daemon/base/ and models/. Thread: the trainer's.
 */
#ifndef FR_MODELS_TRAIN_CHECKPOINT_TRAINERS_H
#define FR_MODELS_TRAIN_CHECKPOINT_TRAINERS_H

#include "models/train/checkpoint.h"

struct fr_ctr_train_config;
struct fr_train_ctr;
struct fr_train_ncf;
struct fr_train_two_tower;
struct fr_two_tower_train_config;

void fr_train_ctr_checkpoint(struct fr_train_ctr *tr, struct fr_checkpoint *ck);
void fr_train_two_tower_checkpoint(struct fr_train_two_tower *tr, struct fr_checkpoint *ck);
void fr_train_ncf_checkpoint(struct fr_train_ncf *tr, struct fr_checkpoint *ck);
/* fr_train_mf_checkpoint() is in train_mf.h */

/** Settings of trainers that are yet to be made must be the same. */
void fr_train_ctr_same(struct fr_checkpoint *ck, const struct fr_ctr_train_config *c);
void fr_train_two_tower_same(struct fr_checkpoint *ck, const struct fr_two_tower_train_config *c);

/** fr_checkpoint_build_fn; ctx is the trainer, of whose kind, settings and ids the model is. */
enum fr_err fr_train_ctr_build(
    const void *ctx, const struct fr_tensor *t, int n, struct fr_model **out_m, struct fr_fault *fault);
enum fr_err fr_train_ncf_build(
    const void *ctx, const struct fr_tensor *t, int n, struct fr_model **out_m, struct fr_fault *fault);
enum fr_err fr_train_two_tower_build(
    const void *ctx, const struct fr_tensor *t, int n, struct fr_model **out_m, struct fr_fault *fault);

/** What a two_tower training left: a whole model. Loading: `tr` is a new one of the same settings, of no use after that.
 *  Saving: NULL will do. */
void fr_train_two_tower_left(struct fr_train_two_tower *tr, struct fr_model **m, struct fr_checkpoint *ck);

#endif
