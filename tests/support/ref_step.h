/*
 * tests/support/ref_step.h - one weight's optimiser step in double, written from the papers.
 */
#ifndef FR_TESTS_SUPPORT_REF_STEP_H
#define FR_TESTS_SUPPORT_REF_STEP_H

#include "models/train/step.h"

/** As fr_step_update() of one weight. FTRL goes by the paper's z (ours is alpha times that) and its
 *  sigma, from the weight's own beginning. */
void ref_step(const struct fr_step *s, double g, double *w, double *m, double *v);

#endif
