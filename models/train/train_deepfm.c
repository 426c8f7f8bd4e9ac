/*
 * models/train/train_deepfm.c - forward and backward of DeepFM on lists, by chunks that stay in
 * cache.
 *
 * A chunk is some lists (L) with all their rows (R). First layer: W = [Wu | Wc] by columns;
 *   H0 (L, H1) = Xu Wu^T + b;  H (R, H1) = relu(H0[list of row] + Xc Wc^T)
 * so user columns are multiplied once a list, forward and backward:
 *   dH0[l] = sum of dH over the rows of l;  dWu += dH0^T Xu;  dXu = dH0 Wu
 */
#include "models/train/train_deepfm.h"

#include <string.h>

#include "daemon/base/alloc.h"
#include "models/gemm.h"
#include "models/train/loss.h"
#include "models/train/train_priv.h"

#define CHUNK_ROWS 512

void fr_deepfm_train_config_default(struct fr_deepfm_train_config *c)
{
    *c = (struct fr_deepfm_train_config){.loss = FR_LOSS_LISTWISE};
    fr_train_options_default(&c->opt);
    c->model.dim = 16;
    c->model.n_hidden = 2;
    c->model.hidden[0] = 128;
    c->model.hidden[1] = 64;
}

/* ---- construction ---- */

static enum fr_err add_params(struct fr_train_deepfm *tr)
{
    const struct fr_deepfm_config *m = &tr->cfg.model;
    const struct fr_encoder *enc = tr->t.enc;
    int width[FR_MLP_MAX_LAYERS + 1];
    int layers = m->n_hidden > 0 ? m->n_hidden + 1 : 0;
    enum fr_err e;

    tr->n_user =
        fr_encoder_n_fields(enc, FR_ENTITY_USER) + fr_encoder_n_fields(enc, FR_ENTITY_CONTEXT);
    tr->n_cand = enc->n_fields - tr->n_user;
    width[0] = enc->n_fields * m->dim;
    memcpy(width + 1, m->hidden, (size_t)m->n_hidden * sizeof(*width));
    width[m->n_hidden + 1] = 1;
    tr->mlp.n_layers = layers;
    memcpy(tr->mlp.width, width, sizeof(width));
    if ((e = fr_params_add_dense(&tr->t.params, "bias", 1, 0, &tr->bias)) != FR_OK ||
        (e = fr_trainer_add_mlp(&tr->t, "mlp", width, layers, tr->mlp_w, tr->mlp_b)) != FR_OK ||
        (e = fr_trainer_add_tables(&tr->t, "embedding", m->dim, tr->v_of)) != FR_OK ||
        (e = fr_trainer_add_tables(&tr->t, "linear", 1, tr->l_of)) != FR_OK)
        return e;
    return FR_OK;
}

/* Parameter tables follow the vocabularies; views follow the parameters. */
static enum fr_err renew(struct fr_train_deepfm *tr)
{
    enum fr_err e;

    if ((e = fr_trainer_grow(&tr->t, tr->v_of, tr->t.opt.init_std)) != FR_OK ||
        (e = fr_trainer_grow(&tr->t, tr->l_of, 0)) != FR_OK)
        return e;
    tr->em.dim = tr->cfg.model.dim;
    for (int i = 0; i < tr->t.enc->n_tables; i++) {
        tr->em.v[i] = tr->t.params.table[tr->v_of[i]].w;
        tr->lin[i] = tr->t.params.table[tr->l_of[i]].w;
    }
    fr_trainer_bind_mlp(&tr->t, &tr->mlp, tr->mlp_w, tr->mlp_b);
    return FR_OK;
}

enum fr_err fr_train_deepfm_new(const struct fr_deepfm_train_config *cfg,
                                const struct fr_field_set *fs,
                                struct fr_train_deepfm **out_tr,
                                struct fr_fault *fault)
{
    struct fr_train_deepfm *tr = NULL;
    struct fr_encoder *enc = NULL;
    enum fr_err e = fr_deepfm_config_check(&cfg->model, fault);

