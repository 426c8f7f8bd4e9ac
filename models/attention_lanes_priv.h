/*
 * models/attention_lanes_priv.h - the body of models/attention_lanes.h, compiled once a level.
 *
 * Before including it with FR_LANES_BODY a level says what its registers hold:
 *   FR_LANES_ROWS    outputs of a product at a time (weights are laid out in blocks of so many)
 *   FR_LANES_FIELDS  fields at a time, 1 or 2
 *   FR_LANES_TILE    fields by fields (or by columns) of scores at a time
 */
#ifndef FR_MODELS_ATTENTION_LANES_PRIV_H
#define FR_MODELS_ATTENTION_LANES_PRIV_H

#include "models/attend_priv.h"
#include "models/attention_lanes.h"

#define FR_LANES_MAX_ROWS 8 /* a block's of any level */

struct fr_lanes_layer {
    int in, cols;
    const float *w; /* blocks of kernel->rows outputs: (in, rows); the last is padded with zeros */
    const float *gain, *shift;
};

/** Everything but the candidates. */
struct fr_lanes_model {
    struct fr_attention_config cfg;
    int fields, dim;
    float scale;
    struct fr_lanes_layer layer[FR_ATTENTION_MAX_LAYERS];
    const float *out;   /* (F, A) */
    const float *value; /* (F, A) or NULL */
};

struct fr_lanes_kernel {
    int rows;
    /* y (fields, cols, 16), fr_lanes_stride() apart, = w x (fields, in, 16) */
    void (*linear)(const struct fr_lanes_layer *l, const float *x, int fields, float *y);
    /* qkv (F, cols, 16) and the layer's input x to y (F, A, 16); s (TILE, F, 16) is scratch */
    void (*mix)(const struct fr_lanes_model *m,
                int layer,
                const float *qkv,
                const float *x,
                float *s,
                float *y);
};

/** Floats from a field's qkv to the next one's: an odd number of cache lines. Widths are powers of two, and rows
 *  so far apart would share a few sets of the caches: with 200 fields a head's keys would not stay in the second. */
static inline size_t fr_lanes_stride(const struct fr_lanes_layer *l)
{
    return ((size_t)l->cols | 1) * FR_ATTENTION_LANES;
}

/** NULL when the compiler could not build the level. */
const struct fr_lanes_kernel *fr_lanes_kernel_avx2(void);
const struct fr_lanes_kernel *fr_lanes_kernel_avx512(void);

#define FR_LANES_MAX_TILE 4

#endif

#ifdef FR_LANES_BODY

#define V(p) (*(fr_vec *)(p))
#define C(p) (*(const fr_vec *)(p))
#define L FR_ATTENTION_LANES

/* One block of outputs of one or two fields; x1 may be x0, its sums are then thrown away by the
 * caller. */
static inline __attribute__((always_inline)) void
block(const float *w, int in, const float *x0, const float *x1, fr_vec *a, fr_vec *b)
{
    for (int r = 0; r < FR_LANES_ROWS; r++)
        a[r] = b[r] = (fr_vec){0};
    for (int k = 0; k < in; k++, w += FR_LANES_ROWS, x0 += L, x1 += L) {
        const fr_vec v0 = C(x0);
#if FR_LANES_FIELDS == 2
        const fr_vec v1 = C(x1);
#endif
#pragma GCC unroll 8
        for (int r = 0; r < FR_LANES_ROWS; r++) {
            a[r] += v0 * w[r];
#if FR_LANES_FIELDS == 2
            b[r] += v1 * w[r];
#endif
        }
    }
}

static void lanes_linear(const struct fr_lanes_layer *l, const float *x, int fields, float *y)
{
    size_t in = (size_t)l->in * L, out = fr_lanes_stride(l);

    for (int f = 0; f < fields; f += FR_LANES_FIELDS) {
        const float *x0 = x + (size_t)f * in, *w = l->w;
        bool two = FR_LANES_FIELDS == 2 && f + 1 < fields;
        const float *x1 = two ? x0 + in : x0;
        float *y0 = y + (size_t)f * out, *y1 = y0 + out;

        for (int m = 0; m < l->cols; m += FR_LANES_ROWS, w += (size_t)l->in * FR_LANES_ROWS) {
            fr_vec a[FR_LANES_ROWS], b[FR_LANES_ROWS];

            block(w, l->in, x0, x1, a, b);
            for (int r = 0; r < FR_LANES_ROWS && m + r < l->cols; r++)
                V(y0 + (size_t)(m + r) * L) = a[r];
            for (int r = 0; two && r < FR_LANES_ROWS && m + r < l->cols; r++)
                V(y1 + (size_t)(m + r) * L) = b[r];
        }
    }
}

