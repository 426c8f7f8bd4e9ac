/*
 * The parts of a logit, each again in double from the tensors by name: every kind, awkward shapes (one field, two,
 * bags, items alone, users alone), absent and unknown values; they add up to fr_model_score_case(); attention rows
 * are distributions; a changed weight is noticed; several threads at once; errors leave nothing behind.
 */
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "models/ctr.h"
#include "models/explain.h"
#include "models/mf.h"
#include "models/model_priv.h"
#include "models/ncf.h"
#include "models/two_tower.h"
#include "tests/support/model_fixture.h"

#define MAX_F 16
#define MAX_W 64 /* widths in these tests */
#define MAX_LAYERS 3
#define MAX_HEADS 4
#define MAX_CELLS 16
#define CASES 5

/* ---- shapes ---- */

struct decl {
    const char *name, *table;
    enum fr_entity entity;
    enum fr_field_kind kind;
    uint32_t vocab;
    uint16_t slots;
};
static const struct {
    int n;
    struct decl f[MAX_F];
} shapes[] = {
    {1, {{"item", "item", FR_ENTITY_ITEM, FR_FIELD_ID, 0, 1}}},
    {2, {{"user", "user", FR_ENTITY_USER, FR_FIELD_ID, 0, 1}, {"item", "item", FR_ENTITY_ITEM, FR_FIELD_ID, 0, 1}}},
    {3,
     {{"item", "item", FR_ENTITY_ITEM, FR_FIELD_ID, 0, 1},
      {"cats", "cat", FR_ENTITY_ITEM, FR_FIELD_ID, 0, 3},
      {"price", "", FR_ENTITY_ITEM, FR_FIELD_NUMERIC, 0, 1}}},
    {9,
     {{"match", "", FR_ENTITY_CROSS, FR_FIELD_NUMERIC, 0, 1}, /* declared out of order */
      {"user", "user", FR_ENTITY_USER, FR_FIELD_ID, 0, 1},
      {"hist", "item", FR_ENTITY_USER, FR_FIELD_ID, 0, 5},
      {"hour", "", FR_ENTITY_CONTEXT, FR_FIELD_BUCKET, 5, 1},
      {"item", "item", FR_ENTITY_ITEM, FR_FIELD_ID, 0, 1},
      {"age", "", FR_ENTITY_USER, FR_FIELD_NUMERIC, 0, 2},
      {"cats", "cat", FR_ENTITY_ITEM, FR_FIELD_ID, 0, 3},
      {"gap", "", FR_ENTITY_CROSS, FR_FIELD_BUCKET, 3, 1},
      {"ctr", "", FR_ENTITY_ITEM, FR_FIELD_NUMERIC, 0, 1}}},
    {2, {{"user", "user", FR_ENTITY_USER, FR_FIELD_ID, 0, 2}, {"hour", "", FR_ENTITY_CONTEXT, FR_FIELD_BUCKET, 3, 1}}},
};
#define N_SHAPES ((int)(sizeof(shapes) / sizeof(shapes[0])))

static const struct fr_ctr_config kinds[] = {
    {.kind = FR_MODEL_LR},
    {.kind = FR_MODEL_FM, .dim = 3},
    {.kind = FR_MODEL_WIDE_DEEP, .dim = 5, .n_hidden = 2, .hidden = {7, 3}},
    {.kind = FR_MODEL_DEEPFM, .dim = 1, .n_hidden = 1, .hidden = {9}},
    {.kind = FR_MODEL_DEEPFM, .dim = 3, .n_hidden = 2, .hidden = {11, 6}, .batch_norm = true},
    {.kind = FR_MODEL_DEEPFM, .dim = 17},
    {.kind = FR_MODEL_AUTOINT, .dim = 3, .attention = {2, 2, 6, false, false, FR_RESIDUAL_WIDTHS}},
    {.kind = FR_MODEL_AUTOINT, .dim = 7, .attention = {3, 1, 7, true, true, FR_RESIDUAL_IDENTITY}, .linear = true},
    {.kind = FR_MODEL_AUTOINT, .dim = 4, .attention = {1, 3, 9, true, false, FR_RESIDUAL_NONE}},
    {.kind = FR_MODEL_AUTOINT_PLUS, .dim = 5, .n_hidden = 2, .hidden = {9, 4}, .batch_norm = true,
     .attention = {2, 4, 20, false, true, FR_RESIDUAL_PROJECTED}, .linear = true},
    {.kind = FR_MODEL_DEEPFM, .dim = 3, .n_hidden = 2, .hidden = {11, 6}, .batch_norm = true, .value = FR_VALUE_LOG},
    {.kind = FR_MODEL_WIDE_DEEP, .dim = 2, .n_hidden = 1, .hidden = {5}, .value = FR_VALUE_UNIT, .share = true},
    {.kind = FR_MODEL_AUTOINT, .dim = 3, .attention = {2, 2, 6, false, false, FR_RESIDUAL_WIDTHS},
     .value = FR_VALUE_LOG, .share = true},
    {.kind = FR_MODEL_AUTOINT_PLUS, .dim = 5, .n_hidden = 2, .hidden = {9, 4}, .batch_norm = true,
     .attention = {2, 4, 20, false, true, FR_RESIDUAL_PROJECTED}, .linear = true, .value = FR_VALUE_UNIT},
};
#define N_KINDS ((int)(sizeof(kinds) / sizeof(kinds[0])))

