/*
 * daemon/base/histogram.h - latency histogram: relaxed atomic counts in fixed buckets.
 *
 * Buckets (upper bounds, seconds): 0.0005 0.001 0.002 0.003 0.005 0.0075 0.01 0.015 0.02 0.03 0.05
 *          0.075 0.1 0.15 0.2 0.3 0.5 0.75 1 2 3 5 10 20 30 60 +Inf. Negative values are clamped to
 *          0 and counted apart. One writer thread a shard; any thread may sum.
 *          Quantiles interpolate within a bucket.
 * Layer: lowest.
 */
#ifndef FR_BASE_HISTOGRAM_H
#define FR_BASE_HISTOGRAM_H

#include <stdatomic.h>
#include <stdint.h>

#define FR_HISTOGRAM_BUCKETS 27 /* 26 bounds and +Inf */

/** Owner: the caller's storage; zero-initialised is empty. */
struct fr_histogram {
    _Atomic uint64_t count[FR_HISTOGRAM_BUCKETS];
    _Atomic uint64_t sum_us;
    _Atomic uint64_t clamped; /* negative observations */
};

/** Sums of one or more shards, for reading. */
struct fr_histogram_sum {
    uint64_t count[FR_HISTOGRAM_BUCKETS];
    uint64_t total;
    double sum_s;
    uint64_t clamped;
};

/** Upper bound of bucket i in seconds; INFINITY for the last. */
double fr_histogram_bound(int i);
void fr_histogram_observe_us(struct fr_histogram *h, int64_t us);
void fr_histogram_add(struct fr_histogram_sum *sum, const struct fr_histogram *h);
/** q in [0, 1]; seconds; NaN when empty; the last finite bound for the +Inf bucket. */
double fr_histogram_quantile(const struct fr_histogram_sum *sum, double q);

#endif
