/*
 * models/train/train_two_tower.c - the Two-Tower trainer: parameters, candidates and their
 * probabilities, encoding, steps, results. The passes are in two_tower_pass.c.
 */
#include "models/train/train_two_tower.h"

#include <stdio.h>
#include <string.h>

#include "daemon/base/alloc.h"
#include "models/train/train_from.h"
#include "models/train/train_priv.h"
#include "models/train/two_tower_candidates.h"
#include "models/train/two_tower_pass.h"

void fr_two_tower_train_config_default(struct fr_two_tower_train_config *c)
{
    *c = (struct fr_two_tower_train_config){.in_batch = true,
                                            .negatives = 1000,
                                            .logq = true,
                                            .logq_alpha = 0.01f,
                                            .margin = 0.8f,
                                            .negative_weight = 150};
    fr_train_options_default(&c->opt);
    c->opt.lr = 3e-3f;
    c->opt.init_std = 0.1f;
    c->opt.id_dropout = 0.1f;
    c->model.emb_dim = 64;
    c->model.dim = 64;
    c->model.n_hidden = 1;
    c->model.hidden[0] = 128;
    c->model.tau = 0.1f;
    c->model.skip = true;
    c->model.gates = true;
    memcpy(c->model.skip_table, "item", sizeof("item"));
}

/* ---- construction ---- */

static enum fr_err add_gates(struct fr_train_two_tower *tr)
{
    const struct fr_two_tower_config *m = &tr->cfg.model;
    char name[FR_TENSOR_NAME];

    for (int i = 0; i < tr->t.enc->n_fields; i++) {
        const struct fr_enc_field *ef = &tr->t.enc->field[i];
        bool is_skip = fr_two_tower_is_skip(m, ef);
        tr->skip[i] = m->skip && is_skip;
        tr->gate[i] = -1;
        if (!m->gates || !is_skip || ef->f.slots < 2)
            continue;
        (void)snprintf(name, sizeof(name), "gate.%s.weight", ef->f.name);
        enum fr_err e =
            fr_params_add_dense(&tr->t.params, name, ef->f.slots, m->emb_dim, &tr->gate[i]);
        if (e != FR_OK)
            return e;
        struct fr_dense *d = &tr->t.params.dense[tr->gate[i]];
        for (size_t k = 0; k < d->n; k++)
            d->w[k] = 1.0f;
    }
    return FR_OK;
}

static enum fr_err add_tower(struct fr_train_two_tower *tr,
                             const char *prefix,
                             int n_fields,
                             struct fr_train_tower *tw)
{
    const struct fr_two_tower_config *m = &tr->cfg.model;

    tw->mlp.n_layers = m->bare ? 0 : m->n_hidden + 1;
    tw->mlp.width[0] = n_fields * m->emb_dim;
    if (m->bare)
        return FR_OK;
    memcpy(tw->mlp.width + 1, m->hidden, (size_t)m->n_hidden * sizeof(int));
    tw->mlp.width[m->n_hidden + 1] = m->dim;
    return fr_trainer_add_mlp(
        &tr->t, prefix, tw->mlp.width, tw->mlp.n_layers, tw->mlp_w, tw->mlp_b);
}

static enum fr_err renew(struct fr_train_two_tower *tr)
{
    enum fr_err e = fr_trainer_grow(&tr->t, tr->v_of, tr->t.opt.init_std);

    if (e != FR_OK)
        return e;
    tr->em.dim = tr->cfg.model.emb_dim;
    for (int i = 0; i < tr->t.enc->n_tables; i++)
        tr->em.v[i] = tr->t.params.table[tr->v_of[i]].w;
    for (int i = 0; i < tr->t.enc->n_fields; i++)
        tr->em.gate[i] = tr->gate[i] < 0 ? NULL : tr->t.params.dense[tr->gate[i]].w;
    fr_trainer_bind_mlp(&tr->t, &tr->user.mlp, tr->user.mlp_w, tr->user.mlp_b);
    fr_trainer_bind_mlp(&tr->t, &tr->item.mlp, tr->item.mlp_w, tr->item.mlp_b);
    return FR_OK;
}

static enum fr_err add_params(struct fr_train_two_tower *tr)
{
    int n_item = fr_encoder_n_fields(tr->t.enc, FR_ENTITY_ITEM);
    int n_user = tr->t.enc->n_fields - n_item;
    enum fr_err e = add_gates(tr);

