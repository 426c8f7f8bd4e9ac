/*
 * Every kind of model from a replayed stream: each orders the held-out lists of a simulated shop far better than chance;
 * those of users and items alone are the same for the same seed, know what they do not know, and end hostile streams
 * in a sentence.
 * ctest: timeout 900
 */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/alloc.h"
#include "daemon/base/buf.h"
#include "daemon/base/hash.h"
#include "daemon/cli/shop_history.h"
#include "daemon/learn/stream_train.h"
#include "tests/support/learner_fixture.h"
#include "tests/support/model_fixture.h"
#include "tests/support/tmpdir.h"

#if defined(FR_SANITIZED) /* instrumented programs are some ten times slower */
#define EVENTS 6000
#define HELD_OUT 300
#define SIGMAS 4 /* of the measure by chance */
#define FIRST 6  /* ranker; proc.kinds trains the others */
#else
#define EVENTS 12000
#define HELD_OUT 600
#define SIGMAS 6
#define FIRST 0
#endif

static struct fr_config cfg;
static struct fr_spec *spec;
static struct fr_buf events, items;
static char *dir;
static struct fr_fault fault;
static int n_clicks[1000]; /* by item of the simulated shop */

static void setup(void)
{
    memset(&fault, 0, sizeof(fault));
    learner_open(NULL, &cfg, &spec, &dir);
    fr_buf_init(&events);
    fr_buf_init(&items);
}

static void teardown(void)
{
    fr_buf_done(&events);
    fr_buf_done(&items);
    learner_close(&cfg, spec, dir);
}

/* ---- streams ---- */

/* Browsing and clicks; what was shown is left out, so that all candidates are ranked. */
static enum fr_err on_event(void *ctx, struct fr_str value)
{
    int item = -1;
    const char *at;

    (void)ctx;
    fr_buf_put(&events, value.p, value.n);
    fr_buf_puts(&events, "\n");
    fr_buf_putc(&events, '\0');
    at = strstr(events.p + events.n - value.n - 2, "\"impressions\"");
    events.n--; /* the NUL */
    if (at != NULL) {
        events.n -= value.n + 1;
        return FR_OK;
    }
    at = strstr(events.p + events.n - value.n - 1, "\"item_id\":\"i");
    if (at != NULL)
        item = (int)strtol(at + 12, NULL, 10);
    if (item >= 0 && item < 1000)
        n_clicks[item]++;
    return FR_OK;
}

static void shop(uint64_t n_events, int users, int n_items)
{
    struct fr_shop_conf c;
    struct fr_shop_policy policy;
    struct fr_shop_history h = {.policy = &policy, .events = n_events, .id_prefix = "t", .event = on_event};

    memset(n_clicks, 0, sizeof(n_clicks));
    fr_shop_conf_default(&c);
    c.seed = 5;
    c.users = (uint32_t)users;
    c.items = (uint32_t)n_items;
    c.start_ms = 1767225600000;
    ck_assert_msg(fr_shop_new(&c, &h.shop, &fault) == FR_OK, "%s", fault.msg);
    fr_shop_policy_init(&policy, 5);
    ck_assert_int_eq(fr_shop_history_run(&h), FR_OK);
    for (uint32_t i = 0; i < fr_shop_items(h.shop); i++) {
        struct fr_shop_item it;
        ck_assert(fr_shop_item(h.shop, i, &it));
        fr_buf_printf(&items, "{\"item_id\":\"%s\",\"title\":\"%s\",\"categories\":[\"%s\"],\"brand\":\"%s\"}\n", it.id, it.title,
                      it.category, it.brand);
    }
    fr_shop_free(h.shop);
}

static struct fr_stream_train_config config(enum fr_model_kind kind)
{
    bool retrieval = kind == FR_MODEL_TWO_TOWER || kind == FR_MODEL_MF;
    struct fr_stream_train_config c;

    fr_stream_train_config_default(&c);
    c.in.spec = spec;
    c.in.events = fr_buf_str(&events);
    c.in.items = fr_buf_str(&items);
    c.cfg = &cfg;
    c.dir = dir;
    c.threads = 1;
    c.with_retrieval = retrieval;
    c.with_ranker = !retrieval;
    if (retrieval)
        c.retrieval_kind = kind;
    else
        c.ranker_kind = kind;
    return c;
}

static struct fr_stream_train_result train(const struct fr_stream_train_config *c)
{
    struct fr_stream_train_result r;

