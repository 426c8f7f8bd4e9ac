/*
 * models/train/train_ncf.c - parameters, ids, steps, the joining of two trainers, results.
 */
#include "models/train/train_ncf.h"

#include <math.h>
#include <string.h>

#include "daemon/base/alloc.h"
#include "models/model_parts.h"
#include "models/train/train_from.h"
#include "models/train/train_ncf_priv.h"

#define AHEAD 8 /* rows asked of the memory before they are needed */

void fr_ncf_train_config_default(struct fr_ncf_train_config *c)
{
    *c = (struct fr_ncf_train_config){.user = "user", .item = "item"};
    fr_train_options_default(&c->opt);
    c->opt.lr = 1e-3f;
    c->opt.init_std = 0.01f;
    c->opt.l2_embedding = 0;
    c->opt.l2_dense = 0;
    c->opt.dense_rows = true;
    c->opt.xavier = true;
    c->opt.admit = 1;
}

static enum fr_err add_params(struct fr_train_ncf *tr)
{
    const struct fr_ncf_config *m = &tr->cfg;
    struct fr_params *p = &tr->t.params;
    int layers = m->n_hidden > 0 ? m->n_hidden - 1 : 0, in = m->factors;
    enum fr_err e = FR_OK;

    tr->mlp.n_layers = layers;
    tr->mlp.relu_last = true;
    memcpy(tr->mlp.width, m->hidden, (size_t)m->n_hidden * sizeof(int));
    in += m->n_hidden > 0 ? m->hidden[m->n_hidden - 1] : 0;
    e = fr_trainer_add_mlp(&tr->t, "mlp", tr->mlp.width, layers, tr->mlp_w, tr->mlp_b);
    if (e == FR_OK)
        e = fr_params_add_dense(p, "out.weight", 1, in, &tr->out);
    if (e == FR_OK)
        e = fr_params_add_dense(p, "out.bias", 1, 0, &tr->bias);
    if (e == FR_OK && m->factors > 0)
        e = fr_trainer_add_tables(&tr->t, "gmf_embedding", m->factors, tr->gmf_of);
    if (e == FR_OK && layers > 0)
        e = fr_trainer_add_tables(&tr->t, "mlp_embedding", m->hidden[0] / 2, tr->mlp_of);
    if (e == FR_OK)
        fr_params_init_normal(p, tr->out, 1.0f / sqrtf((float)in), &tr->t.rng);
    return e;
}

/* Tables follow the vocabularies, views the parameters. */
static enum fr_err renew(struct fr_train_ncf *tr)
{
    enum fr_err e = FR_OK;

    if (tr->cfg.factors > 0)
        e = fr_trainer_grow(&tr->t, tr->gmf_of, tr->t.opt.init_std);
    if (e == FR_OK && tr->mlp.n_layers > 0)
        e = fr_trainer_grow(&tr->t, tr->mlp_of, tr->t.opt.init_std);
    fr_trainer_bind_mlp(&tr->t, &tr->mlp, tr->mlp_w, tr->mlp_b);
    return e;
}

enum fr_err fr_train_ncf_new(const struct fr_ncf_train_config *cfg,
                             const struct fr_field_set *fs,
                             struct fr_train_ncf **out_tr,
                             struct fr_fault *fault)
{
    const unsigned entities = 1u << FR_ENTITY_USER | 1u << FR_ENTITY_ITEM;
    const char *names[2] = {cfg->user, cfg->item};
    struct fr_train_ncf *tr = NULL;
    struct fr_encoder *enc = NULL;
    enum fr_err e = fr_encoder_new(fs, names, 2, entities, cfg->opt.max_rows, 1, &enc, fault);

    if (e != FR_OK || (e = fr_ncf_check(enc, &cfg->model, fault)) != FR_OK)
        goto out;
    tr = fr_calloc(1, sizeof(*tr));
    if (tr == NULL) {
        e = fr_fault(fault, FR_ENOMEM, "trainer: out of memory");
        goto out;
    }
    tr->cfg = cfg->model;
    tr->user = fr_ncf_table(enc, FR_ENTITY_USER);
    tr->item = fr_ncf_table(enc, FR_ENTITY_ITEM);
    if ((e = fr_trainer_init(&tr->t, &cfg->opt, &enc, fault)) != FR_OK)
        goto out;
    if ((e = add_params(tr)) != FR_OK || (e = renew(tr)) != FR_OK) {
        e = fr_fault(fault, e, "trainer: %s", fr_err_text(e));
        goto out;
    }
    *out_tr = tr;
    tr = NULL;
out:
    fr_train_ncf_free(tr);
    fr_encoder_free(enc);
    return e;
}

