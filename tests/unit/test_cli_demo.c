/*
 * tests/unit/test_cli_demo.c - the parts of `freshet demo` that compute: figures read off /metrics, live
 * hit rates, latency percentiles, titles, cells of text.
 */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/cli/catalogue_titles.h"
#include "daemon/cli/demo_metrics.h"
#include "daemon/cli/demo_scores.h"
#include "daemon/cli/demo_view.h"
#include "daemon/cli/http_get.h"
#include "daemon/cli/latency.h"
#include "daemon/metrics.h"
#include "daemon/serve/http.h"

#define H "freshet_recommendation_freshness_seconds"

static const char exposition[] = "# HELP freshet_events_total Events\n# TYPE freshet_events_total counter\n"
                                 "freshet_events_total{result=\"applied\"} 90\n"
                                 "freshet_events_total{result=\"duplicate\"} 10\n"
                                 "freshet_events_total_more{result=\"x\"} 7\n"
                                 "freshet_items_total{result=\"upserted\"} 5\n" H "_bucket{le=\"0.001\"} 0\n" H
                                 "_bucket{le=\"0.002\"} 50\n" H "_bucket{le=\"0.004\"} 100\n" H
                                 "_bucket{le=\"+Inf\"} 100\n" H "_sum 1\n" H "_count 100\n";

START_TEST(metrics__sums_and_quantiles)
{
    struct fr_demo_metrics m, before;
    double v;

    ck_assert_int_eq(fr_demo_metrics_parse(fr_str_z(exposition), &m), FR_OK);
    ck_assert_uint_eq(m.events, 100);
    ck_assert_uint_eq(m.items, 5);
    ck_assert_int_eq(m.recommendation.n, 4);
    ck_assert_double_eq_tol(fr_demo_buckets_ms(&m.recommendation, NULL, 0.5), 2.0, 1e-12);
    ck_assert_double_eq_tol(fr_demo_buckets_ms(&m.recommendation, NULL, 0.75), 3.0, 1e-12);
    ck_assert_double_eq_tol(fr_demo_buckets_ms(&m.recommendation, NULL, 0.25), 1.5, 1e-12);
    ck_assert_double_eq_tol(fr_demo_buckets_mean_ms(&m.recommendation, NULL), 10.0, 1e-12);
    ck_assert(isnan(fr_demo_buckets_mean_ms(&m.recommendation, &m.recommendation)));
    before = m; /* all 50 of the second bucket were there before */
    before.recommendation.count[2] = before.recommendation.count[3] = 50;
    ck_assert_double_eq_tol(fr_demo_buckets_ms(&m.recommendation, &before.recommendation, 0.5), 3.0, 1e-12);
    ck_assert(isnan(fr_demo_buckets_ms(&m.recommendation, &m.recommendation, 0.5)));
    ck_assert(isnan(fr_demo_buckets_ms(&m.feature, NULL, 0.5)));
    ck_assert_int_eq(fr_demo_metrics_sum(fr_str_z(exposition), "absent", &v), FR_ENOTFOUND);
    ck_assert_int_eq(fr_demo_metrics_parse(FR_STR_LIT("<html>"), &m), FR_ECORRUPT);
}
END_TEST

/* What the daemon writes is what this reads: quantiles agree with the histogram's own. */
START_TEST(metrics__of_the_daemons_writer)
{
    static struct fr_metrics shard;
    struct fr_metrics *const shards[] = {&shard};
    struct fr_histogram_sum sum;
    struct fr_demo_metrics m;
    struct fr_buf out;

    fr_buf_init(&out);
    fr_count(&shard, FR_C_EVENTS_APPLIED, 3);
    fr_count(&shard, FR_C_ITEMS_DELETED, 2);
    for (int i = 1; i <= 1000; i++)
        fr_histogram_observe_us(&shard.h[FR_H_REC_FRESHNESS], i * 37);
    fr_metrics_render(shards, 1, &out);
    ck_assert_int_eq(fr_demo_metrics_parse(fr_buf_str(&out), &m), FR_OK);
    ck_assert_uint_eq(m.events, 3);
    ck_assert_uint_eq(m.items, 2);
    memset(&sum, 0, sizeof(sum));
    fr_histogram_add(&sum, &shard.h[FR_H_REC_FRESHNESS]);
    for (double q = 0.1; q < 0.95; q += 0.1) {
        ck_assert_double_eq_tol(fr_demo_buckets_ms(&m.recommendation, NULL, q),
                                fr_histogram_quantile(&sum, q) * 1000, 1e-6);
        ck_assert_double_eq_tol(fr_demo_buckets_ms(&m.recommendation, NULL, q), q * 37, q * 37 * 0.35);
    }
    fr_buf_done(&out);
}
END_TEST

