/*
 * models/attend_priv.h - the body of models/attend.h, compiled once a level.
 *
 * Rows are copied into scratch padded to 16 floats, so that all inner loops run over whole vectors
 * of 16 (the compiler splits them for narrower machines); padding is zero and stays out of the
 * softmax.
 */
#ifndef FR_MODELS_ATTEND_PRIV_H
#define FR_MODELS_ATTEND_PRIV_H

#include <math.h>
#include <string.h>

#include "models/attend.h"

#define FR_ATTEND_LANES 16

typedef float fr_vec __attribute__((vector_size(64), aligned(4), may_alias));
typedef int fr_ivec __attribute__((vector_size(64), aligned(4), may_alias));
typedef unsigned fr_uvec __attribute__((vector_size(64), aligned(4), may_alias));

/** A level's two functions. */
struct fr_attend_kernel {
    void (*forward)(const struct fr_attend *a,
                    const float *q,
                    const float *k,
                    const float *v,
                    float *p,
                    float *o,
                    float *scratch);
    void (*backward)(const struct fr_attend *a,
                     const float *q,
                     const float *k,
                     const float *v,
                     const float *p,
                     const float *dout,
                     float *dq,
                     float *dk,
                     float *dv,
                     float *scratch);
};

/** NULL when the compiler could not build the level. */
const struct fr_attend_kernel *fr_attend_kernel_avx2(void);
const struct fr_attend_kernel *fr_attend_kernel_avx512(void);

static inline size_t fr_attend_pad(int n)
{
    return ((size_t)n + FR_ATTEND_LANES - 1) & ~(size_t)(FR_ATTEND_LANES - 1);
}

/* to (n, pad(dim)) = from (n, dim; stride ld), zeros behind. */
static inline void fr_attend_rows(const float *from, size_t ld, int n, int dim, float *to)
{
    size_t pad = fr_attend_pad(dim);

    for (int i = 0; i < n; i++, from += ld, to += pad) {
        memcpy(to, from, (size_t)dim * sizeof(*to));
        memset(to + dim, 0, (pad - (size_t)dim) * sizeof(*to));
    }
}

/* to (dim, pad(n)) = the transpose of from (n, dim; stride ld), zeros behind. */
static inline void fr_attend_columns(const float *from, size_t ld, int n, int dim, float *to)
{
    size_t pad = fr_attend_pad(n);

    memset(to, 0, (size_t)dim * pad * sizeof(*to));
    for (int i = 0; i < n; i++, from += ld)
        for (int d = 0; d < dim; d++)
            to[(size_t)d * pad + (size_t)i] = from[d];
}

/* y (pad) = sum over i < n of x[i * stride] * b_i, with b (n, pad). */
static inline void fr_attend_sum(
    const float *x, size_t stride, float scale, const float *b, int n, size_t pad, float *y)
{
    for (size_t at = 0; at < pad; at += FR_ATTEND_LANES) {
        const float *row = b + at;
        fr_vec s = {0};

        for (int i = 0; i < n; i++, row += pad)
            s += *(const fr_vec *)row * (x[(size_t)i * stride] * scale);
        *(fr_vec *)(y + at) = s;
    }
}

/* 16 floats in place: e^x for x <= 0, relative error below 2e-7; x below -87 gives about 1e-38. NaN
 * stays NaN. Cody & Waite's reduction by ln 2 in two parts, then a polynomial of degree 6
 * (Taylor's). */
static inline void fr_attend_exp(float *at)
{
    const fr_vec x = *(const fr_vec *)at;
    const fr_vec magic = (fr_vec){0} + 12582912.0f; /* 1.5 * 2^23: adding it rounds to whole */
    fr_ivec low = x < (fr_vec){0} - 87.0f;          /* all bits set where so; NaN compares false */
    fr_vec c = (fr_vec)(((fr_ivec)x & ~low) | ((fr_ivec)((fr_vec){0} - 87.0f) & low));
    fr_vec n = c * 1.44269504f + magic - magic;
    fr_vec r = (c - n * 0.693359375f) - n * -2.12194440e-4f;
    fr_vec y = r * (1.0f / 720) + 1.0f / 120;

    y = y * r + 1.0f / 24;
    y = y * r + 1.0f / 6;
    y = y * r + 0.5f;
    y = y * r + 1.0f;
    y = y * r + 1.0f;
    /* 2^n by its exponent's bits; of a NaN the product below is NaN whatever they are */
    fr_uvec bits = ((fr_uvec)(n + magic) - (fr_uvec)magic + 127u) << 23;
    *(fr_vec *)at = y * (fr_vec)bits;
}

