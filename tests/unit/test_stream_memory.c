/* The in-process log and its source, sink and reader behave as Kafka's do, with scripted
 * misfortune. */
#include "daemon/stream/memory_source.h"

#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/alloc.h"
#include "daemon/base/hash.h"
#include "daemon/stream/memory_sink.h"
#include "tests/support/stream_rig.h"

static struct fr_memory_log *log_;
static struct fr_topic_names names;
static struct rig_acks acks;

static void set_up(void)
{
    memset(&acks, 0, sizeof acks);
    names = rig_names("t.");
    ck_assert_int_eq(fr_memory_log_new(&log_), FR_OK);
    ck_assert_int_eq(fr_memory_log_create_all(log_, &names, 4), FR_OK);
}

static void tear_down(void)
{
    fr_memory_log_free(log_);
}

static void append(int32_t partition, int n)
{
    for (int i = 0; i < n; i++) {
        char value[16];
        snprintf(value, sizeof value, "%d", i);
        struct fr_memory_record rec = {
            .ts_ms = 1000 + i, .key = FR_STR_LIT("k"), .value = fr_str_z(value)};
        ck_assert_int_eq(fr_memory_log_append(log_, "t.events", partition, &rec, NULL, NULL),
                         FR_OK);
    }
}

static void open_source(struct rig_owner *o, int lanes, bool manual)
{
    struct fr_memory_source_opts opts = {
        .log = log_, .names = &names, .group = "g", .n_lanes = lanes, .manual = manual};
    struct fr_source_callbacks cb = rig_callbacks(o);
    o->with_requests = true;
    ck_assert_int_eq(fr_memory_source_new(&opts, &cb, &o->src, NULL), FR_OK);
}

static struct fr_sink *sink(int queue)
{
    struct fr_memory_sink_opts o = {.log = log_,
                                    .names = &names,
                                    .queue_max_messages = queue,
                                    .ack = rig_ack,
                                    .ack_ctx = &acks};
    struct fr_sink *sk = NULL;
    ck_assert_int_eq(fr_memory_sink_new(&o, &sk), FR_OK);
    return sk;
}

START_TEST(append__by_key_and_fixed__partition_offset_and_content)
{
    struct fr_header h[] = {{"a", FR_STR_LIT("1")}, {"n", {NULL, 0}}};
    struct fr_memory_record rec = {
        .ts_ms = 7, .key = FR_STR_LIT("u42"), .value = {NULL, 0}, .headers = h, .n_headers = 2};
    const struct fr_memory_record *got;
    int32_t p;
    int64_t o, low, high;
    ck_assert_int_eq(fr_memory_log_append(log_, "t.events", -1, &rec, &p, &o), FR_OK);
    ck_assert_int_eq(p, fr_kafka_partition(FR_STR_LIT("u42"), 4));
    ck_assert_int_eq(o, 0);
    ck_assert_int_eq(fr_memory_log_read(log_, "t.events", p, 0, &got), FR_OK);
    ck_assert(fr_str_eqz(got->key, "u42"));
    ck_assert_ptr_null(got->value.p);
    ck_assert_int_eq(got->n_headers, 2);
    ck_assert_ptr_null(got->headers[1].value.p);
    ck_assert_int_eq(fr_memory_log_read(log_, "t.events", p, 1, &got), FR_ENOTFOUND);
    ck_assert_int_eq(fr_memory_log_read(log_, "t.events", p, 2, &got), FR_ERANGE);
    ck_assert_int_eq(fr_memory_log_append(log_, "nowhere", 0, &rec, NULL, NULL), FR_ENOTFOUND);
    ck_assert_int_eq(fr_memory_log_append(log_, "t.events", 4, &rec, NULL, NULL), FR_EINVAL);
    ck_assert_int_eq(fr_memory_log_create_topic(log_, "t.events", 4), FR_EDUPLICATE);
    ck_assert_int_eq(fr_memory_log_watermarks(log_, "t.events", p, &low, &high), FR_OK);
    ck_assert_int_eq(low * 10 + high, 1);
}
END_TEST

