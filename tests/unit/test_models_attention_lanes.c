/*
 * Attention in lanes against models/attention.h row by row, at every level of the machine: awkward
 * shapes, all residuals, layer norm, chunks that are not full; a candidate's bits do not depend on
 * its lane or company.
 */
#include "models/attention_lanes.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "models/gemm.h"
#include "models/tensor.h"
#include "models/train/attention_back.h"
#include "tests/support/model_fixture.h"

#define ROWS FR_ATTENTION_LANES
#define MAX_FLOATS 4096

static const struct {
    int user, fields, dim;
    struct fr_attention_config cfg;
} shapes[] = {
    {0, 1, 1, {1, 1, 1, false, false, FR_RESIDUAL_NONE}},
    {1, 2, 3, {2, 1, 5, true, false, FR_RESIDUAL_WIDTHS}},
    {3, 7, 4, {3, 2, 6, true, true, FR_RESIDUAL_PROJECTED}},
    {5, 8, 16, {2, 2, 16, false, true, FR_RESIDUAL_IDENTITY}},
    {4, 9, 17, {2, 3, 15, true, false, FR_RESIDUAL_IDENTITY}},
    {14, 24, 16, {3, 2, 64, false, false, FR_RESIDUAL_PROJECTED}},
    {33, 33, 5, {1, 4, 8, false, true, FR_RESIDUAL_WIDTHS}}, /* no field of the candidate's own */
    {101, 203, 3, {2, 2, 10, true, false, FR_RESIDUAL_PROJECTED}}, /* keys in two and three blocks */
    {0, 99, 9, {1, 1, 7, false, false, FR_RESIDUAL_NONE}},
};
#define N_SHAPES ((int)(sizeof(shapes) / sizeof(shapes[0])))

static struct fr_rng rng;
static struct fr_attention a;
static struct fr_attention_lanes *l;
static float gain[64], shift[64], out[MAX_FLOATS], value[MAX_FLOATS], user[MAX_FLOATS], cand[ROWS * MAX_FLOATS];
static float *scratch;
static bool opposed; /* of one field and one number: q = x, k = -x, v = x */

static void fill(float *x, size_t n, float std)
{
    for (size_t i = 0; i < n; i++)
        x[i] = std * (float)fr_rng_normal(&rng);
}

static void open_shape(int i)
{
    fr_rng_seed(&rng, 11);
    ck_assert_int_eq(fr_attention_init(&a, &shapes[i].cfg, shapes[i].fields, shapes[i].dim), FR_OK);
    for (int k = 0; k < a.cfg.layers; k++) {
        fill(a.layer[k].w,
             (size_t)a.layer[k].cols * (size_t)a.layer[k].in,
             1.0f / sqrtf((float)a.layer[k].in));
        a.layer[k].gain = a.cfg.layer_norm ? gain : NULL;
        a.layer[k].shift = a.cfg.layer_norm ? shift : NULL;
    }
    for (int k = 0; opposed && k < 3; k++)
        a.layer[0].w[k] = k == 1 ? -1 : 1;
    fill(gain, 64, 1);
    fill(shift, 64, 0.3f);
    fill(out, MAX_FLOATS, 0.2f);
    fill(value, MAX_FLOATS, 0.3f);
    fill(user, MAX_FLOATS, 1);
    fill(cand, sizeof(cand) / sizeof(*cand), 1);
    ck_assert_int_eq(fr_attention_lanes_new(&a, out, i % 2 == 0 ? value : NULL, &l), FR_OK);
    scratch = calloc(fr_attention_lanes_scratch(l), sizeof(*scratch));
    ck_assert_ptr_nonnull(scratch);
}

static void close_shape(void)
{
    free(scratch);
    fr_attention_lanes_free(l);
    fr_attention_done(&a);
}

/* Row by row: the trainer's forward pass, through output w. */
static float by_rows(int i, const float *w, const float *x)
{
    size_t nu = (size_t)shapes[i].user * (size_t)a.dim, all = (size_t)a.fields * (size_t)a.dim;
    struct fr_attention_pass p;
    struct fr_arena *ar = NULL;
    float row[MAX_FLOATS], z = 1.5f;

    memcpy(row, user, nu * sizeof(*row));
    memcpy(row + nu, x, (all - nu) * sizeof(*row));
    ck_assert_int_eq(fr_arena_new(1 << 18, 0, &ar), FR_OK);
    ck_assert_int_eq(fr_attention_begin(&a, 1, row, false, ar, &p), FR_OK);
    fr_attention_forward(&a, &p);
    fr_attention_output(&a, &p, w, &z);
    fr_arena_free(ar);
    return z;
}

