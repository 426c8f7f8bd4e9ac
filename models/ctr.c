/*
 * models/ctr.c - inference: the user's part once, candidates in chunks of 256 rows.
 */
#include "models/ctr.h"

#include <string.h>

#include "daemon/base/alloc.h"
#include "models/embed.h"
#include "models/gemm.h"
#include "models/model_priv.h"
#include "models/rank_cache.h"

#define CHUNK FR_GEMM_PAD_ROWS
#define CACHED_CHUNK 512 /* rows; no padding there: fewer products of more rows */

/* Views into the model's tensors. */
struct impl {
    struct fr_ctr_config cfg;
    unsigned parts;
    struct fr_embed em;
    const float *lin[FR_MAX_FIELDS]; /* by table: (rows) */
    float w0;
    struct fr_mlp mlp;  /* n_layers 0 = none */
    int n_user, n_cand; /* fields of user + context, of item + cross */
};

/* What one query computes once. */
struct shared {
    float *sum;    /* (D) sum of e_f over user and context fields */
    float *hidden; /* (H1) bias + their part of the first layer */
    float sq;      /* sum of ||e_f||^2 */
    float lin;     /* w0 + their linear part */
};

static float linear_part(const struct fr_encoder *enc,
                         const struct impl *d,
                         enum fr_entity e,
                         const struct fr_slot *slots)
{
    float s = 0;
    for (int i = enc->first_field[e]; i < enc->first_field[e + 1]; i++)
        s += fr_gather_dot(
            d->lin[enc->field[i].table], slots + enc->field[i].slot0, enc->field[i].f.slots);
    return s;
}

/* sum += each of the n fields, *sq += its square norm. */
static void pair_sums(const float *x, int n, int dim, float *sum, float *sq)
{
    for (int f = 0; f < n; f++, x += dim) {
        for (int k = 0; k < dim; k++)
            sum[k] += x[k];
        *sq += fr_dot(x, x, (size_t)dim);
    }
}

static enum fr_err shared_part(const struct fr_model *m,
                               const struct fr_rank_query *q,
                               struct fr_arena *ar,
                               struct shared *s)
{
    const struct impl *d = m->impl;
    const struct fr_encoder *enc = m->enc;
    int dim = d->cfg.dim;
    int h1 = d->mlp.n_layers > 0 ? d->mlp.width[1] : 0;
    float *x = fr_arena_array(ar, (size_t)d->n_user * (size_t)dim + 1, sizeof(*x));

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
        pair_sums(x, d->n_user, dim, s->sum, &s->sq);
    s->lin = d->w0 + linear_part(enc, d, FR_ENTITY_USER, q->user) +
             linear_part(enc, d, FR_ENTITY_CONTEXT, q->context);
    if (h1 > 0) {
        int in = d->mlp.width[0], k = d->n_user * dim;
        memcpy(s->hidden, d->mlp.bias[0], (size_t)h1 * sizeof(*s->hidden));
        fr_gemm(false, true, 1, h1, k, 1, x, k > 0 ? k : 1, d->mlp.w[0], in, 1, s->hidden, h1);
    }
    return FR_OK;
}

/* Buffers of one chunk, reused for all. */
struct chunk {
    float *x;      /* (CHUNK, item and cross fields, D) */
    float *hidden; /* (CHUNK, H1) */
    float *mlp;    /* (CHUNK) */
    float *sum;    /* (D) */
};

/* Gathers row i and writes its linear and pair part to *out. */
static void gather_row(const struct fr_model *m,
                       const struct fr_rank_query *q,
                       const struct shared *s,
                       int i,
                       float *x,
                       float *sum,
                       float *out)
{
    const struct impl *d = m->impl;
    const struct fr_encoder *enc = m->enc;
    int dim = d->cfg.dim;
    size_t sx = enc->n_slots[FR_ENTITY_CROSS];
    const struct fr_slot *item = enc->n_slots[FR_ENTITY_ITEM] > 0 ? q->items[i] : NULL;
    const struct fr_slot *cross = sx > 0 ? q->cross + (size_t)i * sx : NULL;
    float sq = s->sq;

    *out = s->lin + linear_part(enc, d, FR_ENTITY_ITEM, item) +
           linear_part(enc, d, FR_ENTITY_CROSS, cross);
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
    pair_sums(x, d->n_cand, dim, sum, &sq);
    *out += 0.5f * (fr_dot(sum, sum, (size_t)dim) - sq);
}

