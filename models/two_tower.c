/*
 * models/two_tower.c - inference of both towers.
 */
#include "models/two_tower.h"

#include <stdio.h>
#include <string.h>

#include "daemon/base/alloc.h"
#include "models/embed.h"
#include "models/gemm.h"
#include "models/model_priv.h"

#define CHUNK FR_GEMM_PAD_ROWS

/* Views into the model's tensors. */
struct impl {
    struct fr_two_tower_config cfg;
    struct fr_embed em;
    struct fr_mlp user, item;
    bool skip[FR_MAX_FIELDS]; /* by field: added to the tower's output */
};

static const enum fr_entity user_groups[] = {FR_ENTITY_USER, FR_ENTITY_CONTEXT};

bool fr_two_tower_is_skip(const struct fr_two_tower_config *cfg, const struct fr_enc_field *ef)
{
    return ef->f.kind == FR_FIELD_ID && strcmp(ef->f.table, cfg->skip_table) == 0;
}

/* Adds the skip fields of group e, embedded at x, to y; returns the end of x. */
static const float *add_skips(
    const struct fr_encoder *enc, const struct impl *d, enum fr_entity e, const float *x, float *y)
{
    for (int i = enc->first_field[e]; i < enc->first_field[e + 1]; i++, x += d->cfg.emb_dim)
        if (d->skip[i])
            fr_axpy(1.0f, x, y, (size_t)d->cfg.dim);
    return x;
}

/* Gathers one row of a tower: x (fields, E). */
static void gather(const struct fr_model *m,
                   bool user_tower,
                   const struct fr_slot *slots,
                   const struct fr_slot *context,
                   float *x)
{
    const struct impl *d = m->impl;
    const struct fr_encoder *enc = m->enc;

    if (!user_tower) {
        fr_embed_group(enc, &d->em, FR_ENTITY_ITEM, slots, x);
        return;
    }
    fr_embed_group(enc, &d->em, FR_ENTITY_USER, slots, x);
    fr_embed_group(enc,
                   &d->em,
                   FR_ENTITY_CONTEXT,
                   context,
                   x + (size_t)fr_encoder_n_fields(enc, FR_ENTITY_USER) * (size_t)d->cfg.emb_dim);
}

static void finish_row(const struct fr_model *m, bool user_tower, const float *x, float *y)
{
    const struct impl *d = m->impl;

    if (d->cfg.skip) {
        if (user_tower) {
            x = add_skips(m->enc, d, user_groups[0], x, y);
            (void)add_skips(m->enc, d, user_groups[1], x, y);
        } else {
            (void)add_skips(m->enc, d, FR_ENTITY_ITEM, x, y);
        }
    }
    (void)fr_nn_l2norm(y, (size_t)d->cfg.dim, y);
}

/*
 * Deterministic mode: every row is a product of one row, so neither its company nor its place in
 * the call can change its bits (with OpenBLAS' Haswell kernels the place alone does).
 */
static enum fr_err embed(const struct fr_model *m,
                         enum fr_entity e,
                         const struct fr_slot *const *slots,
                         const struct fr_slot *const *context,
                         int n,
                         unsigned flags,
                         struct fr_arena *ar,
                         float *out)
{
    const struct impl *d = m->impl;
    bool user_tower = e == FR_ENTITY_USER;
    bool fixed = (flags & FR_SCORE_DETERMINISTIC) != 0;
    const struct fr_mlp *mlp = user_tower ? &d->user : &d->item;
    size_t kx = (size_t)mlp->width[0], dim = (size_t)d->cfg.dim;
    int cap = fixed ? 1 : n < CHUNK ? n : CHUNK;

    float *x = fr_arena_array(ar, (size_t)cap * kx, sizeof(*x));
    float *y = fr_arena_array(ar, (size_t)cap * dim, sizeof(*y));
    if (x == NULL || y == NULL)
        return FR_ENOMEM;
    for (int at = 0; at < n; at += cap) {
        int rows = n - at < cap ? n - at : cap;
        for (int i = 0; i < rows; i++)
            gather(m,
                   user_tower,
                   slots == NULL ? NULL : slots[at + i],
                   context == NULL ? NULL : context[at + i],
                   x + (size_t)i * kx);
        enum fr_err err = fr_mlp_forward(mlp, 0, x, rows, ar, y);
        if (err != FR_OK)
            return err;
        for (int i = 0; i < rows; i++)
            finish_row(m, user_tower, x + (size_t)i * kx, y + (size_t)i * dim);
        memcpy(out + (size_t)at * dim, y, (size_t)rows * dim * sizeof(*y));
    }
    return FR_OK;
}

/* ---- construction ---- */

