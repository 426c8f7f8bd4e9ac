/*
 * models/ctr.c - the kinds and their construction; ranking is in ctr_rank.c.
 */
#include "models/ctr.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "daemon/base/alloc.h"
#include "models/ctr_priv.h"

/* The first layer in three blocks of columns, the hidden ones whole; the last is a dot product. */
static enum fr_err pack_layers(struct fr_ctr_impl *d)
{
    const struct fr_mlp *p = &d->mlp;
    int ku = d->n_user * d->cfg.dim, ki = d->n_item * d->cfg.dim, in = p->width[0];
    enum fr_err e = fr_packed_new(p->w[0], in, p->bias[0], p->width[1], ku, &d->of_user);

    if (e == FR_OK)
        e = fr_packed_new(p->w[0] + ku, in, NULL, p->width[1], ki, &d->of_item);
    if (e == FR_OK)
        e = fr_packed_new(p->w[0] + ku + ki, in, NULL, p->width[1], in - ku - ki, &d->of_cross);
    for (int l = 1; l < p->n_layers - 1 && e == FR_OK; l++)
        e = fr_packed_new(
            p->w[l], p->width[l], p->bias[l], p->width[l + 1], p->width[l], &d->layer[l]);
    return e;
}

static void free_impl(void *impl)
{
    struct fr_ctr_impl *d = impl;

    fr_free(d->folded);
    fr_packed_free(d->of_user);
    fr_packed_free(d->of_item);
    fr_packed_free(d->of_cross);
    for (int l = 0; l < FR_MLP_MAX_LAYERS; l++)
        fr_packed_free(d->layer[l]);
    fr_attention_done(&d->attention);
    fr_attention_lanes_free(d->lanes);
    fr_free(d);
}

/* One hidden layer with its batch norm: W' = s W, b' = s (b - mean) + beta, s = gamma / std. */
static enum fr_err
fold_layer(const struct fr_model *m, struct fr_mlp *mlp, int l, float *to, struct fr_fault *fault)
{
    static const char *const part[] = {"weight", "bias", "running_mean", "running_var"};
    int out = mlp->width[l + 1], in = mlp->width[l];
    const float *v[4] = {NULL};
    char name[FR_TENSOR_NAME];

    for (int i = 0; i < 4; i++) {
        (void)snprintf(name, sizeof(name), "mlp_norm.%d.%s", l, part[i]);
        enum fr_err e =
            fr_tensor_require(m->tensor, m->n_tensors, name, (uint64_t)out, 0, &v[i], fault);
        if (e != FR_OK)
            return e;
    }
    float *bias = to + (size_t)out * (size_t)in;
    for (int j = 0; j < out; j++) {
        if (v[3][j] < 0)
            return fr_fault(fault, FR_ERANGE, "tensor %s has a negative variance", name);
        double s = (double)v[0][j] / sqrt((double)v[3][j] + (double)FR_CTR_NORM_EPS);
        for (int k = 0; k < in; k++)
            to[(size_t)j * (size_t)in + (size_t)k] =
                (float)(s * (double)mlp->w[l][(size_t)j * (size_t)in + (size_t)k]);
        bias[j] = (float)(s * ((double)mlp->bias[l][j] - (double)v[2][j]) + (double)v[1][j]);
    }
    if (!fr_all_finite(to, (size_t)out * ((size_t)in + 1)))
        return fr_fault(fault, FR_ENONFINITE, "mlp_norm.%d makes weights of mlp.%d that are not finite", l, l);
    mlp->w[l] = to;
    mlp->bias[l] = bias;
    return FR_OK;
}

static enum fr_err fold(const struct fr_model *m, struct fr_ctr_impl *d, struct fr_fault *fault)
{
    struct fr_mlp *mlp = &d->mlp;
    enum fr_err e = FR_OK;
    size_t n = 0, at = 0;

    for (int l = 0; l < mlp->n_layers - 1; l++)
        n += ((size_t)mlp->width[l] + 1) * (size_t)mlp->width[l + 1];
    d->folded = fr_calloc_aligned(n + 1, sizeof(float));
    if (d->folded == NULL)
        return fr_fault(fault, FR_ENOMEM, "model: out of memory");
    for (int l = 0; l < mlp->n_layers - 1 && e == FR_OK; l++) {
        e = fold_layer(m, mlp, l, d->folded + at, fault);
        at += ((size_t)mlp->width[l] + 1) * (size_t)mlp->width[l + 1];
    }
    return e;
}