    ck_assert_msg(fr_stream_train(c, &r, &fault) == FR_OK, "%s", fault.msg);
    return r;
}

static struct fr_model *load(enum fr_model_kind kind)
{
    struct fr_model *m = NULL;
    char path[512];

    snprintf(path, sizeof(path), "%s/%s", dir, fr_model_kind_slug(kind));
    ck_assert_msg(fr_model_load(path, &spec->fields, &m, &fault) == FR_OK, "%s", fault.msg);
    ck_assert_int_eq(fr_model_info(m)->kind, kind);
    ck_assert_str_eq(fr_model_info(m)->name, fr_model_kind_slug(kind));
    return m;
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

/* ---- better than chance ---- */

static const struct {
    enum fr_model_kind kind;
    int epochs, lists; /* enough for this shop; more take long under sanitizers */
} rankers[] = {{FR_MODEL_LR, 4, 600},      {FR_MODEL_FM, 4, 600},
               {FR_MODEL_WIDE_DEEP, 3, 600}, {FR_MODEL_DEEPFM, 3, 600},
               {FR_MODEL_AUTOINT, 2, 300}, {FR_MODEL_AUTOINT_PLUS, 2, 300},
               {FR_MODEL_GMF, 60, 1},      {FR_MODEL_MLP, 10, 1},
               {FR_MODEL_NEUMF, 20, 1}};
#define RANKERS ((int)(sizeof(rankers) / sizeof(rankers[0])))

/* In random order the AUC is .5 with a standard error of 1 / sqrt(12 lists): the place of the one positive of a
 * list of many is uniform. What is reported is over every other held-out list. */
START_TEST(rankers__on_held_out_lists__far_from_chance)
{
    struct fr_stream_train_config c;
    struct fr_stream_train_result r;
    double z;

    shop(EVENTS, 150, 200);
    c = config(rankers[_i].kind);
    c.tower_part = .6;
    c.held_out = .5;
    c.epochs = 2;
    c.max_lists = (uint32_t)rankers[_i].lists;
    c.max_held_out = HELD_OUT;
    c.ranker_epochs = rankers[_i].epochs;
    r = train(&c);
    z = (r.auc - .5) * sqrt(12 * (double)(r.lists_held_out / 2));
    printf("%-12s AUC %.3f, %.1f sigma; HR@20 %.3f of the %.3f among the candidates; epoch %d\n",
           fr_model_kind_name(rankers[_i].kind), r.auc, z, r.hr20_ranker, r.candidates, r.ranker_epochs);
    ck_assert_uint_ge(r.lists_held_out, HELD_OUT / 2);
    ck_assert_double_gt(z, SIGMAS);
    fr_model_free(load(rankers[_i].kind));
}
END_TEST

/* Of the first `candidates` by retrieval alone; in random order 20 of all items. */
START_TEST(retrieval__of_held_out_items__far_from_chance)
{
    static const enum fr_model_kind kinds[] = {FR_MODEL_TWO_TOWER, FR_MODEL_MF};
    struct fr_stream_train_config c;
    struct fr_stream_train_result r;
    double p, z;

    shop(EVENTS, 150, 200);
    c = config(kinds[_i]);
    c.with_ranker = true; /* it is measured on the ranker's lists */
    c.ranker_kind = FR_MODEL_LR;
    c.ranker_epochs = 1;
    c.tower_part = .6;
    c.held_out = .5;
    c.max_lists = 200;
    c.max_held_out = 1000;
    r = train(&c);
    p = 20.0 / (double)r.items;
    z = (r.hr20_tower - p) / sqrt(p * (1 - p) / (double)r.eval_triggers);
    printf("%-12s HR@20 %.3f, chance %.3f, %.1f sigma\n", fr_model_kind_name(kinds[_i]), r.hr20_tower, p, z);
    ck_assert_double_gt(z, SIGMAS);
    ck_assert(kinds[_i] == FR_MODEL_MF ? r.mf_epochs >= 1 && r.mf_epochs <= c.mf_epochs : r.mf_epochs == 0);
    fr_model_free(load(kinds[_i]));
}
END_TEST

/* ---- models of users and items ---- */

static struct fr_cell *cells_of(enum fr_entity e, enum fr_kind kind, const char *id)
{
    struct fr_cell *row = fr_calloc(spec->fields.n_cells[e] + 1U, sizeof(*row));

