/* OpenBLAS against the naive twin over transposes, odd sizes and strides; fixed shapes give fixed
 * bits. */
#include "models/gemm.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/rng.h"
#include "models/tensor.h"
#include "tests/support/model_fixture.h"

#define MAX_ELEMENTS (64 * 64)

static float a[MAX_ELEMENTS], b[MAX_ELEMENTS], c[MAX_ELEMENTS], d[MAX_ELEMENTS];

static void fill(float *x, size_t n, struct fr_rng *r)
{
    for (size_t i = 0; i < n; i++)
        x[i] = (float)fr_rng_normal(r);
}

START_TEST(gemm__transposes_odd_sizes_strides__openblas_as_naive)
{
    const int sizes[] = {1, 2, 5, 13, 33};
    struct fr_rng r;
    bool ta = (_i & 1) != 0, tb = (_i & 2) != 0;
    fr_rng_seed(&r, (uint64_t)_i);
    for (int k = 0; k < 125; k++) {
        int m = sizes[k % 5], n = sizes[k / 5 % 5], p = sizes[k / 25];
        int lda = (ta ? m : p) + 3, ldb = (tb ? p : n) + 1, ldc = n + 2;
        float alpha = k % 2 ? 1.0f : -0.7f, beta = k % 3 ? 0.5f : 0.0f;
        fill(a, MAX_ELEMENTS, &r);
        fill(b, MAX_ELEMENTS, &r);
        fill(c, MAX_ELEMENTS, &r);
        if (k % 3 == 0)
            c[0] = NAN; /* beta 0 must not read it */
        memcpy(d, c, sizeof(d));
        fr_gemm_openblas(ta, tb, m, n, p, alpha, a, lda, b, ldb, beta, c, ldc);
        fr_gemm_naive(ta, tb, m, n, p, alpha, a, lda, b, ldb, beta, d, ldc);
        for (size_t i = 0; i < (size_t)((m - 1) * ldc + n); i++)
            ck_assert_msg(fabs((double)c[i] - (double)d[i]) <= 2e-5,
                          "m %d n %d k %d [%zu]: %g, %g",
                          m,
                          n,
                          p,
                          i,
                          (double)c[i],
                          (double)d[i]);
    }
}
END_TEST

START_TEST(gemm__nothing_to_add__only_scales)
{
    for (int kind = 0; kind < 2; kind++) {
        fr_gemm_select((enum fr_gemm_kind)kind);
        ck_assert_int_eq(fr_gemm_selected(), kind);
        float x[4] = {1, 2, 3, 4};
        fr_gemm(false, false, 2, 2, 0, 1, a, 1, b, 2, 0.5f, x, 2);
        mf_float_eq(x[3], 2.0f);
        fr_gemm(false, false, 2, 2, 0, 1, a, 1, b, 2, 0, x, 2);
        mf_float_eq(x[3], 0.0f);
        fr_gemm(false, false, 0, 2, 3, 1, a, 3, b, 2, 0, x, 2);
    }
    fr_gemm_select(FR_GEMM_OPENBLAS);
}
END_TEST

/* What FR_SCORE_DETERMINISTIC relies on: with m = FR_GEMM_PAD_ROWS, a row's bits depend neither on
 * the other rows nor on its place. */
START_TEST(gemm__padded_to_fixed_rows__row_bits_do_not_depend_on_the_others)
{
    const int ks[] = {1, 13, 64, 251}, ns[] = {1, 7, 64, 400};
    struct fr_rng r;
    fr_rng_seed(&r, 7);
    for (int t = 0; t < 16; t++) {
        int k = ks[t % 4], n = ns[t / 4], m = FR_GEMM_PAD_ROWS;
        size_t row = (size_t)n * sizeof(float);
        float *x = calloc((size_t)(m * k), sizeof(*x)), *w = calloc((size_t)(n * k), sizeof(*w));
        float *one = calloc((size_t)(m * n), sizeof(*one)),
              *all = calloc((size_t)(m * n), sizeof(*all));
        ck_assert(x != NULL && w != NULL && one != NULL && all != NULL);
        fill(w, (size_t)(n * k), &r);
        fill(x, (size_t)(m * k), &r);
        fr_gemm_openblas(false, true, m, n, k, 1, x, k, w, k, 0, all, n);
        for (int keep = 0; keep < m; keep += 17) {
            memset(one, 0, (size_t)m * row);
            float *alone = calloc((size_t)(m * k), sizeof(*alone));
            ck_assert_ptr_nonnull(alone);
            memcpy(alone + keep * k, x + keep * k, (size_t)k * sizeof(*x));
            fr_gemm_openblas(false, true, m, n, k, 1, alone, k, w, k, 0, one, n);
            ck_assert_msg(
                memcmp(one + keep * n, all + keep * n, row) == 0, "k %d n %d row %d", k, n, keep);
            free(alone);
        }
        free(x);
        free(w);
        free(one);
        free(all);
    }
}
END_TEST

START_TEST(core__name_and_config__are_there)
{
    ck_assert_uint_gt(strlen(fr_gemm_core()), 2);
    ck_assert_ptr_nonnull(strstr(fr_gemm_config(), "OpenBLAS"));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("models/gemm");
    TCase *tc = tcase_create("all");
    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, gemm__transposes_odd_sizes_strides__openblas_as_naive, 0, 4);
    tcase_add_test(tc, gemm__nothing_to_add__only_scales);
    tcase_add_test(tc, gemm__padded_to_fixed_rows__row_bits_do_not_depend_on_the_others);
    tcase_add_test(tc, core__name_and_config__are_there);
    suite_add_tcase(s, tc);
    return mf_run(s);
}
