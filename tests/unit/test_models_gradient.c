/*
 * Gradients of every parameter of both models against central differences in double, over the
 * losses, shapes and switches; weights, unknown ids, empty histories and repeated items among the
 * data.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/model_fixture.h"
#include "tests/support/ref_models.h"

#define STEP 1e-5

static struct fr_field_set fs;
static struct fr_rng rng;

static void setup(void)
{
    mf_field_set(&fs);
    fr_rng_seed(&rng, 5);
}

/* Analytic gradient of element k of parameter i (in the order of fr_params_tensors). */
static double analytic(const struct fr_params *p, struct fr_grads *g, int i, size_t k)
{
    if (i < p->n_dense)
        return (double)fr_grads_dense(g, p, i)[k];
    size_t dim = (size_t)p->table[i - p->n_dense].dim;
    const float *row = fr_grads_find(g, p, i - p->n_dense, (int32_t)(k / dim));
    return row == NULL ? 0 : (double)row[k % dim];
}

static void same(const char *name, size_t k, double got, double want)
{
    ck_assert_msg(fabs(got - want) <= 2e-5 + 2e-4 * fabs(want),
                  "%s[%zu]: gradient %.7g, finite difference %.7g",
                  name,
                  k,
                  got,
                  want);
}

static const struct {
    enum fr_model_kind kind;
    int dim, n_hidden, hidden[2];
    enum fr_loss_kind loss;
    const char *fields[4];
    bool batch_norm;
    struct fr_attention_config attention;
    bool linear;
} ctr[] = {
    {FR_MODEL_DEEPFM, 3, 2, {5, 4}, FR_LOSS_LISTWISE, {0}, false, {0}, false},
    {FR_MODEL_DEEPFM, 3, 2, {5, 4}, FR_LOSS_BCE, {0}, false, {0}, false},
    {FR_MODEL_DEEPFM, 5, 1, {7}, FR_LOSS_LISTWISE, {"hist", "i_id"}, false, {0}, false},
    {FR_MODEL_DEEPFM, 2, 0, {0}, FR_LOSS_BCE, {"hist", "i_id", "x_num"}, false, {0}, false},
    {FR_MODEL_DEEPFM, 4, 1, {3}, FR_LOSS_BCE, {"i_id"}, false, {0}, false},
    {FR_MODEL_LR, 0, 0, {0}, FR_LOSS_BCE, {0}, false, {0}, false},
    {FR_MODEL_LR, 0, 0, {0}, FR_LOSS_LISTWISE, {"hist", "i_id", "x_num"}, false, {0}, false},
    {FR_MODEL_FM, 5, 0, {0}, FR_LOSS_BCE, {0}, false, {0}, false},
    {FR_MODEL_FM, 1, 0, {0}, FR_LOSS_LISTWISE, {0}, false, {0}, false},
    {FR_MODEL_WIDE_DEEP, 3, 2, {7, 5}, FR_LOSS_BCE, {0}, false, {0}, false},
    {FR_MODEL_WIDE_DEEP, 2, 0, {0}, FR_LOSS_LISTWISE, {0}, false, {0}, false},
    {FR_MODEL_DEEPFM, 3, 2, {5, 7}, FR_LOSS_BCE, {0}, true, {0}, false},
    {FR_MODEL_DEEPFM, 3, 2, {6, 3}, FR_LOSS_LISTWISE, {0}, true, {0}, false},
    {FR_MODEL_WIDE_DEEP, 5, 1, {9}, FR_LOSS_BCE, {"i_id", "x_num"}, true, {0}, false},
    /* layers, heads, width; scale, layer norm, residual */
    {FR_MODEL_AUTOINT, 3, 0, {0}, FR_LOSS_BCE, {0}, false, {2, 2, 6, false, false, FR_RESIDUAL_WIDTHS}, false},
    {FR_MODEL_AUTOINT, 5, 0, {0}, FR_LOSS_LISTWISE, {"hist", "i_id", "x_num"}, false,
     {3, 1, 5, true, true, FR_RESIDUAL_IDENTITY}, true},
    {FR_MODEL_AUTOINT, 2, 0, {0}, FR_LOSS_BCE, {"i_id"}, false, {1, 3, 3, true, false, FR_RESIDUAL_IDENTITY}, true},
    {FR_MODEL_AUTOINT_PLUS, 3, 1, {7}, FR_LOSS_BCE, {0}, false, {2, 1, 7, true, true, FR_RESIDUAL_WIDTHS}, false},
    {FR_MODEL_AUTOINT_PLUS, 4, 2, {5, 3}, FR_LOSS_BCE, {"u_num", "i_id", "x_num"}, true,
     {1, 2, 8, false, true, FR_RESIDUAL_IDENTITY}, false},
    {FR_MODEL_AUTOINT, 4, 0, {0}, FR_LOSS_BCE, {0}, false, {2, 2, 4, false, false, FR_RESIDUAL_PROJECTED}, false},
};

