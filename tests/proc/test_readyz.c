/*
 * tests/proc/test_readyz.c - every condition of GET /readyz made false, and true again, on the real
 * daemon with a private Redis and a broker that fails on purpose. (A changed partition count: real
 * brokers only, tests/kafka/test_freshetd_topics.c, and tests/unit/test_pipeline_group.c.)
 * ctest: timeout 400
 */
#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/hash.h"
#include "tests/support/daemon_rig.h"
#include "tests/support/exposition.h"

#define API_FETCH 1
#define NOT_LEADER 6 /* Kafka's error code; clients look for the leader and fetch again */

static struct daemon_rig d;

static void setup(void)
{
    daemon_rig_init(&d, true);
}

static void teardown(void)
{
    daemon_rig_done(&d);
}

/* /readyz is 503, and of its conditions this one is false. */
static void expect_false(const char *condition, const char *reason, int64_t deadline_ms)
{
    char text[80];

    (void)snprintf(text, sizeof(text), "\"%s\":{\"ok\":false", condition);
    ck_assert_msg(daemon_get_until(&d, "/readyz", 503, text, deadline_ms), "%s was not false: %.*s\n%s", condition,
                  (int)d.body.n, d.body.p, daemon_log(&d));
    ck_assert_msg(strstr(d.body.p, reason) != NULL, "%s", d.body.p);
    ck_assert_ptr_nonnull(strstr(d.body.p, "\"ready\":false"));
    ck_assert_int_eq(daemon_get(&d, "/healthz"), 200); /* alive all the same */
}

static void expect_true(void)
{
    ck_assert_msg(daemon_get_until(&d, "/readyz", 200, "\"ready\":true", 60000), "%.*s\n%s", (int)d.body.n, d.body.p,
                  daemon_log(&d));
    ck_assert_msg(strstr(d.body.p, "\"ok\":false") == NULL, "%s", d.body.p);
}

START_TEST(models__before_they_are_loaded__false)
{
    char why[300];

    ck_assert(redis_server_stop(d.redis)); /* the daemon waits for it before it loads models */
    daemon_start(&d, NULL);
    daemon_wait_ports(&d);
    expect_false("models", "not loaded yet", 5000);
    ck_assert_int_eq(daemon_get(&d, "/v1/users/u1"), 503);
    ck_assert_int_eq(daemon_get(&d, "/metrics"), 200);
    ck_assert_msg(exposition_check(d.body.p, why, sizeof(why)), "%s", why);
    ck_assert(redis_server_restart(d.redis));
    expect_true();
}
END_TEST

START_TEST(items__while_the_topic_is_read__false)
{
    int errors[8];

    for (int i = 0; i < 8; i++)
        errors[i] = NOT_LEADER;
    daemon_catalogue(&d, 10);
    fr_kafka_embedded_fail(d.broker, API_FETCH, errors, 8);
    daemon_start(&d, NULL);
    daemon_wait_ports(&d);
    expect_false("items", "still being read", 10000);
    expect_true();
    ck_assert_int_eq(daemon_get(&d, "/metrics"), 200);
    ck_assert_ptr_nonnull(strstr(d.body.p, "freshet_catalogue_items 10\n"));
}
END_TEST

START_TEST(partitions__before_the_group_gives_them__false)
{
    daemon_start(&d, NULL);
    daemon_wait_ports(&d);
    expect_false("partitions", "has not given", 10000);
    expect_true();
}
END_TEST

static void set_meta(const char *field, const char *value)
{
    const char *argv[] = {"redis-cli", "-s", redis_server_socket(d.redis), "HSET", "freshet:{freshet:2}:meta",
                          field,       value, NULL};
    char out[200];

    ck_assert_msg(proc_run(argv, 10000, out, sizeof(out)) == 0, "%s", out);
}

START_TEST(partitions__one_is_refused__false_with_the_remedy)
{
    daemon_start(&d, NULL);
    daemon_wait_ready(&d);
    daemon_stop(&d);
    set_meta("R", "1000"); /* beyond the log's end */
    daemon_start(&d, NULL);
    daemon_wait_ports(&d);
    ck_assert_msg(daemon_get_until(&d, "/readyz", 503, "outside the log", 30000), "%s", d.body.p);
    expect_false("partitions", "start a new group", 1000);
    ck_assert_int_eq(daemon_get(&d, "/metrics"), 200);
    ck_assert_msg(strstr(d.body.p, "freshet_partitions{state=\"refused\"} 1\n") != NULL, "%s", d.body.p);
    set_meta("R", "0");
    expect_true();
}
END_TEST

START_TEST(kafka__no_broker_for_stalled_ms__false)
{
    static const char *const set[] = {"daemon.stalled_ms=300", NULL};

    daemon_start(&d, set);
    daemon_wait_ready(&d);
    ck_assert_int_eq(fr_kafka_embedded_broker_down(d.broker, 1), FR_OK);
    expect_false("kafka", "no broker has answered", 30000);
    ck_assert_int_eq(fr_kafka_embedded_broker_up(d.broker, 1), FR_OK);
    expect_true();
}
END_TEST

