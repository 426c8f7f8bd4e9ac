/*
 * What a value head is worth: errors, the constant beside it, and the value that an order keeps, against sums made by
 * hand; lists without a value stay out.
 */
#include "daemon/learn/value_measure.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>


static void near(double got, double want)
{
    ck_assert_double_eq_tol(got, want, 1e-6 * (1 + fabs(want)));
}

START_TEST(log__errors_and_kept_value__as_by_hand)
{
    static const float z[] = {3, 2, 1, 0}, raw[] = {0.5f, 2, 0.1f, 5};
    struct fr_value_measure m = {.kind = FR_VALUE_LOG, .share = true, .powers = {1, 1}};
    float key[4], score[4];
    /* p v: e^3 .6487, e^2 6.389, e .1052, 147.4; so the places are 3 (13.0), 2 (47.2), 4 (.29), 1 */
    static const double place[] = {3, 2, 4, 1};
    double total = 0, kept = 0, by_click = 0, error = 0, constant = 0, mean;

    fr_value_measure_train(&m, 10);
    fr_value_measure_train(&m, NAN);
    fr_value_measure_train(&m, -3);
    fr_value_measure_train(&m, 0);
    mean = log(11) / 2;
    for (int label = 0; label < 4; label++) {
        double v = 1 + 7 * label;
        fr_value_measure_list(&m, z, raw, 4, (size_t)label, (float)v, key, score);
        fr_value_measure_list(&m, z, raw, 4, (size_t)label, NAN, key, score); /* not known: not in */
        total += v;
        kept += v / log2(1 + place[label]);
        by_click += v / log2(2 + label);
        error += fabs((double)raw[label] - log(1 + v)) / 4;
        constant += fabs(mean - log(1 + v)) / 4;
    }
    ck_assert_uint_eq(m.n, 4);
    ck_assert_uint_eq(m.targets, 2);
    near(fr_value_measure_kept(&m), kept / total);
    near(fr_value_measure_kept_click(&m), by_click / total);
    near(fr_value_measure_error(&m), error);
    near(fr_value_measure_error_mean(&m), constant);
}
END_TEST

START_TEST(unit__cross_entropy_and_beyond_the_top_nothing)
{
    struct fr_value_measure m = {.kind = FR_VALUE_UNIT, .powers = {1, 0}};
    float z[30], raw[30], key[30], score[30];

    for (int i = 0; i < 30; i++) {
        z[i] = (float)(30 - i);
        raw[i] = (float)i / 10 - 1;
    }
    fr_value_measure_train(&m, 1);
    fr_value_measure_train(&m, 0);
    fr_value_measure_train(&m, 0);
    fr_value_measure_list(&m, z, raw, 30, 19, 1, key, score); /* place 20 */
    fr_value_measure_list(&m, z, raw, 30, 20, 1, key, score); /* place 21 */
    fr_value_measure_list(&m, z, raw, 30, 0, 0, key, score);  /* worth nothing, but its error counts */
    near(fr_value_measure_kept(&m), 1 / log2(21) / 2);
    near(fr_value_measure_kept_click(&m), 1 / log2(21) / 2);
    near(fr_value_measure_error(&m), (log1p(exp(-0.9)) + log1p(exp(-1.0)) + log1p(exp(-1.0))) / 3);
    /* the constant: (1 + .5) of (3 + 1) */
    near(fr_value_measure_error_mean(&m), -(2 * log(1.5 / 4) + log(2.5 / 4)) / 3);
}
END_TEST

START_TEST(nothing_added__zeros)
{
    struct fr_value_measure m = {.kind = FR_VALUE_LOG, .powers = {1, 1}};

    ck_assert(fr_value_measure_error(&m) == 0 && fr_value_measure_error_mean(&m) == 0);
    ck_assert(fr_value_measure_kept(&m) == 0 && fr_value_measure_kept_click(&m) == 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("learn/value_measure");
    TCase *tc = tcase_create("all");
    SRunner *sr;
    int failed;

    tcase_add_test(tc, log__errors_and_kept_value__as_by_hand);
    tcase_add_test(tc, unit__cross_entropy_and_beyond_the_top_nothing);
    tcase_add_test(tc, nothing_added__zeros);
    suite_add_tcase(s, tc);
    sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
