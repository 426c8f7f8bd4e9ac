/*
 * Stage 5 with every sort of ranker: none, of one head, of two heads; what the configured powers do to the order and
 * to the score; models swapped between lists; a ranker that fails leaves the fallback's order.
 */
#include "daemon/pipeline/stage5_score.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/alloc.h"
#include "features/user.h"
#include "features/user_codec.h"
#include "models/train/train_ctr.h"
#include "tests/support/feat.h"
#include "tests/support/model_fixture.h"

#define ITEMS 12
#define NOW INT64_C(1790000000000)

static struct fr_spec *spec;
static struct fr_epochs *ep;
static struct fr_arena *ar;
static struct fr_cut *cut;
static struct fr_work work;
static struct fr_candidate cand[ITEMS];

static void setup(void)
{
    struct fr_epochs_config c = {.m = 8, .ef_construction = 40, .ef_search = 40, .flat = true};
    struct fr_user *u = NULL;
    struct fr_epoch v;

    spec = feat_spec(NULL);
    ar = feat_arena();
    ck_assert_int_eq(fr_epochs_new(spec, &c, &ep), FR_OK);
    for (int i = 0; i < ITEMS; i++) {
        char id[16], category[16];
        (void)snprintf(id, sizeof(id), "i%d", i);
        (void)snprintf(category, sizeof(category), "c%d", i % 5);
        struct fr_item_record rec = feat_item(spec, ar, id, category, id);
        ck_assert_int_eq(fr_epochs_put(ep, &rec, 1), FR_OK);
    }
    memset(&work, 0, sizeof(work));
    work.ev = feat_event(spec, ar, "click", "u1", "i3", NOW, 1);
    struct fr_row_context rc = fr_row_context_of(&work.ev, 5);
    ck_assert_int_eq(fr_user_decode(spec, ar, (struct fr_str){"", 0}, &u, NULL), FR_OK);
    ck_assert_int_eq(fr_row_cut(spec, u, &rc, ar, &cut), FR_OK);
    fr_epochs_pin(ep, &v);
    for (uint32_t i = 0; i < ITEMS; i++)
        cand[i] = (struct fr_candidate){.idx = i, .item = fr_item_table_get(v.table, i)->item, .score = (float)i / 20,
                                        .has_score = true};
    fr_epochs_unpin(ep, &v);
}

static void teardown(void)
{
    fr_epochs_free(ep);
    fr_arena_free(ar);
    fr_spec_free(spec);
}

static struct fr_trigger trigger(void)
{
    return (struct fr_trigger){.work = &work, .cut = cut, .cand = cand, .n_cand = ITEMS};
}

static struct fr_trigger scored(const struct fr_score_policy *pol)
{
    struct fr_trigger t = trigger();
    struct fr_epoch v;

    fr_epochs_pin(ep, &v);
    ck_assert_int_eq(fr_stage_score(spec, pol, &v, 0, ar, NULL, &t), FR_OK);
    fr_epochs_unpin(ep, &v);
    for (uint32_t i = 1; i < t.n_list; i++)
        ck_assert(t.list[i].score <= t.list[i - 1].score);
    return t;
}

/* A ranker that has met the rows as served; some steps on made-up labels and values. */
static struct fr_model *ranker(enum fr_value_kind value, enum fr_loss_kind loss, uint64_t seed)
{
    struct fr_ctr_train_config cfg;
    struct fr_train_ctr *tr = NULL;
    struct fr_model *m = NULL;
    struct fr_fault f = {FR_OK, NULL, 0, ""};
    struct fr_trigger t = trigger();
    const struct fr_cell *items[ITEMS];
    float values[ITEMS];
    struct fr_epoch v;

    fr_epochs_pin(ep, &v);
    ck_assert_int_eq(fr_stage_rows(spec, &v, ar, &t), FR_OK);
    fr_epochs_unpin(ep, &v);
    for (int i = 0; i < ITEMS; i++) {
        items[i] = t.item_cells + (size_t)i * spec->fields.n_cells[FR_ENTITY_ITEM];
        values[i] = value == FR_VALUE_UNIT ? (float)(i % 2) : (float)(i * i);
    }
    struct fr_rank_list list = {
        .c = {cut->user_cells, cut->context_cells, items, t.cross_cells, ITEMS}, .label = 4, .weight = 1, .values = values};
    fr_ctr_train_config_default(&cfg);
    cfg.opt.seed = seed;
    cfg.opt.admit = 1;
    cfg.opt.init_std = 0.1f;
    cfg.opt.lr = 0.01f;
    cfg.loss = loss;
    cfg.model.value = value;
    ck_assert_msg(fr_train_ctr_new(&cfg, &spec->fields, &tr, &f) == FR_OK, "%s", f.msg);
    for (int i = 0; i < 30; i++)
        ck_assert_int_eq(fr_train_ctr_step(tr, &list, 1, NULL), FR_OK);
    ck_assert_msg(fr_train_ctr_model(tr, &m, &f) == FR_OK, "%s", f.msg);
    fr_train_ctr_free(tr);
    return m;
}

static void serve(struct fr_model *take)
{
    struct fr_model *none = NULL;

    ck_assert_int_eq(fr_epochs_set_models(ep, &none, &take, NULL), FR_OK);
}

