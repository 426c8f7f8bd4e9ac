/*
 * models/train/params_step.c - the steps of models/train/params.h: merging workers' gradients, clipping,
 * the optimisers over what is merged.
 */
#include <math.h>

#include "models/train/params.h"

/* Elements [*from, *to) of n that belong to part `part` of `parts`. */
static void slice(size_t n, int part, int parts, size_t *from, size_t *to)
{
    *from = n * (size_t)part / (size_t)parts;
    *to = n * ((size_t)part + 1) / (size_t)parts;
}

/* Lowest worker that touched the row. */
static int owner_of(struct fr_grads *const *g, int table, uint32_t row)
{
    int k = 0;
    while (fr_row_grads_at(&g[k]->table[table], row) == 0)
        k++;
    return k;
}

bool fr_grads_merge_part(struct fr_grads *const *g, int parts, int part, const struct fr_params *p)
{
    bool finite = true;
    size_t from = 0, to = 0;

    slice(p->dense_total, part, parts, &from, &to);
    for (int k = 1; k < parts; k++)
        fr_axpy(1.0f, g[k]->dense + from, g[0]->dense + from, to - from);
    finite = fr_all_finite(g[0]->dense + from, to - from);
    for (int i = 0; i < p->n_tables; i++) {
        size_t dim = (size_t)p->table[i].dim;
        for (int k = 0; k < parts; k++) {
            const struct fr_row_grads *r = &g[k]->table[i];
            for (uint32_t j = 0; j < r->n; j++) {
                uint32_t row = r->rows[j];
                if ((int)(row % (uint32_t)parts) != part || owner_of(g, i, row) != k)
                    continue;
                float *sum = r->g + (size_t)j * dim;
                for (int o = k + 1; o < parts; o++) {
                    const float *more = fr_grads_find(g[o], p, i, (int32_t)row);
                    if (more != NULL)
                        fr_axpy(1.0f, more, sum, dim);
                }
                finite = fr_all_finite(sum, dim) && finite;
            }
        }
    }
    return finite;
}

static void scale_all(float *x, size_t n, float f)
{
    for (size_t i = 0; i < n; i++)
        x[i] *= f;
}

/* Sum of (g + l2 w)^2; g NULL is zero. */
static double squares(const float *g, const float *w, size_t n, float l2)
{
    double s = 0;
    for (size_t i = 0; i < n; i++) {
        double d = (g == NULL ? 0.0 : (double)g[i]) + (double)l2 * (double)w[i];
        s += d * d;
    }
    return s;
}

/* The merged gradient of a row that some worker touched, else NULL. */
static float *merged_row(struct fr_grads *const *g, int parts, int table, uint32_t row, size_t dim)
{
    for (int k = 0; k < parts; k++) {
        const struct fr_row_grads *r = &g[k]->table[table];
        uint32_t at = fr_row_grads_at(r, row);
        if (at != 0)
            return r->g + (size_t)(at - 1) * dim;
    }
    return NULL;
}

static double table_squares(const struct fr_params *p,
                            struct fr_grads *const *g,
                            int parts,
                            const struct fr_train_options *o)
{
    double s = 0;
    for (int i = 0; i < p->n_tables; i++) {
        const struct fr_table *t = &p->table[i];
        size_t dim = (size_t)t->dim;
        for (uint32_t row = 0; row < t->rows; row++) {
            const float *gr = merged_row(g, parts, i, row, dim);
            if (gr != NULL || o->dense_rows)
                s += squares(gr, t->w + (size_t)row * dim, dim, o->l2_embedding);
        }
    }
    return s;
}

/* Factor that brings the norm down to clip_norm, 1 if it is below; what is clipped is scaled. */
static float
clip(struct fr_params *p, struct fr_grads *const *g, int parts, const struct fr_train_options *o)
{
    double s = 0;

    if (o->clip_all) {
        for (int i = 0; i < p->n_dense; i++)
            s += squares(g[0]->dense + p->dense[i].at, p->dense[i].w, p->dense[i].n, o->l2_dense);
        s += table_squares(p, g, parts, o);
    } else {
        for (size_t i = 0; i < p->dense_total; i++)
            s += (double)g[0]->dense[i] * (double)g[0]->dense[i];
    }
    double norm = sqrt(s);
    if (norm <= (double)o->clip_norm)
        return 1;
    float f = (float)((double)o->clip_norm / (norm + 1e-6));
    scale_all(g[0]->dense, p->dense_total, f);
    for (int i = 0; i < p->n_tables && o->clip_all; i++)
        for (int k = 0; k < parts; k++) /* rows merged into another worker's are read no more */
            scale_all(g[k]->table[i].g, (size_t)g[k]->table[i].n * (size_t)p->table[i].dim, f);
    return f;
}

