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
    struct fr_learner_stretch on;
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

static enum fr_err fit_new(struct fr_learner *l, const struct fr_learner_stretch *on, struct fit *f)
{
    struct fr_mf_train_config c;
    enum fr_err e;

    memset(f, 0, sizeof(*f));
    f->l = l;
    f->on = *on;
    e = fr_learner_pairs_new(l, on->end, on->n_items, &f->pairs);
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

/* All state of the training beside place and result; see saver.h. */
static void walk(void *ctx, struct fr_checkpoint *ck)
{
    struct fit *f = ctx;

    fr_checkpoint_section(ck, "trainer");
    fr_train_mf_checkpoint(f->tr, ck);
}

/* Begin the part, or come to where the checkpoint was. */
static enum fr_err enter(struct fit *f)
{
    struct fr_learner *l = f->l;
    enum fr_err e = fr_saver_enter(&l->sv.s, (int)f->on.part, (double)LR, &l->rng, walk, f, l->fault);

    l->rng = l->sv.s.at.rng;
    return e;
}

static enum fr_err epoch_done(struct fit *f)
{
    struct fr_saver *sv = &f->l->sv.s;

    fr_saver_time(sv);
    sv->at.rng = f->l->rng;
    return fr_saver_epoch(sv, walk, f, f->l->fault);
}

/* One pass that all threads share, so a checkpoint is of whole epochs. */
static enum fr_err epoch(struct fit *f, int number, int of)
{
    const struct fr_learner *l = f->l;
    enum fr_err e = fr_benchmark_loo_draw(&f->pairs.fit, l->c->pair_negatives, &f->l->rng, &f->draw);

    if (e == FR_OK)
        e = fr_train_mf_pass(f->tr, f->draw.user, f->draw.item, f->draw.label, f->draw.n, &l->out->tower_loss);
    fr_learner_tell_loss(l, f->on.what, (uint64_t)(number + 1) * f->draw.n, (uint64_t)of * f->draw.n, l->out->tower_loss,
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

/* The epochs that choose how many, each measured. */
static enum fr_err choosing(struct fit *f, const struct held *h, struct fr_cell *user, struct fr_arena *ar)
{
    struct fr_learner *l = f->l;
    struct fr_stream_curve *curve = &l->out->tower_curve;
    struct fr_saver_place *at = &l->sv.s.at;
    double now = 0;
    enum fr_err e = enter(f);

    for (int i = at->epoch; e == FR_OK && i < l->c->mf_epochs && i < l->mf_epochs + PATIENCE; i++) {
        e = epoch(f, i, l->c->mf_epochs);
        if (e == FR_OK)
            e = measure(f, h, user, ar, &now);
        if (e != FR_OK)
            break;
        fr_learner_curve(curve, l->out->tower_loss, now / (double)(h->n > 0 ? h->n : 1), (double)LR);
        if (now > at->best) {
            at->best = now;
            l->mf_epochs = curve->best = i + 1;
        }
        e = epoch_done(f);
    }
    return e;
}

/* How many epochs; at least one. */
static enum fr_err choose(struct fr_learner *l, const struct fr_learner_stretch *all)
{
    size_t from = all->end - all->end / HELD_OUT - 1;
    struct fr_learner_stretch on = {FR_STREAM_CHOOSE, "epochs of mf", from, all->n_items};
    struct fr_cell *user = fr_malloc_array(l->nc[FR_ENTITY_USER] + 1U, sizeof(*user));
    struct fr_arena *ar = NULL;
    struct held h = {NULL, NULL, 0};
    struct fit f;
    enum fr_err e = fit_new(l, &on, &f);

    fr_stream_saver_part(l, FR_STREAM_CHOOSE);
    if (e == FR_OK && user == NULL)
        e = FR_ENOMEM;
    if (e == FR_OK)
        e = fr_arena_new((size_t)1 << 20, 0, &ar);
    if (e == FR_OK)
        e = held_new(&f, from, all->end, user, &h);
    if (e == FR_OK)
        e = choosing(&f, &h, user, ar);
    held_done(&h);
    fit_done(&f);
    fr_arena_free(ar);
    fr_free(user);
    return e;
}

enum fr_err fr_learner_mf(struct fr_learner *l, enum fr_stream_part part, struct fr_model **out)
{
    struct fr_learner_stretch on = fr_learner_stretch(l, part);
    struct fit f;
    enum fr_err e = l->mf_chosen ? FR_OK : choose(l, &on);

    if (e != FR_OK)
        return e;
    l->mf_chosen = true;
    e = fit_new(l, &on, &f);
    fr_stream_saver_part(l, part);
    if (e == FR_OK)
        e = enter(&f);
    for (int i = l->sv.s.at.epoch; e == FR_OK && i < l->mf_epochs; i++) {
        e = epoch(&f, i, l->mf_epochs);
        if (e == FR_OK)
            e = epoch_done(&f);
    }
    if (e == FR_OK)
        e = fr_train_mf_model(f.tr, out, l->fault);
    if (e == FR_OK && part == FR_STREAM_TOWER_A && l->c->checkpoint != NULL)
        e = fr_train_mf_model(f.tr, &l->kept_a, l->fault);
    fit_done(&f);
    return e;
}

/* ---- in a checkpoint of the ranker's part ---- */

enum fr_err fr_learner_mf_left(struct fr_learner *l)
{
    struct fr_learner_stretch on = fr_learner_stretch(l, FR_STREAM_TOWER_A);
    struct fr_checkpoint *ck = l->sv.s.from;
    struct fr_model **m[2] = {&l->tower_a, &l->kept_a};
    struct fit f;
    enum fr_err e = fit_new(l, &on, &f);

    fr_checkpoint_section(ck, "tower_a");
    for (int i = 0; i < 2 && e == FR_OK; i++)
        fr_checkpoint_model(ck, m[i], fr_train_mf_build, f.tr);
    if (e == FR_OK && l->kept_a == NULL)
        fr_checkpoint_fail(ck, FR_ESCHEMA, "model", "is missing");
    fit_done(&f);
    return e;
}

void fr_learner_mf_save(struct fr_learner *l, struct fr_checkpoint *ck)
{
    fr_checkpoint_model(ck, &l->kept_a, fr_train_mf_build, NULL);
}
