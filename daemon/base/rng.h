/*
 * daemon/base/rng.h - xoshiro256** (Blackman & Vigna 2018): seedable, reproducible everywhere.
 * Layer: lowest. Thread: one generator, one thread.
 */
#ifndef FR_BASE_RNG_H
#define FR_BASE_RNG_H

#include <stdint.h>

struct fr_rng {
    uint64_t s[4];
};

/** Seed by splitmix64; every seed (0 too) is fine. */
void fr_rng_seed(struct fr_rng *r, uint64_t seed);
uint64_t fr_rng_u64(struct fr_rng *r);
/** Uniform in [0, n), unbiased; n == 0 returns 0. */
uint64_t fr_rng_below(struct fr_rng *r, uint64_t n);
/** Uniform in [0, 1) with 53 bits. */
double fr_rng_f64(struct fr_rng *r);
/** Standard normal (Marsaglia's polar method). */
double fr_rng_normal(struct fr_rng *r);
/** Poisson with mean 1, cut at 12 (beyond: 1e-10): a unit's weight in a bootstrap resample. */
int fr_rng_poisson1(struct fr_rng *r);
/** Random seed from the operating system; falls back to time and pid. */
uint64_t fr_rng_os_seed(void);

#endif