enum fr_err fr_two_tower_config_check(const struct fr_encoder *enc,
                                      const struct fr_two_tower_config *cfg,
                                      struct fr_fault *fault)
{
    if (cfg->emb_dim < 1 || cfg->emb_dim > 512 || cfg->dim < 1 || cfg->dim > 512)
        return fr_fault(fault, FR_EINVAL, "two_tower: emb_dim and dim must be in 1..512");
    if (cfg->skip && cfg->emb_dim != cfg->dim)
        return fr_fault(fault, FR_EINVAL, "two_tower: skip needs emb_dim equal to dim");
    if (!(cfg->tau > 0.0f) || !fr_is_finite(1.0f / cfg->tau))
        return fr_fault(fault, FR_EINVAL, "two_tower: tau must be above 0");
    if (cfg->n_hidden < 0 || cfg->n_hidden > FR_MLP_MAX_LAYERS - 1)
        return fr_fault(fault, FR_EINVAL, "two_tower: too many hidden layers");
    for (int i = 0; i < cfg->n_hidden; i++)
        if (cfg->hidden[i] < 1 || cfg->hidden[i] > FR_NN_MAX_WIDTH)
            return fr_fault(fault, FR_EINVAL, "two_tower: hidden[%d] out of range", i);
    if (cfg->bare && (cfg->n_hidden > 0 || cfg->skip))
        return fr_fault(fault, FR_EINVAL, "two_tower: bare goes with neither hidden layers nor skip");
    if (cfg->bare && (fr_encoder_n_fields(enc, FR_ENTITY_ITEM) * cfg->emb_dim != cfg->dim ||
                      (enc->n_fields - fr_encoder_n_fields(enc, FR_ENTITY_ITEM)) * cfg->emb_dim != cfg->dim))
        return fr_fault(fault, FR_EINVAL, "two_tower: bare needs emb_dim times the fields of a side to be dim");
    if (fr_encoder_n_fields(enc, FR_ENTITY_ITEM) == 0)
        return fr_fault(fault, FR_EINVAL, "two_tower: needs an item field");
    if (fr_encoder_n_fields(enc, FR_ENTITY_CROSS) != 0)
        return fr_fault(fault, FR_EINVAL, "two_tower: takes no cross fields");
    if (fr_encoder_n_fields(enc, FR_ENTITY_ITEM) == enc->n_fields)
        return fr_fault(fault, FR_EINVAL, "two_tower: needs a user or context field");
    return FR_OK;
}

/* Gates and skips of each field; returns the number of gate tensors or -1. */
static enum fr_err bind_fields(struct fr_model *m,
                               const struct fr_encoder *enc,
                               int *out_gates,
                               struct fr_fault *fault)
{
    struct impl *d = m->impl;
    char name[FR_TENSOR_NAME];
    int gates = 0;

    for (int i = 0; i < enc->n_fields; i++) {
        const struct fr_enc_field *ef = &enc->field[i];
        bool is_skip = fr_two_tower_is_skip(&d->cfg, ef);
        d->skip[i] = d->cfg.skip && is_skip;
        if (!d->cfg.gates || !is_skip || ef->f.slots < 2)
            continue;
        (void)snprintf(name, sizeof(name), "gate.%s.weight", ef->f.name);
        enum fr_err e = fr_tensor_require(m->tensor,
                                          m->n_tensors,
                                          name,
                                          ef->f.slots,
                                          (uint64_t)d->cfg.emb_dim,
                                          &d->em.gate[i],
                                          fault);
        if (e != FR_OK)
            return e;
        gates++;
    }
    *out_gates = gates;
    return FR_OK;
}

static enum fr_err bind(struct fr_model *m, const struct fr_encoder *enc, struct fr_fault *fault)
{
    struct impl *d = m->impl;
    const struct fr_two_tower_config *cfg = &d->cfg;
    int width[FR_MLP_MAX_LAYERS + 1];
    int n_item = fr_encoder_n_fields(enc, FR_ENTITY_ITEM);
    int layers = cfg->bare ? 0 : cfg->n_hidden + 1, gates = 0;
    enum fr_err e;

    d->em.dim = cfg->emb_dim;
    memcpy(width + 1, cfg->hidden, (size_t)cfg->n_hidden * sizeof(*width));
    if (layers > 0)
        width[layers] = cfg->dim;
    if ((e = fr_model_bind_tables(m, enc, "embedding", cfg->emb_dim, d->em.v, fault)) != FR_OK ||
        (e = bind_fields(m, enc, &gates, fault)) != FR_OK)
        return e;
    width[0] = (enc->n_fields - n_item) * cfg->emb_dim;
    e = fr_mlp_bind(&d->user, "user_mlp", width, layers, false, m->tensor, m->n_tensors, fault);
    if (e != FR_OK)
        return e;
    width[0] = n_item * cfg->emb_dim;
    e = fr_mlp_bind(&d->item, "item_mlp", width, layers, false, m->tensor, m->n_tensors, fault);
    if (e != FR_OK)
        return e;
    int expect = enc->n_tables + gates + 4 * layers;
    if (m->n_tensors != expect)
        return fr_fault(
            fault, FR_EMISMATCH, "two_tower needs %d tensors, %d are there", expect, m->n_tensors);
    return FR_OK;
}