void fr_params_step_begin(struct fr_params *p,
                          struct fr_grads *const *g,
                          int parts,
                          const struct fr_train_options *o,
                          struct fr_step_pair *out)
{
    double t = (double)++p->t;
    struct fr_step s = {.optimizer = p->optimizer,
                        .b1 = o->beta1,
                        .b2 = o->beta2,
                        .eps = o->eps,
                        .decay = o->decay,
                        .beta = o->ftrl_beta,
                        .l1 = o->ftrl_l1,
                        .prox2 = o->ftrl_l2};
    float c1 = 1, f = 1;

    if (o->clip_norm > 0)
        f = clip(p, g, parts, o);
    if (p->optimizer == FR_OPTIMIZER_ADAM) {
        c1 = (float)(1.0 / (1.0 - pow((double)o->beta1, t)));
        s.inv_sc2 = (float)(1.0 / sqrt(1.0 - pow((double)o->beta2, t)));
    }
    out->dense = out->rows = s;
    out->dense.lr = (o->lr_dense > 0 ? o->lr_dense : o->lr) * c1;
    out->dense.l2 = o->l2_dense;
    out->rows.lr = o->lr * c1;
    out->rows.l2 = o->l2_embedding;
    out->all_rows = o->dense_rows;
    if (o->clip_all) {
        out->dense.l2 *= f;
        out->rows.l2 *= f;
    }
}

/* Where element i of a state is; there may be none. */
static float *state_at(float *state, size_t i)
{
    return state == NULL ? NULL : state + i;
}

/* Every row of a table that is the part's; rows no one touched have a zero gradient. */
static void step_all_rows(struct fr_table *s,
                          int table,
                          struct fr_grads *const *g,
                          int parts,
                          int part,
                          const struct fr_step_pair *pair)
{
    static const float zeros[512];
    size_t dim = (size_t)s->dim;

    for (uint32_t row = (uint32_t)part; row < s->rows; row += (uint32_t)parts) {
        const float *gr = merged_row(g, parts, table, row, dim);
        size_t from = (size_t)row * dim;
        for (size_t d = 0, n; d < dim; d += n) {
            size_t i = from + d;
            n = dim - d < 512 ? dim - d : 512;
            fr_step_update(&pair->rows, n, gr == NULL ? zeros : gr + d, s->w + i, state_at(s->m, i), state_at(s->v, i));
        }
    }
}

void fr_params_step_part(struct fr_params *p,
                         struct fr_grads *const *g,
                         int parts,
                         int part,
                         const struct fr_step_pair *a)
{
    for (int i = 0; i < p->n_dense; i++) {
        struct fr_dense *d = &p->dense[i];
        size_t from = 0, to = 0;
        slice(d->n, part, parts, &from, &to);
        fr_step_update(&a->dense,
                       to - from,
                       g[0]->dense + d->at + from,
                       d->w + from,
                       state_at(d->m, from),
                       state_at(d->v, from));
    }
    for (int i = 0; i < p->n_tables; i++) {
        struct fr_table *s = &p->table[i];
        size_t dim = (size_t)s->dim;
        if (a->all_rows) {
            step_all_rows(s, i, g, parts, part, a);
            continue;
        }
        for (int k = 0; k < parts; k++) {
            const struct fr_row_grads *r = &g[k]->table[i];
            for (uint32_t j = 0; j < r->n; j++) {
                uint32_t row = r->rows[j];
                if ((int)(row % (uint32_t)parts) != part || owner_of(g, i, row) != k)
                    continue;
                size_t i0 = (size_t)row * dim;
                fr_step_update(
                    &a->rows, dim, r->g + (size_t)j * dim, s->w + i0, state_at(s->m, i0), state_at(s->v, i0));
            }
        }
    }
}

void fr_params_step(struct fr_params *p, struct fr_grads *g, const struct fr_train_options *o)
{
    struct fr_step_pair a;
    fr_params_step_begin(p, &g, 1, o, &a);
    fr_params_step_part(p, &g, 1, 0, &a);
}
