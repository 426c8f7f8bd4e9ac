/*
 * daemon/learn/benchmark_retrieval.c - pairs to steps of the Two-Tower trainer, vectors to ranked
 * lists.
 */
#include "daemon/learn/benchmark_retrieval.h"

#include <math.h>
#include <string.h>

#include "ann/hnsw.h"
#include "daemon/base/alloc.h"
#include "daemon/learn/benchmark_from.h"
#include "daemon/learn/benchmark_pairs.h"
#include "daemon/learn/benchmark_saver.h"
#include "models/gemm.h"
#include "models/metrics.h"
#include "models/train/checkpoint_trainers.h"
#include "models/train/train_two_tower.h"

#define K 20
#define BLOCK 256 /* users scored at a time */
#define HNSW_M 32
#define HNSW_BUILD 400
#define HNSW_EXTRA 200 /* of the search's width, beyond k and the user's masked items */
#define MEASURES 6

static const char *const measures[MEASURES] = {
    "recall@20", "ndcg@20", "hr@20", "mrr@20", "recall@20_hnsw", "ndcg@20_hnsw"};

/* All vectors of a model, by id. */
struct vectors {
    int dim;
    float *user, *item; /* (users, dim) (items, dim) */
    float inv_tau;
};

struct means {
    struct fr_list_metrics m;
    struct fr_benchmark_detail *detail; /* nullable */
    bool hnsw;
};

/* Everything of one training run. */
struct work {
    const struct fr_benchmark_run *run;
    struct fr_benchmark_result *out;
    struct fr_field_set *fs;
    struct fr_benchmark_from from;
    struct fr_cell *user_cell, *item_cell;
    uint32_t *user, *item; /* (n) pairs in the epoch's order */
    size_t n;
    const struct fr_cell **row; /* (batch) */
    struct fr_train_two_tower *tr; /* of the part in progress */
    struct fr_benchmark_saver sv;  /* at.rng is of the part's begin */
};

enum part { CHOOSE, FINAL, PARTS };

static void vectors_done(struct vectors *v)
{
    fr_free(v->user);
    fr_free(v->item);
}

/* Vectors of ids [0, n) of one side. */
static enum fr_err embed(const struct fr_model *m, enum fr_entity e, uint32_t n, float *out)
{
    const struct fr_model_info *info = fr_model_info(m);
    size_t slots = info->n_slots[e];
    struct fr_slot *s = fr_malloc_array((size_t)BLOCK * slots + 1, sizeof(*s));
    struct fr_cell cell[BLOCK];
    const struct fr_slot *ptr[BLOCK];
    struct fr_arena *ar = NULL;
    enum fr_err err = s == NULL ? FR_ENOMEM : fr_arena_new((size_t)1 << 20, 0, &ar);

    for (uint32_t at = 0; err == FR_OK && at < n; at += BLOCK) {
        int k = n - at < BLOCK ? (int)(n - at) : BLOCK;
        float *to = out + (size_t)at * (size_t)info->dim;

        for (int i = 0; i < k; i++) {
            cell[i] = fr_benchmark_cell(at + (uint32_t)i);
            ptr[i] = s + (size_t)i * slots;
        }
        err = fr_model_encode(m, e, cell, k, s);
        if (err == FR_OK)
            err = e == FR_ENTITY_USER ? fr_model_users(m, ptr, NULL, k, 0, ar, to)
                                      : fr_model_items(m, ptr, k, 0, ar, to);
        fr_arena_reset(ar);
    }
    fr_arena_free(ar);
    fr_free(s);
    return err;
}

static enum fr_err
vectors_of(const struct fr_model *m, uint32_t users, uint32_t items, struct vectors *v)
{
    size_t dim = (size_t)fr_model_info(m)->dim;
    enum fr_err e;

    *v = (struct vectors){.dim = (int)dim, .inv_tau = fr_model_inv_tau(m)};
    v->user = fr_malloc_array((size_t)users * dim + 1, sizeof(float));
    v->item = fr_malloc_array((size_t)items * dim + 1, sizeof(float));
    if (v->user == NULL || v->item == NULL)
        return FR_ENOMEM;
    e = embed(m, FR_ENTITY_USER, users, v->user);
    return e == FR_OK ? embed(m, FR_ENTITY_ITEM, items, v->item) : e;
}