START_TEST(skip_and_truncate__holes_and_low__as_compaction_leaves_them)
{
    const struct fr_memory_record *got;
    int64_t low, high;
    append(0, 3);
    ck_assert_int_eq(fr_memory_log_skip(log_, "t.events", 0, 5), FR_OK);
    append(0, 1);
    ck_assert_int_eq(fr_memory_log_read(log_, "t.events", 0, 3, &got), FR_OK);
    ck_assert_int_eq(got->offset, 8);
    ck_assert_int_eq(fr_memory_log_truncate(log_, "t.events", 0, 2), FR_OK);
    ck_assert_int_eq(fr_memory_log_read(log_, "t.events", 0, 1, &got), FR_ERANGE);
    ck_assert_int_eq(fr_memory_log_watermarks(log_, "t.events", 0, &low, &high), FR_OK);
    ck_assert_int_eq(low, 2);
    ck_assert_int_eq(high, 9);
    struct rig_owner o = {0};
    open_source(&o, 1, false);
    ck_assert(rig_serve_until(&o, 4, 1000));
    ck_assert_int_eq(rig_take(&o, 2, 1000), 2);
    ck_assert_int_eq(o.gaps, 5);
    fr_source_free(o.src);
}
END_TEST

START_TEST(source__all_partitions__lanes_seek_and_redelivery_from_commit)
{
    struct rig_owner o = {0}, p = {0};
    for (int i = 0; i < 4; i++)
        append(i, 10);
    open_source(&o, 3, false);
    ck_assert(rig_serve_until(&o, 4, 1000));
    ck_assert_int_eq(rig_take(&o, 40, 1000), 40);
    ck_assert_int_eq(rig_take(&o, 1, 20), 0);
    ck_assert_int_eq(o.lane_mismatch + o.gaps, 0);
    struct fr_position to = {FR_TOPIC_EVENTS, 2, 4}, nobody = {FR_TOPIC_EVENTS, 77, 0};
    ck_assert_int_eq(fr_source_seek(o.src, &to), FR_OK);
    ck_assert_int_eq(fr_source_seek(o.src, &nobody), FR_ESTATE);
    o.next[2] = 4;
    ck_assert_int_eq(rig_take(&o, 6, 1000), 6);
    struct fr_position c = {FR_TOPIC_EVENTS, 1, 7};
    ck_assert_int_eq(fr_source_commit(o.src, &c, 1, 100), FR_OK);
    fr_source_free(o.src);
    open_source(&p, 1, false);
    ck_assert(rig_serve_until(&p, 4, 1000));
    ck_assert_int_eq(p.next[1], 7);
    ck_assert_int_eq(rig_take(&p, 33, 1000), 33);
    ck_assert_int_eq(rig_take(&p, 1, 20), 0);
    fr_source_free(p.src);
}
END_TEST

START_TEST(source__start_below_low__refused_with_range)
{
    struct rig_owner o = {0};
    struct fr_record rec;
    append(0, 5);
    ck_assert_int_eq(fr_memory_log_commit(log_, "g", "t.events", 0, 1, 0), FR_OK);
    ck_assert_int_eq(fr_memory_log_truncate(log_, "t.events", 0, 3), FR_OK);
    open_source(&o, 1, false);
    ck_assert(rig_serve_until(&o, 4, 1000));
    ck_assert_int_eq(fr_source_poll(o.src, 0, 100, &rec), FR_EREFUSED);
    ck_assert_int_eq(rec.refused, FR_ERANGE);
    ck_assert_int_eq(rec.partition, 0);
    fr_source_release(o.src, &rec);
    ck_assert_int_eq(fr_source_poll(o.src, 0, 20, &rec), FR_EAGAIN); /* said once, then silent */
    fr_source_free(o.src);
}
END_TEST

