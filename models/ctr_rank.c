/*
 * models/ctr_rank.c - the hot loop: one user against a few hundred candidates.
 *
 * Once a query: the user's and context's part of the first layer, of the sums, of the linear term.
 * Once an item, kept by the lane's cache: the same of its fields ("payload").
 * Once a row: their sum, cross fields, ReLU, and the other layers: a tile of rows goes through all of them, and what the
 *   next tile reads of the cache is fetched meanwhile.
 */
#include <string.h>

#include "models/ctr_priv.h"
#include "models/fetch.h"
#include "models/gemm.h"
#include "models/rank_cache.h"

/* Rows whose items are looked up together: a batch of misses is a product, and what one needs is not evicted by another. */
#define ROUND 512
/* Rows that go through all layers together: with the weights they stay in the second-level cache. Larger tiles leave more
 * of the cache's parts to be waited for (the first tile's), smaller ones make slower products. */
#define TILE 60

/* ---- once a query ---- */

float fr_ctr_linear(const struct fr_model *m, enum fr_entity e, const struct fr_slot *slots)
{
    const struct fr_ctr_impl *d = m->impl;
    const struct fr_encoder *enc = m->enc;
    float s = 0;

    if ((d->parts & FR_CTR_LINEAR) == 0)
        return 0;
    for (int i = enc->first_field[e]; i < enc->first_field[e + 1]; i++)
        s += fr_gather_dot(
            d->lin[enc->field[i].table], slots + enc->field[i].slot0, enc->field[i].f.slots);
    return s;
}

void fr_ctr_pair_sums(const float *x, int n, int dim, float *sum, float *sq)
{
    for (int f = 0; f < n; f++, x += dim) {
        for (int k = 0; k < dim; k++)
            sum[k] += x[k];
        *sq += fr_dot(x, x, (size_t)dim);
    }
}

enum fr_err fr_ctr_shared(const struct fr_model *m,
                          const struct fr_rank_query *q,
                          bool fixed,
                          struct fr_arena *ar,
                          struct fr_ctr_shared *s)
{
    const struct fr_ctr_impl *d = m->impl;
    const struct fr_encoder *enc = m->enc;
    int dim = d->cfg.dim, k = d->n_user * dim;
    int h1 = d->mlp.n_layers > 0 ? d->mlp.width[1] : 0;
    float *x = fr_arena_array(ar, (size_t)k + 1, sizeof(*x));

    s->x = x;
    s->sum = fr_arena_zarray(ar, (size_t)dim, sizeof(*s->sum));
    s->hidden = fr_arena_array(ar, (size_t)h1 + 1, sizeof(*s->hidden));
    if (x == NULL || s->sum == NULL || s->hidden == NULL)
        return FR_ENOMEM;
    if (dim > 0) {
        fr_embed_group(enc, &d->em, FR_ENTITY_USER, q->user, x);
        fr_embed_group(enc,
                       &d->em,
                       FR_ENTITY_CONTEXT,
                       q->context,
                       x + (size_t)fr_encoder_n_fields(enc, FR_ENTITY_USER) * (size_t)dim);
    }
    s->sq = 0;
    if ((d->parts & FR_CTR_PAIR) != 0)
        fr_ctr_pair_sums(x, d->n_user, dim, s->sum, &s->sq);
    s->lin = d->w0 + fr_ctr_linear(m, FR_ENTITY_USER, q->user) +
             fr_ctr_linear(m, FR_ENTITY_CONTEXT, q->context);
    if (h1 > 0 && !fixed) {
        fr_packed_linear(d->of_user, x, (size_t)k, 1, 0, s->hidden, (size_t)h1, NULL);
    } else if (h1 > 0) {
        int in = d->mlp.width[0];
        memcpy(s->hidden, d->mlp.bias[0], (size_t)h1 * sizeof(*s->hidden));
        fr_gemm(false, true, 1, h1, k, 1, x, k > 0 ? k : 1, d->mlp.w[0], in, 1, s->hidden, h1);
    }
    return FR_OK;
}

