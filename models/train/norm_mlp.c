/*
 * models/train/norm_mlp.c - see norm_mlp.h. Column sums go by blocks of rows in float, then in
 * double.
 */
#include "models/train/norm_mlp.h"

#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "daemon/base/alloc.h"
#include "daemon/base/hash.h"
#include "models/train/nn_back.h"

#define BLOCK 32 /* rows summed in float */

/* Four at a time by masks: of branches on a ReLU's or a dropout's outcome every second or fifth would be guessed wrong. */
typedef float vec __attribute__((vector_size(16), aligned(4), may_alias));
typedef int ivec __attribute__((vector_size(16), aligned(4), may_alias));
#define V(p) (*(vec *)(p))
#define C(p) (*(const vec *)(p))

static int hidden_layers(const struct fr_norm_mlp *nm)
{
    return nm->mlp->n_layers - 1;
}

/* ---- parameters ---- */

static enum fr_err add(struct fr_norm_mlp *nm, const char *prefix, int l)
{
    struct fr_params *p = nm->params;
    int width = nm->mlp->width[l + 1];
    char name[FR_TENSOR_NAME];
    enum fr_err e;

    (void)snprintf(name, sizeof(name), "%s_norm.%d.weight", prefix, l);
    if ((e = fr_params_add_dense(p, name, width, 0, &nm->gamma[l])) != FR_OK)
        return e;
    for (int i = 0; i < width; i++)
        p->dense[nm->gamma[l]].w[i] = 1;
    (void)snprintf(name, sizeof(name), "%s_norm.%d.bias", prefix, l);
    if ((e = fr_params_add_dense(p, name, width, 0, &nm->beta[l])) != FR_OK)
        return e;
    (void)snprintf(name, sizeof(name), "%s_norm.%d.running_mean", prefix, l);
    if ((e = fr_params_add_buffer(p, name, width, 0, &nm->mean[l])) != FR_OK)
        return e;
    (void)snprintf(name, sizeof(name), "%s_norm.%d.running_var", prefix, l);
    return fr_params_add_buffer(p, name, width, 1, &nm->var[l]);
}

enum fr_err fr_norm_mlp_init(struct fr_norm_mlp *nm,
                             const char *prefix,
                             struct fr_params *p,
                             struct fr_pool *pool)
{
    enum fr_err e = FR_OK;

    nm->params = p;
    nm->pool = pool;
    nm->widest = 1;
    for (int l = 0; l < hidden_layers(nm) && e == FR_OK; l++) {
        if ((size_t)nm->mlp->width[l + 1] > nm->widest)
            nm->widest = (size_t)nm->mlp->width[l + 1];
        if (nm->norm)
            e = add(nm, prefix, l);
    }
    if (e != FR_OK)
        return e;
    nm->part = fr_calloc((size_t)fr_pool_threads(pool) * 2 * nm->widest, sizeof(*nm->part));
    return nm->part == NULL ? FR_ENOMEM : FR_OK;
}

void fr_norm_mlp_done(struct fr_norm_mlp *nm)
{
    fr_free(nm->part);
    nm->part = NULL;
}

/* ---- memory ---- */

static bool get(struct fr_arena *ar, size_t n, float **out)
{
    *out = fr_arena_array(ar, n + 1, sizeof(**out));
    return *out != NULL;
}

enum fr_err fr_norm_mlp_begin(struct fr_norm_mlp *nm,
                              struct fr_norm_pass *p,
                              enum fr_err e,
                              bool backward,
                              struct fr_arena *ar)
{
    size_t rows = (size_t)p->rows;
    bool ok = e == FR_OK;

    for (int l = 0; l < nm->mlp->n_layers && ok; l++) {
        size_t width = (size_t)nm->mlp->width[l + 1];
        ok = get(ar, rows * width, &p->x[l + 1]) && get(ar, rows * width, &p->xhat[l]) &&
             get(ar, width, &p->mean[l]) && get(ar, width, &p->rstd[l]);
    }
    for (int i = 0; i < 2 && ok && backward; i++)
        ok = get(ar, rows * nm->widest, &p->back[i]);
    if (!ok) {
        e = e == FR_OK ? FR_ENOMEM : e;
        atomic_store(&nm->failed, 1);
    }
    fr_pool_barrier(nm->pool);
    bool stop = atomic_load(&nm->failed) != 0;
    fr_pool_barrier(nm->pool); /* nobody clears it before all have looked */
    if (p->worker == 0)
        atomic_store(&nm->failed, 0);
    return stop && e == FR_OK ? FR_EAGAIN : e;
}