START_TEST(rebalance__two_members__the_loser_is_fenced)
{
    const int32_t all[] = {0, 1, 2, 3}, half[] = {0, 1};
    struct rig_owner a = {.commit_at_revoke = true}, b = {0};
    append(2, 10);
    open_source(&a, 2, true);
    open_source(&b, 2, true);
    ck_assert_int_eq(fr_memory_source_rebalance(a.src, all, 4, false), FR_OK);
    ck_assert(rig_serve_until(&a, 4, 1000));
    ck_assert_int_eq(rig_take(&a, 6, 1000), 6);
    /* in order: a gives up 2 and 3, commits; b takes them and starts there */
    ck_assert_int_eq(fr_memory_source_rebalance(a.src, half, 2, false), FR_OK);
    ck_assert(rig_serve_until(&a, 2, 1000));
    ck_assert_int_eq(a.revokes, 1);
    ck_assert_int_eq(a.revoke_commit_err, FR_OK);
    ck_assert_int_eq(fr_memory_source_rebalance(b.src, all + 2, 2, false), FR_OK);
    ck_assert(rig_serve_until(&b, 2, 1000));
    ck_assert_int_eq(b.next[2], 6);
    ck_assert_int_eq(rig_take(&b, 4, 1000), 4);
    struct fr_position pos = {FR_TOPIC_EVENTS, 2, 8};
    ck_assert_int_eq(fr_source_commit(a.src, &pos, 1, 100), FR_EFENCED);
    ck_assert_int_eq(fr_source_commit(b.src, &pos, 1, 100), FR_OK);
    /* lost: no commit is possible any more */
    ck_assert_int_eq(fr_memory_source_rebalance(b.src, NULL, 0, true), FR_OK);
    ck_assert(rig_serve_until(&b, 0, 1000));
    ck_assert_int_eq(b.lost_revokes, 1);
    pos.offset = 10;
    ck_assert_int_eq(fr_source_commit(b.src, &pos, 1, 100), FR_EFENCED);
    fr_source_free(a.src);
    fr_source_free(b.src);
}
END_TEST

START_TEST(source__scripted_errors__polls_and_commits_fail_then_go_on)
{
    struct rig_owner o = {0};
    struct fr_record rec;
    append(0, 3);
    open_source(&o, 1, false);
    ck_assert(rig_serve_until(&o, 4, 1000));
    fr_memory_source_fail_polls(o.src, FR_EKAFKA, 2);
    ck_assert_int_eq(fr_source_poll(o.src, 0, 10, &rec), FR_EKAFKA);
    ck_assert_int_eq(fr_source_poll(o.src, 0, 10, &rec), FR_EKAFKA);
    ck_assert_int_eq(rig_take(&o, 3, 1000), 3);
    struct fr_position c = {FR_TOPIC_EVENTS, 0, 3}, back = c;
    fr_memory_source_fail_commits(o.src, FR_ETIMEOUT, 1);
    ck_assert_int_eq(fr_source_commit(o.src, &c, 1, 10), FR_ETIMEOUT);
    ck_assert_int_eq(fr_source_committed(o.src, &back, 1, 10), FR_OK);
    ck_assert_int_eq(back.offset, FR_OFFSET_NONE);
    ck_assert_int_eq(fr_source_commit(o.src, &c, 1, 10), FR_OK);
    fr_source_free(o.src);
}
END_TEST

START_TEST(sink__hold_shuffle_and_full__acks_as_scripted)
{
    struct fr_sink *sk = sink(8);
    fr_memory_sink_hold(sk, true);
    struct fr_outgoing msg = {
        .role = FR_TOPIC_RECOMMENDATIONS, .partition = 0, .value = FR_STR_LIT("x")};
    for (uint64_t i = 0; i < 8; i++) {
        msg.cookie = i;
        ck_assert_int_eq(fr_sink_produce(sk, &msg), FR_OK);
    }
    ck_assert_int_eq(fr_sink_produce(sk, &msg), FR_EFULL);
    ck_assert_int_eq(fr_sink_poll(sk, 1), 0);
    ck_assert_int_eq(fr_sink_flush(sk, 5), FR_ETIMEOUT);
    fr_memory_sink_shuffle(sk, 4);
    fr_memory_sink_hold(sk, false);
    ck_assert_int_eq(fr_sink_flush(sk, 1000), FR_OK);
    ck_assert_int_eq(acks.ok, 8);
    int in_order = 0;
    uint64_t seen = 0;
    for (int i = 0; i < 8; i++) {
        in_order += acks.a[i].cookie == (uint64_t)i;
        seen |= UINT64_C(1) << acks.a[i].cookie;
    }
    ck_assert_uint_eq(seen, 255);
    ck_assert_int_lt(in_order, 8);
    fr_sink_free(sk);
}
END_TEST

