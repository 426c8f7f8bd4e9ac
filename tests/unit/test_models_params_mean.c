/* The moving mean of weights: against a mean in double, over growth, failing allocations, bad shares. */
#include "models/train/params_mean.h"

#include <math.h>
#include <string.h>

#include "daemon/base/alloc.h"
#include "tests/support/model_fixture.h"

#define ROWS 7
#define DIM 3

static struct fr_params p;
static struct fr_params_mean mean;
static struct fr_rng rng;
static int dense, table, buffer;

static void setup(void)
{
    memset(&p, 0, sizeof(p));
    memset(&mean, 0, sizeof(mean));
    fr_rng_seed(&rng, 3);
    ck_assert_int_eq(fr_params_add_dense(&p, "layer.weight", 2, 5, &dense), FR_OK);
    ck_assert_int_eq(fr_params_add_table(&p, "embedding.item.weight", DIM, &table), FR_OK);
    ck_assert_int_eq(fr_params_add_buffer(&p, "norm.running_mean", 4, 1, &buffer), FR_OK);
    ck_assert_int_eq(fr_params_grow(&p, table, ROWS, 0.5f, &rng), FR_OK);
}

static void teardown(void)
{
    fr_params_mean_done(&mean);
    fr_params_done(&p);
}

/* Other weights everywhere. */
static void move(void)
{
    fr_params_init_normal(&p, dense, 1, &rng);
    for (size_t i = 0; i < (size_t)p.table[table].rows * DIM; i++)
        p.table[table].w[i] = (float)fr_rng_normal(&rng);
    for (size_t i = 0; i < 4; i++)
        p.buffer[buffer].w[i] = (float)fr_rng_normal(&rng);
}

static const float *data(const char *name)
{
    static struct fr_tensor t[FR_PARAMS_MAX_TENSORS];
    int n = fr_params_mean_tensors(&mean, &p, t);

    for (int i = 0; i < n; i++)
        if (strcmp(t[i].name, name) == 0)
            return t[i].data;
    return NULL;
}

START_TEST(take__many_times__plain_mean_first_then_the_share)
{
    double d[10] = {0}, t[ROWS * DIM] = {0}, b[4] = {0};
    const double share = 0.25;

    for (int k = 1; k <= 9; k++) {
        double rate = 1.0 / k > share ? 1.0 / k : share;

        move();
        ck_assert_int_eq(fr_params_mean_take(&mean, &p, (float)share), FR_OK);
        for (int i = 0; i < 10; i++)
            d[i] += rate * ((double)p.dense[dense].w[i] - d[i]);
        for (int i = 0; i < ROWS * DIM; i++)
            t[i] += rate * ((double)p.table[table].w[i] - t[i]);
        for (int i = 0; i < 4; i++)
            b[i] += rate * ((double)p.buffer[buffer].w[i] - b[i]);
        for (int i = 0; i < 10; i++)
            ck_assert_double_eq_tol((double)data("layer.weight")[i], d[i], 1e-6);
        for (int i = 0; i < ROWS * DIM; i++)
            ck_assert_double_eq_tol((double)data("embedding.item.weight")[i], t[i], 1e-6);
        for (int i = 0; i < 4; i++)
            ck_assert_double_eq_tol((double)data("norm.running_mean")[i], b[i], 1e-6);
    }
}
END_TEST

START_TEST(tensors__nothing_taken_or_grown_since__the_weights_themselves)
{
    ck_assert_ptr_eq(data("layer.weight"), p.dense[dense].w);
    ck_assert_int_eq(fr_params_mean_take(&mean, &p, 1), FR_OK);
    ck_assert_ptr_ne(data("layer.weight"), p.dense[dense].w);
    ck_assert_int_eq(fr_params_grow(&p, table, ROWS + 2, 0.5f, &rng), FR_OK);
    ck_assert_ptr_eq(data("embedding.item.weight"), p.table[table].w);
}
END_TEST

START_TEST(take__after_growth__old_rows_a_mean_new_rows_as_they_are)
{
    float first = p.table[table].w[0];

    ck_assert_int_eq(fr_params_mean_take(&mean, &p, 0.5f), FR_OK);
    ck_assert_int_eq(fr_params_grow(&p, table, ROWS + 2, 0.5f, &rng), FR_OK);
    p.table[table].w[0] = first + 1;
    ck_assert_int_eq(fr_params_mean_take(&mean, &p, 0.5f), FR_OK);
    ck_assert_double_eq_tol((double)data("embedding.item.weight")[0], (double)first + 0.5, 1e-6);
    for (size_t i = ROWS * DIM; i < (ROWS + 2) * DIM; i++)
        mf_float_eq(data("embedding.item.weight")[i], p.table[table].w[i]);
}
END_TEST

START_TEST(take__bad_share__refused)
{
    const float bad[] = {0, -0.1f, 1.5f, NAN};

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        ck_assert_int_eq(fr_params_mean_take(&mean, &p, bad[i]), FR_EINVAL);
    ck_assert_uint_eq(mean.takes, 0);
}
END_TEST

START_TEST(take__allocation_fails__mean_unchanged)
{
    float before[10];

    ck_assert_int_eq(fr_params_mean_take(&mean, &p, 1), FR_OK);
    memcpy(before, data("layer.weight"), sizeof(before));
    move();
    ck_assert_int_eq(fr_params_grow(&p, table, ROWS + 1, 0.5f, &rng), FR_OK);
    for (uint64_t nth = 1; nth <= 2; nth++) {
        fr_alloc_fail_at(nth);
        enum fr_err e = fr_params_mean_take(&mean, &p, 1);
        fr_alloc_fail_at(0);
        ck_assert_int_eq(e, FR_ENOMEM);
        ck_assert_int_eq(memcmp(before, data("layer.weight"), sizeof(before)), 0);
        ck_assert_uint_eq(mean.takes, 1);
    }
    ck_assert_int_eq(fr_params_mean_take(&mean, &p, 1), FR_OK);
    ck_assert_int_ne(memcmp(before, data("layer.weight"), sizeof(before)), 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("models/params_mean");
    TCase *tc = tcase_create("all");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, take__many_times__plain_mean_first_then_the_share);
    tcase_add_test(tc, tensors__nothing_taken_or_grown_since__the_weights_themselves);
    tcase_add_test(tc, take__after_growth__old_rows_a_mean_new_rows_as_they_are);
    tcase_add_test(tc, take__bad_share__refused);
    tcase_add_test(tc, take__allocation_fails__mean_unchanged);
    suite_add_tcase(s, tc);
    return mf_run(s);
}
