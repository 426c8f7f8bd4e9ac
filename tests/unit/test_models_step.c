/* Optimiser steps against naive twins in double, at every level this machine has; the laws that tie them. */
#include "models/train/step.h"

#include <math.h>
#include <string.h>

#include "daemon/base/rng.h"
#include "models/tensor.h"
#include "tests/support/model_fixture.h"
#include "tests/support/ref_step.h"

#define MAX 131
#define LEVELS (FR_CPU_AVX512 + 1)

static float g[MAX + 1], w[MAX + 1], m[MAX + 1], v[MAX + 1];
static struct fr_rng rng;

/* Settings in which every member counts. */
static struct fr_step settings(enum fr_optimizer o)
{
    return (struct fr_step){.optimizer = o,
                            .lr = .03f,
                            .l2 = .1f,
                            .b1 = .9f,
                            .b2 = .999f,
                            .inv_sc2 = 30,
                            .eps = 1e-3f,
                            .decay = .7f,
                            .beta = .5f,
                            .l1 = 4,
                            .prox2 = 7};
}

static void fill(enum fr_optimizer o)
{
    for (int i = 0; i <= MAX; i++) {
        bool fresh = i % 3 == 0; /* of ftrl: no gradient so far */
        g[i] = i % 7 == 0 ? 0 : (float)fr_rng_normal(&rng);
        w[i] = i % 7 == 0 && i % 2 == 0 ? 0 : (float)fr_rng_normal(&rng);
        m[i] = o == FR_OPTIMIZER_FTRL && fresh ? 0 : (float)fr_rng_normal(&rng) * .3f;
        v[i] = o == FR_OPTIMIZER_FTRL && fresh ? 0 : fabsf((float)fr_rng_normal(&rng)) * .5f;
    }
}

static bool level(int l)
{
    if (fr_tensor_set_level((enum fr_cpu_level)l) == FR_OK)
        return true;
    ck_assert_int_gt(l, (int)fr_cpu_detected());
    return false;
}

static void near(float got, double want, const char *what, size_t n, size_t i)
{
    ck_assert_msg(fr_is_finite(got) && fabs((double)got - want) <= 2e-6 * (1 + fabs(want)),
                  "%s[%zu] of %zu: %.9g, want %.9g", what, i, n, (double)got, want);
}

START_TEST(update__all_lengths__as_naive_and_nothing_past_the_end)
{
    enum fr_optimizer o = (enum fr_optimizer)(_i / LEVELS);
    struct fr_step s = settings(o);
    int zeroed = 0, stayed = 0;

    if (!level(_i % LEVELS))
        return;
    fr_rng_seed(&rng, 5);
    for (size_t n = 0; n <= MAX; n++) {
        float end[3];
        double rw[MAX + 1], rm[MAX + 1], rv[MAX + 1];

        fill(o);
        for (size_t i = 0; i <= n; i++) {
            rw[i] = (double)w[i];
            rm[i] = (double)m[i];
            rv[i] = (double)v[i];
        }
        memcpy(end, (float[]){w[n], m[n], v[n]}, sizeof(end));
        fr_step_update(&s, n, g, w, fr_optimizer_has_m(o) ? m : NULL, fr_optimizer_has_v(o) ? v : NULL);
        for (size_t i = 0; i < n; i++) {
            double before = rw[i];
            ref_step(&s, (double)g[i], &rw[i], &rm[i], &rv[i]);
            zeroed += before != 0 && rw[i] == 0;
            stayed += before == rw[i];
            near(w[i], rw[i], "w", n, i);
            near(m[i], rm[i], "m", n, i);
            near(v[i], rv[i], "v", n, i);
        }
        ck_assert(memcmp(end, (float[]){w[n], m[n], v[n]}, sizeof(end)) == 0);
    }
    if (o == FR_OPTIMIZER_FTRL) { /* both branches were met */
        ck_assert_int_gt(zeroed, 100);
        ck_assert_int_gt(stayed, 100);
    }
}
END_TEST