static void hello(void *ctx, struct fr_str arg, struct fr_http_reply *reply)
{
    (void)ctx;
    reply->status = arg.n == 0 ? 200 : 404;
    fr_buf_puts(&reply->body, "hello\r\n\r\nthere");
}

START_TEST(http_get__status_and_body)
{
    static const struct fr_http_route routes[] = {{"/hello", hello}, {"/user/", hello}};
    struct fr_fault fault;
    struct fr_http *h;
    struct fr_buf body;
    char path[600];
    int status, port;

    fr_buf_init(&body);
    ck_assert_int_eq(fr_http_start("127.0.0.1", 0, routes, 2, NULL, &fault, &h), FR_OK);
    port = fr_http_port(h);
    ck_assert_int_eq(fr_http_get(port, "/hello", 5000, &status, &body), FR_OK);
    ck_assert_int_eq(status, 200);
    ck_assert(fr_str_eqz(fr_buf_str(&body), "hello\r\n\r\nthere"));
    ck_assert_int_eq(fr_http_get(port, "/user/9", 5000, &status, &body), FR_OK);
    ck_assert_int_eq(status, 404);
    memset(path, 'a', sizeof(path) - 1);
    path[0] = '/';
    path[sizeof(path) - 1] = '\0';
    ck_assert_int_eq(fr_http_get(port, path, 5000, &status, &body), FR_EINVAL);
    fr_http_stop(h);
    ck_assert_int_eq(fr_http_get(port, "/hello", 5000, &status, &body), FR_EIO);
    fr_buf_done(&body);
}
END_TEST

START_TEST(scores__next_item_in_newest_list)
{
    struct fr_demo_scores *s;
    struct fr_str items[2] = {FR_STR_LIT("a"), FR_STR_LIT("b")};
    uint64_t judged;
    double hit, popular;

    ck_assert_int_eq(fr_demo_scores_new(100, &s), FR_OK);
    for (int i = 0; i < 500; i++)
        ck_assert_int_eq(fr_demo_scores_used(s, FR_STR_LIT("hot")), FR_OK);
    fr_demo_scores_rates(s, &judged, &hit, &popular);
    ck_assert(judged == 0 && isnan(hit) && isnan(popular));
    ck_assert_int_eq(fr_demo_scores_event(s, FR_STR_LIT("u"), FR_STR_LIT("x")), FR_OK); /* first: no label */
    ck_assert_int_eq(fr_demo_scores_list(s, FR_STR_LIT("u"), items, 2), FR_OK);
    ck_assert_int_eq(fr_demo_scores_event(s, FR_STR_LIT("u"), FR_STR_LIT("b")), FR_OK); /* a hit */
    ck_assert_int_eq(fr_demo_scores_event(s, FR_STR_LIT("u"), FR_STR_LIT("a")), FR_OK); /* no new list: a miss */
    ck_assert_int_eq(fr_demo_scores_event(s, FR_STR_LIT("u"), FR_STR_LIT("hot")), FR_OK); /* popularity's */
    ck_assert_int_eq(fr_demo_scores_event(s, FR_STR_LIT("v"), FR_STR_LIT("hot")), FR_OK); /* another user's first */
    fr_demo_scores_rates(s, &judged, &hit, &popular);
    ck_assert_uint_eq(judged, 3);
    ck_assert_double_eq_tol(hit, 1.0 / 3, 1e-12);
    ck_assert_double_eq_tol(popular, 1.0 / 3, 1e-12);
    fr_demo_scores_free(s);
}
END_TEST

/* Decayed popularity against a naive recomputation over the whole past. */
START_TEST(scores__popularity_decays)
{
    enum { ITEMS = 60, EVENTS = 4001 };
    static double w[ITEMS];
    struct fr_demo_scores *s;
    struct fr_rng rng;
    char id[16];
    uint64_t judged = 0, before = 0;
    double hit, popular, hits_before = 0;

    fr_rng_seed(&rng, 5);
    ck_assert_int_eq(fr_demo_scores_new(50, &s), FR_OK);
    for (int i = 0; i < EVENTS; i++) {
        int item = (int)(fr_rng_below(&rng, 20) + (uint64_t)(i / 100)) % ITEMS;
        snprintf(id, sizeof(id), "i%d", item);
        for (int k = 0; k < ITEMS; k++)
            w[k] *= exp2(-1.0 / 50);
        w[item] += 1;
        ck_assert_int_eq(fr_demo_scores_used(s, fr_str_z(id)), FR_OK);
    }
    for (int k = 0; k < ITEMS; k++) { /* EVENTS % 100 == 1: the top list was made just now */
        int better = 0;
        bool was_hit;
        for (int j = 0; j < ITEMS; j++)
            better += w[j] > w[k];
        snprintf(id, sizeof(id), "i%d", k);
        ck_assert_int_eq(fr_demo_scores_event(s, FR_STR_LIT("u"), fr_str_z(id)), FR_OK);
        fr_demo_scores_rates(s, &judged, &hit, &popular);
        if (judged == 0)
            continue;
        was_hit = popular * (double)judged - hits_before > 0.5;
        ck_assert_uint_eq(judged, before + 1);
        ck_assert_int_eq(was_hit, better < FR_DEMO_LIST);
        before = judged;
        hits_before = popular * (double)judged;
    }
    ck_assert_uint_eq(judged, ITEMS - 1);
    fr_demo_scores_free(s);
}
END_TEST

