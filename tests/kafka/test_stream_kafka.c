/* The stream seams against a real Apache Kafka: topics, round trip, members that join, restart and
 * are fenced, offsets out of range, partition counts, the log reader on a compacted topic. */
#include "daemon/stream/kafka_source.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "daemon/base/alloc.h"
#include "daemon/stream/kafka_log_reader.h"
#include "daemon/stream/kafka_topics.h"
#include "tests/support/kafka_server.h"
#include "tests/support/stream_rig.h"

static const char *brokers;
static struct rig_acks acks;
static struct fr_topic_names names;
static char group[80];

static struct fr_kafka_conn conn(void)
{
    return (struct fr_kafka_conn){.brokers = brokers};
}

/* Topics and a group of this test's own: the broker is shared. */
static void set_up(void)
{
    char unique[56], prefix[64];
    brokers = kafka_server_shared();
    ck_assert_ptr_nonnull(brokers);
    memset(&acks, 0, sizeof acks);
    snprintf(prefix, sizeof prefix, "%s.", kafka_server_unique("s", unique, sizeof unique));
    names = rig_names(prefix);
    kafka_server_unique("g", group, sizeof group);
}

static void make_topics(int32_t partitions)
{
    struct fr_topic_spec specs[FR_TOPIC_COUNT];
    struct fr_topic_report reports[FR_TOPIC_COUNT];
    struct fr_fault fault = {0};
    struct fr_kafka_conn c = conn();
    int n = fr_kafka_topics_default(&names, partitions, 1, specs);
    enum fr_err e = fr_kafka_topics_ensure(&c, specs, n, true, rig_ms(20000), reports, &fault);
    ck_assert_msg(e == FR_OK, "%s", fault.msg);
    for (int i = 0; i < n; i++) {
        ck_assert_int_eq(reports[i].state, FR_TOPIC_CREATED);
        ck_assert_int_eq(reports[i].partitions, partitions);
    }
}

static void open_source(struct rig_owner *o, const char *instance, int lanes, int max_poll_ms)
{
    struct fr_kafka_source_opts opts = rig_source_opts(brokers, &names, group, lanes, false);
    struct fr_source_callbacks cb = rig_callbacks(o);
    struct fr_fault fault = {0};
    opts.instance_id = instance;
    opts.max_poll_interval_ms = max_poll_ms;
    o->with_requests = true;
    ck_assert_msg(fr_kafka_source_new(&opts, &cb, &o->src, &fault) == FR_OK, "%s", fault.msg);
}

START_TEST(topics__create_then_verify_then_differ__told_apart)
{
    struct fr_topic_spec specs[FR_TOPIC_COUNT];
    struct fr_topic_report r[FR_TOPIC_COUNT];
    struct fr_fault fault = {0};
    struct fr_kafka_conn c = conn();
    int n = fr_kafka_topics_default(&names, 3, 1, specs);
    ck_assert_int_eq(fr_kafka_topics_ensure(&c, specs, n, false, rig_ms(10000), r, &fault),
                     FR_ENOTFOUND);
    for (int i = 0; i < n; i++)
        ck_assert_int_eq(r[i].state, FR_TOPIC_MISSING);
    make_topics(3);
    ck_assert_int_eq(fr_kafka_topics_ensure(&c, specs, n, true, rig_ms(10000), r, &fault), FR_OK);
    for (int i = 0; i < n; i++)
        ck_assert_int_eq(r[i].state, FR_TOPIC_FITS);
    specs[FR_TOPIC_EVENTS].partitions = 4;
    specs[FR_TOPIC_ITEMS].compact = false;
    ck_assert_int_eq(fr_kafka_topics_ensure(&c, specs, n, true, rig_ms(10000), r, &fault),
                     FR_EMISMATCH);
    ck_assert_int_eq(r[FR_TOPIC_EVENTS].state, FR_TOPIC_DIFFERS);
    ck_assert_str_eq(r[FR_TOPIC_EVENTS].text, "has 3 partitions, wanted 4");
    ck_assert_int_eq(r[FR_TOPIC_ITEMS].state, FR_TOPIC_DIFFERS);
    ck_assert_str_eq(r[FR_TOPIC_ITEMS].text, "cleanup.policy is compact, wanted delete");
    ck_assert_int_eq(r[FR_TOPIC_REQUESTS].state, FR_TOPIC_FITS);
    int32_t count = 0;
    ck_assert_int_eq(
        fr_kafka_topics_count(&c, names.name[FR_TOPIC_EVENTS], rig_ms(10000), &count, &fault),
        FR_OK);
    ck_assert_int_eq(count, 3);
    /* a replication factor that one broker can't give */
    struct fr_topic_spec odd = {.name = group, .partitions = 1, .replication = 3};
    ck_assert_int_eq(fr_kafka_topics_ensure(&c, &odd, 1, true, rig_ms(10000), r, &fault),
                     FR_EREFUSED);
    ck_assert_int_eq(r[0].state, FR_TOPIC_FAILED);
    ck_assert(r[0].text[0] != '\0');
}
END_TEST