float *fr_norm_mlp_first(struct fr_norm_pass *p)
{
    return p->x[1];
}

/* ---- sums over all workers' rows ---- */

/* part[worker][0][j] += sum of a[r][j], [1][j] += sum of a[r][j] b[r][j] over at most BLOCK rows. */
static void add_column_sums(const struct fr_norm_mlp *nm,
                            int worker,
                            const float *a,
                            const float *b,
                            int rows,
                            size_t width)
{
    double *s = nm->part + (size_t)worker * 2 * nm->widest, *q = s + nm->widest;
    float fs[64], fq[64];

    for (size_t j0 = 0; j0 < width; j0 += 64) {
        size_t n = width - j0 < 64 ? width - j0 : 64;
        memset(fs, 0, sizeof(fs));
        memset(fq, 0, sizeof(fq));
        for (int r = 0; r < rows; r++) {
            const float *x = a + (size_t)r * width + j0, *y = b + (size_t)r * width + j0;
            for (size_t j = 0; j < n; j++) {
                fs[j] += x[j];
                fq[j] += x[j] * y[j];
            }
        }
        for (size_t j = 0; j < n; j++) {
            s[j0 + j] += (double)fs[j];
            q[j0 + j] += (double)fq[j];
        }
    }
}

static void no_sums(const struct fr_norm_mlp *nm, int worker)
{
    memset(nm->part + (size_t)worker * 2 * nm->widest, 0, 2 * nm->widest * sizeof(*nm->part));
}

static int block_at(int r, int rows)
{
    return rows - r < BLOCK ? rows - r : BLOCK;
}

/* Sums of column j over the workers, in their order. */
static void total(const struct fr_norm_mlp *nm, size_t j, double *s, double *q)
{
    *s = *q = 0;
    for (int i = 0; i < fr_pool_threads(nm->pool); i++) {
        *s += nm->part[(size_t)i * 2 * nm->widest + j];
        *q += nm->part[(size_t)i * 2 * nm->widest + nm->widest + j];
    }
}

/* ---- forward ---- */

/* Mean and 1 / std of layer l, of the batch (which moves the running ones) or the running ones. */
static void statistics(struct fr_norm_mlp *nm, struct fr_norm_pass *p, int l)
{
    size_t width = (size_t)nm->mlp->width[l + 1];
    float *run_mean = nm->params->buffer[nm->mean[l]].w,
          *run_var = nm->params->buffer[nm->var[l]].w;
    const float *z = p->x[l + 1];

    if (!nm->training) {
        memcpy(p->mean[l], run_mean, width * sizeof(*run_mean));
        for (size_t j = 0; j < width; j++)
            p->rstd[l][j] = (float)(1.0 / sqrt((double)run_var[j] + (double)FR_NORM_EPS));
        return;
    }
    no_sums(nm, p->worker);
    for (int r = 0; r < p->rows; r += BLOCK) {
        const float *block = z + (size_t)r * width;
        add_column_sums(nm, p->worker, block, block, block_at(r, p->rows), width);
    }
    fr_pool_barrier(nm->pool);
    for (size_t j = 0; j < width; j++) {
        double s, q, n = nm->all_rows;
        total(nm, j, &s, &q);
        double mean = s / n, var = q / n - mean * mean;
        var = var > 0 ? var : 0;
        p->mean[l][j] = (float)mean;
        p->rstd[l][j] = (float)(1.0 / sqrt(var + (double)FR_NORM_EPS));
        if (p->worker == 0) {
            double unbiased = n > 1 ? var * n / (n - 1) : var;
            run_mean[j] =
                (float)((1 - FR_NORM_MOMENTUM) * (double)run_mean[j] + FR_NORM_MOMENTUM * mean);
            run_var[j] =
                (float)((1 - FR_NORM_MOMENTUM) * (double)run_var[j] + FR_NORM_MOMENTUM * unbiased);
        }
    }
    fr_pool_barrier(nm->pool); /* the sums are free again */
}