/* c[i][j] = sum over n of a[i] b[j]: a tile; rows lie `lda`, `ldb` floats apart, steps `sa`, `sb`.
 */
static inline __attribute__((always_inline)) void tile(const float *a,
                                                       size_t lda,
                                                       size_t sa,
                                                       const float *b,
                                                       size_t ldb,
                                                       size_t sb,
                                                       int n,
                                                       fr_vec c[FR_LANES_TILE][FR_LANES_TILE])
{
    for (int i = 0; i < FR_LANES_TILE; i++)
        for (int j = 0; j < FR_LANES_TILE; j++)
            c[i][j] = (fr_vec){0};
    for (int k = 0; k < n; k++, a += sa, b += sb) {
        fr_vec vb[FR_LANES_TILE];
#pragma GCC unroll 4
        for (int j = 0; j < FR_LANES_TILE; j++)
            vb[j] = C(b + (size_t)j * ldb);
#pragma GCC unroll 4
        for (int i = 0; i < FR_LANES_TILE; i++) {
            const fr_vec va = C(a + (size_t)i * lda);
#pragma GCC unroll 4
            for (int j = 0; j < FR_LANES_TILE; j++)
                c[i][j] += va * vb[j];
        }
    }
}

/* The same for one pair, times `scale`, where a tile would go over the edge. */
static inline void
one(const float *a, size_t sa, const float *b, size_t sb, int n, float scale, float *to)
{
    fr_vec c = {0};

    for (int k = 0; k < n; k++, a += sa, b += sb)
        c += C(a) * C(b);
    V(to) = c * scale;
}

/* s[i][j] = scale q_i . k_j for fields [at, at + n) and all j. */
static void scores(const struct fr_lanes_model *m,
                   const float *q,
                   const float *k,
                   size_t ld,
                   int dim,
                   int n,
                   float *s)
{
    size_t row = (size_t)m->fields * L;
    int j = 0;

    for (; n == FR_LANES_TILE && j + FR_LANES_TILE <= m->fields; j += FR_LANES_TILE) {
        fr_vec c[FR_LANES_TILE][FR_LANES_TILE];

        tile(q, ld, L, k + (size_t)j * ld, ld, L, dim, c);
        for (int i = 0; i < FR_LANES_TILE; i++)
            for (int t = 0; t < FR_LANES_TILE; t++)
                V(s + (size_t)i * row + (size_t)(j + t) * L) = c[i][t] * m->scale;
    }
    for (; j < m->fields; j++)
        for (int i = 0; i < n; i++)
            one(q + (size_t)i * ld,
                L,
                k + (size_t)j * ld,
                L,
                dim,
                m->scale,
                s + (size_t)i * row + (size_t)j * L);
}

/* Of one field's scores (F, 16): by lane. NaN gives NaN. */
static void softmax(float *s, int n)
{
    fr_vec max = C(s), sum = {0};

    for (int j = 1; j < n; j++) {
        const fr_vec v = C(s + (size_t)j * L);
        const fr_ivec more = (v > max) | (v != v);

        max = (fr_vec)(((fr_ivec)v & more) | ((fr_ivec)max & ~more));
    }
    for (int j = 0; j < n; j++) {
        float *at = s + (size_t)j * L;

        V(at) = C(at) - max;
        fr_attend_exp(at);
        sum += C(at);
    }
    sum = 1.0f / sum;
    for (int j = 0; j < n; j++)
        V(s + (size_t)j * L) = C(s + (size_t)j * L) * sum;
}

