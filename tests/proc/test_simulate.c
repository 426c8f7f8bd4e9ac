/*
 * tests/proc/test_simulate.c - `freshet simulate` as a person runs it: files that `freshet train` learns from, then the
 * closed loop against the real daemon with its embedded broker, with and without those models.
 *
 * ctest: timeout 300
 * ctest: serial
 */
#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/alloc.h"
#include "daemon/base/arena.h"
#include "daemon/base/json.h"
#include "tests/support/daemon_rig.h"
#include "tests/support/tmpdir.h"

#define FRESHET FR_BUILD_DIR "/freshet"
#define EVENTS "12000"
#define TICK "state.tick_ms=1000" /* part of the features: trainer and daemon must agree */

static struct daemon_rig d;
static char out[65536];
static struct fr_arena *ar;

static void setup(void)
{
    daemon_rig_init(&d, false);
    ck_assert_int_eq(fr_arena_new(1 << 16, 1 << 22, &ar), FR_OK);
}

static void teardown(void)
{
    daemon_rig_done(&d);
    fr_arena_free(ar);
}

/* The object on the last line of `text`. */
static const struct fr_json *last_line(const char *text)
{
    const struct fr_json *root = NULL;
    size_t n = strlen(text);
    const char *at;

    while (n > 0 && text[n - 1] == '\n')
        n--;
    at = text + n;
    while (at > text && at[-1] != '\n')
        at--;
    ck_assert_msg(fr_json_parse(ar, (struct fr_str){at, (size_t)(text + n - at)}, &root, NULL) == FR_OK, "%s", text);
    return root;
}

static double number(const struct fr_json *o, const char *key)
{
    const struct fr_json *v = fr_json_get(o, key);

    ck_assert_msg(v != NULL && v->type == FR_JSON_NUMBER, "%s", key);
    return v->num;
}

/* An end of an interval. */
static double edge(const struct fr_json *o, const char *key, bool high)
{
    const struct fr_json *v = fr_json_get(o, key);

    ck_assert_msg(v != NULL && v->n == 2, "%s", key);
    return (high ? v->child->next : v->child)->num;
}

/* Run the closed loop to its end; its JSON. */
static const struct fr_json *simulate(const char *seconds)
{
    char brokers[300];
    const char *const argv[] = {FRESHET,       "simulate",  "--set",   brokers,  "--set", "kafka.fetch_wait_max_ms=5",
                                "--warm-up",   EVENTS,      "--users", "150",    "--items", "300",
                                "--rate",      "60",        "--json",  "--quiet", "--seconds", seconds,
                                "--timeout-ms", "5000",     NULL};
    int rc;

    (void)snprintf(brokers, sizeof(brokers), "kafka.brokers=%s", d.brokers);
    rc = proc_run(argv, 60000, out, sizeof(out));
    ck_assert_msg(rc == 0, "%d\n%s\n%s", rc, out, daemon_log(&d));
    return last_line(out);
}

static void print(const char *what, const struct fr_json *r)
{
    printf("%s: %g lists, click rate %.3f, random %.3f, oracle %.3f, captured %.3f [%.3f, %.3f], fresh p50 %.1f p99 "
           "%.1f ms, missing %g\n",
           what, number(r, "lists"), number(r, "ctr"), number(r, "ctr_random"), number(r, "ctr_oracle"),
           number(r, "regret_captured"), edge(r, "regret_captured_interval", false),
           edge(r, "regret_captured_interval", true), number(r, "freshness_p50_ms"), number(r, "freshness_p99_ms"),
           number(r, "missing"));
}

static void sane(const struct fr_json *r)
{
    double random = number(r, "ctr_random"), oracle = number(r, "ctr_oracle"), ctr = number(r, "ctr");

    ck_assert(number(r, "lists") >= 50 && number(r, "births") > 250);
    ck_assert(random > 0 && random < ctr + .1 && oracle > ctr && oracle < 1);
    ck_assert(number(r, "events") > 2 * number(r, "lists"));
    ck_assert_double_eq(number(r, "undelivered"), 0);
    ck_assert_double_eq(number(r, "unreadable"), 0);
    ck_assert_double_eq(number(r, "unknown_items"), 0);
    ck_assert(number(r, "freshness_p50_ms") > 0 && number(r, "freshness_p99_ms") < 5000);
}

