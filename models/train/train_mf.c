/*
 * models/train/train_mf.c - blocks of examples, rounds of workers.
 */
#include "models/train/train_mf.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "daemon/base/alloc.h"
#include "models/ncf.h"
#include "models/model_parts.h"
#include "models/nn.h"
#include "models/train/loss.h"
#include "models/train/pool.h"
#include "models/train/train_from.h"

#define MAX_THREADS 64
#define AHEAD 3 /* examples asked of the memory before they are needed */

struct example {
    uint32_t user, item;
    float label;
};

/* One side's weights; row 0 is the unknown id's and stays zero. */
struct side {
    uint32_t n;   /* ids */
    size_t rows;  /* n + 1 */
    float *v, *b; /* (rows, dim) (rows) */
    char name[FR_TENSOR_NAME], linear[FR_TENSOR_NAME];
};

struct worker {
    double loss;
    float bias; /* its own copy within a round */
};

struct fr_train_mf {
    struct fr_mf_train_config cfg;
    struct fr_encoder *enc;
    struct side user, item;
    float bias;
    struct fr_pool *pool;
    struct worker w[MAX_THREADS];
    /* the pass in flight */
    struct example *ex;
    size_t *block; /* (threads * threads + 1) first example of block user * threads + item */
    int round;
};

void fr_mf_train_config_default(struct fr_mf_train_config *c)
{
    *c = (struct fr_mf_train_config){.user = "user",
                                     .item = "item",
                                     .dim = 64,
                                     .lr = 0.002f,
                                     .reg = 0.005f,
                                     .init_std = 0.1f,
                                     .seed = 1,
                                     .threads = 1};
}

static enum fr_err side_new(struct fr_train_mf *tr,
                            enum fr_entity e,
                            const struct fr_cell *cells,
                            uint32_t n,
                            struct fr_rng *rng,
                            struct side *s)
{
    struct fr_encoder *enc = tr->enc;
    const struct fr_enc_table *t = &enc->table[fr_ncf_table(enc, e)];
    size_t dim = (size_t)tr->cfg.dim, stride = enc->n_cells[e];

    *s = (struct side){.n = n, .rows = (size_t)n + 1};
    (void)snprintf(s->name, sizeof(s->name), "embedding.%s.weight", t->name);
    (void)snprintf(s->linear, sizeof(s->linear), "linear.%s.weight", t->name);
    for (uint32_t i = 0; i < n; i++) {
        enum fr_err err = fr_encoder_observe(enc, e, cells + i * stride);

        if (err != FR_OK)
            return err;
        if (t->rows != i + 2)
            return cells[i * stride + enc->field[enc->first_field[e]].f.first].id == 0
                       ? FR_EINVAL
                       : FR_EDUPLICATE;
    }
    s->v = fr_calloc_aligned(s->rows * dim, sizeof(float));
    s->b = fr_calloc_aligned(s->rows, sizeof(float));
    if (s->v == NULL || s->b == NULL)
        return FR_ENOMEM;
    for (size_t k = dim; k < s->rows * dim; k++)
        s->v[k] = tr->cfg.init_std * (float)fr_rng_normal(rng);
    return FR_OK;
}

enum fr_err fr_train_mf_new(const struct fr_mf_train_config *cfg,
                            const struct fr_field_set *fs,
                            const struct fr_cell *user,
                            uint32_t n_user,
                            const struct fr_cell *item,
                            uint32_t n_item,
                            struct fr_train_mf **out_tr,
                            struct fr_fault *fault)
{
    const unsigned entities = 1u << FR_ENTITY_USER | 1u << FR_ENTITY_ITEM;
    const char *names[2] = {cfg->user, cfg->item};
    struct fr_train_mf *tr = NULL;
    struct fr_rng rng;
    enum fr_err e;

    if (cfg->dim < 1 || cfg->dim > FR_MF_MAX_DIM)
        return fr_fault(fault, FR_EINVAL, "mf: dim must be 1..%d", FR_MF_MAX_DIM);
    if (cfg->threads < 1 || cfg->threads > MAX_THREADS)
        return fr_fault(fault, FR_EINVAL, "mf: threads must be 1..%d", MAX_THREADS);
    if (!(cfg->lr > 0) || !(cfg->reg >= 0) || !(cfg->init_std >= 0))
        return fr_fault(fault, FR_EINVAL, "mf: lr above 0, reg and init_std at least 0");
    if ((tr = fr_calloc(1, sizeof(*tr))) == NULL)
        return fr_fault(fault, FR_ENOMEM, "trainer: out of memory");
    tr->cfg = *cfg;
    e = fr_encoder_new(fs, names, 2, entities, UINT32_MAX >> 1, 1, &tr->enc, fault);
    if (e == FR_OK)
        e = fr_ncf_check_fields(tr->enc, "mf", fault);
    if (e != FR_OK)
        goto out;
    fr_rng_seed(&rng, cfg->seed);
    e = side_new(tr, FR_ENTITY_USER, user, n_user, &rng, &tr->user);
    if (e == FR_OK)
        e = side_new(tr, FR_ENTITY_ITEM, item, n_item, &rng, &tr->item);
    if (e == FR_OK)
        e = fr_pool_new(cfg->threads, &tr->pool);
    if (e != FR_OK) {
        e = fr_fault(fault, e, "trainer: %s", fr_err_text(e));
        goto out;
    }
    *out_tr = tr;
    tr = NULL;
out:
    fr_train_mf_free(tr);
    return e;
}

