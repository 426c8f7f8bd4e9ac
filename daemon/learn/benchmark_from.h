/*
 * daemon/learn/benchmark_from.h - the bundle that a benchmark's training goes on from.
 * Layer: daemon/learn/, models/. Thread: any.
 */
#ifndef FR_LEARN_BENCHMARK_FROM_H
#define FR_LEARN_BENCHMARK_FROM_H

#include "daemon/learn/benchmark.h"

/** Owner: the caller's zeroed storage; fr_benchmark_from_done(). */
struct fr_benchmark_from {
    struct fr_model *m;         /* NULL: a training from the beginning */
    char parent[FR_MODEL_NAME]; /* name@version of it, or "" */
    uint64_t version;           /* of the new bundle: one more than the parent's, or 1 */
};

/** Load run->from, if there is one. @errors as fr_model_load(); FR_ETOOLARGE name@version too long */
FR_MUST_CHECK enum fr_err fr_benchmark_from_load(const struct fr_benchmark_run *run,
                                                 const struct fr_field_set *fs,
                                                 struct fr_benchmark_from *out,
                                                 struct fr_fault *fault);
void fr_benchmark_from_done(struct fr_benchmark_from *f);

#endif
