/*
 * tests/proc/test_kinds.c - every kind of model in the real daemon: bundles of all of them trained on a small
 * simulated shop, one daemon that is given each by SIGHUP while its lane keeps its rank cache.
 *
 * After each swap: lists name the new pair, scores are finite and in order, and are those that `freshet explain` gives
 * for the published row by the bundle alone; for a user and an item that no model knows too. Without a ranker they are
 * the retrieval model's inner products. Back at an earlier pair, the lists are the earlier ones.
 * ctest: timeout 400
 */
#include <check.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/alloc.h"
#include "daemon/base/arena.h"
#include "daemon/stream/example_codec.h"
#include "models/bundle.h"
#include "models/model.h"
#include "tests/support/daemon_rig.h"
#include "tests/support/exposition.h"
#include "tests/support/tmpdir.h"

#define LIST 8
#define NOW_MS INT64_C(1790100000000)
#define EXPLAINED ((size_t)8 << 20)

static const char *const rankers[] = {"lr",      "fm",       "wide_deep", "deepfm", "autoint",
                                      "autoint+", "gmf", "mlp",       "neumf"};
static const char *const retrievals[] = {"two_tower", "mf"};
#define RANKERS ((int)(sizeof(rankers) / sizeof(rankers[0])))
#define RETRIEVALS ((int)(sizeof(retrievals) / sizeof(retrievals[0])))

static struct daemon_rig d;
static char *tmp;
static struct fr_arena *ar;
static char yaml[300];
static int n_items; /* of the catalogue, the newcomer among them */

static const char *at(const char *name)
{
    static char path[4][400];
    static int turn;
    char *p = path[turn++ % 4];

    ck_assert(tmpdir_path(tmp, name, p, 400));
    return p;
}

/* As names of bundles may be. */
static const char *slug(const char *kind)
{
    return strcmp(kind, "autoint+") == 0 ? "autoint_plus" : kind;
}

static const char *bundle(const char *kind)
{
    char name[64];

    (void)snprintf(name, sizeof(name), "m/%s", slug(kind));
    return at(name);
}

/* ---- bundles ---- */

static void freshet(const char *const *args)
{
    const char *argv[24] = {FR_BUILD_DIR "/freshet"};
    static char out[8000];
    int n = 1;

    while (args[n - 1] != NULL && n < 23) {
        argv[n] = args[n - 1];
        n++;
    }
    ck_assert_msg(proc_run(argv, 200000, out, sizeof(out)) == 0, "%s: %s", args[0], out);
}

/* The version is the kind's number: 1 lr .. 9 neumf, 11 two_tower, 12 mf. */
static void train(const char *kind, int number)
{
    char version[16];
    const char *args[] = {"train",   "--quiet",         "--threads", "1",      "--events",  at("shop/events.jsonl"),
                          "--items", at("shop/items.jsonl"), "--out", at("m"), "--version", version,
                          "--model", kind,              "--epochs",  "2",      NULL};

    (void)snprintf(version, sizeof(version), "%d", number);
    freshet(args);
}

static void train_all(void)
{
    const char *args[] = {"simulate", "--quiet", "--out", at("shop"), "--events", "3000", "--users", "60", "--items", "120",
                          "--seed", "5", NULL};

    freshet(args);
    for (int i = 0; i < RANKERS; i++)
        train(rankers[i], i + 1);
    for (int i = 0; i < RETRIEVALS; i++)
        train(retrievals[i], i + 11);
}

/* ---- the daemon ---- */

static void write_config(const char *retrieval, const char *ranker)
{
    char text[2000];
    int n = snprintf(text, sizeof(text),
                     "recommend:\n  n: %d\n  repeat: allow\n  candidates: 30\n  popular: 0\n  request_max_age_ms: 0\n"
                     "lanes:\n  count: 1\nmodels:\n  rank_cache: 4m\n  retrieval: \"%s\"\n  ranker: \"%s\"\n",
                     LIST, bundle(retrieval), ranker[0] == '\0' ? "" : bundle(ranker));

    ck_assert(tmpdir_write(yaml, text, (size_t)n));
}

static int count(const char *text)
{
    int n = 0;

    for (const char *p = daemon_log(&d); (p = strstr(p, text)) != NULL; p++)
        n++;
    return n;
}

