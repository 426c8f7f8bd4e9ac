/*
 * tests/kafka/test_freshetd_topics.c - topics that are not as they should be, on a real broker: partitions
 * added while the daemon runs stop its reading, /readyz says why and what to do, a restart refuses with
 * the same remedy; `freshet doctor` names missing topics, wrong policies and unequal counts. (The embedded
 * broker creates what is asked for and tells no policy.)
 * ctest: labels proc
 * ctest: timeout 120
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <librdkafka/rdkafka.h>

#include "daemon/stream/kafka_topics.h"
#include "tests/support/daemon_rig.h"
#include "tests/support/kafka_server.h"

static struct daemon_rig d;
static char prefix_set[80], group_set[80];

static void setup(void)
{
    struct fr_topic_spec specs[FR_TOPIC_COUNT];
    struct fr_topic_report reports[FR_TOPIC_COUNT];
    struct fr_fault fault = {FR_OK, NULL, 0, ""};
    struct fr_kafka_conn conn = {.brokers = kafka_server_shared()};
    char unique[62], prefix[64];
    int n;

    daemon_rig_init(&d, false);
    kafka_server_unique("pc", unique, sizeof(unique));
    (void)snprintf(prefix, sizeof(prefix), "%s.", unique);
    (void)snprintf(prefix_set, sizeof(prefix_set), "topics.prefix=%s", prefix);
    (void)snprintf(group_set, sizeof(group_set), "kafka.group=%s", unique);
    ck_assert_int_eq(fr_topic_names_init(&d.names, prefix), FR_OK);
    n = fr_kafka_topics_default(&d.names, DAEMON_PARTITIONS, 1, specs);
    ck_assert_msg(fr_kafka_topics_ensure(&conn, specs, n, true, 30000, reports, &fault) == FR_OK, "%s", fault.msg);
}

static void teardown(void)
{
    daemon_rig_done(&d);
}

/* The last word on kafka.brokers is ours. */
static void start(void)
{
    char brokers[300];
    const char *set[] = {brokers, prefix_set, group_set, NULL};

    (void)snprintf(brokers, sizeof(brokers), "kafka.brokers=%s", kafka_server_shared());
    daemon_start(&d, set);
}

static void add_partition(enum fr_topic_role role)
{
    char text[200];
    rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_PRODUCER, NULL, text, sizeof(text));
    rd_kafka_queue_t *q;
    rd_kafka_NewPartitions_t *np;
    rd_kafka_event_t *ev;

    ck_assert_ptr_nonnull(rk);
    ck_assert_int_gt(rd_kafka_brokers_add(rk, kafka_server_shared()), 0);
    q = rd_kafka_queue_new(rk);
    np = rd_kafka_NewPartitions_new(d.names.name[role], DAEMON_PARTITIONS + 1, text, sizeof(text));
    ck_assert_ptr_nonnull(np);
    rd_kafka_CreatePartitions(rk, &np, 1, NULL, q);
    ev = rd_kafka_queue_poll(q, (int)proc_deadline_ms(20000));
    ck_assert_ptr_nonnull(ev);
    ck_assert_int_eq(rd_kafka_event_error(ev), RD_KAFKA_RESP_ERR_NO_ERROR);
    rd_kafka_event_destroy(ev);
    rd_kafka_NewPartitions_destroy(np);
    rd_kafka_queue_destroy(q);
    rd_kafka_destroy(rk);
}

START_TEST(partition_count__grows__reading_stops_with_the_remedy)
{
    start();
    ck_assert(proc_wait_text(d.proc, 2, "http_port=", 30000));
    d.http_port = (int)strtol(strstr(daemon_log(&d), "http_port=") + 10, NULL, 10);
    ck_assert_msg(daemon_get_until(&d, "/readyz", 200, NULL, 60000), "%s\n%s", d.body.p, daemon_log(&d));
    add_partition(FR_TOPIC_EVENTS);
    ck_assert_msg(daemon_get_until(&d, "/readyz", 503, "they must be equal", 30000), "%s\n%s", d.body.p,
                  daemon_log(&d));
    ck_assert(daemon_get_until(&d, "/metrics", 200, "freshet_partitions{state=\"open\"} 0\n", 30000));
    add_partition(FR_TOPIC_REQUESTS);
    ck_assert(proc_running(d.proc)); /* it stays, to say why */
    ck_assert_int_eq(daemon_get(&d, "/healthz"), 200);
    daemon_stop(&d);
    start();
    int status = proc_wait(d.proc, 30000);
    ck_assert_msg(status == 1, "status %d\n%s", status, daemon_log(&d));
    ck_assert_msg(strstr(daemon_log(&d), "5") != NULL && strstr(daemon_log(&d), "group") != NULL, "%s", daemon_log(&d));
}
END_TEST

