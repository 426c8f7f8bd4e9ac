/* The generator: published outputs, no bias, the shape of its distributions. All seeds are fixed, so
 * the chi-square limits (far beyond the 1e-6 point) either always hold or never. */
#include "daemon/base/rng.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Published: xoshiro256** from the state 1, 2, 3, 4 (the vectors that other implementations test by). */
START_TEST(u64__state_1_2_3_4__published_outputs)
{
    static const uint64_t want[] = {11520,
                                    0,
                                    1509978240,
                                    UINT64_C(1215971899390074240),
                                    UINT64_C(1216172134540287360),
                                    UINT64_C(607988272756665600),
                                    UINT64_C(16172922978634559625),
                                    UINT64_C(8476171486693032832),
                                    UINT64_C(10595114339597558777),
                                    UINT64_C(2904607092377533576)};
    struct fr_rng r = {{1, 2, 3, 4}};
    for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++)
        ck_assert_uint_eq(fr_rng_u64(&r), want[i]);
}
END_TEST

/* Published: splitmix64 from the seed 1234567. */
START_TEST(seed__splitmix64__published_state)
{
    static const uint64_t want[] = {UINT64_C(6457827717110365317), UINT64_C(3203168211198807973),
                                    UINT64_C(9817491932198370423), UINT64_C(4593380528125082431)};
    struct fr_rng r, z;
    fr_rng_seed(&r, 1234567);
    ck_assert_mem_eq(r.s, want, sizeof(want));
    fr_rng_seed(&z, 0); /* the state of all zeros would stand still */
    ck_assert(z.s[0] != 0 && z.s[1] != 0);
    fr_rng_seed(&r, 0);
    for (int i = 0; i < 100; i++)
        ck_assert_uint_eq(fr_rng_u64(&r), fr_rng_u64(&z));
}
END_TEST

static double chi_square(const uint64_t *count, int bins, double expected)
{
    double x = 0;
    for (int i = 0; i < bins; i++)
        x += ((double)count[i] - expected) * ((double)count[i] - expected) / expected;
    return x;
}

/* mean bins - 1, standard deviation sqrt(2 (bins - 1)): six of them */
static void check_uniform(const uint64_t *count, int bins, double draws)
{
    double x = chi_square(count, bins, draws / bins);
    double limit = 6 * sqrt(2.0 * (bins - 1));
    ck_assert_double_lt(fabs(x - (bins - 1)), limit < 20 ? 20 : limit);
}

START_TEST(below__small_n__uniform)
{
    const uint64_t ns[] = {2, 3, 5, 7, 10, 64, 100, 255};
    struct fr_rng r;
    fr_rng_seed(&r, 61);
    for (size_t k = 0; k < sizeof(ns) / sizeof(ns[0]); k++) {
        uint64_t count[256] = {0};
        for (int i = 0; i < 100000; i++) {
            uint64_t v = fr_rng_below(&r, ns[k]);
            if (v >= ns[k])
                ck_abort_msg("%llu is not below", (unsigned long long)v);
            count[v]++;
        }
        check_uniform(count, (int)ns[k], 100000);
    }
    for (int i = 0; i < 100; i++) {
        ck_assert_uint_eq(fr_rng_below(&r, 0), 0);
        ck_assert_uint_eq(fr_rng_below(&r, 1), 0);
    }
}
END_TEST

/* n = 3/4 of 2^64: a plain modulo would give the first third of the range twice as often. */
START_TEST(below__three_quarters_of_the_range__no_modulo_bias)
{
    const uint64_t n = UINT64_C(3) << 62;
    uint64_t count[3] = {0};
    struct fr_rng r;
    fr_rng_seed(&r, 62);
    for (int i = 0; i < 90000; i++) {
        uint64_t v = fr_rng_below(&r, n);
        ck_assert(v < n);
        count[v >> 62]++;
    }
    check_uniform(count, 3, 90000);
    for (int i = 0; i < 1000; i++)
        ck_assert(fr_rng_below(&r, UINT64_MAX) < UINT64_MAX);
}
END_TEST

START_TEST(f64__uniform_in_0_1_with_53_bits)
{
    uint64_t count[50] = {0}, low_bit = 0;
    struct fr_rng r;
    double sum = 0;
    fr_rng_seed(&r, 63);
    for (int i = 0; i < 200000; i++) {
        double v = fr_rng_f64(&r), scaled = v * 0x1p53;
        if (!(v >= 0 && v < 1) || scaled != floor(scaled))
            ck_abort_msg("%a", v);
        count[(int)(v * 50)]++;
        low_bit += (uint64_t)scaled & 1;
        sum += v;
    }
    check_uniform(count, 50, 200000);
    ck_assert_double_eq_tol(sum / 200000, 0.5, 0.004);
    ck_assert_double_eq_tol((double)low_bit / 200000, 0.5, 0.007);
}
END_TEST

/* Against the probabilities themselves; the mean and the variance of a Poisson(1) are 1. */
START_TEST(poisson1__frequencies)
{
    enum { N = 200000 };
    uint64_t count[13] = {0};
    double p = exp(-1), m = 0, v = 0;
    struct fr_rng r;
    fr_rng_seed(&r, 65);
    for (int i = 0; i < N; i++) {
        int k = fr_rng_poisson1(&r);
        ck_assert(k >= 0 && k <= 12);
        count[k]++;
        m += (double)k / N;
        v += (double)(k - 1) * (k - 1) / N;
    }
    for (int k = 0; k < 7; p /= ++k)
        ck_assert_double_eq_tol((double)count[k] / N, p, 5 * sqrt(p / N));
    ck_assert_double_eq_tol(m, 1, 0.012);
    ck_assert_double_eq_tol(v, 1, 0.025);
}
END_TEST

START_TEST(normal__moments_and_tails)
{
    enum { N = 200000 };
    double m1 = 0, m2 = 0, m3 = 0, m4 = 0;
    uint64_t cdf[20] = {0};
    struct fr_rng r;
    fr_rng_seed(&r, 64);
    for (int i = 0; i < N; i++) {
        double v = fr_rng_normal(&r), u;
        if (!isfinite(v))
            ck_abort_msg("not finite");
        m1 += v / N;
        m2 += v * v / N;
        m3 += v * v * v / N;
        m4 += v * v * v * v / N;
        u = 0.5 * erfc(-v / sqrt(2)); /* uniform if v is normal */
        cdf[u >= 1 ? 19 : (int)(u * 20)]++;
    }
    ck_assert_double_eq_tol(m1, 0, 0.014);
    ck_assert_double_eq_tol(m2, 1, 0.02);
    ck_assert_double_eq_tol(m3, 0, 0.06);
    ck_assert_double_eq_tol(m4, 3, 0.15);
    check_uniform(cdf, 20, N);
}
END_TEST

START_TEST(os_seed__twice__differs)
{
    uint64_t a = fr_rng_os_seed(), b = fr_rng_os_seed();
    ck_assert_uint_ne(a, b);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("base/rng");
    TCase *tc = tcase_create("all");
    tcase_add_test(tc, u64__state_1_2_3_4__published_outputs);
    tcase_add_test(tc, seed__splitmix64__published_state);
    tcase_add_test(tc, below__small_n__uniform);
    tcase_add_test(tc, below__three_quarters_of_the_range__no_modulo_bias);
    tcase_add_test(tc, f64__uniform_in_0_1_with_53_bits);
    tcase_add_test(tc, poisson1__frequencies);
    tcase_add_test(tc, normal__moments_and_tails);
    tcase_add_test(tc, os_seed__twice__differs);
    suite_add_tcase(s, tc);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