enum fr_err fr_two_tower_new(struct fr_encoder **take_enc,
                             const struct fr_two_tower_config *cfg,
                             const struct fr_tensor *t,
                             int n,
                             enum fr_weights weights,
                             struct fr_model **out_m,
                             struct fr_fault *fault)
{
    struct fr_model *m = NULL;
    enum fr_err e = fr_two_tower_config_check(*take_enc, cfg, fault);

    if (e != FR_OK || (e = fr_model_frame(FR_MODEL_TWO_TOWER, *take_enc, t, n, weights, &m, fault)) != FR_OK)
        return e;
    m->impl = fr_calloc(1, sizeof(struct impl));
    if (m->impl == NULL) {
        e = fr_fault(fault, FR_ENOMEM, "two_tower: out of memory");
    } else {
        ((struct impl *)m->impl)->cfg = *cfg;
        e = bind(m, *take_enc, fault);
    }
    if (e != FR_OK) {
        fr_model_free(m);
        return e;
    }
    m->info.dim = cfg->dim;
    m->inv_tau = 1.0f / cfg->tau;
    m->enc = *take_enc;
    *take_enc = NULL;
    *out_m = m;
    return FR_OK;
}

static enum fr_err
config_bool(const struct fr_json *c, const char *key, bool *out, struct fr_fault *fault)
{
    const struct fr_json *v = fr_json_get(c, key);
    if (v == NULL || v->type != FR_JSON_BOOL)
        return fr_fault(fault, FR_ESCHEMA, "config.%s must be true or false", key);
    *out = v->b;
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
    struct fr_two_tower_config cfg = {0};
    const struct fr_json *tau = fr_json_get(config, "tau"), *bare = fr_json_get(config, "bare");
    const struct fr_json *table = fr_json_get(config, "skip_table");
    enum fr_err e;

    (void)kind;
    if ((e = fr_model_config_int(config, "emb_dim", 1, 512, &cfg.emb_dim, fault)) != FR_OK ||
        (e = fr_model_config_int(config, "dim", 1, 512, &cfg.dim, fault)) != FR_OK ||
        (e = config_bool(config, "skip", &cfg.skip, fault)) != FR_OK ||
        (e = config_bool(config, "gates", &cfg.gates, fault)) != FR_OK ||
        (bare != NULL && (e = config_bool(config, "bare", &cfg.bare, fault)) != FR_OK)) /* absent: no */
        return e;
    e = fr_model_config_hidden(config, FR_MLP_MAX_LAYERS - 1, cfg.hidden, &cfg.n_hidden, fault);
    if (e != FR_OK)
        return e;
    if (tau == NULL || tau->type != FR_JSON_NUMBER || !(tau->num > 0) || tau->num > 1e3)
        return fr_fault(fault, FR_ERANGE, "config.tau must be a number above 0, at most 1000");
    if (table == NULL || table->type != FR_JSON_STRING || table->str.n >= sizeof(cfg.skip_table))
        return fr_fault(fault, FR_ESCHEMA, "config.skip_table must be a short string");
    cfg.tau = (float)tau->num;
    if (table->str.n > 0)
        memcpy(cfg.skip_table, table->str.p, table->str.n);
    return fr_two_tower_new(take_enc, &cfg, t, n, FR_WEIGHTS_BORROW, out_m, fault);
}

static void describe(const struct fr_model *m, struct fr_jsonw *w)
{
    const struct impl *d = m->impl;
    fr_jsonw_key(w, "emb_dim");
    fr_jsonw_i64(w, d->cfg.emb_dim);
    fr_jsonw_key(w, "dim");
    fr_jsonw_i64(w, d->cfg.dim);
    fr_jsonw_key(w, "hidden");
    fr_jsonw_array(w);
    for (int i = 0; i < d->cfg.n_hidden; i++)
        fr_jsonw_i64(w, d->cfg.hidden[i]);
    fr_jsonw_end(w, ']');
    fr_jsonw_key(w, "tau");
    fr_jsonw_f32(w, d->cfg.tau);
    fr_jsonw_key(w, "skip");
    fr_jsonw_bool(w, d->cfg.skip);
    fr_jsonw_key(w, "gates");
    fr_jsonw_bool(w, d->cfg.gates);
    if (d->cfg.bare) {
        fr_jsonw_key(w, "bare");
        fr_jsonw_bool(w, true);
    }
    fr_jsonw_key(w, "skip_table");
    fr_jsonw_z(w, d->cfg.skip_table);
}

const struct fr_model_ops fr_two_tower_ops = {
    .job = FR_JOB_RETRIEVAL,
    .load = load,
    .describe = describe,
    .free_impl = fr_free,
    .rank = NULL,
    .embed = embed,
};