/* ---- a model of random weights ---- */

#define MAX_T 64
static struct fr_field_set fs;
static struct fr_rng rng;
static struct fr_tensor tensor[MAX_T];
static float weights[MAX_T][4096];
static int n_tensors;
static struct fr_cell cells[CASES][FR_ENTITY_COUNT][MAX_CELLS];
static struct fr_arena *ar;

static void add(const char *name, uint64_t rows, uint64_t cols)
{
    size_t n = (size_t)(rows * (cols == 0 ? 1 : cols));
    bool variance = strstr(name, "running_var") != NULL;

    ck_assert_int_lt(n_tensors, MAX_T);
    ck_assert_uint_le(n, 4096);
    for (size_t i = 0; i < n; i++) {
        float r = (float)fr_rng_normal(&rng);
        weights[n_tensors][i] = variance ? 0.5f + r * r : 0.5f * r;
    }
    ck_assert_int_eq(fr_tensor_f32(&tensor[n_tensors], name, rows, cols, weights[n_tensors]), FR_OK);
    n_tensors++;
}

static void addf(uint64_t rows, uint64_t cols, const char *prefix, const char *word, int n, const char *part)
{
    char name[FR_TENSOR_NAME];

    if (word != NULL)
        (void)snprintf(name, sizeof(name), "%s.%s.weight", prefix, word);
    else
        (void)snprintf(name, sizeof(name), "%s.%d.%s", prefix, n, part);
    add(name, rows, cols);
}

/* Cases: 0 and 1 full; 2 the bags half empty and a value beyond the clamp; 3 all absent; 4 unknown ids. */
static struct fr_encoder *encoder(int shape)
{
    struct fr_encoder *enc = NULL;

    memset(&fs, 0, sizeof(fs));
    memset(cells, 0, sizeof(cells));
    fs.hash = 7;
    for (int i = 0; i < shapes[shape].n; i++) {
        const struct decl *d = &shapes[shape].f[i];
        ck_assert_int_eq(fr_field_add(&fs, d->name, d->entity, d->kind, d->table, d->vocab, d->slots), FR_OK);
    }
    ck_assert_int_eq(fr_encoder_new(&fs, NULL, 0, 15, 50, 1, &enc, NULL), FR_OK);
    for (int c = 0; c < CASES; c++) {
        struct fr_slot slot[MAX_CELLS];

        for (int i = 0; i < fs.n && c != 3; i++)
            for (int k = 0; k < fs.f[i].slots; k++) {
                struct fr_cell *to = &cells[c][fs.f[i].entity][fs.f[i].first + k];

                if (c == 2 && fs.f[i].kind == FR_FIELD_ID && k >= fs.f[i].slots / 2 && fs.f[i].slots > 1)
                    continue;
                if (fs.f[i].kind == FR_FIELD_ID)
                    to->id = (c == 4 ? 900u : 20u) + (uint64_t)fr_rng_below(&rng, 9);
                if (fs.f[i].kind == FR_FIELD_BUCKET)
                    to->id = c == 4 ? 77u : fr_rng_below(&rng, fs.f[i].vocab);
                to->x = fs.f[i].kind == FR_FIELD_NUMERIC && c == 2 ? 1e6f
                        : c == 0 ? 1.0f
                                 : 0.7f * (float)fr_rng_normal(&rng);
            }
        for (int g = 0; g < FR_ENTITY_COUNT && c < 3; g++)
            ck_assert_int_eq(fr_encoder_encode_grow(enc, (enum fr_entity)g, cells[c][g], slot), FR_OK);
    }
    for (int i = 0; i < enc->n_fields; i++)
        if (enc->field[i].f.kind == FR_FIELD_NUMERIC) {
            enc->field[i].mean = 0.3f;
            enc->field[i].scale = 1.7f;
        }
    return enc;
}

static void tables(const struct fr_encoder *enc, const char *prefix, int dim)
{
    for (int i = 0; i < enc->n_tables; i++)
        addf(enc->table[i].rows, (uint64_t)dim, prefix, enc->table[i].name, 0, NULL);
}

