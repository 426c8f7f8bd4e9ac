/*
 * tests/mock/test_cli_import.c - `freshet import` into topics, as a program on the mock cluster: what is
 * produced is complete, keyed, in order per user, and understood by the daemon's codecs; a refusal and a
 * signal end it as documented.
 *
 * ctest: timeout 120
 */
#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "daemon/base/alloc.h"
#include "daemon/base/hash.h"
#include "daemon/stream/event_codec.h"
#include "daemon/stream/item_codec.h"
#include "daemon/stream/kafka_log_reader.h"
#include "tests/support/feat.h"
#include "tests/support/proc.h"
#include "tests/support/stream_rig.h"
#include "tests/support/tmpdir.h"

#define FRESHET FR_BUILD_DIR "/freshet"
#define PARTS 4
#define EVENTS 3000
#define USERS 97
#define ITEMS 41
#define API_PRODUCE 0
#define ERR_MSG_TOO_LARGE 10
#define ERR_KAFKA_STORAGE 56

static struct fr_kafka_embedded *broker;
static struct fr_topic_names names;
static struct fr_spec *spec;
static struct fr_arena *ar;
static char *dir, map[1024], set[128];

static const char MAP[] = "events.file = e.csv\nevents.header = yes\nevents.user = user\nevents.item = item\n"
                          "events.time = at\nevents.time_format = milliseconds\nevents.value = n\n"
                          "events.type = click\nevents.order = file\n"
                          "items.file = i.csv\nitems.id = 1\nitems.title = 2\nitems.categories = 3\n";

/* Row n: user n*n mod USERS, in two alphabets; time 50 ms after the row before. */
static void user_of(int n, char out[32])
{
    snprintf(out, 32, "%s%d", n % 2 ? "us\xc3\xa9r " : "u", n * n % USERS);
}

static void write_set(void)
{
    size_t cap = 200000, n = 0;
    char *text = fr_calloc(cap, 1), path[1024];

    ck_assert_ptr_nonnull(text);
    n = (size_t)snprintf(text, cap, "at,user,item,n\r\n");
    for (int i = 0; i < EVENTS; i++) {
        char user[32];
        user_of(i, user);
        n += (size_t)snprintf(text + n, cap - n, "%lld,\"%s\",i%d,%d\r\n", 1500000000000LL + 50 * i, user, i % ITEMS, i);
    }
    ck_assert(n < cap && tmpdir_path(dir, "e.csv", path, sizeof path) && tmpdir_write(path, text, n));
    n = 0;
    for (int i = 0; i < ITEMS; i++)
        n += (size_t)snprintf(text + n, cap - n, "i%d,\"The \"\"%d\"\", a title\",red|blue\n", i, i);
    ck_assert(tmpdir_path(dir, "i.csv", path, sizeof path) && tmpdir_write(path, text, n));
    ck_assert(tmpdir_path(dir, "m.map", map, sizeof map) && tmpdir_write(map, MAP, sizeof MAP - 1));
    fr_free(text);
}

/* Checked: Check forks, and a cluster of the parent would not take scripted errors. */
static void set_up(void)
{
    struct fr_fault fault = {0};

    names = rig_names("");
    ck_assert_msg(fr_kafka_embedded_new(1, &broker, &fault) == FR_OK, "%s", fault.msg);
    ck_assert_int_eq(fr_kafka_embedded_create_topic(broker, names.name[FR_TOPIC_EVENTS], PARTS), FR_OK);
    ck_assert_int_eq(fr_kafka_embedded_create_topic(broker, names.name[FR_TOPIC_ITEMS], PARTS), FR_OK);
    snprintf(set, sizeof set, "kafka.brokers=%s", fr_kafka_embedded_brokers(broker));
    spec = feat_spec(NULL);
    ar = feat_arena();
    dir = tmpdir_make();
    ck_assert_ptr_nonnull(dir);
    write_set();
}

static void tear_down(void)
{
    fr_kafka_embedded_free(broker);
    fr_spec_free(spec);
    fr_arena_free(ar);
    tmpdir_free(dir);
}

/* What one topic holds. */
struct held {
    int n;
    int times[EVENTS]; /* events: how often row n */
    int64_t ahead_ms;  /* events: largest event time - record time */
};

