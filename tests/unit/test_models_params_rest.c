/* Rows that wait against Adam over all rows, step by step in double; against the dense steps themselves. */
#include "models/train/params_rest.h"

#include <math.h>
#include <string.h>

#include "tests/support/model_fixture.h"

#define ROWS 29
#define DIMS 13 /* of both tables: 5 and 8 */

static const int dim[2] = {5, 8};

static struct fr_params p;
static struct fr_rest *rest;
static struct fr_train_options o;
static struct fr_rng rng;
static int group;

/* The truth: one row after the other, w, m, v of both tables. */
static double w[ROWS][DIMS], m[ROWS][DIMS], v[ROWS][DIMS];
static uint64_t t;

static void setup(void)
{
    int table[2];

    memset(&p, 0, sizeof(p));
    memset(m, 0, sizeof(m));
    memset(v, 0, sizeof(v));
    t = 0;
    fr_rng_seed(&rng, 5);
    fr_train_options_default(&o);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(fr_params_add_table(&p, i == 0 ? "a" : "b", dim[i], &table[i]), FR_OK);
        ck_assert_int_eq(fr_params_grow(&p, table[i], ROWS, 0.5f, &rng), FR_OK);
    }
    for (int r = 0; r < ROWS; r++)
        for (int k = 0; k < DIMS; k++)
            w[r][k] = (double)(k < 5 ? p.table[0].w[r * 5 + k] : p.table[1].w[r * 8 + k - 5]);
}

static void start(void)
{
    ck_assert_int_eq(fr_rest_new(&o, &rest), FR_OK);
    ck_assert_int_eq(fr_rest_add(rest, &p, (int[]){0, 1}, 2, &group), FR_OK);
}

static void teardown(void)
{
    fr_rest_free(rest);
    rest = NULL;
    fr_params_done(&p);
}

static struct fr_step constants(void)
{
    return (struct fr_step){.optimizer = FR_OPTIMIZER_ADAM,
                            .b1 = o.beta1,
                            .b2 = o.beta2,
                            .eps = o.eps,
                            .lr = (float)((double)o.lr / (1 - pow((double)o.beta1, (double)t))),
                            .inv_sc2 = (float)(1 / sqrt(1 - pow((double)o.beta2, (double)t)))};
}

/* A step in which `touched` has a gradient of size `size`, and none has if it is < 0. */
static void step(int touched, double size)
{
    float g[DIMS];

    t++;
    struct fr_step a = constants();
    if (touched >= 0)
        fr_rest_row(rest, &p, group, (uint32_t)touched);
    for (int k = 0; k < DIMS; k++)
        g[k] = k % 4 == 3 ? 0 : (float)(size * fr_rng_normal(&rng));
    if (touched >= 0) {
        size_t r = (size_t)touched;
        fr_step_update(&a, 5, g, p.table[0].w + r * 5, p.table[0].m + r * 5, p.table[0].v + r * 5);
        fr_step_update(&a, 8, g + 5, p.table[1].w + r * 8, p.table[1].m + r * 8, p.table[1].v + r * 8);
    }
    fr_rest_count(rest, &a);
    if (touched >= 0)
        fr_rest_moved(rest, group, (uint32_t)touched);
    for (int r = 0; r < ROWS; r++)
        for (int k = 0; k < DIMS; k++) {
            double d = r == touched ? (double)g[k] : 0, b1 = (double)o.beta1, b2 = (double)o.beta2;
            m[r][k] = b1 * m[r][k] + (1 - b1) * d;
            v[r][k] = b2 * v[r][k] + (1 - b2) * d * d;
            w[r][k] -= (double)a.lr * m[r][k] / (sqrt(v[r][k]) * (double)a.inv_sc2 + (double)o.eps);
        }
    if (fr_rest_pending(rest) == FR_REST_STEPS) {
        for (int part = 0; part < 3; part++)
            fr_rest_settle_part(rest, &p, part, 3);
        fr_rest_settled(rest);
    }
}