START_TEST(progress__redis_hangs_for_stalled_ms__false)
{
    static const char *const set[] = {"daemon.stalled_ms=300", "redis.command_timeout_ms=200", NULL};
    char lag[100];

    daemon_start(&d, set);
    daemon_wait_ready(&d);
    ck_assert(redis_server_freeze(d.redis)); /* no traffic: the idle check notices */
    expect_false("progress", "kept a lane waiting", 20000);
    ck_assert(redis_server_thaw(d.redis));
    expect_true();
    ck_assert(redis_server_freeze(d.redis));
    for (int i = 0; i < 500; i++) { /* more than a batch: the rest is not even taken from the queue */
        char id[16];
        (void)snprintf(id, sizeof(id), "e%d", i);
        daemon_click(&d, "u1", id, "i1");
    }
    daemon_flush(&d);
    expect_false("progress", "kept a lane waiting", 20000);
    (void)snprintf(lag, sizeof(lag), "freshet_input_lag_records{topic=\"events\",partition=\"%d\"} 500\n",
                   (int)fr_kafka_partition(fr_str_z("u1"), DAEMON_PARTITIONS));
    ck_assert_msg(daemon_get_until(&d, "/metrics", 200, lag, 20000), "%s", d.body.p);
    ck_assert(redis_server_thaw(d.redis));
    expect_true();
    *strstr(lag, " 500\n") = '\0';
    (void)snprintf(lag + strlen(lag), 4, " 0\n");
    ck_assert_msg(daemon_get_until(&d, "/metrics", 200, lag, 20000), "%s", d.body.p);
    (void)snprintf(lag, sizeof(lag), "freshet_input_lag_seconds{topic=\"events\",partition=\"%d\"} 0.000\n",
                   (int)fr_kafka_partition(fr_str_z("u1"), DAEMON_PARTITIONS));
    ck_assert_ptr_nonnull(strstr(d.body.p, lag)); /* no record waits: however old the newest one is */
    ck_assert(daemon_get_until(&d, "/v1/users/u1", 200, NULL, 20000)); /* nothing was lost */
}
END_TEST

/* A lane that hangs inside a call: Redis frozen, and a command timeout that never comes. */
static void hang(void)
{
    char watchdog[60];
    const char *set[] = {watchdog, "redis.command_timeout_ms=600000", NULL};

    (void)snprintf(watchdog, sizeof(watchdog), "lanes.watchdog_ms=%lld", (long long)proc_deadline_ms(2000));
    daemon_start(&d, set);
    daemon_wait_ready(&d);
    ck_assert(redis_server_freeze(d.redis));
    daemon_click(&d, "u1", "e1", "i1");
    daemon_flush(&d);
}

START_TEST(lanes__one_moves_nothing__false_and_true_when_it_moves_again)
{
    hang();
    ck_assert_int_eq(daemon_get(&d, "/v1/users/u1"), 503); /* HTTP does not hang with it */
    expect_false("lanes", "watchdog", 20000);
    ck_assert(redis_server_thaw(d.redis));
    expect_true();
    ck_assert(daemon_get_until(&d, "/v1/users/u1", 200, NULL, 20000));
}
END_TEST

START_TEST(lanes__one_moves_nothing_for_longer__the_process_ends)
{
    hang();
    ck_assert_int_eq(proc_wait(d.proc, 20000), 1);
    ck_assert_ptr_nonnull(strstr(daemon_log(&d), "stuck=true"));
    ck_assert(redis_server_thaw(d.redis));
    daemon_start(&d, NULL); /* whoever takes over has everything */
    daemon_wait_ready(&d);
    ck_assert(daemon_get_until(&d, "/v1/users/u1", 200, NULL, 20000));
}
END_TEST

START_TEST(running__draining__false_then_the_end)
{
    static const char *const set[] = {"redis.command_timeout_ms=20000", NULL};

    daemon_start(&d, set);
    daemon_wait_ready(&d);
    ck_assert(redis_server_freeze(d.redis)); /* its last writes take a while */
    daemon_click(&d, "u1", "e1", "i1");
    daemon_flush(&d);
    proc_pause_ms(1200); /* the idle check of every second has met the frozen server by now */
    (void)proc_signal(d.proc, SIGTERM);
    expect_false("running", "shutting down", 20000);
    ck_assert(redis_server_thaw(d.redis));
    ck_assert_int_eq(proc_wait(d.proc, 30000), 0);
}
END_TEST

START_TEST(shutdown__something_never_ends__within_the_timeout_all_the_same)
{
    static const char *const set[] = {"daemon.shutdown_timeout_ms=1000", "redis.command_timeout_ms=600000", NULL};

    daemon_start(&d, set);
    daemon_wait_ready(&d);
    ck_assert(redis_server_freeze(d.redis));
    daemon_click(&d, "u1", "e1", "i1");
    daemon_flush(&d);
    proc_pause_ms(1200); /* the idle check of every second has met the frozen server by now */
    (void)proc_signal(d.proc, SIGTERM);
    ck_assert_int_eq(proc_wait(d.proc, 5000), 1);
    ck_assert_ptr_nonnull(strstr(daemon_log(&d), "shutdown_timeout_ms"));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("freshetd/readyz");
    TCase *tc = tcase_create("conditions");
    SRunner *sr;
    int failed;

    if (!redis_server_available()) {
        printf("SKIP proc.readyz: no redis-server program\n");
        return 77;
    }
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 90);
    tcase_add_test(tc, models__before_they_are_loaded__false);
    tcase_add_test(tc, items__while_the_topic_is_read__false);
    tcase_add_test(tc, partitions__before_the_group_gives_them__false);
    tcase_add_test(tc, partitions__one_is_refused__false_with_the_remedy);
    tcase_add_test(tc, kafka__no_broker_for_stalled_ms__false);
    tcase_add_test(tc, progress__redis_hangs_for_stalled_ms__false);
    tcase_add_test(tc, lanes__one_moves_nothing__false_and_true_when_it_moves_again);
    tcase_add_test(tc, lanes__one_moves_nothing_for_longer__the_process_ends);
    tcase_add_test(tc, running__draining__false_then_the_end);
    tcase_add_test(tc, shutdown__something_never_ends__within_the_timeout_all_the_same);
    suite_add_tcase(s, tc);
    sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
