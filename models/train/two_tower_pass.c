/*
 * models/train/two_tower_pass.c - one step in three rounds of the worker threads:
 *
 *   1 forward    users' shares and candidates' shares through their towers -> u (n, D), v (C, D)
 *   2 loss       each worker its users: logits u v^T / tau - log q (ccl: cosines), loss, du, and its
 *                part of dv
 *   3 backward   du and dv back through the towers into the worker's gradients
 */
#include "models/train/two_tower_pass.h"

#include <math.h>
#include <string.h>

#include "models/gemm.h"
#include "models/train/loss.h"
#include "models/train/train_priv.h"

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

void fr_two_tower_pass_forward(void *arg, int i)
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

#define LOSS_ROWS 128

/* Loss of user i and its gradient by the row's logits or cosines, in place. */
static double row_loss(const struct fr_train_two_tower *tr, int i, float *row)
{
    const struct fr_two_tower_train_config *cfg = &tr->cfg;
    size_t nc = (size_t)tr->n_cand, target = (size_t)tr->target[i];

    for (size_t c = 0; c < nc && !cfg->in_batch && !cfg->full_softmax; c++)
        if (!tr->drawn[c] && c != target)
            row[c] = -INFINITY; /* only other examples' positive */
    if (cfg->loss == FR_TOWER_CCL)
        return fr_loss_ccl(row, nc, target, cfg->margin, cfg->negative_weight, row);
    for (size_t c = 0; c < nc; c++)
        row[c] -= tr->log_q[c];
    return fr_loss_softmax(row, nc, target, row);
}

/* Users [from, to), at most LOSS_ROWS: loss, du, and their part of dv. */
static void loss_block(struct fr_train_two_tower *tr, int worker, int from, int to, float *s)
{
    struct fr_train_worker *w = &tr->t.w[worker];
    int dim = tr->cfg.model.dim, nc = tr->n_cand, n = to - from;
    float inv_tau = tr->cfg.loss == FR_TOWER_CCL ? 1.0f : 1.0f / tr->cfg.model.tau;
    float *dv = tr->dv_part + (size_t)worker * (size_t)nc * (size_t)dim;
    const float *u = tr->u + (size_t)from * (size_t)dim;
    float *du = tr->du + (size_t)from * (size_t)dim;

    fr_gemm(false, true, n, nc, dim, inv_tau, u, dim, tr->v, dim, 0, s, nc);
    for (int i = 0; i < n; i++) {
        float *row = s + (size_t)i * (size_t)nc;
        float weight = tr->b->weight == NULL ? 1.0f : tr->b->weight[from + i];
        float scale = weight / (float)tr->b->n;
        w->loss += (double)scale * row_loss(tr, from + i, row);
        for (int c = 0; c < nc; c++)
            row[c] *= scale;
    }
    fr_gemm(false, false, n, dim, nc, inv_tau, s, nc, tr->v, dim, 0, du, dim);
    fr_gemm(true, false, nc, dim, n, inv_tau, s, nc, u, dim, 1, dv, dim);
}

void fr_two_tower_pass_loss(void *arg, int i)
{
    struct fr_train_two_tower *tr = arg;
    struct fr_train_worker *w = &tr->t.w[i];
    int from = 0, to = 0;
    struct fr_arena_mark mark = fr_arena_mark(w->ar);
    float *s = fr_arena_array(w->ar, (size_t)LOSS_ROWS * (size_t)tr->n_cand, sizeof(*s));

    if (s == NULL) {
        w->err = FR_ENOMEM;
        return;
    }
    fr_trainer_share(&tr->t, tr->b->n, i, &from, &to);
    for (int at = from; at < to; at += LOSS_ROWS)
        loss_block(tr, i, at, at + LOSS_ROWS < to ? at + LOSS_ROWS : to, s);
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

void fr_two_tower_pass_backward(void *arg, int i)
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
