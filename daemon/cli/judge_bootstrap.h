/*
 * daemon/cli/judge_bootstrap.h - intervals by resampling users.
 *
 * Events of a user are not independent, users are: each resample weighs every user by a Poisson(1)
 * number (the limit of drawing users with replacement; Hanley & MacGibbon 2006) and takes the ratio of
 * the weighted sums.
 * Layer: daemon/cli, pure. Thread: one at a time.
 */
#ifndef FR_CLI_JUDGE_BOOTSTRAP_H
#define FR_CLI_JUDGE_BOOTSTRAP_H

#include <stdint.h>

#include "daemon/base/err.h"

struct fr_judge_interval;

/** Sums by user. Owner: the caller's storage; _done accepts a zeroed one. */
struct fr_judge_bootstrap {
    uint32_t n_users;
    int n_systems;
    uint32_t *labels; /* by user */
    uint32_t *hits;   /* (user, system) */
    double *rr;       /* (user, system) */
    uint64_t n_users_with_labels; /* set by _run */
};

FR_MUST_CHECK enum fr_err fr_judge_bootstrap_init(struct fr_judge_bootstrap *b, uint32_t n_users, int n_systems);
void fr_judge_bootstrap_done(struct fr_judge_bootstrap *b);

/** One label of a user: place of it in each system's list (0 = miss). */
void fr_judge_bootstrap_add(struct fr_judge_bootstrap *b, uint32_t user, const int *places);

/** 95 % intervals of hit rate and mean reciprocal rank by system; NaN without labels.
 *  @param resamples 1..10000 */
void fr_judge_bootstrap_run(struct fr_judge_bootstrap *b,
                            int resamples,
                            uint64_t seed,
                            struct fr_judge_interval *out_hr,
                            struct fr_judge_interval *out_mrr);

#endif
