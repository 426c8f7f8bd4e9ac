/*
 * tests/bench/bench_lane.c - one lane: events a second, features only and with recommendations, over the
 * in-process log, with the state in memory and in a private Redis over a unix socket.
 *
 * The lane is the daemon's (fr_lane_step), batch.max_events as shipped (256), 4 partitions, a backlog that
 * is in the log before the clock starts, so batches are full. Event JSON, the user's state, commits, item
 * counters, lists and examples are all in; a broker is not. Medians of runs, by the wall and by the CPU time
 * of the lane's thread (what a core of its own would do: the Redis has a core of its own, or shares this one).
 *
 *   bench_lane [--runs N] [--events N] [--lists N] [--users N] [--items N] [--only NAME] [--set K=V]...
 *
 * --events and --lists: events of a run without and with recommendations. --only: the rows whose name
 * contains it. Models are trained here on random clicks for a moment: their shape counts (Two-Tower 64-d,
 * DeepFM 128 x 64 as shipped and 400 x 3, the shipped features), not what they know. "As shipped": 200
 * candidates from the index, 50 popular ones, and the user's history. "200 candidates": 180 from the index and
 * the about 20 items of a user's history.
 */
#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "daemon/base/buf.h"
#include "daemon/base/rng.h"
#include "daemon/learn/stream_train.h"
#include "daemon/pipeline/spec_config.h"
#include "models/gemm.h"
#include "models/gemm_core.h"
#include "tests/support/lane_rig.h"
#include "tests/support/redis_server.h"
#include "tests/support/tmpdir.h"

#define PARTITIONS 4
#define MAX_RUNS 31
#define T0 INT64_C(1790000000000)
#define TRAIN_EVENTS 6000

static int runs = 5, n_events = 100000, n_lists = 2000, n_users = 20000, n_items = 20000;
static const char *only, *sets[40];
static int n_sets;
static char *models_dir; /* two_tower, and one ranker a shape */

/* A ranker's shape; the tower is the same. */
struct shape {
    const char *name;
    int n_hidden, hidden[3];
};
static const struct shape shapes[] = {{"128x64", 2, {128, 64}}, {"400x3", 3, {400, 400, 400}}};

/* One row of the table. */
struct row {
    const char *name;
    const struct shape *ranker; /* NULL: features only */
    bool redis;
    int users, warm_up; /* events before the clock starts; they publish nothing */
    const char *candidates; /* nullable: a setting, without popular ones beside them */
};

struct world {
    struct rig r;
    struct fr_rng rng;
    int64_t now, number;
    int users;
    struct redis_server *rs;
};

static _Noreturn void die(const char *what, const char *why)
{
    fprintf(stderr, "bench_lane: %s: %s\n", what, why);
    exit(1);
}