static void normalise(const struct fr_norm_mlp *nm, struct fr_norm_pass *p, int l, int from, int rows)
{
    size_t width = (size_t)nm->mlp->width[l + 1];
    const float *restrict mean = p->mean[l], *restrict rstd = p->rstd[l];
    const float *restrict gamma = nm->params->dense[nm->gamma[l]].w;
    const float *restrict beta = nm->params->dense[nm->beta[l]].w;

    for (int r = from; r < from + rows; r++) {
        float *restrict y = p->x[l + 1] + (size_t)r * width;
        float *restrict h = p->xhat[l] + (size_t)r * width;
        for (size_t j = 0; j < width; j++) {
            h[j] = (y[j] - mean[j]) * rstd[j];
            y[j] = gamma[j] * h[j] + beta[j];
        }
    }
}

/* Zeroes each element with probability `dropout` and scales the others; 16 bits of chance each, by the element's place
 * in the layer. `from` is a multiple of 4. */
static void drop(const struct fr_norm_mlp *nm, struct fr_norm_pass *p, int l, int from, int rows)
{
    size_t width = (size_t)nm->mlp->width[l + 1], at = (size_t)from * width, n = at + (size_t)rows * width;
    int limit = (int)lrint((double)nm->dropout * 65536.0);
    float scale = 1.0f / (1.0f - nm->dropout), *y = p->x[l + 1];
    uint64_t s = fr_mix64(
        nm->seed ^ fr_mix64(((uint64_t)(unsigned)p->worker << 8) + (uint64_t)(unsigned)l + 1)) + at / 4;

    size_t i = at;
    for (; i + 4 <= n; i += 4) {
        const uint64_t bits = fr_mix64(s++);
        const ivec chance = {
            (int)(bits & 0xffff), (int)(bits >> 16 & 0xffff), (int)(bits >> 32 & 0xffff), (int)(bits >> 48)};
        const ivec keep = chance >= limit;
        const vec v = C(y + i) * scale;
        V(y + i) = (vec)((ivec)v & keep);
    }
    uint64_t bits = fr_mix64(s);
    for (; i < n; i++, bits >>= 16)
        y[i] = (int)(bits & 0xffff) < limit ? 0.0f : y[i] * scale;
}

const float *fr_norm_mlp_forward(struct fr_norm_mlp *nm, struct fr_norm_pass *p)
{
    const struct fr_mlp *m = nm->mlp;

    for (int l = 0; l < m->n_layers; l++) {
        size_t in = (size_t)m->width[l], out = (size_t)m->width[l + 1];
        if (l > 0)
            fr_nn_linear(
                p->x[l], in, m->w[l], m->bias[l], p->rows, (int)in, (int)out, p->x[l + 1], out);
        if (l == hidden_layers(nm))
            break;
        if (nm->norm)
            statistics(nm, p, l);
        for (int r = 0; r < p->rows; r += BLOCK) { /* what is done to a block stays in the caches */
            int rows = block_at(r, p->rows);
            if (nm->norm)
                normalise(nm, p, l, r, rows);
            fr_nn_relu(p->x[l + 1] + (size_t)r * out, (size_t)rows * out);
            if (nm->training && nm->dropout > 0)
                drop(nm, p, l, r, rows);
        }
    }
    return p->x[m->n_layers];
}

const float *fr_norm_mlp_last(const struct fr_norm_mlp *nm, const struct fr_norm_pass *p)
{
    return p->x[nm->mlp->n_layers - 1];
}

/* ---- backward ---- */