static struct fr_ctr_train_config config(int i)
{
    struct fr_ctr_train_config cfg;

    fr_ctr_train_config_default(&cfg);
    cfg.opt.init_std = 0.5f;
    cfg.model.kind = ctr[i].kind;
    cfg.model.dim = ctr[i].dim;
    cfg.model.n_hidden = ctr[i].n_hidden;
    memcpy(cfg.model.hidden, ctr[i].hidden, sizeof(ctr[i].hidden));
    cfg.loss = ctr[i].loss;
    cfg.model.batch_norm = ctr[i].batch_norm;
    cfg.model.attention = ctr[i].attention;
    cfg.model.linear = ctr[i].linear;
    while (cfg.n_fields < 4 && ctr[i].fields[cfg.n_fields] != NULL)
        cfg.n_fields++;
    cfg.fields = cfg.n_fields == 0 ? NULL : ctr[i].fields;
    return cfg;
}

/* A step on the lists, then the gradient of each parameter. */
static void check_ctr(const struct fr_ctr_train_config *c, const struct fr_rank_list *lists, int n_lists)
{
    const struct fr_ctr_train_config cfg = *c;
    struct fr_train_ctr *tr = NULL;
    struct ref_params r;
    double loss = 0;
    int checked = 0;

    ck_assert_int_eq(fr_train_ctr_new(&cfg, &fs, &tr, NULL), FR_OK);
    /* a step, so that the linear weights are not all zero */
    ck_assert_int_eq(fr_train_ctr_step(tr, lists, n_lists, NULL), FR_OK);
    tr->t.opt.frozen_vocab = true;
    ck_assert_int_eq(fr_train_ctr_gradient(tr, lists, n_lists, &loss), FR_OK);
    ref_params_copy(&r, &tr->t.params);
    double want = ref_ctr_loss(&r, tr->t.enc, &cfg, lists, n_lists);
    ck_assert_double_eq_tol(loss, want, 1e-5 * (1 + fabs(want)));
    for (int i = 0; i < tr->t.params.n_dense + tr->t.params.n_tables; i++)
        for (size_t k = 0; k < r.p[i].count; k++) {
            double keep = r.p[i].w[k];
            r.p[i].w[k] = keep + STEP;
            double up = ref_ctr_loss(&r, tr->t.enc, &cfg, lists, n_lists);
            r.p[i].w[k] = keep - STEP;
            double down = ref_ctr_loss(&r, tr->t.enc, &cfg, lists, n_lists);
            r.p[i].w[k] = keep;
            same(r.p[i].name,
                 k,
                 analytic(&tr->t.params, &tr->t.w[0].g, i, k),
                 (up - down) / (2 * STEP));
            checked++;
        }
    ck_assert_int_gt(checked, 10);
    ref_params_done(&r);
    fr_train_ctr_free(tr);
}

static void random_lists(struct mf_list *l, struct fr_rank_list *lists, int n)
{
    for (int i = 0; i < n; i++) {
        mf_random_list(&rng, 1 + 3 * i, &l[i]);
        lists[i] = l[i].list;
        lists[i].weight = 1.0f + 0.5f * (float)i;
    }
}

START_TEST(ctr__all_parameters__as_finite_differences)
{
    static struct mf_list l[4];
    struct fr_rank_list lists[4];
    struct fr_ctr_train_config cfg = config(_i);

    cfg.opt.threads = 1 + _i % 3;
    random_lists(l, lists, 4);
    check_ctr(&cfg, lists, 4);
}
END_TEST

