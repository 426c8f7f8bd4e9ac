/*
 * models/train/checkpoint_trainers.c - what each trainer has beside the common parts.
 */
#include "models/train/checkpoint_trainers.h"

#include <stdio.h>
#include <string.h>

#include "daemon/base/alloc.h"
#include "models/train/train_ncf_priv.h"
#include "models/train/train_priv.h"
#include "models/train/two_tower_candidates.h"

/* ---- what all on struct fr_trainer have ---- */

static void options(struct fr_checkpoint *ck, const struct fr_train_options *o)
{
    fr_checkpoint_same_u64(ck, "seed", o->seed);
    fr_checkpoint_same_u64(ck, "threads", (uint64_t)o->threads);
    fr_checkpoint_same_str(ck, "optimizer", fr_optimizer_name(o->optimizer));
    fr_checkpoint_same_f64(ck, "decay", (double)o->decay);
    fr_checkpoint_same_f64(ck, "ftrl_beta", (double)o->ftrl_beta);
    fr_checkpoint_same_f64(ck, "ftrl_l1", (double)o->ftrl_l1);
    fr_checkpoint_same_f64(ck, "ftrl_l2", (double)o->ftrl_l2);
    fr_checkpoint_same_f64(ck, "beta1", (double)o->beta1);
    fr_checkpoint_same_f64(ck, "beta2", (double)o->beta2);
    fr_checkpoint_same_f64(ck, "eps", (double)o->eps);
    fr_checkpoint_same_f64(ck, "l2_embedding", (double)o->l2_embedding);
    fr_checkpoint_same_f64(ck, "l2_dense", (double)o->l2_dense);
    fr_checkpoint_same_u64(ck, "dense_rows", o->dense_rows);
    fr_checkpoint_same_f64(ck, "id_dropout", (double)o->id_dropout);
    fr_checkpoint_same_f64(ck, "clip_norm", (double)o->clip_norm);
    fr_checkpoint_same_u64(ck, "clip_all", o->clip_all);
    fr_checkpoint_same_u64(ck, "xavier", o->xavier);
    fr_checkpoint_same_f64(ck, "init_std", (double)o->init_std);
    fr_checkpoint_same_u64(ck, "admit", o->admit);
    fr_checkpoint_same_u64(ck, "max_rows", o->max_rows);
    fr_checkpoint_same_u64(ck, "frozen_vocab", o->frozen_vocab);
}

static void begin(struct fr_checkpoint *ck, struct fr_trainer *t, bool fixed)
{
    options(ck, &t->opt);
    fr_checkpoint_f32(ck, "lr", &t->opt.lr); /* these two are changed on the way */
    fr_checkpoint_f32(ck, "lr_dense", &t->opt.lr_dense);
    fr_checkpoint_bool(ck, "observed", &t->observed);
    fr_checkpoint_bool(ck, "fitted", &t->fitted);
    fr_checkpoint_encoder(ck, t->enc, fixed);
}

/* Loading: tables get the rows of the vocabularies that came in; what is drawn for new rows is overwritten, as is the
 * state of the generator. */
static void grow(struct fr_checkpoint *ck, struct fr_trainer *t, const int table_of[FR_MAX_FIELDS])
{
    enum fr_err e;

    if (!fr_checkpoint_loading(ck) || fr_checkpoint_err(ck) != FR_OK)
        return;
    if ((e = fr_trainer_grow(t, table_of, 0)) != FR_OK)
        fr_checkpoint_fail(ck, e, "tables", fr_err_text(e));
}

static void end(struct fr_checkpoint *ck, struct fr_trainer *t)
{
    fr_checkpoint_params(ck, &t->params);
    fr_checkpoint_mean(ck, &t->mean, &t->params);
    fr_checkpoint_rng(ck, "rng", &t->rng);
}

static void widths(struct fr_checkpoint *ck, const int *hidden, int n)
{
    char key[32];

    fr_checkpoint_same_u64(ck, "n_hidden", (uint64_t)n);
    for (int i = 0; i < n; i++) {
        (void)snprintf(key, sizeof(key), "hidden.%d", i);
        fr_checkpoint_same_u64(ck, key, (uint64_t)hidden[i]);
    }
}

/* ---- lr, fm, wide_deep, deepfm, autoint, autoint+ ---- */

static void ctr_settings(struct fr_checkpoint *ck, const struct fr_ctr_train_config *c)
{
    const struct fr_ctr_config *m = &c->model;
    const struct fr_attention_config *a = &m->attention;

    fr_checkpoint_same_str(ck, "kind", fr_model_kind_name(m->kind));
    fr_checkpoint_same_u64(ck, "dim", (uint64_t)m->dim);
    widths(ck, m->hidden, m->n_hidden);
    fr_checkpoint_same_u64(ck, "batch_norm", m->batch_norm);
    fr_checkpoint_same_u64(ck, "attention_layers", (uint64_t)a->layers);
    fr_checkpoint_same_u64(ck, "attention_heads", (uint64_t)a->heads);
    fr_checkpoint_same_u64(ck, "attention_width", (uint64_t)a->width);
    fr_checkpoint_same_u64(ck, "attention_scale", a->scale);
    fr_checkpoint_same_u64(ck, "attention_norm", a->layer_norm);
    fr_checkpoint_same_u64(ck, "attention_residual", (uint64_t)a->residual);
    fr_checkpoint_same_u64(ck, "linear", m->linear);
    fr_checkpoint_same_u64(ck, "value", (uint64_t)m->value);
    fr_checkpoint_same_u64(ck, "share", m->share);
    fr_checkpoint_same_f64(ck, "value_weight", (double)c->value_weight);
    fr_checkpoint_same_u64(ck, "loss", (uint64_t)c->loss);
    fr_checkpoint_same_f64(ck, "dropout", (double)c->dropout);
}

