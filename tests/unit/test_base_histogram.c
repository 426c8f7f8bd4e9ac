/* The histogram against sorted observations: every count exact, every quantile within its bucket. */
#include "daemon/base/histogram.h"

#include <check.h>
#include <math.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/rng.h"

/* the header's list, once more */
static const double bounds[] = {0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02,
                                0.03,   0.05,  0.075, 0.1,   0.15,  0.2,    0.3,  0.5,   0.75,
                                1,      2,     3,     5,     10,    20,     30,   60};
#define N_BOUNDS ((int)(sizeof(bounds) / sizeof(bounds[0])))

START_TEST(bound__each__as_the_header_lists)
{
    ck_assert_int_eq(N_BOUNDS, FR_HISTOGRAM_BUCKETS - 1);
    for (int i = 0; i < N_BOUNDS; i++)
        ck_assert_double_eq_tol(fr_histogram_bound(i), bounds[i], 1e-12);
    ck_assert(isinf(fr_histogram_bound(N_BOUNDS)) && fr_histogram_bound(N_BOUNDS) > 0);
}
END_TEST

static int bucket_of(int64_t us)
{
    int i = 0;
    while (i < N_BOUNDS && (double)us > bounds[i] * 1e6 + 1e-3)
        i++;
    return i;
}

START_TEST(observe__around_each_bound__le_as_prometheus_means_it)
{
    for (int i = 0; i < N_BOUNDS; i++) {
        int64_t at = llround(bounds[i] * 1e6);
        for (int64_t us = at - 1; us <= at + 1; us++) {
            struct fr_histogram h;
            struct fr_histogram_sum sum;
            memset(&h, 0, sizeof(h));
            memset(&sum, 0, sizeof(sum));
            fr_histogram_observe_us(&h, us);
            fr_histogram_add(&sum, &h);
            ck_assert_uint_eq(sum.total, 1);
            ck_assert_uint_eq(sum.count[us <= at ? i : i + 1], 1);
            ck_assert_double_eq_tol(sum.sum_s, (double)us / 1e6, 1e-12);
        }
    }
}
END_TEST

START_TEST(observe__negative_and_huge__clamped_and_overflow_bucket)
{
    struct fr_histogram h;
    struct fr_histogram_sum sum;
    memset(&h, 0, sizeof(h));
    memset(&sum, 0, sizeof(sum));
    fr_histogram_observe_us(&h, -1);
    fr_histogram_observe_us(&h, INT64_MIN);
    fr_histogram_observe_us(&h, 0);
    fr_histogram_observe_us(&h, INT64_C(3600000000));
    fr_histogram_observe_us(&h, INT64_MAX);
    fr_histogram_add(&sum, &h);
    ck_assert_uint_eq(sum.clamped, 2);
    ck_assert_uint_eq(sum.count[0], 3);
    ck_assert_uint_eq(sum.count[FR_HISTOGRAM_BUCKETS - 1], 2);
    ck_assert_uint_eq(sum.total, 5);
    ck_assert_double_eq(fr_histogram_quantile(&sum, 1), 60); /* the last finite bound */
    ck_assert_double_eq(fr_histogram_quantile(&sum, 0.9), 60);
}
END_TEST

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* Several shapes; the exact percentile and the interpolated one lie in the same bucket. */
START_TEST(quantile__random_observations__in_the_bucket_of_the_exact_one)
{
    enum { N = 3000 };
    static int64_t us[N];
    const double qs[] = {0, 0.001, 0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 1};
    struct fr_rng r;
    fr_rng_seed(&r, 71);
    for (int shape = 0; shape < 12; shape++) {
        struct fr_histogram h[3];
        struct fr_histogram_sum sum;
        double last = 0;
        int n = shape == 0 ? 1 : N - shape * 211;
        memset(h, 0, sizeof(h));
        memset(&sum, 0, sizeof(sum));
        for (int i = 0; i < n; i++) {
            double e = exp(fr_rng_normal(&r) * (0.2 + 0.2 * shape) + 2 + shape % 4 * 2);
            us[i] = (int64_t)fmin(e * 1000, 59e6);
            fr_histogram_observe_us(&h[i % 3], us[i]);
        }
        for (int i = 0; i < 3; i++)
            fr_histogram_add(&sum, &h[i]); /* merged shards */
        ck_assert_uint_eq(sum.total, (uint64_t)n);
        qsort(us, (size_t)n, sizeof(us[0]), by_value);
        for (size_t k = 0; k < sizeof(qs) / sizeof(qs[0]); k++) {
            int64_t rank = (int64_t)ceil(qs[k] * n);
            int64_t exact = us[rank < 1 ? 0 : rank - 1];
            double got = fr_histogram_quantile(&sum, qs[k]);
            int b = bucket_of(exact);
            ck_assert_double_ge(got, b == 0 ? 0 : bounds[b - 1]);
            ck_assert_double_le(got, bounds[b]);
            ck_assert_double_ge(got, last); /* monotone */
            last = got;
        }
    }
}
END_TEST