/* Layers of attention and what follows them; *out_n tensors beside out.bias. */
static enum fr_err
bind_attention(struct fr_model *m, const struct fr_encoder *enc, int *out_n, struct fr_fault *fault)
{
    static const char *const part[] = {"query", "key", "value", "residual"};
    struct fr_ctr_impl *d = m->impl;
    struct fr_attention *a = &d->attention;
    uint64_t width = (uint64_t)d->cfg.attention.width;
    char name[FR_TENSOR_NAME];
    enum fr_err e = fr_attention_init(a, &d->cfg.attention, enc->n_fields, d->cfg.dim);

    if (e != FR_OK)
        return fr_fault(fault, e, "%s: out of memory", fr_model_kind_name(d->cfg.kind));
    *out_n = 1;
    for (int l = 0; l < a->cfg.layers; l++) {
        struct fr_attention_layer *y = &a->layer[l];
        const float *w = NULL;

        for (int i = 0; i < y->cols / a->cfg.width; i++, (*out_n)++) {
            (void)snprintf(name, sizeof(name), "attention.%d.%s.weight", l, part[i]);
            e = fr_tensor_require(m->tensor, m->n_tensors, name, width, (uint64_t)y->in, &w, fault);
            if (e != FR_OK)
                return e;
            memcpy(fr_attention_part(a, l, i), w, (size_t)width * (size_t)y->in * sizeof(*w));
        }
        for (int i = 0; i < 2 && a->cfg.layer_norm; i++, (*out_n)++) {
            (void)snprintf(name, sizeof(name), "attention.%d.norm.%s", l, i == 0 ? "weight" : "bias");
            e = fr_tensor_require(m->tensor, m->n_tensors, name, width, 0, i == 0 ? &y->gain : &y->shift, fault);
            if (e != FR_OK)
                return e;
        }
    }
    if ((e = fr_tensor_require(m->tensor, m->n_tensors, "out.weight", 1, (uint64_t)enc->n_fields * width, &d->out,
                               fault)) != FR_OK)
        return e;
    e = fr_attention_lanes_new(a, d->out, d->value_out, &d->lanes);
    return e == FR_OK ? e : fr_fault(fault, e, "%s: out of memory", fr_model_kind_name(d->cfg.kind));
}

/* Before attention, whose lanes take a copy of their part. */
static enum fr_err bind_value(const struct fr_model *m, int n_fields, struct fr_fault *fault)
{
    struct fr_ctr_impl *d = m->impl;
    const struct fr_ctr_config *cfg = &d->cfg;
    size_t flat = (d->parts & FR_CTR_ATTENTION) != 0 ? (size_t)n_fields * (size_t)cfg->attention.width : 0;
    size_t inputs = fr_ctr_value_inputs(cfg, n_fields);
    const float *w = NULL, *b = NULL;
    enum fr_err e = fr_tensor_require(m->tensor, m->n_tensors, "value.weight", 1, inputs, &w, fault);

    if (e == FR_OK)
        e = fr_tensor_require(m->tensor, m->n_tensors, "value.bias", 1, 0, &b, fault);
    if (e != FR_OK)
        return e;
    d->value_out = flat > 0 ? w : NULL;
    d->value_deep = inputs > flat ? w + flat : NULL;
    d->value_bias = *b;
    return FR_OK;
}

static enum fr_err bind(struct fr_model *m,
                        const struct fr_encoder *enc,
                        const struct fr_ctr_config *cfg,
                        struct fr_fault *fault)
{
    struct fr_ctr_impl *d = m->impl;
    int width[FR_MLP_MAX_LAYERS + 1];
    const float *w0 = NULL;
    enum fr_err e;