    if (e != FR_OK)
        return e;
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
    if ((e = fr_trainer_init(&tr->t, &cfg->opt, &enc, fault)) != FR_OK)
        goto out;
    if ((e = add_params(tr)) != FR_OK || (e = renew(tr)) != FR_OK) {
        e = fr_fault(fault, e, "trainer: %s", fr_err_text(e));
        goto out;
    }
    *out_tr = tr;
    tr = NULL;
out:
    fr_train_deepfm_free(tr);
    fr_encoder_free(enc);
    return e;
}

void fr_train_deepfm_free(struct fr_train_deepfm *tr)
{
    if (tr == NULL)
        return;
    fr_trainer_done(&tr->t);
    fr_free(tr);
}

/* ---- input ---- */

static enum fr_err observe(struct fr_train_deepfm *tr, const struct fr_rank_list *lists, int n)
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

enum fr_err
fr_train_deepfm_observe(struct fr_train_deepfm *tr, const struct fr_rank_list *lists, int n)
{
    if (tr->t.fitted)
        return FR_ESTATE;
    tr->t.observed = true;
    enum fr_err e = observe(tr, lists, n);
    fr_encoder_fit(tr->t.enc);
    return e == FR_OK ? renew(tr) : e;
}

static enum fr_err encode_list(struct fr_train_deepfm *tr,
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
    return e;
}