static void compare(double tol)
{
    fr_rest_settle_part(rest, &p, 0, 1);
    fr_rest_settled(rest);
    ck_assert_int_eq(fr_rest_pending(rest), 0);
    for (int r = 0; r < ROWS; r++)
        for (int k = 0; k < DIMS; k++) {
            const struct fr_table *s = &p.table[k >= 5];
            size_t at = k < 5 ? (size_t)(r * 5 + k) : (size_t)(r * 8 + k - 5);

            ck_assert_msg(fabs((double)s->w[at] - w[r][k]) < tol,
                          "row %d, element %d: %.9g, not %.9g",
                          r,
                          k,
                          (double)s->w[at],
                          w[r][k]);
            mf_float_tol(s->m[at], m[r][k], 1e-30 + 2e-4 * fabs(m[r][k]));
            mf_float_tol(s->v[at], v[r][k], 1e-30 + 2e-4 * fabs(v[r][k]));
        }
}

/* Gaps of every length at the first steps, where b2^t changes fast, and late ones; sizes about eps. */
static const struct {
    float beta1, beta2, eps;
    double size;
    int steps, touched; /* a row in `touched` steps */
} runs[] = {
    {.9f, .999f, 1e-8f, 1, 60, 1},        {.9f, .999f, 1e-8f, 1e-4, 5000, 1},
    {.9f, .999f, 1e-8f, 1e-8, 5000, 3},   {.9f, .999f, 1e-3f, 1e-3, 3000, 40},
    {.99f, .999f, 1e-8f, 1e-2, 3000, 20}, {.5f, .99f, 1e-8f, 1e-2, 3000, 7},
    {0, .999f, 1e-8f, 1e-2, 2000, 5},     {.9f, .999f, 1e-8f, 1e-2, 9000, 900},
};

START_TEST(row__gaps_of_all_lengths__as_every_step_in_double)
{
    o.beta1 = runs[_i].beta1;
    o.beta2 = runs[_i].beta2;
    o.eps = runs[_i].eps;
    start();
    for (int s = 0; s < runs[_i].steps; s++) {
        if (s == runs[_i].steps / 2)
            o.lr *= 0.1f;
        step(s % runs[_i].touched == 0 ? (int)fr_rng_below(&rng, ROWS) : -1, runs[_i].size);
        if (s % 977 == 400)
            compare(2e-5);
    }
    compare(2e-5);
}
END_TEST

/* What the comparison above could miss: a row that was left out would differ by far more. */
START_TEST(row__left_alone__moves_by_its_moments_and_forgets_them)
{
    start();
    step(3, 1);
    float before = p.table[0].w[15];
    for (int s = 0; s < 800; s++)
        step(-1, 0);
    mf_float_eq(p.table[0].w[15], before);
    fr_rest_row(rest, &p, group, 3);
    ck_assert_double_gt(fabs((double)(p.table[0].w[15] - before)), 1e-3);
    mf_float_eq(p.table[0].m[15], 0); /* .9^800: subnormal, and so for ever */
    ck_assert_double_gt((double)p.table[0].v[15], 0);
}
END_TEST

START_TEST(add__other_rows_or_too_many__refused)
{
    int other, i;

    start();
    ck_assert_int_eq(fr_params_add_table(&p, "c", 2, &other), FR_OK);
    ck_assert_int_eq(fr_params_grow(&p, other, ROWS + 1, 0, &rng), FR_OK);
    ck_assert_int_eq(fr_rest_add(rest, &p, (int[]){0, other}, 2, &i), FR_EINVAL);
    ck_assert_int_eq(fr_rest_add(rest, &p, (int[]){0, 1}, 0, &i), FR_EINVAL);
    ck_assert_int_eq(fr_rest_add(rest, &p, &other, 1, &i), FR_OK);
    ck_assert_int_eq(fr_rest_add(rest, &p, &other, 1, &i), FR_EFULL);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("models/params_rest");
    TCase *tc = tcase_create("all");
    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc,
                        row__gaps_of_all_lengths__as_every_step_in_double,
                        0,
                        (int)(sizeof(runs) / sizeof(runs[0])));
    tcase_add_test(tc, row__left_alone__moves_by_its_moments_and_forgets_them);
    tcase_add_test(tc, add__other_rows_or_too_many__refused);
    suite_add_tcase(s, tc);
    return mf_run(s);
}
