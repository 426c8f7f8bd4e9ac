/*
 * daemon/learn/benchmark_saver.h - a benchmark's training survives its process: where it stands, in one file.
 *
 *   begin (settings, data compared; place read) -> trainers made -> enter a part (loaded, or written first)
 *     -> lap -> step* -> epoch -> lap -> ...                 written after each epoch, and in between when due
 *
 * The loops keep their counters in `at`, checkpoint or not, so that there is one of each. What is drawn at random is
 * not stored but drawn again: the order of an epoch follows from the generator. Without run->checkpoint only the time
 * is kept. Layer: daemon/base/, models/, daemon/learn/. Thread: the training's.
 */
#ifndef FR_LEARN_BENCHMARK_SAVER_H
#define FR_LEARN_BENCHMARK_SAVER_H

#include "daemon/base/clock.h"
#include "daemon/base/rng.h"
#include "daemon/learn/benchmark.h"
#include "models/train/checkpoint.h"

/** Where a training stands. */
struct fr_benchmark_progress {
    int part;     /* which of a benchmark's trainings, from 0 */
    int epoch;    /* epochs of it that are done */
    uint64_t row; /* rows of the next one that are done */
    double sum;   /* of their losses, weighted by rows */
    double lr, best;
    int bad;           /* epochs without a better one */
    struct fr_rng rng; /* the benchmark's generator as the part or the epoch began: the loop says which */
};

/** Owner: the caller's storage, zeroed; fr_benchmark_saver_done(). */
struct fr_benchmark_saver {
    const struct fr_benchmark_run *run;
    struct fr_benchmark_result *out;
    struct fr_benchmark_progress at;
    int parts;                  /* the benchmark has, at most */
    uint64_t data;              /* hash of what is trained on */
    struct fr_checkpoint *from; /* what is gone on from, until its part is entered; else NULL */
    struct fr_clock clock;
    int64_t lap_us, saved_us;
};

/** Names all state beside the place and the result: trainers, models. */
typedef void (*fr_benchmark_walk_fn)(void *ctx, struct fr_checkpoint *ck);

/** Chain a hash over what is trained on; begin with 0. */
uint64_t fr_benchmark_hash(uint64_t h, const void *p, size_t bytes);

/**
 * Read run->checkpoint, if there is such a file: `at` and the result are as they were.
 * @errors FR_EMISMATCH of other settings or data (the fault names which); as fr_checkpoint_read()
 */
FR_MUST_CHECK enum fr_err fr_benchmark_saver_begin(struct fr_benchmark_saver *sv,
                                                   const struct fr_benchmark_run *run,
                                                   struct fr_benchmark_result *out,
                                                   int parts,
                                                   uint64_t data,
                                                   struct fr_fault *fault);
/** True if the checkpoint lies in a later part: nothing is to be trained in this one. */
bool fr_benchmark_saver_beyond(const struct fr_benchmark_saver *sv, int part);
/**
 * Begin a part that the checkpoint is not beyond: with `lr` and `rng`, and write, so that a place that cannot be
 * written to is found now; or load the rest of the file into the trainers, new ones.
 * @errors FR_EMISMATCH FR_ESCHEMA FR_ERANGE it does not fit; as writing
 */
FR_MUST_CHECK enum fr_err fr_benchmark_saver_enter(struct fr_benchmark_saver *sv,
                                                   int part,
                                                   double lr,
                                                   const struct fr_rng *rng,
                                                   fr_benchmark_walk_fn walk,
                                                   void *ctx,
                                                   struct fr_fault *fault);
/** The time that counts as training begins. */
void fr_benchmark_saver_lap(struct fr_benchmark_saver *sv);
/** The time since lap, or since the last call, was spent on training. */
void fr_benchmark_saver_time(struct fr_benchmark_saver *sv);
/** A step is done: take the time, and write when it is due. @param row, sum  of the epoch so far */
FR_MUST_CHECK enum fr_err fr_benchmark_saver_step(struct fr_benchmark_saver *sv,
                                                  uint64_t row,
                                                  double sum,
                                                  fr_benchmark_walk_fn walk,
                                                  void *ctx,
                                                  struct fr_fault *fault);
/** An epoch is done and judged: count it and write. */
FR_MUST_CHECK enum fr_err fr_benchmark_saver_epoch(struct fr_benchmark_saver *sv,
                                                   fr_benchmark_walk_fn walk,
                                                   void *ctx,
                                                   struct fr_fault *fault);
void fr_benchmark_saver_done(struct fr_benchmark_saver *sv);

#endif