void fr_train_mf_free(struct fr_train_mf *tr)
{
    if (tr == NULL)
        return;
    fr_pool_free(tr->pool);
    fr_encoder_free(tr->enc);
    fr_free(tr->user.v);
    fr_free(tr->user.b);
    fr_free(tr->item.v);
    fr_free(tr->item.b);
    fr_free(tr->ex);
    fr_free(tr->block);
    fr_free(tr);
}

/* ---- a pass ---- */

static int block_of(const struct fr_train_mf *tr, uint32_t user, uint32_t item)
{
    uint32_t t = (uint32_t)tr->cfg.threads;

    return (int)(user % t * t + item % t);
}

/* Examples by block, in their order. */
static enum fr_err lay_out(struct fr_train_mf *tr,
                           const uint32_t *user,
                           const uint32_t *item,
                           const float *label,
                           size_t n)
{
    size_t blocks = (size_t)tr->cfg.threads * (size_t)tr->cfg.threads;
    struct example *ex = fr_realloc_array(tr->ex, n + 1, sizeof(*ex));

    if (ex != NULL)
        tr->ex = ex;
    fr_free(tr->block);
    tr->block = fr_calloc(blocks + 2, sizeof(*tr->block));
    if (ex == NULL || tr->block == NULL)
        return FR_ENOMEM;
    for (size_t i = 0; i < n; i++) {
        if (user[i] >= tr->user.n || item[i] >= tr->item.n)
            return FR_EINVAL;
        tr->block[block_of(tr, user[i], item[i]) + 2]++;
    }
    for (size_t b = 2; b < blocks + 2; b++)
        tr->block[b] += tr->block[b - 1];
    for (size_t i = 0; i < n; i++) /* block[b + 1] runs from the beginning of b to its end */
        ex[tr->block[block_of(tr, user[i], item[i]) + 1]++] =
            (struct example){user[i] + 1, item[i] + 1, label[i]};
    return FR_OK;
}

/* A row that is needed soon: the tables are larger than the second cache, and the next row is anywhere. */
static void expect(const float *row, size_t dim)
{
    for (size_t d = 0; d < dim; d += 64 / sizeof(float))
        __builtin_prefetch(row + d, 1);
}

/* One worker's block of the round. */
static void round_of(void *arg, int worker)
{
    struct fr_train_mf *tr = arg;
    struct worker *w = &tr->w[worker];
    int t = tr->cfg.threads, b = worker * t + (worker + tr->round) % t;
    size_t dim = (size_t)tr->cfg.dim;
    float lr = tr->cfg.lr, keep = 1 - lr * tr->cfg.reg, bias = tr->bias;
    double loss = 0;

    for (size_t i = tr->block[b]; i < tr->block[b + 1]; i++) {
        struct example x = tr->ex[i], later = tr->ex[i + AHEAD < tr->block[b + 1] ? i + AHEAD : i];

        expect(tr->user.v + later.user * dim, dim);
        expect(tr->item.v + later.item * dim, dim);
        float *p = tr->user.v + x.user * dim, *q = tr->item.v + x.item * dim;
        float *bu = &tr->user.b[x.user], *bi = &tr->item.b[x.item];
        float dz;

        loss += fr_loss_bce(bias + *bu + *bi + fr_dot(p, q, dim), x.label, &dz);
        fr_mix_pair(keep, -lr * dz, p, q, dim);
        *bu = keep * *bu - lr * dz;
        *bi = keep * *bi - lr * dz;
        bias = keep * bias - lr * dz;
    }
    w->loss += loss;
    w->bias = bias;
}

enum fr_err fr_train_mf_pass(struct fr_train_mf *tr,
                             const uint32_t *user,
                             const uint32_t *item,
                             const float *label,
                             size_t n,
                             double *out_loss)
{
    enum fr_err e = lay_out(tr, user, item, label, n);
    double loss = 0;

    if (e != FR_OK)
        return e;
    memset(tr->w, 0, sizeof(tr->w));
    for (tr->round = 0; tr->round < tr->cfg.threads; tr->round++) {
        float sum = 0;

        fr_pool_run(tr->pool, round_of, tr);
        for (int i = 0; i < tr->cfg.threads;
             i++) /* every worker's change of the one bias they share */
            sum += tr->w[i].bias - tr->bias;
        tr->bias += sum;
    }
    for (int i = 0; i < tr->cfg.threads; i++)
        loss += tr->w[i].loss;
    *out_loss = n > 0 ? loss / (double)n : 0;
    return isfinite(loss) ? FR_OK : FR_ENONFINITE;
}