static struct fr_model *ctr(int kind, int shape)
{
    static const char *const norm[] = {"weight", "bias", "running_mean", "running_var"};
    static const char *const part[] = {"query.weight", "key.weight", "value.weight", "residual.weight"};
    const struct fr_ctr_config *c = &kinds[kind];
    const struct fr_attention_config *a = &c->attention;
    struct fr_encoder *enc = encoder(shape);
    unsigned parts = fr_ctr_parts(c);
    struct fr_model *m = NULL;
    struct fr_fault fault = {.err = FR_OK};
    int in = enc->n_fields * c->dim;

    n_tensors = 0;
    add((parts & FR_CTR_ATTENTION) != 0 ? "out.bias" : "bias", 1, 0);
    if ((parts & FR_CTR_LINEAR) != 0)
        tables(enc, "linear", 1);
    if (c->dim > 0)
        tables(enc, "embedding", c->dim);
    for (int l = 0; l <= c->n_hidden && c->n_hidden > 0; l++) {
        int out = l == c->n_hidden ? 1 : c->hidden[l];

        addf((uint64_t)out, (uint64_t)in, "mlp", NULL, l, "weight");
        addf((uint64_t)out, 0, "mlp", NULL, l, "bias");
        for (int i = 0; i < 4 && c->batch_norm && l < c->n_hidden; i++)
            addf((uint64_t)out, 0, "mlp_norm", NULL, l, norm[i]);
        in = out;
    }
    for (int l = 0; l < a->layers; l++) {
        int from = l == 0 ? c->dim : a->width;
        bool own = a->residual == FR_RESIDUAL_PROJECTED || (a->residual != FR_RESIDUAL_NONE && from != a->width);

        for (int i = 0; i < (own ? 4 : 3); i++)
            addf((uint64_t)a->width, (uint64_t)from, "attention", NULL, l, part[i]);
        for (int i = 0; i < 2 && a->layer_norm; i++)
            addf((uint64_t)a->width, 0, "attention", NULL, l, i == 0 ? "norm.weight" : "norm.bias");
    }
    if (a->layers > 0)
        add("out.weight", 1, (uint64_t)(enc->n_fields * a->width));
    if (c->value != FR_VALUE_NONE) {
        add("value.weight", 1, fr_ctr_value_inputs(c, enc->n_fields));
        add("value.bias", 1, 0);
    }
    enum fr_err e = fr_ctr_new(&enc, c, tensor, n_tensors, FR_WEIGHTS_COPY, &m, &fault);
    ck_assert_msg(e == FR_OK, "kind %d shape %d: %s", kind, shape, fault.msg);
    return m;
}

/* ---- the same in double ---- */

struct twin {
    double bias, linear[MAX_F], pair[MAX_F][MAX_F], deep, attention[MAX_F], logit;
    double value_bias, value_deep, value_attention[MAX_F], raw;
    double p[MAX_LAYERS][MAX_HEADS][MAX_F][MAX_F];
};
static struct twin want;

static const float *at(const char *fmt, const char *word, int n, const char *part)
{
    char name[FR_TENSOR_NAME];

    if (word != NULL)
        (void)snprintf(name, sizeof(name), "%s.%s.weight", fmt, word);
    else if (part != NULL)
        (void)snprintf(name, sizeof(name), "%s.%d.%s", fmt, n, part);
    else
        (void)snprintf(name, sizeof(name), "%s", fmt);
    for (int i = 0; i < n_tensors; i++)
        if (strcmp(tensor[i].name, name) == 0)
            return weights[i];
    return NULL;
}

/* Sum over the slots of a field of x * table[row]. */
static void pool(const struct fr_encoder *enc, int f, int which, const char *prefix, int dim, double *out)
{
    const struct fr_enc_field *ef = &enc->field[f];
    const float *w = at(prefix, enc->table[ef->table].name, 0, NULL);

    ck_assert_ptr_nonnull(w);
    for (int k = 0; k < dim; k++)
        out[k] = 0;
    for (int s = 0; s < ef->f.slots; s++) {
        const struct fr_cell *c = &cells[which][ef->f.entity][ef->f.first + s];
        const struct fr_vocab *v = &enc->table[ef->table].vocab;
        size_t row = 0;
        double x = (double)c->x;

        if (ef->f.kind == FR_FIELD_NUMERIC) {
            row = 1;
            x = fmax(-8, fmin(8, (x - (double)ef->mean) * (double)ef->scale));
        } else if (ef->f.kind == FR_FIELD_BUCKET) {
            row = c->id < ef->f.vocab ? (size_t)c->id : 0;
        } else {
            for (uint32_t r = 1; r < v->n_rows; r++)
                row = v->keys[r] == c->id ? r : row;
            x = c->id == 0 ? 0 : x;
        }
        for (int k = 0; k < dim; k++)
            out[k] += x * (double)w[row * (size_t)dim + (size_t)k];
    }
}

