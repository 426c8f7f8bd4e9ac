/*
 * models/value.c - see value.h. All in logarithms: powers are products there, and nothing overflows.
 */
#include "models/value.h"

#include <float.h>
#include <math.h>

#include "models/nn.h"
#include "models/tensor.h"

#define MOST 80.0 /* e^80 is a float */

static const char *const names[FR_VALUE_KIND_COUNT] = {"none", "log", "unit"};

const char *fr_value_kind_name(enum fr_value_kind k)
{
    return (unsigned)k < FR_VALUE_KIND_COUNT ? names[k] : "?";
}

enum fr_value_kind fr_value_kind_find(struct fr_str name)
{
    int k = 0;

    while (k < FR_VALUE_KIND_COUNT && !fr_str_eqz(name, names[k]))
        k++;
    return (enum fr_value_kind)k;
}

bool fr_value_fits(enum fr_value_kind k, float value)
{
    return k != FR_VALUE_NONE && fr_is_finite(value) && value >= 0 && (k != FR_VALUE_UNIT || value <= 1);
}

float fr_value_target(enum fr_value_kind k, float value)
{
    return k == FR_VALUE_LOG ? (float)log1p((double)value) : value;
}

double fr_value_loss(enum fr_value_kind k, float r, float t, float *dr)
{
    double d = (double)r - (double)t;

    if (k == FR_VALUE_UNIT) {
        *dr = fr_nn_sigmoid(r) - t;
        return fr_nn_softplus((double)r) - (double)t * (double)r;
    }
    *dr = (float)(2 * d);
    return d * d;
}

double fr_value_said(enum fr_value_kind k, float r)
{
    if (k == FR_VALUE_UNIT)
        return (double)fr_nn_sigmoid(r);
    double v = expm1((double)r < MOST ? (double)r : MOST);

    return v > FR_VALUE_FLOOR ? v : FR_VALUE_FLOOR;
}

/* log v */
static double log_value(enum fr_value_kind k, float r)
{
    if (k == FR_VALUE_UNIT)
        return -fr_nn_softplus(-(double)r);
    return log(fr_value_said(k, r));
}

/* log p of logit z, and what to take off z for it: the list's logsumexp, or sigmoid's. */
static double list_norm(const float *z, int n)
{
    double max = (double)z[0], sum = 0;

    for (int i = 1; i < n; i++)
        max = (double)z[i] > max ? (double)z[i] : max;
    for (int i = 0; i < n; i++)
        sum += exp((double)z[i] - max);
    return max + log(sum);
}

void fr_value_combine(enum fr_value_kind k,
                      bool share,
                      const struct fr_score_powers *pw,
                      const float *z,
                      const float *r,
                      int n,
                      float *out_key,
                      float *out_score)
{
    double norm = share && n > 0 ? list_norm(z, n) : 0;

    for (int i = 0; i < n; i++) {
        double log_p = share ? (double)z[i] - norm : -fr_nn_softplus(-(double)z[i]);
        double s = pw->click * log_p;

        if (pw->value > 0)
            s += pw->value * log_value(k, r[i]);
        out_score[i] = (float)exp(s < MOST ? s : MOST);
        out_key[i] = pw->value > 0 ? (float)s : pw->click > 0 ? z[i] : 0;
    }
}
