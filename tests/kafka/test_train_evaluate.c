/*
 * tests/kafka/test_train_evaluate.c - `freshet train` and `freshet evaluate` read topics of a real Kafka to
 * their present end, and say what they say of the same records in files; a training that was killed goes on.
 * ctest: labels proc
 * ctest: timeout 240
 */
#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/base/alloc.h"
#include "daemon/base/arena.h"
#include "daemon/base/buf.h"
#include "daemon/base/hash.h"
#include "daemon/base/json.h"
#include "daemon/base/rng.h"
#include "daemon/stream/kafka_sink.h"
#include "daemon/stream/kafka_topics.h"
#include "tests/support/kafka_server.h"
#include "tests/support/proc.h"
#include "tests/support/tmpdir.h"

#define PARTS 3
#define EVENTS 1500
#define ITEMS 60
#define T0 1790000000000LL

static char prefix[100], brokers[120], *dir, *file[PARTS], *lists;
static struct fr_topic_names names;
static struct fr_sink *sink;

static void on_ack(void *ctx, uint64_t cookie, enum fr_err err, int32_t partition, int64_t offset)
{
    (void)ctx;
    (void)cookie;
    (void)partition;
    (void)offset;
    ck_assert_int_eq(err, FR_OK);
}

static char *path_of(const char *name)
{
    char *p = fr_calloc(512, 1);

    ck_assert(p != NULL && tmpdir_path(dir, name, p, 512));
    return p;
}

static void produce(enum fr_topic_role role, const char *key, const char *value)
{
    struct fr_outgoing m = {.role = role, .partition = FR_PARTITION_BY_KEY, .key = fr_str_z(key), .value = fr_str_z(value)};

    ck_assert_int_eq(fr_sink_produce(sink, &m), FR_OK);
}

/* The same records into topics and, one file a partition, into files. */
static void make(void)
{
    struct fr_buf b[PARTS], l;
    long offset[PARTS] = {0};
    struct fr_rng r;

    fr_rng_seed(&r, 2);
    fr_buf_init(&l);
    for (int p = 0; p < PARTS; p++)
        fr_buf_init(&b[p]);
    for (int i = 0; i < ITEMS; i++) {
        char id[16], json[100];
        snprintf(id, sizeof(id), "i%d", i);
        snprintf(json, sizeof(json), "{\"item_id\":\"%s\",\"title\":\"thing %d\"}", id, i);
        produce(FR_TOPIC_ITEMS, id, json);
    }
    for (int n = 0; n < EVENTS; n++) {
        int u = (int)fr_rng_below(&r, 40), i = (u % 6 * 10 + (int)fr_rng_below(&r, 14)) % ITEMS;
        char user[16], json[300];
        int p;
        snprintf(user, sizeof(user), "u%d", u);
        p = fr_kafka_partition(fr_str_z(user), PARTS);
        snprintf(json, sizeof(json), "{\"event_id\":\"e%d\",\"type\":\"click\",\"user_id\":\"%s\",\"item_id\":\"i%d\",\"ts\":%lld}",
                 n, user, i, T0 + n * 1000LL);
        produce(FR_TOPIC_EVENTS, user, json);
        fr_buf_printf(&b[p], "%s\n", json);
        snprintf(json, sizeof(json), "{\"items\":[{\"item_id\":\"i%d\"},{\"item_id\":\"i%d\"}],\"trigger\":{\"partition\":%d,\"offset\":%ld}}",
                 (i + 1) % ITEMS, (i + 2) % ITEMS, p, offset[p]++);
        produce(FR_TOPIC_RECOMMENDATIONS, user, json);
        fr_buf_printf(&l, "%s\n", json);
    }
    ck_assert_int_eq(fr_sink_flush(sink, (int)proc_deadline_ms(30000)), FR_OK);
    for (int p = 0; p < PARTS; p++) {
        char name[16];
        snprintf(name, sizeof(name), "events%d", p);
        file[p] = path_of(name);
        ck_assert(offset[p] > 50 && tmpdir_write(file[p], b[p].p, b[p].n));
        fr_buf_done(&b[p]);
    }
    lists = path_of("lists");
    ck_assert(tmpdir_write(lists, l.p, l.n));
    fr_buf_done(&l);
}