/* Which items occur in p. Owner of the result: fr_free() */
static uint8_t *known_items(const struct fr_benchmark_pairs *p)
{
    uint8_t *known = fr_calloc((size_t)p->items + 1, 1);

    for (size_t k = 0; known != NULL && k < p->n; k++)
        known[p->item[k]] = 1;
    return known;
}

static void add_list(const struct fr_benchmark_pairs *want,
                     uint32_t u,
                     const uint32_t *top,
                     size_t n,
                     struct means *m)
{
    size_t from = want->start[u];
    struct fr_list_metrics one =
        fr_metric_list(top, n, K, want->item + from, want->start[u + 1] - from);

    fr_metric_list_add(&m->m, &one);
    if (m->detail == NULL)
        return;
    fr_benchmark_detail_add(m->detail, m->hnsw ? 4 : 0, u, one.recall);
    fr_benchmark_detail_add(m->detail, m->hnsw ? 5 : 1, u, one.ndcg);
    if (m->hnsw)
        return;
    fr_benchmark_detail_add(m->detail, 2, u, one.hr);
    fr_benchmark_detail_add(m->detail, 3, u, one.mrr);
}

static struct fr_list_metrics mean(const struct means *m, size_t n)
{
    double d = n == 0 ? (double)NAN : (double)n;

    return (struct fr_list_metrics){m->m.hr / d, m->m.recall / d, m->m.ndcg / d, m->m.mrr / d};
}

/* Lists by exact search over all known items but those of `mask`, against `want`. */
static enum fr_err measure(const struct vectors *v,
                           const struct fr_benchmark_pairs *mask,
                           const struct fr_benchmark_pairs *want,
                           const uint8_t *known,
                           struct fr_benchmark_detail *detail,
                           struct fr_list_metrics *out)
{
    size_t items = want->items, dim = (size_t)v->dim, users = 0;
    float *score = fr_malloc_array(BLOCK * items + 1, sizeof(*score));
    struct means m = {.detail = detail};

    if (score == NULL)
        return FR_ENOMEM;
    for (uint32_t at = 0; at < want->users; at += BLOCK) {
        int n = want->users - at < BLOCK ? (int)(want->users - at) : BLOCK;

        fr_gemm(false,
                true,
                n,
                (int)items,
                v->dim,
                1,
                v->user + at * dim,
                v->dim,
                v->item,
                v->dim,
                0,
                score,
                (int)items);
        for (uint32_t i = 0; i < (uint32_t)n; i++) {
            uint32_t u = at + i, top[K];
            float *s = score + i * items;
            size_t from = mask->start[u], got;

            if (want->start[u] == want->start[u + 1])
                continue;
            for (size_t k = 0; k < items; k++)
                s[k] = known[k] ? s[k] : -INFINITY;
            got = fr_metric_top(
                s, (uint32_t)items, mask->item + from, mask->start[u + 1] - from, K, top);
            add_list(want, u, top, got, &m);
            users++;
        }
    }
    fr_free(score);
    *out = mean(&m, users);
    return FR_OK;
}

/* ---- through the index ---- */

/* Of one search: what may not be returned. */
struct masked {
    const struct fr_benchmark_pairs *mask;
    uint32_t user;
};

static bool allowed(void *ctx, uint64_t label)
{
    const struct masked *m = ctx;

    return !fr_benchmark_pairs_has(m->mask, m->user, (uint32_t)(label - 1));
}

static enum fr_err
build(const struct vectors *v, const uint8_t *known, uint32_t items, struct fr_index **out)
{
    struct fr_hnsw_config c = {.dim = v->dim,
                               .m = HNSW_M,
                               .ef_construction = HNSW_BUILD,
                               .ef_search = K + HNSW_EXTRA,
                               .capacity = items};
    enum fr_err e = fr_hnsw_new(&c, out);

    for (uint32_t i = 0; i < items && e == FR_OK; i++)
        if (known[i])
            e = fr_index_add(*out, (uint64_t)i + 1, v->item + (size_t)i * (size_t)v->dim);
    return e;
}

static enum fr_err measure_hnsw(const struct vectors *v,
                                const struct fr_benchmark_pairs *mask,
                                const struct fr_benchmark_pairs *want,
                                const uint8_t *known,
                                struct fr_benchmark_detail *detail,
                                struct fr_list_metrics *out)
{
    struct fr_index *ix = NULL;
    struct fr_arena *ar = NULL;
    struct means m = {.detail = detail, .hnsw = true};
    size_t users = 0;
    enum fr_err e = build(v, known, want->items, &ix);

