/*
 * models/ncf.c - construction and ranking of gmf, mlp and neumf.
 */
#include "models/ncf.h"

#include <string.h>

#include "daemon/base/alloc.h"
#include "models/explain.h"
#include "models/gemm.h"
#include "models/model_priv.h"

#define CHUNK 256

/* Views into the model's tensors. */
struct impl {
    struct fr_ncf_config cfg;
    const float *gmf[FR_MAX_FIELDS], *mlp_v[FR_MAX_FIELDS]; /* by encoder table */
    int user, item;                                         /* tables */
    struct fr_mlp mlp;                                      /* n_layers 0: gmf */
    const float *out;                                       /* (f + last) */
    float bias;
};

enum fr_err
fr_ncf_check_fields(const struct fr_encoder *enc, const char *kind, struct fr_fault *fault)
{
    static const enum fr_entity sides[] = {FR_ENTITY_USER, FR_ENTITY_ITEM};

    if (enc->n_fields != 2)
        return fr_fault(fault, FR_EINVAL, "%s: takes one user and one item field", kind);
    for (int i = 0; i < 2; i++) {
        const struct fr_enc_field *f = &enc->field[enc->first_field[sides[i]]];

        if (fr_encoder_n_fields(enc, sides[i]) != 1)
            return fr_fault(fault, FR_EINVAL, "%s: takes one user and one item field", kind);
        if (f->f.kind != FR_FIELD_ID || f->f.slots != 1)
            return fr_fault(fault, FR_EINVAL, "%s: field %s is not one id", kind, f->f.name);
    }
    if (fr_ncf_table(enc, FR_ENTITY_USER) == fr_ncf_table(enc, FR_ENTITY_ITEM))
        return fr_fault(fault, FR_EINVAL, "%s: user and item share a table", kind);
    return FR_OK;
}

enum fr_err
fr_ncf_check(const struct fr_encoder *enc, const struct fr_ncf_config *cfg, struct fr_fault *fault)
{
    const char *name = fr_model_kind_name(cfg->kind);
    bool gmf = cfg->kind != FR_MODEL_MLP, mlp = cfg->kind != FR_MODEL_GMF;

    if (cfg->kind != FR_MODEL_NEUMF && cfg->kind != FR_MODEL_GMF && cfg->kind != FR_MODEL_MLP)
        return fr_fault(fault, FR_EINVAL, "%s is none of neumf, gmf, mlp", name);
    if (cfg->factors < (gmf ? 1 : 0) || cfg->factors > (gmf ? 512 : 0))
        return fr_fault(fault, FR_EINVAL, "%s: factors out of range", name);
    if (cfg->n_hidden < (mlp ? 2 : 0) || cfg->n_hidden > (mlp ? FR_NCF_MAX_HIDDEN : 0))
        return fr_fault(fault, FR_EINVAL, "%s: number of hidden widths out of range", name);
    for (int i = 0; i < cfg->n_hidden; i++)
        if (cfg->hidden[i] < 1 || cfg->hidden[i] > FR_NN_MAX_WIDTH ||
            (i == 0 && cfg->hidden[0] % 2 != 0))
            return fr_fault(fault,
                            FR_EINVAL,
                            "%s: hidden[%d] out of range%s",
                            name,
                            i,
                            i == 0 ? " or odd" : "");
    return fr_ncf_check_fields(enc, name, fault);
}

/* ---- ranking ---- */

/* Buffers of one query. */
struct scratch {
    float *p;     /* (f) out * the user's vector */
    float *h0;    /* (H1) bias and the user's part of the first layer */
    float *x;     /* (CHUNK, hidden[0] / 2 or f) item vectors */
    float *h, *y; /* (CHUNK, H1) (CHUNK, last) */
};

static enum fr_err
begin(const struct impl *d, const struct fr_slot *user, struct fr_arena *ar, struct scratch *s)
{
    size_t f = (size_t)d->cfg.factors,
           half = d->cfg.n_hidden > 0 ? (size_t)d->cfg.hidden[0] / 2 : 0;
    size_t h1 = d->mlp.n_layers > 0 ? (size_t)d->mlp.width[1] : 0;
    size_t last = d->mlp.n_layers > 0 ? (size_t)d->mlp.width[d->mlp.n_layers] : 0;

    s->p = fr_arena_array(ar, f + 1, sizeof(float));
    s->h0 = fr_arena_array(ar, h1 + 1, sizeof(float));
    s->x = fr_arena_array(ar, CHUNK * (half > f ? half : f), sizeof(float));
    s->h = fr_arena_array(ar, CHUNK * h1 + 1, sizeof(float));
    s->y = fr_arena_array(ar, CHUNK * last + 1, sizeof(float));
    if (s->p == NULL || s->h0 == NULL || s->x == NULL || s->h == NULL || s->y == NULL)
        return FR_ENOMEM;
    if (f > 0) {
        fr_gather_sum(d->gmf[d->user], f, user, 1, s->p);
        for (size_t k = 0; k < f; k++)
            s->p[k] *= d->out[k];
    }
    if (h1 == 0)
        return FR_OK;
    fr_gather_sum(d->mlp_v[d->user], half, user, 1, s->x);
    memcpy(s->h0, d->mlp.bias[0], h1 * sizeof(*s->h0));
    fr_gemm(false,
            true,
            1,
            (int)h1,
            (int)half,
            1,
            s->x,
            (int)half,
            d->mlp.w[0],
            d->mlp.width[0],
            1,
            s->h0,
            (int)h1);
    return FR_OK;
}

