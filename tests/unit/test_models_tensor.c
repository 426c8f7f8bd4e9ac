/* Vector kernels against naive twins in double, at every level this machine has; tensors;
 * finiteness. */
#include "models/tensor.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/rng.h"
#include "tests/support/model_fixture.h"

#define MAX 131
#define GUARD 1e30f

static float a[MAX + 8], b[MAX + 8], y[MAX + 8];

static void fill(uint64_t seed)
{
    struct fr_rng r;
    fr_rng_seed(&r, seed);
    for (int i = 0; i < MAX + 8; i++) {
        a[i] = (float)fr_rng_normal(&r);
        b[i] = (float)fr_rng_normal(&r);
    }
}

/* The loop index is the level; absent ones are reported, not passed silently. */
static bool level(int l)
{
    if (fr_tensor_set_level((enum fr_cpu_level)l) == FR_OK) {
        ck_assert_int_eq(fr_tensor_level(), l);
        return true;
    }
    ck_assert_int_gt(l, (int)fr_cpu_detected());
    return false;
}

START_TEST(dot_and_l2sq__all_lengths_and_alignments__as_naive)
{
    if (!level(_i))
        return;
    fill(1);
    for (size_t n = 0; n <= MAX; n++) {
        size_t o = n % 5;
        double dot = 0, l2 = 0, mag = 0;
        for (size_t i = 0; i < n; i++) {
            double x = (double)a[o + i], z = (double)b[i];
            dot += x * z;
            mag += fabs(x * z);
            l2 += (x - z) * (x - z);
        }
        ck_assert_double_eq_tol((double)fr_dot(a + o, b, n), dot, 1e-6 * (1 + mag));
        ck_assert_double_eq_tol((double)fr_l2sq(a + o, b, n), l2, 1e-6 * (1 + l2));
    }
}
END_TEST

START_TEST(axpy__all_lengths__as_naive_and_nothing_past_the_end)
{
    if (!level(_i))
        return;
    fill(2);
    for (size_t n = 0; n <= MAX; n++) {
        memcpy(y, b, sizeof(y));
        y[n] = GUARD;
        fr_axpy(0.37f, a + n % 3, y, n);
        for (size_t i = 0; i < n; i++)
            ck_assert_double_eq_tol((double)y[i], (double)b[i] + 0.37 * (double)a[n % 3 + i], 1e-6);
        ck_assert(memcmp(&y[n], &(float){GUARD}, sizeof(float)) == 0);
    }
}
END_TEST

START_TEST(gather_sum__dims_and_slot_counts__as_naive)
{
    static float table[9 * MAX];
    struct fr_slot s[5] = {{8, 0.5f}, {0, 1.0f}, {3, 0.0f}, {8, -2.0f}, {1, 1.0f}};
    struct fr_rng r;
    if (!level(_i))
        return;
    fr_rng_seed(&r, 3);
    for (int i = 0; i < 9 * MAX; i++)
        table[i] = (float)fr_rng_normal(&r);
    for (size_t dim = 1; dim <= MAX; dim++) {
        for (size_t n = 0; n <= 5; n++) {
            float dot = fr_gather_dot(table, s, n);
            double want_dot = 0;
            y[dim] = GUARD;
            fr_gather_sum(table, dim, s, n, y);
            for (size_t d = 0; d < dim; d++) {
                double want = 0;
                for (size_t k = 0; k < n; k++)
                    want += (double)s[k].x * (double)table[(size_t)s[k].row * dim + d];
                ck_assert_double_eq_tol((double)y[d], want, 1e-5);
            }
            for (size_t k = 0; k < n; k++)
                want_dot += (double)s[k].x * (double)table[s[k].row];
            ck_assert_double_eq_tol((double)dot, want_dot, 1e-5);
            ck_assert(memcmp(&y[dim], &(float){GUARD}, sizeof(float)) == 0);
        }
    }
}
END_TEST