static double line(const float *w, const double *x, int n, int row)
{
    double s = 0;

    for (int k = 0; k < n; k++)
        s += (double)w[row * n + k] * x[k];
    return s;
}

/* The value head's weights over the last hidden layer stand behind those over attention's output. */
static double value_deep(const struct fr_ctr_config *c, const double *h, int width, int n_fields)
{
    const float *w = at("value.weight", NULL, 0, NULL);

    return w == NULL ? 0 : line(w + (c->attention.layers > 0 ? n_fields * c->attention.width : 0), h, width, 0);
}

static double mlp(const struct fr_ctr_config *c, const double *x, int in)
{
    int fields = in / c->dim;
    static double h[2][4096];
    int now = 0;

    memcpy(h[0], x, (size_t)in * sizeof(*x));
    for (int l = 0; l <= c->n_hidden && c->n_hidden > 0; l++) {
        int out = l == c->n_hidden ? 1 : c->hidden[l];

        if (l == c->n_hidden)
            want.value_deep = value_deep(c, h[now], in, fields);
        for (int j = 0; j < out; j++) {
            double y = line(at("mlp", NULL, l, "weight"), h[now], in, j) + (double)at("mlp", NULL, l, "bias")[j];

            if (c->batch_norm && l < c->n_hidden)
                y = (y - (double)at("mlp_norm", NULL, l, "running_mean")[j]) /
                        sqrt((double)at("mlp_norm", NULL, l, "running_var")[j] + 1e-5) *
                        (double)at("mlp_norm", NULL, l, "weight")[j] +
                    (double)at("mlp_norm", NULL, l, "bias")[j];
            h[1 - now][j] = l < c->n_hidden && y < 0 ? 0 : y;
        }
        now = 1 - now;
        in = out;
    }
    return c->n_hidden > 0 ? h[now][0] : 0;
}

/* One layer: x (n, in) -> y (n, A). */
static void layer(const struct fr_attention_config *a, int l, int n, int in, double x[MAX_F][MAX_W])
{
    static double q[MAX_F][MAX_W], k[MAX_F][MAX_W], v[MAX_F][MAX_W], y[MAX_F][MAX_W];
    const float *res = at("attention", NULL, l, "residual.weight");
    int dh = a->width / a->heads;

    for (int i = 0; i < n; i++)
        for (int j = 0; j < a->width; j++) {
            q[i][j] = line(at("attention", NULL, l, "query.weight"), x[i], in, j);
            k[i][j] = line(at("attention", NULL, l, "key.weight"), x[i], in, j);
            v[i][j] = line(at("attention", NULL, l, "value.weight"), x[i], in, j);
            y[i][j] = res != NULL ? line(res, x[i], in, j) : a->residual == FR_RESIDUAL_IDENTITY ? x[i][j] : 0;
        }
    for (int h = 0; h < a->heads; h++)
        for (int i = 0; i < n; i++) {
            double *p = want.p[l][h][i], total = 0;

            for (int j = 0; j < n; j++) {
                double s = 0;
                for (int d = h * dh; d < (h + 1) * dh; d++)
                    s += q[i][d] * k[j][d];
                p[j] = exp(a->scale ? s / sqrt((double)dh) : s);
                total += p[j];
            }
            for (int j = 0; j < n; j++)
                p[j] /= total;
            for (int d = h * dh; d < (h + 1) * dh; d++)
                for (int j = 0; j < n; j++)
                    y[i][d] += p[j] * v[j][d];
        }
    for (int i = 0; i < n; i++) {
        double mean = 0, var = 0;

        for (int d = 0; d < a->width; d++)
            mean += y[i][d] / a->width;
        for (int d = 0; d < a->width; d++)
            var += (y[i][d] - mean) * (y[i][d] - mean) / a->width;
        for (int d = 0; d < a->width; d++) {
            double r = y[i][d];

            if (a->layer_norm)
                r = (r - mean) / sqrt(var + 1e-5) * (double)at("attention", NULL, l, "norm.weight")[d] +
                    (double)at("attention", NULL, l, "norm.bias")[d];
            x[i][d] = r > 0 ? r : 0;
        }
    }
}