/* y[i][d] = sum over j of p[i][j] v[j][d] for n fields. */
static void values(const struct fr_lanes_model *m,
                   const float *p,
                   const float *v,
                   size_t ld,
                   int dim,
                   int n,
                   float *y,
                   size_t ldy)
{
    size_t row = (size_t)m->fields * L;
    int d = 0;

    for (; n == FR_LANES_TILE && d + FR_LANES_TILE <= dim; d += FR_LANES_TILE) {
        fr_vec c[FR_LANES_TILE][FR_LANES_TILE];

        tile(p, row, L, v + (size_t)d * L, L, ld, m->fields, c);
        for (int i = 0; i < FR_LANES_TILE; i++)
            for (int t = 0; t < FR_LANES_TILE; t++)
                V(y + (size_t)i * ldy + (size_t)(d + t) * L) = c[i][t];
    }
    for (; d < dim; d++)
        for (int i = 0; i < n; i++)
            one(p + (size_t)i * row,
                L,
                v + (size_t)d * L,
                ld,
                m->fields,
                1,
                y + (size_t)i * ldy + (size_t)d * L);
}

/* y (A, 16) of one field: layer norm, by lane. */
static void norm(const struct fr_lanes_layer *l, int width, float *y)
{
    fr_vec mean = {0}, var = {0};

    for (int k = 0; k < width; k++)
        mean += C(y + (size_t)k * L);
    mean = mean * (1.0f / (float)width);
    for (int k = 0; k < width; k++) {
        const fr_vec d = C(y + (size_t)k * L) - mean;
        var += d * d;
    }
    var = var * (1.0f / (float)width) + FR_ATTENTION_NORM_EPS;
    float inv[L];
    for (int i = 0; i < L; i++)
        inv[i] = 1.0f / sqrtf(var[i]);
    for (int k = 0; k < width; k++)
        V(y + (size_t)k * L) = (C(y + (size_t)k * L) - mean) * C(inv) * l->gain[k] + l->shift[k];
}

static void relu(float *y, size_t n)
{
    for (size_t k = 0; k < n; k++, y += L) {
        const fr_vec v = C(y);
        const fr_ivec negative = v < (fr_vec){0};

        V(y) = (fr_vec)((fr_ivec)v & ~negative);
    }
}

static void lanes_mix(
    const struct fr_lanes_model *m, int layer, const float *qkv, const float *x, float *s, float *y)
{
    const struct fr_lanes_layer *l = &m->layer[layer];
    int width = m->cfg.width, dim = width / m->cfg.heads;
    size_t ld = fr_lanes_stride(l), ldy = (size_t)width * L, part = (size_t)width * L;
    bool adds_x = m->cfg.residual == FR_RESIDUAL_IDENTITY && l->in == width;

    for (int h = 0; h < m->cfg.heads; h++) {
        const float *q = qkv + (size_t)h * (size_t)dim * L;

        for (int i = 0; i < m->fields; i += FR_LANES_TILE) {
            int n = m->fields - i < FR_LANES_TILE ? m->fields - i : FR_LANES_TILE;

            scores(m, q + (size_t)i * ld, q + part, ld, dim, n, s);
            for (int t = 0; t < n; t++)
                softmax(s + (size_t)t * (size_t)m->fields * L, m->fields);
            values(m,
                   s,
                   q + 2 * part,
                   ld,
                   dim,
                   n,
                   y + (size_t)i * ldy + (size_t)h * (size_t)dim * L,
                   ldy);
        }
    }
    for (int f = 0; f < m->fields; f++) {
        float *yf = y + (size_t)f * ldy;
        const float *r = l->cols > 3 * width ? qkv + (size_t)f * ld + 3 * part
                         : adds_x            ? x + (size_t)f * ldy
                                             : NULL;

        for (size_t k = 0; r != NULL && k < (size_t)width; k++)
            V(yf + k * L) = C(yf + k * L) + C(r + k * L);
        if (m->cfg.layer_norm)
            norm(l, width, yf);
    }
    relu(y, (size_t)m->fields * (size_t)width);
}

static const struct fr_lanes_kernel lanes_kernel = {FR_LANES_ROWS, lanes_linear, lanes_mix};

#undef V
#undef C
#undef L
#endif
