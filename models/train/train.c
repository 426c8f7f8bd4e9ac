/*
 * models/train/train.c - the part of a trainer that is the same for all models.
 */
#include "models/train/train.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "daemon/base/alloc.h"
#include "models/train/train_priv.h"

void fr_train_options_default(struct fr_train_options *o)
{
    *o = (struct fr_train_options){
        .seed = 1,
        .threads = 1,
        .lr = 1e-3f,
        .beta1 = 0.9f,
        .beta2 = 0.999f,
        .eps = 1e-8f,
        .decay = 1,
        .ftrl_beta = 1,
        .init_std = 0.01f,
        .admit = 2,
        .max_rows = 10000000,
    };
}

static bool in_range(float x, float min, float max)
{
    return x >= min && x <= max; /* false for NaN */
}

static enum fr_err check_options(const struct fr_train_options *o, struct fr_fault *fault)
{
    if (o->threads < 1 || o->threads > FR_TRAIN_MAX_THREADS)
        return fr_fault(fault, FR_EINVAL, "threads must be in 1..%d", FR_TRAIN_MAX_THREADS);
    if (!in_range(o->lr, 0, 10) || !in_range(o->lr_dense, 0, 10))
        return fr_fault(fault, FR_EINVAL, "lr and lr_dense must be in 0..10");
    if (!in_range(o->beta1, 0, 0.99999f) || !in_range(o->beta2, 0, 0.9999999f))
        return fr_fault(fault, FR_EINVAL, "beta1 and beta2 must be in [0, 1)");
    if (!in_range(o->eps, 1e-20f, 1))
        return fr_fault(fault, FR_EINVAL, "eps must be in [1e-20, 1]");
    if ((unsigned)o->optimizer >= FR_OPTIMIZER_COUNT)
        return fr_fault(fault, FR_EINVAL, "no such optimizer");
    if (!in_range(o->decay, 1e-6f, 1))
        return fr_fault(fault, FR_EINVAL, "decay must be in [1e-6, 1]");
    if (!in_range(o->ftrl_beta, 0, 1e6f) || !in_range(o->ftrl_l1, 0, 1e6f) || !in_range(o->ftrl_l2, 0, 1e6f))
        return fr_fault(fault, FR_EINVAL, "ftrl_beta, ftrl_l1 and ftrl_l2 must be in 0..1e6");
    if (!in_range(o->l2_embedding, 0, 100) || !in_range(o->l2_dense, 0, 100))
        return fr_fault(fault, FR_EINVAL, "l2 must be in 0..100");
    if (!in_range(o->id_dropout, 0, 0.99f))
        return fr_fault(fault, FR_EINVAL, "id_dropout must be in [0, .99]");
    if (!in_range(o->clip_norm, 0, 1e9f) || !in_range(o->init_std, 0, 10))
        return fr_fault(fault, FR_EINVAL, "clip_norm or init_std out of range");
    if (o->admit < 1 || o->max_rows < 1 || o->max_rows > INT32_MAX)
        return fr_fault(fault, FR_EINVAL, "admit and max_rows must be at least 1");
    return FR_OK;
}

enum fr_err fr_trainer_init(struct fr_trainer *t,
                            const struct fr_train_options *opt,
                            struct fr_encoder **take_enc,
                            struct fr_fault *fault)
{
    enum fr_err e = check_options(opt, fault);

    if (e != FR_OK)
        return e;
    t->opt = *opt;
    t->params.optimizer = opt->optimizer;
    fr_rng_seed(&t->rng, opt->seed);
    if ((e = fr_arena_new((size_t)1 << 20, 0, &t->ar)) != FR_OK)
        goto no_memory;
    t->w = fr_calloc((size_t)opt->threads, sizeof(*t->w));
    if (t->w == NULL)
        goto no_memory;
    for (int i = 0; i < opt->threads; i++)
        if ((e = fr_arena_new((size_t)1 << 20, 0, &t->w[i].ar)) != FR_OK)
            goto no_memory;
    if ((e = fr_pool_new(opt->threads, &t->pool)) != FR_OK) {
        fr_trainer_done(t);
        return fr_fault(fault, e, "trainer: %d threads: %s", opt->threads, fr_err_text(e));
    }
    t->enc = *take_enc;
    *take_enc = NULL;
    return FR_OK;
no_memory:
    fr_trainer_done(t);
    return fr_fault(fault, FR_ENOMEM, "trainer: out of memory");
}