void fr_train_ncf_free(struct fr_train_ncf *tr)
{
    if (tr == NULL)
        return;
    fr_trainer_done(&tr->t);
    fr_rest_free(tr->rest);
    fr_free(tr);
}

static enum fr_err
admit(struct fr_train_ncf *tr, enum fr_entity e, const struct fr_cell *cells, uint32_t n)
{
    struct fr_encoder *enc = tr->t.enc;
    const struct fr_enc_table *t = &enc->table[fr_ncf_table(enc, e)];
    size_t stride = enc->n_cells[e];

    for (uint32_t i = 0; i < n; i++) {
        enum fr_err err = fr_encoder_observe(enc, e, cells + i * stride);

        if (err != FR_OK)
            return err;
        if (t->rows != i + 2)
            return cells[i * stride + enc->field[enc->first_field[e]].f.first].id == 0
                       ? FR_EINVAL
                       : FR_EDUPLICATE;
    }
    return FR_OK;
}

/* The tables of a user are read together, and those of an item. */
static enum fr_err add_groups(struct fr_train_ncf *tr)
{
    const int side[2] = {tr->user, tr->item};
    enum fr_err e = fr_rest_new(&tr->t.opt, &tr->rest);

    for (int i = 0; i < 2 && e == FR_OK; i++) {
        int table[2], n = 0;

        if (tr->cfg.factors > 0)
            table[n++] = tr->gmf_of[side[i]];
        if (tr->mlp.n_layers > 0)
            table[n++] = tr->mlp_of[side[i]];
        e = fr_rest_add(tr->rest, &tr->t.params, table, n, &tr->rest_of[i]);
    }
    return e;
}

enum fr_err fr_train_ncf_ids(struct fr_train_ncf *tr,
                             const struct fr_cell *user,
                             uint32_t n_user,
                             const struct fr_cell *item,
                             uint32_t n_item)
{
    enum fr_err e;

    if (tr->t.observed)
        return FR_ESTATE;
    tr->t.observed = tr->t.fitted = true;
    e = admit(tr, FR_ENTITY_USER, user, n_user);
    if (e == FR_OK)
        e = admit(tr, FR_ENTITY_ITEM, item, n_item);
    tr->n_user = n_user;
    tr->n_item = n_item;
    if (e == FR_OK)
        e = renew(tr);
    return e == FR_OK ? add_groups(tr) : e;
}

/* ---- steps ---- */

static void settle_part(void *arg, int worker)
{
    struct fr_train_ncf *tr = arg;

    fr_rest_settle_part(tr->rest, &tr->t.params, worker, tr->t.opt.threads);
}

void fr_train_ncf_settle(struct fr_train_ncf *tr)
{
    if (tr->rest == NULL || fr_rest_pending(tr->rest) == 0)
        return;
    fr_pool_run(tr->t.pool, settle_part, tr);
    fr_rest_settled(tr->rest);
}

static enum fr_err check_rows(const struct fr_train_ncf *tr, const struct fr_ncf_rows *rows)
{
    if (rows->n < 1)
        return FR_EINVAL;
    for (int i = 0; i < rows->n; i++)
        if ((rows->user[i] >= tr->n_user && rows->user[i] != FR_NCF_UNKNOWN) ||
            (rows->item[i] >= tr->n_item && rows->item[i] != FR_NCF_UNKNOWN))
            return FR_EINVAL;
    return FR_OK;
}

enum fr_err
fr_train_ncf_gradient(struct fr_train_ncf *tr, const struct fr_ncf_rows *rows, double *out_loss)
{
    enum fr_err e = check_rows(tr, rows);

    if (e != FR_OK || (e = fr_trainer_begin(&tr->t)) != FR_OK)
        return e;
    fr_train_ncf_settle(tr);
    tr->rows = rows;
    if ((e = fr_trainer_run(&tr->t, fr_train_ncf_pass, tr)) == FR_OK)
        e = fr_trainer_reduce(&tr->t, out_loss);
    return e;
}

