/*
 * daemon/learn/benchmark_ncf.c - epochs of train_ncf; pre-training.
 */
#include "daemon/learn/benchmark_ncf.h"

#include <math.h>
#include <string.h>

#include "models/train/checkpoint_trainers.h"
#include "models/train/train_ncf.h"

#define ALPHA 0.5f /* of the joined weights (He et al. 2017, section 4.1) */

/* One training among up to three. */
struct fit {
    struct fr_benchmark_loo *l;
    const struct fr_benchmark_run *run;
    struct fr_rng *rng;
    struct fr_benchmark_result *out;
    struct fr_benchmark_draw d;
    struct fr_train_ncf *tr, *now; /* the run's kind; of the part in progress */
    struct fr_model **best;        /* of that part */
    struct fr_train_ncf *gmf;      /* pre-training: the first part's, and its best */
    struct fr_model *gmf_best;
};

/* All state of the training beside place and result; see benchmark_saver.h. */
static void walk(void *ctx, struct fr_checkpoint *ck)
{
    struct fit *f = ctx;

    fr_checkpoint_section(ck, "trainer");
    fr_train_ncf_checkpoint(f->now, ck);
    fr_checkpoint_section(ck, "best");
    fr_checkpoint_model(ck, f->best, fr_train_ncf_build, f->now);
    if (f->l->sv.s.at.part == FR_LOO_MLP) {
        fr_checkpoint_section(ck, "gmf");
        fr_checkpoint_model(ck, &f->gmf_best, fr_train_ncf_build, f->gmf);
    }
}

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
    if (e == FR_OK && f->l->from.m != NULL)
        e = fr_train_ncf_from(*out, f->l->from.m, fault);
    return e;
}

static enum fr_err
epoch(struct fit *f, int number, double *out_loss, struct fr_fault *fault)
{
    struct fr_saver *sv = &f->l->sv.s;
    size_t batch = (size_t)f->run->set.batch;
    double sum = sv->at.sum, loss = 0;
    enum fr_err e;

    fr_saver_lap(sv);
    sv->at.rng = *f->rng;
    e = fr_benchmark_loo_draw(&f->l->fit, (int)f->run->set.negatives, f->rng, &f->d);
    struct fr_benchmark_average mean = fr_benchmark_average(&f->run->set, f->d.n);
    for (size_t at = sv->at.row; e == FR_OK && at < f->d.n; at += batch) {
        size_t n = f->d.n - at < batch ? f->d.n - at : batch;
        struct fr_ncf_rows rows = {f->d.user + at, f->d.item + at, f->d.label + at, (int)n};

        e = fr_train_ncf_step(f->now, &rows, &loss);
        if (e == FR_OK && mean.share > 0 && (at / batch + 1) % mean.every == 0)
            e = fr_train_ncf_average(f->now, mean.share);
        if (e != FR_OK)
            break;
        sum += loss * (double)n;
        if ((e = fr_saver_step(sv, at + n, sum, walk, f, fault)) != FR_OK)
            return e;
        if (f->run->tell != NULL)
            f->run->tell(
                f->run->tell_ctx, number, at + n, f->d.n, sum / (double)(at + n), (double)NAN);
    }
    f->out->rows_per_second += (double)f->d.n; /* divided by the seconds at the end */
    *out_loss = sum / (double)(f->d.n > 0 ? f->d.n : 1);
    return e == FR_OK ? FR_OK : fr_fault(fault, e, "epoch %d: %s", number, fr_err_text(e));
}

/* Epochs of a part until the best is found; the trainer is left at the last. */
static enum fr_err epochs(struct fit *f,
                          struct fr_train_ncf *tr,
                          enum fr_benchmark_loo_part part,
                          double lr,
                          struct fr_model **best,
                          struct fr_fault *fault)
{
    struct fr_saver *sv = &f->l->sv.s;
    enum fr_err e;

    f->now = tr;
    f->best = best;
    if (sv->from == NULL) /* those of an earlier part are forgotten */
        f->out->epochs = f->out->best_epoch = 0;
    e = fr_saver_enter(sv, (int)part, lr, f->rng, walk, f, fault);
    *f->rng = sv->at.rng;
    for (int i = sv->at.epoch; e == FR_OK && sv->at.bad == 0 && i < (int)f->run->set.epochs; i++) {
        struct fr_model *m = NULL;
        bool stop = false;
        double loss = 0;

        fr_train_ncf_set_lr(tr, (float)sv->at.lr);
        if ((e = epoch(f, i + 1, &loss, fault)) != FR_OK)
            return e;
        if ((e = fr_train_ncf_model(tr, &m, fault)) == FR_OK &&
            (e = fr_benchmark_loo_epoch(f->l, f->run, f->out, loss, &sv->at.lr, m, best, &stop)) != FR_OK)
            e = fr_fault(fault, e, "validation: %s", fr_err_text(e));
        sv->at.bad = stop;
        sv->at.rng = *f->rng;
        if (e == FR_OK)
            e = fr_saver_epoch(sv, walk, f, fault);
    }
    return e;
}

/* gmf and mlp with the run's optimiser, each by its best epoch, into the run's trainer. */
static enum fr_err pretrain(struct fit *f, struct fr_fault *fault)
{
    struct fr_saver *sv = &f->l->sv.s;
    struct fr_train_ncf *mlp = NULL;
    struct fr_model *mlp_best = NULL;
    enum fr_err e = new_trainer(f, FR_MODEL_GMF, &f->gmf, fault);

    if (e == FR_OK && !fr_saver_beyond(sv, FR_LOO_GMF))
        e = epochs(f, f->gmf, FR_LOO_GMF, f->run->set.lr, &f->gmf_best, fault);
    if (e == FR_OK)
        e = new_trainer(f, FR_MODEL_MLP, &mlp, fault);
    if (e == FR_OK)
        e = epochs(f, mlp, FR_LOO_MLP, f->run->set.lr, &mlp_best, fault);
    if (e == FR_OK && (f->gmf_best == NULL || mlp_best == NULL))
        e = fr_fault(fault, FR_EINVAL, "pre-training: no epoch was kept");
    if (e == FR_OK && (e = fr_train_ncf_join(f->tr, f->gmf_best, mlp_best, ALPHA)) != FR_OK)
        e = fr_fault(fault, e, "pre-trained weights: %s", fr_err_text(e));
    fr_model_free(mlp_best);
    fr_model_free(f->gmf_best);
    fr_train_ncf_free(mlp);
    fr_train_ncf_free(f->gmf);
    f->gmf_best = NULL;
    f->gmf = NULL;
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
    double lr = pretrained ? run->set.sgd_lr : run->set.lr;
    enum fr_err e;

    if (pretrained && l->from.m != NULL)
        return fr_fault(fault, FR_EINVAL, "pretrain=1 begins with a gmf and an mlp: it cannot go on from a model");
    e = new_trainer(&f, run->kind, &f.tr, fault);
    if (e == FR_OK && pretrained && !fr_saver_beyond(&l->sv.s, FR_LOO_MLP))
        e = pretrain(&f, fault);
    if (e == FR_OK)
        e = epochs(&f, f.tr, FR_LOO_WHOLE, lr, best, fault);
    fr_benchmark_draw_done(&f.d);
    fr_train_ncf_free(f.tr);
    return e;
}