static void swap(const char *retrieval, const char *ranker)
{
    int before = count("reload="), ok = count("reload=ok");
    int64_t end = proc_now_ms() + proc_deadline_ms(30000);

    write_config(retrieval, ranker);
    ck_assert(proc_signal(d.proc, SIGHUP));
    while (count("reload=") == before) {
        ck_assert_msg(proc_now_ms() < end, "%s", daemon_log(&d));
        proc_pause_ms(5);
    }
    ck_assert_msg(count("reload=ok") == ok + 1, "%s, %s: %s", retrieval, ranker, daemon_log(&d));
}

static void expect_indexed(int n)
{
    char text[60];

    (void)snprintf(text, sizeof(text), "freshet_index_items %d\n", n);
    ck_assert_msg(daemon_get_until(&d, "/metrics", 200, text, 30000), "not %d: %s", n, d.body.p);
}

/* The shop's items, and one that came after all training. */
static void produce_catalogue(void)
{
    size_t n = 0;
    char *text = tmpdir_read(at("shop/items.jsonl"), &n), *save = NULL;

    ck_assert_ptr_nonnull(text);
    for (char *line = strtok_r(text, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save), n_items++) {
        char id[40];
        ck_assert_int_eq(sscanf(line, "{\"item_id\":\"%39[^\"]", id), 1);
        daemon_produce(&d, FR_TOPIC_ITEMS, id, line);
    }
    fr_free(text);
    daemon_produce(&d, FR_TOPIC_ITEMS, "newcomer", "{\"item_id\":\"newcomer\",\"title\":\"Newcomer\"}");
    n_items++;
    daemon_flush(&d);
}

/* u000001 is the shop's, the stranger is nobody's. */
static void produce_clicks(void)
{
    static const char *const users[] = {"u000001", "stranger"};

    for (int i = 0; i < 8; i++) {
        char json[300];
        (void)snprintf(json, sizeof(json),
                       "{\"event_id\":\"x%d\",\"type\":\"click\",\"user_id\":\"%s\",\"item_id\":\"i0000%02d\",\"ts\":%lld}", i,
                       users[i % 2], 7 * i, (long long)(NOW_MS + i * 1000));
        daemon_produce(&d, FR_TOPIC_EVENTS, users[i % 2], json);
    }
    daemon_flush(&d);
    ck_assert(daemon_read_until(&d, FR_TOPIC_RECOMMENDATIONS, 8, 30000));
}

/* Each reload builds a graph with mutexes of its own. After some of them TSan has no stacks any more for what it says of
 * hnswlib's locks (frame 0x42), and so does not find the line of tsan.supp: lock order is left to unit.ann_* and
 * proc.reload. */
static void without_lock_order(void)
{
#if defined(__SANITIZE_THREAD__)
    const char *now = getenv("TSAN_OPTIONS");
    char all[2000];

    (void)snprintf(all, sizeof(all), "%s detect_deadlocks=0", now == NULL ? "" : now);
    ck_assert_int_eq(setenv("TSAN_OPTIONS", all, 1), 0);
#endif
}

static void setup(void)
{
    const char *set[] = {"--config", yaml, NULL};

    tmp = tmpdir_make();
    ck_assert_ptr_nonnull(tmp);
    ck_assert(tmpdir_path(tmp, "freshet.yaml", yaml, sizeof(yaml)));
    ck_assert_int_eq(fr_arena_new(1 << 20, 0, &ar), FR_OK);
    train_all();
    write_config("two_tower", "lr");
    without_lock_order();
    daemon_rig_init(&d, true);
    daemon_start(&d, set);
    daemon_wait_ready(&d);
    produce_catalogue();
    expect_indexed(n_items);
    produce_clicks();
}

static void teardown(void)
{
    daemon_rig_done(&d);
    fr_arena_free(ar);
    tmpdir_free(tmp);
}

/* ---- lists ---- */

struct list {
    char request[40], rec_id[FR_REC_ID];
    bool found;
    int n;
    char item[LIST][40];
    float score[LIST];
    char retrieval[64], ranker[64];
    char *row; /* the value of `examples` */
};

static void text_of(char *out, size_t cap, struct fr_str s)
{
    (void)snprintf(out, cap, "%.*s", (int)s.n, s.n == 0 ? "" : s.p);
}

