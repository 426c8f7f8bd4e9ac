/*
 * daemon/learn/benchmark_saver.c - the place and the result over a checkpoint, and when to write.
 */
#include "daemon/learn/benchmark_saver.h"

#include <stdio.h>
#include <string.h>

#include "daemon/base/hash.h"

uint64_t fr_benchmark_hash(uint64_t h, const void *p, size_t bytes)
{
    struct fr_hash_key k = {h, UINT64_C(0x66726573686574)};

    return fr_siphash(k, (struct fr_str){p, bytes});
}

/* ---- the walk that all benchmarks share ---- */

static void walk_run(struct fr_benchmark_saver *sv, struct fr_checkpoint *ck)
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

static void walk_place(struct fr_benchmark_saver *sv, struct fr_checkpoint *ck)
{
    struct fr_benchmark_progress *p = &sv->at;
    struct fr_benchmark_result *r = sv->out;
    int64_t row = (int64_t)p->row;
    int n = r->epochs < FR_BENCHMARK_EPOCHS_KEPT ? r->epochs : FR_BENCHMARK_EPOCHS_KEPT;

    fr_checkpoint_section(ck, "place");
    fr_checkpoint_int(ck, "part", &p->part, 0, sv->parts - 1);
    fr_checkpoint_int(ck, "epoch", &p->epoch, 0, (int)sv->run->set.epochs);
    fr_checkpoint_i64(ck, "row", &row, 0, FR_CHECKPOINT_MAX_STEPS);
    fr_checkpoint_f64(ck, "sum", &p->sum);
    fr_checkpoint_f64(ck, "lr", &p->lr);
    fr_checkpoint_f64(ck, "best", &p->best);
    fr_checkpoint_int(ck, "bad", &p->bad, 0, (int)sv->run->set.epochs);
    fr_checkpoint_rng(ck, "rng", &p->rng);
    p->row = (uint64_t)row;
    fr_checkpoint_section(ck, "result");
    fr_checkpoint_int(ck, "epochs", &n, 0, FR_BENCHMARK_EPOCHS_KEPT);
    fr_checkpoint_int(ck, "best_epoch", &r->best_epoch, 0, n);
    fr_checkpoint_f64(ck, "seconds", &r->seconds);
    fr_checkpoint_f64(ck, "rows", &r->rows_per_second); /* rows so far where the benchmark counts them */
    fr_checkpoint_f64s(ck, "loss", r->loss, n);
    fr_checkpoint_f64s(ck, "valid", r->valid, n);
    fr_checkpoint_f64s(ck, "lr", r->lr, n);
    r->epochs = n;
}

/* ---- the file ---- */

/* The caller's errors name the file and what to do. */
static enum fr_err refused(const struct fr_benchmark_saver *sv, const struct fr_fault *why, struct fr_fault *fault)
{
    return fr_fault(fault, why->err,
                    "--checkpoint %s: cannot go on from it: %s (another run's? choose another file, or remove it)",
                    sv->run->checkpoint, why->msg);
}

enum fr_err fr_benchmark_saver_begin(struct fr_benchmark_saver *sv,
                                     const struct fr_benchmark_run *run,
                                     struct fr_benchmark_result *out,
                                     int parts,
                                     uint64_t data,
                                     struct fr_fault *fault)
{
    struct fr_fault why = {.err = FR_OK};
    enum fr_err e;

    *sv = (struct fr_benchmark_saver){.run = run, .out = out, .parts = parts, .data = data};
    fr_clock_init_real(&sv->clock);
    sv->lap_us = sv->saved_us = fr_clock_mono_us(&sv->clock);
    if (run->checkpoint == NULL)
        return FR_OK;
    e = fr_checkpoint_read(run->checkpoint, &sv->from, &why);
    if (e == FR_ENOTFOUND)
        return FR_OK;
    if (e != FR_OK)
        return fr_fault(fault, e, "--checkpoint %s", why.msg);
    walk_run(sv, sv->from);
    walk_place(sv, sv->from);
    if (fr_checkpoint_err(sv->from) == FR_OK)
        return FR_OK;
    e = fr_checkpoint_end(sv->from, &why); /* the first error */
    return e == FR_OK ? FR_EINTERNAL : refused(sv, &why, fault);
}