    if (e == FR_OK)
        e = fr_arena_new((size_t)1 << 20, 0, &ar);
    for (uint32_t u = 0; u < want->users && e == FR_OK; u++) {
        struct masked ctx = {mask, u};
        struct fr_ann_hit *hit = NULL;
        uint32_t top[K], n = 0;

        if (want->start[u] == want->start[u + 1])
            continue;
        fr_hnsw_set_ef(ix, K + HNSW_EXTRA + (int)(mask->start[u + 1] - mask->start[u]));
        e = fr_index_search(
            ix, v->user + (size_t)u * (size_t)v->dim, K, allowed, &ctx, ar, &hit, &n);
        for (uint32_t k = 0; k < n && e == FR_OK; k++)
            top[k] = (uint32_t)(hit[k].label - 1);
        if (e == FR_OK)
            add_list(want, u, top, n, &m);
        users++;
        fr_arena_reset(ar);
    }
    fr_arena_free(ar);
    fr_index_free(ix);
    *out = mean(&m, users);
    return e;
}

/* What the test wants and nobody can get. */
static void note_masked(const struct fr_benchmark_pairs *train,
                        const struct fr_benchmark_pairs *want,
                        struct fr_benchmark_result *out)
{
    size_t masked = 0;

    for (uint32_t u = 0; u < want->users; u++)
        for (size_t k = want->start[u]; k < want->start[u + 1]; k++)
            masked += fr_benchmark_pairs_has(train, u, want->item[k]);
    if (masked > 0)
        fr_benchmark_note(out,
                          "test.txt: %zu of %zu wanted items are in train.txt of the same user: they are left out of the "
                          "lists, so they are missed",
                          masked, want->n);
}

/* Users of the test, its items and the candidates that the model does not know. */
static enum fr_err note_unknown(const struct fr_model *m,
                                const struct fr_benchmark_pairs *train,
                                const struct fr_benchmark_pairs *want,
                                struct fr_benchmark_result *out)
{
    uint8_t *user = fr_calloc((size_t)want->users + 1, 1), *item = known_items(train);
    enum fr_err e = user == NULL || item == NULL ? FR_ENOMEM : FR_OK;

    for (uint32_t u = 0; e == FR_OK && u < want->users; u++)
        user[u] = want->start[u] < want->start[u + 1];
    for (size_t k = 0; e == FR_OK && k < want->n; k++)
        item[want->item[k]] = 1;
    if (e == FR_OK)
        e = fr_benchmark_pairs_unknown(m, user, want->users, item, want->items, out);
    fr_free(user);
    fr_free(item);
    return e;
}

static enum fr_err test(const struct fr_model *m,
                        const struct fr_benchmark_pairs *train,
                        const struct fr_benchmark_pairs *want,
                        struct fr_benchmark_detail *detail,
                        struct fr_benchmark_result *out)
{
    struct fr_list_metrics exact = {0, 0, 0, 0}, ann = {0, 0, 0, 0};
    struct vectors v = {0};
    uint8_t *known = known_items(train);
    enum fr_err e = known == NULL ? FR_ENOMEM : vectors_of(m, want->users, want->items, &v);

    if (e == FR_OK && detail != NULL)
        e = fr_benchmark_detail_begin(detail, "users", want->users, measures, MEASURES);
    if (e == FR_OK)
        e = measure(&v, train, want, known, detail, &exact);
    if (e == FR_OK)
        e = measure_hnsw(&v, train, want, known, detail, &ann);
    out->n_metrics = 0;
    fr_benchmark_add(out, measures[0], exact.recall);
    fr_benchmark_add(out, measures[1], exact.ndcg);
    fr_benchmark_add(out, measures[2], exact.hr);
    fr_benchmark_add(out, measures[3], exact.mrr);
    fr_benchmark_add(out, measures[4], ann.recall);
    fr_benchmark_add(out, measures[5], ann.ndcg);
    note_masked(train, want, out);
    vectors_done(&v);
    fr_free(known);
    return e;
}

/* ---- training ---- */

