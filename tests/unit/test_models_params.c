/* Parameters: growth keeps rows, gradients collect and merge, lazy Adam moves touched rows only. */
#include "models/train/params.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/alloc.h"
#include "tests/support/model_fixture.h"

static struct fr_params p;
static struct fr_rng rng;
static int dense, table;

static void setup(void)
{
    memset(&p, 0, sizeof(p));
    fr_rng_seed(&rng, 1);
    ck_assert_int_eq(fr_params_add_dense(&p, "layer.weight", 3, 5, &dense), FR_OK);
    ck_assert_int_eq(fr_params_add_table(&p, "embedding.item.weight", 3, &table), FR_OK);
    ck_assert_int_eq(fr_params_grow(&p, table, 10, 0.5f, &rng), FR_OK);
}

static void teardown(void)
{
    fr_params_done(&p);
}

START_TEST(grow__past_the_capacity__old_rows_and_moments_kept_new_rows_drawn)
{
    float before[30];
    p.table[table].m[29] = 7;
    memcpy(before, p.table[table].w, sizeof(before));
    ck_assert_int_eq(fr_params_grow(&p, table, 1000, 0.5f, &rng), FR_OK);
    ck_assert_uint_eq(p.table[table].rows, 1000);
    ck_assert_int_eq(memcmp(before, p.table[table].w, sizeof(before)), 0);
    mf_float_eq(p.table[table].m[29], 7);
    mf_float_eq(p.table[table].m[2999], 0);
    double sq = 0;
    for (size_t i = 30; i < 3000; i++)
        sq += (double)p.table[table].w[i] * (double)p.table[table].w[i];
    ck_assert_double_eq_tol(sqrt(sq / 2970), 0.5, 0.03);
    ck_assert_int_eq(fr_params_grow(&p, table, 5, 0.5f, &rng), FR_OK);
    ck_assert_uint_eq(p.table[table].rows, 1000);
}
END_TEST

START_TEST(grads__touched_merged_and_forgotten__as_written)
{
    struct fr_grads a = {0}, b = {0};
    ck_assert_int_eq(fr_grads_begin(&a, &p), FR_OK);
    ck_assert_int_eq(fr_grads_begin(&b, &p), FR_OK);
    ck_assert_int_eq(fr_grads_reserve(&a, &p, table, 2), FR_OK);
    ck_assert_int_eq(fr_grads_reserve(&b, &p, table, 2), FR_OK);
    ck_assert_ptr_null(fr_grads_find(&a, &p, table, 4));
    fr_grads_row(&a, &p, table, 4)[1] += 2;
    fr_grads_row(&a, &p, table, 4)[1] += 3;
    fr_grads_row(&b, &p, table, 4)[1] += 10;
    fr_grads_row(&b, &p, table, 9)[2] += 1;
    fr_grads_dense(&b, &p, dense)[14] = 6;
    ck_assert_int_eq(fr_grads_add(&a, &b, &p), FR_OK);
    mf_float_eq(fr_grads_find(&a, &p, table, 4)[1], 15);
    mf_float_eq(fr_grads_find(&a, &p, table, 9)[2], 1);
    mf_float_eq(fr_grads_dense(&a, &p, dense)[14], 6);
    ck_assert(fr_grads_finite(&a, &p));
    fr_grads_row(&a, &p, table, 9)[0] = NAN;
    ck_assert(!fr_grads_finite(&a, &p));
    ck_assert_int_eq(fr_params_grow(&p, table, 5000, 0, &rng), FR_OK);
    ck_assert_int_eq(fr_grads_begin(&a, &p), FR_OK);
    ck_assert_ptr_null(fr_grads_find(&a, &p, table, 4));
    ck_assert_ptr_null(fr_grads_find(&a, &p, table, 4999));
    mf_float_eq(fr_grads_dense(&a, &p, dense)[14], 0);
    fr_grads_done(&a);
    fr_grads_done(&b);
}
END_TEST

