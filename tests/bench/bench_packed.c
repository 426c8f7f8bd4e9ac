/*
 * tests/bench/bench_packed.c - packed products whose inputs are partly zero, beside the same
 * without zeros.
 *
 * Tiles of rows as ranking makes them, 480 rows a round; rounds of both in turns, medians and their
 * ratio, one core.
 *
 * usage: bench_packed
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "daemon/base/alloc.h"
#include "daemon/base/cpu.h"
#include "daemon/base/rng.h"
#include "models/packed.h"
#include "models/tensor.h"

#define ALL 480
#define ROUNDS 61

static double now(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static float *array(size_t n)
{
    float *p = fr_calloc_aligned(n, sizeof(*p));
    if (p == NULL) {
        (void)fprintf(stderr, "bench_packed: out of memory\n");
        exit(1);
    }
    return p;
}

static double
round_of(const struct fr_packed *p, const float *x, int rows, int out, int in, float *y)
{
    double start = now();
    for (int r = 0; r + rows <= ALL; r += rows)
        fr_packed_linear(p,
                         x + (size_t)r * (size_t)in,
                         (size_t)in,
                         rows,
                         FR_PACKED_RELU,
                         y + (size_t)r * (size_t)out,
                         (size_t)out,
                         NULL);
    return now() - start;
}

static void shape(int rows, int out, int in)
{
    static const double share[] = {0.6, 0.54, 0.5, 0.4, 0.3, 0.2, 0.1};
    const size_t inputs = (size_t)ALL * (size_t)in, weights = (size_t)out * (size_t)in;
    float *w = array(weights), *x = array(inputs), *full = array(inputs),
          *y = array((size_t)ALL * (size_t)out);
    struct fr_packed *p = NULL;
    struct fr_rng rng;

    fr_rng_seed(&rng, 1);
    for (size_t i = 0; i < weights; i++)
        w[i] = (float)fr_rng_normal(&rng);
    for (size_t i = 0; i < inputs; i++)
        full[i] = 1.0f + (float)fr_rng_f64(&rng);
    if (fr_packed_new(w, in, NULL, out, in, &p) != FR_OK)
        exit(1);
    for (size_t s = 0; s < sizeof(share) / sizeof(*share); s++) {
        double all[ROUNDS], some[ROUNDS], ratio[ROUNDS];
        for (size_t i = 0; i < inputs; i++)
            x[i] = fr_rng_f64(&rng) < share[s] ? full[i] : 0;
        for (int i = 0; i < ROUNDS; i++) {
            all[i] = round_of(p, full, rows, out, in, y);
            some[i] = round_of(p, x, rows, out, in, y);
            ratio[i] = all[i] / some[i];
        }
        qsort(all, ROUNDS, sizeof(*all), by_value);
        qsort(some, ROUNDS, sizeof(*some), by_value);
        qsort(ratio, ROUNDS, sizeof(*ratio), by_value);
        if (s == 0)
            (void)printf("  %2d rows, %4d x %4d: %.3f ms (%.0f GFLOP/s);",
                         rows,
                         in,
                         out,
                         all[ROUNDS / 2] * 1e3,
                         2e-9 * (ALL / rows * rows) * out * in / all[ROUNDS / 2]);
        (void)printf("  %.2f: %.3f ms, %.2fx", share[s], some[ROUNDS / 2] * 1e3, ratio[ROUNDS / 2]);
    }
    (void)printf("\n");
    fr_packed_free(p);
    fr_free(w);
    fr_free(x);
    fr_free(full);
    fr_free(y);
}

int main(void)
{
    static const int shapes[][3] = {{60, 400, 400},
                                    {16, 400, 400},
                                    {60, 256, 256},
                                    {60, 200, 200},
                                    {60, 128, 128},
                                    {60, 1024, 512}};

    for (int level = FR_CPU_AVX2; level <= FR_CPU_AVX512; level++) {
        if (fr_tensor_set_level((enum fr_cpu_level)level) != FR_OK)
            continue;
        (void)printf("%s; without zeros, then by the share of inputs that are not zero:\n",
                     fr_cpu_level_name((enum fr_cpu_level)level));
        for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
            shape(shapes[i][0], shapes[i][1], shapes[i][2]);
    }
    return 0;
}