/* The worker's rows of the step: to the present before it, counted after it. */
static void own_rows(struct fr_train_ncf *tr, int worker, bool moved)
{
    const uint32_t *position[2] = {tr->rows->user, tr->rows->item};
    uint32_t parts = (uint32_t)tr->t.opt.threads;

    for (int e = 0; e < 2; e++)
        for (int i = 0; i < tr->rows->n; i++) {
            uint32_t row = position[e][i] + 1;

            uint32_t later = i + AHEAD < tr->rows->n ? position[e][i + AHEAD] + 1 : 0;

            if (!moved && later > 0 && later % parts == (uint32_t)worker)
                fr_rest_expect(tr->rest, &tr->t.params, tr->rest_of[e], later);
            if (row % parts != (uint32_t)worker)
                continue;
            if (moved)
                fr_rest_moved(tr->rest, tr->rest_of[e], row);
            else
                fr_rest_row(tr->rest, &tr->t.params, tr->rest_of[e], row);
        }
}

/* Rows to the present, gradients, their sums. */
static void gradients(void *arg, int worker)
{
    struct fr_train_ncf *tr = arg;
    struct fr_train_worker *w = &tr->t.w[worker];

    fr_arena_reset(w->ar);
    w->loss = 0;
    enum fr_err e = fr_grads_begin(&w->g, &tr->t.params);
    if (tr->resting)
        own_rows(tr, worker, false);
    fr_pool_barrier(tr->t.pool);
    w->err = e;
    if (e == FR_OK)
        fr_train_ncf_pass(tr, worker);
    fr_pool_barrier(tr->t.pool);
    if (w->err == FR_OK && !fr_grads_merge_part(tr->g, tr->t.opt.threads, worker, &tr->t.params))
        w->err = FR_ENONFINITE;
}

static void update(void *arg, int worker)
{
    struct fr_train_ncf *tr = arg;

    fr_params_step_part(&tr->t.params, tr->g, tr->t.opt.threads, worker, &tr->adam);
    if (tr->resting)
        own_rows(tr, worker, true);
}

bool fr_train_ncf_may_rest(const struct fr_train_options *o)
{
    return o->dense_rows && o->optimizer == FR_OPTIMIZER_ADAM && o->l2_embedding == 0;
}

enum fr_err
fr_train_ncf_step(struct fr_train_ncf *tr, const struct fr_ncf_rows *rows, double *out_loss)
{
    const struct fr_train_options *o = &tr->t.opt;
    enum fr_err e = check_rows(tr, rows);
    double loss = 0;

    if (e != FR_OK)
        return e;
    tr->resting = fr_train_ncf_may_rest(o);
    if (!tr->resting || fr_rest_pending(tr->rest) == FR_REST_STEPS)
        fr_train_ncf_settle(tr);
    tr->rows = rows;
    for (int i = 0; i < o->threads; i++)
        tr->g[i] = &tr->t.w[i].g;
    if ((e = fr_trainer_run(&tr->t, gradients, tr)) != FR_OK)
        return e;
    for (int i = 0; i < o->threads; i++)
        loss += tr->t.w[i].loss;
    if (!fr_is_finite((float)loss))
        return FR_ENONFINITE;
    fr_params_step_begin(&tr->t.params, tr->g, o->threads, o, &tr->adam);
    if (tr->resting) {
        tr->adam.all_rows = false;
        fr_rest_count(tr->rest, &tr->adam.rows);
    } else if (o->optimizer == FR_OPTIMIZER_SGD && o->l2_embedding == 0) {
        tr->adam.all_rows = false; /* without a gradient nothing moves */
    }
    fr_pool_run(tr->t.pool, update, tr);
    if (out_loss != NULL)
        *out_loss = loss;
    return FR_OK;
}

/* A model's tensor of that name and of n floats, else NULL. */
static const float *weights_of(const struct fr_model *m, const char *name, size_t n)
{
    int count = 0;
    const struct fr_tensor *all = fr_model_tensors(m, &count), *t = fr_tensor_find(all, count, name);

    return t != NULL && fr_tensor_count(t) == n ? t->data : NULL;
}

/* All of neumf but its output, into `p`; with `dry` only looked up. */
static bool take_parts(struct fr_params *p,
                       int out,
                       int bias,
                       const struct fr_model *gmf,
                       const struct fr_model *mlp,
                       bool dry)
{
    for (int i = 0; i < p->n_tables; i++) {
        struct fr_table *t = &p->table[i];
        size_t n = (size_t)t->rows * (size_t)t->dim;
        const float *w = weights_of(strncmp(t->name, "gmf_", 4) == 0 ? gmf : mlp, t->name, n);

        if (w == NULL)
            return false;
        if (!dry)
            memcpy(t->w, w, n * sizeof(*w));
    }
    for (int i = 0; i < p->n_dense; i++) {
        struct fr_dense *d = &p->dense[i];
        const float *w = i == out || i == bias ? d->w : weights_of(mlp, d->name, d->n);

        if (w == NULL)
            return false;
        if (!dry && w != d->w)
            memcpy(d->w, w, d->n * sizeof(*w));
    }
    return true;
}