void fr_trainer_done(struct fr_trainer *t)
{
    fr_pool_free(t->pool);
    for (int i = 0; t->w != NULL && i < t->opt.threads; i++) {
        fr_grads_done(&t->w[i].g);
        fr_arena_free(t->w[i].ar);
    }
    fr_free(t->w);
    fr_arena_free(t->ar);
    fr_params_mean_done(&t->mean);
    fr_params_done(&t->params);
    fr_encoder_free(t->enc);
    *t = (struct fr_trainer){0};
}

enum fr_err fr_trainer_add_tables(struct fr_trainer *t,
                                  const char *prefix,
                                  int dim,
                                  int table_of[FR_MAX_FIELDS])
{
    char name[FR_TENSOR_NAME];

    for (int i = 0; i < t->enc->n_tables; i++) {
        int n = snprintf(name, sizeof(name), "%s.%s.weight", prefix, t->enc->table[i].name);
        if (n < 0 || (size_t)n >= sizeof(name))
            return FR_EINVAL;
        enum fr_err e = fr_params_add_table(&t->params, name, dim, &table_of[i]);
        if (e != FR_OK)
            return e;
    }
    return FR_OK;
}

enum fr_err fr_trainer_grow(struct fr_trainer *t, const int table_of[FR_MAX_FIELDS], float std)
{
    for (int i = 0; i < t->enc->n_tables; i++) {
        enum fr_err e =
            fr_params_grow(&t->params, table_of[i], t->enc->table[i].rows, std, &t->rng);
        if (e != FR_OK)
            return e;
    }
    return FR_OK;
}

enum fr_err fr_trainer_add_mlp(
    struct fr_trainer *t, const char *prefix, const int *width, int n_layers, int *w, int *b)
{
    char name[FR_TENSOR_NAME];

    for (int l = 0; l < n_layers; l++) {
        (void)snprintf(name, sizeof(name), "%s.%d.weight", prefix, l);
        enum fr_err e = fr_params_add_dense(&t->params, name, width[l + 1], width[l], &w[l]);
        if (e != FR_OK)
            return e;
        (void)snprintf(name, sizeof(name), "%s.%d.bias", prefix, l);
        if ((e = fr_params_add_dense(&t->params, name, width[l + 1], 0, &b[l])) != FR_OK)
            return e;
        double gain = l + 1 < n_layers ? 2.0 : 1.0; /* He before a ReLU */
        if (t->opt.xavier)
            fr_params_init_xavier(&t->params, w[l], &t->rng);
        else
            fr_params_init_normal(&t->params, w[l], (float)sqrt(gain / (double)width[l]), &t->rng);
    }
    return FR_OK;
}

void fr_trainer_bind_mlp(const struct fr_trainer *t, struct fr_mlp *mlp, const int *w, const int *b)
{
    for (int l = 0; l < mlp->n_layers; l++) {
        mlp->w[l] = t->params.dense[w[l]].w;
        mlp->bias[l] = t->params.dense[b[l]].w;
    }
}

static void drop_ids(struct fr_trainer *t, enum fr_entity e, struct fr_slot *slots)
{
    for (int i = t->enc->first_field[e]; i < t->enc->first_field[e + 1]; i++) {
        const struct fr_enc_field *ef = &t->enc->field[i];
        if (ef->f.kind != FR_FIELD_ID)
            continue;
        for (uint32_t k = 0; k < ef->f.slots; k++) {
            struct fr_slot *s = &slots[ef->slot0 + k];
            if (s->x != 0.0f && fr_rng_f64(&t->rng) < (double)t->opt.id_dropout)
                s->row = 0;
        }
    }
}

