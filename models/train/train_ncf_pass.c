/*
 * models/train/train_ncf_pass.c - forward and backward of rows, some hundred at a time.
 */
#include <string.h>

#include "models/gemm.h"
#include "models/train/loss.h"
#include "models/train/train_ncf_priv.h"

#define CHUNK 512

/* Rows [at, at + n) of the step. */
struct chunk {
    int n;
    const uint32_t *user, *item;
    const float *label;
    float *x, *dx; /* (n, hidden[0]) */
    float *dy;     /* (n, last) */
    float *dz;     /* (n) */
    struct fr_mlp_acts acts;
};

static const float *row_of(const struct fr_train_ncf *tr, int table, uint32_t position)
{
    const struct fr_table *t = &tr->t.params.table[table];

    return t->w + (size_t)(uint32_t)(position + 1) * (size_t)t->dim; /* unknown wraps to row 0 */
}

static enum fr_err alloc(const struct fr_train_ncf *tr, struct fr_arena *ar, struct chunk *c)
{
    size_t n = (size_t)c->n, in = tr->mlp.n_layers > 0 ? (size_t)tr->mlp.width[0] : 0;
    size_t last = tr->mlp.n_layers > 0 ? (size_t)tr->mlp.width[tr->mlp.n_layers] : 0;

    c->x = fr_arena_array(ar, n * in + 1, sizeof(float));
    c->dx = fr_arena_array(ar, n * in + 1, sizeof(float));
    c->dy = fr_arena_array(ar, n * last + 1, sizeof(float));
    c->dz = fr_arena_array(ar, n, sizeof(float));
    return c->x == NULL || c->dx == NULL || c->dy == NULL || c->dz == NULL ? FR_ENOMEM : FR_OK;
}

/* dz of every row, scaled by 1 / rows of the step. @return the loss, scaled alike */
static double logits(const struct fr_train_ncf *tr, struct chunk *c)
{
    const float *out = tr->t.params.dense[tr->out].w, bias = tr->t.params.dense[tr->bias].w[0];
    size_t f = (size_t)tr->cfg.factors,
           last = tr->mlp.n_layers > 0 ? (size_t)tr->mlp.width[tr->mlp.n_layers] : 0;
    const float *y = tr->mlp.n_layers > 0 ? c->acts.x[tr->mlp.n_layers] : NULL;
    float scale = 1.0f / (float)tr->rows->n;
    double sum = 0;

    for (size_t i = 0; i < (size_t)c->n; i++) {
        float z = bias;

        if (f > 0) {
            const float *p = row_of(tr, tr->gmf_of[tr->user], c->user[i]);
            const float *q = row_of(tr, tr->gmf_of[tr->item], c->item[i]);

            for (size_t k = 0; k < f; k++)
                z += out[k] * p[k] * q[k];
        }
        if (y != NULL)
            z += fr_dot(out + f, y + i * last, last);
        sum += fr_loss_bce(z, c->label[i], &c->dz[i]);
        c->dz[i] *= scale;
    }
    return sum * (double)scale;
}

static void back_gmf(const struct fr_train_ncf *tr, const struct chunk *c, struct fr_grads *g)
{
    const struct fr_params *params = &tr->t.params;
    const float *out = params->dense[tr->out].w;
    float *d_out = fr_grads_dense(g, params, tr->out);
    int user = tr->gmf_of[tr->user], item = tr->gmf_of[tr->item];
    size_t f = (size_t)tr->cfg.factors;

    for (size_t i = 0; i < (size_t)c->n; i++) {
        const float *p = row_of(tr, user, c->user[i]), *q = row_of(tr, item, c->item[i]);
        float *dp = fr_grads_row(g, params, user, (int32_t)(c->user[i] + 1));
        float *dq = fr_grads_row(g, params, item, (int32_t)(c->item[i] + 1));
        float dz = c->dz[i];

        for (size_t k = 0; k < f; k++) {
            d_out[k] += dz * p[k] * q[k];
            dp[k] += dz * out[k] * q[k];
            dq[k] += dz * out[k] * p[k];
        }
    }
}

