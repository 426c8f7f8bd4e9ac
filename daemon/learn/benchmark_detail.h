/*
 * daemon/learn/benchmark_detail.h - what a comparison of bundles wants beyond an evaluation's means.
 *
 *   evaluate ──► per unit (user): numerator and denominator of each measure ─┐ resamples of units
 *            └─► rows by score, for AUC                                      ─┴─► 95 % intervals,
 *                                                                    differences to the first bundle
 *
 * Rows of a user are not independent, users are: a resample weighs every user by a Poisson(1) number
 * (the limit of drawing users with replacement; Hanley & MacGibbon 2006), the same for all bundles,
 * so that a difference is of the same users (paired). Without a `user` column the units are rows.
 * Covers what users the test holds, not what another training would have given: seeds are for that.
 * Layer: daemon/base/, models/, daemon/learn/. Thread: one at a time.
 */
#ifndef FR_LEARN_BENCHMARK_DETAIL_H
#define FR_LEARN_BENCHMARK_DETAIL_H

#include <stdbool.h>

#include "daemon/learn/benchmark.h"
#include "daemon/learn/benchmark_speed.h"

/** A measure that is sum of num / sum of den over units; `name` as in the result. */
struct fr_benchmark_ratio {
    const char *name;
    double *num, *den; /* (n_units) */
};

/** A row in the order of its score, lowest first. */
struct fr_benchmark_place {
    uint32_t unit;
    uint8_t label;
    bool tie; /* the row before has the same score */
};

/** Of one bundle. Owner: the caller's storage, zeroed; fr_benchmark_detail_done(). */
struct fr_benchmark_detail {
    const char *unit; /* "users", "rows", "lists" */
    size_t n_units;
    struct fr_benchmark_ratio ratio[FR_BENCHMARK_METRICS];
    int n_ratios;
    struct fr_benchmark_place *place; /* (n_rows); NULL: the benchmark has no AUC */
    size_t n_rows;
    uint64_t parameters;
    struct fr_benchmark_speed speed;
};

void fr_benchmark_detail_done(struct fr_benchmark_detail *d);

/** Room for these measures, all sums zero. @param name (n) static. @errors FR_ENOMEM FR_EOVERFLOW */
FR_MUST_CHECK enum fr_err fr_benchmark_detail_begin(
    struct fr_benchmark_detail *d, const char *unit, size_t n_units, const char *const *name, int n);
/** A value of a mean: num += value, den += 1. */
void fr_benchmark_detail_add(struct fr_benchmark_detail *d, int ratio, size_t unit, double value);
/**
 * Labelled rows: auc, logloss, gauc, calibration_ratio.
 * @param user  (n), nullable: rows are the units.  @errors FR_EINVAL FR_ENONFINITE FR_ENOMEM
 */
FR_MUST_CHECK enum fr_err fr_benchmark_detail_rows(struct fr_benchmark_detail *d,
                                                   const float *logit,
                                                   const uint8_t *label,
                                                   const uint32_t *user,
                                                   size_t n);

/** 95 % of a measure and of its difference to the first bundle's. NaN: no such measure. */
struct fr_benchmark_interval {
    double low, high;
    double diff_low, diff_high;
};

/**
 * @param d    (n) of the same benchmark and data: the same units
 * @param m    the measure's name
 * @param out  (n); the first one's difference is 0, 0
 * @errors FR_EINVAL other units; FR_ENOMEM
 */
FR_MUST_CHECK enum fr_err fr_benchmark_intervals(const struct fr_benchmark_detail *const *d,
                                                 int n,
                                                 const char *m,
                                                 int resamples,
                                                 uint64_t seed,
                                                 struct fr_benchmark_interval *out);

#endif
