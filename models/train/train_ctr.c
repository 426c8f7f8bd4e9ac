/*
 * models/train/train_ctr.c - the trainer of models/ctr.h: parameters, encoding of lists, steps,
 * results. Forward and backward passes are in ctr_pass.c.
 */
#include "models/train/train_ctr.h"

#include <math.h>
#include <string.h>

#include "daemon/base/alloc.h"
#include "daemon/base/hash.h"
#include "models/train/ctr_attention.h"
#include "models/train/ctr_pass.h"
#include "models/train/train_from.h"
#include "models/train/train_priv.h"

void fr_ctr_train_config_default(struct fr_ctr_train_config *c)
{
    *c = (struct fr_ctr_train_config){.loss = FR_LOSS_LISTWISE, .value_weight = 1.0f};
    fr_train_options_default(&c->opt);
    c->opt.lr = 2e-3f;
    c->opt.init_std = 0.05f;
    c->opt.l2_embedding = 1e-5f;
    c->model.kind = FR_MODEL_DEEPFM;
    c->model.dim = 16;
    c->model.n_hidden = 2;
    c->model.hidden[0] = 128;
    c->model.hidden[1] = 64;
}

/* ---- construction ---- */

static enum fr_err add_norm(struct fr_train_ctr *tr)
{
    tr->nm.mlp = &tr->mlp;
    tr->nm.norm = tr->cfg.model.batch_norm;
    tr->nm.dropout = tr->cfg.dropout;
    memcpy(tr->nm.w, tr->mlp_w, sizeof(tr->nm.w));
    memcpy(tr->nm.b, tr->mlp_b, sizeof(tr->nm.b));
    return fr_norm_mlp_init(&tr->nm, "mlp", &tr->t.params, tr->t.pool);
}

/* The value head: one row over the attention's output and the last hidden layer. */
static enum fr_err add_value(struct fr_train_ctr *tr)
{
    struct fr_params *p = &tr->t.params;
    struct fr_rng own; /* so that the rest draws what it draws without the head */
    size_t inputs = fr_ctr_value_inputs(&tr->cfg.model, tr->t.enc->n_fields);
    enum fr_err e;

    tr->value_w = tr->value_b = -1;
    if (tr->cfg.model.value == FR_VALUE_NONE)
        return FR_OK;
    if ((e = fr_params_add_dense(p, "value.weight", 1, (int)inputs, &tr->value_w)) != FR_OK)
        return e;
    fr_rng_seed(&own, fr_mix64(tr->t.opt.seed + 1));
    fr_params_init_xavier(p, tr->value_w, &own);
    return fr_params_add_dense(p, "value.bias", 1, 0, &tr->value_b);
}

static enum fr_err add_params(struct fr_train_ctr *tr)
{
    const struct fr_ctr_config *m = &tr->cfg.model;
    const struct fr_encoder *enc = tr->t.enc;
    int width[FR_MLP_MAX_LAYERS + 1];
    int layers = m->n_hidden > 0 ? m->n_hidden + 1 : 0;
    enum fr_err e;

    tr->parts = fr_ctr_parts(m);
    tr->n_user =
        fr_encoder_n_fields(enc, FR_ENTITY_USER) + fr_encoder_n_fields(enc, FR_ENTITY_CONTEXT);
    tr->n_cand = enc->n_fields - tr->n_user;
    width[0] = enc->n_fields * m->dim;
    memcpy(width + 1, m->hidden, (size_t)m->n_hidden * sizeof(*width));
    width[m->n_hidden + 1] = 1;
    tr->mlp.n_layers = layers;
    tr->normed = layers > 0 && (m->batch_norm || tr->cfg.dropout > 0);
    memcpy(tr->mlp.width, width, sizeof(width));
    bool attention = (tr->parts & FR_CTR_ATTENTION) != 0;
    if ((e = fr_params_add_dense(&tr->t.params, attention ? "out.bias" : "bias", 1, 0, &tr->bias)) != FR_OK ||
        (attention && (e = fr_ctr_attention_add(tr)) != FR_OK) ||
        (e = fr_trainer_add_mlp(&tr->t, "mlp", width, layers, tr->mlp_w, tr->mlp_b)) != FR_OK ||
        (tr->normed && (e = add_norm(tr)) != FR_OK) ||
        (m->dim > 0 &&
         (e = fr_trainer_add_tables(&tr->t, "embedding", m->dim, tr->v_of)) != FR_OK) ||
        ((tr->parts & FR_CTR_LINEAR) != 0 && (e = fr_trainer_add_tables(&tr->t, "linear", 1, tr->l_of)) != FR_OK) ||
        (e = add_value(tr)) != FR_OK)
        return e;
    return FR_OK;
}

