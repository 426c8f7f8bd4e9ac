/* Sums by user and the bootstrap over them: the sums give the measures themselves, AUC of a resample is
 * that of the repeated rows, intervals cover the truth about as often as they say, a paired difference
 * is narrower than the intervals it comes from, equal bundles differ by nothing. */
#include "daemon/learn/benchmark_detail.h"

#include <math.h>
#include <string.h>

#include "daemon/base/rng.h"
#include "models/metrics.h"
#include "tests/support/model_fixture.h"

#define USERS 60
#define PER 12
#define N (USERS * PER)

static float logit[N];
static uint8_t label[N];
static uint32_t user[N];
static struct fr_benchmark_detail d, other;

static void setup(void)
{
    memset(&d, 0, sizeof(d));
    memset(&other, 0, sizeof(other));
}

static void teardown(void)
{
    fr_benchmark_detail_done(&d);
    fr_benchmark_detail_done(&other);
}

/* Users of different difficulty; a few equal scores; ids with holes. */
static void make(uint64_t seed, double skill)
{
    struct fr_rng r;

    fr_rng_seed(&r, seed);
    for (int i = 0; i < N; i++) {
        user[i] = (uint32_t)(i % USERS) * 7 + 3;
        label[i] = fr_rng_below(&r, 3) == 0;
        logit[i] = (float)(round((fr_rng_normal(&r) + skill * label[i] + user[i] * 0.002) * 8) / 8);
    }
}

static const struct fr_benchmark_ratio *find(const struct fr_benchmark_detail *x, const char *name)
{
    for (int i = 0; i < x->n_ratios; i++)
        if (strcmp(x->ratio[i].name, name) == 0)
            return &x->ratio[i];
    ck_abort_msg("no %s", name);
    return NULL;
}

static double whole(const struct fr_benchmark_detail *x, const char *name)
{
    const struct fr_benchmark_ratio *r = find(x, name);
    double num = 0, den = 0;

    for (size_t u = 0; u < x->n_units; u++) {
        num += r->num[u];
        den += r->den[u];
    }
    return num / den;
}

START_TEST(rows__sums__the_measures)
{
    double want = 0, ratio = 0, positives = 0;

    make(1, 1);
    ck_assert_int_eq(fr_benchmark_detail_rows(&d, logit, label, user, N), FR_OK);
    ck_assert_str_eq(d.unit, "users");
    ck_assert_uint_eq(d.n_units, USERS);
    ck_assert_int_eq(fr_metric_logloss(logit, label, N, &want), FR_OK);
    ck_assert_double_eq_tol(whole(&d, "logloss"), want, 1e-12);
    ck_assert_int_eq(fr_metric_gauc(logit, label, user, N, &want), FR_OK);
    ck_assert_double_eq_tol(whole(&d, "gauc"), want, 1e-12);
    for (int i = 0; i < N; i++) {
        ratio += 1 / (1 + exp(-(double)logit[i]));
        positives += label[i];
    }
    ck_assert_double_eq_tol(whole(&d, "calibration_ratio"), ratio / positives, 1e-12);
    fr_benchmark_detail_done(&d);
    ck_assert_int_eq(fr_benchmark_detail_rows(&d, logit, label, NULL, N), FR_OK); /* without users */
    ck_assert_str_eq(d.unit, "rows");
    ck_assert_uint_eq(d.n_units, N);
    ck_assert_double_eq(find(&d, "gauc")->den[0], 0);
}
END_TEST

/* The same generator as the resampler's, the rows repeated as often as their user was drawn. */
START_TEST(intervals__auc__as_with_repeated_rows)
{
    enum { RESAMPLES = 40, MOST = N * 13 };
    static float s[MOST];
    static uint8_t y[MOST];
    const struct fr_benchmark_detail *one = &d;
    struct fr_benchmark_interval got;
    double low = 2, high = -1;
    struct fr_rng r;

    make(2, .7);
    ck_assert_int_eq(fr_benchmark_detail_rows(&d, logit, label, user, N), FR_OK);
    ck_assert_int_eq(fr_benchmark_intervals(&one, 1, "auc", RESAMPLES, 9, &got), FR_OK);
    fr_rng_seed(&r, 9);
    for (int k = 0; k < RESAMPLES; k++) {
        int w[USERS];
        size_t n = 0;
        double auc = 0;

        for (int u = 0; u < USERS; u++)
            w[u] = fr_rng_poisson1(&r);
        for (int i = 0; i < N; i++)
            for (int c = 0; c < w[i % USERS]; c++) {
                s[n] = logit[i];
                y[n++] = label[i];
            }
        ck_assert_int_eq(fr_metric_auc(s, y, n, &auc), FR_OK);
        low = auc < low ? auc : low;
        high = auc > high ? auc : high;
        if (k == 0) { /* and alone: an interval of one resample is that resample */
            struct fr_benchmark_interval first;

            ck_assert_int_eq(fr_benchmark_intervals(&one, 1, "auc", 1, 9, &first), FR_OK);
            ck_assert_double_eq_tol(first.low, auc, 1e-12);
            ck_assert_double_eq_tol(first.high, auc, 1e-12);
        }
    }
    ck_assert(got.low >= low && got.low < got.high && got.high <= high);
    ck_assert_double_eq(got.diff_low, 0);
    ck_assert_double_eq(got.diff_high, 0);
}
END_TEST

