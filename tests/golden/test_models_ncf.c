/* neumf, gmf, mlp and mf against PyTorch: logits of every pair and the unknown ids, gradients of every
 * parameter, ten steps of training. */
#include <stdio.h>
#include <string.h>

#include <check.h>

#include "models/model_priv.h"
#include "models/train/train_mf.h"
#include "models/train/train_ncf_priv.h"
#include "tests/support/model_fixture.h"

#define USERS 7
#define ITEMS 13
#define MAX_BATCH 7

static const char *const ncf_files[] = {"ncf_gmf.frg", "ncf_mlp.frg", "ncf_neumf.frg", "ncf_neumf_one.frg"};
static const char *const mf_files[] = {"mf.frg", "mf_one.frg"};

static struct golden g;
static struct fr_field_set fs;
static struct fr_cell user[USERS + 1], item[ITEMS + 1]; /* [0]: an id that nobody trained */
static uint32_t u[MAX_BATCH], it[MAX_BATCH];
static float label[MAX_BATCH];

static void setup(void)
{
    memset(&fs, 0, sizeof(fs));
    ck_assert_int_eq(fr_field_add(&fs, "user", FR_ENTITY_USER, FR_FIELD_ID, "user", 0, 1), FR_OK);
    ck_assert_int_eq(fr_field_add(&fs, "item", FR_ENTITY_ITEM, FR_FIELD_ID, "item", 0, 1), FR_OK);
    for (uint32_t i = 0; i <= USERS; i++)
        user[i] = (struct fr_cell){900 - i, 1};
    for (uint32_t i = 0; i <= ITEMS; i++)
        item[i] = (struct fr_cell){40 + 3 * i, 1};
}

/* Rows of step s; their number. */
static int rows(long s)
{
    int n = (int)golden_meta_int(&g, "batch");

    for (int i = 0; i < n; i++) {
        u[i] = (uint32_t)((const int32_t *)golden_get(&g, "user")->data)[s * n + i];
        it[i] = (uint32_t)((const int32_t *)golden_get(&g, "item")->data)[s * n + i];
        label[i] = ((const float *)golden_get(&g, "label")->data)[s * n + i];
    }
    return n;
}

static void check_logits(const struct fr_model *m)
{
    const struct fr_cell *cand[ITEMS + 1];
    struct fr_arena *ar = NULL;
    float z[USERS + 1][ITEMS + 1];

    ck_assert_int_eq(fr_arena_new(1 << 16, 0, &ar), FR_OK);
    for (int i = 0; i <= ITEMS; i++)
        cand[i] = &item[i];
    for (unsigned flags = 0; flags <= FR_SCORE_DETERMINISTIC; flags++) {
        for (int i = 0; i <= USERS; i++) {
            struct fr_model_case c = {&user[i], NULL, cand, NULL, ITEMS + 1};
            ck_assert_int_eq(fr_model_score_case(m, &c, flags, ar, z[i]), FR_OK);
        }
        golden_check(&g, "logits", &z[0][0], (USERS + 1) * (ITEMS + 1), 2e-5, 1e-4);
    }
    fr_arena_free(ar);
}

/* ---- gmf, mlp, neumf ---- */

static struct fr_train_ncf *ncf(int threads)
{
    struct fr_ncf_train_config c;
    struct fr_train_ncf *tr = NULL;

    fr_ncf_train_config_default(&c);
    c.model.kind = fr_model_kind_find(fr_json_get(g.meta, "kind")->str);
    c.model.factors = (int)golden_meta_int(&g, "factors");
    for (const struct fr_json *v = fr_json_get(g.meta, "hidden")->child; v != NULL; v = v->next)
        c.model.hidden[c.model.n_hidden++] = (int)v->i;
    c.opt.threads = threads;
    c.opt.lr = 0.01f;
    c.opt.eps = 1e-4f;
    c.opt.l2_embedding = c.opt.l2_dense = 1e-3f;
    ck_assert_int_eq(fr_train_ncf_new(&c, &fs, &tr, NULL), FR_OK);
    ck_assert_int_eq(fr_train_ncf_ids(tr, user + 1, USERS, item + 1, ITEMS), FR_OK);
    mf_set_params(&tr->t.params, &g);
    return tr;
}

START_TEST(ncf__logits_and_gradients__as_pytorch)
{
    golden_open(&g, ncf_files[_i]);
    for (int threads = 1; threads <= 3; threads++) {
        struct fr_train_ncf *tr = ncf(threads);
        struct fr_model *m = NULL;
        struct fr_ncf_rows r = {u, it, label, rows(0)};
        double loss = 0, want = (double)*(const float *)golden_get(&g, "curve")->data;

        ck_assert_int_eq(fr_train_ncf_model(tr, &m, NULL), FR_OK);
        check_logits(m);
        ck_assert_int_eq(fr_train_ncf_gradient(tr, &r, &loss), FR_OK);
        ck_assert_double_eq_tol(loss, want, 1e-5 * (1 + want));
        mf_check_grads(&tr->t.params, &tr->t.w[0].g, &g, 1e-5, 1e-4);
        fr_model_free(m);
        fr_train_ncf_free(tr);
    }
    golden_close(&g);
}
END_TEST

