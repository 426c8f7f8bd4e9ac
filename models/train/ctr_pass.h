/*
 * models/train/ctr_pass.h - one worker's part of a DeepFM step.
 * Layer: models/. Callers outside models/train/ use train_ctr.h.
 */
#ifndef FR_MODELS_TRAIN_CTR_PASS_H
#define FR_MODELS_TRAIN_CTR_PASS_H

/**
 * Loss (and, with tr->backward, gradients) of the worker's share of tr->lists into tr->t.w[worker].
 * @param arg  struct fr_train_ctr *; only the worker's own part of it is written.
 */
void fr_ctr_pass(void *arg, int worker);

#endif
