/*
 * Models from a replayed stream: they find a planted structure, the same seed gives the same bundle,
 * hostile streams end in a sentence, shuffled labels teach nothing, lists that were shown are used, a value
 * head learns what clicks are worth.
 * ctest: timeout 300
 */
#include "daemon/learn/stream_train.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/base/alloc.h"
#include "daemon/base/buf.h"
#include "daemon/base/hash.h"
#include "daemon/base/rng.h"
#include "models/train/train_ctr.h"
#include "tests/support/learner_fixture.h"
#include "tests/support/model_fixture.h"
#include "tests/support/tmpdir.h"

#define CLUSTERS 10
#define SIZE 40 /* items of a cluster */
#define USERS 150
#define EVENTS 5000
#define T0 1790000000000LL

static bool slow; /* a sanitizer build: smaller streams, wider bounds */
static struct fr_config cfg;
static struct fr_spec *spec;
static struct fr_buf stream;
static char *dir;
static struct fr_fault fault;

static void setup(void)
{
    slow = learner_slow();
    memset(&fault, 0, sizeof(fault));
    learner_open("allow", &cfg, &spec, &dir);
    fr_buf_init(&stream);
}

static void teardown(void)
{
    fr_buf_done(&stream);
    learner_close(&cfg, spec, dir);
}

static void event(int n, const char *type, int user, int item)
{
    fr_buf_printf(&stream, "{\"event_id\":\"e%d\",\"type\":\"%s\",\"user_id\":\"u%d\",\"item_id\":\"i%d\",\"ts\":%lld}\n",
                  n, type, user, item, T0 + n * 20000LL);
}

/* Users keep to a cluster for a while; half of the next items follow from the last one. */
static int next_item(struct fr_rng *r, int *cluster, int *last)
{
    if (*cluster < 0 || fr_rng_below(r, 20) == 0)
        *cluster = (int)fr_rng_below(r, CLUSTERS);
    if (*last >= 0 && *last / SIZE == *cluster && fr_rng_below(r, 2) == 0)
        *last = *cluster * SIZE + (*last % SIZE * 7 + 3) % SIZE;
    else
        *last = *cluster * SIZE + (int)(fr_rng_f64(r) * fr_rng_f64(r) * SIZE);
    return *last;
}

static void structured(uint64_t seed, int events)
{
    static int cluster[USERS], last[USERS];
    struct fr_rng r;

    fr_rng_seed(&r, seed);
    memset(cluster, 0xff, sizeof(cluster));
    memset(last, 0xff, sizeof(last));
    for (int n = 0; n < events; n++) {
        int u = (int)fr_rng_below(&r, USERS);
        event(n, "click", u, next_item(&r, &cluster[u], &last[u]));
    }
}

static struct fr_stream_train_config config(uint64_t seed)
{
    struct fr_stream_train_config c;

    fr_stream_train_config_default(&c);
    c.in.spec = spec;
    c.in.events = fr_buf_str(&stream);
    c.cfg = &cfg;
    c.dir = dir;
    c.seed = seed;
    c.threads = 2;
    return c;
}

static uint32_t crc_of(const char *name)
{
    char path[512];
    size_t n;
    char *bytes;
    uint32_t crc;

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    bytes = tmpdir_read(path, &n);
    ck_assert_msg(bytes != NULL && n > 0, "%s is missing", path);
    crc = fr_crc32(0, bytes, n);
    fr_free(bytes);
    return crc;
}

static void load(const char *name)
{
    struct fr_model *m = NULL;
    char path[512];

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    ck_assert_msg(fr_model_load(path, &spec->fields, &m, &fault) == FR_OK, "%s", fault.msg);
    fr_model_free(m);
}

