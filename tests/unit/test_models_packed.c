/*
 * Packed linear layers against a product in double, at every level of the machine: awkward shapes,
 * strides, bias or none, ReLU, sums, NaN; nothing past a row's end is touched; a row's bits do not
 * depend on the other rows, nor on what is fetched meanwhile, nor on whether zeros are left out.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "models/fetch.h"
#include "models/gemm.h"
#include "models/packed.h"
#include "tests/support/model_fixture.h"

#define MAX_OUT 70
#define MAX_IN 130
#define MAX_ROWS 40
#define GAP 3 /* between rows */
#define GUARD 12345.0f

static const int shapes[][3] = {
    /* rows, out, in */
    {1, 1, 1},
    {1, 1, 0},
    {13, 16, 7},
    {12, 17, 64},
    {25, 31, 33},
    {11, 32, 100},
    {5, 33, 1},
    {40, 64, 9},
    {7, 65, 130},
    {36, 48, 16},
    {23, 70, 77},
    {3, 15, 0},
};

static struct fr_rng rng;
static float w[MAX_OUT * (MAX_IN + GAP)], bias[MAX_OUT];
static float x[MAX_ROWS * (MAX_IN + GAP)], y[MAX_ROWS * (MAX_OUT + GAP)],
    keep[MAX_ROWS * (MAX_OUT + GAP)];

static void fill(float *a, size_t n)
{
    for (size_t i = 0; i < n; i++)
        a[i] = (float)fr_rng_normal(&rng);
}

static bool set_level(int l)
{
    return fr_tensor_set_level((enum fr_cpu_level)l) == FR_OK;
}

static void setup(void)
{
    fr_rng_seed(&rng, 4);
    fill(w, sizeof(w) / sizeof(*w));
    fill(bias, MAX_OUT);
    fill(x, sizeof(x) / sizeof(*x));
}

static void check(const int *s, unsigned flags, bool with_bias)
{
    int rows = s[0], out = s[1], in = s[2];
    size_t ldx = (size_t)in + GAP, ldy = (size_t)out + GAP;
    struct fr_packed *p = NULL;

    ck_assert_int_eq(fr_packed_new(w, in + GAP, with_bias ? bias : NULL, out, in, &p), FR_OK);
    for (size_t i = 0; i < (size_t)rows * ldy; i++)
        y[i] = i % ldy < (size_t)out ? (float)fr_rng_normal(&rng) : GUARD;
    memcpy(keep, y, sizeof(y));
    fr_packed_linear(p, x, ldx, rows, flags, y, ldy, NULL);
    for (int r = 0; r < rows; r++) {
        for (int o = 0; o < out; o++) {
            size_t at = (size_t)r * ldy + (size_t)o;
            double want = with_bias ? (double)bias[o] : 0;
            want += (flags & FR_PACKED_ADD) != 0 ? (double)keep[at] : 0;
            for (int k = 0; k < in; k++)
                want += (double)x[(size_t)r * ldx + (size_t)k] *
                        (double)w[(size_t)o * ((size_t)in + GAP) + (size_t)k];
            if ((flags & FR_PACKED_RELU) != 0 && want < 0)
                want = 0;
            mf_float_tol(y[at], want, 1e-4);
        }
        for (size_t o = (size_t)out; o < ldy; o++)
            mf_float_eq(y[(size_t)r * ldy + o], GUARD);
    }
    fr_packed_linear(p, x, ldx, 0, flags, NULL, ldy, NULL);
    fr_packed_free(p);
}

START_TEST(linear__shapes_flags_levels__as_in_double)
{
    if (!set_level(_i))
        return; /* this machine has no such level; unit.base_cpu names those it has */
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
        for (unsigned flags = 0; flags < 4; flags++)
            for (int b = 0; b < 2; b++)
                check(shapes[i], flags, b == 1);
    fr_gemm_select(FR_GEMM_NAIVE);
    check(shapes[8], FR_PACKED_RELU, true);
    fr_packed_free(NULL);
}
END_TEST

START_TEST(linear__a_row_alone_or_among_others__same_bits)
{
    enum { OUT = 49, IN = 101, ROWS = 29 };
    struct fr_packed *p = NULL;
    float one[OUT];

    if (_i == FR_CPU_BASELINE || !set_level(_i))
        return; /* baseline is OpenBLAS' product, which promises nothing */
    ck_assert_int_eq(fr_packed_new(w, IN, bias, OUT, IN, &p), FR_OK);
    fr_packed_linear(p, x, IN, ROWS, FR_PACKED_RELU, y, OUT, NULL);
    for (int r = 0; r < ROWS; r++) {
        fr_packed_linear(p, x + (size_t)r * IN, IN, 1, FR_PACKED_RELU, one, OUT, NULL);
        ck_assert_mem_eq(one, y + (size_t)r * OUT, sizeof(one));
    }
    fr_packed_free(p);
}
END_TEST

