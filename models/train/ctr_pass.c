/*
 * models/train/ctr_pass.c - forward and backward on lists, by chunks that stay in
 * cache.
 *
 * A chunk is some lists (L) with all their rows (R). First layer: W = [Wu | Wc] by columns;
 *   H0 (L, H1) = Xu Wu^T + b;  H (R, H1) = relu(H0[list of row] + Xc Wc^T)
 * so user columns are multiplied once a list, forward and backward:
 *   dH0[l] = sum of dH over the rows of l;  dWu += dH0^T Xu;  dXu = dH0 Wu
 * A value head reads the same last hidden layer and attention output; on the way back both heads'
 * gradients of those are added before anything below is computed, so it is no second pass.
 */
#include "models/train/ctr_pass.h"

#include <math.h>
#include <string.h>

#include "models/gemm.h"
#include "models/train/ctr_attention.h"
#include "models/train/loss.h"
#include "models/train/train_priv.h"

#define CHUNK_ROWS 512

/* ---- one chunk: lists [from, to) ---- */

struct chunk {
    const struct fr_encoded_list *list;
    int n_lists, rows;
    float *xu, *su, *zu; /* (L, ku) (L, D) (L) linear + w0 */
    float *qu;           /* (L) squares */
    float *xc, *s, *z;   /* (R, kc) (R, D) (R) */
    float *h0, *h;       /* (L, H1) (R, H1) */
    struct fr_mlp_acts acts;
    float *dz;              /* (R) */
    float *raw, *draw;      /* (R) of the value head; NULL without one */
    float *dxu, *dxc, *acc; /* backward: (L, ku) (R, kc) (2 D) */
    struct fr_ctr_attention_pass at;
};

static float
linear_part(const struct fr_train_ctr *tr, enum fr_entity e, const struct fr_slot *slots)
{
    const struct fr_encoder *enc = tr->t.enc;
    float s = 0;
    if ((tr->parts & FR_CTR_LINEAR) == 0)
        return 0;
    for (int i = enc->first_field[e]; i < enc->first_field[e + 1]; i++)
        s += fr_gather_dot(
            tr->lin[enc->field[i].table], slots + enc->field[i].slot0, enc->field[i].f.slots);
    return s;
}

static void pair_sums(const float *x, int n, int dim, float *sum, float *sq)
{
    for (int f = 0; f < n; f++, x += dim) {
        fr_axpy(1.0f, x, sum, (size_t)dim);
        *sq += fr_dot(x, x, (size_t)dim);
    }
}

static enum fr_err alloc_chunk(const struct fr_train_ctr *tr, struct fr_arena *ar, struct chunk *c)
{
    size_t dim = (size_t)tr->cfg.model.dim, lists = (size_t)c->n_lists, rows = (size_t)c->rows;
    size_t h1 = tr->mlp.n_layers > 0 ? (size_t)tr->mlp.width[1] : 0;

    c->xu = fr_arena_array(ar, lists * (size_t)tr->n_user * dim + 1, sizeof(float));
    c->su = fr_arena_zarray(ar, lists * dim + 1, sizeof(float));
    c->zu = fr_arena_zarray(ar, lists + 1, sizeof(float));
    c->qu = fr_arena_zarray(ar, lists + 1, sizeof(float));
    c->xc = fr_arena_array(ar, rows * (size_t)tr->n_cand * dim + 1, sizeof(float));
    c->s = fr_arena_array(ar, rows * dim + 1, sizeof(float));
    c->z = fr_arena_array(ar, rows + 1, sizeof(float));
    c->dz = fr_arena_array(ar, rows + 1, sizeof(float));
    if (tr->value_w >= 0) {
        c->raw = fr_arena_array(ar, rows + 1, sizeof(float));
        c->draw = fr_arena_array(ar, rows + 1, sizeof(float));
        if (c->raw == NULL || c->draw == NULL)
            return FR_ENOMEM;
    }
    c->h0 = fr_arena_array(ar, lists * h1 + 1, sizeof(float));
    c->h = fr_arena_array(ar, rows * h1 + 1, sizeof(float));
    if (tr->backward) {
        c->dxu = fr_arena_zarray(ar, lists * (size_t)tr->n_user * dim + 1, sizeof(float));
        c->dxc = fr_arena_zarray(ar, rows * (size_t)tr->n_cand * dim + 1, sizeof(float));
        c->acc = fr_arena_array(ar, 2 * dim + 1, sizeof(float));
        if (c->dxu == NULL || c->dxc == NULL || c->acc == NULL)
            return FR_ENOMEM;
    }
    bool ok = c->xu != NULL && c->su != NULL && c->zu != NULL && c->qu != NULL && c->xc != NULL &&
              c->s != NULL && c->z != NULL && c->dz != NULL && c->h0 != NULL && c->h != NULL;
    if (ok && (tr->parts & FR_CTR_ATTENTION) != 0)
        return fr_ctr_attention_begin(tr, c->rows, ar, &c->at);
    return ok ? FR_OK : FR_ENOMEM;
}

