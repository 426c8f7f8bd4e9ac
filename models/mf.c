/*
 * models/mf.c - construction, vectors for an index, logits.
 */
#include "models/mf.h"

#include <math.h>
#include <string.h>

#include "daemon/base/alloc.h"
#include "models/explain.h"
#include "models/model_priv.h"
#include "models/ncf.h"

/* Views into the model's tensors. */
struct impl {
    int dim, user, item; /* tables of user and item */
    const float *v[FR_MAX_FIELDS], *lin[FR_MAX_FIELDS];
    float bias;
    double longest; /* M */
};

static double squares(const float *v, size_t n)
{
    double s = 0;

    for (size_t i = 0; i < n; i++)
        s += (double)v[i] * (double)v[i];
    return s;
}

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
    size_t dim = (size_t)d->dim;
    int table = e == FR_ENTITY_USER ? d->user : d->item;

    (void)context;
    (void)flags; /* a row's bits do not depend on the others */
    (void)ar;
    for (int i = 0; i < n; i++, out += dim + 2) {
        fr_gather_sum(d->v[table], dim, slots[i], 1, out);
        out[dim] = e == FR_ENTITY_USER ? 1 : fr_gather_dot(d->lin[table], slots[i], 1);
        double s = squares(out, dim + 1), rest = d->longest * d->longest - s;
        double length = e == FR_ENTITY_USER ? sqrt(s) : d->longest;
        out[dim + 1] = e == FR_ENTITY_USER || rest < 0 ? 0 : (float)sqrt(rest);
        for (size_t k = 0; k < dim + 2; k++)
            out[k] = (float)((double)out[k] / length);
    }
    return FR_OK;
}

static enum fr_err rank(const struct fr_model *m,
                        const struct fr_rank_query *q,
                        unsigned flags,
                        struct fr_arena *ar,
                        float *out,
                        float *raw)
{
    const struct impl *d = m->impl;
    size_t dim = (size_t)d->dim;
    float *p = fr_arena_array(ar, 2 * dim, sizeof(*p));

    (void)flags;
    (void)raw; /* one head */
    if (p == NULL)
        return FR_ENOMEM;
    fr_gather_sum(d->v[d->user], dim, q->user, 1, p);
    float base = d->bias + fr_gather_dot(d->lin[d->user], q->user, 1);
    for (int i = 0; i < q->n; i++) {
        fr_gather_sum(d->v[d->item], dim, q->items[i], 1, p + dim);
        out[i] = base + fr_gather_dot(d->lin[d->item], q->items[i], 1) + fr_dot(p, p + dim, dim);
    }
    return FR_OK;
}

/* z = b + b_u + b_i + p . q */
static enum fr_err explain(const struct fr_model *m,
                           const struct fr_slot *const slots[FR_ENTITY_COUNT],
                           struct fr_arena *ar,
                           struct fr_explanation *x)
{
    const struct impl *d = m->impl;
    const struct fr_slot *u = slots[FR_ENTITY_USER], *i = slots[FR_ENTITY_ITEM];
    const float *p = d->v[d->user] + (size_t)u->row * (size_t)d->dim,
                *q = d->v[d->item] + (size_t)i->row * (size_t)d->dim;

    x->pair = fr_arena_zarray(ar, 4, sizeof(*x->pair));
    if (x->pair == NULL)
        return FR_ENOMEM;
    x->bias = (double)d->bias;
    x->field[0].linear = (double)u->x * (double)d->lin[d->user][u->row];
    x->field[1].linear = (double)i->x * (double)d->lin[d->item][i->row];
    for (int k = 0; k < d->dim; k++)
        x->pair[1] += (double)u->x * (double)p[k] * (double)i->x * (double)q[k];
    return FR_OK;
}

static enum fr_err bind(struct fr_model *m, const struct fr_encoder *enc, struct fr_fault *fault)
{
    struct impl *d = m->impl;
    const float *bias = NULL;
    enum fr_err e = fr_tensor_require(m->tensor, m->n_tensors, "bias", 1, 0, &bias, fault);

    d->user = fr_ncf_table(enc, FR_ENTITY_USER);
    d->item = fr_ncf_table(enc, FR_ENTITY_ITEM);
    if (e == FR_OK)
        e = fr_model_bind_tables(m, enc, "linear", 1, d->lin, fault);
    if (e == FR_OK)
        e = fr_model_bind_tables(m, enc, "embedding", d->dim, d->v, fault);
    if (e != FR_OK)
        return e;
    if (m->n_tensors != 5)
        return fr_fault(fault, FR_EMISMATCH, "mf needs 5 tensors, %d are there", m->n_tensors);
    d->bias = *bias;
    for (uint32_t r = 0; r < enc->table[d->item].rows; r++) {
        double b = (double)d->lin[d->item][r];
        double s = squares(d->v[d->item] + (size_t)r * (size_t)d->dim, (size_t)d->dim) + b * b;
        d->longest = s > d->longest ? s : d->longest;
    }
    d->longest = d->longest > 0 ? sqrt(d->longest) : 1;
    if (!fr_is_finite((float)d->longest))
        return fr_fault(
            fault, FR_ENONFINITE, "embedding of %s: a row is too long", enc->table[d->item].name);
    return FR_OK;
}

enum fr_err fr_mf_new(struct fr_encoder **take_enc,
                      int dim,
                      const struct fr_tensor *t,
                      int n,
                      enum fr_weights weights,
                      struct fr_model **out_m,
                      struct fr_fault *fault)
{
    struct fr_model *m = NULL;
    enum fr_err e = fr_ncf_check_fields(*take_enc, "mf", fault);

    if (e == FR_OK && (dim < 1 || dim > FR_MF_MAX_DIM))
        e = fr_fault(fault, FR_EINVAL, "mf: dim must be 1..%d", FR_MF_MAX_DIM);
    if (e != FR_OK || (e = fr_model_frame(FR_MODEL_MF, *take_enc, t, n, weights, &m, fault)) != FR_OK)
        return e;
    m->impl = fr_calloc(1, sizeof(struct impl));
    if (m->impl == NULL) {
        e = fr_fault(fault, FR_ENOMEM, "model: out of memory");
    } else {
        ((struct impl *)m->impl)->dim = dim;
        e = bind(m, *take_enc, fault);
    }
    if (e != FR_OK) {
        fr_model_free(m);
        return e;
    }
    m->info.dim = dim + 2;
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
    int dim = 0;
    enum fr_err e = fr_model_config_int(config, "dim", 1, FR_MF_MAX_DIM, &dim, fault);

    (void)kind;
    return e == FR_OK ? fr_mf_new(take_enc, dim, t, n, FR_WEIGHTS_BORROW, out_m, fault) : e;
}

static void describe(const struct fr_model *m, struct fr_jsonw *w)
{
    fr_jsonw_key(w, "dim");
    fr_jsonw_i64(w, ((const struct impl *)m->impl)->dim);
}

const struct fr_model_ops fr_mf_ops = {
    .job = FR_JOB_RETRIEVAL,
    .load = load,
    .describe = describe,
    .free_impl = fr_free,
    .rank = rank,
    .embed = embed,
    .explain = explain,
};
