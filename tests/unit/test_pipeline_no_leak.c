/*
 * tests/unit/test_pipeline_no_leak.c - nothing of later events is in a list: the stream cut off after event n
 * gives the same list and the same row for n, bit for bit, in micro-batches of 1 and of 256.
 *
 * Deterministic replay (DESIGN 1, rules 2 and 6) with a trained tower and ranker. The cut stream publishes its
 * last trigger only (recommend.since_ms): features see all of it. tests/script/planted_leak.sh plants a leak
 * into the product and runs this test, which must then fail.
 * ctest: timeout 240
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/alloc.h"
#include "daemon/base/buf.h"
#include "daemon/base/rng.h"
#include "daemon/learn/stream_train.h"
#include "daemon/stream/recommendation_codec.h"
#include "features/store_memory.h"
#include "features/user_codec.h"
#include "models/model.h"
#include "tests/support/lane_rig.h"
#include "tests/support/tmpdir.h"

#define EVENTS 560
#define ITEMS 90
#define USERS 14
#define T0 INT64_C(1790000000000)
#define STEP_MS 3000
#if defined(FR_SANITIZED)
#define CUT_EVERY 11 /* instrumented programs are some ten times slower */
#else
#define CUT_EVERY 1
#endif

struct event {
    int user, item;
    bool view;
};

/* What a trigger got: its list without wall times, and its row as served. */
struct served {
    char *list, *row;
};

static struct event event[EVENTS];
static struct fr_epochs *epochs; /* models and catalogue: the same for all runs */
static struct fr_spec *first_spec;
static char *dir;

/* Bursts: each user makes one to six events in a row. */
static void make_stream(void)
{
    struct fr_rng r;

    fr_rng_seed(&r, 5);
    for (int n = 0; n < EVENTS;) {
        int user = (int)fr_rng_below(&r, USERS), burst = 1 + (int)fr_rng_below(&r, 6);
        for (int k = 0; k < burst && n < EVENTS; k++, n++)
            event[n] = (struct event){user, (user % 3 * 30 + (int)fr_rng_below(&r, 30)) % ITEMS, fr_rng_below(&r, 3) == 0};
    }
}

static void append(struct rig *rig, int n)
{
    char user[16], id[16], item[16];

    snprintf(user, sizeof(user), "u%d", event[n].user);
    snprintf(id, sizeof(id), "e%d", n);
    snprintf(item, sizeof(item), "i%d", event[n].item);
    ck_assert_int_eq(rig_event(rig, user, id, event[n].view ? "view" : "click", item, T0 + n * STEP_MS), n);
}

static void train(struct rig *rig)
{
    struct fr_fault fault = {FR_OK, NULL, 0, ""};
    struct fr_model *tower = NULL, *ranker = NULL;
    struct fr_stream_train_config c;
    struct fr_stream_train_result r;
    struct fr_buf events, items;
    char path[512];

    fr_buf_init(&events);
    fr_buf_init(&items);
    for (int i = 0; i < ITEMS; i++)
        fr_buf_printf(&items, "{\"item_id\":\"i%d\",\"title\":\"i%d\"}\n", i, i);
    for (int n = 0; n < EVENTS; n++)
        fr_buf_printf(&events, "{\"event_id\":\"e%d\",\"type\":\"%s\",\"user_id\":\"u%d\",\"item_id\":\"i%d\",\"ts\":%lld}\n", n,
                      event[n].view ? "view" : "click", event[n].user, event[n].item, (long long)(T0 + n * STEP_MS));
    fr_stream_train_config_default(&c);
    c.in = (struct fr_stream_input){.spec = rig->spec, .events = fr_buf_str(&events), .items = fr_buf_str(&items)};
    c.cfg = &rig->cfg;
    c.dir = dir;
    c.epochs = 1;
    c.ranker_epochs = 1;
    ck_assert_msg(fr_stream_train(&c, &r, &fault) == FR_OK, "%s", fault.msg);
    ck_assert(tmpdir_path(dir, "two_tower", path, sizeof(path)));
    ck_assert_msg(fr_model_load(path, &rig->spec->fields, &tower, &fault) == FR_OK, "%s", fault.msg);
    ck_assert(tmpdir_path(dir, "deepfm", path, sizeof(path)));
    ck_assert_msg(fr_model_load(path, &rig->spec->fields, &ranker, &fault) == FR_OK, "%s", fault.msg);
    ck_assert_msg(fr_epochs_set_models(rig->epochs, &tower, &ranker, &fault) == FR_OK, "%s", fault.msg);
    fr_buf_done(&events);
    fr_buf_done(&items);
}

static void open_rig(struct rig *rig, int batch, int64_t since_ms)
{
    char max[40], since[48];
    const char *set[] = {max, since, "recommend.repeat=allow", "kafka.commit_interval_ms=1", "state.item_flush_ms=10",
                         "state.tick_ms=20000", NULL};

    snprintf(max, sizeof(max), "batch.max_events=%d", batch);
    snprintf(since, sizeof(since), "recommend.since_ms=%lld", (long long)since_ms);
    rig_init(rig, 1, true, set);
    if (epochs != NULL) {
        fr_epochs_free(rig->epochs);
        rig->epochs = epochs;
        rig->eng.epochs = epochs;
    }
}

static void close_rig(struct rig *rig)
{
    rig->epochs = NULL; /* ours */
    rig_done(rig);
}

