/*
 * models/train/checkpoint_state.c - vocabularies, normalisers, parameters, models.
 */
#include <stdio.h>
#include <string.h>

#include "models/encoder.h"
#include "models/model_parts.h"
#include "models/train/checkpoint_priv.h"
#include "models/train/params.h"
#include "models/train/params_mean.h"

#define KEY 128 /* bytes of a key: "vocab.<table>"; too long for a tensor is told there */

/* ---- vocabularies ---- */

/* Ids that were seen but have no row yet, with their counts. Their order in the map means nothing. */
static void save_waiting(struct fr_checkpoint *ck, const struct fr_vocab *v, const char *ids, const char *times)
{
    uint64_t n = 0, *id;
    uint32_t *seen;

    if (v->waiting.n == 0)
        return;
    id = fr_checkpoint_room(ck, (size_t)v->waiting.n, sizeof(*id));
    seen = fr_checkpoint_room(ck, (size_t)v->waiting.n, sizeof(*seen));
    if (id == NULL || seen == NULL)
        return;
    for (uint64_t i = 0; i < v->waiting.cap; i++)
        if (v->waiting.slots[i].key != 0) {
            id[n] = v->waiting.slots[i].key;
            seen[n++] = v->waiting.slots[i].value;
        }
    fr_checkpoint_u64s(ck, ids, id, n);
    fr_checkpoint_u32s(ck, times, seen, n);
}

static void load_waiting(struct fr_checkpoint *ck, struct fr_vocab *v, const char *ids, const char *times)
{
    uint64_t n = fr_checkpoint_count(ck, ids);
    const uint64_t *id;
    const uint32_t *seen;

    fr_map_clear(&v->waiting);
    if (n == 0)
        return;
    id = fr_checkpoint_take(ck, ids, FR_DTYPE_U64, n, 0);
    seen = fr_checkpoint_take(ck, times, FR_DTYPE_I32, n, 0);
    for (uint64_t i = 0; id != NULL && seen != NULL && i < n; i++) {
        enum fr_err e;

        if (id[i] == 0 || seen[i] < 1 || seen[i] >= v->admit || fr_vocab_row(v, id[i]) != 0 ||
            fr_map_get(&v->waiting, id[i]) != FR_MAP_NONE) {
            fr_checkpoint_failf(ck, FR_ESCHEMA, ids, "[%llu] waits for no row", (unsigned long long)i);
            return;
        }
        if ((e = fr_map_put(&v->waiting, id[i], seen[i])) != FR_OK) {
            fr_checkpoint_fail(ck, e, ids, fr_err_text(e));
            return;
        }
    }
}

static void load_rows(struct fr_checkpoint *ck, struct fr_vocab *v, const char *key, bool fixed)
{
    uint64_t n = fr_checkpoint_count(ck, key);
    const uint64_t *keys = fr_checkpoint_take(ck, key, FR_DTYPE_U64, fixed ? v->n_rows : n, 0);
    enum fr_err e;

    if (keys == NULL)
        return;
    if (fixed) {
        if (memcmp(keys, v->keys, (size_t)n * sizeof(*keys)) != 0)
            fr_checkpoint_fail(ck, FR_EMISMATCH, key, "other ids than in the data");
        return;
    }
    e = n > UINT32_MAX ? FR_ETOOLARGE : fr_vocab_load(v, keys, (uint32_t)n);
    if (e != FR_OK)
        fr_checkpoint_fail(ck, e, key, fr_err_text(e));
}

static void vocab(struct fr_checkpoint *ck, struct fr_enc_table *t, bool fixed)
{
    char key[KEY], ids[KEY], times[KEY], refused[KEY], forgets[KEY];
    struct fr_vocab *v = &t->vocab;
    int64_t count[2] = {(int64_t)v->refused, (int64_t)v->forgets};

    (void)snprintf(key, sizeof(key), "vocab.%s", t->name);
    (void)snprintf(ids, sizeof(ids), "waiting.%s", t->name);
    (void)snprintf(times, sizeof(times), "times.%s", t->name);
    (void)snprintf(refused, sizeof(refused), "refused.%s", t->name);
    (void)snprintf(forgets, sizeof(forgets), "forgets.%s", t->name);
    fr_checkpoint_i64(ck, refused, &count[0], 0, INT64_MAX);
    fr_checkpoint_i64(ck, forgets, &count[1], 0, INT64_MAX);
    if (!fr_checkpoint_loading(ck)) {
        fr_checkpoint_u64s(ck, key, v->keys, v->n_rows);
        save_waiting(ck, v, ids, times);
        return;
    }
    load_rows(ck, v, key, fixed);
    load_waiting(ck, v, ids, times);
    if (ck->err != FR_OK)
        return;
    v->refused = (uint64_t)count[0];
    v->forgets = (uint64_t)count[1];
    t->rows = v->n_rows;
}

