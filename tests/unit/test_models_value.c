/*
 * The value head's arithmetic: which values may be taught, targets, losses and their gradients, what a raw output says,
 * and the final score p^a v^b, against plain double formulas and at the extremes.
 */
#include "models/value.h"

#include <math.h>
#include <stdlib.h>

#include "tests/support/model_fixture.h"

#define N 7

START_TEST(names__there_and_back)
{
    for (int k = 0; k < FR_VALUE_KIND_COUNT; k++)
        ck_assert_int_eq(fr_value_kind_find(fr_str_z(fr_value_kind_name((enum fr_value_kind)k))), k);
    ck_assert_int_eq(fr_value_kind_find(fr_str_z("logs")), FR_VALUE_KIND_COUNT);
    ck_assert_int_eq(fr_value_kind_find(fr_str_z("")), FR_VALUE_KIND_COUNT);
    ck_assert_str_eq(fr_value_kind_name(FR_VALUE_KIND_COUNT), "?");
}
END_TEST

START_TEST(fits__by_target)
{
    static const struct {
        float v;
        bool log, unit;
    } t[] = {{0, true, true},      {-0.0f, true, true},  {1, true, true},         {1.001f, true, false},
             {3e38f, true, false}, {-1e-9f, false, false}, {NAN, false, false}, {INFINITY, false, false},
             {-INFINITY, false, false}};

    for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        ck_assert_int_eq(fr_value_fits(FR_VALUE_LOG, t[i].v), t[i].log);
        ck_assert_int_eq(fr_value_fits(FR_VALUE_UNIT, t[i].v), t[i].unit);
        ck_assert(!fr_value_fits(FR_VALUE_NONE, t[i].v));
    }
}
END_TEST

START_TEST(loss__and_gradient__as_the_formula)
{
    static const float raw[] = {-90, -3.5f, 0, 0.25f, 4, 90}, value[] = {0, 0.5f, 1, 30, 4000};

    for (int k = FR_VALUE_LOG; k <= FR_VALUE_UNIT; k++)
        for (size_t i = 0; i < sizeof(raw) / sizeof(raw[0]); i++)
            for (size_t j = 0; j < (k == FR_VALUE_UNIT ? 3 : 5); j++) {
                double r = (double)raw[i], v = (double)value[j], want, slope;
                float dr = 0, t = fr_value_target((enum fr_value_kind)k, value[j]);

                mf_float_tol(t, k == FR_VALUE_LOG ? log(1 + v) : v, 1e-6 * (1 + v));
                if (k == FR_VALUE_LOG) {
                    want = (r - (double)t) * (r - (double)t);
                    slope = 2 * (r - (double)t);
                } else {
                    want = v * log1p(exp(-r)) + (1 - v) * log1p(exp(r));
                    slope = 1 / (1 + exp(-r)) - v;
                }
                mf_float_tol(fr_value_loss((enum fr_value_kind)k, raw[i], t, &dr), want, 1e-6 * (1 + fabs(want)));
                mf_float_tol(dr, slope, 1e-6 * (1 + fabs(slope)));
            }
}
END_TEST

START_TEST(said__in_the_values_unit)
{
    mf_float_tol(fr_value_said(FR_VALUE_LOG, logf(1 + 41.0f)), 41, 1e-4);
    mf_float_eq(fr_value_said(FR_VALUE_LOG, 0), FR_VALUE_FLOOR);
    mf_float_eq(fr_value_said(FR_VALUE_LOG, -5), FR_VALUE_FLOOR);
    mf_float_eq(fr_value_said(FR_VALUE_LOG, 1e30f), expm1(80));
    mf_float_tol(fr_value_said(FR_VALUE_UNIT, 0.7f), 1 / (1 + exp(-0.7)), 1e-6);
    mf_float_tol(fr_value_said(FR_VALUE_UNIT, -200), 0, 1e-30);
}
END_TEST