static enum fr_err
back_mlp(const struct fr_train_ncf *tr, struct chunk *c, struct fr_train_worker *w)
{
    const struct fr_params *params = &tr->t.params;
    size_t f = (size_t)tr->cfg.factors, half = (size_t)tr->mlp.width[0] / 2;
    size_t last = (size_t)tr->mlp.width[tr->mlp.n_layers];
    const float *out = params->dense[tr->out].w + f, *y = c->acts.x[tr->mlp.n_layers];
    float *d_out = fr_grads_dense(&w->g, params, tr->out) + f, *dw[FR_MLP_MAX_LAYERS],
          *db[FR_MLP_MAX_LAYERS];

    for (int l = 0; l < tr->mlp.n_layers; l++) {
        dw[l] = fr_grads_dense(&w->g, params, tr->mlp_w[l]);
        db[l] = fr_grads_dense(&w->g, params, tr->mlp_b[l]);
    }
    for (size_t i = 0; i < (size_t)c->n; i++) {
        fr_axpy(c->dz[i], y + i * last, d_out, last);
        for (size_t k = 0; k < last; k++)
            c->dy[i * last + k] = c->dz[i] * out[k];
    }
    enum fr_err e = fr_mlp_backward(&tr->mlp, 0, &c->acts, c->n, c->dy, dw, db, w->ar, c->dx);
    for (size_t i = 0; i < (size_t)c->n && e == FR_OK; i++) {
        const float *dx = c->dx + i * 2 * half;

        fr_axpy(1,
                dx,
                fr_grads_row(&w->g, params, tr->mlp_of[tr->user], (int32_t)(c->user[i] + 1)),
                half);
        fr_axpy(1,
                dx + half,
                fr_grads_row(&w->g, params, tr->mlp_of[tr->item], (int32_t)(c->item[i] + 1)),
                half);
    }
    return e;
}

static enum fr_err
run_chunk(const struct fr_train_ncf *tr, struct chunk *c, struct fr_train_worker *w)
{
    size_t half = tr->mlp.n_layers > 0 ? (size_t)tr->mlp.width[0] / 2 : 0;
    enum fr_err e = alloc(tr, w->ar, c);

    if (e != FR_OK)
        return e;
    for (size_t i = 0; i < (size_t)c->n && half > 0; i++) {
        memcpy(c->x + i * 2 * half,
               row_of(tr, tr->mlp_of[tr->user], c->user[i]),
               half * sizeof(float));
        memcpy(c->x + (i * 2 + 1) * half,
               row_of(tr, tr->mlp_of[tr->item], c->item[i]),
               half * sizeof(float));
    }
    if (half > 0 && (e = fr_mlp_forward_keep(&tr->mlp, 0, c->x, c->n, w->ar, &c->acts)) != FR_OK)
        return e;
    w->loss += logits(tr, c);
    float *d_bias = fr_grads_dense(&w->g, &tr->t.params, tr->bias);
    for (int i = 0; i < c->n; i++)
        *d_bias += c->dz[i];
    if (tr->cfg.factors > 0)
        back_gmf(tr, c, &w->g);
    return half > 0 ? back_mlp(tr, c, w) : FR_OK;
}

static enum fr_err reserve(const struct fr_train_ncf *tr, size_t n, struct fr_grads *g)
{
    const int *of[2] = {tr->gmf_of, tr->mlp_of};
    const bool there[2] = {tr->cfg.factors > 0, tr->mlp.n_layers > 0};
    enum fr_err e = FR_OK;

    for (int i = 0; i < 2 && e == FR_OK; i++) {
        if (there[i])
            e = fr_grads_reserve(g, &tr->t.params, of[i][tr->user], n);
        if (there[i] && e == FR_OK)
            e = fr_grads_reserve(g, &tr->t.params, of[i][tr->item], n);
    }
    return e;
}

void fr_train_ncf_pass(void *arg, int worker)
{
    struct fr_train_ncf *tr = arg;
    struct fr_train_worker *w = &tr->t.w[worker];
    int from = 0, to = 0;

    fr_trainer_share(&tr->t, tr->rows->n, worker, &from, &to);
    w->err = reserve(tr, (size_t)(to - from), &w->g);
    for (int at = from; at < to && w->err == FR_OK; at += CHUNK) {
        struct fr_arena_mark mark = fr_arena_mark(w->ar);
        struct chunk c = {.n = to - at < CHUNK ? to - at : CHUNK,
                          .user = tr->rows->user + at,
                          .item = tr->rows->item + at,
                          .label = tr->rows->label + at};

        w->err = run_chunk(tr, &c, w);
        fr_arena_release(w->ar, mark);
    }
}