/* 50 steps of one vector. */
static void run(const struct fr_step *s, float *at, float *sm, float *sv, uint64_t seed)
{
    struct fr_rng r;

    fr_rng_seed(&r, seed);
    for (int i = 0; i < MAX; i++)
        at[i] = (float)fr_rng_normal(&r);
    memset(sm, 0, MAX * sizeof(*sm));
    memset(sv, 0, MAX * sizeof(*sv));
    for (int t = 0; t < 50; t++) {
        float d[MAX];
        for (int i = 0; i < MAX; i++)
            d[i] = at[i] + (float)fr_rng_normal(&r);
        fr_step_update(s, MAX, d, at, sm, sv);
    }
}

START_TEST(ftrl__without_its_regularisers__is_adagrad_with_eps_beta)
{
    static float a[MAX], b[MAX];
    struct fr_step f = {.optimizer = FR_OPTIMIZER_FTRL, .lr = .2f, .beta = .8f};
    struct fr_step d = {.optimizer = FR_OPTIMIZER_ADAGRAD, .lr = .2f, .eps = .8f, .decay = 1};

    run(&f, a, m, v, 3);
    run(&d, b, m, v, 3);
    for (int i = 0; i < MAX; i++)
        ck_assert_double_eq_tol((double)a[i], (double)b[i], 2e-5);
}
END_TEST

START_TEST(ftrl__another_lr__no_jump_of_the_weights)
{
    static float a[MAX], b[MAX];
    struct fr_step f = {.optimizer = FR_OPTIMIZER_FTRL, .lr = .2f, .beta = .8f};

    run(&f, a, m, v, 4);
    memcpy(b, a, sizeof(b));
    memset(g, 0, sizeof(g));
    f.lr = .002f;
    fr_step_update(&f, MAX, g, a, m, v);
    for (int i = 0; i < MAX; i++)
        ck_assert_double_eq_tol((double)a[i], (double)b[i], 1e-5);
}
END_TEST

START_TEST(ftrl__strong_l1__weights_are_exactly_zero_and_come_back)
{
    struct fr_step f = {.optimizer = FR_OPTIMIZER_FTRL, .lr = .1f, .beta = 1, .l1 = 3};
    float one = .05f, z = 0, n = 0, d = 1;

    for (int i = 0; i < 2; i++)
        fr_step_update(&f, 1, &d, &one, &z, &n);
    mf_float_eq(one, 0);
    for (int i = 0; i < 10; i++)
        fr_step_update(&f, 1, &d, &one, &z, &n);
    ck_assert(one < 0);
}
END_TEST

START_TEST(adagrad__decay__old_gradients_fade)
{
    struct fr_step s = {.optimizer = FR_OPTIMIZER_ADAGRAD, .lr = .1f, .decay = .5f};
    float one = 0, n = 0, d = 8;

    fr_step_update(&s, 1, &d, &one, NULL, &n);
    mf_float_eq(n, 64);
    d = 0;
    for (int i = 0; i < 5; i++)
        fr_step_update(&s, 1, &d, &one, NULL, &n);
    mf_float_eq(n, 2);
    mf_float_eq(one, -.1f);
}
END_TEST

START_TEST(names__there_and_back__and_what_is_none)
{
    for (int i = 0; i < FR_OPTIMIZER_COUNT; i++)
        ck_assert_int_eq(fr_optimizer_find(fr_str_z(fr_optimizer_name((enum fr_optimizer)i))), i);
    ck_assert_ptr_null(fr_optimizer_names[FR_OPTIMIZER_COUNT]);
    ck_assert_int_eq(fr_optimizer_find(FR_STR_LIT("adamw")), FR_OPTIMIZER_COUNT);
    ck_assert_int_eq(fr_optimizer_find(FR_STR_LIT("")), FR_OPTIMIZER_COUNT);
    ck_assert_str_eq(fr_optimizer_name(FR_OPTIMIZER_COUNT), "?");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("models/step");
    TCase *tc = tcase_create("all");
    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, update__all_lengths__as_naive_and_nothing_past_the_end, 0,
                        FR_OPTIMIZER_COUNT * LEVELS);
    tcase_add_test(tc, ftrl__without_its_regularisers__is_adagrad_with_eps_beta);
    tcase_add_test(tc, ftrl__another_lr__no_jump_of_the_weights);
    tcase_add_test(tc, ftrl__strong_l1__weights_are_exactly_zero_and_come_back);
    tcase_add_test(tc, adagrad__decay__old_gradients_fade);
    tcase_add_test(tc, names__there_and_back__and_what_is_none);
    suite_add_tcase(s, tc);
    return mf_run(s);
}