static struct fr_log_reader *reader(enum fr_topic_role role)
{
    struct fr_kafka_log_reader_opts o = {.conn = {.brokers = fr_kafka_embedded_brokers(broker)},
                                         .topic = names.name[role],
                                         .role = role,
                                         .fetch_wait_max_ms = FR_KAFKA_EMBEDDED_FETCH_WAIT_MS,
                                         .fetch_error_backoff_ms = FR_KAFKA_EMBEDDED_FETCH_BACKOFF_MS};
    struct fr_log_reader *lr = NULL;
    struct fr_fault fault = {0};

    ck_assert_msg(fr_kafka_log_reader_new(&o, &lr, &fault) == FR_OK, "%s", fault.msg);
    return lr;
}

static void check_event(const struct fr_record *rec, struct held *h, int last[EVENTS])
{
    struct fr_codec_error ce;
    struct fr_event ev;
    char want[32];
    int n;

    ck_assert_msg(fr_event_decode(spec, ar, rec->key, rec->value, rec->ts_ms, &ev, &ce) == FR_OK, "%.*s",
                  FR_STR_ARG(rec->value));
    n = (int)ev.value;
    ck_assert(ev.has_value && n >= 0 && n < EVENTS);
    user_of(n, want);
    ck_assert(fr_str_eqz(ev.user_id, want) && fr_str_eqz(rec->key, want));
    ck_assert_msg(last[n * n % USERS * 2 + n % 2] < n, "row %d came late", n);
    last[n * n % USERS * 2 + n % 2] = n;
    if (ev.ts - rec->ts_ms > h->ahead_ms)
        h->ahead_ms = ev.ts - rec->ts_ms;
    h->times[n]++;
}

static struct held read_topic(enum fr_topic_role role)
{
    static int last[EVENTS];
    struct fr_log_reader *lr = reader(role);
    struct held h = {.ahead_ms = INT64_MIN};
    int64_t deadline = rig_now_ms() + rig_ms(20000);

    for (int i = 0; i < EVENTS; i++)
        last[i] = -1;
    while (!fr_log_reader_caught_up(lr) && rig_now_ms() < deadline) {
        struct fr_item_record it;
        struct fr_codec_error ce;
        struct fr_record rec;
        if (fr_log_reader_poll(lr, 100, &rec) != FR_OK)
            continue;
        ck_assert_int_eq(rec.partition, fr_kafka_partition(rec.key, PARTS));
        if (role == FR_TOPIC_EVENTS)
            check_event(&rec, &h, last);
        else
            ck_assert_msg(fr_item_decode(spec, ar, rec.key, rec.value, &it, &ce) == FR_OK, "%.*s", FR_STR_ARG(rec.value));
        h.n++;
        fr_log_reader_release(lr, &rec);
        fr_arena_reset(ar);
    }
    ck_assert(fr_log_reader_caught_up(lr));
    fr_log_reader_free(lr);
    return h;
}

static struct proc *start(const char *a, const char *b, const char *c, const char *d)
{
    const char *const argv[] = {FRESHET, "import", "csv", "--map", map, "--data", dir, "--set", set, "--json", a, b, c, d, NULL};
    struct proc *p = proc_spawn(argv, NULL);

    ck_assert_ptr_nonnull(p);
    return p;
}

static void check_whole(void)
{
    struct held h = read_topic(FR_TOPIC_EVENTS);

    ck_assert_int_eq(h.n, EVENTS);
    for (int i = 0; i < EVENTS; i++)
        ck_assert_int_eq(h.times[i], 1);
    ck_assert_int_eq(read_topic(FR_TOPIC_ITEMS).n, ITEMS);
}

START_TEST(topics__complete_keyed_in_order)
{
    struct proc *p = start(NULL, NULL, NULL, NULL);

    ck_assert_msg(proc_wait(p, 60000) == 0, "%s", proc_output(p, 2, 0));
    ck_assert_str_eq(proc_output(p, 1, 0),
                     "{\"events\":3000,\"items\":41,\"bad_records\":0,\"left_out\":0,\"delivered\":3041}\n");
    ck_assert_ptr_null(strchr(proc_output(p, 2, 0), '\r')); /* no progress bar in a file */
    proc_free(p);
    check_whole();
}
END_TEST