/* Values: of some rows, of none, all 0, of the first list alone (which has one row). */
enum values { SOME, NONE, ZEROS, ONE_ROW };
static const struct {
    int of; /* a row of ctr */
    enum fr_value_kind value;
    float weight;
    enum values which;
    int lists;
} two_heads[] = {
    {0, FR_VALUE_LOG, 1, SOME, 4},       {1, FR_VALUE_UNIT, 0.3f, SOME, 4},  {2, FR_VALUE_LOG, 2, NONE, 4},
    {4, FR_VALUE_LOG, 0.5f, ZEROS, 4},   {9, FR_VALUE_UNIT, 1, ZEROS, 4},    {11, FR_VALUE_LOG, 1, SOME, 4},
    {12, FR_VALUE_UNIT, 3, SOME, 4},     {13, FR_VALUE_LOG, 1, SOME, 4},     {14, FR_VALUE_LOG, 0.7f, SOME, 4},
    {15, FR_VALUE_UNIT, 1, SOME, 4},     {16, FR_VALUE_LOG, 1, NONE, 4},     {17, FR_VALUE_UNIT, 2, SOME, 4},
    {18, FR_VALUE_LOG, 1, SOME, 4},      {1, FR_VALUE_LOG, 1, ONE_ROW, 1},   {14, FR_VALUE_UNIT, 1, ONE_ROW, 1},
    {0, FR_VALUE_LOG, 0, SOME, 4},
};

START_TEST(two_heads__all_parameters__as_finite_differences)
{
    static struct mf_list l[4];
    static float values[4][MF_MAX_LIST];
    struct fr_rank_list lists[4];
    struct fr_ctr_train_config cfg = config(two_heads[_i].of);
    enum values which = two_heads[_i].which;

    cfg.opt.threads = 1 + _i % 3;
    cfg.model.value = two_heads[_i].value;
    cfg.value_weight = two_heads[_i].weight;
    random_lists(l, lists, 4);
    for (int i = 0; i < 4; i++) {
        for (int k = 0; k < lists[i].c.n; k++) {
            float v = cfg.model.value == FR_VALUE_UNIT ? (float)((i + k) % 3) / 2 : expf((float)fr_rng_normal(&rng) + 1);
            values[i][k] = which == NONE || (which == SOME && k % 3 == 1) ? NAN : which == ZEROS ? 0 : v;
        }
        lists[i].values = which == SOME && i == 2 ? NULL : values[i];
    }
    check_ctr(&cfg, lists, two_heads[_i].lists);
}
END_TEST

static const struct {
    int emb_dim, dim, n_hidden, hidden[2];
    bool skip, gates, full;
    int negatives;
    bool bare; /* of one ID field a side */
    enum fr_tower_loss loss;
    bool alone, log_uniform; /* alone: without the batch's other positives */
    float margin, weight;
} towers[] = {
    {4, 4, 1, {6}, true, true, false, 0, false, FR_TOWER_SOFTMAX, false, false, 0, 0},
    {4, 4, 2, {6, 5}, true, false, false, 5, false, FR_TOWER_SOFTMAX, false, false, 0, 0},
    {3, 5, 1, {6}, false, true, false, 3, false, FR_TOWER_SOFTMAX, false, false, 0, 0},
    {5, 2, 0, {0}, false, false, true, 0, false, FR_TOWER_SOFTMAX, false, false, 0, 0},
    {3, 3, 0, {0}, false, false, true, 0, true, FR_TOWER_SOFTMAX, false, false, 0, 0},
    {7, 7, 0, {0}, false, false, false, 4, true, FR_TOWER_SOFTMAX, false, false, 0, 0},
    {4, 4, 1, {6}, true, true, false, 5, false, FR_TOWER_SOFTMAX, false, true, 0, 0},
    {3, 5, 1, {6}, false, true, false, 7, false, FR_TOWER_SOFTMAX, true, false, 0, 0},
    {4, 4, 0, {0}, true, true, false, 9, false, FR_TOWER_SOFTMAX, true, true, 0, 0},
    {4, 4, 1, {6}, true, true, false, 0, false, FR_TOWER_CCL, false, false, 0.1f, 3},
    {3, 5, 2, {6, 5}, false, true, true, 0, false, FR_TOWER_CCL, false, false, -0.4f, 20},
    {5, 5, 0, {0}, false, false, false, 6, true, FR_TOWER_CCL, true, true, -0.2f, 1},
    {5, 5, 0, {0}, false, false, false, 1, true, FR_TOWER_CCL, true, false, -1, 2},
};

