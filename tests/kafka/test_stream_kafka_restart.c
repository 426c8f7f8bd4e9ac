/* A real Kafka of the test's own is killed and started again while records flow: nothing is lost,
 * the clients are never restarted; the time until records flow again is printed. */
#include "daemon/stream/kafka_source.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/stream/kafka_topics.h"
#include "tests/support/kafka_server.h"
#include "tests/support/stream_rig.h"

#define N 3000

static struct rig_acks acks;

struct flow {
    struct fr_sink *sk;
    struct rig_owner o;
    uint64_t next;  /* cookie of the next new record */
    int retry_from; /* acks looked at */
    int again;      /* records produced again */
};

static void produce(struct flow *f, uint64_t cookie)
{
    char value[32];
    snprintf(value, sizeof value, "{\"n\":%d}", (int)cookie);
    struct fr_outgoing msg = {.role = FR_TOPIC_EVENTS,
                              .partition = (int32_t)(cookie % 2),
                              .value = fr_str_z(value),
                              .cookie = cookie};
    enum fr_err e;
    while ((e = fr_sink_produce(f->sk, &msg)) == FR_EFULL || e == FR_EAGAIN)
        fr_sink_poll(f->sk, 10);
    ck_assert_int_eq(e, FR_OK);
}

/* One step of the owner: acks, retries of what failed in passing, records in. */
static void step(struct flow *f)
{
    fr_sink_poll(f->sk, 1);
    for (; f->retry_from < acks.n; f->retry_from++) {
        const struct rig_ack *a = &acks.a[f->retry_from];
        if (a->err == FR_OK)
            continue;
        ck_assert_msg(fr_err_retriable(a->err), "%s", fr_err_name(a->err));
        f->again++;
        produce(f, a->cookie);
    }
    rig_take(&f->o, 100, 1);
}

START_TEST(broker__killed_and_restarted_while_records_flow__all_arrive)
{
    struct kafka_server *ks = kafka_server_start(NULL);
    ck_assert_ptr_nonnull(ks);
    const char *brokers = kafka_server_bootstrap(ks);
    struct fr_topic_names names = rig_names("r.");
    struct fr_kafka_conn conn = {.brokers = brokers};
    struct fr_topic_spec specs[FR_TOPIC_COUNT];
    struct fr_topic_report reports[FR_TOPIC_COUNT];
    struct fr_fault fault = {0};
    int n = fr_kafka_topics_default(&names, 2, 1, specs);
    ck_assert_msg(fr_kafka_topics_ensure(&conn, specs, n, true, rig_ms(20000), reports, &fault) ==
                      FR_OK,
                  "%s",
                  fault.msg);
    static struct flow f;
    struct fr_kafka_source_opts opts = rig_source_opts(brokers, &names, "g", 1, false);
    struct fr_source_callbacks cb = rig_callbacks(&f.o);
    opts.session_timeout_ms = 45000;
    f.o.with_requests = true;
    f.sk = rig_sink(brokers, &names, &acks);
    ck_assert_msg(fr_kafka_source_new(&opts, &cb, &f.o.src, &fault) == FR_OK, "%s", fault.msg);
    ck_assert(rig_serve_until(&f.o, 2, rig_ms(20000)));
    while (f.next < N / 3) {
        produce(&f, f.next++);
        step(&f);
    }
    ck_assert(kafka_server_kill9(ks));
    int64_t killed = rig_now_ms();
    while (f.next < 2 * N / 3 || rig_now_ms() < killed + 3000) {
        if (f.next < 2 * N / 3)
            produce(&f, f.next++);
        step(&f);
    }
    ck_assert(kafka_server_restart(ks));
    int64_t back = rig_now_ms(), got = f.o.got[0] + f.o.got[1], first = 0;
    int64_t deadline = back + rig_ms(60000);
    while ((acks.ok < N || f.o.got[0] + f.o.got[1] < N) && rig_now_ms() < deadline) {
        if (f.next < N)
            produce(&f, f.next++);
        step(&f);
        if (first == 0 && f.o.got[0] + f.o.got[1] > got)
            first = rig_now_ms();
    }
    printf("broker restarted: records again after %lld ms, %d produced again\n",
           (long long)(first - back),
           f.again);
    ck_assert_int_eq(acks.ok, N);
    /* idempotent: at least all, and more only if something was produced again */
    int64_t total = f.o.got[0] + f.o.got[1];
    ck_assert_int_ge(total, N);
    ck_assert_int_le(total, N + f.again);
    ck_assert_int_eq(f.o.gaps, 0);
    fr_source_free(f.o.src);
    fr_sink_free(f.sk);
    kafka_server_free(ks);
}
END_TEST

int main(void)
{
    int rc = kafka_server_require("kafka.stream_kafka_restart");
    if (rc != 0)
        return rc;
    Suite *s = suite_create("stream/kafka_restart");
    TCase *tc = tcase_create("real");
    tcase_set_timeout(tc, 180);
    tcase_add_test(tc, broker__killed_and_restarted_while_records_flow__all_arrive);
    suite_add_tcase(s, tc);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