static double seconds(clockid_t id)
{
    struct timespec t;

    (void)clock_gettime(id, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* The next event as JSON; times 5 ms apart, items with a few favourites. */
static void next_event(struct world *w, char user[24], char json[300])
{
    static const char *const types[] = {"view", "click", "click", "purchase"};
    double x = (double)fr_rng_below(&w->rng, 1000000) / 1e6;

    w->now += 5;
    w->number++;
    snprintf(user, 24, "user-%d", (int)fr_rng_below(&w->rng, (uint64_t)w->users));
    snprintf(json, 300,
             "{\"event_id\":\"event-%lld\",\"type\":\"%s\",\"user_id\":\"%s\",\"item_id\":\"item-%d\",\"ts\":%lld,"
             "\"session_id\":\"session-%lld\",\"context\":{\"device\":\"phone\"}}",
             (long long)w->number, types[fr_rng_below(&w->rng, 4)], user, (int)(x * x * x * (double)n_items),
             (long long)w->now, (long long)(w->number / 7));
}

static void append(struct world *w, int n)
{
    char user[24], json[300];

    for (int i = 0; i < n; i++) {
        next_event(w, user, json);
        (void)rig_append(&w->r, FR_TOPIC_EVENTS, user, json, w->now);
    }
}

/* Step until n more records are handled. @return batches */
static int consume(struct world *w, int n)
{
    int batches = 0, done = 0;

    while (done < n) {
        int k = rig_step(&w->r, 0);
        done += k;
        batches += k > 0;
    }
    return batches;
}

/* What the refresher does between runs. */
static void publish_generation(struct world *w)
{
    struct fr_item_generation *g;

    if (!fr_ticks_pending(w->r.ticks))
        return;
    if (fr_ticks_build(w->r.ticks, &g) != FR_OK || fr_epochs_set_generation(w->r.epochs, g) != FR_OK)
        die("generation", "failed");
    fr_item_generation_unref(g);
}

static void load_models(struct world *w, const struct shape *shape)
{
    struct fr_epochs_config ec = {.m = 16, .ef_construction = 200, .ef_search = 250};
    struct fr_model *tower, *ranker;
    struct fr_fault fault = {FR_OK, NULL, 0, ""};
    char path[2][300];

    fr_epochs_free(w->r.epochs); /* the rig's is exact search */
    if (fr_epochs_new(w->r.spec, &ec, &w->r.epochs) != FR_OK)
        die("epochs", "failed");
    w->r.eng.epochs = w->r.epochs;
    for (int i = 0; i < n_items; i++) {
        char id[24];
        snprintf(id, sizeof(id), "item-%d", i);
        rig_item(&w->r, id);
    }
    snprintf(path[0], sizeof(path[0]), "%s/%s/two_tower", models_dir, shape->name);
    snprintf(path[1], sizeof(path[1]), "%s/%s/deepfm", models_dir, shape->name);
    if (fr_model_load(path[0], &w->r.spec->fields, &tower, &fault) != FR_OK ||
        fr_model_load(path[1], &w->r.spec->fields, &ranker, &fault) != FR_OK ||
        fr_epochs_set_models(w->r.epochs, &tower, &ranker, &fault) != FR_OK)
        die("models", fault.msg);
    while (fr_epochs_maintain(w->r.epochs, 1000))
        continue;
}

static void train(const struct shape *shape)
{
    char dir[300];
    struct fr_stream_train_config c;
    struct fr_stream_train_result res;
    struct fr_ctr_train_config ranker;
    struct fr_fault fault = {FR_OK, NULL, 0, ""};
    struct world w = {.now = T0, .users = 500};
    struct fr_buf text;
    char user[24], json[300];

    fr_rng_seed(&w.rng, 3);
    rig_init(&w.r, PARTITIONS, false, sets);
    fr_buf_init(&text);
    for (int i = 0; i < TRAIN_EVENTS; i++) {
        next_event(&w, user, json);
        fr_buf_put(&text, json, strlen(json));
        fr_buf_put(&text, "\n", 1);
    }
    fr_ctr_train_config_default(&ranker);
    ranker.model.n_hidden = shape->n_hidden;
    memcpy(ranker.model.hidden, shape->hidden, sizeof(shape->hidden));
    snprintf(dir, sizeof(dir), "%s/%s", models_dir, shape->name);
    (void)mkdir(dir, 0700);
    fr_stream_train_config_default(&c);
    c.in = (struct fr_stream_input){.spec = w.r.spec, .events = fr_buf_str(&text)};
    c.cfg = &w.r.cfg;
    c.dir = dir;
    c.with_retrieval = c.with_ranker = true;
    c.threads = 1;
    c.epochs = c.ranker_epochs = 1;
    c.max_lists = 400;
    c.max_held_out = 100;
    c.ranker = &ranker;
    if (fr_stream_train(&c, &res, &fault) != FR_OK)
        die("training", fault.msg);
    fr_buf_done(&text);
    rig_done(&w.r);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

static double median(double *v)
{
    qsort(v, (size_t)runs, sizeof(*v), by_value);
    return v[runs / 2];
}

/* Mean bytes of the users' records. */
static double record_bytes(struct world *w)
{
    double sum = 0;
    int n = 0;

    for (int i = 0; i < w->users; i += 1 + w->users / 500) {
        char id[24];
        struct fr_str rec, seen;
        snprintf(id, sizeof(id), "user-%d", i);
        fr_arena_reset(w->r.ar);
        if (fr_store_get_user(w->r.in[0].store_main, rig_partition(&w->r, id), fr_str_z(id), w->r.ar, &rec, &seen) == FR_OK &&
            rec.p != NULL) {
            sum += (double)rec.n;
            n++;
        }
    }
    return n == 0 ? 0 : sum / n;
}

/* Distinct users of a full batch, in expectation. */
static double distinct(int users)
{
    double missed = 1;

    for (int i = 0; i < 256; i++)
        missed *= 1 - 1.0 / users;
    return users * (1 - missed);
}

/* Milliseconds of wall time an event, by stage. */
static void print_stages(struct world *w, double events)
{
    static const struct {
        const char *name;
        enum fr_hist id;
    } stages[] = {{"ingest", FR_H_STAGE_INGEST}, {"features", FR_H_STAGE_FEATURES}, {"embed", FR_H_STAGE_EMBED},
                  {"candidates", FR_H_STAGE_CANDIDATES}, {"score", FR_H_STAGE_SCORE}, {"emit", FR_H_STAGE_EMIT}};
    struct fr_metrics *m = fr_lane_metrics(w->r.in[0].lane);

    printf("   ms a list:");
    for (size_t i = 2; i < sizeof(stages) / sizeof(stages[0]); i++) {
        struct fr_histogram_sum sum;
        memset(&sum, 0, sizeof(sum));
        fr_metrics_hist(&m, 1, stages[i].id, &sum);
        printf(" %s %.3f", stages[i].name, sum.sum_s * 1e3 / events);
    }
    printf("\n");
}

static void settings(const struct row *row, const char **set, char since[64])
{
    int k = 0;

    while (k < n_sets) {
        set[k] = sets[k];
        k++;
    }
    snprintf(since, 64, "recommend.since_ms=%lld", (long long)(T0 + 5LL * row->warm_up + 1));
    set[k++] = row->ranker == NULL ? "recommend.on=" : since;
    if (row->candidates != NULL) {
        set[k++] = row->candidates;
        set[k++] = "recommend.popular=0";
    }
    set[k] = NULL;
}

static void start(struct world *w, const struct row *row)
{
    static char address[300], since[64];
    const char *set[48];

    settings(row, set, since);
    fr_rng_seed(&w->rng, 7);
    rig_init(&w->r, PARTITIONS, false, set);
    if (row->redis) {
        w->rs = redis_server_start(NULL);
        if (w->rs == NULL)
            die("redis-server", "did not start");
        snprintf(address, sizeof(address), "unix:%s", redis_server_socket(w->rs));
        w->r.redis = address;
    }
    if (row->ranker != NULL)
        load_models(w, row->ranker);
    rig_start(&w->r, 0);
    rig_give(&w->r, 0);
    append(w, row->warm_up);
    (void)consume(w, row->warm_up);
}

static void run(const struct row *row)
{
    struct world w = {.now = T0, .users = row->users};
    double wall[MAX_RUNS], cpu[MAX_RUNS];
    int n = row->ranker != NULL ? n_lists : n_events, batches = 0;

    if (only != NULL && strstr(row->name, only) == NULL)
        return;
    start(&w, row);
    for (int i = 0; i < runs; i++) {
        publish_generation(&w);
        append(&w, n);
        wall[i] = -seconds(CLOCK_MONOTONIC);
        cpu[i] = -seconds(CLOCK_THREAD_CPUTIME_ID);
        batches = consume(&w, n);
        wall[i] = n / (wall[i] + seconds(CLOCK_MONOTONIC));
        cpu[i] = n / (cpu[i] + seconds(CLOCK_THREAD_CPUTIME_ID));
    }
    if (rig_counter(&w.r, 0, FR_C_EVENTS_APPLIED) != (uint64_t)(row->warm_up + runs * n) ||
        rig_counter(&w.r, 0, FR_C_RECS_FALLBACK) + rig_counter(&w.r, 0, FR_C_RECS_EMPTY) > 0)
        die(row->name, "not every event was applied, or not every list made by the models");
    printf("%-46s %7.0f /s wall, %7.0f /s of the lane's CPU; records of %4.0f B, %3.0f users in a batch of %3.0f\n", row->name,
           median(wall), median(cpu), record_bytes(&w), distinct(row->users), (double)n / batches);
    if (row->ranker != NULL)
        print_stages(&w, (double)runs * n);
    (void)fflush(stdout);
    rig_done(&w.r);
    redis_server_free(w.rs);
}

START_TEST(bench)
{
    printf("one lane, %d partitions, %d items, median of %d runs of %d events (%d with lists), OpenBLAS %s\n", PARTITIONS, n_items,
           runs, n_events, n_lists, fr_gemm_core());
    const struct row rows[] = {
        {"features only, memory", NULL, false, n_users, 2 * n_users, NULL},
        {"features only, memory, long histories", NULL, false, 1000, 60000, NULL},
        {"features only, redis", NULL, true, n_users, 2 * n_users, NULL},
        {"features only, redis, long histories", NULL, true, 1000, 60000, NULL},
        {"lists as shipped, DeepFM 128x64, memory", &shapes[0], false, 2000, 40000, NULL},
        {"lists as shipped, DeepFM 128x64, redis", &shapes[0], true, 2000, 40000, NULL},
        {"200 candidates, DeepFM 400x3, memory", &shapes[1], false, 2000, 40000, "recommend.candidates=180"},
        {"200 candidates, DeepFM 400x3, redis", &shapes[1], true, 2000, 40000, "recommend.candidates=180"},
    };

    models_dir = tmpdir_make();
    if (models_dir == NULL)
        die("temporary folder", "cannot be made");
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
        train(&shapes[i]);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        run(&rows[i]);
}
END_TEST

/* The rig's assertions need a running test of Check. */
static int run_all(void)
{
    Suite *s = suite_create("bench/lane");
    TCase *tc = tcase_create("all");
    SRunner *sr = srunner_create(s);
    int failed;

    tcase_set_timeout(tc, 0);
    tcase_add_test(tc, bench);
    suite_add_tcase(s, tc);
    srunner_set_fork_status(sr, CK_NOFORK);
    srunner_run_all(sr, CK_MINIMAL);
    failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
    int rc;

    (void)fr_gemm_core_ensure(argv);
    (void)signal(SIGPIPE, SIG_IGN);
    sets[n_sets++] = "recommend.repeat=allow";
    sets[n_sets++] = "state.cache_users=100000";
    for (int i = 1; i + 1 < argc; i += 2) {
        const char *v = argv[i + 1];
        int number = (int)strtol(v, NULL, 10);
        if (strcmp(argv[i], "--runs") == 0)
            runs = number < 1 ? 1 : number > MAX_RUNS ? MAX_RUNS : number;
        else if (strcmp(argv[i], "--events") == 0)
            n_events = number;
        else if (strcmp(argv[i], "--lists") == 0)
            n_lists = number;
        else if (strcmp(argv[i], "--users") == 0)
            n_users = number;
        else if (strcmp(argv[i], "--items") == 0)
            n_items = number;
        else if (strcmp(argv[i], "--only") == 0)
            only = v;
        else if (strcmp(argv[i], "--set") == 0 && n_sets < 38)
            sets[n_sets++] = v;
        else
            die(argv[i], "unknown (see the head of bench_lane.c)");
    }
    if (n_events < 1 || n_lists < 1 || n_users < 1 || n_items < 50)
        die("arguments", "out of range");
    rc = run_all();
    tmpdir_free(models_dir);
    return rc;
}
