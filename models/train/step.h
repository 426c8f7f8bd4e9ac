/*
 * models/train/step.h - the optimisers: one step of n weights, by processor level.
 *
 *   g' = g + l2 w, then
 *   adam     m <- b1 m + (1-b1) g'; v <- b2 v + (1-b2) g'^2; w -= lr_t m / (sqrt(v) inv_sc2 + eps)
 *   sgd      w -= lr g'
 *   adagrad  v <- decay v + g'^2; w -= lr g' / (sqrt(v) + eps)
 *   ftrl     n' = n + g'^2; z <- z + lr g' - (sqrt(n') - sqrt(n)) w
 *            w <- 0 if |z| <= lr l1, else -(z - sign(z) lr l1) / (beta + sqrt(n') + lr l2)
 *
 * ftrl is FTRL-proximal with z kept times alpha (our lr): with one lr it is the paper's, and a changed
 * lr does not make the weights jump. A weight begins where it was initialised and not at 0: the
 * paper's beta / alpha is the weight of the first proximal term, which is centred there (z = -beta w
 * while n is 0). With l1 = l2 = 0 that is Adagrad with eps = beta.
 *
 * Source: Kingma & Ba 2015; Duchi et al. 2011; McMahan et al. 2013, algorithm 1.
 * Layer:  daemon/base/ and models/.
 */
#ifndef FR_MODELS_TRAIN_STEP_H
#define FR_MODELS_TRAIN_STEP_H

#include <stdbool.h>
#include <stddef.h>

#include "daemon/base/str.h"

enum fr_optimizer {
    FR_OPTIMIZER_ADAM,
    FR_OPTIMIZER_SGD,
    FR_OPTIMIZER_ADAGRAD,
    FR_OPTIMIZER_FTRL,
    FR_OPTIMIZER_COUNT
};

/** "adam", "sgd", "adagrad", "ftrl"; ends with NULL. Static storage. */
extern const char *const fr_optimizer_names[FR_OPTIMIZER_COUNT + 1];
/** "?" when out of range. */
const char *fr_optimizer_name(enum fr_optimizer o);
/** FR_OPTIMIZER_COUNT when there is none of that name. */
enum fr_optimizer fr_optimizer_find(struct fr_str name);

/** Which of the two arrays beside the weights an optimiser keeps: m, adam's first moment or ftrl's z; v, adam's
 *  second moment, adagrad's accumulators or ftrl's n. */
bool fr_optimizer_has_m(enum fr_optimizer o);
bool fr_optimizer_has_v(enum fr_optimizer o);

/** Constants of a step. */
struct fr_step {
    enum fr_optimizer optimizer;
    float lr;              /* adam: lr / (1 - b1^t) */
    float l2;              /* of the loss, added to the gradient */
    float b1, b2, inv_sc2; /* adam; inv_sc2 = 1 / sqrt(1 - b2^t) */
    float eps;             /* adam, adagrad */
    float decay;           /* adagrad; 1 = never forget */
    float beta, l1, prox2; /* ftrl; prox2: its own l2 */
};

/**
 * One step. @param g, w, m, v  (n) each, none overlap; m and v are NULL where the optimiser has none.
 * @thread any, on weights of its own
 */
void fr_step_update(
    const struct fr_step *s, size_t n, const float *g, float *w, float *m, float *v);

#endif