static void gather_list(const struct fr_train_ctr *tr, struct chunk *c, int l)
{
    const struct fr_encoded_list *in = &c->list[l];
    const struct fr_encoder *enc = tr->t.enc;
    size_t dim = (size_t)tr->cfg.model.dim;
    float *x = c->xu + (size_t)l * (size_t)tr->n_user * dim;

    if (dim > 0) {
        fr_embed_group(enc, &tr->em, FR_ENTITY_USER, in->user, x);
        fr_embed_group(enc,
                       &tr->em,
                       FR_ENTITY_CONTEXT,
                       in->context,
                       x + (size_t)fr_encoder_n_fields(enc, FR_ENTITY_USER) * dim);
    }
    if ((tr->parts & FR_CTR_PAIR) != 0)
        pair_sums(x, tr->n_user, (int)dim, c->su + (size_t)l * dim, &c->qu[l]);
    c->zu[l] = tr->t.params.dense[tr->bias].w[0] + linear_part(tr, FR_ENTITY_USER, in->user) +
               linear_part(tr, FR_ENTITY_CONTEXT, in->context);
}

static void gather_row(const struct fr_train_ctr *tr, struct chunk *c, int l, int i, size_t row)
{
    const struct fr_encoded_list *in = &c->list[l];
    const struct fr_encoder *enc = tr->t.enc;
    size_t dim = (size_t)tr->cfg.model.dim;
    const struct fr_slot *item = in->items + (size_t)i * enc->n_slots[FR_ENTITY_ITEM];
    const struct fr_slot *cross = in->cross + (size_t)i * enc->n_slots[FR_ENTITY_CROSS];
    float *x = c->xc + row * (size_t)tr->n_cand * dim, *s = c->s + row * dim;
    float sq = c->qu[l];

    c->z[row] =
        c->zu[l] + linear_part(tr, FR_ENTITY_ITEM, item) + linear_part(tr, FR_ENTITY_CROSS, cross);
    if (dim == 0)
        return;
    fr_embed_group(enc, &tr->em, FR_ENTITY_ITEM, item, x);
    fr_embed_group(enc,
                   &tr->em,
                   FR_ENTITY_CROSS,
                   cross,
                   x + (size_t)fr_encoder_n_fields(enc, FR_ENTITY_ITEM) * dim);
    if ((tr->parts & FR_CTR_PAIR) == 0)
        return;
    memcpy(s, c->su + (size_t)l * dim, dim * sizeof(*s));
    pair_sums(x, tr->n_cand, (int)dim, s, &sq);
    c->z[row] += 0.5f * (fr_dot(s, s, dim) - sq);
}

/* First layer, split by columns: h (R, H1), before its activation. */
static void first_layer(const struct fr_train_ctr *tr, const struct chunk *c, float *h)
{
    int dim = tr->cfg.model.dim, in = tr->mlp.width[0], h1 = tr->mlp.width[1];
    int ku = tr->n_user * dim, kc = tr->n_cand * dim;
    size_t row = 0;

    for (int l = 0; l < c->n_lists; l++)
        memcpy(c->h0 + (size_t)l * (size_t)h1, tr->mlp.bias[0], (size_t)h1 * sizeof(float));
    if (ku > 0)
        fr_gemm(false, true, c->n_lists, h1, ku, 1, c->xu, ku, tr->mlp.w[0], in, 1, c->h0, h1);
    for (int l = 0; l < c->n_lists; l++)
        for (int i = 0; i < c->list[l].n; i++, row++)
            memcpy(
                h + row * (size_t)h1, c->h0 + (size_t)l * (size_t)h1, (size_t)h1 * sizeof(float));
    if (kc > 0)
        fr_gemm(false, true, c->rows, h1, kc, 1, c->xc, kc, tr->mlp.w[0] + ku, in, 1, h, h1);
}