/* MLP of `rows` gathered rows (a padded number in deterministic mode). */
static enum fr_err mlp_part(const struct impl *d,
                            const struct shared *s,
                            const struct chunk *c,
                            int rows,
                            struct fr_arena *ar)
{
    int in = d->mlp.width[0], h1 = d->mlp.width[1];
    int k = d->n_cand * d->cfg.dim, k0 = d->n_user * d->cfg.dim;

    for (int i = 0; i < rows; i++)
        memcpy(c->hidden + (size_t)i * (size_t)h1, s->hidden, (size_t)h1 * sizeof(*c->hidden));
    fr_gemm(
        false, true, rows, h1, k, 1, c->x, k > 0 ? k : 1, d->mlp.w[0] + k0, in, 1, c->hidden, h1);
    fr_nn_relu(c->hidden, (size_t)rows * (size_t)h1);
    return fr_mlp_forward(&d->mlp, 1, c->hidden, rows, ar, c->mlp);
}

/* ---- with a cache of items ---- */

/* What is kept of an item: its part of the first layer (H1), sum of e_f (D), sum of ||e_f||^2,
 * linear. */
struct item_part {
    const float *hidden, *sum;
    float sq, lin;
};

static struct item_part item_part(const struct impl *d, const float *payload)
{
    size_t h1 = (size_t)d->mlp.width[1], dim = (size_t)d->cfg.dim;
    return (struct item_part){payload, payload + h1, payload[h1 + dim], payload[h1 + dim + 1]};
}

/* Buffers of one chunk with a cache. */
struct cached_chunk {
    float **payload; /* (CHUNK) by row */
    int *row;        /* (CHUNK) rows whose payload is to be filled */
    float *x;        /* (CHUNK, item fields, D) embeddings of those, then of cross fields */
    float *made;     /* (CHUNK, H1) */
    float *spare;    /* (CHUNK, payload) where the cache has no room */
    float *hidden;   /* (CHUNK, H1) */
    float *mlp;      /* (CHUNK) */
    float *sum;      /* (D) */
};

static size_t payload_floats(const struct impl *d)
{
    return (size_t)d->mlp.width[1] + (size_t)d->cfg.dim + 2;
}

static enum fr_err alloc_cached(
    const struct impl *d, int cap, int n_fields, struct fr_arena *ar, struct cached_chunk *c)
{
    size_t n = (size_t)cap, h1 = (size_t)d->mlp.width[1], dim = (size_t)d->cfg.dim;

    c->payload = fr_arena_array(ar, n, sizeof(*c->payload));
    c->row = fr_arena_array(ar, n, sizeof(*c->row));
    c->x = fr_arena_array(ar, n * (size_t)n_fields * dim + 1, sizeof(float));
    c->made = fr_arena_array(ar, n * h1, sizeof(float));
    c->spare = fr_arena_array(ar, n * payload_floats(d), sizeof(float));
    c->hidden = fr_arena_array(ar, n * h1, sizeof(float));
    c->mlp = fr_arena_array(ar, n, sizeof(float));
    c->sum = fr_arena_array(ar, dim, sizeof(float));
    bool ok = c->payload != NULL && c->row != NULL && c->x != NULL && c->made != NULL &&
              c->spare != NULL && c->hidden != NULL && c->mlp != NULL && c->sum != NULL;
    return ok ? FR_OK : FR_ENOMEM;
}

/* Payloads of rows [at, at + rows): found, or computed together and kept. */
static void find_items(const struct fr_model *m,
                       const struct fr_rank_query *q,
                       int at,
                       int rows,
                       struct cached_chunk *c)
{
    const struct impl *d = m->impl;
    const struct fr_encoder *enc = m->enc;
    int n_item = fr_encoder_n_fields(enc, FR_ENTITY_ITEM), dim = d->cfg.dim;
    int h1 = d->mlp.width[1], ki = n_item * dim, misses = 0;

