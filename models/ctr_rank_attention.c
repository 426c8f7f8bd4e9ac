/*
 * models/ctr_rank_attention.c - ranking with attention (autoint, autoint+), 16 candidates at a
 * time.
 *
 * Once a query: embeddings, linear part, their part of the MLP's first layer and of the first
 * attention layer's products, for the user's and context's fields. A row: everything else. The
 * deterministic way takes the MLP's rows one by one, so every product has one shape; attention's
 * bits are the same either way.
 */
#include <string.h>

#include "models/ctr_priv.h"
#include "models/gemm.h"

#define CHUNK FR_ATTENTION_LANES

/* Buffers of one chunk, reused for all. */
struct chunk {
    float *cand;             /* (CHUNK, item and cross fields, D) */
    float *lanes;            /* attention's scratch */
    float *hidden, *hidden2; /* (CHUNK, widest layer) */
};

static enum fr_err alloc_chunk(const struct fr_ctr_impl *d, struct fr_arena *ar, struct chunk *c)
{
    size_t widest = 0;

    for (int l = 1; l < d->mlp.n_layers; l++)
        widest = (size_t)d->mlp.width[l] > widest ? (size_t)d->mlp.width[l] : widest;
    c->cand = fr_arena_array(ar, CHUNK * (size_t)d->n_cand * (size_t)d->cfg.dim + 1, sizeof(float));
    c->lanes = fr_arena_array(ar, fr_attention_lanes_scratch(d->lanes), sizeof(float));
    c->hidden = fr_arena_array(ar, CHUNK * widest + 1, sizeof(float));
    c->hidden2 = fr_arena_array(ar, CHUNK * widest + 1, sizeof(float));
    return c->cand == NULL || c->lanes == NULL || c->hidden == NULL || c->hidden2 == NULL
               ? FR_ENOMEM
               : FR_OK;
}

/* Embeddings of a candidate into x. @return its linear part */
static float gather_row(const struct fr_model *m,
                        const struct fr_rank_query *q,
                        const struct fr_ctr_shared *s,
                        int row,
                        float *x)
{
    const struct fr_ctr_impl *d = m->impl;
    const struct fr_encoder *enc = m->enc;
    size_t sx = enc->n_slots[FR_ENTITY_CROSS];
    const struct fr_slot *item = enc->n_slots[FR_ENTITY_ITEM] > 0 ? q->items[row] : NULL;
    const struct fr_slot *cross = sx > 0 ? q->cross + (size_t)row * sx : NULL;

    fr_embed_group(enc, &d->em, FR_ENTITY_ITEM, item, x);
    fr_embed_group(enc, &d->em, FR_ENTITY_CROSS, cross, x + (size_t)d->n_item * (size_t)d->cfg.dim);
    return s->lin + fr_ctr_linear(m, FR_ENTITY_ITEM, item) +
           fr_ctr_linear(m, FR_ENTITY_CROSS, cross);
}

/* The MLP of `rows` candidates by packed layers; adds to out and, if wanted, to raw. */
static void deep(const struct fr_ctr_impl *d,
                 const struct fr_ctr_shared *s,
                 int rows,
                 struct chunk *c,
                 float *out,
                 float *raw)
{
    const struct fr_mlp *p = &d->mlp;
    size_t h1 = (size_t)p->width[1], ldx = (size_t)d->n_cand * (size_t)d->cfg.dim;
    int last = p->n_layers - 1;
    float *h = c->hidden, *next = c->hidden2;

    for (size_t i = 0; i < (size_t)rows; i++)
        memcpy(h + i * h1, s->hidden, h1 * sizeof(*h));
    fr_packed_linear(d->of_item, c->cand, ldx, rows, FR_PACKED_ADD, h, h1, NULL);
    fr_packed_linear(d->of_cross,
                     c->cand + (size_t)d->n_item * (size_t)d->cfg.dim,
                     ldx,
                     rows,
                     FR_PACKED_ADD | FR_PACKED_RELU,
                     h,
                     h1,
                     NULL);
    for (int l = 1; l < last; l++) {
        float *done = h;

        fr_packed_linear(d->layer[l],
                         h,
                         (size_t)p->width[l],
                         rows,
                         FR_PACKED_RELU,
                         next,
                         (size_t)p->width[l + 1],
                         NULL);
        h = next;
        next = done;
    }
    fr_ctr_heads(d, h, rows, out, raw);
}

/* The same row by row: one shape for every product. */
static enum fr_err deep_fixed(const struct fr_ctr_impl *d,
                              const struct fr_ctr_shared *s,
                              int rows,
                              struct fr_arena *ar,
                              struct chunk *c,
                              float *out,
                              float *raw)
{
    int in = d->mlp.width[0], h1 = d->mlp.width[1], k = d->n_cand * d->cfg.dim,
        k0 = d->n_user * d->cfg.dim;
    enum fr_err e = FR_OK;

    for (int i = 0; i < rows && e == FR_OK; i++) {
        memcpy(c->hidden, s->hidden, (size_t)h1 * sizeof(*c->hidden));
        fr_gemm(false,
                true,
                1,
                h1,
                k,
                1,
                c->cand + (size_t)i * (size_t)k,
                k > 0 ? k : 1,
                d->mlp.w[0] + k0,
                in,
                1,
                c->hidden,
                h1);
        fr_nn_relu(c->hidden, (size_t)h1);
        e = fr_ctr_layers_fixed(d, c->hidden, 1, 1, ar, out + i, raw == NULL ? NULL : raw + i);
    }
    return e;
}

enum fr_err fr_ctr_rank_attention(const struct fr_model *m,
                                  const struct fr_rank_query *q,
                                  unsigned flags,
                                  struct fr_arena *ar,
                                  float *out,
                                  float *raw)
{
    const struct fr_ctr_impl *d = m->impl;
    bool fixed = (flags & FR_SCORE_DETERMINISTIC) != 0;
    size_t k = (size_t)d->n_cand * (size_t)d->cfg.dim;
    struct fr_ctr_shared s;
    struct chunk c;
    enum fr_err e = fr_ctr_shared(m, q, fixed, ar, &s);

    if (e != FR_OK || q->n == 0)
        return e;
    if ((e = alloc_chunk(d, ar, &c)) != FR_OK)
        return e;
    fr_attention_lanes_user(d->lanes, s.x, d->n_user, c.lanes);
    for (int at = 0; at < q->n && e == FR_OK; at += CHUNK) {
        int rows = q->n - at < CHUNK ? q->n - at : CHUNK;
        float *to = raw == NULL ? NULL : raw + at;

        for (int i = 0; i < rows; i++)
            out[at + i] = gather_row(m, q, &s, at + i, c.cand + (size_t)i * k);
        fr_attention_lanes_add(d->lanes, c.cand, d->n_user, rows, c.lanes, out + at, to);
        if (d->mlp.n_layers > 0 && fixed)
            e = deep_fixed(d, &s, rows, ar, &c, out + at, to);
        else if (d->mlp.n_layers > 0)
            deep(d, &s, rows, &c, out + at, to);
    }
    return e;
}