START_TEST(two_tower__all_parameters__as_finite_differences)
{
    static const char *const names[] = {"u_id", "hist", "u_num", "hour", "i_id", "cats"};
    static const char *const ids[] = {"u_id", "i_id"};
    static struct mf_list l[6];
    struct fr_two_tower_train_config cfg;
    struct fr_train_two_tower *tr = NULL;
    struct ref_params r;
    const struct fr_cell *user[6], *context[6];
    const float weight[6] = {1, 2, 0.5f, 1, 0, 1};
    uint32_t item[6];
    double loss = 0;
    int checked = 0;

    fr_two_tower_train_config_default(&cfg);
    cfg.opt.init_std = 0.5f;
    cfg.opt.id_dropout = 0;
    cfg.opt.threads = 1 + _i % 3;
    cfg.fields = towers[_i].bare ? ids : names;
    cfg.n_fields = towers[_i].bare ? 2 : 6;
    cfg.model.bare = towers[_i].bare;
    cfg.negatives = towers[_i].negatives;
    cfg.full_softmax = towers[_i].full;
    cfg.loss = towers[_i].loss;
    cfg.in_batch = !towers[_i].alone;
    cfg.log_uniform = towers[_i].log_uniform;
    cfg.margin = towers[_i].margin;
    cfg.negative_weight = towers[_i].weight;
    cfg.model.tau = 0.3f;
    cfg.model.emb_dim = towers[_i].emb_dim;
    cfg.model.dim = towers[_i].dim;
    cfg.model.n_hidden = towers[_i].n_hidden;
    memcpy(cfg.model.hidden, towers[_i].hidden, sizeof(towers[_i].hidden));
    cfg.model.skip = towers[_i].skip;
    cfg.model.gates = towers[_i].gates;
    for (int i = 0; i < 6; i++) {
        mf_random_list(&rng, MF_MAX_LIST, &l[i]);
        user[i] = l[i].user;
        context[i] = l[i].context;
        item[i] = i < 2 ? 3 : (uint32_t)(i * 2); /* one positive twice */
    }
    struct fr_two_tower_batch b = {6, user, context, item, weight, {&l[0].item[0][0], MF_MAX_LIST}};
    ck_assert_int_eq(fr_train_two_tower_new(&cfg, &fs, &tr, NULL), FR_OK);
    ck_assert_int_eq(fr_train_two_tower_step(tr, &b, NULL), FR_OK);
    tr->t.opt.frozen_vocab = true;
    ck_assert_int_eq(fr_train_two_tower_gradient(tr, &b, &loss), FR_OK);
    ck_assert_int_ge(tr->n_cand, towers[_i].full ? MF_MAX_LIST : 5);
    ref_params_copy(&r, &tr->t.params);
    double want = ref_two_tower_loss(&r, tr->t.enc, &cfg, &b, tr->cand, tr->log_q, tr->drawn, tr->n_cand);
    ck_assert_double_eq_tol(loss, want, 1e-5 * (1 + fabs(want)));
    for (int i = 0; i < r.n; i++)
        for (size_t k = 0; k < r.p[i].count; k++) {
            double keep = r.p[i].w[k];
            r.p[i].w[k] = keep + STEP;
            double up =
                ref_two_tower_loss(&r, tr->t.enc, &cfg, &b, tr->cand, tr->log_q, tr->drawn, tr->n_cand);
            r.p[i].w[k] = keep - STEP;
            double down =
                ref_two_tower_loss(&r, tr->t.enc, &cfg, &b, tr->cand, tr->log_q, tr->drawn, tr->n_cand);
            r.p[i].w[k] = keep;
            same(r.p[i].name,
                 k,
                 analytic(&tr->t.params, &tr->t.w[0].g, i, k),
                 (up - down) / (2 * STEP));
            checked++;
        }
    ck_assert_int_gt(checked, 30);
    ref_params_done(&r);
    fr_train_two_tower_free(tr);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("models/gradient");
    TCase *tc = tcase_create("all");
    tcase_set_timeout(tc, 120);
    tcase_add_checked_fixture(tc, setup, NULL);
    tcase_add_loop_test(
        tc, ctr__all_parameters__as_finite_differences, 0, (int)(sizeof(ctr) / sizeof(ctr[0])));
    tcase_add_loop_test(tc,
                        two_heads__all_parameters__as_finite_differences,
                        0,
                        (int)(sizeof(two_heads) / sizeof(two_heads[0])));
    tcase_add_loop_test(tc,
                        two_tower__all_parameters__as_finite_differences,
                        0,
                        (int)(sizeof(towers) / sizeof(towers[0])));
    suite_add_tcase(s, tc);
    return mf_run(s);
}