/* Of trainers that are yet to be made: with the step size that they begin with. */
static void same_options(struct fr_checkpoint *ck, const struct fr_train_options *o)
{
    options(ck, o);
    fr_checkpoint_same_f64(ck, "lr", (double)o->lr);
    fr_checkpoint_same_f64(ck, "lr_dense", (double)o->lr_dense);
}

void fr_train_ctr_same(struct fr_checkpoint *ck, const struct fr_ctr_train_config *c)
{
    ctr_settings(ck, c);
    same_options(ck, &c->opt);
}

void fr_train_ctr_checkpoint(struct fr_train_ctr *tr, struct fr_checkpoint *ck)
{
    const struct fr_ctr_config *m = &tr->cfg.model;

    ctr_settings(ck, &tr->cfg);
    begin(ck, &tr->t, false);
    if (m->dim > 0)
        grow(ck, &tr->t, tr->v_of);
    if ((tr->parts & FR_CTR_LINEAR) != 0)
        grow(ck, &tr->t, tr->l_of);
    int64_t values = (int64_t)tr->value_n;
    fr_checkpoint_f64(ck, "value_sum", &tr->value_sum);
    fr_checkpoint_i64(ck, "value_n", &values, 0, FR_CHECKPOINT_MAX_STEPS);
    tr->value_n = (uint64_t)values;
    end(ck, &tr->t); /* views are renewed in each step */
}

enum fr_err fr_train_ctr_build(
    const void *ctx, const struct fr_tensor *t, int n, struct fr_model **out_m, struct fr_fault *fault)
{
    const struct fr_train_ctr *tr = ctx;
    struct fr_encoder *enc = NULL;
    enum fr_err e = fr_encoder_clone(tr->t.enc, &enc);

    if (e == FR_OK)
        e = fr_ctr_new(&enc, &tr->cfg.model, t, n, FR_WEIGHTS_COPY, out_m, fault);
    fr_encoder_free(enc);
    return e;
}

/* ---- neumf, gmf, mlp ---- */

void fr_train_ncf_checkpoint(struct fr_train_ncf *tr, struct fr_checkpoint *ck)
{
    fr_checkpoint_same_str(ck, "kind", fr_model_kind_name(tr->cfg.kind));
    fr_checkpoint_same_u64(ck, "factors", (uint64_t)tr->cfg.factors);
    widths(ck, tr->cfg.hidden, tr->cfg.n_hidden);
    begin(ck, &tr->t, true);
    end(ck, &tr->t);
    if (tr->rest != NULL && fr_train_ncf_may_rest(&tr->t.opt)) /* else no row waits, and there may be no moments */
        fr_rest_checkpoint(tr->rest, ck);
}

enum fr_err fr_train_ncf_build(
    const void *ctx, const struct fr_tensor *t, int n, struct fr_model **out_m, struct fr_fault *fault)
{
    const struct fr_train_ncf *tr = ctx;
    struct fr_encoder *enc = NULL;
    enum fr_err e = fr_encoder_clone(tr->t.enc, &enc);

    if (e == FR_OK)
        e = fr_ncf_new(&enc, &tr->cfg, t, n, FR_WEIGHTS_COPY, out_m, fault);
    fr_encoder_free(enc);
    return e;
}

/* ---- two_tower ---- */

static void two_tower_settings(struct fr_checkpoint *ck, const struct fr_two_tower_train_config *c)
{
    const struct fr_two_tower_config *m = &c->model;

    fr_checkpoint_same_str(ck, "kind", fr_model_kind_name(FR_MODEL_TWO_TOWER));
    fr_checkpoint_same_u64(ck, "emb_dim", (uint64_t)m->emb_dim);
    fr_checkpoint_same_u64(ck, "dim", (uint64_t)m->dim);
    widths(ck, m->hidden, m->n_hidden);
    fr_checkpoint_same_u64(ck, "bare", m->bare);
    fr_checkpoint_same_f64(ck, "tau", (double)m->tau);
    fr_checkpoint_same_u64(ck, "skip", m->skip);
    fr_checkpoint_same_u64(ck, "gates", m->gates);
    fr_checkpoint_same_str(ck, "skip_table", m->skip_table);
    fr_checkpoint_same_u64(ck, "loss", (uint64_t)c->loss);
    fr_checkpoint_same_u64(ck, "in_batch", c->in_batch);
    fr_checkpoint_same_u64(ck, "negatives", (uint64_t)c->negatives);
    fr_checkpoint_same_u64(ck, "log_uniform", c->log_uniform);
    fr_checkpoint_same_f64(ck, "margin", (double)c->margin);
    fr_checkpoint_same_f64(ck, "negative_weight", (double)c->negative_weight);
    fr_checkpoint_same_u64(ck, "full_softmax", c->full_softmax);
    fr_checkpoint_same_f64(ck, "logq_alpha", (double)c->logq_alpha);
    fr_checkpoint_same_u64(ck, "logq", c->logq);
}

