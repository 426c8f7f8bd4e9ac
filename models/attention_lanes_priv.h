/*
 * models/attention_lanes_priv.h - the body of models/attention_lanes.h, compiled once a level.
 *
 * Before including it with FR_LANES_BODY a level says what its registers hold:
 *   FR_LANES_ROWS    outputs of a product at a time (weights are laid out in blocks of so many)
 *   FR_LANES_FIELDS  fields at a time, 1 or 2
 *   FR_LANES_TILE    fields by fields (or by columns) of scores at a time: 1, 2 or 4
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

/** The first layer's attention of the user's and context's fields to each other, not yet divided by its sum. */
struct fr_lanes_shared {
    int n;       /* fields */
    float *y;    /* (n, A, 16) */
    float *sums; /* (n, heads, 2, 16): largest score; sum of e^(s - largest) */
};

struct fr_lanes_kernel {
    int rows;
    /* y (fields, cols, 16), fr_lanes_stride() apart, = w x (fields, in, 16) */
    void (*linear)(const struct fr_lanes_layer *l, const float *x, int fields, float *y);
    /* sh of the first layer's qkv, whose first sh->n fields are the same in all lanes */
    void (*share)(const struct fr_lanes_model *m, const float *qkv, float *s, const struct fr_lanes_shared *sh);
    /* qkv (F, cols, 16) and the layer's input x to y (F, A, 16); s (FR_LANES_MAX_SCORES) is scratch */
    void (*mix)(const struct fr_lanes_model *m,
                int layer,
                const float *qkv,
                const float *x,
                const struct fr_lanes_shared *sh,
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

#define FR_LANES_KEYS 96 /* of a block of scores, at most */
#define FR_LANES_MAX_SCORES ((size_t)4 * FR_LANES_KEYS * FR_ATTENTION_LANES)

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

/* c[i][j] = sum over n of a[i] b[j] for `rows` by `cols` constants: a tile; rows lie `lda`, `ldb` floats apart, steps
 * `sa`, `sb`. */
static inline __attribute__((always_inline)) void tile(const int rows,
                                                       const int cols,
                                                       const float *a,
                                                       size_t lda,
                                                       size_t sa,
                                                       const float *b,
                                                       size_t ldb,
                                                       size_t sb,
                                                       int n,
                                                       fr_vec c[FR_LANES_TILE][FR_LANES_TILE])
{
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < cols; j++)
            c[i][j] = (fr_vec){0};
    for (int k = 0; k < n; k++, a += sa, b += sb) {
        fr_vec vb[FR_LANES_TILE];
#pragma GCC unroll 4
        for (int j = 0; j < cols; j++)
            vb[j] = C(b + (size_t)j * ldb);
#pragma GCC unroll 4
        for (int i = 0; i < rows; i++) {
            const fr_vec va = C(a + (size_t)i * lda);
#pragma GCC unroll 4
            for (int j = 0; j < cols; j++)
                c[i][j] += va * vb[j];
        }
    }
}

/* a = max(a, b); a NaN in b is passed over. By pointers: vectors as arguments are not the same at all levels. */
static inline __attribute__((always_inline)) void raise(fr_vec *a, const fr_vec *b)
{
    const fr_ivec more = *b > *a;

    *a = (fr_vec)(((fr_ivec)*b & more) | ((fr_ivec)*a & ~more));
}

/* What attention of one head reads: fields `ld` floats apart. */
struct fr_lanes_head {
    const float *k, *v;
    size_t ld;
    int dim;
    float scale;
};

/* Attention of some fields over the keys so far: y = sum of e^(s_j - max) v_j, sum that of e^(s_j - max). Over more
 * keys both are scaled to the new max first (Milakov & Gimelshein 2018, arXiv:1805.02867, section 3). */
struct fr_lanes_state {
    fr_vec max[FR_LANES_TILE], sum[FR_LANES_TILE];
    bool begun;
};

/* A tile of scale q_i . k_j to s, and the largest of each row into top. */
static inline __attribute__((always_inline)) void score_tile(const int rows,
                                                             const int cols,
                                                             const struct fr_lanes_head *h,
                                                             const float *q,
                                                             const float *k,
                                                             float *s,
                                                             fr_vec top[FR_LANES_TILE])
{
    fr_vec c[FR_LANES_TILE][FR_LANES_TILE];

    tile(rows, cols, q, h->ld, L, k, h->ld, L, h->dim, c);
    for (int i = 0; i < rows; i++)
        for (int t = 0; t < cols; t++) {
            c[i][t] *= h->scale;
            V(s + ((size_t)i * FR_LANES_KEYS + (size_t)t) * L) = c[i][t];
            raise(&top[i], &c[i][t]);
        }
}

/* s[i][j] = scale q_i . k_j for `keys` keys from k on, and the largest of each row. A NaN is in no max: its e^x says. */
static inline __attribute__((always_inline)) void scores_of(const int rows,
                                                            const struct fr_lanes_head *h,
                                                            const float *q,
                                                            const float *k,
                                                            int keys,
                                                            float *s,
                                                            fr_vec top[FR_LANES_TILE])
{
    int j = 0;

    for (int i = 0; i < rows; i++)
        top[i] = (fr_vec){0} - INFINITY;
    for (; j + FR_LANES_TILE <= keys; j += FR_LANES_TILE)
        score_tile(rows, FR_LANES_TILE, h, q, k + (size_t)j * h->ld, s + (size_t)j * L, top);
    k += (size_t)j * h->ld;
    s += (size_t)j * L;
    switch (keys - j) {
    case 1: score_tile(rows, 1, h, q, k, s, top); break;
#if FR_LANES_TILE >= 4
    case 2: score_tile(rows, 2, h, q, k, s, top); break;
    case 3: score_tile(rows, 3, h, q, k, s, top); break;
#endif
    default: break;
    }
}

/* s = e^(s - max) in place for row i, the new max being that of `top` too; factor: what y so far is to be scaled by. */
static inline __attribute__((always_inline)) void
weights(struct fr_lanes_state *st, int i, const fr_vec *top, int keys, float *s, fr_vec *factor)
{
    const fr_vec none = (fr_vec){0} - INFINITY;
    fr_vec max = *top, sum = {0};

    if (st->begun)
        raise(&max, &st->max[i]);
    const fr_vec base = (fr_vec)((fr_ivec)max & ~(max == none)); /* later keys may not be -inf */

    for (int j = 0; j < keys; j++, s += L) {
        V(s) = C(s) - base;
        fr_attend_exp(s);
        sum += C(s);
    }
    if (st->begun) {
        *factor = st->max[i] - base;
        fr_attend_exp((float *)factor);
        sum += st->sum[i] * *factor;
    }
    st->max[i] = max;
    st->sum[i] = sum;
}

/* y[i][d] = factor y[i][d] + sum over the keys j of p[i][j] v[j][d]; the first time the sum alone. */
static inline __attribute__((always_inline)) void value_tile(const int rows,
                                                             const int cols,
                                                             const struct fr_lanes_head *h,
                                                             const float *p,
                                                             const float *v,
                                                             int keys,
                                                             const fr_vec *factor,
                                                             bool begun,
                                                             float *y,
                                                             size_t ldy)
{
    fr_vec c[FR_LANES_TILE][FR_LANES_TILE];

    tile(rows, cols, p, (size_t)FR_LANES_KEYS * L, L, v, L, h->ld, keys, c);
    for (int i = 0; i < rows; i++)
        for (int t = 0; t < cols; t++) {
            float *to = y + (size_t)i * ldy + (size_t)t * L;
            if (begun)
                c[i][t] += C(to) * factor[i];
            V(to) = c[i][t];
        }
}

static inline __attribute__((always_inline)) void values_of(const int rows,
                                                            const struct fr_lanes_head *h,
                                                            const float *p,
                                                            const float *v,
                                                            int keys,
                                                            const fr_vec *factor,
                                                            bool begun,
                                                            float *y,
                                                            size_t ldy)
{
    int d = 0;

    for (; d + FR_LANES_TILE <= h->dim; d += FR_LANES_TILE)
        value_tile(rows, FR_LANES_TILE, h, p, v + (size_t)d * L, keys, factor, begun, y + (size_t)d * L, ldy);
    for (; d < h->dim; d++)
        value_tile(rows, 1, h, p, v + (size_t)d * L, keys, factor, begun, y + (size_t)d * L, ldy);
}

/* Keys [from, to) for fields q (rows), to y. A block of scores stays in the first cache. */
static inline __attribute__((always_inline)) void attend_of(const int rows,
                                                            const struct fr_lanes_head *h,
                                                            const float *q,
                                                            int from,
                                                            int to,
                                                            float *s,
                                                            struct fr_lanes_state *st,
                                                            float *y,
                                                            size_t ldy)
{
    for (int at = from; at < to; at += FR_LANES_KEYS) {
        int keys = to - at < FR_LANES_KEYS ? to - at : FR_LANES_KEYS;
        fr_vec top[FR_LANES_TILE], factor[FR_LANES_TILE];

        scores_of(rows, h, q, h->k + (size_t)at * h->ld, keys, s, top);
        for (int i = 0; i < rows; i++)
            weights(st, i, &top[i], keys, s + (size_t)i * FR_LANES_KEYS * L, &factor[i]);
        values_of(rows, h, s, h->v + (size_t)at * h->ld, keys, factor, st->begun, y, ldy);
        st->begun = true;
    }
}

static void attend(const struct fr_lanes_head *h,
                   const float *q,
                   int rows,
                   int from,
                   int to,
                   float *s,
                   struct fr_lanes_state *st,
                   float *y,
                   size_t ldy)
{
    switch (rows) {
    case 1: attend_of(1, h, q, from, to, s, st, y, ldy); break;
#if FR_LANES_TILE >= 2
    case 2: attend_of(2, h, q, from, to, s, st, y, ldy); break;
#endif
#if FR_LANES_TILE >= 4
    case 3: attend_of(3, h, q, from, to, s, st, y, ldy); break;
    case 4: attend_of(4, h, q, from, to, s, st, y, ldy); break;
#endif
    default: break;
    }
}

static struct fr_lanes_head head_of(const struct fr_lanes_model *m, int layer, int head, const float *qkv)
{
    size_t part = (size_t)m->cfg.width * L;
    int dim = m->cfg.width / m->cfg.heads;
    const float *q = qkv + (size_t)head * (size_t)dim * L;

