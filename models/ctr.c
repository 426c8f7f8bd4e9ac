/*
 * models/ctr.c - the kinds and their construction; ranking is in ctr_rank.c.
 */
#include "models/ctr.h"

#include <math.h>
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
    d->parts = fr_ctr_parts(cfg->kind);
    d->em.dim = cfg->dim;
    d->n_user =
        fr_encoder_n_fields(enc, FR_ENTITY_USER) + fr_encoder_n_fields(enc, FR_ENTITY_CONTEXT);
    d->n_item = fr_encoder_n_fields(enc, FR_ENTITY_ITEM);
    d->n_cand = enc->n_fields - d->n_user;
    width[0] = enc->n_fields * cfg->dim;
    memcpy(width + 1, cfg->hidden, (size_t)cfg->n_hidden * sizeof(*width));
    width[cfg->n_hidden + 1] = 1;
    if ((e = fr_tensor_require(m->tensor, m->n_tensors, "bias", 1, 0, &w0, fault)) != FR_OK ||
        (cfg->dim > 0 &&
         (e = fr_model_bind_tables(m, enc, "embedding", cfg->dim, d->em.v, fault)) != FR_OK) ||
        (e = fr_model_bind_tables(m, enc, "linear", 1, d->lin, fault)) != FR_OK)
        return e;
    d->w0 = *w0;
    int layers = cfg->n_hidden > 0 ? cfg->n_hidden + 1 : 0;
    if (layers > 0 &&
        (e = fr_mlp_bind(&d->mlp, "mlp", width, layers, false, m->tensor, m->n_tensors, fault)) !=
            FR_OK)
        return e;
    int expect = 1 + (cfg->dim > 0 ? 2 : 1) * enc->n_tables + 2 * layers;
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

unsigned fr_ctr_parts(enum fr_model_kind kind)
{
    switch (kind) {
    case FR_MODEL_LR:
        return FR_CTR_LINEAR;
    case FR_MODEL_FM:
        return FR_CTR_LINEAR | FR_CTR_PAIR;
    case FR_MODEL_WIDE_DEEP:
        return FR_CTR_LINEAR | FR_CTR_DEEP;
    case FR_MODEL_DEEPFM:
        return FR_CTR_LINEAR | FR_CTR_PAIR | FR_CTR_DEEP;
    default:
        return 0;
    }
}

enum fr_err fr_ctr_config_check(const struct fr_ctr_config *cfg, struct fr_fault *fault)
{
    const char *name = fr_model_kind_name(cfg->kind);
    unsigned parts = fr_ctr_parts(cfg->kind);
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
    return FR_OK;
}

enum fr_err fr_ctr_new(struct fr_encoder **take_enc,
                       const struct fr_ctr_config *cfg,
                       const struct fr_tensor *t,
                       int n,
                       struct fr_model **out_m,
                       struct fr_fault *fault)
{
    struct fr_model *m = NULL;
    enum fr_err e = fr_ctr_config_check(cfg, fault);

    if (e != FR_OK)
        return e;
    if ((e = fr_model_frame(cfg->kind, *take_enc, t, n, &m, fault)) != FR_OK)
        return e;
    m->impl = fr_calloc(1, sizeof(struct fr_ctr_impl));
    e = m->impl == NULL ? fr_fault(fault, FR_ENOMEM, "model: out of memory")
                        : bind(m, *take_enc, cfg, fault);
    if (e != FR_OK) {
        fr_model_free(m);
        return e;
    }
    m->enc = *take_enc;
    *take_enc = NULL;
    *out_m = m;
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
    enum fr_err e = fr_model_config_int(config, "dim", 0, 512, &cfg.dim, fault);
    if (e == FR_OK)
        e = fr_model_config_hidden(config, FR_MLP_MAX_LAYERS - 1, cfg.hidden, &cfg.n_hidden, fault);
    if (e == FR_OK && norm != NULL && norm->type != FR_JSON_BOOL)
        e = fr_fault(fault, FR_ESCHEMA, "config.batch_norm must be true or false");
    cfg.batch_norm = norm != NULL && norm->b;
    return e == FR_OK ? fr_ctr_new(take_enc, &cfg, t, n, out_m, fault) : e;
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
}

const struct fr_model_ops fr_ctr_ops = {
    .job = FR_JOB_RANKER,
    .load = load,
    .describe = describe,
    .free_impl = free_impl,
    .rank = fr_ctr_rank,
    .embed = NULL,
};