/* dy of a hidden layer's output to dz, in place. A zero output was cut by the ReLU or dropped. */
static void back_activation(
    const struct fr_norm_mlp *nm, const struct fr_norm_pass *p, int l, int from, int rows, float *restrict dy)
{
    size_t width = (size_t)nm->mlp->width[l + 1], n = (size_t)rows * width;
    const float *restrict y = p->x[l + 1] + (size_t)from * width;
    float scale = nm->training && nm->dropout > 0 ? 1.0f / (1.0f - nm->dropout) : 1.0f;

    size_t i = 0;
    for (; i + 4 <= n; i += 4) {
        const vec v = C(dy + i) * scale;
        const ivec keep = C(y + i) > (vec){0};
        V(dy + i) = (vec)((ivec)v & keep);
    }
    for (; i < n; i++)
        dy[i] = y[i] > 0.0f ? dy[i] * scale : 0.0f;
}

/* dz = gamma rstd (dy - sum(dy) / N - xhat sum(dy xhat) / N), sums over all rows: nm->part has them. */
static void
back_norm(struct fr_norm_mlp *nm, struct fr_norm_pass *p, int l, float *dy, struct fr_grads *g)
{
    size_t width = (size_t)nm->mlp->width[l + 1];
    const float *gamma = nm->params->dense[nm->gamma[l]].w;
    float *dgamma = fr_grads_dense(g, nm->params, nm->gamma[l]);
    float *dbeta = fr_grads_dense(g, nm->params, nm->beta[l]);
    float *a = p->mean[l], *b = p->rstd[l]; /* mean is needed no more */
    const double *own = nm->part + (size_t)p->worker * 2 * nm->widest;

    for (size_t j = 0; j < width; j++) {
        dbeta[j] += (float)own[j];
        dgamma[j] += (float)own[nm->widest + j];
    }
    fr_pool_barrier(nm->pool);
    float *c = p->x[l + 1]; /* the layer's output is needed no more: its first row holds a vector */
    for (size_t j = 0; j < width; j++) {
        double s, q;
        total(nm, j, &s, &q);
        a[j] = (float)(s / nm->all_rows);
        if (p->rows > 0)
            c[j] = (float)(q / nm->all_rows);
        b[j] *= gamma[j];
    }
    for (int r = 0; r < p->rows; r++) {
        float *restrict d = dy + (size_t)r * width;
        const float *restrict h = p->xhat[l] + (size_t)r * width;
        for (size_t j = 0; j < width; j++)
            d[j] = b[j] * (d[j] - a[j] - h[j] * c[j]);
    }
    fr_pool_barrier(nm->pool);
}

const float *fr_norm_mlp_backward(struct fr_norm_mlp *nm,
                                  struct fr_norm_pass *p,
                                  const float *dout,
                                  struct fr_grads *g)
{
    const struct fr_mlp *m = nm->mlp;
    const float *dz = dout;

    for (int l = m->n_layers - 1; l >= 0; l--) {
        if (l < hidden_layers(nm)) {
            float *dy = p->back[l % 2];
            if (nm->norm)
                no_sums(nm, p->worker);
            for (int r = 0; r < p->rows; r += BLOCK) {
                size_t at = (size_t)r * (size_t)m->width[l + 1];
                int rows = block_at(r, p->rows);
                back_activation(nm, p, l, r, rows, dy + at);
                if (nm->norm)
                    add_column_sums(nm, p->worker, dy + at, p->xhat[l] + at, rows, (size_t)m->width[l + 1]);
            }
            if (nm->norm)
                back_norm(nm, p, l, dy, g);
            dz = dy;
        }
        if (l == 0)
            break;
        /* under a norm a bias has no effect: its gradient is 0 but for rounding */
        float *db =
            nm->norm && l < hidden_layers(nm) ? NULL : fr_grads_dense(g, nm->params, nm->b[l]);
        fr_back_linear(p->x[l],
                       m->w[l],
                       m->width[l],
                       dz,
                       p->rows,
                       m->width[l],
                       m->width[l + 1],
                       fr_grads_dense(g, nm->params, nm->w[l]),
                       db,
                       p->back[(l - 1) % 2]);
        for (int r = 0; r < p->rows && l == hidden_layers(nm) && p->also_d != NULL; r++)
            fr_axpy(p->also_d[r],
                    p->also_w,
                    p->back[(l - 1) % 2] + (size_t)r * (size_t)m->width[l],
                    (size_t)m->width[l]);
    }
    return dz;
}