/* Straight from the definition. */
static double naive(enum fr_value_kind k, bool share, double a, double b, const float *z, float r, int i)
{
    double sum = 0, p = 1 / (1 + exp(-(double)z[i]));
    double v = k == FR_VALUE_UNIT ? 1 / (1 + exp(-(double)r)) : fmax(exp((double)r) - 1, FR_VALUE_FLOOR);

    for (int j = 0; j < N; j++)
        sum += exp((double)z[j]);
    if (share)
        p = exp((double)z[i]) / sum;
    return pow(p, a) * pow(v, b);
}

START_TEST(combine__as_the_definition__and_its_key_orders_alike)
{
    static const double powers[][2] = {{1, 0}, {1, 1}, {0.5, 2}, {0, 1}, {3, 0.25}, {0, 0}};
    struct fr_rng rng;

    fr_rng_seed(&rng, 12);
    for (int turn = 0; turn < 400; turn++) {
        enum fr_value_kind k = turn % 2 == 0 ? FR_VALUE_LOG : FR_VALUE_UNIT;
        bool share = turn % 4 >= 2;
        struct fr_score_powers pw = {powers[turn % 6][0], powers[turn % 6][1]};
        float z[N], r[N], key[N], score[N];

        for (int i = 0; i < N; i++) {
            z[i] = (float)fr_rng_normal(&rng) * 4;
            r[i] = (float)fr_rng_normal(&rng) * 2 + 1;
        }
        fr_value_combine(k, share, &pw, z, r, N, key, score);
        for (int i = 0; i < N; i++) {
            double want = naive(k, share, pw.click, pw.value, z, r[i], i);
            mf_float_tol(score[i], want, 1e-5 * want);
            for (int j = 0; j < N; j++)
                if (key[i] > key[j])
                    ck_assert_double_ge((double)score[i], (double)score[j] * (1 - 1e-6));
            if (pw.value <= 0 && pw.click > 0)
                mf_float_eq(key[i], z[i]);
        }
    }
}
END_TEST

START_TEST(combine__extremes__finite_and_ordered)
{
    /* no overflow, no 0 * infinity; where all are worth nothing, the click still orders */
    static const float z[] = {-3e38f, -200, 0, 200, 3e38f}, big[] = {3e38f, 3e38f, 90, -90, -3e38f};
    static const float worthless[] = {-4, -4, -4, -4, -4};
    struct fr_score_powers pw = {1, 1};
    float key[5], score[5];

    for (int k = FR_VALUE_LOG; k <= FR_VALUE_UNIT; k++)
        for (int share = 0; share < 2; share++) {
            fr_value_combine((enum fr_value_kind)k, share, &pw, z, big, 5, key, score);
            for (int i = 0; i < 5; i++)
                ck_assert(isfinite(score[i]) && score[i] >= 0);
            fr_value_combine((enum fr_value_kind)k, false, &pw, z, worthless, 5, key, score);
            for (int i = 1; i < 4; i++)
                ck_assert(key[i] > key[i - 1]);
            pw = (struct fr_score_powers){10, 10};
            fr_value_combine((enum fr_value_kind)k, share, &pw, z, big, 5, key, score);
            for (int i = 0; i < 5; i++)
                ck_assert(isfinite(score[i]));
            pw = (struct fr_score_powers){1, 1};
        }
    fr_value_combine(FR_VALUE_LOG, true, &pw, z, big, 0, key, score); /* an empty list */
}
END_TEST

int main(void)
{
    Suite *s = suite_create("models/value");
    TCase *tc = tcase_create("all");

    tcase_add_test(tc, names__there_and_back);
    tcase_add_test(tc, fits__by_target);
    tcase_add_test(tc, loss__and_gradient__as_the_formula);
    tcase_add_test(tc, said__in_the_values_unit);
    tcase_add_test(tc, combine__as_the_definition__and_its_key_orders_alike);
    tcase_add_test(tc, combine__extremes__finite_and_ordered);
    suite_add_tcase(s, tc);
    return mf_run(s);
}