static enum fr_err add_mlp(const struct impl *d,
                           const struct fr_slot *const *items,
                           int n,
                           struct fr_arena *ar,
                           struct scratch *s,
                           float *out)
{
    size_t half = (size_t)d->cfg.hidden[0] / 2, h1 = (size_t)d->mlp.width[1],
           in = (size_t)d->mlp.width[0];
    size_t last = (size_t)d->mlp.width[d->mlp.n_layers];

    for (size_t i = 0; i < (size_t)n; i++) {
        fr_gather_sum(d->mlp_v[d->item], half, items[i], 1, s->x + i * half);
        memcpy(s->h + i * h1, s->h0, h1 * sizeof(*s->h));
    }
    fr_gemm(false,
            true,
            n,
            (int)h1,
            (int)half,
            1,
            s->x,
            (int)half,
            d->mlp.w[0] + half,
            (int)in,
            1,
            s->h,
            (int)h1);
    fr_nn_relu(s->h, (size_t)n * h1);
    enum fr_err e = fr_mlp_forward(&d->mlp, 1, s->h, n, ar, s->y);
    for (size_t i = 0; i < (size_t)n && e == FR_OK; i++)
        out[i] += fr_dot(d->out + d->cfg.factors, s->y + i * last, last);
    return e;
}

/* Deterministic: rows one by one, so every product has one shape. */
static enum fr_err rank(const struct fr_model *m,
                        const struct fr_rank_query *q,
                        unsigned flags,
                        struct fr_arena *ar,
                        float *out,
                        float *raw)
{
    const struct impl *d = m->impl;
    size_t f = (size_t)d->cfg.factors;
    int cap = (flags & FR_SCORE_DETERMINISTIC) != 0 ? 1 : CHUNK;
    struct scratch s;
    enum fr_err e = begin(d, q->user, ar, &s);

    (void)raw; /* one head */
    for (int at = 0; at < q->n && e == FR_OK; at += cap) {
        int n = q->n - at < cap ? q->n - at : cap;

        for (int i = 0; i < n; i++) {
            out[at + i] = d->bias;
            if (f == 0)
                continue;
            fr_gather_sum(d->gmf[d->item], f, q->items[at + i], 1, s.x);
            out[at + i] += fr_dot(s.p, s.x, f);
        }
        if (d->mlp.n_layers > 0)
            e = add_mlp(d, q->items + at, n, ar, &s, out + at);
    }
    return e;
}

/* GMF's part is a weighted product of the two ids: a pair. The MLP's is the deep part. */
static enum fr_err explain(const struct fr_model *m,
                           const struct fr_slot *const slots[FR_ENTITY_COUNT],
                           struct fr_arena *ar,
                           struct fr_explanation *x)
{
    const struct impl *d = m->impl;
    const struct fr_slot *u = slots[FR_ENTITY_USER], *i = slots[FR_ENTITY_ITEM];
    size_t f = (size_t)d->cfg.factors, half = d->mlp.n_layers > 0 ? (size_t)d->cfg.hidden[0] / 2 : 0;
    size_t last = d->mlp.n_layers > 0 ? (size_t)d->mlp.width[d->mlp.n_layers] : 0;
    float *v = fr_arena_array(ar, 2 * (f > half ? f : half), sizeof(*v)), *y = fr_arena_array(ar, last + 1, sizeof(*y));

