/*
 * tests/kafka/test_support_kafka_server.c - the broker helper: shared, own, killed, restarted.
 *
 * Written against librdkafka directly, so that it does not depend on our source and sink.
 */
#include "tests/support/kafka_server.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <librdkafka/rdkafka.h>

#include "tests/support/proc.h"

static rd_kafka_t *client(rd_kafka_type_t type, const char *bootstrap)
{
    char err[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    ck_assert_int_eq(rd_kafka_conf_set(conf, "bootstrap.servers", bootstrap, err, sizeof err),
                     RD_KAFKA_CONF_OK);
    ck_assert_int_eq(rd_kafka_conf_set(conf, "reconnect.backoff.max.ms", "500", err, sizeof err),
                     RD_KAFKA_CONF_OK);
    rd_kafka_t *rk = rd_kafka_new(type, conf, err, sizeof err);
    ck_assert_msg(rk != NULL, "%s", err);
    return rk;
}

static rd_kafka_resp_err_t create_topic(rd_kafka_t *rk, const char *name)
{
    char err[256];
    rd_kafka_NewTopic_t *topic = rd_kafka_NewTopic_new(name, 2, 1, err, sizeof err);
    rd_kafka_queue_t *q = rd_kafka_queue_new(rk);
    rd_kafka_CreateTopics(rk, &topic, 1, NULL, q);
    rd_kafka_event_t *ev = rd_kafka_queue_poll(q, (int)proc_deadline_ms(20000));
    rd_kafka_resp_err_t e = rd_kafka_event_error(ev);
    if (!e) {
        size_t n;
        const rd_kafka_topic_result_t **r =
            rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(ev), &n);
        e = rd_kafka_topic_result_error(r[0]);
    }
    rd_kafka_event_destroy(ev);
    rd_kafka_queue_destroy(q);
    rd_kafka_NewTopic_destroy(topic);
    return e;
}

static bool produce(rd_kafka_t *rk, const char *topic, const char *value)
{
    rd_kafka_resp_err_t e =
        rd_kafka_producev(rk, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_PARTITION(1),
                          RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
                          RD_KAFKA_V_VALUE((void *)(uintptr_t)value, strlen(value)), RD_KAFKA_V_END);
    return !e && !rd_kafka_flush(rk, (int)proc_deadline_ms(30000));
}

/* High watermark of partition 1, or -1. */
static int64_t high(rd_kafka_t *rk, const char *topic)
{
    int64_t lo = -1, hi = -1;
    return rd_kafka_query_watermark_offsets(rk, topic, 1, &lo, &hi, (int)proc_deadline_ms(20000))
               ? -1
               : hi;
}

START_TEST(shared__topic_made__message_kept)
{
    char topic[64];
    rd_kafka_t *rk = client(RD_KAFKA_PRODUCER, kafka_server_shared());
    kafka_server_unique("support", topic, sizeof topic);
    ck_assert_int_eq(create_topic(rk, topic), RD_KAFKA_RESP_ERR_NO_ERROR);
    ck_assert(produce(rk, topic, "one"));
    ck_assert_int_eq(high(rk, topic), 1);
    rd_kafka_destroy(rk);
}
END_TEST

START_TEST(shared__unknown_topic__not_made_by_asking)
{
    char topic[64];
    rd_kafka_t *rk = client(RD_KAFKA_PRODUCER, kafka_server_shared());
    kafka_server_unique("never", topic, sizeof topic);
    ck_assert_int_eq(high(rk, topic), -1);
    rd_kafka_destroy(rk);
}
END_TEST

START_TEST(own__killed_and_restarted__same_address_and_messages)
{
    const char *const properties[] = {"message.max.bytes=2000000", NULL};
    struct kafka_server_opt opt = {.properties = properties};
    struct kafka_server *ks = kafka_server_start(&opt);
    ck_assert_ptr_nonnull(ks);
    char before[64];
    snprintf(before, sizeof before, "%s", kafka_server_bootstrap(ks));
    rd_kafka_t *rk = client(RD_KAFKA_PRODUCER, before);
    ck_assert_int_eq(create_topic(rk, "t"), RD_KAFKA_RESP_ERR_NO_ERROR);
    ck_assert(produce(rk, "t", "one"));
    ck_assert_int_gt(kafka_server_pid(ks), 0);
    ck_assert(kafka_server_kill9(ks));
    ck_assert_int_eq(kafka_server_pid(ks), 0);
    ck_assert(kafka_server_restart(ks));
    ck_assert_str_eq(kafka_server_bootstrap(ks), before);
    ck_assert(produce(rk, "t", "two")); /* the same client goes on */
    ck_assert_int_eq(high(rk, "t"), 2);
    ck_assert(kafka_server_stop(ks));
    rd_kafka_destroy(rk);
    kafka_server_free(ks);
}
END_TEST

int main(void)
{
    int rc = kafka_server_require("kafka.support_kafka_server");
    if (rc)
        return rc;
    Suite *s = suite_create("support/kafka_server");
    TCase *tc = tcase_create("all");
    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, shared__topic_made__message_kept);
    tcase_add_test(tc, shared__unknown_topic__not_made_by_asking);
    tcase_add_test(tc, own__killed_and_restarted__same_address_and_messages);
    suite_add_tcase(s, tc);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