START_TEST(sink__scripted_failures__stored_or_not)
{
    struct fr_sink *sk = sink(0);
    struct fr_outgoing msg = {.role = FR_TOPIC_EVENTS, .partition = 1, .value = FR_STR_LIT("x")};
    int64_t low, high;
    fr_memory_sink_fail(sk, 1, 2, FR_EAGAIN, _i == 1);
    for (uint64_t i = 0; i < 4; i++) {
        msg.cookie = i;
        ck_assert_int_eq(fr_sink_produce(sk, &msg), FR_OK);
    }
    ck_assert_int_eq(fr_sink_flush(sk, 1000), FR_OK);
    static const enum fr_err want[] = {FR_OK, FR_EAGAIN, FR_EAGAIN, FR_OK};
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(acks.a[i].err, want[i]);
    ck_assert_int_eq(fr_memory_log_watermarks(log_, "t.events", 1, &low, &high), FR_OK);
    ck_assert_int_eq(high, _i == 1 ? 4 : 2);
    fr_sink_free(sk);
}
END_TEST

START_TEST(sink__sizes_topics_and_purge__refused_and_given_up)
{
    static char big[1000001];
    struct fr_sink *sk = sink(0);
    struct fr_outgoing msg = {.role = FR_TOPIC_EVENTS, .partition = 0, .value = {big, sizeof big}};
    ck_assert_int_eq(fr_sink_produce(sk, &msg), FR_ETOOLARGE);
    msg.value = FR_STR_LIT("x");
    msg.topic = "nowhere";
    ck_assert_int_eq(fr_sink_produce(sk, &msg), FR_EINVAL);
    msg.topic = "t.items";
    fr_memory_sink_hold(sk, true);
    ck_assert_int_eq(fr_sink_produce(sk, &msg), FR_OK);
    fr_sink_purge(sk);
    ck_assert_int_eq(acks.n, 1);
    ck_assert_int_eq(acks.a[0].err, FR_EAGAIN);
    ck_assert_uint_eq(fr_sink_in_flight(sk), 0);
    fr_sink_free(sk);
}
END_TEST

START_TEST(reader__holes_and_start__caught_up_at_the_targets)
{
    struct fr_log_reader *lr = NULL;
    struct fr_record rec;
    int64_t start[4] = {2, 0, 0, 0};
    append(0, 4);
    append(3, 2);
    ck_assert_int_eq(fr_memory_log_skip(log_, "t.events", 3, 3), FR_OK); /* trailing hole */
    ck_assert_int_eq(fr_memory_log_reader_new(log_, "t.events", FR_TOPIC_ITEMS, start, 3, &lr),
                     FR_EMISMATCH);
    ck_assert_int_eq(fr_memory_log_reader_new(log_, "t.events", FR_TOPIC_ITEMS, start, 4, &lr),
                     FR_OK);
    append(1, 1); /* after the targets were taken: delivered too */
    int n = 0;
    while (fr_log_reader_poll(lr, 10, &rec) == FR_OK) {
        n++;
        fr_log_reader_release(lr, &rec);
    }
    ck_assert_int_eq(n, 2 + 2 + 1);
    ck_assert(fr_log_reader_caught_up(lr));
    ck_assert_int_eq(fr_log_reader_target(lr, 3), 5);
    ck_assert_int_eq(fr_log_reader_target(lr, 1), 0);
    ck_assert_int_eq(fr_log_reader_position(lr, 0), 4);
    fr_log_reader_free(lr);
}
END_TEST

#define PER_THREAD 2000