/* HR@20 of the most popular items over the newest events. */
static double popular_hr(int events)
{
    static int count[CLUSTERS * SIZE];
    const char *p = stream.p, *end = stream.p + stream.n;
    int n = 0, hits = 0, total = 0;

    memset(count, 0, sizeof(count));
    for (; p < end; n++) {
        const char *nl = memchr(p, '\n', (size_t)(end - p)), *it = strstr(p, "\"i");
        int item = 0, above = 0;
        while (it != NULL && it < nl && strncmp(it, "\"item_id\":\"i", 12) != 0)
            it = strstr(it + 1, "\"i");
        ck_assert(it != NULL && it < nl);
        for (const char *d = it + 12; *d >= '0' && *d <= '9'; d++)
            item = item * 10 + (*d - '0');
        for (int k = 0; k < CLUSTERS * SIZE && n > events * 9 / 10; k++)
            above += count[k] > count[item];
        if (n > events * 9 / 10) {
            total++;
            hits += above < 20;
        }
        count[item]++;
        p = nl + 1;
    }
    return (double)hits / total;
}

/* An entry an epoch; they end with the losses that are reported, and the best one is the one kept. */
static void check_curves(const struct fr_stream_train_config *c, const struct fr_stream_train_result *r)
{
    const struct fr_stream_curve *t = &r->tower_curve, *k = &r->ranker_curve;

    ck_assert_int_eq(t->n, c->epochs); /* of the last tower alone */
    ck_assert_double_eq(t->loss[t->n - 1], r->tower_loss);
    ck_assert_double_lt(t->loss[t->n - 1], t->loss[0]);
    ck_assert(k->n >= 1 && k->n <= c->ranker_epochs);
    ck_assert_double_eq(k->loss[k->n - 1], r->ranker_loss);
    ck_assert_int_eq(k->best, r->ranker_epochs);
    for (int i = 1; i < k->n; i++)
        ck_assert_double_lt(k->lr[i], k->lr[i - 1]);
    for (int i = 0; k->best > 0 && i < k->n; i++)
        ck_assert_double_le(k->valid[i], k->valid[k->best - 1]);
}

/* By each of the tower's losses. */
START_TEST(a_planted_structure_is_found)
{
    struct fr_two_tower_train_config tower;
    struct fr_stream_train_result r;
    struct fr_stream_train_config c;
    int events = slow || _i > 0 ? 2000 : EVENTS;
    double popular;

    structured(5, events);
    popular = popular_hr(events);
    c = config(1);
    c.held_out = .5;
    c.tower_part = .6;
    c.ranker_epochs = 3;
    if (_i > 0) {
        c.ranker_epochs = 1;
        fr_two_tower_train_config_default(&tower);
        tower.in_batch = false;
        tower.negatives = 100;
        tower.loss = _i == 2 ? FR_TOWER_CCL : FR_TOWER_SOFTMAX;
        tower.log_uniform = _i == 1;
        tower.margin = .3f;
        tower.negative_weight = 20;
        c.tower = &tower;
    }
    ck_assert_msg(fr_stream_train(&c, &r, &fault) == FR_OK, "%s", fault.msg);
    ck_assert_uint_eq(r.lines, (uint64_t)events);
    ck_assert_uint_eq(r.refused, 0);
    ck_assert_uint_ge(r.examples, (uint64_t)events - USERS);
    ck_assert_uint_ge(r.lists, (uint64_t)events / 10);
    ck_assert_uint_ge(r.eval_triggers, (uint64_t)events * 18 / 100);
    ck_assert_double_gt(r.hr20_tower, popular + 0.1);
    ck_assert_double_ge(r.hr20_ranker, r.hr20_tower - 0.02);
    ck_assert_double_gt(r.auc, 0.6);
    check_curves(&c, &r);
    load("two_tower");
    load("deepfm");
}
END_TEST