START_TEST(round_trip__four_partitions_three_lanes__each_once_and_resume_from_commit)
{
    struct rig_owner o = {.commit_at_revoke = true}, p = {0};
    make_topics(4);
    struct fr_sink *sk = rig_sink(brokers, &names, &acks);
    ck_assert_int_eq(rig_produce(sk, &acks, FR_PARTITION_BY_KEY, 5000, 0), 5000);
    open_source(&o, NULL, 3, 0);
    ck_assert(rig_serve_until(&o, 4, rig_ms(20000)));
    ck_assert_int_eq(rig_take(&o, 5000, rig_ms(20000)), 5000);
    ck_assert_int_eq(rig_take(&o, 1, 300), 0);
    ck_assert_int_eq(o.gaps, 0);
    ck_assert_int_eq(o.lane_mismatch, 0);
    ck_assert_uint_eq(fr_kafka_source_strays(o.src), 0);
    for (int i = 0; i < 4; i++) {
        struct fr_position to = {FR_TOPIC_EVENTS, i, 5};
        ck_assert_int_eq(fr_source_seek(o.src, &to), FR_OK);
        o.next[i] = 5;
    }
    ck_assert_int_eq(rig_take(&o, 5000 - 20, rig_ms(20000)), 5000 - 20);
    ck_assert_int_eq(o.gaps, 0);
    ck_assert_int_eq(fr_source_close(o.src, rig_ms(10000)), FR_OK);
    ck_assert_int_eq(o.revoke_commit_err, FR_OK);
    fr_source_free(o.src);
    open_source(&p, NULL, 1, 0);
    ck_assert_int_eq(rig_produce(sk, &acks, FR_PARTITION_BY_KEY, 10, 0), 10);
    ck_assert(rig_serve_until(&p, 4, rig_ms(20000)));
    ck_assert_int_eq(rig_take(&p, 10, rig_ms(10000)), 10);
    ck_assert_int_eq(rig_take(&p, 1, 300), 0);
    fr_source_free(p.src);
    fr_sink_free(sk);
}
END_TEST

START_TEST(rebalance__joins_and_leaves_while_input_flows__commits_in_revoke_no_gap_no_repeat)
{
    struct rig_owner a = {.commit_at_revoke = true};
    make_topics(4);
    struct fr_sink *sk = rig_sink(brokers, &names, &acks);
    open_source(&a, NULL, 2, 0);
    ck_assert(rig_serve_until(&a, 4, rig_ms(20000)));
    int64_t got = 0, sent = 0, gaps = 0;
    for (int round = 0; round < 3; round++) {
        struct rig_owner b = {.commit_at_revoke = true};
        open_source(&b, NULL, 2, 0);
        int64_t deadline = rig_now_ms() + rig_ms(30000);
        while ((a.n_assigned != 2 || b.n_assigned != 2) && rig_now_ms() < deadline) {
            sent += rig_produce(sk, &acks, FR_PARTITION_BY_KEY, 20, 0);
            acks.n = 0;
            got += rig_take(&a, 15, 5) +
                   rig_take(&b, 15, 5); /* something stays in the lanes' queues */
        }
        ck_assert_int_eq(a.n_assigned, 2);
        ck_assert_int_eq(b.n_assigned, 2);
        got += rig_take(&b, 10, 200);
        ck_assert_int_eq(fr_source_close(b.src, rig_ms(10000)), FR_OK);
        ck_assert_int_eq(b.revoke_commit_err, FR_OK);
        ck_assert_int_eq(b.lost_revokes, 0);
        ck_assert_uint_eq(fr_kafka_source_strays(b.src), 0);
        gaps += b.gaps;
        fr_source_free(b.src);
        ck_assert(rig_serve_until(&a, 4, rig_ms(30000)));
        ck_assert_int_eq(a.revoke_commit_err, FR_OK);
    }
    got += rig_take(&a, (int)(sent - got), rig_ms(20000));
    ck_assert_int_eq(got, sent);
    ck_assert_int_eq(rig_take(&a, 1, 300), 0);
    ck_assert_int_eq(a.gaps + gaps, 0);
    ck_assert_uint_eq(fr_kafka_source_strays(a.src), 0);
    fr_source_free(a.src);
    fr_sink_free(sk);
}
END_TEST

