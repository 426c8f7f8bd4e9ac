/*
 * tests/proc/test_freshetd_embedded.c - the real daemon with its embedded broker: other processes are
 * its clients, clicks become recommendations, nothing stays behind.
 */
#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/arena.h"
#include "daemon/stream/recommendation_codec.h"
#include "tests/support/daemon_rig.h"
#include "tests/support/exposition.h"

#define USERS 20

static struct daemon_rig d;

static void setup(void)
{
    daemon_rig_init(&d, false);
}

static void teardown(void)
{
    daemon_rig_done(&d);
}

static struct fr_arena *ar;
static int bad_lists;

static void look_at_list(void *ctx, const struct fr_record *rec)
{
    struct fr_recommendation r;
    struct fr_codec_error ce;

    (void)ctx;
    if (fr_recommendation_decode(ar, rec->value, &r, &ce) != FR_OK || r.n_items == 0 ||
        !fr_str_eq(rec->key, r.user_id) || r.ts_emitted < r.ts_received)
        bad_lists++;
}

static void clicks(const char *round)
{
    for (int i = 0; i < USERS; i++) {
        char user[16], id[32], item[16];
        (void)snprintf(user, sizeof(user), "u%d", i);
        (void)snprintf(id, sizeof(id), "%s-%d", round, i);
        (void)snprintf(item, sizeof(item), "i%d", i % 10);
        daemon_click(&d, user, id, item);
    }
    daemon_flush(&d);
}

/* Ids that are no user's, and no path, key or pattern either. */
static void hostile_ids(void)
{
    static const struct {
        const char *path;
        int status;
    } ids[] = {
        {"/v1/users/nobody", 404},       {"/v1/users/*", 404},
        {"/v1/users/%2e%2e%2fu3", 404},  {"/v1/users/u3%0d%0aFLUSHALL", 404},
        {"/v1/users/u3%20", 404},        {"/v1/users/%7Bfreshet:0%7D:meta", 404},
        {"/v1/users/%25s%25n%25n", 404}, {"/v1/users/%ff%fe", 400},
        {"/v1/users/", 400},             {"/v1/users/u%33", 200},
    };

    for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++)
        ck_assert_msg(daemon_get(&d, ids[i].path) == ids[i].status, "%s: %s", ids[i].path, d.body.p);
}

/* /metrics by the strict reader, with what the issue names. */
static void whole_page(void)
{
    static const char *const samples[] = {
        "freshet_recommendation_freshness_seconds_count",
        "freshet_feature_freshness_seconds_count",
        "freshet_item_freshness_seconds_count",
        "freshet_stage_seconds_count{stage=\"ingest\"}",
        "freshet_stage_seconds_count{stage=\"features\"}",
        "freshet_stage_seconds_count{stage=\"embed\"}",
        "freshet_stage_seconds_count{stage=\"candidates\"}",
        "freshet_stage_seconds_count{stage=\"score\"}",
        "freshet_stage_seconds_count{stage=\"emit\"}",
        "freshet_events_total{result=\"applied\"}",
        "freshet_recommendations_total{source=\"event\"}",
        "freshet_dead_letters_total{reason=\"syntax\"}",
        "freshet_partitions{state=\"open\"}",
    };
    char why[300];

    daemon_produce(&d, FR_TOPIC_EVENTS, "u1", "{not json");
    daemon_flush(&d);
    ck_assert_msg(daemon_get_until(&d, "/metrics", 200, "freshet_dead_letters_total{reason=\"syntax\"} 1\n", 20000), "%s",
                  d.body.p);
    ck_assert_msg(exposition_check(d.body.p, why, sizeof(why)), "%s\n%s", why, d.body.p);
    for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++)
        ck_assert_msg(exposition_value(d.body.p, samples[i]) > 0, "%s\n%s", samples[i], d.body.p);
    for (int p = 0; p < DAEMON_PARTITIONS; p++) {
        char name[100];
        (void)snprintf(name, sizeof(name), "freshet_input_lag_records{topic=\"events\",partition=\"%d\"}", p);
        ck_assert_msg(exposition_value(d.body.p, name) >= 0, "%s\n%s", name, d.body.p);
        (void)snprintf(name, sizeof(name), "freshet_input_lag_seconds{topic=\"events\",partition=\"%d\"}", p);
        ck_assert_msg(exposition_value(d.body.p, name) >= 0, "%s\n%s", name, d.body.p);
    }
}