    d->cfg = *cfg;
    d->parts = fr_ctr_parts(cfg);
    d->em.dim = cfg->dim;
    d->n_user =
        fr_encoder_n_fields(enc, FR_ENTITY_USER) + fr_encoder_n_fields(enc, FR_ENTITY_CONTEXT);
    d->n_item = fr_encoder_n_fields(enc, FR_ENTITY_ITEM);
    d->n_cand = enc->n_fields - d->n_user;
    width[0] = enc->n_fields * cfg->dim;
    memcpy(width + 1, cfg->hidden, (size_t)cfg->n_hidden * sizeof(*width));
    width[cfg->n_hidden + 1] = 1;
    const char *bias = (d->parts & FR_CTR_ATTENTION) != 0 ? "out.bias" : "bias";
    if ((e = fr_tensor_require(m->tensor, m->n_tensors, bias, 1, 0, &w0, fault)) != FR_OK ||
        (cfg->dim > 0 &&
         (e = fr_model_bind_tables(m, enc, "embedding", cfg->dim, d->em.v, fault)) != FR_OK) ||
        ((d->parts & FR_CTR_LINEAR) != 0 &&
         (e = fr_model_bind_tables(m, enc, "linear", 1, d->lin, fault)) != FR_OK))
        return e;
    d->w0 = *w0;
    int layers = cfg->n_hidden > 0 ? cfg->n_hidden + 1 : 0;
    if (layers > 0 &&
        (e = fr_mlp_bind(&d->mlp, "mlp", width, layers, false, m->tensor, m->n_tensors, fault)) !=
            FR_OK)
        return e;
    bool value = cfg->value != FR_VALUE_NONE;
    if (value && (e = bind_value(m, enc->n_fields, fault)) != FR_OK)
        return e;
    int attention = 0;
    if ((d->parts & FR_CTR_ATTENTION) != 0 && (e = bind_attention(m, enc, &attention, fault)) != FR_OK)
        return e;
    int tables = (cfg->dim > 0) + ((d->parts & FR_CTR_LINEAR) != 0);
    int expect = 1 + tables * enc->n_tables + 2 * layers + attention + (value ? 2 : 0);
    expect += cfg->batch_norm ? 4 * cfg->n_hidden : 0;
    if (m->n_tensors != expect)
        return fr_fault(fault,
                        FR_EMISMATCH,
                        "%s needs %d tensors, %d are there",
                        fr_model_kind_name(cfg->kind),
                        expect,
                        m->n_tensors);
    if (cfg->batch_norm && layers > 0 && (e = fold(m, d, fault)) != FR_OK)
        return e;
    if (layers > 0 && (e = pack_layers(d)) != FR_OK)
        return fr_fault(fault, e, "%s: out of memory", fr_model_kind_name(cfg->kind));
    return FR_OK;
}

unsigned fr_ctr_parts(const struct fr_ctr_config *cfg)
{
    unsigned linear = cfg->linear ? FR_CTR_LINEAR : 0;

    switch (cfg->kind) {
    case FR_MODEL_LR:
        return FR_CTR_LINEAR;
    case FR_MODEL_FM:
        return FR_CTR_LINEAR | FR_CTR_PAIR;
    case FR_MODEL_WIDE_DEEP:
        return FR_CTR_LINEAR | FR_CTR_DEEP;
    case FR_MODEL_DEEPFM:
        return FR_CTR_LINEAR | FR_CTR_PAIR | FR_CTR_DEEP;
    case FR_MODEL_AUTOINT:
        return FR_CTR_ATTENTION | linear;
    case FR_MODEL_AUTOINT_PLUS:
        return FR_CTR_ATTENTION | FR_CTR_DEEP | linear;
    default:
        return 0;
    }
}

size_t fr_ctr_value_inputs(const struct fr_ctr_config *cfg, int n_fields)
{
    unsigned parts = fr_ctr_parts(cfg);
    size_t n = (parts & FR_CTR_ATTENTION) != 0 ? (size_t)n_fields * (size_t)cfg->attention.width : 0;

    return n + (cfg->n_hidden > 0 ? (size_t)cfg->hidden[cfg->n_hidden - 1] : 0);
}

enum fr_err fr_ctr_config_check(const struct fr_ctr_config *cfg, struct fr_fault *fault)
{
    const char *name = fr_model_kind_name(cfg->kind);
    unsigned parts = fr_ctr_parts(cfg);
    int max_dim = parts == FR_CTR_LINEAR ? 0 : 512;
    int max_hidden = (parts & FR_CTR_DEEP) != 0 ? FR_MLP_MAX_LAYERS - 1 : 0;

    if (parts == 0)
        return fr_fault(fault, FR_EINVAL, "%s is no model of sums of parts", name);
    if (cfg->dim < (max_dim > 0 ? 1 : 0) || cfg->dim > max_dim)
        return fr_fault(fault, FR_EINVAL, "%s: dim out of range", name);
    if (cfg->n_hidden < 0 || cfg->n_hidden > max_hidden)
        return fr_fault(fault, FR_EINVAL, "%s: number of layers out of range", name);
    for (int i = 0; i < cfg->n_hidden; i++)
        if (cfg->hidden[i] < 1 || cfg->hidden[i] > FR_NN_MAX_WIDTH)
            return fr_fault(fault, FR_EINVAL, "%s: hidden[%d] out of range", name, i);
    if ((unsigned)cfg->value >= FR_VALUE_KIND_COUNT)
        return fr_fault(fault, FR_EINVAL, "%s: value is none of its kinds", name);
    if (cfg->value != FR_VALUE_NONE && cfg->n_hidden == 0 && (parts & FR_CTR_ATTENTION) == 0)
        return fr_fault(fault, FR_EINVAL, "%s: a value head needs hidden layers or attention to stand on", name);
    if ((parts & FR_CTR_ATTENTION) != 0) {
        struct fr_fault why = {.err = FR_OK};

        if (fr_attention_check(&cfg->attention, &why) != FR_OK)
            return fr_fault(fault, FR_EINVAL, "%s: %s", name, why.msg);
    }
    return FR_OK;
}

