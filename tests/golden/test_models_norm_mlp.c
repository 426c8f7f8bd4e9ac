/* Batch norm and dropout between linear layers, against PyTorch: output, running statistics, gradients
 * of a step with batch statistics and masks, and the output with the running ones. */
#include <stdio.h>
#include <string.h>

#include <check.h>

#include "models/train/norm_mlp.h"
#include "tests/support/model_fixture.h"

static const char *const files[] = {"norm_mlp.frg", "norm_mlp_dropout.frg", "dropout_mlp.frg"};

static struct golden g;
static struct fr_params params;
static struct fr_mlp mlp;
static struct fr_norm_mlp nm;
static struct fr_pool *pool;
static struct fr_arena *ar;

static void build(void)
{
    char name[64];

    memset(&params, 0, sizeof(params));
    memset(&mlp, 0, sizeof(mlp));
    memset(&nm, 0, sizeof(nm));
    mlp.n_layers = -1;
    for (const struct fr_json *v = fr_json_get(g.meta, "widths")->child; v != NULL; v = v->next)
        mlp.width[++mlp.n_layers] = (int)v->i;
    nm.mlp = &mlp;
    nm.norm = golden_meta_int(&g, "norm") != 0;
    nm.dropout = (float)golden_meta_num(&g, "dropout");
    nm.seed = (uint64_t)golden_meta_int(&g, "dropout_seed");
    nm.all_rows = (double)golden_meta_int(&g, "rows");
    for (int l = 0; l < mlp.n_layers; l++) {
        (void)snprintf(name, sizeof(name), "mlp.%d.weight", l);
        ck_assert_int_eq(fr_params_add_dense(&params, name, mlp.width[l + 1], mlp.width[l], &nm.w[l]), FR_OK);
        (void)snprintf(name, sizeof(name), "mlp.%d.bias", l);
        ck_assert_int_eq(fr_params_add_dense(&params, name, mlp.width[l + 1], 0, &nm.b[l]), FR_OK);
    }
    ck_assert_int_eq(fr_pool_new(1, &pool), FR_OK);
    ck_assert_int_eq(fr_arena_new(1 << 16, 0, &ar), FR_OK);
    ck_assert_int_eq(fr_norm_mlp_init(&nm, "mlp", &params, pool), FR_OK);
    mf_set_params(&params, &g);
    for (int l = 0; l < mlp.n_layers; l++) {
        mlp.w[l] = params.dense[nm.w[l]].w;
        mlp.bias[l] = params.dense[nm.b[l]].w;
    }
}

/* Forward of the file's rows; p is ready for the way back. */
static const float *forward(struct fr_norm_pass *p, bool training)
{
    int rows = (int)golden_meta_int(&g, "rows");

    nm.training = training;
    *p = (struct fr_norm_pass){.rows = rows};
    ck_assert_int_eq(fr_norm_mlp_begin(&nm, p, FR_OK, training, ar), FR_OK);
    fr_nn_linear(golden_get(&g, "x")->data, (size_t)mlp.width[0], mlp.w[0], mlp.bias[0], rows, mlp.width[0],
                 mlp.width[1], fr_norm_mlp_first(p), (size_t)mlp.width[1]);
    return fr_norm_mlp_forward(&nm, p);
}

START_TEST(step_and_evaluation__every_value__as_pytorch)
{
    struct fr_norm_pass p;
    struct fr_grads gr = {.dense = NULL};
    char key[160];

    golden_open(&g, files[_i]);
    build();
    size_t rows = (size_t)golden_meta_int(&g, "rows");
    ck_assert_int_eq(fr_grads_begin(&gr, &params), FR_OK);
    golden_check(&g, "y", forward(&p, true), rows, 1e-5, 1e-4);
    const float *dz = fr_norm_mlp_backward(&nm, &p, golden_f32(&g, "dout", rows), &gr);
    golden_check(&g, "dz", dz, rows * (size_t)mlp.width[1], 1e-5, 1e-4);
    for (int i = 0; i < params.n_dense; i++) {
        (void)snprintf(key, sizeof(key), "grad.%s", params.dense[i].name);
        if (i != nm.w[0] && i != nm.b[0]) /* the first layer's are the caller's */
            golden_check(&g, key, fr_grads_dense(&gr, &params, i), params.dense[i].n, 1e-5, 1e-4);
    }
    for (int i = 0; i < params.n_buffers; i++) {
        (void)snprintf(key, sizeof(key), "after.%s", params.buffer[i].name);
        golden_check(&g, key, params.buffer[i].w, params.buffer[i].n, 1e-6, 1e-5);
    }
    golden_check(&g, "eval", forward(&p, false), rows, 1e-5, 1e-4);
    fr_norm_mlp_done(&nm);
    fr_grads_done(&gr);
    fr_params_done(&params);
    fr_pool_free(pool);
    fr_arena_free(ar);
    golden_close(&g);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("golden/norm_mlp");
    TCase *tc = tcase_create("all");
    tcase_add_loop_test(tc, step_and_evaluation__every_value__as_pytorch, 0, 3);
    suite_add_tcase(s, tc);
    return mf_run(s);
}
