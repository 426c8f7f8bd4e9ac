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

/**
 * Cosine contrastive loss of one list (Mao et al. 2021, SimpleX, eq. 1):
 * (1 - cos[label]) + weight / |N| sum over the others of max(0, cos - margin); at the margin itself
 * the gradient is 0. An entry of -INFINITY is masked: it counts in neither the sum nor |N|; with no
 * other entry only the first term is left. The label's is finite.
 * @param d (n) gradient by the cosines, may be cos itself.
 */
double fr_loss_ccl(const float *cos, size_t n, size_t label, float margin, float weight, float *d);

#endif