/* Means of users' values from a known distribution: 95 % of the intervals hold the truth (300 draws:
 * between 91 % and 98.3 % but for one time in ten thousand; the seed is fixed). */
START_TEST(intervals__known_truth__covered)
{
    static const char *const name[] = {"hr@10"};
    const struct fr_benchmark_detail *one = &d;
    int covered = 0;
    struct fr_rng r;

    fr_rng_seed(&r, 4);
    for (int k = 0; k < 300; k++) {
        struct fr_benchmark_interval got;

        ck_assert_int_eq(fr_benchmark_detail_begin(&d, "users", 300, name, 1), FR_OK);
        for (size_t u = 0; u < 300; u++)
            fr_benchmark_detail_add(&d, 0, u, fr_rng_f64(&r) < .6);
        ck_assert_int_eq(fr_benchmark_intervals(&one, 1, "hr@10", 200, (uint64_t)k, &got), FR_OK);
        covered += got.low <= .6 && .6 <= got.high;
        fr_benchmark_detail_done(&d);
    }
    ck_assert_int_ge(covered, 273);
    ck_assert_int_le(covered, 297);
}
END_TEST

START_TEST(difference__of_the_same_users__narrower)
{
    const struct fr_benchmark_detail *two[] = {&d, &other};
    struct fr_benchmark_interval got[2];

    make(3, 1);
    ck_assert_int_eq(fr_benchmark_detail_rows(&d, logit, label, user, N), FR_OK);
    for (int i = 0; i < N; i++) /* a little better everywhere */
        logit[i] += .05f * (float)label[i];
    ck_assert_int_eq(fr_benchmark_detail_rows(&other, logit, label, user, N), FR_OK);
    ck_assert_int_eq(fr_benchmark_intervals(two, 2, "auc", 300, 1, got), FR_OK);
    ck_assert(got[0].high > got[1].low);  /* the intervals overlap ... */
    ck_assert_double_gt(got[1].diff_low, 0); /* ... and the difference is none of chance */
    ck_assert_double_lt(got[1].diff_high - got[1].diff_low, (got[1].high - got[1].low) / 2);
    ck_assert_int_eq(fr_benchmark_intervals(two, 2, "logloss", 300, 1, got), FR_OK);
    ck_assert_double_lt(got[1].diff_high, 0);
}
END_TEST

START_TEST(intervals__same_seed_same__other_seed_other)
{
    const struct fr_benchmark_detail *one = &d;
    struct fr_benchmark_interval a, b, c;

    make(5, 1);
    ck_assert_int_eq(fr_benchmark_detail_rows(&d, logit, label, user, N), FR_OK);
    ck_assert_int_eq(fr_benchmark_intervals(&one, 1, "auc", 100, 1, &a), FR_OK);
    ck_assert_int_eq(fr_benchmark_intervals(&one, 1, "auc", 100, 1, &b), FR_OK);
    ck_assert_int_eq(fr_benchmark_intervals(&one, 1, "auc", 100, 2, &c), FR_OK);
    ck_assert(a.low == b.low && a.high == b.high);
    ck_assert(a.low != c.low || a.high != c.high);
}
END_TEST

START_TEST(intervals__what_there_is_not__refused_or_nan)
{
    static const char *const name[] = {"hr@10"};
    const struct fr_benchmark_detail *two[] = {&d, &other};
    struct fr_benchmark_interval got[2];

    ck_assert_int_eq(fr_benchmark_detail_begin(&d, "users", 3, name, 1), FR_OK);
    ck_assert_int_eq(fr_benchmark_detail_begin(&other, "users", 4, name, 1), FR_OK);
    ck_assert_int_eq(fr_benchmark_intervals(two, 2, "hr@10", 10, 1, got), FR_EINVAL);
    ck_assert_int_eq(fr_benchmark_intervals(two, 1, "hr@10", 10, 1, got), FR_OK);
    ck_assert(isnan(got[0].low)); /* no user has a value */
    ck_assert_int_eq(fr_benchmark_intervals(two, 1, "auc", 10, 1, got), FR_OK);
    ck_assert(isnan(got[0].low) && isnan(got[0].diff_high));
    make(6, 1);
    logit[5] = NAN;
    fr_benchmark_detail_done(&d);
    ck_assert_int_eq(fr_benchmark_detail_rows(&d, logit, label, user, N), FR_ENONFINITE);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("learn/benchmark_detail");
    TCase *tc = tcase_create("all");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, rows__sums__the_measures);
    tcase_add_test(tc, intervals__auc__as_with_repeated_rows);
    tcase_add_test(tc, intervals__known_truth__covered);
    tcase_add_test(tc, difference__of_the_same_users__narrower);
    tcase_add_test(tc, intervals__same_seed_same__other_seed_other);
    tcase_add_test(tc, intervals__what_there_is_not__refused_or_nan);
    suite_add_tcase(s, tc);
    return mf_run(s);
}
