/*
 * models/train/step.c - names, baseline kernels, dispatch.
 */
#include "models/train/step.h"

#include <math.h>

#include "models/tensor.h"
#include "models/train/step_priv.h"

const char *const fr_optimizer_names[FR_OPTIMIZER_COUNT + 1] = {
    [FR_OPTIMIZER_ADAM] = "adam",
    [FR_OPTIMIZER_SGD] = "sgd",
    [FR_OPTIMIZER_ADAGRAD] = "adagrad",
    [FR_OPTIMIZER_FTRL] = "ftrl",
};

const char *fr_optimizer_name(enum fr_optimizer o)
{
    return (unsigned)o < FR_OPTIMIZER_COUNT ? fr_optimizer_names[o] : "?";
}

enum fr_optimizer fr_optimizer_find(struct fr_str name)
{
    int i = 0;
    while (i < FR_OPTIMIZER_COUNT && !fr_str_eqz(name, fr_optimizer_names[i]))
        i++;
    return (enum fr_optimizer)i;
}

bool fr_optimizer_has_m(enum fr_optimizer o)
{
    return o == FR_OPTIMIZER_ADAM || o == FR_OPTIMIZER_FTRL;
}

bool fr_optimizer_has_v(enum fr_optimizer o)
{
    return o != FR_OPTIMIZER_SGD;
}

/* ---- baseline kernels ---- */

static void adam(const struct fr_step *s,
                 size_t n,
                 const float *restrict g,
                 float *restrict w,
                 float *restrict m,
                 float *restrict v)
{
    const float o1 = 1.0f - s->b1, o2 = 1.0f - s->b2;

    for (size_t i = 0; i < n; i++) {
        float gi = g[i] + s->l2 * w[i];
        m[i] = s->b1 * m[i] + o1 * gi;
        v[i] = s->b2 * v[i] + o2 * (gi * gi);
        w[i] -= s->lr * m[i] / (sqrtf(v[i]) * s->inv_sc2 + s->eps);
    }
}

static void sgd(const struct fr_step *s,
                size_t n,
                const float *restrict g,
                float *restrict w,
                float *restrict m,
                float *restrict v)
{
    (void)m;
    (void)v;
    for (size_t i = 0; i < n; i++)
        w[i] -= s->lr * (g[i] + s->l2 * w[i]);
}

static void adagrad(const struct fr_step *s,
                    size_t n,
                    const float *restrict g,
                    float *restrict w,
                    float *restrict m,
                    float *restrict v)
{
    (void)m;
    for (size_t i = 0; i < n; i++) {
        float gi = g[i] + s->l2 * w[i];
        v[i] = s->decay * v[i] + gi * gi;
        w[i] -= s->lr * gi / (sqrtf(v[i]) + s->eps);
    }
}

/* sqrt(n') - sqrt(n) and not g^2 / (sqrt(n') + sqrt(n)): these differences telescope exactly, so where n is
 * so large that it no longer grows, z does not run away from it. */
static void ftrl(const struct fr_step *s,
                 size_t n,
                 const float *restrict g,
                 float *restrict w,
                 float *restrict z,
                 float *restrict sum)
{
    const float l1 = s->lr * s->l1, add = s->beta + s->lr * s->prox2;

    for (size_t i = 0; i < n; i++) {
        float gi = g[i] + s->l2 * w[i], n1 = sum[i] + gi * gi;
        if (n1 == 0.0f)
            continue; /* no gradient so far: still where it was initialised */
        float z0 = sum[i] == 0.0f ? -s->beta * w[i] : z[i], root = sqrtf(n1);
        float z1 = z0 + s->lr * gi - (root - sqrtf(sum[i])) * w[i], u = fabsf(z1) - l1;
        sum[i] = n1;
        z[i] = z1;
        w[i] = u > 0.0f ? -copysignf(u, z1) / (add + root) : 0.0f;
    }
}

const struct fr_step_kernels fr_step_kernels_base = {.fn = {[FR_OPTIMIZER_ADAM] = adam,
                                                            [FR_OPTIMIZER_SGD] = sgd,
                                                            [FR_OPTIMIZER_ADAGRAD] = adagrad,
                                                            [FR_OPTIMIZER_FTRL] = ftrl}};

/* ---- dispatch ---- */

/* models/tensor.h has chosen the level; its kernels of a level are built where these are. */
static const struct fr_step_kernels *kernels(void)
{
    switch (fr_tensor_level()) {
    case FR_CPU_AVX512:
        return fr_step_kernels_avx512();
    case FR_CPU_AVX2:
        return fr_step_kernels_avx2();
    case FR_CPU_BASELINE:
        break;
    }
    return &fr_step_kernels_base;
}

void fr_step_update(
    const struct fr_step *s, size_t n, const float *g, float *w, float *m, float *v)
{
    kernels()->fn[s->optimizer](s, n, g, w, m, v);
}