enum fr_err fr_trainer_encode(struct fr_trainer *t,
                              enum fr_entity e,
                              const struct fr_cell *cells,
                              bool training,
                              struct fr_slot *out)
{
    enum fr_err err;

    if (fr_encoder_n_fields(t->enc, e) == 0)
        return FR_OK;
    if (training && !t->opt.frozen_vocab)
        err = fr_encoder_encode_grow(t->enc, e, cells, out);
    else
        err = fr_encoder_encode(t->enc, e, cells, out);
    if (err == FR_OK && training && t->opt.id_dropout > 0)
        drop_ids(t, e, out);
    return err;
}

enum fr_err fr_trainer_begin(struct fr_trainer *t)
{
    for (int i = 0; i < t->opt.threads; i++) {
        fr_arena_reset(t->w[i].ar);
        t->w[i].loss = 0;
        t->w[i].err = FR_OK;
        enum fr_err e = fr_grads_begin(&t->w[i].g, &t->params);
        if (e != FR_OK)
            return e;
    }
    return FR_OK;
}

enum fr_err fr_trainer_reduce(struct fr_trainer *t, double *out_loss)
{
    double loss = t->w[0].loss;
    for (int i = 1; i < t->opt.threads; i++) {
        enum fr_err e = fr_grads_add(&t->w[0].g, &t->w[i].g, &t->params);
        if (e != FR_OK)
            return e;
        loss += t->w[i].loss;
    }
    *out_loss = loss;
    return FR_OK;
}

/* What the workers of an update share. */
struct update {
    struct fr_trainer *t;
    struct fr_grads *g[FR_TRAIN_MAX_THREADS];
    struct fr_step_pair step;
};

static void merge(void *arg, int worker)
{
    struct update *u = arg;
    if (!fr_grads_merge_part(u->g, u->t->opt.threads, worker, &u->t->params))
        u->t->w[worker].err = FR_ENONFINITE;
}

static void step(void *arg, int worker)
{
    struct update *u = arg;
    fr_params_step_part(&u->t->params, u->g, u->t->opt.threads, worker, &u->step);
}

enum fr_err fr_trainer_apply(struct fr_trainer *t, double *out_loss)
{
    struct update u = {.t = t};
    double loss = 0;

    for (int i = 0; i < t->opt.threads; i++) {
        u.g[i] = &t->w[i].g;
        loss += t->w[i].loss;
    }
    enum fr_err e = fr_trainer_run(t, merge, &u);
    if (e == FR_OK && !fr_is_finite((float)loss))
        e = FR_ENONFINITE;
    if (e != FR_OK)
        return e;
    fr_params_step_begin(&t->params, u.g, t->opt.threads, &t->opt, &u.step);
    e = fr_trainer_run(t, step, &u);
    *out_loss = loss;
    return e;
}

void fr_trainer_set_lr(struct fr_trainer *t, float lr)
{
    if (t->opt.lr > 0)
        t->opt.lr_dense *= lr / t->opt.lr;
    t->opt.lr = lr;
}

/* ---- threads ---- */

enum fr_err fr_trainer_run(struct fr_trainer *t, void (*fn)(void *arg, int worker), void *arg)
{
    enum fr_err e = FR_OK;

    fr_pool_run(t->pool, fn, arg);
    for (int i = 0; i < t->opt.threads && e == FR_OK; i++)
        e = t->w[i].err;
    return e;
}

void fr_trainer_share(const struct fr_trainer *t, int n, int worker, int *from, int *to)
{
    int64_t k = t->opt.threads;
    *from = (int)((int64_t)n * worker / k);
    *to = (int)((int64_t)n * (worker + 1) / k);
}