/* Parameter tables follow the vocabularies; views follow the parameters. */
static enum fr_err renew(struct fr_train_ctr *tr)
{
    enum fr_err e;

    if ((tr->cfg.model.dim > 0 &&
         (e = fr_trainer_grow(&tr->t, tr->v_of, tr->t.opt.init_std)) != FR_OK) ||
        ((tr->parts & FR_CTR_LINEAR) != 0 && (e = fr_trainer_grow(&tr->t, tr->l_of, 0)) != FR_OK))
        return e;
    tr->em.dim = tr->cfg.model.dim;
    for (int i = 0; i < tr->t.enc->n_tables; i++) {
        if (tr->em.dim > 0)
            tr->em.v[i] = tr->t.params.table[tr->v_of[i]].w;
        if ((tr->parts & FR_CTR_LINEAR) != 0)
            tr->lin[i] = tr->t.params.table[tr->l_of[i]].w;
    }
    if ((tr->parts & FR_CTR_ATTENTION) != 0)
        fr_ctr_attention_bind(tr);
    fr_trainer_bind_mlp(&tr->t, &tr->mlp, tr->mlp_w, tr->mlp_b);
    return FR_OK;
}

enum fr_err fr_train_ctr_new(const struct fr_ctr_train_config *cfg,
                             const struct fr_field_set *fs,
                             struct fr_train_ctr **out_tr,
                             struct fr_fault *fault)
{
    struct fr_train_ctr *tr = NULL;
    struct fr_encoder *enc = NULL;
    enum fr_err e = fr_ctr_config_check(&cfg->model, fault);

    if (e != FR_OK)
        return e;
    if (!(cfg->dropout >= 0 && cfg->dropout <= 0.95f))
        return fr_fault(fault, FR_EINVAL, "dropout must be in 0...95");
    if (!(cfg->value_weight >= 0) || !fr_is_finite(cfg->value_weight))
        return fr_fault(fault, FR_EINVAL, "value_weight must be at least 0");
    if (cfg->opt.max_rows < 1 || cfg->opt.admit < 1)
        return fr_fault(fault, FR_EINVAL, "admit and max_rows must be at least 1");
    e = fr_encoder_new(fs,
                       cfg->fields,
                       cfg->n_fields,
                       (1u << FR_ENTITY_COUNT) - 1,
                       cfg->opt.max_rows,
                       cfg->opt.admit,
                       &enc,
                       fault);
    if (e != FR_OK)
        return e;
    tr = fr_calloc(1, sizeof(*tr));
    if (tr == NULL) {
        e = fr_fault(fault, FR_ENOMEM, "trainer: out of memory");
        goto out;
    }
    tr->cfg = *cfg;
    tr->cfg.fields = NULL; /* borrowed for this call only */
    tr->cfg.model.share = cfg->model.value != FR_VALUE_NONE && cfg->loss == FR_LOSS_LISTWISE;
    if ((e = fr_trainer_init(&tr->t, &cfg->opt, &enc, fault)) != FR_OK)
        goto out;
    if ((e = add_params(tr)) != FR_OK || (e = renew(tr)) != FR_OK) {
        e = fr_fault(fault, e, "trainer: %s", fr_err_text(e));
        goto out;
    }
    *out_tr = tr;
    tr = NULL;
out:
    fr_train_ctr_free(tr);
    fr_encoder_free(enc);
    return e;
}