/* ---- results ---- */

enum fr_err
fr_train_mf_model(const struct fr_train_mf *tr, struct fr_model **out_m, struct fr_fault *fault)
{
    const struct side *s[2] = {&tr->user, &tr->item};
    struct fr_encoder *enc = NULL;
    struct fr_tensor t[5];
    enum fr_err e = fr_encoder_clone(tr->enc, &enc);

    if (e == FR_OK)
        e = fr_tensor_f32(&t[0], "bias", 1, 0, &tr->bias);
    for (int i = 0; i < 2 && e == FR_OK; i++) {
        e = fr_tensor_f32(&t[1 + 2 * i], s[i]->name, s[i]->rows, (uint64_t)tr->cfg.dim, s[i]->v);
        if (e == FR_OK)
            e = fr_tensor_f32(&t[2 + 2 * i], s[i]->linear, s[i]->rows, 1, s[i]->b);
    }
    e = e == FR_OK ? fr_mf_new(&enc, tr->cfg.dim, t, 5, FR_WEIGHTS_COPY, out_m, fault)
                   : fr_fault(fault, e, "trainer: %s", fr_err_text(e));
    fr_encoder_free(enc);
    return e;
}

enum fr_err fr_train_mf_from(struct fr_train_mf *tr, const struct fr_model *m, struct fr_fault *fault)
{
    struct side *s[2] = {&tr->user, &tr->item};
    const enum fr_entity entity[2] = {FR_ENTITY_USER, FR_ENTITY_ITEM};
    struct fr_model *own = NULL;
    const float *bias = NULL;
    int n = 0;
    const struct fr_tensor *t = fr_model_tensors(m, &n);
    enum fr_err e = fr_train_mf_model(tr, &own, fault);

    if (e == FR_OK)
        e = fr_train_from_check(own, m, fault);
    if (e == FR_OK)
        e = fr_tensor_require(t, n, "bias", 1, 0, &bias, fault);
    for (int i = 0; i < 2 && e == FR_OK; i++) {
        int table = fr_ncf_table(tr->enc, entity[i]);

        e = fr_train_from_table(m, tr->enc, table, s[i]->name, tr->cfg.dim, s[i]->v, fault);
        if (e == FR_OK)
            e = fr_train_from_table(m, tr->enc, table, s[i]->linear, 1, s[i]->b, fault);
    }
    if (e == FR_OK)
        tr->bias = *bias;
    fr_model_free(own);
    return e;
}

void fr_train_mf_set_lr(struct fr_train_mf *tr, float lr)
{
    tr->cfg.lr = lr;
}

/* ---- checkpoints ---- */

void fr_train_mf_checkpoint(struct fr_train_mf *tr, struct fr_checkpoint *ck)
{
    struct side *s[2] = {&tr->user, &tr->item};

    fr_checkpoint_same_str(ck, "kind", fr_model_kind_name(FR_MODEL_MF));
    fr_checkpoint_same_u64(ck, "dim", (uint64_t)tr->cfg.dim);
    fr_checkpoint_same_u64(ck, "seed", tr->cfg.seed);
    fr_checkpoint_same_u64(ck, "threads", (uint64_t)tr->cfg.threads);
    fr_checkpoint_same_f64(ck, "reg", (double)tr->cfg.reg);
    fr_checkpoint_same_f64(ck, "init_std", (double)tr->cfg.init_std);
    fr_checkpoint_f32(ck, "lr", &tr->cfg.lr);
    fr_checkpoint_encoder(ck, tr->enc, true);
    fr_checkpoint_f32s(ck, "w.bias", &tr->bias, 1, 0);
    for (int i = 0; i < 2; i++) {
        char key[FR_TENSOR_NAME + 2];

        (void)snprintf(key, sizeof(key), "w.%s", s[i]->name);
        fr_checkpoint_f32s(ck, key, s[i]->v, s[i]->rows, (uint64_t)tr->cfg.dim);
        (void)snprintf(key, sizeof(key), "w.%s", s[i]->linear);
        fr_checkpoint_f32s(ck, key, s[i]->b, s[i]->rows, 1);
    }
}

enum fr_err fr_train_mf_build(
    const void *ctx, const struct fr_tensor *t, int n, struct fr_model **out_m, struct fr_fault *fault)
{
    const struct fr_train_mf *tr = ctx;
    struct fr_encoder *enc = NULL;
    enum fr_err e = fr_encoder_clone(tr->enc, &enc);

    if (e == FR_OK)
        e = fr_mf_new(&enc, tr->cfg.dim, t, n, FR_WEIGHTS_COPY, out_m, fault);
    fr_encoder_free(enc);
    return e;
}