static enum fr_err
new_trainer(const struct work *w, struct fr_train_two_tower **out, struct fr_fault *fault)
{
    const struct fr_benchmark_settings *s = &w->run->set;
    struct fr_two_tower_train_config c;

    fr_two_tower_train_config_default(&c);
    c.negatives = (int)s->negatives;
    c.full_softmax = s->negatives < 1;
    c.loss = s->loss > 1 ? FR_TOWER_CCL : FR_TOWER_SOFTMAX;
    c.in_batch = s->loss < 1;
    c.log_uniform = s->log_uniform > 0;
    c.margin = (float)s->margin;
    c.negative_weight = (float)s->negative_weight;
    if (s->loss > 0 && s->loss < 2 && s->negatives < 1)
        return fr_fault(fault, FR_EINVAL, "loss=sampled_softmax needs negatives=N, at least 1");
    c.model.bare = s->bare > 0;
    c.model.skip = c.model.gates = false;
    c.model.emb_dim = c.model.dim = (int)s->dim;
    c.model.n_hidden = s->bare > 0 ? 0 : s->n_hidden;
    memcpy(c.model.hidden, s->hidden, sizeof(int) * (size_t)s->n_hidden);
    c.model.tau = (float)s->tau;
    c.opt.seed = w->run->seed;
    c.opt.threads = w->run->threads;
    fr_benchmark_optimizer(s, &c.opt);
    c.opt.l2_embedding = (float)s->l2;
    c.opt.dense_rows = s->dense_rows > 0;
    c.opt.clip_norm = (float)s->clip;
    c.opt.clip_all = true;
    c.opt.xavier = s->xavier > 0;
    c.opt.init_std = (float)s->init_std;
    c.opt.id_dropout = (float)s->dropout;
    c.opt.admit = 1;
    c.opt.max_rows = FR_BENCHMARK_MAX_ID;
    c.opt.frozen_vocab = true;
    enum fr_err e = fr_train_two_tower_new(&c, w->fs, out, fault);
    return e == FR_OK && w->from.m != NULL ? fr_train_two_tower_from(*out, w->from.m, fault) : e;
}

static struct fr_two_tower_batch batch_of(const struct work *w, uint32_t items, size_t at, size_t n)
{
    for (size_t i = 0; i < n; i++)
        w->row[i] = &w->user_cell[w->user[at + i]];
    return (struct fr_two_tower_batch){
        (int)n, w->row, NULL, w->item + at, NULL, {w->item_cell, items}};
}

static void shuffle(struct work *w, struct fr_rng *rng)
{
    for (size_t i = w->n; i > 1; i--) {
        size_t j = (size_t)fr_rng_below(rng, i);
        uint32_t u = w->user[i - 1], k = w->item[i - 1];

        w->user[i - 1] = w->user[j];
        w->item[i - 1] = w->item[j];
        w->user[j] = u;
        w->item[j] = k;
    }
}

static void take_pairs(struct work *w, const struct fr_benchmark_pairs *p)
{
    w->n = 0;
    for (uint32_t u = 0; u < p->users; u++)
        for (size_t k = p->start[u]; k < p->start[u + 1]; k++, w->n++) {
            w->user[w->n] = u;
            w->item[w->n] = p->item[k];
        }
}

static enum fr_err observe(struct work *w, struct fr_train_two_tower *tr, uint32_t items)
{
    size_t batch = (size_t)w->run->set.batch;
    enum fr_err e = FR_OK;

    for (size_t at = 0; e == FR_OK && at < w->n; at += batch) {
        struct fr_two_tower_batch b = batch_of(w, items, at, w->n - at < batch ? w->n - at : batch);

        e = fr_train_two_tower_observe(tr, &b);
    }
    return e;
}

/* All state of the training beside place and result; see benchmark_saver.h. */
static void walk(void *ctx, struct fr_checkpoint *ck)
{
    struct work *w = ctx;

    fr_checkpoint_section(ck, "trainer");
    fr_train_two_tower_checkpoint(w->tr, ck);
}

/* A new trainer for the pairs; or one as the checkpoint left it, the orders of the epochs before drawn again. */
static enum fr_err
enter(struct work *w, enum part part, uint32_t items, struct fr_rng *rng, struct fr_fault *fault)
{
    enum fr_err e = new_trainer(w, &w->tr, fault);

    if (e == FR_OK)
        e = observe(w, w->tr, items);
    if (e == FR_OK)
        e = fr_saver_enter(&w->sv.s, (int)part, w->run->set.lr, rng, walk, w, fault);
    if (e != FR_OK)
        return e;
    *rng = w->sv.s.at.rng;
    for (int i = 0; i < w->sv.s.at.epoch; i++)
        shuffle(w, rng);
    return FR_OK;
}

