/* Ten steps of every optimiser, dense and by rows, against torch.optim; FTRL against its definition. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <check.h>

#include "models/train/params.h"
#include "tests/support/golden.h"

#define ATOL 1e-6
#define RTOL 1e-5
#define ROWS 7
#define DIM 13
#define DENSE 15
#define THREADS 3

static struct golden g;
static struct fr_params p;
static struct fr_grads w[THREADS];
static int dense, table;

/* @param sparse  only the touched rows have a gradient and move. */
static const struct {
    const char *name, *want; /* tensors want.dense, want.table */
    enum fr_optimizer optimizer;
    bool sparse, l2, plain_ftrl;
} cases[] = {
    {"adam", "adam", FR_OPTIMIZER_ADAM, false, false, false},
    {"adam with l2", "adam_l2", FR_OPTIMIZER_ADAM, false, true, false},
    {"lazy adam", "sparse_adam", FR_OPTIMIZER_ADAM, true, false, false},
    {"adagrad", "adagrad", FR_OPTIMIZER_ADAGRAD, false, false, false},
    {"adagrad with l2", "adagrad_l2", FR_OPTIMIZER_ADAGRAD, false, true, false},
    {"adagrad of rows", "sparse_adagrad", FR_OPTIMIZER_ADAGRAD, true, false, false},
    {"sgd", "sgd", FR_OPTIMIZER_SGD, false, false, false},
    {"sgd with l2", "sgd_l2", FR_OPTIMIZER_SGD, false, true, false},
    {"sgd of rows", "sgd", FR_OPTIMIZER_SGD, true, false, false},
    {"ftrl", "ftrl", FR_OPTIMIZER_FTRL, false, false, false},
    {"ftrl of rows", "ftrl", FR_OPTIMIZER_FTRL, true, false, false},
    /* without l1 and l2 it is torch's Adagrad with eps = beta */
    {"ftrl as adagrad", "adagrad_half", FR_OPTIMIZER_FTRL, true, false, true},
};

static void setup(void)
{
    golden_open(&g, "optimizers.frg");
}

static void teardown(void)
{
    golden_close(&g);
    for (int i = 0; i < THREADS; i++)
        fr_grads_done(&w[i]);
    fr_params_done(&p);
}

static void begin(enum fr_optimizer o)
{
    struct fr_rng rng;

    fr_rng_seed(&rng, 1);
    p.optimizer = o;
    ck_assert_int_eq(fr_params_add_dense(&p, "dense", 3, 5, &dense), FR_OK);
    ck_assert_int_eq(fr_params_add_table(&p, "table", DIM, &table), FR_OK);
    ck_assert_int_eq(fr_params_grow(&p, table, ROWS, 0, &rng), FR_OK);
    memcpy(p.dense[dense].w, golden_f32(&g, "dense.w", DENSE), DENSE * sizeof(float));
    memcpy(p.table[table].w, golden_f32(&g, "table.w", (size_t)ROWS * DIM), sizeof(float) * ROWS * DIM);
}

/* A part of each gradient to each worker, as threads have them. */
static void give(int t, bool sparse)
{
    const float *dg = golden_f32(&g, "dense.g", 10 * DENSE) + (size_t)t * DENSE;
    const float *tg = golden_f32(&g, "table.g", (size_t)10 * ROWS * DIM) + (size_t)t * ROWS * DIM;
    const int32_t *touched = (const int32_t *)golden_get(&g, "touched")->data + (size_t)t * ROWS;

    for (int k = 0; k < THREADS; k++) {
        ck_assert_int_eq(fr_grads_begin(&w[k], &p), FR_OK);
        ck_assert_int_eq(fr_grads_reserve(&w[k], &p, table, ROWS), FR_OK);
        for (int i = 0; i < DENSE; i++)
            fr_grads_dense(&w[k], &p, dense)[i] = i % THREADS == k ? dg[i] : 0;
        for (int r = 0; r < ROWS; r++) {
            if (r % 2 != k % 2 || (sparse && !touched[r])) /* some rows of two workers, halved */
                continue;
            float share = r % 2 == 0 ? .5f : 1;
            for (int d = 0; d < DIM; d++)
                fr_grads_row(&w[k], &p, table, r)[d] += share * tg[r * DIM + d];
        }
    }
}

START_TEST(ten_steps__dense_and_rows__as_pytorch)
{
    struct fr_grads *parts[THREADS] = {&w[0], &w[1], &w[2]};
    struct fr_train_options o;
    char key[64];

    fr_train_options_default(&o);
    o.lr = .05f;
    o.eps = strcmp(cases[_i].want, "sparse_adam") == 0 ? 1e-8f : 1e-3f;
    o.dense_rows = !cases[_i].sparse;
    o.l2_dense = o.l2_embedding = cases[_i].l2 ? .03f : 0;
    o.ftrl_beta = .5f;
    o.ftrl_l1 = cases[_i].plain_ftrl ? 0 : 4;
    o.ftrl_l2 = cases[_i].plain_ftrl ? 0 : .2f;
    begin(cases[_i].optimizer);
    for (int t = 0; t < 10; t++) {
        struct fr_step_pair s;
        give(t, cases[_i].sparse);
        for (int k = 0; k < THREADS; k++)
            ck_assert(fr_grads_merge_part(parts, THREADS, k, &p));
        fr_params_step_begin(&p, parts, THREADS, &o, &s);
        for (int k = 0; k < THREADS; k++)
            fr_params_step_part(&p, parts, THREADS, k, &s);
    }
    (void)snprintf(key, sizeof(key), "%s.dense", cases[_i].want);
    golden_check(&g, key, p.dense[dense].w, DENSE, ATOL, RTOL);
    (void)snprintf(key, sizeof(key), "%s.table", cases[_i].want);
    golden_check(&g, key, p.table[table].w, (size_t)ROWS * DIM, ATOL, RTOL);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("golden/optimizers");
    TCase *tc = tcase_create("all");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, ten_steps__dense_and_rows__as_pytorch, 0, (int)(sizeof(cases) / sizeof(cases[0])));
    suite_add_tcase(s, tc);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