/* Embeddings and linear weights of slots are wanted soon. */
static void slots_soon(const struct fr_model *m, enum fr_entity e, const struct fr_slot *slots)
{
    const struct fr_ctr_impl *d = m->impl;

    fr_embed_soon(m->enc, &d->em, (d->parts & FR_CTR_LINEAR) != 0 ? d->lin : NULL, e, slots);
}

/* ---- once an item ---- */

/* What is kept of an item: its part of the first layer, sum of e_f (D), sum of ||e_f||^2, linear.
 */
struct payload {
    const float *hidden, *sum;
    float sq, lin;
};

static struct payload read_payload(const struct fr_ctr_impl *d, const float *p)
{
    size_t h1 = (size_t)d->mlp.width[1], dim = (size_t)d->cfg.dim;
    return (struct payload){p, p + h1, p[h1 + dim], p[h1 + dim + 1]};
}

static size_t payload_floats(const struct fr_ctr_impl *d)
{
    return (size_t)d->mlp.width[1] + (size_t)d->cfg.dim + 2;
}

/* Buffers of a query, reused for all of its rounds. */
struct scratch {
    float **payload;         /* (ROUND) by row */
    int *row;                /* (ROUND) rows whose payload is to be filled */
    float *spare;            /* (ROUND, payload) where the cache has no room */
    float *x;                /* (TILE, item or cross fields, D) embeddings */
    float *made;             /* (TILE, H1) their products */
    float *hidden, *hidden2; /* (TILE, widest layer) */
    float *sum;              /* (D) */
};

static enum fr_err
alloc_scratch(const struct fr_ctr_impl *d, int round, struct fr_arena *ar, struct scratch *c)
{
    size_t n = (size_t)round, tile = n < TILE ? n : TILE, h1 = (size_t)d->mlp.width[1], dim = (size_t)d->cfg.dim, widest = h1;

    for (int l = 2; l < d->mlp.n_layers; l++)
        widest = (size_t)d->mlp.width[l] > widest ? (size_t)d->mlp.width[l] : widest;
    c->payload = fr_arena_array(ar, n, sizeof(*c->payload));
    c->row = fr_arena_array(ar, n, sizeof(*c->row));
    c->spare = fr_arena_array(ar, n * payload_floats(d), sizeof(float));
    c->x = fr_arena_array(ar, tile * (size_t)d->n_cand * dim + 1, sizeof(float));
    c->made = fr_arena_array(ar, tile * h1, sizeof(float));
    c->hidden = fr_arena_array(ar, tile * widest, sizeof(float));
    c->hidden2 = fr_arena_array(ar, tile * widest, sizeof(float));
    c->sum = fr_arena_array(ar, dim, sizeof(float));
    bool ok = c->payload != NULL && c->row != NULL && c->x != NULL && c->made != NULL &&
              c->spare != NULL && c->hidden != NULL && c->hidden2 != NULL && c->sum != NULL;
    return ok ? FR_OK : FR_ENOMEM;
}

/* Payloads of n rows of the round: embeddings, sums, linear part, and the product of all. */
static void
fill_payloads(const struct fr_model *m, const struct fr_slot *const *items, const int *row, int n, struct scratch *c)
{
    const struct fr_ctr_impl *d = m->impl;
    size_t h1 = (size_t)d->mlp.width[1], dim = (size_t)d->cfg.dim, ki = (size_t)d->n_item * dim;

    for (int k = 0; k < n; k++) {
        const struct fr_slot *item = d->n_item > 0 ? items[row[k]] : NULL;
        float *x = c->x + (size_t)k * ki, *p = c->payload[row[k]] + h1;

        memset(p, 0, (dim + 1) * sizeof(*p));
        fr_embed_group(m->enc, &d->em, FR_ENTITY_ITEM, item, x);
        if ((d->parts & FR_CTR_PAIR) != 0)
            fr_ctr_pair_sums(x, d->n_item, (int)dim, p, &p[dim]);
        p[dim + 1] = fr_ctr_linear(m, FR_ENTITY_ITEM, item);
    }
    fr_packed_linear(d->of_item, c->x, ki, n, 0, c->made, h1, NULL);
    for (int k = 0; k < n; k++)
        memcpy(c->payload[row[k]], c->made + (size_t)k * h1, h1 * sizeof(*c->made));
}