    ck_assert_ptr_nonnull(row);
    for (int i = 0; i < spec->n_feat; i++)
        if (spec->feat[i].kind == kind)
            row[spec->fields.f[i].first] = (struct fr_cell){fr_id_hash(spec->key, fr_str_z(id)), 1};
    return row;
}

/* Mean logit over a set of items, for a user. */
static double mean_logit(const struct fr_model *m, const char *user, struct fr_cell *const *item, int n)
{
    struct fr_cell *u = cells_of(FR_ENTITY_USER, FR_KIND_USER_ID, user);
    struct fr_arena *ar = NULL;
    double sum = 0;

    ck_assert_int_eq(fr_arena_new(1 << 16, 0, &ar), FR_OK);
    for (int i = 0; i < n; i++) {
        const struct fr_cell *one = item[i];
        struct fr_model_case c = {u, NULL, &one, NULL, 1};
        float z;
        ck_assert_int_eq(fr_model_score_case(m, &c, 0, ar, &z), FR_OK);
        sum += (double)z;
    }
    fr_arena_free(ar);
    fr_free(u);
    return sum / n;
}

static const enum fr_model_kind of_ids[] = {FR_MODEL_GMF, FR_MODEL_MLP, FR_MODEL_NEUMF, FR_MODEL_MF};

static int by_clicks(const void *a, const void *b)
{
    int x = n_clicks[*(const int *)a], y = n_clicks[*(const int *)b];

    return x < y ? 1 : x > y ? -1 : *(const int *)a - *(const int *)b;
}

/* A user whom the model does not know gets what many like; an item it does not know is none of the best. */
START_TEST(unknown_ids__are_an_average_users_and_items)
{
    enum { N = 20 };
    struct fr_stream_train_config c;
    struct fr_cell *top[N], *bottom[N], *newcomer;
    struct fr_model *m;
    double high, low, unknown;
    int order[200];

    shop(4000, 150, 200);
    c = config(of_ids[_i]);
    c.epochs = 1;
    c.max_held_out = 100; /* few: no chance order of gmf's first epochs may be kept */
    c.ranker_epochs = of_ids[_i] == FR_MODEL_GMF ? 60 : 12; /* its small vectors take long to differ */
    (void)train(&c);
    m = load(of_ids[_i]);
    for (int i = 0; i < 200; i++)
        order[i] = i;
    qsort(order, 200, sizeof(order[0]), by_clicks);
    for (int i = 0; i < N; i++) {
        char id[FR_SHOP_NAME];
        fr_shop_item_id((uint32_t)order[i], id);
        top[i] = cells_of(FR_ENTITY_ITEM, FR_KIND_ITEM_ID, id);
        fr_shop_item_id((uint32_t)order[199 - i], id);
        bottom[i] = cells_of(FR_ENTITY_ITEM, FR_KIND_ITEM_ID, id);
    }
    newcomer = cells_of(FR_ENTITY_ITEM, FR_KIND_ITEM_ID, "newcomer");
    high = mean_logit(m, "stranger", top, N);
    low = mean_logit(m, "stranger", bottom, N);
    unknown = mean_logit(m, "stranger", &newcomer, 1);
    printf("%-8s stranger: %.2f for popular items, %.2f for a new one, %.2f for rare ones\n", fr_model_kind_name(of_ids[_i]),
           high, unknown, low);
    ck_assert_double_gt(high, low + 0.5);
    ck_assert_double_lt(unknown, high);
    for (int i = 0; i < N; i++) {
        fr_free(top[i]);
        fr_free(bottom[i]);
    }
    fr_free(newcomer);
    fr_model_free(m);
}
END_TEST

START_TEST(a_seed_is_a_bundle)
{
    static const uint64_t seeds[3] = {7, 7, 8};
    uint32_t crc[3];
    char weights[64], manifest[64];

    snprintf(weights, sizeof(weights), "%s/weights.safetensors", fr_model_kind_slug(of_ids[_i]));
    snprintf(manifest, sizeof(manifest), "%s/manifest.json", fr_model_kind_slug(of_ids[_i]));
    shop(2000, 40, 100);
    for (int i = 0; i < 3; i++) {
        struct fr_stream_train_config c = config(of_ids[_i]);
        c.seed = seeds[i];
        c.threads = 2;
        c.epochs = 1;
        c.ranker_epochs = 2;
        (void)train(&c);
        crc[i] = crc_of(weights) ^ crc_of(manifest) << 1;
    }
    ck_assert_uint_eq(crc[0], crc[1]);
    ck_assert_uint_ne(crc[0], crc[2]);
}
END_TEST

static void event(int n, const char *type, int user, int item)
{
    fr_buf_printf(&events, "{\"event_id\":\"e%d\",\"type\":\"%s\",\"user_id\":\"u%d\",\"item_id\":\"i%d\",\"ts\":%lld}\n", n, type, user,
                  item, 1790000000000LL + n * 20000LL);
}

/* An error with a sentence, or bundles that load. */
static void ends_well(enum fr_model_kind kind, const char *what)
{
    struct fr_stream_train_config c = config(kind);
    struct fr_stream_train_result r;

    memset(&fault, 0, sizeof(fault));
    c.epochs = 1;
    c.mf_epochs = 3;
    c.ranker_epochs = 1;
    if (fr_stream_train(&c, &r, &fault) == FR_OK)
        fr_model_free(load(kind));
    else
        ck_assert_msg(strlen(fault.msg) > 10, "%s: no reason given", what);
    fr_buf_clear(&events);
    fr_buf_clear(&items);
}

START_TEST(hostile_streams__end_in_a_sentence_or_a_bundle)
{
    enum fr_model_kind kind = of_ids[_i];

    ends_well(kind, "empty");
    ck_assert_int_eq(fault.err, FR_EINVAL);
    for (int i = 0; i < 300; i++)
        event(i, "click", 1, i % 7);
    ends_well(kind, "one user");
    for (int i = 0; i < 300; i++)
        event(i, "click", i % 9, 3);
    ends_well(kind, "one item");
    for (int i = 0; i < 300; i++)
        event(i, "click", i, i);
    ends_well(kind, "nobody comes back");
    for (int i = 0; i < 40; i++)
        event(i, "click", i % 2, i % 11);
    ends_well(kind, "two users");
    for (int i = 0; i < 300; i++)
        event(i, "click", i % 3, i % 40 < 20 ? i % 5 : 1000 + i);
    ends_well(kind, "everything was seen, or once");
    for (int i = 0; i < 20; i++)
        fr_buf_printf(&items, "{\"item_id\":\"i%d\",\"available\":%s}\n", i, i % 2 == 0 ? "true" : "false");
    for (int i = 0; i < 400; i++)
        event(i, "click", i % 5, i % 11);
    ends_well(kind, "items that are not available");
}
END_TEST

START_TEST(without_the_two_ids__refused_by_name)
{
    static const char *const lines[2][3] = {{"item_id = item_id()", "history = history(n=5)", NULL},
                                            {"user_id = user_id()", "history = history(n=5)", NULL}};

    for (int i = 0; i < 2; i++) {
        struct fr_str declared[2];
        struct fr_spec_input in;
        struct fr_spec *own = NULL;
        struct fr_stream_train_config c;
        struct fr_stream_train_result r;

        for (int k = 0; k < 2; k++)
            declared[k] = fr_str_z(lines[i][k]);
        fr_spec_input_default(&in);
        in.features = declared;
        in.n_features = 2;
        ck_assert_msg(fr_spec_compile(&in, &own, &fault) == FR_OK, "%s", fault.msg);
        for (int k = 0; k < 300; k++)
            event(k, "click", k % 9, k % 13);
        c = config(FR_MODEL_MF);
        c.in.spec = own;
        ck_assert_msg(fr_stream_train(&c, &r, &fault) == FR_EINVAL, "%s", fault.msg);
        ck_assert_msg(strstr(fault.msg, i == 0 ? "user_id()" : "item_id()") != NULL, "%s", fault.msg);
        fr_buf_clear(&events);
        memset(&fault, 0, sizeof(fault));
        fr_spec_free(own);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("learn_stream_kinds");
    TCase *tc = tcase_create("kinds");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, rankers__on_held_out_lists__far_from_chance, FIRST, RANKERS);
    tcase_add_loop_test(tc, retrieval__of_held_out_items__far_from_chance, 0, 2);
    tcase_add_loop_test(tc, unknown_ids__are_an_average_users_and_items, 0, 4);
    tcase_add_loop_test(tc, a_seed_is_a_bundle, 0, 4);
    tcase_add_loop_test(tc, hostile_streams__end_in_a_sentence_or_a_bundle, 0, 4);
    tcase_add_test(tc, without_the_two_ids__refused_by_name);
    suite_add_tcase(s, tc);
    return mf_run(s);
}