START_TEST(gather_sum__unused_slot_with_nan_row__is_skipped)
{
    float table[6] = {1, 2, 3, NAN, NAN, NAN}, out[3];
    struct fr_slot s[2] = {{0, 2.0f}, {1, 0.0f}};
    if (!level(_i))
        return;
    fr_gather_sum(table, 3, s, 2, out);
    ck_assert(fr_all_finite(out, 3));
    mf_float_eq(out[2], 6.0f);
}
END_TEST

START_TEST(all_finite__nan_and_infinities_at_every_place__found)
{
    const float bad[] = {NAN, -NAN, INFINITY, -INFINITY};
    fill(4);
    ck_assert(fr_all_finite(a, MAX));
    ck_assert(fr_all_finite(a, 0));
    for (int k = 0; k < 4; k++) {
        ck_assert(!fr_is_finite(bad[k]));
        for (size_t i = 0; i < MAX; i++) {
            float keep = a[i];
            a[i] = bad[k];
            ck_assert(!fr_all_finite(a, MAX));
            ck_assert(fr_all_finite(a, i));
            a[i] = keep;
        }
    }
    ck_assert(fr_is_finite(3.4e38f) && fr_is_finite(1e-45f) && fr_is_finite(-0.0f));
}
END_TEST

START_TEST(require__missing_type_shape_nan__each_refused_by_name)
{
    float data[6] = {1, 2, 3, 4, 5, 6};
    const float *p = NULL;
    struct fr_fault f = {0};
    struct fr_tensor t[2];
    ck_assert_int_eq(fr_tensor_f32(&t[0], "m", 2, 3, data), FR_OK);
    ck_assert_int_eq(fr_tensor_f32(&t[1], "v", 6, 0, data), FR_OK);
    ck_assert_uint_eq(fr_tensor_count(&t[0]), 6);
    ck_assert_int_eq(fr_tensor_require(t, 2, "m", 2, 3, &p, &f), FR_OK);
    ck_assert_ptr_eq(p, data);
    ck_assert_int_eq(fr_tensor_require(t, 2, "v", 6, 0, &p, &f), FR_OK);
    ck_assert_int_eq(fr_tensor_require(t, 2, "x", 6, 0, &p, &f), FR_ENOTFOUND);
    ck_assert_ptr_nonnull(strstr(f.msg, "x is missing"));
    ck_assert_int_eq(fr_tensor_require(t, 2, "m", 3, 2, &p, &f), FR_EMISMATCH);
    ck_assert_int_eq(fr_tensor_require(t, 2, "m", 2, 0, &p, &f), FR_EMISMATCH);
    ck_assert_int_eq(fr_tensor_require(t, 2, "v", 6, 1, &p, &f), FR_EMISMATCH);
    data[4] = NAN;
    ck_assert_int_eq(fr_tensor_require(t, 2, "m", 2, 3, &p, &f), FR_ENONFINITE);
    t[0].dtype = FR_DTYPE_I32;
    ck_assert_int_eq(fr_tensor_require(t, 2, "m", 2, 3, &p, &f), FR_EMISMATCH);
    char name[FR_TENSOR_NAME + 1];
    memset(name, 'n', FR_TENSOR_NAME);
    name[FR_TENSOR_NAME] = '\0';
    ck_assert_int_eq(fr_tensor_f32(&t[0], name, 1, 0, data), FR_EINVAL);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("models/tensor");
    TCase *tc = tcase_create("all");
    int levels = FR_CPU_AVX512 + 1;
    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, dot_and_l2sq__all_lengths_and_alignments__as_naive, 0, levels);
    tcase_add_loop_test(tc, axpy__all_lengths__as_naive_and_nothing_past_the_end, 0, levels);
    tcase_add_loop_test(tc, gather_sum__dims_and_slot_counts__as_naive, 0, levels);
    tcase_add_loop_test(tc, gather_sum__unused_slot_with_nan_row__is_skipped, 0, levels);
    tcase_add_test(tc, all_finite__nan_and_infinities_at_every_place__found);
    tcase_add_test(tc, require__missing_type_shape_nan__each_refused_by_name);
    suite_add_tcase(s, tc);
    return mf_run(s);
}