/* What suits each optimiser finds the structure too, towers and ranker. Adam is above. */
START_TEST(a_planted_structure_is_found_by_every_optimiser)
{
    struct fr_stream_train_result r;
    struct fr_stream_train_config c;
    int events = slow ? 2000 : EVENTS;
    double popular;

    structured(5, events);
    popular = popular_hr(events);
    c = config(1);
    c.held_out = .5;
    c.tower_part = .6;
    c.ranker_epochs = 3;
    c.optimizer = (enum fr_optimizer)_i;
    c.decay = c.optimizer == FR_OPTIMIZER_ADAGRAD ? .999 : 1;
    ck_assert_msg(fr_stream_train(&c, &r, &fault) == FR_OK, "%s", fault.msg);
    if (slow) /* too little of a stream for bounds on sgd: here it is about what the sanitizer sees */
        return;
    ck_assert_msg(r.hr20_tower > popular + 0.1, "%s: tower %.3f, popular %.3f", fr_optimizer_name(c.optimizer),
                  r.hr20_tower, popular);
    ck_assert_msg(r.hr20_ranker >= r.hr20_tower - 0.02 && r.auc > 0.6, "%s: ranker %.3f, tower %.3f, AUC %.3f",
                  fr_optimizer_name(c.optimizer), r.hr20_ranker, r.hr20_tower, r.auc);
}
END_TEST

/* Steps so long that every round of training makes the ranker worse than it was before the first. */
START_TEST(a_ranker_that_training_makes_worse_stays_as_it_began)
{
    struct fr_ctr_train_config steps;
    struct fr_stream_train_result r;
    struct fr_stream_train_config c;

    structured(5, 1500);
    fr_ctr_train_config_default(&steps);
    steps.opt.lr = 0.5f;
    c = config(1);
    c.ranker = &steps;
    c.tower_part = .6;
    c.epochs = 2;
    c.ranker_epochs = 3;
    ck_assert_msg(fr_stream_train(&c, &r, &fault) == FR_OK, "%s", fault.msg);
    ck_assert_int_eq(r.ranker_epochs, 0);
    load("deepfm");
}
END_TEST

START_TEST(a_seed_is_a_bundle)
{
    struct fr_stream_train_result r;
    struct fr_stream_train_config c;
    uint32_t tower[3], ranker[3];
    static const uint64_t seeds[3] = {7, 7, 8};

    structured(6, 1500);
    for (int i = 0; i < 3; i++) {
        c = config(seeds[i]);
        c.epochs = 2;
        c.ranker_epochs = 2;
        ck_assert_msg(fr_stream_train(&c, &r, &fault) == FR_OK, "%s", fault.msg);
        tower[i] = crc_of("two_tower/weights.safetensors") ^ crc_of("two_tower/manifest.json") << 1;
        ranker[i] = crc_of("deepfm/weights.safetensors") ^ crc_of("deepfm/manifest.json") << 1;
    }
    ck_assert_uint_eq(tower[0], tower[1]);
    ck_assert_uint_eq(ranker[0], ranker[1]);
    ck_assert_uint_ne(tower[0], tower[2]);
    ck_assert_uint_ne(ranker[0], ranker[2]);
}
END_TEST

static void count(void *ctx, const char *what, uint64_t done, uint64_t total, double loss, double auc)
{
    (void)what, (void)done, (void)total, (void)loss, (void)auc;
    ++*(int *)ctx;
}

/* The place of either bundle is taken: told before anything is done, and nothing is changed there. */
START_TEST(a_place_that_holds_something_else_is_refused_at_the_beginning)
{
    static const char *const where[] = {"two_tower", "deepfm"};
    struct fr_stream_train_result r;
    struct fr_stream_train_config c;
    char path[512];
    int told = 0;

    structured(6, 800);
    for (int i = 0; i < 2; i++) {
        c = config(1);
        c.progress = count;
        c.progress_ctx = &told;
        snprintf(path, sizeof(path), "%s/%s", dir, where[i]);
        ck_assert_int_eq(mkdir(path, 0755), 0);
        snprintf(path, sizeof(path), "%s/%s/keep", dir, where[i]);
        ck_assert(tmpdir_write(path, "x", 1));
        ck_assert_int_eq(fr_stream_train(&c, &r, &fault), FR_EREFUSED);
        ck_assert_msg(strstr(fault.msg, where[i]) != NULL && strstr(fault.msg, "holds keep") != NULL, "%s", fault.msg);
        ck_assert_int_eq(access(path, F_OK), 0);
        ck_assert_int_eq(told, 0);
        snprintf(path, sizeof(path), "%s/%s", dir, where[i]);
        ck_assert(tmpdir_remove(path));
    }
}
END_TEST

