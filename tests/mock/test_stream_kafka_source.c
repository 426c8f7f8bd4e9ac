/* The consumer group against the mock cluster: lanes, offsets, seek, rebalance, refusals, broker
 * loss. Joining a group costs 3 s here (group.initial.rebalance.delay of the mock), so each test
 * does much. */
#include "daemon/stream/kafka_source.h"

#include <check.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/stream_rig.h"

#define API_OFFSET_COMMIT 8
#define ERR_ILLEGAL_GENERATION 22
#define ERR_UNKNOWN_MEMBER 25

static struct fr_kafka_embedded *broker;
static struct rig_acks acks;
static struct fr_topic_names names;
static struct fr_sink *sk;

static void set_up(void)
{
    struct fr_fault fault = {0};
    memset(&acks, 0, sizeof acks);
    names = rig_names("");
    ck_assert_msg(fr_kafka_embedded_new(1, &broker, &fault) == FR_OK, "%s", fault.msg);
    ck_assert_int_eq(fr_kafka_embedded_create_topic(broker, "events", 4), FR_OK);
    ck_assert_int_eq(fr_kafka_embedded_create_topic(broker, "requests", 4), FR_OK);
    sk = rig_sink(fr_kafka_embedded_brokers(broker), &names, &acks);
}

static void tear_down(void)
{
    fr_sink_free(sk);
    fr_kafka_embedded_free(broker);
}

static enum fr_err
open_source(struct rig_owner *o, const char *instance, int lanes, struct fr_fault *fault)
{
    struct fr_kafka_source_opts opts =
        rig_source_opts(fr_kafka_embedded_brokers(broker), &names, "g", lanes, true);
    struct fr_source_callbacks cb = rig_callbacks(o);
    opts.instance_id = instance;
    o->with_requests = true;
    return fr_kafka_source_new(&opts, &cb, &o->src, fault);
}

static void join(struct rig_owner *o, const char *instance, int lanes)
{
    struct fr_fault fault = {0};
    ck_assert_msg(open_source(o, instance, lanes, &fault) == FR_OK, "%s", fault.msg);
    ck_assert(rig_serve_until(o, 4, rig_ms(60000)));
}

START_TEST(round_trip__three_lanes__each_record_once_on_its_lane_then_resume_from_commit)
{
    struct rig_owner o = {.commit_at_revoke = true};
    ck_assert_int_eq(rig_produce(sk, &acks, FR_PARTITION_BY_KEY, 400, 0), 400);
    join(&o, NULL, 3);
    ck_assert_int_eq(o.assigns, 1);
    ck_assert_int_eq(rig_take(&o, 400, rig_ms(10000)), 400);
    ck_assert_int_eq(rig_take(&o, 1, 200), 0);
    ck_assert_int_eq(o.gaps, 0);
    ck_assert_int_eq(o.lane_mismatch, 0);
    ck_assert_uint_eq(fr_kafka_source_strays(o.src), 0);
    int64_t low, high;
    ck_assert_int_eq(fr_source_watermarks(o.src, FR_TOPIC_EVENTS, 0, 0, &low, &high), FR_OK);
    ck_assert_int_eq(high, o.next[0]);
    struct fr_source_stats st;
    fr_source_stats(o.src, &st);
    ck_assert_uint_eq(st.records, 400);
    ck_assert_uint_eq(st.rebalances, 1);
    ck_assert_int_eq(fr_source_close(o.src, rig_ms(10000)), FR_OK);
    ck_assert_int_eq(o.revokes, 1);
    ck_assert_int_eq(o.lost_revokes, 0);
    ck_assert_int_eq(o.revoke_commit_err, FR_OK);
    ck_assert_int_eq(fr_source_serve(o.src, 0), FR_ECLOSED);
    fr_source_free(o.src);

    /* the second life starts behind the first's commit */
    struct rig_owner p = {0};
    ck_assert_int_eq(rig_produce(sk, &acks, FR_PARTITION_BY_KEY, 10, 1000), 10);
    join(&p, NULL, 2);
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(p.next[i], o.next[i]);
    ck_assert_int_eq(rig_take(&p, 10, rig_ms(10000)), 10);
    ck_assert_int_eq(rig_take(&p, 1, 200), 0);
    fr_source_free(p.src);
}
END_TEST