static void find_list(void *ctx, const struct fr_record *rec)
{
    struct list *l = ctx;
    struct fr_recommendation r;
    struct fr_codec_error ce;

    fr_arena_reset(ar);
    ck_assert_int_eq(fr_recommendation_decode(ar, rec->value, &r, &ce), FR_OK);
    if (!fr_str_eqz(r.request_id, l->request))
        return;
    ck_assert_msg(!r.fallback, "%s: a fallback", l->request);
    l->found = true;
    ck_assert_uint_le(r.n_items, LIST);
    l->n = (int)r.n_items;
    memcpy(l->rec_id, r.rec_id, sizeof(l->rec_id));
    text_of(l->retrieval, sizeof(l->retrieval), r.retrieval);
    text_of(l->ranker, sizeof(l->ranker), r.ranker);
    for (int i = 0; i < l->n; i++) {
        text_of(l->item[i], sizeof(l->item[i]), r.items[i].item_id);
        l->score[i] = r.items[i].score;
    }
}

static void find_row(void *ctx, const struct fr_record *rec)
{
    struct list *l = ctx;
    char key[40], *text;

    if (l->row != NULL)
        return;
    (void)snprintf(key, sizeof(key), "\"rec_id\":\"%s\"", l->rec_id);
    text = fr_calloc(1, rec->value.n + 1);
    ck_assert_ptr_nonnull(text);
    memcpy(text, rec->value.p, rec->value.n);
    if (strstr(text, key) != NULL)
        l->row = text;
    else
        fr_free(text);
}

/* One answered request; the stranger's names its candidates, the newcomer first. */
static struct list ask(bool stranger)
{
    static int number;
    const char *user = stranger ? "stranger" : "u000001";
    char json[600];
    struct list l;
    int64_t end = proc_now_ms() + proc_deadline_ms(30000);

    memset(&l, 0, sizeof(l));
    (void)snprintf(l.request, sizeof(l.request), "r%d", number++);
    (void)snprintf(json, sizeof(json), "{\"request_id\":\"%s\",\"user_id\":\"%s\",\"ts\":%lld%s}", l.request, user,
                   (long long)(NOW_MS + 60000),
                   stranger ? ",\"candidates\":[\"newcomer\",\"i000001\",\"i000002\",\"i000003\",\"i000004\",\"i000005\","
                              "\"i000006\",\"i000007\"]"
                            : "");
    daemon_produce(&d, FR_TOPIC_REQUESTS, user, json);
    daemon_flush(&d);
    while (!l.found || l.row == NULL) {
        ck_assert_msg(proc_now_ms() < end, "%s was not answered:\n%s", l.request, daemon_log(&d));
        if (!l.found)
            (void)daemon_read(&d, FR_TOPIC_RECOMMENDATIONS, find_list, &l);
        if (l.found)
            (void)daemon_read(&d, FR_TOPIC_EXAMPLES, find_row, &l);
    }
    ck_assert_int_eq(l.n, LIST);
    return l;
}

static void check_list(const struct list *l, const char *retrieval, const char *ranker)
{
    char want[2][64] = {"", ""};

    for (int i = 0; i < RETRIEVALS; i++)
        if (strcmp(retrievals[i], retrieval) == 0)
            (void)snprintf(want[0], sizeof(want[0]), "%s@%d", retrieval, i + 11);
    for (int i = 0; i < RANKERS; i++)
        if (strcmp(rankers[i], ranker) == 0)
            (void)snprintf(want[1], sizeof(want[1]), "%s@%d", slug(ranker), i + 1);
    ck_assert_str_eq(l->retrieval, want[0]);
    ck_assert_str_eq(l->ranker, want[1]);
    for (int i = 0; i < l->n; i++) {
        ck_assert_msg(isfinite(l->score[i]), "%s: score %d", ranker, i);
        ck_assert_msg(i == 0 || l->score[i] <= l->score[i - 1], "%s: %d is out of order", ranker, i);
    }
}

static bool same(const struct list *a, const struct list *b)
{
    for (int i = 0; i < a->n; i++)
        if (strcmp(a->item[i], b->item[i]) != 0 || fabsf(a->score[i] - b->score[i]) > 1e-5f)
            return false;
    return a->n == b->n && strcmp(a->retrieval, b->retrieval) == 0 && strcmp(a->ranker, b->ranker) == 0;
}