START_TEST(the_version_is_the_newest_examples_time_or_what_is_asked_for)
{
    struct fr_stream_train_result r;
    struct fr_stream_train_config c;
    struct fr_model *m = NULL;
    char path[512];

    structured(6, 800);
    snprintf(path, sizeof(path), "%s/two_tower", dir);
    for (int i = 0; i < 2; i++) {
        c = config(1);
        c.with_ranker = false;
        c.version = i == 0 ? 0 : 77;
        ck_assert_msg(fr_stream_train(&c, &r, &fault) == FR_OK, "%s", fault.msg);
        ck_assert_int_eq(fr_model_load(path, &spec->fields, &m, &fault), FR_OK);
        if (i == 1)
            ck_assert_uint_eq(fr_model_info(m)->version, 77);
        else
            ck_assert(fr_model_info(m)->version > T0 && fr_model_info(m)->version < T0 + 800 * 20000LL);
        fr_model_free(m);
    }
}
END_TEST

/* What must hold of any stream: an error with a sentence, or bundles that load. */
static void ends_well(const char *what)
{
    struct fr_stream_train_result r;
    struct fr_stream_train_config c = config(1);
    enum fr_err e;

    memset(&fault, 0, sizeof(fault));
    c.epochs = 1;
    c.ranker_epochs = 1;
    e = fr_stream_train(&c, &r, &fault);
    if (e == FR_OK) {
        load("two_tower");
        load("deepfm");
    } else {
        ck_assert_msg(strlen(fault.msg) > 10, "%s: no reason given", what);
    }
    fr_buf_clear(&stream);
}

START_TEST(hostile_streams_end_in_a_sentence_or_a_bundle)
{
    ends_well("empty");
    ck_assert_int_eq(fault.err, FR_EINVAL);
    fr_buf_puts(&stream, "\n\n{}\n[1,2]\n{\"type\":\"click\"}\nnonsense\n\0");
    ends_well("no events");
    ck_assert_msg(strstr(fault.msg, "no events") != NULL, "%s", fault.msg);
    for (int i = 0; i < 300; i++)
        event(i, "click", 1, i % 7);
    ends_well("one user");
    for (int i = 0; i < 300; i++)
        event(i, "click", i % 9, 3);
    ends_well("one item");
    for (int i = 0; i < 300; i++)
        event(i, "skip", i % 9, i % 5);
    ends_well("nothing positive");
    for (int i = 0; i < 300; i++)
        event(i, "click", i, i);
    ends_well("nobody comes back");
    for (int i = 0; i < 600; i++)
        fr_buf_printf(&stream, "{\"event_id\":\"%d\",\"type\":\"click\",\"user_id\":\"%d\",\"item_id\":\"%d\",\"ts\":%d,"
                      "\"value\":%s}\n", i, i % 5, i % 11, i % 2 == 0 ? i * 1000 : 0,
                      i % 3 == 0 ? "1e308" : i % 3 == 1 ? "-1e308" : "1e999");
    ends_well("values and times out of any range");
    for (int i = 0; i < 400; i++)
        event(i % 100, "click", i % 5, i % 11);
    ends_well("the same events again");
}
END_TEST

START_TEST(settings_out_of_range_are_refused)
{
    struct fr_stream_train_result r;
    struct fr_stream_train_config c = config(1);

    c.epochs = 0;
    ck_assert_int_eq(fr_stream_train(&c, &r, &fault), FR_EINVAL);
    c = config(1);
    c.tower_part = 1;
    ck_assert_int_eq(fr_stream_train(&c, &r, &fault), FR_EINVAL);
}
END_TEST

/* Random positives: whatever the ranker learns, it cannot order held-out lists. Lists are short, so that
 * there are many: the error of the AUC falls with the number of positives. */
