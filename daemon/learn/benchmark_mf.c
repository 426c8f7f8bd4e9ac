/*
 * daemon/learn/benchmark_mf.c - epochs of train_mf.
 */
#include "daemon/learn/benchmark_mf.h"

#include <math.h>

#include "models/train/train_mf.h"

/* One training. */
struct fit {
    struct fr_benchmark_loo *l;
    struct fr_train_mf *tr;
    struct fr_model **best;
};

/* All state of the training beside place and result; see benchmark_saver.h. */
static void walk(void *ctx, struct fr_checkpoint *ck)
{
    struct fit *f = ctx;

    fr_checkpoint_section(ck, "trainer");
    fr_train_mf_checkpoint(f->tr, ck);
    fr_checkpoint_section(ck, "best");
    fr_checkpoint_model(ck, f->best, fr_train_mf_build, f->tr);
}

/* An epoch is one pass that all threads share, so a checkpoint is of whole epochs. */
static enum fr_err epoch(struct fit *f,
                         const struct fr_benchmark_run *run,
                         struct fr_rng *rng,
                         struct fr_benchmark_draw *d,
                         double *out_loss)
{
    enum fr_err e;

    fr_saver_lap(&f->l->sv.s);
    e = fr_benchmark_loo_draw(&f->l->fit, (int)run->set.negatives, rng, d);
    if (e == FR_OK)
        e = fr_train_mf_pass(f->tr, d->user, d->item, d->label, d->n, out_loss);
    fr_saver_time(&f->l->sv.s);
    f->l->sv.out->rows_per_second += (double)d->n; /* divided by the seconds at the end */
    return e;
}

enum fr_err fr_benchmark_mf_fit(struct fr_benchmark_loo *l,
                                const struct fr_benchmark_run *run,
                                struct fr_rng *rng,
                                struct fr_benchmark_result *out,
                                struct fr_model **best,
                                struct fr_fault *fault)
{
    struct fr_benchmark_draw d = {.n = 0};
    struct fit f = {.l = l, .best = best};
    struct fr_saver_place *at = &l->sv.s.at;
    struct fr_mf_train_config c;

    if (run->set.optimizer != FR_OPTIMIZER_SGD)
        return fr_fault(fault, FR_EINVAL, "mf is trained by its own sgd: no other optimizer");
    fr_mf_train_config_default(&c);
    c.dim = (int)run->set.dim;
    c.lr = (float)run->set.lr;
    c.reg = (float)run->set.l2;
    c.init_std = (float)run->set.init_std;
    c.seed = run->seed;
    c.threads = run->threads;
    enum fr_err e = fr_train_mf_new(&c, l->fs, l->user, l->users, l->item, l->items, &f.tr, fault);
    if (e == FR_OK && l->from.m != NULL)
        e = fr_train_mf_from(f.tr, l->from.m, fault);
    if (e == FR_OK)
        e = fr_saver_enter(&l->sv.s, FR_LOO_WHOLE, run->set.lr, rng, walk, &f, fault);
    *rng = at->rng;
    for (int i = at->epoch; e == FR_OK && at->bad == 0 && i < (int)run->set.epochs; i++) {
        struct fr_model *m = NULL;
        bool stop = false;
        double loss = 0;

        if (run->tell != NULL) /* the bar begins with the epoch */
            run->tell(run->tell_ctx,
                      i + 1,
                      0,
                      l->fit.n,
                      (double)NAN,
                      (double)NAN);
        fr_train_mf_set_lr(f.tr, (float)at->lr);
        if ((e = epoch(&f, run, rng, &d, &loss)) != FR_OK) {
            e = fr_fault(fault, e, "epoch %d: %s", i + 1, fr_err_text(e));
            break;
        }
        if ((e = fr_train_mf_model(f.tr, &m, fault)) == FR_OK &&
            (e = fr_benchmark_loo_epoch(l, run, out, loss, &at->lr, m, best, &stop)) != FR_OK)
            e = fr_fault(fault, e, "validation: %s", fr_err_text(e));
        at->bad = stop;
        at->rng = *rng;
        if (e == FR_OK)
            e = fr_saver_epoch(&l->sv.s, walk, &f, fault);
    }
    fr_benchmark_draw_done(&d);
    fr_train_mf_free(f.tr);
    return e;
}