/* Softmax of s (n) in place; what follows up to the padded end is ignored and becomes 0. */
static inline void fr_attend_softmax(float *s, int n, size_t pad)
{
    float max = s[0], sum = 0;

    for (int i = 1; i < n; i++)
        max = s[i] > max || isnan(s[i]) ? s[i] : max;
    for (size_t i = 0; i < pad; i++)
        s[i] -= max;
    for (size_t at = 0; at < pad; at += FR_ATTEND_LANES)
        fr_attend_exp(s + at);
    for (int i = 0; i < n; i++)
        sum += s[i];
    for (size_t i = (size_t)n; i < pad; i++)
        s[i] = 0;
    for (size_t at = 0; at < pad; at += FR_ATTEND_LANES)
        *(fr_vec *)(s + at) = *(const fr_vec *)(s + at) * (1.0f / sum);
}

static inline void fr_attend_forward_body(const struct fr_attend *a,
                                          const float *q,
                                          const float *k,
                                          const float *v,
                                          float *p,
                                          float *o,
                                          float *scratch)
{
    size_t fp = fr_attend_pad(a->fields), dp = fr_attend_pad(a->dim);
    float *kt = scratch, *vp = kt + (size_t)a->dim * fp, *s = vp + (size_t)a->fields * dp,
          *y = s + fp;

    fr_attend_columns(k, a->ld, a->fields, a->dim, kt);
    fr_attend_rows(v, a->ld, a->fields, a->dim, vp);
    for (int i = 0; i < a->fields; i++) {
        fr_attend_sum(q + (size_t)i * a->ld, 1, a->scale, kt, a->dim, fp, s);
        fr_attend_softmax(s, a->fields, fp);
        memcpy(p + (size_t)i * (size_t)a->fields, s, (size_t)a->fields * sizeof(*p));
        fr_attend_sum(s, 1, 1, vp, a->fields, dp, y);
        memcpy(o + (size_t)i * a->ldo, y, (size_t)a->dim * sizeof(*o));
    }
}

/* dp = dout v^T;  ds = p (dp - sum p dp);  dq = scale ds k;  dk = scale ds^T q;  dv = p^T dout */
static inline void fr_attend_backward_body(const struct fr_attend *a,
                                           const float *q,
                                           const float *k,
                                           const float *v,
                                           const float *p,
                                           const float *dout,
                                           float *dq,
                                           float *dk,
                                           float *dv,
                                           float *scratch)
{
    int f = a->fields, dim = a->dim;
    size_t n = (size_t)f, fp = fr_attend_pad(f), dp = fr_attend_pad(dim),
           bytes = (size_t)dim * sizeof(float);
    float *vt = scratch, *rows = vt + (size_t)dim * fp, *ds = rows + n * dp, *y = ds + n * fp;

    fr_attend_columns(v, a->ld, f, dim, vt);
    for (int i = 0; i < f; i++) {
        const float *pi = p + (size_t)i * n;
        float *di = ds + (size_t)i * fp, dot = 0;

        fr_attend_sum(dout + (size_t)i * a->ldo, 1, 1, vt, dim, fp, di);
        for (int j = 0; j < f; j++)
            dot += pi[j] * di[j];
        for (int j = 0; j < f; j++)
            di[j] = pi[j] * (di[j] - dot);
    }
    fr_attend_rows(k, a->ld, f, dim, rows);
    for (int i = 0; i < f; i++) {
        fr_attend_sum(ds + (size_t)i * fp, 1, a->scale, rows, f, dp, y);
        memcpy(dq + (size_t)i * a->ld, y, bytes);
    }
    fr_attend_rows(q, a->ld, f, dim, rows);
    for (int j = 0; j < f; j++) {
        fr_attend_sum(ds + j, fp, a->scale, rows, f, dp, y);
        memcpy(dk + (size_t)j * a->ld, y, bytes);
    }
    fr_attend_rows(dout, a->ldo, f, dim, rows);
    for (int j = 0; j < f; j++) {
        fr_attend_sum(p + j, n, 1, rows, f, dp, y);
        memcpy(dv + (size_t)j * a->ld, y, bytes);
    }
}

#endif