void fr_train_ctr_free(struct fr_train_ctr *tr)
{
    if (tr == NULL)
        return;
    fr_attention_done(&tr->attention);
    fr_norm_mlp_done(&tr->nm);
    fr_trainer_done(&tr->t);
    fr_free(tr);
}

/* ---- input ---- */

static enum fr_err observe(struct fr_train_ctr *tr, const struct fr_rank_list *lists, int n)
{
    struct fr_encoder *enc = tr->t.enc;
    size_t nx = enc->n_cells[FR_ENTITY_CROSS];
    enum fr_err e = FR_OK;

    for (int l = 0; l < n && e == FR_OK; l++) {
        const struct fr_model_case *c = &lists[l].c;
        if (fr_encoder_n_fields(enc, FR_ENTITY_USER) > 0)
            e = fr_encoder_observe(enc, FR_ENTITY_USER, c->user);
        if (e == FR_OK && fr_encoder_n_fields(enc, FR_ENTITY_CONTEXT) > 0)
            e = fr_encoder_observe(enc, FR_ENTITY_CONTEXT, c->context);
        for (int i = 0; i < c->n && e == FR_OK; i++) {
            if (fr_encoder_n_fields(enc, FR_ENTITY_ITEM) > 0)
                e = fr_encoder_observe(enc, FR_ENTITY_ITEM, c->items[i]);
            if (e == FR_OK && fr_encoder_n_fields(enc, FR_ENTITY_CROSS) > 0)
                e = fr_encoder_observe(enc, FR_ENTITY_CROSS, c->cross + (size_t)i * nx);
        }
    }
    return e;
}

/* The value head begins at the mean target: what it must learn is the difference from that. */
static void observe_values(struct fr_train_ctr *tr, const struct fr_rank_list *lists, int n)
{
    enum fr_value_kind k = tr->cfg.model.value;

    if (k == FR_VALUE_NONE)
        return;
    for (int l = 0; l < n; l++)
        for (int i = 0; i < lists[l].c.n && lists[l].values != NULL; i++)
            if (fr_value_fits(k, lists[l].values[i])) {
                tr->value_sum += (double)fr_value_target(k, lists[l].values[i]);
                tr->value_n++;
            }
    if (tr->value_n == 0 || tr->t.enc->fixed) /* going on from a model: its bias stays */
        return;
    double mean = tr->value_sum / (double)tr->value_n;
    if (k == FR_VALUE_UNIT) { /* half a row of either kind: a mean of 0 or 1 has no finite logit */
        mean = (tr->value_sum + 0.5) / ((double)tr->value_n + 1);
        mean = log(mean / (1 - mean));
    }
    tr->t.params.dense[tr->value_b].w[0] = (float)mean;
}

enum fr_err fr_train_ctr_observe(struct fr_train_ctr *tr, const struct fr_rank_list *lists, int n)
{
    if (tr->t.fitted)
        return FR_ESTATE;
    tr->t.observed = true;
    observe_values(tr, lists, n);
    enum fr_err e = observe(tr, lists, n);
    fr_encoder_fit(tr->t.enc);
    return e == FR_OK ? renew(tr) : e;
}

enum fr_err fr_train_ctr_start(struct fr_train_ctr *tr, const char *field, float weight)
{
    int i = fr_encoder_find(tr->t.enc, field);

    if (!tr->t.observed || tr->t.fitted)
        return FR_ESTATE;
    if (i < 0 || tr->t.enc->field[i].f.kind != FR_FIELD_NUMERIC || (tr->parts & FR_CTR_LINEAR) == 0)
        return FR_ENOTFOUND;
    const struct fr_enc_field *ef = &tr->t.enc->field[i];
    if (ef->scale >
        0) /* the model reads (value - mean) * scale, in row 1 of the field's own table */
        tr->t.params.table[tr->l_of[ef->table]].w[1] = weight / ef->scale;
    return FR_OK;
}