START_TEST(topics__broker_fails_for_a_while__still_once_and_in_order)
{
    const int err[] = {ERR_KAFKA_STORAGE, ERR_KAFKA_STORAGE, ERR_KAFKA_STORAGE};
    struct proc *p;

    fr_kafka_embedded_fail(broker, API_PRODUCE, err, 3);
    p = start(NULL, NULL, NULL, NULL);
    ck_assert_msg(proc_wait(p, 60000) == 0, "%s", proc_output(p, 2, 0));
    proc_free(p);
    check_whole();
}
END_TEST

START_TEST(topics__refused_record__status_1_and_the_reason)
{
    const int err = ERR_MSG_TOO_LARGE;
    struct proc *p;

    fr_kafka_embedded_fail(broker, API_PRODUCE, &err, 1);
    p = start(NULL, NULL, NULL, NULL);
    ck_assert_msg(proc_wait(p, 60000) == 1, "%s", proc_output(p, 2, 0));
    ck_assert_msg(strstr(proc_output(p, 2, 0), "not delivered: ") != NULL, "%s", proc_output(p, 2, 0));
    ck_assert_str_eq(proc_output(p, 1, 0), "");
    proc_free(p);
}
END_TEST

START_TEST(topics__no_broker__status_1_soon)
{
    int64_t before = rig_now_ms();
    struct proc *p;

    snprintf(set, sizeof set, "kafka.brokers=127.0.0.1:%u", (unsigned)proc_free_port());
    p = start(NULL, NULL, NULL, NULL);
    ck_assert_msg(proc_wait(p, 60000) == 1, "%s", proc_output(p, 2, 0));
    ck_assert(rig_now_ms() - before < rig_ms(30000));
    ck_assert_str_ne(proc_output(p, 2, 0), "");
    proc_free(p);
}
END_TEST

/* 41 events 50 ms apart, twice as fast: a second; none ahead of the clock, the first one now. */
START_TEST(topics__paced_from_now)
{
    int64_t before = rig_now_ms();
    struct proc *p = start("--speed=2", "--rebase=now", "--limit=41", NULL);
    struct held h;

    ck_assert_msg(proc_wait(p, 60000) == 0, "%s", proc_output(p, 2, 0));
    ck_assert_int_ge(rig_now_ms() - before, 1000);
    proc_free(p);
    h = read_topic(FR_TOPIC_EVENTS);
    ck_assert_int_eq(h.n, 41);
    ck_assert_msg(h.ahead_ms <= 0 && h.ahead_ms > -rig_ms(1000), "%lld", (long long)h.ahead_ms);
}
END_TEST

static bool thirty(void *arg)
{
    struct fr_log_reader *lr = reader(FR_TOPIC_EVENTS);
    int64_t n = 0;

    (void)arg;
    for (int32_t i = 0; i < PARTS; i++)
        n += fr_log_reader_target(lr, i);
    fr_log_reader_free(lr);
    return n >= 30;
}

/* At 20 events a second it would take 150 s. What was sent before the signal is whole: rows 0..n-1. */
START_TEST(topics__signal__ends_after_whole_events)
{
    struct proc *p = start("--speed=1", NULL, NULL, NULL);
    struct held h;

    ck_assert(proc_poll(thirty, NULL, 30000));
    ck_assert(proc_signal(p, SIGINT));
    ck_assert_msg(proc_wait(p, 10000) == 130, "%s", proc_output(p, 2, 0));
    ck_assert_msg(strstr(proc_output(p, 2, 0), "stopped") != NULL, "%s", proc_output(p, 2, 0));
    proc_free(p);
    h = read_topic(FR_TOPIC_EVENTS);
    ck_assert(h.n >= 30 && h.n < 1500);
    for (int i = 0; i < EVENTS; i++)
        ck_assert_int_eq(h.times[i], i < h.n);
    ck_assert_int_eq(read_topic(FR_TOPIC_ITEMS).n, ITEMS);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("cli/import_topics");
    TCase *t = tcase_create("all");
    SRunner *r;
    int failed;

    tcase_set_timeout(t, 90);
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, topics__complete_keyed_in_order);
    tcase_add_test(t, topics__broker_fails_for_a_while__still_once_and_in_order);
    tcase_add_test(t, topics__refused_record__status_1_and_the_reason);
    tcase_add_test(t, topics__no_broker__status_1_soon);
    tcase_add_test(t, topics__paced_from_now);
    tcase_add_test(t, topics__signal__ends_after_whole_events);
    suite_add_tcase(s, t);
    r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? 0 : 1;
}