START_TEST(seek__with_messages_queued__next_is_the_offset_asked_for)
{
    struct rig_owner o = {0};
    ck_assert_int_eq(rig_produce(sk, &acks, 1, 300, 0), 300);
    join(&o, NULL, 2);
    ck_assert_int_eq(rig_take(&o, 150, rig_ms(10000)), 150);
    const int64_t targets[] = {7, 299, 0, 140, 141};
    for (size_t t = 0; t < sizeof targets / sizeof targets[0]; t++) {
        struct fr_position to = {FR_TOPIC_EVENTS, 1, targets[t]};
        ck_assert_int_eq(fr_source_seek(o.src, &to), FR_OK);
        int64_t deadline = rig_now_ms() + rig_ms(5000);
        struct fr_record rec = {.offset = -1};
        enum fr_err e;
        do
            e = fr_source_poll(o.src, 1, 50, &rec);
        while (e == FR_EAGAIN && rig_now_ms() < deadline);
        ck_assert_int_eq(e, FR_OK);
        ck_assert_int_eq(rec.offset, targets[t]);
        ck_assert_int_eq(rec.partition, 1);
        fr_source_release(o.src, &rec);
    }
    struct fr_position foreign = {FR_TOPIC_EVENTS, 9, 0}, bad = {FR_TOPIC_ITEMS, 1, 0};
    ck_assert_int_eq(fr_source_seek(o.src, &foreign), FR_ESTATE);
    ck_assert_int_eq(fr_source_seek(o.src, &bad), FR_EINVAL);
    fr_source_free(o.src);
}
END_TEST

/* wake: a poll that would wait is cut short by another thread */
static void *waker(void *arg)
{
    struct fr_source *src = arg;
    fr_source_wake(src, 0);
    return NULL;
}

START_TEST(offsets__start_beyond_the_log__refused_not_jumped_and_commit_errors_mapped)
{
    struct rig_owner o = {.start_override = 1000};
    ck_assert_int_eq(rig_produce(sk, &acks, 2, 5, 0), 5);
    join(&o, NULL, 1);
    struct fr_record rec;
    enum fr_err e;
    int64_t deadline = rig_now_ms() + rig_ms(10000);
    do {
        ck_assert_int_eq(fr_source_serve(o.src, 0), FR_OK);
        e = fr_source_poll(o.src, 0, 50, &rec);
    } while (e == FR_EAGAIN && rig_now_ms() < deadline);
    ck_assert_int_eq(e, FR_EREFUSED);
    ck_assert_int_eq(rec.refused, FR_ERANGE);
    ck_assert_int_eq(rec.role, FR_TOPIC_EVENTS);
    ck_assert_ptr_null(rec.opaque);
    fr_source_release(o.src, &rec);

    /* commits: answered, fenced, and read back */
    struct fr_position c = {FR_TOPIC_EVENTS, 2, 4}, back = {FR_TOPIC_EVENTS, 2, 0},
                       none = {FR_TOPIC_REQUESTS, 0, 5};
    const int fenced[] = {ERR_ILLEGAL_GENERATION, ERR_UNKNOWN_MEMBER};
    ck_assert_int_eq(fr_source_commit(o.src, &c, 1, rig_ms(5000)), FR_OK);
    ck_assert_int_eq(fr_source_committed(o.src, &back, 1, rig_ms(5000)), FR_OK);
    ck_assert_int_eq(back.offset, 4);
    ck_assert_int_eq(fr_source_committed(o.src, &none, 1, rig_ms(5000)), FR_OK);
    ck_assert_int_eq(none.offset, FR_OFFSET_NONE);
    c.offset = 5;
    fr_kafka_embedded_fail(broker, API_OFFSET_COMMIT, fenced, 1);
    ck_assert_int_eq(fr_source_commit(o.src, &c, 1, rig_ms(5000)), FR_EFENCED);
    ck_assert_int_eq(fr_source_committed(o.src, &back, 1, rig_ms(5000)), FR_OK);
    ck_assert_int_eq(back.offset, 4);

    pthread_t t;
    int64_t before = rig_now_ms();
    while (fr_source_poll(o.src, 0, 0, &rec) == FR_EREFUSED)
        fr_source_release(o.src, &rec);
    ck_assert_int_eq(pthread_create(&t, NULL, waker, o.src), 0);
    ck_assert_int_eq(fr_source_poll(o.src, 0, rig_ms(20000), &rec), FR_EAGAIN);
    ck_assert_int_lt(rig_now_ms() - before, rig_ms(15000));
    pthread_join(t, NULL);
    fr_source_free(o.src);
}
END_TEST

START_TEST(commit__asynchronous_failure__comes_by_on_error)
{
    struct rig_owner o = {0};
    ck_assert_int_eq(rig_produce(sk, &acks, 0, 5, 0), 5);
    join(&o, NULL, 1);
    const int err[] = {ERR_UNKNOWN_MEMBER};
    struct fr_position c = {FR_TOPIC_EVENTS, 0, 3}, back = c;
    o.errors = 0;
    fr_kafka_embedded_fail(broker, API_OFFSET_COMMIT, err, 1);
    ck_assert_int_eq(fr_source_commit(o.src, &c, 1, 0), FR_OK);
    int64_t deadline = rig_now_ms() + rig_ms(5000);
    while (o.errors == 0 && rig_now_ms() < deadline)
        ck_assert_int_eq(fr_source_serve(o.src, 10), FR_OK);
    ck_assert_int_ge(o.errors, 1);
    ck_assert_int_eq(o.last_err, FR_EFENCED);
    struct fr_source_stats st;
    fr_source_stats(o.src, &st);
    ck_assert_uint_ge(st.commit_errors, 1);
    ck_assert_int_eq(fr_source_committed(o.src, &back, 1, rig_ms(5000)), FR_OK);
    ck_assert_int_eq(back.offset, FR_OFFSET_NONE);
    fr_source_free(o.src);
}
END_TEST