/* ---- normalisers ---- */

static void normaliser(struct fr_checkpoint *ck, struct fr_enc_field *f)
{
    char mean[KEY], scale[KEY], seen[KEY], run_mean[KEY], run_m2[KEY];
    int64_t n = (int64_t)f->seen;

    (void)snprintf(mean, sizeof(mean), "mean.%s", f->f.name);
    (void)snprintf(scale, sizeof(scale), "scale.%s", f->f.name);
    (void)snprintf(seen, sizeof(seen), "seen.%s", f->f.name);
    (void)snprintf(run_mean, sizeof(run_mean), "run_mean.%s", f->f.name);
    (void)snprintf(run_m2, sizeof(run_m2), "run_m2.%s", f->f.name);
    fr_checkpoint_f32(ck, mean, &f->mean);
    fr_checkpoint_f32(ck, scale, &f->scale);
    fr_checkpoint_i64(ck, seen, &n, 0, FR_CHECKPOINT_MAX_STEPS);
    fr_checkpoint_f64(ck, run_mean, &f->run_mean);
    fr_checkpoint_f64(ck, run_m2, &f->run_m2);
    if (f->scale < 0 || f->run_m2 < 0)
        fr_checkpoint_fail(ck, FR_ERANGE, f->scale < 0 ? scale : run_m2, "must not be below 0");
    f->seen = (uint64_t)n;
}

void fr_checkpoint_encoder(struct fr_checkpoint *ck, struct fr_encoder *enc, bool fixed)
{
    fr_checkpoint_same_u64(ck, "fields", enc->schema_hash);
    for (int i = 0; i < enc->n_tables; i++)
        if (enc->table[i].kind == FR_FIELD_ID)
            vocab(ck, &enc->table[i], fixed);
    for (int i = 0; i < enc->n_fields; i++)
        if (enc->field[i].f.kind == FR_FIELD_NUMERIC)
            normaliser(ck, &enc->field[i]);
}

/* ---- parameters ---- */

static void arrays(struct fr_checkpoint *ck, const char *name, float *const a[3], uint64_t rows, uint64_t cols)
{
    static const char prefix[3] = {'w', 'm', 'v'};
    char key[KEY];

    for (int i = 0; i < 3; i++) {
        (void)snprintf(key, sizeof(key), "%c.%s", prefix[i], name);
        fr_checkpoint_f32s(ck, key, a[i], rows, cols);
    }
}

void fr_checkpoint_params(struct fr_checkpoint *ck, struct fr_params *p)
{
    int64_t t = (int64_t)p->t;

    fr_checkpoint_i64(ck, "t", &t, 0, FR_CHECKPOINT_MAX_STEPS);
    for (int i = 0; i < p->n_dense; i++) {
        const struct fr_dense *d = &p->dense[i];

        arrays(ck, d->name, (float *const[3]){d->w, d->m, d->v}, (uint64_t)d->rows, (uint64_t)d->cols);
    }
    for (int i = 0; i < p->n_tables; i++) {
        const struct fr_table *s = &p->table[i];

        arrays(ck, s->name, (float *const[3]){s->w, s->m, s->v}, s->rows, (uint64_t)s->dim);
    }
    for (int i = 0; i < p->n_buffers; i++) {
        const struct fr_dense *d = &p->buffer[i];

        arrays(ck, d->name, (float *const[3]){d->w, NULL, NULL}, (uint64_t)d->rows, (uint64_t)d->cols);
    }
    p->t = (uint64_t)t;
}