    for (int i = 0; i < rows; i++) {
        const struct fr_slot *item = q->items[at + i];
        if (fr_rank_cache_find(q->cache, item, &c->payload[i]))
            continue;
        if (c->payload[i] == NULL)
            c->payload[i] = c->spare + (size_t)misses * payload_floats(d);
        float *x = c->x + (size_t)misses * (size_t)ki, *p = c->payload[i] + h1;
        memset(p, 0, ((size_t)dim + 1) * sizeof(*p));
        fr_embed_group(enc, &d->em, FR_ENTITY_ITEM, item, x);
        if ((d->parts & FR_CTR_PAIR) != 0)
            pair_sums(x, n_item, dim, p, &p[dim]);
        p[dim + 1] = linear_part(enc, d, FR_ENTITY_ITEM, item);
        c->row[misses++] = i;
    }
    if (misses == 0)
        return;
    fr_gemm(false,
            true,
            misses,
            h1,
            ki,
            1,
            c->x,
            ki,
            d->mlp.w[0] + d->n_user * dim,
            d->mlp.width[0],
            0,
            c->made,
            h1);
    for (int k = 0; k < misses; k++)
        memcpy(
            c->payload[c->row[k]], c->made + (size_t)k * (size_t)h1, (size_t)h1 * sizeof(*c->made));
}

/* The first layer of a chunk, before its ReLU, and the linear and pair parts. */
static void add_items(const struct fr_model *m,
                      const struct fr_rank_query *q,
                      const struct shared *s,
                      int at,
                      int rows,
                      struct cached_chunk *c,
                      float *out)
{
    const struct impl *d = m->impl;
    const struct fr_encoder *enc = m->enc;
    int n_cross = fr_encoder_n_fields(enc, FR_ENTITY_CROSS), dim = d->cfg.dim;
    size_t sx = enc->n_slots[FR_ENTITY_CROSS], h1 = (size_t)d->mlp.width[1];
    size_t kx = (size_t)n_cross * (size_t)dim;

    for (int i = 0; i < rows; i++) {
        struct item_part p = item_part(d, c->payload[i]);
        float *h = c->hidden + (size_t)i * h1, *x = c->x + (size_t)i * kx, sq = s->sq + p.sq;
        for (size_t j = 0; j < h1; j++)
            h[j] = s->hidden[j] + p.hidden[j];
        out[i] = s->lin + p.lin;
        for (int k = 0; k < dim; k++)
            c->sum[k] = s->sum[k] + p.sum[k];
        if (n_cross > 0) {
            const struct fr_slot *cross = q->cross + (size_t)(at + i) * sx;
            out[i] += linear_part(enc, d, FR_ENTITY_CROSS, cross);
            fr_embed_group(enc, &d->em, FR_ENTITY_CROSS, cross, x);
            if ((d->parts & FR_CTR_PAIR) != 0)
                pair_sums(x, n_cross, dim, c->sum, &sq);
        }
        if ((d->parts & FR_CTR_PAIR) != 0)
            out[i] += 0.5f * (fr_dot(c->sum, c->sum, (size_t)dim) - sq);
    }
    if (n_cross > 0)
        fr_gemm(false,
                true,
                rows,
                (int)h1,
                (int)kx,
                1,
                c->x,
                (int)kx,
                d->mlp.w[0] + d->mlp.width[0] - kx,
                d->mlp.width[0],
                1,
                c->hidden,
                (int)h1);
}

static enum fr_err rank_cached(const struct fr_model *m,
                               const struct fr_rank_query *q,
                               const struct shared *s,
                               struct fr_arena *ar,
                               float *out)
{
    const struct impl *d = m->impl;
    int cap = q->n < CACHED_CHUNK ? q->n : CACHED_CHUNK;
    struct cached_chunk c = {0};
    enum fr_err e = alloc_cached(d, cap, d->n_cand, ar, &c);

    for (int at = 0; at < q->n && e == FR_OK; at += cap) {
        int rows = q->n - at < cap ? q->n - at : cap;
        (void)fr_rank_cache_begin(
            q->cache, m->serial, m->enc->n_slots[FR_ENTITY_ITEM], payload_floats(d));
        find_items(m, q, at, rows, &c);
        add_items(m, q, s, at, rows, &c, out + at);
        fr_nn_relu(c.hidden, (size_t)rows * (size_t)d->mlp.width[1]);
        e = fr_mlp_forward(&d->mlp, 1, c.hidden, rows, ar, c.mlp);
        for (int i = 0; i < rows && e == FR_OK; i++)
            out[at + i] += c.mlp[i];
    }
    return e;
}