START_TEST(shuffled_labels_teach_nothing)
{
    static const char *const set[] = {"recommend.candidates=15", "recommend.popular=5", "recommend.n=5"};
    struct fr_stream_train_result r;
    struct fr_stream_train_config c;

    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(fr_config_set(&cfg, set[i], &fault), FR_OK);
    structured(5, slow ? 3000 : 24000);
    c = config(1);
    c.with_retrieval = false;
    c.shuffle_labels = true;
    c.tower_part = .1;
    c.held_out = .8;
    c.max_held_out = 15000;
    c.max_lists = 1000;
    c.epochs = 1;
    c.ranker_epochs = 1;
    ck_assert_msg(fr_stream_train(&c, &r, &fault) == FR_OK, "%s", fault.msg);
    ck_assert_uint_ge(r.rows_held_out, slow ? 5000 : 50000);
    ck_assert_double_gt(r.auc, slow ? 0.45 : 0.49);
    ck_assert_double_lt(r.auc, slow ? 0.55 : 0.51);
}
END_TEST

/* ---- what was shown ---- */

static void rec_id(const char *rec)
{
    if (rec[0] != '\0')
        fr_buf_printf(&stream, "\"rec_id\":\"%s\",", rec);
}

static void shown(int n, int user, const char *rec, const int *items, int count)
{
    fr_buf_printf(&stream, "{\"event_id\":\"s%d\",\"type\":\"impressions\",\"user_id\":\"u%d\",", n, user);
    rec_id(rec);
    fr_buf_puts(&stream, "\"items\":[");
    for (int i = 0; i < count; i++)
        fr_buf_printf(&stream, "%s{\"item_id\":\"i%d\",\"position\":%d}", i == 0 ? "" : ",", items[i], i);
    fr_buf_printf(&stream, "],\"ts\":%lld}\n", T0 + n * 20000LL);
}

static void click(int n, int user, int item, const char *rec, long long later_ms)
{
    fr_buf_printf(&stream, "{\"event_id\":\"c%d\",\"type\":\"click\",\"user_id\":\"u%d\",\"item_id\":\"i%d\",", n,
                  user, item);
    rec_id(rec);
    fr_buf_printf(&stream, "\"ts\":%lld}\n", T0 + n * 20000LL + later_ms);
}

START_TEST(clicks_find_the_list_they_were_made_in)
{
    static const int a[] = {1, 2, 3}, b[] = {4, 5};
    struct fr_stream_input in = {.spec = spec};
    struct fr_stream_labels l;

    shown(0, 1, "r0", a, 3);        /* line 0: before any trigger */
    event(1, "click", 1, 9);        /* line 1: trigger */
    shown(2, 1, "r1", a, 3);        /* its list */
    click(3, 1, 2, "r1", 0);        /* line 3: click on it, and a trigger */
    click(4, 1, 3, "r1", 0);        /* another */
    shown(5, 1, "r1b", b, 2);       /* line 5: of line 4, never clicked in */
    shown(6, 1, "r2", b, 2);        /* list of line 5 */
    click(7, 1, 5, "other", 0);     /* another list's click */
    event(8, "click", 2, 9);        /* line 8: trigger of user 2 */
    shown(9, 2, "", b, 2);
    click(10, 2, 4, "", 86400000);  /* too late */
    in.events = fr_buf_str(&stream);
    ck_assert_int_eq(fr_stream_labels_find(&in, &l, &fault), FR_OK);
    ck_assert_uint_eq(l.n_refused, 0);
    ck_assert_uint_eq(l.n_impressions, 4);
    ck_assert_uint_eq(l.n_shown, 1);
    ck_assert_uint_eq(l.shown[0].line, 1);
    ck_assert_uint_eq(l.shown[0].n, 3);
    ck_assert_uint_eq(l.shown[0].clicks, 2);
    ck_assert(!l.shown_click[l.shown[0].first] && l.shown_click[l.shown[0].first + 1] &&
              l.shown_click[l.shown[0].first + 2]);
    ck_assert_uint_eq(l.shown_item[l.shown[0].first + 1], fr_id_hash(spec->key, FR_STR_LIT("i2")));
    fr_stream_labels_done(&l);
}
END_TEST

