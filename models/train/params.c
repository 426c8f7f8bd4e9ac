/*
 * models/train/params.c - parameter storage, gradient accumulation. Steps are in params_step.c.
 */
#include "models/train/params.h"

#include <math.h>
#include <string.h>

#include "daemon/base/alloc.h"

static enum fr_err set_name(char out[FR_TENSOR_NAME], const char *name)
{
    size_t n = strlen(name);
    if (n == 0 || n >= FR_TENSOR_NAME)
        return FR_EINVAL;
    memcpy(out, name, n + 1);
    return FR_OK;
}

enum fr_err
fr_params_add_dense(struct fr_params *p, const char *name, int rows, int cols, int *out_i)
{
    struct fr_dense d = {.rows = rows, .cols = cols};

    if (p->n_dense == FR_PARAMS_MAX_DENSE)
        return FR_EFULL;
    if (rows < 1 || cols < 0 || set_name(d.name, name) != FR_OK)
        return FR_EINVAL;
    d.n = (size_t)rows * (size_t)(cols == 0 ? 1 : cols);
    d.at = p->dense_total;
    bool m = fr_optimizer_has_m(p->optimizer), v = fr_optimizer_has_v(p->optimizer);
    d.w = fr_calloc_aligned(d.n, sizeof(float));
    d.m = m ? fr_calloc_aligned(d.n, sizeof(float)) : NULL;
    d.v = v ? fr_calloc_aligned(d.n, sizeof(float)) : NULL;
    if (d.w == NULL || (m && d.m == NULL) || (v && d.v == NULL)) {
        fr_free(d.w);
        fr_free(d.m);
        fr_free(d.v);
        return FR_ENOMEM;
    }
    p->dense_total += (d.n + 15) & ~(size_t)15;
    *out_i = p->n_dense;
    p->dense[p->n_dense++] = d;
    return FR_OK;
}

enum fr_err
fr_params_add_buffer(struct fr_params *p, const char *name, int n, float value, int *out_i)
{
    struct fr_dense d = {.rows = n, .cols = 0, .n = (size_t)(n > 0 ? n : 0)};

    if (p->n_buffers == FR_PARAMS_MAX_BUFFERS)
        return FR_EFULL;
    if (n < 1 || set_name(d.name, name) != FR_OK)
        return FR_EINVAL;
    d.w = fr_calloc_aligned(d.n, sizeof(float));
    if (d.w == NULL)
        return FR_ENOMEM;
    for (size_t i = 0; i < d.n; i++)
        d.w[i] = value;
    *out_i = p->n_buffers;
    p->buffer[p->n_buffers++] = d;
    return FR_OK;
}

enum fr_err fr_params_add_table(struct fr_params *p, const char *name, int dim, int *out_i)
{
    struct fr_table t = {.dim = dim};

    if (p->n_tables == FR_PARAMS_MAX_TABLES)
        return FR_EFULL;
    if (dim < 1 || set_name(t.name, name) != FR_OK)
        return FR_EINVAL;
    *out_i = p->n_tables;
    p->table[p->n_tables++] = t;
    return FR_OK;
}

/* All or none of a table's arrays to `cap` rows, at least as many as it has. */
static enum fr_err table_resize(struct fr_table *t, enum fr_optimizer o, uint32_t cap)
{
    float **array[3] = {&t->w, &t->m, &t->v};
    bool has[3] = {true, fr_optimizer_has_m(o), fr_optimizer_has_v(o)};
    size_t row = (size_t)t->dim * sizeof(float), from = (size_t)t->cap * row, to = 0;

    if (!fr_mul_size(cap, row, &to))
        return FR_ENOMEM;
    for (int i = 0; i < 3; i++) {
        float *q = has[i] ? fr_pages_resize(*array[i], from, to) : NULL;
        if (has[i] && q == NULL) {
            while (i-- > 0) /* those before go back: cap is of all */
                if (has[i] && from > 0) {
                    *array[i] = fr_pages_resize(*array[i], to, from);
                } else if (has[i]) {
                    fr_pages_free(*array[i], to);
                    *array[i] = NULL;
                }
            return FR_ENOMEM;
        }
        *array[i] = q;
    }
    t->cap = cap;
    return FR_OK;
}

/* A growing table is moved and not copied, so the room to spare can be small: a sixteenth. */
static enum fr_err make_room(struct fr_params *p, int table, uint32_t rows)
{
    uint32_t cap = p->table[table].cap, more = cap / 16 < 64 ? 64 : cap / 16;

    if (rows <= cap)
        return FR_OK;
    cap = cap > UINT32_MAX - more || cap + more < rows ? rows : cap + more;
    return table_resize(&p->table[table], p->optimizer, cap);
}

