/* A topic in memory: merged over its partitions by time, the same whatever order the reader gives. */
#include "daemon/learn/stream_log.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/rng.h"
#include "daemon/learn/stream_examples.h"
#include "daemon/stream/log_each.h"
#include "daemon/stream/memory_log.h"
#include "daemon/stream/memory_source.h"
#include "daemon/stream/sink.h"
#include "tests/support/feat.h"

static enum fr_err put(struct fr_stream_log *log, int partition, int64_t offset, int64_t record_ts, const char *value)
{
    struct fr_record r = {.partition = partition, .offset = offset, .ts_ms = record_ts};

    r.key = fr_str_z("k");
    if (value != NULL)
        r.value = fr_str_z(value);
    return fr_stream_log_add(log, &r);
}

START_TEST(partitions_are_merged_by_the_newest_time_so_far)
{
    static const char *const want[] = {"{\"ts\":10}", "{\"ts\":20}", "{\"ts\":15}", "x", "{\"ts\":30}", NULL};
    struct fr_stream_log log;

    memset(&log, 0, sizeof(log));
    ck_assert_int_eq(put(&log, 2, 0, 1, "{\"ts\":20}"), FR_OK);
    ck_assert_int_eq(put(&log, 2, 1, 1, "{\"ts\":15}"), FR_OK); /* late: stays behind the one before it */
    ck_assert_int_eq(put(&log, 0, 7, 1, "{\"ts\":10}"), FR_OK);
    ck_assert_int_eq(put(&log, 0, 8, 25, "x"), FR_OK);          /* no JSON: the record's time */
    ck_assert_int_eq(put(&log, 0, 9, 1, "{\"ts\":30}"), FR_OK);
    ck_assert_int_eq(put(&log, 2, 2, 31, NULL), FR_OK);
    fr_stream_log_finish(&log, 3);
    ck_assert_int_eq(log.partitions, 3);
    ck_assert_uint_eq(log.n, 6);
    for (size_t i = 0; i < log.n; i++) {
        struct fr_stream_value v = fr_stream_log_get(&log, i);
        ck_assert(fr_str_eq(v.key, FR_STR_LIT("k")));
        if (want[i] == NULL)
            ck_assert_ptr_null(v.value.p);
        else
            ck_assert_msg(fr_str_eq(v.value, fr_str_z(want[i])), "%zu: %.*s", i, (int)v.value.n, v.value.p);
    }
    fr_stream_log_done(&log);
    ck_assert_int_eq(put(&log, -1, 0, 0, "x"), FR_ERANGE);
    fr_stream_log_done(&log);
}
END_TEST

#define EVENTS 600
#define PARTS 3

/* The same events as lines, and as a topic whose partitions hold them by key. */
struct both {
    struct fr_buf lines;
    struct fr_memory_log *mem;
};

static void make(struct both *b)
{
    struct fr_rng r;

    fr_rng_seed(&r, 4);
    fr_buf_init(&b->lines);
    ck_assert_int_eq(fr_memory_log_new(&b->mem), FR_OK);
    ck_assert_int_eq(fr_memory_log_create_topic(b->mem, "events", PARTS), FR_OK);
    for (int i = 0; i < EVENTS; i++) {
        struct fr_memory_record rec = {0, 1790000000000LL + i * 1000, {NULL, 0}, {NULL, 0}, NULL, 0};
        char user[16], json[256];
        int64_t offset;

        snprintf(user, sizeof(user), "u%d", (int)fr_rng_below(&r, 30));
        snprintf(json, sizeof(json), "{\"event_id\":\"e%d\",\"type\":\"click\",\"user_id\":\"%s\",\"item_id\":\"i%d\",\"ts\":%lld}",
                 i, user, (int)fr_rng_below(&r, 50), 1790000000000LL + i * 1000);
        fr_buf_printf(&b->lines, "%s\n", json);
        rec.key = fr_str_z(user);
        rec.value = fr_str_z(json);
        ck_assert_int_eq(fr_memory_log_append(b->mem, "events", FR_PARTITION_BY_KEY, &rec, NULL, &offset), FR_OK);
    }
}

