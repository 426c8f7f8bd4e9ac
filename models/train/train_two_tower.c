/*
 * models/train/train_two_tower.c - one step in three rounds of the worker threads:
 *
 *   1 forward    users' shares and candidates' shares through their towers -> u (n, D), v (C, D)
 *   2 softmax    each worker its users: logits u v^T / tau - log q, loss, du, and its part of dv
 *   3 backward   du and dv back through the towers into the worker's gradients
 */
#include "models/train/train_two_tower.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "daemon/base/alloc.h"
#include "models/gemm.h"
#include "models/train/loss.h"
#include "models/train/train_priv.h"

void fr_two_tower_train_config_default(struct fr_two_tower_train_config *c)
{
    *c = (struct fr_two_tower_train_config){.logq = true, .logq_alpha = 0.01f};
    fr_train_options_default(&c->opt);
    c->opt.lr = 2e-3f;
    c->opt.init_std = 0.1f;
    c->opt.id_dropout = 0.1f;
    c->model.emb_dim = 64;
    c->model.dim = 64;
    c->model.n_hidden = 1;
    c->model.hidden[0] = 128;
    c->model.tau = 0.1f;
    c->model.skip = true;
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

    tw->mlp.n_layers = m->n_hidden + 1;
    tw->mlp.width[0] = n_fields * m->emb_dim;
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

enum fr_err fr_train_two_tower_new(const struct fr_two_tower_train_config *cfg,
                                   const struct fr_field_set *fs,
                                   struct fr_train_two_tower **out_tr,
                                   struct fr_fault *fault)
{
    const unsigned entities = 1u << FR_ENTITY_USER | 1u << FR_ENTITY_CONTEXT | 1u << FR_ENTITY_ITEM;
    struct fr_train_two_tower *tr = NULL;
    struct fr_encoder *enc = NULL;
    enum fr_err e;

    if (cfg->opt.max_rows < 1 || cfg->opt.admit < 1)
        return fr_fault(fault, FR_EINVAL, "admit and max_rows must be at least 1");
    if (cfg->negatives < 0 || !(cfg->logq_alpha > 0 && cfg->logq_alpha <= 1))
        return fr_fault(fault, FR_EINVAL, "negatives below 0, or logq_alpha not in (0, 1]");
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

    for (int i = 0; i < b->n && e == FR_OK; i++) {
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

/* Estimator and marks for every item of the caller's table. */
static enum fr_err grow_items(struct fr_train_two_tower *tr, uint32_t n)
{
    size_t cap = tr->cap_items;

    if (n <= cap)
        return FR_OK;
    cap = n > 2 * cap ? n : 2 * cap;
    float *gap = fr_realloc_array(tr->gap, cap, sizeof(*gap));
    if (gap != NULL)
        tr->gap = gap;
    uint64_t *last = fr_realloc_array(tr->last, cap, sizeof(*last));
    if (last != NULL)
        tr->last = last;
    uint32_t *times = fr_realloc_array(tr->times, cap, sizeof(*times));
    if (times != NULL)
        tr->times = times;
    uint32_t *mark = fr_realloc_array(tr->mark, cap, sizeof(*mark));
    if (mark != NULL)
        tr->mark = mark;
    if (gap == NULL || last == NULL || times == NULL || mark == NULL)
        return FR_ENOMEM;
    for (size_t i = tr->cap_items; i < cap; i++) {
        gap[i] = (float)n; /* a new item: as rare as if all were equally likely */
        last[i] = 0;
        times[i] = mark[i] = 0;
    }
    tr->cap_items = (uint32_t)cap;
    return FR_OK;
}

/*
 * Item j appeared in this step. B <- (1 - a) B + a (t - A), where a starts at 1, 1/2, 1/3 ... and
 * falls to logq_alpha: the plain mean of the first gaps instead of a slow way down from the initial
 * value.
 */
static void estimate(struct fr_train_two_tower *tr, uint32_t j)
{
    if (tr->last[j] != 0) {
        float a = 1.0f / (float)++tr->times[j];
        a = a > tr->cfg.logq_alpha ? a : tr->cfg.logq_alpha;
        float gap = (float)(tr->step - tr->last[j]);
        tr->gap[j] = (1.0f - a) * tr->gap[j] + a * gap;
    }
    tr->last[j] = tr->step;
}

static void add_candidate(struct fr_train_two_tower *tr, uint32_t j)
{
    tr->cand[tr->n_cand++] = j;
    tr->mark[j] = (uint32_t)tr->n_cand;
}

/* Distinct items of the batch, then uniform negatives (or all items). */
static enum fr_err choose_candidates(struct fr_train_two_tower *tr,
                                     const struct fr_two_tower_batch *b)
{
    bool full = tr->cfg.full_softmax;
    size_t extra = full ? 0 : (size_t)tr->cfg.negatives;
    size_t cap = full ? b->items.n : (size_t)b->n + extra;

    if (cap > INT32_MAX)
        return FR_ETOOLARGE;
    tr->n_cand = 0;
    tr->cand = fr_arena_array(tr->t.ar, cap, sizeof(*tr->cand));
    tr->log_q = fr_arena_zarray(tr->t.ar, cap, sizeof(*tr->log_q));
    tr->target = fr_arena_array(tr->t.ar, (size_t)b->n, sizeof(*tr->target));
    if (tr->cand == NULL || tr->log_q == NULL || tr->target == NULL)
        return FR_ENOMEM;
    tr->step++;
    for (uint32_t j = 0; full && j < b->items.n; j++)
        add_candidate(tr, j);
    for (int i = 0; i < b->n; i++) {
        uint32_t j = b->item[i];
        if (tr->mark[j] == 0)
            add_candidate(tr, j);
        if (tr->last[j] != tr->step)
            estimate(tr, j);
        tr->target[i] = (int)tr->mark[j] - 1;
    }
    for (size_t k = 0; k < extra; k++) {
        uint32_t j = (uint32_t)fr_rng_below(&tr->t.rng, b->items.n);
        if (tr->mark[j] == 0)
            add_candidate(tr, j);
    }
    for (int c = 0; c < tr->n_cand; c++) {
        uint32_t j = tr->cand[c];
        double gap = tr->gap[j] > 1.0f ? (double)tr->gap[j] : 1.0;
        double q = 1.0 / gap + (double)extra / (double)b->items.n;
        if (tr->cfg.logq && !full)
            tr->log_q[c] = (float)log(q < 1.0 ? q : 1.0);
        tr->mark[j] = 0;
    }
    return FR_OK;
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
    }
    fr_arena_reset(ar);
    tr->b = b;
    if ((e = grow_items(tr, b->items.n)) != FR_OK || (e = choose_candidates(tr, b)) != FR_OK ||
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

/* ---- towers ---- */

/* The entity groups of a tower and the slots of row i in each. */
struct tower_row {
    int n_groups;
    enum fr_entity e[2];
    const struct fr_slot *slots[2];
};

static struct tower_row row_of(const struct fr_train_two_tower *tr, bool user, int i)
{
    const uint32_t *ns = tr->t.enc->n_slots;
    struct tower_row r = {.n_groups = user ? 2 : 1};

    if (user) {
        r.e[0] = FR_ENTITY_USER;
        r.e[1] = FR_ENTITY_CONTEXT;
        r.slots[0] = tr->user_slots + (size_t)i * ns[FR_ENTITY_USER];
        r.slots[1] = tr->context_slots + (size_t)i * ns[FR_ENTITY_CONTEXT];
    } else {
        r.e[0] = FR_ENTITY_ITEM;
        r.slots[0] = tr->item_slots + (size_t)i * ns[FR_ENTITY_ITEM];
    }
    return r;
}

/* y += sum of the skip fields at x, or (backward) dx of the skip fields += dy. */
static void skips(const struct fr_train_two_tower *tr,
                  const struct tower_row *r,
                  const float *x,
                  float *y,
                  float *dx,
                  const float *dy)
{
    size_t dim = (size_t)tr->cfg.model.emb_dim, at = 0;
    for (int g = 0; g < r->n_groups; g++)
        for (int i = tr->t.enc->first_field[r->e[g]]; i < tr->t.enc->first_field[r->e[g] + 1];
             i++, at += dim) {
            if (!tr->skip[i])
                continue;
            if (dx == NULL)
                fr_axpy(1.0f, x + at, y, dim);
            else
                fr_axpy(1.0f, dy, dx + at, dim);
        }
}

/* Rows [from, to) of a tower: out (to - from, D) unit vectors. */
static enum fr_err tower_forward(const struct fr_train_two_tower *tr,
                                 bool user,
                                 int from,
                                 int to,
                                 struct fr_arena *ar,
                                 struct fr_tower_pass *p,
                                 float *out)
{
    const struct fr_mlp *mlp = user ? &tr->user.mlp : &tr->item.mlp;
    size_t kx = (size_t)mlp->width[0], dim = (size_t)tr->cfg.model.dim, n = (size_t)(to - from);

    p->n = to - from;
    p->x = fr_arena_array(ar, n * kx + 1, sizeof(float));
    p->norm = fr_arena_array(ar, n + 1, sizeof(float));
    if (p->x == NULL || p->norm == NULL)
        return FR_ENOMEM;
    for (size_t i = 0; i < n; i++) {
        struct tower_row r = row_of(tr, user, from + (int)i);
        float *x = p->x + i * kx;
        for (int g = 0; g < r.n_groups; g++) {
            fr_embed_group(tr->t.enc, &tr->em, r.e[g], r.slots[g], x);
            x += (size_t)fr_encoder_n_fields(tr->t.enc, r.e[g]) * (size_t)tr->em.dim;
        }
    }
    enum fr_err e = fr_mlp_forward_keep(mlp, 0, p->x, p->n, ar, &p->acts);
    if (e != FR_OK)
        return e;
    memcpy(out, p->acts.x[mlp->n_layers], n * dim * sizeof(*out));
    for (size_t i = 0; i < n; i++) {
        struct tower_row r = row_of(tr, user, from + (int)i);
        skips(tr, &r, p->x + i * kx, out + i * dim, NULL, NULL);
        p->norm[i] = fr_nn_l2norm(out + i * dim, dim, out + i * dim);
    }
    return FR_OK;
}

/* Backward of the same rows; dy (rows, D) is overwritten. */
static enum fr_err tower_backward(const struct fr_train_two_tower *tr,
                                  bool user,
                                  int from,
                                  const struct fr_tower_pass *p,
                                  const float *y,
                                  float *dy,
                                  struct fr_train_worker *w,
                                  float *const *gate)
{
    const struct fr_train_tower *tw = user ? &tr->user : &tr->item;
    size_t kx = (size_t)tw->mlp.width[0], dim = (size_t)tr->cfg.model.dim, n = (size_t)p->n;
    float *dw[FR_MLP_MAX_LAYERS], *db[FR_MLP_MAX_LAYERS];
    float *dx = fr_arena_array(w->ar, n * kx + 1, sizeof(*dx));

    if (dx == NULL)
        return FR_ENOMEM;
    for (int l = 0; l < tw->mlp.n_layers; l++) {
        dw[l] = fr_grads_dense(&w->g, &tr->t.params, tw->mlp_w[l]);
        db[l] = fr_grads_dense(&w->g, &tr->t.params, tw->mlp_b[l]);
    }
    for (size_t i = 0; i < n; i++)
        fr_back_l2norm(y + i * dim, p->norm[i], dy + i * dim, dim, dy + i * dim);
    enum fr_err e = fr_mlp_backward(&tw->mlp, 0, &p->acts, p->n, dy, dw, db, w->ar, dx);
    if (e != FR_OK)
        return e;
    for (size_t i = 0; i < n; i++) {
        struct tower_row r = row_of(tr, user, from + (int)i);
        float *d = dx + i * kx;
        skips(tr, &r, NULL, NULL, d, dy + i * dim);
        for (int g = 0; g < r.n_groups; g++) {
            fr_back_embed_group(
                tr->t.enc, &tr->em, r.e[g], r.slots[g], d, &tr->t.params, tr->v_of, &w->g, gate);
            d += (size_t)fr_encoder_n_fields(tr->t.enc, r.e[g]) * (size_t)tr->em.dim;
        }
    }
    return FR_OK;
}

/* ---- the three rounds ---- */

static void round_forward(void *arg, int i)
{
    struct fr_train_two_tower *tr = arg;
    struct fr_train_worker *w = &tr->t.w[i];
    size_t dim = (size_t)tr->cfg.model.dim;
    int a = 0, b = 0, c = 0, d = 0;

    fr_trainer_share(&tr->t, tr->b->n, i, &a, &b);
    fr_trainer_share(&tr->t, tr->n_cand, i, &c, &d);
    w->err = tower_forward(tr, true, a, b, w->ar, &tr->user_pass[i], tr->u + (size_t)a * dim);
    if (w->err == FR_OK)
        w->err = tower_forward(tr, false, c, d, w->ar, &tr->item_pass[i], tr->v + (size_t)c * dim);
}

#define SOFTMAX_ROWS 128

/* Users [from, to), at most SOFTMAX_ROWS: loss, du, and their part of dv. */
static void softmax_block(struct fr_train_two_tower *tr, int worker, int from, int to, float *s)
{
    struct fr_train_worker *w = &tr->t.w[worker];
    int dim = tr->cfg.model.dim, nc = tr->n_cand, n = to - from;
    float inv_tau = 1.0f / tr->cfg.model.tau;
    float *dv = tr->dv_part + (size_t)worker * (size_t)nc * (size_t)dim;
    const float *u = tr->u + (size_t)from * (size_t)dim;
    float *du = tr->du + (size_t)from * (size_t)dim;

    fr_gemm(false, true, n, nc, dim, inv_tau, u, dim, tr->v, dim, 0, s, nc);
    for (int i = 0; i < n; i++) {
        float *row = s + (size_t)i * (size_t)nc;
        float weight = tr->b->weight == NULL ? 1.0f : tr->b->weight[from + i];
        float scale = weight / (float)tr->b->n;
        for (int c = 0; c < nc; c++)
            row[c] -= tr->log_q[c];
        w->loss +=
            (double)scale * fr_loss_softmax(row, (size_t)nc, (size_t)tr->target[from + i], row);
        for (int c = 0; c < nc; c++)
            row[c] *= scale;
    }
    fr_gemm(false, false, n, dim, nc, inv_tau, s, nc, tr->v, dim, 0, du, dim);
    fr_gemm(true, false, nc, dim, n, inv_tau, s, nc, u, dim, 1, dv, dim);
}

static void round_softmax(void *arg, int i)
{
    struct fr_train_two_tower *tr = arg;
    struct fr_train_worker *w = &tr->t.w[i];
    int from = 0, to = 0;
    struct fr_arena_mark mark = fr_arena_mark(w->ar);
    float *s = fr_arena_array(w->ar, (size_t)SOFTMAX_ROWS * (size_t)tr->n_cand, sizeof(*s));

    if (s == NULL) {
        w->err = FR_ENOMEM;
        return;
    }
    fr_trainer_share(&tr->t, tr->b->n, i, &from, &to);
    for (int at = from; at < to; at += SOFTMAX_ROWS)
        softmax_block(tr, i, at, at + SOFTMAX_ROWS < to ? at + SOFTMAX_ROWS : to, s);
    fr_arena_release(w->ar, mark);
}

/* Room for every row the worker's users [a, b) and candidates [c, d) can touch. */
static enum fr_err
reserve(const struct fr_train_two_tower *tr, int a, int b, int c, int d, struct fr_grads *g)
{
    size_t n[FR_MAX_FIELDS] = {0};

    for (int i = a; i < b; i++) {
        struct tower_row r = row_of(tr, true, i);
        fr_back_count_slots(tr->t.enc, r.e[0], r.slots[0], n);
        fr_back_count_slots(tr->t.enc, r.e[1], r.slots[1], n);
    }
    for (int i = c; i < d; i++) {
        struct tower_row r = row_of(tr, false, i);
        fr_back_count_slots(tr->t.enc, r.e[0], r.slots[0], n);
    }
    for (int i = 0; i < tr->t.enc->n_tables; i++) {
        enum fr_err e = fr_grads_reserve(g, &tr->t.params, tr->v_of[i], n[i]);
        if (e != FR_OK)
            return e;
    }
    return FR_OK;
}

static void round_backward(void *arg, int i)
{
    struct fr_train_two_tower *tr = arg;
    struct fr_train_worker *w = &tr->t.w[i];
    size_t dim = (size_t)tr->cfg.model.dim, part = (size_t)tr->n_cand * dim;
    float *gate[FR_MAX_FIELDS] = {NULL};
    int a = 0, b = 0, c = 0, d = 0;

    fr_trainer_share(&tr->t, tr->b->n, i, &a, &b);
    fr_trainer_share(&tr->t, tr->n_cand, i, &c, &d);
    if ((w->err = reserve(tr, a, b, c, d, &w->g)) != FR_OK)
        return;
    for (int f = 0; f < tr->t.enc->n_fields; f++)
        if (tr->gate[f] >= 0)
            gate[f] = fr_grads_dense(&w->g, &tr->t.params, tr->gate[f]);
    /* dv of this worker's candidates: the sum of all parts, in worker order, into part 0 */
    float *dv = tr->dv_part + (size_t)c * dim;
    for (int k = 1; k < tr->t.opt.threads; k++)
        fr_axpy(1.0f, dv + (size_t)k * part, dv, (size_t)(d - c) * dim);
    w->err = tower_backward(
        tr, true, a, &tr->user_pass[i], tr->u + (size_t)a * dim, tr->du + (size_t)a * dim, w, gate);
    if (w->err == FR_OK)
        w->err =
            tower_backward(tr, false, c, &tr->item_pass[i], tr->v + (size_t)c * dim, dv, w, gate);
}

enum fr_err fr_train_two_tower_gradient(struct fr_train_two_tower *tr,
                                        const struct fr_two_tower_batch *b,
                                        double *out_loss)
{
    enum fr_err e = prepare(tr, b);

    if (e != FR_OK || (e = fr_trainer_begin(&tr->t)) != FR_OK ||
        (e = fr_trainer_run(&tr->t, round_forward, tr)) != FR_OK ||
        (e = fr_trainer_run(&tr->t, round_softmax, tr)) != FR_OK ||
        (e = fr_trainer_run(&tr->t, round_backward, tr)) != FR_OK)
        return e;
    return fr_trainer_reduce(&tr->t, out_loss);
}

enum fr_err fr_train_two_tower_step(struct fr_train_two_tower *tr,
                                    const struct fr_two_tower_batch *b,
                                    double *out_loss)
{
    double loss = 0;
    enum fr_err e = fr_train_two_tower_gradient(tr, b, &loss);

    if (e != FR_OK)
        return e;
    if (!fr_is_finite((float)loss) || !fr_grads_finite(&tr->t.w[0].g, &tr->t.params))
        return FR_ENONFINITE;
    fr_params_adam(&tr->t.params, &tr->t.w[0].g, &tr->t.opt);
    if (out_loss != NULL)
        *out_loss = loss;
    return FR_OK;
}

/* ---- results ---- */

enum fr_err fr_train_two_tower_model(const struct fr_train_two_tower *tr,
                                     struct fr_model **out_m,
                                     struct fr_fault *fault)
{
    struct fr_encoder *enc = NULL;
    size_t max = FR_PARAMS_MAX_DENSE + FR_PARAMS_MAX_TABLES;
    struct fr_tensor *t = fr_calloc(max, sizeof(*t));
    enum fr_err e = t == NULL ? FR_ENOMEM : fr_encoder_clone(tr->t.enc, &enc);

    if (e != FR_OK) {
        e = fr_fault(fault, e, "trainer: %s", fr_err_text(e));
        goto out;
    }
    int n = fr_params_tensors(&tr->t.params, t);
    e = fr_two_tower_new(&enc, &tr->cfg.model, t, n, out_m, fault);
out:
    fr_encoder_free(enc);
    fr_free(t);
    return e;
}

enum fr_err fr_train_two_tower_finish(const struct fr_train_two_tower *tr,
                                      const struct fr_model_meta *meta,
                                      const struct fr_model_case *cases,
                                      int n_cases,
                                      const char *dir,
                                      struct fr_fault *fault)
{
    struct fr_model *m = NULL;
    enum fr_err e = fr_train_two_tower_model(tr, &m, fault);

    if (e == FR_OK)
        e = fr_model_save(m, meta, cases, n_cases, dir, fault);
    fr_model_free(m);
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