enum fr_err fr_ctr_new(struct fr_encoder **take_enc,
                       const struct fr_ctr_config *cfg,
                       const struct fr_tensor *t,
                       int n,
                       enum fr_weights weights,
                       struct fr_model **out_m,
                       struct fr_fault *fault)
{
    struct fr_model *m = NULL;
    enum fr_err e = fr_ctr_config_check(cfg, fault);

    if (e != FR_OK)
        return e;
    if ((e = fr_model_frame(cfg->kind, *take_enc, t, n, weights, &m, fault)) != FR_OK)
        return e;
    m->impl = fr_calloc(1, sizeof(struct fr_ctr_impl));
    e = m->impl == NULL ? fr_fault(fault, FR_ENOMEM, "model: out of memory")
                        : bind(m, *take_enc, cfg, fault);
    if (e != FR_OK) {
        fr_model_free(m);
        return e;
    }
    m->info.value = cfg->value;
    m->info.share = cfg->share;
    m->enc = *take_enc;
    *take_enc = NULL;
    *out_m = m;
    return FR_OK;
}

/* Members of config.attention. */
static const struct {
    const char *key;
    size_t at;
    int max;
} ints[] = {{"layers", offsetof(struct fr_attention_config, layers), FR_ATTENTION_MAX_LAYERS},
            {"heads", offsetof(struct fr_attention_config, heads), FR_ATTENTION_MAX_HEADS},
            {"width", offsetof(struct fr_attention_config, width), FR_ATTENTION_MAX_WIDTH}};
static const struct {
    const char *key;
    size_t at;
} bools[] = {{"scale", offsetof(struct fr_attention_config, scale)},
             {"layer_norm", offsetof(struct fr_attention_config, layer_norm)},
};
static const char *const residuals[FR_RESIDUAL_COUNT] = {"none", "widths", "identity", "projected"};

static enum fr_err read_attention(const struct fr_json *o, struct fr_attention_config *out, struct fr_fault *fault)
{
    struct fr_fault why = {.err = FR_OK};
    enum fr_err e = FR_OK;

    if (o == NULL || o->type != FR_JSON_OBJECT)
        return fr_fault(fault, FR_ESCHEMA, "config.attention must be an object");
    for (int i = 0; i < 3 && e == FR_OK; i++)
        e = fr_model_config_int(o, ints[i].key, 1, ints[i].max, (int *)((char *)out + ints[i].at), &why);
    if (e != FR_OK)
        return fr_fault(fault, e, "attention: %s", why.msg);
    for (int i = 0; i < 2; i++) {
        const struct fr_json *b = fr_json_get(o, bools[i].key);

        if (b == NULL || b->type != FR_JSON_BOOL)
            return fr_fault(fault, FR_ESCHEMA, "config.attention.%s must be true or false", bools[i].key);
        *(bool *)((char *)out + bools[i].at) = b->b;
    }
    const struct fr_json *r = fr_json_get(o, "residual");
    for (int i = 0; i < FR_RESIDUAL_COUNT && r != NULL && r->type == FR_JSON_STRING; i++)
        if (fr_str_eqz(r->str, residuals[i])) {
            out->residual = (enum fr_attention_residual)i;
            return FR_OK;
        }
    return fr_fault(fault, FR_ESCHEMA, "config.attention.residual must be none, widths, identity or projected");
}

/* config.value: absent, or {"target": "log"|"unit", "click": "sigmoid"|"share"}. */
static enum fr_err read_value(const struct fr_json *o, struct fr_ctr_config *out, struct fr_fault *fault)
{
    const struct fr_json *target, *click;

