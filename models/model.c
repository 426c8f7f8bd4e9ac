/*
 * models/model.c - the kinds of models and the calls that are the same for all of them.
 */
#include "models/model.h"

#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "daemon/base/alloc.h"
#include "models/bundle.h"
#include "models/fetch.h"
#include "models/model_priv.h"
#include "models/nn.h"

#define SELFTEST_TOL 1e-4

/* One row a kind; the name is what manifests and configs say. */
static const struct {
    const char *name;
    const struct fr_model_ops *ops;
} kinds[FR_MODEL_KIND_COUNT] = {
    [FR_MODEL_TWO_TOWER] = {"two_tower", &fr_two_tower_ops},
    [FR_MODEL_LR] = {"lr", &fr_ctr_ops},
    [FR_MODEL_FM] = {"fm", &fr_ctr_ops},
    [FR_MODEL_WIDE_DEEP] = {"wide_deep", &fr_ctr_ops},
    [FR_MODEL_DEEPFM] = {"deepfm", &fr_ctr_ops},
    [FR_MODEL_AUTOINT] = {"autoint", &fr_ctr_ops},
    [FR_MODEL_AUTOINT_PLUS] = {"autoint+", &fr_ctr_ops},
    [FR_MODEL_NEUMF] = {"neumf", &fr_ncf_ops},
    [FR_MODEL_GMF] = {"gmf", &fr_ncf_ops},
    [FR_MODEL_MLP] = {"mlp", &fr_ncf_ops},
    [FR_MODEL_MF] = {"mf", &fr_mf_ops},
};

const char *fr_model_kind_slug(enum fr_model_kind k)
{
    return k == FR_MODEL_AUTOINT_PLUS ? "autoint_plus" : fr_model_kind_name(k);
}

const char *fr_model_kind_name(enum fr_model_kind k)
{
    return (unsigned)k < FR_MODEL_KIND_COUNT ? kinds[k].name : "?";
}

enum fr_model_kind fr_model_kind_find(struct fr_str name)
{
    int k = 0;
    while (k < FR_MODEL_KIND_COUNT && (kinds[k].ops == NULL || !fr_str_eqz(name, kinds[k].name)))
        k++;
    return (enum fr_model_kind)k;
}

/* ---- construction ---- */

static _Atomic uint64_t next_serial = 1;

static size_t padded(size_t n)
{
    return (n + 15) & ~(size_t)15;
}

enum fr_err fr_model_frame(enum fr_model_kind kind,
                           const struct fr_encoder *enc,
                           const struct fr_tensor *t,
                           int n,
                           enum fr_weights weights,
                           struct fr_model **out_m,
                           struct fr_fault *fault)
{
    struct fr_model *m = fr_calloc(1, sizeof(*m));
    size_t total = 0, at = 0;

    if (m == NULL)
        goto no_memory;
    for (int i = 0; i < n; i++) {
        if (t[i].dtype == FR_DTYPE_F32) {
            total += padded(fr_tensor_count(&t[i]));
        } else if (strncmp(t[i].name, "vocab.", 6) != 0) {
            fr_model_free(m);
            return fr_fault(fault,
                            FR_EMISMATCH,
                            "tensor %s is %s, not F32",
                            t[i].name,
                            fr_dtype_name(t[i].dtype));
        }
    }
    m->tensor = fr_calloc(n > 0 ? (size_t)n : 1, sizeof(*m->tensor));
    if (weights == FR_WEIGHTS_COPY)
        m->block = fr_calloc_aligned(total > 0 ? total : 1, sizeof(float));
    if (m->tensor == NULL || (weights == FR_WEIGHTS_COPY && m->block == NULL))
        goto no_memory;
    for (int i = 0; i < n; i++) {
        size_t count = fr_tensor_count(&t[i]);
        if (t[i].dtype != FR_DTYPE_F32)
            continue;
        m->tensor[m->n_tensors++] = t[i];
        if (weights == FR_WEIGHTS_BORROW)
            continue;
        m->tensor[m->n_tensors - 1].data = m->block + at;
        memcpy(m->block + at, t[i].data, count * sizeof(float));
        at += padded(count);
    }
    m->serial = atomic_fetch_add_explicit(&next_serial, 1, memory_order_relaxed);
    m->ops = kinds[kind].ops;
    m->inv_tau = 1.0f;
    m->info.kind = kind;
    m->info.job = m->ops->job;
    m->info.schema_hash = enc->schema_hash;
    memcpy(m->info.n_slots, enc->n_slots, sizeof(m->info.n_slots));
    *out_m = m;
    return FR_OK;
no_memory:
    fr_model_free(m);
    return fr_fault(fault, FR_ENOMEM, "model: out of memory");
}