    if (e != FR_OK || (e = add_tower(tr, "user_mlp", n_user, &tr->user)) != FR_OK ||
        (e = add_tower(tr, "item_mlp", n_item, &tr->item)) != FR_OK)
        return e;
    e = fr_trainer_add_tables(&tr->t, "embedding", tr->cfg.model.emb_dim, tr->v_of);
    return e == FR_OK ? renew(tr) : e;
}

static enum fr_err check_config(const struct fr_two_tower_train_config *cfg, struct fr_fault *fault)
{
    if (cfg->opt.max_rows < 1 || cfg->opt.admit < 1)
        return fr_fault(fault, FR_EINVAL, "admit and max_rows must be at least 1");
    if (cfg->negatives < 0 || !(cfg->logq_alpha > 0 && cfg->logq_alpha <= 1))
        return fr_fault(fault, FR_EINVAL, "negatives below 0, or logq_alpha not in (0, 1]");
    if (!cfg->in_batch && !cfg->full_softmax && cfg->negatives < 1)
        return fr_fault(fault, FR_EINVAL, "no candidates: neither in the batch, nor drawn, nor all items");
    if (cfg->loss != FR_TOWER_SOFTMAX && cfg->loss != FR_TOWER_CCL)
        return fr_fault(fault, FR_EINVAL, "no such loss");
    if (!(cfg->margin >= -1 && cfg->margin <= 1))
        return fr_fault(fault, FR_EINVAL, "margin must be in [-1, 1]");
    if (!(cfg->negative_weight >= 0 && cfg->negative_weight <= 1e6f))
        return fr_fault(fault, FR_EINVAL, "negative_weight must be in 0..1e6");
    return FR_OK;
}

enum fr_err fr_train_two_tower_new(const struct fr_two_tower_train_config *cfg,
                                   const struct fr_field_set *fs,
                                   struct fr_train_two_tower **out_tr,
                                   struct fr_fault *fault)
{
    const unsigned entities = 1u << FR_ENTITY_USER | 1u << FR_ENTITY_CONTEXT | 1u << FR_ENTITY_ITEM;
    struct fr_train_two_tower *tr = NULL;
    struct fr_encoder *enc = NULL;
    enum fr_err e;

    if ((e = check_config(cfg, fault)) != FR_OK)
        return e;
    e = fr_encoder_new(
        fs, cfg->fields, cfg->n_fields, entities, cfg->opt.max_rows, cfg->opt.admit, &enc, fault);
    if (e != FR_OK || (e = fr_two_tower_config_check(enc, &cfg->model, fault)) != FR_OK)
        goto out;
    tr = fr_calloc(1, sizeof(*tr));
    if (tr == NULL) {
        e = fr_fault(fault, FR_ENOMEM, "trainer: out of memory");
        goto out;
    }
    tr->cfg = *cfg;
    tr->cfg.fields = NULL; /* borrowed for this call only */
    if ((e = fr_trainer_init(&tr->t, &cfg->opt, &enc, fault)) != FR_OK)
        goto out;
    if ((e = add_params(tr)) != FR_OK) {
        e = fr_fault(fault, e, "trainer: %s", fr_err_text(e));
        goto out;
    }
    *out_tr = tr;
    tr = NULL;
out:
    fr_train_two_tower_free(tr);
    fr_encoder_free(enc);
    return e;
}

void fr_train_two_tower_free(struct fr_train_two_tower *tr)
{
    if (tr == NULL)
        return;
    fr_trainer_done(&tr->t);
    fr_free(tr->gap);
    fr_free(tr->last);
    fr_free(tr->times);
    fr_free(tr->mark);
    fr_free(tr->count);
    fr_free(tr->order);
    fr_free(tr->rank);
    fr_free(tr);
}

/* ---- input ---- */

static enum fr_err check_batch(const struct fr_two_tower_batch *b)
{
    if (b->n < 1)
        return FR_EINVAL;
    for (int i = 0; i < b->n; i++) {
        if (b->item[i] >= b->items.n)
            return FR_EINVAL;
        if (b->weight != NULL && !fr_is_finite(b->weight[i]))
            return FR_ENONFINITE;
    }
    return FR_OK;
}

