/*
 * A training that goes on from a model, of every kind: the same scores at once, other ids beside the old
 * ones, normalisers that stay, and each difference refused by its name.
 */
#include "models/train/train_from.h"

#include <string.h>

#include "daemon/base/alloc.h"
#include "models/train/train_mf.h"
#include "models/train/train_ncf.h"
#include "tests/support/model_fixture.h"

#define IDS 9

static struct fr_field_set fs, pair_fs;
static struct fr_arena *ar;
static struct fr_rng rng;
static struct fr_fault fault;
static struct mf_list l[8];
static struct fr_cell user[IDS + 1], item[IDS + 1];

static void setup(void)
{
    mf_field_set(&fs);
    memset(&pair_fs, 0, sizeof(pair_fs));
    ck_assert_int_eq(fr_field_add(&pair_fs, "user", FR_ENTITY_USER, FR_FIELD_ID, "user", 0, 1), FR_OK);
    ck_assert_int_eq(fr_field_add(&pair_fs, "item", FR_ENTITY_ITEM, FR_FIELD_ID, "item", 0, 1), FR_OK);
    for (uint32_t i = 0; i <= IDS; i++) {
        user[i] = (struct fr_cell){10 + i, 1};
        item[i] = (struct fr_cell){70 + i, 1};
    }
    ck_assert_int_eq(fr_arena_new(1 << 16, 0, &ar), FR_OK);
    fr_rng_seed(&rng, 21);
    for (int i = 0; i < 8; i++)
        mf_random_list(&rng, 1 + i, &l[i]);
}

static void teardown(void)
{
    fr_arena_free(ar);
}

/* ---- rankers of many fields ---- */

static const struct fr_ctr_config ctr[] = {
    {.kind = FR_MODEL_LR},
    {.kind = FR_MODEL_FM, .dim = 3},
    {.kind = FR_MODEL_WIDE_DEEP, .dim = 3, .n_hidden = 1, .hidden = {7}},
    {.kind = FR_MODEL_DEEPFM, .dim = 5, .n_hidden = 2, .hidden = {13, 7}},
    {.kind = FR_MODEL_DEEPFM, .dim = 5, .n_hidden = 2, .hidden = {5, 7}, .batch_norm = true},
    {.kind = FR_MODEL_AUTOINT, .dim = 3, .attention = {2, 2, 6, false, false, FR_RESIDUAL_WIDTHS}},
    {.kind = FR_MODEL_AUTOINT_PLUS, .dim = 3, .n_hidden = 1, .hidden = {5}, .linear = true,
     .attention = {2, 1, 5, true, true, FR_RESIDUAL_IDENTITY}},
};
#define N_CTR ((int)(sizeof(ctr) / sizeof(ctr[0])))

static struct fr_train_ctr *ctr_trainer(int i, uint64_t seed, uint32_t max_rows, int n_fields)
{
    static const char *const names[] = {"u_num", "hist", "i_id"};
    struct fr_ctr_train_config c;
    struct fr_train_ctr *tr = NULL;

    fr_ctr_train_config_default(&c);
    c.model = ctr[i];
    c.opt.seed = seed;
    c.opt.init_std = 0.3f;
    c.opt.admit = 1;
    c.opt.max_rows = max_rows;
    c.fields = n_fields > 0 ? names : NULL;
    c.n_fields = n_fields;
    ck_assert_int_eq(fr_train_ctr_new(&c, &fs, &tr, NULL), FR_OK);
    return tr;
}

static void ctr_steps(struct fr_train_ctr *tr, int n)
{
    struct fr_rank_list lists[8];

    for (int i = 0; i < 8; i++)
        lists[i] = l[i].list;
    for (int s = 0; s < n; s++)
        ck_assert_int_eq(fr_train_ctr_step(tr, lists, 8, NULL), FR_OK);
}