enum fr_err fr_model_bind_tables(const struct fr_model *m,
                                 const struct fr_encoder *enc,
                                 const char *prefix,
                                 int dim,
                                 const float *out_v[FR_MAX_FIELDS],
                                 struct fr_fault *fault)
{
    char name[FR_TENSOR_NAME];

    for (int i = 0; i < enc->n_tables; i++) {
        (void)snprintf(name, sizeof(name), "%s.%s.weight", prefix, enc->table[i].name);
        enum fr_err e = fr_tensor_require(
            m->tensor, m->n_tensors, name, enc->table[i].rows, (uint64_t)dim, &out_v[i], fault);
        if (e != FR_OK)
            return e;
    }
    return FR_OK;
}

void fr_model_free(struct fr_model *m)
{
    if (m == NULL)
        return;
    if (m->ops != NULL && m->impl != NULL)
        m->ops->free_impl(m->impl);
    fr_encoder_free(m->enc);
    fr_free(m->tensor);
    fr_free(m->block);
    for (int i = 0; i < m->n_own; i++)
        fr_free(m->own[i]);
    fr_free(m->own);
    fr_free(m);
}

void fr_model_free_borrowed(struct fr_model *m)
{
    if (m != NULL)
        m->enc = NULL;
    fr_model_free(m);
}

enum fr_err fr_model_config_int(const struct fr_json *config,
                                const char *key,
                                int min,
                                int max,
                                int *out,
                                struct fr_fault *fault)
{
    const struct fr_json *v = fr_json_get(config, key);
    if (v == NULL || v->type != FR_JSON_NUMBER || !v->is_int)
        return fr_fault(fault, FR_ESCHEMA, "config.%s must be an integer", key);
    if (v->i < min || v->i > max)
        return fr_fault(
            fault, FR_ERANGE, "config.%s is %lld, allowed %d..%d", key, (long long)v->i, min, max);
    *out = (int)v->i;
    return FR_OK;
}

enum fr_err fr_model_config_hidden(
    const struct fr_json *config, int max_n, int *out_width, int *out_n, struct fr_fault *fault)
{
    const struct fr_json *a = fr_json_get(config, "hidden");
    int n = 0;

    if (a == NULL || a->type != FR_JSON_ARRAY || a->n > (size_t)max_n)
        return fr_fault(
            fault, FR_ESCHEMA, "config.hidden must be an array of at most %d widths", max_n);
    for (const struct fr_json *v = a->child; v != NULL; v = v->next) {
        if (v->type != FR_JSON_NUMBER || !v->is_int || v->i < 1 || v->i > FR_NN_MAX_WIDTH)
            return fr_fault(fault,
                            FR_ERANGE,
                            "config.hidden[%d] must be an integer in 1..%d",
                            n,
                            FR_NN_MAX_WIDTH);
        out_width[n++] = (int)v->i;
    }
    *out_n = n;
    return FR_OK;
}

/* ---- loading ---- */

static enum fr_err
compare(int index, const char *what, const float *got, const float *expected, int n, struct fr_fault *fault)
{
    for (int i = 0; i < n; i++) {
        double want = (double)expected[i];
        double diff = fabs((double)got[i] - want);
        if (!(diff <= SELFTEST_TOL * (1.0 + fabs(want))))
            return fr_fault(fault,
                            FR_EREFUSED,
                            "selftest[%d] candidate %d: %s %.6g, expected %.6g",
                            index,
                            i,
                            what,
                            (double)got[i],
                            want);
    }
    return FR_OK;
}

static enum fr_err run_case(const struct fr_model *m,
                            int index,
                            const struct fr_bundle_case *t,
                            struct fr_arena *ar,
                            struct fr_fault *fault)
{
    float got[FR_BUNDLE_MAX_CANDIDATES], raw[FR_BUNDLE_MAX_CANDIDATES];
    bool two = m->info.value != FR_VALUE_NONE;

