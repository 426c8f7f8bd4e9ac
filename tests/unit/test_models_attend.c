/*
 * One head of attention against the formulas in double, forward and backward by finite differences,
 * at every level of the machine: awkward shapes, strides, large scores, NaN; nothing between the
 * rows is touched.
 */
#include "models/attend.h"

#include <math.h>
#include <string.h>

#include "models/tensor.h"
#include "tests/support/model_fixture.h"

#define MAX_F 33
#define MAX_D 35
#define GAP 3
#define GUARD 12345.0f

static const int shapes[][2] = {
    {1, 1}, {2, 3}, {10, 32}, {16, 16}, {17, 15}, {24, 32}, {33, 1}, {5, 35}};
#define N_SHAPES ((int)(sizeof(shapes) / sizeof(shapes[0])))

enum { Q, K, V, DO, N_IN };

static struct fr_rng rng;
static float in[N_IN][MAX_F * (MAX_D + GAP)];
static float p[MAX_F * MAX_F], out[MAX_F * (MAX_D + GAP)], grad[3][MAX_F * (MAX_D + GAP)],
    scratch[16384];

static struct fr_attend shape(int i, float scale)
{
    size_t ld = (size_t)shapes[i][1] + GAP;
    struct fr_attend a = {shapes[i][0], shapes[i][1], ld, ld, scale};

    ck_assert_uint_le(fr_attend_scratch(&a), sizeof(scratch) / sizeof(*scratch));
    return a;
}

static void fill(float std)
{
    for (int i = 0; i < N_IN; i++)
        for (size_t k = 0; k < sizeof(in[i]) / sizeof(*in[i]); k++)
            in[i][k] = std * (float)fr_rng_normal(&rng);
    for (size_t k = 0; k < sizeof(out) / sizeof(*out); k++)
        out[k] = grad[0][k] = grad[1][k] = grad[2][k] = GUARD;
}

/* The formulas; *out_dot = sum of o and the given gradient of o. */
static void naive(
    const struct fr_attend *a, double x[N_IN][MAX_F][MAX_D], double *po, double *o, double *out_dot)
{
    *out_dot = 0;
    for (int i = 0; i < a->fields; i++) {
        double s[MAX_F], max = -INFINITY, sum = 0;

        for (int j = 0; j < a->fields; j++) {
            s[j] = 0;
            for (int d = 0; d < a->dim; d++)
                s[j] += x[Q][i][d] * x[K][j][d] * (double)a->scale;
            max = s[j] > max ? s[j] : max;
        }
        for (int j = 0; j < a->fields; j++)
            sum += exp(s[j] - max);
        for (int d = 0; d < a->dim; d++) {
            double v = 0;

            for (int j = 0; j < a->fields; j++)
                v += exp(s[j] - max) / sum * x[V][j][d];
            o[i * a->dim + d] = v;
            *out_dot += v * x[DO][i][d];
        }
        for (int j = 0; j < a->fields; j++)
            po[i * a->fields + j] = exp(s[j] - max) / sum;
    }
}

static void to_double(const struct fr_attend *a, double x[N_IN][MAX_F][MAX_D])
{
    for (int m = 0; m < N_IN; m++)
        for (int i = 0; i < a->fields; i++)
            for (int d = 0; d < a->dim; d++)
                x[m][i][d] = (double)in[m][(size_t)i * a->ld + (size_t)d];
}

static void check(int i, float std, float scale, bool gradients)
{
    static double x[N_IN][MAX_F][MAX_D], wp[MAX_F * MAX_F], wo[MAX_F * MAX_D], tp[MAX_F * MAX_F],
        to[MAX_F * MAX_D];
    struct fr_attend a = shape(i, scale);
    double dot = 0, tol = std > 1 ? 3e-3 : 3e-6; /* a score of thousands has an ulp of 5e-4 */

    fill(std);
    to_double(&a, x);
    naive(&a, x, wp, wo, &dot);
    fr_attend_forward(&a, in[Q], in[K], in[V], p, out, scratch);
    for (int f = 0; f < a.fields; f++) {
        double sum = 0;

        for (int g = 0; g < a.fields; g++) {
            ck_assert_double_eq_tol((double)p[f * a.fields + g], wp[f * a.fields + g], tol);
            sum += (double)p[f * a.fields + g];
        }
        ck_assert_double_eq_tol(sum, 1, 1e-5);
        for (int d = 0; d < a.dim; d++)
            ck_assert_double_eq_tol((double)out[(size_t)f * a.ldo + (size_t)d],
                                    wo[f * a.dim + d],
                                    (tol + 1e-5) * (double)std * (1 + (double)std));
        for (size_t d = (size_t)a.dim; d < a.ldo; d++)
            ck_assert(out[(size_t)f * a.ldo + d] == GUARD);
    }
    if (!gradients)
        return;
    fr_attend_backward(&a, in[Q], in[K], in[V], p, in[DO], grad[0], grad[1], grad[2], scratch);
    for (int m = Q; m <= V; m++)
        for (int f = 0; f < a.fields; f++) {
            int d = (f * 7 + m) % a.dim;
            double up, down, keep = x[m][f][d], got = (double)grad[m][(size_t)f * a.ld + (size_t)d];

            x[m][f][d] = keep + 1e-5;
            naive(&a, x, tp, to, &up);
            x[m][f][d] = keep - 1e-5;
            naive(&a, x, tp, to, &down);
            x[m][f][d] = keep;
            ck_assert_double_eq_tol(got, (up - down) / 2e-5, 1e-5 + 1e-4 * fabs(got));
            for (size_t k = (size_t)a.dim; k < a.ld; k++)
                ck_assert(grad[m][(size_t)f * a.ld + k] == GUARD);
        }
}

static bool set_level(int level)
{
    return fr_tensor_set_level((enum fr_cpu_level)level) == FR_OK;
}

START_TEST(every_level_and_shape__as_the_formulas)
{
    fr_rng_seed(&rng, 9);
    if (!set_level(_i))
        return; /* the machine has it not; the CPU test says so by name */
    for (int i = 0; i < N_SHAPES; i++) {
        check(i, 1.0f, 1.0f, true);
        check(i, 1.0f, 1.0f / sqrtf((float)shapes[i][1]), true);
        check(i, 0.01f, 1.0f, true);
        check(i, 30.0f, 1.0f, false); /* scores of thousands: one field takes all */
    }
}
END_TEST

START_TEST(nan__stays_nan)
{
    struct fr_attend a = shape(2, 1);

    if (!set_level(_i))
        return;
    for (int m = Q; m <= V; m++) {
        bool seen = false;

        fr_rng_seed(&rng, 9);
        fill(1);
        in[m][3] = NAN;
        fr_attend_forward(&a, in[Q], in[K], in[V], p, out, scratch);
        for (int d = 0; d < a.dim; d++)
            seen = seen || isnan(out[d]);
        ck_assert(seen);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("models/attend");
    TCase *tc = tcase_create("levels");
    tcase_add_loop_test(
        tc, every_level_and_shape__as_the_formulas, FR_CPU_BASELINE, FR_CPU_AVX512 + 1);
    tcase_add_loop_test(tc, nan__stays_nan, FR_CPU_BASELINE, FR_CPU_AVX512 + 1);
    suite_add_tcase(s, tc);
    return mf_run(s);
}