/* A cache helps where there is a first layer and a set fits. */
static bool use_cache(const struct fr_model *m, const struct fr_rank_query *q, unsigned flags)
{
    const struct impl *d = m->impl;
    return q->cache != NULL && (flags & FR_SCORE_DETERMINISTIC) == 0 && d->mlp.n_layers > 0 &&
           fr_encoder_n_fields(m->enc, FR_ENTITY_ITEM) > 0 &&
           fr_rank_cache_begin(
               q->cache, m->serial, m->enc->n_slots[FR_ENTITY_ITEM], payload_floats(d));
}

static enum fr_err rank(const struct fr_model *m,
                        const struct fr_rank_query *q,
                        unsigned flags,
                        struct fr_arena *ar,
                        float *out)
{
    const struct impl *d = m->impl;
    size_t kx = (size_t)d->n_cand * (size_t)d->cfg.dim;
    bool fixed = (flags & FR_SCORE_DETERMINISTIC) != 0;
    int cap = fixed || q->n > CHUNK ? CHUNK : q->n;
    size_t h1 = d->mlp.n_layers > 0 ? (size_t)d->mlp.width[1] : 0;
    struct shared s;
    struct chunk c;
    enum fr_err e = shared_part(m, q, ar, &s);

    if (e != FR_OK)
        return e;
    if (use_cache(m, q, flags))
        return rank_cached(m, q, &s, ar, out);
    c.x = fr_arena_array(ar, (size_t)cap * kx + 1, sizeof(float));
    c.hidden = fr_arena_array(ar, (size_t)cap * h1 + 1, sizeof(float));
    c.mlp = fr_arena_array(ar, (size_t)cap, sizeof(float));
    c.sum = fr_arena_array(ar, (size_t)d->cfg.dim, sizeof(float));
    if (c.x == NULL || c.hidden == NULL || c.mlp == NULL || c.sum == NULL)
        return FR_ENOMEM;
    for (int at = 0; at < q->n; at += cap) {
        int rows = q->n - at < cap ? q->n - at : cap;
        int padded = fixed ? cap : rows;
        for (int i = 0; i < rows; i++)
            gather_row(m, q, &s, at + i, c.x + (size_t)i * kx, c.sum, &out[at + i]);
        if (d->mlp.n_layers == 0)
            continue;
        memset(c.x + (size_t)rows * kx, 0, (size_t)(padded - rows) * kx * sizeof(float));
        if ((e = mlp_part(d, &s, &c, padded, ar)) != FR_OK)
            return e;
        for (int i = 0; i < rows; i++)
            out[at + i] += c.mlp[i];
    }
    return FR_OK;
}

/* ---- construction ---- */

static enum fr_err bind(struct fr_model *m,
                        const struct fr_encoder *enc,
                        const struct fr_ctr_config *cfg,
                        struct fr_fault *fault)
{
    struct impl *d = m->impl;
    int width[FR_MLP_MAX_LAYERS + 1];
    const float *w0 = NULL;
    enum fr_err e;

    d->cfg = *cfg;
    d->parts = fr_ctr_parts(cfg->kind);
    d->em.dim = cfg->dim;
    d->n_user =
        fr_encoder_n_fields(enc, FR_ENTITY_USER) + fr_encoder_n_fields(enc, FR_ENTITY_CONTEXT);
    d->n_cand = enc->n_fields - d->n_user;
    width[0] = enc->n_fields * cfg->dim;
    memcpy(width + 1, cfg->hidden, (size_t)cfg->n_hidden * sizeof(*width));
    width[cfg->n_hidden + 1] = 1;
    if ((e = fr_tensor_require(m->tensor, m->n_tensors, "bias", 1, 0, &w0, fault)) != FR_OK ||
        (cfg->dim > 0 &&
         (e = fr_model_bind_tables(m, enc, "embedding", cfg->dim, d->em.v, fault)) != FR_OK) ||
        (e = fr_model_bind_tables(m, enc, "linear", 1, d->lin, fault)) != FR_OK)
        return e;
    d->w0 = *w0;
    int layers = cfg->n_hidden > 0 ? cfg->n_hidden + 1 : 0;
    if (layers > 0 &&
        (e = fr_mlp_bind(&d->mlp, "mlp", width, layers, false, m->tensor, m->n_tensors, fault)) !=
            FR_OK)
        return e;
    int expect = 1 + (cfg->dim > 0 ? 2 : 1) * enc->n_tables + 2 * layers;
    if (m->n_tensors != expect)
        return fr_fault(fault,
                        FR_EMISMATCH,
                        "%s needs %d tensors, %d are there",
                        fr_model_kind_name(cfg->kind),
                        expect,
                        m->n_tensors);
    return FR_OK;
}