static enum fr_err save(struct fr_benchmark_saver *sv, fr_benchmark_walk_fn walk, void *ctx, struct fr_fault *fault)
{
    struct fr_checkpoint *ck = NULL;
    struct fr_fault why = {.err = FR_OK};
    enum fr_err e;

    if (sv->run->checkpoint == NULL)
        return FR_OK;
    if ((e = fr_checkpoint_new(&ck)) != FR_OK)
        return fr_fault(fault, e, "--checkpoint: out of memory");
    walk_run(sv, ck);
    walk_place(sv, ck);
    walk(ctx, ck);
    if ((e = fr_checkpoint_write(ck, sv->run->checkpoint, &why)) != FR_OK)
        e = fr_fault(fault, e, "--checkpoint: %s", why.msg);
    fr_checkpoint_free(ck);
    sv->lap_us = sv->saved_us = fr_clock_mono_us(&sv->clock);
    return e;
}

static void note(const struct fr_benchmark_saver *sv)
{
    char text[160];

    if (sv->run->note == NULL)
        return;
    (void)snprintf(text, sizeof(text), "going on in part %d after %d epochs and %llu rows", sv->at.part + 1, sv->at.epoch,
                   (unsigned long long)sv->at.row);
    sv->run->note(sv->run->tell_ctx, text);
}

bool fr_benchmark_saver_beyond(const struct fr_benchmark_saver *sv, int part)
{
    return sv->from != NULL && part < sv->at.part;
}

enum fr_err fr_benchmark_saver_enter(struct fr_benchmark_saver *sv,
                                     int part,
                                     double lr,
                                     const struct fr_rng *rng,
                                     fr_benchmark_walk_fn walk,
                                     void *ctx,
                                     struct fr_fault *fault)
{
    struct fr_fault why = {.err = FR_OK};
    enum fr_err e;

    if (sv->from == NULL) {
        sv->at = (struct fr_benchmark_progress){.part = part, .lr = lr, .best = -1, .rng = *rng};
        return save(sv, walk, ctx, fault);
    }
    if (part != sv->at.part) {
        fr_checkpoint_section(sv->from, "place");
        fr_checkpoint_fail(sv->from, FR_ERANGE, "part", "this training has no such part");
    } else {
        walk(ctx, sv->from);
    }
    e = fr_checkpoint_end(sv->from, &why);
    fr_checkpoint_free(sv->from);
    sv->from = NULL;
    if (e != FR_OK)
        return refused(sv, &why, fault);
    note(sv);
    return FR_OK;
}

/* ---- on the way ---- */

void fr_benchmark_saver_lap(struct fr_benchmark_saver *sv)
{
    sv->lap_us = fr_clock_mono_us(&sv->clock);
}

void fr_benchmark_saver_time(struct fr_benchmark_saver *sv)
{
    int64_t now = fr_clock_mono_us(&sv->clock);

    sv->out->seconds += (double)(now - sv->lap_us) / 1e6;
    sv->lap_us = now;
}

enum fr_err fr_benchmark_saver_step(struct fr_benchmark_saver *sv,
                                    uint64_t row,
                                    double sum,
                                    fr_benchmark_walk_fn walk,
                                    void *ctx,
                                    struct fr_fault *fault)
{
    fr_benchmark_saver_time(sv);
    sv->at.row = row;
    sv->at.sum = sum;
    if ((double)(sv->lap_us - sv->saved_us) < sv->run->checkpoint_s * 1e6)
        return FR_OK;
    return save(sv, walk, ctx, fault);
}

enum fr_err fr_benchmark_saver_epoch(struct fr_benchmark_saver *sv,
                                     fr_benchmark_walk_fn walk,
                                     void *ctx,
                                     struct fr_fault *fault)
{
    sv->at.epoch++;
    sv->at.row = 0;
    sv->at.sum = 0;
    return save(sv, walk, ctx, fault);
}

void fr_benchmark_saver_done(struct fr_benchmark_saver *sv)
{
    fr_checkpoint_free(sv->from);
    sv->from = NULL;
}