/* Both heads of the served ranker for every candidate, by the way that knows nothing of stages. */
static void heads(float *z, float *raw)
{
    struct fr_trigger t = trigger();
    const struct fr_cell *items[ITEMS];
    struct fr_epoch v;

    fr_epochs_pin(ep, &v);
    ck_assert_int_eq(fr_stage_rows(spec, &v, ar, &t), FR_OK);
    for (int i = 0; i < ITEMS; i++)
        items[i] = t.item_cells + (size_t)i * spec->fields.n_cells[FR_ENTITY_ITEM];
    struct fr_model_case c = {cut->user_cells, cut->context_cells, items, t.cross_cells, ITEMS};
    if (raw == NULL)
        ck_assert_int_eq(fr_model_score_case(v.ranker, &c, 0, ar, z), FR_OK);
    else
        ck_assert_int_eq(fr_model_score_case_heads(v.ranker, &c, 0, ar, z, raw), FR_OK);
    fr_epochs_unpin(ep, &v);
}

START_TEST(two_heads__score_is_the_product_of_powers)
{
    static const struct fr_score_policy pol[] = {{ITEMS, {1, 0}}, {ITEMS, {1, 1}}, {5, {0.5, 2}}, {ITEMS, {0, 1}}};
    enum fr_loss_kind loss = _i / 2 == 0 ? FR_LOSS_LISTWISE : FR_LOSS_BCE;
    enum fr_value_kind k = _i % 2 == 0 ? FR_VALUE_LOG : FR_VALUE_UNIT;
    float z[ITEMS], raw[ITEMS];
    double sum = 0;
    uint32_t first[4];

    serve(ranker(k, loss, 1));
    heads(z, raw);
    for (int i = 0; i < ITEMS; i++)
        sum += exp((double)z[i]);
    for (int n = 0; n < 4; n++) {
        struct fr_trigger t = scored(&pol[n]);
        ck_assert_uint_eq(t.n_list, pol[n].n);
        ck_assert(!t.fallback);
        first[n] = t.list[0].cand;
        for (uint32_t i = 0; i < t.n_list; i++) {
            uint32_t c = t.list[i].cand;
            double p = loss == FR_LOSS_LISTWISE ? exp((double)z[c]) / sum : 1 / (1 + exp(-(double)z[c]));
            double v = k == FR_VALUE_LOG ? fmax(exp((double)raw[c]) - 1, 1e-6) : 1 / (1 + exp(-(double)raw[c]));
            double want = pow(p, pol[n].powers.click) * pow(v, pol[n].powers.value);
            mf_float_tol(t.list[i].score, want, 1e-4 * want + 1e-30);
        }
    }
    ck_assert(first[0] != first[3]); /* or the test could not tell the heads apart */
}
END_TEST

START_TEST(one_head__as_ever__and_swapped_between_lists)
{
    static const struct fr_score_policy pol = {ITEMS, {1, 1}};
    float z[ITEMS];
    uint32_t order[3][ITEMS];

    for (int round = 0; round < 3; round++) { /* one head, two heads, the one again */
        serve(ranker(round == 1 ? FR_VALUE_LOG : FR_VALUE_NONE, FR_LOSS_LISTWISE, 7));
        struct fr_trigger t = scored(&pol);
        for (uint32_t i = 0; i < ITEMS; i++)
            order[round][i] = t.list[i].cand;
        if (round == 1)
            continue;
        heads(z, NULL);
        for (uint32_t i = 0; i < ITEMS; i++) {
            mf_float_tol(t.list[i].score, 1 / (1 + exp(-(double)z[t.list[i].cand])), 1e-5);
            ck_assert(i == 0 || z[t.list[i].cand] <= z[t.list[i - 1].cand]);
        }
    }
    ck_assert_mem_eq(order[0], order[2], sizeof(order[0]));
    ck_assert_mem_ne(order[0], order[1], sizeof(order[0]));
}
END_TEST

START_TEST(no_ranker__retrieval_order_whatever_the_powers)
{
    static const struct fr_score_policy pol = {3, {1, 1}};
    struct fr_trigger t = scored(&pol);

    ck_assert_uint_eq(t.n_list, 3);
    ck_assert(!t.fallback);
    for (uint32_t i = 0; i < 3; i++) {
        ck_assert_uint_eq(t.list[i].cand, ITEMS - 1 - i);
        mf_float_tol(t.list[i].score, 4 + (double)(ITEMS - 1 - i) / 20, 1e-6);
    }
}
END_TEST

/* Powers that the model refuses: the list is made all the same, and says so. */
START_TEST(ranker_fails__fallback)
{
    static const struct fr_score_policy pol = {ITEMS, {-1, 1}};

    serve(ranker(FR_VALUE_LOG, FR_LOSS_BCE, 3));
    struct fr_trigger t = scored(&pol);
    ck_assert(t.fallback);
    ck_assert_uint_eq(t.list[0].cand, ITEMS - 1);
}
END_TEST

START_TEST(policy_of__the_configuration)
{
    struct fr_config cfg;
    struct fr_score_policy pol;

    ck_assert_int_eq(fr_config_init(&cfg, NULL), FR_OK);
    pol = fr_score_policy_of(&cfg);
    ck_assert(pol.n == 20 && pol.powers.click == 1 && pol.powers.value == 0);
    ck_assert_int_eq(fr_config_set(&cfg, "models.score_click_power=0.5", NULL), FR_OK);
    ck_assert_int_eq(fr_config_set(&cfg, "models.score_value_power=2", NULL), FR_OK);
    pol = fr_score_policy_of(&cfg);
    ck_assert(pol.powers.click == 0.5 && pol.powers.value == 2);
    fr_config_done(&cfg);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("pipeline/stage5_score");
    TCase *tc = tcase_create("all");

    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, two_heads__score_is_the_product_of_powers, 0, 4);
    tcase_add_test(tc, one_head__as_ever__and_swapped_between_lists);
    tcase_add_test(tc, no_ranker__retrieval_order_whatever_the_powers);
    tcase_add_test(tc, ranker_fails__fallback);
    tcase_add_test(tc, policy_of__the_configuration);
    suite_add_tcase(s, tc);
    return mf_run(s);
}
