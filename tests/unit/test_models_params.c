/* Parameters: growth keeps rows, gradients collect and merge, every optimiser moves the rows it should by its twin. */
#include "models/train/params.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/alloc.h"
#include "tests/support/model_fixture.h"
#include "tests/support/ref_step.h"

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

/* A table that grows from an array by row to a hash of the touched rows, and steps through both. */
START_TEST(grads__long_table__hashed_and_as_a_plain_array)
{
    enum { LONG = FR_GRADS_DIRECT_ROWS + 1000 };
    static float want[LONG];
    struct fr_grads g = {0};
    int wrong = 0;
    for (int step = 0; step < 6; step++) {
        uint32_t rows = step < 2 ? 10 : LONG;
        size_t before = step == 5 ? 3 : 1; /* reserved at once or in three parts */
        ck_assert_int_eq(fr_params_grow(&p, table, rows, 0.5f, &rng), FR_OK);
        ck_assert_int_eq(fr_grads_begin(&g, &p), FR_OK);
        ck_assert(g.table[table].hashed == (step >= 2));
        memset(want, 0, sizeof(want));
        for (size_t part = 0; part < before; part++) {
            ck_assert_int_eq(fr_grads_reserve(&g, &p, table, 3000), FR_OK);
            for (int i = 0; i < 3000; i++) {
                uint32_t row = (uint32_t)fr_rng_below(&rng, rows);
                row = i % 3 == 0 ? row : row / 64 * 64; /* many that meet */
                want[row] += 1;
                fr_grads_row(&g, &p, table, (int32_t)row)[2] += 1;
            }
        }
        for (uint32_t row = 0; row < rows; row++) {
            const float *got = fr_grads_find(&g, &p, table, (int32_t)row);
            wrong += (got == NULL ? 0 : got[2]) != want[row] || (got == NULL) != (want[row] == 0);
        }
        ck_assert_int_eq(wrong, 0);
        ck_assert_ptr_null(fr_grads_find(&g, &p, table, INT32_MAX));
    }
    ck_assert_uint_le(g.table[table].cap_index, 32768); /* by what was touched, not by the rows */
    fr_grads_done(&g);
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

/* The optimiser's twin over all parameters of setup(), in double. */
struct twin {
    double w[45], m[45], v[45];
};

static float *weights(int i)
{
    return i < 15 ? &p.dense[dense].w[i] : &p.table[table].w[i - 15];
}

static void twin_step(struct twin *t, const struct fr_train_options *o, const float *g, const bool *moves)
{
    struct fr_step s = {.optimizer = p.optimizer,
                        .b1 = o->beta1,
                        .b2 = o->beta2,
                        .eps = o->eps,
                        .decay = o->decay,
                        .beta = o->ftrl_beta,
                        .l1 = o->ftrl_l1,
                        .prox2 = o->ftrl_l2};
    double c1 = 1 - pow((double)o->beta1, (double)p.t);

    s.inv_sc2 = (float)(1 / sqrt(1 - pow((double)o->beta2, (double)p.t)));
    for (int i = 0; i < 45; i++) {
        s.lr = i < 15 ? o->lr_dense : o->lr;
        s.l2 = i < 15 ? o->l2_dense : o->l2_embedding;
        if (p.optimizer == FR_OPTIMIZER_ADAM)
            s.lr = (float)((double)s.lr / c1);
        if (i < 15 || moves[(i - 15) / 3])
            ref_step(&s, (double)g[i], &t->w[i], &t->m[i], &t->v[i]);
    }
}

/* Gradients of one step over two workers; which rows are touched. */
static void draw(struct fr_grads *a, struct fr_grads *b, float *g, bool *touched)
{
    struct fr_grads *two[2] = {a, b};

    for (int k = 0; k < 2; k++) {
        ck_assert_int_eq(fr_grads_begin(two[k], &p), FR_OK);
        ck_assert_int_eq(fr_grads_reserve(two[k], &p, table, 10), FR_OK);
    }
    for (int r = 0; r < 10; r++)
        touched[r] = r != 3 && r != 8 && fr_rng_f64(&rng) < .6;
    for (int i = 0; i < 45; i++) {
        int row = (i - 15) / 3;
        g[i] = i < 15 || touched[row] ? (float)fr_rng_normal(&rng) : 0;
        if (i < 15)
            fr_grads_dense(two[i % 2], &p, dense)[i] = g[i];
        else if (touched[row])
            fr_grads_row(two[row % 2], &p, table, row)[(i - 15) % 3] = g[i];
    }
}

/* Loop: optimiser, rows touched or all. */
START_TEST(step__every_optimizer__as_its_twin_in_double)
{
    struct fr_grads a = {0}, b = {0}, *parts[2] = {&a, &b};
    struct fr_train_options o;
    struct twin t = {0};
    bool touched[10], all[10];

    fr_params_done(&p);
    p.optimizer = (enum fr_optimizer)(_i / 2);
    ck_assert_int_eq(fr_params_add_dense(&p, "layer.weight", 3, 5, &dense), FR_OK);
    ck_assert_int_eq(fr_params_add_table(&p, "embedding.item.weight", 3, &table), FR_OK);
    ck_assert_int_eq(fr_params_grow(&p, table, 10, 0.5f, &rng), FR_OK);
    fr_params_init_normal(&p, dense, .4f, &rng);
    fr_train_options_default(&o);
    o.dense_rows = _i % 2 == 1;
    o.lr = .03f;
    o.lr_dense = .01f;
    o.l2_embedding = .02f;
    o.l2_dense = .01f;
    o.decay = .9f;
    o.ftrl_l1 = 2;
    o.ftrl_l2 = .5f;
    for (int i = 0; i < 45; i++)
        t.w[i] = (double)*weights(i);
    memset(all, true, sizeof(all));
    for (int step = 0; step < 12; step++) {
        struct fr_step_pair s;
        float g[45];
        if (step == 6)
            o.lr *= .5f;
        draw(&a, &b, g, touched);
        for (int k = 0; k < 2; k++)
            ck_assert(fr_grads_merge_part(parts, 2, k, &p));
        fr_params_step_begin(&p, parts, 2, &o, &s);
        for (int k = 0; k < 2; k++)
            fr_params_step_part(&p, parts, 2, k, &s);
        twin_step(&t, &o, g, o.dense_rows ? all : touched);
        for (int i = 0; i < 45; i++)
            ck_assert_msg(fabs((double)*weights(i) - t.w[i]) <= 1e-5, "step %d weight %d: %.9g, want %.9g", step,
                          i, (double)*weights(i), t.w[i]);
    }
    fr_grads_done(&a);
    fr_grads_done(&b);
}
END_TEST

START_TEST(states__every_optimizer__only_the_arrays_it_needs)
{
    enum fr_optimizer o = (enum fr_optimizer)_i;
    bool m = o == FR_OPTIMIZER_ADAM || o == FR_OPTIMIZER_FTRL, v = o != FR_OPTIMIZER_SGD;

    fr_params_done(&p);
    p.optimizer = o;
    ck_assert_int_eq(fr_params_add_dense(&p, "layer.weight", 3, 5, &dense), FR_OK);
    ck_assert_int_eq(fr_params_add_table(&p, "embedding.item.weight", 3, &table), FR_OK);
    for (uint32_t rows = 10; rows <= 100000; rows *= 100) {
        ck_assert_int_eq(fr_params_grow(&p, table, rows, 0.5f, &rng), FR_OK);
        ck_assert(p.table[table].w != NULL);
        ck_assert_int_eq(p.table[table].m != NULL, m);
        ck_assert_int_eq(p.table[table].v != NULL, v);
    }
    ck_assert_int_eq(p.dense[dense].m != NULL, m);
    ck_assert_int_eq(p.dense[dense].v != NULL, v);
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
    tcase_add_test(tc, grads__long_table__hashed_and_as_a_plain_array);
    tcase_add_test(tc, adam__untouched_rows__do_not_move_touched_ones_do);
    tcase_add_test(tc, adam__first_step_and_clipping__step_size_and_norm);
    tcase_add_loop_test(tc, step__every_optimizer__as_its_twin_in_double, 0, 2 * FR_OPTIMIZER_COUNT);
    tcase_add_loop_test(tc, states__every_optimizer__only_the_arrays_it_needs, 0, FR_OPTIMIZER_COUNT);
    tcase_add_test(tc, tensors__names_and_shapes__as_added_and_bad_names_refused);
    tcase_add_test(tc, growth__allocation_fails__nothing_lost);
    suite_add_tcase(s, tc);
    return mf_run(s);
}
