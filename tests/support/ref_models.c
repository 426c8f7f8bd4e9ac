/*
 * tests/support/ref_models.c - double-precision twins.
 */
#include "tests/support/ref_models.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <check.h>

#define MAX_DIM 16
#define MAX_IN 256
#define MAX_ROWS 64
#define MAX_FIELDS 16

void ref_params_copy(struct ref_params *r, const struct fr_params *p)
{
    struct fr_tensor t[FR_PARAMS_MAX_TENSORS];
    r->n = fr_params_tensors(p, t);
    ck_assert_int_le(r->n, REF_MAX_PARAMS);
    for (int i = 0; i < r->n; i++) {
        memcpy(r->p[i].name, t[i].name, sizeof(t[i].name));
        r->p[i].count = fr_tensor_count(&t[i]);
        r->p[i].cols = t[i].ndim == 2 ? (size_t)t[i].dim[1] : 1;
        r->p[i].w = calloc(r->p[i].count, sizeof(double));
        ck_assert_ptr_nonnull(r->p[i].w);
        for (size_t k = 0; k < r->p[i].count; k++)
            r->p[i].w[k] = (double)((const float *)t[i].data)[k];
    }
}

void ref_params_done(struct ref_params *r)
{
    for (int i = 0; i < r->n; i++)
        free(r->p[i].w);
    r->n = 0;
}

/* "<prefix>.<middle>.<suffix>", or NULL. */
static const double *
find(const struct ref_params *r, const char *prefix, const char *middle, const char *suffix)
{
    char name[200];
    (void)snprintf(name, sizeof(name), "%.20s.%.90s.%.20s", prefix, middle, suffix);
    for (int i = 0; i < r->n; i++)
        if (strcmp(r->p[i].name, name) == 0)
            return r->p[i].w;
    return NULL;
}

/* Field embeddings of a group appended at e (fields x dim); linear part added to *lin if not NULL.
 */
static int embed(const struct ref_params *r,
                 const struct fr_encoder *enc,
                 enum fr_entity ent,
                 const struct fr_cell *cells,
                 int dim,
                 double *e,
                 double *lin)
{
    struct fr_slot s[MAX_IN];
    int n = fr_encoder_n_fields(enc, ent);

    if (n == 0)
        return 0;
    ck_assert_int_eq(fr_encoder_encode(enc, ent, cells, s), FR_OK);
    for (int f = 0; f < n; f++) {
        const struct fr_enc_field *ef = &enc->field[enc->first_field[ent] + f];
        const char *table = enc->table[ef->table].name;
        const double *v = find(r, "embedding", table, "weight");
        const double *gate = find(r, "gate", ef->f.name, "weight");
        for (int d = 0; d < dim; d++) {
            e[f * dim + d] = 0;
            for (int k = 0; k < ef->f.slots; k++) {
                const struct fr_slot *sl = &s[ef->slot0 + (uint32_t)k];
                e[f * dim + d] +=
                    (double)sl->x * v[sl->row * dim + d] * (gate ? gate[k * dim + d] : 1);
            }
        }
        for (int k = 0; k < ef->f.slots && lin != NULL; k++)
            *lin += (double)s[ef->slot0 + (uint32_t)k].x *
                    find(r, "linear", table, "weight")[s[ef->slot0 + (uint32_t)k].row];
    }
    return n;
}

static void mlp(const struct ref_params *r,
                const char *prefix,
                const double *x,
                int in,
                const int *hidden,
                int n_hidden,
                int out,
                double *y)
{
    double h[2][MAX_IN];
    char layer[16];
    memcpy(h[0], x, (size_t)in * sizeof(double));
    for (int l = 0; l <= n_hidden; l++) {
        int o = l < n_hidden ? hidden[l] : out;
        (void)snprintf(layer, sizeof(layer), "%d", l);
        const double *w = find(r, prefix, layer, "weight"), *b = find(r, prefix, layer, "bias");
        for (int j = 0; j < o; j++) {
            double s = b[j];
            for (int k = 0; k < in; k++)
                s += w[j * in + k] * h[l % 2][k];
            h[1 - l % 2][j] = l < n_hidden && s < 0 ? 0 : s;
        }
        in = o;
    }
    memcpy(y, h[(n_hidden + 1) % 2], (size_t)out * sizeof(double));
}

/* A tensor by its whole name, or NULL. */
static const double *whole(const struct ref_params *r, const char *name)
{
    for (int i = 0; i < r->n; i++)
        if (strcmp(r->p[i].name, name) == 0)
            return r->p[i].w;
    return NULL;
}

/* Attention over the n fields of one row at e, with all its layers and what follows them; the value head's part, if
 * there is one, is added to *raw. */