/* ---- scores again, from the bundle ---- */

static void explain(const struct list *l, const char *ranker)
{
    const char *argv[] = {FR_BUILD_DIR "/freshet", "explain", "--bundle", bundle(ranker), "--json", "--row", at("row.json"), NULL};
    char *out = fr_calloc(1, EXPLAINED), *save = NULL;
    int i = 0;

    ck_assert(tmpdir_write(at("row.json"), l->row, strlen(l->row)));
    ck_assert_msg(proc_run(argv, 60000, out, EXPLAINED) == 0, "explain %s: %s", ranker, out);
    for (char *line = strtok_r(out, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save), i++) {
        const char *item = strstr(line, "\"item_id\":\""), *score = strstr(line, "\"score\":");
        ck_assert(item != NULL && score != NULL && i < l->n);
        ck_assert_msg(strncmp(item + 11, l->item[i], strlen(l->item[i])) == 0, "%s: row %d is another item", ranker, i);
        ck_assert_msg(fabs(strtod(score + 8, NULL) - (double)l->score[i]) <= 1e-5, "%s: %s has %.9g in the list, %.30s", ranker,
                      l->item[i], (double)l->score[i], score);
    }
    ck_assert_int_eq(i, l->n);
    fr_free(out);
}

/* Without a ranker a score is 4 + u . v (stage 5), and the order that of the model's own logits. */
static void check_vectors(const struct list *l, const char *retrieval)
{
    static struct fr_field_set fs;
    struct fr_model *m = NULL;
    struct fr_example_rows rows;
    struct fr_fault fault = {FR_OK, NULL, 0, ""};
    float logit[LIST];

    memset(&fs, 0, sizeof(fs));
    fr_arena_reset(ar);
    ck_assert_msg(fr_bundle_fields(bundle(retrieval), &fs, &fault) == FR_OK, "%s", fault.msg);
    ck_assert_msg(fr_model_load(bundle(retrieval), &fs, &m, &fault) == FR_OK, "%s", fault.msg);
    ck_assert_msg(fr_example_decode(&fs, ar, fr_str_z(l->row), &rows, &fault) == FR_OK, "%s", fault.msg);
    const struct fr_model_info *info = fr_model_info(m);
    float *u = fr_arena_array(ar, (size_t)info->dim, sizeof(*u)), *v = fr_arena_array(ar, (size_t)info->dim, sizeof(*v));
    struct fr_slot *us = fr_arena_zarray(ar, info->n_slots[FR_ENTITY_USER], sizeof(*us));
    struct fr_slot *is = fr_arena_zarray(ar, info->n_slots[FR_ENTITY_ITEM], sizeof(*is));
    const struct fr_slot *user = us, *one = is;
    ck_assert_uint_eq(info->n_slots[FR_ENTITY_CONTEXT], 0);
    ck_assert_int_eq(fr_model_encode(m, FR_ENTITY_USER, rows.user, 1, us), FR_OK);
    ck_assert_int_eq(fr_model_users(m, &user, NULL, 1, 0, ar, u), FR_OK);
    for (int i = 0; i < l->n; i++) {
        const struct fr_cell *cells = rows.items + (size_t)i * fs.n_cells[FR_ENTITY_ITEM];
        struct fr_model_case c = {rows.user, rows.context, &cells, rows.cross, 1};
        double dot = 0;
        ck_assert_int_eq(fr_model_encode(m, FR_ENTITY_ITEM, cells, 1, is), FR_OK);
        ck_assert_int_eq(fr_model_items(m, &one, 1, 0, ar, v), FR_OK);
        for (int k = 0; k < info->dim; k++)
            dot += (double)u[k] * (double)v[k];
        ck_assert_msg(fabs(4 + dot - (double)l->score[i]) < 1e-5, "%s: %s has %.9g in the list, %.9g by its vectors", retrieval,
                      l->item[i], (double)l->score[i], 4 + dot);
        ck_assert_int_eq(fr_model_score_case(m, &c, 0, ar, &logit[i]), FR_OK);
        ck_assert_msg(i == 0 || logit[i] <= logit[i - 1] + 1e-4f, "%s: %d is out of order by its logit", retrieval, i);
    }
    fr_model_free(m);
}