static void setup(void)
{
    struct fr_topic_spec specs[FR_TOPIC_COUNT];
    struct fr_topic_report reports[FR_TOPIC_COUNT];
    struct fr_fault fault = {FR_OK, NULL, 0, ""};
    struct fr_kafka_sink_opts ko = {.names = &names, .ack = on_ack};
    char unique[62];
    int n;

    (void)signal(SIGPIPE, SIG_IGN);
    kafka_server_unique("te", unique, sizeof(unique));
    snprintf(prefix, sizeof(prefix), "topics.prefix=%s.", unique);
    snprintf(brokers, sizeof(brokers), "kafka.brokers=%s", kafka_server_shared());
    ck_assert_int_eq(fr_topic_names_init(&names, prefix + strlen("topics.prefix=")), FR_OK);
    ko.conn = (struct fr_kafka_conn){.brokers = kafka_server_shared()};
    n = fr_kafka_topics_default(&names, PARTS, 1, specs);
    ck_assert_msg(fr_kafka_topics_ensure(&ko.conn, specs, n, true, 30000, reports, &fault) == FR_OK, "%s", fault.msg);
    ck_assert_int_eq(fr_kafka_sink_new(&ko, &sink, &fault), FR_OK);
    dir = tmpdir_make();
    make();
}

static void teardown(void)
{
    fr_sink_free(sink);
    for (int p = 0; p < PARTS; p++)
        fr_free(file[p]);
    fr_free(lists);
    tmpdir_free(dir);
}

/* Run and return the last line of standard output, which is JSON; owned by the caller. */
static char *json_of(const char *const argv[])
{
    struct proc *p = proc_spawn(argv, NULL);
    const char *out, *at;
    char *line;
    size_t n;

    ck_assert_ptr_nonnull(p);
    ck_assert_msg(proc_wait(p, 60000) == 0, "%s", proc_output(p, 2, 0));
    out = proc_output(p, 1, 0);
    n = strlen(out);
    ck_assert(n > 1 && out[n - 1] == '\n');
    for (at = out + n - 1; at > out && at[-1] != '\n';)
        at--;
    line = fr_memdup0(at, (size_t)(out + n - 1 - at));
    proc_free(p);
    ck_assert_ptr_nonnull(line);
    return line;
}

START_TEST(evaluate_says_of_topics_what_it_says_of_files)
{
    const char *const topics[] = {FR_BUILD_DIR "/freshet", "evaluate", "--stream", "--from-topics", "--set", prefix, "--set",
                                  brokers, "--json", "--quiet", NULL};
    const char *const files[] = {FR_BUILD_DIR "/freshet", "evaluate", "--stream", "--events", file[0], "--events", file[1],
                                 "--events", file[2], "--recommendations", lists, "--json", "--quiet", NULL};
    char *a = json_of(topics), *b = json_of(files);

    ck_assert_str_eq(a, b);
    ck_assert_ptr_nonnull(strstr(a, "\"events\":1500,"));
    ck_assert_ptr_nonnull(strstr(a, "\"lists\":1500,"));
    ck_assert_ptr_nonnull(strstr(a, "\"lists_missing\":0,"));
    fr_free(a);
    fr_free(b);
}
END_TEST

static int64_t number(const char *json, const char *key)
{
    const struct fr_json *root, *v;
    struct fr_arena *ar;
    int64_t i;

    ck_assert_int_eq(fr_arena_new(4096, 0, &ar), FR_OK);
    ck_assert_int_eq(fr_json_parse(ar, fr_str_z(json), &root, NULL), FR_OK);
    v = fr_json_get(root, key);
    ck_assert(v != NULL && v->is_int);
    i = v->i;
    fr_arena_free(ar);
    return i;
}