START_TEST(assign__refused_by_owner__nothing_read_until_rejoin)
{
    struct rig_owner o = {.assign_err = FR_EREFUSED};
    struct fr_fault fault = {0};
    ck_assert_int_eq(rig_produce(sk, &acks, 0, 20, 0), 20);
    ck_assert_msg(open_source(&o, NULL, 1, &fault) == FR_OK, "%s", fault.msg);
    int64_t deadline = rig_now_ms() + rig_ms(15000);
    while (o.assigns == 0 && rig_now_ms() < deadline)
        ck_assert_int_eq(fr_source_serve(o.src, 10), FR_OK);
    ck_assert_int_eq(o.assigns, 1);
    struct fr_record rec;
    ck_assert_int_eq(fr_source_poll(o.src, 0, 300, &rec), FR_EAGAIN);
    o.assign_err = FR_OK;
    ck_assert_int_eq(fr_source_rejoin(o.src), FR_OK);
    ck_assert(rig_serve_until(&o, 4, rig_ms(20000)));
    ck_assert_int_eq(rig_take(&o, 20, rig_ms(10000)), 20);
    ck_assert_int_eq(o.gaps, 0);
    ck_assert_uint_eq(fr_kafka_source_strays(o.src), 0);
    fr_source_free(o.src);
}
END_TEST

static void commit_all(struct rig_owner *o)
{
    struct fr_position done[RIG_PARTS];
    int n = 0;
    for (int32_t p = 0; p < RIG_PARTS; p++)
        if (o->assigned[p])
            done[n++] = (struct fr_position){FR_TOPIC_EVENTS, p, o->next[p]};
    ck_assert_int_eq(fr_source_commit(o->src, done, n, rig_ms(5000)), FR_OK);
}

START_TEST(rebalance__second_member_joins_and_leaves__no_gap_no_repeat)
{
    struct rig_owner a = {.commit_at_revoke = true}, b = {.commit_at_revoke = true};
    struct fr_fault fault = {0};
    ck_assert_int_eq(rig_produce(sk, &acks, FR_PARTITION_BY_KEY, 200, 0), 200);
    join(&a, NULL, 2);
    ck_assert_int_eq(rig_take(&a, 120, rig_ms(10000)),
                     120); /* the rest is in flight in lane queues */
    /* The mock answers commits during a rebalance with REBALANCE_IN_PROGRESS (Kafka accepts them,
     * see the test on real Kafka), so what was taken is committed before. */
    commit_all(&a);
    ck_assert_msg(open_source(&b, NULL, 2, &fault) == FR_OK, "%s", fault.msg);
    int64_t deadline = rig_now_ms() + rig_ms(30000);
    while ((a.n_assigned != 2 || b.n_assigned != 2) && rig_now_ms() < deadline) {
        ck_assert_int_eq(fr_source_serve(a.src, 5), FR_OK);
        ck_assert_int_eq(fr_source_serve(b.src, 5), FR_OK);
    }
    ck_assert_int_eq(a.n_assigned, 2);
    ck_assert_int_eq(b.n_assigned, 2);
    ck_assert(a.revoke_commit_err == FR_OK || a.revoke_commit_err == FR_EAGAIN);
    for (int p = 0; p < 4; p++) /* never both */
        ck_assert_int_ne(a.assigned[p], b.assigned[p]);
    int taken = 120;
    deadline = rig_now_ms() + rig_ms(15000);
    while (taken < 200 && rig_now_ms() < deadline)
        taken += rig_take(&a, 200 - taken, 20) + rig_take(&b, 200 - taken, 20);
    ck_assert_int_eq(taken, 200);
    ck_assert_int_eq(rig_take(&a, 1, 200) + rig_take(&b, 1, 200), 0);
    commit_all(&a);
    commit_all(&b);
    ck_assert_int_eq(fr_source_close(b.src, rig_ms(10000)), FR_OK);
    ck_assert_int_eq(rig_produce(sk, &acks, FR_PARTITION_BY_KEY, 50, 1000), 50);
    ck_assert(rig_serve_until(&a, 4, rig_ms(30000)));
    ck_assert_int_eq(rig_take(&a, 50, rig_ms(15000)), 50);
    ck_assert_int_eq(rig_take(&a, 1, 200), 0);
    int64_t got = 0;
    for (int p = 0; p < 4; p++)
        got += a.got[p] + b.got[p];
    ck_assert_int_eq(got, 250);
    ck_assert_int_eq(a.gaps + b.gaps, 0);
    ck_assert_uint_eq(fr_kafka_source_strays(a.src) + fr_kafka_source_strays(b.src), 0);
    fr_source_free(b.src);
    fr_source_free(a.src);
}
END_TEST