enum fr_err
fr_params_grow(struct fr_params *p, int table, uint32_t rows, float std, struct fr_rng *rng)
{
    struct fr_table *t = &p->table[table];
    enum fr_err e = make_room(p, table, rows);

    if (e != FR_OK)
        return e;
    for (size_t i = (size_t)t->rows * (size_t)t->dim; i < (size_t)rows * (size_t)t->dim; i++)
        t->w[i] = std > 0 ? (float)((double)std * fr_rng_normal(rng)) : 0.0f;
    if (rows > t->rows)
        t->rows = rows;
    return FR_OK;
}

void fr_params_init_normal(struct fr_params *p, int dense, float std, struct fr_rng *rng)
{
    struct fr_dense *d = &p->dense[dense];
    for (size_t i = 0; i < d->n; i++)
        d->w[i] = (float)((double)std * fr_rng_normal(rng));
}

void fr_params_init_xavier(struct fr_params *p, int dense, struct fr_rng *rng)
{
    const struct fr_dense *d = &p->dense[dense];
    fr_params_init_normal(p, dense, (float)sqrt(2.0 / (double)(d->rows + d->cols)), rng);
}

void fr_params_done(struct fr_params *p)
{
    for (int i = 0; i < p->n_buffers; i++)
        fr_free(p->buffer[i].w);
    for (int i = 0; i < p->n_dense; i++) {
        fr_free(p->dense[i].w);
        fr_free(p->dense[i].m);
        fr_free(p->dense[i].v);
    }
    for (int i = 0; i < p->n_tables; i++) {
        size_t bytes = (size_t)p->table[i].cap * (size_t)p->table[i].dim * sizeof(float);
        fr_pages_free(p->table[i].w, bytes);
        fr_pages_free(p->table[i].m, bytes);
        fr_pages_free(p->table[i].v, bytes);
    }
    *p = (struct fr_params){0};
}

static struct fr_tensor dense_tensor(const struct fr_dense *d)
{
    struct fr_tensor t = {.dtype = FR_DTYPE_F32, .ndim = d->cols == 0 ? 1 : 2, .data = d->w};
    memcpy(t.name, d->name, sizeof(t.name));
    t.dim[0] = (uint64_t)d->rows;
    t.dim[1] = (uint64_t)d->cols;
    return t;
}

int fr_params_tensors(const struct fr_params *p, struct fr_tensor *out)
{
    int n = 0;
    for (int i = 0; i < p->n_dense; i++)
        out[n++] = dense_tensor(&p->dense[i]);
    for (int i = 0; i < p->n_tables; i++) {
        const struct fr_table *s = &p->table[i];
        struct fr_tensor t = {.dtype = FR_DTYPE_F32, .ndim = 2, .data = s->w};
        memcpy(t.name, s->name, sizeof(t.name));
        t.dim[0] = s->rows;
        t.dim[1] = (uint64_t)s->dim;
        out[n++] = t;
    }
    for (int i = 0; i < p->n_buffers; i++)
        out[n++] = dense_tensor(&p->buffer[i]);
    return n;
}

/* ---- gradients ---- */

/* A bigger copy of an aligned array, the rest zero. */
static float *enlarge(const float *old, size_t n, size_t cap)
{
    float *q = fr_calloc_aligned(cap, sizeof(float));
    if (q != NULL && n > 0)
        memcpy(q, old, n * sizeof(float));
    return q;
}

static void forget_rows(struct fr_row_grads *r)
{
    if (r->hashed)
        memset(r->index, 0, (size_t)r->cap_index * sizeof(*r->index));
    for (uint32_t k = 0; k < r->n && !r->hashed; k++)
        r->index[r->rows[k]] = 0;
    r->n = 0;
}

/* The index of a table of `rows`, or the first one of a table that has become long; nothing is touched. */
static enum fr_err index_fit(struct fr_row_grads *r, uint32_t rows)
{
    bool hashed = rows > FR_GRADS_DIRECT_ROWS;
    uint32_t cap = hashed ? 64 : rows;

    if (hashed == r->hashed && r->cap_index >= cap)
        return FR_OK;
    while (hashed && cap < 2 * (uint64_t)r->cap)
        cap *= 2;
    uint32_t *q = fr_calloc(cap, sizeof(*q));
    if (q == NULL)
        return FR_ENOMEM;
    fr_free(r->index);
    r->index = q;
    r->cap_index = cap;
    r->hashed = hashed;
    return FR_OK;
}

/* A hashed index for `want` rows; those touched are put again. */
static enum fr_err index_grow(struct fr_row_grads *r, size_t want)
{
    uint64_t cap = r->cap_index;