static double
attention(const struct ref_params *r, const struct fr_ctr_config *m, const double *e, int n, double *raw)
{
    static const char *const names[] = {"query", "key", "value", "residual"};
    static double x[MAX_FIELDS][MAX_IN], y[4][MAX_FIELDS][MAX_IN], o[MAX_FIELDS][MAX_IN];
    const struct fr_attention_config *a = &m->attention;
    int in = m->dim, head = a->width / a->heads;

    for (int f = 0; f < n; f++)
        for (int k = 0; k < in; k++)
            x[f][k] = e[f * in + k];
    for (int l = 0; l < a->layers; l++) {
        const double *w[4], *gain, *shift;
        char mid[32];
        for (int i = 0; i < 4; i++) {
            (void)snprintf(mid, sizeof(mid), "%d.%s", l, names[i]);
            w[i] = find(r, "attention", mid, "weight");
            for (int f = 0; f < n; f++)
                for (int j = 0; j < a->width; j++) {
                    y[i][f][j] = 0;
                    for (int k = 0; k < in && w[i] != NULL; k++)
                        y[i][f][j] += w[i][j * in + k] * x[f][k];
                }
        }
        ck_assert_int_eq(w[3] != NULL, a->residual == FR_RESIDUAL_PROJECTED ||
                                           (a->residual != FR_RESIDUAL_NONE && in != a->width));
        for (int f = 0; f < n; f++)
            for (int j = 0; j < a->width; j++) {
                int from = j / head * head;
                double top = 0, bottom = 0;
                for (int g = 0; g < n; g++) {
                    double s = 0;
                    for (int k = from; k < from + head; k++)
                        s += y[0][f][k] * y[1][g][k];
                    s = exp(a->scale ? s / sqrt(head) : s);
                    top += s * y[2][g][j];
                    bottom += s;
                }
                o[f][j] = top / bottom + y[3][f][j] + (a->residual == FR_RESIDUAL_IDENTITY && in == a->width ? x[f][j] : 0);
            }
        (void)snprintf(mid, sizeof(mid), "%d.norm", l);
        gain = find(r, "attention", mid, "weight");
        shift = find(r, "attention", mid, "bias");
        for (int f = 0; f < n; f++) {
            double mean = 0, var = 0;
            for (int j = 0; j < a->width; j++)
                mean += o[f][j] / a->width;
            for (int j = 0; j < a->width; j++)
                var += (o[f][j] - mean) * (o[f][j] - mean) / a->width;
            for (int j = 0; j < a->width; j++) {
                double v = a->layer_norm ? gain[j] * (o[f][j] - mean) / sqrt(var + 1e-5) + shift[j] : o[f][j];
                x[f][j] = v < 0 ? 0 : v;
            }
        }
        in = a->width;
    }
    const double *value = whole(r, "value.weight");
    for (int f = 0; f < n && value != NULL; f++)
        for (int j = 0; j < in; j++)
            *raw += value[f * in + j] * x[f][j];
    double z = 0;
    for (int k = 0; k < r->n; k++) {
        for (int f = 0; f < n && strcmp(r->p[k].name, "out.weight") == 0; f++)
            for (int j = 0; j < in; j++)
                z += r->p[k].w[f * in + j] * x[f][j];
        if (strcmp(r->p[k].name, "out.bias") == 0)
            z += r->p[k].w[0];
    }
    return z;
}

/* Linear and pair part of one row (lr, fm, wide_deep, deepfm); its embeddings at e, their number.
 */
static double ctr_base(const struct ref_params *r,
                       const struct fr_encoder *enc,
                       const struct fr_ctr_config *m,
                       const struct fr_model_case *c,
                       int i,
                       double *e,
                       int *out_n,
                       double *raw)
{
    double z = 0;
    bool with_attention = m->kind == FR_MODEL_AUTOINT || m->kind == FR_MODEL_AUTOINT_PLUS;
    double none = 0, *lin = with_attention && !m->linear ? NULL : with_attention ? &none : &z;
    int dim = m->dim, n = 0;
    for (int k = 0; k < r->n; k++)
        if (strcmp(r->p[k].name, "bias") == 0)
            z = r->p[k].w[0];
    n += embed(r, enc, FR_ENTITY_USER, c->user, dim, e, lin);
    n += embed(r, enc, FR_ENTITY_CONTEXT, c->context, dim, e + n * dim, lin);
    n += embed(r, enc, FR_ENTITY_ITEM, c->items[i], dim, e + n * dim, lin);
    n += embed(r,
               enc,
               FR_ENTITY_CROSS,
               c->cross + (size_t)i * enc->n_cells[FR_ENTITY_CROSS],
               dim,
               e + n * dim,
               lin);
    /* pairs one by one: not the O(n) identity the product uses */
    bool pair = m->kind == FR_MODEL_FM || m->kind == FR_MODEL_DEEPFM;
    for (int f = 0; f < n && pair; f++)
        for (int g = f + 1; g < n; g++)
            for (int d = 0; d < dim; d++)
                z += e[f * dim + d] * e[g * dim + d];
    *out_n = n * dim;
    return with_attention ? none + attention(r, m, e, n, raw) : z;
}

