/* Forward decay: the grid of landmarks, exact rebasing, independence of order. */
#include "features/decay.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/rng.h"
#include "features/spec.h"

#define HL0 INT64_C(3600000)
#define HL1 INT64_C(604800000)

static const int64_t hl[FR_HALF_LIVES] = {HL0, HL1};

START_TEST(landmark__any_time__multiple_at_or_below)
{
    ck_assert_int_eq(fr_decay_landmark(0, HL0), 0);
    ck_assert_int_eq(fr_decay_landmark(HL0 - 1, HL0), 0);
    ck_assert_int_eq(fr_decay_landmark(HL0, HL0), HL0);
    ck_assert_int_eq(fr_decay_landmark(-1, HL0), -HL0);
    ck_assert_int_eq(fr_decay_landmark(-HL0, HL0), -HL0);
    ck_assert_int_eq(fr_decay_landmark(5 * HL0 + 17, HL0), 5 * HL0);
}
END_TEST

START_TEST(up_and_down__whole_half_lives__exact_powers)
{
    for (int k = -20; k <= 20; k++) {
        ck_assert_double_eq(fr_decay_up(k * HL0, 0, HL0), ldexp(1, k));
        ck_assert_double_eq(fr_decay_down(k * HL0, 0, HL0), ldexp(1, -k));
    }
    ck_assert_double_eq_tol(fr_decay_up(HL0 / 2, 0, HL0), sqrt(2), 1e-15);
}
END_TEST

/* Rebasing multiplies by exactly 2^-k: the value at any later time keeps its bits. */
START_TEST(rebase__many_steps__value_keeps_its_bits)
{
    struct fr_rng r;
    fr_rng_seed(&r, 7);
    for (int i = 0; i < 2000; i++) {
        double c[2 * FR_HALF_LIVES], before[2 * FR_HALF_LIVES];
        int64_t lm[FR_HALF_LIVES] = {0, 0};
        int64_t t = (int64_t)fr_rng_below(&r, 300 * (uint64_t)HL0);
        for (int k = 0; k < 2 * FR_HALF_LIVES; k++)
            before[k] = c[k] = fr_rng_f64(&r) * 100;
        fr_decay_rebase(c, 2, lm, hl, t, false);
        for (int k = 0; k < FR_HALF_LIVES; k++) {
            int64_t steps = t / hl[k];
            ck_assert_int_eq(lm[k], steps * hl[k]);
            ck_assert_double_eq(c[k], ldexp(before[k], (int)-steps));
            ck_assert_double_eq(c[FR_HALF_LIVES + k],
                                ldexp(before[FR_HALF_LIVES + k], (int)-steps));
        }
    }
}
END_TEST

START_TEST(rebase__to_the_past__nothing_moves)
{
    double c[FR_HALF_LIVES] = {3, 5};
    int64_t lm[FR_HALF_LIVES] = {10 * HL0, 2 * HL1};
    fr_decay_rebase(c, 1, lm, hl, HL0, false);
    ck_assert_int_eq(lm[0], 10 * HL0);
    ck_assert_int_eq(lm[1], 2 * HL1);
    ck_assert_double_eq(c[0], 3);
    ck_assert_double_eq(c[1], 5);
}
END_TEST

/* A counter fed in any order against the direct sum of 2^(-(x - t)/hl) in long double. */
START_TEST(sum__any_order__within_1e_9_of_the_direct_sum)
{
    struct fr_rng r;
    int64_t ts[200];
    fr_rng_seed(&r, 8);
    for (int round = 0; round < 200; round++) {
        int n = 1 + (int)fr_rng_below(&r, 200);
        int64_t newest = 0;
        for (int i = 0; i < n; i++) {
            ts[i] = INT64_C(1790000000000) + (int64_t)fr_rng_below(&r, 40 * (uint64_t)HL0);
            if (ts[i] > newest)
                newest = ts[i];
        }
        int64_t at = newest + (int64_t)fr_rng_below(&r, 5 * (uint64_t)HL0);
        double want[FR_HALF_LIVES], got[2][FR_HALF_LIVES];
        for (int k = 0; k < FR_HALF_LIVES; k++) {
            long double sum = 0;
            for (int i = 0; i < n; i++)
                sum += exp2l(-(long double)(at - ts[i]) / (long double)hl[k]);
            want[k] = (double)sum;
        }
        for (int order = 0; order < 2; order++) {
            double c[FR_HALF_LIVES] = {0, 0};
            int64_t lm[FR_HALF_LIVES] = {0, 0};
            int64_t seen = INT64_MIN;
            for (int i = 0; i < n; i++) {
                int64_t t = ts[order == 0 ? i : n - 1 - i];
                if (t > seen) {
                    fr_decay_rebase(c, 1, lm, hl, t, seen == INT64_MIN);
                    seen = t;
                }
                for (int k = 0; k < FR_HALF_LIVES; k++)
                    c[k] += fr_decay_up(t, lm[k], hl[k]);
            }
            for (int k = 0; k < FR_HALF_LIVES; k++)
                got[order][k] = c[k] * fr_decay_down(at, lm[k], hl[k]);
        }
        for (int k = 0; k < FR_HALF_LIVES; k++) {
            ck_assert_double_le(fabs(got[0][k] - want[k]), 1e-9 * want[k]);
            ck_assert_double_le(fabs(got[1][k] - want[k]), 1e-9 * want[k]);
        }
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("features/decay");
    TCase *tc = tcase_create("all");
    tcase_add_test(tc, landmark__any_time__multiple_at_or_below);
    tcase_add_test(tc, up_and_down__whole_half_lives__exact_powers);
    tcase_add_test(tc, rebase__many_steps__value_keeps_its_bits);
    tcase_add_test(tc, rebase__to_the_past__nothing_moves);
    tcase_add_test(tc, sum__any_order__within_1e_9_of_the_direct_sum);
    suite_add_tcase(s, tc);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
