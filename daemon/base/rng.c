/*
 * daemon/base/rng.c - xoshiro256** seeded by splitmix64.
 */
#include "daemon/base/rng.h"

#include <math.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "daemon/base/hash.h"

static uint64_t rotl(uint64_t x, int k)
{
    return (x << k) | (x >> (64 - k));
}

void fr_rng_seed(struct fr_rng *r, uint64_t seed)
{
    for (int i = 0; i < 4; i++) {
        seed += UINT64_C(0x9e3779b97f4a7c15);
        r->s[i] = fr_mix64(seed);
    }
}

uint64_t fr_rng_u64(struct fr_rng *r)
{
    uint64_t *s = r->s;
    uint64_t out = rotl(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;

    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotl(s[3], 45);
    return out;
}

uint64_t fr_rng_below(struct fr_rng *r, uint64_t n)
{
    uint64_t limit, v;

    if (n == 0)
        return 0;
    limit = UINT64_MAX - UINT64_MAX % n; /* reject the uneven rest */
    do
        v = fr_rng_u64(r);
    while (v >= limit);
    return v % n;
}

double fr_rng_f64(struct fr_rng *r)
{
    return (double)(fr_rng_u64(r) >> 11) * 0x1p-53;
}

double fr_rng_normal(struct fr_rng *r)
{
    double u, v, s;

    do {
        u = 2 * fr_rng_f64(r) - 1;
        v = 2 * fr_rng_f64(r) - 1;
        s = u * u + v * v;
    } while (s >= 1 || s <= 0);
    return u * sqrt(-2 * log(s) / s);
}

int fr_rng_poisson1(struct fr_rng *r)
{
    double u = fr_rng_f64(r), p = exp(-1.0), sum = p;
    int k = 0;

    while (u >= sum && k < 12) {
        p /= ++k;
        sum += p;
    }
    return k;
}

uint64_t fr_rng_os_seed(void)
{
    uint64_t v = 0;
    FILE *f = fopen("/dev/urandom", "rb");
    struct timespec ts = {0, 0};

    if (f != NULL) {
        size_t got = fread(&v, sizeof(v), 1, f);
        (void)fclose(f);
        if (got == 1)
            return v;
    }
    (void)clock_gettime(CLOCK_REALTIME, &ts);
    return fr_mix64((uint64_t)ts.tv_nsec ^ ((uint64_t)ts.tv_sec << 30) ^ ((uint64_t)getpid() << 48));
}
