/* AUC by its definition (all pairs), log-loss, rank: ties, edges, non-finite input. */
#include "models/metrics.h"

#include <math.h>
#include <stdlib.h>

#include "daemon/base/rng.h"
#include "tests/support/model_fixture.h"

START_TEST(auc__random_scores_with_ties__as_all_pairs)
{
    struct fr_rng r;
    fr_rng_seed(&r, 5);
    for (int t = 0; t < 50; t++) {
        float s[60];
        uint8_t y[60];
        double wins = 0, pairs = 0, auc = 0;
        for (int i = 0; i < 60; i++) {
            s[i] = (float)fr_rng_below(&r, (uint64_t)(t + 2)) / 4;
            y[i] = i < 2 ? (uint8_t)i : (uint8_t)fr_rng_below(&r, 2);
        }
        for (int i = 0; i < 60; i++)
            for (int j = 0; j < 60; j++)
                if (y[i] && !y[j]) {
                    pairs++;
                    wins += s[i] > s[j] ? 1 : s[i] == s[j] ? 0.5 : 0;
                }
        ck_assert_int_eq(fr_metric_auc(s, y, 60, &auc), FR_OK);
        ck_assert_double_eq_tol(auc, wins / pairs, 1e-12);
    }
}
END_TEST

START_TEST(auc__one_class_or_nan__refused)
{
    float s[3] = {1, 2, 3};
    uint8_t y[3] = {1, 1, 1};
    double auc = -1;
    ck_assert_int_eq(fr_metric_auc(s, y, 3, &auc), FR_EINVAL);
    ck_assert_int_eq(fr_metric_auc(s, y, 0, &auc), FR_EINVAL);
    y[0] = 0;
    s[1] = NAN;
    ck_assert_int_eq(fr_metric_auc(s, y, 3, &auc), FR_ENONFINITE);
    ck_assert_double_eq(auc, -1);
}
END_TEST

START_TEST(logloss__known_values_and_extremes__stable)
{
    float z[4] = {0, 90, -90, 2};
    uint8_t y[4] = {1, 1, 0, 0};
    double l = 0;
    ck_assert_int_eq(fr_metric_logloss(z, y, 4, &l), FR_OK);
    ck_assert_double_eq_tol(l, (log(2) + log1p(exp(-2.0)) + 2) / 4, 1e-7);
    y[1] = 0;
    ck_assert_int_eq(fr_metric_logloss(z + 1, y + 1, 1, &l), FR_OK);
    ck_assert_double_eq_tol(l, 90, 1e-6);
    ck_assert_int_eq(fr_metric_logloss(z, y, 0, &l), FR_EINVAL);
}
END_TEST

START_TEST(rank__ties_and_nan__count_against)
{
    float s[5] = {5, 3, 3, 3, 1};
    ck_assert_uint_eq(fr_metric_rank(s, 5, 0), 1);
    ck_assert_uint_eq(fr_metric_rank(s, 5, 1), 3);
    ck_assert_uint_eq(fr_metric_rank(s, 5, 4), 5);
    s[0] = NAN;
    ck_assert_uint_eq(fr_metric_rank(s, 5, 0), 5);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("models/metrics");
    TCase *tc = tcase_create("all");
    tcase_add_test(tc, auc__random_scores_with_ties__as_all_pairs);
    tcase_add_test(tc, auc__one_class_or_nan__refused);
    tcase_add_test(tc, logloss__known_values_and_extremes__stable);
    tcase_add_test(tc, rank__ties_and_nan__count_against);
    suite_add_tcase(s, tc);
    return mf_run(s);
}
