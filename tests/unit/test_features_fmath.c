/* Our exp and log against libm, their edges, and a fixed bit pattern that must never change. */
#include "features/fmath.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/rng.h"

#define POINTS 1000000

static double rel(double got, double want)
{
    if (want == 0)
        return fabs(got);
    return fabs((got - want) / want);
}

START_TEST(exp2__against_libm__relative_error_below_4e_16)
{
    struct fr_rng r;
    double worst = 0;
    fr_rng_seed(&r, 1);
    for (int i = 0; i < POINTS; i++) {
        double x = (fr_rng_f64(&r) - 0.5) * (i % 2 == 0 ? 2040 : 4);
        double e = rel(fr_exp2(x), exp2(x));
        if (e > worst)
            worst = e;
    }
    ck_assert_double_le(worst, 4e-16);
}
END_TEST

START_TEST(exp__against_libm__relative_error_below_4e_16)
{
    struct fr_rng r;
    double worst = 0;
    fr_rng_seed(&r, 2);
    for (int i = 0; i < POINTS; i++) {
        double x = (fr_rng_f64(&r) - 0.5) * (i % 2 == 0 ? 1400 : 3);
        double e = rel(fr_exp(x), exp(x));
        if (e > worst)
            worst = e;
    }
    ck_assert_double_le(worst, 4e-16);
}
END_TEST

START_TEST(log__against_libm__relative_error_below_4e_16)
{
    struct fr_rng r;
    double worst = 0, worst2 = 0;
    fr_rng_seed(&r, 3);
    for (int i = 0; i < POINTS; i++) {
        double x = i % 2 == 0 ? exp2((fr_rng_f64(&r) - 0.5) * 2000) : 0.5 + fr_rng_f64(&r) * 1.5;
        double e = rel(fr_log(x), log(x));
        double e2 = rel(fr_log2(x), log2(x));
        if (e > worst)
            worst = e;
        if (e2 > worst2)
            worst2 = e2;
    }
    ck_assert_double_le(worst, 4e-16);
    ck_assert_double_le(worst2, 6e-16);
}
END_TEST

START_TEST(log1p__against_libm__relative_error_below_1e_15)
{
    struct fr_rng r;
    double worst = 0;
    fr_rng_seed(&r, 4);
    for (int i = 0; i < POINTS; i++) {
        double x = exp2((fr_rng_f64(&r) - 0.6) * 100);
        double e = rel(fr_log1p(x), log1p(x));
        if (e > worst)
            worst = e;
    }
    ck_assert_double_le(worst, 1e-15);
}
END_TEST

START_TEST(edges__infinite_nan_zero_subnormal__as_stated)
{
    ck_assert(isinf(fr_exp2(1024)) && fr_exp2(1024) > 0);
    ck_assert_double_eq(fr_exp2(-1080), 0);
    ck_assert_double_eq(fr_exp2(-1074), 4.9406564584124654e-324);
    ck_assert_double_eq(fr_exp2(-INFINITY), 0);
    ck_assert(isinf(fr_exp2(INFINITY)));
    ck_assert(isnan(fr_exp2(NAN)));
    ck_assert(isinf(fr_exp(710)));
    ck_assert_double_eq(fr_exp(-800), 0);
    ck_assert_double_eq(fr_exp(0), 1);
    ck_assert(isnan(fr_exp(NAN)));
    ck_assert(isinf(fr_log(0)) && fr_log(0) < 0);
    ck_assert(isnan(fr_log(-1)));
    ck_assert(isnan(fr_log(NAN)));
    ck_assert(isinf(fr_log(INFINITY)));
    ck_assert_double_eq(fr_log(1), 0);
    ck_assert_double_eq_tol(fr_log(4.9406564584124654e-324), -744.4400719213812, 1e-12);
    ck_assert_double_eq(fr_log1p(0), 0);
    ck_assert_double_eq(fr_log1p(1e-300), 1e-300);
    ck_assert(isinf(fr_log1p(INFINITY)));
    for (int k = -1074; k < 1024; k++) {
        ck_assert_double_eq(fr_log2(ldexp(1, k)), k);
        ck_assert_double_eq(fr_exp2(k), ldexp(1, k));
    }
}
END_TEST

START_TEST(scale2__against_ldexp__exact)
{
    struct fr_rng r;
    fr_rng_seed(&r, 5);
    for (int i = 0; i < 100000; i++) {
        double x = fr_rng_f64(&r) + 0.5;
        int k = (int)fr_rng_below(&r, 2040) - 1020;
        ck_assert_double_eq(fr_scale2(x, k), ldexp(x, k));
    }
    ck_assert_double_eq(fr_scale2(1, -5000), 0);
    ck_assert(isinf(fr_scale2(1, 5000)));
    ck_assert_double_eq(fr_scale2(0, 5000), 0);
}
END_TEST

/* The same on every machine, compiler and optimisation level: a change here changes every row. */
START_TEST(bits__fixed_points__never_change)
{
    uint64_t h = 0;
    struct fr_rng r;
    fr_rng_seed(&r, 6);
    for (int i = 0; i < 20000; i++) {
        double v[4];
        double x = fr_rng_f64(&r);
        v[0] = fr_exp2((x - 0.5) * 64);
        v[1] = fr_exp((x - 0.5) * 64);
        v[2] = fr_log(x * 1000 + 1e-6);
        v[3] = fr_log1p(x * 1e6);
        for (int k = 0; k < 4; k++) {
            uint64_t u;
            memcpy(&u, &v[k], sizeof u);
            h = (h ^ u) * UINT64_C(0x100000001b3) + (h >> 29);
        }
    }
    ck_assert_uint_eq(h, UINT64_C(0xb45ee49082699746));
}
END_TEST

START_TEST(log_bucket__boundaries__fall_up)
{
    ck_assert_uint_eq(fr_log_bucket(0, 2, 33), 1);
    ck_assert_uint_eq(fr_log_bucket(0.41, 2, 33), 1);
    ck_assert_uint_eq(fr_log_bucket(0.42, 2, 33), 2); /* 1.42 > sqrt(2) */
    ck_assert_uint_eq(fr_log_bucket(1, 2, 33), 3);
    ck_assert_uint_eq(fr_log_bucket(3, 2, 33), 5);
    ck_assert_uint_eq(fr_log_bucket(7, 1, 33), 4);
    ck_assert_uint_eq(fr_log_bucket(6.999999, 1, 33), 3);
    ck_assert_uint_eq(fr_log_bucket(1e300, 2, 33), 32);
    ck_assert_uint_eq(fr_log_bucket(INFINITY, 2, 33), 32);
    ck_assert_uint_eq(fr_log_bucket(-1, 2, 33), 0);
    ck_assert_uint_eq(fr_log_bucket(NAN, 2, 33), 0);
    ck_assert_uint_eq(fr_log_bucket(5, 2, 1), 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("features/fmath");
    TCase *tc = tcase_create("all");
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, exp2__against_libm__relative_error_below_4e_16);
    tcase_add_test(tc, exp__against_libm__relative_error_below_4e_16);
    tcase_add_test(tc, log__against_libm__relative_error_below_4e_16);
    tcase_add_test(tc, log1p__against_libm__relative_error_below_1e_15);
    tcase_add_test(tc, edges__infinite_nan_zero_subnormal__as_stated);
    tcase_add_test(tc, scale2__against_ldexp__exact);
    tcase_add_test(tc, bits__fixed_points__never_change);
    tcase_add_test(tc, log_bucket__boundaries__fall_up);
    suite_add_tcase(s, tc);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
