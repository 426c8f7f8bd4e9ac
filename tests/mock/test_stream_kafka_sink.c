/* The producer against the mock cluster: acknowledgements, retries, permanent errors, a full queue,
 * a broker that goes and comes back, a fatal error. */
#include "daemon/stream/kafka_sink.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/alloc.h"
#include "daemon/base/hash.h"
#include "daemon/stream/kafka_log_reader.h"
#include "tests/support/stream_rig.h"

/* Kafka protocol numbers */
#define API_PRODUCE 0
#define ERR_NOT_LEADER 6
#define ERR_MSG_TOO_LARGE 10
#define ERR_KAFKA_STORAGE 56
#define ERR_TRANSPORT (-195) /* librdkafka's own: disconnect */

static struct fr_kafka_embedded *broker;
static struct rig_acks acks;
static struct fr_topic_names names;

/* Checked fixture: Check forks per test, and a cluster made in the parent would ignore scripted
 * errors. */
static void set_up(void)
{
    struct fr_fault fault = {0};
    memset(&acks, 0, sizeof acks);
    names = rig_names("");
    ck_assert_msg(fr_kafka_embedded_new(1, &broker, &fault) == FR_OK, "%s", fault.msg);
    for (int r = 0; r < FR_TOPIC_COUNT; r++)
        ck_assert_int_eq(fr_kafka_embedded_create_topic(broker, names.name[r], 4), FR_OK);
}

static void tear_down(void)
{
    fr_kafka_embedded_free(broker);
    broker = NULL;
}

static struct fr_sink *sink(void)
{
    return rig_sink(fr_kafka_embedded_brokers(broker), &names, &acks);
}

static struct fr_log_reader *reader(const char *topic)
{
    struct fr_kafka_log_reader_opts o = {
        .conn = {.brokers = fr_kafka_embedded_brokers(broker)},
        .topic = topic,
        .role = FR_TOPIC_EVENTS,
        .fetch_wait_max_ms = FR_KAFKA_EMBEDDED_FETCH_WAIT_MS,
        .fetch_error_backoff_ms = FR_KAFKA_EMBEDDED_FETCH_BACKOFF_MS,
    };
    struct fr_log_reader *lr = NULL;
    struct fr_fault fault = {0};
    ck_assert_msg(fr_kafka_log_reader_new(&o, &lr, &fault) == FR_OK, "%s", fault.msg);
    return lr;
}

/* How many records the topic holds, and how often each "n" of rig_produce. */
static int count_log(const char *topic, int *times, int max)
{
    struct fr_log_reader *lr = reader(topic);
    int total = 0;
    int64_t deadline = rig_now_ms() + rig_ms(15000);
    while (!fr_log_reader_caught_up(lr) && rig_now_ms() < deadline) {
        struct fr_record rec;
        if (fr_log_reader_poll(lr, 100, &rec) != FR_OK)
            continue;
        int n = -1;
        char text[32];
        snprintf(text, sizeof text, "%.*s", FR_STR_ARG(rec.value));
        if (sscanf(text, "{\"n\":%d}", &n) == 1 && n >= 0 && n < max)
            times[n]++;
        total++;
        fr_log_reader_release(lr, &rec);
    }
    ck_assert(fr_log_reader_caught_up(lr));
    fr_log_reader_free(lr);
    return total;
}