START_TEST(latency__nearest_rank_and_bounded)
{
    static struct fr_latency l;

    fr_latency_init(&l, 1);
    ck_assert(isnan(fr_latency_ms(&l, 0.5)));
    for (int i = 100; i >= 1; i--)
        fr_latency_add(&l, i * 1000);
    ck_assert_double_eq_tol(fr_latency_ms(&l, 0.5), 50, 1e-12);
    ck_assert_double_eq_tol(fr_latency_ms(&l, 0.99), 99, 1e-12);
    ck_assert_double_eq_tol(fr_latency_ms(&l, 0), 1, 1e-12);
    ck_assert_double_eq_tol(fr_latency_ms(&l, 1), 100, 1e-12);
    fr_latency_init(&l, 1);
    for (int i = 0; i < 10 * FR_LATENCY_KEEP; i++)
        fr_latency_add(&l, i);
    ck_assert_double_eq_tol(fr_latency_ms(&l, 0.5), 10 * FR_LATENCY_KEEP / 2000.0, FR_LATENCY_KEEP * 10 * 0.02 / 1000);
}
END_TEST

START_TEST(titles__known_replaced_and_unknown)
{
    struct fr_titles *t;

    ck_assert_int_eq(fr_titles_new(&t), FR_OK);
    for (int i = 0; i < 3000; i++) {
        char id[16], title[32];
        snprintf(id, sizeof(id), "i%d", i);
        snprintf(title, sizeof(title), "Title %d", i);
        ck_assert_int_eq(fr_titles_put(t, fr_str_z(id), fr_str_z(title)), FR_OK);
    }
    ck_assert(fr_str_eqz(fr_titles_get(t, FR_STR_LIT("i2999")), "Title 2999"));
    ck_assert(fr_str_eqz(fr_titles_get(t, FR_STR_LIT("i0")), "Title 0"));
    ck_assert_int_eq(fr_titles_put(t, FR_STR_LIT("i0"), FR_STR_LIT("New")), FR_OK);
    ck_assert(fr_str_eqz(fr_titles_get(t, FR_STR_LIT("i0")), "New"));
    ck_assert_int_eq(fr_titles_put(t, FR_STR_LIT("i1"), FR_STR_LIT("")), FR_OK);
    ck_assert(fr_str_eqz(fr_titles_get(t, FR_STR_LIT("i1")), "i1"));
    ck_assert(fr_str_eqz(fr_titles_get(t, FR_STR_LIT("other")), "other"));
    ck_assert_int_eq(fr_titles_put(t, FR_STR_LIT(""), FR_STR_LIT("x")), FR_EINVAL);
    fr_titles_free(t);
}
END_TEST

START_TEST(view_text__hostile_titles)
{
    char cell[FR_DEMO_TEXT], wide[200];

    fr_demo_view_text(cell, FR_STR_LIT("a\033[2Jb\nc\x7f"));
    ck_assert_str_eq(cell, "a[2Jbc");
    for (size_t shift = 0; shift < 3; shift++) { /* cut in a three-byte character, at each of its bytes */
        memset(wide, 'x', shift);
        for (size_t i = 0; i < 50; i++)
            memcpy(wide + shift + 3 * i, "\xe2\x82\xac", 3);
        fr_demo_view_text(cell, (struct fr_str){wide, shift + 150});
        ck_assert(strlen(cell) < FR_DEMO_TEXT && strlen(cell) >= FR_DEMO_TEXT - 6);
        ck_assert_uint_eq((strlen(cell) - shift) % 3, 0);
    }
    fr_demo_view_text(cell, FR_STR_LIT(""));
    ck_assert_str_eq(cell, "");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("cli/demo");
    TCase *t = tcase_create("all");
    SRunner *r;
    int failed;

    tcase_set_timeout(t, 30);
    tcase_add_test(t, metrics__sums_and_quantiles);
    tcase_add_test(t, metrics__of_the_daemons_writer);
    tcase_add_test(t, http_get__status_and_body);
    tcase_add_test(t, scores__next_item_in_newest_list);
    tcase_add_test(t, scores__popularity_decays);
    tcase_add_test(t, latency__nearest_rank_and_bounded);
    tcase_add_test(t, titles__known_replaced_and_unknown);
    tcase_add_test(t, view_text__hostile_titles);
    suite_add_tcase(s, t);
    r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? 0 : 1;
}