/* Weights of the value head over the last hidden layer; they stand behind those of attention. */
static size_t value_at(const struct fr_train_ctr *tr)
{
    bool attention = (tr->parts & FR_CTR_ATTENTION) != 0;

    return attention ? (size_t)tr->attention.fields * (size_t)tr->attention.cfg.width : 0;
}

/* The value head over the last hidden layer h (R, width). */
static void value_forward(const struct fr_train_ctr *tr, const struct chunk *c, const float *h)
{
    size_t width = (size_t)tr->mlp.width[tr->mlp.n_layers - 1];

    if (tr->value_w < 0)
        return;
    const float *w = tr->t.params.dense[tr->value_w].w + value_at(tr);
    for (size_t r = 0; r < (size_t)c->rows; r++)
        c->raw[r] += fr_dot(w, h + r * width, width);
}

/* The gradient of its weights over the last hidden layer. */
static void
value_backward(const struct fr_train_ctr *tr, const struct chunk *c, const float *h, struct fr_grads *g)
{
    size_t width = (size_t)tr->mlp.width[tr->mlp.n_layers - 1];
    float *dw = fr_grads_dense(g, &tr->t.params, tr->value_w) + value_at(tr);

    for (size_t r = 0; r < (size_t)c->rows; r++)
        fr_axpy(c->draw[r], h + r * width, dw, width);
}

/* The plain MLP; adds its output to z. */
static enum fr_err mlp_forward(const struct fr_train_ctr *tr, struct chunk *c, struct fr_arena *ar)
{
    first_layer(tr, c, c->h);
    fr_nn_relu(c->h, (size_t)c->rows * (size_t)tr->mlp.width[1]);
    enum fr_err e = fr_mlp_forward_keep(&tr->mlp, 1, c->h, c->rows, ar, &c->acts);
    if (e != FR_OK)
        return e;
    fr_axpy(1.0f, c->acts.x[tr->mlp.n_layers], c->z, (size_t)c->rows);
    value_forward(tr, c, c->acts.x[tr->mlp.n_layers - 1]);
    return FR_OK;
}

static float bce_label(const struct fr_encoded_list *in, int i)
{
    if (in->labels != NULL)
        return in->labels[i];
    return i == in->label ? 1.0f : 0.0f;
}

/* Loss of the chunk, scaled; dz holds scaled gradients. */
static double losses(const struct fr_train_ctr *tr, struct chunk *c)
{
    double sum = 0;
    size_t row = 0;

    for (int l = 0; l < c->n_lists; l++) {
        const struct fr_encoded_list *in = &c->list[l];
        double loss = 0;
        if (tr->cfg.loss == FR_LOSS_LISTWISE)
            loss = fr_loss_softmax(c->z + row, (size_t)in->n, (size_t)in->label, c->dz + row);
        else
            for (int i = 0; i < in->n; i++)
                loss +=
                    fr_loss_bce(c->z[row + (size_t)i], bce_label(in, i), &c->dz[row + (size_t)i]);
        for (int i = 0; i < in->n; i++)
            c->dz[row++] *= in->scale;
        sum += loss * (double)in->scale;
    }
    return sum;
}

/* Of the value head: rows without a value have no part in it. */
static double value_losses(const struct fr_train_ctr *tr, struct chunk *c)
{
    enum fr_value_kind k = tr->cfg.model.value;
    double sum = 0;
    size_t row = 0;

    for (int l = 0; l < c->n_lists; l++) {
        const struct fr_encoded_list *in = &c->list[l];

        for (int i = 0; i < in->n; i++, row++) {
            c->draw[row] = 0;
            if (in->values == NULL || isnan(in->values[i]))
                continue;
            sum += (double)in->value_scale *
                   fr_value_loss(k, c->raw[row], fr_value_target(k, in->values[i]), &c->draw[row]);
            c->draw[row] *= in->value_scale;
        }
    }
    return sum;
}

/* Gradients of the linear weights of a group. */
static void back_linear_part(const struct fr_train_ctr *tr,
                             enum fr_entity e,
                             const struct fr_slot *slots,
                             float dz,
                             struct fr_grads *g)
{
    const struct fr_encoder *enc = tr->t.enc;
    if ((tr->parts & FR_CTR_LINEAR) == 0)
        return;
    for (int i = enc->first_field[e]; i < enc->first_field[e + 1]; i++) {
        const struct fr_enc_field *ef = &enc->field[i];
        const struct fr_slot *s = slots + ef->slot0;
        for (int k = 0; k < ef->f.slots; k++)
            if (s[k].x != 0.0f)
                *fr_grads_row(g, &tr->t.params, tr->l_of[ef->table], s[k].row) += s[k].x * dz;
    }
}