enum fr_err fr_train_ncf_join(struct fr_train_ncf *tr,
                              const struct fr_model *gmf,
                              const struct fr_model *mlp,
                              float alpha)
{
    struct fr_params *p = &tr->t.params;
    size_t f = (size_t)tr->cfg.factors, last = p->dense[tr->out].n - f;

    if (tr->cfg.kind != FR_MODEL_NEUMF || fr_model_info(gmf)->kind != FR_MODEL_GMF ||
        fr_model_info(mlp)->kind != FR_MODEL_MLP ||
        !fr_encoder_same_ids(tr->t.enc, fr_model_encoder(gmf)) ||
        !fr_encoder_same_ids(tr->t.enc, fr_model_encoder(mlp)) || !take_parts(p, tr->out, tr->bias, gmf, mlp, true))
        return FR_EINVAL;
    const float *a = weights_of(gmf, "out.weight", f), *b = weights_of(mlp, "out.weight", last);
    const float *ab = weights_of(gmf, "out.bias", 1), *bb = weights_of(mlp, "out.bias", 1);
    if (a == NULL || b == NULL || ab == NULL || bb == NULL)
        return FR_EINVAL;
    fr_train_ncf_settle(tr);
    (void)take_parts(p, tr->out, tr->bias, gmf, mlp, false);
    for (size_t k = 0; k < f; k++)
        p->dense[tr->out].w[k] = alpha * a[k];
    for (size_t k = 0; k < last; k++)
        p->dense[tr->out].w[f + k] = (1 - alpha) * b[k];
    p->dense[tr->bias].w[0] = alpha * ab[0] + (1 - alpha) * bb[0];
    return FR_OK;
}

enum fr_err
fr_train_ncf_model(struct fr_train_ncf *tr, struct fr_model **out_m, struct fr_fault *fault)
{
    struct fr_encoder *enc = NULL;
    struct fr_tensor *t = fr_calloc(FR_PARAMS_MAX_TENSORS, sizeof(*t));
    enum fr_err e = t == NULL ? FR_ENOMEM : fr_encoder_clone(tr->t.enc, &enc);

    fr_train_ncf_settle(tr);
    if (e == FR_OK)
        e = fr_ncf_new(&enc,
                       &tr->cfg,
                       t,
                       fr_params_mean_tensors(&tr->t.mean, &tr->t.params, t),
                       FR_WEIGHTS_COPY,
                       out_m,
                       fault);
    else
        e = fr_fault(fault, e, "trainer: %s", fr_err_text(e));
    fr_encoder_free(enc);
    fr_free(t);
    return e;
}

enum fr_err fr_train_ncf_average(struct fr_train_ncf *tr, float share)
{
    fr_train_ncf_settle(tr);
    return fr_params_mean_take(&tr->t.mean, &tr->t.params, share);
}

enum fr_err
fr_train_ncf_from(struct fr_train_ncf *tr, const struct fr_model *m, struct fr_fault *fault)
{
    struct fr_model *own = NULL;
    enum fr_err e;

    if (!tr->t.observed || tr->t.params.t > 0)
        return fr_fault(fault, FR_ESTATE, "a training goes on from a model between its ids and its first step");
    e = fr_train_ncf_model(tr, &own, fault);
    if (e == FR_OK)
        e = fr_train_from_check(own, m, fault);
    if (e == FR_OK)
        e = fr_train_from_dense(&tr->t, m, fault);
    if (e == FR_OK && tr->cfg.factors > 0)
        e = fr_train_from_rows(&tr->t, m, tr->gmf_of, fault);
    if (e == FR_OK && tr->mlp.n_layers > 0)
        e = fr_train_from_rows(&tr->t, m, tr->mlp_of, fault);
    fr_model_free(own);
    return e;
}

void fr_train_ncf_set_lr(struct fr_train_ncf *tr, float lr)
{
    fr_trainer_set_lr(&tr->t, lr);
}