START_TEST(simulate__files_then_train_then_live__models_beat_popularity)
{
    static const char *const no_models[] = {TICK, NULL};
    char *dir = tmpdir_make(), files[300], events[320], items[320], models[320], tower[400], ranker[400];
    const char *const write[] = {FRESHET, "simulate", "--out", files, "--events", EVENTS, "--users", "150",
                                 "--items", "300", "--rate", "60", "--quiet", "--json", NULL};
    const char *const train[] = {FRESHET, "train", "--events", events, "--items", items, "--out", models,
                                 "--set", TICK, "--epochs", "3", "--quiet", "--json", NULL};
    const char *with_models[] = {TICK, tower, ranker, NULL};
    const struct fr_json *r;
    double popular_hi, popular, random;

    ck_assert(tmpdir_path(dir, "files", files, sizeof(files)));
    ck_assert(tmpdir_path(files, "events.jsonl", events, sizeof(events)));
    ck_assert(tmpdir_path(files, "items.jsonl", items, sizeof(items)));
    ck_assert(tmpdir_path(dir, "models", models, sizeof(models)));
    (void)snprintf(tower, sizeof(tower), "models.retrieval=%s/two_tower", models);
    (void)snprintf(ranker, sizeof(ranker), "models.ranker=%s/deepfm", models);
    ck_assert_msg(proc_run(write, 60000, out, sizeof(out)) == 0, "%s", out);
    r = last_line(out);
    ck_assert_double_eq(number(r, "events"), strtod(EVENTS, NULL));
    ck_assert_msg(proc_run(train, 120000, out, sizeof(out)) == 0, "%s", out);
    r = last_line(out);
    ck_assert_double_eq(number(r, "refused"), 0);
    ck_assert_double_eq(number(r, "lines"), strtod(EVENTS, NULL));

    daemon_start(&d, no_models);
    daemon_wait_ready(&d);
    r = simulate("8");
    sane(r);
    print("popularity", r);
    popular = number(r, "regret_captured");
    popular_hi = edge(r, "regret_captured_interval", true);
    daemon_stop(&d);
    daemon_rig_done(&d);

    memset(&d, 0, sizeof(d));
    daemon_rig_init(&d, false); /* a new Redis: nothing learnt before */
    daemon_start(&d, with_models);
    daemon_wait_ready(&d);
    r = simulate("8");
    sane(r);
    print("models", r);
    random = number(r, "ctr_random");
    ck_assert(edge(r, "regret_captured_interval", false) > 0);
    ck_assert_msg(edge(r, "regret_captured_interval", false) > popular_hi, "%g is not over popularity's %g (%g)",
                  edge(r, "regret_captured_interval", false), popular_hi, popular);
    ck_assert(number(r, "ctr_expected") > 1.5 * random);
    daemon_stop(&d);
    tmpdir_free(dir);
}
END_TEST

START_TEST(simulate__sigint_without_seconds__summary_and_status_0)
{
    static const char *const set[] = {TICK, NULL};
    char brokers[300];
    const char *const argv[] = {FRESHET, "simulate", "--set", brokers, "--set", "kafka.fetch_wait_max_ms=5",
                                "--users", "20", "--items", "60", "--rate", "200", NULL};
    struct proc *p;

    daemon_start(&d, set);
    daemon_wait_ready(&d);
    (void)snprintf(brokers, sizeof(brokers), "kafka.brokers=%s", d.brokers);
    p = proc_spawn(argv, NULL);
    ck_assert_ptr_nonnull(p);
    ck_assert_msg(daemon_read_until(&d, FR_TOPIC_RECOMMENDATIONS, 100, 30000), "%s", daemon_log(&d));
    ck_assert(proc_signal(p, SIGINT));
    ck_assert_int_eq(proc_wait(p, 30000), 0);
    ck_assert_ptr_nonnull(strstr(proc_output(p, 1, 0), "regret captured"));
    proc_free(p);
    daemon_stop(&d);
}
END_TEST

START_TEST(simulate__asked_wrongly_or_nobody_there__says_so)
{
    static const struct {
        const char *flag, *value;
        int rc;
        const char *text;
    } row[] = {{"--out", "/dev/null/x", 1, "/dev/null/x"},
               {"--users", "0", 2, "--users"},
               {"--rate", "0", 2, "--rate"},
               {"--set", "kafka.brokers=embedded", 1, "embedded"},
               {"--set", "topics.recommendations=no such", 1, "not a topic name"},
               {"--config", "/nonexistent.yaml", 1, "nonexistent"},
               {"--evnts", "7", 2, "--events"}};

    for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
        const char *const argv[] = {FRESHET, "simulate", "--seconds", "1", row[i].flag, row[i].value, NULL};
        struct proc *p = proc_spawn(argv, NULL);

        ck_assert_ptr_nonnull(p);
        ck_assert_int_eq(proc_wait(p, 30000), row[i].rc);
        ck_assert_msg(strstr(proc_output(p, 2, 0), row[i].text) != NULL, "%s %s: %s", row[i].flag, row[i].value,
                      proc_output(p, 2, 0));
        proc_free(p);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("proc/simulate");
    TCase *tc = tcase_create("simulate");
    SRunner *sr;
    int failed;

    tcase_set_timeout(tc, 240);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, simulate__files_then_train_then_live__models_beat_popularity);
    tcase_add_test(tc, simulate__sigint_without_seconds__summary_and_status_0);
    tcase_add_test(tc, simulate__asked_wrongly_or_nobody_there__says_so);
    suite_add_tcase(s, tc);
    sr = srunner_create(s);
    srunner_run_all(sr, CK_ENV);
    failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed == 0 ? 0 : 1;
}
