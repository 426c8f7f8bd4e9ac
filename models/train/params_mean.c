/*
 * models/train/params_mean.c - the moving mean of the weights.
 */
#include "models/train/params_mean.h"

#include <string.h>

#include "daemon/base/alloc.h"

enum fr_err fr_params_mean_room(struct fr_params_mean *mean, int i, size_t n)
{
    if (n <= mean->n[i])
        return FR_OK;
    float *q = fr_calloc_aligned(n, sizeof(*q));
    if (q == NULL)
        return FR_ENOMEM;
    if (mean->n[i] > 0)
        memcpy(q, mean->w[i], mean->n[i] * sizeof(*q));
    fr_free(mean->w[i]);
    mean->w[i] = q;
    mean->n[i] = n;
    return FR_OK;
}

/* Room for all n elements, the new ones taken over as they are. */
static enum fr_err follow(struct fr_params_mean *mean, int i, const float *w, size_t n)
{
    size_t had = mean->n[i];
    enum fr_err e = fr_params_mean_room(mean, i, n);

    if (e == FR_OK && n > had)
        memcpy(mean->w[i] + had, w + had, (n - had) * sizeof(*w));
    return e;
}

enum fr_err
fr_params_mean_take(struct fr_params_mean *mean, const struct fr_params *p, float share)
{
    struct fr_tensor *t;
    enum fr_err e = FR_OK;

    if (!(share > 0 && share <= 1))
        return FR_EINVAL;
    t = fr_malloc_array(FR_PARAMS_MAX_TENSORS, sizeof(*t));
    if (t == NULL)
        return FR_ENOMEM;
    int n = fr_params_tensors(p, t);
    for (int i = 0; i < n && e == FR_OK; i++)
        e = follow(mean, i, t[i].data, fr_tensor_count(&t[i]));
    if (e == FR_OK) {
        float first = 1.0f / (float)++mean->takes, rate = share > first ? share : first;

        for (int i = 0; i < n; i++) {
            const float *w = t[i].data;
            for (size_t k = 0; k < mean->n[i]; k++)
                mean->w[i][k] += rate * (w[k] - mean->w[i][k]);
        }
    }
    fr_free(t);
    return e;
}

int fr_params_mean_tensors(const struct fr_params_mean *mean,
                           const struct fr_params *p,
                           struct fr_tensor *out)
{
    int n = fr_params_tensors(p, out);

    for (int i = 0; i < n && mean->takes > 0; i++)
        if (mean->n[i] == fr_tensor_count(&out[i]))
            out[i].data = mean->w[i];
    return n;
}

void fr_params_mean_done(struct fr_params_mean *mean)
{
    for (int i = 0; i < FR_PARAMS_MAX_TENSORS; i++)
        fr_free(mean->w[i]);
    memset(mean, 0, sizeof(*mean));
}
