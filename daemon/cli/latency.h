/*
 * daemon/cli/latency.h - percentiles of a stream of latencies, seen from outside.
 *
 * Keeps a uniform sample of bounded size (reservoir sampling, Vitter 1985, algorithm R): exact up to
 * FR_LATENCY_KEEP observations. Layer: daemon/cli. Thread: one at a time.
 */
#ifndef FR_CLI_LATENCY_H
#define FR_CLI_LATENCY_H

#include <stdint.h>

#include "daemon/base/rng.h"

#define FR_LATENCY_KEEP 20000

/** Owner: the caller's storage (160 kB). */
struct fr_latency {
    int64_t us[FR_LATENCY_KEEP];
    uint64_t n; /* observed */
    struct fr_rng rng;
};

void fr_latency_init(struct fr_latency *l, uint64_t seed);
void fr_latency_add(struct fr_latency *l, int64_t us);
/** q in [0, 1], nearest rank; milliseconds; NaN when there is none. Reorders the sample. */
double fr_latency_ms(struct fr_latency *l, double q);

#endif
