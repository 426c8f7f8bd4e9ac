/*
 * daemon/learn/benchmark_saver.h - what a benchmark's checkpoint (saver.h) has beside the place: its settings and data,
 * which must be the same, and its result so far. Layer: daemon/base/, models/, daemon/learn/. Thread: the training's.
 */
#ifndef FR_LEARN_BENCHMARK_SAVER_H
#define FR_LEARN_BENCHMARK_SAVER_H

#include "daemon/learn/benchmark.h"
#include "daemon/learn/saver.h"

/** Owner: the caller's storage, zeroed, which stays where it is; fr_saver_done(&s). */
struct fr_benchmark_saver {
    struct fr_saver s;
    const struct fr_benchmark_run *run;
    struct fr_benchmark_result *out;
    uint64_t data; /* hash of what is trained on */
};

/**
 * fr_saver_begin() of a benchmark with run->checkpoint. @param parts  it has, at most
 * @errors as fr_saver_begin()
 */
FR_MUST_CHECK enum fr_err fr_benchmark_saver_begin(struct fr_benchmark_saver *sv,
                                                   const struct fr_benchmark_run *run,
                                                   struct fr_benchmark_result *out,
                                                   int parts,
                                                   uint64_t data,
                                                   struct fr_fault *fault);

/** Count the measure of the epoch that is ending; the step size of the place falls when lr_patience is used up.
 *  @return it is the best so far (out->best_epoch) */
bool fr_benchmark_saver_judge(struct fr_benchmark_saver *sv, double measure);

#endif
