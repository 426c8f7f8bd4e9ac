/*
 * daemon/metrics.h - counters and histograms made from metrics.def, one shard a thread.
 *
 * A shard is written by its owner with relaxed atomics and summed by whoever scrapes: no lock on the
 * event path.
 */
#ifndef FR_METRICS_H
#define FR_METRICS_H

#include <stdatomic.h>
#include <stdint.h>

#include "daemon/base/buf.h"
#include "daemon/base/err.h"
#include "daemon/base/histogram.h"

enum fr_counter {
#define C(id, metric, label, value, help) FR_C_##id,
#define H(id, metric, label, value, help)
#include "daemon/metrics.def"
#undef C
#undef H
    FR_COUNTERS
};

enum fr_hist {
#define C(id, metric, label, value, help)
#define H(id, metric, label, value, help) FR_H_##id,
#include "daemon/metrics.def"
#undef C
#undef H
    FR_HISTS
};

/** Owner: the thread that counts. Thread: one writer, any reader. Zeroed is empty. */
struct fr_metrics {
    _Atomic uint64_t c[FR_COUNTERS];
    _Atomic uint64_t dead[FR_ERR_COUNT]; /* dead letters by reason */
    struct fr_histogram h[FR_HISTS];
};

static inline void fr_count(struct fr_metrics *m, enum fr_counter id, uint64_t n)
{
    atomic_fetch_add_explicit(&m->c[id], n, memory_order_relaxed);
}

static inline void fr_count_dead(struct fr_metrics *m, enum fr_err reason)
{
    atomic_fetch_add_explicit(&m->dead[reason], 1, memory_order_relaxed);
}

static inline void fr_observe_us(struct fr_metrics *m, enum fr_hist id, int64_t us)
{
    fr_histogram_observe_us(&m->h[id], us);
}

/** Sum of one counter over n shards. @thread any */
uint64_t fr_metrics_sum(struct fr_metrics *const *shards, int n, enum fr_counter id);

/** Sum of one histogram over n shards. @thread any */
void fr_metrics_hist(struct fr_metrics *const *shards,
                     int n,
                     enum fr_hist id,
                     struct fr_histogram_sum *out);

/** Prometheus text exposition of all counters and histograms. @thread any */
void fr_metrics_render(struct fr_metrics *const *shards, int n, struct fr_buf *out);

/** One gauge line group's head: "# HELP", "# TYPE ... gauge". */
void fr_metrics_gauge_head(struct fr_buf *out, const char *metric, const char *help);

#endif
