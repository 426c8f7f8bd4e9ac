/*
 * models/train/loss.h - losses and their gradients by the logits.
 * Layer: models/.
 */
#ifndef FR_MODELS_TRAIN_LOSS_H
#define FR_MODELS_TRAIN_LOSS_H

#include <stddef.h>

/** Binary cross-entropy with logits: log(1 + e^z) - y z; *dz = sigmoid(z) - y. Any z. */
double fr_loss_bce(float z, float y, float *dz);

/**
 * Softmax cross-entropy of one list: logsumexp(z) - z[label]; dz[i] = softmax(z)[i] - (i == label).
 * A logit of -INFINITY is a masked entry (its dz is 0); the label's is finite.
 * @param dz (n), may be z itself.
 */
double fr_loss_softmax(const float *z, size_t n, size_t label, float *dz);

#endif
