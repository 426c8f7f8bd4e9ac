/*
 * daemon/learn/benchmark_ncf.h - neumf, gmf and mlp on the leave-one-out benchmark.
 * Layer: daemon/learn/. Caller: benchmark_loo.c.
 */
#ifndef FR_LEARN_BENCHMARK_NCF_H
#define FR_LEARN_BENCHMARK_NCF_H

#include "daemon/learn/benchmark_loo.h"

/** Train; *best is the model of the best epoch. With `pretrain` a gmf and an mlp of their own
 * first, then SGD. */
FR_MUST_CHECK enum fr_err fr_benchmark_ncf_fit(struct fr_benchmark_loo *l,
                                               const struct fr_benchmark_run *run,
                                               struct fr_rng *rng,
                                               struct fr_benchmark_result *out,
                                               struct fr_model **best,
                                               struct fr_fault *fault);

#endif