START_TEST(every_shape_and_level__as_row_by_row)
{
    if (fr_tensor_set_level((enum fr_cpu_level)_i) != FR_OK)
        return; /* the machine has it not; the CPU test says so by name */
    fr_gemm_select(FR_GEMM_NAIVE);
    for (int i = 0; i < N_SHAPES; i++) {
        open_shape(i);
        size_t own = (size_t)(a.fields - shapes[i].user) * (size_t)a.dim;

        fr_attention_lanes_user(l, user, shapes[i].user, scratch);
        for (int rows = 1; rows <= ROWS; rows += 5) { /* the scratch is used again */
            float z[ROWS + 1], zv[ROWS + 1], only[ROWS + 1];

            for (int c = 0; c <= ROWS; c++)
                z[c] = zv[c] = only[c] = 1.5f;
            fr_attention_lanes_add(l, cand, shapes[i].user, rows, scratch, z, zv);
            fr_attention_lanes_add(l, cand, shapes[i].user, rows, scratch, only, NULL);
            for (int c = 0; c < rows; c++) {
                double want = (double)by_rows(i, out, cand + (size_t)c * own);
                mf_float_tol(z[c], want, 1e-5 * (1 + fabs(want)));
                mf_float_eq(only[c], z[c]);
                want = i % 2 == 0 ? (double)by_rows(i, value, cand + (size_t)c * own) : 1.5;
                mf_float_tol(zv[c], want, 1e-5 * (1 + fabs(want)));
            }
            for (int c = rows; c <= ROWS; c++)
                ck_assert(z[c] == 1.5f && zv[c] == 1.5f);
        }
        close_shape();
    }
}
END_TEST

START_TEST(one_candidate__any_lane_any_company__same_bits)
{
    if (fr_tensor_set_level((enum fr_cpu_level)_i) != FR_OK)
        return;
    for (int i = 0; i < N_SHAPES; i++) {
        float alone = 0, z[ROWS];

        open_shape(i);
        size_t own = (size_t)(a.fields - shapes[i].user) * (size_t)a.dim;
        fr_attention_lanes_user(l, user, shapes[i].user, scratch);
        fr_attention_lanes_add(l, cand + 7 * own, shapes[i].user, 1, scratch, &alone, NULL);
        for (int at = 0; at < ROWS; at++) {
            memset(z, 0, sizeof(z));
            memcpy(cand + (size_t)at * own, cand + 7 * own, own * sizeof(*cand));
            fr_attention_lanes_add(l, cand, shapes[i].user, ROWS, scratch, z, NULL);
            mf_float_eq(z[at], alone);
        }
        close_shape();
    }
}
END_TEST

START_TEST(nan_in_one_lane__stays_there)
{
    static const int of[] = {2, 5, 7};

    if (fr_tensor_set_level((enum fr_cpu_level)_i) != FR_OK)
        return;
    for (size_t i = 0; i < sizeof(of) / sizeof(of[0]); i++) {
        float z[ROWS] = {0};
        open_shape(of[i]);
        size_t own = (size_t)(a.fields - shapes[of[i]].user) * (size_t)a.dim;
        cand[4 * own - 1] = NAN; /* the last field: in the last block of keys */
        fr_attention_lanes_user(l, user, shapes[of[i]].user, scratch);
        fr_attention_lanes_add(l, cand, shapes[of[i]].user, ROWS, scratch, z, NULL);
        for (int c = 0; c < ROWS; c++)
            ck_assert_int_eq(isnan(z[c]) != 0, c == 3);
        user[0] = NAN; /* what is shared reaches all of them */
        fr_attention_lanes_user(l, user, shapes[of[i]].user, scratch);
        fr_attention_lanes_add(l, cand, shapes[of[i]].user, ROWS, scratch, z, NULL);
        for (int c = 0; c < ROWS; c++)
            ck_assert(isnan(z[c]));
        close_shape();
    }
}
END_TEST

START_TEST(scores_that_overflow__as_row_by_row)
{
    if (fr_tensor_set_level((enum fr_cpu_level)_i) != FR_OK)
        return;
    fr_gemm_select(FR_GEMM_NAIVE);
    opposed = true;
    open_shape(0);
    for (int c = 0; c < ROWS; c++)
        cand[c] = c % 2 == 0 ? 1e25f : 0.5f; /* every score -inf, or not */
    float z[ROWS] = {0};
    fr_attention_lanes_user(l, user, 0, scratch);
    fr_attention_lanes_add(l, cand, 0, ROWS, scratch, z, NULL);
    for (int c = 0; c < ROWS; c++) {
        ck_assert_int_eq(isnan(by_rows(0, out, cand + c)) != 0, c % 2 == 0);
        ck_assert_int_eq(isnan(z[c]) != 0, c % 2 == 0);
    }
    close_shape();
    opposed = false;
}
END_TEST

int main(void)
{
    Suite *s = suite_create("models/attention_lanes");
    TCase *tc = tcase_create("levels");
    tcase_add_loop_test(
        tc, every_shape_and_level__as_row_by_row, FR_CPU_BASELINE, FR_CPU_AVX512 + 1);
    tcase_add_loop_test(
        tc, one_candidate__any_lane_any_company__same_bits, FR_CPU_BASELINE, FR_CPU_AVX512 + 1);
    tcase_add_loop_test(tc, nan_in_one_lane__stays_there, FR_CPU_BASELINE, FR_CPU_AVX512 + 1);
    tcase_add_loop_test(tc, scores_that_overflow__as_row_by_row, FR_CPU_BASELINE, FR_CPU_AVX512 + 1);
    suite_add_tcase(s, tc);
    return mf_run(s);
}
