/*
 * daemon/learn/benchmark_speed.h - how long a bundle takes for one user's candidates.
 *
 * Timed is what a lane does with a list (stage 5; of a retrieval model the search of stage 4), in CPU
 * time of the calling thread, which does it all:
 *   ranker     cells of user, context, items and crosses to slots, then fr_model_rank() with a rank
 *              cache as large as a lane's, warm: the items were in an earlier list
 *   retrieval  cells of the user to its vector, then the FR_BENCHMARK_TOP best of the candidates by
 *              exact search; their vectors are in the index already
 * Layer: daemon/base/, models/, ann/, daemon/learn/.
 */
#ifndef FR_LEARN_BENCHMARK_SPEED_H
#define FR_LEARN_BENCHMARK_SPEED_H

#include "daemon/base/err.h"
#include "daemon/base/field.h"
#include "models/model.h"

#define FR_BENCHMARK_CANDIDATES 500
#define FR_BENCHMARK_TOP 20 /* items of a list, as recommend.n */

/** Microseconds of CPU time per FR_BENCHMARK_CANDIDATES candidates. */
struct fr_benchmark_speed {
    double us;         /* median */
    double low, high;  /* first and third quartile: how quiet the machine was */
    int runs;
};

/**
 * @param fs  the field set that `m` was loaded under
 * @param c   FR_BENCHMARK_CANDIDATES candidates of one user, also of a ranker whose fields are all
 *            crosses (then each candidate has its own)
 * @errors as fr_model_rank(); FR_EINVAL another number of candidates
 */
FR_MUST_CHECK enum fr_err fr_benchmark_time(const struct fr_model *m,
                                            const struct fr_field_set *fs,
                                            const struct fr_model_case *c,
                                            struct fr_benchmark_speed *out);

#endif
