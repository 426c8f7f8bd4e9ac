/*
 * models/ctr_rank_fixed.c - ranking with products of one shape: a candidate's bits depend on its
 * place in the list, never on the others. For replays and leak tests, and without an MLP.
 */
#include <string.h>

#include "models/ctr_priv.h"
#include "models/gemm.h"

#define CHUNK FR_GEMM_PAD_ROWS

/* Buffers of one chunk, reused for all. */
struct chunk {
    float *x;      /* (CHUNK, item and cross fields, D) */
    float *hidden; /* (CHUNK, H1) */
    float *sum;    /* (D) */
};

/* Gathers row i and writes its linear and pair part to *out. */
static void gather_row(const struct fr_model *m,
                       const struct fr_rank_query *q,
                       const struct fr_ctr_shared *s,
                       int i,
                       float *x,
                       float *sum,
                       float *out)
{
    const struct fr_ctr_impl *d = m->impl;
    const struct fr_encoder *enc = m->enc;
    int dim = d->cfg.dim;
    size_t sx = enc->n_slots[FR_ENTITY_CROSS];
    const struct fr_slot *item = enc->n_slots[FR_ENTITY_ITEM] > 0 ? q->items[i] : NULL;
    const struct fr_slot *cross = sx > 0 ? q->cross + (size_t)i * sx : NULL;
    float sq = s->sq;

    *out =
        s->lin + fr_ctr_linear(m, FR_ENTITY_ITEM, item) + fr_ctr_linear(m, FR_ENTITY_CROSS, cross);
    if (dim == 0)
        return;
    fr_embed_group(enc, &d->em, FR_ENTITY_ITEM, item, x);
    fr_embed_group(enc,
                   &d->em,
                   FR_ENTITY_CROSS,
                   cross,
                   x + (size_t)fr_encoder_n_fields(enc, FR_ENTITY_ITEM) * (size_t)dim);
    if ((d->parts & FR_CTR_PAIR) == 0)
        return;
    memcpy(sum, s->sum, (size_t)dim * sizeof(*sum));
    fr_ctr_pair_sums(x, d->n_cand, dim, sum, &sq);
    *out += 0.5f * (fr_dot(sum, sum, (size_t)dim) - sq);
}

enum fr_err fr_ctr_layers_fixed(
    const struct fr_ctr_impl *d, const float *h, int rows, int wanted, struct fr_arena *ar, float *out, float *raw)
{
    struct fr_arena_mark mark = fr_arena_mark(ar);
    struct fr_mlp trunk = d->mlp; /* all but the last layer, whose input both heads read */
    size_t width = (size_t)d->mlp.width[d->mlp.n_layers - 1];
    float *z = fr_arena_array(ar, (size_t)rows, sizeof(*z));
    float *last = fr_arena_array(ar, (size_t)rows * width, sizeof(*last));
    enum fr_err e = z == NULL || last == NULL ? FR_ENOMEM : FR_OK;

    trunk.n_layers--;
    trunk.relu_last = true;
    if (e == FR_OK)
        e = fr_mlp_forward(&trunk, 1, h, rows, ar, last);
    if (e == FR_OK)
        e = fr_mlp_forward(&d->mlp, trunk.n_layers, last, rows, ar, z);
    for (int i = 0; i < wanted && e == FR_OK; i++)
        out[i] += z[i];
    for (int i = 0; i < wanted && e == FR_OK && raw != NULL; i++)
        raw[i] += fr_dot(d->value_deep, last + (size_t)i * width, width);
    fr_arena_release(ar, mark);
    return e;
}

/* MLP of `rows` gathered rows, the first `wanted` of them real (padding in deterministic mode); adds to out and raw. */
static enum fr_err mlp_part(const struct fr_ctr_impl *d,
                            const struct fr_ctr_shared *s,
                            const struct chunk *c,
                            int rows,
                            int wanted,
                            struct fr_arena *ar,
                            float *out,
                            float *raw)
{
    int in = d->mlp.width[0], h1 = d->mlp.width[1];
    int k = d->n_cand * d->cfg.dim, k0 = d->n_user * d->cfg.dim;

    for (int i = 0; i < rows; i++)
        memcpy(c->hidden + (size_t)i * (size_t)h1, s->hidden, (size_t)h1 * sizeof(*c->hidden));
    fr_gemm(
        false, true, rows, h1, k, 1, c->x, k > 0 ? k : 1, d->mlp.w[0] + k0, in, 1, c->hidden, h1);
    fr_nn_relu(c->hidden, (size_t)rows * (size_t)h1);
    return fr_ctr_layers_fixed(d, c->hidden, rows, wanted, ar, out, raw);
}

enum fr_err fr_ctr_rank_fixed(const struct fr_model *m,
                              const struct fr_rank_query *q,
                              unsigned flags,
                              struct fr_arena *ar,
                              float *out,
                              float *raw)
{
    const struct fr_ctr_impl *d = m->impl;
    size_t kx = (size_t)d->n_cand * (size_t)d->cfg.dim;
    bool fixed = (flags & FR_SCORE_DETERMINISTIC) != 0;
    int cap = fixed || q->n > CHUNK ? CHUNK : q->n;
    size_t h1 = d->mlp.n_layers > 0 ? (size_t)d->mlp.width[1] : 0;
    struct fr_ctr_shared s;
    struct chunk c;
    enum fr_err e = fr_ctr_shared(m, q, true, ar, &s);

    if (e != FR_OK)
        return e;
    c.x = fr_arena_array(ar, (size_t)cap * kx + 1, sizeof(float));
    c.hidden = fr_arena_array(ar, (size_t)cap * h1 + 1, sizeof(float));
    c.sum = fr_arena_array(ar, (size_t)d->cfg.dim, sizeof(float));
    if (c.x == NULL || c.hidden == NULL || c.sum == NULL)
        return FR_ENOMEM;
    for (int at = 0; at < q->n; at += cap) {
        int rows = q->n - at < cap ? q->n - at : cap;
        int padded = fixed ? cap : rows;
        for (int i = 0; i < rows; i++)
            gather_row(m, q, &s, at + i, c.x + (size_t)i * kx, c.sum, &out[at + i]);
        if (d->mlp.n_layers == 0)
            continue;
        memset(c.x + (size_t)rows * kx, 0, (size_t)(padded - rows) * kx * sizeof(float));
        if ((e = mlp_part(d, &s, &c, padded, rows, ar, out + at, raw == NULL ? NULL : raw + at)) != FR_OK)
            return e;
    }
    return FR_OK;
}