static void same_scores(const struct fr_model *a, const struct fr_model *b, const struct fr_model_case *c)
{
    float x[16], y[16];

    ck_assert_int_eq(fr_model_score_case(a, c, 0, ar, x), FR_OK);
    ck_assert_int_eq(fr_model_score_case(b, c, 0, ar, y), FR_OK);
    ck_assert_mem_eq(x, y, (size_t)c->n * sizeof(*x));
}

START_TEST(ctr__every_kind__same_scores_then_other_ids_are_added)
{
    struct fr_train_ctr *a = ctr_trainer(_i, 1, 1000, 0), *b = ctr_trainer(_i, 2, 1000, 0);
    struct fr_model *m = NULL, *again = NULL;
    struct mf_list other = l[7];

    ctr_steps(a, 4);
    ck_assert_int_eq(fr_train_ctr_model(a, &m, NULL), FR_OK);
    ck_assert_msg(fr_train_ctr_from(b, m, &fault) == FR_OK, "%s", fault.msg);
    ck_assert_int_eq(fr_train_ctr_model(b, &again, NULL), FR_OK);
    same_scores(m, again, &l[7].list.c);
    fr_model_free(again);
    again = NULL;
    /* other rows: a new user, another range of numbers */
    uint32_t users = a->t.enc->table[0].rows;
    other.user[0].id = 999;
    other.user[5].x += 1000;
    other.list.c.user = other.user;
    ck_assert_int_eq(fr_train_ctr_observe(b, &other.list, 1), FR_OK);
    ck_assert_uint_eq(b->t.enc->table[0].rows, users + 1);
    for (int f = 0; f < b->t.enc->n_fields; f++) {
        mf_float_eq(b->t.enc->field[f].mean, a->t.enc->field[f].mean);
        mf_float_eq(b->t.enc->field[f].scale, a->t.enc->field[f].scale);
    }
    ck_assert_int_eq(fr_train_ctr_model(b, &again, NULL), FR_OK);
    same_scores(m, again, &l[7].list.c); /* the old user and its numbers */
    double before = 0, after = 0;
    ck_assert_int_eq(fr_train_ctr_eval(b, &l[7].list, 1, &before, NULL), FR_OK);
    for (int s = 0; s < 30; s++)
        ck_assert_int_eq(fr_train_ctr_step(b, &l[7].list, 1, NULL), FR_OK);
    ck_assert_int_eq(fr_train_ctr_eval(b, &l[7].list, 1, &after, NULL), FR_OK);
    ck_assert_double_lt(after, before);
    fr_model_free(m);
    fr_model_free(again);
    fr_train_ctr_free(a);
    fr_train_ctr_free(b);
}
END_TEST

static void ctr_refused(const struct fr_model *m, struct fr_train_ctr *tr, enum fr_err want, const char *why)
{
    memset(&fault, 0, sizeof(fault));
    enum fr_err e = fr_train_ctr_from(tr, m, &fault);
    ck_assert_msg(e == want && strstr(fault.msg, why) != NULL, "%s: %s", fr_err_name(e), fault.msg);
    fr_train_ctr_free(tr);
}

START_TEST(ctr__another_model_or_too_late__refused_with_the_reason)
{
    struct fr_train_ctr *a = ctr_trainer(3, 1, 1000, 0), *late = ctr_trainer(3, 1, 1000, 0);
    struct fr_model *m = NULL;

    ctr_steps(a, 1);
    ck_assert_int_eq(fr_train_ctr_model(a, &m, NULL), FR_OK);
    ctr_refused(m, ctr_trainer(1, 1, 1000, 0), FR_EMISMATCH, "deepfm, this training of a fm");
    ctr_refused(m, ctr_trainer(4, 1, 1000, 0), FR_EMISMATCH, "\"hidden\":[13,7]");
    ctr_refused(m, ctr_trainer(3, 1, 1000, 3), FR_EMISMATCH, "field hist: the model to go on from has u_id");
    ctr_refused(m, ctr_trainer(3, 1, 3, 0), FR_ETOOLARGE, "table user");
    ctr_steps(late, 1);
    ctr_refused(m, late, FR_ESTATE, "before it sees rows");
    fr_model_free(m);
    fr_train_ctr_free(a);
}
END_TEST