static void compute(const struct fr_ctr_config *c, const struct fr_encoder *enc, int which)
{
    static double e[MAX_F][MAX_W], flat[MAX_F * MAX_W];
    unsigned parts = fr_ctr_parts(c);
    int n = enc->n_fields;

    memset(&want, 0, sizeof(want));
    want.bias = (double)at((parts & FR_CTR_ATTENTION) != 0 ? "out.bias" : "bias", NULL, 0, NULL)[0];
    for (int f = 0; f < n; f++) {
        if ((parts & FR_CTR_LINEAR) != 0)
            pool(enc, f, which, "linear", 1, &want.linear[f]);
        if (c->dim > 0)
            pool(enc, f, which, "embedding", c->dim, e[f]);
        memcpy(flat + f * c->dim, e[f], (size_t)c->dim * sizeof(double));
    }
    for (int a = 0; a < n && (parts & FR_CTR_PAIR) != 0; a++)
        for (int b = a + 1; b < n; b++)
            for (int k = 0; k < c->dim; k++)
                want.pair[a][b] += e[a][k] * e[b][k];
    if (c->n_hidden > 0)
        want.deep = mlp(c, flat, n * c->dim);
    for (int l = 0; l < c->attention.layers; l++)
        layer(&c->attention, l, n, l == 0 ? c->dim : c->attention.width, e);
    for (int f = 0; f < n && c->attention.layers > 0; f++)
        want.attention[f] = line(at("out.weight", NULL, 0, NULL), e[f], c->attention.width, f);
    for (int f = 0; f < n && c->attention.layers > 0 && c->value != FR_VALUE_NONE; f++)
        want.value_attention[f] = line(at("value.weight", NULL, 0, NULL), e[f], c->attention.width, f);
    if (c->value != FR_VALUE_NONE)
        want.value_bias = (double)at("value.bias", NULL, 0, NULL)[0];
    want.raw = want.value_bias + want.value_deep;
    for (int f = 0; f < n; f++)
        want.raw += want.value_attention[f];
    want.logit = want.bias + want.deep;
    for (int a = 0; a < n; a++) {
        want.logit += want.linear[a] + want.attention[a];
        for (int b = 0; b < n; b++)
            want.logit += want.pair[a][b];
    }
}

/* ---- comparing ---- */

static int off(double got, double expected, double tol)
{
    return !(fabs(got - expected) <= tol * (1 + fabs(expected)));
}

/* How much of x is not as in `want`. */
static int differences(const struct fr_explanation *x)
{
    int n = x->n_fields, bad = off(x->bias, want.bias, 1e-6) + off(x->deep, want.deep, 2e-5);

    bad += off(x->value.bias, want.value_bias, 1e-6) + off(x->value.deep, want.value_deep, 2e-5) +
           off(x->value.sum, want.raw, 5e-5) + off((double)x->value.raw, want.raw, 1e-4);
    for (int i = 0; i < n; i++)
        bad += off(x->field[i].linear, want.linear[i], 1e-6) + off(x->field[i].attention, want.attention[i], 2e-5) +
               off(x->field[i].value_attention, want.value_attention[i], 2e-5);
    for (int a = 0; a < n; a++)
        for (int b = 0; b < n; b++)
            bad += off(x->pair == NULL ? 0 : x->pair[a * n + b], want.pair[a][b], 1e-5);
    for (int l = 0; l < x->layers; l++)
        for (int h = 0; h < x->heads; h++)
            for (int i = 0; i < n * n; i++)
                bad += off((double)fr_explained_head(x, l, h)[i], want.p[l][h][i / n][i % n], 2e-5);
    return bad + off(x->sum, want.logit, 5e-5) + off((double)x->logit, want.logit, 1e-4);
}

static struct fr_model_case one_case(int which, const struct fr_cell **item)
{
    *item = cells[which][FR_ENTITY_ITEM];
    return (struct fr_model_case){
        cells[which][FR_ENTITY_USER], cells[which][FR_ENTITY_CONTEXT], item, cells[which][FR_ENTITY_CROSS], 1};
}

static void rows_sum_to_one(const struct fr_explanation *x)
{
    for (int r = 0; r < x->layers * x->heads * x->n_fields; r++) {
        double s = 0;
        for (int j = 0; j < x->n_fields; j++) {
            float p = x->weight[r * x->n_fields + j];
            ck_assert(p >= 0);
            s += (double)p;
        }
        ck_assert_double_eq_tol(s, 1, 1e-5);
    }
}

static void setup(void)
{
    fr_rng_seed(&rng, 41);
    ck_assert_int_eq(fr_arena_new(1 << 16, 0, &ar), FR_OK);
}

static void teardown(void)
{
    fr_arena_free(ar);
}

