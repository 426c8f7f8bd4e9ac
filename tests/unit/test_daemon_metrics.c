/*
 * tests/unit/test_daemon_metrics.c - daemon/metrics: the page read by an independent strict reader, sums
 * over shards; the reader itself finds each kind of mistake.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/metrics.h"
#include "tests/support/exposition.h"

static struct fr_metrics a, b;
static char why[300];

static void fill(void)
{
    fr_count(&a, FR_C_EVENTS_APPLIED, 3);
    fr_count(&b, FR_C_EVENTS_APPLIED, 4);
    fr_count(&a, FR_C_RECS_REQUEST, 2);
    fr_count_dead(&a, FR_EMISKEYED);
    fr_count_dead(&b, FR_EMISKEYED);
    fr_count_dead(&b, FR_ESYNTAX);
    fr_observe_us(&a, FR_H_REC_FRESHNESS, 700);
    fr_observe_us(&b, FR_H_REC_FRESHNESS, 61000000);
    fr_observe_us(&b, FR_H_REC_FRESHNESS, -5);
    fr_observe_us(&a, FR_H_STAGE_SCORE, 1500);
}

START_TEST(render__two_shards__strict_page_with_sums)
{
    struct fr_metrics *const shards[] = {&a, &b};
    struct fr_buf out;

    fill();
    fr_buf_init(&out);
    fr_metrics_render(shards, 2, &out);
    fr_metrics_gauge_head(&out, "freshet_x", "A gauge");
    fr_buf_puts(&out, "freshet_x 1.5\n");
    fr_buf_putc(&out, '\0');
    ck_assert_int_eq(fr_buf_err(&out), FR_OK);
    ck_assert_msg(exposition_check(out.p, why, sizeof(why)), "%s\n%s", why, out.p);
    ck_assert(exposition_value(out.p, "freshet_events_total{result=\"applied\"}") == 7);
    ck_assert(exposition_value(out.p, "freshet_events_total{result=\"duplicate\"}") == 0);
    ck_assert(exposition_value(out.p, "freshet_recommendations_total{source=\"request\"}") == 2);
    ck_assert(exposition_value(out.p, "freshet_dead_letters_total{reason=\"mis_keyed\"}") == 2);
    ck_assert(exposition_value(out.p, "freshet_recommendation_freshness_seconds_count") == 3);
    ck_assert_double_eq_tol(exposition_value(out.p, "freshet_recommendation_freshness_seconds_sum"), 61.0007, 1e-9);
    ck_assert_double_eq_tol(exposition_value(out.p, "freshet_stage_seconds_sum{stage=\"score\"}"), 0.0015, 1e-9);
    ck_assert(exposition_value(out.p, "freshet_recommendation_freshness_seconds_bucket{le=\"0.0005\"}") == 1);
    ck_assert(exposition_value(out.p, "freshet_recommendation_freshness_seconds_bucket{le=\"0.001\"}") == 2);
    ck_assert(exposition_value(out.p, "freshet_recommendation_freshness_seconds_bucket{le=\"60\"}") == 2);
    ck_assert(exposition_value(out.p, "freshet_stage_seconds_count{stage=\"score\"}") == 1);
    ck_assert(exposition_value(out.p, "freshet_feature_freshness_seconds_count") == 0);
    ck_assert(exposition_value(
                  out.p, "freshet_negative_lags_total{metric=\"freshet_recommendation_freshness_seconds\"}") == 1);
    fr_buf_done(&out);
}
END_TEST

#define HEAD(name, type) "# HELP " name " h\n# TYPE " name " " type "\n"
static const struct {
    const char *text, *why;
} pages[] = {
    {HEAD("a_total", "counter") "a_total 1\n", NULL},
    {HEAD("a", "histogram") "a_bucket{le=\"1\"} 1\na_bucket{le=\"+Inf\"} 2\na_sum 3\na_count 2\n", NULL},
    {"", "no families"},
    {"a_total 1\n", "outside"},
    {"# HELP a_total h\na_total 1\n", "outside"},
    {HEAD("a_total", "counter") HEAD("a_total", "counter"), "twice"},
    {HEAD("a_total", "counter") "a_total 1\na_total 1\n", "twice"},
    {HEAD("a_total", "counter") "a_total{x=\"1\"} 1\na_total{x=\"1\"} 1\n", "twice"},
    {HEAD("a_total", "counter") HEAD("b", "gauge") "a_total 1\n", "outside"},
    {HEAD("a", "counter") "a 1\n", "_total"},
    {HEAD("a", "summary"), "type"},
    {HEAD("a", "gauge") "a{1x=\"1\"} 1\n", "labels"},
    {HEAD("a", "gauge") "a{x=\"\\q\"} 1\n", "label value"},
    {HEAD("a", "gauge") "a{x=\"1\" 1\n", "labels"},
    {HEAD("a", "gauge") "a nan\n", "value"},
    {HEAD("a", "gauge") "a\n", "value"},
    {HEAD("a", "gauge") "a 1", "line feed"},
    {HEAD("a_total", "counter") "a_total -1\n", "negative"},
    {HEAD("a_total", "counter") "a_total 0.5\n", "whole"},
    {HEAD("a", "histogram") "a_bucket{le=\"1\"} 1\na_sum 3\na_count 1\n", "+Inf"},
    {HEAD("a", "histogram") "a_bucket{le=\"1\"} 2\na_bucket{le=\"+Inf\"} 1\na_sum 3\na_count 1\n", "fall"},
    {HEAD("a", "histogram") "a_bucket{le=\"2\"} 1\na_bucket{le=\"1\"} 1\n", "rise"},
    {HEAD("a", "histogram") "a_bucket{le=\"+Inf\"} 2\na_sum 3\na_count 1\n", "_count"},
    {HEAD("a", "histogram") "a_bucket{le=\"+Inf\"} 2\na_count 2\n", "_sum"},
    {HEAD("a", "histogram") "a_bucket{le=\"+Inf\"} 0\na_sum 3\na_count 0\n", "of nothing"},
    {HEAD("a", "histogram") "a_bucket{s=\"x\",le=\"+Inf\"} 1\na_sum{s=\"y\"} 3\na_count{s=\"x\"} 1\n", "without"},
};

START_TEST(reader__each_mistake__found)
{
    bool ok = exposition_check(pages[_i].text, why, sizeof(why));

    ck_assert_msg(ok == (pages[_i].why == NULL), "%s", pages[_i].text);
    if (!ok)
        ck_assert_msg(strstr(why, pages[_i].why) != NULL, "%s: %s", pages[_i].text, why);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("daemon/metrics");
    TCase *tc = tcase_create("page");
    SRunner *sr;
    int failed;

    tcase_add_test(tc, render__two_shards__strict_page_with_sums);
    tcase_add_loop_test(tc, reader__each_mistake__found, 0, sizeof(pages) / sizeof(pages[0]));
    suite_add_tcase(s, tc);
    sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