START_TEST(quantile__one_bucket__interpolates)
{
    struct fr_histogram h;
    struct fr_histogram_sum sum;
    memset(&h, 0, sizeof(h));
    memset(&sum, 0, sizeof(sum));
    ck_assert(isnan(fr_histogram_quantile(&sum, 0.5)));
    for (int i = 0; i < 4; i++)
        fr_histogram_observe_us(&h, 1500); /* (1 ms, 2 ms] */
    fr_histogram_add(&sum, &h);
    ck_assert_double_eq_tol(fr_histogram_quantile(&sum, 0), 0.001, 1e-12);
    ck_assert_double_eq_tol(fr_histogram_quantile(&sum, 0.25), 0.00125, 1e-12);
    ck_assert_double_eq_tol(fr_histogram_quantile(&sum, 0.5), 0.0015, 1e-12);
    ck_assert_double_eq_tol(fr_histogram_quantile(&sum, 1), 0.002, 1e-12);
}
END_TEST

struct shard {
    struct fr_histogram h;
    _Atomic int done;
};

static void *writer(void *arg)
{
    struct shard *s = arg;
    for (int i = 0; i < 50000; i++)
        fr_histogram_observe_us(&s->h, i % 100000);
    atomic_store(&s->done, 1);
    return NULL;
}

/* Read while written: never more than was observed, never less than before, exact at the end. */
START_TEST(add__while_written__no_race_and_monotone)
{
    static struct shard s[3];
    pthread_t t[3];
    uint64_t last = 0;
    memset(s, 0, sizeof(s));
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(pthread_create(&t[i], NULL, writer, &s[i]), 0);
    for (bool all = false; !all;) {
        struct fr_histogram_sum sum;
        memset(&sum, 0, sizeof(sum));
        all = atomic_load(&s[0].done) && atomic_load(&s[1].done) && atomic_load(&s[2].done);
        for (int i = 0; i < 3; i++)
            fr_histogram_add(&sum, &s[i].h);
        if (sum.total < last || sum.total > 150000)
            ck_abort_msg("%llu after %llu", (unsigned long long)sum.total, (unsigned long long)last);
        last = sum.total;
    }
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(pthread_join(t[i], NULL), 0);
    ck_assert_uint_eq(last, 150000);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("base/histogram");
    TCase *tc = tcase_create("all");
    tcase_add_test(tc, bound__each__as_the_header_lists);
    tcase_add_test(tc, observe__around_each_bound__le_as_prometheus_means_it);
    tcase_add_test(tc, observe__negative_and_huge__clamped_and_overflow_bucket);
    tcase_add_test(tc, quantile__random_observations__in_the_bucket_of_the_exact_one);
    tcase_add_test(tc, quantile__one_bucket__interpolates);
    tcase_add_test(tc, add__while_written__no_race_and_monotone);
    suite_add_tcase(s, tc);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
