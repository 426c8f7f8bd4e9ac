/*
 * daemon/learn/benchmark_saver.c - see benchmark_saver.h.
 */
#include "daemon/learn/benchmark_saver.h"

#include <stdio.h>

static void walk_run(const struct fr_benchmark_saver *sv, struct fr_checkpoint *ck)
{
    const struct fr_benchmark_run *run = sv->run;
    const char *name;
    char key[32];
    double v = 0;

    fr_checkpoint_section(ck, "run");
    fr_checkpoint_same_str(ck, "model", fr_model_kind_name(run->kind));
    fr_checkpoint_same_u64(ck, "seed", run->seed);
    fr_checkpoint_same_u64(ck, "threads", (uint64_t)run->threads);
    for (int i = 0; (name = fr_benchmark_setting_at(&run->set, i, &v)) != NULL; i++)
        fr_checkpoint_same_f64(ck, name, v);
    fr_checkpoint_same_u64(ck, "n_hidden", (uint64_t)run->set.n_hidden);
    for (int i = 0; i < run->set.n_hidden; i++) {
        (void)snprintf(key, sizeof(key), "hidden.%d", i);
        fr_checkpoint_same_u64(ck, key, (uint64_t)run->set.hidden[i]);
    }
    fr_checkpoint_same_u64(ck, "data", sv->data);
    fr_checkpoint_same_str(ck, "from", run->from == NULL ? "" : run->from);
}

static void walk(void *ctx, struct fr_checkpoint *ck)
{
    struct fr_benchmark_saver *sv = ctx;
    struct fr_benchmark_result *r = sv->out;
    int n = r->epochs < FR_BENCHMARK_EPOCHS_MAX ? r->epochs : FR_BENCHMARK_EPOCHS_MAX;

    walk_run(sv, ck);
    fr_checkpoint_section(ck, "result");
    fr_checkpoint_int(ck, "epochs", &n, 0, FR_BENCHMARK_EPOCHS_MAX);
    fr_checkpoint_int(ck, "best_epoch", &r->best_epoch, 0, n);
    fr_checkpoint_f64(ck, "seconds", &r->seconds);
    fr_checkpoint_f64(ck, "rows", &r->rows_per_second); /* rows so far where the benchmark counts them */
    fr_checkpoint_f64s(ck, "loss", r->loss, n);
    fr_checkpoint_f64s(ck, "valid", r->valid, n);
    fr_checkpoint_f64s(ck, "lr", r->lr, n);
    r->epochs = n;
}

enum fr_err fr_benchmark_saver_begin(struct fr_benchmark_saver *sv,
                                     const struct fr_benchmark_run *run,
                                     struct fr_benchmark_result *out,
                                     int parts,
                                     uint64_t data,
                                     struct fr_fault *fault)
{
    *sv = (struct fr_benchmark_saver){.s = {.path = run->checkpoint,
                                            .every_s = run->checkpoint_s,
                                            .parts = parts,
                                            .epochs = (int)run->set.epochs,
                                            .head = walk,
                                            .head_ctx = sv,
                                            .note = run->note,
                                            .note_ctx = run->tell_ctx,
                                            .seconds = &out->seconds},
                                      .run = run,
                                      .out = out,
                                      .data = data};
    return fr_saver_begin(&sv->s, fault);
}

bool fr_benchmark_saver_judge(struct fr_benchmark_saver *sv, double measure)
{
    const struct fr_benchmark_settings *s = &sv->run->set;
    struct fr_saver_place *at = &sv->s.at;

    if (measure > at->best + s->min_delta) {
        at->best = measure;
        at->bad = 0;
        sv->out->best_epoch = at->epoch + 1;
        return true;
    }
    if (++at->bad % (int)s->lr_patience == 0)
        at->lr *= s->lr_factor;
    return false;
}