START_TEST(a_topic_gives_the_labels_of_its_file)
{
    struct both b;
    struct fr_spec *spec = feat_spec(NULL);
    struct fr_log_reader *lr = NULL;
    struct fr_stream_log log;
    struct fr_log_each_opts each = {.stall_ms = 1000, .fn = fr_stream_log_add, .ctx = &log};
    struct fr_memory_record wrong = {0, 1790000000500LL, {NULL, 0}, {NULL, 0}, NULL, 0};
    struct fr_stream_input file = {.spec = spec}, topic = {.spec = spec, .event_log = &log};
    struct fr_stream_labels l1, l2;
    uint64_t n;
    int64_t offset;

    memset(&log, 0, sizeof(log));
    make(&b);
    /* a record in a partition that is not its key's: what the lane buries, training must not see */
    wrong.key = FR_STR_LIT("u1");
    wrong.value = FR_STR_LIT("{\"event_id\":\"w\",\"type\":\"click\",\"user_id\":\"u1\",\"item_id\":\"i1\",\"ts\":1790000000500}");
    ck_assert_int_eq(fr_memory_log_append(b.mem, "events", (fr_kafka_partition(wrong.key, PARTS) + 1) % PARTS, &wrong,
                                          NULL, &offset), FR_OK);
    ck_assert_int_eq(fr_memory_log_reader_new(b.mem, "events", FR_TOPIC_EVENTS, NULL, 0, &lr), FR_OK);
    /* what comes after the reader was made is not read */
    ck_assert_int_eq(fr_memory_log_append(b.mem, "events", FR_PARTITION_BY_KEY, &wrong, NULL, &offset), FR_OK);
    ck_assert_int_eq(fr_log_each(lr, &each, &n, NULL), FR_OK);
    ck_assert_uint_eq(n, EVENTS + 1);
    fr_stream_log_finish(&log, fr_log_reader_partitions(lr));
    file.events = fr_buf_str(&b.lines);
    ck_assert_uint_eq(fr_stream_input_events(&file), EVENTS);
    ck_assert_uint_eq(fr_stream_input_events(&topic), EVENTS + 1);
    ck_assert_int_eq(fr_stream_labels_find(&file, &l1, NULL), FR_OK);
    ck_assert_int_eq(fr_stream_labels_find(&topic, &l2, NULL), FR_OK);
    ck_assert_uint_eq(l2.n_refused, 1);
    ck_assert_ptr_nonnull(strstr(l2.first_refused, "in a partition its key does not map to"));
    ck_assert_str_eq(l1.first_refused, "");
    ck_assert_uint_eq(l1.n_labels, l2.n_labels);
    /* times are distinct, so the merged order is the file's, the refused record aside */
    for (size_t i = 0, k = 0; i < EVENTS; i++, k++) {
        struct fr_stream_value v = fr_stream_log_get(&log, k);
        if (fr_str_eq(v.value, wrong.value))
            k++;
        ck_assert_uint_eq(l1.item[i], l2.item[k]);
    }
    fr_stream_labels_done(&l1);
    fr_stream_labels_done(&l2);
    fr_stream_log_done(&log);
    fr_log_reader_free(lr);
    fr_memory_log_free(b.mem);
    fr_buf_done(&b.lines);
    fr_spec_free(spec);
}
END_TEST

static enum fr_err refuse(void *ctx, const struct fr_record *r)
{
    (void)r;
    return ++*(int *)ctx == 3 ? FR_EFULL : FR_OK;
}

START_TEST(an_error_of_the_taker_ends_the_reading_and_names_the_place)
{
    struct both b;
    struct fr_log_reader *lr = NULL;
    int calls = 0;
    struct fr_log_each_opts each = {.stall_ms = 1000, .fn = refuse, .ctx = &calls};
    struct fr_fault fault = {FR_OK, NULL, 0, ""};

    make(&b);
    ck_assert_int_eq(fr_memory_log_reader_new(b.mem, "events", FR_TOPIC_EVENTS, NULL, 0, &lr), FR_OK);
    ck_assert_int_eq(fr_log_each(lr, &each, NULL, &fault), FR_EFULL);
    ck_assert_int_eq(calls, 3);
    ck_assert_msg(strstr(fault.msg, "partition ") != NULL && strstr(fault.msg, "offset ") != NULL, "%s", fault.msg);
    fr_log_reader_free(lr);
    fr_memory_log_free(b.mem);
    fr_buf_done(&b.lines);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("learn_stream_log");
    TCase *tc = tcase_create("log");
    SRunner *sr;
    int failed;

    tcase_add_test(tc, partitions_are_merged_by_the_newest_time_so_far);
    tcase_add_test(tc, a_topic_gives_the_labels_of_its_file);
    tcase_add_test(tc, an_error_of_the_taker_ends_the_reading_and_names_the_place);
    suite_add_tcase(s, tc);
    sr = srunner_create(s);
    srunner_run_all(sr, CK_ENV);
    failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