START_TEST(static_membership__restart__assigned_at_once_and_old_instance_fenced)
{
    struct rig_owner a = {0}, b = {0}, c = {0};
    make_topics(2);
    struct fr_sink *sk = rig_sink(brokers, &names, &acks);
    ck_assert_int_eq(rig_produce(sk, &acks, 0, 10, 0), 10);
    open_source(&a, "daemon-1", 1, 0);
    ck_assert(rig_serve_until(&a, 2, rig_ms(20000)));
    ck_assert_int_eq(rig_take(&a, 10, rig_ms(10000)), 10);
    fr_source_free(a.src); /* a static member sends no leave */
    int64_t start = rig_now_ms();
    open_source(&b, "daemon-1", 1, 0);
    ck_assert(rig_serve_until(&b, 2, rig_ms(20000)));
    ck_assert_int_eq(rig_take(&b, 10, rig_ms(10000)), 10);
    int64_t took = rig_now_ms() - start;
    printf("static member: first batch %lld ms after restart\n", (long long)took);
    ck_assert_int_lt(took, rig_ms(5000)); /* the session timeout is 6 s */

    /* a second process with the same instance id takes over; the first is fenced everywhere */
    open_source(&c, "daemon-1", 1, 0);
    ck_assert(rig_serve_until(&c, 2, rig_ms(20000)));
    struct fr_position pos = {FR_TOPIC_EVENTS, 0, 3};
    ck_assert_int_eq(fr_source_commit(b.src, &pos, 1, rig_ms(5000)), FR_EFENCED);
    enum fr_err e = FR_OK;
    int64_t deadline = rig_now_ms() + rig_ms(15000);
    while (e == FR_OK && rig_now_ms() < deadline)
        e = fr_source_serve(b.src, 50);
    ck_assert_int_eq(e, FR_EFENCED);
    ck_assert_int_eq(fr_source_commit(c.src, &pos, 1, rig_ms(5000)), FR_OK);
    fr_source_free(b.src);
    fr_source_free(c.src);
    fr_sink_free(sk);
}
END_TEST

START_TEST(fencing__member_not_served_is_expelled__its_commit_is_refused)
{
    struct rig_owner a = {0}, b = {0};
    make_topics(2);
    struct fr_sink *sk = rig_sink(brokers, &names, &acks);
    ck_assert_int_eq(rig_produce(sk, &acks, 0, 10, 0), 10);
    open_source(&a, NULL, 1, 6000);
    ck_assert(rig_serve_until(&a, 2, rig_ms(20000)));
    open_source(&b, NULL, 1, 6000);
    ck_assert(rig_serve_until(&b, 2, rig_ms(40000))); /* a is a zombie: nobody serves it */
    struct fr_position pos = {FR_TOPIC_EVENTS, 0, 9}, back = pos;
    ck_assert_int_eq(fr_source_commit(b.src, &pos, 1, rig_ms(5000)), FR_OK);
    pos.offset = 2;
    ck_assert_int_eq(fr_source_commit(a.src, &pos, 1, rig_ms(5000)), FR_EFENCED);
    ck_assert_int_eq(fr_source_committed(b.src, &back, 1, rig_ms(5000)), FR_OK);
    ck_assert_int_eq(back.offset, 9);
    fr_source_free(b.src);
    fr_source_free(a.src);
    fr_sink_free(sk);
}
END_TEST

/* The group's answer waits in the queue, unread, when the source is closed: librdkafka never answers an
 * rd_kafka_assign() that comes after its group has ended (its issue 4884). */
START_TEST(close__assignment_not_yet_seen__ends)
{
    make_topics(2);
    for (int i = 0; i < 12; i++) {
        struct rig_owner o = {0};
        struct timespec pause = {i < 2 ? 4 : 0, (i < 2 ? 0 : i) * 3000000L};
        open_source(&o, "unread", 2, 0); /* from the second on a known member: assigned in milliseconds */
        nanosleep(&pause, NULL);
        int64_t start = rig_now_ms();
        ck_assert_int_eq(fr_source_close(o.src, rig_ms(10000)), FR_OK);
        ck_assert_int_lt(rig_now_ms() - start, rig_ms(5000));
        fr_source_free(o.src);
    }
}
END_TEST

