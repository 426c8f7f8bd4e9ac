/*
 * models/train/ctr_attention.c - parameters by name, their copies, gradients by layer.
 */
#include "models/train/ctr_attention.h"

#include <stdio.h>
#include <string.h>

static const char *const part_name[] = {"query", "key", "value", "residual"};

static enum fr_err
add_matrix(struct fr_train_ctr *tr, const char *name, int rows, int cols, int *out_i)
{
    enum fr_err e = fr_params_add_dense(&tr->t.params, name, rows, cols, out_i);

    if (e == FR_OK) /* Glorot: these layers have no ReLU between them */
        fr_params_init_xavier(&tr->t.params, *out_i, &tr->t.rng);
    return e;
}

static enum fr_err add_norm(struct fr_train_ctr *tr, int l)
{
    struct fr_params *p = &tr->t.params;
    char name[FR_TENSOR_NAME];
    enum fr_err e;

    (void)snprintf(name, sizeof(name), "attention.%d.norm.weight", l);
    if ((e = fr_params_add_dense(p, name, tr->attention.cfg.width, 0, &tr->ap.gain[l])) != FR_OK)
        return e;
    for (size_t i = 0; i < p->dense[tr->ap.gain[l]].n; i++)
        p->dense[tr->ap.gain[l]].w[i] = 1;
    (void)snprintf(name, sizeof(name), "attention.%d.norm.bias", l);
    return fr_params_add_dense(p, name, tr->attention.cfg.width, 0, &tr->ap.shift[l]);
}

enum fr_err fr_ctr_attention_add(struct fr_train_ctr *tr)
{
    struct fr_attention *a = &tr->attention;
    int fields = tr->t.enc->n_fields;
    char name[FR_TENSOR_NAME];
    enum fr_err e = fr_attention_init(a, &tr->cfg.model.attention, fields, tr->cfg.model.dim);

    for (int l = 0; l < a->cfg.layers && e == FR_OK; l++) {
        const struct fr_attention_layer *y = &a->layer[l];

        tr->ap.gain[l] = tr->ap.shift[l] = -1;
        for (int i = 0; i < 4; i++)
            tr->ap.part[l][i] = -1;
        for (int i = 0; i < y->cols / a->cfg.width && e == FR_OK; i++) {
            (void)snprintf(name, sizeof(name), "attention.%d.%s.weight", l, part_name[i]);
            e = add_matrix(tr, name, a->cfg.width, y->in, &tr->ap.part[l][i]);
        }
        if (e == FR_OK && a->cfg.layer_norm)
            e = add_norm(tr, l);
    }
    return e == FR_OK ? add_matrix(tr, "out.weight", 1, fields * a->cfg.width, &tr->ap.out) : e;
}

void fr_ctr_attention_bind(struct fr_train_ctr *tr)
{
    struct fr_attention *a = &tr->attention;
    const struct fr_params *p = &tr->t.params;

    for (int l = 0; l < a->cfg.layers; l++) {
        for (int i = 0; i < 4 && tr->ap.part[l][i] >= 0; i++) {
            const struct fr_dense *d = &p->dense[tr->ap.part[l][i]];

            memcpy(fr_attention_part(a, l, i), d->w, d->n * sizeof(*d->w));
        }
        if (tr->ap.gain[l] >= 0) {
            a->layer[l].gain = p->dense[tr->ap.gain[l]].w;
            a->layer[l].shift = p->dense[tr->ap.shift[l]].w;
        }
    }
}

enum fr_err fr_ctr_attention_begin(const struct fr_train_ctr *tr,
                                   int rows,
                                   struct fr_arena *ar,
                                   struct fr_ctr_attention_pass *out)
{
    const struct fr_attention *a = &tr->attention;
    size_t n = (size_t)rows * (size_t)a->fields * (size_t)a->dim;
    enum fr_err e;

    *out = (struct fr_ctr_attention_pass){.x = fr_arena_array(ar, n + 1, sizeof(float))};
    if (out->x == NULL)
        return FR_ENOMEM;
    if ((e = fr_attention_begin(a, rows, out->x, tr->backward, ar, &out->p)) != FR_OK ||
        !tr->backward)
        return e;
    out->dx = fr_arena_array(ar, n + 1, sizeof(float));
    if (out->dx == NULL)
        return FR_ENOMEM;
    for (int l = 0; l < a->cfg.layers; l++) {
        const struct fr_attention_layer *y = &a->layer[l];

        out->g[l].w = fr_arena_zarray(ar, (size_t)y->cols * (size_t)y->in, sizeof(float));
        if (out->g[l].w == NULL)
            return FR_ENOMEM;
    }
    return FR_OK;
}

void fr_ctr_attention_forward(const struct fr_train_ctr *tr,
                              struct fr_ctr_attention_pass *a,
                              float *z,
                              float *raw)
{
    fr_attention_forward(&tr->attention, &a->p);
    fr_attention_output(&tr->attention, &a->p, tr->t.params.dense[tr->ap.out].w, z);
    if (tr->value_w >= 0)
        fr_attention_output(&tr->attention, &a->p, tr->t.params.dense[tr->value_w].w, raw);
}

void fr_ctr_attention_backward(const struct fr_train_ctr *tr,
                               struct fr_ctr_attention_pass *a,
                               const float *dz,
                               const float *draw,
                               struct fr_grads *g)
{
    const struct fr_attention *at = &tr->attention;
    const struct fr_params *p = &tr->t.params;

    for (int l = 0; l < at->cfg.layers && tr->ap.gain[l] >= 0; l++) {
        a->g[l].gain = fr_grads_dense(g, p, tr->ap.gain[l]);
        a->g[l].shift = fr_grads_dense(g, p, tr->ap.shift[l]);
    }
    struct fr_attention_out outs[2] = {{p->dense[tr->ap.out].w, dz, fr_grads_dense(g, p, tr->ap.out)}};
    int n_outs = 1;
    if (tr->value_w >= 0) /* the value head's first F A weights */
        outs[n_outs++] = (struct fr_attention_out){p->dense[tr->value_w].w, draw, fr_grads_dense(g, p, tr->value_w)};
    fr_attention_backward(at, &a->p, outs, n_outs, a->g, a->dx);
    for (int l = 0; l < at->cfg.layers; l++)
        for (int i = 0; i < 4 && tr->ap.part[l][i] >= 0; i++) {
            const struct fr_dense *d = &p->dense[tr->ap.part[l][i]];

            fr_axpy(
                1.0f, a->g[l].w + (size_t)i * d->n, fr_grads_dense(g, p, tr->ap.part[l][i]), d->n);
        }
}