/* One epoch, from where the place says. */
static enum fr_err epoch(struct work *w,
                         uint32_t items,
                         int number,
                         struct fr_rng *rng,
                         double *out_loss,
                         struct fr_fault *fault)
{
    const struct fr_benchmark_run *run = w->run;
    size_t batch = (size_t)run->set.batch;
    double sum = w->sv.s.at.sum, loss = 0;
    enum fr_err e = FR_OK;

    fr_saver_lap(&w->sv.s);
    shuffle(w, rng);
    for (size_t at = w->sv.s.at.row; e == FR_OK && at < w->n; at += batch) {
        size_t n = w->n - at < batch ? w->n - at : batch;
        struct fr_two_tower_batch b = batch_of(w, items, at, n);

        if ((e = fr_train_two_tower_step(w->tr, &b, &loss)) != FR_OK)
            break;
        sum += loss * (double)n;
        e = fr_saver_step(&w->sv.s, at + n, sum, walk, w, fault);
        if (run->tell != NULL)
            run->tell(run->tell_ctx, number, at + n, w->n, sum / (double)(at + n), (double)NAN);
    }
    *out_loss = sum / (double)(w->n > 0 ? w->n : 1);
    w->out->rows_per_second += (double)w->n; /* divided by the seconds at the end */
    return e;
}

/* Epochs with a share held out: out->best_epoch. */
static enum fr_err choose(struct work *w,
                          const struct fr_benchmark_pairs *all,
                          struct fr_rng *rng,
                          struct fr_fault *fault)
{
    const struct fr_benchmark_settings *s = &w->run->set;
    struct fr_benchmark_pairs fit = {.users = all->users, .items = all->items, .n = all->n},
                              held = {.n = 0};
    struct fr_saver_place *at = &w->sv.s.at;
    uint8_t *known = NULL;
    enum fr_err e = FR_OK;

    fit.start = fr_malloc_array((size_t)all->users + 2, sizeof(*fit.start));
    fit.item = fr_malloc_array(all->n + 1, sizeof(*fit.item));
    if (fit.start == NULL || fit.item == NULL) {
        e = FR_ENOMEM;
        goto out;
    }
    memcpy(fit.start, all->start, ((size_t)all->users + 1) * sizeof(*fit.start));
    memcpy(fit.item, all->item, all->n * sizeof(*fit.item));
    if ((e = fr_benchmark_pairs_hold_out(&fit, s->valid_share, 1, rng, &held)) != FR_OK)
        goto out;
    take_pairs(w, &fit);
    known = known_items(&fit);
    if (known == NULL || held.n == 0) {
        e = known == NULL ? FR_ENOMEM
                          : fr_fault(fault, FR_EINVAL,
                                     "%s/train.txt: no user has two items: nothing can be held out for validation",
                                     w->run->dir);
        goto out;
    }
    if ((e = enter(w, CHOOSE, all->items, rng, fault)) != FR_OK)
        goto out;
    for (int i = at->epoch; i < (int)s->epochs && i < FR_BENCHMARK_EPOCHS_MAX &&
                            at->bad < (int)s->patience && e == FR_OK;
         i++) {
        struct fr_list_metrics m = {0, 0, 0, 0};
        struct vectors v = {0};
        struct fr_model *model = NULL;

        w->out->lr[i] = at->lr;
        fr_train_two_tower_set_lr(w->tr, (float)at->lr);
        e = epoch(w, all->items, i + 1, rng, &w->out->loss[i], fault);
        if (e == FR_OK)
            e = fr_train_two_tower_model(w->tr, &model, fault);
        if (e == FR_OK)
            e = vectors_of(model, all->users, all->items, &v);
        if (e == FR_OK)
            e = measure(&v, &fit, &held, known, NULL, &m);
        vectors_done(&v);
        fr_model_free(model);
        w->out->epochs = i + 1;
        w->out->valid[i] = m.recall;
        if (w->run->tell != NULL)
            w->run->tell(w->run->tell_ctx, i + 1, w->n, w->n, w->out->loss[i], m.recall);
        (void)fr_benchmark_saver_judge(&w->sv, m.recall);
        if (e == FR_OK)
            e = fr_saver_epoch(&w->sv.s, walk, w, fault);
    }
out:
    fr_train_two_tower_free(w->tr);
    w->tr = NULL;
    fr_free(known);
    fr_benchmark_pairs_done(&fit);
    fr_benchmark_pairs_done(&held);
    if (e == FR_OK || (fault != NULL && fault->err != FR_OK)) /* told already */
        return e;
    return fr_fault(fault, e, "validation: %s", fr_err_text(e));
}

