/*
 * daemon/learn/stream_train_mf.c - matrix factorisation as the stream's retrieval model.
 *
 *   pairs but the newest tenth ─► epochs, each measured on that tenth ─► how many epochs
 *   all pairs ─────────────────► as many epochs ─► model
 *
 * The measure is NDCG@10 of the next item among 99 items drawn once that the user does not have. The
 * number is chosen once a training: with the first model that is needed (the ranker's lists come from
 * it), so what the lists are judged on has no part in it.
 */
#include <math.h>
#include <string.h>

#include "daemon/base/alloc.h"
#include "daemon/learn/stream_train_pairs.h"
#include "models/metrics.h"
#include "models/train/train_mf.h"

#define HELD_OUT 10    /* one in so many, the newest */
#define MAX_HELD 1000  /* examples of the measure, spread evenly */
#define NEGATIVES 99
#define K 10
#define PATIENCE 5
#define DIM 32
#define LR 0.05f
#define REG 0.02f

/* A training on some of the pairs. */
struct fit {
    struct fr_learner *l;
    const char *what;
    struct fr_learner_pairs pairs;
    struct fr_train_mf *tr;
    struct fr_benchmark_draw draw;
};

static void fit_done(struct fit *f)
{
    fr_train_mf_free(f->tr);
    fr_learner_pairs_done(&f->pairs);
    fr_benchmark_draw_done(&f->draw);
}

static enum fr_err fit_new(struct fr_learner *l, const char *what, size_t end, uint32_t n_items, struct fit *f)
{
    struct fr_mf_train_config c;
    enum fr_err e;

    memset(f, 0, sizeof(*f));
    f->l = l;
    f->what = what;
    e = fr_learner_pairs_new(l, end, n_items, &f->pairs);
    if (e != FR_OK)
        return e;
    fr_mf_train_config_default(&c);
    c.user = f->pairs.user_field;
    c.item = f->pairs.item_field;
    c.dim = DIM;
    c.lr = LR;
    c.reg = REG;
    c.seed = l->c->seed;
    c.threads = l->c->threads;
    return fr_train_mf_new(&c, &l->spec->fields, f->pairs.user, f->pairs.fit.users, f->pairs.item, f->pairs.fit.items,
                           &f->tr, l->fault);
}

static enum fr_err epoch(struct fit *f, int number, int of)
{
    const struct fr_learner *l = f->l;
    enum fr_err e = fr_benchmark_loo_draw(&f->pairs.fit, l->c->pair_negatives, &f->l->rng, &f->draw);

    if (e == FR_OK)
        e = fr_train_mf_pass(f->tr, f->draw.user, f->draw.item, f->draw.label, f->draw.n, &l->out->tower_loss);
    fr_learner_tell_loss(l, f->what, (uint64_t)(number + 1) * f->draw.n, (uint64_t)of * f->draw.n, l->out->tower_loss,
                         (double)NAN);
    return e;
}

/* The examples of the measure with their drawn items. */
struct held {
    size_t *example; /* (n) */
    uint32_t *item;  /* (n, NEGATIVES + 1) positions, the label first */
    size_t n;
};

static void held_done(struct held *h)
{
    fr_free(h->example);
    fr_free(h->item);
}

static enum fr_err held_new(struct fit *f, size_t from, size_t end, struct fr_cell *user, struct held *h)
{
    const struct fr_learner *l = f->l;
    size_t step = (end - from) / MAX_HELD + 1;