/* Payloads of the rows of a round: found, or computed and kept. */
static void find_items(const struct fr_model *m,
                       const struct fr_slot *const *items,
                       struct fr_rank_cache *cache,
                       int rows,
                       struct scratch *c)
{
    const struct fr_ctr_impl *d = m->impl;
    uint64_t hash[ROUND];
    int misses = 0;

    for (int i = 0; i < rows && cache != NULL; i++)
        hash[i] = fr_rank_cache_soon(cache, items[i]);
    for (int i = 0; i < rows; i++) {
        c->payload[i] = NULL;
        if (cache != NULL && fr_rank_cache_find(cache, items[i], hash[i], &c->payload[i]))
            continue;
        if (c->payload[i] == NULL)
            c->payload[i] = c->spare + (size_t)misses * payload_floats(d);
        c->row[misses++] = i;
        if (d->n_item > 0)
            slots_soon(m, FR_ENTITY_ITEM, items[i]);
    }
    for (int k = 0; k < misses; k += TILE)
        fill_payloads(m, items, c->row + k, misses - k < TILE ? misses - k : TILE, c);
}

/* ---- once a row ---- */

static void add(const float *restrict a, const float *restrict b, float *restrict y, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = a[i] + b[i];
}

/* NaN stays NaN. */
static void add_relu(const float *restrict a, const float *restrict b, float *restrict y, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        float v = a[i] + b[i];
        y[i] = v < 0 ? 0 : v;
    }
}

/* Linear and pair parts of row `at + i` of the query, and its first layer without the cross fields. */
static float add_row(const struct fr_model *m,
                     const struct fr_rank_query *q,
                     const struct fr_ctr_shared *s,
                     int at,
                     int i,
                     const float *payload,
                     struct scratch *c)
{
    const struct fr_ctr_impl *d = m->impl;
    size_t sx = m->enc->n_slots[FR_ENTITY_CROSS], h1 = (size_t)d->mlp.width[1];
    int dim = d->cfg.dim, n_cross = d->n_cand - d->n_item;
    struct payload p = read_payload(d, payload);
    float *h = c->hidden + (size_t)i * h1, sq = s->sq + p.sq, out = s->lin + p.lin;

    if (n_cross > 0)
        add(s->hidden, p.hidden, h, h1);
    else
        add_relu(s->hidden, p.hidden, h, h1);
    for (int k = 0; k < dim; k++)
        c->sum[k] = s->sum[k] + p.sum[k];
    if (n_cross > 0) {
        const struct fr_slot *cross = q->cross + (size_t)(at + i) * sx;
        float *x = c->x + (size_t)i * (size_t)n_cross * (size_t)dim;
        if (at + i + FR_FETCH_AHEAD < q->n)
            slots_soon(m, FR_ENTITY_CROSS, cross + FR_FETCH_AHEAD * sx);
        out += fr_ctr_linear(m, FR_ENTITY_CROSS, cross);
        fr_embed_group(m->enc, &d->em, FR_ENTITY_CROSS, cross, x);
        if ((d->parts & FR_CTR_PAIR) != 0)
            fr_ctr_pair_sums(x, n_cross, dim, c->sum, &sq);
    }
    if ((d->parts & FR_CTR_PAIR) != 0)
        out += 0.5f * (fr_dot(c->sum, c->sum, (size_t)dim) - sq);
    return out;
}

void fr_ctr_heads(const struct fr_ctr_impl *d, const float *h, int rows, float *out, float *raw)
{
    int last = d->mlp.n_layers - 1;
    size_t width = (size_t)d->mlp.width[last];

    for (int i = 0; i < rows; i++)
        out[i] += d->mlp.bias[last][0] + fr_dot(d->mlp.w[last], h + (size_t)i * width, width);
    for (int i = 0; i < rows && raw != NULL; i++)
        raw[i] += fr_dot(d->value_deep, h + (size_t)i * width, width);
}