static void *producer(void *arg)
{
    struct fr_sink *sk = arg;
    for (int i = 0; i < PER_THREAD; i++) {
        struct fr_outgoing msg = {.role = FR_TOPIC_EVENTS,
                                  .partition = i % 4,
                                  .value = FR_STR_LIT("x"),
                                  .cookie = (uint64_t)i};
        while (fr_sink_produce(sk, &msg) != FR_OK)
            fr_sink_poll(sk, 1);
    }
    return NULL;
}

static void *lane(void *arg)
{
    struct rig_owner *o = arg;
    struct fr_record rec;
    int64_t last[4] = {-1, -1, -1, -1};
    int n = 0;
    int64_t deadline = rig_now_ms() + rig_ms(20000);
    while (n < PER_THREAD &&
           rig_now_ms() < deadline) { /* lane 1 of 2: partitions 1 and 3, two producers */
        if (fr_source_poll(o->src, 1, 50, &rec) != FR_OK)
            continue;
        if (rec.offset != last[rec.partition] + 1)
            return NULL;
        last[rec.partition] = rec.offset;
        n++;
        fr_source_release(o->src, &rec);
    }
    return n == PER_THREAD ? o : NULL;
}

static void
ignore_ack(void *ctx, uint64_t cookie, enum fr_err err, int32_t partition, int64_t offset)
{
    (void)ctx;
    (void)cookie;
    (void)err;
    (void)partition;
    (void)offset;
}

START_TEST(threads__two_producers_and_two_lanes__every_record_in_order)
{
    struct rig_owner o = {0};
    struct fr_sink *sk[2];
    pthread_t t[3];
    void *lane_ok = NULL;
    struct fr_memory_sink_opts so = {
        .log = log_, .names = &names, .queue_max_messages = 16, .ack = ignore_ack};
    open_source(&o, 2, false);
    ck_assert(rig_serve_until(&o, 4, 1000));
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(fr_memory_sink_new(&so, &sk[i]), FR_OK);
    ck_assert_int_eq(pthread_create(&t[2], NULL, lane, &o), 0);
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_create(&t[i], NULL, producer, sk[i]), 0);
    int n = 0;
    int64_t deadline = rig_now_ms() + rig_ms(20000);
    struct fr_record rec;
    while (n < PER_THREAD && rig_now_ms() < deadline) {
        ck_assert_int_eq(fr_source_serve(o.src, 0), FR_OK);
        if (fr_source_poll(o.src, 0, 10, &rec) == FR_OK) {
            n++;
            fr_source_release(o.src, &rec);
        }
    }
    for (int i = 0; i < 2; i++)
        pthread_join(t[i], NULL);
    pthread_join(t[2], &lane_ok);
    ck_assert_int_eq(n, PER_THREAD);
    ck_assert_ptr_eq(lane_ok, &o);
    fr_sink_free(sk[0]);
    fr_sink_free(sk[1]);
    fr_source_free(o.src);
}
END_TEST

START_TEST(names__prefix_length_and_letters__checked)
{
    struct fr_topic_names n;
    char longest[300];
    memset(longest, 'x', sizeof longest);
    longest[240] = '\0';
    ck_assert_int_eq(fr_topic_names_init(&n, longest), FR_ETOOLARGE); /* 240 + "recommendations" */
    ck_assert_int_eq(fr_topic_names_init(&n, "a b"), FR_EINVAL);
    ck_assert_int_eq(fr_topic_names_init(&n, NULL), FR_OK);
    ck_assert_str_eq(n.name[FR_TOPIC_DEAD_LETTERS], "dead-letters");
    ck_assert_int_eq(fr_topic_names_set(&n, FR_TOPIC_ITEMS, "katalog/1"), FR_EINVAL);
    ck_assert_int_eq(fr_topic_names_set(&n, FR_TOPIC_ITEMS, "katalog_1"), FR_OK);
    ck_assert_int_eq(fr_topic_names_find(&n, "katalog_1"), FR_TOPIC_ITEMS);
    ck_assert_int_eq(fr_topic_names_find(&n, "items"), FR_TOPIC_COUNT);
    for (int r = 0; r < FR_TOPIC_COUNT; r++)
        ck_assert_ptr_nonnull(fr_topic_role_name((enum fr_topic_role)r));
}
END_TEST