static enum fr_err check_lists(const struct fr_train_deepfm *tr,
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
prepare(struct fr_train_deepfm *tr, const struct fr_rank_list *lists, int n, bool training)
{
    double rows = 0;
    enum fr_err e = check_lists(tr, lists, n, &rows);

    if (e != FR_OK)
        return e;
    if (!tr->t.fitted && training) {
        if (!tr->t.observed && (e = fr_train_deepfm_observe(tr, lists, n)) != FR_OK)
            return e;
        tr->t.fitted = true;
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
    }
    return renew(tr);
}

/* ---- one chunk: lists [from, to) ---- */

struct chunk {
    const struct fr_encoded_list *list;
    int n_lists, rows;
    float *xu, *su, *zu; /* (L, ku) (L, D) (L) linear + w0 */
    float *qu;           /* (L) squares */
    float *xc, *s, *z;   /* (R, kc) (R, D) (R) */
    float *h0, *h;       /* (L, H1) (R, H1) */
    struct fr_mlp_acts acts;
    float *dz; /* (R) */
};

static float
linear_part(const struct fr_train_deepfm *tr, enum fr_entity e, const struct fr_slot *slots)
{
    const struct fr_encoder *enc = tr->t.enc;
    float s = 0;
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

static enum fr_err
alloc_chunk(const struct fr_train_deepfm *tr, struct fr_arena *ar, struct chunk *c)
{
    size_t dim = (size_t)tr->cfg.model.dim, lists = (size_t)c->n_lists, rows = (size_t)c->rows;
    size_t h1 = tr->mlp.n_layers > 0 ? (size_t)tr->mlp.width[1] : 0;

    c->xu = fr_arena_array(ar, lists * (size_t)tr->n_user * dim + 1, sizeof(float));
    c->su = fr_arena_zarray(ar, lists * dim, sizeof(float));
    c->zu = fr_arena_zarray(ar, lists, sizeof(float));
    c->qu = fr_arena_zarray(ar, lists, sizeof(float));
    c->xc = fr_arena_array(ar, rows * (size_t)tr->n_cand * dim + 1, sizeof(float));
    c->s = fr_arena_array(ar, rows * dim, sizeof(float));
    c->z = fr_arena_array(ar, rows, sizeof(float));
    c->dz = fr_arena_array(ar, rows, sizeof(float));
    c->h0 = fr_arena_array(ar, lists * h1 + 1, sizeof(float));
    c->h = fr_arena_array(ar, rows * h1 + 1, sizeof(float));
    bool ok = c->xu != NULL && c->su != NULL && c->zu != NULL && c->qu != NULL && c->xc != NULL &&
              c->s != NULL && c->z != NULL && c->dz != NULL && c->h0 != NULL && c->h != NULL;
    return ok ? FR_OK : FR_ENOMEM;
}

static void gather_list(const struct fr_train_deepfm *tr, struct chunk *c, int l)
{
    const struct fr_encoded_list *in = &c->list[l];
    const struct fr_encoder *enc = tr->t.enc;
    size_t dim = (size_t)tr->cfg.model.dim;
    float *x = c->xu + (size_t)l * (size_t)tr->n_user * dim;

    fr_embed_group(enc, &tr->em, FR_ENTITY_USER, in->user, x);
    fr_embed_group(enc,
                   &tr->em,
                   FR_ENTITY_CONTEXT,
                   in->context,
                   x + (size_t)fr_encoder_n_fields(enc, FR_ENTITY_USER) * dim);
    pair_sums(x, tr->n_user, (int)dim, c->su + (size_t)l * dim, &c->qu[l]);
    c->zu[l] = tr->t.params.dense[tr->bias].w[0] + linear_part(tr, FR_ENTITY_USER, in->user) +
               linear_part(tr, FR_ENTITY_CONTEXT, in->context);
}

static void gather_row(const struct fr_train_deepfm *tr, struct chunk *c, int l, int i, size_t row)
{
    const struct fr_encoded_list *in = &c->list[l];
    const struct fr_encoder *enc = tr->t.enc;
    size_t dim = (size_t)tr->cfg.model.dim;
    const struct fr_slot *item = in->items + (size_t)i * enc->n_slots[FR_ENTITY_ITEM];
    const struct fr_slot *cross = in->cross + (size_t)i * enc->n_slots[FR_ENTITY_CROSS];
    float *x = c->xc + row * (size_t)tr->n_cand * dim, *s = c->s + row * dim;
    float sq = c->qu[l];

    fr_embed_group(enc, &tr->em, FR_ENTITY_ITEM, item, x);
    fr_embed_group(enc,
                   &tr->em,
                   FR_ENTITY_CROSS,
                   cross,
                   x + (size_t)fr_encoder_n_fields(enc, FR_ENTITY_ITEM) * dim);
    memcpy(s, c->su + (size_t)l * dim, dim * sizeof(*s));
    pair_sums(x, tr->n_cand, (int)dim, s, &sq);
    c->z[row] = c->zu[l] + linear_part(tr, FR_ENTITY_ITEM, item) +
                linear_part(tr, FR_ENTITY_CROSS, cross) + 0.5f * (fr_dot(s, s, dim) - sq);
}

/* First layer split by columns, the rest as a plain MLP; adds the output to z. */
static enum fr_err
mlp_forward(const struct fr_train_deepfm *tr, struct chunk *c, struct fr_arena *ar)
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
            memcpy(c->h + row * (size_t)h1,
                   c->h0 + (size_t)l * (size_t)h1,
                   (size_t)h1 * sizeof(float));
    if (kc > 0)
        fr_gemm(false, true, c->rows, h1, kc, 1, c->xc, kc, tr->mlp.w[0] + ku, in, 1, c->h, h1);
    fr_nn_relu(c->h, (size_t)c->rows * (size_t)h1);
    enum fr_err e = fr_mlp_forward_keep(&tr->mlp, 1, c->h, c->rows, ar, &c->acts);
    if (e == FR_OK)
        fr_axpy(1.0f, c->acts.x[tr->mlp.n_layers], c->z, (size_t)c->rows);
    return e;
}

static float bce_label(const struct fr_encoded_list *in, int i)
{
    if (in->labels != NULL)
        return in->labels[i];
    return i == in->label ? 1.0f : 0.0f;
}

/* Loss of the chunk, scaled; dz holds scaled gradients. */
static double losses(const struct fr_train_deepfm *tr, struct chunk *c)
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

/* Gradients of the linear weights of a group. */
static void back_linear_part(const struct fr_train_deepfm *tr,
                             enum fr_entity e,
                             const struct fr_slot *slots,
                             float dz,
                             struct fr_grads *g)
{
    const struct fr_encoder *enc = tr->t.enc;
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

static void scatter(const struct fr_train_deepfm *tr,
                    enum fr_entity e,
                    const struct fr_slot *slots,
                    const float *de,
                    float dz,
                    struct fr_grads *g)
{
    fr_back_embed_group(tr->t.enc, &tr->em, e, slots, de, &tr->t.params, tr->v_of, g, NULL);
    back_linear_part(tr, e, slots, dz, g);
}

/* Rows of list l: item and cross gradients; returns the sum of dz and adds dz_r S_r to acc. */
static float back_rows(const struct fr_train_deepfm *tr,
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
        memset(tmp, 0, dim * sizeof(*tmp));
        fr_axpy(dz, c->s + row * dim, tmp, dim);
        fr_axpy(1.0f, tmp, acc, dim);
        back_pairs(c->xc + row * kc, tr->n_cand, dim, tmp, dz, dxc + row * kc);
        scatter(tr, FR_ENTITY_ITEM, item, dxc + row * kc, dz, g);
        scatter(tr, FR_ENTITY_CROSS, cross, dxc + row * kc + ki, dz, g);
        sum += dz;
    }
    return sum;
}

/* Backward of the MLP: gradients of layers, dxu (L, ku), dxc (R, kc). */
static enum fr_err mlp_backward(const struct fr_train_deepfm *tr,
                                const struct chunk *c,
                                struct fr_train_worker *w,
                                float *dxu,
                                float *dxc)
{
    int dim = tr->cfg.model.dim, in = tr->mlp.width[0], h1 = tr->mlp.width[1];
    int ku = tr->n_user * dim, kc = tr->n_cand * dim;
    float *dw[FR_MLP_MAX_LAYERS], *db[FR_MLP_MAX_LAYERS];
    float *dh = fr_arena_array(w->ar, (size_t)c->rows * (size_t)h1, sizeof(*dh));
    float *dh0 = fr_arena_zarray(w->ar, (size_t)c->n_lists * (size_t)h1, sizeof(*dh0));
    float *dout = fr_arena_array(w->ar, (size_t)c->rows, sizeof(*dout));
    size_t row = 0;

    if (dh == NULL || dh0 == NULL || dout == NULL)
        return FR_ENOMEM;
    for (int l = 0; l < tr->mlp.n_layers; l++) {
        dw[l] = fr_grads_dense(&w->g, &tr->t.params, tr->mlp_w[l]);
        db[l] = fr_grads_dense(&w->g, &tr->t.params, tr->mlp_b[l]);
    }
    memcpy(dout, c->dz, (size_t)c->rows * sizeof(*dout));
    enum fr_err e = fr_mlp_backward(&tr->mlp, 1, &c->acts, c->rows, dout, dw, db, w->ar, dh);
    if (e != FR_OK)
        return e;
    fr_back_relu(c->h, dh, (size_t)c->rows * (size_t)h1);
    fr_back_linear(c->xc, tr->mlp.w[0] + ku, in, dh, c->rows, kc, h1, dw[0] + ku, NULL, dxc);
    for (int l = 0; l < c->n_lists; l++)
        for (int i = 0; i < c->list[l].n; i++, row++)
            fr_axpy(1.0f, dh + row * (size_t)h1, dh0 + (size_t)l * (size_t)h1, (size_t)h1);
    fr_back_linear(c->xu, tr->mlp.w[0], in, dh0, c->n_lists, ku, h1, dw[0], db[0], dxu);
    return FR_OK;
}

static enum fr_err
backward(const struct fr_train_deepfm *tr, const struct chunk *c, struct fr_train_worker *w)
{
    const struct fr_encoder *enc = tr->t.enc;
    size_t dim = (size_t)tr->cfg.model.dim;
    size_t ku = (size_t)tr->n_user * dim, kc = (size_t)tr->n_cand * dim;
    size_t kuser = (size_t)fr_encoder_n_fields(enc, FR_ENTITY_USER) * dim;
    float *dxu = fr_arena_zarray(w->ar, (size_t)c->n_lists * ku + 1, sizeof(float));
    float *dxc = fr_arena_zarray(w->ar, (size_t)c->rows * kc + 1, sizeof(float));
    float *acc = fr_arena_array(w->ar, 2 * dim, sizeof(float));
    size_t row = 0;

    if (dxu == NULL || dxc == NULL || acc == NULL)
        return FR_ENOMEM;
    if (tr->mlp.n_layers > 0) {
        enum fr_err e = mlp_backward(tr, c, w, dxu, dxc);
        if (e != FR_OK)
            return e;
    }
    for (int l = 0; l < c->n_lists; l++) {
        const struct fr_encoded_list *in = &c->list[l];
        float *du = dxu + (size_t)l * ku;
        memset(acc, 0, dim * sizeof(*acc));
        float dz = back_rows(tr, c, l, row, dxc, acc, acc + dim, &w->g);
        /* A list's softmax gradients sum to 0; what rounding leaves, Adam would blow up to full steps. */
        if (tr->cfg.loss == FR_LOSS_LISTWISE)
            dz = 0;
        row += (size_t)in->n;
        back_pairs(c->xu + (size_t)l * ku, tr->n_user, dim, acc, dz, du);
        scatter(tr, FR_ENTITY_USER, in->user, du, dz, &w->g);
        scatter(tr, FR_ENTITY_CONTEXT, in->context, du + kuser, dz, &w->g);
        *fr_grads_dense(&w->g, &tr->t.params, tr->bias) += dz;
    }
    return FR_OK;
}

static enum fr_err run_chunk(const struct fr_train_deepfm *tr,
                             const struct fr_encoded_list *list,
                             int n_lists,
                             int rows,
                             struct fr_train_worker *w,
                             float **out_logit)
{
    struct fr_arena_mark mark = fr_arena_mark(w->ar);
    struct chunk c = {.list = list, .n_lists = n_lists, .rows = rows};
    size_t row = 0;
    enum fr_err e = alloc_chunk(tr, w->ar, &c);

    if (e != FR_OK)
        goto out;
    for (int l = 0; l < n_lists; l++) {
        gather_list(tr, &c, l);
        for (int i = 0; i < list[l].n; i++)
            gather_row(tr, &c, l, i, row++);
    }
    if (tr->mlp.n_layers > 0 && (e = mlp_forward(tr, &c, w->ar)) != FR_OK)
        goto out;
    row = 0;
    for (int l = 0; l < n_lists && out_logit != NULL; l++) {
        memcpy(out_logit[l], c.z + row, (size_t)list[l].n * sizeof(float));
        row += (size_t)list[l].n;
    }
    w->loss += losses(tr, &c);
    if (tr->backward)
        e = backward(tr, &c, w);
out:
    fr_arena_release(w->ar, mark);
    return e;
}

/* Room for every row a worker's lists can touch. */
static enum fr_err reserve(struct fr_train_deepfm *tr, int from, int to, struct fr_grads *g)
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
        enum fr_err e = fr_grads_reserve(g, &tr->t.params, tr->v_of[i], n[i]);
        if (e == FR_OK)
            e = fr_grads_reserve(g, &tr->t.params, tr->l_of[i], n[i]);
        if (e != FR_OK)
            return e;
    }
    return FR_OK;
}

