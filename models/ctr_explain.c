/*
 * models/ctr_explain.c - the parts of a logit of models/ctr.h, straight from the formulas: whole rows, no packed
 * layers, no lanes, sums in double. What the ranking code makes of the same row is another way to the same number.
 */
#include <string.h>

#include "models/ctr_priv.h"
#include "models/explain.h"

static void linear_terms(const struct fr_model *m, struct fr_explanation *x)
{
    const struct fr_ctr_impl *d = m->impl;

    for (int i = 0; i < x->n_fields; i++) {
        const float *w = d->lin[m->enc->field[i].table];

        for (int k = 0; k < x->field[i].slots; k++)
            x->field[i].linear += (double)x->field[i].slot[k].x * (double)w[x->field[i].slot[k].row];
    }
}

/* e_a . e_b of every two fields. */
static enum fr_err pair_terms(const float *v, size_t dim, struct fr_arena *ar, struct fr_explanation *x)
{
    size_t n = (size_t)x->n_fields;

    x->pair = fr_arena_zarray(ar, n * n, sizeof(*x->pair));
    if (x->pair == NULL)
        return FR_ENOMEM;
    for (size_t a = 0; a < n; a++)
        for (size_t b = a + 1; b < n; b++)
            for (size_t k = 0; k < dim; k++)
                x->pair[a * n + b] += (double)v[a * dim + k] * (double)v[b * dim + k];
    return FR_OK;
}

/* The layers one after the other; each one's softmax is kept. */
static enum fr_err
attention_terms(const struct fr_ctr_impl *d, const float *v, struct fr_arena *ar, struct fr_explanation *x)
{
    const struct fr_attention *a = &d->attention;
    size_t f = (size_t)x->n_fields, width = (size_t)a->cfg.width, one = (size_t)a->cfg.heads * f * f;
    float *scratch = fr_arena_array(ar, fr_attention_scratch(a) + 1, sizeof(*scratch));
    struct fr_attention_acts acts = {.x = v};

    x->layers = a->cfg.layers;
    x->heads = a->cfg.heads;
    x->weight = fr_arena_array(ar, (size_t)x->layers * one, sizeof(*x->weight));
    if (scratch == NULL || x->weight == NULL)
        return FR_ENOMEM;
    for (int l = 0; l < x->layers; l++) {
        enum fr_err e = fr_attention_alloc(a, l, 1, ar, &acts);

        if (e != FR_OK)
            return e;
        fr_attention_project(a, l, acts.x, x->n_fields, acts.qkv);
        fr_attention_mix(a, l, 1, &acts, scratch);
        memcpy(x->weight + (size_t)l * one, acts.p, one * sizeof(*acts.p));
        acts.x = acts.y;
    }
    for (size_t i = 0; i < f; i++)
        for (size_t k = 0; k < width; k++) {
            x->field[i].attention += (double)d->out[i * width + k] * (double)acts.x[i * width + k];
            if (d->value_out != NULL)
                x->field[i].value_attention += (double)d->value_out[i * width + k] * (double)acts.x[i * width + k];
        }
    return FR_OK;
}

/* Both heads over the last hidden layer. */
static enum fr_err deep_terms(const struct fr_ctr_impl *d, const float *v, struct fr_arena *ar, struct fr_explanation *x)
{
    struct fr_mlp trunk = d->mlp;
    int last = --trunk.n_layers;
    size_t width = (size_t)trunk.width[last];
    float *h = fr_arena_array(ar, width, sizeof(*h));
    enum fr_err e;

    trunk.relu_last = true;
    if (h == NULL)
        return FR_ENOMEM;
    if ((e = fr_mlp_forward(&trunk, 0, v, 1, ar, h)) != FR_OK)
        return e;
    x->deep = (double)d->mlp.bias[last][0];
    for (size_t k = 0; k < width; k++) {
        x->deep += (double)d->mlp.w[last][k] * (double)h[k];
        if (d->value_deep != NULL)
            x->value.deep += (double)d->value_deep[k] * (double)h[k];
    }
    return FR_OK;
}

enum fr_err fr_ctr_explain(const struct fr_model *m,
                           const struct fr_slot *const slots[FR_ENTITY_COUNT],
                           struct fr_arena *ar,
                           struct fr_explanation *x)
{
    const struct fr_ctr_impl *d = m->impl;
    size_t dim = (size_t)d->cfg.dim;
    float *v = fr_arena_array(ar, (size_t)x->n_fields * dim + 1, sizeof(*v));
    enum fr_err e = v == NULL ? FR_ENOMEM : FR_OK;

    if (e != FR_OK)
        return e;
    x->bias = (double)d->w0;
    x->value.bias = (double)d->value_bias;
    if ((d->parts & FR_CTR_LINEAR) != 0)
        linear_terms(m, x);
    if (dim == 0)
        return FR_OK;
    for (int g = 0; g < FR_ENTITY_COUNT; g++)
        fr_embed_group(m->enc, &d->em, (enum fr_entity)g, slots[g], v + (size_t)m->enc->first_field[g] * dim);
    if ((d->parts & FR_CTR_PAIR) != 0)
        e = pair_terms(v, dim, ar, x);
    if (e == FR_OK && d->mlp.n_layers > 0)
        e = deep_terms(d, v, ar, x);
    if (e == FR_OK && (d->parts & FR_CTR_ATTENTION) != 0)
        e = attention_terms(d, v, ar, x);
    return e;
}