void fr_train_two_tower_same(struct fr_checkpoint *ck, const struct fr_two_tower_train_config *c)
{
    two_tower_settings(ck, c);
    same_options(ck, &c->opt);
}

/* What is known of items, by their number: room for exactly those that come in. */
static enum fr_err item_room(struct fr_train_two_tower *tr, uint64_t n)
{
    void *p[] = {tr->gap, tr->last, tr->times, tr->mark, tr->count, tr->order, tr->rank};

    for (size_t i = 0; i < sizeof(p) / sizeof(p[0]); i++)
        fr_free(p[i]);
    tr->gap = NULL;
    tr->last = NULL;
    tr->times = tr->mark = tr->count = tr->order = tr->rank = NULL;
    tr->cap_items = tr->n_order = 0;
    return n > UINT32_MAX ? FR_ENOMEM : fr_two_tower_grow_items(tr, (uint32_t)n);
}

/* Ranks of frequency: an order of the first n_order items, each once. */
static void ranks(struct fr_train_two_tower *tr, struct fr_checkpoint *ck)
{
    int64_t n = tr->n_order;

    fr_checkpoint_u32s(ck, "count", tr->count, tr->cap_items);
    fr_checkpoint_i64(ck, "n_order", &n, 0, tr->cap_items);
    if (fr_checkpoint_err(ck) != FR_OK)
        return;
    tr->n_order = (uint32_t)n;
    fr_checkpoint_u32s(ck, "order", tr->order, tr->n_order);
    if (!fr_checkpoint_loading(ck) || fr_checkpoint_err(ck) != FR_OK)
        return;
    for (uint32_t k = 0; k < tr->n_order; k++)
        tr->rank[k] = UINT32_MAX;
    for (uint32_t k = 0; k < tr->n_order; k++) {
        if (tr->order[k] >= tr->n_order || tr->rank[tr->order[k]] != UINT32_MAX) {
            fr_checkpoint_fail(ck, FR_ERANGE, "order", "not an order of the items");
            return;
        }
        tr->rank[tr->order[k]] = k;
    }
}

static void gaps(struct fr_train_two_tower *tr, struct fr_checkpoint *ck)
{
    int64_t step = (int64_t)tr->step;
    uint64_t n;
    enum fr_err e;

    fr_checkpoint_i64(ck, "step", &step, 0, FR_CHECKPOINT_MAX_STEPS);
    tr->step = (uint64_t)step;
    if (fr_checkpoint_loading(ck)) {
        n = fr_checkpoint_count(ck, "gap");
        if (fr_checkpoint_err(ck) != FR_OK)
            return;
        if ((e = item_room(tr, n)) != FR_OK)
            fr_checkpoint_fail(ck, e, "gap", fr_err_text(e));
    }
    fr_checkpoint_f32s(ck, "gap", tr->gap, tr->cap_items, 0);
    fr_checkpoint_u64s(ck, "last", tr->last, tr->cap_items);
    fr_checkpoint_u32s(ck, "times", tr->times, tr->cap_items);
    for (uint32_t j = 0; fr_checkpoint_loading(ck) && j < tr->cap_items; j++)
        if (tr->last[j] > tr->step || tr->times[j] > tr->step || !(tr->gap[j] > 0)) {
            fr_checkpoint_fail(ck, FR_ERANGE, "gap", "an item appeared after the last step, or has no gap");
            return;
        }
}

void fr_train_two_tower_checkpoint(struct fr_train_two_tower *tr, struct fr_checkpoint *ck)
{
    two_tower_settings(ck, &tr->cfg);
    begin(ck, &tr->t, false);
    grow(ck, &tr->t, tr->v_of);
    gaps(tr, ck);
    ranks(tr, ck);
    end(ck, &tr->t);
}

enum fr_err fr_train_two_tower_build(
    const void *ctx, const struct fr_tensor *t, int n, struct fr_model **out_m, struct fr_fault *fault)
{
    const struct fr_train_two_tower *tr = ctx;
    struct fr_encoder *enc = NULL;
    enum fr_err e = fr_encoder_clone(tr->t.enc, &enc);

    if (e == FR_OK)
        e = fr_two_tower_new(&enc, &tr->cfg.model, t, n, FR_WEIGHTS_COPY, out_m, fault);
    fr_encoder_free(enc);
    return e;
}

void fr_train_two_tower_left(struct fr_train_two_tower *tr, struct fr_model **m, struct fr_checkpoint *ck)
{
    fr_checkpoint_whole_model(ck, m, tr == NULL ? NULL : tr->t.enc, fr_train_two_tower_build, tr);
}