static enum fr_err encode_list(struct fr_train_ctr *tr,
                               const struct fr_rank_list *in,
                               bool training,
                               struct fr_encoded_list *out)
{
    const uint32_t *ns = tr->t.enc->n_slots;
    struct fr_arena *ar = tr->t.ar;
    size_t n = (size_t)in->c.n, nx = tr->t.enc->n_cells[FR_ENTITY_CROSS];
    enum fr_err e;

    out->user = fr_arena_array(ar, ns[FR_ENTITY_USER] + 1, sizeof(*out->user));
    out->context = fr_arena_array(ar, ns[FR_ENTITY_CONTEXT] + 1, sizeof(*out->context));
    out->items = fr_arena_array(ar, n * ns[FR_ENTITY_ITEM] + 1, sizeof(*out->items));
    out->cross = fr_arena_array(ar, n * ns[FR_ENTITY_CROSS] + 1, sizeof(*out->cross));
    if (out->user == NULL || out->context == NULL || out->items == NULL || out->cross == NULL)
        return FR_ENOMEM;
    e = fr_trainer_encode(&tr->t, FR_ENTITY_USER, in->c.user, training, out->user);
    if (e == FR_OK)
        e = fr_trainer_encode(&tr->t, FR_ENTITY_CONTEXT, in->c.context, training, out->context);
    for (size_t i = 0; i < n && e == FR_OK; i++) {
        const struct fr_cell *item = in->c.items == NULL ? NULL : in->c.items[i];
        const struct fr_cell *cross = in->c.cross == NULL ? NULL : in->c.cross + i * nx;
        e = fr_trainer_encode(
            &tr->t, FR_ENTITY_ITEM, item, training, out->items + i * ns[FR_ENTITY_ITEM]);
        if (e == FR_OK)
            e = fr_trainer_encode(
                &tr->t, FR_ENTITY_CROSS, cross, training, out->cross + i * ns[FR_ENTITY_CROSS]);
    }
    out->n = in->c.n;
    out->label = in->label;
    out->labels = in->labels;
    out->values = in->values;
    return e;
}

/* Number of the rows that have a value. @errors FR_EINVAL a value that does not fit the target */
static enum fr_err
count_values(const struct fr_train_ctr *tr, const struct fr_rank_list *lists, int n, double *out_values)
{
    enum fr_value_kind k = tr->cfg.model.value;

    *out_values = 0;
    for (int l = 0; l < n && k != FR_VALUE_NONE; l++)
        for (int i = 0; i < lists[l].c.n && lists[l].values != NULL; i++) {
            if (isnan(lists[l].values[i])) /* no value */
                continue;
            if (!fr_value_fits(k, lists[l].values[i]))
                return FR_EINVAL;
            *out_values += 1;
        }
    return FR_OK;
}

static enum fr_err check_lists(const struct fr_train_ctr *tr,
                               const struct fr_rank_list *lists,
                               int n,
                               double *out_rows)
{
    double rows = 0;
    for (int l = 0; l < n; l++) {
        int min = tr->cfg.loss == FR_LOSS_LISTWISE ? 0 : -1;
        if (lists[l].c.n < 1 || lists[l].label < min || lists[l].label >= lists[l].c.n)
            return FR_EINVAL;
        if (!fr_is_finite(lists[l].weight))
            return FR_ENONFINITE;
        rows += lists[l].c.n;
    }
    *out_rows = rows;
    return n < 1 ? FR_EINVAL : FR_OK;
}

