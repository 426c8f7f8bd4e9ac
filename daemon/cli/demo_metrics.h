/*
 * daemon/cli/demo_metrics.h - the figures a demo reads off the daemon's /metrics.
 *
 * Layer: daemon/cli. Thread: any.
 */
#ifndef FR_CLI_DEMO_METRICS_H
#define FR_CLI_DEMO_METRICS_H

#include <stdint.h>

#include "daemon/base/err.h"
#include "daemon/base/str.h"

#define FR_DEMO_BUCKETS 64

/** Cumulative counts of one histogram; bounds in seconds, the last infinite. */
struct fr_demo_buckets {
    int n;
    double le[FR_DEMO_BUCKETS], count[FR_DEMO_BUCKETS];
    double sum; /* of all observations, seconds */
};

struct fr_demo_metrics {
    uint64_t events; /* read, whatever became of them */
    uint64_t items;
    struct fr_demo_buckets recommendation, feature; /* freshness */
};

/** GET /metrics and read it. @errors of fr_http_get(); FR_ECORRUPT: no metrics */
FR_MUST_CHECK enum fr_err fr_demo_metrics_read(int port, struct fr_demo_metrics *out);

/** Read an exposition. @errors FR_ECORRUPT */
FR_MUST_CHECK enum fr_err fr_demo_metrics_parse(struct fr_str text, struct fr_demo_metrics *out);

/**
 * Sum of all samples of a counter, any labels.
 * @errors FR_ENOTFOUND
 */
FR_MUST_CHECK enum fr_err fr_demo_metrics_sum(struct fr_str text, const char *name, double *out);

/** Buckets of the first histogram of that name ("..._seconds", without _bucket); n == 0: none. */
void fr_demo_metrics_buckets(struct fr_str text, const char *name, struct fr_demo_buckets *out);

/** Quantile q of what was observed since `before` (nullable), in milliseconds, linear within a bucket;
 *  NaN when there is nothing. */
double fr_demo_buckets_ms(const struct fr_demo_buckets *b, const struct fr_demo_buckets *before, double q);

/** Mean of what was observed since `before` (nullable), in milliseconds, exact; NaN when there is nothing. */
double fr_demo_buckets_mean_ms(const struct fr_demo_buckets *b, const struct fr_demo_buckets *before);

#endif