/* ---- rounds ---- */

static void list_free(struct list *l)
{
    fr_free(l->row);
    l->row = NULL;
}

static void without_ranker(const char *retrieval)
{
    for (int stranger = 0; stranger < 2; stranger++) {
        struct list l = ask(stranger != 0);
        check_list(&l, retrieval, "");
        check_vectors(&l, retrieval);
        list_free(&l);
    }
    /* the index goes on with vectors of this model's length */
    daemon_produce(&d, FR_TOPIC_ITEMS, "late", "{\"item_id\":\"late\",\"title\":\"Late\"}");
    expect_indexed(n_items + 1);
    daemon_produce(&d, FR_TOPIC_ITEMS, "late", NULL);
    expect_indexed(n_items);
}

static double cache_hits(void)
{
    ck_assert_int_eq(daemon_get(&d, "/metrics"), 200);
    return exposition_value(d.body.p, "freshet_rank_cache_total{result=\"hit\"}");
}

/* The list after the swap is the one of the first round, and so is a second one, whose items the lane's cache has if the
 * kind uses it. */
static void again(const struct list *kept, const struct list *now, const char *ranker)
{
    bool cached = strcmp(ranker, "wide_deep") == 0 || strcmp(ranker, "deepfm") == 0;
    double hits = cache_hits();
    struct list more = ask(false);

    ck_assert_msg(same(kept, now), "%s over %s: another list than before", ranker, now->retrieval);
    ck_assert_msg(same(kept, &more), "%s over %s: the second list differs", ranker, now->retrieval);
    ck_assert_msg(cached == (cache_hits() > hits), "%s: %g hits, then %g", ranker, hits, cache_hits());
    list_free(&more);
}

/* All rankers over one retrieval model; the first time each list is held against its bundle. */
static void round_of(const char *retrieval, bool first, struct list kept[RANKERS])
{
    for (int k = 0; k < RANKERS; k++) {
        int i = first ? k : (k * 4 + 2) % RANKERS; /* later in another order */
        struct list known, stranger;

        swap(retrieval, rankers[i]);
        known = ask(false);
        check_list(&known, retrieval, rankers[i]);
        if (first) {
            explain(&known, rankers[i]);
            stranger = ask(true);
            check_list(&stranger, retrieval, rankers[i]);
            explain(&stranger, rankers[i]);
            list_free(&stranger);
            kept[i] = known;
        } else {
            again(&kept[i], &known, rankers[i]);
        }
        list_free(&known);
    }
}

START_TEST(every_kind__swapped_in_by_sighup__serves_what_its_bundle_says)
{
    static struct list kept[RETRIEVALS][RANKERS];

    for (int r = 0; r < RETRIEVALS; r++) {
        swap(retrievals[r], "");
        without_ranker(retrievals[r]);
        round_of(retrievals[r], true, kept[r]);
    }
    for (int r = 0; r < RETRIEVALS; r++)
        for (int a = 0; a < RANKERS; a++)
            for (int b = 0; b < a; b++) /* no two rankers give one answer: each is a model of its own */
                ck_assert(!same(&kept[r][a], &kept[r][b]) &&
                          fabsf(kept[r][a].score[0] - kept[r][b].score[0]) > 1e-7f);
    for (int r = 0; r < RETRIEVALS; r++)
        round_of(retrievals[r], false, kept[r]);
    ck_assert_int_eq(daemon_get(&d, "/metrics"), 200);
    ck_assert(exposition_value(d.body.p, "freshet_model_reloads_total{result=\"ok\"}") == RETRIEVALS * (2 * RANKERS + 1));
    ck_assert(exposition_value(d.body.p, "freshet_model_version{job=\"retrieval\",kind=\"mf\"}") == 12);
    daemon_stop(&d);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("freshetd/kinds");
    TCase *tc = tcase_create("proc");
    SRunner *sr;
    int failed;

    if (!redis_server_available()) {
        printf("SKIP proc.kinds: no redis-server program\n");
        return 77;
    }
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, every_kind__swapped_in_by_sighup__serves_what_its_bundle_says);
    suite_add_tcase(s, tc);
    sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