/* dx[f] += a - b x[f] for the n fields: the pair term's gradient. */
static void back_pairs(const float *x, int n, size_t dim, const float *a, float b, float *dx)
{
    for (int f = 0; f < n; f++, x += dim, dx += dim)
        for (size_t k = 0; k < dim; k++)
            dx[k] += a[k] - b * x[k];
}

static void scatter(const struct fr_train_ctr *tr,
                    enum fr_entity e,
                    const struct fr_slot *slots,
                    const float *de,
                    float dz,
                    struct fr_grads *g)
{
    if (tr->em.dim > 0)
        fr_back_embed_group(tr->t.enc, &tr->em, e, slots, de, &tr->t.params, tr->v_of, g, NULL);
    back_linear_part(tr, e, slots, dz, g);
}

/* Rows of list l: item and cross gradients; returns the sum of dz and adds dz_r S_r to acc. */
static float back_rows(const struct fr_train_ctr *tr,
                       const struct chunk *c,
                       int l,
                       size_t row,
                       float *dxc,
                       float *acc,
                       float *tmp,
                       struct fr_grads *g)
{
    const struct fr_encoded_list *in = &c->list[l];
    const struct fr_encoder *enc = tr->t.enc;
    size_t dim = (size_t)tr->cfg.model.dim, kc = (size_t)tr->n_cand * dim;
    size_t ki = (size_t)fr_encoder_n_fields(enc, FR_ENTITY_ITEM) * dim;
    float sum = 0;

    for (int i = 0; i < in->n; i++, row++) {
        const struct fr_slot *item = in->items + (size_t)i * enc->n_slots[FR_ENTITY_ITEM];
        const struct fr_slot *cross = in->cross + (size_t)i * enc->n_slots[FR_ENTITY_CROSS];
        float dz = c->dz[row];
        if ((tr->parts & FR_CTR_PAIR) != 0) {
            memset(tmp, 0, dim * sizeof(*tmp));
            fr_axpy(dz, c->s + row * dim, tmp, dim);
            fr_axpy(1.0f, tmp, acc, dim);
            back_pairs(c->xc + row * kc, tr->n_cand, dim, tmp, dz, dxc + row * kc);
        }
        scatter(tr, FR_ENTITY_ITEM, item, dxc + row * kc, dz, g);
        scatter(tr, FR_ENTITY_CROSS, cross, dxc + row * kc + ki, dz, g);
        sum += dz;
    }
    return sum;
}

/* First layer: its weights' gradients, dxu and dxc, from those of its output dh (R, H1).
 * @param dh0 (L, H1) zeros. @param db NULL: the bias has no effect */
static void back_first_layer(const struct fr_train_ctr *tr,
                             const struct chunk *c,
                             const float *dh,
                             float *dh0,
                             float *dw,
                             float *db)
{
    int dim = tr->cfg.model.dim, in = tr->mlp.width[0], h1 = tr->mlp.width[1];
    int ku = tr->n_user * dim, kc = tr->n_cand * dim;
    size_t row = 0;

    fr_back_linear(c->xc, tr->mlp.w[0] + ku, in, dh, c->rows, kc, h1, dw + ku, NULL, c->dxc);
    for (int l = 0; l < c->n_lists; l++)
        for (int i = 0; i < c->list[l].n; i++, row++)
            fr_axpy(1.0f, dh + row * (size_t)h1, dh0 + (size_t)l * (size_t)h1, (size_t)h1);
    fr_back_linear(c->xu, tr->mlp.w[0], in, dh0, c->n_lists, ku, h1, dw, db, c->dxu);
}