/* Encodes all lists of a step into the trainer's arena. */
static enum fr_err
prepare(struct fr_train_ctr *tr, const struct fr_rank_list *lists, int n, bool training)
{
    double rows = 0, values = 0;
    enum fr_err e = check_lists(tr, lists, n, &rows);

    if (e == FR_OK)
        e = count_values(tr, lists, n, &values);
    if (e != FR_OK)
        return e;
    if (!tr->t.fitted && training) {
        if (!tr->t.observed && (e = fr_train_ctr_observe(tr, lists, n)) != FR_OK)
            return e;
        tr->t.fitted = true;
        if (tr->t.opt.frozen_vocab)
            fr_encoder_settle(tr->t.enc);
    }
    fr_arena_reset(tr->t.ar);
    tr->lists = fr_arena_array(tr->t.ar, (size_t)n, sizeof(*tr->lists));
    tr->n_lists = n;
    if (tr->lists == NULL)
        return FR_ENOMEM;
    double norm = tr->cfg.loss == FR_LOSS_LISTWISE ? (double)n : rows;
    for (int l = 0; l < n; l++) {
        if ((e = encode_list(tr, &lists[l], training, &tr->lists[l])) != FR_OK)
            return e;
        tr->lists[l].scale = (float)((double)lists[l].weight / norm);
        tr->lists[l].value_scale =
            values > 0 ? (float)((double)tr->cfg.value_weight * (double)lists[l].weight / values) : 0;
    }
    tr->nm.all_rows = rows;
    tr->nm.training = training;
    tr->nm.seed = fr_mix64(tr->t.opt.seed ^ fr_mix64(tr->t.params.t + 1));
    return renew(tr);
}

/* ---- steps ---- */

/* Every worker's gradients and loss. */
static enum fr_err passes(struct fr_train_ctr *tr, const struct fr_rank_list *lists, int n)
{
    enum fr_err e = prepare(tr, lists, n, true);

    if (e != FR_OK || (e = fr_trainer_begin(&tr->t)) != FR_OK)
        return e;
    tr->backward = true;
    tr->out_logit = tr->out_raw = NULL;
    return fr_trainer_run(&tr->t, fr_ctr_pass, tr);
}

enum fr_err fr_train_ctr_gradient(struct fr_train_ctr *tr,
                                  const struct fr_rank_list *lists,
                                  int n,
                                  double *out_loss)
{
    enum fr_err e = passes(tr, lists, n);
    return e == FR_OK ? fr_trainer_reduce(&tr->t, out_loss) : e;
}

enum fr_err fr_train_ctr_step(struct fr_train_ctr *tr,
                              const struct fr_rank_list *lists,
                              int n,
                              double *out_loss)
{
    double loss = 0;
    enum fr_err e = passes(tr, lists, n);

    if (e == FR_OK)
        e = fr_trainer_apply(&tr->t, &loss);
    if (e == FR_OK && out_loss != NULL)
        *out_loss = loss;
    return e;
}

/* Where each list's outputs go; NULL stays NULL. @errors FR_ENOMEM */
static enum fr_err
by_list(struct fr_train_ctr *tr, const struct fr_rank_list *lists, int n, float *to, float ***out)
{
    *out = NULL;
    if (to == NULL)
        return FR_OK;
    if ((*out = fr_arena_array(tr->t.ar, (size_t)n, sizeof(**out))) == NULL)
        return FR_ENOMEM;
    for (int l = 0; l < n; l++) {
        (*out)[l] = to;
        to += lists[l].c.n;
    }
    return FR_OK;
}

static enum fr_err eval(struct fr_train_ctr *tr,
                        const struct fr_rank_list *lists,
                        int n,
                        double *out_loss,
                        float *out_logit,
                        float *out_raw)
{
    double loss = 0;
    enum fr_err e = prepare(tr, lists, n, false);

    if (e != FR_OK || (e = by_list(tr, lists, n, out_logit, &tr->out_logit)) != FR_OK ||
        (e = by_list(tr, lists, n, out_raw, &tr->out_raw)) != FR_OK)
        return e;
    tr->backward = false;
    for (int i = 0; i < tr->t.opt.threads; i++) {
        fr_arena_reset(tr->t.w[i].ar);
        tr->t.w[i].loss = 0;
        tr->t.w[i].err = FR_OK;
    }
    if ((e = fr_trainer_run(&tr->t, fr_ctr_pass, tr)) != FR_OK)
        return e;
    for (int i = 0; i < tr->t.opt.threads; i++)
        loss += tr->t.w[i].loss;
    if (out_loss != NULL)
        *out_loss = loss;
    return FR_OK;
}

enum fr_err fr_train_ctr_eval(struct fr_train_ctr *tr,
                              const struct fr_rank_list *lists,
                              int n,
                              double *out_loss,
                              float *out_logit)
{
    return eval(tr, lists, n, out_loss, out_logit, NULL);
}