    x->pair = f > 0 ? fr_arena_zarray(ar, 4, sizeof(*x->pair)) : NULL;
    if (v == NULL || y == NULL || (f > 0 && x->pair == NULL))
        return FR_ENOMEM;
    x->bias = (double)d->bias;
    if (f > 0) {
        fr_gather_sum(d->gmf[d->user], f, u, 1, v);
        fr_gather_sum(d->gmf[d->item], f, i, 1, v + f);
    }
    for (size_t k = 0; k < f; k++)
        x->pair[1] += (double)d->out[k] * (double)v[k] * (double)v[f + k];
    if (half == 0)
        return FR_OK;
    fr_gather_sum(d->mlp_v[d->user], half, u, 1, v);
    fr_gather_sum(d->mlp_v[d->item], half, i, 1, v + half);
    enum fr_err e = fr_mlp_forward(&d->mlp, 0, v, 1, ar, y);
    for (size_t k = 0; k < last && e == FR_OK; k++)
        x->deep += (double)d->out[f + k] * (double)y[k];
    return e;
}

/* ---- construction ---- */

static enum fr_err bind(struct fr_model *m, const struct fr_encoder *enc, struct fr_fault *fault)
{
    struct impl *d = m->impl;
    const struct fr_ncf_config *c = &d->cfg;
    int layers = c->n_hidden > 0 ? c->n_hidden - 1 : 0,
        last = c->n_hidden > 0 ? c->hidden[c->n_hidden - 1] : 0;
    int expect = 2 + 2 * layers + (c->factors > 0 ? 2 : 0) + (layers > 0 ? 2 : 0);
    const float *bias = NULL;
    enum fr_err e = FR_OK;

    d->user = fr_ncf_table(enc, FR_ENTITY_USER);
    d->item = fr_ncf_table(enc, FR_ENTITY_ITEM);
    if (c->factors > 0)
        e = fr_model_bind_tables(m, enc, "gmf_embedding", c->factors, d->gmf, fault);
    if (e == FR_OK && layers > 0)
        e = fr_model_bind_tables(m, enc, "mlp_embedding", c->hidden[0] / 2, d->mlp_v, fault);
    if (e == FR_OK && layers > 0)
        e = fr_mlp_bind(&d->mlp, "mlp", c->hidden, layers, true, m->tensor, m->n_tensors, fault);
    if (e == FR_OK)
        e = fr_tensor_require(m->tensor,
                              m->n_tensors,
                              "out.weight",
                              1,
                              (uint64_t)(c->factors + last),
                              &d->out,
                              fault);
    if (e == FR_OK)
        e = fr_tensor_require(m->tensor, m->n_tensors, "out.bias", 1, 0, &bias, fault);
    if (e != FR_OK)
        return e;
    d->bias = *bias;
    if (m->n_tensors != expect)
        return fr_fault(fault,
                        FR_EMISMATCH,
                        "%s needs %d tensors, %d are there",
                        fr_model_kind_name(c->kind),
                        expect,
                        m->n_tensors);
    return FR_OK;
}

enum fr_err fr_ncf_new(struct fr_encoder **take_enc,
                       const struct fr_ncf_config *cfg,
                       const struct fr_tensor *t,
                       int n,
                       enum fr_weights weights,
                       struct fr_model **out_m,
                       struct fr_fault *fault)
{
    struct fr_model *m = NULL;
    enum fr_err e = fr_ncf_check(*take_enc, cfg, fault);

    if (e != FR_OK || (e = fr_model_frame(cfg->kind, *take_enc, t, n, weights, &m, fault)) != FR_OK)
        return e;
    m->impl = fr_calloc(1, sizeof(struct impl));
    if (m->impl == NULL) {
        e = fr_fault(fault, FR_ENOMEM, "model: out of memory");
    } else {
        ((struct impl *)m->impl)->cfg = *cfg;
        e = bind(m, *take_enc, fault);
    }
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
    struct fr_ncf_config cfg = {.kind = kind};
    enum fr_err e = fr_model_config_int(config, "factors", 0, 512, &cfg.factors, fault);

    if (e == FR_OK)
        e = fr_model_config_hidden(config, FR_NCF_MAX_HIDDEN, cfg.hidden, &cfg.n_hidden, fault);
    return e == FR_OK ? fr_ncf_new(take_enc, &cfg, t, n, FR_WEIGHTS_BORROW, out_m, fault) : e;
}

static void describe(const struct fr_model *m, struct fr_jsonw *w)
{
    const struct impl *d = m->impl;

    fr_jsonw_key(w, "factors");
    fr_jsonw_i64(w, d->cfg.factors);
    fr_jsonw_key(w, "hidden");
    fr_jsonw_array(w);
    for (int i = 0; i < d->cfg.n_hidden; i++)
        fr_jsonw_i64(w, d->cfg.hidden[i]);
    fr_jsonw_end(w, ']');
}

const struct fr_model_ops fr_ncf_ops = {
    .job = FR_JOB_RANKER,
    .load = load,
    .describe = describe,
    .free_impl = fr_free,
    .rank = rank,
    .embed = NULL,
    .explain = explain,
};