/* From both heads to the first hidden layer: the last layer here, where they meet, the others as ever. */
static enum fr_err two_heads_backward(const struct fr_train_ctr *tr,
                                      const struct chunk *c,
                                      const float *dout,
                                      float *const *dw,
                                      float *const *db,
                                      struct fr_train_worker *w,
                                      float *dh)
{
    struct fr_mlp trunk = tr->mlp;
    int last = --trunk.n_layers, width = trunk.width[last];
    const float *h = c->acts.x[last], *vw = tr->t.params.dense[tr->value_w].w + value_at(tr);
    float *dlast = fr_arena_array(w->ar, (size_t)c->rows * (size_t)width + 1, sizeof(*dlast));

    if (dlast == NULL)
        return FR_ENOMEM;
    trunk.relu_last = true;
    fr_back_linear(h, tr->mlp.w[last], width, dout, c->rows, width, 1, dw[last], db[last], dlast);
    for (size_t r = 0; r < (size_t)c->rows; r++)
        fr_axpy(c->draw[r], vw, dlast + r * (size_t)width, (size_t)width);
    value_backward(tr, c, h, &w->g);
    return fr_mlp_backward(&trunk, 1, &c->acts, c->rows, dlast, dw, db, w->ar, dh);
}

/* Backward of the plain MLP: gradients of layers, dxu (L, ku), dxc (R, kc). */
static enum fr_err
mlp_backward(const struct fr_train_ctr *tr, const struct chunk *c, struct fr_train_worker *w)
{
    size_t h1 = (size_t)tr->mlp.width[1], rows = (size_t)c->rows;
    float *dw[FR_MLP_MAX_LAYERS], *db[FR_MLP_MAX_LAYERS];
    float *dh = fr_arena_array(w->ar, rows * h1, sizeof(*dh));
    float *dh0 = fr_arena_zarray(w->ar, (size_t)c->n_lists * h1, sizeof(*dh0));
    float *dout = fr_arena_array(w->ar, rows, sizeof(*dout));

    if (dh == NULL || dh0 == NULL || dout == NULL)
        return FR_ENOMEM;
    for (int l = 0; l < tr->mlp.n_layers; l++) {
        dw[l] = fr_grads_dense(&w->g, &tr->t.params, tr->mlp_w[l]);
        db[l] = fr_grads_dense(&w->g, &tr->t.params, tr->mlp_b[l]);
    }
    memcpy(dout, c->dz, rows * sizeof(*dout));
    enum fr_err e = tr->value_w < 0 ? fr_mlp_backward(&tr->mlp, 1, &c->acts, c->rows, dout, dw, db, w->ar, dh)
                                    : two_heads_backward(tr, c, dout, dw, db, w, dh);
    if (e != FR_OK)
        return e;
    fr_back_relu(c->h, dh, rows * h1);
    back_first_layer(tr, c, dh, dh0, dw[0], db[0]);
    return FR_OK;
}

/* Pair and linear parts, and every gradient into the tables. */
static void
back_tables(const struct fr_train_ctr *tr, const struct chunk *c, struct fr_train_worker *w)
{
    const struct fr_encoder *enc = tr->t.enc;
    size_t dim = (size_t)tr->cfg.model.dim, ku = (size_t)tr->n_user * dim;
    size_t kuser = (size_t)fr_encoder_n_fields(enc, FR_ENTITY_USER) * dim;
    size_t row = 0;

    for (size_t r = 0; r < (size_t)c->rows && tr->value_w >= 0; r++)
        *fr_grads_dense(&w->g, &tr->t.params, tr->value_b) += c->draw[r];
    for (int l = 0; l < c->n_lists; l++) {
        const struct fr_encoded_list *in = &c->list[l];
        float *du = c->dxu + (size_t)l * ku;
        memset(c->acc, 0, dim * sizeof(*c->acc));
        float dz = back_rows(tr, c, l, row, c->dxc, c->acc, c->acc + dim, &w->g);
        /* A list's softmax gradients sum to 0; what rounding leaves, Adam would blow up to full
         * steps. */
        if (tr->cfg.loss == FR_LOSS_LISTWISE)
            dz = 0;
        row += (size_t)in->n;
        if ((tr->parts & FR_CTR_PAIR) != 0)
            back_pairs(c->xu + (size_t)l * ku, tr->n_user, dim, c->acc, dz, du);
        scatter(tr, FR_ENTITY_USER, in->user, du, dz, &w->g);
        scatter(tr, FR_ENTITY_CONTEXT, in->context, du + kuser, dz, &w->g);
        *fr_grads_dense(&w->g, &tr->t.params, tr->bias) += dz;
    }
}