/* A user is shown one item of the own cluster among nine of others and clicks it. */
START_TEST(lists_that_were_shown_are_learnt_from)
{
    struct fr_stream_train_result r;
    struct fr_stream_train_config c;
    struct fr_rng g;
    int n = 0;

    fr_rng_seed(&g, 9);
    for (int round = 0; round < 1500; round++) {
        int user = (int)fr_rng_below(&g, 60), own = user % CLUSTERS, items[10];
        char rec[16];
        snprintf(rec, sizeof(rec), "r%d", round);
        event(n++, "view", user, own * SIZE + (int)fr_rng_below(&g, SIZE));
        for (int i = 0; i < 10; i++)
            items[i] = (own + i) % CLUSTERS * SIZE + (int)fr_rng_below(&g, SIZE);
        shown(n++, user, rec, items, 10);
        click(n++, user, items[0], rec, 0);
    }
    c = config(1);
    ck_assert_msg(fr_stream_train(&c, &r, &fault) == FR_OK, "%s", fault.msg);
    ck_assert_uint_eq(r.refused, 0);
    ck_assert_uint_eq(r.impressions, 1500);
    ck_assert_uint_eq(r.shown, 1500);
    ck_assert_uint_gt(r.lists, 300);
    ck_assert_uint_lt(r.lists, 1100); /* only those after tower A's part, one for each click */
    ck_assert_double_lt(r.ranker_loss, 2.0); /* ln 10 = 2.30: chance */
    ck_assert_double_gt(r.mrr_ranker, 0.5);  /* .29: chance */
    ck_assert_double_ge(r.mrr_ranker, r.mrr_tower - 0.02);
    load("deepfm");
}
END_TEST

static void with_value(int n, const char *type, int user, int item, const char *value)
{
    fr_buf_printf(&stream,
                  "{\"event_id\":\"v%d\",\"type\":\"%s\",\"user_id\":\"u%d\",\"item_id\":\"i%d\",\"ts\":%lld,\"value\":%s}\n",
                  n, type, user, item, T0 + n * 20000LL, value);
}