START_TEST(ncf__ten_steps__curve_and_weights_as_pytorch)
{
    golden_open(&g, ncf_files[_i]);
    for (int threads = 1; threads <= 2; threads++) {
        struct fr_train_ncf *tr = ncf(threads);
        float curve[10];

        ck_assert_int_eq(golden_meta_int(&g, "steps"), 10);
        for (int s = 0; s < 10; s++) {
            struct fr_ncf_rows r = {u, it, label, rows(s)};
            double loss = 0;

            ck_assert_int_eq(fr_train_ncf_step(tr, &r, &loss), FR_OK);
            curve[s] = (float)loss;
        }
        golden_check(&g, "curve", curve, 10, 1e-5, 1e-4);
        mf_check_params(&tr->t.params, &g, "final", 1e-4, 1e-3);
        fr_train_ncf_free(tr);
    }
    golden_close(&g);
}
END_TEST

/* ---- mf ---- */

static const char *const mf_names[] = {
    "bias", "embedding.user.weight", "linear.user.weight", "embedding.item.weight", "linear.item.weight"};

/* A model of the file's weights, with the ids of `tr`. */
static struct fr_model *mf_model(const struct fr_train_mf *tr, int dim)
{
    struct fr_model *own = NULL, *m = NULL;
    struct fr_encoder *enc = NULL;
    struct fr_tensor t[5];
    struct fr_fault f = {.err = FR_OK};
    char key[64];

    ck_assert_int_eq(fr_train_mf_model(tr, &own, NULL), FR_OK);
    ck_assert_int_eq(fr_encoder_clone(own->enc, &enc), FR_OK);
    for (int i = 0; i < 5; i++) {
        uint64_t n = i == 0 ? 1 : i < 3 ? USERS + 1 : ITEMS + 1;
        uint64_t cols = i == 0 ? 0 : i % 2 == 1 ? (uint64_t)dim : 1;
        (void)snprintf(key, sizeof(key), "param.%s", mf_names[i]);
        const float *w = golden_f32(&g, key, (size_t)(n * (cols > 0 ? cols : 1)));
        ck_assert_int_eq(fr_tensor_f32(&t[i], mf_names[i], n, cols, w), FR_OK);
    }
    ck_assert_msg(fr_mf_new(&enc, dim, t, 5, FR_WEIGHTS_COPY, &m, &f) == FR_OK, "%s", f.msg);
    fr_model_free(own);
    return m;
}

START_TEST(mf__logits_and_ten_passes__as_pytorch)
{
    struct fr_mf_train_config c;
    struct fr_train_mf *tr = NULL;
    float curve[10];
    char key[64];

    golden_open(&g, mf_files[_i]);
    fr_mf_train_config_default(&c);
    c.dim = (int)golden_meta_int(&g, "dim");
    c.lr = (float)golden_meta_num(&g, "lr");
    c.reg = (float)golden_meta_num(&g, "reg");
    ck_assert_int_eq(fr_train_mf_new(&c, &fs, user + 1, USERS, item + 1, ITEMS, &tr, NULL), FR_OK);
    struct fr_model *m = mf_model(tr, c.dim);
    check_logits(m);
    ck_assert_int_eq(fr_train_mf_from(tr, m, NULL), FR_OK);
    fr_model_free(m);
    m = NULL;
    for (int s = 0; s < 10; s++) {
        double loss = 0;
        ck_assert_int_eq(fr_train_mf_pass(tr, u, it, label, (size_t)rows(s), &loss), FR_OK);
        curve[s] = (float)loss;
    }
    golden_check(&g, "curve", curve, 10, 1e-5, 1e-4);
    ck_assert_int_eq(fr_train_mf_model(tr, &m, NULL), FR_OK);
    for (int i = 0; i < 5; i++) {
        const struct fr_tensor *t = fr_tensor_find(m->tensor, m->n_tensors, mf_names[i]);
        (void)snprintf(key, sizeof(key), "final.%s", mf_names[i]);
        golden_check(&g, key, t->data, fr_tensor_count(t), 1e-5, 1e-4);
    }
    fr_model_free(m);
    fr_train_mf_free(tr);
    golden_close(&g);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("golden/ncf");
    TCase *tc = tcase_create("all");
    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, setup, NULL);
    tcase_add_loop_test(tc, ncf__logits_and_gradients__as_pytorch, 0, 4);
    tcase_add_loop_test(tc, ncf__ten_steps__curve_and_weights_as_pytorch, 0, 4);
    tcase_add_loop_test(tc, mf__logits_and_ten_passes__as_pytorch, 0, 2);
    suite_add_tcase(s, tc);
    return mf_run(s);
}