    if (two != (t->expected_value != NULL))
        return fr_fault(fault,
                        FR_ESCHEMA,
                        two ? "selftest[%d] lacks expected_value: the model has a value head"
                            : "selftest[%d] has expected_value: the model has no value head",
                        index);
    enum fr_err e = two ? fr_model_score_case_heads(m, &t->c, 0, ar, got, raw)
                        : fr_model_score_case(m, &t->c, 0, ar, got);
    if (e != FR_OK)
        return fr_fault(
            fault, FR_EREFUSED, "selftest[%d] cannot be scored: %s", index, fr_err_text(e));
    e = compare(index, "score", got, t->expected, t->c.n, fault);
    return e == FR_OK && two ? compare(index, "value", raw, t->expected_value, t->c.n, fault) : e;
}

enum fr_err fr_model_load(const char *dir,
                          const struct fr_field_set *fs,
                          struct fr_model **out_m,
                          struct fr_fault *fault)
{
    struct fr_bundle *b = NULL;
    struct fr_model *m = NULL;
    enum fr_err e = fr_bundle_read(dir, fs, &b, fault);

    if (e != FR_OK)
        goto out;
    e = kinds[b->info.kind].ops->load(
        b->info.kind, &b->enc, b->config, b->tensor, b->n_tensors, &m, fault);
    if (e != FR_OK)
        goto out;
    m->own = b->own; /* m borrows from it */
    m->n_own = b->n_tensors;
    b->own = NULL;
    memcpy(m->info.name, b->info.name, sizeof(m->info.name));
    memcpy(m->info.parent, b->info.parent, sizeof(m->info.parent));
    m->info.version = b->info.version;
    m->info.created_ms = b->info.created_ms;
    for (int i = 0; i < b->n_cases; i++)
        if ((e = run_case(m, i, &b->cases[i], b->ar, fault)) != FR_OK)
            goto out;
    *out_m = m;
    m = NULL;
out:
    fr_model_free(m);
    fr_bundle_free(b);
    return e;
}

const struct fr_model_info *fr_model_info(const struct fr_model *m)
{
    return &m->info;
}

uint64_t fr_model_parameters(const struct fr_model *m)
{
    uint64_t n = 0;

    for (int i = 0; i < m->n_tensors; i++)
        if (strstr(m->tensor[i].name, ".running_") == NULL)
            n += fr_tensor_count(&m->tensor[i]);
    return n;
}

float fr_model_inv_tau(const struct fr_model *m)
{
    return m->inv_tau;
}

/* ---- use ---- */

enum fr_err fr_model_encode(const struct fr_model *m,
                            enum fr_entity e,
                            const struct fr_cell *cells,
                            int n,
                            struct fr_slot *out)
{
    for (int i = 0; i < n; i++) {
        enum fr_err err = fr_encoder_encode(m->enc,
                                            e,
                                            cells + (size_t)i * m->enc->n_cells[e],
                                            out + (size_t)i * m->enc->n_slots[e]);
        if (err != FR_OK)
            return err;
    }
    return FR_OK;
}

/* A group the model reads must be there. */
static bool query_complete(const struct fr_model *m, const struct fr_rank_query *q)
{
    const uint32_t *ns = m->info.n_slots;
    return (ns[FR_ENTITY_USER] == 0 || q->user != NULL) &&
           (ns[FR_ENTITY_CONTEXT] == 0 || q->context != NULL) &&
           (ns[FR_ENTITY_ITEM] == 0 || q->items != NULL) &&
           (ns[FR_ENTITY_CROSS] == 0 || q->cross != NULL);
}

static bool query_valid(const struct fr_encoder *enc, const struct fr_rank_query *q)
{
    size_t si = enc->n_slots[FR_ENTITY_ITEM], sx = enc->n_slots[FR_ENTITY_CROSS];

    if (!fr_encoder_rows_valid(enc, FR_ENTITY_USER, q->user) ||
        !fr_encoder_rows_valid(enc, FR_ENTITY_CONTEXT, q->context))
        return false;
    for (int i = 0; i < q->n; i++) {
        if (si > 0 && i + FR_FETCH_AHEAD < q->n)
            fr_fetch(q->items[i + FR_FETCH_AHEAD], si * sizeof(**q->items));
        if (si > 0 && !fr_encoder_rows_valid(enc, FR_ENTITY_ITEM, q->items[i]))
            return false;
        if (sx > 0 && !fr_encoder_rows_valid(enc, FR_ENTITY_CROSS, q->cross + (size_t)i * sx))
            return false;
    }
    return true;
}

