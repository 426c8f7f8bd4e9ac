/*
 * daemon/cli/latency.c - see latency.h.
 */
#include "daemon/cli/latency.h"

#include <math.h>
#include <stdlib.h>

void fr_latency_init(struct fr_latency *l, uint64_t seed)
{
    l->n = 0;
    fr_rng_seed(&l->rng, seed);
}

void fr_latency_add(struct fr_latency *l, int64_t us)
{
    uint64_t at = l->n++;

    if (at >= FR_LATENCY_KEEP)
        at = fr_rng_below(&l->rng, l->n);
    if (at < FR_LATENCY_KEEP)
        l->us[at] = us;
}

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

double fr_latency_ms(struct fr_latency *l, double q)
{
    uint64_t n = l->n < FR_LATENCY_KEEP ? l->n : FR_LATENCY_KEEP;
    uint64_t rank;

    if (n == 0)
        return (double)NAN;
    qsort(l->us, n, sizeof(l->us[0]), by_value);
    rank = (uint64_t)ceil(q * (double)n);
    return (double)l->us[rank == 0 ? 0 : rank - 1] / 1000;
}
