/*
 * models/train/train_ncf.c - parameters, ids, steps, the joining of two trainers, results.
 */
#include "models/train/train_ncf.h"

#include <math.h>
#include <string.h>

#include "daemon/base/alloc.h"
#include "models/train/train_ncf_priv.h"

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
    return e == FR_OK ? renew(tr) : e;
}

/* Every worker's gradients and loss. */
static enum fr_err passes(struct fr_train_ncf *tr, const struct fr_ncf_rows *rows)
{
    enum fr_err e;

    if (rows->n < 1)
        return FR_EINVAL;
    for (int i = 0; i < rows->n; i++)
        if (rows->user[i] >= tr->n_user || rows->item[i] >= tr->n_item)
            return FR_EINVAL;
    tr->rows = rows;
    if ((e = fr_trainer_begin(&tr->t)) != FR_OK)
        return e;
    return fr_trainer_run(&tr->t, fr_train_ncf_pass, tr);
}

enum fr_err
fr_train_ncf_gradient(struct fr_train_ncf *tr, const struct fr_ncf_rows *rows, double *out_loss)
{
    enum fr_err e = passes(tr, rows);

    return e == FR_OK ? fr_trainer_reduce(&tr->t, out_loss) : e;
}

enum fr_err
fr_train_ncf_step(struct fr_train_ncf *tr, const struct fr_ncf_rows *rows, double *out_loss)
{
    double loss = 0;
    enum fr_err e = passes(tr, rows);

    if (e == FR_OK)
        e = fr_trainer_apply(&tr->t, &loss);
    if (e == FR_OK && out_loss != NULL)
        *out_loss = loss;
    return e;
}

static bool same_ids(const struct fr_train_ncf *a, const struct fr_train_ncf *b)
{
    return a->n_user == b->n_user && a->n_item == b->n_item && a->user == b->user &&
           a->item == b->item;
}

static void copy_table(const struct fr_train_ncf *from, int a, struct fr_train_ncf *to, int b)
{
    const struct fr_table *t = &from->t.params.table[a];

    memcpy(to->t.params.table[b].w, t->w, (size_t)t->rows * (size_t)t->dim * sizeof(*t->w));
}

enum fr_err fr_train_ncf_join(struct fr_train_ncf *tr,
                              const struct fr_train_ncf *gmf,
                              const struct fr_train_ncf *mlp,
                              float alpha)
{
    const struct fr_params *g = &gmf->t.params, *m = &mlp->t.params;
    struct fr_params *p = &tr->t.params;
    size_t f = (size_t)tr->cfg.factors;

    if (tr->cfg.kind != FR_MODEL_NEUMF || gmf->cfg.kind != FR_MODEL_GMF ||
        mlp->cfg.kind != FR_MODEL_MLP || gmf->cfg.factors != tr->cfg.factors ||
        mlp->cfg.n_hidden != tr->cfg.n_hidden ||
        memcmp(mlp->cfg.hidden, tr->cfg.hidden, (size_t)tr->cfg.n_hidden * sizeof(int)) != 0 ||
        !same_ids(tr, gmf) || !same_ids(tr, mlp))
        return FR_EINVAL;
    for (int i = 0; i < tr->t.enc->n_tables; i++) {
        copy_table(gmf, gmf->gmf_of[i], tr, tr->gmf_of[i]);
        copy_table(mlp, mlp->mlp_of[i], tr, tr->mlp_of[i]);
    }
    for (int l = 0; l < tr->mlp.n_layers; l++) {
        memcpy(p->dense[tr->mlp_w[l]].w,
               m->dense[mlp->mlp_w[l]].w,
               p->dense[tr->mlp_w[l]].n * sizeof(float));
        memcpy(p->dense[tr->mlp_b[l]].w,
               m->dense[mlp->mlp_b[l]].w,
               p->dense[tr->mlp_b[l]].n * sizeof(float));
    }
    for (size_t k = 0; k < p->dense[tr->out].n; k++)
        p->dense[tr->out].w[k] =
            k < f ? alpha * g->dense[gmf->out].w[k] : (1 - alpha) * m->dense[mlp->out].w[k - f];
    p->dense[tr->bias].w[0] =
        alpha * g->dense[gmf->bias].w[0] + (1 - alpha) * m->dense[mlp->bias].w[0];
    return FR_OK;
}

enum fr_err
fr_train_ncf_model(const struct fr_train_ncf *tr, struct fr_model **out_m, struct fr_fault *fault)
{
    struct fr_encoder *enc = NULL;
    struct fr_tensor *t = fr_calloc(FR_PARAMS_MAX_TENSORS, sizeof(*t));
    enum fr_err e = t == NULL ? FR_ENOMEM : fr_encoder_clone(tr->t.enc, &enc);

    if (e == FR_OK)
        e = fr_ncf_new(&enc, &tr->cfg, t, fr_params_tensors(&tr->t.params, t), FR_WEIGHTS_COPY, out_m, fault);
    else
        e = fr_fault(fault, e, "trainer: %s", fr_err_text(e));
    fr_encoder_free(enc);
    fr_free(t);
    return e;
}

void fr_train_ncf_set_lr(struct fr_train_ncf *tr, float lr)
{
    fr_trainer_set_lr(&tr->t, lr);
}