/* One event in a transaction: its marker stays at the log's end and is delivered to nobody. */
static void transaction(void)
{
    static const char value[] = "{\"event_id\":\"t1\",\"type\":\"click\",\"user_id\":\"u1\",\"item_id\":\"i1\"}";
    char text[300];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_t *rk;

    ck_assert_int_eq(rd_kafka_conf_set(conf, "bootstrap.servers", kafka_server_shared(), text, sizeof(text)), RD_KAFKA_CONF_OK);
    ck_assert_int_eq(rd_kafka_conf_set(conf, "transactional.id", d.names.name[0], text, sizeof(text)), RD_KAFKA_CONF_OK);
    ck_assert_int_eq(rd_kafka_conf_set(conf, "partitioner", "murmur2_random", text, sizeof(text)), RD_KAFKA_CONF_OK);
    rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof(text));
    ck_assert_ptr_nonnull(rk);
    ck_assert_ptr_null(rd_kafka_init_transactions(rk, (int)proc_deadline_ms(30000)));
    ck_assert_ptr_null(rd_kafka_begin_transaction(rk));
    ck_assert_int_eq(rd_kafka_producev(rk, RD_KAFKA_V_TOPIC(d.names.name[FR_TOPIC_EVENTS]), RD_KAFKA_V_KEY("u1", (size_t)2),
                                       RD_KAFKA_V_VALUE((void *)(uintptr_t)value, sizeof(value) - 1),
                                       RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END),
                     RD_KAFKA_RESP_ERR_NO_ERROR);
    ck_assert_ptr_null(rd_kafka_commit_transaction(rk, (int)proc_deadline_ms(30000)));
    rd_kafka_destroy(rk);
}

START_TEST(watchdog__a_marker_ends_the_log__rejoins_once_and_lives)
{
    char brokers[300];
    const char *set[] = {brokers, prefix_set, group_set, "lanes.watchdog_ms=1000", NULL};
    const char *first;

    (void)snprintf(brokers, sizeof(brokers), "kafka.brokers=%s", kafka_server_shared());
    daemon_start(&d, set);
    ck_assert(proc_wait_text(d.proc, 2, "http_port=", 30000));
    d.http_port = (int)strtol(strstr(daemon_log(&d), "http_port=") + 10, NULL, 10);
    ck_assert(daemon_get_until(&d, "/readyz", 200, NULL, 60000));
    transaction();
    ck_assert(daemon_get_until(&d, "/v1/users/u1", 200, NULL, 20000));
    ck_assert_msg(proc_wait_text(d.proc, 2, "delivered=nothing", 20000), "%s", daemon_log(&d));
    ck_assert(daemon_get_until(&d, "/readyz", 200, NULL, 20000));
    for (int i = 0; i < 40; i++) { /* more than twice the watchdog's time */
        ck_assert(proc_running(d.proc));
        proc_pause_ms(100);
    }
    first = strstr(daemon_log(&d), "delivered=nothing");
    ck_assert_msg(strstr(first + 1, "delivered=nothing") == NULL, "%s", daemon_log(&d));
    ck_assert_int_eq(daemon_get(&d, "/readyz"), 200);
    daemon_stop(&d);
}
END_TEST

/* Run `freshet doctor` with one more setting. */
static int doctor(const char *set, char *out, size_t cap)
{
    char brokers[300], redis[340];
    const char *argv[] = {FR_BUILD_DIR "/freshet", "doctor",   "--set", brokers,   "--set", redis,
                          "--set",                 prefix_set, "--set", group_set, "--set", set, NULL};

    (void)snprintf(brokers, sizeof(brokers), "kafka.brokers=%s", kafka_server_shared());
    (void)snprintf(redis, sizeof(redis), "redis.address=%s", d.redis_address);
    return proc_run(argv, 60000, out, cap);
}

START_TEST(doctor__missing_wrong_policy_and_unequal__each_with_its_remedy)
{
    static char out[20000];
    char set[200];

    ck_assert_msg(doctor("topics.partitions=4", out, sizeof(out)) == 0, "%s", out);
    ck_assert_int_eq(doctor("topics.events=other", out, sizeof(out)), 1);
    ck_assert_msg(strstr(out, "other: does not exist") != NULL && strstr(out, "-> freshet topics create") != NULL, "%s",
                  out);
    ck_assert_int_eq(doctor("topics.items=examples", out, sizeof(out)), 1); /* not compacted */
    ck_assert_msg(strstr(out, "cleanup.policy is delete, wanted compact") != NULL && strstr(out, "kafka-configs.sh") != NULL,
                  "%s", out);
    add_partition(FR_TOPIC_EVENTS);
    (void)snprintf(set, sizeof(set), "topics.partitions=%d", DAEMON_PARTITIONS);
    for (int64_t end = proc_now_ms() + proc_deadline_ms(20000); doctor(set, out, sizeof(out)) == 0;) {
        ck_assert_msg(proc_now_ms() < end, "%s", out);
        proc_pause_ms(50); /* the broker tells of new partitions a moment later */
    }
    ck_assert_msg(strstr(out, "has 5, ") != NULL && strstr(out, "--partitions 5") != NULL, "%s", out);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("freshetd/topics");
    TCase *tc = tcase_create("kafka");
    SRunner *sr;
    int failed, rc = kafka_server_require("kafka.freshetd_topics");

    if (rc != 0)
        return rc;
    if (!redis_server_available()) {
        printf("SKIP kafka.freshetd_topics: no redis-server program\n");
        return 77;
    }
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 100);
    tcase_add_test(tc, partition_count__grows__reading_stops_with_the_remedy);
    tcase_add_test(tc, doctor__missing_wrong_policy_and_unequal__each_with_its_remedy);
    tcase_add_test(tc, watchdog__a_marker_ends_the_log__rejoins_once_and_lives);
    suite_add_tcase(s, tc);
    sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