static void work(void *arg, int worker)
{
    struct fr_train_deepfm *tr = arg;
    struct fr_train_worker *w = &tr->t.w[worker];
    int from = 0, to = 0;

    fr_trainer_share(&tr->t, tr->n_lists, worker, &from, &to);
    if (tr->backward && (w->err = reserve(tr, from, to, &w->g)) != FR_OK)
        return;
    while (from < to && w->err == FR_OK) {
        int n = 0, rows = 0;
        while (from + n < to && (n == 0 || rows + tr->lists[from + n].n <= CHUNK_ROWS))
            rows += tr->lists[from + n++].n;
        w->err = run_chunk(
            tr, tr->lists + from, n, rows, w, tr->out_logit == NULL ? NULL : tr->out_logit + from);
        from += n;
    }
}

/* ---- steps ---- */

enum fr_err fr_train_deepfm_gradient(struct fr_train_deepfm *tr,
                                     const struct fr_rank_list *lists,
                                     int n,
                                     double *out_loss)
{
    enum fr_err e = prepare(tr, lists, n, true);

    if (e != FR_OK || (e = fr_trainer_begin(&tr->t)) != FR_OK)
        return e;
    tr->backward = true;
    tr->out_logit = NULL;
    if ((e = fr_trainer_run(&tr->t, work, tr)) != FR_OK)
        return e;
    return fr_trainer_reduce(&tr->t, out_loss);
}

