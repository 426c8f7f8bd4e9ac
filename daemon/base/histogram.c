/*
 * daemon/base/histogram.c - see histogram.h.
 */
#include "daemon/base/histogram.h"

#include <math.h>

/* upper bounds in microseconds */
static const int64_t bounds_us[FR_HISTOGRAM_BUCKETS - 1] = {
    500,    1000,   2000,   3000,   5000,   7500,    10000,   15000,   20000,
    30000,  50000,  75000,  100000, 150000, 200000,  300000,  500000,  750000,
    1000000, 2000000, 3000000, 5000000, 10000000, 20000000, 30000000, 60000000};

double fr_histogram_bound(int i)
{
    return i >= FR_HISTOGRAM_BUCKETS - 1 ? (double)INFINITY : (double)bounds_us[i] / 1e6;
}

void fr_histogram_observe_us(struct fr_histogram *h, int64_t us)
{
    int lo = 0, hi = FR_HISTOGRAM_BUCKETS - 1;

    if (us < 0) {
        us = 0;
        atomic_fetch_add_explicit(&h->clamped, 1, memory_order_relaxed);
    }
    while (lo < hi) { /* first bound >= us */
        int mid = (lo + hi) / 2;
        if (bounds_us[mid] >= us)
            hi = mid;
        else
            lo = mid + 1;
    }
    atomic_fetch_add_explicit(&h->count[lo], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&h->sum_us, (uint64_t)us, memory_order_relaxed);
}

void fr_histogram_add(struct fr_histogram_sum *sum, const struct fr_histogram *h)
{
    for (int i = 0; i < FR_HISTOGRAM_BUCKETS; i++) {
        uint64_t c = atomic_load_explicit(&h->count[i], memory_order_relaxed);
        sum->count[i] += c;
        sum->total += c;
    }
    sum->sum_s += (double)atomic_load_explicit(&h->sum_us, memory_order_relaxed) / 1e6;
    sum->clamped += atomic_load_explicit(&h->clamped, memory_order_relaxed);
}

double fr_histogram_quantile(const struct fr_histogram_sum *sum, double q)
{
    double want = q * (double)sum->total;
    double below = 0;

    if (sum->total == 0)
        return (double)NAN;
    for (int i = 0; i < FR_HISTOGRAM_BUCKETS - 1; i++) {
        double c = (double)sum->count[i];
        if (c > 0 && below + c >= want) {
            double from = i == 0 ? 0 : fr_histogram_bound(i - 1);
            double part = want <= below ? 0 : (want - below) / c;
            return from + (fr_histogram_bound(i) - from) * part;
        }
        below += c;
    }
    return fr_histogram_bound(FR_HISTOGRAM_BUCKETS - 2);
}