static void gather(const struct fr_train_ctr *tr, struct chunk *c)
{
    size_t row = 0;
    for (int l = 0; l < c->n_lists; l++) {
        gather_list(tr, c, l);
        for (int i = 0; i < c->list[l].n; i++)
            gather_row(tr, c, l, i, row++);
    }
    for (int r = 0; r < c->rows && tr->value_w >= 0; r++)
        c->raw[r] = tr->t.params.dense[tr->value_b].w[0];
}

/* Whole rows for attention: user and context fields before item and cross. */
static void attention_forward(const struct fr_train_ctr *tr, struct chunk *c)
{
    size_t dim = (size_t)tr->cfg.model.dim, ku = (size_t)tr->n_user * dim, kc = (size_t)tr->n_cand * dim;
    size_t row = 0;

    for (int l = 0; l < c->n_lists; l++)
        for (int i = 0; i < c->list[l].n; i++, row++) {
            float *x = c->at.x + row * (ku + kc);
            memcpy(x, c->xu + (size_t)l * ku, ku * sizeof(*x));
            memcpy(x + ku, c->xc + row * kc, kc * sizeof(*x));
        }
    fr_ctr_attention_forward(tr, &c->at, c->z, c->raw);
}

/* Adds to dxu and dxc. */
static void attention_backward(const struct fr_train_ctr *tr, struct chunk *c, struct fr_grads *g)
{
    size_t dim = (size_t)tr->cfg.model.dim, ku = (size_t)tr->n_user * dim, kc = (size_t)tr->n_cand * dim;
    size_t row = 0;

    fr_ctr_attention_backward(tr, &c->at, c->dz, c->draw, g);
    for (int l = 0; l < c->n_lists; l++)
        for (int i = 0; i < c->list[l].n; i++, row++) {
            const float *dx = c->at.dx + row * (ku + kc);
            fr_axpy(1.0f, dx, c->dxu + (size_t)l * ku, ku);
            fr_axpy(1.0f, dx + ku, c->dxc + row * kc, kc);
        }
}

/* What the lists from number `from` on were given, to where the caller wants it. */
static void copy_outputs(const struct fr_train_ctr *tr, const struct chunk *c, int from)
{
    size_t row = 0;

    for (int l = 0; l < c->n_lists; l++) {
        size_t n = (size_t)c->list[l].n;

        if (tr->out_logit != NULL)
            memcpy(tr->out_logit[from + l], c->z + row, n * sizeof(float));
        if (tr->out_raw != NULL)
            memcpy(tr->out_raw[from + l], c->raw + row, n * sizeof(float));
        row += n;
    }
}

/* Loss of both heads; dz and draw. */
static double all_losses(const struct fr_train_ctr *tr, struct chunk *c)
{
    double click = losses(tr, c);

    return tr->value_w < 0 ? click : click + value_losses(tr, c);
}

static enum fr_err
run_chunk(const struct fr_train_ctr *tr, int from, int n_lists, int rows, struct fr_train_worker *w)
{
    struct fr_arena_mark mark = fr_arena_mark(w->ar);
    struct chunk c = {.list = tr->lists + from, .n_lists = n_lists, .rows = rows};
    enum fr_err e = alloc_chunk(tr, w->ar, &c);

    if (e != FR_OK)
        goto out;
    gather(tr, &c);
    if (tr->mlp.n_layers > 0 && (e = mlp_forward(tr, &c, w->ar)) != FR_OK)
        goto out;
    if ((tr->parts & FR_CTR_ATTENTION) != 0)
        attention_forward(tr, &c);
    copy_outputs(tr, &c, from);
    w->loss += all_losses(tr, &c);
    if (!tr->backward)
        goto out;
    if (tr->mlp.n_layers > 0 && (e = mlp_backward(tr, &c, w)) != FR_OK)
        goto out;
    if ((tr->parts & FR_CTR_ATTENTION) != 0)
        attention_backward(tr, &c, &w->g);
    back_tables(tr, &c, w);
out:
    fr_arena_release(w->ar, mark);
    return e;
}

/* A worker's whole share at once, with batch norm and dropout: all workers meet in each layer, so
 * memory is had before and nothing fails on the way. `e` is what went wrong so far. */
static enum fr_err run_normed(struct fr_train_ctr *tr, int from, int to, int worker, enum fr_err e)
{
    struct fr_train_worker *w = &tr->t.w[worker];
    struct fr_arena_mark mark = fr_arena_mark(w->ar);
    struct chunk c = {.list = tr->lists + from, .n_lists = to - from};
    struct fr_norm_pass p = {.worker = worker};
    size_t h1 = (size_t)tr->mlp.width[1];
    float *dh0 = NULL;