START_TEST(linear__blocks_to_fetch__all_asked_for_in_the_products_named)
{
    enum { OUT = 49, IN = 101, ROWS = 29, BLOCKS = 31, PRODUCTS = 3 };
    static float block[64];
    const float *at[BLOCKS];
    struct fr_packed *p = NULL;

    if (_i == FR_CPU_BASELINE || !set_level(_i))
        return; /* OpenBLAS' product fetches nothing */
    for (int i = 0; i < BLOCKS; i++)
        at[i] = block;
    ck_assert_int_eq(fr_packed_new(w, IN, bias, OUT, IN, &p), FR_OK);
    fr_packed_linear(p, x, IN, ROWS, 0, keep, OUT, NULL);
    for (int bytes = 1; bytes <= 256; bytes += 51) {
        struct fr_fetch_list l = {
            .block = at, .n = BLOCKS, .bytes = (size_t)bytes, .products = PRODUCTS};
        size_t all = fr_fetch_left(&l);
        struct fr_fetch_list one = l;
        for (size_t left = all; left > 0; left--) {
            ck_assert_uint_eq(fr_fetch_left(&one), left);
            fr_fetch_more(&one, 1);
        }
        ck_assert_int_eq(one.at, BLOCKS);
        ck_assert_uint_eq(all, (size_t)BLOCKS * (((size_t)bytes + 63) / 64));
        for (int i = 1; i <= PRODUCTS; i++) {
            memset(y, 0, sizeof(y));
            fr_packed_linear(p, x, IN, ROWS, 0, y, OUT, &l);
            ck_assert_mem_eq(y, keep, (size_t)ROWS * OUT * sizeof(*y));
            ck_assert_uint_le(fr_fetch_left(&l), all * (size_t)(PRODUCTS - i) / PRODUCTS);
        }
        ck_assert_int_eq(l.at, BLOCKS);
        fr_packed_linear(p, x, IN, ROWS, 0, y, OUT, &l);
        ck_assert_int_eq(l.at, BLOCKS);
    }
    fr_packed_free(p);
}
END_TEST

/* Inputs of which `share` is not zero; every seventh row is all zeros, some zeros are negative. */
static void fill_zeros(float *a, int rows, size_t stride, double share)
{
    for (int r = 0; r < rows; r++)
        for (size_t k = 0; k < stride; k++)
            a[(size_t)r * stride + k] = r % 7 == 6                   ? 0.0f
                                        : fr_rng_f64(&rng) < share   ? (float)fr_rng_normal(&rng)
                                        : fr_rng_below(&rng, 4) == 0 ? -0.0f
                                                                     : 0.0f;
}

enum { WIDE_OUT = 400, WIDE_IN = 400, WIDE_ROWS = 61 };
static float wide_w[WIDE_OUT * WIDE_IN], wide_bias[WIDE_OUT], wide_x[WIDE_ROWS * (WIDE_IN + GAP)],
    wide_y[WIDE_ROWS * (WIDE_OUT + GAP)], wide_want[WIDE_ROWS * (WIDE_OUT + GAP)],
    wide_was[WIDE_ROWS * (WIDE_OUT + GAP)];

/* Whether a product leaves zeros out: an infinite weight of an input that is zero in all rows makes
 * NaN otherwise. */
static bool leaves_out(int rows, int out, int in, double share)
{
    size_t ldx = (size_t)in + GAP, at = (size_t)(out / 2) * (size_t)in + (size_t)(in / 2);
    float kept = wide_w[at];
    struct fr_packed *p = NULL;
    int nans = 0;

    fill_zeros(wide_x, rows, ldx, share);
    for (int r = 0; r < rows; r++)
        wide_x[(size_t)r * ldx + (size_t)(in / 2)] = 0;
    wide_w[at] = INFINITY;
    ck_assert_int_eq(fr_packed_new(wide_w, in, wide_bias, out, in, &p), FR_OK);
    fr_packed_linear(p, wide_x, ldx, rows, 0, wide_y, (size_t)out, NULL);
    wide_w[at] = kept;
    fr_packed_free(p);
    for (int r = 0; r < rows; r++)
        nans += isnan(wide_y[(size_t)r * (size_t)out + (size_t)(out / 2)]) != 0;
    ck_assert(nans == 0 || nans == rows);
    return nans == 0;
}

/* All rows at once beside row by row: one row has all terms. */
static void check_zeros(const int *s, unsigned flags)
{
    int rows = s[0], out = s[1], in = s[2];
    size_t ldx = (size_t)in + GAP, ldy = (size_t)out + GAP,
           bytes = (size_t)rows * ldy * sizeof(float);
    const float *block[9];
    struct fr_packed *p = NULL;
    struct fr_fetch_list l = {.block = block, .n = 9, .bytes = 512, .products = 2};

    for (int i = 0; i < 9; i++)
        block[i] = wide_w;
    ck_assert_int_eq(fr_packed_new(wide_w, in, wide_bias, out, in, &p), FR_OK);
    fill_zeros(wide_x, rows, ldx, 0.4);
    wide_x[3 * ldx + 5] = NAN;
    for (size_t i = 0; i < (size_t)rows * ldy; i++)
        wide_was[i] = i % ldy < (size_t)out ? (float)fr_rng_normal(&rng) : GUARD;
    memcpy(wide_want, wide_was, bytes);
    for (int r = 0; r < rows; r++)
        fr_packed_linear(
            p, wide_x + (size_t)r * ldx, ldx, 1, flags, wide_want + (size_t)r * ldy, ldy, NULL);
    for (int products = 2; products >= 0; products--) {
        memcpy(wide_y, wide_was, bytes);
        fr_packed_linear(p, wide_x, ldx, rows, flags, wide_y, ldy, products == 0 ? NULL : &l);
        ck_assert_mem_eq(wide_y, wide_want, bytes);
        if (products > 0)
            ck_assert_uint_le(fr_fetch_left(&l), 9 * 8 * (size_t)(products - 1) / 2);
    }
    fr_packed_free(p);
}

