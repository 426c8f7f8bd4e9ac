/*
 * daemon/learn/benchmark_mf.c - epochs of train_mf.
 */
#include "daemon/learn/benchmark_mf.h"

#include <math.h>

#include "daemon/base/clock.h"
#include "models/train/train_mf.h"

enum fr_err fr_benchmark_mf_fit(struct fr_benchmark_loo *l,
                                const struct fr_benchmark_run *run,
                                struct fr_rng *rng,
                                struct fr_benchmark_result *out,
                                struct fr_model **best,
                                struct fr_fault *fault)
{
    struct fr_benchmark_draw d = {.n = 0};
    struct fr_mf_train_config c;
    struct fr_train_mf *tr = NULL;
    struct fr_clock clock;
    bool stop = false;

    if (run->set.optimizer != FR_OPTIMIZER_SGD)
        return fr_fault(fault, FR_EINVAL, "mf is trained by its own sgd: no other optimizer");
    fr_benchmark_loo_begin(l, out);
    fr_mf_train_config_default(&c);
    c.dim = (int)run->set.dim;
    c.lr = (float)run->set.lr;
    c.reg = (float)run->set.l2;
    c.init_std = (float)run->set.init_std;
    c.seed = run->seed;
    c.threads = run->threads;
    fr_clock_init_real(&clock);
    enum fr_err e = fr_train_mf_new(&c, l->fs, l->user, l->users, l->item, l->items, &tr, fault);
    for (int i = 0; e == FR_OK && !stop && i < (int)run->set.epochs; i++) {
        struct fr_model *m = NULL;
        int64_t from = fr_clock_mono_us(&clock);
        double loss = 0;

        if (run->tell != NULL) /* the bar begins with the epoch */
            run->tell(run->tell_ctx,
                      (l->refit ? out->epochs : 0) + i + 1,
                      0,
                      l->fit.n,
                      (double)NAN,
                      (double)NAN);
        e = fr_benchmark_loo_draw(&l->fit, (int)run->set.negatives, rng, &d);
        if (e == FR_OK)
            e = fr_train_mf_pass(tr, d.user, d.item, d.label, d.n, &loss);
        if (e != FR_OK) {
            e = fr_fault(fault, e, "epoch %d: %s", i + 1, fr_err_text(e));
            break;
        }
        out->seconds += (double)(fr_clock_mono_us(&clock) - from) / 1e6;
        out->rows_per_second += (double)d.n; /* divided by the seconds at the end */
        if ((e = fr_train_mf_model(tr, &m, fault)) == FR_OK)
            e = fr_benchmark_loo_epoch(
                l, run, run->kind, i + 1, out, loss, run->set.lr, m, best, &stop);
    }
    fr_benchmark_draw_done(&d);
    fr_train_mf_free(tr);
    return e;
}
