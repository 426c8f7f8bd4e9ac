/*
 * models/ctr_rank_attention.c - ranking with attention (autoint, autoint+).
 *
 * Once a query: embeddings, linear part, their part of the MLP's first layer and of the first
 * attention layer's products, for the user's and context's fields. A row: everything else. The
 * deterministic way takes rows one by one, so every product has one shape.
 */
#include <string.h>

#include "models/ctr_priv.h"
#include "models/gemm.h"

#define CHUNK 16 /* rows: one layer's buffers stay in the second-level cache */

/* Buffers of one chunk, reused for all. */
struct chunk {
    float *x;                   /* (CHUNK, F, D) */
    float *cand;                /* (CHUNK, item and cross fields, D) */
    float *user_qkv, *cand_qkv; /* first layer: (n_user, cols), (CHUNK n_cand, cols) */
    float *hidden, *mlp;        /* (CHUNK, H1) (CHUNK) */
    struct fr_attention_acts acts[FR_ATTENTION_MAX_LAYERS];
    float *scratch;
};

static enum fr_err
alloc_chunk(const struct fr_ctr_impl *d, int cap, struct fr_arena *ar, struct chunk *c)
{
    const struct fr_attention *a = &d->attention;
    size_t n = (size_t)cap, dim = (size_t)d->cfg.dim, cols = (size_t)a->layer[0].cols;
    size_t h1 = d->mlp.n_layers > 0 ? (size_t)d->mlp.width[1] : 0;
    enum fr_err e = FR_OK;

    c->x = fr_arena_array(ar, n * (size_t)a->fields * dim + 1, sizeof(float));
    c->cand = fr_arena_array(ar, n * (size_t)d->n_cand * dim + 1, sizeof(float));
    c->user_qkv = fr_arena_array(ar, (size_t)d->n_user * cols + 1, sizeof(float));
    c->cand_qkv = fr_arena_array(ar, n * (size_t)d->n_cand * cols + 1, sizeof(float));
    c->hidden = fr_arena_array(ar, n * h1 + 1, sizeof(float));
    c->mlp = fr_arena_array(ar, n, sizeof(float));
    c->scratch = fr_arena_array(ar, fr_attention_scratch(a), sizeof(float));
    for (int l = 0; l < a->cfg.layers && e == FR_OK; l++) {
        e = fr_attention_alloc(a, l, cap, ar, &c->acts[l]);
        c->acts[l].x = l == 0 ? c->x : c->acts[l - 1].y;
    }
    bool ok = c->x != NULL && c->cand != NULL && c->user_qkv != NULL && c->cand_qkv != NULL &&
              c->hidden != NULL && c->mlp != NULL && c->scratch != NULL;
    return ok ? e : FR_ENOMEM;
}

/* Row i of the chunk: embeddings into x and cand; @return its linear part */
static float gather_row(const struct fr_model *m,
                        const struct fr_rank_query *q,
                        const struct fr_ctr_shared *s,
                        int row,
                        int i,
                        struct chunk *c)
{
    const struct fr_ctr_impl *d = m->impl;
    const struct fr_encoder *enc = m->enc;
    size_t dim = (size_t)d->cfg.dim, sx = enc->n_slots[FR_ENTITY_CROSS];
    size_t ku = (size_t)d->n_user * dim, kc = (size_t)d->n_cand * dim;
    const struct fr_slot *item = enc->n_slots[FR_ENTITY_ITEM] > 0 ? q->items[row] : NULL;
    const struct fr_slot *cross = sx > 0 ? q->cross + (size_t)row * sx : NULL;
    float *x = c->x + (size_t)i * (ku + kc);

    memcpy(x, s->x, ku * sizeof(*x));
    fr_embed_group(enc, &d->em, FR_ENTITY_ITEM, item, x + ku);
    fr_embed_group(enc, &d->em, FR_ENTITY_CROSS, cross, x + ku + (size_t)d->n_item * dim);
    memcpy(c->cand + (size_t)i * kc, x + ku, kc * sizeof(*x));
    return s->lin + fr_ctr_linear(m, FR_ENTITY_ITEM, item) +
           fr_ctr_linear(m, FR_ENTITY_CROSS, cross);
}