static const struct fr_cell *
item_cells(const struct fr_train_two_tower *tr, const struct fr_two_tower_batch *b, uint32_t item)
{
    return b->items.cells + (size_t)item * tr->t.enc->n_cells[FR_ENTITY_ITEM];
}

static enum fr_err observe(struct fr_train_two_tower *tr, const struct fr_two_tower_batch *b)
{
    struct fr_encoder *enc = tr->t.enc;
    enum fr_err e = check_batch(b);

    if (e == FR_OK)
        e = fr_two_tower_grow_items(tr, b->items.n);
    for (int i = 0; i < b->n && e == FR_OK; i++) {
        tr->count[b->item[i]]++;
        if (fr_encoder_n_fields(enc, FR_ENTITY_USER) > 0)
            e = fr_encoder_observe(enc, FR_ENTITY_USER, b->user[i]);
        if (e == FR_OK && fr_encoder_n_fields(enc, FR_ENTITY_CONTEXT) > 0)
            e = fr_encoder_observe(enc, FR_ENTITY_CONTEXT, b->context[i]);
        if (e == FR_OK)
            e = fr_encoder_observe(enc, FR_ENTITY_ITEM, item_cells(tr, b, b->item[i]));
    }
    return e;
}

enum fr_err fr_train_two_tower_observe(struct fr_train_two_tower *tr,
                                       const struct fr_two_tower_batch *b)
{
    if (tr->t.fitted)
        return FR_ESTATE;
    tr->t.observed = true;
    enum fr_err e = observe(tr, b);
    fr_encoder_fit(tr->t.enc);
    return e == FR_OK ? renew(tr) : e;
}

static enum fr_err encode_users(struct fr_train_two_tower *tr, const struct fr_two_tower_batch *b)
{
    const uint32_t *ns = tr->t.enc->n_slots;
    size_t su = ns[FR_ENTITY_USER], sc = ns[FR_ENTITY_CONTEXT];
    enum fr_err e = FR_OK;

    tr->user_slots = fr_arena_array(tr->t.ar, (size_t)b->n * su + 1, sizeof(struct fr_slot));
    tr->context_slots = fr_arena_array(tr->t.ar, (size_t)b->n * sc + 1, sizeof(struct fr_slot));
    if (tr->user_slots == NULL || tr->context_slots == NULL)
        return FR_ENOMEM;
    for (size_t i = 0; i < (size_t)b->n && e == FR_OK; i++) {
        const struct fr_cell *context = b->context == NULL ? NULL : b->context[i];
        e = fr_trainer_encode(&tr->t, FR_ENTITY_USER, b->user[i], true, tr->user_slots + i * su);
        if (e == FR_OK)
            e = fr_trainer_encode(
                &tr->t, FR_ENTITY_CONTEXT, context, true, tr->context_slots + i * sc);
    }
    return e;
}

static enum fr_err prepare(struct fr_train_two_tower *tr, const struct fr_two_tower_batch *b)
{
    size_t si = tr->t.enc->n_slots[FR_ENTITY_ITEM], dim = (size_t)tr->cfg.model.dim;
    size_t workers = (size_t)tr->t.opt.threads;
    struct fr_arena *ar = tr->t.ar;
    enum fr_err e = check_batch(b);

    if (e != FR_OK)
        return e;
    if (!tr->t.fitted) {
        if (!tr->t.observed && (e = fr_train_two_tower_observe(tr, b)) != FR_OK)
            return e;
        tr->t.fitted = true;
        if (tr->t.opt.frozen_vocab)
            fr_encoder_settle(tr->t.enc);
    }
    fr_arena_reset(ar);
    tr->b = b;
    if ((e = fr_two_tower_grow_items(tr, b->items.n)) != FR_OK ||
        (e = fr_two_tower_candidates(tr, b)) != FR_OK ||
        (e = encode_users(tr, b)) != FR_OK)
        return e;
    size_t n = (size_t)b->n, nc = (size_t)tr->n_cand;
    tr->item_slots = fr_arena_array(ar, nc * si + 1, sizeof(struct fr_slot));
    tr->u = fr_arena_array(ar, n * dim, sizeof(float));
    tr->v = fr_arena_array(ar, nc * dim, sizeof(float));
    tr->du = fr_arena_array(ar, n * dim, sizeof(float));
    tr->dv_part = fr_arena_zarray(ar, workers * nc * dim, sizeof(float));
    tr->user_pass = fr_arena_zarray(ar, workers, sizeof(*tr->user_pass));
    tr->item_pass = fr_arena_zarray(ar, workers, sizeof(*tr->item_pass));
    if (tr->item_slots == NULL || tr->u == NULL || tr->v == NULL || tr->du == NULL ||
        tr->dv_part == NULL || tr->user_pass == NULL || tr->item_pass == NULL)
        return FR_ENOMEM;
    for (size_t c = 0; c < nc && e == FR_OK; c++)
        e = fr_trainer_encode(
            &tr->t, FR_ENTITY_ITEM, item_cells(tr, b, tr->cand[c]), true, tr->item_slots + c * si);
    return e == FR_OK ? renew(tr) : e;
}