START_TEST(embedded__clicks_of_another_process__recommendations_then_clean_end)
{
    static const char *const set[] = {"recommend.repeat=allow", NULL};
    uint16_t port;

    daemon_start(&d, set);
    daemon_wait_ready(&d);
    ck_assert_ptr_nonnull(strstr(daemon_log(&d), "for trying out"));
    ck_assert_int_eq(strncmp(d.brokers, "127.0.0.1:", 10), 0);
    daemon_catalogue(&d, 30);
    ck_assert(daemon_get_until(&d, "/metrics", 200, "freshet_catalogue_items 30\n", 30000));
    clicks("a");
    ck_assert_msg(daemon_read_until(&d, FR_TOPIC_RECOMMENDATIONS, USERS, 30000), "%s", daemon_log(&d));
    ck_assert_int_eq(fr_arena_new(1 << 16, 0, &ar), FR_OK);
    (void)daemon_read(&d, FR_TOPIC_RECOMMENDATIONS, look_at_list, NULL);
    fr_arena_free(ar);
    ck_assert_int_eq(bad_lists, 0);
    ck_assert_int_eq(daemon_get(&d, "/v1/users/u3"), 200);
    hostile_ids();
    whole_page();
    port = (uint16_t)strtol(d.brokers + 10, NULL, 10);
    ck_assert(proc_wait_port(port, 1000));
    daemon_stop(&d);
    ck_assert(!proc_wait_port(port, 50));
    ck_assert(!proc_wait_port((uint16_t)d.http_port, 50));
}
END_TEST

START_TEST(embedded__sigint__ends_with_0)
{
    daemon_start(&d, NULL);
    daemon_wait_ports(&d); /* before the group has given anything */
    (void)proc_signal(d.proc, SIGINT);
    ck_assert_int_eq(proc_wait(d.proc, 30000), 0);
}
END_TEST

START_TEST(embedded__redis_of_an_older_log__refused_with_the_remedy)
{
    static const char *const other[] = {"kafka.group=another", NULL};

    daemon_start(&d, NULL);
    daemon_wait_ready(&d);
    daemon_catalogue(&d, 5);
    clicks("a");
    ck_assert(daemon_get_until(&d, "/v1/users/u3", 200, NULL, 30000));
    (void)proc_signal(d.proc, SIGKILL); /* its log is gone, Redis is not */
    daemon_start(&d, NULL);
    ck_assert_int_eq(proc_wait(d.proc, 30000), 1);
    ck_assert_msg(strstr(daemon_log(&d), "older embedded log") != NULL && strstr(daemon_log(&d), "kafka.group") != NULL,
                  "%s", daemon_log(&d));
    ck_assert_msg(strstr(daemon_log(&d), "embedded_brokers=") == NULL, "%s", daemon_log(&d));
    daemon_start(&d, other);
    daemon_wait_ready(&d);
    daemon_stop(&d);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("freshetd/embedded");
    TCase *tc = tcase_create("proc");
    SRunner *sr;
    int failed;

    if (!redis_server_available()) {
        printf("SKIP proc.freshetd_embedded: no redis-server program\n");
        return 77;
    }
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, embedded__clicks_of_another_process__recommendations_then_clean_end);
    tcase_add_test(tc, embedded__sigint__ends_with_0);
    tcase_add_test(tc, embedded__redis_of_an_older_log__refused_with_the_remedy);
    suite_add_tcase(s, tc);
    sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
