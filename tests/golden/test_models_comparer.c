/* The comparer of golden tensors must fail where it should: its own test. */
#include "tests/support/golden.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <check.h>

#define N 13
#define ATOL 1e-5
#define RTOL 1e-4

static float want[N], got[N];

static void setup(void)
{
    for (int i = 0; i < N; i++)
        want[i] = got[i] = (float)(i - 6) * 0.37f;
}

static bool close_enough(void)
{
    return golden_close_enough("tested tensor", got, want, N, ATOL, RTOL);
}

START_TEST(compare__equal_or_within_tolerance__passes)
{
    ck_assert(close_enough());
    got[3] += (float)(0.5 * (ATOL + RTOL * fabs((double)want[3])));
    ck_assert(close_enough());
}
END_TEST

START_TEST(compare__one_value_off_by_ten_tolerances__fails)
{
    got[_i] += (float)(10 * (ATOL + RTOL * fabs((double)want[_i])));
    ck_assert(!close_enough());
}
END_TEST

START_TEST(compare__nan_or_infinity_on_either_side__fails)
{
    got[_i] = NAN;
    ck_assert(!close_enough());
    setup();
    want[_i] = NAN;
    ck_assert(!close_enough());
    setup();
    got[_i] = want[_i] = NAN;
    ck_assert(!close_enough());
    setup();
    got[_i] = want[_i] = INFINITY;
    ck_assert(!close_enough());
}
END_TEST

START_TEST(compare__perturbed_value_of_a_real_file__fails)
{
    struct golden g;
    golden_open(&g, "deepfm_tiny.frg");
    const struct golden_tensor *t = golden_get(&g, "logits");
    ck_assert_uint_eq(t->n, 11);
    float copy[11];
    memcpy(copy, t->data, sizeof(copy));
    ck_assert(golden_close_enough("logits", copy, t->data, 11, 2e-5, 1e-4));
    copy[10] += 2e-3f;
    ck_assert(!golden_close_enough("logits", copy, t->data, 11, 2e-5, 1e-4));
    golden_close(&g);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("golden/comparer");
    TCase *tc = tcase_create("all");
    tcase_add_checked_fixture(tc, setup, NULL);
    tcase_add_test(tc, compare__equal_or_within_tolerance__passes);
    tcase_add_loop_test(tc, compare__one_value_off_by_ten_tolerances__fails, 0, N);
    tcase_add_loop_test(tc, compare__nan_or_infinity_on_either_side__fails, 0, N);
    tcase_add_test(tc, compare__perturbed_value_of_a_real_file__fails);
    suite_add_tcase(s, tc);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