START_TEST(every_shape_and_case__as_in_double)
{
    unsigned parts = fr_ctr_parts(&kinds[_i]);

    for (int s = 0; s < N_SHAPES; s++) {
        struct fr_model *m = ctr(_i, s);

        for (int c = 0; c < CASES; c++) {
            const struct fr_cell *item;
            struct fr_model_case k = one_case(c, &item);
            struct fr_explanation x;
            float logit = 0;

            fr_arena_reset(ar);
            ck_assert_int_eq(fr_explain(m, &k, 0, ar, &x), FR_OK);
            compute(&kinds[_i], m->enc, c);
            ck_assert_msg(differences(&x) == 0, "shape %d case %d: sum %.9g, in double %.9g", s, c, x.sum, want.logit);
            rows_sum_to_one(&x);
            ck_assert_int_eq(fr_model_score_case(m, &k, 0, ar, &logit), FR_OK);
            mf_float_eq(logit, x.logit);
            ck_assert_int_eq(off(x.sum, (double)logit, 1e-4), 0);
            ck_assert_int_eq(x.n_fields, shapes[s].n);
            ck_assert_int_eq(x.pair != NULL, (parts & FR_CTR_PAIR) != 0);
            ck_assert_int_eq(x.weight != NULL, (parts & FR_CTR_ATTENTION) != 0);
            ck_assert_int_eq(x.layers, kinds[_i].attention.layers);
            ck_assert_int_eq(x.value.kind, kinds[_i].value);
            if (kinds[_i].value != FR_VALUE_NONE)
                ck_assert(off(x.value.said, kinds[_i].value == FR_VALUE_LOG ? fmax(expm1(want.raw), FR_VALUE_FLOOR)
                                                                           : 1 / (1 + exp(-want.raw)), 1e-4) == 0);
        }
        fr_model_free(m);
    }
}
END_TEST

/* Every weight tensor in turn: the twin with one entry changed must disagree. */
START_TEST(changed_weight__noticed)
{
    struct fr_model *m = ctr(_i, 3);
    const struct fr_cell *item;
    struct fr_model_case k = one_case(0, &item);
    struct fr_explanation x;

    ck_assert_int_eq(fr_explain(m, &k, 0, ar, &x), FR_OK);
    for (int t = 0; t < n_tensors; t++) {
        size_t n = (size_t)fr_tensor_count(&tensor[t]);
        int noticed = 0;

        for (size_t i = 0; i < n && noticed == 0; i++) { /* some rows are not of this case, some units are off */
            float old = weights[t][i];
            weights[t][i] += 0.05f;
            compute(&kinds[_i], m->enc, 0);
            noticed = differences(&x);
            weights[t][i] = old;
        }
        ck_assert_msg(noticed > 0, "%s changed and nothing said so", tensor[t].name);
    }
    fr_model_free(m);
}
END_TEST

/* ---- two ids: gmf, mlp, neumf, mf ---- */

START_TEST(two_ids__parts)
{
    static const struct fr_ncf_config ncf[] = {{FR_MODEL_GMF, 5, 0, {0}},
                                               {FR_MODEL_MLP, 0, 3, {6, 4, 3}},
                                               {FR_MODEL_NEUMF, 3, 3, {8, 5, 2}},
                                               {FR_MODEL_MF, 7, 0, {0}}};
    const struct fr_ncf_config *c = &ncf[_i];
    struct fr_encoder *enc = encoder(1);
    bool mf = c->kind == FR_MODEL_MF;
    struct fr_model *m = NULL;
    int last = c->n_hidden > 0 ? c->hidden[c->n_hidden - 1] : 0, f = c->factors;

    n_tensors = 0;
    if (mf) {
        add("bias", 1, 0);
        tables(enc, "linear", 1);
        tables(enc, "embedding", f);
        ck_assert_int_eq(fr_mf_new(&enc, f, tensor, n_tensors, FR_WEIGHTS_COPY, &m, NULL), FR_OK);
    } else {
        add("out.bias", 1, 0);
        add("out.weight", 1, (uint64_t)(f + last));
        if (f > 0)
            tables(enc, "gmf_embedding", f);
        for (int l = 0; l + 1 < c->n_hidden; l++) {
            addf((uint64_t)c->hidden[l + 1], (uint64_t)c->hidden[l], "mlp", NULL, l, "weight");
            addf((uint64_t)c->hidden[l + 1], 0, "mlp", NULL, l, "bias");
        }
        if (last > 0)
            tables(enc, "mlp_embedding", c->hidden[0] / 2);
        ck_assert_int_eq(fr_ncf_new(&enc, c, tensor, n_tensors, FR_WEIGHTS_BORROW, &m, NULL), FR_OK);
    }
    for (int which = 0; which < CASES; which++) {
        const struct fr_cell *item;
        struct fr_model_case k = one_case(which, &item);
        struct fr_explanation x;
        double p[MAX_W], q[MAX_W], h[2][MAX_W];
        const char *prefix = mf ? "embedding" : "gmf_embedding";

        fr_arena_reset(ar);
        memset(&want, 0, sizeof(want));
        want.bias = (double)at(mf ? "bias" : "out.bias", NULL, 0, NULL)[0];
        if (f > 0) {
            pool(m->enc, 0, which, prefix, f, p);
            pool(m->enc, 1, which, prefix, f, q);
        }
        for (int d = 0; d < f; d++)
            want.pair[0][1] += p[d] * q[d] * (mf ? 1 : (double)at("out.weight", NULL, 0, NULL)[d]);
        for (int i = 0; i < 2 && mf; i++)
            pool(m->enc, i, which, "linear", 1, &want.linear[i]);
        if (last > 0) {
            int in = c->hidden[0], now = 0;

            pool(m->enc, 0, which, "mlp_embedding", in / 2, h[0]);
            pool(m->enc, 1, which, "mlp_embedding", in / 2, h[0] + in / 2);
            for (int l = 0; l + 1 < c->n_hidden; l++, now = 1 - now)
                for (int j = 0; j < c->hidden[l + 1]; j++)
                    h[1 - now][j] = fmax(0, line(at("mlp", NULL, l, "weight"), h[now], c->hidden[l], j) +
                                                (double)at("mlp", NULL, l, "bias")[j]);
            want.deep = line(at("out.weight", NULL, 0, NULL) + f, h[now], last, 0);
        }
        want.logit = want.bias + want.linear[0] + want.linear[1] + want.pair[0][1] + want.deep;
        ck_assert_int_eq(fr_explain(m, &k, 0, ar, &x), FR_OK);
        ck_assert_msg(differences(&x) == 0, "case %d: sum %.9g, in double %.9g", which, x.sum, want.logit);
    }
    fr_model_free(m);
}
END_TEST