/* y = gamma (h - mean) / sqrt(var + 1e-5) + beta, by column over all rows. */
static void
batch_norm(const struct ref_params *r, const char *layer, double (*h)[MAX_IN], int rows, int width)
{
    char name[16];
    (void)snprintf(name, sizeof(name), "%s", layer);
    const double *gamma = find(r, "mlp_norm", name, "weight"),
                 *beta = find(r, "mlp_norm", name, "bias");
    for (int j = 0; j < width; j++) {
        double mean = 0, var = 0;
        for (int i = 0; i < rows; i++)
            mean += h[i][j] / rows;
        for (int i = 0; i < rows; i++)
            var += (h[i][j] - mean) * (h[i][j] - mean) / rows;
        for (int i = 0; i < rows; i++)
            h[i][j] = gamma[j] * (h[i][j] - mean) / sqrt(var + 1e-5) + beta[j];
    }
}

/* The MLP over all rows of a batch, x (rows) in place; adds its output to z and the value head's over its last hidden
 * layer to raw. */
static void batch_mlp(const struct ref_params *r,
                      const struct fr_ctr_config *m,
                      double (*x)[MAX_IN],
                      int rows,
                      int in,
                      double *z,
                      double *raw)
{
    static double y[MAX_ROWS][MAX_IN];
    const double *value = whole(r, "value.weight");
    int behind = in / m->dim * m->attention.width; /* weights over attention's output come first */
    char layer[16];
    for (int l = 0; l <= m->n_hidden; l++) {
        int out = l < m->n_hidden ? m->hidden[l] : 1;
        (void)snprintf(layer, sizeof(layer), "%d", l);
        const double *w = find(r, "mlp", layer, "weight"), *b = find(r, "mlp", layer, "bias");
        for (int i = 0; i < rows && l == m->n_hidden && value != NULL; i++)
            for (int k = 0; k < in; k++)
                raw[i] += value[behind + k] * x[i][k];
        for (int i = 0; i < rows; i++)
            for (int j = 0; j < out; j++) {
                y[i][j] = b[j];
                for (int k = 0; k < in; k++)
                    y[i][j] += w[j * in + k] * x[i][k];
            }
        if (l < m->n_hidden && m->batch_norm)
            batch_norm(r, layer, y, rows, out);
        for (int i = 0; i < rows; i++)
            for (int j = 0; j < out; j++)
                x[i][j] = l < m->n_hidden && y[i][j] < 0 ? 0 : y[i][j];
        in = out;
    }
    for (int i = 0; i < rows; i++)
        z[i] += x[i][0];
}

static double softmax_loss(const double *z, int n, int label)
{
    double max = z[0], sum = 0;
    for (int i = 1; i < n; i++)
        max = z[i] > max ? z[i] : max;
    for (int i = 0; i < n; i++)
        sum += exp(z[i] - max);
    return log(sum) + max - z[label];
}

/* Mean of the value head's loss over the rows that have a value, lists weighted; 0 if none has. */
static double
value_loss(const struct fr_ctr_config *m, const struct fr_rank_list *lists, int n, const double *raw)
{
    double sum = 0;
    int known = 0, row = 0;
    for (int l = 0; l < n; l++)
        for (int i = 0; i < lists[l].c.n; i++, row++) {
            double v = lists[l].values == NULL ? (double)NAN : (double)lists[l].values[i], r = raw[row];
            if (v != v)
                continue;
            double loss = m->value == FR_VALUE_LOG ? (r - log(1 + v)) * (r - log(1 + v))
                                                   : -v * log(1 / (1 + exp(-r))) - (1 - v) * log(1 / (1 + exp(r)));
            sum += (double)lists[l].weight * loss;
            known++;
        }
    return known == 0 ? 0 : sum / known;
}