    for (int l = from; l < to; l++)
        c.rows += tr->lists[l].n;
    p.rows = c.rows;
    if (e == FR_OK)
        e = alloc_chunk(tr, w->ar, &c);
    if (e == FR_OK && tr->backward) {
        dh0 = fr_arena_zarray(w->ar, (size_t)c.n_lists * h1 + 1, sizeof(*dh0));
        e = dh0 == NULL ? FR_ENOMEM : FR_OK;
    }
    if ((e = fr_norm_mlp_begin(&tr->nm, &p, e, tr->backward, w->ar)) != FR_OK)
        goto out;
    gather(tr, &c);
    first_layer(tr, &c, fr_norm_mlp_first(&p));
    fr_axpy(1.0f, fr_norm_mlp_forward(&tr->nm, &p), c.z, (size_t)c.rows);
    value_forward(tr, &c, fr_norm_mlp_last(&tr->nm, &p));
    if ((tr->parts & FR_CTR_ATTENTION) != 0)
        attention_forward(tr, &c);
    copy_outputs(tr, &c, from);
    w->loss += all_losses(tr, &c);
    if (tr->backward) {
        if (tr->value_w >= 0) { /* before the way back overwrites what it needs */
            value_backward(tr, &c, fr_norm_mlp_last(&tr->nm, &p), &w->g);
            p.also_w = tr->t.params.dense[tr->value_w].w + value_at(tr);
            p.also_d = c.draw;
        }
        const float *dh = fr_norm_mlp_backward(&tr->nm, &p, c.dz, &w->g);
        float *dw = fr_grads_dense(&w->g, &tr->t.params, tr->mlp_w[0]);
        float *db = fr_grads_dense(&w->g, &tr->t.params, tr->mlp_b[0]);
        back_first_layer(tr, &c, dh, dh0, dw, tr->nm.norm ? NULL : db);
        if ((tr->parts & FR_CTR_ATTENTION) != 0)
            attention_backward(tr, &c, &w->g);
        back_tables(tr, &c, w);
    }
out:
    fr_arena_release(w->ar, mark);
    return e;
}

/* Room for every row a worker's lists can touch. */
static enum fr_err reserve(struct fr_train_ctr *tr, int from, int to, struct fr_grads *g)
{
    const struct fr_encoder *enc = tr->t.enc;
    size_t n[FR_MAX_FIELDS] = {0};

    for (int l = from; l < to; l++) {
        const struct fr_encoded_list *in = &tr->lists[l];
        fr_back_count_slots(enc, FR_ENTITY_USER, in->user, n);
        fr_back_count_slots(enc, FR_ENTITY_CONTEXT, in->context, n);
        for (int i = 0; i < in->n; i++) {
            fr_back_count_slots(
                enc, FR_ENTITY_ITEM, in->items + (size_t)i * enc->n_slots[FR_ENTITY_ITEM], n);
            fr_back_count_slots(
                enc, FR_ENTITY_CROSS, in->cross + (size_t)i * enc->n_slots[FR_ENTITY_CROSS], n);
        }
    }
    for (int i = 0; i < enc->n_tables; i++) {
        enum fr_err e = FR_OK;
        if (tr->em.dim > 0)
            e = fr_grads_reserve(g, &tr->t.params, tr->v_of[i], n[i]);
        if (e == FR_OK && (tr->parts & FR_CTR_LINEAR) != 0)
            e = fr_grads_reserve(g, &tr->t.params, tr->l_of[i], n[i]);
        if (e != FR_OK)
            return e;
    }
    return FR_OK;
}

void fr_ctr_pass(void *arg, int worker)
{
    struct fr_train_ctr *tr = arg;
    struct fr_train_worker *w = &tr->t.w[worker];
    int from = 0, to = 0;

    fr_trainer_share(&tr->t, tr->n_lists, worker, &from, &to);
    if (tr->backward)
        w->err = reserve(tr, from, to, &w->g);
    if (tr->normed) {
        w->err = run_normed(tr, from, to, worker, w->err);
        return;
    }
    while (from < to && w->err == FR_OK) {
        int n = 0, rows = 0;
        while (from + n < to && (n == 0 || rows + tr->lists[from + n].n <= CHUNK_ROWS))
            rows += tr->lists[from + n++].n;
        w->err = run_chunk(tr, from, n, rows, w);
        from += n;
    }
}