/* All of train, as many epochs as were best, each at its step size. */
static enum fr_err final(struct work *w,
                         const struct fr_benchmark_pairs *all,
                         struct fr_rng *rng,
                         struct fr_model **out_m,
                         struct fr_fault *fault)
{
    double loss = 0;
    enum fr_err e;

    take_pairs(w, all);
    e = enter(w, FINAL, all->items, rng, fault);
    for (int i = w->sv.s.at.epoch; i < w->out->best_epoch && e == FR_OK; i++) {
        fr_train_two_tower_set_lr(w->tr, (float)w->out->lr[i]);
        e = epoch(w, all->items, w->out->epochs + i + 1, rng, &loss, fault);
        if (e == FR_OK)
            e = fr_saver_epoch(&w->sv.s, walk, w, fault);
    }
    if (e == FR_OK)
        e = fr_train_two_tower_model(w->tr, out_m, fault);
    else if (fault == NULL || fault->err == FR_OK)
        e = fr_fault(fault, e, "training: %s", fr_err_text(e));
    fr_train_two_tower_free(w->tr);
    w->tr = NULL;
    return e;
}

static enum fr_err save(const struct work *w, const struct fr_model *m, struct fr_fault *fault)
{
    const char *names[FR_BENCHMARK_METRICS];
    double values[FR_BENCHMARK_METRICS];
    struct fr_model_meta meta = {.name = fr_model_kind_slug(w->run->kind),
                                 .version = w->from.version,
                                 .parent = w->from.parent,
                                 .created_ms = w->run->created_ms,
                                 .metric_names = names,
                                 .metric_values = values,
                                 .n_metrics = w->out->n_metrics};
    const struct fr_cell *item[8];
    struct fr_model_case c = {
        &w->user_cell[w->user[0]], NULL, item, NULL, (int)(w->n < 8 ? w->n : 8)};

    for (int i = 0; i < w->out->n_metrics; i++) {
        names[i] = w->out->metric[i].name;
        values[i] = w->out->metric[i].value;
    }
    for (int i = 0; i < c.n; i++)
        item[i] = &w->item_cell[w->item[i]];
    return fr_model_save(m, &meta, &c, 1, w->run->out, fault);
}

static enum fr_err prepare(struct work *w, const struct fr_benchmark_pairs *p)
{
    w->user_cell = fr_malloc_array((size_t)p->users + 1, sizeof(*w->user_cell));
    w->item_cell = fr_malloc_array((size_t)p->items + 1, sizeof(*w->item_cell));
    w->user = fr_malloc_array(p->n + 1, sizeof(*w->user));
    w->item = fr_malloc_array(p->n + 1, sizeof(*w->item));
    w->row = fr_malloc_array((size_t)w->run->set.batch, sizeof(*w->row));
    if (w->user_cell == NULL || w->item_cell == NULL || w->user == NULL || w->item == NULL ||
        w->row == NULL)
        return FR_ENOMEM;
    for (uint32_t i = 0; i < p->users; i++)
        w->user_cell[i] = fr_benchmark_cell(i);
    for (uint32_t i = 0; i < p->items; i++)
        w->item_cell[i] = fr_benchmark_cell(i);
    return fr_benchmark_pairs_fields(&w->fs);
}

static uint64_t data_hash(const struct fr_benchmark_pairs *p)
{
    uint64_t h = fr_saver_hash(p->items, p->start, ((size_t)p->users + 1) * sizeof(*p->start));

    return fr_saver_hash(h, p->item, p->n * sizeof(*p->item));
}

/* Both files, over the same ids. */
static enum fr_err read_both(const char *dir,
                             struct fr_benchmark_pairs *train,
                             struct fr_benchmark_pairs *want,
                             struct fr_fault *fault)
{
    struct fr_benchmark_pairs first = {.n = 0};
    enum fr_err e =
        fr_benchmark_pairs_read(dir, "train.txt", FR_BENCHMARK_LISTS, 0, 0, &first, fault);