unsigned fr_ctr_parts(enum fr_model_kind kind)
{
    switch (kind) {
    case FR_MODEL_LR:
        return FR_CTR_LINEAR;
    case FR_MODEL_FM:
        return FR_CTR_LINEAR | FR_CTR_PAIR;
    case FR_MODEL_WIDE_DEEP:
        return FR_CTR_LINEAR | FR_CTR_DEEP;
    case FR_MODEL_DEEPFM:
        return FR_CTR_LINEAR | FR_CTR_PAIR | FR_CTR_DEEP;
    default:
        return 0;
    }
}

enum fr_err fr_ctr_config_check(const struct fr_ctr_config *cfg, struct fr_fault *fault)
{
    const char *name = fr_model_kind_name(cfg->kind);
    unsigned parts = fr_ctr_parts(cfg->kind);
    int max_dim = parts == FR_CTR_LINEAR ? 0 : 512;
    int max_hidden = (parts & FR_CTR_DEEP) != 0 ? FR_MLP_MAX_LAYERS - 1 : 0;

    if (parts == 0)
        return fr_fault(fault, FR_EINVAL, "%s is no model of sums of parts", name);
    if (cfg->dim < (max_dim > 0 ? 1 : 0) || cfg->dim > max_dim)
        return fr_fault(fault, FR_EINVAL, "%s: dim out of range", name);
    if (cfg->n_hidden < 0 || cfg->n_hidden > max_hidden)
        return fr_fault(fault, FR_EINVAL, "%s: number of layers out of range", name);
    for (int i = 0; i < cfg->n_hidden; i++)
        if (cfg->hidden[i] < 1 || cfg->hidden[i] > FR_NN_MAX_WIDTH)
            return fr_fault(fault, FR_EINVAL, "%s: hidden[%d] out of range", name, i);
    return FR_OK;
}

enum fr_err fr_ctr_new(struct fr_encoder **take_enc,
                       const struct fr_ctr_config *cfg,
                       const struct fr_tensor *t,
                       int n,
                       struct fr_model **out_m,
                       struct fr_fault *fault)
{
    struct fr_model *m = NULL;
    enum fr_err e = fr_ctr_config_check(cfg, fault);

    if (e != FR_OK)
        return e;
    if ((e = fr_model_frame(cfg->kind, *take_enc, t, n, &m, fault)) != FR_OK)
        return e;
    m->impl = fr_calloc(1, sizeof(struct impl));
    e = m->impl == NULL ? fr_fault(fault, FR_ENOMEM, "model: out of memory")
                        : bind(m, *take_enc, cfg, fault);
    if (e != FR_OK) {
        fr_model_free(m);
        return e;
    }
    m->enc = *take_enc;
    *take_enc = NULL;
    *out_m = m;
    return FR_OK;
}

static enum fr_err load(enum fr_model_kind kind,
                        struct fr_encoder **take_enc,
                        const struct fr_json *config,
                        const struct fr_tensor *t,
                        int n,
                        struct fr_model **out_m,
                        struct fr_fault *fault)
{
    struct fr_ctr_config cfg = {.kind = kind};
    enum fr_err e = fr_model_config_int(config, "dim", 0, 512, &cfg.dim, fault);
    if (e == FR_OK)
        e = fr_model_config_hidden(config, FR_MLP_MAX_LAYERS - 1, cfg.hidden, &cfg.n_hidden, fault);
    return e == FR_OK ? fr_ctr_new(take_enc, &cfg, t, n, out_m, fault) : e;
}

static void describe(const struct fr_model *m, struct fr_jsonw *w)
{
    const struct impl *d = m->impl;
    fr_jsonw_key(w, "dim");
    fr_jsonw_i64(w, d->cfg.dim);
    fr_jsonw_key(w, "hidden");
    fr_jsonw_array(w);
    for (int i = 0; i < d->cfg.n_hidden; i++)
        fr_jsonw_i64(w, d->cfg.hidden[i]);
    fr_jsonw_end(w, ']');
}

const struct fr_model_ops fr_ctr_ops = {
    .job = FR_JOB_RANKER,
    .load = load,
    .describe = describe,
    .free_impl = fr_free,
    .rank = rank,
    .embed = NULL,
};