START_TEST(linear__many_zeros__left_out_and_the_same_bits)
{
    static const int zeros[][3] = {
        {16, 96, 32},
        {20, 150, 47},
        {21, 151, 48},
        {22, 152, 49},
        {17, 97, 33},
        {18, 112, 64},
        {19, 113, 65},
        {31, 128, 63},
        {23, 144, 100},
        {40, 161, 128},
        {29, 200, 129},
        {16, 289, 40},
        {WIDE_ROWS, WIDE_OUT, WIDE_IN},
    };

    if (_i == FR_CPU_BASELINE || !set_level(_i))
        return; /* OpenBLAS' product has all terms */
    fill(wide_w, WIDE_OUT * WIDE_IN);
    fill(wide_bias, WIDE_OUT);
    for (size_t i = 0; i < sizeof(zeros) / sizeof(zeros[0]); i++)
        for (unsigned flags = 0; flags < 4; flags++) {
            check_zeros(zeros[i], flags);
            ck_assert(leaves_out(zeros[i][0], zeros[i][1], zeros[i][2], 0.3));
        }
}
END_TEST

START_TEST(linear__few_zeros_or_small_or_naive__all_terms)
{
    if (_i == FR_CPU_BASELINE || !set_level(_i))
        return;
    fill(wide_w, WIDE_OUT * WIDE_IN);
    ck_assert(leaves_out(16, 96, 32, 0.3));
    ck_assert(!leaves_out(WIDE_ROWS, WIDE_OUT, WIDE_IN, 0.8));
    ck_assert(!leaves_out(15, 96, 32, 0.3));
    ck_assert(!leaves_out(16, 95, 32, 0.3));
    ck_assert(!leaves_out(16, 96, 31, 0.3));
    fr_gemm_select(FR_GEMM_NAIVE);
    ck_assert(!leaves_out(16, 96, 32, 0.3));
}
END_TEST

START_TEST(linear__nan_in_a_row__that_row_only)
{
    enum { OUT = 35, IN = 20, ROWS = 14 };
    struct fr_packed *p = NULL;

    if (!set_level(_i))
        return;
    x[5 * IN + 3] = NAN;
    ck_assert_int_eq(fr_packed_new(w, IN, bias, OUT, IN, &p), FR_OK);
    fr_packed_linear(p, x, IN, ROWS, FR_PACKED_RELU, y, OUT, NULL);
    for (int r = 0; r < ROWS; r++)
        for (int o = 0; o < OUT; o++)
            ck_assert_int_eq(fr_is_finite(y[r * OUT + o]), r != 5);
    fr_packed_free(p);
}
END_TEST

START_TEST(new__no_layer__refused)
{
    struct fr_packed *p = NULL;
    ck_assert_int_eq(fr_packed_new(w, 3, NULL, 0, 3, &p), FR_EINVAL);
    ck_assert_int_eq(fr_packed_new(w, 3, NULL, 2, -1, &p), FR_EINVAL);
    ck_assert_int_eq(fr_packed_new(w, 2, NULL, 2, 3, &p), FR_EINVAL);
    ck_assert_ptr_null(p);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("models/packed");
    TCase *tc = tcase_create("all");
    tcase_add_checked_fixture(tc, setup, NULL);
    tcase_add_loop_test(tc, linear__shapes_flags_levels__as_in_double, 0, FR_CPU_AVX512 + 1);
    tcase_add_loop_test(tc, linear__a_row_alone_or_among_others__same_bits, 0, FR_CPU_AVX512 + 1);
    tcase_add_loop_test(
        tc, linear__blocks_to_fetch__all_asked_for_in_the_products_named, 0, FR_CPU_AVX512 + 1);
    tcase_add_loop_test(tc, linear__many_zeros__left_out_and_the_same_bits, 0, FR_CPU_AVX512 + 1);
    tcase_add_loop_test(tc, linear__few_zeros_or_small_or_naive__all_terms, 0, FR_CPU_AVX512 + 1);
    tcase_add_loop_test(tc, linear__nan_in_a_row__that_row_only, 0, FR_CPU_AVX512 + 1);
    tcase_add_test(tc, new__no_layer__refused);
    suite_add_tcase(s, tc);
    return mf_run(s);
}