/* ---- towers ---- */

START_TEST(two_tower__from_a_model__same_scores_and_other_tau_refused)
{
    static const char *const names[] = {"u_id", "hist", "u_num", "hour", "i_id", "cats"};
    struct fr_train_two_tower *a = mf_two_tower(5, &fs), *b = NULL;
    struct fr_two_tower_train_config c = a->cfg;
    struct fr_model *m = NULL, *again = NULL;

    c.fields = names;
    c.opt.seed = 9;
    ck_assert_int_eq(fr_train_two_tower_model(a, &m, NULL), FR_OK);
    ck_assert_int_eq(fr_train_two_tower_new(&c, &fs, &b, NULL), FR_OK);
    ck_assert_msg(fr_train_two_tower_from(b, m, &fault) == FR_OK, "%s", fault.msg);
    ck_assert_int_eq(fr_train_two_tower_model(b, &again, NULL), FR_OK);
    same_scores(m, again, &l[7].list.c);
    for (int i = 0; i < a->t.enc->n_fields; i++)
        if (a->gate[i] >= 0)
            ck_assert_mem_eq(a->t.params.dense[a->gate[i]].w, b->t.params.dense[b->gate[i]].w,
                             a->t.params.dense[a->gate[i]].n * sizeof(float));
    fr_train_two_tower_free(b);
    b = NULL;
    c.model.tau = 0.5f;
    ck_assert_int_eq(fr_train_two_tower_new(&c, &fs, &b, NULL), FR_OK);
    ck_assert_int_eq(fr_train_two_tower_from(b, m, &fault), FR_EMISMATCH);
    ck_assert_msg(strstr(fault.msg, "\"tau\"") != NULL, "%s", fault.msg);
    fr_train_two_tower_free(b);
    fr_train_two_tower_free(a);
    fr_model_free(m);
    fr_model_free(again);
}
END_TEST

/* ---- user and item ---- */

static const struct fr_cell *cand[] = {&item[0], &item[3], &item[8]};

static struct fr_train_ncf *ncf(enum fr_model_kind kind, uint64_t seed, int first, int n)
{
    struct fr_ncf_train_config c;
    struct fr_train_ncf *tr = NULL;

    fr_ncf_train_config_default(&c);
    c.opt.seed = seed;
    c.opt.init_std = 0.4f;
    c.model = (struct fr_ncf_config){.kind = kind,
                                     .factors = kind == FR_MODEL_MLP ? 0 : 3,
                                     .n_hidden = kind == FR_MODEL_GMF ? 0 : 3,
                                     .hidden = {kind == FR_MODEL_GMF ? 0 : 8, kind == FR_MODEL_GMF ? 0 : 4,
                                                kind == FR_MODEL_GMF ? 0 : 2}};
    ck_assert_int_eq(fr_train_ncf_new(&c, &pair_fs, &tr, NULL), FR_OK);
    if (n > 0)
        ck_assert_int_eq(fr_train_ncf_ids(tr, user + first, (uint32_t)n, item, IDS), FR_OK);
    return tr;
}

static void ncf_refused(struct fr_train_ncf *tr, const struct fr_model *m, enum fr_err want, const char *why)
{
    memset(&fault, 0, sizeof(fault));
    ck_assert_int_eq(fr_train_ncf_from(tr, m, &fault), want);
    ck_assert_msg(strstr(fault.msg, why) != NULL, "%s", fault.msg);
    fr_train_ncf_free(tr);
}