/* ---- steps ---- */

/* Every worker's gradients and loss. */
static enum fr_err passes(struct fr_train_two_tower *tr, const struct fr_two_tower_batch *b)
{
    enum fr_err e = prepare(tr, b);

    if (e != FR_OK || (e = fr_trainer_begin(&tr->t)) != FR_OK ||
        (e = fr_trainer_run(&tr->t, fr_two_tower_pass_forward, tr)) != FR_OK ||
        (e = fr_trainer_run(&tr->t, fr_two_tower_pass_loss, tr)) != FR_OK)
        return e;
    return fr_trainer_run(&tr->t, fr_two_tower_pass_backward, tr);
}

enum fr_err fr_train_two_tower_gradient(struct fr_train_two_tower *tr,
                                        const struct fr_two_tower_batch *b,
                                        double *out_loss)
{
    enum fr_err e = passes(tr, b);
    return e == FR_OK ? fr_trainer_reduce(&tr->t, out_loss) : e;
}

enum fr_err fr_train_two_tower_step(struct fr_train_two_tower *tr,
                                    const struct fr_two_tower_batch *b,
                                    double *out_loss)
{
    double loss = 0;
    enum fr_err e = passes(tr, b);

    if (e == FR_OK)
        e = fr_trainer_apply(&tr->t, &loss);
    if (e == FR_OK && out_loss != NULL)
        *out_loss = loss;
    return e;
}

/* ---- results ---- */

static enum fr_err make(const struct fr_train_two_tower *tr,
                        struct fr_encoder **take_enc,
                        enum fr_weights weights,
                        struct fr_model **out_m,
                        struct fr_fault *fault)
{
    struct fr_tensor *t = fr_calloc(FR_PARAMS_MAX_TENSORS, sizeof(*t));

    if (t == NULL)
        return fr_fault(fault, FR_ENOMEM, "trainer: out of memory");
    int n = fr_params_tensors(&tr->t.params, t);
    enum fr_err e = fr_two_tower_new(take_enc, &tr->cfg.model, t, n, weights, out_m, fault);
    fr_free(t);
    return e;
}

enum fr_err fr_train_two_tower_model(const struct fr_train_two_tower *tr,
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
enum fr_err fr_train_two_tower_finish(const struct fr_train_two_tower *tr,
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

enum fr_err fr_train_two_tower_from(struct fr_train_two_tower *tr, const struct fr_model *m, struct fr_fault *fault)
{
    struct fr_model *own = NULL;
    enum fr_err e;

    if (tr->t.observed || tr->t.fitted)
        return fr_fault(fault, FR_ESTATE, "a training goes on from a model before it sees rows");
    e = fr_train_two_tower_model(tr, &own, fault);
    if (e == FR_OK)
        e = fr_train_from_check(own, m, fault);
    if (e == FR_OK)
        e = fr_train_from_ids(&tr->t, m, fault);
    if (e == FR_OK && (e = renew(tr)) != FR_OK)
        e = fr_fault(fault, e, "trainer: %s", fr_err_text(e));
    if (e == FR_OK)
        e = fr_train_from_dense(&tr->t, m, fault);
    if (e == FR_OK)
        e = fr_train_from_rows(&tr->t, m, tr->v_of, fault);
    fr_model_free(own);
    return e;
}

void fr_train_two_tower_set_lr(struct fr_train_two_tower *tr, float lr)
{
    fr_trainer_set_lr(&tr->t, lr);
}

uint64_t fr_train_two_tower_steps(const struct fr_train_two_tower *tr)
{
    return tr->t.params.t;
}