void fr_checkpoint_mean(struct fr_checkpoint *ck, struct fr_params_mean *mean, const struct fr_params *p)
{
    int64_t takes = (int64_t)mean->takes;
    struct fr_tensor *t = fr_checkpoint_room(ck, FR_PARAMS_MAX_TENSORS, sizeof(*t));
    int n = t == NULL ? 0 : fr_params_tensors(p, t);
    char key[KEY];

    fr_checkpoint_i64(ck, "takes", &takes, 0, FR_CHECKPOINT_MAX_STEPS);
    for (int i = 0; i < n && takes > 0 && fr_checkpoint_err(ck) == FR_OK; i++) {
        int64_t count = (int64_t)mean->n[i]; /* a table may have grown since the last take */

        (void)snprintf(key, sizeof(key), "a_n.%s", t[i].name);
        fr_checkpoint_i64(ck, key, &count, 1, (int64_t)fr_tensor_count(&t[i]));
        if (fr_checkpoint_err(ck) != FR_OK)
            return;
        (void)snprintf(key, sizeof(key), "a.%s", t[i].name);
        enum fr_err e = fr_params_mean_room(mean, i, (size_t)count);
        if (e != FR_OK)
            fr_checkpoint_fail(ck, e, key, fr_err_text(e));
        fr_checkpoint_f32s(ck, key, mean->w[i], mean->n[i], 0);
    }
    mean->takes = (uint64_t)takes;
}

/* ---- models ---- */

static void save_model(struct fr_checkpoint *ck, const struct fr_model *m)
{
    int n = 0;
    const struct fr_tensor *t = m == NULL ? NULL : fr_model_tensors(m, &n);
    char key[KEY];

    for (int i = 0; i < n; i++) {
        (void)snprintf(key, sizeof(key), "w.%s", t[i].name);
        /* only read: a walk that saves does not write */
        fr_checkpoint_f32s(ck, key, (float *)(uintptr_t)t[i].data, t[i].dim[0], t[i].ndim < 2 ? 0 : t[i].dim[1]);
    }
}

static void
load_model(struct fr_checkpoint *ck, struct fr_model **m, fr_checkpoint_build_fn build, const void *ctx)
{
    struct fr_tensor *t = fr_checkpoint_room(ck, (size_t)ck->n_tensors + 1, sizeof(*t));
    struct fr_fault fault = {.err = FR_OK};
    char prefix[FR_TENSOR_NAME];
    size_t skip;
    int n = 0;
    enum fr_err e;

    if (t == NULL || !fr_checkpoint_name(ck, "w.", prefix))
        return;
    skip = strlen(prefix);
    for (int i = 0; i < ck->n_tensors; i++) {
        if (strncmp(ck->tensor[i].name, prefix, skip) != 0)
            continue;
        t[n] = ck->tensor[i];
        memmove(t[n].name, t[n].name + skip, strlen(t[n].name) - skip + 1);
        ck->used[i] = true;
        n++;
    }
    if ((e = build(ctx, t, n, m, &fault)) != FR_OK)
        fr_checkpoint_fail(ck, e, "model", fault.err == FR_OK ? fr_err_text(e) : fault.msg);
}

void fr_checkpoint_model(struct fr_checkpoint *ck, struct fr_model **m, fr_checkpoint_build_fn build, const void *ctx)
{
    bool there = *m != NULL;

    fr_checkpoint_bool(ck, "model", &there);
    if (!fr_checkpoint_loading(ck))
        save_model(ck, *m);
    else if (there && fr_checkpoint_err(ck) == FR_OK)
        load_model(ck, m, build, ctx);
}

void fr_checkpoint_whole_model(struct fr_checkpoint *ck,
                               struct fr_model **m,
                               struct fr_encoder *enc,
                               fr_checkpoint_build_fn build,
                               const void *ctx)
{
    if (!fr_checkpoint_loading(ck)) /* only read */
        enc = (struct fr_encoder *)(uintptr_t)fr_model_encoder(*m);
    fr_checkpoint_encoder(ck, enc, false);
    fr_checkpoint_model(ck, m, build, ctx);
    if (*m == NULL)
        fr_checkpoint_fail(ck, FR_ESCHEMA, "model", "is missing");
}
