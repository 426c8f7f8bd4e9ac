/* Several steps at once against the series in double, at every level this machine has. */
#include "models/adam_gap.h"

#include <math.h>
#include <string.h>

#include "daemon/base/rng.h"
#include "models/tensor.h"
#include "tests/support/model_fixture.h"

#define MAX 131

static float a[MAX + 8], b[MAX + 8];

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
    if (fr_tensor_set_level((enum fr_cpu_level)l) == FR_OK)
        return true;
    ck_assert_int_gt(l, (int)fr_cpu_detected());
    return false;
}

START_TEST(update__all_lengths__as_naive_and_nothing_past_the_end)
{
    const struct fr_adam_gap c = {.scale = 1.5f,
                                  .eps = 1e-2f,
                                  .moment = {.9f, -.2f, .1f, -.05f, .02f},
                                  .keep_m = .5f,
                                  .keep_v = .9f};
    if (!level(_i))
        return;
    for (size_t n = 0; n <= MAX; n++) {
        static float w[MAX + 1], m[MAX + 1], v[MAX + 1];
        fill(n);
        for (size_t i = 0; i <= n; i++) {
            w[i] = b[i];
            m[i] = i % 7 == 3 ? 1e-38f : a[i];
            v[i] = i % 7 == 5 ? 0 : a[i + 3] * a[i + 3];
        }
        float wn = w[n], mn = m[n], vn = v[n];
        fr_adam_gap_update(&c, n, w, m, v);
        for (size_t i = 0; i < n; i++) {
            double m0 = i % 7 == 3 ? 0 : (double)a[i], v0 = i % 7 == 5 ? 0 : (double)a[i + 3] * (double)a[i + 3];
            double d = sqrt(v0) * 1.5 + .01, u = sqrt(v0) * 1.5 / d, sum = 0;
            for (int k = 0; k < FR_ADAM_GAP_TERMS; k++)
                sum += (double)c.moment[k] * pow(-u, k);
            ck_assert_double_eq_tol((double)w[i], (double)b[i] - m0 / d * sum, 1e-6 * (1 + fabs(m0 / d)));
            ck_assert_double_eq_tol((double)m[i], .5 * m0, 1e-42 + 1e-7 * fabs(m0)); /* 5e-39 is subnormal: 0 */
            ck_assert_double_eq_tol((double)v[i], .9 * v0, 1e-42 + 1e-6 * v0);
        }
        ck_assert(memcmp(&wn, &w[n], 4) == 0 && memcmp(&mn, &m[n], 4) == 0 && memcmp(&vn, &v[n], 4) == 0);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("models/adam_gap");
    TCase *tc = tcase_create("all");
    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, update__all_lengths__as_naive_and_nothing_past_the_end, 0, FR_CPU_AVX512 + 1);
    suite_add_tcase(s, tc);
    return mf_run(s);
}