    while (cap < 2 * (uint64_t)want)
        cap *= 2;
    if (!r->hashed || cap == r->cap_index)
        return FR_OK;
    uint32_t *q = cap > UINT32_MAX ? NULL : fr_calloc(cap, sizeof(*q));
    if (q == NULL)
        return FR_ENOMEM;
    fr_free(r->index);
    r->index = q;
    r->cap_index = (uint32_t)cap;
    for (uint32_t k = 0; k < r->n; k++)
        *fr_row_grads_slot(r, r->rows[k]) = k + 1;
    return FR_OK;
}

enum fr_err fr_grads_begin(struct fr_grads *g, const struct fr_params *p)
{
    if (g->dense == NULL) {
        g->dense = fr_calloc_aligned(p->dense_total > 0 ? p->dense_total : 1, sizeof(float));
        if (g->dense == NULL)
            return FR_ENOMEM;
    }
    memset(g->dense, 0, p->dense_total * sizeof(float));
    for (int i = 0; i < p->n_tables; i++) {
        forget_rows(&g->table[i]);
        enum fr_err e = p->table[i].cap == 0 ? FR_OK : index_fit(&g->table[i], p->table[i].cap);
        if (e != FR_OK)
            return e;
    }
    return FR_OK;
}

enum fr_err fr_grads_reserve(struct fr_grads *g, const struct fr_params *p, int table, size_t n)
{
    struct fr_row_grads *r = &g->table[table];
    size_t dim = (size_t)p->table[table].dim;
    size_t want = r->n + n < p->table[table].rows ? r->n + n : p->table[table].rows;

    if (want <= r->cap)
        return FR_OK;
    if (want < 2 * (size_t)r->cap)
        want = 2 * (size_t)r->cap;
    uint32_t *rows = fr_realloc_array(r->rows, want, sizeof(*rows));
    if (rows == NULL)
        return FR_ENOMEM;
    r->rows = rows;
    enum fr_err e = index_grow(r, want);
    if (e != FR_OK)
        return e;
    float *q = enlarge(r->g, r->n * dim, want * dim);
    if (q == NULL)
        return FR_ENOMEM;
    fr_free(r->g);
    r->g = q;
    r->cap = (uint32_t)want;
    return FR_OK;
}

float *fr_grads_row(struct fr_grads *g, const struct fr_params *p, int table, int32_t row)
{
    struct fr_row_grads *r = &g->table[table];
    size_t dim = (size_t)p->table[table].dim;
    uint32_t *slot = fr_row_grads_slot(r, (uint32_t)row), k = *slot;

    if (k == 0) {
        r->rows[r->n] = (uint32_t)row;
        *slot = k = ++r->n;
        memset(r->g + (size_t)(k - 1) * dim, 0, dim * sizeof(float));
    }
    return r->g + (size_t)(k - 1) * dim;
}

const float *
fr_grads_find(const struct fr_grads *g, const struct fr_params *p, int table, int32_t row)
{
    const struct fr_row_grads *r = &g->table[table];
    uint32_t k = fr_row_grads_at(r, (uint32_t)row);
    return k == 0 ? NULL : r->g + (size_t)(k - 1) * (size_t)p->table[table].dim;
}

enum fr_err
fr_grads_add(struct fr_grads *into, const struct fr_grads *from, const struct fr_params *p)
{
    fr_axpy(1.0f, from->dense, into->dense, p->dense_total);
    for (int i = 0; i < p->n_tables; i++) {
        const struct fr_row_grads *r = &from->table[i];
        size_t dim = (size_t)p->table[i].dim;
        enum fr_err e = fr_grads_reserve(into, p, i, r->n);
        if (e != FR_OK)
            return e;
        for (uint32_t k = 0; k < r->n; k++)
            fr_axpy(
                1.0f, r->g + (size_t)k * dim, fr_grads_row(into, p, i, (int32_t)r->rows[k]), dim);
    }
    return FR_OK;
}

bool fr_grads_finite(const struct fr_grads *g, const struct fr_params *p)
{
    if (!fr_all_finite(g->dense, p->dense_total))
        return false;
    for (int i = 0; i < p->n_tables; i++)
        if (!fr_all_finite(g->table[i].g, (size_t)g->table[i].n * (size_t)p->table[i].dim))
            return false;
    return true;
}

void fr_grads_done(struct fr_grads *g)
{
    fr_free(g->dense);
    for (int i = 0; i < FR_PARAMS_MAX_TABLES; i++) {
        fr_free(g->table[i].index);
        fr_free(g->table[i].rows);
        fr_free(g->table[i].g);
    }
    *g = (struct fr_grads){0};
}