START_TEST(two_towers__cosine)
{
    struct fr_two_tower_config c = {.emb_dim = 3, .dim = 5, .tau = 0.25f};
    struct fr_encoder *enc = encoder(1);
    struct fr_model *m = NULL;
    struct fr_explanation x;
    const struct fr_cell *item;
    double e[2][3], v[2][5], len[2] = {0}, cosine = 0;

    n_tensors = 0;
    tables(enc, "embedding", 3);
    addf(5, 3, "user_mlp", NULL, 0, "weight");
    addf(5, 0, "user_mlp", NULL, 0, "bias");
    addf(5, 3, "item_mlp", NULL, 0, "weight");
    addf(5, 0, "item_mlp", NULL, 0, "bias");
    ck_assert_int_eq(fr_two_tower_new(&enc, &c, tensor, n_tensors, FR_WEIGHTS_COPY, &m, NULL), FR_OK);
    struct fr_model_case k = one_case(1, &item);
    ck_assert_int_eq(fr_explain(m, &k, 0, ar, &x), FR_OK);
    for (int i = 0; i < 2; i++) {
        const char *tower = i == 0 ? "user_mlp" : "item_mlp";

        pool(m->enc, i, 1, "embedding", 3, e[i]);
        for (int d = 0; d < 5; d++) {
            v[i][d] = line(at(tower, NULL, 0, "weight"), e[i], 3, d) + (double)at(tower, NULL, 0, "bias")[d];
            len[i] += v[i][d] * v[i][d];
        }
    }
    for (int d = 0; d < 5; d++)
        cosine += v[0][d] * v[1][d] / sqrt(len[0] * len[1]);
    ck_assert_double_eq_tol(x.cosine, cosine, 1e-5);
    ck_assert_double_eq_tol(x.inv_tau, 4, 1e-6);
    ck_assert_double_eq_tol(x.towers, 4 * cosine, 5e-5);
    ck_assert_double_eq_tol(x.sum, (double)x.logit, 5e-5);
    ck_assert_double_eq(fr_explained_linear(&x) + fr_explained_pairs(&x) + fr_explained_attention(&x), 0);
    fr_model_free(m);
}
END_TEST

/* ---- the call ---- */

START_TEST(fields__say_what_was_read)
{
    struct fr_model *m = ctr(1, 3);
    const struct fr_cell *item;
    struct fr_model_case k = one_case(4, &item);
    struct fr_explanation x;
    static const char *const order[] = {"user", "hist", "age", "hour", "item", "cats", "ctr", "match", "gap"};

    ck_assert_int_eq(fr_explain(m, &k, 0, ar, &x), FR_OK);
    for (int i = 0; i < 9; i++)
        ck_assert_str_eq(x.field[i].name, order[i]);
    ck_assert_int_eq(x.field[1].slots, 5);
    ck_assert_ptr_eq(x.field[1].cell, cells[4][FR_ENTITY_USER] + 1);
    ck_assert_int_eq(x.field[4].slot[0].row, 0); /* an unknown item */
    ck_assert_int_eq(x.field[3].slot[0].row, 0); /* a bucket out of range */
    fr_model_free(m);
}
END_TEST