    memset(h, 0, sizeof(*h));
    h->example = fr_malloc_array((end - from) / step + 2, sizeof(*h->example));
    h->item = fr_malloc_array(((end - from) / step + 2) * (NEGATIVES + 1), sizeof(*h->item));
    if (h->example == NULL || h->item == NULL)
        return FR_ENOMEM;
    for (size_t i = from; i < end; i += step) {
        uint32_t u = fr_learner_pairs_user(l, &f->pairs, i, user);
        uint32_t *item = h->item + h->n * (NEGATIVES + 1);
        if (f->pairs.item_at[l->label[i]] == UINT32_MAX)
            continue;
        item[0] = f->pairs.item_at[l->label[i]];
        for (int k = 1, tries = 0; k <= NEGATIVES; tries++) {
            item[k] = (uint32_t)fr_rng_below(&f->l->rng, f->pairs.fit.items);
            k += tries > 100 * NEGATIVES || /* has nearly all of a small catalogue */
                 (item[k] != item[0] && (u == UINT32_MAX || !fr_benchmark_pairs_has(&f->pairs.fit, u, item[k])));
        }
        h->example[h->n++] = i;
    }
    return FR_OK;
}

static enum fr_err measure(struct fit *f, const struct held *h, struct fr_cell *user, struct fr_arena *ar, double *out)
{
    const struct fr_learner *l = f->l;
    const struct fr_cell *item[NEGATIVES + 1];
    float logit[NEGATIVES + 1];
    struct fr_model *m = NULL;
    double sum = 0;
    enum fr_err e = fr_train_mf_model(f->tr, &m, l->fault);

    for (size_t i = 0; i < h->n && e == FR_OK; i++) {
        struct fr_model_case c = {user, NULL, item, NULL, NEGATIVES + 1};
        fr_cell_rows_get(&l->user, h->example[i], user, l->nc[FR_ENTITY_USER]);
        for (int k = 0; k <= NEGATIVES; k++)
            item[k] = f->pairs.item + (size_t)h->item[i * (NEGATIVES + 1) + (size_t)k] * l->nc[FR_ENTITY_ITEM];
        e = fr_model_score_case(m, &c, 0, ar, logit);
        if (e == FR_OK)
            sum += fr_metric_list_of_rank(fr_metric_rank(logit, NEGATIVES + 1, 0), K).ndcg;
    }
    fr_model_free(m);
    *out = sum;
    return e;
}

/* How many epochs; at least one. */
static enum fr_err choose(struct fr_learner *l, const char *what, size_t end, uint32_t n_items)
{
    size_t from = end - end / HELD_OUT - 1;
    struct fr_cell *user = fr_malloc_array(l->nc[FR_ENTITY_USER] + 1U, sizeof(*user));
    struct fr_arena *ar = NULL;
    struct held h = {NULL, NULL, 0};
    struct fit f;
    double best = -1, now = 0;
    enum fr_err e = fit_new(l, what, from, n_items, &f);

    if (e == FR_OK && user == NULL)
        e = FR_ENOMEM;
    if (e == FR_OK)
        e = fr_arena_new((size_t)1 << 20, 0, &ar);
    if (e == FR_OK)
        e = held_new(&f, from, end, user, &h);
    for (int i = 0; i < l->c->mf_epochs && i < l->mf_epochs + PATIENCE && e == FR_OK; i++) {
        e = epoch(&f, i, l->c->mf_epochs);
        if (e == FR_OK)
            e = measure(&f, &h, user, ar, &now);
        if (e == FR_OK)
            fr_learner_curve(&l->out->tower_curve, l->out->tower_loss, now / (double)(h.n > 0 ? h.n : 1),
                             (double)LR);
        if (e == FR_OK && now > best) {
            best = now;
            l->mf_epochs = l->out->tower_curve.best = i + 1;
        }
    }
    held_done(&h);
    fit_done(&f);
    fr_arena_free(ar);
    fr_free(user);
    return e;
}

enum fr_err fr_learner_mf(struct fr_learner *l, const char *what, size_t end, uint32_t n_items, struct fr_model **out)
{
    struct fit f;
    enum fr_err e = l->mf_epochs > 0 ? FR_OK : choose(l, "epochs of mf", end, n_items);

    if (e != FR_OK)
        return e;
    e = fit_new(l, what, end, n_items, &f);
    for (int i = 0; i < l->mf_epochs && e == FR_OK; i++)
        e = epoch(&f, i, l->mf_epochs);
    if (e == FR_OK)
        e = fr_train_mf_model(f.tr, out, l->fault);
    fit_done(&f);
    return e;
}