    if (e == FR_OK)
        e = fr_benchmark_pairs_read(
            dir, "test.txt", FR_BENCHMARK_LISTS, first.users, first.items, want, fault);
    if (e == FR_OK && first.n == 0)
        e = fr_fault(fault, FR_EINVAL, "%s/train.txt: no items", dir);
    if (e == FR_OK) /* again with the ids of both */
        e = fr_benchmark_pairs_read(
            dir, "train.txt", FR_BENCHMARK_LISTS, want->users, want->items, train, fault);
    fr_benchmark_pairs_done(&first);
    return e;
}

enum fr_err fr_benchmark_retrieval_train(const struct fr_benchmark_run *run,
                                         struct fr_benchmark_result *out,
                                         struct fr_fault *fault)
{
    struct work w = {.run = run, .out = out};
    struct fr_benchmark_pairs train = {.n = 0}, want = {.n = 0};
    struct fr_model *m = NULL;
    struct fr_rng rng;
    enum fr_err e;

    memset(out, 0, sizeof(*out));
    out->kind = run->kind;
    out->valid_name = "recall@20";
    fr_rng_seed(&rng, run->seed);
    e = read_both(run->dir, &train, &want, fault);
    if (e == FR_OK && (e = prepare(&w, &train)) != FR_OK)
        e = fr_fault(fault, e, "out of memory");
    if (e == FR_OK)
        e = fr_benchmark_from_load(run, w.fs, &w.from, fault);
    if (e == FR_OK)
        e = fr_benchmark_saver_begin(&w.sv, run, out, PARTS, data_hash(&train), fault);
    if (e == FR_OK && !fr_saver_beyond(&w.sv.s, CHOOSE))
        e = choose(&w, &train, &rng, fault);
    if (e == FR_OK)
        e = final(&w, &train, &rng, &m, fault);
    out->rows_per_second = out->seconds > 0 ? out->rows_per_second / out->seconds : 0;
    if (e == FR_OK && (e = test(m, &train, &want, NULL, out)) != FR_OK)
        e = fr_fault(fault, e, "test: %s", fr_err_text(e));
    if (e == FR_OK)
        e = save(&w, m, fault);
    fr_saver_done(&w.sv.s);
    fr_model_free(m);
    fr_benchmark_from_done(&w.from);
    fr_free(w.user_cell);
    fr_free(w.item_cell);
    fr_free(w.user);
    fr_free(w.item);
    fr_free(w.row);
    fr_free(w.fs);
    fr_benchmark_pairs_done(&train);
    fr_benchmark_pairs_done(&want);
    return e;
}

enum fr_err fr_benchmark_retrieval_evaluate(const char *dir,
                                            const char *bundle,
                                            struct fr_benchmark_detail *detail,
                                            struct fr_benchmark_result *out,
                                            struct fr_fault *fault)
{
    struct fr_benchmark_pairs train = {.n = 0}, want = {.n = 0};
    struct fr_field_set *fs = NULL;
    struct fr_model *m = NULL;
    enum fr_err e = read_both(dir, &train, &want, fault);

    memset(out, 0, sizeof(*out));
    if (e == FR_OK && (e = fr_benchmark_pairs_fields(&fs)) != FR_OK)
        e = fr_fault(fault, e, "out of memory");
    if (e == FR_OK)
        e = fr_model_load(bundle, fs, &m, fault);
    if (e == FR_OK && fr_model_info(m)->job != FR_JOB_RETRIEVAL)
        e = fr_fault(fault, FR_EINVAL, "%s: not a retrieval model", bundle);
    if (e == FR_OK) {
        out->kind = fr_model_info(m)->kind;
        if ((e = test(m, &train, &want, detail, out)) != FR_OK)
            e = fr_fault(fault, e, "test: %s", fr_err_text(e));
        if (e == FR_OK && (e = note_unknown(m, &train, &want, out)) != FR_OK)
            e = fr_fault(fault, e, "ids of the test: %s", fr_err_text(e));
        if (e == FR_OK && (e = fr_benchmark_pairs_time(m, fs, want.items, detail)) != FR_OK)
            e = fr_fault(fault, e, "timing: %s", fr_err_text(e));
    }
    fr_model_free(m);
    fr_free(fs);
    fr_benchmark_pairs_done(&train);
    fr_benchmark_pairs_done(&want);
    return e;
}
