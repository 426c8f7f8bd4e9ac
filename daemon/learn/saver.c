/*
 * daemon/learn/saver.c - the place over a checkpoint, and when to write.
 */
#include "daemon/learn/saver.h"

#include <stdio.h>
#include <string.h>

#include "daemon/base/hash.h"

uint64_t fr_saver_hash(uint64_t h, const void *p, size_t bytes)
{
    struct fr_hash_key k = {h, UINT64_C(0x66726573686574)};

    return fr_siphash(k, (struct fr_str){p, bytes});
}

static void walk_place(struct fr_saver *sv, struct fr_checkpoint *ck)
{
    struct fr_saver_place *p = &sv->at;
    int64_t row = (int64_t)p->row;

    fr_checkpoint_section(ck, "place");
    fr_checkpoint_int(ck, "part", &p->part, 0, sv->parts - 1);
    fr_checkpoint_int(ck, "epoch", &p->epoch, 0, sv->epochs);
    fr_checkpoint_i64(ck, "row", &row, 0, FR_CHECKPOINT_MAX_STEPS);
    fr_checkpoint_f64(ck, "sum", &p->sum);
    fr_checkpoint_f64(ck, "lr", &p->lr);
    fr_checkpoint_f64(ck, "best", &p->best);
    fr_checkpoint_int(ck, "bad", &p->bad, 0, sv->epochs);
    fr_checkpoint_rng(ck, "rng", &p->rng);
    p->row = (uint64_t)row;
}

/* ---- the file ---- */

enum fr_err fr_saver_refuse(const struct fr_saver *sv, const struct fr_fault *why, struct fr_fault *fault)
{
    return fr_fault(fault, why->err,
                    "--checkpoint %s: cannot go on from it: %s (another run's? choose another file, or remove it)",
                    sv->path, why->msg);
}

enum fr_err fr_saver_begin(struct fr_saver *sv, struct fr_fault *fault)
{
    struct fr_fault why = {.err = FR_OK};
    enum fr_err e;

    sv->at = (struct fr_saver_place){.part = 0};
    sv->from = NULL;
    fr_clock_init_real(&sv->clock);
    sv->lap_us = sv->saved_us = fr_clock_mono_us(&sv->clock);
    if (sv->path == NULL)
        return FR_OK;
    e = fr_checkpoint_read(sv->path, &sv->from, &why);
    if (e == FR_ENOTFOUND)
        return FR_OK;
    if (e != FR_OK)
        return fr_fault(fault, e, "--checkpoint %s", why.msg);
    sv->head(sv->head_ctx, sv->from);
    walk_place(sv, sv->from);
    if (fr_checkpoint_err(sv->from) == FR_OK)
        return FR_OK;
    e = fr_checkpoint_end(sv->from, &why); /* the first error */
    return e == FR_OK ? FR_EINTERNAL : fr_saver_refuse(sv, &why, fault);
}

static enum fr_err save(struct fr_saver *sv, fr_saver_walk_fn walk, void *ctx, struct fr_fault *fault)
{
    struct fr_checkpoint *ck = NULL;
    struct fr_fault why = {.err = FR_OK};
    enum fr_err e;

    if (sv->path == NULL)
        return FR_OK;
    if ((e = fr_checkpoint_new(&ck)) != FR_OK)
        return fr_fault(fault, e, "--checkpoint: out of memory");
    sv->head(sv->head_ctx, ck);
    walk_place(sv, ck);
    walk(ctx, ck);
    if ((e = fr_checkpoint_write(ck, sv->path, &why)) != FR_OK)
        e = fr_fault(fault, e, "--checkpoint: %s", why.msg);
    fr_checkpoint_free(ck);
    sv->lap_us = sv->saved_us = fr_clock_mono_us(&sv->clock);
    return e;
}

static void note(const struct fr_saver *sv)
{
    char text[160];

    if (sv->note == NULL)
        return;
    (void)snprintf(text, sizeof(text), "going on in part %d after %d epochs and %llu rows", sv->at.part + 1, sv->at.epoch,
                   (unsigned long long)sv->at.row);
    sv->note(sv->note_ctx, text);
}

bool fr_saver_beyond(const struct fr_saver *sv, int part)
{
    return sv->from != NULL && part < sv->at.part;
}

bool fr_saver_within(const struct fr_saver *sv, int part)
{
    return sv->from != NULL && part == sv->at.part;
}

enum fr_err fr_saver_enter(struct fr_saver *sv,
                           int part,
                           double lr,
                           const struct fr_rng *rng,
                           fr_saver_walk_fn walk,
                           void *ctx,
                           struct fr_fault *fault)
{
    struct fr_fault why = {.err = FR_OK};
    enum fr_err e;

    if (sv->from == NULL) {
        sv->at = (struct fr_saver_place){.part = part, .lr = lr, .best = -1, .rng = *rng};
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
        return fr_saver_refuse(sv, &why, fault);
    note(sv);
    return FR_OK;
}

/* ---- on the way ---- */

void fr_saver_lap(struct fr_saver *sv)
{
    sv->lap_us = fr_clock_mono_us(&sv->clock);
}

void fr_saver_time(struct fr_saver *sv)
{
    int64_t now = fr_clock_mono_us(&sv->clock);

    *sv->seconds += (double)(now - sv->lap_us) / 1e6;
    sv->lap_us = now;
}

enum fr_err
fr_saver_step(struct fr_saver *sv, uint64_t row, double sum, fr_saver_walk_fn walk, void *ctx, struct fr_fault *fault)
{
    fr_saver_time(sv);
    sv->at.row = row;
    sv->at.sum = sum;
    if ((double)(sv->lap_us - sv->saved_us) < sv->every_s * 1e6)
        return FR_OK;
    return save(sv, walk, ctx, fault);
}

enum fr_err fr_saver_epoch(struct fr_saver *sv, fr_saver_walk_fn walk, void *ctx, struct fr_fault *fault)
{
    sv->at.epoch++;
    sv->at.row = 0;
    sv->at.sum = 0;
    return save(sv, walk, ctx, fault);
}

void fr_saver_done(struct fr_saver *sv)
{
    fr_checkpoint_free(sv->from);
    sv->from = NULL;
}
