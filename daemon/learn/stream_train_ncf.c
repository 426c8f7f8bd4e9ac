/*
 * daemon/learn/stream_train_ncf.c - gmf, mlp and neumf on the pairs of a stream: everything before the
 * held-out part.
 *
 * They read no retrieval score, so the examples that tower A has learnt are theirs too. Shapes and step
 * are the defaults of the published benchmark. A user or an item of a row becomes the unknown one now
 * and then: the unknown row is then an average user's (most popular first), not what it began as.
 */
#include <math.h>
#include <string.h>

#include "daemon/base/alloc.h"
#include "daemon/learn/benchmark_preset.h"
#include "daemon/learn/stream_train_pairs.h"
#include "models/train/checkpoint_trainers.h"
#include "models/train/train_ncf.h"

#define UNKNOWN 0.05 /* of the users and, apart, of the items of an epoch's rows */
#define TELL_STEPS 64
#define BEGAN 0.98 /* of the loss of a constant */

struct fr_learner_ncf {
    struct fr_learner *l;
    struct fr_train_ncf *tr;
    struct fr_learner_pairs pairs;
    struct fr_benchmark_draw draw;
    size_t batch;
    float lr;
};

float fr_learner_ncf_lr(const struct fr_learner_ncf *n)
{
    return n->lr;
}

bool fr_learner_ncf_is(enum fr_model_kind kind)
{
    return kind == FR_MODEL_GMF || kind == FR_MODEL_MLP || kind == FR_MODEL_NEUMF;
}

static enum fr_err trainer(struct fr_learner_ncf *n, enum fr_model_kind kind)
{
    struct fr_learner *l = n->l;
    struct fr_benchmark_settings s;
    struct fr_ncf_train_config c;
    const char *preset;
    enum fr_err e = fr_benchmark_preset("ncf", kind, NULL, &s, &preset, l->fault);

    if (e != FR_OK)
        return e;
    n->batch = (size_t)s.batch;
    fr_ncf_train_config_default(&c);
    c.model.kind = kind;
    c.model.factors = kind == FR_MODEL_MLP ? 0 : (int)s.dim;
    c.model.n_hidden = kind == FR_MODEL_GMF ? 0 : s.n_hidden;
    memcpy(c.model.hidden, s.hidden, sizeof(int) * (size_t)s.n_hidden);
    c.opt.seed = l->c->seed;
    c.opt.threads = l->c->threads;
    c.opt.lr = (float)s.lr;
    fr_learner_options(l, &c.opt);
    n->lr = c.opt.lr;
    c.opt.init_std = (float)s.init_std;
    c.opt.dense_rows = false; /* users come and go: a step moves those it has seen */
    c.user = n->pairs.user_field;
    c.item = n->pairs.item_field;
    e = fr_train_ncf_new(&c, &l->spec->fields, &n->tr, l->fault);
    if (e == FR_OK && (e = fr_train_ncf_ids(n->tr, n->pairs.user, n->pairs.fit.users, n->pairs.item,
                                            n->pairs.fit.items)) != FR_OK)
        e = fr_fault(l->fault, e, "ids: %s", fr_err_text(e));
    return e;
}

enum fr_err fr_learner_ncf_new(struct fr_learner *l, enum fr_model_kind kind, struct fr_learner_ncf **out)
{
    struct fr_learner_ncf *n = fr_calloc(1, sizeof(*n));
    enum fr_err e;

    if (n == NULL)
        return FR_ENOMEM;
    n->l = l;
    e = fr_learner_pairs_new(l, l->user.n - l->held, l->n_items, &n->pairs);
    if (e == FR_OK)
        e = trainer(n, kind);
    if (e != FR_OK) {
        fr_learner_ncf_free(n);
        return e;
    }
    l->out->pairs = n->pairs.fit.n;
    *out = n;
    return FR_OK;
}

void fr_learner_ncf_free(struct fr_learner_ncf *n)
{
    if (n == NULL)
        return;
    fr_train_ncf_free(n->tr);
    fr_learner_pairs_done(&n->pairs);
    fr_benchmark_draw_done(&n->draw);
    fr_free(n);
}

static void forget(struct fr_learner_ncf *n)
{
    for (size_t i = 0; i < n->draw.n; i++) {
        if (fr_rng_f64(&n->l->rng) < UNKNOWN)
            n->draw.user[i] = FR_NCF_UNKNOWN;
        if (fr_rng_f64(&n->l->rng) < UNKNOWN)
            n->draw.item[i] = FR_NCF_UNKNOWN;
    }
}

enum fr_err fr_learner_ncf_epoch(struct fr_learner_ncf *n, int epochs, double auc, fr_saver_walk_fn walk, void *ctx)
{
    struct fr_saver *sv = &n->l->sv.s;
    struct fr_benchmark_draw *d = &n->draw;
    double sum = sv->at.sum, loss = 0;
    enum fr_err e = fr_benchmark_loo_draw(&n->pairs.fit, n->l->c->pair_negatives, &n->l->rng, d);

    if (e == FR_OK)
        forget(n);
    for (size_t at = (size_t)sv->at.row; at < d->n && e == FR_OK; at += n->batch) {
        size_t k = d->n - at < n->batch ? d->n - at : n->batch;
        struct fr_ncf_rows rows = {d->user + at, d->item + at, d->label + at, (int)k};
        if ((e = fr_train_ncf_step(n->tr, &rows, &loss)) != FR_OK)
            break;
        sum += loss * (double)k;
        if (at / n->batch % TELL_STEPS == 0)
            fr_learner_tell_loss(n->l, "ranker", (uint64_t)sv->at.epoch * d->n + at, (uint64_t)epochs * d->n,
                                 sum / (double)(at + k), auc);
        e = fr_saver_step(sv, at + k, sum, walk, ctx, n->l->fault);
    }
    n->l->out->ranker_loss = sum / (double)(d->n == 0 ? 1 : d->n);
    return e;
}

bool fr_learner_ncf_began(const struct fr_learner_ncf *n)
{
    double p = 1.0 / (1 + n->l->c->pair_negatives), constant = -p * log(p) - (1 - p) * log(1 - p);

    return n->l->out->ranker_loss < BEGAN * constant;
}

enum fr_err fr_learner_ncf_model(const struct fr_learner_ncf *n, struct fr_model **out)
{
    return fr_train_ncf_model(n->tr, out, n->l->fault);
}

void fr_learner_ncf_checkpoint(struct fr_learner_ncf *n, struct fr_model **best, struct fr_checkpoint *ck)
{
    fr_checkpoint_section(ck, "trainer");
    fr_train_ncf_checkpoint(n->tr, ck);
    fr_checkpoint_section(ck, "best");
    fr_checkpoint_model(ck, best, fr_train_ncf_build, n->tr);
}