    if (o == NULL)
        return FR_OK;
    if (o->type != FR_JSON_OBJECT)
        return fr_fault(fault, FR_ESCHEMA, "config.value must be an object");
    target = fr_json_get(o, "target");
    click = fr_json_get(o, "click");
    if (target != NULL && target->type == FR_JSON_STRING)
        out->value = fr_value_kind_find(target->str);
    if (out->value != FR_VALUE_LOG && out->value != FR_VALUE_UNIT)
        return fr_fault(fault, FR_ESCHEMA, "config.value.target must be log or unit");
    if (click == NULL || click->type != FR_JSON_STRING ||
        (!fr_str_eqz(click->str, "sigmoid") && !fr_str_eqz(click->str, "share")))
        return fr_fault(fault, FR_ESCHEMA, "config.value.click must be sigmoid or share");
    out->share = fr_str_eqz(click->str, "share");
    return FR_OK;
}

static enum fr_err load(enum fr_model_kind kind,
                        struct fr_encoder **take_enc,
                        const struct fr_json *config,
                        const struct fr_tensor *t,
                        int n,
                        struct fr_model **out_m,
                        struct fr_fault *fault)
{
    struct fr_ctr_config cfg = {.kind = kind};
    const struct fr_json *norm = fr_json_get(config, "batch_norm"); /* absent: none */
    const struct fr_json *linear = fr_json_get(config, "linear");
    bool attention = kind == FR_MODEL_AUTOINT || kind == FR_MODEL_AUTOINT_PLUS;
    enum fr_err e = fr_model_config_int(config, "dim", 0, 512, &cfg.dim, fault);
    if (e == FR_OK)
        e = fr_model_config_hidden(config, FR_MLP_MAX_LAYERS - 1, cfg.hidden, &cfg.n_hidden, fault);
    if (e == FR_OK && norm != NULL && norm->type != FR_JSON_BOOL)
        e = fr_fault(fault, FR_ESCHEMA, "config.batch_norm must be true or false");
    cfg.batch_norm = norm != NULL && norm->b;
    if (e == FR_OK && attention && (linear == NULL || linear->type != FR_JSON_BOOL))
        e = fr_fault(fault, FR_ESCHEMA, "config.linear must be true or false");
    if (e == FR_OK && attention) {
        cfg.linear = linear->b;
        e = read_attention(fr_json_get(config, "attention"), &cfg.attention, fault);
    }
    if (e == FR_OK)
        e = read_value(fr_json_get(config, "value"), &cfg, fault);
    return e == FR_OK ? fr_ctr_new(take_enc, &cfg, t, n, FR_WEIGHTS_BORROW, out_m, fault) : e;
}

static void describe(const struct fr_model *m, struct fr_jsonw *w)
{
    const struct fr_ctr_impl *d = m->impl;
    fr_jsonw_key(w, "dim");
    fr_jsonw_i64(w, d->cfg.dim);
    fr_jsonw_key(w, "hidden");
    fr_jsonw_array(w);
    for (int i = 0; i < d->cfg.n_hidden; i++)
        fr_jsonw_i64(w, d->cfg.hidden[i]);
    fr_jsonw_end(w, ']');
    fr_jsonw_key(w, "batch_norm");
    fr_jsonw_bool(w, d->cfg.batch_norm);
    if (d->cfg.value != FR_VALUE_NONE) {
        fr_jsonw_key(w, "value");
        fr_jsonw_object(w);
        fr_jsonw_key(w, "target");
        fr_jsonw_z(w, fr_value_kind_name(d->cfg.value));
        fr_jsonw_key(w, "click");
        fr_jsonw_z(w, d->cfg.share ? "share" : "sigmoid");
        fr_jsonw_end(w, '}');
    }
    if ((d->parts & FR_CTR_ATTENTION) == 0)
        return;
    fr_jsonw_key(w, "linear");
    fr_jsonw_bool(w, d->cfg.linear);
    fr_jsonw_key(w, "attention");
    fr_jsonw_object(w);
    for (int i = 0; i < 3; i++) {
        fr_jsonw_key(w, ints[i].key);
        fr_jsonw_i64(w, *(const int *)((const char *)&d->cfg.attention + ints[i].at));
    }
    for (int i = 0; i < 2; i++) {
        fr_jsonw_key(w, bools[i].key);
        fr_jsonw_bool(w, *(const bool *)((const char *)&d->cfg.attention + bools[i].at));
    }
    fr_jsonw_key(w, "residual");
    fr_jsonw_z(w, residuals[d->cfg.attention.residual]);
    fr_jsonw_end(w, '}');
}

const struct fr_model_ops fr_ctr_ops = {
    .job = FR_JOB_RANKER,
    .load = load,
    .describe = describe,
    .free_impl = free_impl,
    .rank = fr_ctr_rank,
    .embed = NULL,
    .explain = fr_ctr_explain,
};