double ref_ctr_loss(const struct ref_params *r,
                    const struct fr_encoder *enc,
                    const struct fr_ctr_train_config *cfg,
                    const struct fr_rank_list *lists,
                    int n)
{
    static double x[MAX_ROWS][MAX_IN];
    double z[MAX_ROWS] = {0}, raw[MAX_ROWS], sum = 0;
    const double *value_bias = whole(r, "value.bias");
    int rows = 0, in = 0;
    for (int l = 0; l < n; l++)
        for (int i = 0; i < lists[l].c.n; i++, rows++) {
            ck_assert_int_lt(rows, MAX_ROWS);
            raw[rows] = value_bias == NULL ? 0 : value_bias[0];
            z[rows] = ctr_base(r, enc, &cfg->model, &lists[l].c, i, x[rows], &in, &raw[rows]);
        }
    if (cfg->model.n_hidden > 0)
        batch_mlp(r, &cfg->model, x, rows, in, z, raw);
    for (int l = 0, row = 0; l < n; row += lists[l++].c.n) {
        double loss = 0;
        for (int i = 0; i < lists[l].c.n; i++) {
            double v = z[row + i], y = i == lists[l].label ? 1 : 0;
            loss += log1p(exp(-fabs(v))) + (v > 0 ? v : 0) - y * v;
        }
        if (cfg->loss == FR_LOSS_LISTWISE)
            loss = softmax_loss(z + row, lists[l].c.n, lists[l].label);
        sum += (double)lists[l].weight * loss;
    }
    sum /= cfg->loss == FR_LOSS_LISTWISE ? n : rows;
    ck_assert_int_eq(value_bias != NULL, cfg->model.value != FR_VALUE_NONE);
    return value_bias == NULL ? sum : sum + (double)cfg->value_weight * value_loss(&cfg->model, lists, n, raw);
}

/* Unit vector of one row of a tower. */
static void tower(const struct ref_params *r,
                  const struct fr_encoder *enc,
                  const struct fr_two_tower_config *m,
                  bool user,
                  const struct fr_cell *a,
                  const struct fr_cell *context,
                  double *y)
{
    double e[MAX_IN], norm = 0;
    int n = embed(r, enc, user ? FR_ENTITY_USER : FR_ENTITY_ITEM, a, m->emb_dim, e, NULL);
    int first = enc->first_field[user ? FR_ENTITY_USER : FR_ENTITY_ITEM];
    if (user)
        n += embed(r, enc, FR_ENTITY_CONTEXT, context, m->emb_dim, e + n * m->emb_dim, NULL);
    if (m->bare)
        memcpy(y, e, (size_t)m->dim * sizeof(*y));
    else
        mlp(r, user ? "user_mlp" : "item_mlp", e, n * m->emb_dim, m->hidden, m->n_hidden, m->dim, y);
    for (int f = 0; f < n && m->skip; f++)
        if (strcmp(enc->field[first + f].f.table, m->skip_table) == 0)
            for (int d = 0; d < m->dim; d++)
                y[d] += e[f * m->emb_dim + d];
    for (int d = 0; d < m->dim; d++)
        norm += y[d] * y[d];
    for (int d = 0; d < m->dim; d++)
        y[d] /= sqrt(norm);
}

static double ccl(const double *cos, int n, int label, double margin, double weight)
{
    double push = 0;
    for (int i = 0; i < n; i++)
        push += i == label ? 0 : fmax(0, cos[i] - margin);
    return 1 - cos[label] + (n > 1 ? weight / (n - 1) * push : 0);
}

double ref_two_tower_loss(const struct ref_params *r,
                          const struct fr_encoder *enc,
                          const struct fr_two_tower_train_config *cfg,
                          const struct fr_two_tower_batch *b,
                          const uint32_t *cand,
                          const float *log_q,
                          const bool *drawn,
                          int n_cand)
{
    double v[MAX_ROWS][MAX_DIM], sum = 0;
    size_t ni = enc->n_cells[FR_ENTITY_ITEM];
    ck_assert_int_le(n_cand, MAX_ROWS);
    for (int c = 0; c < n_cand; c++)
        tower(r, enc, &cfg->model, false, b->items.cells + cand[c] * ni, NULL, v[c]);
    for (int i = 0; i < b->n; i++) {
        double u[MAX_DIM], z[MAX_ROWS];
        int label = -1, n = 0;
        tower(r, enc, &cfg->model, true, b->user[i], b->context[i], u);
        for (int c = 0; c < n_cand; c++) { /* those that are this example's */
            double cos = 0;
            if (!cfg->in_batch && !cfg->full_softmax && !drawn[c] && cand[c] != b->item[i])
                continue;
            if (cand[c] == b->item[i])
                label = n;
            for (int d = 0; d < cfg->model.dim; d++)
                cos += u[d] * v[c][d];
            z[n++] = cfg->loss == FR_TOWER_CCL ? cos : cos / (double)cfg->model.tau - (double)log_q[c];
        }
        ck_assert_int_ge(label, 0);
        sum += (b->weight == NULL ? 1.0 : (double)b->weight[i]) *
               (cfg->loss == FR_TOWER_CCL
                    ? ccl(z, n, label, (double)cfg->margin, (double)cfg->negative_weight)
                    : softmax_loss(z, n, label));
    }
    return sum / b->n;
}