/* The layers after the first: adds the network's output to out (rows), the value head's to raw. */
static void add_layers(const struct fr_ctr_impl *d,
                       int rows,
                       struct scratch *c,
                       struct fr_fetch_list *ahead,
                       float *out,
                       float *raw)
{
    int last = d->mlp.n_layers - 1;
    float *h = c->hidden, *next = c->hidden2;

    for (int l = 1; l < last; l++) {
        float *done = h;
        fr_packed_linear(d->layer[l],
                         h,
                         (size_t)d->mlp.width[l],
                         rows,
                         FR_PACKED_RELU,
                         next,
                         (size_t)d->mlp.width[l + 1],
                         ahead);
        h = next;
        next = done;
    }
    fr_ctr_heads(d, h, rows, out, raw);
}

/* Rows [at, at + rows) of the query; the next tile's payloads are fetched in the products' shadow. */
static void rank_tile(const struct fr_model *m,
                      const struct fr_rank_query *q,
                      const struct fr_ctr_shared *s,
                      int at,
                      int rows,
                      float *const *payload,
                      struct fr_fetch_list *ahead,
                      struct scratch *c,
                      float *out,
                      float *raw)
{
    const struct fr_ctr_impl *d = m->impl;
    bool has_cross = d->n_cand > d->n_item;

    for (int i = 0; i < rows; i++)
        out[at + i] = add_row(m, q, s, at, i, payload[i], c);
    ahead->products = d->mlp.n_layers - 2 + has_cross;
    if (has_cross)
        fr_packed_linear(d->of_cross,
                         c->x,
                         (size_t)(d->n_cand - d->n_item) * (size_t)d->cfg.dim,
                         rows,
                         FR_PACKED_ADD | FR_PACKED_RELU,
                         c->hidden,
                         (size_t)d->mlp.width[1],
                         ahead);
    add_layers(d, rows, c, ahead, out + at, raw == NULL ? NULL : raw + at);
    fr_fetch_more(ahead, fr_fetch_left(ahead)); /* there was no product, or a slow one */
}

enum fr_err fr_ctr_rank(const struct fr_model *m,
                        const struct fr_rank_query *q,
                        unsigned flags,
                        struct fr_arena *ar,
                        float *out,
                        float *raw)
{
    const struct fr_ctr_impl *d = m->impl;
    size_t floats;
    struct fr_ctr_shared s;
    struct scratch c;

    for (int i = 0; i < q->n && raw != NULL; i++)
        raw[i] = d->value_bias;
    if ((d->parts & FR_CTR_ATTENTION) != 0)
        return fr_ctr_rank_attention(m, q, flags, ar, out, raw);
    if ((flags & FR_SCORE_DETERMINISTIC) != 0 || d->mlp.n_layers == 0)
        return fr_ctr_rank_fixed(m, q, flags, ar, out, raw);
    floats = payload_floats(d);
    bool cached = d->n_item > 0 && q->cache != NULL;
    int round = cached ? ROUND : TILE; /* without a cache, what is computed of an item is read again at once */
    enum fr_err e = fr_ctr_shared(m, q, false, ar, &s);
    round = q->n < round ? q->n : round;
    if (e == FR_OK)
        e = alloc_scratch(d, round, ar, &c);
    for (int from = 0; from < q->n && e == FR_OK; from += round) {
        int rows = q->n - from < round ? q->n - from : round;
        bool room = cached && fr_rank_cache_begin(q->cache, m->serial, m->enc->n_slots[FR_ENTITY_ITEM], floats);

        find_items(m, d->n_item > 0 ? q->items + from : NULL, room ? q->cache : NULL, rows, &c);
        for (int i = 0; i < rows && i < TILE; i++)
            fr_fetch(c.payload[i], floats * sizeof(float));
        for (int i = 0; i < rows; i += TILE) {
            int next = i + TILE < rows ? i + TILE : rows, end = next + TILE < rows ? next + TILE : rows;
            struct fr_fetch_list ahead = {
                .block = (const float *const *)(c.payload + next), .n = end - next, .bytes = floats * sizeof(float)};
            rank_tile(m, q, &s, from + i, next - i, c.payload + i, &ahead, &c, out, raw);
        }
    }
    return e;
}