    return (struct fr_lanes_head){q + part, q + 2 * part, fr_lanes_stride(&m->layer[layer]), dim, m->scale};
}

static void lanes_share(const struct fr_lanes_model *m, const float *qkv, float *s, const struct fr_lanes_shared *sh)
{
    size_t ldy = (size_t)m->cfg.width * L;

    for (int i = 0; i < sh->n; i += FR_LANES_TILE) {
        int rows = sh->n - i < FR_LANES_TILE ? sh->n - i : FR_LANES_TILE;

        for (int hd = 0; hd < m->cfg.heads; hd++) {
            struct fr_lanes_head h = head_of(m, 0, hd, qkv);
            struct fr_lanes_state st = {.begun = false};
            const float *q = qkv + (size_t)i * h.ld + (size_t)hd * (size_t)h.dim * L;

            attend(&h, q, rows, 0, sh->n, s, &st, sh->y + (size_t)i * ldy + (size_t)hd * (size_t)h.dim * L, ldy);
            for (int t = 0; t < rows; t++) {
                float *to = sh->sums + ((size_t)(i + t) * (size_t)m->cfg.heads + (size_t)hd) * 2 * L;
                V(to) = st.max[t];
                V(to + L) = st.sum[t];
            }
        }
    }
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

/* Where a head of fields [i, i + rows) has come to with the keys they share in all candidates. */
static void resume(const struct fr_lanes_model *m,
                   const struct fr_lanes_shared *sh,
                   int i,
                   int rows,
                   int head,
                   int dim,
                   struct fr_lanes_state *st,
                   float *y,
                   size_t ldy)
{
    const float *from = sh->y + (size_t)i * ldy + (size_t)head * (size_t)dim * L;

    for (int t = 0; t < rows; t++, from += ldy, y += ldy) {
        const float *sums = sh->sums + ((size_t)(i + t) * (size_t)m->cfg.heads + (size_t)head) * 2 * L;

        memcpy(y, from, (size_t)dim * L * sizeof(*y));
        st->max[t] = C(sums);
        st->sum[t] = C(sums + L);
    }
    st->begun = true;
}

static void lanes_mix(const struct fr_lanes_model *m,
                      int layer,
                      const float *qkv,
                      const float *x,
                      const struct fr_lanes_shared *sh,
                      float *s,
                      float *y)
{
    const struct fr_lanes_layer *l = &m->layer[layer];
    int width = m->cfg.width, own = layer == 0 ? sh->n : 0; /* fields with a part that is made already */
    size_t ld = fr_lanes_stride(l), ldy = (size_t)width * L, part = (size_t)width * L;
    bool adds_x = m->cfg.residual == FR_RESIDUAL_IDENTITY && l->in == width;

    for (int hd = 0; hd < m->cfg.heads; hd++) {
        const struct fr_lanes_head h = head_of(m, layer, hd, qkv);
        size_t at = (size_t)hd * (size_t)h.dim * L;

        for (int i = 0, rows = 0; i < m->fields; i += rows) {
            int end = i < own ? own : m->fields, from = i < own ? own : 0;
            struct fr_lanes_state st = {.begun = false};
            float *to = y + (size_t)i * ldy + at;

            rows = end - i < FR_LANES_TILE ? end - i : FR_LANES_TILE;
            if (i < own)
                resume(m, sh, i, rows, hd, h.dim, &st, to, ldy);
            attend(&h, qkv + (size_t)i * ld + at, rows, from, m->fields, s, &st, to, ldy);
            for (int t = 0; t < rows; t++) {
                /* of scores that are all -inf: NaN, as -inf - -inf */
                const fr_vec share = 1.0f / (st.sum[t] + (st.max[t] - st.max[t]));
                for (size_t d = 0; d < (size_t)h.dim; d++)
                    V(to + (size_t)t * ldy + d * L) = C(to + (size_t)t * ldy + d * L) * share;
            }
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

static const struct fr_lanes_kernel lanes_kernel = {FR_LANES_ROWS, lanes_linear, lanes_share, lanes_mix};

#undef V
#undef C
#undef L
#endif