START_TEST(produce__headers_key_time_and_null__arrive_unchanged)
{
    struct fr_sink *sk = sink();
    struct fr_header h[] = {{"schema", FR_STR_LIT("freshet.recommendation.v1")},
                            {"empty", FR_STR_LIT("")},
                            {"null", {NULL, 0}}};
    struct fr_outgoing full = {.role = FR_TOPIC_RECOMMENDATIONS,
                               .partition = FR_PARTITION_BY_KEY,
                               .key = FR_STR_LIT("u42"),
                               .value = FR_STR_LIT("{\"a\":1}"),
                               .headers = h,
                               .n_headers = 3,
                               .ts_ms = 1700000000123,
                               .cookie = UINT64_MAX};
    struct fr_outgoing tombstone = {.role = FR_TOPIC_RECOMMENDATIONS,
                                    .partition = 2,
                                    .key = FR_STR_LIT(""),
                                    .value = {NULL, 0},
                                    .cookie = 7};
    ck_assert_int_eq(fr_sink_produce(sk, &full), FR_OK);
    ck_assert_int_eq(fr_sink_produce(sk, &tombstone), FR_OK);
    ck_assert_uint_eq(fr_sink_in_flight(sk), 2);
    ck_assert_int_eq(fr_sink_flush(sk, rig_ms(10000)), FR_OK);
    ck_assert_int_eq(acks.ok, 2);
    for (int i = 0; i < 2; i++)
        if (acks.a[i].cookie == UINT64_MAX)
            ck_assert_int_eq(acks.a[i].partition, fr_kafka_partition(FR_STR_LIT("u42"), 4));
        else
            ck_assert_int_eq(acks.a[i].partition, 2);
    fr_sink_free(sk);

    struct fr_log_reader *lr = reader(names.name[FR_TOPIC_RECOMMENDATIONS]);
    int seen = 0;
    while (seen < 2) {
        struct fr_record rec;
        enum fr_err e = fr_log_reader_poll(lr, rig_ms(5000), &rec);
        ck_assert_int_eq(e, FR_OK);
        if (rec.value.p == NULL) {
            ck_assert(rec.key.p != NULL && rec.key.n == 0);
            struct fr_header out;
            ck_assert_int_eq(fr_log_reader_header(lr, &rec, 0, &out), FR_ENOTFOUND);
        } else {
            struct fr_header out;
            ck_assert(fr_str_eqz(rec.key, "u42"));
            ck_assert(fr_str_eqz(rec.value, "{\"a\":1}"));
            ck_assert_int_eq(rec.ts_ms, 1700000000123);
            ck_assert_int_eq(fr_log_reader_header(lr, &rec, 0, &out), FR_OK);
            ck_assert_str_eq(out.name, "schema");
            ck_assert(fr_str_eqz(out.value, "freshet.recommendation.v1"));
            ck_assert_int_eq(fr_log_reader_header(lr, &rec, 1, &out), FR_OK);
            ck_assert(out.value.p != NULL && out.value.n == 0);
            ck_assert_int_eq(fr_log_reader_header(lr, &rec, 2, &out), FR_OK);
            ck_assert(out.value.p == NULL);
            ck_assert_int_eq(fr_log_reader_header(lr, &rec, 3, &out), FR_ENOTFOUND);
        }
        fr_log_reader_release(lr, &rec);
        seen++;
    }
    fr_log_reader_free(lr);
}
END_TEST

/* KAFKA_STORAGE_ERROR is counted as a retry by librdkafka; NOT_LEADER is not; both end well. */
static const struct {
    int err[3];
    int n;
} PASSING[] = {
    {{ERR_KAFKA_STORAGE, ERR_KAFKA_STORAGE, ERR_KAFKA_STORAGE}, 3},
    {{ERR_NOT_LEADER, ERR_NOT_LEADER, ERR_NOT_LEADER}, 3},
    {{ERR_TRANSPORT, ERR_KAFKA_STORAGE, ERR_TRANSPORT}, 3},
};

START_TEST(produce__passing_errors__every_record_once)
{
    struct fr_sink *sk = sink();
    int times[50] = {0};
    fr_kafka_embedded_fail(broker, API_PRODUCE, PASSING[_i].err, PASSING[_i].n);
    ck_assert_int_eq(rig_produce(sk, &acks, 1, 50, 0), 50);
    ck_assert_int_eq(acks.failed, 0);
    fr_sink_free(sk);
    ck_assert_int_eq(count_log("events", times, 50), 50);
    for (int i = 0; i < 50; i++)
        ck_assert_int_eq(times[i], 1);
}
END_TEST

START_TEST(produce__broker_says_too_large__permanent_for_these_only)
{
    struct fr_sink *sk = sink();
    int err = ERR_MSG_TOO_LARGE;
    ck_assert_int_eq(rig_produce(sk, &acks, 1, 1, 0), 1);
    fr_kafka_embedded_fail(broker, API_PRODUCE, &err, 1);
    struct fr_outgoing msg = {
        .role = FR_TOPIC_EVENTS, .partition = 1, .value = FR_STR_LIT("x"), .cookie = 99};
    ck_assert_int_eq(fr_sink_produce(sk, &msg), FR_OK);
    ck_assert_int_eq(fr_sink_flush(sk, rig_ms(20000)), FR_OK);
    ck_assert_int_eq(acks.failed, 1);
    ck_assert_uint_eq(acks.a[1].cookie, 99);
    ck_assert_int_eq(acks.a[1].err, FR_ETOOLARGE);
    ck_assert(!fr_err_retriable(acks.a[1].err));
    /* and the sink goes on, whether or not its producer had to be replaced */
    for (int tries = 0; tries < 50 && acks.ok < 2; tries++) {
        enum fr_err e = fr_sink_produce(sk, &msg);
        if (e == FR_OK)
            ck_assert_int_eq(fr_sink_flush(sk, rig_ms(20000)), FR_OK);
        else
            fr_sink_poll(sk, 100);
    }
    ck_assert_int_eq(acks.ok, 2);
    fr_sink_free(sk);
}
END_TEST