START_TEST(labels_have_the_value_of_their_event_or_of_the_next_one_on_the_item)
{
    static const int a[] = {1, 2, 3};
    struct fr_stream_input in = {.spec = spec, .value = {.kind = FR_VALUE_LOG}};
    struct fr_stream_labels l;

    event(0, "click", 1, 9);
    with_value(1, "view", 1, 1, "30");       /* label of 0 */
    event(2, "click", 1, 2);                 /* label of 1, nothing known */
    with_value(3, "purchase", 1, 2, "12.5"); /* says it of label 1, and is label of 2 */
    with_value(4, "click", 1, 3, "-4");      /* label of 3: no value that fits */
    with_value(5, "purchase", 1, 2, "99");   /* label of 4; label of 3 was another item's */
    shown(6, 1, "r", a, 3);
    click(7, 1, 2, "r", 0);                  /* label of 5 */
    with_value(8, "purchase", 1, 2, "7");    /* label of 7; of the list's click and of label 5 too */
    with_value(9, "purchase", 1, 2, "8");    /* the first one counts */
    with_value(10, "purchase", 1, 3, "5");   /* shown, but not clicked before: a click by itself */
    in.events = fr_buf_str(&stream);
    ck_assert_int_eq(fr_stream_labels_find(&in, &l, &fault), FR_OK);
    ck_assert_uint_eq(l.n_refused, 0);
    ck_assert(l.value[0] == 30 && l.value[1] == 12.5f && l.value[2] == 12.5f);
    ck_assert(isnan(l.value[3]) && l.value[4] == 99 && l.value[5] == 7 && l.value[7] == 7 && l.value[8] == 8);
    ck_assert(isnan(l.value[10]) && isnan(l.value[6])); /* no label, no trigger */
    ck_assert_uint_eq(l.n_shown, 1);
    const float *v = l.shown_value + l.shown[0].first;
    ck_assert(isnan(v[0]) && v[1] == 7 && v[2] == 5);
    fr_stream_labels_done(&l);

    in.value = (struct fr_stream_value_rule){FR_VALUE_UNIT, "purchase"};
    ck_assert_int_eq(fr_stream_labels_find(&in, &l, &fault), FR_OK);
    ck_assert(l.value[0] == 0 && l.value[1] == 1 && l.value[2] == 1 && l.value[3] == 0 && l.value[5] == 1);
    v = l.shown_value + l.shown[0].first;
    ck_assert(isnan(v[0]) && v[1] == 1 && v[2] == 1);
    fr_stream_labels_done(&l);

    in.value = (struct fr_stream_value_rule){FR_VALUE_LOG, "view"};
    ck_assert_int_eq(fr_stream_labels_find(&in, &l, &fault), FR_OK);
    ck_assert(l.value[0] == 30 && isnan(l.value[1]) && isnan(l.value[4]));
    fr_stream_labels_done(&l);

    in.value.event = "viev";
    ck_assert_int_eq(fr_stream_labels_find(&in, &l, &fault), FR_EINVAL);
    ck_assert_ptr_nonnull(strstr(fault.msg, "viev"));
    in.value = (struct fr_stream_value_rule){FR_VALUE_UNIT, NULL};
    ck_assert_int_eq(fr_stream_labels_find(&in, &l, &fault), FR_EINVAL);
    in.value.kind = FR_VALUE_NONE;
    ck_assert_int_eq(fr_stream_labels_find(&in, &l, &fault), FR_OK);
    for (uint64_t i = 0; i < l.n; i++)
        ck_assert(isnan(l.value[i]));
    fr_stream_labels_done(&l);
}
END_TEST

/* One item's property makes clicks, its category makes values. */
#define GOODS 100
static const double price[] = {2, 150, 9, 40, 0.5};

static void goods(struct fr_buf *items)
{
    for (int i = 0; i < GOODS; i++)
        fr_buf_printf(items, "{\"item_id\":\"i%d\",\"title\":\"x\",\"categories\":[\"c%d\"]}\n", i, i % 5);
}

/* Of ten goods shown one is clicked, by its pull, and that click has a value. */
static void market(int rounds)
{
    struct fr_rng g;
    int n = 0;

    fr_rng_seed(&g, 31);
    for (int round = 0; round < rounds; round++) {
        int user = (int)fr_rng_below(&g, 60), items[10], at = 0;
        double total = 0, draw;
        char rec[16], value[32];

        snprintf(rec, sizeof(rec), "r%d", round);
        event(n++, "view", user, (int)fr_rng_below(&g, GOODS));
        for (int i = 0; i < 10; i++) {
            items[i] = (int)fr_rng_below(&g, GOODS);
            total += 1 + items[i] / 5 % 4 * 2;
        }
        for (draw = fr_rng_f64(&g) * total; at < 9 && draw >= 1 + items[at] / 5 % 4 * 2; at++)
            draw -= 1 + items[at] / 5 % 4 * 2;
        shown(n++, user, rec, items, 10);
        snprintf(value, sizeof(value), "%.3f", price[items[at] % 5] * (0.8 + 0.4 * fr_rng_f64(&g)));
        with_value(n++, "click", user, items[at], value);
    }
}