START_TEST(offsets__out_of_range__partition_refused_and_others_read_on)
{
    struct rig_owner o = {.start_override = 30};
    make_topics(2);
    struct fr_sink *sk = rig_sink(brokers, &names, &acks);
    ck_assert_int_eq(rig_produce(sk, &acks, 0, 5, 0), 5);
    ck_assert_int_eq(rig_produce(sk, &acks, 1, 40, 0), 40);
    open_source(&o, NULL, 1, 0);
    ck_assert(rig_serve_until(&o, 2, rig_ms(20000)));
    int refused = 0, read = 0;
    int64_t deadline = rig_now_ms() + rig_ms(15000);
    while ((refused < 1 || read < 10) && rig_now_ms() < deadline) {
        struct fr_record rec;
        ck_assert_int_eq(fr_source_serve(o.src, 0), FR_OK);
        enum fr_err e = fr_source_poll(o.src, 0, 20, &rec);
        if (e == FR_EREFUSED) {
            ck_assert_int_eq(rec.partition, 0);
            ck_assert_int_eq(rec.refused, FR_ERANGE);
            refused++;
        } else if (e == FR_OK) {
            ck_assert_int_eq(rec.partition, 1);
            ck_assert_int_eq(rec.offset, 30 + read);
            read++;
            fr_source_release(o.src, &rec);
        }
    }
    ck_assert_int_eq(refused, 1);
    ck_assert_int_eq(read, 10);
    fr_source_free(o.src);
    fr_sink_free(sk);
}
END_TEST

START_TEST(partition_count__differs_or_missing__refused_with_remedy)
{
    struct fr_kafka_conn c = conn();
    struct fr_topic_report r[2];
    struct fr_fault fault = {0};
    struct rig_owner o = {0};
    struct fr_source_callbacks cb = rig_callbacks(&o);
    struct fr_kafka_source_opts opts = rig_source_opts(brokers, &names, group, 1, false);
    ck_assert_int_eq(fr_kafka_source_new(&opts, &cb, &o.src, &fault), FR_ENOTFOUND);
    ck_assert_ptr_nonnull(strstr(fault.msg, "topics create"));
    struct fr_topic_spec specs[2] = {
        {.name = names.name[FR_TOPIC_EVENTS], .partitions = 4, .replication = 1},
        {.name = names.name[FR_TOPIC_REQUESTS], .partitions = 2, .replication = 1}};
    ck_assert_int_eq(fr_kafka_topics_ensure(&c, specs, 2, true, rig_ms(20000), r, &fault), FR_OK);
    ck_assert_int_eq(fr_kafka_source_new(&opts, &cb, &o.src, &fault), FR_EMISMATCH);
    ck_assert_ptr_nonnull(strstr(fault.msg, "must be equal"));
    opts.events_only = true;
    ck_assert_int_eq(fr_kafka_source_new(&opts, &cb, &o.src, &fault), FR_OK);
    int32_t n = 0;
    ck_assert_int_eq(fr_source_partition_count(o.src, rig_ms(5000), &n, &fault), FR_OK);
    ck_assert_int_eq(n, 4);
    fr_source_free(o.src);
}
END_TEST

