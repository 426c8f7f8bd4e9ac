/*
 * models/train/loss.c - the maximum is taken out before exp, so no logit overflows.
 */
#include "models/train/loss.h"

#include <math.h>
#include <stdbool.h>

#include "models/nn.h"

double fr_loss_bce(float z, float y, float *dz)
{
    double e = exp(-fabs((double)z)); /* of both: fr_nn_sigmoid() and fr_nn_softplus(), to the bit */
    float p = (float)(z >= 0.0f ? 1.0 / (1.0 + e) : e / (1.0 + e));

    *dz = p - y;
    return (z > 0 ? (double)z : 0.0) + log1p(e) - (double)y * (double)z;
}

double fr_loss_softmax(const float *z, size_t n, size_t label, float *dz)
{
    float max = z[label];
    double zl = (double)z[label], sum = 0;

    for (size_t i = 0; i < n; i++)
        max = z[i] > max ? z[i] : max;
    for (size_t i = 0; i < n; i++) {
        float e = expf(z[i] - max);
        dz[i] = e;
        sum += (double)e;
    }
    float inv = (float)(1.0 / sum);
    for (size_t i = 0; i < n; i++)
        dz[i] *= inv;
    dz[label] -= 1.0f;
    return log(sum) + (double)max - zl;
}

double fr_loss_ccl(const float *cos, size_t n, size_t label, float margin, float weight, float *d)
{
    double pull = 1 - (double)cos[label], push = 0;
    size_t others = 0;

    for (size_t i = 0; i < n; i++)
        others += i != label && cos[i] != -INFINITY;
    float share = others > 0 ? weight / (float)others : 0;
    for (size_t i = 0; i < n; i++) {
        bool over = i != label && !(cos[i] <= margin); /* a NaN makes the loss NaN */

        push += over ? (double)cos[i] - (double)margin : 0;
        d[i] = over ? share : 0;
    }
    d[label] = -1;
    return pull + (double)share * push;
}
