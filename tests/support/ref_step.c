/*
 * tests/support/ref_step.c - see ref_step.h.
 */
#include "tests/support/ref_step.h"

#include <math.h>

/* McMahan et al. 2013, algorithm 1, a coordinate; w0 takes the place of 0 in the first proximal term. */
static void ftrl(const struct fr_step *s, double g, double *w, double *scaled_z, double *n)
{
    double alpha = (double)s->lr, beta = (double)s->beta, z = *scaled_z / alpha;

    if (*n <= 0 && g * g <= 0)
        return;
    if (*n <= 0)
        z = -beta / alpha * *w;
    double sigma = (sqrt(*n + g * g) - sqrt(*n)) / alpha;
    z += g - sigma * *w;
    *n += g * g;
    if (fabs(z) <= (double)s->l1)
        *w = 0;
    else
        *w = -(z - (z > 0 ? 1 : -1) * (double)s->l1) / ((beta + sqrt(*n)) / alpha + (double)s->prox2);
    *scaled_z = z * alpha;
}

void ref_step(const struct fr_step *s, double g, double *w, double *m, double *v)
{
    double lr = (double)s->lr;

    g += (double)s->l2 * *w;
    switch (s->optimizer) {
    case FR_OPTIMIZER_ADAM:
        *m = (double)s->b1 * *m + (1 - (double)s->b1) * g;
        *v = (double)s->b2 * *v + (1 - (double)s->b2) * g * g;
        *w -= lr * *m / (sqrt(*v) * (double)s->inv_sc2 + (double)s->eps);
        break;
    case FR_OPTIMIZER_SGD:
        *w -= lr * g;
        break;
    case FR_OPTIMIZER_ADAGRAD:
        *v = (double)s->decay * *v + g * g;
        *w -= lr * g / (sqrt(*v) + (double)s->eps);
        break;
    case FR_OPTIMIZER_FTRL:
        ftrl(s, g, w, m, v);
        break;
    case FR_OPTIMIZER_COUNT:
        break;
    }
}