START_TEST(adam__untouched_rows__do_not_move_touched_ones_do)
{
    struct fr_grads g = {0};
    struct fr_train_options o;
    float before[30];
    fr_train_options_default(&o);
    o.lr = 0.1f;
    o.l2_embedding = 0.5f;
    memcpy(before, p.table[table].w, sizeof(before));
    for (int step = 0; step < 3; step++) {
        ck_assert_int_eq(fr_grads_begin(&g, &p), FR_OK);
        ck_assert_int_eq(fr_grads_reserve(&g, &p, table, 1), FR_OK);
        fr_grads_row(&g, &p, table, 4)[0] = 1;
        fr_params_step(&p, &g, &o);
    }
    for (int i = 0; i < 30; i++)
        ck_assert_msg((memcmp(&before[i], &p.table[table].w[i], 4) != 0) == (i / 3 == 4), "%d", i);
    ck_assert_uint_eq(p.t, 3);
    fr_grads_done(&g);
}
END_TEST

START_TEST(adam__first_step_and_clipping__step_size_and_norm)
{
    struct fr_grads g = {0};
    struct fr_train_options o;
    fr_train_options_default(&o);
    o.lr = 0.1f;
    o.lr_dense = 0.01f;
    o.clip_norm = 1e-3f;
    ck_assert_int_eq(fr_grads_begin(&g, &p), FR_OK);
    for (int i = 0; i < 15; i++)
        fr_grads_dense(&g, &p, dense)[i] = i % 2 ? 5.0f : -5.0f;
    fr_params_step(&p, &g, &o);
    /* the first Adam step is lr * sign(g), whatever the size of g */
    for (int i = 0; i < 15; i++)
        mf_float_tol(p.dense[dense].w[i], i % 2 ? -0.01 : 0.01, 1e-5);
    double sq = 0;
    for (int i = 0; i < 15; i++)
        sq += pow((double)fr_grads_dense(&g, &p, dense)[i], 2);
    ck_assert_double_eq_tol(sqrt(sq), 1e-3, 1e-6);
    fr_grads_done(&g);
}
END_TEST

START_TEST(tensors__names_and_shapes__as_added_and_bad_names_refused)
{
    struct fr_tensor t[4];
    char longer[FR_TENSOR_NAME + 1];
    int i = 0;
    ck_assert_int_eq(fr_params_tensors(&p, t), 2);
    ck_assert_str_eq(t[0].name, "layer.weight");
    ck_assert_uint_eq(t[0].dim[1], 5);
    ck_assert_str_eq(t[1].name, "embedding.item.weight");
    ck_assert_uint_eq(t[1].dim[0], 10);
    memset(longer, 'x', FR_TENSOR_NAME);
    longer[FR_TENSOR_NAME] = '\0';
    ck_assert_int_eq(fr_params_add_dense(&p, longer, 1, 1, &i), FR_EINVAL);
    ck_assert_int_eq(fr_params_add_table(&p, "", 1, &i), FR_EINVAL);
    ck_assert_int_eq(fr_params_add_dense(&p, "x", 0, 1, &i), FR_EINVAL);
}
END_TEST

START_TEST(growth__allocation_fails__nothing_lost)
{
    float before[30];
    memcpy(before, p.table[table].w, sizeof(before));
    for (uint64_t nth = 1; nth <= 4; nth++) {
        fr_alloc_fail_at(nth);
        enum fr_err e = fr_params_grow(&p, table, 100000, 0, &rng);
        fr_alloc_fail_at(0);
        ck_assert_int_eq(e, nth <= 3 ? FR_ENOMEM : FR_OK);
        ck_assert_uint_eq(p.table[table].rows, nth <= 3 ? 10 : 100000);
        ck_assert_int_eq(memcmp(before, p.table[table].w, sizeof(before)), 0);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("models/params");
    TCase *tc = tcase_create("all");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, grow__past_the_capacity__old_rows_and_moments_kept_new_rows_drawn);
    tcase_add_test(tc, grads__touched_merged_and_forgotten__as_written);
    tcase_add_test(tc, adam__untouched_rows__do_not_move_touched_ones_do);
    tcase_add_test(tc, adam__first_step_and_clipping__step_size_and_norm);
    tcase_add_test(tc, tensors__names_and_shapes__as_added_and_bad_names_refused);
    tcase_add_test(tc, growth__allocation_fails__nothing_lost);
    suite_add_tcase(s, tc);
    return mf_run(s);
}