/* The other training has its users in another order: one before them. */
START_TEST(ncf__rows_by_key__same_scores_and_missing_ids_refused)
{
    static const enum fr_model_kind kinds[] = {FR_MODEL_NEUMF, FR_MODEL_GMF, FR_MODEL_MLP};
    struct fr_train_ncf *a = ncf(kinds[_i], 1, 1, IDS), *b = ncf(kinds[_i], 2, 0, IDS + 1);
    struct fr_model *m = NULL, *again = NULL;
    uint32_t u[] = {0, 3}, i[] = {1, 2};
    float y[] = {1, 0};
    struct fr_ncf_rows rows = {u, i, y, 2};

    ck_assert_int_eq(fr_train_ncf_step(a, &rows, NULL), FR_OK);
    ck_assert_int_eq(fr_train_ncf_model(a, &m, NULL), FR_OK);
    ck_assert_msg(fr_train_ncf_from(b, m, &fault) == FR_OK, "%s", fault.msg);
    ck_assert_int_eq(fr_train_ncf_model(b, &again, NULL), FR_OK);
    for (int k = 1; k <= IDS; k++) {
        struct fr_model_case c = {&user[k], NULL, cand, NULL, 3};
        same_scores(m, again, &c);
    }
    ncf_refused(ncf(kinds[_i], 2, 1, IDS - 1), m, FR_EMISMATCH, "table user: id 0000000000000013");
    ncf_refused(ncf(kinds[_i], 2, 1, 0), m, FR_ESTATE, "between its ids and its first step");
    ncf_refused(ncf(kinds[(_i + 1) % 3], 2, 1, IDS), m, FR_EMISMATCH, "is a");
    ck_assert_int_eq(fr_train_ncf_step(b, &rows, NULL), FR_OK);
    ncf_refused(b, m, FR_ESTATE, "first step");
    fr_model_free(m);
    fr_model_free(again);
    fr_train_ncf_free(a);
}
END_TEST

START_TEST(mf__rows_by_key__same_scores_and_other_dim_refused)
{
    struct fr_mf_train_config c;
    struct fr_train_mf *a = NULL, *b = NULL, *x = NULL;
    struct fr_model *m = NULL, *again = NULL;
    uint32_t u[] = {0, 3, 5}, i[] = {1, 2, 2};
    float y[] = {1, 0, 1};
    double loss = 0;

    fr_mf_train_config_default(&c);
    c.dim = 5;
    c.lr = 0.1f;
    ck_assert_int_eq(fr_train_mf_new(&c, &pair_fs, user + 1, IDS, item, IDS, &a, NULL), FR_OK);
    ck_assert_int_eq(fr_train_mf_pass(a, u, i, y, 3, &loss), FR_OK);
    ck_assert_int_eq(fr_train_mf_model(a, &m, NULL), FR_OK);
    c.seed = 7;
    ck_assert_int_eq(fr_train_mf_new(&c, &pair_fs, user, IDS + 1, item, IDS, &b, NULL), FR_OK);
    ck_assert_msg(fr_train_mf_from(b, m, &fault) == FR_OK, "%s", fault.msg);
    ck_assert_int_eq(fr_train_mf_model(b, &again, NULL), FR_OK);
    for (int k = 1; k <= IDS; k++) {
        struct fr_model_case one = {&user[k], NULL, cand, NULL, 3};
        same_scores(m, again, &one);
    }
    ck_assert_int_eq(fr_train_mf_new(&c, &pair_fs, user, IDS, item, IDS, &x, NULL), FR_OK);
    ck_assert_int_eq(fr_train_mf_from(x, m, &fault), FR_EMISMATCH);
    ck_assert_msg(strstr(fault.msg, "table user") != NULL, "%s", fault.msg);
    fr_train_mf_free(x);
    x = NULL;
    c.dim = 6;
    ck_assert_int_eq(fr_train_mf_new(&c, &pair_fs, user, IDS + 1, item, IDS, &x, NULL), FR_OK);
    ck_assert_int_eq(fr_train_mf_from(x, m, &fault), FR_EMISMATCH);
    ck_assert_msg(strstr(fault.msg, "\"dim\":5") != NULL, "%s", fault.msg);
    fr_train_mf_free(x);
    fr_train_mf_free(a);
    fr_train_mf_free(b);
    fr_model_free(m);
    fr_model_free(again);
}
END_TEST