/* Outputs of both heads into the arena; raw NULL: of the click head only. */
static enum fr_err outputs(const struct fr_model *m,
                           const struct fr_rank_query *q,
                           unsigned flags,
                           struct fr_arena *scratch,
                           float **out_z,
                           float **out_raw)
{
    size_t n = (size_t)q->n;
    float *z, *raw = NULL;
    enum fr_err e;

    if (!query_complete(m, q))
        return FR_EINVAL;
    if (!query_valid(m->enc, q))
        return FR_ERANGE;
    z = fr_arena_array(scratch, n, sizeof(*z));
    if (z == NULL || (out_raw != NULL && (raw = fr_arena_array(scratch, n, sizeof(*raw))) == NULL))
        return FR_ENOMEM;
    if ((e = m->ops->rank(m, q, flags, scratch, z, raw)) != FR_OK)
        return e;
    if (!fr_all_finite(z, n) || (raw != NULL && !fr_all_finite(raw, n)))
        return FR_ENONFINITE;
    *out_z = z;
    if (out_raw != NULL)
        *out_raw = raw;
    return FR_OK;
}

/* Any model that has logits of its own. */
static enum fr_err rank_query(const struct fr_model *m,
                              const struct fr_rank_query *q,
                              unsigned flags,
                              struct fr_arena *scratch,
                              float *out_logit,
                              float *out_score)
{
    struct fr_arena_mark mark = fr_arena_mark(scratch);
    float *z = NULL;
    enum fr_err e = q->n == 0 ? FR_OK : outputs(m, q, flags, scratch, &z, NULL);

    if (e == FR_OK && q->n > 0) {
        for (int i = 0; i < q->n && out_score != NULL; i++)
            out_score[i] = fr_nn_sigmoid(z[i]);
        if (out_logit != NULL)
            memcpy(out_logit, z, (size_t)q->n * sizeof(*z));
    }
    fr_arena_release(scratch, mark);
    return e;
}

enum fr_err fr_model_rank(const struct fr_model *m,
                          const struct fr_rank_query *q,
                          unsigned flags,
                          struct fr_arena *scratch,
                          float *out_logit,
                          float *out_score)
{
    if (m->info.job != FR_JOB_RANKER || q->n < 0)
        return FR_EINVAL;
    return rank_query(m, q, flags, scratch, out_logit, out_score);
}

enum fr_err fr_model_rank_final(const struct fr_model *m,
                                const struct fr_rank_query *q,
                                unsigned flags,
                                const struct fr_score_powers *pw,
                                struct fr_arena *scratch,
                                float *out_key,
                                float *out_score,
                                float *out_value)
{
    struct fr_arena_mark mark = fr_arena_mark(scratch);
    float *z, *raw;

    if (m->info.value == FR_VALUE_NONE) {
        enum fr_err e = fr_model_rank(m, q, flags, scratch, out_key, out_score);

        for (int i = 0; i < q->n && e == FR_OK && out_value != NULL; i++)
            out_value[i] = NAN;
        return e;
    }
    if (q->n < 0 || !(pw->click >= 0) || !(pw->value >= 0))
        return FR_EINVAL;
    if (q->n == 0)
        return FR_OK;
    enum fr_err e = outputs(m, q, flags, scratch, &z, &raw);
    if (e == FR_OK) {
        fr_value_combine(m->info.value, m->info.share, pw, z, raw, q->n, out_key, out_score);
        for (int i = 0; i < q->n && out_value != NULL; i++)
            out_value[i] = (float)fr_value_said(m->info.value, raw[i]);
    }
    fr_arena_release(scratch, mark);
    return e;
}