enum fr_err fr_train_deepfm_step(struct fr_train_deepfm *tr,
                                 const struct fr_rank_list *lists,
                                 int n,
                                 double *out_loss)
{
    double loss = 0;
    enum fr_err e = fr_train_deepfm_gradient(tr, lists, n, &loss);

    if (e != FR_OK)
        return e;
    if (!fr_is_finite((float)loss) || !fr_grads_finite(&tr->t.w[0].g, &tr->t.params))
        return FR_ENONFINITE;
    fr_params_adam(&tr->t.params, &tr->t.w[0].g, &tr->t.opt);
    if (out_loss != NULL)
        *out_loss = loss;
    return FR_OK;
}

enum fr_err fr_train_deepfm_eval(struct fr_train_deepfm *tr,
                                 const struct fr_rank_list *lists,
                                 int n,
                                 double *out_loss,
                                 float *out_logit)
{
    double loss = 0;
    enum fr_err e = prepare(tr, lists, n, false);

    if (e != FR_OK)
        return e;
    tr->out_logit = NULL;
    if (out_logit != NULL) {
        tr->out_logit = fr_arena_array(tr->t.ar, (size_t)n, sizeof(*tr->out_logit));
        if (tr->out_logit == NULL)
            return FR_ENOMEM;
        for (int l = 0; l < n; l++) {
            tr->out_logit[l] = out_logit;
            out_logit += lists[l].c.n;
        }
    }
    tr->backward = false;
    for (int i = 0; i < tr->t.opt.threads; i++) {
        fr_arena_reset(tr->t.w[i].ar);
        tr->t.w[i].loss = 0;
        tr->t.w[i].err = FR_OK;
    }
    if ((e = fr_trainer_run(&tr->t, work, tr)) != FR_OK)
        return e;
    for (int i = 0; i < tr->t.opt.threads; i++)
        loss += tr->t.w[i].loss;
    if (out_loss != NULL)
        *out_loss = loss;
    return FR_OK;
}

/* ---- results ---- */

enum fr_err fr_train_deepfm_model(const struct fr_train_deepfm *tr,
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
    e = fr_deepfm_new(&enc, &tr->cfg.model, t, n, out_m, fault);
out:
    fr_encoder_free(enc);
    fr_free(t);
    return e;
}

enum fr_err fr_train_deepfm_finish(const struct fr_train_deepfm *tr,
                                   const struct fr_model_meta *meta,
                                   const struct fr_model_case *cases,
                                   int n_cases,
                                   const char *dir,
                                   struct fr_fault *fault)
{
    struct fr_model *m = NULL;
    enum fr_err e = fr_train_deepfm_model(tr, &m, fault);

    if (e == FR_OK)
        e = fr_model_save(m, meta, cases, n_cases, dir, fault);
    fr_model_free(m);
    return e;
}

void fr_train_deepfm_set_lr(struct fr_train_deepfm *tr, float lr)
{
    fr_trainer_set_lr(&tr->t, lr);
}

uint64_t fr_train_deepfm_steps(const struct fr_train_deepfm *tr)
{
    return tr->t.params.t;
}