/* ---- memory ---- */

static enum fr_err from(int kind, void *tr, const struct fr_model *m)
{
    return kind == 0   ? fr_train_ctr_from(tr, m, NULL)
           : kind == 1 ? fr_train_two_tower_from(tr, m, NULL)
           : kind == 2 ? fr_train_ncf_from(tr, m, NULL)
                       : fr_train_mf_from(tr, m, NULL);
}

static void *fresh(int kind, struct fr_train_two_tower *like)
{
    static const char *const names[] = {"u_id", "hist", "u_num", "hour", "i_id", "cats"};
    struct fr_two_tower_train_config c = like->cfg;
    struct fr_train_two_tower *tower = NULL;
    struct fr_mf_train_config mc;
    struct fr_train_mf *mf = NULL;

    if (kind == 0)
        return ctr_trainer(4, 2, 1000, 0);
    if (kind == 2)
        return ncf(FR_MODEL_NEUMF, 2, 0, IDS);
    c.fields = names;
    fr_mf_train_config_default(&mc);
    if (kind == 1)
        ck_assert_int_eq(fr_train_two_tower_new(&c, &fs, &tower, NULL), FR_OK);
    else
        ck_assert_int_eq(fr_train_mf_new(&mc, &pair_fs, user, IDS, item, IDS, &mf, NULL), FR_OK);
    return kind == 1 ? (void *)tower : (void *)mf;
}

static void drop(int kind, void *tr)
{
    if (kind == 0)
        fr_train_ctr_free(tr);
    else if (kind == 1)
        fr_train_two_tower_free(tr);
    else if (kind == 2)
        fr_train_ncf_free(tr);
    else
        fr_train_mf_free(tr);
}

START_TEST(from__every_nth_allocation_fails__out_of_memory_and_no_leak)
{
    struct fr_train_two_tower *tower = mf_two_tower(5, &fs);
    void *tr = fresh(_i, tower);
    struct fr_model *m = NULL;
    bool passed = false;
    int failed = 0;

    if (_i == 0) {
        ctr_steps(tr, 2);
        ck_assert_int_eq(fr_train_ctr_model(tr, &m, NULL), FR_OK);
    } else if (_i == 1) {
        ck_assert_int_eq(fr_train_two_tower_model(tower, &m, NULL), FR_OK);
    } else if (_i == 2) {
        ck_assert_int_eq(fr_train_ncf_model(tr, &m, NULL), FR_OK);
    } else {
        ck_assert_int_eq(fr_train_mf_model(tr, &m, NULL), FR_OK);
    }
    drop(_i, tr);
    for (uint64_t nth = 1; nth < 1000 && !passed; nth++) {
        tr = fresh(_i, tower);
        fr_alloc_fail_at(nth);
        enum fr_err e = from(_i, tr, m);
        fr_alloc_fail_at(0);
        passed = e == FR_OK;
        failed += !passed;
        ck_assert_msg(passed || e == FR_ENOMEM, "allocation %llu: %s", (unsigned long long)nth, fr_err_name(e));
        drop(_i, tr);
    }
    ck_assert(passed);
    ck_assert_int_gt(failed, 5);
    fr_model_free(m);
    fr_train_two_tower_free(tower);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("models/train_from");
    TCase *tc = tcase_create("all");
    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, ctr__every_kind__same_scores_then_other_ids_are_added, 0, N_CTR);
    tcase_add_test(tc, ctr__another_model_or_too_late__refused_with_the_reason);
    tcase_add_test(tc, two_tower__from_a_model__same_scores_and_other_tau_refused);
    tcase_add_loop_test(tc, ncf__rows_by_key__same_scores_and_missing_ids_refused, 0, 3);
    tcase_add_test(tc, mf__rows_by_key__same_scores_and_other_dim_refused);
    tcase_add_loop_test(tc, from__every_nth_allocation_fails__out_of_memory_and_no_leak, 0, 4);
    suite_add_tcase(s, tc);
    return mf_run(s);
}