START_TEST(candidates__each_its_own)
{
    struct fr_model *m = ctr(4, 3);
    const struct fr_cell *items[3];
    struct fr_cell cross[3 * 2];
    float all[3];

    for (int i = 0; i < 3; i++) {
        items[i] = cells[i][FR_ENTITY_ITEM];
        memcpy(cross + i * 2, cells[i][FR_ENTITY_CROSS], 2 * sizeof(*cross));
    }
    struct fr_model_case k = {cells[0][FR_ENTITY_USER], cells[0][FR_ENTITY_CONTEXT], items, cross, 3};
    ck_assert_int_eq(fr_model_score_case(m, &k, 0, ar, all), FR_OK);
    for (int i = 0; i < 3; i++) {
        struct fr_explanation x;
        ck_assert_int_eq(fr_explain(m, &k, i, ar, &x), FR_OK);
        ck_assert_int_eq(off(x.sum, (double)all[i], 1e-4), 0);
    }
    fr_model_free(m);
}
END_TEST

START_TEST(errors__nothing_written)
{
    struct fr_model *m = ctr(9, 3);
    const struct fr_cell *item;
    struct fr_model_case k = one_case(0, &item), no_user = k;
    struct fr_explanation x = {.n_fields = -5};
    struct fr_arena_mark before = fr_arena_mark(ar);

    no_user.user = NULL;
    ck_assert_int_eq(fr_explain(m, &k, -1, ar, &x), FR_EINVAL);
    ck_assert_int_eq(fr_explain(m, &k, 1, ar, &x), FR_EINVAL);
    ck_assert_int_eq(fr_explain(m, &no_user, 0, ar, &x), FR_EINVAL);
    cells[0][FR_ENTITY_ITEM][0].x = NAN;
    ck_assert_int_eq(fr_explain(m, &k, 0, ar, &x), FR_ENONFINITE);
    cells[0][FR_ENTITY_ITEM][0].x = 1;
    struct fr_arena_mark after = fr_arena_mark(ar);
    ck_assert(before.chunk == after.chunk && before.used == after.used);
    int refused = 0;
    for (size_t room = 256; room < 1 << 20; room += room / 4) {
        struct fr_arena *small;
        enum fr_err e;

        ck_assert_int_eq(fr_arena_new(256, room, &small), FR_OK);
        e = fr_explain(m, &k, 0, small, &x);
        refused += e == FR_ENOMEM;
        ck_assert(e == FR_OK || (e == FR_ENOMEM && x.n_fields == -5));
        fr_arena_free(small);
        if (e == FR_OK)
            break;
    }
    ck_assert_int_gt(refused, 3);
    ck_assert_int_eq(x.n_fields, 9);
    fr_model_free(m);
}
END_TEST

static const struct fr_model *shared;

static void *explainer(void *out)
{
    double *sum = out;
    struct fr_arena *mine;

    if (fr_arena_new(1 << 14, 0, &mine) != FR_OK)
        return NULL;
    for (int i = 0; i < 40; i++) {
        const struct fr_cell *item;
        struct fr_model_case k = one_case(i % CASES, &item);
        struct fr_explanation x;

        fr_arena_reset(mine);
        if (fr_explain(shared, &k, 0, mine, &x) != FR_OK)
            break;
        *sum += x.sum;
    }
    fr_arena_free(mine);
    return NULL;
}

START_TEST(threads__same_sums)
{
    struct fr_model *m = ctr(9, 3);
    double sum[4] = {0}, alone = 0;
    pthread_t t[4];

    shared = m;
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&t[i], NULL, explainer, &sum[i]), 0);
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_join(t[i], NULL), 0);
    (void)explainer(&alone);
    ck_assert(alone < 0 || alone > 0);
    for (int i = 0; i < 4; i++)
        ck_assert_double_eq(sum[i], alone);
    fr_model_free(m);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("models/explain");
    TCase *tc = tcase_create("parts");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, every_shape_and_case__as_in_double, 0, N_KINDS);
    tcase_add_loop_test(tc, changed_weight__noticed, 0, N_KINDS);
    tcase_add_loop_test(tc, two_ids__parts, 0, 4);
    tcase_add_test(tc, two_towers__cosine);
    tcase_add_test(tc, fields__say_what_was_read);
    tcase_add_test(tc, candidates__each_its_own);
    tcase_add_test(tc, errors__nothing_written);
    tcase_add_test(tc, threads__same_sums);
    suite_add_tcase(s, tc);
    return mf_run(s);
}