START_TEST(train_makes_the_same_bundles_of_the_same_topics)
{
    char *out[2] = {path_of("a"), path_of("b")}, *w[2];
    size_t n[2];

    for (int i = 0; i < 2; i++) {
        const char *const argv[] = {FR_BUILD_DIR "/freshet", "train", "--from-topics", "--set", prefix, "--set", brokers,
                                    "--set", "recommend.repeat=allow", "--out", out[i], "--json", "--quiet", NULL};
        char *json = json_of(argv), path[600];
        ck_assert_int_eq(number(json, "lines"), EVENTS);
        ck_assert_int_eq(number(json, "refused"), 0);
        ck_assert_int_eq(number(json, "items"), ITEMS);
        fr_free(json);
        snprintf(path, sizeof(path), "%s/deepfm/weights.safetensors", out[i]);
        w[i] = tmpdir_read(path, &n[i]);
        ck_assert_ptr_nonnull(w[i]);
    }
    ck_assert_uint_eq(n[0], n[1]);
    ck_assert_int_eq(memcmp(w[0], w[1], n[0]), 0);
    for (int i = 0; i < 2; i++) {
        fr_free(w[i]);
        fr_free(out[i]);
    }
}
END_TEST

static bool is_file(void *path)
{
    return access(path, R_OK) == 0;
}

/* One run is killed when it has written its checkpoint. Events come: it says how to go on as if they had not. */
START_TEST(train_killed__goes_on_to_the_same_bundles)
{
    char *out[2] = {path_of("whole"), path_of("pieces")}, *checkpoint = path_of("checkpoint");
    const char *const whole[] = {FR_BUILD_DIR "/freshet", "train", "--from-topics", "--set", prefix, "--set", brokers,
                                 "--set", "recommend.repeat=allow", "--out", out[0], "--threads", "1", "--json", "--quiet", NULL};
    const char *const pieces[] = {FR_BUILD_DIR "/freshet", "train", "--from-topics", "--set", prefix, "--set", brokers,
                                  "--set", "recommend.repeat=allow", "--out", out[1], "--threads", "1", "--json",
                                  "--checkpoint", checkpoint, "--checkpoint-every", "0", NULL};
    char until[40];
    const char *on[sizeof(pieces) / sizeof(pieces[0]) + 2];
    static const char *const bundle[] = {"deepfm", "two_tower"};
    struct proc *p;
    int64_t lines;
    char *json = json_of(whole);

    lines = number(json, "lines");
    ck_assert_int_ge(lines, EVENTS);
    fr_free(json);
    p = proc_spawn(pieces, NULL);
    ck_assert_ptr_nonnull(p);
    ck_assert_msg(proc_poll(is_file, checkpoint, 60000), "%s", proc_output(p, 2, 0));
    ck_assert_msg(proc_signal(p, SIGKILL), "it had ended: %s", proc_output(p, 2, 0));
    proc_free(p);
    for (int i = 0; i < 5; i++) {
        char event[200];
        snprintf(event, sizeof(event), "{\"event_id\":\"later%d\",\"type\":\"click\",\"user_id\":\"u1\",\"item_id\":\"i1\",\"ts\":%lld}",
                 i, T0 + 9000000LL + i);
        produce(FR_TOPIC_EVENTS, "u1", event);
    }
    ck_assert_int_eq(fr_sink_flush(sink, (int)proc_deadline_ms(30000)), FR_OK);
    p = proc_spawn(pieces, NULL);
    ck_assert_ptr_nonnull(p);
    ck_assert_int_eq(proc_wait(p, 60000), 1);
    ck_assert_msg(strstr(proc_output(p, 2, 0), "--until-event with the number there") != NULL, "%s", proc_output(p, 2, 0));
    proc_free(p);
    snprintf(until, sizeof(until), "--until-event=%lld", (long long)lines);
    memcpy(on, pieces, sizeof(pieces));
    on[sizeof(pieces) / sizeof(pieces[0]) - 1] = until;
    on[sizeof(pieces) / sizeof(pieces[0])] = NULL;
    p = proc_spawn(on, NULL);
    ck_assert_ptr_nonnull(p);
    ck_assert_msg(proc_wait(p, 60000) == 0, "%s", proc_output(p, 2, 0));
    ck_assert_msg(strstr(proc_output(p, 2, 0), "checkpoint: going on") != NULL, "%s", proc_output(p, 2, 0));
    proc_free(p);
    ck_assert(!is_file(checkpoint));
    for (int i = 0; i < 2; i++) {
        char path[2][600], *w[2];
        size_t n[2];

        for (int k = 0; k < 2; k++) {
            snprintf(path[k], sizeof(path[k]), "%s/%s/weights.safetensors", out[k], bundle[i]);
            w[k] = tmpdir_read(path[k], &n[k]);
            ck_assert_ptr_nonnull(w[k]);
        }
        ck_assert_uint_eq(n[0], n[1]);
        ck_assert_int_eq(memcmp(w[0], w[1], n[0]), 0);
        fr_free(w[0]);
        fr_free(w[1]);
    }
    fr_free(out[0]);
    fr_free(out[1]);
    fr_free(checkpoint);
}
END_TEST