static void set_up(void)
{
    static struct rig rig;

    make_stream();
    dir = tmpdir_make();
    ck_assert_ptr_nonnull(dir);
    open_rig(&rig, 256, 0);
    for (int i = 0; i < ITEMS; i++) {
        char id[16];
        snprintf(id, sizeof(id), "i%d", i);
        rig_item(&rig, id);
    }
    train(&rig);
    epochs = rig.epochs; /* they point into the first specification: keep it */
    first_spec = rig.spec;
    rig.epochs = NULL;
    rig.spec = NULL;
    rig_done(&rig);
}

static void tear_down(void)
{
    fr_epochs_free(epochs);
    fr_spec_free(first_spec);
    epochs = NULL;
    tmpdir_free(dir);
}

static char *part_of(struct fr_str s, const char *from, const char *to)
{
    char *text = fr_memdup0(s.p, s.n), *a, *b, *out;

    ck_assert_ptr_nonnull(text);
    a = strstr(text, from);
    ck_assert_msg(a != NULL, "no %s in %s", from, text);
    b = to == NULL ? text + s.n : strstr(a, to);
    ck_assert_ptr_nonnull(b);
    out = fr_memdup0(a, (size_t)(b - a));
    fr_free(text);
    return out;
}

/* Run events 0 .. n-1; out[k] = what trigger k got (NULL where nothing was published). */
static void run(int n, int batch, int64_t since_ms, struct served *out)
{
    static struct rig rig;

    memset(out, 0, sizeof(*out) * (size_t)EVENTS);
    open_rig(&rig, batch, since_ms);
    for (int k = 0; k < n; k++)
        append(&rig, k);
    rig_start(&rig, 0);
    rig_give(&rig, 0);
    for (int turn = 0; turn < 4 * n + 100 && rig_counter(&rig, 0, FR_C_EVENTS_APPLIED) < (uint64_t)n; turn++)
        (void)rig_step(&rig, 0); /* a turn's lists are out when it returns */
    ck_assert_uint_eq(rig_counter(&rig, 0, FR_C_EVENTS_APPLIED), (uint64_t)n);
    for (int64_t o = 0;; o++) {
        const struct fr_memory_record *list = rig_output(&rig, FR_TOPIC_RECOMMENDATIONS, 0, o),
                                      *row = rig_output(&rig, FR_TOPIC_EXAMPLES, 0, o);
        char *offset;
        long long k;
        if (list == NULL)
            break;
        ck_assert_ptr_nonnull(row);
        offset = part_of(list->value, "\"offset\":", ",");
        k = strtoll(offset + 9, NULL, 10);
        fr_free(offset);
        ck_assert(k >= 0 && k < n);
        out[k].list = part_of(list->value, "\"items\":", "\"trigger\"");
        out[k].row = part_of(row->value, "\"schema_hash\"", NULL);
    }
    close_rig(&rig);
}

static void forget(struct served *s)
{
    for (int k = 0; k < EVENTS; k++) {
        fr_free(s[k].list);
        fr_free(s[k].row);
    }
}

START_TEST(cut__after_each_event__same_list_and_row)
{
    static struct served whole[EVENTS], cut[EVENTS];
    int batch = _i == 0 ? 1 : 256, compared = 0, bursts = 0, lists = 0, rows = 0;

    run(EVENTS, batch, 0, whole);
    for (int n = 2; n < EVENTS; n++)
        bursts += event[n].user == event[n - 1].user && event[n].user == event[n - 2].user;
    ck_assert_int_gt(bursts, 50); /* three and more events of one user in a row, often */
    for (int n = 0; n < EVENTS; n += CUT_EVERY) {
        ck_assert_msg(whole[n].list != NULL, "event %d has no list", n);
        run(n + 1, batch, T0 + n * STEP_MS, cut);
        ck_assert_msg(cut[n].list != NULL, "event %d has no list when it is the last one", n);
        lists += strcmp(cut[n].list, whole[n].list) != 0;
        rows += strcmp(cut[n].row, whole[n].row) != 0;
        compared++;
        forget(cut);
    }
    forget(whole);
    ck_assert_msg(lists == 0 && rows == 0, "of %d cut points, %d lists and %d rows differ", compared, lists, rows);
    ck_assert_int_ge(compared, CUT_EVERY == 1 ? 500 : 50);
}
END_TEST

START_TEST(batches_of_1_7_and_256__same_lists_and_rows)
{
    static struct served a[EVENTS], b[EVENTS];
    static const int other[] = {7, 256};

    run(EVENTS, 1, 0, a);
    for (int i = 0; i < 2; i++) {
        run(EVENTS, other[i], 0, b);
        for (int n = 0; n < EVENTS; n++) {
            ck_assert_msg(strcmp(a[n].list, b[n].list) == 0, "event %d, batch %d: %s\n%s", n, other[i], a[n].list, b[n].list);
            ck_assert_str_eq(a[n].row, b[n].row);
        }
        forget(b);
    }
    forget(a);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("pipeline/no_leak");
    TCase *t = tcase_create("all");
    SRunner *r;
    int failed;

    tcase_set_timeout(t, 120);
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_loop_test(t, cut__after_each_event__same_list_and_row, 0, 2);
    tcase_add_test(t, batches_of_1_7_and_256__same_lists_and_rows);
    suite_add_tcase(s, t);
    r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? 0 : 1;
}