static enum fr_err embed(const struct fr_model *m,
                         enum fr_entity ent,
                         const struct fr_slot *const *slots,
                         const struct fr_slot *const *context,
                         int n,
                         unsigned flags,
                         struct fr_arena *scratch,
                         float *out)
{
    struct fr_arena_mark mark = fr_arena_mark(scratch);
    size_t count = (size_t)(n > 0 ? n : 0) * (size_t)m->info.dim;
    enum fr_err e = FR_OK;
    float *v = NULL;

    if (m->info.job != FR_JOB_RETRIEVAL || n < 0)
        return FR_EINVAL;
    if (n == 0)
        return FR_OK;
    if (m->info.n_slots[FR_ENTITY_CONTEXT] == 0 || ent == FR_ENTITY_ITEM)
        context = NULL;
    else if (context == NULL)
        return FR_EINVAL;
    if (m->info.n_slots[ent] > 0 && slots == NULL)
        return FR_EINVAL;
    for (int i = 0; i < n; i++)
        if ((m->info.n_slots[ent] > 0 && !fr_encoder_rows_valid(m->enc, ent, slots[i])) ||
            (context != NULL && !fr_encoder_rows_valid(m->enc, FR_ENTITY_CONTEXT, context[i])))
            return FR_ERANGE;
    v = fr_arena_array(scratch, count, sizeof(*v));
    e = v == NULL ? FR_ENOMEM : m->ops->embed(m, ent, slots, context, n, flags, scratch, v);
    if (e == FR_OK && !fr_all_finite(v, count))
        e = FR_ENONFINITE;
    if (e == FR_OK)
        memcpy(out, v, count * sizeof(*v));
    fr_arena_release(scratch, mark);
    return e;
}

enum fr_err fr_model_users(const struct fr_model *m,
                           const struct fr_slot *const *user,
                           const struct fr_slot *const *context,
                           int n,
                           unsigned flags,
                           struct fr_arena *scratch,
                           float *out)
{
    return embed(m, FR_ENTITY_USER, user, context, n, flags, scratch, out);
}

enum fr_err fr_model_items(const struct fr_model *m,
                           const struct fr_slot *const *items,
                           int n,
                           unsigned flags,
                           struct fr_arena *scratch,
                           float *out)
{
    return embed(m, FR_ENTITY_ITEM, items, NULL, n, flags, scratch, out);
}

/* ---- a case: everything from cells ---- */

/* Slots of a case, in the arena. */
struct case_slots {
    struct fr_slot *user, *context, *items, *cross;
    const struct fr_slot **item_ptr;
};

static enum fr_err encode_case(const struct fr_model *m,
                               const struct fr_model_case *c,
                               struct fr_arena *ar,
                               struct case_slots *s)
{
    const uint32_t *ns = m->info.n_slots;
    size_t n = (size_t)c->n;
    enum fr_err e = FR_OK;

    s->user = fr_arena_array(ar, ns[FR_ENTITY_USER] + 1, sizeof(*s->user));
    s->context = fr_arena_array(ar, ns[FR_ENTITY_CONTEXT] + 1, sizeof(*s->context));
    s->items = fr_arena_array(ar, n * ns[FR_ENTITY_ITEM] + 1, sizeof(*s->items));
    s->cross = fr_arena_array(ar, n * ns[FR_ENTITY_CROSS] + 1, sizeof(*s->cross));
    s->item_ptr = fr_arena_array(ar, n + 1, sizeof(*s->item_ptr));
    if (s->user == NULL || s->context == NULL || s->items == NULL || s->cross == NULL ||
        s->item_ptr == NULL)
        return FR_ENOMEM;
    if (ns[FR_ENTITY_USER] > 0)
        e = fr_encoder_encode(m->enc, FR_ENTITY_USER, c->user, s->user);
    if (e == FR_OK && ns[FR_ENTITY_CONTEXT] > 0)
        e = fr_encoder_encode(m->enc, FR_ENTITY_CONTEXT, c->context, s->context);
    for (size_t i = 0; i < n && e == FR_OK; i++) {
        s->item_ptr[i] = s->items + i * ns[FR_ENTITY_ITEM];
        if (ns[FR_ENTITY_ITEM] > 0)
            e = fr_encoder_encode(
                m->enc, FR_ENTITY_ITEM, c->items[i], s->items + i * ns[FR_ENTITY_ITEM]);
    }
    if (e == FR_OK && ns[FR_ENTITY_CROSS] > 0)
        e = fr_model_encode(m, FR_ENTITY_CROSS, c->cross, c->n, s->cross);
    return e;
}