START_TEST(produce__larger_than_message_max__refused_at_once)
{
    struct fr_sink *sk = sink();
    size_t n = 1200000;
    char *big = fr_calloc(n, 1);
    ck_assert_ptr_nonnull(big);
    memset(big, 'x', n);
    struct fr_outgoing msg = {.role = FR_TOPIC_EVENTS, .partition = 0, .value = {big, n}};
    ck_assert_int_eq(fr_sink_produce(sk, &msg), FR_ETOOLARGE);
    ck_assert_uint_eq(fr_sink_in_flight(sk), 0);
    ck_assert_int_eq(rig_produce(sk, &acks, 0, 3, 0), 3);
    fr_free(big);
    fr_sink_free(sk);
}
END_TEST

START_TEST(produce__queue_of_five_and_slow_broker__full_and_nothing_lost)
{
    struct fr_kafka_sink_opts o = {.conn = {.brokers = fr_kafka_embedded_brokers(broker)},
                                   .names = &names,
                                   .queue_max_messages = 5,
                                   .ack = rig_ack,
                                   .ack_ctx = &acks};
    struct fr_sink *sk = NULL;
    ck_assert_int_eq(fr_kafka_sink_new(&o, &sk, NULL), FR_OK);
    ck_assert_int_eq(fr_kafka_embedded_broker_rtt(broker, 1, 50), FR_OK);
    int full = 0, times[40] = {0};
    for (int i = 0; i < 40; i++) {
        char value[32];
        snprintf(value, sizeof value, "{\"n\":%d}", i);
        struct fr_outgoing msg = {.role = FR_TOPIC_EVENTS,
                                  .partition = 0,
                                  .value = fr_str_z(value),
                                  .cookie = (uint64_t)i};
        enum fr_err e;
        while ((e = fr_sink_produce(sk, &msg)) == FR_EFULL) {
            full++;
            fr_sink_poll(sk, 100);
        }
        ck_assert_int_eq(e, FR_OK);
        ck_assert_uint_le(fr_sink_in_flight(sk), 5);
    }
    ck_assert_int_eq(fr_sink_flush(sk, rig_ms(20000)), FR_OK);
    struct fr_sink_stats st;
    fr_sink_stats(sk, &st);
    ck_assert_int_gt(full, 0);
    ck_assert_uint_eq(st.full, (uint64_t)full);
    ck_assert_uint_eq(st.acked, 40);
    fr_sink_free(sk);
    ck_assert_int_eq(count_log("events", times, 40), 40);
    for (int i = 0; i < 40; i++) { /* in-flight 1: a partition keeps the order, acks too */
        ck_assert_int_eq(times[i], 1);
        ck_assert_uint_eq(acks.a[i].cookie, (uint64_t)i);
        ck_assert_int_eq(acks.a[i].offset, i);
    }
}
END_TEST

START_TEST(broker__down_then_up__flush_times_out_then_all_arrive)
{
    struct fr_sink *sk = sink();
    int times[20] = {0};
    ck_assert_int_eq(rig_produce(sk, &acks, 0, 1, 1000), 1);
    ck_assert_int_eq(fr_kafka_embedded_broker_down(broker, 1), FR_OK);
    for (int i = 0; i < 20; i++) {
        char value[32];
        snprintf(value, sizeof value, "{\"n\":%d}", i);
        struct fr_outgoing msg = {.role = FR_TOPIC_EVENTS,
                                  .partition = 0,
                                  .value = fr_str_z(value),
                                  .cookie = (uint64_t)i};
        ck_assert_int_eq(fr_sink_produce(sk, &msg), FR_OK);
    }
    ck_assert_int_eq(fr_sink_flush(sk, 1500), FR_ETIMEOUT);
    struct fr_sink_stats st;
    fr_sink_stats(sk, &st);
    ck_assert(st.broker_down);
    ck_assert_int_eq(acks.n, 1);
    ck_assert_int_eq(fr_kafka_embedded_broker_up(broker, 1), FR_OK);
    ck_assert_int_eq(fr_sink_flush(sk, rig_ms(30000)), FR_OK);
    fr_sink_stats(sk, &st);
    ck_assert(!st.broker_down);
    ck_assert_int_eq(acks.ok, 21);
    fr_sink_free(sk);
    ck_assert_int_eq(count_log("events", times, 20), 21);
    for (int i = 1; i < 20; i++)
        ck_assert_int_eq(times[i], 1);
}
END_TEST