START_TEST(broker__down_then_up__reading_goes_on_without_gap)
{
    struct rig_owner o = {0};
    ck_assert_int_eq(rig_produce(sk, &acks, 3, 20, 0), 20);
    join(&o, NULL, 1);
    ck_assert_int_eq(rig_take(&o, 20, rig_ms(10000)), 20);
    ck_assert_int_eq(fr_kafka_embedded_broker_down(broker, 1), FR_OK);
    struct fr_source_stats st = {0};
    int64_t deadline = rig_now_ms() + rig_ms(10000);
    while (!st.broker_down && rig_now_ms() < deadline) {
        ck_assert_int_eq(fr_source_serve(o.src, 10), FR_OK);
        fr_source_stats(o.src, &st);
    }
    ck_assert(st.broker_down);
    struct fr_position c = {FR_TOPIC_EVENTS, 3, 20};
    int64_t before = rig_now_ms();
    enum fr_err e = fr_source_commit(o.src, &c, 1, 500);
    ck_assert(e == FR_ETIMEOUT || e == FR_EAGAIN);
    ck_assert_int_lt(rig_now_ms() - before, rig_ms(5000));
    ck_assert_int_eq(fr_kafka_embedded_broker_up(broker, 1), FR_OK);
    deadline = rig_now_ms() + rig_ms(20000);
    while (st.broker_down && rig_now_ms() < deadline) { /* without any traffic of ours */
        ck_assert_int_eq(fr_source_serve(o.src, 10), FR_OK);
        fr_source_stats(o.src, &st);
    }
    ck_assert(!st.broker_down);
    ck_assert_int_eq(rig_produce(sk, &acks, 3, 20, 100), 20);
    ck_assert_int_eq(rig_take(&o, 20, rig_ms(30000)), 20);
    ck_assert_int_eq(o.gaps, 0);
    fr_source_free(o.src);
}
END_TEST

START_TEST(free__records_queued_and_in_flight__ends)
{
    struct rig_owner o = {0};
    ck_assert_int_eq(rig_produce(sk, &acks, FR_PARTITION_BY_KEY, 500, 0), 500);
    join(&o, NULL, 2);
    ck_assert_int_eq(rig_take(&o, 10, rig_ms(10000)), 10);
    int64_t before = rig_now_ms();
    fr_source_free(o.src); /* closes: on_revoke comes */
    ck_assert_int_eq(o.revokes, 1);
    ck_assert_int_lt(rig_now_ms() - before, rig_ms(10000));
}
END_TEST

START_TEST(new__topic_counts_differ_or_no_broker__refused_with_remedy)
{
    struct fr_fault fault = {0};
    struct rig_owner o = {0};
    ck_assert_int_eq(fr_kafka_embedded_create_topic(broker, "requests3", 3), FR_OK);
    ck_assert_int_eq(fr_topic_names_set(&names, FR_TOPIC_REQUESTS, "requests3"), FR_OK);
    ck_assert_int_eq(open_source(&o, NULL, 1, &fault), FR_EMISMATCH);
    ck_assert_ptr_nonnull(strstr(fault.msg, "requests3"));
    ck_assert_ptr_null(o.src);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("stream/kafka_source");
    TCase *tc = tcase_create("mock");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_set_timeout(tc, 120);
    tcase_add_test(tc,
                   round_trip__three_lanes__each_record_once_on_its_lane_then_resume_from_commit);
    tcase_add_test(tc, seek__with_messages_queued__next_is_the_offset_asked_for);
    tcase_add_test(tc, offsets__start_beyond_the_log__refused_not_jumped_and_commit_errors_mapped);
    tcase_add_test(tc, commit__asynchronous_failure__comes_by_on_error);
    tcase_add_test(tc, assign__refused_by_owner__nothing_read_until_rejoin);
    tcase_add_test(tc, rebalance__second_member_joins_and_leaves__no_gap_no_repeat);
    tcase_add_test(tc, broker__down_then_up__reading_goes_on_without_gap);
    tcase_add_test(tc, free__records_queued_and_in_flight__ends);
    tcase_add_test(tc, new__topic_counts_differ_or_no_broker__refused_with_remedy);
    suite_add_tcase(s, tc);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