/* Attention over the first `rows` rows of the chunk; adds to out. */
static void attend(const struct fr_ctr_impl *d, int rows, struct chunk *c, float *out)
{
    const struct fr_attention *a = &d->attention;
    size_t cols = (size_t)a->layer[0].cols, nu = (size_t)d->n_user * cols,
           nc = (size_t)d->n_cand * cols;
    size_t flat = (size_t)a->fields * (size_t)a->cfg.width;

    fr_attention_project(a, 0, c->cand, rows * d->n_cand, c->cand_qkv);
    for (size_t i = 0; i < (size_t)rows; i++) {
        memcpy(c->acts[0].qkv + i * (nu + nc), c->user_qkv, nu * sizeof(float));
        memcpy(c->acts[0].qkv + i * (nu + nc) + nu, c->cand_qkv + i * nc, nc * sizeof(float));
    }
    for (int l = 0; l < a->cfg.layers; l++) {
        if (l > 0)
            fr_attention_project(a, l, c->acts[l].x, rows * a->fields, c->acts[l].qkv);
        fr_attention_mix(a, l, rows, &c->acts[l], c->scratch);
    }
    for (int i = 0; i < rows; i++)
        out[i] += fr_dot(d->out, c->acts[a->cfg.layers - 1].y + (size_t)i * flat, flat);
}

static enum fr_err deep(const struct fr_ctr_impl *d,
                        const struct fr_ctr_shared *s,
                        int rows,
                        struct fr_arena *ar,
                        struct chunk *c,
                        float *out)
{
    int in = d->mlp.width[0], h1 = d->mlp.width[1], k = d->n_cand * d->cfg.dim,
        k0 = d->n_user * d->cfg.dim;

    for (int i = 0; i < rows; i++)
        memcpy(c->hidden + (size_t)i * (size_t)h1, s->hidden, (size_t)h1 * sizeof(*c->hidden));
    fr_gemm(false,
            true,
            rows,
            h1,
            k,
            1,
            c->cand,
            k > 0 ? k : 1,
            d->mlp.w[0] + k0,
            in,
            1,
            c->hidden,
            h1);
    fr_nn_relu(c->hidden, (size_t)rows * (size_t)h1);
    enum fr_err e = fr_mlp_forward(&d->mlp, 1, c->hidden, rows, ar, c->mlp);
    for (int i = 0; i < rows && e == FR_OK; i++)
        out[i] += c->mlp[i];
    return e;
}

enum fr_err fr_ctr_rank_attention(const struct fr_model *m,
                                  const struct fr_rank_query *q,
                                  unsigned flags,
                                  struct fr_arena *ar,
                                  float *out)
{
    const struct fr_ctr_impl *d = m->impl;
    bool fixed = (flags & FR_SCORE_DETERMINISTIC) != 0;
    int cap = fixed ? 1 : q->n < CHUNK ? q->n : CHUNK;
    struct fr_ctr_shared s;
    struct chunk c;
    enum fr_err e = fr_ctr_shared(m, q, true, ar, &s);

    if (e != FR_OK || q->n == 0)
        return e;
    if ((e = alloc_chunk(d, cap, ar, &c)) != FR_OK)
        return e;
    fr_attention_project(&d->attention, 0, s.x, d->n_user, c.user_qkv);
    for (int at = 0; at < q->n && e == FR_OK; at += cap) {
        int rows = q->n - at < cap ? q->n - at : cap;

        for (int i = 0; i < rows; i++)
            out[at + i] = gather_row(m, q, &s, at + i, i, &c);
        attend(d, rows, &c, out + at);
        if (d->mlp.n_layers > 0)
            e = deep(d, &s, rows, ar, &c, out + at);
    }
    return e;
}