/* Everything once; false when an allocation failed, with nothing left behind (ASan looks). */
static bool whole_life(void)
{
    struct fr_memory_log *log = NULL;
    struct fr_source *src = NULL;
    struct fr_sink *sk = NULL;
    struct fr_log_reader *lr = NULL;
    struct rig_owner o = {0};
    struct fr_source_callbacks cb = rig_callbacks(&o);
    struct fr_header h[] = {{"a", FR_STR_LIT("1")}};
    struct fr_memory_record rec = {
        .ts_ms = 1, .key = FR_STR_LIT("k"), .value = FR_STR_LIT("v"), .headers = h, .n_headers = 1};
    struct fr_outgoing msg = {.role = FR_TOPIC_EVENTS,
                              .partition = 0,
                              .value = FR_STR_LIT("v"),
                              .headers = h,
                              .n_headers = 1};
    enum fr_err e = fr_memory_log_new(&log);
    if (e == FR_OK)
        e = fr_memory_log_create_all(log, &names, 2);
    if (e == FR_OK)
        e = fr_memory_log_append(log, "t.events", 0, &rec, NULL, NULL);
    struct fr_memory_source_opts so = {.log = log, .names = &names, .group = "g", .n_lanes = 2};
    if (e == FR_OK)
        e = fr_memory_source_new(&so, &cb, &src, NULL);
    struct fr_memory_sink_opts ko = {.log = log, .names = &names, .ack = ignore_ack};
    if (e == FR_OK)
        e = fr_memory_sink_new(&ko, &sk);
    if (e == FR_OK)
        e = fr_sink_produce(sk, &msg);
    if (e == FR_OK)
        e = fr_memory_log_commit(log, "g", "t.events", 0, 1, 0);
    if (e == FR_OK)
        e = fr_memory_log_reader_new(log, "t.events", FR_TOPIC_EVENTS, NULL, 0, &lr);
    ck_assert(e == FR_OK || e == FR_ENOMEM);
    if (lr != NULL)
        fr_log_reader_free(lr);
    fr_sink_free(sk);
    fr_source_free(src);
    fr_memory_log_free(log);
    return e == FR_OK;
}

START_TEST(allocations__each_fails_in_turn__reported_and_nothing_leaks)
{
    uint64_t n = 0;
    bool done = false;
    while (!done && n < 1000) {
        fr_alloc_fail_at(++n);
        done = whole_life();
        fr_alloc_fail_at(0);
    }
    ck_assert(done);
    ck_assert_uint_gt(n, 10);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("stream/memory");
    TCase *tc = tcase_create("all");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_set_timeout(tc, 40);
    tcase_add_test(tc, append__by_key_and_fixed__partition_offset_and_content);
    tcase_add_test(tc, skip_and_truncate__holes_and_low__as_compaction_leaves_them);
    tcase_add_test(tc, source__all_partitions__lanes_seek_and_redelivery_from_commit);
    tcase_add_test(tc, source__start_below_low__refused_with_range);
    tcase_add_test(tc, rebalance__two_members__the_loser_is_fenced);
    tcase_add_test(tc, source__scripted_errors__polls_and_commits_fail_then_go_on);
    tcase_add_test(tc, sink__hold_shuffle_and_full__acks_as_scripted);
    tcase_add_loop_test(tc, sink__scripted_failures__stored_or_not, 0, 2);
    tcase_add_test(tc, sink__sizes_topics_and_purge__refused_and_given_up);
    tcase_add_test(tc, reader__holes_and_start__caught_up_at_the_targets);
    tcase_add_test(tc, threads__two_producers_and_two_lanes__every_record_in_order);
    tcase_add_test(tc, allocations__each_fails_in_turn__reported_and_nothing_leaks);
    tcase_add_test(tc, names__prefix_length_and_letters__checked);
    suite_add_tcase(s, tc);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
