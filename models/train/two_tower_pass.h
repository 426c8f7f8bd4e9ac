/*
 * models/train/two_tower_pass.h - the rounds of a Two-Tower step, each one worker's part.
 * Layer: models/. Callers outside models/train/ use train_two_tower.h.
 */
#ifndef FR_MODELS_TRAIN_TWO_TOWER_PASS_H
#define FR_MODELS_TRAIN_TWO_TOWER_PASS_H

/** @param arg struct fr_train_two_tower *; all workers finish a round before the next begins. */
void fr_two_tower_pass_forward(void *arg, int worker);
void fr_two_tower_pass_loss(void *arg, int worker);
void fr_two_tower_pass_backward(void *arg, int worker);

#endif