START_TEST(log_reader__items__from_start_and_from_offsets_until_caught_up)
{
    make_topics(3);
    struct fr_sink *sk = rig_sink(brokers, &names, &acks);
    int64_t ends[3] = {0};
    for (int i = 0; i < 300; i++) {
        char key[16];
        snprintf(key, sizeof key, "i%d", i % 50);
        struct fr_outgoing msg = {.role = FR_TOPIC_ITEMS,
                                  .partition = FR_PARTITION_BY_KEY,
                                  .key = fr_str_z(key),
                                  .value = i >= 290 ? (struct fr_str){NULL, 0} : FR_STR_LIT("{}"),
                                  .cookie = (uint64_t)i};
        ck_assert_int_eq(fr_sink_produce(sk, &msg), FR_OK);
    }
    ck_assert_int_eq(fr_sink_flush(sk, rig_ms(20000)), FR_OK);
    for (int i = 0; i < acks.n; i++)
        if (acks.a[i].offset + 1 > ends[acks.a[i].partition])
            ends[acks.a[i].partition] = acks.a[i].offset + 1;
    struct fr_kafka_log_reader_opts o = {
        .conn = conn(), .topic = names.name[FR_TOPIC_ITEMS], .role = FR_TOPIC_ITEMS};
    struct fr_log_reader *lr = NULL;
    struct fr_fault fault = {0};
    for (int pass = 0; pass < 2; pass++) {
        int64_t start[3] = {ends[0] - 1, 0, ends[2]};
        o.start = pass == 0 ? NULL : start;
        o.n_start = 3;
        int64_t want = pass == 0 ? 300 : 1 + ends[1], got = 0, nulls = 0;
        ck_assert_msg(fr_kafka_log_reader_new(&o, &lr, &fault) == FR_OK, "%s", fault.msg);
        ck_assert_int_eq(fr_log_reader_partitions(lr), 3);
        int64_t deadline = rig_now_ms() + rig_ms(20000);
        while (!fr_log_reader_caught_up(lr) && rig_now_ms() < deadline) {
            struct fr_record rec;
            if (fr_log_reader_poll(lr, 50, &rec) != FR_OK)
                continue;
            ck_assert_int_eq(rec.role, FR_TOPIC_ITEMS);
            got++;
            nulls += rec.value.p == NULL;
            fr_log_reader_release(lr, &rec);
        }
        ck_assert(fr_log_reader_caught_up(lr));
        ck_assert_int_eq(got, want);
        if (pass == 0)
            ck_assert_int_eq(nulls, 10);
        for (int32_t p = 0; p < 3; p++)
            ck_assert_int_eq(fr_log_reader_position(lr, p), ends[p]);
        fr_log_reader_free(lr);
    }
    int64_t beyond[3] = {ends[0] + 1, 0, 0};
    o.start = beyond;
    ck_assert_int_eq(fr_kafka_log_reader_new(&o, &lr, &fault), FR_ERANGE);
    o.n_start = 2;
    ck_assert_int_eq(fr_kafka_log_reader_new(&o, &lr, &fault), FR_EMISMATCH);
    fr_sink_free(sk);
}
END_TEST

START_TEST(sink__time_an_hour_and_more_ahead__refused_by_the_broker_not_endless)
{
    make_topics(1);
    struct fr_sink *sk = rig_sink(brokers, &names, &acks);
    struct fr_outgoing msg = {.role = FR_TOPIC_EVENTS,
                              .partition = 0,
                              .value = FR_STR_LIT("x"),
                              .ts_ms = ((int64_t)time(NULL) + 7200) * 1000,
                              .cookie = 5};
    ck_assert_int_eq(fr_sink_produce(sk, &msg), FR_OK);
    ck_assert_int_eq(fr_sink_flush(sk, rig_ms(20000)), FR_OK);
    ck_assert_int_eq(acks.n, 1);
    ck_assert_int_ne(acks.a[0].err, FR_OK);
    msg.ts_ms = 0;
    for (int tries = 0; tries < 50 && acks.ok < 1; tries++)
        if (fr_sink_produce(sk, &msg) == FR_OK)
            ck_assert_int_eq(fr_sink_flush(sk, rig_ms(20000)), FR_OK);
        else
            fr_sink_poll(sk, 100);
    ck_assert_int_eq(acks.ok, 1);
    fr_sink_free(sk);
}
END_TEST

int main(void)
{
    int rc = kafka_server_require("kafka.stream_kafka");
    if (rc != 0)
        return rc;
    Suite *s = suite_create("stream/kafka");
    TCase *tc = tcase_create("real");
    tcase_add_checked_fixture(tc, set_up, NULL);
    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, topics__create_then_verify_then_differ__told_apart);
    tcase_add_test(tc, round_trip__four_partitions_three_lanes__each_once_and_resume_from_commit);
    tcase_add_test(
        tc, rebalance__joins_and_leaves_while_input_flows__commits_in_revoke_no_gap_no_repeat);
    tcase_add_test(tc, static_membership__restart__assigned_at_once_and_old_instance_fenced);
    tcase_add_test(tc, fencing__member_not_served_is_expelled__its_commit_is_refused);
    tcase_add_test(tc, close__assignment_not_yet_seen__ends);
    tcase_add_test(tc, offsets__out_of_range__partition_refused_and_others_read_on);
    tcase_add_test(tc, partition_count__differs_or_missing__refused_with_remedy);
    tcase_add_test(tc, log_reader__items__from_start_and_from_offsets_until_caught_up);
    tcase_add_test(tc, sink__time_an_hour_and_more_ahead__refused_by_the_broker_not_endless);
    suite_add_tcase(s, tc);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