START_TEST(a_value_head_learns_what_clicks_are_worth)
{
    struct fr_stream_train_result r;
    struct fr_stream_train_config c;
    struct fr_model *m = NULL;
    struct fr_buf items;
    char path[512];

    if (slow && _i == 1)
        return; /* minutes under a sanitizer; AutoInt's second head has its own tests there */
    fr_buf_init(&items);
    goods(&items);
    market(slow ? 700 : 1500);
    c = config(1);
    c.in.items = fr_buf_str(&items);
    c.in.value.kind = FR_VALUE_LOG;
    c.with_retrieval = false;
    c.ranker_kind = _i == 0 ? FR_MODEL_DEEPFM : FR_MODEL_AUTOINT;
    c.ranker_epochs = slow ? 14 : 0; /* as many steps, nearly */
    ck_assert_msg(fr_stream_train(&c, &r, &fault) == FR_OK, "%s", fault.msg);
    ck_assert_uint_eq(r.refused, 0);
    ck_assert_uint_le(r.values, r.lists); /* a view of what was shown is a click without a value */
    ck_assert_uint_gt(r.values, r.lists * 4 / 5);
    ck_assert_uint_le(r.values_held_out, r.lists_held_out / 2 + 1);
    ck_assert_uint_gt(r.values_held_out, r.lists_held_out / 3);
    printf("%s: error %.3f (mean %.3f), kept %.3f (click %.3f), MRR %.3f\n", fr_model_kind_name(c.ranker_kind),
           r.value_error, r.value_error_mean, r.value_ndcg, r.value_ndcg_click, r.mrr_ranker);
    ck_assert_double_gt(r.value_error_mean, 1.0);
    ck_assert_double_lt(r.value_error, 0.65 * r.value_error_mean);
    ck_assert_double_gt(r.value_ndcg, r.value_ndcg_click + 0.03);
    snprintf(path, sizeof(path), "%s/%s", dir, fr_model_kind_slug(c.ranker_kind));
    ck_assert_msg(fr_model_load(path, &spec->fields, &m, &fault) == FR_OK, "%s", fault.msg);
    ck_assert_int_eq(fr_model_info(m)->value, FR_VALUE_LOG);
    ck_assert(fr_model_info(m)->share);
    fr_model_free(m);
    fr_buf_done(&items);
}
END_TEST

START_TEST(a_value_head_without_values_or_layers_is_refused)
{
    struct fr_stream_train_result r;
    struct fr_stream_train_config c;

    structured(3, 1500);
    c = config(1);
    c.in.value.kind = FR_VALUE_LOG;
    ck_assert_int_eq(fr_stream_train(&c, &r, &fault), FR_EINVAL);
    ck_assert_msg(strstr(fault.msg, "has a value") != NULL, "%s", fault.msg);
    memset(&fault, 0, sizeof(fault));
    c.in.value = (struct fr_stream_value_rule){FR_VALUE_UNIT, "purchase"};
    c.ranker_kind = FR_MODEL_FM;
    ck_assert_int_eq(fr_stream_train(&c, &r, &fault), FR_EINVAL);
    ck_assert_msg(strstr(fault.msg, "value head") != NULL, "%s", fault.msg);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("learn_stream_train");
    TCase *tc = tcase_create("train");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, a_planted_structure_is_found, 0, 3);
    tcase_add_loop_test(tc, a_planted_structure_is_found_by_every_optimiser, FR_OPTIMIZER_ADAM + 1, FR_OPTIMIZER_COUNT);
    tcase_add_test(tc, a_ranker_that_training_makes_worse_stays_as_it_began);
    tcase_add_test(tc, a_seed_is_a_bundle);
    tcase_add_test(tc, a_place_that_holds_something_else_is_refused_at_the_beginning);
    tcase_add_test(tc, the_version_is_the_newest_examples_time_or_what_is_asked_for);
    tcase_add_test(tc, hostile_streams_end_in_a_sentence_or_a_bundle);
    tcase_add_test(tc, settings_out_of_range_are_refused);
    tcase_add_test(tc, shuffled_labels_teach_nothing);
    tcase_add_test(tc, clicks_find_the_list_they_were_made_in);
    tcase_add_test(tc, lists_that_were_shown_are_learnt_from);
    tcase_add_test(tc, labels_have_the_value_of_their_event_or_of_the_next_one_on_the_item);
    tcase_add_loop_test(tc, a_value_head_learns_what_clicks_are_worth, 0, 2);
    tcase_add_test(tc, a_value_head_without_values_or_layers_is_refused);
    suite_add_tcase(s, tc);
    return mf_run(s);
}