START_TEST(compare_on_topics__lists_after_an_event)
{
    char *out = path_of("until"), tower[600], deepfm[600];
    const char *const train[] = {FR_BUILD_DIR "/freshet", "train", "--from-topics", "--set", prefix, "--set", brokers,
                                 "--set", "recommend.repeat=allow", "--until-event", "1000", "--out", out, "--json", "--quiet", NULL};
    const char *const compare[] = {FR_BUILD_DIR "/freshet", "evaluate", "--compare", deepfm, tower, "--from-topics", "--set", prefix,
                                   "--set", brokers, "--set", "recommend.repeat=allow", "--retrieval", tower,
                                   "--after-event", "1000", "--until-event", "1500", "--json", "--quiet", NULL};
    char *json;

    snprintf(tower, sizeof(tower), "%s/two_tower", out);
    snprintf(deepfm, sizeof(deepfm), "%s/deepfm", out);
    fr_free(json_of(train));
    json = json_of(compare);
    ck_assert_int_eq(number(json, "events"), 1500);
    ck_assert_int_gt(number(json, "triggers"), 300);
    ck_assert_int_gt(number(json, "lists"), 300);
    ck_assert_ptr_nonnull(strstr(json, "\"retrieval_seen\":false"));
    ck_assert_ptr_null(strstr(json, "\"seen\":true"));
    fr_free(json);
    fr_free(out);
}
END_TEST

START_TEST(a_topic_that_is_not_there_is_named)
{
    const char *const argv[] = {FR_BUILD_DIR "/freshet", "train", "--from-topics", "--set", brokers, "--set",
                                "topics.events=nothing-here", "--out", dir, NULL};
    struct proc *p = proc_spawn(argv, NULL);

    ck_assert_ptr_nonnull(p);
    ck_assert_int_eq(proc_wait(p, 60000), 1);
    ck_assert_msg(strstr(proc_output(p, 2, 0), "nothing-here") != NULL, "%s", proc_output(p, 2, 0));
    proc_free(p);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("train_evaluate");
    TCase *tc = tcase_create("topics");
    SRunner *sr;
    int failed, rc = kafka_server_require("kafka.train_evaluate");

    if (rc != 0)
        return rc;
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, evaluate_says_of_topics_what_it_says_of_files);
    tcase_add_test(tc, train_makes_the_same_bundles_of_the_same_topics);
    tcase_add_test(tc, train_killed__goes_on_to_the_same_bundles);
    tcase_add_test(tc, compare_on_topics__lists_after_an_event);
    tcase_add_test(tc, a_topic_that_is_not_there_is_named);
    suite_add_tcase(s, tc);
    sr = srunner_create(s);
    srunner_run_all(sr, CK_ENV);
    failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
