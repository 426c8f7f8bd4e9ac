/*
 * models/explain.c - encoding the row, the parts by the model's own function, sums; two towers by their vectors.
 */
#include "models/explain.h"

#include <string.h>

#include "models/model_priv.h"

double fr_explained_linear(const struct fr_explanation *x)
{
    double s = 0;

    for (int i = 0; i < x->n_fields; i++)
        s += x->field[i].linear;
    return s;
}

double fr_explained_pairs(const struct fr_explanation *x)
{
    size_t n = (size_t)x->n_fields * (size_t)x->n_fields;
    double s = 0;

    for (size_t i = 0; i < n && x->pair != NULL; i++)
        s += x->pair[i];
    return s;
}

double fr_explained_attention(const struct fr_explanation *x)
{
    double s = 0;

    for (int i = 0; i < x->n_fields; i++)
        s += x->field[i].attention;
    return s;
}

double fr_explained_value_attention(const struct fr_explanation *x)
{
    double s = 0;

    for (int i = 0; i < x->n_fields; i++)
        s += x->field[i].value_attention;
    return s;
}

/* The model's own word on one row, of both heads if it has two. */
static enum fr_err score(const struct fr_model *m, const struct fr_model_case *one, struct fr_arena *ar, struct fr_explanation *x)
{
    enum fr_value_kind k = m->info.value;
    enum fr_err e = k == FR_VALUE_NONE ? fr_model_score_case(m, one, 0, ar, &x->logit)
                                       : fr_model_score_case_heads(m, one, 0, ar, &x->logit, &x->value.raw);

    if (e != FR_OK || k == FR_VALUE_NONE)
        return e;
    x->value.kind = k;
    x->value.sum = x->value.bias + x->value.deep + fr_explained_value_attention(x);
    x->value.said = fr_value_said(k, x->value.raw);
    return fr_is_finite((float)x->value.sum) ? FR_OK : FR_ENONFINITE;
}

/* Slots of one row by entity, and the fields that name them. */
static enum fr_err encode(const struct fr_model *m,
                          const struct fr_cell *const cells[FR_ENTITY_COUNT],
                          struct fr_arena *ar,
                          const struct fr_slot *out_slots[FR_ENTITY_COUNT],
                          struct fr_explanation *x)
{
    const struct fr_encoder *enc = m->enc;

    x->n_fields = enc->n_fields;
    x->field = fr_arena_zarray(ar, (size_t)enc->n_fields, sizeof(*x->field));
    if (x->field == NULL)
        return FR_ENOMEM;
    for (int g = 0; g < FR_ENTITY_COUNT; g++) {
        struct fr_slot *s = fr_arena_array(ar, (size_t)enc->n_slots[g] + 1, sizeof(*s));
        enum fr_err e;

        if (s == NULL)
            return FR_ENOMEM;
        out_slots[g] = s;
        if (enc->n_slots[g] == 0)
            continue;
        if (cells[g] == NULL)
            return FR_EINVAL;
        if ((e = fr_encoder_encode(enc, (enum fr_entity)g, cells[g], s)) != FR_OK)
            return e;
        for (int i = enc->first_field[g]; i < enc->first_field[g + 1]; i++) {
            const struct fr_enc_field *f = &enc->field[i];

            x->field[i] = (struct fr_explained_field){.name = f->f.name,
                                                      .entity = f->f.entity,
                                                      .kind = f->f.kind,
                                                      .slots = f->f.slots,
                                                      .cell = cells[g] + f->f.first,
                                                      .slot = s + f->slot0};
        }
    }
    return FR_OK;
}

/* Retrieval by vectors: nothing adds up but the cosine itself. */
static enum fr_err towers(const struct fr_model *m,
                          const struct fr_slot *const slots[FR_ENTITY_COUNT],
                          struct fr_arena *ar,
                          struct fr_explanation *x)
{
    const struct fr_slot *user = slots[FR_ENTITY_USER], *context = slots[FR_ENTITY_CONTEXT],
                         *item = slots[FR_ENTITY_ITEM];
    size_t dim = (size_t)m->info.dim;
    float *v = fr_arena_array(ar, 2 * dim, sizeof(*v));
    enum fr_err e;

    if (v == NULL)
        return FR_ENOMEM;
    if ((e = fr_model_users(m, &user, &context, 1, 0, ar, v)) != FR_OK ||
        (e = fr_model_items(m, &item, 1, 0, ar, v + dim)) != FR_OK)
        return e;
    for (size_t k = 0; k < dim; k++)
        x->cosine += (double)v[k] * (double)v[dim + k];
    x->inv_tau = (double)m->inv_tau;
    x->towers = x->cosine * x->inv_tau;
    return FR_OK;
}

static enum fr_err explain(const struct fr_model *m,
                           const struct fr_model_case *c,
                           int candidate,
                           struct fr_arena *ar,
                           struct fr_explanation *x)
{
    const struct fr_slot *slots[FR_ENTITY_COUNT] = {NULL};
    size_t at = (size_t)candidate * m->enc->n_cells[FR_ENTITY_CROSS];
    const struct fr_cell *cells[FR_ENTITY_COUNT] = {
        [FR_ENTITY_USER] = c->user,
        [FR_ENTITY_CONTEXT] = c->context,
        [FR_ENTITY_ITEM] = c->items == NULL ? NULL : c->items[candidate],
        [FR_ENTITY_CROSS] = c->cross == NULL ? NULL : c->cross + at,
    };
    enum fr_err e = encode(m, cells, ar, slots, x);

    x->kind = m->info.kind;
    if (e == FR_OK)
        e = m->ops->explain != NULL ? m->ops->explain(m, slots, ar, x) : towers(m, slots, ar, x);
    if (e != FR_OK)
        return e;
    struct fr_model_case one = {c->user, c->context, &cells[FR_ENTITY_ITEM], cells[FR_ENTITY_CROSS], 1};
    if ((e = score(m, &one, ar, x)) != FR_OK)
        return e;
    x->sum = x->bias + fr_explained_linear(x) + fr_explained_pairs(x) + x->deep + fr_explained_attention(x) +
             x->towers;
    return fr_is_finite((float)x->sum) ? FR_OK : FR_ENONFINITE;
}

enum fr_err fr_explain(const struct fr_model *m,
                       const struct fr_model_case *c,
                       int candidate,
                       struct fr_arena *ar,
                       struct fr_explanation *out)
{
    struct fr_arena_mark mark = fr_arena_mark(ar);
    struct fr_explanation x = {0};
    enum fr_err e = candidate < 0 || candidate >= c->n ? FR_EINVAL : explain(m, c, candidate, ar, &x);

    if (e == FR_OK)
        *out = x;
    else
        fr_arena_release(ar, mark);
    return e;
}