enum fr_err fr_model_score_case(const struct fr_model *m,
                                const struct fr_model_case *c,
                                unsigned flags,
                                struct fr_arena *scratch,
                                float *out)
{
    struct fr_arena_mark mark = fr_arena_mark(scratch);
    struct case_slots s;
    enum fr_err e = c->n < 1 ? FR_EINVAL : encode_case(m, c, scratch, &s);

    if (e != FR_OK)
        goto out;
    if (m->ops->rank != NULL) {
        struct fr_rank_query q = {s.user, s.context, s.item_ptr, s.cross, c->n, NULL};
        e = rank_query(m, &q, flags, scratch, out, NULL);
        goto out;
    }
    size_t dim = (size_t)m->info.dim;
    const struct fr_slot *user = s.user, *context = s.context;
    float *vu = fr_arena_array(scratch, dim, sizeof(*vu));
    float *vi = fr_arena_array(scratch, dim * (size_t)c->n, sizeof(*vi));
    if (vu == NULL || vi == NULL) {
        e = FR_ENOMEM;
        goto out;
    }
    if ((e = fr_model_users(m, &user, &context, 1, flags, scratch, vu)) != FR_OK ||
        (e = fr_model_items(m, s.item_ptr, c->n, flags, scratch, vi)) != FR_OK)
        goto out;
    for (int i = 0; i < c->n; i++)
        out[i] = fr_dot(vu, vi + (size_t)i * dim, dim) * m->inv_tau;
out:
    fr_arena_release(scratch, mark);
    return e;
}

enum fr_err fr_model_score_case_heads(const struct fr_model *m,
                                      const struct fr_model_case *c,
                                      unsigned flags,
                                      struct fr_arena *scratch,
                                      float *out_logit,
                                      float *out_raw)
{
    struct fr_arena_mark mark = fr_arena_mark(scratch);
    struct case_slots s;
    float *z, *raw;
    enum fr_err e = c->n < 1 || m->info.value == FR_VALUE_NONE ? FR_EINVAL : encode_case(m, c, scratch, &s);

    if (e == FR_OK) {
        struct fr_rank_query q = {s.user, s.context, s.item_ptr, s.cross, c->n, NULL};
        e = outputs(m, &q, flags, scratch, &z, &raw);
    }
    if (e == FR_OK) {
        memcpy(out_logit, z, (size_t)c->n * sizeof(*z));
        memcpy(out_raw, raw, (size_t)c->n * sizeof(*raw));
    }
    fr_arena_release(scratch, mark);
    return e;
}

/* ---- saving ---- */

static enum fr_err case_expected(const struct fr_model *m,
                                 const struct fr_model_case *c,
                                 struct fr_arena *ar,
                                 struct fr_bundle_case *out,
                                 struct fr_fault *fault)
{
    if (c->n < 1 || c->n > FR_BUNDLE_MAX_CANDIDATES)
        return fr_fault(fault,
                        FR_EINVAL,
                        "self-test of %d candidates, allowed 1..%d",
                        c->n,
                        FR_BUNDLE_MAX_CANDIDATES);
    bool two = m->info.value != FR_VALUE_NONE;
    float *want = fr_arena_array(ar, (size_t)c->n, sizeof(*want));
    float *raw = two ? fr_arena_array(ar, (size_t)c->n, sizeof(*raw)) : NULL;
    if (want == NULL || (two && raw == NULL))
        return fr_fault(fault, FR_ENOMEM, "self-test: out of memory");
    enum fr_err e = two ? fr_model_score_case_heads(m, c, 0, ar, want, raw) : fr_model_score_case(m, c, 0, ar, want);
    if (e != FR_OK)
        return fr_fault(fault, e, "self-test case: %s", fr_err_text(e));
    *out = (struct fr_bundle_case){*c, want, raw};
    return FR_OK;
}

enum fr_err fr_model_save(const struct fr_model *m,
                          const struct fr_model_meta *meta,
                          const struct fr_model_case *cases,
                          int n_cases,
                          const char *dir,
                          struct fr_fault *fault)
{
    struct fr_bundle_case bc[FR_BUNDLE_MAX_CASES];
    struct fr_arena *ar = NULL;
    enum fr_err e = FR_OK;

    if (n_cases < 1 || n_cases > FR_BUNDLE_MAX_CASES)
        return fr_fault(
            fault, FR_EINVAL, "%d self-tests, allowed 1..%d", n_cases, FR_BUNDLE_MAX_CASES);
    if ((e = fr_arena_new(1 << 16, 0, &ar)) != FR_OK)
        return fr_fault(fault, e, "save: out of memory");
    for (int i = 0; i < n_cases && e == FR_OK; i++)
        e = case_expected(m, &cases[i], ar, &bc[i], fault);
    if (e == FR_OK)
        e = fr_bundle_write(m, meta, bc, n_cases, dir, fault);
    fr_arena_free(ar);
    return e;
}