enum fr_err fr_train_ctr_eval_heads(struct fr_train_ctr *tr,
                                    const struct fr_rank_list *lists,
                                    int n,
                                    double *out_loss,
                                    float *out_logit,
                                    float *out_raw)
{
    return tr->value_w < 0 ? FR_EINVAL : eval(tr, lists, n, out_loss, out_logit, out_raw);
}

/* ---- results ---- */

static enum fr_err make(const struct fr_train_ctr *tr,
                        struct fr_encoder **take_enc,
                        enum fr_weights weights,
                        struct fr_model **out_m,
                        struct fr_fault *fault)
{
    struct fr_tensor *t = fr_calloc(FR_PARAMS_MAX_TENSORS, sizeof(*t));

    if (t == NULL)
        return fr_fault(fault, FR_ENOMEM, "trainer: out of memory");
    int n = fr_params_mean_tensors(&tr->t.mean, &tr->t.params, t);
    enum fr_err e = fr_ctr_new(take_enc, &tr->cfg.model, t, n, weights, out_m, fault);
    fr_free(t);
    return e;
}

enum fr_err fr_train_ctr_model(const struct fr_train_ctr *tr,
                               struct fr_model **out_m,
                               struct fr_fault *fault)
{
    struct fr_encoder *enc = NULL;
    enum fr_err e = fr_encoder_clone(tr->t.enc, &enc);

    e = e == FR_OK ? make(tr, &enc, FR_WEIGHTS_COPY, out_m, fault)
                   : fr_fault(fault, e, "trainer: %s", fr_err_text(e));
    fr_encoder_free(enc);
    return e;
}

/* Written from where the weights and vocabularies stand. */
enum fr_err fr_train_ctr_finish(const struct fr_train_ctr *tr,
                                const struct fr_model_meta *meta,
                                const struct fr_model_case *cases,
                                int n_cases,
                                const char *dir,
                                struct fr_fault *fault)
{
    struct fr_encoder *lent = tr->t.enc;
    struct fr_model *m = NULL;
    enum fr_err e = make(tr, &lent, FR_WEIGHTS_BORROW, &m, fault);

    if (e == FR_OK)
        e = fr_model_save(m, meta, cases, n_cases, dir, fault);
    fr_model_free_borrowed(m);
    return e;
}

enum fr_err fr_train_ctr_average(struct fr_train_ctr *tr, float share)
{
    return fr_params_mean_take(&tr->t.mean, &tr->t.params, share);
}

enum fr_err fr_train_ctr_from(struct fr_train_ctr *tr, const struct fr_model *m, struct fr_fault *fault)
{
    struct fr_model *own = NULL;
    enum fr_err e;

    if (tr->t.observed || tr->t.fitted)
        return fr_fault(fault, FR_ESTATE, "a training goes on from a model before it sees rows");
    e = fr_train_ctr_model(tr, &own, fault);
    if (e == FR_OK)
        e = fr_train_from_check(own, m, fault);
    if (e == FR_OK)
        e = fr_train_from_ids(&tr->t, m, fault);
    if (e == FR_OK && (e = renew(tr)) != FR_OK)
        e = fr_fault(fault, e, "trainer: %s", fr_err_text(e));
    if (e == FR_OK)
        e = fr_train_from_dense(&tr->t, m, fault);
    if (e == FR_OK && tr->cfg.model.dim > 0)
        e = fr_train_from_rows(&tr->t, m, tr->v_of, fault);
    if (e == FR_OK && (tr->parts & FR_CTR_LINEAR) != 0)
        e = fr_train_from_rows(&tr->t, m, tr->l_of, fault);
    fr_model_free(own);
    return e;
}

void fr_train_ctr_set_lr(struct fr_train_ctr *tr, float lr)
{
    fr_trainer_set_lr(&tr->t, lr);
}

uint64_t fr_train_ctr_steps(const struct fr_train_ctr *tr)
{
    return tr->t.params.t;
}