START_TEST(fatal_error__in_flight_fail_with_again__new_producer_works)
{
    struct fr_sink *sk = sink();
    ck_assert_int_eq(rig_produce(sk, &acks, 0, 1, 500), 1);
    ck_assert_int_eq(fr_kafka_embedded_broker_rtt(broker, 1, 1000), FR_OK);
    for (int i = 0; i < 10; i++) {
        struct fr_outgoing msg = {.role = FR_TOPIC_EVENTS,
                                  .partition = 0,
                                  .value = FR_STR_LIT("x"),
                                  .cookie = (uint64_t)i};
        ck_assert_int_eq(fr_sink_produce(sk, &msg), FR_OK);
    }
    ck_assert_int_eq(fr_kafka_sink_test_fatal(sk), FR_OK);
    int64_t deadline = rig_now_ms() + rig_ms(10000);
    struct fr_sink_stats st = {0};
    while (st.replacements == 0 && rig_now_ms() < deadline) {
        fr_sink_poll(sk, 10);
        fr_sink_stats(sk, &st);
    }
    ck_assert_uint_eq(st.replacements, 1);
    ck_assert_uint_eq(fr_sink_in_flight(sk), 0);
    ck_assert_int_eq(acks.n, 11);
    for (int i = 1; i < 11; i++)
        ck_assert_int_eq(acks.a[i].err, FR_EAGAIN);
    ck_assert_int_eq(fr_kafka_embedded_broker_rtt(broker, 1, 0), FR_OK);
    ck_assert_int_eq(rig_produce(sk, &acks, 0, 10, 0), 10);
    fr_sink_free(sk);
}
END_TEST

START_TEST(purge__in_flight__acked_with_again_and_usable)
{
    struct fr_sink *sk = sink();
    ck_assert_int_eq(rig_produce(sk, &acks, 0, 1, 500), 1);
    ck_assert_int_eq(fr_kafka_embedded_broker_rtt(broker, 1, 500), FR_OK);
    struct fr_outgoing msg = {
        .role = FR_TOPIC_EVENTS, .partition = 0, .value = FR_STR_LIT("x"), .cookie = 1};
    ck_assert_int_eq(fr_sink_produce(sk, &msg), FR_OK);
    fr_sink_purge(sk);
    ck_assert_int_eq(acks.n, 2);
    ck_assert_int_eq(acks.a[1].err, FR_EAGAIN);
    ck_assert_int_eq(fr_kafka_embedded_broker_rtt(broker, 1, 0), FR_OK);
    ck_assert_int_eq(rig_produce(sk, &acks, 0, 5, 0), 5);
    fr_sink_free(sk);
}
END_TEST

/* Names: refused by us (reserved), by librdkafka (unknown, bad value), and passed on. */
static const struct {
    const char *name, *value, *fault;
} SETTINGS[] = {
    {"partitioner", "random", "murmur2_random"},
    {"enable.auto.commit", "true", "offsets move only"},
    {"transactional.id", "x", "exactly_once"},
    {"no.such.setting", "1", "no.such.setting"},
    {"socket.timeout.ms", "soon", "socket.timeout.ms"},
    {"ssl.key.password", "geheim", NULL},
    {"socket.timeout.ms", "9000", NULL},
    {"broker.address.family", "v4", NULL},
};

START_TEST(settings__each__passed_on_or_refused_by_name)
{
    struct fr_kafka_setting s = {SETTINGS[_i].name, SETTINGS[_i].value};
    struct fr_kafka_conn conn = {.brokers = "127.0.0.1:1", .settings = &s, .n_settings = 1};
    struct fr_fault fault = {0};
    enum fr_err e = fr_kafka_conn_check(&conn, &fault);
    ck_assert_int_eq(e, SETTINGS[_i].fault == NULL ? FR_OK : FR_EINVAL);
    if (SETTINGS[_i].fault != NULL)
        ck_assert_msg(strstr(fault.msg, SETTINGS[_i].fault) != NULL, "%s", fault.msg);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("stream/kafka_sink");
    TCase *tc = tcase_create("mock");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, produce__headers_key_time_and_null__arrive_unchanged);
    tcase_add_loop_test(
        tc, produce__passing_errors__every_record_once, 0, sizeof PASSING / sizeof PASSING[0]);
    tcase_add_test(tc, produce__broker_says_too_large__permanent_for_these_only);
    tcase_add_test(tc, produce__larger_than_message_max__refused_at_once);
    tcase_add_test(tc, produce__queue_of_five_and_slow_broker__full_and_nothing_lost);
    tcase_add_test(tc, broker__down_then_up__flush_times_out_then_all_arrive);
    tcase_add_test(tc, fatal_error__in_flight_fail_with_again__new_producer_works);
    tcase_add_test(tc, purge__in_flight__acked_with_again_and_usable);
    suite_add_tcase(s, tc);
    TCase *conf = tcase_create("settings");
    tcase_add_loop_test(conf,
                        settings__each__passed_on_or_refused_by_name,
                        0,
                        sizeof SETTINGS / sizeof SETTINGS[0]);
    suite_add_tcase(s, conf);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
