/*
 * daemon/learn/benchmark_ncf.c - epochs of train_ncf; pre-training.
 */
#include "daemon/learn/benchmark_ncf.h"

#include <math.h>
#include <string.h>

#include "daemon/base/clock.h"
#include "models/train/train_ncf.h"

#define ALPHA 0.5f /* of the joined weights (He et al. 2017, section 4.1) */

/* One training among up to three. */
struct fit {
    struct fr_benchmark_loo *l;
    const struct fr_benchmark_run *run;
    struct fr_rng *rng;
    struct fr_benchmark_result *out;
    struct fr_benchmark_draw d;
};

static enum fr_err new_trainer(const struct fit *f,
                               enum fr_model_kind kind,
                               struct fr_train_ncf **out,
                               struct fr_fault *fault)
{
    const struct fr_benchmark_settings *s = &f->run->set;
    struct fr_ncf_train_config c;

    fr_ncf_train_config_default(&c);
    c.model.kind = kind;
    c.model.factors = kind == FR_MODEL_MLP ? 0 : (int)s->dim;
    c.model.n_hidden = kind == FR_MODEL_GMF ? 0 : s->n_hidden;
    memcpy(c.model.hidden, s->hidden, sizeof(int) * (size_t)s->n_hidden);
    c.opt.seed = f->run->seed + (uint64_t)kind;
    c.opt.threads = f->run->threads;
    fr_benchmark_optimizer(s, &c.opt);
    c.opt.l2_embedding = (float)s->l2;
    c.opt.dense_rows = s->dense_rows > 0;
    c.opt.clip_norm = (float)s->clip;
    c.opt.clip_all = true;
    c.opt.xavier = s->xavier > 0;
    c.opt.init_std = (float)s->init_std;
    c.opt.max_rows = FR_BENCHMARK_MAX_ID;
    if (kind == FR_MODEL_NEUMF && s->pretrain > 0) {
        c.opt.optimizer = FR_OPTIMIZER_SGD;
        c.opt.lr = (float)s->sgd_lr;
    }
    enum fr_err e = fr_train_ncf_new(&c, f->l->fs, out, fault);
    if (e == FR_OK &&
        (e = fr_train_ncf_ids(*out, f->l->user, f->l->users, f->l->item, f->l->items)) != FR_OK)
        e = fr_fault(fault, e, "ids: %s", fr_err_text(e));
    return e;
}

static enum fr_err epoch(struct fit *f, struct fr_train_ncf *tr, int number, double *out_loss)
{
    size_t batch = (size_t)f->run->set.batch;
    double sum = 0, loss = 0;
    struct fr_clock clock;
    enum fr_err e;

    fr_clock_init_real(&clock);
    int64_t from = fr_clock_mono_us(&clock);
    e = fr_benchmark_loo_draw(&f->l->fit, (int)f->run->set.negatives, f->rng, &f->d);
    for (size_t at = 0; e == FR_OK && at < f->d.n; at += batch) {
        size_t n = f->d.n - at < batch ? f->d.n - at : batch;
        struct fr_ncf_rows rows = {f->d.user + at, f->d.item + at, f->d.label + at, (int)n};

        e = fr_train_ncf_step(tr, &rows, &loss);
        sum += loss * (double)n;
        if (f->run->tell != NULL)
            f->run->tell(
                f->run->tell_ctx, number, at + n, f->d.n, sum / (double)(at + n), (double)NAN);
    }
    f->out->seconds += (double)(fr_clock_mono_us(&clock) - from) / 1e6;
    f->out->rows_per_second += (double)f->d.n; /* divided by the seconds at the end */
    *out_loss = sum / (double)(f->d.n > 0 ? f->d.n : 1);
    return e;
}

/* Epochs until the best is found, or as many as were; `tr` is left at the last. */
static enum fr_err epochs(struct fit *f,
                          struct fr_train_ncf *tr,
                          enum fr_model_kind kind,
                          double lr,
                          struct fr_model **best,
                          struct fr_fault *fault)
{
    bool stop = false;
    enum fr_err e = FR_OK;

    fr_benchmark_loo_begin(f->l, f->out);
    for (int i = 0; e == FR_OK && !stop && i < (int)f->run->set.epochs; i++) {
        struct fr_model *m = NULL;
        double loss = 0;

        if ((e = epoch(f, tr, (f->l->refit ? f->out->epochs : 0) + i + 1, &loss)) != FR_OK)
            return fr_fault(fault, e, "epoch %d: %s", i + 1, fr_err_text(e));
        if ((e = fr_train_ncf_model(tr, &m, fault)) == FR_OK)
            e = fr_benchmark_loo_epoch(f->l, f->run, kind, i + 1, f->out, loss, lr, m, best, &stop);
    }
    return e;
}

/* gmf and mlp with the run's optimiser, each to its last epoch, into `tr`. */
static enum fr_err pretrain(struct fit *f, struct fr_train_ncf *tr, struct fr_fault *fault)
{
    static const enum fr_model_kind kinds[] = {FR_MODEL_GMF, FR_MODEL_MLP};
    struct fr_train_ncf *part[2] = {NULL, NULL};
    enum fr_err e = FR_OK;

    for (int i = 0; i < 2 && e == FR_OK; i++) {
        struct fr_model *best = NULL;

        e = new_trainer(f, kinds[i], &part[i], fault);
        if (e == FR_OK)
            e = epochs(f, part[i], kinds[i], f->run->set.lr, &best, fault);
        fr_model_free(best);
    }
    if (e == FR_OK && (e = fr_train_ncf_join(tr, part[0], part[1], ALPHA)) != FR_OK)
        e = fr_fault(fault, e, "pre-trained weights: %s", fr_err_text(e));
    fr_train_ncf_free(part[0]);
    fr_train_ncf_free(part[1]);
    return e;
}

enum fr_err fr_benchmark_ncf_fit(struct fr_benchmark_loo *l,
                                 const struct fr_benchmark_run *run,
                                 struct fr_rng *rng,
                                 struct fr_benchmark_result *out,
                                 struct fr_model **best,
                                 struct fr_fault *fault)
{
    struct fit f = {.l = l, .run = run, .rng = rng, .out = out};
    bool pretrained = run->kind == FR_MODEL_NEUMF && run->set.pretrain > 0;
    struct fr_train_ncf *tr = NULL;
    enum fr_err e = new_trainer(&f, run->kind, &tr, fault);

    if (e == FR_OK && pretrained)
        e = pretrain(&f, tr, fault);
    if (e == FR_OK)
        e = epochs(&f, tr, run->kind, pretrained ? run->set.sgd_lr : run->set.lr, best, fault);
    fr_benchmark_draw_done(&f.d);
    fr_train_ncf_free(tr);
    return e;
}
